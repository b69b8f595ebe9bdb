//! A few nodes, one room: hops with a viewer each, publishers, and the network between them.

use lyceum_media::downlink::{self, SlotCodec, SlotSpec};
use lyceum_media::srtp::{Inbound, Keys, Profile};
use lyceum_media::{AudioLevel, Codec, DownlinkId, Downlinks, Flags, Packet, SeqNo, Ssrc, TrackId};
use lyceum_relay_core::hop::{Config, GrantWish, Hop, Live, Loss, Output, Part, Said, Transit};
use lyceum_relay_core::route::{self, To};
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::ext;
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, Message, TrackInfo, VERSION_MAX};
use lyceum_wire::signal::{Participant, Path, Refusal, RoomMessage, SlotKind, Tile};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(crate) fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

pub(crate) fn region(name: &str) -> Region {
    Region::parse(&format!("{name}-region")).unwrap()
}

pub(crate) fn person(name: &str) -> ParticipantId {
    ParticipantId::parse(name).unwrap()
}

pub(crate) fn room() -> RoomId {
    RoomId::parse("lecture").unwrap()
}

pub(crate) fn camera(who: &str) -> TrackName {
    TrackName { participant: person(who), source: Source::Camera }
}

/// What the network does to a datagram between two nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) one_way: Duration,
    /// Extra delay, at random up to this: what reorders.
    pub(crate) jitter: Duration,
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    pub(crate) datagram_bytes_max: usize,
}

pub(crate) const FAIR: Weather = Weather {
    one_way: Duration::from_millis(20),
    jitter: Duration::ZERO,
    loss_percent: 0,
    repeat_percent: 0,
    datagram_bytes_max: 1_400,
};

pub(crate) struct Node {
    /// Its node and shard: `eu.7` is the branch of `eu` on shard 7.
    id: NodeId,
    shard: u8,
    pub(crate) hop: Hop,
    pub(crate) downlinks: Downlinks,
    viewers: Vec<Viewer>,
    pub(crate) people: BTreeMap<ParticipantId, Participant>,
    pub(crate) messages: Vec<(u64, String)>,
    pub(crate) paths: BTreeMap<ParticipantId, Path>,
    pub(crate) key_frames_wanted: Vec<(TrackId, u8, Instant)>,
    pub(crate) connects: Vec<NodeId>,
    /// Answers to changes of grants asked for here, and such changes wished of this node.
    pub(crate) granted: Vec<(u32, Option<Refusal>)>,
    pub(crate) wished: Vec<GrantWish>,
    /// Messages by kind, as they left on links.
    pub(crate) said: BTreeMap<&'static str, usize>,
}

/// Somebody who watches one camera, or hears.
struct Viewer {
    who: String,
    id: DownlinkId,
    srtp: Inbound,
    listens: bool,
    seen: Seen,
    heard: Vec<Heard>,
}

/// A packet of sound as a listener got it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    /// Whose: the hash that travels as CSRC.
    pub(crate) whose: u32,
    /// As the publisher wrote it into the payload.
    pub(crate) number: u64,
    pub(crate) slot: u32,
    pub(crate) sequence: u16,
}

/// What a viewer got: numbers as the publisher wrote them into the payload.
#[derive(Default, Clone)]
pub(crate) struct Seen {
    pub(crate) numbers: Vec<u64>,
    /// RTP sequence numbers of the same, to find repetitions.
    pub(crate) wire: Vec<u16>,
    pub(crate) torn: usize,
}

enum Travels {
    Part(u8, Said),
    Message(Message),
    Datagram(bytes::Bytes),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) weather: Weather,
    /// Datagrams between parts of a node that find a full queue.
    pub(crate) shed_percent: u64,
    links: BTreeSet<(NodeId, NodeId)>,
    under_way: BTreeMap<(Instant, u64), (NodeId, NodeId, Travels)>,
    /// When the last message on each link arrives: streams keep their order.
    stream_until: BTreeMap<(NodeId, NodeId), Instant>,
    counter: u64,
    random: u64,
    epoch: u64,
    pub(crate) lost: u64,
    publishers: Vec<Publisher>,
}

struct Publisher {
    at: NodeId,
    who: String,
    track: TrackId,
    next: u64,
    layers: u8,
    next_at: Instant,
    stopped: bool,
    /// Of sound: how loud it is.
    minus_dbov: Option<u8>,
}

