//! Spatial layers that share one sequence, from a publisher's packets to what a decoder of each viewer gets: every picture it is
//! sent can be decoded, nothing is missing that was not lost, and the last packet of each picture says so.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a play picks a moment to begin at")]

use lyceum_media::downlink::{self, Route, SlotCodec, SlotSpec};
use lyceum_media::room::{Event, Origin};
use lyceum_media::srtp::{Inbound, Keys, Profile};
use lyceum_media::{Codec, DownlinkId, Downlinks, Packet, Room, SeqNo, Ssrc, TapId, TrackId, frame};
use lyceum_wire::dd::{Chains, Diffs, Fields, Indication, Indications, Structure, Target, Template, Templates};
use lyceum_wire::ext::{self, Kind as Ext};
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo};
use lyceum_wire::signal::{SlotKind, Tile};
use lyceum_wire::vp8::Size;
use lyceum_wire::{rtcp, rtp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How the spatial layers of a stream hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each refers to the one below.
    Full,
    /// They do so at key frames only (k-SVC).
    Key,
    /// They never do.
    Apart,
}

const TEMPORAL: u8 = 3;
/// Temporal layer of each picture, again and again.
const PATTERN: [u8; 4] = [0, 2, 1, 2];
const FRAME: Duration = Duration::from_millis(33);
const TICKS: u32 = 3_000;

/// An encoder of AV1 with all it says in descriptors.
struct Encoder {
    mode: Mode,
    layers: u8,
    structure: Structure,
    number: u16,
    picture: u64,
    since_key: usize,
    /// The newest frame of each layer.
    newest: BTreeMap<(u8, u8), u16>,
    seq: u64,
    timestamp: u32,
    key_wanted: bool,
    keys: usize,
}

/// One packet as it was made.
struct Made {
    seq: u64,
    timestamp: u32,
    marker: bool,
    descriptor: Vec<u8>,
    payload: Vec<u8>,
}

impl Encoder {
    fn new(mode: Mode, layers: u8, id_offset: u8) -> Self {
        let mut encoder = Self {
            mode,
            layers,
            structure: Structure::default(),
            number: 65_500,
            picture: 0,
            since_key: 0,
            newest: BTreeMap::new(),
            seq: 90_000,
            timestamp: 4_294_900_000,
            key_wanted: true,
            keys: 0,
        };
        let each = (0..layers).flat_map(|spatial| (0..TEMPORAL).map(move |temporal| Layer { spatial, temporal }));
        encoder.structure = Structure {
            id_offset,
            templates: each
                .clone()
                .map(|layer| Template {
                    layer,
                    indications: encoder.indications(layer, false),
                    diffs: Diffs::default(),
                    chains: Chains::default(),
                })
                .collect(),
            targets: each.map(|layer| Target { layer, chain: None }).collect(),
            chains: 0,
            sizes: (0..u16::from(layers)).map(|n| Size { width: 320 << n, height: 180 << n }).collect(),
        };
        encoder
    }

    fn indications(&self, layer: Layer, key: bool) -> Indications {
        let mut all = Vec::new();
        for spatial in 0..self.layers {
            for temporal in 0..TEMPORAL {
                all.push(if layer.spatial > spatial || layer.temporal > temporal {
                    Indication::NotPresent
                } else if layer.spatial == spatial {
                    if layer.temporal == temporal && temporal > 0 {
                        Indication::Discardable
                    } else {
                        Indication::Switch
                    }
                } else {
                    match self.mode {
                        Mode::Full | Mode::Key if key => Indication::Switch,
                        Mode::Full => Indication::Required,
                        _ => Indication::NotPresent,
                    }
                });
            }
        }
        Indications::new(&all)
    }

