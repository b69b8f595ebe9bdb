//! Redundant audio (RFC 2198): a packet of sound with copies of earlier ones in front of it.
//!
//! ```text
//!  |1|   block PT  |  timestamp offset, 14 bits  | block length, 10 bits |     a copy
//!  |0|   block PT  |                                                          the new sound: all the rest
//!  copies …, new sound
//! ```

/// Copies in one packet at most: browsers send one or two, nine at the very most (RFC 2198 leaves it open).
pub const COPIES_MAX: usize = 32;

/// Why bytes are not redundant audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// The headers, or the copies they announce, are longer than the payload.
    #[error("the payload ends inside its blocks")]
    Truncated,
    /// More copies than anybody sends.
    #[error("there are too many blocks")]
    TooMany,
}

/// One payload, its headers looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundant {
    /// Copies in front of the new sound.
    pub copies: usize,
    /// Payload type of the new sound.
    pub payload_type: u8,
    /// Where the new sound begins.
    pub primary_at: usize,
}

impl Redundant {
    /// Reads the headers.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let (mut rest, mut copies, mut bytes) = (payload, 0_usize, 0_usize);
        loop {
            let (&first, tail) = rest.split_first().ok_or(Error::Truncated)?;
            if first & 0x80 == 0 {
                let primary_at = payload.len().saturating_sub(tail.len()).saturating_add(bytes);
                if primary_at > payload.len() {
                    return Err(Error::Truncated);
                }
                return Ok(Self { copies, payload_type: first, primary_at });
            }
            if copies == COPIES_MAX {
                return Err(Error::TooMany);
            }
            let (&[_, high, low], tail) = tail.split_first_chunk().ok_or(Error::Truncated)?;
            bytes = bytes.saturating_add(usize::from(u16::from_be_bytes([high & 0x03, low])));
            copies = copies.saturating_add(1);
            rest = tail;
        }
    }

    /// Gives all blocks another payload type: a subscriber may call the sound by another number.
    pub fn rename(&self, payload: &mut [u8], payload_type: u8) {
        let mut rest = payload;
        for _ in 0..=self.copies {
            let Some((first, tail)) = rest.split_first_mut() else { return };
            let copy = *first & 0x80;
            *first = copy | payload_type & 0x7f;
            rest = if copy == 0 { tail } else { tail.get_mut(3..).unwrap_or(&mut []) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::hex;

    #[test]
    fn the_new_sound_stands_behind_the_copies() {
        // payload, copies, payload type, where
        type Row = (&'static str, Result<(usize, u8, usize), Error>);
        let table: &[Row] = &[
            ("6f aabb", Ok((0, 111, 1))),
            ("ef 0f0002 6f 0102 aabb", Ok((1, 111, 7))),
            ("ef 1e0001 ef 0f0002 6f 01 0203 aabb", Ok((2, 111, 12))),
            ("ef 0f0002 6f 0102", Ok((1, 111, 7))),
            ("", Err(Error::Truncated)),
            ("ef 0f00", Err(Error::Truncated)),
            ("ef 0f0002", Err(Error::Truncated)),
            ("ef 0f0003 6f 0102", Err(Error::Truncated)),
        ];
        for (bytes, expected) in table {
            let said = Redundant::parse(&hex(bytes)).map(|r| (r.copies, r.payload_type, r.primary_at));
            assert_eq!(said, *expected, "{bytes}");
        }
        assert_eq!(Redundant::parse(&[0xef, 0, 0, 0].repeat(40)), Err(Error::TooMany));
    }

    #[test]
    fn blocks_get_another_name_and_keep_their_sound() {
        let mut payload = hex("ef 1e0001 ef 0f0002 6f 01 0203 aabb");
        let said = Redundant::parse(&payload).unwrap();
        said.rename(&mut payload, 96);
        assert_eq!(payload, hex("e0 1e0001 e0 0f0002 60 01 0203 aabb"));
    }
}
