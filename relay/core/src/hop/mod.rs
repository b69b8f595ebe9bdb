//! One room on one shard, shared with the nodes that host it as well.
//!
//! ```text
//!   local publishers ─ publish, forward ─▶ ┌──────────────┐ ─▶ local subscribers   (media::Room)
//!   links, upstream  ─ message, datagram ▶ │     Hop      │ ─▶ links, downstream   (taps, Output::Datagrams)
//!   control plane    ─ map ──────────────▶ └──────────────┘ ─▶ roster, messages, paths
//! ```
//!
//! - **Demand**: what the room's sinks and taps want of a link's track, per spatial layer, becomes one subscription upstream.
//! - **Repair**: gaps are asked for on the link they happened on and answered from the upstream's cache ([`crate::repair`]).
//! - **Loops**: a track is refused when its hop list names this node, and never announced to a node its hop list names.
//! - **Messages** of the room have one order, made by its home ([`crate::order`]).
//! - **Parts**: a room that outgrew its shard is one hop per shard of the node, joined in memory ([`parts`]).
//!
//! The owner changes something, then drains [`Hop::poll`], then reads [`Hop::deadline`].

mod downstream;
mod grants;
mod parts;
mod paths;
mod peer;
mod stats;
mod upstream;

pub use downstream::{SERVED_MAX, TOO_LATE};
pub use grants::{ANSWER_TIME_MAX, ASKED_MAX, GrantWish};
pub use parts::{Part, Said};
pub use stats::{Loss, Stats};
pub use upstream::TRACKS_MAX;

use crate::order::{self, Order};
use crate::roster::{self, PEOPLE_PER_MESSAGE, Roster};
use bytes::Bytes;
use downstream::Downstream;
use grants::Grants;
use lyceum_media::downlink::Outlet;
use lyceum_media::room::Origin;
use lyceum_media::uplink::SenderClock;
use lyceum_media::{Codec, Downlinks, Packet, Room, TrackId};
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId, TrackName};
use lyceum_wire::link::datagram::Datagram;
use lyceum_wire::link::{Message, TrackInfo, VERSION_DESCRIPTORS};
use lyceum_wire::signal::{Hop as PathHop, Participant, Path, Refusal, RoomMessage};
use paths::Paths;
use peer::{Link, Peer, PeerIndex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use upstream::Upstream;

/// What a new hop is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The room.
    pub room: RoomId,
    /// This node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// This shard.
    pub shard: u8,
    /// The hop's place in its shard, below [`crate::route::SLOTS_MAX`]: datagrams find it by this number.
    pub slot: u16,
    /// Which part of the room it is on its node.
    pub part: Part,
    /// Whether tracks of other nodes are announced onwards.
    pub transit: Transit,
}

/// Whether a node hands on what it has from other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transit {
    /// Only tracks of its own publishers: every pair of hosting nodes has a link (full mesh).
    Never,
    /// Also others' tracks, each to the nodes not on its way yet.
    Always,
}

/// What a hop wants done or known.
#[derive(Debug, Clone)]
pub enum Output {
    /// Write this on the control stream of the link.
    Message {
        /// To which node.
        node: NodeId,
        /// The message.
        message: Box<Message>,
    },
    /// Send these datagrams on the link, in order. May be dropped, never reordered on purpose.
    Datagrams {
        /// To which node.
        node: NodeId,
        /// The datagrams.
        datagrams: Vec<Bytes>,
    },
    /// Say this to the part of the room on another shard of this node. Datagrams may be dropped.
    Part {
        /// Which shard.
        shard: u8,
        /// What.
        said: Said,
    },
    /// A link to this node is wanted. Repeated every [`CONNECT_AGAIN`] while there is none.
    Connect(NodeAddress),
    /// People at other nodes came, changed or left.
    Roster {
        /// Came or changed.
        present: Vec<Participant>,
        /// Left.
        gone: Vec<ParticipantId>,
    },
    /// Change what one of this node's people may do, then say so by [`Hop::granted`].
    Grant(GrantWish),
    /// What [`Hop::grant`] asked for is done, or refused.
    Granted {
        /// The number [`Hop::grant`] gave.
        request: u32,
        /// Why not.
        refused: Option<Refusal>,
    },
    /// A message of the room, in its order; this node's own posts come back this way too.
    Posted(RoomMessage),
    /// How tracks of remote participants come here, when that changed or its latency moved noticeably.
    Paths(Vec<Path>),
    /// What the room wants of its owner: `Slots`, `Speakers`, and for local tracks `Demand`, `KeyFrame` and `Layers`.
    Room(lyceum_media::Event),
}