    /// All frames of the next picture, two packets each.
    fn picture(&mut self) -> Vec<Made> {
        let key = std::mem::take(&mut self.key_wanted);
        if key {
            self.since_key = 0;
            self.newest.clear();
            self.keys += 1;
        }
        let temporal = PATTERN[self.since_key % PATTERN.len()];
        self.since_key += 1;
        self.picture += 1;
        self.timestamp = self.timestamp.wrapping_add(TICKS);
        let mut made = Vec::new();
        for spatial in 0..self.layers {
            let layer = Layer { spatial, temporal };
            self.number = self.number.wrapping_add(1);
            let mut references = BTreeSet::new();
            // The newest frame of a temporal layer below, or of the same for the base.
            let below = (0..TEMPORAL).filter(|t| *t < temporal || (temporal == 0 && *t == 0));
            let newest = below.filter_map(|t| self.newest.get(&(spatial, t)));
            references.extend(newest.max_by_key(|n| n.wrapping_sub(32_768)).copied());
            if spatial > 0 && (self.mode == Mode::Full || (self.mode == Mode::Key && key)) {
                references.insert(self.number.wrapping_sub(1));
            }
            let diffs: Vec<u16> = references.iter().map(|n| self.number.wrapping_sub(*n)).collect();
            self.newest.insert((spatial, temporal), self.number);
            let apart_key = key && self.mode == Mode::Apart;
            for part in 0..2u8 {
                let fields = Fields {
                    start: part == 0,
                    end: part == 1,
                    template: self.structure.id_offset.wrapping_add(spatial * TEMPORAL + temporal) & 63,
                    number: self.number,
                    structure: &self.structure,
                    attach: key && part == 0 && (spatial == 0 || apart_key),
                    active: None,
                    indications: key.then(|| self.indications(layer, true)),
                    diffs: Some(Diffs::new(&diffs)),
                    chains: None,
                };
                let mut descriptor = vec![0; 255];
                let len = fields.write(&mut descriptor).unwrap();
                descriptor.truncate(len);
                self.seq += 1;
                made.push(Made {
                    seq: self.seq,
                    timestamp: self.timestamp,
                    marker: part == 1 && spatial + 1 == self.layers,
                    descriptor,
                    payload: vec![spatial << 4 | temporal; 40 << spatial],
                });
            }
        }
        made
    }
}

/// What a viewer's decoder has.
struct Viewer {
    downlink: DownlinkId,
    inbound: Inbound,
    templates: Templates,
    /// Frames that came whole, with everything they refer to.
    decoded: BTreeSet<u16>,
    last_seq: Option<u16>,
    last_frame: Option<u16>,
    /// Highest spatial and temporal layer of each picture, in order of time.
    pictures: Vec<(u32, Layer, bool)>,
    undecodable: usize,
    /// Packets of a picture that came after its marker.
    after_marker: usize,
    masks: Vec<u32>,
    got: Vec<u64>,
}

struct World {
    now: Instant,
    room: Room,
    downlinks: Downlinks,
    track: TrackId,
    encoder: Encoder,
    uplink: Templates,
    viewers: BTreeMap<&'static str, Viewer>,
    demand: BTreeMap<u8, Option<u8>>,
    tapped: Vec<(u64, Layer)>,
    /// Packets left out of the next pictures' ones by their place, as if lost for good.
    lose: BTreeSet<usize>,
    codec: Codec,
}

fn extensions() -> ext::Map {
    let mut map = ext::Map::new();
    for (id, kind) in [(4, Ext::Mid), (12, Ext::DependencyDescriptor)] {
        map.set(id, kind);
    }
    map
}

fn name(who: &str) -> TrackName {
    TrackName { participant: ParticipantId::parse(who).unwrap(), source: Source::Camera }
}

impl World {
    fn new(codec: &str, mode: Mode, layers: u8) -> Self {
        let now = Instant::now();
        let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
        let info = TrackInfo {
            name: name("ana"),
            kind: Source::Camera.kind(),
            codec: codec.into(),
            clock_hz: 90_000,
            layers: vec![LayerInfo::default()],
            shared: false,
            muted: false,
        };
        let track = room.publish(&info, Origin::Local, &mut downlinks, now);
        Self {
            now,
            room,
            downlinks,
            track,
            encoder: Encoder::new(mode, layers, 5),
            uplink: Templates::default(),
            viewers: BTreeMap::new(),
            demand: BTreeMap::new(),
            tapped: Vec::new(),
            lose: BTreeSet::new(),
            codec: Codec::of(codec),
        }
    }

