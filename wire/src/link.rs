//! The link between two nodes: JSON messages on one QUIC stream each way, RTP in QUIC datagrams. Normative: `docs/protocol/link.md`.
//!
//! A track's name is mesh-wide ([`TrackName`]); on the wire a receiver-chosen 32-bit [`Alias`] stands for one
//! layer of one track, so that the receiver finds its state by index. The top 8 bits are the receiver's shard.

pub mod datagram;

use crate::id::{Kind, NodeId, ParticipantId, Region, RoomId, TrackName};
use crate::signal::{Participant, Refusal, RoomMessage};
use crate::token::GrantChange;
use serde::{Deserialize, Serialize};

/// TLS application protocol of links (RFC 7301). Finer versions are negotiated by [`Message::Hello`].
pub const ALPN: &[u8] = b"lyceum-link";
/// Oldest version this build speaks.
pub const VERSION_MIN: u16 = 1;
/// Newest version this build speaks.
pub const VERSION_MAX: u16 = 1;
/// Longest control message, in bytes: a roster of 2,000 people stays under it.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest path of a track in nodes, its origin included; longer ones are refused as loops.
pub const HOPS_MAX: usize = 8;

/// A receiver-chosen stand-in for one layer of one track. Top 8 bits: the receiver's shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alias(pub u32);

impl Alias {
    /// The receiver's shard that made it.
    #[must_use]
    pub fn shard(self) -> usize {
        (self.0 >> 24) as usize
    }
}

/// One layer of a track: spatial and temporal. Audio is `0, 0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Layer {
    /// Spatial layer or simulcast encoding, 0 the smallest, at most 7.
    pub spatial: u8,
    /// Temporal layer, 0 the base, at most 7. A subscription to `t` carries all up to `t`.
    pub temporal: u8,
}

/// `temporal` of a subscription to sound that wants it while it is among the loudest voices of its own node.
pub const VOICE_WHEN_LOUD: u8 = 0;
/// `temporal` of a subscription to sound that wants all of it: somebody pinned the voice. What an older node asks for.
pub const VOICE_ALWAYS: u8 = 7;

/// What everybody in the mesh knows of a track.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// Its name.
    pub name: TrackName,
    /// Sound or picture.
    pub kind: Kind,
    /// Codec, such as `VP8` or `opus`, in SDP's spelling.
    pub codec: String,
    /// RTP clock, ticks per second.
    pub clock_hz: u32,
    /// Its spatial layers from the smallest; one for audio.
    pub layers: Vec<LayerInfo>,
    /// Muted by its publisher: it sends nothing worth showing.
    pub muted: bool,
}

/// What is known of one spatial layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Width in pixels, 0 while unknown.
    pub width: u16,
    /// Height in pixels, 0 while unknown.
    pub height: u16,
    /// Measured bitrate in bits per second, 0 while unknown or paused.
    pub bitrate_bps: u32,
}

