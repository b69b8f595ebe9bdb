//! A shard of an edge: everything one thread of an edge node does, as a machine without sockets, threads or a clock.
//!
//! ```text
//!   datagrams ──► demux ──► peer (session + uplink + downlink) ──► room (a hop) ──► peers, links
//!   commands  ──► signal (numbered sessions) ─┘                       │
//!   events    ◄───────────────────────────────────────────────────────┘
//! ```
//!
//! [`door`] says what a shard is told and what it wants. `docs/protocol/signal.md` is what clients are promised.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod door;
pub mod stats;
