//! The shard's two doors for everything that is not a datagram: [`Command`] in, [`Event`] out.
//!
//! ```text
//!   WebSocket, WHIP, WHEP ──┐                     ┌── Say, HttpAnswer, CloseSocket
//!   QUIC links ─────────────┼── Command → Shard → Event ──┼── LinkSend, LinkDatagrams, Connect
//!   control plane ──────────┘                     └── RoomWanted, RoomEmpty
//!   other shards  ── Aside ─────────▶       ──▶ Aside
//! ```
//!
//! Everything arrives already decoded and verified: text became [`ToEdge`] and a token became [`Claims`] before
//! they came here. A shard has no random source, so whoever commands brings the [`Seed`] and the secrets.
//! All commands about one room go to its shard, `RoomId::key() % shards`; who comes in may be sent to another shard, and
//! all about that session then goes there. What shards say to each other ([`Aside`]) goes from thread to thread.

use bytes::Bytes;
use lyceum_relay_core::hop::Said;
use lyceum_relay_core::link::FromLink;
use lyceum_wire::api::{NodeAddress, RoomMap};
use lyceum_wire::id::{NodeId, ParticipantId, RoomId};
use lyceum_wire::link::Message;
use lyceum_wire::signal::{Refusal, ToEdge};
use lyceum_wire::token::{Claims, GrantChange};
use std::net::SocketAddr;

use crate::signal::saying::Saying;
use crate::stats::Stats;

/// One WebSocket, as the shell numbers it. A number is never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u64);

/// One HTTP request that waits for its answer, as the shell numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// 32 bytes from the system's random source, fresh for each command that carries them. ICE credentials, SSRCs and
/// RTP starting points of the session are derived from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// A secret that names something: a session to resume, a WHIP resource. Made by the shell out of at least 128
/// random bits; the shell may put the shard's index into it so that it finds the shard again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Who comes in: the same for a WebSocket session, a WHIP publisher and a WHEP player.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Resumes the session, or is the last path segment of the WHIP/WHEP resource.
    pub secret: Secret,
    /// The new participant's id, unique in the mesh.
    pub participant: ParticipantId,
    /// Verified claims of the join token. `claims.room` is the room.
    pub claims: Claims,
    /// Randomness of this session.
    pub seed: Seed,
}

/// What one shard of an edge says to another.
#[derive(Debug, Clone)]
pub enum Aside {
    /// One part of a room to another.
    Room(Said),
    /// A datagram out of TURN for a media address of the other shard. May be dropped.
    Relayed {
        /// The relayed address it comes from.
        relayed: SocketAddr,
        /// The other shard's address it is for.
        own: SocketAddr,
        /// The datagram.
        payload: Bytes,
    },
    /// Datagrams for a relayed address of the other shard. May be dropped.
    ToRelayed {
        /// The relayed address.
        relayed: SocketAddr,
        /// The media address they come from.
        own: SocketAddr,
        /// The datagrams, one behind the other.
        payload: Bytes,
        /// Size of each but the last, in bytes.
        segment: usize,
    },
}

impl Aside {
    /// Whether it may be dropped when the other shard is behind.
    #[must_use]
    pub fn may_drop(&self) -> bool {
        match self {
            Self::Room(said) => matches!(said, Said::Datagrams(_)),
            Self::Relayed { .. } | Self::ToRelayed { .. } => true,
        }
    }
}

