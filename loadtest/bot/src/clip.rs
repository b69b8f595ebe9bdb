//! Recorded media that a bot plays in a loop: VP8 out of IVF, Opus out of Ogg (RFC 7845), or made up from a seed.
//!
//! A clip is cut into frames once and shared by all bots; a frame knows when it is due and whether it is a key frame.

use bytes::Bytes;
use std::time::Duration;

/// Largest clip taken, in bytes: a minute of 720p at 4 Mbit/s is half of it.
pub const CLIP_BYTES_MAX: usize = 64 << 20;
/// Duration of one Opus packet in the clips used, as the recorder was told.
pub const OPUS_PACKET: Duration = Duration::from_millis(20);

/// One encoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it is due, counted from the start of the clip.
    pub due: Duration,
    /// Decodable by itself.
    pub key: bool,
    /// The encoded bytes.
    pub bytes: Bytes,
}

/// Frames in order of time, and how long one turn of the loop takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    frames: Vec<Frame>,
    length: Duration,
    /// Width in pixels, 0 for sound.
    pub width: u16,
    /// Height in pixels, 0 for sound.
    pub height: u16,
}

/// Why a file is no clip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClipError {
    /// The signature at the start is another one.
    #[error("not {0}: the signature at the start is another one")]
    Signature(&'static str),
    /// The file ends in the middle of something.
    #[error("the file ends in the middle of a {0}")]
    Truncated(&'static str),
    /// The codec is not one that bots play.
    #[error("codec {0:?} is not one that bots play")]
    Codec(String),
    /// There is nothing in it, or its first frame is not a key frame.
    #[error("the clip has no key frame to begin with")]
    NoKeyFrame,
    /// Larger than [`CLIP_BYTES_MAX`].
    #[error("the clip is larger than 64 MiB")]
    TooLarge,
}

impl Clip {
    /// Reads VP8 in IVF, as `ffmpeg -c:v libvpx out.ivf` writes it.
    pub fn vp8_from_ivf(file: &[u8]) -> Result<Self, ClipError> {
        if file.len() > CLIP_BYTES_MAX {
            return Err(ClipError::TooLarge);
        }
        let header = file.get(..32).ok_or(ClipError::Truncated("header"))?;
        if &header[..4] != b"DKIF" {
            return Err(ClipError::Signature("an IVF file"));
        }
        if &header[8..12] != b"VP80" {
            return Err(ClipError::Codec(String::from_utf8_lossy(&header[8..12]).into_owned()));
        }
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (rate, scale) = (u64::from(u32_at(16)).max(1), u64::from(u32_at(20)).max(1));
        let tick = |pts: u64| Duration::from_nanos(pts.saturating_mul(scale).saturating_mul(1_000_000_000) / rate);

        let mut frames = Vec::new();
        let mut end = Duration::ZERO;
        let mut rest = &file[32..];
        while !rest.is_empty() {
            let head = rest.get(..12).ok_or(ClipError::Truncated("frame header"))?;
            let size = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let mut pts = [0; 8];
            pts.copy_from_slice(&head[4..12]);
            let bytes = rest.get(12..).and_then(|r| r.get(..size)).ok_or(ClipError::Truncated("frame"))?;
            // RFC 6386 §9.1: the lowest bit of the first byte is 0 in a key frame.
            let key = bytes.first().is_some_and(|first| first & 1 == 0);
            let pts = u64::from_le_bytes(pts);
            end = tick(pts.saturating_add(1));
            frames.push(Frame { due: tick(pts), key, bytes: Bytes::copy_from_slice(bytes) });
            rest = &rest[12 + size..];
        }
        Self::from_frames(frames, end, u16_at(12), u16_at(14))
    }

    /// Reads Opus packets in Ogg, as `ffmpeg -c:a libopus -frame_duration 20 out.ogg` writes them.
    pub fn opus_from_ogg(file: &[u8]) -> Result<Self, ClipError> {
        if file.len() > CLIP_BYTES_MAX {
            return Err(ClipError::TooLarge);
        }
        let mut packets: Vec<Vec<u8>> = Vec::new();
        let mut open: Vec<u8> = Vec::new();
        let mut rest = file;
        while !rest.is_empty() {
            // RFC 3533 §6: capture pattern, 22 bytes of page header, a segment table, then the segments.
            let head = rest.get(..27).ok_or(ClipError::Truncated("page header"))?;
            if &head[..4] != b"OggS" {
                return Err(ClipError::Signature("an Ogg file"));
            }
            let count = usize::from(head[26]);
            let table = rest.get(27..27 + count).ok_or(ClipError::Truncated("segment table"))?;
            let mut at = 27 + count;
            for &lace in table {
                let end = at + usize::from(lace);
                open.extend_from_slice(rest.get(at..end).ok_or(ClipError::Truncated("page"))?);
                at = end;
                if lace < 255 {
                    packets.push(std::mem::take(&mut open));
                }
            }
            rest = &rest[at..];
        }
        if !packets.first().is_some_and(|first| first.starts_with(b"OpusHead")) {
            return Err(ClipError::Codec("not opus".into()));
        }
        let sound = packets.into_iter().skip(2); // OpusHead, OpusTags
        let frames = sound.zip(0u32..).map(|(bytes, n)| Frame { due: OPUS_PACKET * n, key: true, bytes: bytes.into() });
        let frames: Vec<_> = frames.collect();
        let length = OPUS_PACKET * frames.len() as u32;
        Self::from_frames(frames, length, 0, 0)
    }

    /// Takes frames in order of time; one turn of the loop takes `length`.
    pub fn from_frames(frames: Vec<Frame>, length: Duration, width: u16, height: u16) -> Result<Self, ClipError> {
        match (frames.first(), frames.last()) {
            (Some(first), Some(last)) if first.key && last.due < length => Ok(Self { frames, length, width, height }),
            _ => Err(ClipError::NoKeyFrame),
        }
    }

    /// Frames that look like VP8 to everything but a decoder: the simulator's picture. `seconds` long, a key frame every two.
    #[must_use]
    pub fn made_up(seed: u64, width: u16, height: u16, bitrate_bps: u32, fps: u32, seconds: u32) -> Self {
        Self::frames_made_up(seed, (width, height), bitrate_bps, fps, seconds, 2)
    }

    /// The same with a key frame at its beginning only: what an encoder sends that makes one when it is asked.
    #[must_use]
    pub fn made_up_sparse(seed: u64, width: u16, height: u16, bitrate_bps: u32, fps: u32, seconds: u32) -> Self {
        Self::frames_made_up(seed, (width, height), bitrate_bps, fps, seconds, seconds)
    }

    fn frames_made_up(
        seed: u64,
        (width, height): (u16, u16),
        bitrate_bps: u32,
        fps: u32,
        seconds: u32,
        key_every_seconds: u32,
    ) -> Self {
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let fps = fps.max(1);
        let plain = (bitrate_bps / 8 / fps).max(64) as usize;
        let frames = (0..fps * seconds.max(1)).map(|n| {
            let key = n % (fps * key_every_seconds.max(1)) == 0;
            let size = if key { plain * 4 } else { plain / 2 + (random() as usize) % plain };
            let mut bytes = vec![0u8; size.max(32)];
            for chunk in bytes.chunks_mut(8) {
                let noise = random().to_le_bytes();
                chunk.copy_from_slice(&noise[..chunk.len()]);
            }
            // RFC 6386 §9.1: frame tag, and in a key frame the start code and the size.
            bytes[0] = if key { bytes[0] & !1 } else { bytes[0] | 1 };
            if key {
                bytes[3..6].copy_from_slice(&[0x9d, 0x01, 0x2a]);
                bytes[6..8].copy_from_slice(&(width & 0x3fff).to_le_bytes());
                bytes[8..10].copy_from_slice(&(height & 0x3fff).to_le_bytes());
            }
            Frame { due: Duration::from_secs(1) * n / fps, key, bytes: bytes.into() }
        });
        let frames: Vec<_> = frames.collect();
        let length = Duration::from_secs(u64::from(seconds.max(1)));
        Self { frames, length, width, height }
    }

    /// Opus-sized noise, 20 ms a packet, one second long.
    #[must_use]
    pub fn made_up_sound(seed: u64) -> Self {
        let sound = Self::made_up(seed, 0, 0, 32_000, 50, 1);
        let frames = sound.frames.into_iter().map(|frame| Frame { key: true, bytes: frame.bytes.slice(..32), ..frame });
        Self { frames: frames.collect(), length: sound.length, width: 0, height: 0 }
    }

    /// The frame at a position in the endless loop, and when it is due since the first one of the first turn.
    #[must_use]
    pub fn at(&self, position: u64) -> (&Frame, Duration) {
        let count = self.frames.len() as u64;
        let frame = &self.frames[(position % count) as usize];
        let turns = u32::try_from(position / count).unwrap_or(u32::MAX);
        (frame, self.length * turns + frame.due)
    }

    /// How many frames one turn has.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// How far ahead of `position` the next key frame is.
    #[must_use]
    pub fn to_key(&self, position: u64) -> u64 {
        (0..self.frames.len() as u64).find(|ahead| self.at(position + ahead).0.key).unwrap_or(0)
    }

    /// Mean bitrate in bits per second.
    #[must_use]
    pub fn bitrate_bps(&self) -> u32 {
        let bits: usize = self.frames.iter().map(|frame| frame.bytes.len() * 8).sum();
        (bits as f64 / self.length.as_secs_f64()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ivf(frames: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = b"DKIF\0\0\x20\0VP80".to_vec();
        file.extend_from_slice(&320u16.to_le_bytes());
        file.extend_from_slice(&180u16.to_le_bytes());
        file.extend_from_slice(&30u32.to_le_bytes());
        file.extend_from_slice(&1u32.to_le_bytes());
        file.extend_from_slice(&[0; 8]);
        for (pts, bytes) in frames {
            file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            file.extend_from_slice(&pts.to_le_bytes());
            file.extend_from_slice(bytes);
        }
        file
    }

    #[test]
    fn ivf_is_cut_into_frames_that_loop() {
        let clip = Clip::vp8_from_ivf(&ivf(&[(0, &[0x10, 1]), (1, &[0x11, 2]), (2, &[0x11, 3])])).unwrap();
        assert_eq!((clip.width, clip.height, clip.frames()), (320, 180, 3));
        assert!(clip.at(0).0.key && !clip.at(1).0.key);
        assert_eq!(clip.at(3).1, Duration::from_millis(100));
        assert_eq!(clip.at(4).0.bytes, clip.at(1).0.bytes);
        assert_eq!(clip.to_key(1), 2);
    }

    #[test]
    fn a_broken_ivf_says_what_is_wrong() {
        let whole = ivf(&[(0, &[0x10, 1])]);
        assert_eq!(Clip::vp8_from_ivf(&whole[..whole.len() - 1]), Err(ClipError::Truncated("frame")));
        assert_eq!(Clip::vp8_from_ivf(&whole[..40]), Err(ClipError::Truncated("frame header")));
        assert_eq!(Clip::vp8_from_ivf(&[0; 40]), Err(ClipError::Signature("an IVF file")));
        assert_eq!(Clip::vp8_from_ivf(&ivf(&[(0, &[0x11, 1])])), Err(ClipError::NoKeyFrame));
    }

    #[test]
    fn ogg_packets_survive_the_lacing() {
        // One page each for head and tags, then a page with a packet of 300 bytes (laced 255 + 45) and one of 3.
        let page = |laces: &[u8], body: &[u8]| {
            let mut page = b"OggS".to_vec();
            page.extend_from_slice(&[0; 22]);
            page.push(laces.len() as u8);
            page.extend_from_slice(laces);
            page.extend_from_slice(body);
            page
        };
        let mut file = page(&[8], b"OpusHead");
        file.extend(page(&[8], b"OpusTags"));
        file.extend(page(&[255, 45, 3], &[7; 303]));
        let clip = Clip::opus_from_ogg(&file).unwrap();
        assert_eq!(clip.frames(), 2);
        assert_eq!((clip.at(0).0.bytes.len(), clip.at(1).0.bytes.len()), (300, 3));
        assert_eq!(clip.at(1).1, OPUS_PACKET);
        assert!(Clip::opus_from_ogg(&file[..file.len() - 1]).is_err());
    }

    #[test]
    fn made_up_pictures_have_the_rate_asked_for() {
        let clip = Clip::made_up(7, 640, 360, 500_000, 30, 4);
        let rate = clip.bitrate_bps();
        assert!((400_000..700_000).contains(&rate), "{rate}");
        assert_eq!(clip, Clip::made_up(7, 640, 360, 500_000, 30, 4));
        assert_eq!(clip.at(0).0.bytes[3..6], [0x9d, 0x01, 0x2a]);
    }
}
