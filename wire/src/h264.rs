//! H264 in RTP (RFC 6184): what the NAL units of one payload say of its picture.
//!
//! ```text
//!  |F|NRI|  type   |     1–23  one NAL unit
//!                        24    STAP-A: 16 bits of size and a NAL unit, again and again
//!                        28    FU-A: a part of one, its type behind S E R in the second byte
//! ```

use crate::cursor::Reader;
use crate::vp8::Size;

/// Why bytes are not an H264 payload that this build forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// It ends inside a header or a NAL unit.
    #[error("the payload ends inside a NAL unit")]
    Truncated,
    /// A packet type of the interleaved mode (RFC 6184 §6.4), which nobody negotiates, or a reserved one.
    #[error("the packet type is not of a mode that was negotiated")]
    PacketType,
}

/// What one payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payload {
    /// It has (a part of) a slice of an IDR picture.
    pub idr: bool,
    /// It has (the first part of) a sequence parameter set.
    pub parameters: bool,
    /// It begins a NAL unit: the first packet of a picture always does.
    pub begins_unit: bool,
    /// It has the first slice of a picture.
    pub first_slice: bool,
    /// Nothing in it is referred to (NRI 0).
    pub non_reference: bool,
    /// Size of the picture, from a sequence parameter set.
    pub size: Option<Size>,
}

impl Payload {
    /// Looks through the NAL units of a payload.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let (&header, rest) = payload.split_first().ok_or(Error::Truncated)?;
        let mut said = Self { non_reference: true, ..Self::default() };
        match header & TYPE_BITS {
            1..=23 => said.unit(payload, true),
            STAP_A => {
                let mut reader = Reader::new(rest);
                while !reader.is_empty() {
                    let len = usize::from(reader.u16().ok_or(Error::Truncated)?);
                    let unit = reader.take(len).filter(|unit| !unit.is_empty()).ok_or(Error::Truncated)?;
                    said.unit(unit, true);
                }
                if rest.is_empty() {
                    return Err(Error::Truncated);
                }
            }
            FU_A => {
                let (&part, rest) = rest.split_first().ok_or(Error::Truncated)?;
                let starts = part & 0x80 != 0;
                let mut unit = [0; PART_LOOKED_AT];
                let len = rest.len().min(PART_LOOKED_AT.saturating_sub(1));
                if let (Some((first, place)), Some(front)) = (unit.split_first_mut(), rest.get(..len)) {
                    *first = header & !TYPE_BITS | part & TYPE_BITS;
                    if let Some(place) = place.get_mut(..len) {
                        place.copy_from_slice(front);
                    }
                }
                said.unit(unit.get(..len.saturating_add(1)).unwrap_or(&unit), starts);
            }
            _ => return Err(Error::PacketType),
        }
        Ok(said)
    }

    /// One NAL unit, or a part of one that `starts` here or goes on.
    fn unit(&mut self, unit: &[u8], starts: bool) {
        let Some((&header, body)) = unit.split_first() else { return };
        self.begins_unit |= starts;
        self.non_reference &= header & REFERENCE_BITS == 0;
        match header & TYPE_BITS {
            kind @ (SLICE | SLICE_IDR) => {
                self.idr |= kind == SLICE_IDR;
                // first_mb_in_slice is ue(v): zero is a single set bit.
                self.first_slice |= starts && body.first().is_some_and(|byte| byte & 0x80 != 0);
            }
            PARAMETERS if starts => {
                self.parameters = true;
                self.size = size_of(body).or(self.size);
            }
            _ => {}
        }
    }
}

/// The size that a sequence parameter set says (ITU-T H.264 §7.3.2.1.1), cropping taken off.
fn size_of(parameters: &[u8]) -> Option<Size> {
    let mut bits = Golomb::new(parameters);
    let profile = bits.take(8)?;
    bits.take(16)?;
    bits.value()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.value()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        bits.value()?;
        bits.value()?;
        bits.take(1)?;
        // Scaling matrices: no browser sends one, and what follows cannot be found without reading them.
        if bits.take(1)? != 0 {
            return None;
        }
    }
    bits.value()?;
    match bits.value()? {
        0 => {
            bits.value()?;
        }
        1 => {
            bits.take(1)?;
            bits.value()?;
            bits.value()?;
            let count = bits.value()?;
            if count > 255 {
                return None;
            }
            for _ in 0..count {
                bits.value()?;
            }
        }
        2 => {}
        _ => return None,
    }
    bits.value()?;
    bits.take(1)?;
    let width = bits.value()?.checked_add(1)?.checked_mul(16)?;
    let height = bits.value()?.checked_add(1)?.checked_mul(16)?;
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    let fields = 2_u32.saturating_sub(frames_only);
    let height = height.checked_mul(fields)?;
    bits.take(1)?;
    let (mut across, mut down) = (0_u32, 0_u32);
    if bits.take(1)? != 0 {
        let (x, y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        across = bits.value()?.checked_add(bits.value()?)?.checked_mul(x)?;
        down = bits.value()?.checked_add(bits.value()?)?.checked_mul(y)?.checked_mul(fields)?;
    }
    let side = |whole: u32, cut: u32| u16::try_from(whole.checked_sub(cut)?).ok().filter(|side| *side > 0);
    Some(Size { width: side(width, across)?, height: side(height, down)? })
}