/// What the world may tell a shard.
#[derive(Debug, Clone)]
pub enum Command {
    /// A client said `hello` without `resume`, its token was good: make a session. Answered by `welcome` (or by a
    /// fatal `refused` and [`Event::CloseSocket`], with [`Refusal::Full`]).
    Open {
        /// The socket it came by.
        socket: SocketId,
        /// Who comes in.
        entry: Box<Entry>,
    },
    /// A client said `hello` with `resume`. Answered by `welcome` and what the client has not seen, or by a fatal
    /// `refused` with [`Refusal::SessionGone`] and [`Event::CloseSocket`]. The session's older socket, if it still
    /// stands, is closed.
    Resume {
        /// The socket it came by.
        socket: SocketId,
        /// The secret from `welcome`.
        secret: Secret,
        /// Highest edge message the client has seen without a gap.
        seen: u64,
    },
    /// A client said anything but `hello` on a socket that was opened or resumed.
    Said {
        /// The socket it came by.
        socket: SocketId,
        /// What it said.
        message: Box<ToEdge>,
    },
    /// What came by the socket could not be decoded, or came too fast to be decoded. Refused, counted, and fatal when
    /// it goes on; fatal at once with [`Refusal::TooMany`].
    Garbled {
        /// The socket it came by.
        socket: SocketId,
        /// [`Refusal::Malformed`], [`Refusal::TooLarge`] or [`Refusal::TooMany`].
        code: Refusal,
        /// One sentence for people.
        message: String,
    },
    /// The socket is gone, whoever closed it. The session waits `RESUME_MS` for another one; its media go on.
    SocketLost {
        /// The socket.
        socket: SocketId,
    },
    /// `POST /v1/whip/{room}`: a publisher's offer (RFC 9725). Answered by [`Event::HttpAnswer`].
    Whip {
        /// The waiting request.
        request: RequestId,
        /// Who comes in. `entry.secret` becomes the resource.
        entry: Box<Entry>,
        /// The offer.
        sdp: String,
    },
    /// `POST /v1/whep/{room}`: a player's offer. Answered by [`Event::HttpAnswer`].
    Whep {
        /// The waiting request.
        request: RequestId,
        /// Who comes in. `entry.secret` becomes the resource.
        entry: Box<Entry>,
        /// The offer.
        sdp: String,
    },
    /// `PATCH` of a WHIP/WHEP resource with an `application/trickle-ice-sdpfrag` body (RFC 8840). Answered by
    /// [`Event::HttpAnswer`]: without a body, 204; with one, 200 and the fragment of an ICE restart.
    HttpPatch {
        /// The waiting request.
        request: RequestId,
        /// The resource.
        resource: Secret,
        /// The fragment.
        fragment: String,
    },
    /// `DELETE` of a WHIP/WHEP resource. Answered by [`Event::HttpAnswer`].
    HttpDelete {
        /// The waiting request.
        request: RequestId,
        /// The resource.
        resource: Secret,
    },
    /// The control plane's word on who hosts the room: the answer to the attach call, or news. Older epochs are ignored.
    RoomMap(Box<RoomMap>),
    /// What a link says: it stands, its quality moved, a message or datagrams for this shard came by it, it is gone.
    /// Tracks that came by a link that is gone end; rooms ask for it again by [`Event::Connect`].
    Link(FromLink),
    /// Another shard of this node says something.
    Aside {
        /// Which shard.
        from: u8,
        /// What.
        aside: Aside,
    },
    /// Ends one participant's session, wherever on this shard it stands.
    Kick {
        /// The room.
        room: RoomId,
        /// Whom.
        participant: ParticipantId,
        /// Why, in one sentence; said by `bye`.
        message: String,
    },
    /// The application changes what somebody in a room of this shard may do; its token was good and has the grant `moderate`.
    /// Answered by [`Event::HttpAnswer`]: 204, or refused with [`Refusal::Absent`] or [`Refusal::TooMany`].
    Grant {
        /// The waiting request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Whose grants.
        participant: ParticipantId,
        /// What changes.
        change: GrantChange,
    },
    /// Ends every session with a `bye` and leaves every room: the process is about to stop.
    Shutdown {
        /// Why, in one sentence; said by `bye`, with `rejoin`.
        message: String,
    },
    /// A datagram came to the real socket of a relayed address, from a peer outside that the operator allows.
    TurnReceived {
        /// The relayed address.
        relayed: SocketAddr,
        /// Who sent it.
        peer: SocketAddr,
        /// The datagram.
        payload: Bytes,
    },
    /// The new shared secret of TURN credentials.
    TurnSecret(Secret),
    /// What the wall clock says at this moment, milliseconds since the Unix epoch. Said at the start and now and
    /// then: between two of these the shard counts on by its own steady time.
    WallClock {
        /// Milliseconds since the Unix epoch.
        unix_ms: u64,
    },
    /// Asks for [`Event::Stats`].
    Stats {
        /// The waiting request.
        request: RequestId,
    },
}

