//! What goes in and comes out of an estimate.

use crate::packet::Ssrc;
use std::num::NonZeroU8;

/// Which probe a packet belongs to. Numbers come again after 255 probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClusterId(pub NonZeroU8);

/// A packet that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its transport-wide number: rises by one per packet of this subscriber, whatever its source, wraps.
    pub number: u16,
    /// Bytes on the wire, IP and UDP headers included.
    pub bytes: u16,
    /// RTP source, for feedback that names packets by source and sequence number (RFC 8888).
    pub ssrc: Ssrc,
    /// RTP sequence number.
    pub sequence: u16,
    /// The probe it was sent for.
    pub probe: Option<ClusterId>,
}

/// A wish to send a little faster for a moment, with repeats or padding where there is no media, to see whether the way
/// carries it. Mark the packets with `cluster` and end when both minima are reached; send them evenly, in bursts of a few
/// milliseconds at most: a probe sent at one moment says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The mark.
    pub cluster: ClusterId,
    /// At which pace.
    pub bps: u64,
    /// At least so many packets.
    pub packets_min: u16,
    /// At least so many bytes (as in [`Sent::bytes`]).
    pub bytes_min: u32,
}

/// Where the estimate begins and stays between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Assumed before anything is known.
    pub start_bps: u64,
    /// Never below.
    pub min_bps: u64,
    /// Never above.
    pub max_bps: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { start_bps: START_BPS, min_bps: MIN_BPS, max_bps: MAX_BPS }
    }
}

/// Bits per second assumed before anything is known: a base layer or two and sound; the first probes, a round trip later, say more.
pub const START_BPS: u64 = 300_000;
/// Never less, in bits per second: a voice still passes.
pub const MIN_BPS: u64 = 30_000;
/// Never more, in bits per second: far above any view.
pub const MAX_BPS: u64 = 100_000_000;
