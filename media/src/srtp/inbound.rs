//! Opening what a peer sealed.

use super::keys::{CmSha1, E_BIT, GCM_TAG_LEN, MAC_LEN, Session, Stream, cm_apply, gcm_nonce, mac_of};
use super::replay::Window;
use super::{Keys, SOURCES_MAX, SrtpError};
use crate::seq::nearest_u16;
use aws_lc_rs::aead::Aad;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use lyceum_wire::rtp::Header;

/// The receiving half of one peer's SRTP. Sources make themselves known by a valid tag.
pub struct Inbound {
    rtp: Session,
    rtcp: Session,
    /// Sorted by SSRC: a peer has a handful, and a binary search beats hashing.
    sources: Vec<Source>,
    /// The same for RTCP, whose indices are counted per source (RFC 3711 §3.2.3).
    rtcp_sources: Vec<Source>,
}

/// An opened RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its header.
    pub header: Header,
    /// Length of header and plain payload; what follows in the datagram is the tag.
    pub len: usize,
    /// Roll-over counter ‖ sequence number (RFC 3711 §3.3.1).
    pub index: u64,
}

impl Inbound {
    /// From the remote side's keys.
    pub fn new(keys: &Keys) -> Result<Self, SrtpError> {
        Ok(Self {
            rtp: keys.session(Stream::Rtp)?,
            rtcp: keys.session(Stream::Rtcp)?,
            sources: Vec::new(),
            rtcp_sources: Vec::new(),
        })
    }

    /// Opens an RTP packet in place.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<Opened, SrtpError> {
        let header = Header::parse(packet).map_err(|_| SrtpError::Malformed)?;
        let ssrc = header.ssrc;
        let place = place_of(&self.sources, ssrc)?;
        let highest = place.ok().and_then(|at| self.sources.get(at)).map(|source| source.highest);
        // RFC 3711 §3.3.1 and appendix A: the roll-over counter that brings the packet nearest to the highest one.
        let index = highest.map_or(u64::from(header.sequence), |highest| nearest_u16(highest, header.sequence));
        if let Ok(at) = place
            && !self.sources[at].window.is_new(index)
        {
            return Err(SrtpError::Replayed);
        }
        let len = match &self.rtp {
            Session::Gcm { key, salt } => {
                let len = body_end(packet, header.len, GCM_TAG_LEN)?;
                let (head, body) = packet.split_at_mut(header.len);
                let (body, tag) = body.split_at_mut(len - header.len);
                key.open_in_place_separate_tag(gcm_nonce(salt, ssrc, index), Aad::from(&*head), tag, body)
                    .map_err(|_| SrtpError::BadTag)?;
                len
            }
            Session::CmSha1(session) => {
                let CmSha1 { cipher, mac, salt } = &**session;
                let len = body_end(packet, header.len, MAC_LEN)?;
                let (plain, tag) = packet.split_at_mut(len);
                let roll_over = ((index >> 16) as u32).to_be_bytes();
                let ours = mac_of(mac, [&*plain, &roll_over]);
                verify_slices_are_equal(&ours, tag).map_err(|_| SrtpError::BadTag)?;
                cm_apply(cipher, salt, ssrc, index, &mut plain[header.len..])?;
                len
            }
        };
        remember(&mut self.sources, place, ssrc, index);
        Ok(Opened { header, len, index })
    }

    /// Opens an RTCP compound in place and returns the plain part.
    pub fn unprotect_rtcp<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a mut [u8], SrtpError> {
        let trailer = match &self.rtcp {
            Session::Gcm { .. } => 4,
            Session::CmSha1(_) => 4 + MAC_LEN,
        };
        let word_at = body_end(packet, RTCP_CLEAR, trailer)?;
        let word = be32(packet, word_at);
        if packet[0] >> 6 != 2 || word & E_BIT == 0 {
            return Err(SrtpError::Malformed);
        }
        let index = u64::from(word & !E_BIT);
        let ssrc = be32(packet, 4);
        let place = place_of(&self.rtcp_sources, ssrc)?;
        if let Ok(at) = place
            && !self.rtcp_sources[at].window.is_new(index)
        {
            return Err(SrtpError::Replayed);
        }
        let len = match &self.rtcp {
            Session::Gcm { key, salt } => {
                let len = body_end(&packet[..word_at], RTCP_CLEAR, GCM_TAG_LEN)?;
                let (head, rest) = packet.split_at_mut(RTCP_CLEAR);
                let (body, rest) = rest.split_at_mut(len - RTCP_CLEAR);
                let (tag, word) = rest.split_at_mut(GCM_TAG_LEN);
                // RFC 7714 §9.2: first eight bytes and the index word are authenticated only.
                let mut aad = [0; RTCP_CLEAR + 4];
                aad[..RTCP_CLEAR].copy_from_slice(head);
                aad[RTCP_CLEAR..].copy_from_slice(word);
                key.open_in_place_separate_tag(gcm_nonce(salt, ssrc, index), Aad::from(aad), tag, body)
                    .map_err(|_| SrtpError::BadTag)?;
                len
            }
            Session::CmSha1(session) => {
                let CmSha1 { cipher, mac, salt } = &**session;
                let (plain, tag) = packet.split_at_mut(word_at + 4);
                verify_slices_are_equal(&mac_of(mac, [&*plain, &[]]), tag).map_err(|_| SrtpError::BadTag)?;
                cm_apply(cipher, salt, ssrc, index, &mut plain[RTCP_CLEAR..word_at])?;
                word_at
            }
        };
        remember(&mut self.rtcp_sources, place, ssrc, index);
        Ok(&mut packet[..len])
    }
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    highest: u64,
    window: Window,
}

/// Where the source is, or where it would be.
fn place_of(sources: &[Source], ssrc: u32) -> Result<Result<usize, usize>, SrtpError> {
    let place = sources.binary_search_by_key(&ssrc, |source| source.ssrc);
    if place.is_err() && sources.len() >= SOURCES_MAX {
        return Err(SrtpError::TooManySources);
    }
    Ok(place)
}

/// Only a packet whose tag was right gets here: nobody else can make us remember a source.
fn remember(sources: &mut Vec<Source>, place: Result<usize, usize>, ssrc: u32, index: u64) {
    let at = match place {
        Ok(at) => at,
        Err(at) => {
            sources.insert(at, Source { ssrc, highest: index, window: Window::default() });
            at
        }
    };
    let source = &mut sources[at];
    source.highest = source.highest.max(index);
    source.window.mark(index);
}

fn body_end(packet: &[u8], head: usize, tail: usize) -> Result<usize, SrtpError> {
    packet.len().checked_sub(tail).filter(|end| *end >= head).ok_or(SrtpError::Malformed)
}

fn be32(packet: &[u8], at: usize) -> u32 {
    packet.get(at..at + 4).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Header and sender SSRC of the first RTCP packet stay in the clear.
const RTCP_CLEAR: usize = 8;
