//! Sealing what a peer shall open.

use super::{Keys, SrtpError};

/// The sending half of one peer's SRTP. There must be one per peer: two with the same keys would use a nonce twice.
pub struct Outbound {}

impl Outbound {
    /// From this side's keys.
    pub fn new(_keys: &Keys) -> Result<Self, SrtpError> {
        Ok(Self {})
    }

    /// Seals the RTP packet that is all of `packet`: encrypts in place, appends the tag, counts roll-overs per source itself.
    pub fn protect(&mut self, _packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        Err(SrtpError::Malformed)
    }

    /// Seals the RTCP compound that is all of `packet`: encrypts in place, appends tag and index.
    pub fn protect_rtcp(&mut self, _packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        Err(SrtpError::Malformed)
    }
}
