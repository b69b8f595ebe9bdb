//! A stamp behind each video frame that says who sent it and when, so that a receiving bot measures the whole way.
//!
//! ```text
//!  frame bytes …  | "LYST" | origin u64 | sent µs u64 | frame u32 | encoding u8 | check u32 |   big-endian, 29 bytes
//! ```
//!
//! The check is the sum, modulo 2³², of the CRC-32 of each packet's media bytes, without descriptor and stamp: what left
//! the encoder is what a viewer has, or it is noticed.
//!
//! A VP8 decoder reads its last partition only as far as it needs (RFC 6386 §9.5), so a browser shows the picture all the same.

/// Length of the stamp in bytes.
pub const STAMP_BYTES: usize = 29;
const MAGIC: &[u8; 4] = b"LYST";

/// Who sent a frame, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The sender, as the load run numbers them.
    pub origin: u64,
    /// When, in microseconds since the run's own zero.
    pub sent_us: u64,
    /// Which frame of the encoding, rising by one.
    pub frame: u32,
    /// Which of the sender's encodings, the smallest first.
    pub encoding: u8,
    /// Sum of [`check`] over the frame's packets.
    pub check: u32,
}

/// One packet's part of a frame's check.
#[must_use]
pub fn check(media: &[u8]) -> u32 {
    crc32fast::hash(media)
}

impl Stamp {
    /// The stamp as bytes.
    #[must_use]
    pub fn bytes(&self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..12].copy_from_slice(&self.origin.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.sent_us.to_be_bytes());
        bytes[20..24].copy_from_slice(&self.frame.to_be_bytes());
        bytes[24] = self.encoding;
        bytes[25..].copy_from_slice(&self.check.to_be_bytes());
        bytes
    }

    /// Reads the stamp at the end of a frame or of its last packet.
    #[must_use]
    pub fn read(tail: &[u8]) -> Option<Self> {
        let start = tail.len().checked_sub(STAMP_BYTES)?;
        let (magic, rest) = tail.get(start..)?.split_first_chunk::<4>()?;
        let (origin, rest) = rest.split_first_chunk::<8>()?;
        let (sent, rest) = rest.split_first_chunk::<8>()?;
        let (frame, rest) = rest.split_first_chunk::<4>()?;
        let (encoding, rest) = rest.split_first()?;
        let check = rest.first_chunk::<4>()?;
        (magic == MAGIC).then(|| Self {
            origin: u64::from_be_bytes(*origin),
            sent_us: u64::from_be_bytes(*sent),
            frame: u32::from_be_bytes(*frame),
            encoding: *encoding,
            check: u32::from_be_bytes(*check),
        })
    }

    /// Whether `next` is what its encoder made right after this frame.
    #[must_use]
    pub fn is_followed_by(&self, next: &Self) -> bool {
        (self.origin, self.encoding, self.frame.wrapping_add(1)) == (next.origin, next.encoding, next.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_behind_any_frame() {
        let stamp = Stamp { origin: 3, sent_us: 1_000_001, frame: 77, encoding: 2, check: 0xdead_beef };
        let mut frame = vec![1, 2, 3];
        frame.extend_from_slice(&stamp.bytes());
        assert_eq!(Stamp::read(&frame), Some(stamp));
        assert_eq!(Stamp::read(&frame[..30]), None);
        assert_eq!(Stamp::read(&[0; 40]), None);
        let next = Stamp { frame: 78, sent_us: 9, check: 0, ..stamp };
        assert!(stamp.is_followed_by(&next) && !next.is_followed_by(&stamp));
        assert!(!stamp.is_followed_by(&Stamp { encoding: 1, ..next }));
        assert!(!stamp.is_followed_by(&Stamp { origin: 4, ..next }));
    }
}
