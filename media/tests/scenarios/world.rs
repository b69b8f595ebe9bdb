//! One room on one shard with honest people around it, in virtual time: real SRTP both ways, cameras that answer key-frame
//! requests, players that check every number and ask for what they miss.

use lyceum_media::downlink::{self, Route, SlotCodec, SlotSpec};
use lyceum_media::feedback::nack;
use lyceum_media::feedback::twcc::Recorder;
use lyceum_media::room::{Event, Origin};
use lyceum_media::seq::{Extend, SeqNo};
use lyceum_media::srtp::{Inbound, Keys, Outbound, Profile};
use lyceum_media::uplink::{self, Encoding, KeyFrameAsk, PayloadType, Publication, Received};
use lyceum_media::{Codec, DownlinkId, Downlinks, Packet, Room, Ssrc, TapId, TrackId, Uplink};
use lyceum_wire::ext::{AudioLevel, Form, Kind as Ext, Map};
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::link::{LayerInfo, TrackInfo};
use lyceum_wire::signal::{SlotKind, Tile};
use lyceum_wire::{rtcp, rtp, vp8};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

pub(crate) const STEP: Duration = Duration::from_millis(5);
/// What a narrow way's queue holds at most.
const NARROW_QUEUE: Duration = Duration::from_millis(500);
/// How long a narrow way is without its queue.
const NARROW_DELAY: Duration = Duration::from_millis(20);
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;
const OPUS: u8 = 111;

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) room: Room,
    pub(crate) downlinks: Downlinks,
    pub(crate) people: BTreeMap<String, Person>,
    pub(crate) speakers: Vec<(Duration, Vec<String>)>,
    pub(crate) tapped: BTreeMap<TapId, Vec<(u64, Vec<u8>)>>,
    random: u64,
}

pub(crate) struct Person {
    pub(crate) uplink: Uplink,
    pub(crate) downlink: DownlinkId,
    seal: Outbound,
    open: Inbound,
    number: u32,
    transport: u16,
    pub(crate) cameras: BTreeMap<Source, Camera>,
    pub(crate) microphone: Option<Microphone>,
    pub(crate) players: BTreeMap<u32, Player>,
    /// What the signaling said of each slot.
    pub(crate) slots: BTreeMap<String, Option<TrackName>>,
    /// Whether it was told so, by slot.
    pub(crate) paused: BTreeMap<String, bool>,
    /// How often it was told that a picture is paused.
    pub(crate) pauses: u32,
    pub(crate) mids: BTreeMap<String, u32>,
    pub(crate) loss_up: u64,
    pub(crate) loss_down: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) feedback_arrivals: usize,
    /// What its way down is like, if not perfect.
    pub(crate) narrow: Option<Narrow>,
    arrivals: Recorder,
}

/// A way of a certain rate with a queue in front, 20 ms long in both directions.
pub(crate) struct Narrow {
    pub(crate) bps: u64,
    free_at: Instant,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    /// Longest time a datagram was under way.
    pub(crate) longest: Duration,
    pub(crate) lost: u64,
}

impl Narrow {
    pub(crate) fn new(bps: u64, now: Instant) -> Self {
        Self { bps, free_at: now, under_way: VecDeque::new(), longest: Duration::ZERO, lost: 0 }
    }

    fn take(&mut self, datagram: &[u8], now: Instant) {
        let starts = self.free_at.max(now);
        if starts - now > NARROW_QUEUE {
            self.lost += 1;
            return;
        }
        self.free_at = starts + Duration::from_secs_f64((datagram.len() + 28) as f64 * 8.0 / self.bps as f64);
        let arrives = self.free_at + NARROW_DELAY;
        self.longest = self.longest.max(arrives - now);
        self.under_way.push_back((arrives, datagram.to_vec()));
    }
}

pub(crate) struct Camera {
    pub(crate) track: TrackId,
    pub(crate) mid: String,
    pub(crate) layers: Vec<CameraLayer>,
    pub(crate) stopped: bool,
    pub(crate) temporal: bool,
    next_frame: Instant,
    frames: u64,
}

