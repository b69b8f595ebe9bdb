//! The mesh: edges, bots, and everything under way between them.

use crate::control::Control;
use crate::findings::Findings;
use crate::network::{Conditions, Random, Underway};
use bytes::Bytes;
use lyceum_bot::{Bot, Config as BotConfig, Output, Plan, Stage};
use lyceum_edge_core::door::{Command, Entry, Event, Secret, Seed, SocketId};
use lyceum_edge_core::stats::Stats;
use lyceum_edge_core::{Config as ShardConfig, Shard};
use lyceum_relay_core::Machine;
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{Datagram, Ecn, Input, Transmit, Wire};
use lyceum_session::Config as SessionConfig;
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::link::Message;
use lyceum_wire::signal::{ClientSays, ToClient, ToEdge};
use lyceum_wire::token::{AUDIENCE, Claims, Grants};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Turns at one and the same moment after which a machine is taken to spin.
const TURNS_AT_ONCE_MAX: u32 = 20_000;
/// What the wall clock says at the run's zero: 2026-01-01.
const UNIX_MS_AT_ZERO: u64 = 1_767_225_600_000;
/// Link datagrams fit this, as after path MTU discovery on an ordinary path.
const LINK_DATAGRAM_BYTES: usize = 1_350;
/// The control plane answers after this.
const CONTROL_DELAY: Duration = Duration::from_millis(15);

/// An edge of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EdgeId(pub usize);

/// A bot of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BotId(pub usize);

/// What a mesh is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Makes everything that chance decides.
    pub seed: u64,
    /// Regions, one edge each.
    pub regions: Vec<&'static str>,
    /// Between a bot and its edge, both ways.
    pub access: Conditions,
    /// Between two edges, both ways.
    pub backbone: Conditions,
}

struct Edge {
    shard: Shard,
    address: NodeAddress,
    udp: SocketAddr,
    links: BTreeSet<usize>,
    dialling: BTreeSet<usize>,
    stats: Option<Stats>,
}

struct Seat {
    bot: Bot,
    edge: usize,
    room: RoomId,
    udp: SocketAddr,
    socket: Option<SocketId>,
    participant: ParticipantId,
    grants: Grants,
    last_message: u64,
}

enum What {
    ToEdge { edge: usize, from: SocketAddr, bytes: Vec<u8> },
    ToBot { bot: usize, from: SocketAddr, bytes: Vec<u8> },
    Said { bot: usize, socket: SocketId, message: Box<ToEdge> },
    Say { bot: usize, socket: SocketId, message: Box<ToClient> },
    Socket { bot: usize },
    Lost { edge: usize, socket: SocketId },
    Link { edge: usize, said: FromLink },
    Connect { from: usize, to: usize },
    Map { edge: usize, map: RoomMap },
}

/// Ways that carry messages in order: a later one never arrives before an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Up(SocketId),
    Down(SocketId),
    Link(usize, usize),
}

/// The mesh in virtual time.
pub struct Mesh {
    setup: Setup,
    random: Random,
    zero: Instant,
    now: Instant,
    edges: Vec<Edge>,
    seats: Vec<Seat>,
    by_udp: BTreeMap<SocketAddr, usize>,
    by_socket: BTreeMap<SocketId, usize>,
    underway: Underway<What>,
    streams: BTreeMap<Stream, Instant>,
    severed: BTreeSet<(usize, usize)>,
    control: Control,
    session: SessionConfig,
    sockets: u64,
    turns_at_once: u32,
    /// What was found.
    pub findings: Findings,
}

#[derive(Default)]
struct Sent(Vec<(SocketAddr, Vec<u8>)>);

impl Wire for Sent {
    fn send(&mut self, transmit: Transmit<'_>) {
        let pieces = transmit.bytes.chunks(transmit.segment.max(1));
        self.0.extend(pieces.map(|piece| (transmit.to, piece.to_vec())));
    }
}

fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no name"))
}

