//! Tests of [`super`]; the plays in `tests/scenarios` show it whole.

use super::*;
use crate::downlink::{self, SlotCodec, SlotSpec};
use crate::packet::{Codec, Flags, Ssrc};
use lyceum_wire::ext;
use lyceum_wire::signal::SlotKind;

fn info(who: &str, source: Source, layers: usize) -> TrackInfo {
    TrackInfo {
        name: TrackName { participant: ParticipantId::parse(who).unwrap(), source },
        kind: source.kind(),
        codec: if source.kind() == Kind::Audio { "opus" } else { "VP8" }.into(),
        clock_hz: 90_000,
        layers: vec![LayerInfo::default(); layers],
        muted: false,
    }
}

fn member(room: &mut Room, downlinks: &mut Downlinks, who: &str, now: Instant) -> DownlinkId {
    let config =
        downlink::Config { extensions: ext::Map::new(), cname: "edge".into(), epoch: now, epoch_ntp: 0, seed: 1 };
    let id = downlinks.insert(config, now);
    let codec = |codec, clock_hz| SlotCodec { codec, pt: 96, rtx_pt: None, clock_hz };
    let spec = |mid: &str, kind, c, ssrc| SlotSpec {
        mid: mid.into(),
        kind,
        codecs: vec![c],
        ssrc: Ssrc(ssrc),
        rtx_ssrc: None,
    };
    downlinks.set_slots(
        id,
        vec![
            spec("a", SlotKind::Audio, codec(Codec::Opus, 48_000), 1),
            spec("v", SlotKind::Video, codec(Codec::Vp8, 90_000), 2),
        ],
    );
    room.enter(ParticipantId::parse(who).unwrap(), id, downlinks, now);
    id
}

fn events(room: &mut Room) -> Vec<Event> {
    std::iter::from_fn(|| room.poll()).collect()
}

fn packet(track: TrackId, spatial: u8, seq: u64, payload: &[u8], now: Instant) -> Packet<'_> {
    Packet {
        track,
        layer: Layer { spatial, temporal: 0 },
        seq: SeqNo(seq),
        timestamp: 0,
        marker: true,
        flags: Flags { keyframe: payload[1] == 0, start: true, end: true, discardable: false },
        level: None,
        arrived: now,
        age: Duration::from_millis(7),
        payload,
    }
}

/// VP8: descriptor of one byte, then a key frame of 320×180.
const KEY: &[u8] = &[0x10, 0, 0, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0];
const DELTA: &[u8] = &[0x10, 1, 0, 0];

#[test]
fn what_is_wanted_of_a_links_track_is_asked_upstream_and_given_back_later() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let track = room.publish(&info("ana", Source::Camera, 3), Origin::Link, &mut downlinks, now);
    assert_eq!(events(&mut room), [], "nobody watches: no traffic");
    let id = member(&mut room, &mut downlinks, "ben", now);
    let demand = |spatial, temporal| Event::Demand { track, spatial, temporal };
    let told = events(&mut room);
    assert!(told.contains(&demand(1, Some(7))), "640x360 by default: {told:?}");
    assert_eq!(told.iter().filter(|e| matches!(e, Event::Demand { .. })).count(), 1);
    let tile = |width, height| {
        let track = info("ana", Source::Camera, 1).name;
        Tile { track, width, height }
    };
    room.view(id, &[tile(1_280, 720)], &mut downlinks, now);
    assert!(events(&mut room).contains(&demand(2, Some(7))));
    // Back within the hold: nobody upstream notices.
    room.view(id, &[tile(640, 360)], &mut downlinks, now);
    assert!(!events(&mut room).iter().any(|e| matches!(e, Event::Demand { .. })));
    let mut later = now;
    let mut fallen = Vec::new();
    while later < now + Duration::from_secs(5) {
        later += Duration::from_millis(100);
        room.handle_timeout(&mut downlinks, later);
        fallen.extend(events(&mut room).into_iter().filter(|e| matches!(e, Event::Demand { .. })));
    }
    assert!(fallen.contains(&demand(2, None)), "{fallen:?}");
    room.leave(id, &mut downlinks, later);
    room.handle_timeout(&mut downlinks, later + Duration::from_secs(3));
    room.handle_timeout(&mut downlinks, later + Duration::from_secs(6));
    assert!(events(&mut room).contains(&demand(1, None)));
}