/// Bits of a raw byte sequence payload: emulation prevention bytes (00 00 03) are left out.
struct Golomb<'a> {
    bytes: std::slice::Iter<'a, u8>,
    byte: u8,
    left: u8,
    zeros: u8,
}

impl<'a> Golomb<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), byte: 0, left: 0, zeros: 0 }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            let mut byte = *self.bytes.next()?;
            if self.zeros >= 2 && byte == 3 {
                self.zeros = 0;
                byte = *self.bytes.next()?;
            }
            self.zeros = if byte == 0 { self.zeros.saturating_add(1) } else { 0 };
            (self.byte, self.left) = (byte, 8);
        }
        self.left = self.left.saturating_sub(1);
        Some(u32::from(self.byte.checked_shr(u32::from(self.left))? & 1))
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Some(value)
    }

    /// ue(v) and, as only its length matters there, se(v).
    fn value(&mut self) -> Option<u32> {
        let mut zeros = 0_u32;
        while self.bit()? == 0 {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return None;
            }
        }
        let base = 1_u32.checked_shl(zeros)?.checked_sub(1)?;
        base.checked_add(self.take(zeros)?)
    }
}

const TYPE_BITS: u8 = 0x1f;
const REFERENCE_BITS: u8 = 0x60;
const SLICE: u8 = 1;
const SLICE_IDR: u8 = 5;
const PARAMETERS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// Bytes looked at in the first part of a NAL unit: parameter sets of browsers have 15 to 40.
const PART_LOOKED_AT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::hex;

    /// Sequence parameter sets of constrained baseline, by x264 and by a browser.
    const SIZED: &[(&str, u16, u16)] = &[
        // Eleven and a quarter macroblocks high: the rest is cropped.
        ("67 42c00d d901419f9f0110000003001000000303c0f142a480", 320, 180),
        ("67 42c01f d9005005bb0110000003001000000303c0f1832480", 1280, 720),
        // Chromium 156, OpenH264.
        ("67 42c01f 8c8d705017fcb37010d01078442370", 640, 360),
    ];

    #[test]
    fn key_frames_are_seen_in_every_kind_of_packet() {
        // payload, idr, parameters, begins, first slice, non reference
        type Row = (&'static str, [bool; 5]);
        let table: &[Row] = &[
            ("65 88 84", [true, false, true, true, false]),
            ("65 48 84", [true, false, true, false, false]),
            ("41 9a 00", [false, false, true, true, false]),
            ("01 9a 00", [false, false, true, true, true]),
            ("67 42c01f", [false, true, true, false, false]),
            ("78 0004 6742c01f 0002 68ce 0003 658884", [true, true, true, true, false]),
            ("7c 85 88 84", [true, false, true, true, false]),
            ("7c 05 88 84", [true, false, false, false, false]),
            ("5c 81 9a 02", [false, false, true, true, false]),
            ("5c 41 9a 02", [false, false, false, false, false]),
            ("06 05 01", [false, false, true, false, true]),
        ];
        for (bytes, expected) in table {
            let said = Payload::parse(&hex(bytes)).unwrap();
            let found = [said.idr, said.parameters, said.begins_unit, said.first_slice, said.non_reference];
            assert_eq!(found, *expected, "{bytes}");
        }
    }

    #[test]
    fn parameters_say_the_size() {
        for (bytes, width, height) in SIZED {
            let said = Payload::parse(&hex(bytes)).unwrap();
            assert_eq!(said.size, Some(Size { width: *width, height: *height }), "{bytes}");
            let unit = hex(bytes);
            let mut bundle = vec![0x78, 0, unit.len() as u8];
            bundle.extend(&unit);
            assert_eq!(Payload::parse(&bundle).unwrap().size, said.size);
            let part = [&[0x7c, 0x80 | 7], &unit[1..]].concat();
            assert_eq!(Payload::parse(&part).unwrap().size, said.size);
            for len in 1..unit.len() {
                let _ = Payload::parse(&unit[..len]).unwrap();
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told() {
        for bytes in ["", "78", "78 00", "78 0003 6588", "78 0000", "7c"] {
            assert_eq!(Payload::parse(&hex(bytes)), Err(Error::Truncated), "{bytes}");
        }
        for kind in [0u8, 25, 26, 27, 29, 30, 31] {
            assert_eq!(Payload::parse(&[kind, 0, 0, 0]), Err(Error::PacketType));
        }
    }
}