    fn join(&mut self, who: &'static str, codecs: &[Codec]) {
        let number = self.viewers.len() as u32 + 1;
        let keys = Keys { profile: Profile::AeadAes128Gcm, key: vec![number as u8; 16], salt: vec![7; 12] };
        let config = downlink::Config {
            extensions: extensions(),
            cname: "edge".into(),
            epoch: self.now,
            epoch_ntp: 0,
            seed: u64::from(number) << 40 | 0xfff0 << 24,
        };
        let downlink = self.downlinks.insert(config, self.now);
        let codec = |codec: &Codec| SlotCodec { codec: *codec, pt: 45, rtx_pt: Some(46), clock_hz: 90_000 };
        let slot = SlotSpec {
            mid: "v".into(),
            kind: SlotKind::Video,
            codecs: codecs.iter().map(codec).collect(),
            ssrc: Ssrc(number * 10),
            rtx_ssrc: Some(Ssrc(number * 10 + 1)),
        };
        self.downlinks.set_slots(downlink, vec![slot]);
        self.room.enter(ParticipantId::parse(who).unwrap(), downlink, &mut self.downlinks, self.now);
        self.downlinks.set_keys(downlink, &keys).unwrap();
        let route = Route { local: "198.51.100.1:4000".parse().unwrap(), remote: "192.0.2.1:9".parse().unwrap() };
        self.downlinks.set_route(downlink, route);
        let viewer = Viewer {
            downlink,
            inbound: Inbound::new(&keys).unwrap(),
            templates: Templates::default(),
            decoded: BTreeSet::new(),
            last_seq: None,
            last_frame: None,
            pictures: Vec::new(),
            undecodable: 0,
            after_marker: 0,
            masks: Vec::new(),
            got: Vec::new(),
        };
        self.viewers.insert(who, viewer);
    }

    fn view(&mut self, who: &str, width: u16, height: u16) {
        let downlink = self.viewers[who].downlink;
        let tile = Tile { track: name("ana"), width, height, pinned: false };
        self.room.view(downlink, &[tile], &mut self.downlinks, self.now);
        self.settle();
    }

    fn run(&mut self, pictures: usize) {
        for _ in 0..pictures {
            self.now += FRAME;
            let mut made = self.encoder.picture();
            let mut at = 0;
            made.retain(|_| {
                at += 1;
                !self.lose.contains(&(at - 1))
            });
            for packet in made {
                self.forward(&packet);
            }
            self.room.deliver(&mut self.downlinks, self.now);
            self.room.handle_timeout(&mut self.downlinks, self.now);
            self.settle();
        }
    }

    fn forward(&mut self, made: &Made) {
        let reading = frame::read(&mut self.uplink, &made.descriptor, false).unwrap();
        let mut flags = reading.flags;
        flags.keyframe = self.encoder.since_key == 1;
        let packet = Packet {
            track: self.track,
            layer: reading.layer,
            seq: SeqNo(made.seq),
            timestamp: made.timestamp,
            marker: made.marker,
            flags,
            frame: reading.frame,
            descriptor: &made.descriptor,
            level: None,
            arrived: self.now,
            age: Duration::ZERO,
            payload: &made.payload,
        };
        let tapped = &mut self.tapped;
        let mut take = |_: TapId, packet: &Packet<'_>| tapped.push((packet.seq.0, packet.layer));
        self.room.forward(&packet, &mut self.downlinks, &mut take, self.now);
    }

    fn settle(&mut self) {
        self.room.deliver(&mut self.downlinks, self.now);
        while let Some(event) = self.room.poll() {
            match event {
                Event::KeyFrame { spatial, .. } => {
                    assert_eq!(spatial, 0, "there is one encoder to ask");
                    self.encoder.key_wanted = true;
                }
                Event::Demand { spatial, temporal, .. } => {
                    self.demand.insert(spatial, temporal);
                }
                _ => {}
            }
        }
        let mut out = Vec::new();
        self.downlinks.flush(|transmit| {
            for datagram in transmit.bytes.chunks(transmit.segment_size) {
                out.push((transmit.downlink, datagram.to_vec()));
            }
        });
        for (downlink, mut datagram) in out {
            let viewer = self.viewers.values_mut().find(|viewer| viewer.downlink == downlink).unwrap();
            if !(192..=223).contains(&datagram[1]) {
                viewer.take(&mut datagram);
            }
        }
    }