impl Mesh {
    /// A mesh at rest. `zero` is its first moment; nothing but differences to it matter.
    #[must_use]
    pub fn new(setup: Setup, zero: Instant) -> Self {
        let mut random = Random::new(setup.seed);
        let session = SessionConfig::new().unwrap_or_else(|error| panic!("{error}"));
        let edges = setup.regions.iter().enumerate().map(|(index, region)| {
            let udp = SocketAddr::from((Ipv4Addr::new(10, 0, 0, index as u8 + 1), 4_000));
            let node: NodeId = name(&format!("{region}-1"));
            let region: Region = name(region);
            let config = ShardConfig {
                node: node.clone(),
                region: region.clone(),
                shard: 0,
                candidates: vec![udp],
                session: session.clone(),
                seed: Seed(random.bytes()),
                unix_ms: UNIX_MS_AT_ZERO,
                participants_max: lyceum_edge_core::config::PARTICIPANTS_MAX,
                linger: lyceum_edge_core::config::LINGER,
                turn: None,
            };
            Edge {
                shard: Shard::new(config, zero),
                address: NodeAddress { node, region, link_addr: format!("10.0.0.{}:5000", index + 1) },
                udp,
                links: BTreeSet::new(),
                dialling: BTreeSet::new(),
                stats: None,
            }
        });
        let edges = edges.collect();
        Self {
            setup,
            random,
            zero,
            now: zero,
            edges,
            seats: Vec::new(),
            by_udp: BTreeMap::new(),
            by_socket: BTreeMap::new(),
            underway: Underway::new(),
            streams: BTreeMap::new(),
            severed: BTreeSet::new(),
            control: Control::default(),
            session,
            sockets: 0,
            turns_at_once: 0,
            findings: Findings::default(),
        }
    }

    /// Somebody comes in at an edge and may do what participants may.
    pub fn join(&mut self, edge: EdgeId, room: &str, plan: Plan) -> BotId {
        self.join_with(edge, room, plan, Grants::participant())
    }

    /// Somebody comes in at an edge with these grants.
    pub fn join_with(&mut self, edge: EdgeId, room: &str, plan: Plan, grants: Grants) -> BotId {
        let index = self.seats.len();
        let udp = SocketAddr::from((Ipv4Addr::new(10, 1, (index >> 8) as u8, index as u8), 6_000));
        let config = BotConfig {
            token: format!("token-{index}"),
            plan,
            local: udp,
            seed: self.random.draw(),
            origin: index as u64,
            zero: self.zero,
        };
        let bot = Bot::new(config, &self.session, self.now);
        let participant = name(&format!("p{index}"));
        let room = name(room);
        self.seats.push(Seat { bot, edge: edge.0, room, udp, socket: None, participant, grants, last_message: 0 });
        self.by_udp.insert(udp, index);
        self.underway.send(self.now, What::Socket { bot: index });
        BotId(index)
    }

    /// The bot, to be asked and told things. Call [`Mesh::run`] afterwards.
    pub fn bot(&mut self, bot: BotId) -> &mut Bot {
        &mut self.seats[bot.0].bot
    }

    /// The bot leaves for good.
    pub fn leave(&mut self, bot: BotId) {
        let now = self.now;
        self.seats[bot.0].bot.leave(now);
        self.drain_bot(bot.0);
    }

    /// The bot is gone from one moment to the next: no goodbye, no more packets.
    pub fn vanish(&mut self, bot: BotId) {
        self.cut_socket(bot);
        let seat = &self.seats[bot.0];
        self.by_udp.remove(&seat.udp);
    }

    /// Cuts the bot's WebSocket; what was under way on it is lost. A new one opens after `pause`.
    pub fn cut_socket_for(&mut self, bot: BotId, pause: Duration) {
        self.cut_socket(bot);
        self.underway.send(self.now + pause, What::Socket { bot: bot.0 });
    }

    fn cut_socket(&mut self, bot: BotId) {
        let seat = &mut self.seats[bot.0];
        if let Some(socket) = seat.socket.take() {
            self.by_socket.remove(&socket);
            self.underway.send(self.now + Duration::from_millis(50), What::Lost { edge: seat.edge, socket });
        }
    }

    /// Cuts the link between two edges, both ways. Both notice.
    pub fn sever(&mut self, one: EdgeId, other: EdgeId) {
        self.severed.insert(pair(one.0, other.0));
        for (here, there) in [(one.0, other.0), (other.0, one.0)] {
            self.edges[here].dialling.remove(&there);
            if self.edges[here].links.remove(&there) {
                let node = self.edges[there].address.node.clone();
                self.underway.send(self.now, What::Link { edge: here, said: FromLink::Down { node } });
            }
        }
    }

