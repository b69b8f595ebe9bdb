//! A snapshot of one shard's counters, for metrics and tests. Everything is a plain number; the shell names and sums them.

use std::collections::BTreeMap;

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
    /// Dropped things by reason: `door_…` at the demultiplexer, `room_…` in forwarding, `link_…` on links, `turn_…` in TURN.
    pub drops: BTreeMap<&'static str, u64>,
    /// Refusals said to clients, by code in snake case.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Why participants left, by reason.
    pub departures: BTreeMap<&'static str, u64>,
    /// Rooms on this shard.
    pub rooms: u32,
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
    /// Key frames asked of publishers.
    pub keyframe_requests: u64,
    /// Packets asked again of publishers.
    pub nacks_sent: u64,
    /// Packets subscribers asked again.
    pub nacks_received: u64,
    /// Packets sent again.
    pub retransmissions: u64,
    /// Packets forwarded to subscribers.
    pub packets_forwarded: u64,
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
