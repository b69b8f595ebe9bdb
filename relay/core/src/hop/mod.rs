//! One room on one shard, shared with the nodes that host it as well.
//!
//! ```text
//!   local publishers ─ publish, forward ─▶ ┌──────────────┐ ─▶ local subscribers   (media::Room)
//!   links, upstream  ─ message, datagram ▶ │     Hop      │ ─▶ links, downstream   (taps, Output::Datagrams)
//!   control plane    ─ map ──────────────▶ └──────────────┘ ─▶ roster, messages, paths
//! ```
//!
//! - **Demand**: what the room's sinks and taps want of a link's track, per spatial layer, becomes one subscription upstream.
//! - **Repair**: gaps are asked for on the link they happened on and answered from the upstream's cache.
//! - **Loops**: a track is refused when its hop list names this node, and never announced to a node its hop list names.
//! - **Messages** of the room have one order, made by its home.
//!
//! The owner changes something, then drains [`Hop::poll`], then reads [`Hop::deadline`].

mod stats;

pub use stats::{Loss, Stats};

use bytes::Bytes;
use lyceum_media::uplink::SenderClock;
use lyceum_media::{Downlinks, Packet, Room, TrackId};
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::link::{Message, TrackInfo};
use lyceum_wire::signal::{Participant, Path, RoomMessage};
use std::time::{Duration, Instant};

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
    /// The hop's place in its shard, below 4096: datagrams find it by this number.
    pub slot: u16,
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
    /// A link to this node is wanted. Repeated every [`CONNECT_AGAIN`] while there is none.
    Connect(NodeAddress),
    /// People at other nodes came, changed or left.
    Roster {
        /// Came or changed.
        present: Vec<Participant>,
        /// Left.
        gone: Vec<ParticipantId>,
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
    /// Too many posts of this node wait for the room's home already: tell the sender to try again.
    #[error("the room's home cannot be reached and too many messages wait for it")]
    HomeAway,
}

/// A link that is wanted and absent is asked for again after this long.
pub const CONNECT_AGAIN: Duration = Duration::from_secs(2);

/// One room on one shard.
pub struct Hop {
    /// The room's media. Subscribers enter and leave it here; local tracks come and go through the hop's own doors.
    pub room: Room,
    stats: Stats,
}

impl Hop {
    /// An empty room nobody else is known to host.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        let _ = config;
        Self { room: Room::new(now), stats: Stats::default() }
    }

    // ── The world said ──────────────────────────────────────────────────────────────────────────────────────────

    /// The control plane says who hosts the room. An older epoch than the known one is ignored.
    pub fn map(&mut self, _map: &RoomMap, _downlinks: &mut Downlinks, _now: Instant) {}

    /// A link stands. Harmless for nodes that do not host the room.
    pub fn link_up(&mut self, _node: &NodeId, _region: &Region, _rtt: Duration, _datagram_bytes_max: usize, _now: Instant) {}

    /// A link's round-trip time or datagram size moved.
    pub fn link_quality(&mut self, _node: &NodeId, _rtt: Duration, _datagram_bytes_max: usize, _now: Instant) {}

    /// A link is gone: what came by it ends.
    pub fn link_down(&mut self, _node: &NodeId, _downlinks: &mut Downlinks, _now: Instant) {}

    /// A message about this room came by a link.
    pub fn message(&mut self, _from: &NodeId, _message: Message, _downlinks: &mut Downlinks, _now: Instant) {}

    /// A datagram for this hop came by a link.
    pub fn datagram(&mut self, _from: &NodeId, _datagram: &Bytes, _downlinks: &mut Downlinks, _now: Instant) {}

    // ── The owner said ──────────────────────────────────────────────────────────────────────────────────────────

    /// A local participant publishes a track. The same name again replaces the older track.
    pub fn publish(&mut self, _info: &TrackInfo, _downlinks: &mut Downlinks, _now: Instant) -> TrackId {
        TrackId(0)
    }

    /// News of a local track: muted or not, layers.
    pub fn update(&mut self, _track: TrackId, _info: &TrackInfo, _downlinks: &mut Downlinks, _now: Instant) {}

    /// A local track is gone.
    pub fn unpublish(&mut self, _track: TrackId, _downlinks: &mut Downlinks, _now: Instant) {}

    /// The hot door for local publishers: one packet to everybody who wants it, here and downstream.
    pub fn forward(&mut self, _packet: &Packet<'_>, _downlinks: &mut Downlinks, _now: Instant) {}

    /// Where a local track's timestamps stand.
    pub fn sender_clock(&mut self, _clock: SenderClock) {}

    /// A local participant joined, or something about it changed.
    pub fn join(&mut self, _participant: Participant) {}

    /// A local participant left. Its tracks are unpublished by their own calls.
    pub fn leave(&mut self, _participant: &ParticipantId) {}

    /// A local participant says something to the room (`number` is ignored). It comes back as [`Output::Posted`] when it has its number.
    pub fn post(&mut self, _message: RoomMessage, _now: Instant) -> Result<(), PostRefused> {
        Ok(())
    }

    /// Everybody in the room, people of this node included, in order of their ids.
    pub fn roster(&self) -> impl Iterator<Item = &Participant> + '_ {
        std::iter::empty()
    }

    /// The newest messages of the room, oldest first, at most `HISTORY_MESSAGES`: for a late joiner.
    pub fn history(&self) -> impl Iterator<Item = &RoomMessage> + '_ {
        std::iter::empty()
    }

    /// How tracks of remote participants come here now: for a late joiner.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        Vec::new()
    }

    /// The room ends here: other nodes are told. Drain `poll` once more, then drop it.
    pub fn close(&mut self, _downlinks: &mut Downlinks, _now: Instant) {}

    /// Time passed: repairs, latencies, the room's own timers.
    pub fn handle_timeout(&mut self, _downlinks: &mut Downlinks, _now: Instant) {}

    // ── What I want ─────────────────────────────────────────────────────────────────────────────────────────────

    /// What it wants done, until `None`.
    pub fn poll(&mut self, _now: Instant) -> Option<Output> {
        None
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.room.deadline()
    }

    /// What it counted.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