const FRAME: Duration = Duration::from_millis(20);
/// A key frame this often, in frames, and whenever one is asked for.
const KEY_EVERY: u64 = 100;

impl World {
    pub(crate) fn new(names: &[&str], seed: u64, weather: Weather, transit: Transit) -> Self {
        let now = Instant::now();
        let sorted: BTreeSet<&str> = names.iter().copied().collect();
        let nodes = sorted
            .into_iter()
            .enumerate()
            .map(|(at, name)| {
                let config = Config {
                    room: room(),
                    node: node(name),
                    region: region(name),
                    shard: at as u8,
                    slot: 40 + at as u16,
                    part: Part::Root,
                    transit,
                };
                (node(name), Node::new(config, now))
            })
            .collect();
        Self {
            now,
            nodes,
            weather,
            shed_percent: 0,
            links: BTreeSet::new(),
            under_way: BTreeMap::new(),
            stream_until: BTreeMap::new(),
            counter: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            epoch: 0,
            lost: 0,
            publishers: Vec::new(),
        }
    }

    /// All nodes host the room, are linked, and have opened it.
    pub(crate) fn gathered(names: &[&str], seed: u64, weather: Weather) -> Self {
        let mut world = Self::new(names, seed, weather, Transit::Never);
        for (at, a) in names.iter().enumerate() {
            for b in &names[at + 1..] {
                world.link(a, b);
            }
        }
        world.map(names[0], names);
        world.run(Duration::from_millis(200));
        world
    }

    /// The node's room is split: one more part, on this shard.
    pub(crate) fn branch(&mut self, of: &str, shard: u8) {
        let (now, root) = (self.now, self.at(of).shard);
        let config = Config {
            room: room(),
            node: node(of),
            region: region(of),
            shard,
            slot: 40 + u16::from(shard),
            part: Part::Branch { root },
            transit: Transit::Never,
        };
        self.nodes.insert(node(&format!("{of}.{shard}")), Node::new(config, now));
        self.settle();
    }

    /// The branch is gone, whole.
    pub(crate) fn remove(&mut self, branch: &str) {
        self.close(branch);
        self.publishers.retain(|publisher| publisher.at != node(branch));
        self.nodes.remove(&node(branch));
    }

