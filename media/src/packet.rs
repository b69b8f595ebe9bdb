//! One decrypted RTP packet with its meaning: the one shape media has from the publisher's door to the last sink.

use crate::seq::SeqNo;
use lyceum_wire::id::Kind;
use lyceum_wire::link::Layer;
use std::time::{Duration, Instant};

/// An RTP synchronisation source (RFC 3550 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(pub u32);

/// A track of one room on one node. Made by [`crate::Room::publish`]; never names another track later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackId(pub u32);

/// Loudness of one audio packet (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// 0 is the loudest, 127 is silence, in −dBov.
    pub minus_dbov: u8,
    /// The publisher takes it for speech.
    pub voice: bool,
}

/// What a codec's payload says of a packet, as far as forwarding asks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Belongs to a key frame.
    pub keyframe: bool,
    /// First packet of its frame. For sound: the first one after the voice was left out on its way here, so that what is
    /// missing before it is no loss.
    pub start: bool,
    /// Last packet of its frame (RTP marker for video).
    pub end: bool,
    /// Nothing later refers to it.
    pub discardable: bool,
}

/// One packet of a track. Borrowed: the payload stays where the socket put it.
#[derive(Debug, Clone, Copy)]
pub struct Packet<'a> {
    /// Which track.
    pub track: TrackId,
    /// Which layer of it.
    pub layer: Layer,
    /// Place within `layer.spatial`; one sequence over its temporal layers.
    pub seq: SeqNo,
    /// RTP timestamp in the codec's clock.
    pub timestamp: u32,
    /// RTP marker bit.
    pub marker: bool,
    /// What the payload says.
    pub flags: Flags,
    /// Loudness, for audio that says so.
    pub level: Option<AudioLevel>,
    /// When it reached this node.
    pub arrived: Instant,
    /// How long it had been in the mesh by then; zero at the publisher's own edge.
    pub age: Duration,
    /// RTP payload without padding. Empty: the publisher sent padding only; it holds a place in the sequence and nothing else.
    pub payload: &'a [u8],
}

/// Longest payload forwarded, in bytes: with our longest usual header, tag, padding, UDP and IPv6 it still fits an Ethernet frame.
pub const PAYLOAD_BYTES_MAX: usize = 1_390;

/// Codecs whose payload this build understands as far as forwarding needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// RFC 7741: key frames, temporal layers and picture ids are seen.
    Vp8,
    /// RFC 7587.
    Opus,
    /// Anything else: forwarded as it is, one layer; video needs key-frame flags from elsewhere, so it is audio only.
    Other,
}

impl Codec {
    /// By SDP's encoding name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.eq_ignore_ascii_case("VP8") {
            Self::Vp8
        } else if name.eq_ignore_ascii_case("opus") {
            Self::Opus
        } else {
            Self::Other
        }
    }

    /// Sound or picture, as far as known.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Vp8 => Kind::Video,
            Self::Opus | Self::Other => Kind::Audio,
        }
    }
}