    /// What the viewer showed lately: the layer of the base pictures, and the highest temporal layer.
    fn shows(&self, who: &str) -> Option<Layer> {
        let lately = self.viewers[who].pictures.iter().rev().take(8);
        lately
            .map(|(_, layer, _)| *layer)
            .reduce(|a, b| Layer { spatial: a.spatial.max(b.spatial), temporal: a.temporal.max(b.temporal) })
    }

    #[track_caller]
    fn check(&self, who: &str) {
        let viewer = &self.viewers[who];
        assert_eq!(viewer.undecodable, 0, "{who}: every frame can be decoded");
        // Where layers are independent, a higher one may begin in the middle of a picture.
        let late = if self.encoder.mode == Mode::Apart { 8 } else { 0 };
        assert!(viewer.after_marker <= late, "{who}: nothing of a picture comes after its marker");
        let unmarked = viewer.pictures.iter().filter(|(_, _, marked)| !marked).count();
        assert!(unmarked <= 1, "{who}: each picture but the one under way ends with a marker");
    }
}

impl Viewer {
    fn take(&mut self, datagram: &mut [u8]) {
        let opened = self.inbound.unprotect(datagram).expect("no number twice");
        let packet = &datagram[..opened.len];
        let header = opened.header;
        let mut sequence = header.sequence;
        let repair = header.payload_type == 46;
        let payload = header.payload(packet).unwrap();
        if repair {
            sequence = rtp::retransmitted(payload).unwrap().0;
        }
        let known = extensions().read(header.extensions(packet));
        let said = self.templates.read(known.dependency_descriptor.expect("a descriptor")).unwrap();
        self.got.push(u64::from(sequence));
        if repair {
            return;
        }
        if let Some(last) = self.last_seq {
            assert_eq!(sequence, last.wrapping_add(1), "an unbroken sequence");
        }
        self.last_seq = Some(sequence);
        if said.start {
            if let Some(last) = self.last_frame {
                assert!((1..64).contains(&said.number.wrapping_sub(last)), "frames go on: {last} then {}", said.number);
            }
            self.last_frame = Some(said.number);
            let known =
                said.diffs.as_slice().iter().all(|diff| self.decoded.contains(&said.number.wrapping_sub(*diff)));
            if known {
                self.decoded.insert(said.number);
            } else {
                self.undecodable += 1;
            }
            if self.masks.last() != Some(&said.active) {
                self.masks.push(said.active);
            }
        }
        match self.pictures.last_mut() {
            Some((timestamp, layer, marked)) if *timestamp == header.timestamp => {
                self.after_marker += usize::from(*marked);
                layer.spatial = layer.spatial.max(said.layer.spatial);
                *marked = header.marker;
            }
            _ => self.pictures.push((header.timestamp, said.layer, header.marker)),
        }
    }
}

const SMALL: (u16, u16) = (320, 180);
const MIDDLE: (u16, u16) = (640, 360);
const LARGE: (u16, u16) = (1_280, 720);

#[test]
fn each_viewer_gets_the_layer_that_fits_its_tile() {
    for mode in [Mode::Full, Mode::Key, Mode::Apart] {
        for codec in ["AV1", "VP8"] {
            // VP8 cannot do this in life; that it passes shows that nobody looks at a payload that has a descriptor.
            if codec == "VP8" && mode != Mode::Full {
                continue;
            }
            let mut world = World::new(codec, mode, 3);
            if codec == "VP8" {
                world.encoder = Encoder::new(mode, 1, 3);
            }
            let codec = world.codec;
            for (who, (width, height)) in [("small", SMALL), ("middle", MIDDLE), ("large", LARGE)] {
                world.join(who, &[codec]);
                world.view(who, width, height);
            }
            world.run(60);
            let top = |spatial: u8| Some(Layer { spatial: spatial.min(world.encoder.layers - 1), temporal: 2 });
            for (who, spatial) in [("small", 0), ("middle", 1), ("large", 2)] {
                world.check(who);
                assert_eq!(world.shows(who), top(spatial), "{mode:?} {codec:?} {who}");
            }
            assert_eq!(world.room.info(world.track).unwrap().shared, world.encoder.layers > 1);
        }
    }
}

