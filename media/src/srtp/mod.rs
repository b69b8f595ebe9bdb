//! SRTP and SRTCP (RFC 3711, RFC 7714) on aws-lc-rs: one [`Inbound`] and one [`Outbound`] per peer.
//!
//! ```text
//!   RTP     header ‖ ciphertext ‖ tag                    (index = roll-over counter ‖ sequence number)
//!   SRTCP   8 bytes ‖ ciphertext [‖ tag] ‖ E+index [‖ tag]   (GCM puts its tag before the index, HMAC after)
//! ```

mod inbound;
mod keys;
mod outbound;
mod replay;

pub use inbound::{Inbound, Opened};
pub use keys::{Keys, Profile};
pub use outbound::Outbound;
pub use replay::Window;

/// Sources one peer may send from: 8 publications × 3 layers × (media + repair), and room for changes.
pub const SOURCES_MAX: usize = 128;

/// Why SRTP refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Shorter than its own lengths say, or not RTP/RTCP version 2. The sender's fault; drop it.
    #[error("malformed packet")]
    Malformed,
    /// The tag does not verify. Somebody else's packet, or corrupted; drop it.
    #[error("authentication failed")]
    BadTag,
    /// Seen already, or older than the replay window; drop it.
    #[error("replayed packet")]
    Replayed,
    /// More than [`SOURCES_MAX`] sources; drop it.
    #[error("too many sources")]
    TooManySources,
    /// Key or salt have the wrong length for the profile. The caller's fault.
    #[error("key or salt of wrong length")]
    BadKey,
}

#[cfg(test)]
mod tests;
