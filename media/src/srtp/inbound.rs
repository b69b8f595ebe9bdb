//! Opening what a peer sealed.

use super::{Keys, SrtpError};

/// The receiving half of one peer's SRTP. Sources make themselves known by a valid tag.
pub struct Inbound {}

/// An opened RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Length of header and plain payload; what follows in the datagram is the tag.
    pub len: usize,
    /// Roll-over counter ‖ sequence number (RFC 3711 §3.3.1).
    pub index: u64,
}

impl Inbound {
    /// From the remote side's keys.
    pub fn new(_keys: &Keys) -> Result<Self, SrtpError> {
        Ok(Self {})
    }

    /// Opens an RTP packet in place.
    pub fn unprotect(&mut self, _packet: &mut [u8]) -> Result<Opened, SrtpError> {
        Err(SrtpError::Malformed)
    }

    /// Opens an RTCP compound in place and returns the plain part.
    pub fn unprotect_rtcp<'a>(&mut self, _packet: &'a mut [u8]) -> Result<&'a mut [u8], SrtpError> {
        Err(SrtpError::Malformed)
    }
}
