//! What a receiver tells a sender and how a sender answers: NACK, repairs, transport-wide arrival times, reports.
//!
//! Each piece stands alone, so that a bot can use it for its side.

pub mod nack;
pub mod report;
pub mod rtx;
pub mod twcc;
