//! The edge node: shards on threads, and everything around them that touches the world.
//!
//! ```text
//!   browser ── WebSocket, WHIP, WHEP ──► signal, whip ──┐
//!   node    ── QUIC ──────────────────► mesh ───────────┼── Command ──► shard (thread) ◄── UDP ── media
//!   control plane ◄── HTTP ──────────── control ◄───────┴── Event ◄────┘
//! ```
//!
//! The media path never enters this crate: a shard's thread owns its socket (`lyceum_relay::driver`).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod control;
mod counters;
mod doors;
pub mod edge;
mod exposition;
mod grants;
mod http;
mod keeper;
mod keys;
mod mesh;
mod metrics;
mod problem;
mod rate;
mod signal;
mod sockets;
mod turn_relay;
pub mod units;
mod waiting;
mod whip;
