//! Tests of [`super`].

use super::*;
use crate::packet::Flags;
use crate::track::Meaning;
use lyceum_wire::link::Layer;
use lyceum_wire::vp8;
use proptest::prelude::*;

/// A VP8 packet: 6 bytes of descriptor and one of picture.
fn payload(start: bool, key: bool, picture: u16, tl0: u8, temporal: u8) -> Vec<u8> {
    let fields = vp8::Fields {
        frame_start: start,
        non_reference: false,
        picture_id: picture & 0x7fff,
        tl0_picture: tl0,
        temporal,
        layer_sync: false,
    };
    let mut bytes = fields.to_bytes().to_vec();
    bytes.extend([u8::from(!key), 0, 0, 0, 0]);
    bytes
}

fn packet<'a>(track: u32, spatial: u8, seq: u64, timestamp: u32, at: Instant, payload: &'a [u8]) -> Packet<'a> {
    Packet {
        track: TrackId(track),
        layer: Layer { spatial, temporal: 0 },
        seq: SeqNo(seq),
        timestamp,
        marker: true,
        flags: Flags::default(),
        frame: None,
        descriptor: &[],
        level: None,
        arrived: at,
        age: Duration::ZERO,
        payload,
    }
}

fn meaning(packet: &Packet<'_>) -> Meaning {
    Meaning::of(crate::packet::Codec::Vp8, packet).unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_switch_of_layers_is_one_unbroken_stream() {
    let (mut stream, t) = (Stream::new(0x1234_5678_9abc_def0), Instant::now());
    let low: Vec<_> = (0..3u16).map(|n| payload(true, n == 0, 100 + n, 7 + n as u8, 0)).collect();
    let mut placed = Vec::new();
    for (n, bytes) in (0u64..).zip(&low) {
        let at = t + ms(33 * n);
        let p = packet(1, 0, 500 + n, 9_000 + 3_000 * n as u32, at, bytes);
        if n == 0 {
            stream.begin(&p, &meaning(&p), Begin::Live { at }, 90_000, at);
        }
        placed.push(stream.place(&p, &meaning(&p), Some(at), at).unwrap());
    }
    // The same camera, larger, from its own numbers; this picture is 34 ms after the last.
    let at = t + ms(100);
    let bytes = payload(true, true, 32_767, 250, 0);
    let p = packet(1, 2, 90_000, 4_000_000_000, at, &bytes);
    stream.begin(&p, &meaning(&p), Begin::Live { at }, 90_000, at);
    placed.push(stream.place(&p, &meaning(&p), Some(at), at).unwrap());
    let bytes = payload(true, false, 0, 251, 0);
    let p = packet(1, 2, 90_001, 4_000_003_000, at + ms(33), &bytes);
    placed.push(stream.place(&p, &meaning(&p), Some(at), at + ms(33)).unwrap());

    let first = placed[0];
    for (n, p) in (0u64..).zip(&placed) {
        assert_eq!(p.seq, first.seq.plus(n));
        assert_eq!(p.picture_id, first.picture_id + n as u16);
        assert_eq!(p.tl0, first.tl0.wrapping_add(n as u8));
    }
    let steps: Vec<_> = placed.windows(2).map(|w| w[1].timestamp.wrapping_sub(w[0].timestamp)).collect();
    assert_eq!(steps, [3_000, 3_000, 3_060, 3_000]);

    // A repair of the old layer still knows its numbers.
    let origin = stream.locate(placed[1].seq.wire()).unwrap();
    assert_eq!(origin, Origin { track: TrackId(1), spatial: 0, seq: SeqNo(501) });
    let p = packet(1, 0, 501, 12_000, t, &low[1]);
    assert_eq!(stream.placed_before(placed[1].seq.wire(), &p, &meaning(&p)), Some(placed[1]));
    assert_eq!(stream.locate(placed[4].seq.wire().wrapping_add(1)), None, "never given out");
}

#[test]
fn a_number_is_sealed_once() {
    let (mut stream, t) = (Stream::new(1), Instant::now());
    let bytes = payload(true, true, 1, 1, 0);
    let p = packet(1, 0, 10, 0, t, &bytes);
    stream.begin(&p, &meaning(&p), Begin::Live { at: t }, 90_000, t);
    assert!(stream.place(&p, &meaning(&p), Some(t), t).is_ok());
    assert_eq!(stream.place(&p, &meaning(&p), Some(t), t), Err(Drop::Duplicate));
}

#[test]
fn a_replay_catches_up_with_the_live_edge() {
    let (mut stream, t) = (Stream::new(77), Instant::now());
    // 30 pictures in the cache, the newest from now.
    let pictures: Vec<_> = (0..30u16).map(|n| payload(true, n == 0, n, n as u8, 0)).collect();
    let edge = 29 * 3_000;
    let mut stamps = Vec::new();
    for (n, bytes) in (0u64..).zip(&pictures) {
        let p = packet(1, 0, n, n as u32 * 3_000, t, bytes);
        if n == 0 {
            stream.begin(&p, &meaning(&p), Begin::Replay { edge, at: t }, 90_000, t);
        }
        stamps.push(stream.place(&p, &meaning(&p), None, t).unwrap().timestamp);
    }
    assert!(stamps.windows(2).all(|w| (w[1].wrapping_sub(w[0]) as i32) > 0));
    let burst = stamps[29].wrapping_sub(stamps[0]);
    assert!(burst < 90 * 40, "one second of pictures in 40 ms: {burst}");
    let p = packet(1, 0, 30, edge + 3_000, t + ms(33), &pictures[1]);
    let live = stream.place(&p, &Meaning::default(), None, t + ms(33)).unwrap();
    assert_eq!(live.timestamp.wrapping_sub(stamps[29]), 3_000, "then as it is");
    let clock = stream.clock().unwrap();
    assert!(live.timestamp.wrapping_sub(clock.timestamp_at(t + ms(33))) <= 30, "a report agrees with the pictures");
}

#[test]
fn another_publisher_with_a_wild_clock_does_not_move_time() {
    let (mut stream, t) = (Stream::new(5), Instant::now());
    let bytes = payload(true, true, 1, 1, 0);
    let a = packet(1, 0, 10, 50, t, &bytes);
    stream.begin(&a, &meaning(&a), Begin::Live { at: t }, 90_000, t);
    let first = stream.place(&a, &meaning(&a), Some(t), t).unwrap();
    let now = t + ms(500);
    let b = packet(2, 0, 10, 3_000_000_000, now, &bytes);
    stream.begin(&b, &meaning(&b), Begin::Live { at: t + Duration::from_secs(3_600) }, 90_000, now);
    let second = stream.place(&b, &meaning(&b), Some(now), now).unwrap();
    assert_eq!(second.timestamp.wrapping_sub(first.timestamp), 45_000);
    let c = packet(3, 0, 10, 7, now, &bytes);
    stream.begin(&c, &meaning(&c), Begin::Live { at: now }, 90_000, now);
    let third = stream.place(&c, &meaning(&c), Some(now), now).unwrap();
    assert_eq!(third.timestamp.wrapping_sub(second.timestamp), 90, "never back, never the same");
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Next,
    Lose,
    Leave,
    Switch { spatial: u8 },
    Pause { millis: u16 },
}

proptest! {
    /// Over switches, pauses, losses and pictures left out: sequence, picture id and timestamp always rise, and only losses are gaps.
    #[test]
    fn always_forward(acts in prop::collection::vec(prop_oneof![
        8 => Just(Act::Next), 1 => Just(Act::Lose), 2 => Just(Act::Leave),
        1 => (0u8..3).prop_map(|spatial| Act::Switch { spatial }),
        1 => (1u16..3_000).prop_map(|millis| Act::Pause { millis })], 1..300), seed in any::<u64>()) {
        let (mut stream, mut now) = (Stream::new(seed), Instant::now());
        let start = now;
        let mut spatial = 0u8;
        let (mut seq, mut picture, mut tl0) = ([1_000u64, 60_000, 9_000_000], [5u16, 32_760, 100], [250u8, 9, 100]);
        let mut begin = true;
        // Losses since the last packet sent, and those of them that a later packet has shown.
        let (mut lost, mut shown) = (0u64, 0u64);
        let mut last: Option<Placed> = None;
        for act in acts {
            let s = usize::from(spatial);
            let stamp = (now.duration_since(start).as_micros() * 9 / 100) as u32;
            let timestamp = stamp.wrapping_add(u32::from(spatial).wrapping_mul(3_000_000_000));
            match act {
                Act::Switch { spatial: to } => { spatial = to; begin = true; }
                Act::Pause { millis } => { now += ms(u64::from(millis)); begin = true; }
                Act::Lose if !begin => { lost += 1; seq[s] += 1; picture[s] += 1; tl0[s] = tl0[s].wrapping_add(1); now += ms(33); }
                Act::Leave if !begin => {
                    let bytes = payload(true, false, picture[s], tl0[s].wrapping_sub(1), 1);
                    let p = packet(1, spatial, seq[s], timestamp, now, &bytes);
                    stream.skip(&p, &meaning(&p));
                    shown = lost;
                    seq[s] += 1; picture[s] += 1; now += ms(33);
                }
                _ => {
                    let bytes = payload(true, begin, picture[s], tl0[s], 0);
                    let p = packet(1, spatial, seq[s], timestamp, now, &bytes);
                    if begin { stream.begin(&p, &meaning(&p), Begin::Live { at: now }, 90_000, now); lost = shown; }
                    let placed = stream.place(&p, &meaning(&p), Some(now), now).unwrap();
                    if let Some(last) = last {
                        prop_assert_eq!(placed.seq, last.seq.plus(1 + lost));
                        prop_assert_eq!(placed.picture_id & 0x7fff, (last.picture_id + 1 + lost as u16) & 0x7fff);
                        prop_assert!(placed.timestamp.wrapping_sub(last.timestamp) as i32 > 0);
                    }
                    prop_assert_eq!(stream.locate(placed.seq.wire()).map(|o| o.seq), Some(SeqNo(seq[s])));
                    prop_assert_eq!(stream.placed_before(placed.seq.wire(), &p, &meaning(&p)), Some(placed));
                    last = Some(placed);
                    (lost, shown, begin) = (0, 0, false);
                    seq[s] += 1; picture[s] += 1; tl0[s] = tl0[s].wrapping_add(1); now += ms(33);
                }
            }
        }
    }
}