    fn pick(&mut self, n: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) % n
    }

    pub(crate) fn at(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(&node(name)).unwrap()
    }

    // ── What happens ────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn map(&mut self, home: &str, names: &[&str]) {
        self.epoch += 1;
        let address =
            |name: &&str| NodeAddress { node: node(name), region: region(name), link_addr: format!("{name}:1") };
        let map =
            RoomMap { room: room(), epoch: self.epoch, home: node(home), nodes: names.iter().map(address).collect() };
        let now = self.now;
        for name in names {
            self.at(name).hop.map(&map, now);
        }
        self.settle();
    }

    pub(crate) fn link(&mut self, a: &str, b: &str) {
        let (rtt, max) = (self.weather.one_way * 2, self.weather.datagram_bytes_max);
        for (x, y) in [(a, b), (b, a)] {
            self.links.insert((node(x), node(y)));
            self.at(x).hop.link_up(&node(y), &region(y), VERSION_MAX, rtt, max);
        }
        self.settle();
    }

    /// What was under way is lost.
    pub(crate) fn cut(&mut self, a: &str, b: &str) {
        self.settle();
        let now = self.now;
        for (x, y) in [(a, b), (b, a)] {
            let pair = (node(x), node(y));
            self.links.remove(&pair);
            self.stream_until.remove(&pair);
            self.under_way.retain(|_, (from, to, _)| (&*from, &*to) != (&pair.0, &pair.1));
            let at = self.at(x);
            at.hop.link_down(&node(y), &mut at.downlinks, now);
        }
        self.settle();
    }

    pub(crate) fn join(&mut self, at: &str, who: &str) {
        let participant = Participant {
            id: person(who),
            identity: who.into(),
            name: who.into(),
            edge: self.at(at).id.clone(),
            region: region(self.at(at).id.clone().as_str()),
            publishes: Vec::new(),
            on_stage: true,
            moderates: false,
        };
        self.at(at).hop.join(participant);
        self.settle();
    }

    /// Somebody who has joined may change others' grants.
    pub(crate) fn moderates(&mut self, at: &str, who: &str) {
        let here = self.at(at);
        let mut participant = here.hop.roster().find(|known| known.id == person(who)).unwrap().clone();
        participant.moderates = true;
        here.hop.join(participant);
        self.settle();
    }

    pub(crate) fn info(who: &str, layers: u8) -> TrackInfo {
        let layer = |n: u16| LayerInfo { width: 320 << n, height: 180 << n, bitrate_bps: 0, ..LayerInfo::default() };
        TrackInfo {
            name: camera(who),
            kind: Source::Camera.kind(),
            codec: "VP8".into(),
            clock_hz: 90_000,
            layers: (0..u16::from(layers)).map(layer).collect(),
            shared: false,
            muted: false,
        }
    }

    pub(crate) fn publish(&mut self, at: &str, who: &str, layers: u8) {
        let now = self.now;
        let here = self.at(at);
        let track = here.hop.publish(&Self::info(who, layers), &mut here.downlinks, now);
        let publisher = Publisher {
            at: node(at),
            who: who.into(),
            track,
            next: 0,
            layers,
            next_at: now,
            stopped: false,
            minus_dbov: None,
        };
        self.publishers.push(publisher);
        self.settle();
    }

    /// Somebody has a microphone, and is silent.
    pub(crate) fn unmute(&mut self, at: &str, who: &str) {
        let now = self.now;
        let here = self.at(at);
        let name = TrackName { participant: person(who), source: Source::Microphone };
        let (kind, layers) = (Source::Microphone.kind(), vec![LayerInfo::default()]);
        let info =
            TrackInfo { name, kind, codec: "opus".into(), clock_hz: 48_000, layers, shared: false, muted: false };
        let track = here.hop.publish(&info, &mut here.downlinks, now);
        let (at, who, minus_dbov) = (node(at), who.into(), Some(100));
        let publisher = Publisher { at, who, track, next: 0, layers: 1, next_at: now, stopped: false, minus_dbov };
        self.publishers.push(publisher);
        self.settle();
    }

    pub(crate) fn speak(&mut self, who: &str, minus_dbov: u8) {
        let voice = self.publishers.iter_mut().find(|p| p.who == who && p.minus_dbov.is_some()).unwrap();
        voice.minus_dbov = Some(minus_dbov);
    }

    /// Somebody hears the room in three slots.
    pub(crate) fn listen(&mut self, at: &str, listener: &str) {
        let codecs = vec![SlotCodec { codec: Codec::Opus, pt: 111, rtx_pt: None, clock_hz: 48_000 }];
        let spec = |n: u32| {
            let (mid, codecs) = (n.to_string(), codecs.clone());
            SlotSpec { mid, kind: SlotKind::Audio, codecs, ssrc: Ssrc(n), rtx_ssrc: None }
        };
        self.receive(at, listener, (1..=3).map(spec).collect(), true);
        self.settle();
    }

    /// It hears these voices in any case.
    pub(crate) fn pin(&mut self, at: &str, listener: &str, voices: &[&str]) {
        let now = self.now;
        let here = self.at(at);
        let id = here.viewers.iter().find(|known| known.who == listener).unwrap().id;
        let voices: Vec<_> = voices.iter().map(|who| person(who)).collect();
        here.hop.room.listen(id, &voices, &mut here.downlinks, now);
        self.settle();
    }

    pub(crate) fn unpublish(&mut self, who: &str) {
        let now = self.now;
        let publisher =
            self.publishers.iter_mut().find(|publisher| publisher.who == who && !publisher.stopped).unwrap();
        publisher.stopped = true;
        let (at, track) = (publisher.at.clone(), publisher.track);
        let here = self.nodes.get_mut(&at).unwrap();
        here.hop.unpublish(track, &mut here.downlinks, now);
        self.settle();
    }

    /// How many frames a publisher has sent.
    pub(crate) fn frames_of(&self, who: &str) -> u64 {
        self.publishers.iter().filter(|publisher| publisher.who == who).map(|publisher| publisher.next).max().unwrap()
    }

    pub(crate) fn watch(&mut self, at: &str, viewer: &str, whom: &str, width: u16) {
        let codecs = vec![SlotCodec { codec: Codec::Vp8, pt: 96, rtx_pt: None, clock_hz: 90_000 }];
        let slot = SlotSpec { mid: "v".into(), kind: SlotKind::Video, codecs, ssrc: Ssrc(77), rtx_ssrc: None };
        let id = self.receive(at, viewer, vec![slot], false);
        let now = self.now;
        let here = self.at(at);
        let tile = Tile { track: camera(whom), width, height: width / 16 * 9, pinned: false };
        here.hop.room.view(id, &[tile], &mut here.downlinks, now);
        self.settle();
    }

    fn receive(&mut self, at: &str, who: &str, slots: Vec<SlotSpec>, listens: bool) -> DownlinkId {
        let now = self.now;
        let here = self.at(at);
        let (cname, seed) = (at.into(), here.viewers.len() as u64);
        let config = downlink::Config { extensions: ext::Map::new(), cname, epoch: now, epoch_ntp: 0, seed };
        let id = here.downlinks.insert(config, now);
        let keys = Keys { profile: Profile::AeadAes128Gcm, key: vec![7; 16], salt: vec![9; 12] };
        here.downlinks.set_keys(id, &keys).unwrap();
        let route =
            downlink::Route { local: "198.51.100.1:4000".parse().unwrap(), remote: "192.0.2.1:5000".parse().unwrap() };
        here.downlinks.set_route(id, route);
        here.downlinks.set_slots(id, slots);
        here.hop.room.enter(person(who), id, &mut here.downlinks, now);
        let srtp = Inbound::new(&keys).unwrap();
        let (who, seen, heard) = (who.into(), Seen::default(), Vec::new());
        here.viewers.push(Viewer { who, id, srtp, listens, seen, heard });
        id
    }

    pub(crate) fn unwatch(&mut self, at: &str, viewer: &str) {
        let now = self.now;
        let here = self.at(at);
        let gone = here.viewers.iter().position(|known| known.who == viewer).unwrap();
        let gone = here.viewers.remove(gone);
        here.hop.room.leave(gone.id, &mut here.downlinks, now);
        here.downlinks.remove(gone.id);
        self.settle();
    }

    pub(crate) fn post(&mut self, at: &str, id: &str) {
        let message = RoomMessage {
            number: 0,
            id: id.into(),
            from: person(&format!("p-{at}")),
            name: at.into(),
            kind: "chat".into(),
            body: serde_json::json!({ "text": id }),
            sent_at_ms: 0,
        };
        self.at(at).hop.post(message).unwrap();
        self.settle();
    }

    pub(crate) fn message(&mut self, from: &str, to: &str, message: Message) {
        let now = self.now;
        let there = self.at(to);
        there.hop.message(&node(from), message, &mut there.downlinks, now);
        self.settle();
    }

    /// The node forgets the room without a word, as after a contained panic, and begins anew; its links stand.
    pub(crate) fn forget(&mut self, at: &str, names: &[&str], home: &str) {
        let now = self.now;
        let (rtt, max) = (self.weather.one_way * 2, self.weather.datagram_bytes_max);
        let shard = self.at(at).shard;
        let config = Config {
            room: room(),
            node: node(at),
            region: region(at),
            shard,
            slot: 40 + u16::from(shard),
            part: Part::Root,
            transit: Transit::Never,
        };
        let here = self.at(at);
        here.hop = Hop::new(config, now);
        here.people.clear();
        here.downlinks = Downlinks::new();
        here.viewers.clear();
        let linked: Vec<NodeId> =
            self.links.iter().filter(|(from, _)| *from == node(at)).map(|(_, to)| to.clone()).collect();
        for to in linked {
            self.at(at).hop.link_up(&to, &region(to.as_str()), VERSION_MAX, rtt, max);
        }
        self.map(home, names);
    }

    /// The part hears that its root is gone.
    pub(crate) fn part_closed(&mut self, at: &str) {
        let now = self.now;
        let of = self.at(at).id.clone();
        let root = self.nodes[&of].shard;
        let here = self.at(at);
        let said = Said::Message(Box::new(Message::RoomClose { room: room() }));
        here.hop.part_said(root, said, &mut here.downlinks, now);
        self.settle();
    }

    pub(crate) fn close(&mut self, at: &str) {
        let now = self.now;
        let here = self.at(at);
        here.hop.close(&mut here.downlinks, now);
        self.settle();
    }

    // ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let publishers = self.publishers.iter().filter(|p| !p.stopped).map(|p| p.next_at);
            let hops = self.nodes.values().filter_map(|node| node.hop.deadline());
            let arrivals = self.under_way.keys().next().map(|(at, _)| *at);
            let next = publishers.chain(hops).chain(arrivals).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let now = self.now;
        for at in 0..self.publishers.len() {
            if !self.publishers[at].stopped && self.publishers[at].next_at <= now {
                self.frame(at);
            }
        }
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (from, to, travels) = entry.remove();
            let Some(there) = self.nodes.get_mut(&to) else { continue };
            match travels {
                Travels::Part(shard, said) => there.hop.part_said(shard, said, &mut there.downlinks, now),
                Travels::Message(message) => there.hop.message(&from, message, &mut there.downlinks, now),
                Travels::Datagram(datagram) => {
                    there.hop.datagram(&from, &datagram, &mut there.downlinks, now);
                }
            }
            self.settle();
        }
        for node in self.nodes.values_mut() {
            if node.hop.deadline().is_some_and(|at| at <= now) {
                node.hop.handle_timeout(&mut node.downlinks, now);
            }
            while let Some(id) = node.downlinks.poll_paced(now) {
                node.hop.room.pace(id, &mut node.downlinks, now);
            }
        }
        self.settle();
    }

    /// One frame of one packet per layer: VP8 with the frame's number in its payload.
    fn frame(&mut self, at: usize) {
        let now = self.now;
        let size = 600 + self.pick(500) as usize;
        let publisher = &mut self.publishers[at];
        publisher.next_at = now + FRAME;
        let number = publisher.next;
        publisher.next += 1;
        if let Some(minus_dbov) = publisher.minus_dbov {
            return self.sound(at, number, minus_dbov);
        }
        let here = self.nodes.get_mut(&publisher.at).unwrap();
        let asked = here.key_frames_wanted.iter().any(|(track, _, at)| *track == publisher.track && *at + FRAME >= now);
        let key = number.is_multiple_of(KEY_EVERY) || asked;
        for spatial in 0..publisher.layers {
            let payload = payload(&publisher.who, spatial, number, key, size);
            let packet = Packet {
                track: publisher.track,
                layer: Layer { spatial, temporal: 0 },
                seq: SeqNo(70_000 + number),
                timestamp: 1_000 + number as u32 * 1_800,
                marker: true,
                flags: Flags { keyframe: key, start: true, end: true, discardable: false, ..Flags::default() },
                frame: None,
                descriptor: &[],
                level: None,
                arrived: now,
                age: Duration::ZERO,
                payload: &payload,
            };
            here.hop.forward(&packet, &mut here.downlinks, now);
        }
        self.settle();
    }

    /// One packet of sound with its number in its payload.
    fn sound(&mut self, at: usize, number: u64, minus_dbov: u8) {
        let now = self.now;
        let publisher = &self.publishers[at];
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(70, 0);
        let packet = Packet {
            track: publisher.track,
            layer: Layer::default(),
            seq: SeqNo(70_000 + number),
            timestamp: number as u32 * 960,
            marker: false,
            flags: Flags::default(),
            frame: None,
            descriptor: &[],
            level: Some(AudioLevel { minus_dbov, voice: true }),
            arrived: now,
            age: Duration::ZERO,
            payload: &payload,
        };
        let here = self.nodes.get_mut(&publisher.at).unwrap();
        here.hop.forward(&packet, &mut here.downlinks, now);
        self.settle();
    }

    /// Lets everybody say what they have to say.
    fn settle(&mut self) {
        let names: Vec<NodeId> = self.nodes.keys().cloned().collect();
        for name in names {
            let now = self.now;
            let (mut leaving, mut asides) = (Vec::new(), Vec::new());
            let here = self.nodes.get_mut(&name).unwrap();
            here.hop.deliver(&mut here.downlinks, now);
            while let Some(output) = here.hop.poll() {
                match output {
                    Output::Message { node, message } => {
                        *here.said.entry(kind(&message)).or_default() += 1;
                        leaving.push((node, Travels::Message(*message)));
                    }
                    Output::Datagrams { node, datagrams } => {
                        leaving.extend(datagrams.into_iter().map(|one| (node.clone(), Travels::Datagram(one))));
                    }
                    Output::Part { shard, said } => {
                        if let Said::Message(message) = &said {
                            *here.said.entry(kind(message)).or_default() += 1;
                        }
                        asides.push((here.id.clone(), here.shard, shard, said));
                    }
                    Output::Connect(address) => here.connects.push(address.node),
                    Output::Roster { present, gone } => {
                        here.people.extend(present.into_iter().map(|one| (one.id.clone(), one)));
                        here.people.retain(|id, _| !gone.contains(id));
                    }
                    Output::Granted { request, refused } => here.granted.push((request, refused)),
                    Output::Grant(wish) => here.wished.push(wish),
                    Output::Posted(message) => here.messages.push((message.number, message.id)),
                    Output::Paths(paths) => {
                        here.paths.extend(paths.into_iter().map(|path| (path.participant.clone(), path)));
                    }
                    Output::Room(lyceum_media::Event::KeyFrame { track, spatial }) => {
                        here.key_frames_wanted.push((track, spatial, now));
                    }
                    Output::Room(_) => {}
                }
            }
            let Node { downlinks, viewers, .. } = here;
            downlinks.flush(|transmit| {
                let Some(viewer) = viewers.iter_mut().find(|viewer| viewer.id == transmit.downlink) else { return };
                for datagram in transmit.bytes.chunks(transmit.segment_size) {
                    viewer.look(datagram, now);
                }
            });
            for (to, travels) in leaving {
                self.send(&name, to, travels);
            }
            for (node, from, to, said) in asides {
                self.send_aside(&node, from, to, said);
            }
        }
    }

    /// From shard to shard there is no way, but a queue that may be full.
    fn send_aside(&mut self, node: &NodeId, from: u8, to: u8, said: Said) {
        let found = self.nodes.iter().find(|(_, there)| there.id == *node && there.shard == to);
        let Some(name) = found.map(|(name, _)| name.clone()) else { return };
        if matches!(said, Said::Datagrams(_)) && self.pick(100) < self.shed_percent {
            self.lost += 1;
            return;
        }
        self.put(self.now, node.clone(), name, Travels::Part(from, said));
    }

    fn send(&mut self, from: &NodeId, to: NodeId, travels: Travels) {
        let pair = (from.clone(), to.clone());
        if !self.links.contains(&pair) {
            return;
        }
        let jitter = self.weather.jitter.as_micros() as u64;
        match travels {
            Travels::Part(..) => unreachable!("it crosses no link"),
            Travels::Message(message) => {
                // As on the wire.
                let json = serde_json::to_vec(&message).unwrap();
                let message = serde_json::from_slice(&json).unwrap();
                let arrives = self.now + self.weather.one_way;
                let arrives = self.stream_until.get(&pair).copied().map_or(arrives, |last| arrives.max(last));
                self.stream_until.insert(pair, arrives);
                self.put(arrives, from.clone(), to, Travels::Message(message));
            }
            Travels::Datagram(datagram) => {
                assert!(datagram.len() <= self.weather.datagram_bytes_max);
                self.check_destination(&to, &datagram);
                if self.pick(100) < self.weather.loss_percent {
                    self.lost += 1;
                    return;
                }
                let times = 1 + u64::from(self.pick(100) < self.weather.repeat_percent);
                for _ in 0..times {
                    let late = Duration::from_micros(self.pick(jitter + 1));
                    let arrives = self.now + self.weather.one_way + late;
                    self.put(arrives, from.clone(), to.clone(), Travels::Datagram(datagram.clone()));
                }
            }
        }
    }

    /// The receiver's shard and hop can be told from the datagram alone.
    fn check_destination(&self, to: &NodeId, datagram: &[u8]) {
        let at = self.nodes[to].shard;
        match route::destination(datagram).unwrap() {
            To::Alias(alias) => {
                assert_eq!((alias.shard(), route::slot(alias)), (usize::from(at), 40 + u16::from(at)));
            }
            To::Room(key) => assert_eq!(key, room().key()),
        }
    }

    fn put(&mut self, arrives: Instant, from: NodeId, to: NodeId, travels: Travels) {
        self.counter += 1;
        self.under_way.insert((arrives, self.counter), (from, to, travels));
    }

    // ── What can be seen ────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn seen(&self, at: &str, viewer: &str) -> Seen {
        self.nodes[&node(at)].viewers.iter().find(|known| known.who == viewer).unwrap().seen.clone()
    }

    pub(crate) fn heard(&self, at: &str, listener: &str) -> &[Heard] {
        &self.nodes[&node(at)].viewers.iter().find(|known| known.who == listener).unwrap().heard
    }

    pub(crate) fn lost_for(&self, at: &str, reason: Loss) -> u64 {
        self.nodes[&node(at)].hop.stats().lost(reason)
    }

    pub(crate) fn live(&self, at: &str) -> Live {
        self.nodes[&node(at)].hop.live()
    }

    pub(crate) fn said(&self, at: &str, kind: &str) -> usize {
        self.nodes[&node(at)].said.get(kind).copied().unwrap_or(0)
    }
}

