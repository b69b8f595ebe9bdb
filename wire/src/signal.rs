//! Signaling between client and edge: JSON over one WebSocket. Normative: `docs/protocol/signal.md`.
//!
//! Both directions number their messages from 1 and acknowledge what they have seen, so that a session outlives
//! its socket: after a cut the client says `hello` with `resume` and both sides send again what the other has not seen.

use crate::id::{NodeId, ParticipantId, Region, RoomId, Source, TrackName};
use crate::token::{GrantChange, Grants};
use serde::{Deserialize, Serialize};

/// Version of this protocol, sent in `hello`.
pub const VERSION: u16 = 1;
/// Longest WebSocket message taken from a client, in bytes: an SDP with 60 m-lines and three codecs stays under it.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Longest body of a room message, in bytes of JSON.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// A session waits this long for its socket to come back, in milliseconds.
pub const RESUME_MS: u64 = 30_000;
/// Messages kept for a late joiner, newest last.
pub const HISTORY_MESSAGES: usize = 200;
/// People in one `roster` message: 100 with names of usual length are 30 KB, which a phone reads within a frame.
pub const ROSTER_PAGE: usize = 100;
/// Voices one `view` may name in `listen`: a teacher, interpreters, a panel; more than any client has audio slots.
pub const LISTEN_MAX: usize = 8;

/// A numbered message from client to edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ToEdge {
    /// Rises by one from 1; 0 for `hello`, `ack` and `ping`, which are never sent again.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub seq: u64,
    /// What is said.
    #[serde(flatten)]
    pub body: ClientSays,
}

/// A numbered message from edge to client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct ToClient {
    /// Rises by one from 1; 0 for `welcome`, `ack`, `pong` and fatal `refused`, which are never sent again.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub seq: u64,
    /// What is said.
    #[serde(flatten)]
    pub body: EdgeSays,
}

/// What a client can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum ClientSays {
    /// First message on every socket.
    Hello {
        /// [`VERSION`].
        version: u16,
        /// Join token. Needed for a new session; a resumed one is known by its secret.
        token: String,
        /// Resumes a session instead of making one.
        #[serde(default)]
        resume: Option<Resume>,
    },
    /// An SDP offer (RFC 8829), with what its m-lines are for. Also for changes and ICE restart; one outstanding at a time.
    Offer {
        /// The SDP.
        sdp: String,
        /// Sending m-lines.
        #[serde(default)]
        publish: Vec<PublishLine>,
        /// Receiving m-lines: the slots the edge may fill.
        #[serde(default)]
        slots: Vec<SlotLine>,
    },
    /// A trickled ICE candidate (RFC 8838), `None` at the end. An ICE-lite edge needs none of them but accepts them.
    Candidate {
        /// `candidate:…` line.
        candidate: Option<String>,
    },
    /// What the client shows, most important first. The edge fills video and screen slots with these and picks layers by size.
    /// Before the first `view` the edge fills slots in order of publication.
    View {
        /// The tiles.
        tiles: Vec<Tile>,
        /// Whose voices are always heard, most important first: the teacher, an interpreter. They take audio slots before the
        /// loudest do, from wherever they are in the mesh.
        #[serde(default)]
        listen: Vec<ParticipantId>,
    },
    /// Mutes or unmutes an own track. The track stays.
    Mute {
        /// Which.
        source: Source,
        /// Muted from now on.
        muted: bool,
    },
    /// A message to the room. Answered by the `message` everybody gets, or by `refused` with `of`.
    Message {
        /// Made by the client, unique in its session, at most 64 bytes: a repeat is posted once.
        id: String,
        /// What kind, such as `chat`.
        kind: String,
        /// Anything.
        #[cfg_attr(feature = "ts", ts(type = "unknown"))]
        body: serde_json::Value,
    },
    /// A moderator changes what somebody in the room may do: to the stage, or back to the audience. Answered by `granted`, or by
    /// `refused` with `of`.
    Grant {
        /// Whose grants.
        participant: ParticipantId,
        /// What changes.
        change: GrantChange,
    },
    /// All edge messages up to this number have arrived.
    Ack {
        /// Highest number seen without a gap.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        seen: u64,
    },
    /// Asks for a `pong`.
    Ping {
        /// Comes back as it is.
        t: f64,
    },
    /// Leaves for good.
    Leave,
}

