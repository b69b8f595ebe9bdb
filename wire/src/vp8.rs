//! VP8 in RTP (RFC 7741): the payload descriptor in front of each packet, read and renumbered in place.
//!
//! ```text
//!   0 1 2 3 4 5 6 7
//!  |X|R|N|R|S|R|PID |    N non-reference, S start of partition PID
//!  |I|L|T|K|  RSV   |    if X
//!  |M| PictureID    |    if I: 7 bits, or 15 with M
//!  |   PictureID    |
//!  |   TL0PICIDX    |    if L
//!  |TID|Y| KEYIDX   |    if T or K
//!  | VP8 payload …  |    first byte of a frame: size, show, version, P (0 = key frame)
//! ```

use crate::cursor::Reader;

/// Why bytes are not a VP8 payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// It ends inside the descriptor, or right after it.
    #[error("the payload ends inside its descriptor")]
    Truncated,
}

/// A picture id and the width it has on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureId {
    /// 7 or 15 bits.
    pub value: u16,
    /// 15 bits wide.
    pub long: bool,
}

/// What a payload descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes before the VP8 payload.
    pub len: usize,
    /// No other frame refers to this one: it may be left out without harm.
    pub non_reference: bool,
    /// First packet of partition `partition`. With partition 0: first packet of the frame.
    pub partition_start: bool,
    /// Partition, 0 the first.
    pub partition: u8,
    /// Running number of the frame.
    pub picture_id: Option<PictureId>,
    /// Running number of base-layer frames.
    pub tl0_picture: Option<u8>,
    /// Temporal layer, 0 the base.
    pub temporal: Option<u8>,
    /// The frame depends on the base layer only: a place to step up.
    pub layer_sync: bool,
    /// Number of the key frame it depends on, 5 bits.
    pub key_index: Option<u8>,
    /// First packet of a key frame.
    pub key_frame: bool,
}

impl Descriptor {
    /// Reads the descriptor and, at the start of a frame, the first byte behind it.
    ///
    /// # Errors
    /// [`Error::Truncated`], also when no VP8 byte follows the descriptor.
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        Self::read(payload).ok_or(Error::Truncated)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let extended = if first & 0x80 != 0 { reader.u8()? } else { 0 };
        let mut picture_id = None;
        if extended & 0x80 != 0 {
            let high = reader.u8()?;
            picture_id = Some(if high & 0x80 != 0 {
                PictureId { value: u16::from_be_bytes([high & 0x7f, reader.u8()?]), long: true }
            } else {
                PictureId { value: u16::from(high), long: false }
            });
        }
        let tl0_picture = if extended & 0x40 != 0 { Some(reader.u8()?) } else { None };
        let (mut temporal, mut layer_sync, mut key_index) = (None, false, None);
        if extended & 0x30 != 0 {
            let byte = reader.u8()?;
            if extended & 0x20 != 0 {
                temporal = Some(byte >> 6);
                layer_sync = byte & 0x20 != 0;
            }
            if extended & 0x10 != 0 {
                key_index = Some(byte & 0x1f);
            }
        }
        let len = payload.len().saturating_sub(reader.rest().len());
        let frame_byte = reader.u8()?;
        let partition_start = first & 0x10 != 0;
        let partition = first & 0x07;
        Some(Self {
            len,
            non_reference: first & 0x20 != 0,
            partition_start,
            partition,
            picture_id,
            tl0_picture,
            temporal,
            layer_sync,
            key_index,
            key_frame: partition_start && partition == 0 && frame_byte & 0x01 == 0,
        })
    }

    /// First packet of a frame.
    #[inline]
    #[must_use]
    pub fn frame_start(&self) -> bool {
        self.partition_start && self.partition == 0
    }

    /// Width and height in pixels, from the first packet of a key frame (RFC 6386 §9.1).
    #[must_use]
    pub fn size(&self, payload: &[u8]) -> Option<Size> {
        if !self.key_frame {
            return None;
        }
        match *payload.get(self.len..)? {
            [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] => Some(Size {
                width: u16::from_le_bytes([w0, w1]) & 0x3fff,
                height: u16::from_le_bytes([h0, h1]) & 0x3fff,
            }),
            _ => None,
        }
    }

    /// Puts other running numbers into `payload`, which must be the one this descriptor was read from, or a copy.
    /// Widths stay: a 7-bit picture id keeps the low 7 bits. Numbers the descriptor does not have are left out.
    #[inline]
    pub fn renumber(&self, payload: &mut [u8], picture_id: u16, tl0_picture: u8) {
        let mut at = 2;
        if let Some(PictureId { long, .. }) = self.picture_id {
            let [high, low] = picture_id.to_be_bytes();
            match (payload.get_mut(at..), long) {
                (Some([first, second, ..]), true) => (*first, *second) = (0x80 | high & 0x7f, low),
                (Some([first, ..]), false) => *first = low & 0x7f,
                _ => {}
            }
            at = if long { 4 } else { 3 };
        }
        if self.tl0_picture.is_some()
            && let Some(byte) = payload.get_mut(at)
        {
            *byte = tl0_picture;
        }
    }
}

/// Size of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
}

/// The values of a descriptor that is to be written, as every browser writes it: 15-bit picture id, TL0PICIDX and TID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// First packet of the frame.
    pub frame_start: bool,
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// 15 bits.
    pub picture_id: u16,
    /// Running number of base-layer frames.
    pub tl0_picture: u8,
    /// Temporal layer, 0–3.
    pub temporal: u8,
    /// The frame depends on the base layer only.
    pub layer_sync: bool,
}

/// Length of what [`Fields::to_bytes`] makes.
pub const WRITTEN_BYTES: usize = 6;

impl Fields {
    /// The descriptor's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; WRITTEN_BYTES] {
        let first = 0x80 | u8::from(self.non_reference) << 5 | u8::from(self.frame_start) << 4;
        let [high, low] = self.picture_id.to_be_bytes();
        let layer = (self.temporal & 3) << 6 | u8::from(self.layer_sync) << 5;
        [first, 0xe0, 0x80 | high & 0x7f, low, self.tl0_picture, layer]
    }
}

#[cfg(test)]
mod tests;
