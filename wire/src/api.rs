//! The control plane's HTTP API: bodies of requests and answers. Paths, verbs and errors: `docs/protocol/api.md`.

use crate::id::{NodeId, Region, RoomId};
use crate::token::Grants;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An error body: every answer outside 2xx has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Problem {
    /// Stable word for machines, such as `bad_token`.
    pub code: String,
    /// One sentence for people: what is wrong and what to do.
    pub message: String,
}

/// `POST /v1/tokens`: asks for a join token. Needs the API secret unless the control plane is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct TokenRequest {
    /// The room it opens.
    pub room: RoomId,
    /// Display name.
    pub name: String,
    /// The application's id of the person; made up when absent.
    #[serde(default)]
    pub identity: Option<String>,
    /// What the person may do; everything a participant may when absent.
    #[serde(default)]
    pub grants: Option<Grants>,
    /// How long it opens doors, in seconds: 1 to 86,400; 3,600 when absent.
    #[serde(default)]
    pub ttl_seconds: Option<u64>,
}

/// The answer to [`TokenRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TokenAnswer {
    /// The JWT.
    pub token: String,
    /// Its expiry, seconds since the Unix epoch.
    pub expires_at: u64,
}

/// `POST /v1/rooms/{room}/join` (bearer: the join token): asks where to connect.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct JoinRequest {
    /// The region wished for; nearest when absent.
    #[serde(default)]
    pub region: Option<Region>,
    /// Round-trip times the client measured to the probe of each region, in milliseconds.
    #[serde(default)]
    pub rtt_ms: BTreeMap<Region, f64>,
    /// Nodes that this client has just failed to reach; avoided when there is a choice.
    #[serde(default)]
    pub avoid: Vec<NodeId>,
}

/// Where a participant was placed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Placement {
    /// The room.
    pub room: RoomId,
    /// The chosen edge.
    pub edge: EdgeAddress,
    /// STUN and TURN servers, as `RTCConfiguration.iceServers` wants them.
    pub ice_servers: Vec<IceServer>,
    /// Why this edge, in one sentence.
    pub reason: String,
}

/// How a client reaches an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct EdgeAddress {
    /// The edge's node id.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// Base URL, such as `http://127.0.0.1:8081`. The doors are `{base}/v1/signal` (WebSocket, so `ws:`/`wss:`),
    /// `{base}/v1/whip/{room}`, `{base}/v1/whep/{room}`, `{base}/v1/probe` (204, for measuring), `{base}/metrics`.
    pub url: String,
}

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
pub struct IceServer {
    /// `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    /// TURN user name: `{expiry unix seconds}:{room}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password: base64(HMAC-SHA1(shared secret, user name)), as the TURN REST API draft says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// `PUT /v1/nodes/{node}` (bearer: node secret): a node says it lives. Registers at the first call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeStatus {
    /// Region it stands in.
    pub region: Region,
    /// Base URL for clients, see [`EdgeAddress::url`].
    pub url: String,
    /// `host:port` of its QUIC link endpoint.
    pub link_addr: String,
    /// STUN/TURN URLs it serves, such as `turn:127.0.0.1:40001?transport=udp`, one per shard, in shard order:
    /// a room's shard is `RoomId::key() % turn_urls.len()`.
    pub turn_urls: Vec<String>,
    /// Software version.
    pub version: String,
    /// Takes new rooms and participants. A draining node says `false`.
    pub ready: bool,
    /// How busy it is.
    pub load: Load,
    /// Rooms it hosts at the moment and how many participants it has in each: the control plane re-attaches what it forgot.
    pub rooms: BTreeMap<RoomId, u32>,
}

/// How busy a node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Load {
    /// Participants connected.
    pub participants: u32,
    /// Rooms hosted.
    pub rooms: u32,
    /// Busiest shard's share of its core, 0 to 1.
    pub cpu: f64,
}

/// The answer to [`NodeStatus`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeLease {
    /// The lease runs out this many milliseconds after the last status; report at least three times as often.
    pub lease_ms: u64,
    /// Public keys of join tokens, by key id: base64url of the 32 bytes of an Ed25519 key.
    pub token_keys: BTreeMap<String, String>,
    /// Shared secret of TURN credentials.
    pub turn_secret: String,
    /// The maps of all rooms this node hosts, as the control plane knows them: healing after lost calls.
    pub rooms: Vec<RoomMap>,
}

/// `POST /v1/nodes/{node}/certificate` (bearer: node secret): has a certificate signed for the links.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateRequest {
    /// PKCS#10 request, PEM. Only its key is used; the control plane sets the subject name to the node id.
    pub csr_pem: String,
}

/// The answer to [`CertificateRequest`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CertificateAnswer {
    /// The node's certificate, PEM. Its one DNS name is `{node}.lyceum.internal`.
    pub certificate_pem: String,
    /// The mesh's certificate authority, PEM.
    pub ca_pem: String,
}