    /// The link may stand again; the edges have to ask for it.
    pub fn mend(&mut self, one: EdgeId, other: EdgeId) {
        self.severed.remove(&pair(one.0, other.0));
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        (0..self.seats.len()).for_each(|bot| self.drain_bot(bot));
        while let Some(next) = self.next_moment().filter(|next| *next <= until) {
            if next > self.now {
                self.now = next;
                self.turns_at_once = 0;
            }
            self.turns_at_once += 1;
            assert!(self.turns_at_once < TURNS_AT_ONCE_MAX, "something spins without time passing");
            while let Some(what) = self.underway.take_due(self.now) {
                self.arrive(what);
            }
            self.tick();
        }
        self.now = until;
        self.look_at_bots();
    }

    /// Lets time pass until `reached` says so, at most `within`. Whether it did.
    pub fn run_until(&mut self, within: Duration, mut reached: impl FnMut(&mut Self) -> bool) -> bool {
        let until = self.now + within;
        while self.now < until {
            if reached(self) {
                return true;
            }
            self.run(Duration::from_millis(100));
        }
        reached(self)
    }

    /// Everybody's media are connected.
    pub fn all_connected(&self) -> bool {
        self.seats.iter().all(|seat| seat.bot.stage() == Stage::Connected)
    }

    /// The number of the last room message the bot heard.
    pub fn heard_up_to(&self, bot: BotId) -> u64 {
        self.seats[bot.0].last_message
    }

    /// What an edge's shard counts.
    pub fn stats(&mut self, edge: EdgeId) -> Stats {
        self.edges[edge.0].stats = None;
        let request = lyceum_edge_core::door::RequestId(1);
        self.command(edge.0, Command::Stats { request });
        self.edges[edge.0].stats.take().unwrap_or_else(|| panic!("a shard answers for its statistics at once"))
    }

    fn next_moment(&self) -> Option<Instant> {
        let shards = self.edges.iter().filter_map(|edge| edge.shard.deadline());
        let bots = self.seats.iter().filter_map(|seat| seat.bot.deadline());
        let soonest = shards.chain(bots).chain(self.underway.next_at()).min();
        soonest.map(|at| at.max(self.now))
    }

    fn tick(&mut self) {
        for edge in 0..self.edges.len() {
            if self.edges[edge].shard.deadline().is_some_and(|at| at <= self.now) {
                self.edges[edge].shard.handle(Input::Tick, self.now);
                self.drain_edge(edge);
            }
        }
        for bot in 0..self.seats.len() {
            if self.seats[bot].bot.deadline().is_some_and(|at| at <= self.now) {
                self.seats[bot].bot.tick(self.now);
                self.drain_bot(bot);
            }
        }
    }

    fn arrive(&mut self, what: What) {
        match what {
            What::ToEdge { edge, from, mut bytes } => {
                let to = self.edges[edge].udp;
                let datagram = Datagram { from, to, ecn: Ecn::NotCapable, bytes: &mut bytes };
                self.edges[edge].shard.handle(Input::Datagram(datagram), self.now);
                self.drain_edge(edge);
            }
            What::ToBot { bot, from, mut bytes } => {
                self.seats[bot].bot.datagram(from, &mut bytes, self.now);
                self.drain_bot(bot);
            }
            What::Socket { bot } => {
                self.sockets += 1;
                let socket = SocketId(self.sockets);
                self.seats[bot].socket = Some(socket);
                self.by_socket.insert(socket, bot);
                self.seats[bot].bot.socket_opened();
                self.drain_bot(bot);
            }
            What::Said { bot, socket, message } => self.said(bot, socket, message),
            What::Say { bot, socket, message } => {
                if self.seats[bot].socket == Some(socket) {
                    self.seats[bot].bot.hear(*message, self.now);
                    self.drain_bot(bot);
                }
            }
            What::Lost { edge, socket } => self.command(edge, Command::SocketLost { socket }),
            What::Link { edge, said } => {
                let alive = match &said {
                    FromLink::Message { node, .. } | FromLink::Datagrams { node, .. } => self.linked(edge, node),
                    FromLink::Up { .. } | FromLink::Quality { .. } | FromLink::Down { .. } => true,
                };
                if alive {
                    self.command(edge, Command::Link(said));
                }
            }
            What::Connect { from, to } => self.connect(from, to),
            What::Map { edge, map } => self.command(edge, Command::RoomMap(Box::new(map))),
        }
    }