pub(crate) struct CameraLayer {
    pub(crate) height: u16,
    ssrc: u32,
    rtx_ssrc: u32,
    sequence: u16,
    rtx_sequence: u16,
    picture: u16,
    tl0: u8,
    pub(crate) key_wanted: bool,
    pub(crate) paused: bool,
    pub(crate) key_requests: Vec<Duration>,
    pub(crate) repairs: u64,
    pub(crate) packets: u64,
    sent: BTreeMap<u16, Vec<u8>>,
}

pub(crate) struct Microphone {
    pub(crate) track: TrackId,
    pub(crate) minus_dbov: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    next: Instant,
}

/// Everything one slot's decoder would see.
#[derive(Default)]
pub(crate) struct Player {
    extend: Extend,
    gaps: nack::Generator,
    pub(crate) packets: BTreeMap<u64, Seen>,
    pub(crate) duplicates: u64,
    pub(crate) repaired: u64,
    pub(crate) asks: u64,
    pub(crate) no_asks: bool,
    asked: BTreeSet<u64>,
    pub(crate) probes: u64,
}

#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Duration,
    pub(crate) timestamp: u32,
    pub(crate) csrc: u32,
    pub(crate) picture: Option<u16>,
    pub(crate) height: Option<u16>,
    pub(crate) start: bool,
}

fn keys(seed: u8) -> Keys {
    Keys { profile: Profile::AeadAes128Gcm, key: vec![seed; 16], salt: vec![seed ^ 0x55; 12] }
}

fn extensions() -> Map {
    let mut map = Map::new();
    for (id, kind) in
        [(1, Ext::AudioLevel), (3, Ext::TransportSequence), (4, Ext::Mid), (10, Ext::Rid), (11, Ext::RepairedRid)]
    {
        map.set(id, kind);
    }
    map
}

pub(crate) fn csrc_of(person: &str) -> u32 {
    person.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
        as u32
}

