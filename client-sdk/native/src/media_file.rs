//! Media files that can be published: VP8 in IVF, Opus in Ogg (RFC 7845). Read whole, cut into frames.

use crate::Error;
use bytes::Bytes;
use std::path::Path;
use std::time::Duration;

/// Largest file read, in bytes: an hour of video at 1 Mbit/s. It is kept in memory.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// Shortest time between frames that a file may ask for: a picture rate above 240 is a broken header.
const FRAME_MIN: Duration = Duration::from_micros(1_000_000 / 240);

/// A media file, cut into frames.
#[derive(Debug, Clone)]
pub struct MediaFile {
    /// What it holds.
    pub codec: Codec,
    pub(crate) frames: Vec<FileFrame>,
    /// How long it plays.
    pub duration: Duration,
}

/// Codecs that can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// Video.
    Vp8,
    /// Audio.
    Opus,
}

/// One frame and when it is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileFrame {
    pub(crate) at: Duration,
    pub(crate) data: Bytes,
    pub(crate) key_frame: bool,
}

impl MediaFile {
    /// Reads a file. What it is stands in its first bytes, not in its name.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::File(format!("{}: {why}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(wrong(format!("larger than {FILE_BYTES_MAX} bytes")));
        }
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        Self::parse(&Bytes::from(bytes)).map_err(|error| wrong(error.to_string()))
    }

    /// Reads a file's content.
    pub fn parse(bytes: &Bytes) -> Result<Self, BadFile> {
        let file = match bytes.get(..4) {
            Some(b"DKIF") => ivf(bytes)?,
            Some(b"OggS") => ogg(bytes)?,
            _ => return Err(BadFile::Unknown),
        };
        if file.frames.first().is_some_and(|frame| frame.key_frame) { Ok(file) } else { Err(BadFile::NoKeyFrame) }
    }
}

/// Why a file cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFile {
    /// Neither IVF nor Ogg.
    #[error("this is neither IVF nor Ogg")]
    Unknown,
    /// IVF with another codec than VP8.
    #[error("the IVF file does not hold VP8")]
    NotVp8,
    /// Ogg with another codec than Opus.
    #[error("the Ogg file does not hold Opus")]
    NotOpus,
    /// It ends in the middle, or its lengths are wrong.
    #[error("the file is damaged")]
    Damaged,
    /// It is empty, or does not begin with a key frame.
    #[error("the file does not begin with a key frame")]
    NoKeyFrame,
}

/// IVF: a header of 32 bytes, then frames with a header of 12: length, time in ticks.
fn ivf(bytes: &Bytes) -> Result<MediaFile, BadFile> {
    if bytes.get(8..12) != Some(b"VP80") {
        return Err(BadFile::NotVp8);
    }
    let header_bytes = usize::from(u16::from_le_bytes(array(bytes, 6)?));
    let (rate, scale) = (u32::from_le_bytes(array(bytes, 16)?), u32::from_le_bytes(array(bytes, 20)?));
    if rate == 0 || scale == 0 {
        return Err(BadFile::Damaged);
    }
    let tick = f64::from(scale) / f64::from(rate);
    let (mut at, mut frames, mut last) = (header_bytes, Vec::new(), Duration::ZERO);
    while at < bytes.len() {
        let length = u32::from_le_bytes(array(bytes, at)?) as usize;
        let ticks = u64::from_le_bytes(array(bytes, at + 4)?);
        let body = at.checked_add(12).ok_or(BadFile::Damaged)?;
        let end = body.checked_add(length).filter(|end| *end <= bytes.len()).ok_or(BadFile::Damaged)?;
        let due = Duration::try_from_secs_f64(ticks as f64 * tick).map_err(|_| BadFile::Damaged)?;
        let due = if frames.is_empty() { due } else { due.max(last + FRAME_MIN) };
        let data = bytes.slice(body..end);
        // RFC 6386 §9.1: the first bit of a frame is 0 for a key frame.
        let key_frame = data.first().is_some_and(|byte| byte & 1 == 0);
        if !data.is_empty() {
            frames.push(FileFrame { at: due, data, key_frame });
            last = due;
        }
        at = end;
    }
    let one = frames.len().checked_sub(2).and_then(|i| Some(last - frames.get(i)?.at)).unwrap_or(FRAME_MIN);
    Ok(MediaFile { codec: Codec::Vp8, frames, duration: last + one })
}

/// Ogg: pages with a table of segment lengths; a packet ends with a segment shorter than 255 bytes (RFC 3533 §6).
fn ogg(bytes: &Bytes) -> Result<MediaFile, BadFile> {
    let (mut at, mut packet, mut packets) = (0, Vec::new(), Vec::new());
    while at < bytes.len() {
        if bytes.get(at..at + 4) != Some(b"OggS") {
            return Err(BadFile::Damaged);
        }
        let segments = usize::from(*bytes.get(at + 26).ok_or(BadFile::Damaged)?);
        let table = bytes.get(at + 27..at + 27 + segments).ok_or(BadFile::Damaged)?;
        let mut body = at + 27 + segments;
        for length in table {
            let end = body + usize::from(*length);
            packet.extend_from_slice(bytes.get(body..end).ok_or(BadFile::Damaged)?);
            body = end;
            if *length < 255 {
                packets.push(Bytes::from(std::mem::take(&mut packet)));
            }
        }
        at = body;
    }
    // RFC 7845 §3: the identification header, the comments, then audio.
    let mut packets = packets.into_iter();
    if packets.next().is_none_or(|head| !head.starts_with(b"OpusHead")) {
        return Err(BadFile::NotOpus);
    }
    let mut due = Duration::ZERO;
    let mut frames = Vec::new();
    for data in packets.skip(1) {
        let Some(duration) = opus_duration(&data) else { return Err(BadFile::Damaged) };
        frames.push(FileFrame { at: due, data, key_frame: true });
        due += duration;
    }
    Ok(MediaFile { codec: Codec::Opus, frames, duration: due })
}

