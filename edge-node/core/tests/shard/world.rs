//! Shards, clients, the links between shards and the control plane's room maps, all in one head and one time.

use crate::client::{Client, Line};
use crate::turn::Relayed;
use lyceum_edge_core::door::{Aside, Command, Entry, Event, HttpOutcome, RequestId, Secret, Seed, SocketId};
use lyceum_edge_core::{Config, Shard, Sibling, TurnConfig};
use lyceum_relay_core::hop::Said;
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{Datagram, Ecn, Input, Machine, Transmit, Wire};
use lyceum_relay_core::route;
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::link::datagram;
use lyceum_wire::signal::{ClientSays, EdgeSays, ToEdge};
use lyceum_wire::token::{Claims, Grants};
use lyceum_wire::turn::ChannelData;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub(crate) static SESSIONS: LazyLock<lyceum_session::Config> = LazyLock::new(|| lyceum_session::Config::new().unwrap());

/// Turns in one virtual moment after which something must be chasing its tail.
const TURNS_MAX: usize = 10_000;

pub(crate) const UNIX_MS: u64 = 1_700_000_000_000;

/// One shard of a node; most nodes here have one.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    region: Region,
    /// Its number on the node, and how many the node has.
    number: u8,
    shards: u8,
    pub(crate) address: SocketAddr,
    pub(crate) shard: Shard,
    /// Everything it wanted but `Say` and what links carry.
    pub(crate) wanted: Vec<Event>,
    pub(crate) turns: u64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: Vec<Client>,
    pub(crate) flying: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// What reached nobody known: to whom, what.
    pub(crate) stray: Vec<(SocketAddr, Vec<u8>)>,
    maps: BTreeMap<RoomId, RoomMap>,
    /// Nodes hear of each other's rooms and have links.
    pub(crate) linked: bool,
    /// What shards of one node have said to each other, by kind; of datagrams, each `shed`-th is dropped.
    pub(crate) asides: BTreeMap<&'static str, usize>,
    pub(crate) shed: Option<usize>,
    counter: u64,
}

struct Queue<'a> {
    from: SocketAddr,
    flying: &'a mut VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
}

impl Wire for Queue<'_> {
    fn send(&mut self, transmit: Transmit<'_>) {
        for datagram in transmit.bytes.chunks(transmit.segment.max(1)) {
            self.flying.push_back((self.from, transmit.to, datagram.to_vec()));
        }
    }
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn secret_of(name: &str) -> Secret {
    Secret(format!("00-secret-of-{name}"))
}

pub(crate) fn claims(name: &str, room_name: &str, grants: Grants) -> Claims {
    Claims {
        aud: "lyceum".into(),
        sub: format!("user-{name}"),
        name: name.into(),
        room: room(room_name),
        grants,
        nbf: 0,
        exp: u64::MAX,
    }
}

impl World {
    pub(crate) fn new(nodes: usize) -> Self {
        Self::with(nodes, |_| {})
    }

    pub(crate) fn with(nodes: usize, change: impl Fn(&mut Config)) -> Self {
        Self::of_shards(&vec![1; nodes], change)
    }