impl From<FromLink> for Command {
    fn from(said: FromLink) -> Self {
        Self::Link(said)
    }
}

/// What a shard may want of the world.
#[derive(Debug, Clone)]
pub enum Event {
    /// Write this to the socket. Messages to one socket are in order.
    Say {
        /// The socket.
        socket: SocketId,
        /// The message; [`Saying::text`] is what goes over the wire.
        message: Saying,
    },
    /// Close the socket after everything said so far was written. No `SocketLost` is expected (one does no harm).
    CloseSocket {
        /// The socket.
        socket: SocketId,
    },
    /// Answer a waiting WHIP/WHEP request.
    HttpAnswer {
        /// The request.
        request: RequestId,
        /// What to answer.
        outcome: HttpOutcome,
    },
    /// The room has its first participant here: attach it at the control plane and bring the [`Command::RoomMap`].
    RoomWanted {
        /// The room.
        room: RoomId,
    },
    /// The room's last participant left and the linger time passed: nothing of it is left here; detach it.
    RoomEmpty {
        /// The room.
        room: RoomId,
    },
    /// How many participants the room has here now, when that changed. What the node's status reports.
    RoomCount {
        /// The room.
        room: RoomId,
        /// Participants on this shard.
        participants: u32,
    },
    /// A link to this node is wanted, or still wanted; repeated while there is none. A shell that keeps links by the
    /// room maps it hands in may ignore it.
    Connect {
        /// The node and how to reach it.
        address: NodeAddress,
    },
    /// Write this on the control stream of the link.
    LinkSend {
        /// To which node.
        node: NodeId,
        /// The message.
        message: Box<Message>,
    },
    /// Send these datagrams on the link, in order.
    LinkDatagrams {
        /// To which node.
        node: NodeId,
        /// The datagrams.
        datagrams: Vec<Bytes>,
    },
    /// Bind a real socket to this relayed address: its client may talk to peers outside, because
    /// [`TurnConfig::allowed`](crate::TurnConfig::allowed) lists some.
    TurnOpen {
        /// The address.
        relayed: SocketAddr,
    },
    /// Close that socket.
    TurnClose {
        /// The address.
        relayed: SocketAddr,
    },
    /// Send this from that socket. May be dropped.
    TurnSend {
        /// The relayed address.
        relayed: SocketAddr,
        /// To whom.
        peer: SocketAddr,
        /// The datagram.
        payload: Bytes,
    },
    /// Say this to another shard of this node.
    Aside {
        /// This shard.
        from: u8,
        /// Which shard.
        shard: u8,
        /// What.
        aside: Aside,
    },
    /// The answer to [`Command::Stats`].
    Stats {
        /// The waiting request.
        request: RequestId,
        /// The snapshot.
        stats: Box<Stats>,
    },
}

/// What to answer a WHIP/WHEP request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpOutcome {
    /// 201 with `Location: …/{secret}`, `Content-Type: application/sdp` and this body.
    Created {
        /// The answer.
        sdp: String,
        /// The ICE session, for `ETag` (RFC 9725 §4.3.1).
        etag: String,
    },
    /// 204: the fragment was taken, or the grants are changed.
    NoContent,
    /// 200 with this fragment: ICE was restarted.
    Restarted {
        /// `application/trickle-ice-sdpfrag`.
        fragment: String,
        /// The new ICE session, for `ETag`.
        etag: String,
    },
    /// 200: the resource is deleted.
    Deleted,
    /// 404: no such resource.
    NotFound,
    /// Refused: 400 for [`Refusal::BadOffer`] and [`Refusal::Malformed`], 403 for [`Refusal::NotAllowed`],
    /// 413 for [`Refusal::TooLarge`], 503 for [`Refusal::Full`], 500 for [`Refusal::Internal`].
    Refused {
        /// For machines.
        code: Refusal,
        /// One sentence for people.
        message: String,
    },
}