pub(crate) fn name(person: &str, source: Source) -> TrackName {
    TrackName { participant: ParticipantId::parse(person).unwrap(), source }
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            now,
            room: Room::new(now),
            downlinks: Downlinks::new(),
            people: BTreeMap::new(),
            speakers: Vec::new(),
            tapped: BTreeMap::new(),
            random: 0x1234_5678_9abc_def1,
        }
    }

    pub(crate) fn person(&mut self, who: &str) -> &mut Person {
        self.people.get_mut(who).unwrap_or_else(|| panic!("nobody is called {who}"))
    }

    pub(crate) fn join(&mut self, who: &str, slots: &[(SlotKind, usize)]) {
        let number = self.people.len() as u32 + 1;
        let (up, down) = (keys(number as u8), keys(number as u8 | 0x80));
        let config = uplink::Config { extensions: extensions(), feedback_ssrc: Ssrc(number) };
        let mut uplink = Uplink::new(config, self.now);
        uplink.set_keys(&up).unwrap();
        let downlink = self.downlinks.insert(
            downlink::Config {
                extensions: extensions(),
                cname: "edge".into(),
                epoch: self.start,
                epoch_ntp: 0xea00_0000 << 32,
                seed: u64::from(number) * 77_777,
            },
            self.now,
        );
        let mut specs = Vec::new();
        for (kind, count) in slots {
            for n in 0..*count {
                let audio = *kind == SlotKind::Audio;
                let ssrc = number * 1_000 + specs.len() as u32 * 2;
                specs.push(SlotSpec {
                    mid: format!("{kind:?}{n}").to_lowercase(),
                    kind: *kind,
                    codecs: vec![SlotCodec {
                        codec: if audio { Codec::Opus } else { Codec::Vp8 },
                        pt: if audio { OPUS } else { VP8 },
                        rtx_pt: (!audio).then_some(VP8_RTX),
                        clock_hz: if audio { 48_000 } else { 90_000 },
                    }],
                    ssrc: Ssrc(ssrc),
                    rtx_ssrc: (!audio).then_some(Ssrc(ssrc + 1)),
                });
            }
        }
        let mids = specs.iter().map(|s| (s.mid.clone(), s.ssrc.0)).collect();
        self.downlinks.set_slots(downlink, specs);
        self.room.enter(ParticipantId::parse(who).unwrap(), downlink, &mut self.downlinks, self.now);
        // Media keys come after signaling, as in life.
        self.downlinks.set_keys(downlink, &down).unwrap();
        let route = Route {
            local: "198.51.100.1:4000".parse().unwrap(),
            remote: format!("10.0.0.{number}:5000").parse().unwrap(),
        };
        self.downlinks.set_route(downlink, route);
        let person = Person {
            uplink,
            downlink,
            seal: Outbound::new(&up).unwrap(),
            open: Inbound::new(&down).unwrap(),
            number,
            transport: 65_000,
            cameras: BTreeMap::new(),
            microphone: None,
            players: BTreeMap::new(),
            slots: BTreeMap::new(),
            paused: BTreeMap::new(),
            pauses: 0,
            mids,
            loss_up: 0,
            loss_down: 0,
            sent_bytes: 0,
            feedback_arrivals: 0,
            narrow: None,
            arrivals: Recorder::new(self.now),
        };
        self.people.insert(who.into(), person);
        self.settle();
    }

    pub(crate) fn leave(&mut self, who: &str) {
        let person = self.people.remove(who).unwrap();
        let tracks = person.cameras.values().map(|c| c.track).chain(person.microphone.as_ref().map(|m| m.track));
        for track in tracks.collect::<Vec<_>>() {
            self.room.unpublish(track, &mut self.downlinks, self.now);
        }
        self.room.leave(person.downlink, &mut self.downlinks, self.now);
        self.downlinks.remove(person.downlink);
        self.settle();
    }

    pub(crate) fn publish_camera(&mut self, who: &str, source: Source, heights: &[u16]) {
        let info = TrackInfo {
            name: name(who, source),
            kind: source.kind(),
            codec: "VP8".into(),
            clock_hz: 90_000,
            layers: vec![LayerInfo::default(); heights.len()],
            shared: false,
            muted: false,
        };
        let track = self.room.publish(&info, Origin::Local, &mut self.downlinks, self.now);
        let now = self.now;
        let person = self.person(who);
        let mid = format!("{source:?}").to_lowercase();
        let base = person.number * 1_000 + 500 + person.cameras.len() as u32 * 20;
        let rids = heights.len() > 1;
        let encodings = (0..heights.len())
            .map(|n| Encoding { spatial: n as u8, rid: rids.then(|| format!("r{n}")), ..Encoding::default() })
            .collect();
        let payload_types = vec![PayloadType { pt: VP8, rtx_pt: Some(VP8_RTX), codec: Codec::Vp8, clock_hz: 90_000 }];
        let publication =
            Publication { mid: mid.clone(), track, payload_types, encodings, nack: true, keyframe: KeyFrameAsk::Pli };
        person.uplink.publish(publication, now);
        let layers = heights.iter().zip(0u32..).map(|(height, n)| CameraLayer {
            height: *height,
            ssrc: base + 2 * n,
            rtx_ssrc: base + 2 * n + 1,
            sequence: 65_500 + n as u16 * 7,
            rtx_sequence: 9,
            picture: 32_700 + n as u16,
            tl0: 250,
            key_wanted: true,
            paused: false,
            key_requests: Vec::new(),
            repairs: 0,
            packets: 0,
            sent: BTreeMap::new(),
        });
        let layers = layers.collect();
        let camera = Camera { track, mid, layers, stopped: false, temporal: false, next_frame: now, frames: 0 };
        person.cameras.insert(source, camera);
        self.settle();
    }

    pub(crate) fn publish_microphone(&mut self, who: &str) {
        let info = TrackInfo {
            name: name(who, Source::Microphone),
            kind: Source::Microphone.kind(),
            codec: "opus".into(),
            clock_hz: 48_000,
            layers: vec![LayerInfo::default()],
            shared: false,
            muted: false,
        };
        let track = self.room.publish(&info, Origin::Local, &mut self.downlinks, self.now);
        let now = self.now;
        let person = self.person(who);
        let ssrc = person.number * 1_000 + 900;
        let publication = Publication {
            mid: "mic".into(),
            track,
            payload_types: vec![PayloadType { pt: OPUS, rtx_pt: None, codec: Codec::Opus, clock_hz: 48_000 }],
            encodings: vec![Encoding { ssrc: Some(Ssrc(ssrc)), ..Encoding::default() }],
            nack: false,
            keyframe: KeyFrameAsk::Never,
        };
        person.uplink.publish(publication, now);
        person.microphone =
            Some(Microphone { track, minus_dbov: 127, ssrc, sequence: 3, timestamp: 0xffff_0000, next: now });
        self.settle();
    }

    pub(crate) fn view(&mut self, who: &str, tiles: &[(&str, Source, u16, u16)]) {
        let tiles: Vec<_> = tiles
            .iter()
            .map(|(whose, source, width, height)| Tile {
                track: name(whose, *source),
                width: *width,
                height: *height,
                pinned: false,
            })
            .collect();
        let downlink = self.person(who).downlink;
        self.room.view(downlink, &tiles, &mut self.downlinks, self.now);
        self.settle();
    }

    pub(crate) fn mute(&mut self, track: TrackId, muted: bool) {
        let mut info = self.room.info(track).unwrap().clone();
        info.muted = muted;
        self.room.update(track, &info, &mut self.downlinks, self.now);
        self.settle();
    }

    pub(crate) fn tap(&mut self, tap: u32, track: TrackId, layer: lyceum_wire::link::Layer) {
        let tapped = &mut self.tapped;
        let mut take = |id: TapId, packet: &Packet<'_>| {
            tapped.entry(id).or_default().push((packet.seq.0, packet.payload.to_vec()))
        };
        self.room.tap(TapId(tap), track, layer, &mut take, self.now);
        self.settle();
    }

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            let step = self.now + STEP;
            // Pacing is finer than the rest.
            while let Some(at) = self.downlinks.deadline().filter(|at| *at < step) {
                self.now = at.max(self.now);
                self.turn();
            }
            self.now = step;
            self.arrive();
            self.send_media();
            self.room.handle_timeout(&mut self.downlinks, self.now);
            self.turn();
            self.give_feedback();
            self.settle();
        }
    }

    /// What is due for those who are sent to.
    fn turn(&mut self) {
        self.downlinks.handle_timeout(self.now);
        while let Some(id) = self.downlinks.poll_paced(self.now) {
            self.room.pace(id, &mut self.downlinks, self.now);
        }
        self.settle();
    }

    fn chance(random: &mut u64, per_mille: u64) -> bool {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random % 1_000 < per_mille
    }

    fn send_media(&mut self) {
        let now = self.now;
        let everybody: Vec<String> = self.people.keys().cloned().collect();
        for who in everybody {
            let person = self.person(&who);
            let mut packets = Vec::new();
            for camera in person.cameras.values_mut().filter(|camera| !camera.stopped) {
                while camera.next_frame <= now {
                    camera.frame(&mut packets);
                    camera.next_frame += Duration::from_micros(33_333);
                }
            }
            if let Some(microphone) = &mut person.microphone {
                while microphone.next <= now {
                    packets.push(microphone.packet());
                    microphone.next += Duration::from_millis(20);
                }
            }
            for packet in packets {
                self.upload(&who, packet);
            }
        }
    }

    /// Seals what a person sends, loses some of it, and brings the rest through uplink and room.
    fn upload(&mut self, who: &str, mut packet: Draft) {
        let now = self.now;
        let person = self.people.get_mut(who).unwrap();
        person.transport = person.transport.wrapping_add(1);
        let mut datagram = packet.bytes(person.transport);
        person.seal.protect(&mut datagram).unwrap();
        person.sent_bytes += datagram.len() as u64;
        packet.payload.clear();
        if Self::chance(&mut self.random, person.loss_up) {
            return;
        }
        let tapped = &mut self.tapped;
        let mut take = |id: TapId, packet: &Packet<'_>| {
            tapped.entry(id).or_default().push((packet.seq.0, packet.payload.to_vec()))
        };
        match person.uplink.receive(&mut datagram, now) {
            Received::Packet(packet) => self.room.forward(&packet, &mut self.downlinks, &mut take, now),
            Received::Rtcp(_) => panic!("media is not RTCP"),
            Received::Dropped(_) => {}
        }
    }

    /// Carries everything that is due to everybody until nothing moves any more.
    fn settle(&mut self) {
        self.room.deliver(&mut self.downlinks, self.now);
        while let Some(event) = self.room.poll() {
            match event {
                Event::KeyFrame { track, spatial } => {
                    for person in self.people.values_mut() {
                        person.uplink.request_key_frame(track, spatial, self.now);
                    }
                }
                Event::Demand { track, spatial, temporal } => {
                    for camera in self.people.values_mut().flat_map(|p| p.cameras.values_mut()) {
                        if camera.track == track {
                            let layer = &mut camera.layers[usize::from(spatial)];
                            layer.key_wanted |= layer.paused && temporal.is_some();
                            layer.paused = temporal.is_none();
                        }
                    }
                }
                Event::Slots { downlink, assigned } => {
                    let person = self.people.values_mut().find(|p| p.downlink == downlink);
                    if let Some(person) = person {
                        for a in assigned {
                            let before = person.paused.insert(a.mid.clone(), a.paused);
                            person.pauses += u32::from(a.paused && before != Some(true));
                            person.slots.insert(a.mid, a.track);
                        }
                    }
                }
                Event::Speakers { active } => {
                    let names = active.iter().map(|p| p.as_str().to_owned()).collect();
                    self.speakers.push((self.now - self.start, names));
                }
                Event::Layers { .. } => {}
            }
        }
        let mut rtcp = Vec::new();
        for person in self.people.values_mut() {
            while person.uplink.poll_rtcp(&mut rtcp, self.now) {
                self.downlinks.send_rtcp(person.downlink, &rtcp);
            }
        }
        let mut out: Vec<(DownlinkId, Vec<u8>)> = Vec::new();
        self.downlinks.flush(|transmit| {
            assert!(transmit.bytes.len() <= downlink::BATCH_BYTES_MAX);
            for datagram in transmit.bytes.chunks(transmit.segment_size) {
                out.push((transmit.downlink, datagram.to_vec()));
            }
        });
        for (downlink, mut datagram) in out {
            let Some(who) = self.people.iter().find(|(_, p)| p.downlink == downlink).map(|(n, _)| n.clone()) else {
                continue;
            };
            self.depart(&who, &mut datagram);
        }
    }

    /// What left for somebody arrives, at once or by a narrow way.
    fn depart(&mut self, who: &str, datagram: &mut [u8]) {
        let now = self.now;
        match &mut self.people.get_mut(who).unwrap().narrow {
            Some(narrow) => narrow.take(datagram, now),
            None => self.download(who, datagram, now),
        }
    }

    fn arrive(&mut self) {
        let everybody: Vec<String> = self.people.keys().cloned().collect();
        for who in everybody {
            let mut due = Vec::new();
            if let Some(narrow) = &mut self.people.get_mut(&who).unwrap().narrow {
                while narrow.under_way.front().is_some_and(|(at, _)| *at <= self.now) {
                    due.extend(narrow.under_way.pop_front());
                }
            }
            for (at, mut datagram) in due {
                self.download(&who, &mut datagram, at);
            }
        }
    }

    fn download(&mut self, who: &str, datagram: &mut [u8], arrived: Instant) {
        let (now, at) = (self.now, self.now - self.start);
        let person = self.people.get_mut(who).unwrap();
        if (192..=223).contains(&datagram[1]) {
            let plain = person.open.unprotect_rtcp(datagram).unwrap().to_vec();
            let drafts = person.take_rtcp(&plain, at);
            drafts.into_iter().for_each(|draft| self.upload(who, draft));
            return;
        }
        if Self::chance(&mut self.random, person.loss_down) {
            return;
        }
        let opened = person.open.unprotect(datagram).expect("an edge never repeats a number");
        let opened_bytes = &datagram[..opened.len];
        if let Some(number) = extensions().read(opened.header.extensions(opened_bytes)).transport_sequence {
            person.arrivals.received(number, arrived);
        }
        person.play(opened.header, opened_bytes, at, now);
    }

    /// Players ask for what they miss.
    fn give_feedback(&mut self) {
        let (now, everybody) = (self.now, self.people.keys().cloned().collect::<Vec<_>>());
        for who in everybody {
            let person = self.people.get_mut(&who).unwrap();
            let (downlink, mut compounds) = (person.downlink, Vec::new());
            for (ssrc, player) in &mut person.players {
                let mut ask = Vec::new();
                player.gaps.poll(now, Duration::from_millis(40), &mut ask);
                if ask.is_empty() || player.no_asks {
                    continue;
                }
                player.asks += ask.len() as u64;
                let mut buffer = [0; 1_200];
                let mut writer = rtcp::Writer::new(&mut buffer);
                writer.nack(1, *ssrc, &ask.iter().map(|s| s.wire()).collect::<Vec<_>>()).unwrap();
                player.asked.extend(ask.iter().map(|number| number.0));
                compounds.push(writer.written().to_vec());
            }
            loop {
                let mut buffer = [0; 1_200];
                let mut writer = rtcp::Writer::new(&mut buffer);
                if !person.arrivals.poll(now, 1, 1, &mut writer) {
                    break;
                }
                compounds.push(writer.written().to_vec());
            }
            for compound in compounds {
                self.room.receive_rtcp(downlink, &compound, &mut self.downlinks, now);
            }
        }
    }

    pub(crate) fn picture_lost(&mut self, who: &str, mid: &str) {
        let person = self.person(who);
        let (downlink, ssrc) = (person.downlink, person.mids[mid]);
        let mut buffer = [0; 64];
        let mut writer = rtcp::Writer::new(&mut buffer);
        writer.picture_loss(1, ssrc).unwrap();
        let compound = writer.written().to_vec();
        self.room.receive_rtcp(downlink, &compound, &mut self.downlinks, self.now);
        self.settle();
    }
}

