//! Tests of [`super`]; the plays in `tests/scenarios` show it whole.

use super::*;
use crate::downlink::{self, Route, SlotCodec, SlotSpec};
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
        shared: false,
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
        flags: Flags { keyframe: payload[1] == 0, start: true, end: true, discardable: false, ..Flags::default() },
        frame: None,
        descriptor: &[],
        level: None,
        arrived: now,
        age: Duration::from_millis(7),
        payload,
    }
}

/// VP8: descriptor of one byte, then a key frame of 320×180.
const KEY: &[u8] = &[0x10, 0, 0, 0, 0x9d, 1, 0x2a, 64, 1, 180, 0];
const DELTA: &[u8] = &[0x10, 1, 0, 0];

/// Sends while the turn goes on, and knows that a millisecond passes between two portions.
struct Portions {
    now: Instant,
    sent: Vec<(DownlinkId, Vec<u8>)>,
    before: Vec<usize>,
}

impl downlink::Outlet for Portions {
    fn send(&mut self, transmit: downlink::Transmit<'_>) {
        let datagrams = transmit.bytes.chunks(transmit.segment_size);
        self.sent.extend(datagrams.map(|datagram| (transmit.downlink, datagram.to_vec())));
    }

    fn now(&mut self) -> Instant {
        self.before.push(self.sent.len());
        self.now += Duration::from_millis(1);
        self.now
    }
}

#[test]
fn a_crowds_picture_leaves_in_portions_each_packet_once_and_with_the_time_it_left() {
    let now = Instant::now();
    let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
    let keys = crate::srtp::Keys { profile: crate::srtp::Profile::AeadAes128Gcm, key: vec![1; 16], salt: vec![1; 12] };
    let mut extensions = ext::Map::new();
    extensions.set(2, ext::Kind::AbsSendTime);
    let mut viewers = Vec::new();
    for n in 0..60 {
        let config =
            downlink::Config { extensions: extensions.clone(), cname: "e".into(), epoch: now, epoch_ntp: 0, seed: n };
        let id = downlinks.insert(config, now);
        let vp8 = SlotCodec { codec: Codec::Vp8, pt: 96, rtx_pt: None, clock_hz: 90_000 };
        let slot =
            SlotSpec { mid: "v".into(), kind: SlotKind::Video, codecs: vec![vp8], ssrc: Ssrc(2), rtx_ssrc: None };
        downlinks.set_slots(id, vec![slot]);
        room.enter(ParticipantId::parse(&format!("viewer-{n}")).unwrap(), id, &mut downlinks, now);
        downlinks.set_keys(id, &keys).unwrap();
        let remote = format!("192.0.2.1:{}", 1_000 + n).parse().unwrap();
        downlinks.set_route(id, Route { local: "198.51.100.1:4000".parse().unwrap(), remote });
        viewers.push(id);
    }
    let track = room.publish(&info("ana", Source::Camera, 1), Origin::Local, &mut downlinks, now);
    let mut payload = [KEY, &[0; 1_000]].concat();
    for seq in 0..4 {
        let flags = Flags { keyframe: true, start: seq == 0, end: seq == 3, ..Flags::default() };
        room.forward(&Packet { flags, ..packet(track, 0, seq, &payload, now) }, &mut downlinks, &mut |_, _| {}, now);
        payload[0] = 0;
    }
    let mut portions = Portions { now, sent: Vec::new(), before: Vec::new() };
    room.deliver_to(&mut portions, &mut downlinks, now);
    assert!(portions.before.len() > 1 && portions.before[1] > 0, "240 kB in one portion: {:?}", portions.before);
    downlinks.flush(|transmit| downlink::Outlet::send(&mut portions, transmit));
    // Fixed part, one CSRC, the block's head, one byte before the element.
    let time = |datagram: &[u8]| u32::from_be_bytes([0, datagram[21], datagram[22], datagram[23]]);
    let mut times = BTreeSet::new();
    for viewer in viewers {
        let mine: Vec<_> = portions.sent.iter().filter(|(whose, _)| *whose == viewer).collect();
        assert_eq!(mine.len(), 4);
        let numbers: Vec<_> = mine.iter().map(|(_, d)| u16::from_be_bytes([d[2], d[3]])).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
        times.extend(mine.iter().map(|(_, datagram)| time(datagram)));
    }
    // What came first began everybody's stream at once, before the end of the turn.
    assert_eq!(times.len(), 1 + portions.before.len(), "one sending time for each portion");
}

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
        Tile { track, width, height, pinned: false }
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
    let wanted = |track| told.contains(&Event::Demand { track, spatial: 0, temporal: Some(0) });
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

