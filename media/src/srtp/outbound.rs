//! Sealing what a peer shall open.

use super::keys::{CmSha1, E_BIT, GCM_TAG_LEN, Session, Stream, cm_apply, gcm_nonce, mac_of};
use super::{Keys, Profile, SOURCES_MAX, SrtpError};
use crate::seq::Extend;
use aws_lc_rs::aead::Aad;
use lyceum_wire::rtp::Header;

/// The sending half of one peer's SRTP. There must be one per peer: two with the same keys would use a nonce twice.
pub struct Outbound {
    profile: Profile,
    rtp: Session,
    rtcp: Session,
    /// Roll-over counters for [`Self::protect`]; sorted by SSRC.
    sources: Vec<(u32, Extend)>,
    /// Index of the next SRTCP packet; one count for all sources, so that no nonce repeats whatever SSRCs do.
    rtcp_index: u32,
}

impl Outbound {
    /// From this side's keys.
    pub fn new(keys: &Keys) -> Result<Self, SrtpError> {
        Ok(Self {
            profile: keys.profile,
            rtp: keys.session(Stream::Rtp)?,
            rtcp: keys.session(Stream::Rtcp)?,
            sources: Vec::new(),
            rtcp_index: 0,
        })
    }

    /// What an RTP packet grows by, in bytes.
    #[must_use]
    pub fn tag_len(&self) -> usize {
        self.profile.tag_len()
    }

    /// Seals the RTP packet that is all of `packet`: encrypts in place, appends the tag, counts roll-overs per source itself.
    pub fn protect(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        let header = Header::parse(packet).map_err(|_| SrtpError::Malformed)?;
        let at = match self.sources.binary_search_by_key(&header.ssrc, |(ssrc, _)| *ssrc) {
            Ok(at) => at,
            Err(_) if self.sources.len() >= SOURCES_MAX => return Err(SrtpError::TooManySources),
            Err(at) => {
                self.sources.insert(at, (header.ssrc, Extend::default()));
                at
            }
        };
        // `Extend` starts in the second cycle, SRTP in the first.
        let index = self.sources[at].1.extend(header.sequence).0.wrapping_sub(1 << 16);
        self.seal(packet, 0, header.len, header.ssrc, index)
    }

    /// Seals the RTP packet that lies at `start..` of `batch`: encrypts in place what follows its header and appends the tag.
    /// `index` is roll-over counter ‖ sequence number, beginning in the first cycle; the caller never uses one twice per source.
    #[inline]
    pub fn seal(
        &self,
        batch: &mut Vec<u8>,
        start: usize,
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<(), SrtpError> {
        let packet = batch.get_mut(start..).ok_or(SrtpError::Malformed)?;
        let (head, body) = packet.split_at_mut_checked(header_len).ok_or(SrtpError::Malformed)?;
        match &self.rtp {
            Session::Gcm { key, salt } => {
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(salt, ssrc, index), Aad::from(&*head), body)
                    .map_err(|_| SrtpError::Malformed)?;
                batch.extend_from_slice(tag.as_ref());
            }
            Session::CmSha1(session) => {
                let CmSha1 { cipher, mac, salt } = &**session;
                cm_apply(cipher, salt, ssrc, index, body)?;
                let roll_over = ((index >> 16) as u32).to_be_bytes();
                let tag = mac_of(mac, [&*packet, &roll_over]);
                batch.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Seals the RTCP compound that is all of `packet`: encrypts in place, appends tag and index.
    pub fn protect_rtcp(&mut self, packet: &mut Vec<u8>) -> Result<(), SrtpError> {
        self.seal_rtcp(packet, 0)
    }

    /// Seals the RTCP compound that lies at `start..` of `batch`.
    pub fn seal_rtcp(&mut self, batch: &mut Vec<u8>, start: usize) -> Result<(), SrtpError> {
        let packet = batch.get_mut(start..).ok_or(SrtpError::Malformed)?;
        let (head, body) = packet.split_first_chunk_mut::<8>().ok_or(SrtpError::Malformed)?;
        let [_, _, _, _, s0, s1, s2, s3] = *head;
        let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
        self.rtcp_index = (self.rtcp_index + 1) & !E_BIT;
        let word = (self.rtcp_index | E_BIT).to_be_bytes();
        let count = u64::from(self.rtcp_index);
        match &self.rtcp {
            Session::Gcm { key, salt } => {
                let mut aad = [0; 12];
                aad[..8].copy_from_slice(head);
                aad[8..].copy_from_slice(&word);
                let tag = key
                    .seal_in_place_separate_tag(gcm_nonce(salt, ssrc, count), Aad::from(aad), body)
                    .map_err(|_| SrtpError::Malformed)?;
                batch.extend_from_slice(&tag.as_ref()[..GCM_TAG_LEN]);
                batch.extend_from_slice(&word);
            }
            Session::CmSha1(session) => {
                let CmSha1 { cipher, mac, salt } = &**session;
                cm_apply(cipher, salt, ssrc, count, body)?;
                let tag = mac_of(mac, [&*packet, &word]);
                batch.extend_from_slice(&word);
                batch.extend_from_slice(&tag);
            }
        }
        Ok(())
    }
}