impl Person {
    fn take_rtcp(&mut self, plain: &[u8], at: Duration) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut layers: Vec<(String, usize, &mut CameraLayer)> = self
            .cameras
            .values_mut()
            .flat_map(|c| c.layers.iter_mut().enumerate().map(|(n, l)| (c.mid.clone(), n, l)))
            .collect();
        for packet in rtcp::Compound::new(plain) {
            match packet.unwrap() {
                rtcp::Packet::PictureLoss { media, .. } => {
                    if let Some((_, _, layer)) = layers.iter_mut().find(|(_, _, l)| l.ssrc == media) {
                        layer.key_requests.push(at);
                        layer.key_wanted = true;
                    }
                }
                rtcp::Packet::Nack { media, lost, .. } => {
                    let Some((mid, n, layer)) = layers.iter_mut().find(|(_, _, l)| l.ssrc == media) else { continue };
                    for number in lost {
                        let Some(payload) = layer.sent.get(&number) else { continue };
                        let mut wrapped = number.to_be_bytes().to_vec();
                        wrapped.extend_from_slice(payload);
                        layer.rtx_sequence = layer.rtx_sequence.wrapping_add(1);
                        layer.repairs += 1;
                        drafts.push(Draft {
                            pt: VP8_RTX,
                            ssrc: layer.rtx_ssrc,
                            sequence: layer.rtx_sequence,
                            timestamp: u32::from_be_bytes(payload[payload.len() - 4..].try_into().unwrap()),
                            marker: payload[payload.len() - 5] == 1,
                            mid: Some(mid.clone()),
                            repaired_rid: Some(format!("r{n}")),
                            rid: None,
                            level: None,
                            payload: wrapped,
                        });
                    }
                }
                rtcp::Packet::Transport(feedback) => {
                    self.feedback_arrivals += feedback.arrivals().filter(|a| a.ticks.is_some()).count();
                }
                _ => {}
            }
        }
        drafts
    }

    fn play(&mut self, header: rtp::Header, packet: &[u8], at: Duration, now: Instant) {
        let payload = header.payload(packet).unwrap();
        let repair = header.payload_type == VP8_RTX;
        if repair && payload.is_empty() {
            return; // Padding.
        }
        let (ssrc, number, payload) = if repair {
            let (number, payload) = rtp::retransmitted(payload).unwrap();
            (header.ssrc - 1, number, payload)
        } else {
            (header.ssrc, header.sequence, payload)
        };
        assert!(self.mids.values().any(|s| *s == ssrc), "an unknown source {ssrc}");
        let player = self.players.entry(ssrc).or_default();
        let SeqNo(seq) = player.extend.extend(number);
        player.gaps.received(SeqNo(seq), now);
        let answers = repair && player.asked.remove(&seq);
        player.repaired += u64::from(answers);
        let descriptor = (header.payload_type != OPUS).then(|| vp8::Descriptor::parse(payload).unwrap());
        let seen = Seen {
            at,
            timestamp: header.timestamp,
            csrc: header.csrcs(packet).next().unwrap(),
            picture: descriptor.and_then(|d| d.picture_id).map(|p| p.value),
            height: descriptor.map(|_| u16::from_be_bytes([payload[payload.len() - 7], payload[payload.len() - 6]])),
            start: descriptor.is_none_or(|d| d.frame_start()),
        };
        if player.packets.insert(seq, seen).is_some() {
            // What nobody asked for comes again only to see what the way carries.
            let probes = repair && !answers;
            player.duplicates += u64::from(!probes);
            player.probes += u64::from(probes);
        }
    }
}

