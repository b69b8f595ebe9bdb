//! A light participant as a machine: real ICE, DTLS, SRTP and signaling, recorded media, no decoding.
//!
//! ```text
//!   signaling ─▶┌─────────────────────────────┐─▶ signaling
//!   datagrams ─▶│ Bot: Session, Uplink (as the│─▶ datagrams
//!   time      ─▶│ receiver), Players, Watches │   deadline
//!               └─────────────────────────────┘
//! ```
//!
//! It serves the simulator in virtual time and `lyceum load` on real sockets. What it receives goes through the same
//! [`lyceum_media::Uplink`] an edge uses; what it sends is written here, so that an edge is not checked against itself.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

mod bot;
pub mod clip;
mod numbering;
pub mod outgoing;
pub mod plan;
pub mod player;
pub mod stamp;
pub mod watch;

pub use bot::{Bot, Config, Hung, Output, Report, Stage};
pub use clip::Clip;
pub use plan::{Plan, Turn};
