//! Rooms and forwarding: what happens to a media packet between the publisher's socket and every subscriber's.
//!
//! ```text
//!   datagram ─▶ Uplink ─▶ Packet ─▶ Room::forward ─▶ Downlinks ─▶ flush ─▶ GSO batches, one destination each
//!               unprotect            cache, observe    select, renumber, rewrite, seal
//!               which track          speaker, demand ─▶ taps (links to other nodes, recorders)
//! ```
//!
//! Everything here is a machine that is told the time; nothing reads a clock, opens a socket or draws a random number.
//! One shard owns one [`Downlinks`] arena and any number of [`Room`]s and [`Uplink`]s.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests pick a moment to begin at"))]

pub mod allocate;
pub mod downlink;
pub mod drop;
pub mod estimate;
pub mod feedback;
mod fetch;
pub mod frame;
pub mod pace;
pub mod packet;
pub mod room;
pub mod seq;
pub mod sink;
pub mod slot;
pub mod speaker;
pub mod srtp;
pub mod timer;
pub mod track;
pub mod uplink;

pub use downlink::{DownlinkId, Downlinks, Transmit};
pub use drop::{Drop, Drops};
pub use packet::{AudioLevel, Codec, Flags, Packet, Ssrc, TrackId};
pub use room::{Event, Room, TapId};
pub use seq::SeqNo;
pub use uplink::{Received, Uplink};