    /// Nodes with so many shards each: `nodes` are then the first node's shards, the second's, and so on.
    pub(crate) fn of_shards(shape: &[u8], change: impl Fn(&mut Config)) -> Self {
        let now = Instant::now();
        let node = |n: usize, number: u8, shards: u8| {
            let address = |shard: u8| -> SocketAddr {
                format!("203.0.113.{}:{}", n + 1, 5_000 + u16::from(shard)).parse().unwrap()
            };
            let ports = |shard: u8| {
                let each = lyceum_edge_core::turn::PORTS.len() as u16 / u16::from(shards);
                let first = lyceum_edge_core::turn::PORTS.start() + each * u16::from(shard);
                first..=first + (each - 1)
            };
            let sibling = |shard| Sibling { shard, candidates: vec![address(shard)] };
            let mut config = Config {
                node: NodeId::parse(&format!("node-{n}")).unwrap(),
                region: Region::parse(["eu", "us", "ap"][n]).unwrap(),
                shard: number,
                candidates: vec![address(number)],
                session: SESSIONS.clone(),
                seed: Seed([n as u8 * 16 + number + 1; 32]),
                unix_ms: UNIX_MS,
                participants_max: lyceum_edge_core::config::PARTICIPANTS_MAX,
                linger: lyceum_edge_core::config::LINGER,
                siblings: (0..shards).filter(|shard| *shard != number).map(sibling).collect(),
                turn: Some(TurnConfig {
                    realm: "lyceum".into(),
                    secret: Secret("turn-secret".into()),
                    allowed: Vec::new(),
                    ports: ports(number),
                }),
            };
            change(&mut config);
            Node {
                id: config.node.clone(),
                region: config.region.clone(),
                number,
                shards,
                address: address(number),
                shard: Shard::new(config, now),
                wanted: Vec::new(),
                turns: 0,
            }
        };
        let all = shape.iter().enumerate().flat_map(|(n, shards)| (0..*shards).map(move |number| (n, number, *shards)));
        Self {
            now,
            nodes: all.map(|(n, number, shards)| node(n, number, shards)).collect(),
            clients: Vec::new(),
            flying: VecDeque::new(),
            stray: Vec::new(),
            maps: BTreeMap::new(),
            linked: true,
            asides: BTreeMap::new(),
            shed: None,
            counter: 0,
        }
    }

    fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    // ── Doing things ────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        self.nodes[node].shard.handle(Input::Command(command), self.now);
        self.settle();
    }

    pub(crate) fn entry(&mut self, name: &str, room_name: &str, grants: Grants) -> Box<Entry> {
        let n = self.fresh();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&n.to_be_bytes());
        Box::new(Entry {
            secret: secret_of(name),
            participant: ParticipantId::parse(&format!("p-{name}")).unwrap(),
            claims: claims(name, room_name, grants),
            seed: Seed(seed),
        })
    }

    pub(crate) fn add(&mut self, node: usize, name: &str) -> usize {
        let number = self.fresh() as u16;
        self.clients.push(Client::new(name, node, number));
        self.clients.len() - 1
    }

    /// A client says `hello` at a node.
    pub(crate) fn join(&mut self, node: usize, name: &str, room_name: &str) -> usize {
        self.join_with(node, name, room_name, Grants::participant())
    }

    pub(crate) fn join_with(&mut self, node: usize, name: &str, room_name: &str, grants: Grants) -> usize {
        let client = self.add(node, name);
        let socket = SocketId(self.fresh());
        let entry = self.entry(name, room_name, grants);
        self.clients[client].socket = Some(socket);
        self.clients[client].secret = entry.secret.clone();
        self.command(node, Command::Open { socket, entry });
        client
    }

    /// Says something with the next number, or none for what has none.
    pub(crate) fn say(&mut self, client: usize, body: ClientSays) -> u64 {
        let Client { node, socket, seq, .. } = &mut self.clients[client];
        let unnumbered = matches!(body, ClientSays::Ack { .. } | ClientSays::Ping { .. } | ClientSays::Hello { .. });
        if !unnumbered {
            *seq += 1;
        }
        let (node, seq) = (*node, if unnumbered { 0 } else { *seq });
        if let Some(socket) = *socket {
            self.command(node, Command::Said { socket, message: Box::new(ToEdge { seq, body }) });
        }
        seq
    }

    pub(crate) fn chat(&mut self, client: usize, text: &str) -> u64 {
        let id = format!("{}-{}", self.clients[client].name, self.clients[client].seq + 1);
        self.say(client, ClientSays::Message { id, kind: "chat".into(), body: text.into() })
    }

    /// Offers its lines as they are now.
    pub(crate) fn offer(&mut self, client: usize) -> u64 {
        let (sdp, publish, slots) = self.clients[client].offer();
        self.say(client, ClientSays::Offer { sdp, publish, slots })
    }

    /// Offers these lines and waits until media stand.
    pub(crate) fn connect(&mut self, client: usize, lines: Vec<Line>) {
        self.clients[client].lines = lines;
        self.offer(client);
        self.run(2_000);
        assert!(self.clients[client].is_connected(), "{} is connected", self.clients[client].name);
    }

    /// The WebSocket breaks.
    pub(crate) fn cut(&mut self, client: usize) {
        let node = self.clients[client].node;
        if let Some(socket) = self.clients[client].socket.take() {
            self.command(node, Command::SocketLost { socket });
        }
    }

    /// A new WebSocket says `hello` with `resume`.
    pub(crate) fn resume(&mut self, client: usize, seen: u64) {
        let socket = SocketId(self.fresh());
        let Client { node, secret, .. } = &self.clients[client];
        let (node, secret) = (*node, secret.clone());
        self.clients[client].socket = Some(socket);
        self.clients[client].closed = false;
        self.command(node, Command::Resume { socket, secret, seen });
    }

    pub(crate) fn request(&mut self) -> RequestId {
        RequestId(self.fresh())
    }

    /// Throws a datagram at a node.
    pub(crate) fn throw(&mut self, from: SocketAddr, node: usize, bytes: &[u8]) {
        self.flying.push_back((from, self.nodes[node].address, bytes.to_vec()));
        self.settle();
    }

    // ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Lets this many milliseconds pass.
    pub(crate) fn run(&mut self, milliseconds: u64) {
        let end = self.now + Duration::from_millis(milliseconds);
        self.settle();
        let mut here = 0;
        loop {
            let shards = self.nodes.iter().filter_map(|node| node.shard.deadline());
            let clients = self.clients.iter().filter(|c| !c.cut_off).filter_map(|c| c.session.as_ref()?.deadline());
            let Some(next) = shards.chain(clients).min().filter(|next| *next <= end) else { break };
            here = if next > self.now { 0 } else { here + 1 };
            assert!(here < TURNS_MAX, "time stands still");
            self.now = self.now.max(next);
            for node in &mut self.nodes {
                if node.shard.deadline().is_some_and(|at| at <= self.now) {
                    node.shard.handle(Input::Tick, self.now);
                    node.turns += 1;
                }
            }
            for client in &mut self.clients {
                if let Some(session) = client.session.as_mut().filter(|s| s.deadline().is_some_and(|at| at <= self.now))
                {
                    session.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    /// Until nobody has anything more to say at this moment.
    pub(crate) fn settle(&mut self) {
        for turn in 0.. {
            assert!(turn < TURNS_MAX, "somebody chases his tail");
            let mut busy = false;
            for index in 0..self.nodes.len() {
                let Node { shard, address, .. } = &mut self.nodes[index];
                shard.flush(&mut Queue { from: *address, flying: &mut self.flying }, self.now);
                while let Some(event) = self.nodes[index].shard.poll() {
                    busy = true;
                    self.wanted(index, event);
                }
            }
            for client in &mut self.clients {
                client.settle();
                let cut_off = client.cut_off;
                let relayed = client.relayed;
                let sent = client.outbox.drain(..).filter(|_| !cut_off);
                self.flying.extend(sent.map(|(pair, bytes)| match relayed {
                    None => (pair.local, pair.remote, bytes),
                    Some(Relayed { real, server, channel, .. }) => {
                        let mut whole = ChannelData::header(channel, bytes.len()).unwrap().to_vec();
                        whole.extend_from_slice(&bytes);
                        (real, server, whole)
                    }
                }));
            }
            while let Some((from, to, mut bytes)) = self.flying.pop_front() {
                busy = true;
                self.deliver(from, to, &mut bytes);
            }
            if !busy {
                break;
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, bytes: &mut [u8]) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.address == to) {
            let datagram = Datagram { from, to, ecn: Ecn::NotCapable, bytes };
            node.shard.handle(Input::Datagram(datagram), self.now);
        } else if let Some(client) = self.clients.iter_mut().find(|c| c.address == to && !c.cut_off) {
            client.receive(from, to, bytes, self.now);
        } else if let Some(client) = self.clients.iter_mut().find(|c| c.relayed.is_some_and(|r| r.real == to)) {
            let len = ChannelData::parse(bytes).expect("by the channel").data.len();
            let (relayed, peer) = (client.address, client.relayed.map_or(from, |relayed| relayed.peer));
            client.receive(peer, relayed, &mut bytes[4..4 + len], self.now);
        } else {
            self.stray.push((to, bytes.to_vec()));
        }
    }

    fn wanted(&mut self, index: usize, event: Event) {
        match event {
            Event::Say { socket, message } => {
                let now = self.now;
                if let Some(client) = self.clients.iter_mut().find(|c| c.socket == Some(socket)) {
                    let message = message.to_client();
                    if let EdgeSays::Answer { sdp } = &message.body {
                        client.take_answer(sdp, now);
                    }
                    client.heard.push(message);
                }
            }
            Event::CloseSocket { socket } => {
                if let Some(client) = self.clients.iter_mut().find(|c| c.socket == Some(socket)) {
                    client.closed = true;
                    client.socket = None;
                }
            }
            Event::LinkSend { node, message } => {
                let from = self.nodes[index].id.clone();
                self.carry(&node, FromLink::Message { node: from, message });
            }
            Event::LinkDatagrams { node, datagrams } => {
                let from = self.nodes[index].id.clone();
                self.carry(&node, FromLink::Datagrams { node: from, datagrams });
            }
            Event::RoomWanted { room } => {
                assert!(self.is_root(index, &room), "a branch does not speak for the room");
                self.nodes[index].wanted.push(Event::RoomWanted { room: room.clone() });
                if self.linked {
                    self.attach(index, room);
                }
            }
            Event::RoomEmpty { room } => {
                assert!(self.is_root(index, &room), "a branch does not speak for the room");
                let id = self.nodes[index].id.clone();
                if let Some(map) = self.maps.get_mut(&room) {
                    map.nodes.retain(|address| address.node != id);
                }
                self.nodes[index].wanted.push(Event::RoomEmpty { room });
            }
            Event::Aside { from, shard, aside } => {
                assert_eq!(from, self.nodes[index].number);
                let kind = match &aside {
                    Aside::Room(Said::Message(_)) => "message",
                    Aside::Room(Said::Datagrams(_)) => "datagrams",
                    Aside::Room(Said::Regions { .. }) => "regions",
                    Aside::Relayed { .. } => "relayed",
                    Aside::ToRelayed { .. } => "to_relayed",
                };
                let count = self.asides.entry(kind).or_default();
                *count += 1;
                if aside.may_drop() && self.shed.is_some_and(|shed| count.is_multiple_of(shed)) {
                    return;
                }
                let (id, now) = (self.nodes[index].id.clone(), self.now);
                let there = self.nodes.iter_mut().find(|node| node.id == id && node.number == shard).unwrap();
                there.shard.handle(Input::Command(Command::Aside { from, aside }), now);
            }
            other => self.nodes[index].wanted.push(other),
        }
    }

    fn is_root(&self, index: usize, room: &RoomId) -> bool {
        room.key() % u64::from(self.nodes[index].shards) == u64::from(self.nodes[index].number)
    }

    fn carry(&mut self, to: &NodeId, said: FromLink) {
        if !self.linked {
            return;
        }
        let Some(shards) = self.nodes.iter().find(|node| node.id == *to).map(|node| usize::from(node.shards)) else {
            return;
        };
        // As `relay::mesh` does it.
        match said {
            FromLink::Datagrams { node, datagrams } => {
                for datagram in datagrams {
                    let shard = datagram::shard(&datagram, shards).unwrap();
                    let said = FromLink::Datagrams { node: node.clone(), datagrams: vec![datagram] };
                    self.carry_to(to, shard, said);
                }
            }
            FromLink::Message { node, message } => {
                let key = route::room(&message).unwrap().key();
                self.carry_to(to, (key % shards as u64) as usize, FromLink::Message { node, message });
            }
            _ => unreachable!("only these are carried"),
        }
    }

    fn carry_to(&mut self, to: &NodeId, shard: usize, said: FromLink) {
        let now = self.now;
        let there = self.nodes.iter_mut().find(|node| node.id == *to && usize::from(node.number) == shard).unwrap();
        there.shard.handle(Input::Command(Command::Link(said)), now);
    }

    /// The control plane attaches a node to a room and tells all who host it.
    pub(crate) fn attach(&mut self, index: usize, room: RoomId) {
        let node = &self.nodes[index];
        let address =
            NodeAddress { node: node.id.clone(), region: node.region.clone(), link_addr: format!("{}", node.address) };
        let empty = RoomMap { room: room.clone(), epoch: 0, home: node.id.clone(), nodes: Vec::new() };
        let map = self.maps.entry(room).or_insert(empty);
        map.epoch += 1;
        map.nodes.push(address);
        map.home = map.nodes[0].node.clone();
        let map = map.clone();
        for index in 0..self.nodes.len() {
            let root = self.is_root(index, &map.room);
            let node = &mut self.nodes[index];
            if root && map.nodes.iter().any(|a| a.node == node.id) {
                node.shard.handle(Input::Command(Command::RoomMap(Box::new(map.clone()))), self.now);
            }
        }
    }

    /// Every pair of nodes gets a link.
    pub(crate) fn link_all(&mut self) {
        let known: BTreeMap<NodeId, Region> =
            self.nodes.iter().map(|node| (node.id.clone(), node.region.clone())).collect();
        for index in 0..self.nodes.len() {
            let here = self.nodes[index].id.clone();
            for (node, region) in known.iter().filter(|(other, _)| **other != here) {
                let up = FromLink::Up {
                    node: node.clone(),
                    region: region.clone(),
                    version: lyceum_wire::link::VERSION_MAX,
                    rtt: Duration::from_millis(20),
                    datagram_bytes_max: 1_200,
                };
                self.nodes[index].shard.handle(Input::Command(Command::Link(up)), self.now);
            }
        }
        self.settle();
    }

    // ── Looking ─────────────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn drops(&self, node: usize, stage: &str, reason: &str) -> u64 {
        let stats = self.nodes[node].shard.stats();
        let found = stats.drops.iter().find(|(kind, _)| kind.stage == stage && kind.reason == reason);
        *found.unwrap_or_else(|| panic!("no drop {stage}/{reason}")).1
    }

    pub(crate) fn http(&self, node: usize, request: RequestId) -> HttpOutcome {
        let answer = |event: &Event| match event {
            Event::HttpAnswer { request: of, outcome } if *of == request => Some(outcome.clone()),
            _ => None,
        };
        self.nodes[node].wanted.iter().find_map(answer).expect("an answer")
    }

    /// The last roster a client can have put together: who is there, what they publish.
    pub(crate) fn roster(&self, client: usize) -> Vec<String> {
        let mut people = BTreeMap::new();
        for message in &self.clients[client].heard {
            if let EdgeSays::Roster { present, gone, .. } = &message.body {
                for person in present {
                    let mut line = person.name.clone();
                    for publication in &person.publishes {
                        line += &format!(" {:?}{}", publication.source, if publication.muted { "(muted)" } else { "" });
                    }
                    people.insert(person.id.clone(), line);
                }
                gone.iter().for_each(|id| drop(people.remove(id)));
            }
        }
        people.into_values().collect()
    }

    /// The chat a client has seen, in order.
    pub(crate) fn chats(&self, client: usize) -> Vec<String> {
        let text = |body: &EdgeSays| match body {
            EdgeSays::Message { message } => {
                Some(format!("{} {}: {}", message.number, message.name, message.body.as_str().unwrap()))
            }
            _ => None,
        };
        self.clients[client].heard.iter().filter_map(|m| text(&m.body)).collect()
    }

    /// Codes of refusals a client got, in order.
    pub(crate) fn refusals(&self, client: usize) -> Vec<String> {
        let refused = |body: &EdgeSays| match body {
            EdgeSays::Refused { code, fatal, .. } => Some(format!("{code:?}{}", if *fatal { " fatal" } else { "" })),
            _ => None,
        };
        self.clients[client].heard.iter().filter_map(|m| refused(&m.body)).collect()
    }

    /// Highest numbered message a client has heard.
    pub(crate) fn seen(&self, client: usize) -> u64 {
        self.clients[client].heard.iter().map(|m| m.seq).max().unwrap_or(0)
    }
}