impl Camera {
    /// One frame of every layer that is not paused, in three packets; key frames in six.
    fn frame(&mut self, out: &mut Vec<Draft>) {
        let timestamp_base = (self.frames * 3_000) as u32;
        let temporal = u8::from(self.temporal && self.frames % 2 == 1);
        self.frames += 1;
        let rids = self.layers.len() > 1;
        for (n, layer) in self.layers.iter_mut().enumerate().filter(|(_, layer)| !layer.paused) {
            let key = std::mem::take(&mut layer.key_wanted);
            let temporal = if key { 0 } else { temporal };
            let timestamp = timestamp_base.wrapping_add(n as u32 * 1_900_000_000);
            layer.picture = (layer.picture + 1) & 0x7fff;
            if temporal == 0 {
                layer.tl0 = layer.tl0.wrapping_add(1);
            }
            let count = if key { 6 } else { 3 };
            for part in 0..count {
                let fields = vp8::Fields {
                    frame_start: part == 0,
                    non_reference: false,
                    picture_id: layer.picture,
                    tl0_picture: layer.tl0,
                    temporal,
                    layer_sync: temporal == 1,
                };
                let mut payload = fields.to_bytes().to_vec();
                if part == 0 {
                    let width = layer.height * 16 / 9;
                    payload.extend([u8::from(!key), 0, 0]);
                    if key {
                        payload.extend([0x9d, 0x01, 0x2a]);
                        payload.extend(width.to_le_bytes());
                        payload.extend(layer.height.to_le_bytes());
                    }
                }
                payload.resize(60 + usize::from(layer.height), part as u8);
                // What the player and the repair need to know, where no codec looks.
                payload.extend(layer.height.to_be_bytes());
                payload.push(u8::from(part + 1 == count));
                payload.extend(timestamp.to_be_bytes());
                layer.sequence = layer.sequence.wrapping_add(1);
                layer.packets += 1;
                layer.sent.insert(layer.sequence, payload.clone());
                // RTP identification is sent with key frames and now and then, as browsers do until acknowledged.
                out.push(Draft {
                    pt: VP8,
                    ssrc: layer.ssrc,
                    sequence: layer.sequence,
                    timestamp,
                    marker: part + 1 == count,
                    mid: Some(self.mid.clone()),
                    rid: rids.then(|| format!("r{n}")),
                    repaired_rid: None,
                    level: None,
                    payload,
                });
            }
        }
    }
}

