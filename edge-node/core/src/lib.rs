//! A shard of an edge: everything one thread of an edge node does, as a machine without sockets, threads or a clock.
//!
//! ```text
//!   datagrams ──► demux ──► peer (session + uplink + downlink) ──► room (a hop) ──► peers, links
//!   commands  ──► signal (numbered sessions) ─┘                       │
//!   events    ◄───────────────────────────────────────────────────────┘
//! ```
//!
//! [`door`] says what a shard is told and what it wants. `docs/protocol/signal.md` is what clients are promised.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod config;
mod demux;
pub mod door;
mod draw;
pub mod drops;
pub mod peer;
mod relayed;
mod room;
mod shard;
pub mod signal;
mod slab;
pub mod spread;
pub mod stats;
pub mod turn;

pub use config::{Config, Sibling, TurnConfig};
pub use door::{Command, Event};
pub use shard::Shard;