/// How long an Opus packet sounds (RFC 6716 §3.1, §3.2).
pub(crate) fn opus_duration(packet: &[u8]) -> Option<Duration> {
    let toc = *packet.first()?;
    let frame_us = match toc >> 3 {
        config @ 0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        config @ 12..=15 => [10_000, 20_000][usize::from(config & 1)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(*packet.get(1)? & 0x3f),
    };
    // RFC 6716 §3.2.5: at most 120 ms.
    Some(frames * frame_us).filter(|us| (1..=120_000).contains(us)).map(Duration::from_micros)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BadFile> {
    let slice = at.checked_add(N).and_then(|end| bytes.get(at..end));
    slice.and_then(|slice| slice.try_into().ok()).ok_or(BadFile::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IVF file of 25 ticks a second, with frames at these ticks.
    fn ivf_file(frames: &[(u64, &[u8])]) -> Bytes {
        let mut file = b"DKIF\0\0\x20\0VP80".to_vec();
        file.extend([0x80, 2, 0x68, 1]);
        file.extend(25u32.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend([0; 8]);
        for (tick, data) in frames {
            file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            file.extend(tick.to_le_bytes());
            file.extend(*data);
        }
        file.into()
    }

    fn page(packets: &[&[u8]]) -> Vec<u8> {
        let mut table = Vec::new();
        for packet in packets {
            table.extend(std::iter::repeat_n(255, packet.len() / 255));
            table.push((packet.len() % 255) as u8);
        }
        let mut page = b"OggS".to_vec();
        page.extend([0; 22]);
        page.push(table.len() as u8);
        page.extend(table);
        page.extend(packets.concat());
        page
    }

    #[test]
    fn an_ivf_file_is_cut_into_frames_with_their_times() {
        let file = MediaFile::parse(&ivf_file(&[(0, &[0x10, 1]), (1, &[0x11]), (3, &[0x10])])).unwrap();
        let say: Vec<(u128, bool)> = file.frames.iter().map(|f| (f.at.as_millis(), f.key_frame)).collect();
        assert_eq!(say, [(0, true), (40, false), (120, true)]);
        assert_eq!((file.codec, file.duration.as_millis()), (Codec::Vp8, 200));
    }

    #[test]
    fn an_ogg_file_is_cut_into_packets_also_across_segments() {
        let long = [&[0x78][..], &[7; 599]].concat();
        let file =
            [page(&[b"OpusHead........"]), page(&[b"OpusTags"]), page(&[&long, &[0x78, 1]]), page(&[&[0x08, 1]])]
                .concat();
        let file = MediaFile::parse(&file.into()).unwrap();
        let say: Vec<(u128, usize)> = file.frames.iter().map(|f| (f.at.as_millis(), f.data.len())).collect();
        assert_eq!(say, [(0, 600), (20, 2), (40, 2)]);
        assert_eq!((file.codec, file.duration.as_millis()), (Codec::Opus, 60));
    }

    #[test]
    fn the_first_byte_says_how_long_an_opus_packet_sounds() {
        for (packet, wanted_us) in [
            (&[0x78u8][..], Some(20_000)),
            (&[0x08], Some(20_000)),
            (&[0x18], Some(60_000)),
            (&[0x80], Some(2_500)),
            (&[0xf9], Some(40_000)),
            (&[0x7b, 3], Some(60_000)),
            (&[0x7b, 0], None),
            (&[0x1b, 3], None),
            (&[0x7b], None),
            (&[], None),
        ] {
            assert_eq!(opus_duration(packet).map(|d| d.as_micros()), wanted_us, "{packet:?}");
        }
    }

    #[test]
    fn damaged_files_are_refused_and_nothing_panics() {
        let whole = ivf_file(&[(0, &[0x10, 1, 2, 3]), (1, &[0x11, 1, 2, 3])]);
        for length in 0..whole.len() {
            let cut = MediaFile::parse(&whole.slice(..length));
            assert!(cut.is_err() || length == 48, "{length}");
        }
        let ogg = Bytes::from([page(&[b"OpusHead"]), page(&[b"OpusTags"]), page(&[&[0x78, 1]])].concat());
        for length in 0..ogg.len() {
            let _ = MediaFile::parse(&ogg.slice(..length));
        }
        assert_eq!(MediaFile::parse(&ivf_file(&[])).unwrap_err(), BadFile::NoKeyFrame);
        assert_eq!(MediaFile::parse(&ivf_file(&[(0, &[0x11])])).unwrap_err(), BadFile::NoKeyFrame);
        assert_eq!(MediaFile::parse(&Bytes::from_static(b"RIFF....")).unwrap_err(), BadFile::Unknown);
    }
}
