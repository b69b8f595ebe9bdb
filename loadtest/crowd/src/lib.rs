//! Thousands of viewers on one socket, as cheap as they can be and still be believed: the other end of a measurement.
//!
//! ```text
//!   Knock ── offer ──▶ whoever is measured ── answer ──▶ Viewer, Publisher ──▶ Crowd: one thread, one socket
//!
//!   a viewer   joins for real (ICE, DTLS, SRTP), then reads the header of every packet: number, transport-wide number;
//!              opens a sample of them, which must be what its publisher sent; reports as browsers do (transport-cc,
//!              receiver reports) or as older clients do (REMB)
//!   a delay    is the time from the publisher's send call to the sink's receive call, of every packet
//! ```
//!
//! Every member has its own address and all share one port, so that a network of a whole class costs one socket.
//! The crowd says how busy it was itself: a run whose generator was the bottleneck measures the generator.

pub mod account;
mod call;
mod crowd;
mod knock;
mod ledger;
mod publisher;
mod socket;
mod viewer;

pub use call::Call;
pub use crowd::{BARE, Crowd, Delays, Tally, bare_datagram};
pub use knock::{Knock, Way};
pub use ledger::Ledger;
pub use publisher::{Publisher, Shape};
pub use socket::{Socket, dropped_by_kernel};
pub use viewer::{Seen, Viewer};