    /// What the shell of an edge does with a socket's messages.
    fn said(&mut self, bot: usize, socket: SocketId, message: Box<ToEdge>) {
        if self.seats[bot].socket != Some(socket) {
            return;
        }
        let edge = self.seats[bot].edge;
        let command = match message.body {
            ClientSays::Hello { resume: Some(resume), .. } => {
                Command::Resume { socket, secret: Secret(resume.session), seen: resume.seen }
            }
            ClientSays::Hello { resume: None, .. } => {
                let seat = &self.seats[bot];
                let claims = Claims {
                    aud: AUDIENCE.into(),
                    sub: format!("person-{bot}"),
                    name: format!("Bot {bot}"),
                    room: seat.room.clone(),
                    grants: seat.grants.clone(),
                    nbf: 0,
                    exp: u64::MAX,
                };
                let secret = Secret(format!("secret-{bot}-{}", self.random.draw()));
                let seed = Seed(self.random.bytes());
                let entry = Box::new(Entry { secret, participant: seat.participant.clone(), claims, seed });
                Command::Open { socket, entry }
            }
            _ => Command::Said { socket, message },
        };
        self.command(edge, command);
    }

    fn command(&mut self, edge: usize, command: Command) {
        self.edges[edge].shard.handle(Input::Command(command), self.now);
        self.drain_edge(edge);
    }

    fn drain_edge(&mut self, edge: usize) {
        let mut sent = Sent::default();
        self.edges[edge].shard.flush(&mut sent, self.now);
        let from = self.edges[edge].udp;
        for (to, bytes) in sent.0 {
            if let Some(&bot) = self.by_udp.get(&to) {
                self.findings.leaves(bot, &bytes);
                for after in self.setup.access.arrivals(&mut self.random) {
                    self.underway.send(self.now + after, What::ToBot { bot, from, bytes: bytes.clone() });
                }
            }
        }
        while let Some(event) = self.edges[edge].shard.poll() {
            self.event(edge, event);
        }
    }

    fn event(&mut self, edge: usize, event: Event) {
        match event {
            Event::Say { socket, message } => {
                if let Some(&bot) = self.by_socket.get(&socket) {
                    let at = self.in_order(Stream::Down(socket), self.setup.access);
                    let message = Box::new(message.to_client());
                    self.underway.send(at, What::Say { bot, socket, message });
                }
            }
            Event::CloseSocket { socket } => {
                if let Some(bot) = self.by_socket.remove(&socket) {
                    self.seats[bot].socket = None;
                }
            }
            Event::RoomWanted { room } => {
                let address = self.edges[edge].address.clone();
                let map = self.control.attach(&room, &address);
                self.tell(map);
            }
            Event::RoomEmpty { room } => {
                let node = self.edges[edge].address.node.clone();
                let map = self.control.detach(&room, &node);
                self.tell(map);
            }
            Event::Connect { address } => {
                if let Some(to) = self.edge_of(&address.node) {
                    self.dial(edge, to);
                }
            }
            Event::LinkSend { node, message } => {
                if let Some(to) = self.edge_of(&node).filter(|_| self.linked(edge, &node)) {
                    self.link_message(edge, to, message);
                }
            }
            Event::LinkDatagrams { node, datagrams } => {
                if let Some(to) = self.edge_of(&node).filter(|_| self.linked(edge, &node)) {
                    self.link_datagrams(edge, to, datagrams);
                }
            }
            Event::Stats { stats, .. } => self.edges[edge].stats = Some(*stats),
            Event::RoomCount { .. }
            | Event::HttpAnswer { .. }
            | Event::TurnOpen { .. }
            | Event::TurnClose { .. }
            | Event::TurnSend { .. } => {}
        }
    }

    /// Tells a room's map to every node in it.
    fn tell(&mut self, map: Option<RoomMap>) {
        let Some(map) = map else { return };
        for node in &map.nodes {
            if let Some(edge) = self.edge_of(&node.node) {
                self.underway.send(self.now + CONTROL_DELAY, What::Map { edge, map: map.clone() });
            }
        }
    }

    /// The control plane has lost an edge (its lease ran out): it hosts nothing any more, and homes move.
    pub fn forget(&mut self, edge: EdgeId) {
        let node = self.edges[edge.0].address.node.clone();
        for room in self.control.rooms_of(&node) {
            let map = self.control.detach(&room, &node);
            self.tell(map);
        }
    }

