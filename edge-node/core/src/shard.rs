//! The shard: what one thread of an edge turns.
//!
//! ```text
//!   handle(Datagram)  demux → peer → uplink → room.forward → downlinks          nothing is sent yet
//!   handle(Command)   sessions, rooms, links
//!   handle(Tick)      timers that are due
//!   relieve           media gather, but who joins or says something is answered
//!   flush             peers and rooms that were touched are settled, then everything leaves in batches
//!   poll              events
//! ```
//!
//! A turn looks only at what it touched: an idle peer costs an entry in the timer table and nothing else.

use crate::config::Config;
use crate::demux::Pairs;
use crate::door::{Aside, Command, Entry, Event, Secret, SocketId};
use crate::draw;
use crate::drops::{Departure, Departures, DoorDrop, DoorDrops, Refusals};
use crate::peer::{Peer, Way};
use crate::relayed::{self, Exit, MediaExit};
use crate::room::Room;
use crate::slab::Slab;
use crate::stats::{LinkStats, Past};
use crate::turn;
use bytes::Bytes;
use lyceum_media::downlink::Outlet;
use lyceum_media::timer::Timers;
use lyceum_media::{DownlinkId, Downlinks};
use lyceum_relay_core::hop::Said;
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{self, Culprit, Datagram, Ecn, Input, Machine, Transmit, Wire};
use lyceum_relay_core::route;
use lyceum_session::Pair;
use lyceum_wire::demux::Class;
use lyceum_wire::id::{NodeId, Region, RoomId};
use lyceum_wire::link::Message;
use lyceum_wire::signal::Participant;
use lyceum_wire::stun;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Whose alarm it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Alarm {
    Peer(u32),
    Room(u32),
    Downlinks,
    Turn,
}

/// What the shard is working on, noted before each step so that a panic can be laid at somebody's door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Peer(u32),
    Room(u32),
    /// Removing a room failed half way: what is left of it is dropped without a word.
    Ruin(u32),
}

/// Who takes a STUN message.
enum Owner {
    Peer(u32),
    Turn,
}

/// A link to another node, as far as a shard has to know it.
#[derive(Debug, Clone)]
pub(crate) struct LinkState {
    pub(crate) region: Region,
    pub(crate) version: u16,
    pub(crate) rtt: Duration,
    pub(crate) datagram_bytes_max: usize,
}

impl Traffic {
    pub(crate) fn sent(&mut self, bytes: usize, segment: usize) {
        self.datagrams_out += bytes.div_ceil(segment) as u64;
        self.bytes_out += bytes as u64;
    }
}

impl LinkState {
    pub(crate) fn stats(&self) -> LinkStats {
        LinkStats { up: true, rtt_ms: self.rtt.as_secs_f64() * 1_000.0 }
    }
}

/// One shard of an edge. See the module.
pub struct Shard {
    pub(crate) config: Config,
    pub(crate) peers: Slab<Peer>,
    pub(crate) rooms: Slab<Room>,
    pub(crate) downlinks: Downlinks,
    pub(crate) pairs: Pairs,
    pub(crate) peer_by_downlink: HashMap<DownlinkId, u32>,
    pub(crate) room_by_id: BTreeMap<RoomId, u32>,
    pub(crate) room_by_key: BTreeMap<u64, u32>,
    pub(crate) by_socket: BTreeMap<SocketId, u32>,
    pub(crate) by_secret: BTreeMap<Secret, u32>,
    pub(crate) links: BTreeMap<NodeId, LinkState>,
    pub(crate) turn: Option<turn::Server>,
    pub(crate) timers: Timers<Alarm>,
    dirty_peers: Vec<u32>,
    dirty_rooms: Vec<u32>,
    /// Somebody joins, leaves or says something: it does not wait for media that gather.
    urgent: bool,
    pub(crate) events: VecDeque<Event>,
    /// STUN and DTLS that wait for the flush.
    pub(crate) outbox: Vec<(Pair, Bytes)>,
    /// Where feedback is written before it is sealed.
    pub(crate) rtcp: Vec<u8>,
    /// Where batches for TURN clients are put together.
    scratch: Vec<u8>,
    /// When it was made: the zero of all sender reports.
    pub(crate) born: Instant,
    wall: (Instant, u64),
    working: Option<Work>,
    /// It takes no new rooms any more: the process is about to stop.
    closing: bool,
    pub(crate) drops: DoorDrops,
    pub(crate) departures: Departures,
    pub(crate) refusals: Refusals,
    pub(crate) past: Past,
    pub(crate) traffic: Traffic,
    pub(crate) key_frame_requests: u64,
    pub(crate) nacks_sent: u64,
    pub(crate) evictions: u64,
}

