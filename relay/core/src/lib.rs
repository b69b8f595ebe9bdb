//! The cascade, sans I/O: what a node does with a room it shares with other nodes.
//!
//! - [`machine`]: what every shard is to the driver that turns it.
//! - [`link`]: one node-to-node connection: handshake, and where its traffic belongs.
//! - [`hop`]: one room on one shard: who is where, which track comes from whom, repair, one order of messages.
//!
//! Cores depend in one straight line: `wire ← media ← relay/core ← edge-node/core`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests pick a moment to begin at"))]

pub mod hop;
pub mod link;
pub mod machine;
pub mod order;
pub mod queue;
pub mod repair;
pub mod roster;
pub mod route;

pub use machine::Machine;