#[test]
fn sound_is_demanded_while_anybody_else_listens() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let ana = room.publish(&info("ana", Source::Microphone, 1), Origin::Link, &mut downlinks, now);
    let ben = room.publish(&info("ben", Source::Microphone, 1), Origin::Link, &mut downlinks, now);
    member(&mut room, &mut downlinks, "ben", now);
    let told = events(&mut room);
    let wanted = |track| told.contains(&Event::Demand { track, spatial: 0, temporal: Some(7) });
    assert!(wanted(ana) && !wanted(ben), "not one's own: {told:?}");
}

#[test]
fn a_track_published_again_is_another_track() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let old = room.publish(&info("ana", Source::Camera, 1), Origin::Local, &mut downlinks, now);
    let new = room.publish(&info("ana", Source::Camera, 1), Origin::Local, &mut downlinks, now);
    assert_ne!(old, new);
    room.forward(&packet(old, 0, 1, KEY, now), &mut downlinks, &mut |_, _| {}, now);
    assert_eq!(room.drops().of(Drop::UnknownTrack), 1);
    assert_eq!(room.live().tracks, 1);
    assert_eq!(room.track(&info("ana", Source::Camera, 1).name), Some(new));
}

#[test]
fn packets_that_cannot_be_are_counted() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let track = room.publish(&info("ana", Source::Camera, 2), Origin::Link, &mut downlinks, now);
    let mut forward = |room: &mut Room, p: &Packet<'_>| room.forward(p, &mut downlinks, &mut |_, _| {}, now);
    forward(&mut room, &packet(track, 0, 5, KEY, now));
    forward(&mut room, &packet(track, 0, 5, KEY, now));
    forward(&mut room, &packet(track, 2, 5, KEY, now));
    forward(&mut room, &packet(track, 0, 6, &[0x90, 1], now));
    forward(&mut room, &packet(track, 0, 100_000, DELTA, now));
    forward(&mut room, &packet(track, 0, 7, DELTA, now));
    for reason in [Drop::Duplicate, Drop::UnknownLayer, Drop::Malformed, Drop::TooOld] {
        assert_eq!(room.drops().of(reason), 1, "{reason:?}");
    }
}

#[test]
fn a_repair_for_a_link_knows_how_old_it_is() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let track = room.publish(&info("ana", Source::Camera, 1), Origin::Link, &mut downlinks, now);
    room.forward(&packet(track, 0, 5, KEY, now), &mut downlinks, &mut |_, _| {}, now);
    let later = now + Duration::from_millis(30);
    let found = room.cached(track, 0, SeqNo(5), later).unwrap();
    assert_eq!((found.age, found.payload, found.flags.keyframe), (Duration::from_millis(37), KEY, true));
    assert!(room.cached(track, 0, SeqNo(6), later).is_none());
}

#[test]
fn sizes_learned_from_key_frames_are_announced_for_own_tracks_only() {
    let now = Instant::now();
    for (origin, announced) in [(Origin::Local, 1), (Origin::Link, 0)] {
        let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
        let track = room.publish(&info("ana", Source::Camera, 1), origin, &mut downlinks, now);
        for seq in 5..9 {
            room.forward(&packet(track, 0, seq, KEY, now), &mut downlinks, &mut |_, _| {}, now);
        }
        let told: Vec<_> = events(&mut room).into_iter().filter(|e| matches!(e, Event::Layers { .. })).collect();
        assert_eq!(told.len(), announced);
        let layer = room.info(track).unwrap().layers[0];
        assert_eq!((layer.width, layer.height), (320, 180));
    }
}
