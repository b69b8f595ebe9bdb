//! A snapshot of one shard's counters, for metrics and tests. Everything is a plain number; the shell names and sums them.

use crate::peer::Media;
use crate::shard::Shard;
use crate::signal::roster::Told;
use lyceum_media::Downlinks;
use lyceum_media::downlink::Sent;
use lyceum_relay_core::hop::{self, Hop};
use std::collections::BTreeMap;

/// Where and why something ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DropKind {
    /// `door` (the demultiplexer), `session` (ICE, DTLS, SCTP), `media` (SRTP, forwarding, sinks), `link`, `turn`.
    pub stage: &'static str,
    /// The reason's own name.
    pub reason: &'static str,
}

/// What a shard has done and holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Datagrams that came in on the media socket.
    pub datagrams_in: u64,
    /// Bytes that came in on the media socket.
    pub bytes_in: u64,
    /// Datagrams that left by the media socket.
    pub datagrams_out: u64,
    /// Bytes that left by the media socket.
    pub bytes_out: u64,
    /// Dropped things by stage and reason; every reason is there, also at zero.
    pub drops: BTreeMap<DropKind, u64>,
    /// Refusals said to clients, by code in snake case.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Why participants left, by reason.
    pub departures: BTreeMap<&'static str, u64>,
    /// Rooms on this shard, those whose own shard is another one left out.
    pub rooms: u32,
    /// Parts of rooms whose own shard is another one.
    pub branches: u32,
    /// Participants on this shard, all ways in taken together.
    pub participants: u32,
    /// Of these: whose media stand.
    pub connected: u32,
    /// Sessions that wait for their socket.
    pub waiting: u32,
    /// Tracks published by participants of this shard.
    pub published: u32,
    /// Slots of subscribers on this shard.
    pub slots: u32,
    /// Links: node id → state.
    pub links: BTreeMap<String, LinkStats>,
    /// Key frames wished for from publishers here, merged over their subscribers.
    pub keyframe_requests: u64,
    /// Key frames wished for over links, merged over this node's subscribers.
    pub keyframe_requests_links: u64,
    /// Key frames subscribers asked for.
    pub keyframe_requests_received: u64,
    /// Packets asked again of publishers here, each ask counted.
    pub nacks_sent: u64,
    /// Packets subscribers asked for again.
    pub nacks_received: u64,
    /// Packets sent again to subscribers.
    pub retransmissions: u64,
    /// RTP packets sent to subscribers, repairs included.
    pub packets_forwarded: u64,
    /// Packets sent to subscribers only to see what their ways carry.
    pub probes: u64,
    /// Subscribers who have said something of what arrives.
    pub estimated: u32,
    /// What their ways are taken to carry, bits per second, summed.
    pub estimate_bps: u64,
    /// What waits to leave at the pace of its way, bytes.
    pub paced_bytes: u64,
    /// Slots whose pictures their ways do not carry.
    pub slots_paused: u32,
    /// Media datagrams from links.
    pub link_datagrams_in: u64,
    /// Media datagrams to links.
    pub link_datagrams_out: u64,
    /// Media datagrams from other shards of this node.
    pub part_datagrams_in: u64,
    /// Media datagrams to other shards of this node.
    pub part_datagrams_out: u64,
    /// Packets asked again of other nodes, each ask counted.
    pub link_asked: u64,
    /// Packets missing on links that came after all.
    pub link_repaired: u64,
    /// Packets sent again to other nodes.
    pub link_repairs_sent: u64,
    /// Roster entries written for clients, each once however many are told.
    pub roster_written: u64,
    /// Roster messages said to clients.
    pub roster_messages: u64,
    /// Roster entries in them.
    pub roster_entries: u64,
    /// Pages of the roster said to other nodes.
    pub link_roster_messages: u64,
    /// Roster entries in them.
    pub link_roster_entries: u64,
    /// TURN allocations that stand.
    pub allocations: u32,
    /// Peers thrown out because of a fault of ours.
    pub evictions: u64,
}

/// One link as this shard sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkStats {
    /// It stands.
    pub up: bool,
    /// Round-trip time in milliseconds.
    pub rtt_ms: f64,
}

/// How many of each thing a shard holds: all zero when everybody has left and every room has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    /// Participants.
    pub peers: usize,
    /// Rooms.
    pub rooms: usize,
    /// Sending sides.
    pub downlinks: usize,
    /// 5-tuples in the demultiplexer.
    pub pairs: usize,
    /// Sockets and secrets known.
    pub sessions: usize,
    /// Alarms set.
    pub alarms: usize,
}