#[derive(Debug, Clone, Copy)]
enum Act {
    Enter { who: usize },
    Leave { who: usize },
    Publish { who: usize, source: usize },
    Unpublish { who: usize, source: usize },
    Mute { who: usize, source: usize, muted: bool },
    View { who: usize, whose: [usize; 3], size: u16 },
    Renegotiate { who: usize, slots: usize },
    Packet { who: usize, source: usize, spatial: u8, key: bool, skip: u64 },
    Tap { who: usize, source: usize, spatial: u8 },
    Pass { ms: u64 },
}

const PEOPLE: [&str; 4] = ["ana", "ben", "cleo", "dan"];
const SOURCES: [Source; 3] = [Source::Microphone, Source::Camera, Source::Screen];

fn acts() -> impl proptest::strategy::Strategy<Value = Vec<Act>> {
    use proptest::prelude::*;
    let (who, source) = (|| 0..PEOPLE.len(), || 0..SOURCES.len());
    let act = prop_oneof![
        2 => who().prop_map(|who| Act::Enter { who }),
        1 => who().prop_map(|who| Act::Leave { who }),
        3 => (who(), source()).prop_map(|(who, source)| Act::Publish { who, source }),
        1 => (who(), source()).prop_map(|(who, source)| Act::Unpublish { who, source }),
        1 => (who(), source(), any::<bool>()).prop_map(|(who, source, muted)| Act::Mute { who, source, muted }),
        2 => (who(), prop::array::uniform3(who()), 0u16..1_000).prop_map(|(who, whose, size)| Act::View { who, whose, size }),
        1 => (who(), 0usize..4).prop_map(|(who, slots)| Act::Renegotiate { who, slots }),
        8 => (who(), source(), 0u8..3, any::<bool>(), prop_oneof![9 => 0u64..3, 1 => 0u64..90_000])
            .prop_map(|(who, source, spatial, key, skip)| Act::Packet { who, source, spatial, key, skip }),
        1 => (who(), source(), 0u8..3).prop_map(|(who, source, spatial)| Act::Tap { who, source, spatial }),
        3 => (1u64..900).prop_map(|ms| Act::Pass { ms }),
    ];
    prop::collection::vec(act, 1..120)
}

fn slots(count: usize) -> Vec<SlotSpec> {
    let kinds = [SlotKind::Audio, SlotKind::Video, SlotKind::Screen, SlotKind::Video];
    let spec = |(n, kind): (usize, &SlotKind)| {
        let (codec, clock_hz) = if *kind == SlotKind::Audio { (Codec::Opus, 48_000) } else { (Codec::Vp8, 90_000) };
        let codecs = vec![SlotCodec { codec, pt: 96, rtx_pt: Some(97), clock_hz }];
        SlotSpec { mid: n.to_string(), kind: *kind, codecs, ssrc: Ssrc(n as u32), rtx_ssrc: Some(Ssrc(n as u32 + 100)) }
    };
    kinds.iter().enumerate().take(count + 1).map(spec).collect()
}

