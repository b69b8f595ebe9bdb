//! What can go wrong, and what to do about it.

use lyceum_wire::api::Problem;
use lyceum_wire::signal::Refusal;

/// Why something did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The control plane or the edge refused an HTTP request.
    #[error("refused with status {status}: {} ({})", problem.message, problem.code)]
    Http {
        /// The status.
        status: u16,
        /// What it said.
        problem: Problem,
    },
    /// A server could not be reached, or answered something that is none of ours.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// The URL.
        url: String,
        /// Why.
        why: String,
    },
    /// The edge refused what was said.
    #[error("the edge refuses: {message} ({code:?})")]
    Refused {
        /// For machines.
        code: Refusal,
        /// For people.
        message: String,
    },
    /// The session is over; [`crate::Event::Ended`] said why.
    #[error("the session is over")]
    Over,
    /// There was no answer in time.
    #[error("no answer in time: {0}")]
    Timeout(&'static str),
    /// The media engine cannot do it.
    #[error("the media engine: {0}")]
    Engine(String),
    /// The media file cannot be played.
    #[error("the media file: {0}")]
    File(String),
    /// A URL, name or option is wrong.
    #[error("{0}")]
    Option(String),
}

impl From<webrtc::error::Error> for Error {
    fn from(error: webrtc::error::Error) -> Self {
        Self::Engine(error.to_string())
    }
}