fn payload(who: &str, spatial: u8, number: u64, key: bool, size: usize) -> Vec<u8> {
    // RFC 7741: a descriptor of one byte, start of partition 0; then the first bytes of a VP8 frame.
    let mut payload = vec![0x10, u8::from(!key), 0, 0];
    if key {
        let (width, height) = (320u16 << spatial, 180u16 << spatial);
        payload.extend([0x9d, 0x01, 0x2a]);
        payload.extend(width.to_le_bytes());
        payload.extend(height.to_le_bytes());
    }
    payload.extend(number.to_be_bytes());
    payload.push(spatial);
    let mut state = number.wrapping_mul(31) ^ who.len() as u64;
    while payload.len() < size {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        payload.push((state >> 56) as u8);
    }
    payload
}

fn kind(message: &Message) -> &'static str {
    match message {
        Message::Hello { .. } => "hello",
        Message::RoomOpen { .. } => "room_open",
        Message::RoomClose { .. } => "room_close",
        Message::Roster { .. } => "roster",
        Message::Announce { .. } => "announce",
        Message::Unannounce { .. } => "unannounce",
        Message::Subscribe { .. } => "subscribe",
        Message::Unsubscribe { .. } => "unsubscribe",
        Message::KeyFrame { .. } => "key_frame",
        Message::Clock { .. } => "clock",
        Message::Grant { .. } => "grant",
        Message::Granted { .. } => "granted",
        Message::Post { .. } => "post",
        Message::Posted { .. } => "posted",
        Message::Unknown => "unknown",
    }
}