#[test]
fn a_tile_that_grows_and_shrinks_changes_the_layer_where_that_can_be_decoded() {
    for mode in [Mode::Full, Mode::Key, Mode::Apart] {
        let mut world = World::new("AV1", mode, 3);
        world.join("ben", &[Codec::Av1]);
        world.view("ben", SMALL.0, SMALL.1);
        world.run(45);
        assert_eq!(world.shows("ben").unwrap().spatial, 0, "{mode:?}");
        for (size, spatial) in [(LARGE, 2), (MIDDLE, 1), (SMALL, 0), (MIDDLE, 1)] {
            let keys = world.encoder.keys;
            world.view("ben", size.0, size.1);
            world.run(60);
            world.check("ben");
            assert_eq!(world.shows("ben"), Some(Layer { spatial, temporal: 2 }), "{mode:?} {size:?}");
            let up = size == LARGE || (size == MIDDLE && world.viewers["ben"].pictures.len() > 200);
            let asked = world.encoder.keys - keys;
            match mode {
                Mode::Full if !up => assert_eq!(asked, 0, "down goes without a key frame"),
                _ => assert!((1..=2).contains(&asked), "{mode:?} {size:?}: {asked} key frames"),
            }
        }
        // The mask followed: all of what is sent, nothing of what is not.
        let masks = &world.viewers["ben"].masks;
        for spatial in 0..3 {
            let mask = (1u32 << (3 * (spatial + 1))) - 1;
            assert!(masks.contains(&mask), "{mode:?}: {masks:?} has {mask:b}");
        }
    }
}

#[test]
fn what_nobody_watches_is_not_demanded() {
    let mut world = World::new("AV1", Mode::Key, 3);
    world.join("ben", &[Codec::Av1]);
    world.view("ben", MIDDLE.0, MIDDLE.1);
    world.run(150);
    let demand = |world: &World, spatial: u8| world.demand.get(&spatial).copied().unwrap_or(Some(7));
    assert_eq!([0, 1, 2].map(|n| demand(&world, n).is_some()), [true, true, false]);
    world.view("ben", LARGE.0, LARGE.1);
    assert!(demand(&world, 2).is_some(), "at once");
    world.view("ben", 0, 0);
    world.run(150);
    assert_eq!([0, 1, 2].map(|n| demand(&world, n)), [None; 3]);
}

#[test]
fn a_layer_that_was_left_is_not_demanded_any_more() {
    for mode in [Mode::Full, Mode::Key, Mode::Apart] {
        for (to, left) in [(MIDDLE, [true, true, false]), (SMALL, [true, false, false])] {
            let mut world = World::new("AV1", mode, 3);
            world.join("ben", &[Codec::Av1]);
            world.view("ben", LARGE.0, LARGE.1);
            world.run(60);
            world.view("ben", to.0, to.1);
            world.run(150);
            let demand = [0, 1, 2].map(|n| world.demand.get(&n).copied().unwrap_or(Some(7)).is_some());
            assert_eq!(demand, left, "{mode:?} {to:?}");
        }
    }
}

#[test]
fn a_viewer_without_the_codec_gets_nothing_of_it() {
    let mut world = World::new("AV1", Mode::Full, 2);
    world.join("old", &[Codec::Vp8, Codec::H264]);
    world.join("new", &[Codec::Vp8, Codec::Av1]);
    world.run(30);
    assert_eq!(world.viewers["old"].pictures.len(), 0);
    assert!(world.viewers["new"].pictures.len() > 20);
    world.check("new");
}