impl Microphone {
    fn packet(&mut self) -> Draft {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(960);
        Draft {
            pt: OPUS,
            ssrc: self.ssrc,
            sequence: self.sequence,
            timestamp: self.timestamp,
            marker: false,
            mid: None,
            rid: None,
            repaired_rid: None,
            level: Some(self.minus_dbov),
            payload: vec![7; 80],
        }
    }
}

/// An RTP packet before it is sealed.
struct Draft {
    pt: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    mid: Option<String>,
    rid: Option<String>,
    repaired_rid: Option<String>,
    level: Option<u8>,
    payload: Vec<u8>,
}

impl Draft {
    fn bytes(&self, transport: u16) -> Vec<u8> {
        let mut out = vec![0; 128];
        let fields = rtp::Fields {
            marker: self.marker,
            payload_type: self.pt,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let map = extensions();
        let mut writer = rtp::Writer::start(&mut out, fields, &[], Form::OneByte).unwrap();
        let mut add = |kind, data: &[u8]| writer.extension(map.id(kind).unwrap(), data).unwrap();
        add(Ext::TransportSequence, &transport.to_be_bytes());
        if let Some(mid) = &self.mid {
            add(Ext::Mid, mid.as_bytes());
        }
        if let Some(rid) = &self.rid {
            add(Ext::Rid, rid.as_bytes());
        }
        if let Some(rid) = &self.repaired_rid {
            add(Ext::RepairedRid, rid.as_bytes());
        }
        if let Some(below_full) = self.level {
            add(Ext::AudioLevel, &[AudioLevel { below_full, voice: below_full < 60 }.to_byte()]);
        }
        let len = writer.finish().unwrap();
        out.truncate(len);
        out.extend_from_slice(&self.payload);
        out
    }
}

impl Player {
    /// What it shows now: the height of the last picture in order.
    pub(crate) fn height(&self) -> Option<u16> {
        self.packets.values().next_back().and_then(|seen| seen.height)
    }

