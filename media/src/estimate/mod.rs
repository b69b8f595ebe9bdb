//! How much the way to one subscriber carries (send-side bandwidth estimation).
//!
//! ```text
//!   sent ──────▶ history ◀── feedback (transport-cc, RFC 8888)
//!                   │
//!                   └─▶ groups ─▶ trend ─▶ rate ──┐
//!                   └─▶ loss ─────────────────────┼─▶ target_bps, pacing_bps, window_bytes
//!   report, remb ───────────────────────────────────┘
//!   wanted, time ─▶ probing ─▶ poll: Probe
//! ```

use crate::packet::Ssrc;
use lyceum_wire::rtcp;
use std::num::NonZeroU8;
use std::time::{Duration, Instant};

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
/// carries it. Mark the packets with `cluster` and end when both minima are reached.
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

/// One subscriber's bandwidth estimate.
#[derive(Debug)]
pub struct Estimate {
    bounds: Bounds,
    target_bps: u64,
}

impl Estimate {
    /// Nothing known yet, usual bounds.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self::within(Bounds::default(), now)
    }

    /// Nothing known yet.
    #[must_use]
    pub fn within(bounds: Bounds, _now: Instant) -> Self {
        Self { target_bps: bounds.start_bps, bounds }
    }

    /// A packet left. Hot: called for each.
    pub fn sent(&mut self, packet: Sent, now: Instant) {
        let _ = (packet, now);
    }

    /// Transport-wide feedback came.
    pub fn feedback(&mut self, feedback: &rtcp::TransportFeedback<'_>, now: Instant) {
        let _ = (feedback, now);
    }

    /// Feedback by stream came (RFC 8888).
    pub fn congestion_feedback(&mut self, feedback: &rtcp::CongestionFeedback<'_>, now: Instant) {
        let _ = (feedback, now);
    }

    /// A receiver report came: the worst fraction lost of any source, and the round trip if it tells one. It decides only for a
    /// subscriber who gives no better feedback.
    pub fn report(&mut self, loss: f32, rtt: Option<Duration>, now: Instant) {
        let _ = (loss, rtt, now);
    }

    /// The receiver's own estimate came (REMB).
    pub fn remb(&mut self, bps: u64, now: Instant) {
        let _ = (bps, now);
    }

    /// What could be used at most if the way carried it: the sum of the best layers of everything shown. Probing goes not
    /// far above it. Until it is told there is no such bound.
    pub fn wanted(&mut self, bps: u64, now: Instant) {
        let _ = (bps, now);
    }

    /// A probe to send. The next one comes when this one has been sent, or given up.
    pub fn poll(&mut self) -> Option<Probe> {
        None
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What to send at most, headers of IP and UDP included: what allocation shares out.
    #[must_use]
    pub fn target_bps(&self) -> u64 {
        self.target_bps.clamp(self.bounds.min_bps, self.bounds.max_bps)
    }

    /// How fast the pacer may empty its queue: above the target, so that a large picture does not wait, less while a queue in
    /// the network drains.
    #[must_use]
    pub fn pacing_bps(&self) -> u64 {
        self.target_bps()
    }

    /// Bytes sent of which nothing was heard yet.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        0
    }

    /// When more than this is in flight the pacer should send audio only: feedback stays away.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        u64::MAX
    }

    /// Round-trip time, once known.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        None
    }

    /// Share of packets lost lately, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f32 {
        0.0
    }

    /// Less is sent than the target allows, so that the estimate cannot learn without probing.
    #[must_use]
    pub fn is_application_limited(&self) -> bool {
        false
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self { start_bps: START_BPS, min_bps: MIN_BPS, max_bps: MAX_BPS }
    }
}

/// Bits per second assumed before anything is known: two base layers and sound; the first probes, a round trip later, say more.
pub const START_BPS: u64 = 300_000;
/// Never less, in bits per second: a voice still passes.
pub const MIN_BPS: u64 = 30_000;
/// Never more, in bits per second: far above any view.
pub const MAX_BPS: u64 = 100_000_000;
