//! The join token: a JWT (RFC 7519) signed with Ed25519 (`EdDSA`, RFC 8037), verified offline by every edge.
//!
//! The control plane holds the private key; edges hold only public keys, by key id, and so cannot mint tokens.

use crate::id::{RoomId, Source};
use serde::{Deserialize, Serialize};

/// The `aud` of every Lyceum token.
pub const AUDIENCE: &str = "lyceum";
/// Longest token looked at, in bytes: a token with every grant stays under 1 KiB.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Clocks of control plane and edge may differ by this much, in seconds.
pub const LEEWAY_SECONDS: u64 = 5;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// The application's own id of the person (free text, at most 128 bytes).
    pub sub: String,
    /// The display name (free text, at most 128 bytes).
    pub name: String,
    /// The one room this token opens.
    pub room: RoomId,
    /// What the person may do there.
    pub grants: Grants,
    /// Not before, seconds since the Unix epoch.
    pub nbf: u64,
    /// Expiry, seconds since the Unix epoch. A session that has started outlives its token.
    pub exp: u64,
}

/// What a participant may do in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grants {
    /// The sources the person may publish.
    pub publish: Vec<Source>,
    /// May receive others' tracks.
    pub subscribe: bool,
    /// May send room messages (chat).
    pub message: bool,
}

impl Grants {
    /// Everything a participant in a class may do.
    #[must_use]
    pub fn participant() -> Self {
        Self {
            publish: vec![Source::Microphone, Source::Camera, Source::Screen, Source::ScreenAudio],
            subscribe: true,
            message: true,
        }
    }

    /// Looks and writes, shows nothing.
    #[must_use]
    pub fn viewer() -> Self {
        Self { publish: Vec::new(), subscribe: true, message: true }
    }
}
