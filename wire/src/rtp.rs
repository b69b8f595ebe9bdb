//! RTP packets (RFC 3550 §5.1, RFC 8285, RFC 4588): a header view and a header writer.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |                    CSRC (CC times 4 bytes)                    |
//! |      extension profile        |  length in 32-bit words       |  if X
//! |                     extension elements                        |
//! +---------------------------------------------------------------+
//! |                            payload …                          |
//! |                                          padding | pad count  |  if P
//! ```
//!
//! [`Header`] is a plain copy with offsets and borrows nothing, so that a packet can be decrypted in place after its
//! header was looked at. The header is in the clear under SRTP; the padding is not: ask for the payload after unsealing.

use crate::cursor::{Cursor, Reader};
use crate::ext;
use std::ops::Range;

pub use crate::cursor::Full;

/// The fixed part of every header.
pub const FIXED_BYTES: usize = 12;
/// Most contributing sources a header can carry (4 bits).
pub const CSRCS_MAX: usize = 15;

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// Shorter than its header says.
    #[error("the packet ends inside its header")]
    Truncated,
    /// The version is not 2.
    #[error("the version is not 2")]
    Version,
    /// The pad count is zero or larger than the payload.
    #[error("the padding is longer than the payload")]
    Padding,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Marker bit: last packet of a picture, first packet of a talk spurt.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp in ticks of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload ends with padding.
    pub padding: bool,
    /// Bytes before the payload, extensions included.
    pub len: usize,
    csrc_count: u8,
    /// Profile of the extension block, 0 without one.
    extension_profile: u16,
    extension_at: usize,
}

impl Header {
    /// Reads the header of `packet`.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Version`]. The padding is not looked at, see [`Header::payload`].
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(packet);
        let [first, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = reader.array().ok_or(Error::Truncated)?;
        if first >> 6 != 2 {
            return Err(Error::Version);
        }
        let csrc_count = first & 0x0f;
        let csrc_bytes = usize::from(csrc_count).saturating_mul(4);
        reader.take(csrc_bytes).ok_or(Error::Truncated)?;
        let (mut extension_profile, mut extension_at) = (0, 0);
        if first & 0x10 != 0 {
            extension_profile = reader.u16().ok_or(Error::Truncated)?;
            let words = reader.u16().ok_or(Error::Truncated)?;
            extension_at = packet.len().saturating_sub(reader.rest().len());
            reader.take(usize::from(words).saturating_mul(4)).ok_or(Error::Truncated)?;
        }
        Ok(Self {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
            padding: first & 0x20 != 0,
            len: packet.len().saturating_sub(reader.rest().len()),
            csrc_count,
            extension_profile,
            extension_at,
        })
    }

    /// The contributing sources of `packet`, which must be the one this header was read from.
    pub fn csrcs<'a>(&self, packet: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        let end = usize::from(self.csrc_count).saturating_mul(4).saturating_add(FIXED_BYTES);
        let (words, _) = packet.get(FIXED_BYTES..end).unwrap_or(&[]).as_chunks::<4>();
        words.iter().map(|word| u32::from_be_bytes(*word))
    }

    /// The header extensions of `packet`, which must be the one this header was read from.
    #[inline]
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> ext::Elements<'a> {
        let body = if self.extension_at == 0 { None } else { packet.get(self.extension_at..self.len) };
        ext::Elements::new(self.extension_profile, body.unwrap_or(&[]))
    }

    /// Where the payload of the (unsealed) `packet` is, its padding cut off. Empty for a packet of padding alone.
    ///
    /// # Errors
    /// [`Error::Padding`] when the pad count cannot be, [`Error::Truncated`] when `packet` is shorter than its header.
    #[inline]
    pub fn payload_range(&self, packet: &[u8]) -> Result<Range<usize>, Error> {
        let payload = packet.get(self.len..).ok_or(Error::Truncated)?;
        if !self.padding {
            return Ok(self.len..packet.len());
        }
        let count = usize::from(*payload.last().ok_or(Error::Padding)?);
        let end = packet.len().checked_sub(count).ok_or(Error::Padding)?;
        if count == 0 || end < self.len { Err(Error::Padding) } else { Ok(self.len..end) }
    }

    /// The payload itself, see [`Header::payload_range`].
    ///
    /// # Errors
    /// As [`Header::payload_range`].
    #[inline]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Result<&'a [u8], Error> {
        packet.get(self.payload_range(packet)?).ok_or(Error::Truncated)
    }
}

