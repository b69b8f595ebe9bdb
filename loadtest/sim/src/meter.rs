//! Told when a shard begins to work and when it ends, for whoever weighs its work: allocations, instructions.

use lyceum_wire::demux::Class;

/// What a shard works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// An RTP packet from a peer.
    Media,
    /// RTCP from a peer.
    Feedback,
    /// Anything else from a peer: STUN, DTLS.
    Session,
    /// Media from another edge.
    LinkMedia,
    /// Any other command.
    Command,
    /// Timers.
    Tick,
    /// Looks at what was touched, and sends.
    Flush,
}

impl Work {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Media, Self::Feedback, Self::Session, Self::LinkMedia, Self::Command, Self::Tick, Self::Flush];

    pub(crate) fn of(datagram: &[u8]) -> Self {
        match Class::of(datagram) {
            Some(Class::Rtp) => Self::Media,
            Some(Class::Rtcp) => Self::Feedback,
            _ => Self::Session,
        }
    }
}

/// Whom to tell. A function without state: what it notes is its own business.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    /// The shard begins.
    pub begins: fn(Work),
    /// It has ended.
    pub ends: fn(Work),
}

impl Default for Meter {
    fn default() -> Self {
        Self { begins: |_| {}, ends: |_| {} }
    }
}