    /// The control plane heard of the edge again: it hosts what it hosted.
    pub fn remember(&mut self, edge: EdgeId, room: &str) {
        let address = self.edges[edge.0].address.clone();
        let map = self.control.attach(&name(room), &address);
        self.tell(map);
    }

    fn dial(&mut self, from: usize, to: usize) {
        let there = self.edges[from].links.contains(&to) || self.edges[from].dialling.contains(&to);
        if there || self.severed.contains(&pair(from, to)) {
            return;
        }
        self.edges[from].dialling.insert(to);
        self.edges[to].dialling.insert(from);
        // A QUIC handshake takes one round trip, the two hellos half a one more.
        self.underway.send(self.now + self.setup.backbone.delay * 3, What::Connect { from, to });
    }

    fn connect(&mut self, from: usize, to: usize) {
        for (here, there) in [(from, to), (to, from)] {
            self.edges[here].dialling.remove(&there);
            if self.severed.contains(&pair(from, to)) || !self.edges[here].links.insert(there) {
                continue;
            }
            let NodeAddress { node, region, .. } = self.edges[there].address.clone();
            let rtt = self.setup.backbone.delay * 2;
            let said = FromLink::Up { node, region, rtt, datagram_bytes_max: LINK_DATAGRAM_BYTES };
            self.underway.send(self.now, What::Link { edge: here, said });
        }
    }

    fn link_message(&mut self, from: usize, to: usize, message: Box<Message>) {
        let at = self.in_order(Stream::Link(from, to), self.setup.backbone);
        let node = self.edges[from].address.node.clone();
        self.underway.send(at, What::Link { edge: to, said: FromLink::Message { node, message } });
    }

    fn link_datagrams(&mut self, from: usize, to: usize, datagrams: Vec<Bytes>) {
        let (here, there) = (self.edges[from].address.node.clone(), self.edges[to].address.node.clone());
        for datagram in datagrams {
            self.findings.crosses(&here, &there, &datagram);
            if datagram.len() > LINK_DATAGRAM_BYTES {
                self.findings.wrong(format!("{here} sent {there} a datagram of {} bytes", datagram.len()));
            }
            for after in self.setup.backbone.arrivals(&mut self.random) {
                let said = FromLink::Datagrams { node: here.clone(), datagrams: vec![datagram.clone()] };
                self.underway.send(self.now + after, What::Link { edge: to, said });
            }
        }
    }

    fn drain_bot(&mut self, bot: usize) {
        while let Some(output) = self.seats[bot].bot.poll() {
            let (edge, udp, socket) = (self.seats[bot].edge, self.seats[bot].udp, self.seats[bot].socket);
            match output {
                Output::Say(message) => {
                    if let Some(socket) = socket {
                        let at = self.in_order(Stream::Up(socket), self.setup.access);
                        self.underway.send(at, What::Said { bot, socket, message });
                    }
                }
                Output::Transmit { to, bytes } => {
                    if self.by_udp.contains_key(&udp) && self.edges[edge].udp == to {
                        for after in self.setup.access.arrivals(&mut self.random) {
                            let what = What::ToEdge { edge, from: udp, bytes: bytes.to_vec() };
                            self.underway.send(self.now + after, what);
                        }
                    }
                }
            }
        }
    }

    fn look_at_bots(&mut self) {
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let messages = seat.bot.take_messages();
            self.findings.heard(index, seat.room.as_str(), &mut seat.last_message, messages);
            let report = seat.bot.report();
            if report.seen.corrupt > 0 {
                self.findings.wrong(format!("bot {index} got {} changed frames", report.seen.corrupt));
            }
        }
    }

    /// When something sent now arrives on a way that keeps order: loss costs a retransmission, never the message.
    fn in_order(&mut self, stream: Stream, way: Conditions) -> Instant {
        let mut after = way.delay + self.random.up_to(way.jitter);
        while self.random.chance(way.loss_per_million) {
            after += way.delay * 3;
        }
        let earliest = self.streams.get(&stream).copied().unwrap_or(self.now);
        let at = (self.now + after).max(earliest);
        self.streams.insert(stream, at);
        at
    }

    fn edge_of(&self, node: &NodeId) -> Option<usize> {
        self.edges.iter().position(|edge| edge.address.node == *node)
    }

    fn linked(&self, edge: usize, node: &NodeId) -> bool {
        self.edge_of(node).is_some_and(|there| self.edges[edge].links.contains(&there))
    }
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}