/// What passed the socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    pub(crate) datagrams_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) datagrams_out: u64,
    pub(crate) bytes_out: u64,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let wall = (now, config.unix_ms);
        let turn = relayed::server(&config, &mut draw::Draw::new(config.seed), now);
        Self {
            config,
            peers: Slab::new(),
            rooms: Slab::new(),
            downlinks: Downlinks::new(),
            pairs: Pairs::default(),
            peer_by_downlink: HashMap::new(),
            room_by_id: BTreeMap::new(),
            room_by_key: BTreeMap::new(),
            by_socket: BTreeMap::new(),
            by_secret: BTreeMap::new(),
            links: BTreeMap::new(),
            turn,
            timers: Timers::new(),
            dirty_peers: Vec::new(),
            dirty_rooms: Vec::new(),
            urgent: false,
            events: VecDeque::new(),
            outbox: Vec::new(),
            rtcp: Vec::new(),
            scratch: Vec::new(),
            born: now,
            wall,
            working: None,
            closing: false,
            drops: DoorDrops::default(),
            departures: Departures::default(),
            refusals: Refusals::default(),
            past: Past::default(),
            traffic: Traffic::default(),
            key_frame_requests: 0,
            nacks_sent: 0,
            evictions: 0,
        }
    }

    // ── The world said ──────────────────────────────────────────────────────────────────────────────────────────

    fn datagram(&mut self, datagram: Datagram<'_>, now: Instant) {
        let Datagram { from, to, bytes, .. } = datagram;
        self.traffic.datagrams_in += 1;
        self.traffic.bytes_in += bytes.len() as u64;
        self.demux(Pair { local: to, remote: from }, bytes, now);
    }

    /// Whose is it?
    fn demux(&mut self, pair: Pair, bytes: &mut [u8], now: Instant) {
        match Class::of(bytes) {
            Some(Class::Stun) => match self.peer_of_stun(pair, bytes) {
                Ok(Owner::Peer(index)) => self.session_of(index, pair, bytes, now),
                Ok(Owner::Turn) => self.turn_datagram(pair, bytes, now),
                Err(reason) => self.drops.count(reason),
            },
            Some(Class::Channel) => self.turn_datagram(pair, bytes, now),
            class => self.known_sender(class, pair, bytes, now),
        }
        self.working = None;
    }

    /// The same for what TURN unwrapped: `pair.remote` is the relayed address. TURN does not nest.
    pub(crate) fn demux_relayed(&mut self, pair: Pair, bytes: &mut [u8], now: Instant) {
        match Class::of(bytes) {
            Some(Class::Stun) => match self.peer_of_stun(pair, bytes) {
                Ok(Owner::Peer(index)) => self.session_of(index, pair, bytes, now),
                Ok(Owner::Turn) => self.drops.count(DoorDrop::RelayNested),
                Err(reason) => self.drops.count(reason),
            },
            Some(Class::Channel) => self.drops.count(DoorDrop::RelayNested),
            class => self.known_sender(class, pair, bytes, now),
        }
    }

    /// DTLS and media are taken from known 5-tuples only.
    fn known_sender(&mut self, class: Option<Class>, pair: Pair, bytes: &mut [u8], now: Instant) {
        match (class, self.pairs.peer(pair)) {
            (Some(class @ (Class::Rtp | Class::Rtcp)), Some(index)) => {
                self.working = Some(Work::Peer(index));
                self.media_datagram(index, class, bytes, now);
            }
            (Some(Class::Dtls), Some(index)) => self.session_of(index, pair, bytes, now),
            (Some(Class::Rtp | Class::Rtcp), None) => self.drops.count(DoorDrop::MediaUnknown),
            (Some(Class::Dtls), None) => self.drops.count(DoorDrop::DtlsUnknown),
            _ => self.drops.count(DoorDrop::Noise),
        }
    }

    fn session_of(&mut self, index: u32, pair: Pair, bytes: &[u8], now: Instant) {
        self.urgent = true;
        self.working = Some(Work::Peer(index));
        self.session_datagram(index, pair, bytes, now);
    }

    fn peer_of_stun(&self, pair: Pair, bytes: &[u8]) -> Result<Owner, DoorDrop> {
        let message = stun::Message::parse(bytes).map_err(|_| DoorDrop::StunMalformed)?;
        if message.method != stun::Method::BINDING {
            return Ok(Owner::Turn);
        }
        match (message.class, message.find(stun::Kind::USERNAME)) {
            // A check. (RFC 8445 §7.3)
            (stun::Class::Request, Some(user)) => {
                self.peer_by_user(user.value).map(Owner::Peer).ok_or(DoorDrop::UnknownUfrag)
            }
            // "Which address do you see?" (RFC 8489 §12)
            (stun::Class::Request, None) => Ok(Owner::Turn),
            _ => self.pairs.peer(pair).map(Owner::Peer).ok_or(DoorDrop::StunUnasked),
        }
    }

    /// The peer a check's user name (`ours:theirs`, RFC 8445 §7.2.2) names. The session verifies it.
    fn peer_by_user(&self, user: &[u8]) -> Option<u32> {
        let ours = user.split(|byte| *byte == b':').next()?;
        let ours = std::str::from_utf8(ours).ok()?;
        let index = draw::peer_of(ours)?;
        let media = self.peers.get(index)?.media.as_ref()?;
        media.session.local_ufrags().contains(&ours).then_some(index)
    }

    fn command(&mut self, command: Command, now: Instant) {
        self.urgent |= !matches!(command, Command::Link(_) | Command::Aside { .. });
        match command {
            Command::Open { socket, entry } => self.open(socket, *entry, now),
            Command::Resume { socket, secret, seen } => self.resume(socket, &secret, seen, now),
            Command::Said { socket, message } => {
                self.working = self.by_socket.get(&socket).copied().map(Work::Peer);
                self.said(socket, *message, now);
            }
            Command::Garbled { socket, code, message } => self.garbled(socket, code, message, now),
            Command::SocketLost { socket } => self.socket_lost(socket, now),
            Command::Whip { request, entry, sdp } => self.whip(request, *entry, &sdp, now),
            Command::Whep { request, entry, sdp } => self.whep(request, *entry, &sdp, now),
            Command::HttpPatch { request, resource, fragment } => {
                self.http_patch(request, &resource, &fragment, now);
            }
            Command::HttpDelete { request, resource } => self.http_delete(request, &resource, now),
            Command::RoomMap(map) => self.mapped(&map, now),
            Command::Link(from_link) => self.link(from_link, now),
            Command::Aside { from, aside } => self.aside(from, aside, now),
            Command::Kick { room, participant, message } => self.kick(&room, &participant, message, now),
            Command::Grant { request, room, participant, change } => {
                self.grant_by_http(request, &room, participant, change, now);
            }
            Command::Shutdown { message } => self.shut_down(&message, now),
            Command::TurnReceived { relayed, peer, payload } => self.turn_received(relayed, peer, &payload, now),
            Command::TurnSecret(secret) => {
                if let Some(turn) = &mut self.turn {
                    turn.set_secret(secret.0);
                }
            }
            Command::WallClock { unix_ms } => {
                self.wall = (now, unix_ms);
                if let Some(turn) = &mut self.turn {
                    turn.wall_clock(unix_ms, now);
                }
            }
            Command::Stats { request } => {
                let stats = Box::new(self.stats());
                self.events.push_back(Event::Stats { request, stats });
            }
        }
        self.working = None;
    }

    fn link(&mut self, said: FromLink, now: Instant) {
        match said {
            FromLink::Up { node, region, version, rtt, datagram_bytes_max } => {
                let link = LinkState { region: region.clone(), version, rtt, datagram_bytes_max };
                self.links.insert(node.clone(), link);
                self.each_hop(|hop, _| hop.link_up(&node, &region, version, rtt, datagram_bytes_max));
            }
            FromLink::Quality { node, rtt, datagram_bytes_max } => {
                if let Some(link) = self.links.get_mut(&node) {
                    link.rtt = rtt;
                    link.datagram_bytes_max = datagram_bytes_max;
                    self.each_hop(|hop, _| hop.link_quality(&node, rtt, datagram_bytes_max));
                }
            }
            FromLink::Down { node } => {
                self.links.remove(&node);
                self.each_hop(|hop, downlinks| hop.link_down(&node, downlinks, now));
            }
            FromLink::Message { node, message } => {
                let place = route::room(&message).and_then(|room| self.room_by_id.get(room).copied());
                let Some((place, room)) = place.and_then(|place| Some((place, self.rooms.get_mut(place)?))) else {
                    return self.drops.count(DoorDrop::LinkUnknownRoom);
                };
                self.working = Some(Work::Room(place));
                room.hop.message(&node, *message, &mut self.downlinks, now);
                self.touch_room(place);
            }
            FromLink::Datagrams { node, datagrams } => {
                for datagram in &datagrams {
                    self.link_datagram(&node, datagram, now);
                }
            }
        }
    }

    fn link_datagram(&mut self, node: &NodeId, datagram: &Bytes, now: Instant) {
        let place = self.place_of(datagram);
        let Some((place, room)) = place.and_then(|place| Some((place, self.rooms.get_mut(place)?))) else {
            return self.drops.count(DoorDrop::LinkUnknownRoom);
        };
        self.working = Some(Work::Room(place));
        room.hop.datagram(node, datagram, &mut self.downlinks, now);
        self.touch_room(place);
    }

    /// Which room a link's datagram belongs to.
    fn place_of(&self, datagram: &[u8]) -> Option<u32> {
        match route::destination(datagram)? {
            route::To::Alias(alias) => Some(u32::from(route::slot(alias))),
            route::To::Room(key) => self.room_by_key.get(&key).copied(),
        }
    }

    /// Another shard of this node says something.
    fn aside(&mut self, from: u8, aside: Aside, now: Instant) {
        match aside {
            Aside::Room(said) => self.part_said(from, said, now),
            Aside::Relayed { relayed, own, payload } => {
                let mut bytes = payload.to_vec();
                let pair = Pair { local: own, remote: relayed };
                self.demux_relayed(pair, &mut bytes, now);
                self.pairs.came_aside(pair, from);
            }
            Aside::ToRelayed { relayed, own, payload, segment } => {
                self.relayed_aside(Pair { local: own, remote: relayed }, &payload, segment, now);
            }
        }
    }

    /// One part of a room to the part of it that is here. What opens the room makes it: a root may have nobody of its own.
    fn part_said(&mut self, from: u8, said: Said, now: Instant) {
        let place = match &said {
            Said::Message(message) => route::room(message).and_then(|room| {
                let opens = matches!(**message, Message::RoomOpen { heard: false, .. });
                match self.room_by_id.get(room).copied() {
                    None if opens && !self.closing && self.root_of(room).is_none() => self.room_for(room, now),
                    known => known,
                }
            }),
            Said::Datagrams(datagrams) => datagrams.first().and_then(|first| self.place_of(first)),
            Said::Regions { room, .. } => self.room_by_id.get(room).copied(),
        };
        let Some((place, room)) = place.and_then(|place| Some((place, self.rooms.get_mut(place)?))) else {
            return self.drops.count(DoorDrop::PartUnknownRoom);
        };
        self.working = Some(Work::Room(place));
        room.hop.part_said(from, said, &mut self.downlinks, now);
        self.keep_or_end(place, now);
        self.touch_room(place);
    }

    fn each_hop(&mut self, mut tell: impl FnMut(&mut lyceum_relay_core::hop::Hop, &mut Downlinks)) {
        for place in self.rooms.keys() {
            if let Some(room) = self.rooms.get_mut(place).filter(|room| !room.hop.is_branch()) {
                self.working = Some(Work::Room(place));
                tell(&mut room.hop, &mut self.downlinks);
                self.touch_room(place);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        while let Some(alarm) = self.timers.pop(now) {
            match alarm {
                Alarm::Peer(index) => {
                    self.working = Some(Work::Peer(index));
                    self.peer_timeout(index, now);
                }
                Alarm::Room(place) => {
                    self.working = Some(Work::Room(place));
                    self.room_timeout(place, now);
                }
                Alarm::Downlinks => self.pace(now),
                Alarm::Turn => self.turn_timeout(now),
            }
        }
        self.working = None;
    }

    /// Reports that are due, and queues whose turn it is.
    fn pace(&mut self, now: Instant) {
        self.downlinks.handle_timeout(now);
        while let Some(downlink) = self.downlinks.poll_paced(now) {
            let index = self.peer_by_downlink.get(&downlink).copied();
            let Some(place) = index.and_then(|index| Some(self.peers.get(index)?.room)) else { continue };
            if let Some(room) = self.rooms.get_mut(place) {
                self.working = Some(Work::Room(place));
                room.hop.room.pace(downlink, &mut self.downlinks, now);
                self.touch_room(place);
            }
        }
    }

    // ── The owner said ──────────────────────────────────────────────────────────────────────────────────────────

    /// Somebody comes in.
    pub(crate) fn enter(&mut self, entry: Entry, way: Way, now: Instant) -> Result<u32, &'static str> {
        if self.peers.len() >= self.config.participants_max {
            return Err("this edge takes no more participants");
        }
        if self.by_secret.contains_key(&entry.secret) {
            return Err("the session is there already");
        }
        let Entry { secret, participant, claims, seed } = entry;
        let place = self.room_for(&claims.room, now).ok_or("this edge takes no more rooms")?;
        let participant = Participant {
            id: participant,
            identity: claims.sub,
            name: claims.name,
            edge: self.config.node.clone(),
            region: self.config.region.clone(),
            publishes: Vec::new(),
            on_stage: !claims.grants.publish.is_empty(),
            moderates: claims.grants.moderate,
        };
        let index = self.peers.insert(Peer {
            participant,
            grants: claims.grants,
            room: place,
            secret: secret.clone(),
            way,
            draw: draw::Draw::new(seed),
            media: None,
            view: None,
            listen: Vec::new(),
            dirty: false,
        });
        self.working = Some(Work::Peer(index));
        if let Some(peer) = self.peers.get(index) {
            tracing::info!(room = %claims.room, participant = %peer.participant.id, way = peer.way.name(), "came");
        }
        self.by_secret.insert(secret, index);
        self.enter_room(place, index, now);
        self.touch_peer(index);
        Ok(index)
    }

    /// Somebody is gone: everything of it goes, and the others are told.
    pub(crate) fn remove(&mut self, index: u32, departure: Departure, now: Instant) {
        if self.peers.get(index).is_none() {
            return;
        }
        self.unpublish_all(index, now);
        let Some(mut peer) = self.peers.remove(index) else { return };
        self.departures.count(departure);
        tracing::info!(participant = %peer.participant.id, why = departure.name(), "left");
        self.by_secret.remove(&peer.secret);
        self.timers.set(Alarm::Peer(index), None);
        if let Some(socket) = peer.conversation().and_then(|conversation| conversation.socket()) {
            self.by_socket.remove(&socket);
            self.events.push_back(Event::CloseSocket { socket });
        }
        if let Some(mut media) = peer.media.take() {
            media.close(&mut self.outbox, now);
            for pair in &media.pairs {
                self.pairs.forget(*pair, index);
            }
            if let Some(room) = self.rooms.get_mut(peer.room) {
                room.hop.room.leave(media.downlink, &mut self.downlinks, now);
            }
            self.past.take_media(&media, &self.downlinks);
            self.peer_by_downlink.remove(&media.downlink);
            self.downlinks.remove(media.downlink);
        }
        self.leave_room(peer.room, index, &peer, now);
    }

    fn shut_down(&mut self, message: &str, now: Instant) {
        self.closing = true;
        for index in self.peers.keys() {
            self.bid_farewell(index, message.to_owned(), true, Departure::Shutdown, now);
        }
        for place in self.rooms.keys() {
            self.end_room(place, now);
        }
    }

    /// A step panicked: whatever it was about is removed. When even that panics, it is removed without being asked.
    fn evict(&mut self, culprit: Culprit, now: Instant) {
        let work = self.working.take().or_else(|| match culprit {
            Culprit::Datagram { from, to } => self.pairs.peer(Pair { local: to, remote: from }).map(Work::Peer),
            Culprit::Own => None,
        });
        self.evictions += 1;
        tracing::error!(?work, "a step panicked; what it was about is removed");
        match work {
            Some(Work::Peer(index)) => {
                self.working = self.peers.get(index).map(|peer| Work::Room(peer.room));
                let sentence = "something went wrong here; join again".to_owned();
                self.bid_farewell(index, sentence, true, Departure::Evicted, now);
            }
            Some(Work::Room(place)) => {
                self.working = Some(Work::Ruin(place));
                let members = self.rooms.get(place).map(|room| room.members.clone()).unwrap_or_default();
                for index in members {
                    let sentence = "something went wrong in this room; join again".to_owned();
                    self.bid_farewell(index, sentence, true, Departure::Evicted, now);
                }
                self.end_room(place, now);
            }
            Some(Work::Ruin(place)) => self.clear_ruin(place),
            None => {}
        }
        self.working = None;
    }

    /// Drops a room and its peers without calling anything of theirs.
    fn clear_ruin(&mut self, place: u32) {
        if let Some(room) = self.rooms.remove(place) {
            self.room_by_id.remove(&room.id);
            self.room_by_key.remove(&room.id.key());
            self.timers.set(Alarm::Room(place), None);
            self.part_is_gone(&room.id);
            self.room_is_gone(&room);
        }
        for index in self.peers.keys() {
            if self.peers.get(index).is_none_or(|peer| peer.room != place) {
                continue;
            }
            let Some(mut peer) = self.peers.remove(index) else { continue };
            self.departures.count(Departure::Evicted);
            self.by_secret.remove(&peer.secret);
            self.timers.set(Alarm::Peer(index), None);
            if let Some(socket) = peer.conversation().and_then(|conversation| conversation.socket()) {
                self.by_socket.remove(&socket);
                self.events.push_back(Event::CloseSocket { socket });
            }
            if let Some(media) = peer.media.take() {
                media.pairs.iter().for_each(|pair| self.pairs.forget(*pair, index));
                self.peer_by_downlink.remove(&media.downlink);
                self.downlinks.remove(media.downlink);
            }
        }
    }

    // ── Turning ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// The peer is to be looked at before this turn ends.
    pub(crate) fn touch_peer(&mut self, index: u32) {
        if let Some(peer) = self.peers.get_mut(index)
            && !peer.dirty
        {
            peer.dirty = true;
            self.dirty_peers.push(index);
        }
    }

    /// The room is to be looked at before this turn ends.
    pub(crate) fn touch_room(&mut self, place: u32) {
        if let Some(room) = self.rooms.get_mut(place)
            && !room.dirty
        {
            room.dirty = true;
            self.dirty_rooms.push(place);
        }
    }

    /// Looks at everything that was touched, until nothing is.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(place) = self.dirty_rooms.pop() {
                if let Some(room) = self.rooms.get_mut(place) {
                    room.dirty = false;
                    self.working = Some(Work::Room(place));
                    self.settle_room(place, now);
                }
            } else if !self.settle_peers(now) {
                break;
            }
        }
        self.working = None;
        self.timers.set(Alarm::Downlinks, self.downlinks.deadline());
    }

    /// Looks at the peers that were touched. Says whether there were any.
    fn settle_peers(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(index) = self.dirty_peers.pop() {
            any = true;
            if let Some(peer) = self.peers.get_mut(index) {
                peer.dirty = false;
                self.working = Some(Work::Peer(index));
                self.settle_peer(index, now);
            }
        }
        self.working = None;
        any
    }

    /// Sends what has been written, or writes and sends the media that came in this turn, in portions.
    fn send(&mut self, wire: &mut dyn Wire, what: Leaves, now: Instant) {
        let Self { downlinks, rooms, dirty_rooms, outbox, .. } = self;
        let Self { turn, pairs, events, traffic, drops, scratch, working, .. } = self;
        let shard = self.config.shard;
        let mut exit = Exit { turn: turn.as_mut(), shard, pairs, events, traffic, drops, scratch, now };
        for (pair, bytes) in outbox.drain(..) {
            exit.send(wire, pair, &bytes, bytes.len());
        }
        let mut media = MediaExit { exit, wire };
        match what {
            Leaves::Handshakes => {}
            Leaves::Media => {
                for place in dirty_rooms.iter() {
                    *working = Some(Work::Room(*place));
                    if let Some(room) = rooms.get_mut(*place) {
                        room.hop.deliver_to(&mut media, downlinks, now);
                    }
                }
                *working = None;
            }
            Leaves::Everything => downlinks.flush(|batch| media.send(batch)),
        }
    }

    /// The caches of all tracks here: how many there are, and the bytes of the largest one.
    #[must_use]
    pub fn caches(&self) -> (usize, usize) {
        let rooms = self.rooms.iter().map(|(_, room)| room.hop.room.caches());
        rooms.fold((0, 0), |(count, largest), (more, size)| (count + more, largest.max(size)))
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(&self, now: Instant) -> u64 {
        let (at, unix_ms) = self.wall;
        unix_ms + now.saturating_duration_since(at).as_millis() as u64
    }
}