/// Takes a retransmission's payload apart: the original sequence number and the original payload (RFC 4588 §4).
/// `None` for a packet that carries nothing, such as a bandwidth probe.
#[inline]
#[must_use]
pub fn retransmitted(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (number, original) = payload.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), original))
}

/// The values of a header that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// Marker bit.
    pub marker: bool,
    /// Payload type, 0–127 (the top bit is dropped).
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Writes one header into a caller's buffer, extensions one by one.
///
/// ```
/// # use lyceum_wire::{ext::Form, rtp};
/// let mut packet = [0; 64];
/// let fields = rtp::Fields { marker: true, payload_type: 96, sequence: 7, timestamp: 90, ssrc: 1 };
/// let mut writer = rtp::Writer::start(&mut packet, fields, &[42], Form::OneByte)?;
/// writer.extension(4, b"0")?;
/// let header_len = writer.finish()?;
/// # assert_eq!(header_len, 24);
/// # Ok::<(), rtp::Full>(())
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    cursor: Cursor<'a>,
    form: ext::Form,
    /// Where the extension block starts, once there is one.
    block_at: Option<usize>,
}

impl<'a> Writer<'a> {
    /// Writes the fixed part and the contributing sources (at most [`CSRCS_MAX`] of them).
    ///
    /// # Errors
    /// [`Full`] when the buffer ends first.
    #[inline]
    pub fn start(out: &'a mut [u8], fields: Fields, csrcs: &[u32], form: ext::Form) -> Result<Self, Full> {
        let mut cursor = Cursor::new(out);
        let csrcs = csrcs.get(..CSRCS_MAX).unwrap_or(csrcs);
        let count = u8::try_from(csrcs.len()).unwrap_or(0);
        let [s0, s1] = fields.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = fields.timestamp.to_be_bytes();
        let [r0, r1, r2, r3] = fields.ssrc.to_be_bytes();
        let second = u8::from(fields.marker) << 7 | fields.payload_type & 0x7f;
        cursor.put(&[0x80 | count, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3])?;
        for csrc in csrcs {
            cursor.u32(*csrc)?;
        }
        Ok(Self { cursor, form, block_at: None })
    }

    /// Adds one extension element. Ids and lengths that the form cannot express (see [`ext::Form::fits`]) are left out.
    ///
    /// # Errors
    /// [`Full`] when the buffer ends first.
    #[inline]
    pub fn extension(&mut self, id: u8, data: &[u8]) -> Result<(), Full> {
        if !self.form.fits(id, data.len()) {
            return Ok(());
        }
        if self.block_at.is_none() {
            self.block_at = Some(self.cursor.at());
            self.cursor.u16(self.form.profile())?;
            self.cursor.u16(0)?;
        }
        let len = u8::try_from(data.len()).unwrap_or(0);
        match self.form {
            ext::Form::OneByte => self.cursor.u8(id << 4 | len.wrapping_sub(1) & 0x0f)?,
            ext::Form::TwoByte => self.cursor.put(&[id, len])?,
        }
        self.cursor.put(data)
    }

    /// Pads and closes the extension block. Returns the header's length: the payload goes there.
    ///
    /// # Errors
    /// [`Full`] when the buffer ends first.
    #[inline]
    pub fn finish(mut self) -> Result<usize, Full> {
        if let Some(at) = self.block_at {
            self.cursor.pad4()?;
            let words = self.cursor.at().saturating_sub(at).saturating_sub(4) >> 2;
            self.cursor.patch(at.saturating_add(2), &u16::try_from(words).unwrap_or(u16::MAX).to_be_bytes());
            let [first, ..] = *self.cursor.written() else { return Err(Full) };
            self.cursor.patch(0, &[first | 0x10]);
        }
        Ok(self.cursor.at())
    }
}

#[cfg(test)]
mod tests;
