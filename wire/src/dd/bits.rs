//! Single bits, most significant first: the one place of this module where positions are computed.

use crate::cursor::Full;

/// Takes bits from the front of a slice; `None` when it is too short.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits taken so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bits that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_mul(8).saturating_sub(self.at)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at >> 3)?;
        let bit = byte.checked_shr(7_u32.saturating_sub(u32::try_from(self.at & 7).ok()?))? & 1;
        self.at = self.at.checked_add(1)?;
        Some(bit != 0)
    }

    /// Up to 32 bits.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            value = value << 1 | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// A value below `below`, in as few bits as that takes (the `ns(n)` of the AV1 specification, §4.10.7).
    pub(super) fn below(&mut self, below: u32) -> Option<u32> {
        let width = 32_u32.saturating_sub(below.leading_zeros());
        let short = 1_u32.checked_shl(width)?.saturating_sub(below);
        let value = self.take(width.saturating_sub(1))?;
        if value < short {
            return Some(value);
        }
        Some((value << 1).saturating_sub(short).saturating_add(self.take(1)?))
    }
}

/// Puts bits one after the other into a caller's buffer.
#[derive(Debug)]
pub(super) struct BitsOut<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> BitsOut<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// Whole bytes written, the last one filled up with zeros.
    pub(super) fn bytes(&self) -> usize {
        self.at.div_ceil(8)
    }

    pub(super) fn flag(&mut self, bit: bool) -> Result<(), Full> {
        let byte = self.out.get_mut(self.at >> 3).ok_or(Full)?;
        let shift = 7_usize.saturating_sub(self.at & 7);
        if shift == 7 {
            *byte = 0;
        }
        *byte |= u8::from(bit) << shift;
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    /// The low `count` bits of a value.
    pub(super) fn put(&mut self, value: u32, count: u32) -> Result<(), Full> {
        for place in (0..count).rev() {
            self.flag(value.checked_shr(place).unwrap_or(0) & 1 != 0)?;
        }
        Ok(())
    }

    /// See [`Bits::below`].
    pub(super) fn below(&mut self, value: u32, below: u32) -> Result<(), Full> {
        let width = 32_u32.saturating_sub(below.leading_zeros());
        let short = 1_u32.checked_shl(width).unwrap_or(0).saturating_sub(below);
        if value < short {
            return self.put(value, width.saturating_sub(1));
        }
        self.put(value.saturating_add(short), width)
    }

    /// The next bits of another slice.
    pub(super) fn copy(&mut self, from: &mut Bits<'_>, count: usize) -> Result<(), Full> {
        for _ in 0..count {
            self.flag(from.flag().ok_or(Full)?)?;
        }
        Ok(())
    }
}