/// Which session, and where its client stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Resume {
    /// The secret from `welcome`.
    pub session: String,
    /// Highest edge message seen without a gap.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub seen: u64,
}

/// One sending m-line of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PublishLine {
    /// Its `a=mid`.
    pub mid: String,
    /// What it shows.
    pub source: Source,
    /// Starts muted.
    #[serde(default)]
    pub muted: bool,
}

/// One receiving m-line of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SlotLine {
    /// Its `a=mid`.
    pub mid: String,
    /// What may be put into it.
    pub kind: SlotKind,
}

/// What a slot takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum SlotKind {
    /// One of the loudest voices.
    Audio,
    /// A camera.
    Video,
    /// A screen.
    Screen,
}

/// One tile on the client's screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Tile {
    /// Whose track, and which.
    pub track: TrackName,
    /// Shown this wide, in device pixels. 0 pauses it.
    pub width: u16,
    /// Shown this high, in device pixels. 0 pauses it.
    pub height: u16,
    /// Chosen by the person in front of the screen: when the downlink is too small for all, it comes before the others.
    #[serde(default)]
    pub pinned: bool,
}

/// What an edge can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum EdgeSays {
    /// Answers `hello`.
    Welcome {
        /// Secret that resumes this session.
        session: String,
        /// Who you are in this room.
        participant: ParticipantId,
        /// The room.
        room: RoomId,
        /// What you may do.
        grants: Grants,
        /// The edge that took you in.
        edge: NodeId,
        /// Its region.
        region: Region,
        /// True: the session went on; what you have not seen follows. False: it is new, and `roster` and old messages follow.
        resumed: bool,
        /// Highest client message this edge has seen: send again what follows.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        seen: u64,
    },
    /// Answers `offer`.
    Answer {
        /// The SDP.
        sdp: String,
    },
    /// People came, changed or left. Everybody comes in pages after a new `welcome`.
    Roster {
        /// Came or changed, at most [`ROSTER_PAGE`].
        present: Vec<Participant>,
        /// Left.
        gone: Vec<ParticipantId>,
        /// How many are in the room now, yourself included.
        total: u32,
        /// Another page follows at once: only after the last one does the client know everybody it is told of.
        #[serde(default)]
        more: bool,
    },
    /// What you may do from now on; a moderator changed it. What you publish and may not any more has ended.
    Grants {
        /// All of it.
        grants: Grants,
        /// Who changed it; absent: the application.
        #[serde(default)]
        by: Option<ParticipantId>,
    },
    /// Answers `grant`: it is done.
    Granted {
        /// Whose grants.
        participant: ParticipantId,
        /// The `seq` of the `grant`.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        of: u64,
    },
    /// What slots carry from now on, and whether they are paused; slots not named stay as they are.
    Slots {
        /// Changes.
        assigned: Vec<SlotAssignment>,
    },
    /// Who speaks, loudest first. Empty: silence.
    Speakers {
        /// The speakers.
        active: Vec<ParticipantId>,
    },
    /// A message of the room, in the one order everybody sees.
    Message {
        /// The message.
        message: RoomMessage,
    },
    /// The way tracks come to this edge, when it changes or its latency moved.
    Paths {
        /// One per publishing participant.
        paths: Vec<Path>,
    },
    /// Layers of an own track that anybody watches; the client may pause the others.
    Demand {
        /// Which track.
        source: Source,
        /// By rid, or one entry with an empty rid.
        watched: Vec<RidDemand>,
        /// Of one encoding with several spatial layers (SVC): the highest that anybody watches. None: not of that kind, or
        /// nobody watches.
        #[serde(default)]
        spatial: Option<u8>,
    },
    /// All client messages up to this number have arrived.
    Ack {
        /// Highest number seen.
        #[cfg_attr(feature = "ts", ts(type = "number"))]
        seen: u64,
    },
    /// Answers `ping`.
    Pong {
        /// As it came.
        t: f64,
    },
    /// Something was refused. A fatal refusal ends the session.
    Refused {
        /// For machines.
        code: Refusal,
        /// One sentence for people.
        message: String,
        /// The `seq` of the message refused, if one was.
        #[serde(default)]
        #[cfg_attr(feature = "ts", ts(type = "number | null"))]
        of: Option<u64>,
        /// The session is over.
        fatal: bool,
    },
    /// The session is over, and not by a fault of the client.
    Bye {
        /// Why, in one sentence.
        message: String,
        /// The client should join again (through the control plane).
        rejoin: bool,
    },
}

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Refusal {
    /// The token's signature, form or audience is wrong.
    BadToken,
    /// The token has expired or is not valid yet.
    ExpiredToken,
    /// The token opens another room.
    WrongRoom,
    /// The grants do not allow it.
    NotAllowed,
    /// Not JSON of this protocol, or out of turn.
    Malformed,
    /// The SDP cannot be answered; the message says why.
    BadOffer,
    /// Larger than a bound of this protocol.
    TooLarge,
    /// Faster than this protocol allows.
    TooMany,
    /// The edge or the room takes no more.
    Full,
    /// Another protocol version.
    Version,
    /// The session to resume is gone.
    SessionGone,
    /// Media could not be set up or was lost for good (ICE or DTLS failed).
    MediaLost,
    /// The participant meant is not in the room (any more), or its edge does not answer.
    Absent,
    /// A fault of the edge.
    Internal,
}