/// Who hosts a room. The answer to `POST /v1/rooms/{room}/nodes/{node}` (attach, bearer: node secret); `DELETE` detaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomMap {
    /// The room.
    pub room: RoomId,
    /// Grows with every change of this map; an older map never replaces a newer one.
    pub epoch: u64,
    /// The node that puts the room's messages in order: the longest attached one that lives.
    pub home: NodeId,
    /// All nodes that host it, in order of attachment.
    pub nodes: Vec<NodeAddress>,
}

/// How nodes reach each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeAddress {
    /// Node id.
    pub node: NodeId,
    /// Region.
    pub region: Region,
    /// `host:port` of its QUIC link endpoint.
    pub link_addr: String,
}

/// `GET /v1/regions`: the regions one can join in, and what to measure the way to them with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Regions {
    /// Every region that has a ready edge, by name.
    pub regions: Vec<RegionInfo>,
    /// Join tokens are given to anybody, without the API secret.
    pub open: bool,
}

/// Most probe URLs given for a region: more would only measure the same way again.
pub const PROBES_MAX: usize = 3;

/// One region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RegionInfo {
    /// The region.
    pub region: Region,
    /// Up to [`PROBES_MAX`] of its ready edges. Each answers `GET` with 204 and nothing else; the time it takes goes
    /// into [`JoinRequest::rtt_ms`].
    pub probes: Vec<String>,
}

/// `GET /v1/rooms?after=…&limit=…`: rooms that somebody hosts, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rooms {
    /// At most `limit` rooms.
    pub rooms: Vec<RoomInfo>,
    /// There are more: ask again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<RoomId>,
}

/// `GET /v1/rooms/{room}`: one room as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomInfo {
    /// The room.
    pub room: RoomId,
    /// Epoch of its map, see [`RoomMap::epoch`].
    pub epoch: u64,
    /// The node that puts its messages in order.
    pub home: NodeId,
    /// Participants on all its nodes, as last reported.
    pub participants: u32,
    /// The nodes that host it, in order of attachment.
    pub nodes: Vec<RoomNode>,
}

/// One node's part in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoomNode {
    /// The node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// Participants it has in the room, as last reported.
    pub participants: u32,
}

/// `GET /v1/nodes`: all registered nodes, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Nodes {
    /// The nodes.
    pub nodes: Vec<NodeInfo>,
}

/// One node as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeInfo {
    /// The node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// Base URL for clients.
    pub url: String,
    /// `host:port` of its QUIC link endpoint.
    pub link_addr: String,
    /// Software version.
    pub version: String,
    /// It takes new rooms and participants.
    pub ready: bool,
    /// Milliseconds since its last report.
    pub age_ms: u64,
    /// How busy it said it was.
    pub load: Load,
    /// Participants placed there whom its reports do not show yet.
    pub expected: u32,
}

/// `GET /v1/rooms/{room}/explain?region=…`: where placement would put the next participant and why, and where it put the last ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// The room.
    pub room: RoomId,
    /// The edge the next participant would get; none when no edge can take one.
    pub chosen: Option<NodeId>,
    /// Why, in one sentence.
    pub reason: String,
    /// Every known node, the best first, those that cannot be chosen last.
    pub candidates: Vec<Candidate>,
    /// The latest placements in this room by this control plane, newest first.
    pub recent: Vec<RecentPlacement>,
}

/// One node as placement saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// Why it cannot be chosen, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Exclusion>,
    /// What its score is made of; the lowest score in the chosen region wins.
    pub score: Score,
}

/// Why a node cannot be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Exclusion {
    /// It says that it takes nobody: starting, draining or ill.
    NotReady,
    /// It has been silent for longer than its lease.
    Silent,
    /// The client has just failed to reach it, and there is another.
    Avoided,
    /// It could be chosen, but its region comes after the chosen one.
    OtherRegion,
}

/// What a score is made of, in shares of one core; the total is the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Score {
    /// Load of its busiest shard, as reported.
    pub cpu: f64,
    /// Load assumed for participants placed there since, whom its report does not show yet.
    pub expected: f64,
    /// A little for everybody it has, so that idle nodes fill evenly.
    pub crowd: f64,
    /// Negative when it hosts the room already: another node would mean another link.
    pub hosting: f64,
    /// The sum.
    pub total: f64,
}

/// A placement that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecentPlacement {
    /// The chosen edge.
    pub node: NodeId,
    /// Why, in one sentence.
    pub reason: String,
    /// How long ago, in milliseconds.
    pub age_ms: u64,
}

/// `GET /v1/keys`: the public keys of join tokens as a JSON Web Key Set (RFC 7517, RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeySet {
    /// The keys, the one that signs first.
    pub keys: Vec<Key>,
}

/// One public key of a [`KeySet`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Key {
    /// Key type, `OKP`.
    pub kty: String,
    /// Curve, `Ed25519`.
    pub crv: String,
    /// Use, `sig`.
    #[serde(rename = "use")]
    pub usage: String,
    /// Algorithm, `EdDSA`.
    pub alg: String,
    /// Key id, as it stands in tokens' headers.
    pub kid: String,
    /// base64url of its 32 bytes.
    pub x: String,
}
