//! What touches the world below the edge: the driver that turns shards, and the QUIC links between nodes.
//!
//! - [`driver`]: one thread per shard, one UDP socket, the only clock.
//! - [`mesh`]: QUIC with mutual TLS to every node that shares a room with this one.
//! - [`certificates`]: the mesh's own authority, for development and for the control plane.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod certificates;
pub mod driver;
pub mod mesh;
