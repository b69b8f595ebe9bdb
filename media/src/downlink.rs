//! The sending sides of all peers of one shard.

use crate::packet::{Codec, Ssrc};
use crate::srtp::{Keys, SrtpError};
use lyceum_wire::ext;
use lyceum_wire::signal::SlotKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One peer's sending side in the arena. Never names another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownlinkId(pub u64);

/// Which slot of a downlink: its place in the list given to [`Downlinks::set_slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(pub u16);

/// What a slot may send one codec as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCodec {
    /// Codec.
    pub codec: Codec,
    /// Its payload type on this m-line.
    pub pt: u8,
    /// Payload type of its repairs, if negotiated.
    pub rtx_pt: Option<u8>,
    /// RTP clock, ticks per second.
    pub clock_hz: u32,
}

/// One receiving m-line of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSpec {
    /// Its mid.
    pub mid: String,
    /// What may be put into it.
    pub kind: SlotKind,
    /// Codecs negotiated.
    pub codecs: Vec<SlotCodec>,
    /// The source we send from, for the life of the slot.
    pub ssrc: Ssrc,
    /// The source repairs come from.
    pub rtx_ssrc: Option<Ssrc>,
}

/// What a new downlink is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Header extensions the peer takes: mid, transport-cc, abs-send-time and audio level are written where it does.
    pub extensions: ext::Map,
    /// Our name in sender descriptions (RFC 3550 §6.5.1); the same for all slots, so that sound and picture are one person's.
    pub cname: String,
    /// This moment …
    pub epoch: Instant,
    /// … is this NTP time (RFC 3550 §4), the same for all downlinks of a node.
    pub epoch_ntp: u64,
    /// Where numbering of new slots begins (sequence, timestamp, picture id): any number, should not be guessable.
    pub seed: u64,
}

/// One send call: `bytes` cut into `segment_size` pieces (the last may be shorter), all to one address.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Whose.
    pub downlink: DownlinkId,
    /// Where to.
    pub to: SocketAddr,
    /// One or more datagrams.
    pub bytes: &'a [u8],
    /// Length of each datagram but the last.
    pub segment_size: usize,
}

/// What a subscriber reports of what it receives, for the bandwidth estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reception {
    /// Round-trip time by sender and receiver reports.
    pub rtt: Option<Duration>,
    /// Worst fraction lost over its slots in the last receiver report, 0 to 1.
    pub loss: f32,
    /// Last REMB, bits per second.
    pub remb_bps: Option<u64>,
    /// Packets its transport-cc feedback said arrived.
    pub transport_received: u64,
    /// Packets its transport-cc feedback said did not (yet) arrive.
    pub transport_missing: u64,
}

/// What a downlink sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets, repairs included.
    pub packets: u64,
    /// Their bytes on the wire above UDP.
    pub bytes: u64,
    /// Repairs among them.
    pub repairs: u64,
    /// NACKed numbers received.
    pub nacked: u64,
    /// PLI and FIR received.
    pub key_frame_requests: u64,
}

/// All sending sides of one shard.
#[derive(Default)]
pub struct Downlinks {}

impl Downlinks {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a peer's sending side: no keys, no address, no slots yet.
    pub fn insert(&mut self, _config: Config, _now: Instant) -> DownlinkId {
        DownlinkId(0)
    }

    /// Removes it. Take it out of its room first ([`crate::Room::leave`]).
    pub fn remove(&mut self, _id: DownlinkId) {}

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Changes what was negotiated for header extensions.
    pub fn set_extensions(&mut self, _id: DownlinkId, _extensions: &ext::Map) {}

    /// This side's SRTP keys, from DTLS.
    pub fn set_keys(&mut self, _id: DownlinkId, _keys: &Keys) -> Result<(), SrtpError> {
        Ok(())
    }

    /// Where datagrams go; changes when ICE selects another pair.
    pub fn set_remote(&mut self, _id: DownlinkId, _remote: SocketAddr) {}

    /// The receiving m-lines in order. A slot with the same mid and SSRC as before goes on; call [`crate::Room::slots_changed`] after it.
    pub fn set_slots(&mut self, _id: DownlinkId, _slots: Vec<SlotSpec>) {}

    /// Seals a plain RTCP compound and puts it into the batch.
    pub fn send_rtcp(&mut self, _id: DownlinkId, _compound: &[u8]) {}

    /// What the peer reports.
    #[must_use]
    pub fn reception(&self, _id: DownlinkId) -> Option<Reception> {
        None
    }

    /// What was sent to it.
    #[must_use]
    pub fn sent(&self, _id: DownlinkId) -> Option<Sent> {
        None
    }

    /// Sender reports that are due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Hands out everything written since the last flush, at most one send call per size change and peer. Call at the end of each turn.
    pub fn flush(&mut self, _send: impl FnMut(Transmit<'_>)) {}
}