/// Why a post was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostRefused {
    /// [`order::WAITING_MAX`] posts of this node wait for the room's home already: tell the sender to try again.
    #[error("the room's home cannot be reached and too many messages wait for it")]
    HomeAway,
}

/// How many of each thing a hop holds: all zero when its room has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    /// Tracks of other nodes.
    pub remote_tracks: usize,
    /// Layers that come from other nodes.
    pub subscriptions: usize,
    /// Layers that other nodes get from here.
    pub served: usize,
    /// Nodes that share the room with this one over a link that stands, and other parts of it on this node.
    pub partners: usize,
    /// People in the room.
    pub people: usize,
    /// Posts of this node that have no number yet.
    pub waiting_posts: usize,
    /// Changes of grants that other nodes have not answered yet.
    pub waiting_grants: usize,
}

/// A link that is wanted and absent is asked for again after this long.
pub const CONNECT_AGAIN: Duration = Duration::from_secs(2);

/// One room on one shard.
pub struct Hop {
    /// The room's media. Subscribers enter and leave it here; local tracks come and go through the hop's own doors.
    pub room: Room,
    config: Config,
    room_key: u64,
    /// Zero of the steady clock this hop speaks of.
    zero: Instant,
    peers: Vec<Peer>,
    names: BTreeMap<NodeId, PeerIndex>,
    /// Other parts of the room on this node, by shard.
    parts: BTreeMap<u8, PeerIndex>,
    regions: BTreeMap<NodeId, Region>,
    locals: BTreeSet<TrackId>,
    /// Tracks as told to others, so that they can be taken back.
    advertised: BTreeSet<(TrackId, PeerIndex)>,
    /// Where the timestamps of each layer stand, for who subscribes later.
    clocks: BTreeMap<(TrackId, u8), SenderClock>,
    upstream: Upstream,
    downstream: Downstream,
    roster: Roster,
    grants: Grants,
    order: Order,
    paths: Paths,
    out: VecDeque<Output>,
    stats: Stats,
}