/// A person in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Participant {
    /// This session of this person.
    pub id: ParticipantId,
    /// The application's id of the person.
    pub identity: String,
    /// Display name.
    pub name: String,
    /// The edge that took them in.
    pub edge: NodeId,
    /// Its region.
    pub region: Region,
    /// What they publish.
    pub publishes: Vec<Publication>,
    /// May publish: stands on the stage. Otherwise in the audience.
    #[serde(default)]
    pub on_stage: bool,
    /// May change what others may do.
    #[serde(default)]
    pub moderates: bool,
}

/// One published track, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Publication {
    /// What it shows.
    pub source: Source,
    /// Codec in SDP's spelling.
    pub codec: String,
    /// Muted.
    pub muted: bool,
}

/// What one slot carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct SlotAssignment {
    /// The slot's `a=mid`.
    pub mid: String,
    /// The track in it, or none. Its publisher's id, hashed (FNV-1a, low 32 bits), travels as CSRC of the RTP packets.
    pub track: Option<TrackName>,
    /// Nothing of it is sent now: the downlink does not carry it beside what is more important. Its last picture stands.
    #[serde(default)]
    pub paused: bool,
}

/// A message of the room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RoomMessage {
    /// Place in the room's order, rising by one from 1.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub number: u64,
    /// The sender's own id for it.
    pub id: String,
    /// Who sent it.
    pub from: ParticipantId,
    /// Their display name, kept for when they have left.
    pub name: String,
    /// What kind, such as `chat`.
    pub kind: String,
    /// Anything.
    #[cfg_attr(feature = "ts", ts(type = "unknown"))]
    pub body: serde_json::Value,
    /// When the sender's edge took it in, milliseconds since the Unix epoch.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub sent_at_ms: u64,
}

/// The way one participant's tracks come here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Path {
    /// Whose.
    pub participant: ParticipantId,
    /// Nodes passed, origin first, this edge last. One entry: the same edge.
    pub hops: Vec<Hop>,
    /// One-way latency over the links, milliseconds, measured.
    pub latency_ms: f32,
}

/// One node on a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Hop {
    /// Node id.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
}

/// Whether anybody watches one encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RidDemand {
    /// The rid.
    pub rid: String,
    /// Somebody watches it.
    pub watched: bool,
}

#[cfg(test)]
mod tests;
