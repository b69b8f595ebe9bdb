//! Another node, as one room sees it.

use crate::queue::Queue;
use lyceum_wire::api::NodeAddress;
use lyceum_wire::id::{NodeId, Region};
use std::time::{Duration, Instant};

/// Another node's place in the hop's list. Nodes keep their place as long as the room stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerIndex(pub(super) usize);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// It is this very node: its part of the room on that shard.
    pub(super) part: Option<u8>,
    pub(super) region: Option<Region>,
    /// The link to it, while one stands.
    pub(super) link: Option<Link>,
    /// How to reach it, while the map says that it hosts the room.
    pub(super) address: Option<NodeAddress>,
    /// When to ask for a link again.
    pub(super) connect_at: Option<Instant>,
    /// We have opened the room with it on this link.
    pub(super) opened_by_us: bool,
    /// It has opened the room with us on this link.
    pub(super) opened_by_them: bool,
    /// What of its steady clock is what of ours.
    pub(super) clock: Option<ClockBase>,
    /// Datagrams to it.
    pub(super) queue: Queue,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) version: u16,
    pub(super) rtt: Duration,
    pub(super) datagram_bytes_max: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ClockBase {
    ours: Instant,
    theirs_us: i64,
}

impl Peer {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            part: None,
            region: None,
            link: None,
            address: None,
            connect_at: None,
            opened_by_us: false,
            opened_by_them: false,
            clock: None,
            queue: Queue::default(),
        }
    }

    /// Whether both have opened the room: messages about it may flow.
    pub(super) fn is_open(&self) -> bool {
        self.link.is_some() && self.opened_by_us && self.opened_by_them
    }

    pub(super) fn one_way(&self) -> Duration {
        self.link.map_or(Duration::ZERO, |link| link.rtt / 2)
    }

    pub(super) fn one_way_ms(&self) -> f32 {
        self.one_way().as_secs_f32() * 1000.0
    }

    /// A moment of its clock on ours. The first moment it speaks of is taken for now: only differences count.
    pub(super) fn moment(&mut self, theirs_us: i64, now: Instant) -> Option<Instant> {
        let base = *self.clock.get_or_insert(ClockBase { ours: now, theirs_us });
        let apart = Duration::from_micros(theirs_us.abs_diff(base.theirs_us));
        if theirs_us >= base.theirs_us { base.ours.checked_add(apart) } else { base.ours.checked_sub(apart) }
    }
}