    /// When the last packet came.
    pub(crate) fn last(&self) -> Option<Duration> {
        self.packets.values().map(|seen| seen.at).max()
    }

    /// Numbers missing between the first and the last packet.
    pub(crate) fn missing(&self) -> Vec<u64> {
        let (Some(first), Some(last)) = (self.packets.keys().next(), self.packets.keys().next_back()) else {
            return Vec::new();
        };
        let have: BTreeSet<_> = self.packets.keys().copied().collect();
        (*first..=*last).filter(|seq| !have.contains(seq)).collect()
    }

    /// Everything a decoder relies on, in order of sequence.
    pub(crate) fn check_order(&self, who: &str) {
        let list: Vec<(&u64, &Seen)> = self.packets.iter().collect();
        for pair in list.windows(2) {
            let ((seq_a, a), (seq_b, b)) = (pair[0], pair[1]);
            let ahead = b.timestamp.wrapping_sub(a.timestamp) as i32;
            assert!(ahead >= 0, "{who}: time runs back by {} ticks at {seq_b}", -ahead);
            if *seq_b != seq_a + 1 {
                continue;
            }
            if let (Some(x), Some(y)) = (a.picture, b.picture) {
                let step = y.wrapping_sub(x) & 0x7fff;
                assert_eq!(step, u16::from(b.start), "{who}: picture {x} then {y} at {seq_b}");
                assert_eq!(ahead > 0, b.start, "{who}: one picture, one time, at {seq_b}");
                assert!(a.height == b.height || b.start, "{who}: another layer in the middle of a picture");
            }
        }
    }
}