impl Shard {
    /// What it has done and holds.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut sum = self.past.clone();
        let mut stats = Stats {
            datagrams_in: self.traffic.datagrams_in,
            bytes_in: self.traffic.bytes_in,
            datagrams_out: self.traffic.datagrams_out,
            bytes_out: self.traffic.bytes_out,
            rooms: self.rooms.iter().filter(|(_, room)| !room.hop.is_branch()).count() as u32,
            branches: self.rooms.iter().filter(|(_, room)| room.hop.is_branch()).count() as u32,
            participants: self.peers.len() as u32,
            keyframe_requests: self.key_frame_requests,
            nacks_sent: self.nacks_sent,
            evictions: self.evictions,
            ..Stats::default()
        };
        for (_, room) in self.rooms.iter() {
            sum.take(&room.hop);
            sum.told.add(&room.told);
        }
        for (_, peer) in self.peers.iter() {
            stats.waiting += u32::from(peer.is_waiting());
            let Some(media) = &peer.media else { continue };
            stats.connected += u32::from(media.connected);
            stats.published += media.published.len() as u32;
            stats.slots += media.slots.len() as u32;
            let way = self.downlinks.way(media.downlink).unwrap_or_default();
            stats.estimated += u32::from(way.estimate_bps.is_some());
            stats.estimate_bps += way.estimate_bps.unwrap_or(0);
            stats.paced_bytes += way.queued_bytes;
            stats.slots_paused += way.paused;
            sum.take_media(media, &self.downlinks);
        }
        stats.links = self.links.iter().map(|(node, link)| (node.to_string(), link.stats())).collect();
        stats.refusals = self.refusals.iter().collect();
        stats.departures = self.departures.iter().map(|(reason, count)| (reason.name(), count)).collect();
        sum.report(&mut stats);
        let door = self.drops.iter().map(|(reason, count)| (DropKind { stage: "door", reason: reason.name() }, count));
        stats.drops.extend(door);
        if let Some(turn) = &self.turn {
            stats.allocations = turn.allocations() as u32;
            stats.drops.extend(turn.drops().map(|(name, count)| {
                let reason = name.strip_prefix("turn_").unwrap_or(name);
                (DropKind { stage: "turn", reason }, count)
            }));
        }
        stats
    }

    /// How many of each thing it holds.
    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            peers: self.peers.len(),
            rooms: self.rooms.len(),
            downlinks: self.downlinks.len(),
            pairs: self.pairs.len(),
            sessions: self.by_socket.len() + self.by_secret.len() + self.peer_by_downlink.len(),
            alarms: self.timers.len(),
        }
    }
}

/// What those who are gone have counted: a counter never falls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past {
    media: lyceum_media::Drops,
    /// By name.
    session: BTreeMap<&'static str, u64>,
    links: hop::Stats,
    sent: Sent,
    told: Told,
}

impl Past {
    /// What was said of people in a room that ends.
    pub(crate) fn take_told(&mut self, told: &Told) {
        self.told.add(told);
    }

    /// A room ends.
    pub(crate) fn take(&mut self, hop: &Hop) {
        self.media.merge(hop.room.drops());
        self.links.merge(hop.stats());
    }

    /// A peer ends.
    pub(crate) fn take_media(&mut self, media: &Media, downlinks: &Downlinks) {
        self.media.merge(media.uplink.drops());
        for (reason, count) in media.session.drops().iter() {
            *self.session.entry(reason.name()).or_default() += u64::from(count);
        }
        if let Some(sent) = downlinks.sent(media.downlink) {
            add_sent(&mut self.sent, sent);
        }
    }
}

impl Past {
    /// Everything counted, into a snapshot.
    fn report(&self, stats: &mut Stats) {
        stats.packets_forwarded = self.sent.packets;
        stats.probes = self.sent.probes;
        stats.retransmissions = self.sent.repairs;
        stats.nacks_received = self.sent.nacked;
        stats.keyframe_requests_received = self.sent.key_frame_requests;
        stats.keyframe_requests_links = self.links.key_frames_asked;
        stats.roster_written = self.told.written;
        stats.roster_messages = self.told.messages;
        stats.roster_entries = self.told.entries;
        stats.link_roster_messages = self.links.roster_messages;
        stats.link_roster_entries = self.links.roster_entries;
        stats.link_datagrams_in = self.links.datagrams_in;
        stats.link_datagrams_out = self.links.datagrams_out;
        stats.part_datagrams_in = self.links.part_datagrams_in;
        stats.part_datagrams_out = self.links.part_datagrams_out;
        stats.link_asked = self.links.asked;
        stats.link_repaired = self.links.repaired;
        stats.link_repairs_sent = self.links.repairs_sent;
        let kind = |stage| move |(reason, count)| (DropKind { stage, reason }, count);
        let media = self.media.iter().map(|(reason, count)| (reason.name(), count));
        let links = self.links.losses().map(|(reason, count)| (reason.name(), count));
        let session = lyceum_session::DropReason::ALL.iter().map(|reason| {
            let count = self.session.get(reason.name()).copied().unwrap_or(0);
            (reason.name(), count)
        });
        stats.drops.extend(media.map(kind("media")));
        stats.drops.extend(links.map(kind("link")));
        stats.drops.extend(session.map(kind("session")));
    }
}

fn add_sent(sum: &mut Sent, sent: Sent) {
    sum.packets += sent.packets;
    sum.bytes += sent.bytes;
    sum.repairs += sent.repairs;
    sum.probes += sent.probes;
    sum.nacked += sent.nacked;
    sum.key_frame_requests += sent.key_frame_requests;
}