/// Digest of a room's messages up to one of them: of those before it and of its (from, id), FNV-1a, starting at 0 for none.
#[must_use]
pub fn chain(before: u64, message: &RoomMessage) -> u64 {
    let bytes = before.to_be_bytes();
    let from = message.from.as_str().as_bytes();
    bytes
        .iter()
        .chain(from)
        .chain(&[0])
        .chain(message.id.as_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// One message on the control stream: 4 bytes length, big-endian, then this as JSON. Unknown fields are ignored,
/// unknown types are skipped, so that N and N−1 share a room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// First message of both sides. The version spoken is the smaller `version_max`; below either `version_min` the link closes.
    Hello {
        /// Oldest version spoken.
        version_min: u16,
        /// Newest version spoken.
        version_max: u16,
        /// Sender's node id; must be the one in its certificate.
        node: NodeId,
        /// Sender's region.
        region: Region,
    },
    /// Sender hosts the room and wants to share it; everything else it has to say of the room follows. Answered alike, if
    /// the receiver hosts it and `heard` is false.
    RoomOpen {
        /// The room.
        room: RoomId,
        /// The sender's view of the room's map epoch.
        epoch: u64,
        /// Highest room message number the sender has, 0 for none: the home sends what follows.
        messages_seen: u64,
        /// The sender has had the receiver's own `RoomOpen` on this link. Without it the sender knows nothing of the
        /// receiver, whatever was said before: it has only just begun to host the room, or has lost what it knew.
        #[serde(default)]
        heard: bool,
    },
    /// Sender no longer hosts the room: all its tracks and people are gone.
    RoomClose {
        /// The room.
        room: RoomId,
    },
    /// People at the sender's own edge (never relayed onwards in a full mesh).
    Roster {
        /// The room.
        room: RoomId,
        /// True: `present` is everybody at the sender's edge, whoever else was known from it is gone.
        snapshot: bool,
        /// Joined or changed.
        present: Vec<Participant>,
        /// Left.
        gone: Vec<ParticipantId>,
        /// Another page of the same snapshot follows: nobody is gone for not being named before the last one.
        #[serde(default)]
        more: bool,
    },
    /// A track can be had from the sender. Repeated when its info changes.
    Announce {
        /// The room.
        room: RoomId,
        /// The track.
        track: TrackInfo,
        /// Nodes it has passed, origin first, sender last. A receiver that finds itself refuses it (split horizon).
        hops: Vec<NodeId>,
        /// One-way latency from origin to sender in milliseconds, as measured so far.
        latency_ms: f32,
    },
    /// A track can no longer be had from the sender.
    Unannounce {
        /// The room.
        room: RoomId,
        /// The track.
        track: TrackName,
    },
    /// Sender wants this layer of this track, under this alias, from the next key frame on (the cached one first, if kept).
    Subscribe {
        /// The room.
        room: RoomId,
        /// The track.
        track: TrackName,
        /// The layer; one subscription per spatial layer, `temporal` is the highest wanted. For sound it says when: see
        /// [`VOICE_WHEN_LOUD`] and [`VOICE_ALWAYS`].
        layer: Layer,
        /// The sender's alias for it.
        alias: Alias,
    },
    /// Sender no longer wants it.
    Unsubscribe {
        /// The room.
        room: RoomId,
        /// The alias.
        alias: Alias,
    },
    /// Sender needs a key frame of the layer behind this alias.
    KeyFrame {
        /// The room.
        room: RoomId,
        /// The alias.
        alias: Alias,
    },
    /// Where the RTP timestamps behind this alias stand, from the publisher's sender report (RFC 3550 §6.4.1): the
    /// moment `sampled_us` on the sender's steady clock, whose zero is anything but the same for all it says on this link.
    /// It keeps one person's sound and picture together after a hop.
    Clock {
        /// The room.
        room: RoomId,
        /// The alias.
        alias: Alias,
        /// An RTP timestamp of this layer.
        timestamp: u32,
        /// When it was sampled, in microseconds of the sender's steady clock; negative: before its zero.
        sampled_us: i64,
    },
    /// To the room's home: put this message in order.
    Post {
        /// The room.
        room: RoomId,
        /// The message; its `number` is 0.
        message: RoomMessage,
    },
    /// To the edge of a participant: a moderator of the sender's edge changes what the participant may do. Answered by `granted`.
    Grant {
        /// The room.
        room: RoomId,
        /// Made by the sender, unique among its open requests; comes back in the answer.
        request: u32,
        /// The moderator, one of the sender's people; absent: the application, whose token the sender has verified.
        #[serde(default)]
        by: Option<ParticipantId>,
        /// Whose grants, one of the receiver's people.
        participant: ParticipantId,
        /// What changes.
        change: GrantChange,
    },
    /// Answers `grant`.
    Granted {
        /// The room.
        room: RoomId,
        /// As it came.
        request: u32,
        /// Why it was not done; absent: it is done.
        #[serde(default)]
        refused: Option<Refusal>,
    },
    /// From the room's home: messages in order. Also to a new home, from whoever knows more than it.
    Posted {
        /// The room.
        room: RoomId,
        /// The sender takes it that the receiver has all up to this number, or can no longer have them. A receiver that
        /// has seen less asks by `RoomOpen`; the answer begins one message before what the asker has not seen.
        after: u64,
        /// Digest of all messages before the first of these, see [`chain`]: nodes whose digests differ have numbered
        /// differently, and the home's numbers count. Absent when the sender does not know all of them.
        #[serde(default)]
        chain: Option<u64>,
        /// The messages, numbers rising by one.
        messages: Vec<RoomMessage>,
    },
    /// Anything a newer version says.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests;