/// What leaves now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// STUN and DTLS.
    Handshakes,
    /// Media that came in this turn.
    Media,
    /// All that has been written.
    Everything,
}

/// One send call, from the address the peer knows us by.
pub(crate) fn transmit(to: SocketAddr, from: SocketAddr, bytes: &[u8], segment: usize) -> Transmit<'_> {
    let from = Some(from.ip()).filter(|ip| !ip.is_unspecified());
    Transmit { to, from, ecn: Ecn::NotCapable, segment, bytes }
}

impl Machine for Shard {
    type Command = Command;
    type Event = Event;

    fn handle(&mut self, input: Input<'_, Command>, now: Instant) {
        match input {
            Input::Datagram(datagram) => self.datagram(datagram, now),
            Input::Command(command) => self.command(command, now),
            Input::Tick => self.tick(now),
            Input::Panicked(culprit) => self.evict(culprit, now),
        }
    }

    fn relieve(&mut self, wire: &mut dyn Wire, now: Instant) -> bool {
        if !std::mem::take(&mut self.urgent) {
            return false;
        }
        self.settle_peers(now);
        self.send(wire, Leaves::Handshakes, now);
        true
    }

    fn flush(&mut self, wire: &mut dyn Wire, now: Instant) {
        self.urgent = false;
        self.send(wire, Leaves::Media, now);
        self.settle(now);
        self.send(wire, Leaves::Everything, now);
    }

    fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn may_drop(event: &Event) -> bool {
        matches!(event, Event::LinkDatagrams { .. } | Event::TurnSend { .. })
    }

    fn aside(event: Event) -> Result<machine::Aside<Command>, Event> {
        match event {
            Event::Aside { from, shard, aside } => {
                let may_drop = aside.may_drop();
                Ok(machine::Aside { shard: usize::from(shard), command: Command::Aside { from, aside }, may_drop })
            }
            event => Err(event),
        }
    }
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