#[test]
fn a_link_gets_all_layers_up_to_what_it_asked_for() {
    let mut world = World::new("AV1", Mode::Key, 3);
    world.run(10);
    let layer = Layer { spatial: 1, temporal: 1 };
    let tapped = &mut world.tapped;
    world.room.tap(TapId(1), world.track, layer, &mut |_, packet| tapped.push((packet.seq.0, packet.layer)), world.now);
    let replayed = world.tapped.len();
    assert!(replayed > 10, "what the cache had came at once");
    world.run(40);
    assert!(world.tapped.len() > replayed);
    assert!(world.tapped.iter().all(|(_, got)| got.spatial <= 1 && got.temporal <= 1));
    assert_eq!(world.tapped.iter().map(|(_, got)| got.spatial).max(), Some(1));
    let tapped = &mut world.tapped;
    let higher = Layer { spatial: 2, temporal: 7 };
    world.room.tap(
        TapId(1),
        world.track,
        higher,
        &mut |_, packet| tapped.push((packet.seq.0, packet.layer)),
        world.now,
    );
    world.run(8);
    assert!(world.tapped.iter().any(|(_, got)| *got == Layer { spatial: 2, temporal: 2 }));
}

#[test]
fn the_rates_of_layers_are_what_their_viewers_are_sent() {
    for mode in [Mode::Full, Mode::Key] {
        let mut world = World::new("AV1", mode, 3);
        world.join("ben", &[Codec::Av1]);
        world.run(160);
        let layers = &world.room.info(world.track).unwrap().layers;
        assert_eq!(layers.iter().map(|l| (l.width, l.height)).collect::<Vec<_>>(), [SMALL, MIDDLE, LARGE]);
        // 80, 160 and 320 bytes a frame, 30 pictures a second; a quarter of them in the base, half up to the second.
        let own = [80.0, 160.0, 320.0].map(|bytes: f64| bytes * 8.0 / FRAME.as_secs_f64());
        for (n, layer) in layers.iter().enumerate() {
            let all: f64 = if mode == Mode::Full { own[..=n].iter().sum() } else { own[n] };
            for (rate, share) in layer.temporal_bps.iter().zip([0.25, 0.5, 1.0, 1.0]) {
                let ratio = f64::from(*rate) / (all * share);
                assert!((0.8..1.35).contains(&ratio), "{mode:?} layer {n}: {layer:?}, {ratio}");
            }
            assert_eq!(layer.bitrate_bps, layer.temporal_bps[3]);
        }
    }
}

#[test]
fn a_repair_has_the_names_it_had() {
    let mut world = World::new("AV1", Mode::Full, 3);
    world.join("ben", &[Codec::Av1]);
    world.view("ben", MIDDLE.0, MIDDLE.1);
    world.run(40);
    let viewer = &world.viewers["ben"];
    let (downlink, lost) = (viewer.downlink, viewer.got[viewer.got.len() - 9] as u16);
    let before = viewer.got.len();
    let mut buffer = [0; 64];
    let mut writer = rtcp::Writer::new(&mut buffer);
    writer.nack(1, 10, &[lost]).unwrap();
    let compound = writer.written().to_vec();
    world.room.receive_rtcp(downlink, &compound, &mut world.downlinks, world.now);
    world.settle();
    let viewer = &world.viewers["ben"];
    assert_eq!(viewer.got[before..], [u64::from(lost)]);
}

#[test]
fn a_structure_that_comes_late_is_waited_for() {
    let mut world = World::new("AV1", Mode::Full, 2);
    world.join("ben", &[Codec::Av1]);
    // The very first packet, with the structure, comes after five pictures.
    let mut late = world.encoder.picture();
    let first = late.remove(0);
    for packet in &late {
        world.forward(packet);
    }
    for _ in 0..5 {
        world.now += FRAME;
        world.encoder.key_wanted = false;
        for packet in world.encoder.picture() {
            world.forward(&packet);
        }
        world.settle();
    }
    assert_eq!(world.viewers["ben"].pictures.len(), 0);
    world.encoder.key_wanted = false;
    world.forward(&first);
    world.settle();
    assert_eq!(world.viewers["ben"].pictures.len(), 6, "the cache is read again, with its structure");
    world.check("ben");
}