proptest::proptest! {
    /// Whatever happens in whatever order: nobody gets oneself, no track is in two slots of one person, sinks and slots agree,
    /// clients know what their slots carry, no number is sealed twice, and nothing is left at the end.
    #[test]
    fn a_room_keeps_its_promises(acts in acts()) {
        let mut now = Instant::now();
        let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
        let mut present: BTreeMap<usize, DownlinkId> = BTreeMap::new();
        let mut known: BTreeMap<(DownlinkId, String), Option<TrackName>> = BTreeMap::new();
        let mut seqs: BTreeMap<(u32, u8), u64> = BTreeMap::new();
        let mut sealed = BTreeSet::new();
        let keys = crate::srtp::Keys { profile: crate::srtp::Profile::AeadAes128Gcm, key: vec![1; 16], salt: vec![1; 12] };
        for act in acts {
            let find = |room: &Room, who: usize, source: usize| room.track(&info(PEOPLE[who], SOURCES[source], 1).name);
            match act {
                Act::Enter { who } if !present.contains_key(&who) => {
                    let config = downlink::Config { extensions: ext::Map::new(), cname: "e".into(), epoch: now, epoch_ntp: 0, seed: 5 };
                    let id = downlinks.insert(config, now);
                    downlinks.set_slots(id, slots(3));
                    room.enter(ParticipantId::parse(PEOPLE[who]).unwrap(), id, &mut downlinks, now);
                    downlinks.set_keys(id, &keys).unwrap();
                    let route = Route { local: "198.51.100.1:4000".parse().unwrap(), remote: "192.0.2.1:1".parse().unwrap() };
                    downlinks.set_route(id, route);
                    present.insert(who, id);
                }
                Act::Leave { who } => {
                    if let Some(id) = present.remove(&who) {
                        room.leave(id, &mut downlinks, now);
                        downlinks.remove(id);
                    }
                }
                Act::Publish { who, source } => {
                    let layers = if source == 1 { 3 } else { 1 };
                    let origin = if who % 2 == 0 { Origin::Local } else { Origin::Link };
                    room.publish(&info(PEOPLE[who], SOURCES[source], layers), origin, &mut downlinks, now);
                }
                Act::Unpublish { who, source } => {
                    if let Some(track) = find(&room, who, source) {
                        room.unpublish(track, &mut downlinks, now);
                    }
                }
                Act::Mute { who, source, muted } => {
                    if let Some(track) = find(&room, who, source) {
                        let mut info = room.info(track).unwrap().clone();
                        info.muted = muted;
                        room.update(track, &info, &mut downlinks, now);
                    }
                }
                Act::View { who, whose, size } => {
                    let tiles: Vec<_> = whose.iter().zip([1, 1, 2]).map(|(whose, source)| Tile {
                        track: info(PEOPLE[*whose], SOURCES[source], 1).name, width: size, height: size, pinned: false,
                    }).collect();
                    if let Some(id) = present.get(&who) {
                        room.view(*id, &tiles, &mut downlinks, now);
                    }
                }
                Act::Renegotiate { who, slots: count } => {
                    if let Some(id) = present.get(&who) {
                        downlinks.set_slots(*id, slots(count));
                        known.retain(|(downlink, _), _| downlink != id);
                        room.slots_changed(*id, &mut downlinks, now);
                    }
                }
                Act::Packet { who, source, spatial, key, skip } => {
                    if let Some(track) = find(&room, who, source) {
                        let seq = seqs.entry((track.0, spatial)).or_insert(70_000);
                        *seq += 1 + skip;
                        let p = packet(track, spatial, *seq, if key { KEY } else { DELTA }, now);
                        room.forward(&p, &mut downlinks, &mut |_, _| {}, now);
                        room.forward(&p, &mut downlinks, &mut |_, _| panic!("a repeat"), now);
                    }
                }
                Act::Tap { who, source, spatial } => match find(&room, who, source) {
                    Some(track) => room.tap(TapId(spatial.into()), track, Layer { spatial, temporal: 0 }, &mut |_, _| {}, now),
                    None => room.untap(TapId(spatial.into()), now),
                },
                Act::Pass { ms } => {
                    now += Duration::from_millis(ms);
                    room.handle_timeout(&mut downlinks, now);
                    room.deliver(&mut downlinks, now);
                    downlinks.handle_timeout(now);
                }
                Act::Enter { .. } => {}
            }
            for event in events(&mut room) {
                if let Event::Slots { downlink, assigned } = event {
                    assigned.into_iter().for_each(|a| { known.insert((downlink, a.mid), a.track); });
                }
            }
            downlinks.flush(|transmit| for datagram in transmit.bytes.chunks(transmit.segment_size) {
                if !(192..=223).contains(&datagram[1]) {
                    let name = (transmit.downlink, datagram[8..12].to_vec(), datagram[2..4].to_vec());
                    assert!(sealed.insert(name), "a number twice");
                }
            });
            let mut sinks = 0;
            for (who, id) in &present {
                let mut carried = Vec::new();
                for slot in &downlinks.find(*id).unwrap().slots {
                    let name = slot.track.map(|track| room.info(track).expect("slots carry live tracks").name.clone());
                    let told = known.get(&(*id, slot.spec.mid.clone())).cloned().flatten();
                    proptest::prop_assert_eq!(&name, &told, "what the client knows");
                    if let Some(name) = name {
                        proptest::prop_assert_ne!(name.participant.as_str(), PEOPLE[*who]);
                        proptest::prop_assert!(!carried.contains(&name));
                        carried.push(name);
                        sinks += 1;
                    }
                }
            }
            proptest::prop_assert_eq!(room.live().slots, sinks);
        }
        for name in PEOPLE.iter().flat_map(|who| SOURCES.map(|source| info(who, source, 1).name)) {
            if let Some(track) = room.track(&name) {
                room.unpublish(track, &mut downlinks, now);
            }
        }
        for id in present.into_values() {
            room.leave(id, &mut downlinks, now);
            downlinks.remove(id);
        }
        proptest::prop_assert_eq!(room.live(), Live::default());
        proptest::prop_assert!(downlinks.is_empty());
    }
}