impl Node {
    fn new(config: Config, now: Instant) -> Self {
        Self {
            id: config.node.clone(),
            shard: config.shard,
            hop: Hop::new(config, now),
            downlinks: Downlinks::new(),
            viewers: Vec::new(),
            people: BTreeMap::new(),
            messages: Vec::new(),
            paths: BTreeMap::new(),
            key_frames_wanted: Vec::new(),
            connects: Vec::new(),
            granted: Vec::new(),
            wished: Vec::new(),
            said: BTreeMap::new(),
        }
    }
}

impl Viewer {
    /// Opens what came and looks whether it is what the publisher wrote.
    fn look(&mut self, datagram: &[u8], now: Instant) {
        let mut bytes = datagram.to_vec();
        // RTCP (RFC 5761 §4) is of no interest here.
        if (192..224).contains(&bytes[1]) {
            return;
        }
        let opened = self.srtp.unprotect(&mut bytes).unwrap();
        let plain = &bytes[..opened.len];
        let body = opened.header.payload(plain).unwrap();
        if self.listens {
            let whose = opened.header.csrcs(plain).next().unwrap();
            let number = u64::from_be_bytes(body[..8].try_into().unwrap());
            let (slot, sequence) = (opened.header.ssrc, opened.header.sequence);
            return self.heard.push(Heard { at: now, whose, number, slot, sequence });
        }
        let key = body[1] & 1 == 0;
        let at = if key { 11 } else { 4 };
        let number = u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
        let expected = payload("ana", body[at + 8], number, key, body.len());
        self.seen.torn += usize::from(body != expected);
        self.seen.numbers.push(number);
        self.seen.wire.push(opened.header.sequence);
    }
}

impl Seen {
    /// Numbers from the first one seen to the last that are missing.
    pub(crate) fn holes(&self) -> usize {
        let seen: BTreeSet<u64> = self.numbers.iter().copied().collect();
        match (seen.first(), seen.last()) {
            (Some(first), Some(last)) => (last - first + 1) as usize - seen.len(),
            _ => 0,
        }
    }

    pub(crate) fn repeated(&self) -> usize {
        let wire: BTreeSet<u16> = self.wire.iter().copied().collect();
        self.wire.len() - wire.len()
    }
}
