//! Hundreds of honest light participants on real sockets, and a report one can believe.
//!
//! ```text
//!   Plan ─▶ token and placement over HTTP, one task per bot: WebSocket + UDP socket + lyceum_bot::Bot ─▶ Outcome
//! ```
//!
//! All bots live in one process and share one clock, so latency is measured from the sender's encoder to the moment a
//! viewer has the whole frame, without clock synchronisation. The outcome says whether the generator itself was late:
//! a run whose generator was the bottleneck measures nothing.

mod drive;
mod inbox;
pub mod media;
mod outcome;
mod place;
mod plan;
mod run;

pub use outcome::{Latency, Outcome, Trouble};
pub use plan::{Limits, Plan, Scenario, Share};
pub use run::run;
