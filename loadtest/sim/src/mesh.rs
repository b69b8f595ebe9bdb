//! The mesh: edges, bots, and everything under way between them.

mod turns;

use crate::control::Control;
use crate::findings::Findings;
use crate::meter::{Meter, Work};
use crate::network::{Conditions, Random, Underway, Way};
use bytes::Bytes;
use lyceum_bot::{Bot, Config as BotConfig, Output, Plan, Stage};
use lyceum_edge_core::door::{Aside, Command, Entry, Secret, Seed, SocketId};
use lyceum_edge_core::spread::{Policy, Spread};
use lyceum_edge_core::stats::{Live, Stats};
use lyceum_edge_core::{Config as ShardConfig, Shard, Sibling};
use lyceum_relay_core::Machine;
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{Datagram, Ecn, Input};
use lyceum_session::Config as SessionConfig;
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::link::{Message, VERSION_MAX};
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
    /// Shards of each edge.
    pub shards: u8,
    /// A shard takes this many participants of a room before the next; 0: all.
    pub split_viewers: u32,
    /// Batches of media between shards that find a full queue, of a million.
    pub shed_per_million: u32,
    /// Shards are busy: after each flush media gather for up to this time.
    pub rest: Duration,
}

impl Setup {
    /// Edges of one shard each.
    #[must_use]
    pub fn new(seed: u64, regions: Vec<&'static str>, access: Conditions, backbone: Conditions) -> Self {
        Self { seed, regions, access, backbone, shards: 1, split_viewers: 0, shed_per_million: 0, rest: Duration::ZERO }
    }
}

/// A shard of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    edge: usize,
    shard: usize,
}

struct Edge {
    shards: Vec<Shard>,
    /// By shard: what gathers leaves then, and not before.
    rests: Vec<Option<Instant>>,
    /// By shard.
    udp: Vec<SocketAddr>,
    spread: Spread,
    address: NodeAddress,
    /// By the other edge: which of the links there were between the two.
    links: BTreeMap<usize, u64>,
    dialling: BTreeSet<usize>,
    stats: Option<Stats>,
}

struct Seat {
    bot: Bot,
    edge: usize,
    /// Where the session lives.
    shard: usize,
    room: RoomId,
    udp: SocketAddr,
    up: Way,
    down: Way,
    socket: Option<SocketId>,
    participant: ParticipantId,
    grants: Grants,
    last_message: u64,
}

enum What {
    ToEdge {
        at: Place,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    ToBot {
        bot: usize,
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    Said {
        bot: usize,
        socket: SocketId,
        message: Box<ToEdge>,
    },
    Say {
        bot: usize,
        socket: SocketId,
        message: Box<ToClient>,
    },
    Socket {
        bot: usize,
    },
    Lost {
        at: Place,
        socket: SocketId,
    },
    /// `link`: what came by a link that is gone is lost with it.
    Link {
        edge: usize,
        from: usize,
        link: Option<u64>,
        said: FromLink,
    },
    RestEnds {
        at: Place,
    },
    Aside {
        at: Place,
        from: u8,
        aside: Aside,
    },
    Connect {
        from: usize,
        to: usize,
    },
    Map {
        edge: usize,
        map: RoomMap,
    },
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
    /// Between edges, by direction.
    backbone: BTreeMap<(usize, usize), Way>,
    links: u64,
    severed: BTreeSet<(usize, usize)>,
    control: Control,
    session: SessionConfig,
    sockets: u64,
    turns_at_once: u32,
    /// What was found.
    pub findings: Findings,
    /// Told whenever a shard works.
    pub meter: Meter,
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
            let udp =
                |shard: u8| SocketAddr::from((Ipv4Addr::new(10, 0, 0, index as u8 + 1), 4_000 + u16::from(shard)));
            let all = 0..setup.shards;
            let sibling = |shard| Sibling { shard, candidates: vec![udp(shard)] };
            let node: NodeId = name(&format!("{region}-1"));
            let region: Region = name(region);
            let shard = |shard: u8| {
                let config = ShardConfig {
                    node: node.clone(),
                    region: region.clone(),
                    shard,
                    candidates: vec![udp(shard)],
                    session: session.clone(),
                    seed: Seed(random.bytes()),
                    unix_ms: UNIX_MS_AT_ZERO,
                    participants_max: lyceum_edge_core::config::PARTICIPANTS_MAX,
                    linger: lyceum_edge_core::config::LINGER,
                    turn: None,
                    siblings: all.clone().filter(|other| *other != shard).map(sibling).collect(),
                };
                Shard::new(config, zero)
            };
            Edge {
                shards: all.clone().map(shard).collect(),
                rests: all.clone().map(|_| None).collect(),
                udp: all.clone().map(udp).collect(),
                spread: Spread::new(usize::from(setup.shards), Policy { split_viewers: setup.split_viewers }),
                address: NodeAddress { node, region, link_addr: format!("10.0.0.{}:5000", index + 1) },
                links: BTreeMap::new(),
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
            backbone: BTreeMap::new(),
            links: 0,
            severed: BTreeSet::new(),
            control: Control::default(),
            session,
            sockets: 0,
            turns_at_once: 0,
            findings: Findings::default(),
            meter: Meter::default(),
        }
    }

    /// Somebody comes in at an edge and may do what participants may.
    pub fn join(&mut self, edge: EdgeId, room: &str, plan: Plan) -> BotId {
        self.join_by(edge, room, plan, Grants::participant(), [self.setup.access; 2])
    }

    /// Somebody comes in at an edge with these grants.
    pub fn join_with(&mut self, edge: EdgeId, room: &str, plan: Plan, grants: Grants) -> BotId {
        self.join_by(edge, room, plan, grants, [self.setup.access; 2])
    }

    /// The same by ways of its own: up, down.
    pub fn join_by(
        &mut self,
        edge: EdgeId,
        room: &str,
        plan: Plan,
        grants: Grants,
        [up, down]: [Conditions; 2],
    ) -> BotId {
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
        self.seats.push(Seat {
            bot,
            edge: edge.0,
            shard: 0,
            room,
            udp,
            up: Way::new(up),
            down: Way::new(down),
            socket: None,
            participant,
            grants,
            last_message: 0,
        });
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
            let at = Place { edge: seat.edge, shard: seat.shard };
            self.underway.send(self.now + Duration::from_millis(50), What::Lost { at, socket });
        }
    }

