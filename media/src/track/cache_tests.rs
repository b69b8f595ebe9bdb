//! Tests of [`super`].

use super::*;
use proptest::prelude::*;

fn packet(seq: u64, at: Instant, payload: &[u8]) -> Packet<'_> {
    Packet {
        track: TrackId(0),
        layer: Layer::default(),
        seq: SeqNo(seq),
        timestamp: seq as u32,
        marker: false,
        flags: Flags::default(),
        frame: None,
        descriptor: &[],
        level: None,
        arrived: at,
        age: Duration::ZERO,
        payload,
    }
}

fn keyframe(seq: u64, at: Instant, payload: &[u8]) -> Packet<'_> {
    Packet { flags: Flags { keyframe: true, start: true, ..Flags::default() }, ..packet(seq, at, payload) }
}

fn payload(seq: u64, len: usize) -> Vec<u8> {
    seq.to_be_bytes().iter().copied().cycle().take(len).collect()
}

#[test]
fn what_came_can_be_had_again_and_a_repeat_is_known() {
    let (mut cache, t) = (Cache::new(), Instant::now());
    assert_eq!(cache.insert(&packet(10, t, b"ten"), false), Ok(()));
    assert_eq!(cache.insert(&packet(12, t, b"twelve"), false), Ok(()));
    assert_eq!(cache.insert(&packet(10, t, b"ten"), false), Err(Drop::Duplicate));
    assert_eq!(cache.insert(&packet(11, t, b"eleven"), false), Ok(()), "late, not too late");
    assert_eq!(cache.packet(TrackId(0), SeqNo(11)).unwrap().payload, b"eleven");
    assert!(cache.packet(TrackId(0), SeqNo(13)).is_none());
    assert_eq!(cache.insert(&packet(5_000, t, b"far"), false), Ok(()));
    assert_eq!(cache.insert(&packet(13, t, b"old"), false), Err(Drop::TooOld));
}

#[test]
fn it_grows_to_keep_two_seconds_and_no_further() {
    let (mut cache, t) = (Cache::new(), Instant::now());
    // 4 Mbit/s in packets of 1,000 bytes: 500 a second.
    let mut sizes = Vec::new();
    for seq in 0..20_000u64 {
        let at = t + Duration::from_millis(seq * 2);
        cache.insert(&packet(seq, at, &payload(seq, 1_000)), false).unwrap();
        if seq % 5_000 == 4_999 {
            sizes.push(cache.footprint());
            let kept = (seq - 900..=seq).filter(|s| cache.packet(TrackId(0), SeqNo(*s)).is_some()).count();
            assert_eq!(kept, 901);
        }
    }
    assert_eq!(sizes[1], sizes[3], "grown once, then steady");
    assert!(sizes[3] <= BYTES_MAX + PACKETS_MAX * 128);
}

#[test]
fn growing_late_loses_nothing() {
    let (mut cache, t) = (Cache::new(), Instant::now());
    // A small picture for a minute, then a large one.
    for seq in 0..1_200u64 {
        cache.insert(&packet(seq, t + Duration::from_millis(seq * 50), &payload(seq, 100)), false).unwrap();
    }
    let t = t + Duration::from_secs(60);
    for seq in 1_200..1_400u64 {
        cache.insert(&packet(seq, t + Duration::from_millis((seq - 1_200) * 5), &payload(seq, 1_200)), false).unwrap();
        for kept in 1_200..=seq {
            let found = cache.packet(TrackId(0), SeqNo(kept));
            assert!(found.is_some_and(|p| p.payload == payload(kept, 1_200)), "{kept} at {seq}");
        }
    }
}

#[test]
fn a_joiner_begins_at_a_fresh_key_frame_only() {
    let (mut cache, t) = (Cache::new(), Instant::now());
    assert_eq!(cache.replay(t), None);
    cache.insert(&packet(1, t, b"delta"), false).unwrap();
    cache.insert(&keyframe(2, t, b"key"), true).unwrap();
    cache.insert(&packet(3, t, b"delta"), false).unwrap();
    assert_eq!(cache.replay(t), Some(2..=3));
    assert_eq!(cache.replay(t + REPLAY_AGE_MAX * 2), None);
    for seq in 4..4 + REPLAY_PACKETS_MAX {
        cache.insert(&packet(seq, t, b"delta"), false).unwrap();
    }
    assert_eq!(cache.replay(t), None, "a burst has a bound");
}

proptest! {
    #[test]
    fn what_it_gives_back_is_what_it_got(steps in prop::collection::vec((0u64..6, 1usize..1_400, 0u64..30), 1..600)) {
        let (mut cache, mut now) = (Cache::new(), Instant::now());
        let mut base = 1_000u64;
        let mut kept = std::collections::BTreeMap::new();
        for (back, len, ms) in steps {
            now += Duration::from_millis(ms);
            base += 2;
            let seq = base - back;
            let bytes = payload(seq, len);
            match cache.insert(&packet(seq, now, &bytes), false) {
                Ok(()) => prop_assert!(kept.insert(seq, bytes).is_none()),
                Err(reason) => {
                    prop_assert_eq!(reason, Drop::Duplicate);
                    prop_assert!(kept.contains_key(&seq));
                }
            }
            prop_assert_eq!(cache.packet(TrackId(0), SeqNo(seq)).map(|p| p.payload.to_vec()), kept.get(&seq).cloned());
        }
        for (seq, bytes) in kept {
            if let Some(found) = cache.packet(TrackId(0), SeqNo(seq)) {
                prop_assert_eq!(found.payload, bytes.as_slice());
            }
        }
    }
}
