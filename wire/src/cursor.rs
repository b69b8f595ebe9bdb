//! Checked reading and writing of byte slices: the one place where positions are computed.

/// There was no room left in the caller's buffer; nothing useful was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small")]
pub struct Full;

/// Takes values from the front of a slice; `None` when it is too short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u48(&mut self) -> Option<u64> {
        self.array().map(|[a, b, c, d, e, f]| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

/// Puts values one after the other into a caller's buffer.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn written(&self) -> &[u8] {
        self.out.get(..self.at).unwrap_or(&[])
    }

    /// Forgets what was written after `at`.
    pub(crate) fn rewind(&mut self, at: usize) {
        self.at = at.min(self.at);
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.at.checked_add(bytes.len()).ok_or(Full)?;
        self.out.get_mut(self.at..end).ok_or(Full)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    pub(crate) fn u8(&mut self, value: u8) -> Result<(), Full> {
        self.put(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u24(&mut self, value: u32) -> Result<(), Full> {
        let [_, a, b, c] = value.to_be_bytes();
        self.put(&[a, b, c])
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u48(&mut self, value: u64) -> Result<(), Full> {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        self.put(&[a, b, c, d, e, f])
    }

    pub(crate) fn u64(&mut self, value: u64) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    /// Zeros until the position is a multiple of four.
    pub(crate) fn pad4(&mut self) -> Result<(), Full> {
        while self.at & 3 != 0 {
            self.u8(0)?;
        }
        Ok(())
    }

    /// Overwrites bytes already written; does nothing outside of them.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let Some(end) = at.checked_add(bytes.len()) else { return };
        if end > self.at {
            return;
        }
        if let Some(place) = self.out.get_mut(at..end) {
            place.copy_from_slice(bytes);
        }
    }
}