    /// Cuts the link between two edges, both ways. Both notice.
    pub fn sever(&mut self, one: EdgeId, other: EdgeId) {
        self.severed.insert(pair(one.0, other.0));
        for (here, there) in [(one.0, other.0), (other.0, one.0)] {
            self.edges[here].dialling.remove(&there);
            if self.edges[here].links.remove(&there).is_some() {
                self.streams.remove(&Stream::Link(here, there));
                let node = self.edges[there].address.node.clone();
                let said = FromLink::Down { node };
                self.underway.send(self.now, What::Link { edge: here, from: there, link: None, said });
            }
        }
    }

    /// The link may stand again; the edges have to ask for it.
    pub fn mend(&mut self, one: EdgeId, other: EdgeId) {
        self.severed.remove(&pair(one.0, other.0));
    }

    /// From now on every way is like this.
    pub fn calm(&mut self, access: Conditions, backbone: Conditions) {
        (self.setup.access, self.setup.backbone) = (access, backbone);
        self.setup.shed_per_million = 0;
        self.backbone.clear();
        for seat in &mut self.seats {
            (seat.up, seat.down) = (Way::new(access), Way::new(access));
        }
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

    /// Since the run's zero.
    pub fn elapsed(&self) -> Duration {
        self.now - self.zero
    }

    /// Whether the bot has a WebSocket at this moment.
    pub fn has_socket(&self, bot: BotId) -> bool {
        self.seats[bot.0].socket.is_some()
    }

    /// Who it is in the room.
    pub fn participant(&self, bot: BotId) -> &ParticipantId {
        &self.seats[bot.0].participant
    }

    /// How many shards of an edge somebody's session lives on.
    pub fn shards_in_use(&self, edge: EdgeId) -> usize {
        let there = self.seats.iter().filter(|seat| seat.edge == edge.0 && seat.bot.stage() == Stage::Connected);
        there.map(|seat| seat.shard).collect::<BTreeSet<_>>().len()
    }

    /// The number of the last room message the bot heard.
    pub fn heard_up_to(&self, bot: BotId) -> u64 {
        self.seats[bot.0].last_message
    }

    /// What the shards of an edge count.
    pub fn stats(&mut self, edge: EdgeId) -> Vec<Stats> {
        (0..self.edges[edge.0].shards.len())
            .map(|shard| {
                self.edges[edge.0].stats = None;
                let request = lyceum_edge_core::door::RequestId(1);
                self.command(Place { edge: edge.0, shard }, Command::Stats { request });
                self.edges[edge.0].stats.take().unwrap_or_else(|| panic!("a shard answers for its statistics at once"))
            })
            .collect()
    }

    /// What is left at the end, when everybody has gone: nothing. And what all that has passed shows.
    pub fn look_at_the_end(&mut self) {
        for edge in 0..self.edges.len() {
            for (shard, stats) in self.stats(EdgeId(edge)).into_iter().enumerate() {
                let live = self.edges[edge].shards[shard].live();
                if live != Live::default() {
                    self.findings
                        .wrong(format!("shard {shard} of edge {edge} keeps {live:?} of rooms that have ended"));
                }
                if stats.evictions > 0 {
                    self.findings.wrong(format!("shard {shard} of edge {edge} threw somebody out"));
                }
            }
        }
        self.findings.look_at_gaps();
    }

    /// The end: what is left are the edges' shards as they are now, to be looked at or dropped one by one.
    #[must_use]
    pub fn into_shards(self) -> Vec<Shard> {
        self.edges.into_iter().flat_map(|edge| edge.shards).collect()
    }

    fn next_moment(&self) -> Option<Instant> {
        let shards = self.edges.iter().flat_map(|edge| &edge.shards).filter_map(Shard::deadline);
        let bots = self.seats.iter().filter_map(|seat| seat.bot.deadline());
        let soonest = shards.chain(bots).chain(self.underway.next_at()).min();
        soonest.map(|at| at.max(self.now))
    }

    fn tick(&mut self) {
        for edge in 0..self.edges.len() {
            for shard in 0..self.edges[edge].shards.len() {
                let at = Place { edge, shard };
                if self.edges[edge].shards[shard].deadline().is_some_and(|at| at <= self.now) {
                    self.work(at, Work::Tick, Input::Tick);
                    self.drain_shard(at);
                }
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
            What::ToEdge { at, from, mut bytes } => {
                if let Some(&bot) = self.by_udp.get(&from) {
                    self.findings.comes(bot, &bytes);
                }
                let to = self.edges[at.edge].udp[at.shard];
                let work = Work::of(&bytes);
                let datagram = Datagram { from, to, ecn: Ecn::NotCapable, bytes: &mut bytes };
                self.work(at, work, Input::Datagram(datagram));
                self.drain_shard(at);
            }
            What::ToBot { bot, from, mut bytes } => {
                self.seats[bot].bot.datagram(from, &mut bytes, self.now);
                self.seats[bot].bot.settle(self.now);
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
            What::Lost { at, socket } => self.command(at, Command::SocketLost { socket }),
            What::Link { edge, from, link, said } => {
                if link.is_none_or(|link| self.edges[edge].links.get(&from) == Some(&link)) {
                    if let FromLink::Datagrams { datagrams, .. } = &said {
                        datagrams.iter().for_each(|datagram| self.findings.arrives(from, edge, datagram));
                    }
                    self.by_link(edge, said);
                } else if let FromLink::Datagrams { datagrams, .. } = said {
                    self.findings.lost_before += datagrams.len() as u64;
                }
            }
            What::Aside { at, from, aside } => self.command(at, Command::Aside { from, aside }),
            What::RestEnds { at } => {
                self.edges[at.edge].rests[at.shard] = None;
                self.flush_shard(at);
            }
            What::Connect { from, to } => self.connect(from, to),
            What::Map { edge, map } => {
                let shard = self.edges[edge].spread.root(&map.room);
                self.command(Place { edge, shard }, Command::RoomMap(Box::new(map)));
            }
        }
    }

    /// What the shell of an edge does with a socket's messages.
    fn said(&mut self, bot: usize, socket: SocketId, message: Box<ToEdge>) {
        if self.seats[bot].socket != Some(socket) {
            return;
        }
        let Seat { edge, room, .. } = &self.seats[bot];
        let (edge, room) = (*edge, room.clone());
        let command = match message.body {
            ClientSays::Hello { resume: Some(resume), .. } => {
                Command::Resume { socket, secret: Secret(resume.session), seen: resume.seen }
            }
            ClientSays::Hello { resume: None, .. } => {
                self.seats[bot].shard = self.edges[edge].spread.join(&room, self.now);
                let seat = &self.seats[bot];
                let claims = Claims {
                    aud: AUDIENCE.into(),
                    sub: format!("person-{bot}"),
                    name: format!("Bot {bot}"),
                    room,
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
        let at = Place { edge, shard: self.seats[bot].shard };
        self.command(at, command);
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
        let there = self.edges[from].links.contains_key(&to) || self.edges[from].dialling.contains(&to);
        if there || self.severed.contains(&pair(from, to)) {
            return;
        }
        self.edges[from].dialling.insert(to);
        self.edges[to].dialling.insert(from);
        // A QUIC handshake takes one round trip, the two hellos half a one more.
        self.underway.send(self.now + self.setup.backbone.delay * 3, What::Connect { from, to });
    }

    fn connect(&mut self, from: usize, to: usize) {
        self.links += 1;
        for (here, there) in [(from, to), (to, from)] {
            self.edges[here].dialling.remove(&there);
            if self.severed.contains(&pair(from, to)) || self.edges[here].links.contains_key(&there) {
                continue;
            }
            self.edges[here].links.insert(there, self.links);
            let NodeAddress { node, region, .. } = self.edges[there].address.clone();
            let rtt = self.setup.backbone.delay * 2;
            let said =
                FromLink::Up { node, region, version: VERSION_MAX, rtt, datagram_bytes_max: LINK_DATAGRAM_BYTES };
            self.underway.send(self.now, What::Link { edge: here, from: there, link: None, said });
        }
    }

    fn link_message(&mut self, from: usize, to: usize, message: Box<Message>) {
        let Some(link) = self.edges[from].links.get(&to).copied() else { return };
        let after = self.way(from, to).send_reliably(&mut self.random);
        let at = self.in_order(Stream::Link(from, to), after);
        let node = self.edges[from].address.node.clone();
        self.findings.says(&node, &self.edges[to].address.node, &message);
        let said = FromLink::Message { node, message };
        self.underway.send(at, What::Link { edge: to, from, link: Some(link), said });
    }

    fn link_datagrams(&mut self, from: usize, to: usize, datagrams: Vec<Bytes>) {
        let Some(link) = self.edges[from].links.get(&to).copied() else {
            self.findings.lost_before += datagrams.len() as u64;
            return;
        };
        let mut way = self.way(from, to);
        for datagram in datagrams {
            self.findings.crosses(from, to, &datagram);
            if datagram.len() > LINK_DATAGRAM_BYTES {
                self.findings.wrong(format!("edge {from} sent edge {to} a datagram of {} bytes", datagram.len()));
            }
            let arrivals = way.send(datagram.len(), self.now, &mut self.random);
            self.findings.lost_before += u64::from(arrivals.lost());
            for after in arrivals.times() {
                let node = self.edges[from].address.node.clone();
                let said = FromLink::Datagrams { node, datagrams: vec![datagram.clone()] };
                self.underway.send(self.now + after, What::Link { edge: to, from, link: Some(link), said });
            }
        }
        self.backbone.insert((from, to), way);
    }

    fn way(&self, from: usize, to: usize) -> Way {
        self.backbone.get(&(from, to)).copied().unwrap_or(Way::new(self.setup.backbone))
    }

    fn drain_bot(&mut self, bot: usize) {
        while let Some(output) = self.seats[bot].bot.poll() {
            let Seat { edge, shard, udp, socket, .. } = self.seats[bot];
            match output {
                Output::Say(message) => {
                    if let Some(socket) = socket {
                        let after = self.seats[bot].up.send_reliably(&mut self.random);
                        let at = self.in_order(Stream::Up(socket), after);
                        self.underway.send(at, What::Said { bot, socket, message });
                    }
                }
                Output::Transmit { to, bytes } => {
                    let at = Place { edge, shard };
                    if self.by_udp.contains_key(&udp) && self.edges[edge].udp[shard] == to {
                        let arrivals = self.seats[bot].up.send(bytes.len(), self.now, &mut self.random);
                        self.findings.lost_before += u64::from(arrivals.lost());
                        for after in arrivals.times() {
                            let what = What::ToEdge { at, from: udp, bytes: bytes.to_vec() };
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
            if report.seen.astray > 0 {
                let astray = report.seen.astray;
                self.findings.wrong(format!("bot {index} was switched {astray} times away from a key frame"));
            }
        }
        for (index, edge) in self.edges.iter().enumerate() {
            for shard in &edge.shards {
                let (count, largest) = shard.caches();
                self.findings.caches(index, count, largest);
            }
        }
    }

    /// When something sent now arrives on a way that keeps order.
    fn in_order(&mut self, stream: Stream, after: Duration) -> Instant {
        let earliest = self.streams.get(&stream).copied().unwrap_or(self.now);
        let at = (self.now + after).max(earliest);
        self.streams.insert(stream, at);
        at
    }

    fn edge_of(&self, node: &NodeId) -> Option<usize> {
        self.edges.iter().position(|edge| edge.address.node == *node)
    }
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}