impl Hop {
    /// An empty room nobody else is known to host.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let order = match config.part {
            Part::Root => Order::new(config.room.clone(), config.node.clone()),
            Part::Branch { .. } => Order::branch(config.room.clone(), config.node.clone()),
        };
        let mut hop = Self {
            room: Room::new(now),
            room_key: config.room.key(),
            zero: now,
            peers: Vec::new(),
            names: BTreeMap::new(),
            parts: BTreeMap::new(),
            regions: BTreeMap::from([(config.node.clone(), config.region.clone())]),
            locals: BTreeSet::new(),
            advertised: BTreeSet::new(),
            clocks: BTreeMap::new(),
            upstream: Upstream::default(),
            downstream: Downstream::default(),
            roster: Roster::default(),
            grants: Grants::default(),
            order,
            paths: Paths::default(),
            out: VecDeque::new(),
            stats: Stats::default(),
            config,
        };
        hop.grow_from_root(now);
        hop
    }

    // ── The world said ──────────────────────────────────────────────────────────────────────────────────────────

    /// The control plane says who hosts the room. An older epoch than the known one is ignored.
    pub fn map(&mut self, map: &RoomMap, now: Instant) {
        // A branch hears from its root what it has to know.
        if map.epoch < self.order.epoch() || self.is_branch() {
            return;
        }
        for peer in &mut self.peers {
            peer.address = None;
        }
        let ourselves = self.config.node.clone();
        let mut others = BTreeSet::new();
        for address in map.nodes.iter().filter(|address| address.node != ourselves) {
            others.insert(address.node.clone());
            self.regions.insert(address.node.clone(), address.region.clone());
            let at = self.peer(&address.node);
            if let Some(peer) = self.peers.get_mut(at.0) {
                peer.address = Some(address.clone());
                peer.region = Some(address.region.clone());
                if peer.link.is_none() {
                    peer.connect_at.get_or_insert(now);
                } else {
                    self.open(at);
                }
            }
        }
        self.order.map(map.epoch, &map.home, others, now);
        self.tell_regions();
        self.connect(now);
    }

    /// A link stands. Harmless for nodes that do not host the room.
    pub fn link_up(&mut self, node: &NodeId, region: &Region, version: u16, rtt: Duration, datagram_bytes_max: usize) {
        self.regions.insert(node.clone(), region.clone());
        let at = self.peer(node);
        let Some(peer) = self.peers.get_mut(at.0) else { return };
        peer.region = Some(region.clone());
        peer.link = Some(Link { version, rtt, datagram_bytes_max });
        peer.connect_at = None;
        if peer.address.is_some() {
            self.open(at);
        }
    }

    /// A link's round-trip time or datagram size moved.
    pub fn link_quality(&mut self, node: &NodeId, rtt: Duration, datagram_bytes_max: usize) {
        let known = self.names.get(node).copied();
        if let Some(link) = known.and_then(|at| self.peers.get_mut(at.0)).and_then(|peer| peer.link.as_mut()) {
            *link = Link { rtt, datagram_bytes_max, ..*link };
        }
    }

    /// A link is gone: what came by it ends.
    pub fn link_down(&mut self, node: &NodeId, downlinks: &mut Downlinks, now: Instant) {
        let Some(at) = self.names.get(node).copied() else { return };
        self.part_from(at, downlinks, now);
        if let Some(peer) = self.peers.get_mut(at.0) {
            peer.link = None;
            peer.clock = None;
            peer.queue.drain();
            if peer.address.is_some() {
                peer.connect_at = Some(now);
            }
        }
        self.connect(now);
    }

    /// A message about this room came by a link.
    pub fn message(&mut self, from: &NodeId, message: Message, downlinks: &mut Downlinks, now: Instant) {
        let at = self.peer(from);
        self.heard(at, message, downlinks, now);
    }

    fn heard(&mut self, at: PeerIndex, message: Message, downlinks: &mut Downlinks, now: Instant) {
        if let Message::RoomOpen { epoch, messages_seen, heard, .. } = message {
            return self.opened(at, epoch, messages_seen, heard, downlinks, now);
        }
        let Some(peer) = self.peers.get(at.0).filter(|peer| peer.opened_by_them) else {
            return self.stats.lose(Loss::NotOpen, 1);
        };
        let (from, part) = (peer.node.clone(), peer.part);
        match message {
            Message::RoomClose { .. } => self.part_from(at, downlinks, now),
            Message::Roster { snapshot, present, gone, more, .. } => {
                let page = roster::Page { snapshot, more, present, gone };
                let refused = match part {
                    None => self.roster.report(&from, page),
                    Some(_) if self.is_branch() => self.roster.report_root(page),
                    Some(shard) => self.roster.report_branch(shard, &from, page),
                };
                self.stats.lose(Loss::NotTheirEdge, refused.not_their_edge);
                self.stats.lose(Loss::TooMany, refused.too_many);
            }
            Message::Announce { track, hops, latency_ms, .. } => {
                self.announced(at, track, hops, latency_ms, downlinks, now);
            }
            Message::Unannounce { track, .. } => self.withdrawn(at, &track, downlinks, now),
            Message::Subscribe { track, layer, alias, .. } => self.subscribed(at, &track, layer, alias, now),
            Message::Unsubscribe { alias, .. } => self.unsubscribed(at, alias, now),
            Message::KeyFrame { alias, .. } => self.key_frame_wanted(at, alias, now),
            Message::Clock { alias, timestamp, sampled_us, .. } => {
                self.clock_told(at, alias, timestamp, sampled_us, now);
            }
            Message::Post { message, .. } => match part {
                Some(shard) => self.order.post_from_branch(shard, message),
                None => self.order.post_from(&from, message),
            },
            Message::Posted { after, chain, messages, .. } => match part {
                Some(_) if !self.is_branch() => self.order.posted_by_branch(after, chain, messages, now),
                _ => self.order.posted(&from, after, chain, messages, now),
            },
            Message::Grant { request, by, participant, change, .. } => {
                self.grant_wanted(at, GrantWish { node: from, part, request, by, participant, change }, now);
            }
            Message::Granted { request, refused, .. } => self.grant_done(at, request, refused),
            Message::Hello { .. } | Message::RoomOpen { .. } | Message::Unknown => {}
        }
    }

    /// A datagram for this hop came by a link.
    pub fn datagram(&mut self, from: &NodeId, datagram: &[u8], downlinks: &mut Downlinks, now: Instant) {
        let Some(at) = self.names.get(from).copied() else { return self.stats.lose(Loss::UnknownAlias, 1) };
        if self.is_branch() {
            return self.stats.lose(Loss::UnknownAlias, 1);
        }
        self.datagram_at(at, datagram, downlinks, now);
    }

    fn datagram_at(&mut self, at: PeerIndex, datagram: &[u8], downlinks: &mut Downlinks, now: Instant) {
        let parsed = Datagram::parse(datagram);
        if !matches!(parsed, Ok(Datagram::Nack(_))) {
            if self.peers.get(at.0).is_some_and(|peer| peer.part.is_some()) {
                self.stats.part_datagrams_in += 1;
            } else {
                self.stats.datagrams_in += 1;
                self.stats.bytes_in += datagram.len() as u64;
            }
        }
        match parsed {
            Ok(Datagram::Rtp { header, payload }) => self.packet(at, &header, payload, downlinks, now),
            Ok(Datagram::Fragment { header, part, payload }) => self.part(at, &header, part, payload, downlinks, now),
            Ok(Datagram::Nack(nack)) => self.asked_again(at, &nack, now),
            Err(_) => self.stats.lose(Loss::Malformed, 1),
        }
    }

    // ── The owner said ──────────────────────────────────────────────────────────────────────────────────────────

    /// A local participant publishes a track. The same name again replaces the older track.
    pub fn publish(&mut self, info: &TrackInfo, downlinks: &mut Downlinks, now: Instant) -> TrackId {
        if let Some(old) = self.room.track(&info.name) {
            self.unpublish(old, downlinks, now);
        }
        let track = self.room.publish(info, Origin::Local, downlinks, now);
        self.locals.insert(track);
        self.announce_everywhere(track);
        track
    }

    /// News of a local track: muted or not, layers.
    pub fn update(&mut self, track: TrackId, info: &TrackInfo, downlinks: &mut Downlinks, now: Instant) {
        if self.locals.contains(&track) {
            self.room.update(track, info, downlinks, now);
            self.announce_everywhere(track);
        }
    }

    /// A local track is gone.
    pub fn unpublish(&mut self, track: TrackId, downlinks: &mut Downlinks, now: Instant) {
        if self.locals.remove(&track)
            && let Some(name) = self.room.info(track).map(|info| info.name.clone())
        {
            self.unannounce_everywhere(track, &name);
            self.unserve_track(track);
            self.room.unpublish(track, downlinks, now);
        }
    }

    /// The hot door for local publishers: one packet to everybody who wants it, downstream at once, here at the next [`Self::deliver`].
    pub fn forward(&mut self, packet: &Packet<'_>, downlinks: &mut Downlinks, now: Instant) {
        self.spread(packet, downlinks, now);
    }

    /// What came in this turn, local or over links, goes to the slots here. Call at the end of each turn, before `poll`.
    pub fn deliver(&mut self, downlinks: &mut Downlinks, now: Instant) {
        self.room.deliver(downlinks, now);
    }

    /// As [`Self::deliver`], with somebody who sends what is written when it is much.
    pub fn deliver_to(&mut self, outlet: &mut dyn Outlet, downlinks: &mut Downlinks, now: Instant) {
        self.room.deliver_to(outlet, downlinks, now);
    }

    /// Where a local track's timestamps stand.
    pub fn sender_clock(&mut self, clock: SenderClock) {
        self.room.sender_clock(clock);
        self.spread_clock(clock);
    }

    /// A local participant joined, or something about it changed.
    pub fn join(&mut self, participant: Participant) {
        self.roster.join(participant);
    }

    /// A local participant left. Its tracks are unpublished by their own calls.
    pub fn leave(&mut self, participant: &ParticipantId) {
        self.roster.leave(participant);
    }

    /// A local participant says something to the room (`number` is ignored). It comes back as [`Output::Posted`] when it has its number.
    pub fn post(&mut self, message: RoomMessage) -> Result<(), PostRefused> {
        if self.order.post(message) { Ok(()) } else { Err(PostRefused::HomeAway) }
    }

    /// Everybody in the room, people of this node first.
    pub fn roster(&self) -> impl Iterator<Item = &Participant> + '_ {
        self.roster.everybody()
    }

    /// How many people are in the room.
    #[must_use]
    pub fn total(&self) -> usize {
        self.roster.total()
    }

    /// The newest messages of the room, oldest first, at most `HISTORY_MESSAGES`: for a late joiner.
    pub fn history(&self) -> impl Iterator<Item = &RoomMessage> + '_ {
        self.order.history()
    }

    /// How tracks of remote participants come here now: for a late joiner.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        self.paths_now()
    }

    /// The room ends here: other nodes are told. Drain `poll` once more, then drop it.
    pub fn close(&mut self, downlinks: &mut Downlinks, now: Instant) {
        for at in (0..self.peers.len()).map(PeerIndex) {
            let room = self.config.room.clone();
            self.say(at, Message::RoomClose { room });
            self.part_from(at, downlinks, now);
        }
        for track in std::mem::take(&mut self.locals) {
            self.unserve_track(track);
            self.room.unpublish(track, downlinks, now);
        }
    }

    /// Time passed: repairs, latencies, the room's own timers.
    pub fn handle_timeout(&mut self, downlinks: &mut Downlinks, now: Instant) {
        self.room.handle_timeout(downlinks, now);
        self.ask_again(now);
        self.grants_lost(None, now);
        if self.order.deadline().is_some_and(|at| at <= now) {
            self.order.handle_timeout(now);
        }
        if self.paths.is_due(now) {
            let news = self.paths.news(self.paths_now(), now);
            if !news.is_empty() {
                self.out.push_back(Output::Paths(news));
            }
        }
        self.connect(now);
        self.knock(now);
    }

    // ── What I want ─────────────────────────────────────────────────────────────────────────────────────────────

    /// What it wants done, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        if self.out.is_empty() {
            self.gather_media();
            self.gather_people();
            self.gather_messages();
            self.gather_datagrams();
        }
        self.out.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let connect = self.peers.iter().filter_map(|peer| peer.connect_at).min();
        let others =
            [self.upstream.repair_at, self.order.deadline(), self.paths.deadline(), self.grants.deadline(), connect];
        others.into_iter().chain([self.room.deadline()]).flatten().min()
    }

    /// What it counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// How many of each thing it holds.
    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            remote_tracks: self.upstream.remotes.len(),
            subscriptions: self.upstream.len(),
            served: self.downstream.len(),
            partners: self.peers.iter().filter(|peer| peer.is_open()).count(),
            people: self.roster.total(),
            waiting_posts: self.order.waiting(),
            waiting_grants: self.grants.waiting(),
        }
    }

    // ── Gathering what has to be said ───────────────────────────────────────────────────────────────────────────

    fn gather_media(&mut self) {
        use lyceum_media::Event;
        while let Some(event) = self.room.poll() {
            let ours = match &event {
                Event::Demand { track, spatial, temporal } => self.demanded(*track, *spatial, *temporal),
                Event::KeyFrame { track, spatial } => self.ask_key_frame(*track, *spatial),
                Event::Layers { track, .. } => {
                    self.announce_everywhere(*track);
                    false
                }
                Event::Slots { .. } | Event::Speakers { .. } => false,
            };
            if !ours {
                self.out.push_back(Output::Room(event));
            }
        }
    }

    fn gather_people(&mut self) {
        if let Some(news) = self.roster.news_for_links() {
            let present: Vec<Participant> = news.present.into_values().collect();
            let gone: Vec<ParticipantId> = news.gone.into_iter().collect();
            for at in (0..self.peers.len()).map(PeerIndex) {
                if self.is_branch() || self.peers.get(at.0).is_some_and(|peer| peer.part.is_none()) {
                    self.say_roster(at, false, &present, &gone);
                }
            }
        }
        self.tell_branches_people();
        if let Some(news) = self.roster.news_for_owner() {
            let (present, gone) = (news.present.into_values().collect(), news.gone.into_iter().collect());
            self.out.push_back(Output::Roster { present, gone });
        }
    }

    fn gather_messages(&mut self) {
        while let Some(out) = self.order.poll() {
            match out {
                order::Out::Deliver(message) => self.out.push_back(Output::Posted(message)),
                order::Out::Branch { shard, message } => {
                    if let Some(at) = self.parts.get(&shard).copied() {
                        self.say(at, message);
                    }
                }
                order::Out::Send { node, message } => {
                    if let Some(at) = self.names.get(&node).copied() {
                        self.say(at, message);
                    }
                }
            }
        }
        let counts = self.order.take_counts();
        for (reason, n) in [
            (Loss::NotHome, counts.not_home),
            (Loss::PostedAlready, counts.posted_already),
            (Loss::NotFromHome, counts.not_from_home),
            (Loss::OrderConflict, counts.conflicts),
            (Loss::MessagesGone, counts.gone),
        ] {
            self.stats.lose(reason, n);
        }
    }

    fn gather_datagrams(&mut self) {
        for peer in self.peers.iter_mut().filter(|peer| !peer.queue.is_empty()) {
            let datagrams = peer.queue.drain();
            self.out.push_back(match peer.part {
                None => Output::Datagrams { node: peer.node.clone(), datagrams },
                Some(shard) => Output::Part { shard, said: Said::Datagrams(datagrams) },
            });
        }
    }

    // ── Partners ────────────────────────────────────────────────────────────────────────────────────────────────

    fn peer(&mut self, node: &NodeId) -> PeerIndex {
        if let Some(at) = self.names.get(node) {
            return *at;
        }
        let at = PeerIndex(self.peers.len());
        self.peers.push(Peer::new(node.clone()));
        self.names.insert(node.clone(), at);
        at
    }

    fn connect(&mut self, now: Instant) {
        for peer in self.peers.iter_mut().filter(|peer| peer.part.is_none()) {
            match (&peer.address, peer.connect_at) {
                (Some(address), Some(at)) if at <= now => {
                    peer.connect_at = Some(now + CONNECT_AGAIN);
                    self.out.push_back(Output::Connect(address.clone()));
                }
                (None, Some(_)) => peer.connect_at = None,
                _ => {}
            }
        }
    }

    /// Opens the room with a node, unless that is done: says all there is to know here.
    fn open(&mut self, at: PeerIndex) {
        let Some(peer) = self.peers.get_mut(at.0).filter(|peer| peer.link.is_some() && !peer.opened_by_us) else {
            return;
        };
        peer.opened_by_us = true;
        let (heard, part) = (peer.opened_by_them, peer.part);
        let (epoch, messages_seen) = (self.order.epoch(), self.order.seen());
        let room = self.config.room.clone();
        self.say(at, Message::RoomOpen { room, epoch, messages_seen, heard });
        let people: Vec<Participant> = match part {
            Some(shard) if !self.is_branch() => self.roster.for_branch(shard).cloned().collect(),
            _ => self.roster.own().cloned().collect(),
        };
        self.tell_regions();
        self.say_roster(at, true, &people, &[]);
        let tracks: Vec<TrackId> = self.locals.iter().chain(self.upstream.remotes.keys()).copied().collect();
        for track in tracks {
            self.announce(track, at);
        }
    }

    /// A node opened the room with us, or asks for room messages.
    fn opened(
        &mut self,
        at: PeerIndex,
        epoch: u64,
        messages_seen: u64,
        heard: bool,
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get(at.0) else { return };
        let (node, part) = (peer.node.clone(), peer.part);
        if heard && !peer.opened_by_us {
            // Meant for what this node was before it closed the room: it will answer when we open it.
            return self.stats.lose(Loss::NotOpen, 1);
        }
        if !heard {
            // It knows nothing of us. If we know anything of it, that is from its life before.
            self.part_from(at, downlinks, now);
        }
        if let Some(peer) = self.peers.get_mut(at.0) {
            peer.opened_by_them = true;
            if part.is_some() {
                peer.connect_at = None;
            }
        }
        self.open(at);
        match part {
            Some(shard) if !self.is_branch() => self.order.branch_opened(shard, messages_seen),
            _ => self.order.opened(&node, epoch, messages_seen, now),
        }
    }

    /// A node no longer shares the room: everything that came from it and everything it got ends.
    fn part_from(&mut self, at: PeerIndex, downlinks: &mut Downlinks, now: Instant) {
        let Some(peer) = self.peers.get_mut(at.0) else { return };
        let (node, part) = (peer.node.clone(), peer.part);
        (peer.opened_by_us, peer.opened_by_them) = (false, false);
        self.advertised.retain(|(_, to)| *to != at);
        self.unserve_peer(at, now);
        self.withdraw_all(at, downlinks, now);
        self.grants_lost(Some(at), now);
        match part {
            None => {
                self.roster.node_gone(&node);
                self.order.closed(&node, now);
            }
            Some(_) if self.is_branch() => {
                self.roster.root_gone();
                self.order.closed(&node, now);
            }
            Some(shard) => {
                self.roster.branch_gone(shard);
                self.order.branch_closed(shard);
            }
        }
    }

    fn say(&mut self, to: PeerIndex, message: Message) {
        if let Some(peer) = self.peers.get(to.0).filter(|peer| peer.link.is_some() && peer.opened_by_us) {
            let message = Box::new(message);
            self.out.push_back(match peer.part {
                None => Output::Message { node: peer.node.clone(), message },
                Some(shard) => Output::Part { shard, said: Said::Message(message) },
            });
        }
    }

    /// People in pages of bounded length.
    fn say_roster(&mut self, to: PeerIndex, snapshot: bool, present: &[Participant], gone: &[ParticipantId]) {
        let count = present.len().max(gone.len()).div_ceil(PEOPLE_PER_MESSAGE).max(1);
        let (mut present, mut gone) = (present.chunks(PEOPLE_PER_MESSAGE), gone.chunks(PEOPLE_PER_MESSAGE));
        for page in 1..=count {
            let room = self.config.room.clone();
            let (present, gone) = (present.next().unwrap_or_default(), gone.next().unwrap_or_default());
            self.stats.roster_messages += 1;
            self.stats.roster_entries += (present.len() + gone.len()) as u64;
            let (present, gone, more) = (present.to_vec(), gone.to_vec(), page < count);
            self.say(to, Message::Roster { room, snapshot, present, gone, more });
        }
    }

    // ── What is offered ─────────────────────────────────────────────────────────────────────────────────────────

    /// Whether a track is offered to a node: never back on its own way.
    fn announces(&self, track: TrackId, to: PeerIndex) -> bool {
        // An older node takes every codec it does not know for sound.
        let version = self.peers.get(to.0).and_then(|peer| peer.link).map_or(VERSION_DESCRIPTORS, |link| link.version);
        let codec = self.room.info(track).map_or(Codec::Other, |info| Codec::of(&info.codec));
        if version < VERSION_DESCRIPTORS && codec.is_video() && codec != Codec::Vp8 {
            return false;
        }
        if self.locals.contains(&track) {
            return true;
        }
        let (Some(peer), Some(remote)) = (self.peers.get(to.0), self.upstream.remotes.get(&track)) else {
            return false;
        };
        if self.part_at(remote.chosen()).is_some() || peer.part.is_some() {
            // From or to another part of this node: never back to where it came from.
            return remote.chosen() != to && !self.is_branch();
        }
        self.config.transit == Transit::Always && self.hops_of(track).is_some_and(|hops| !hops.contains(&peer.node))
    }

    fn announce_everywhere(&mut self, track: TrackId) {
        for at in (0..self.peers.len()).map(PeerIndex) {
            self.announce(track, at);
        }
    }

    /// Says what a track is, or takes it back from a node that is on its way now.
    fn announce(&mut self, track: TrackId, to: PeerIndex) {
        if self.peers.get(to.0).is_none_or(|peer| !peer.opened_by_us) {
            return;
        }
        let room = self.config.room.clone();
        let Some(info) = self.room.info(track).cloned() else { return };
        if self.announces(track, to) {
            self.advertised.insert((track, to));
            let (mut hops, latency_ms) = (self.hops_of(track).unwrap_or_default(), self.latency_of(track));
            if self.part_at(to).is_some() {
                // It has not left this node.
                hops.pop();
            }
            self.say(to, Message::Announce { room, track: info, hops, latency_ms });
        } else if self.advertised.remove(&(track, to)) {
            self.say(to, Message::Unannounce { room, track: info.name });
        }
    }

    fn unannounce_everywhere(&mut self, track: TrackId, name: &TrackName) {
        let told: Vec<PeerIndex> = self.advertised.iter().filter(|(of, _)| *of == track).map(|(_, to)| *to).collect();
        for to in told {
            self.advertised.remove(&(track, to));
            let room = self.config.room.clone();
            self.say(to, Message::Unannounce { room, track: name.clone() });
        }
    }

    fn hop_named(&self, node: NodeId) -> PathHop {
        // A node that is neither partner nor in the map any more: it has just gone.
        let region = self.regions.get(&node).unwrap_or(&self.config.region).clone();
        PathHop { node, region }
    }
}
