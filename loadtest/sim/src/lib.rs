//! The whole mesh in virtual time: real shards, real links' messages, real bots, on a network made from a seed.
//!
//! ```text
//!   bots ──UDP (delay, loss, reorder, duplicates)── shards ──links (messages in order, datagrams as UDP)── shards
//!     └────WebSocket (in order, cut at will)─────────┘ └── a control plane: room maps, epochs
//! ```
//!
//! Time is told, never read: a minute of a lecture takes as long as its work takes. The same seed gives the same network and
//! the same decisions, so a failing seed is a test case. [`Mesh`] is driven by scenarios in `tests/`; [`Findings`] says what must
//! always hold. [`Link`] is a bottleneck with a queue, for what has to share one.

#![cfg_attr(test, allow(clippy::disallowed_methods))] // a test has to begin somewhere

mod control;
mod findings;
mod greedy;
mod link;
mod mesh;
mod meter;
mod network;

pub use findings::Findings;
pub use greedy::{Greedy, Growth, SEGMENT_BYTES};
pub use link::{Bottleneck, Gate, Link, Lost, Passed, Shape, Wobble};
pub use mesh::{BotId, EdgeId, Mesh, Setup};
pub use meter::{Meter, Work};
pub use network::{Bursts, Conditions, Limit, Random};
