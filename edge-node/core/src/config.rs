//! What a shard is told when it is made.

use crate::door::Seed;
use lyceum_wire::id::{NodeId, Region};
use std::net::SocketAddr;
use std::time::Duration;

/// Participants on one shard at most: what one core is expected to carry, with room above.
pub const PARTICIPANTS_MAX: usize = 4_000;
/// Rooms on one shard at most. Aliases on links have room for this many.
pub const ROOMS_MAX: usize = 4_096;
/// A room without participants stays this long, so that a reload of the last page does not tear its links down and up.
pub const LINGER: Duration = Duration::from_secs(5);

/// What a shard is told when it is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// This shard's number on the node.
    pub shard: u8,
    /// The addresses of the shard's socket as clients reach it, most wanted first: the host candidates of every answer.
    pub candidates: Vec<SocketAddr>,
    /// Certificate and SRTP profiles, the same for all shards of a process.
    pub session: lyceum_session::Config,
    /// The shard's own randomness.
    pub seed: Seed,
    /// What the wall clock says at the `now` the shard is made with, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Participants taken at most, [`PARTICIPANTS_MAX`] by default.
    pub participants_max: usize,
    /// How long an empty room stays, [`LINGER`] by default.
    pub linger: Duration,
    /// The built-in TURN server; `None`: off.
    pub turn: Option<TurnConfig>,
    /// The node's other shards, over which a room that outgrows this one is split.
    pub siblings: Vec<Sibling>,
}

/// Another shard of the node.
#[derive(Debug, Clone)]
pub struct Sibling {
    /// Its number on the node.
    pub shard: u8,
    /// The addresses of its socket as clients reach it.
    pub candidates: Vec<SocketAddr>,
}

/// Settings of the built-in TURN server.
#[derive(Debug, Clone)]
pub struct TurnConfig {
    /// Realm of its credentials (RFC 8489 §9.2).
    pub realm: String,
    /// Shared secret of credentials, as the control plane hands them out. [`crate::door::Command::TurnSecret`] changes it.
    pub secret: crate::door::Secret,
    /// Networks outside this node that clients may reach through it; empty: none, which is what an edge needs.
    pub allowed: Vec<crate::turn::Network>,
    /// Ports of relayed addresses, [`crate::turn::PORTS`] by default. Each shard of a node has its own.
    pub ports: std::ops::RangeInclusive<u16>,
}
