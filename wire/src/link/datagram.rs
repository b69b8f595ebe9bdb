//! QUIC datagrams of a link: RTP packets, fragments of them, and requests for repair. Normative: `docs/protocol/link.md`.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     type      |K S E M D R A X| spat| temp|0 0|  audio level  |
//! |                             alias                             |
//! |                 sequence number, 48 bits …                    |
//! |  … sequence number            |       age in 1/8 ms           |
//! |                           timestamp                           |
//! |     back      |
//! +---------------+-----------------------------------------------+
//! type 1: | body …
//! type 2: | index | last index |  part of the body …
//! body:   | length | dependency descriptor … |  payload …        the first two only with X
//! ```
//!
//! The alias is the receiver's and stays in front of everything, so that a node finds its state without opening the
//! payload. [`Datagram::parse`] reads all types; [`RtpHeader::write`], [`fragments`] and [`Nack::write`] make them.

use super::{Alias, Layer};
use crate::cursor::{Cursor, Reader};
use std::ops::Range;

pub use crate::cursor::Full;

/// Bytes before the payload of an RTP datagram.
pub const RTP_HEADER_BYTES: usize = 21;
/// Bytes before the payload of a fragment.
pub const FRAGMENT_HEADER_BYTES: usize = RTP_HEADER_BYTES + 2;
/// Bytes before the ranges of a NACK.
pub const NACK_HEADER_BYTES: usize = 16;
/// Bytes of one range.
pub const RANGE_BYTES: usize = 8;
/// Most ranges in one NACK: with the header 528 bytes, below every path's datagram size.
pub const RANGES_MAX: usize = 64;
/// Most packets one NACK may ask for: one second of 8 Mbit/s. More is not a gap, it is an outage.
pub const NACK_PACKETS_MAX: u32 = 1024;
/// Most fragments of one packet: four of the smallest datagrams (1,200 bytes minus QUIC's own) hold any packet of an MTU of 1,500.
pub const FRAGMENTS_MAX: usize = 4;
/// Largest sequence number: 48 bits last for 8,900 years at 1,000 packets per second.
pub const SEQUENCE_MAX: u64 = (1 << 48) - 1;
/// The audio level of a packet that has none.
pub const AUDIO_LEVEL_NONE: u8 = 0xff;

/// Why bytes are not a datagram of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// Shorter than its header.
    #[error("the datagram ends inside its header")]
    Truncated,
    /// Type of a newer version: skipped.
    #[error("the type is unknown")]
    UnknownType,
    /// A fragment index above its last, or more fragments than [`FRAGMENTS_MAX`].
    #[error("the fragment numbers cannot be")]
    Fragment,
    /// No range, an empty range, or more than the bounds allow.
    #[error("the ranges cannot be")]
    Ranges,
}

/// One datagram.
#[derive(Debug, Clone)]
pub enum Datagram<'a> {
    /// A whole RTP packet.
    Rtp {
        /// What is known of it.
        header: RtpHeader,
        /// The body, see [`Body`].
        payload: &'a [u8],
    },
    /// A part of an RTP packet that did not fit into one datagram.
    Fragment {
        /// What is known of the whole packet: the same in every part.
        header: RtpHeader,
        /// Which part.
        part: Part,
        /// That part of the body.
        payload: &'a [u8],
    },
    /// Packets asked for again.
    Nack(Nack<'a>),
}

/// Which part of a packet a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u8,
    /// Index of the last part.
    pub last: u8,
}

/// What a link says of an RTP packet besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// The receiver's alias for the layer.
    pub alias: Alias,
    /// Which layer of the track.
    pub layer: Layer,
    /// Position in the layer, counted by the publisher's edge, at most [`SEQUENCE_MAX`].
    pub sequence: u64,
    /// RTP timestamp, as the publisher's edge saw it.
    pub timestamp: u32,
    /// How long the packet has been in the mesh, in units of 1/8 ms; saturates at 8.19 s.
    pub age_eighths_ms: u16,
    /// RFC 6464 byte (voice bit and level), [`AUDIO_LEVEL_NONE`] for none.
    pub audio_level: u8,
    /// Distance to the packet that was sent before this one under this alias: 1 when no temporal layer was left out between
    /// them. 0: the first one, or the distance is above 255. It tells a loss from an omission.
    pub back: u8,
    /// What is known without opening the payload.
    pub flags: Flags,
}

/// What is known of a packet without opening its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Belongs to a key frame.
    pub key_frame: bool,
    /// First packet of a frame.
    pub start: bool,
    /// Last packet of a frame.
    pub end: bool,
    /// The RTP marker: last packet of a picture, first packet of a talk spurt.
    pub marker: bool,
    /// No other frame needs this one.
    pub discardable: bool,
    /// Sent again, in answer to a NACK.
    pub repair: bool,
    /// Sound with copies of earlier sound in front (RFC 2198). From version 2 on.
    pub redundant: bool,
    /// The body begins with a dependency descriptor. From version 2 on.
    pub descriptor: bool,
}

impl Flags {
    fn to_byte(self) -> u8 {
        u8::from(self.key_frame) << 7
            | u8::from(self.start) << 6
            | u8::from(self.end) << 5
            | u8::from(self.marker) << 4
            | u8::from(self.discardable) << 3
            | u8::from(self.repair) << 2
            | u8::from(self.redundant) << 1
            | u8::from(self.descriptor)
    }

    fn from_byte(byte: u8) -> Self {
        Self {
            key_frame: byte & 0x80 != 0,
            start: byte & 0x40 != 0,
            end: byte & 0x20 != 0,
            marker: byte & 0x10 != 0,
            discardable: byte & 0x08 != 0,
            repair: byte & 0x04 != 0,
            redundant: byte & 0x02 != 0,
            descriptor: byte & 0x01 != 0,
        }
    }
}

/// What a whole packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<'a> {
    /// The dependency descriptor as the publisher wrote it; empty: none.
    pub descriptor: &'a [u8],
    /// The RTP payload, codec's descriptor included, padding and RTP header not.
    pub payload: &'a [u8],
}

impl<'a> Body<'a> {
    /// Takes a body apart.
    ///
    /// # Errors
    /// [`Error::Truncated`] when the descriptor is longer than the body, or empty.
    #[inline]
    pub fn parse(flags: Flags, body: &'a [u8]) -> Result<Self, Error> {
        if !flags.descriptor {
            return Ok(Self { descriptor: &[], payload: body });
        }
        let mut reader = Reader::new(body);
        let len = usize::from(reader.u8().ok_or(Error::Truncated)?);
        let descriptor = reader.take(len).filter(|descriptor| !descriptor.is_empty()).ok_or(Error::Truncated)?;
        Ok(Self { descriptor, payload: reader.rest() })
    }
}

impl<'a> Datagram<'a> {
    /// Reads a datagram of any known type.
    ///
    /// # Errors
    /// See [`Error`]; every one of them is a reason to drop and count the datagram, none to close the link.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        match reader.u8().ok_or(Error::Truncated)? {
            TYPE_RTP => {
                let header = RtpHeader::read(&mut reader).ok_or(Error::Truncated)?;
                Ok(Self::Rtp { header, payload: reader.rest() })
            }
            TYPE_FRAGMENT => {
                let header = RtpHeader::read(&mut reader).ok_or(Error::Truncated)?;
                let [index, last] = reader.array().ok_or(Error::Truncated)?;
                if index > last || usize::from(last) >= FRAGMENTS_MAX {
                    return Err(Error::Fragment);
                }
                Ok(Self::Fragment { header, part: Part { index, last }, payload: reader.rest() })
            }
            TYPE_NACK => Nack::read(reader).map(Self::Nack),
            _ => Err(Error::UnknownType),
        }
    }
}

/// Which shard of the receiver a datagram is for, without reading all of it: by alias, or by room for a NACK.
#[inline]
#[must_use]
pub fn shard(datagram: &[u8], shards: usize) -> Option<usize> {
    let mut reader = Reader::new(datagram);
    let [kind, _, _, _] = reader.array()?;
    let alias = Alias(reader.u32()?);
    match kind {
        TYPE_RTP | TYPE_FRAGMENT => Some(alias.shard()).filter(|shard| *shard < shards),
        TYPE_NACK => usize::try_from(reader.u64()?.checked_rem(u64::try_from(shards).ok()?)?).ok(),
        _ => None,
    }
}

impl RtpHeader {
    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [flags, layer, audio_level] = reader.array()?;
        Some(Self {
            flags: Flags::from_byte(flags),
            layer: Layer { spatial: layer >> 5, temporal: layer >> 2 & 7 },
            audio_level,
            alias: Alias(reader.u32()?),
            sequence: reader.u48()?,
            age_eighths_ms: reader.u16()?,
            timestamp: reader.u32()?,
            back: reader.u8()?,
        })
    }

    #[inline]
    fn put(&self, cursor: &mut Cursor<'_>, kind: u8) -> Result<(), Full> {
        let layer = (self.layer.spatial & 7) << 5 | (self.layer.temporal & 7) << 2;
        cursor.put(&[kind, self.flags.to_byte(), layer, self.audio_level])?;
        cursor.u32(self.alias.0)?;
        cursor.u48(self.sequence)?;
        cursor.u16(self.age_eighths_ms)?;
        cursor.u32(self.timestamp)?;
        cursor.u8(self.back)
    }

    /// Writes the header of a whole packet: the payload goes behind the [`RTP_HEADER_BYTES`] returned.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cursor = Cursor::new(out);
        self.put(&mut cursor, TYPE_RTP)?;
        Ok(cursor.at())
    }

    /// Writes the header of a part: that part of the payload goes behind the [`FRAGMENT_HEADER_BYTES`] returned.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn write_fragment(&self, part: Part, out: &mut [u8]) -> Result<usize, Full> {
        let mut cursor = Cursor::new(out);
        self.put(&mut cursor, TYPE_FRAGMENT)?;
        cursor.put(&[part.index, part.last])?;
        Ok(cursor.at())
    }
}

/// One part of a payload that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Which part.
    pub part: Part,
    /// Where it is in the payload.
    pub range: Range<usize>,
}

/// Cuts a payload that does not fit into one datagram of `datagram_bytes_max` into parts of nearly equal size.
/// Yields nothing when it would take more than [`FRAGMENTS_MAX`]. One that fits whole should go as a whole packet.
pub fn fragments(payload_len: usize, datagram_bytes_max: usize) -> impl Iterator<Item = Cut> {
    let room = datagram_bytes_max.saturating_sub(FRAGMENT_HEADER_BYTES);
    let count = if room == 0 { usize::MAX } else { payload_len.div_ceil(room).max(1) };
    let each = payload_len.div_ceil(count);
    let count = if count > FRAGMENTS_MAX { 0 } else { count };
    (0..count).map(move |index| {
        let start = index.saturating_mul(each).min(payload_len);
        let end = start.saturating_add(each).min(payload_len);
        let narrow = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        Cut { part: Part { index: narrow(index), last: narrow(count.saturating_sub(1)) }, range: start..end }
    })
}

/// Packets asked for again. Bytes: type, count of ranges, 2 zero bytes, alias, room key, ranges.
#[derive(Debug, Clone)]
pub struct Nack<'a> {
    /// The alias of the one that asks: its receiver finds it among what that link has subscribed in the room.
    pub alias: Alias,
    /// [`crate::id::RoomId::key`] of the room: finds the shard of the one that is asked.
    pub room_key: u64,
    ranges: std::slice::Iter<'a, [u8; RANGE_BYTES]>,
}

/// A run of sequence numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// The first.
    pub first: u64,
    /// How many, at least 1.
    pub count: u16,
}

impl<'a> Nack<'a> {
    fn read(mut reader: Reader<'a>) -> Result<Self, Error> {
        let [count, _, _] = reader.array().ok_or(Error::Truncated)?;
        let alias = Alias(reader.u32().ok_or(Error::Truncated)?);
        let room_key = reader.u64().ok_or(Error::Truncated)?;
        let count = usize::from(count);
        if count == 0 || count > RANGES_MAX {
            return Err(Error::Ranges);
        }
        let ranges = reader.take(count.saturating_mul(RANGE_BYTES)).ok_or(Error::Truncated)?;
        let nack = Self { alias, room_key, ranges: ranges.as_chunks().0.iter() };
        let mut packets = 0_u32;
        for missing in nack.ranges() {
            packets = packets.saturating_add(u32::from(missing.count));
            let end = missing.first.saturating_add(u64::from(missing.count));
            if missing.count == 0 || end > SEQUENCE_MAX || packets > NACK_PACKETS_MAX {
                return Err(Error::Ranges);
            }
        }
        Ok(nack)
    }

    /// The runs asked for: at least one, never empty, together at most [`NACK_PACKETS_MAX`] packets.
    pub fn ranges(&self) -> impl Iterator<Item = Missing> + use<'a> {
        self.ranges.clone().map(|[a, b, c, d, e, f, g, h]| Missing {
            first: u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]),
            count: u16::from_be_bytes([*g, *h]),
        })
    }

    /// The same, one by one.
    pub fn sequences(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.ranges()
            .flat_map(|missing| (0..u64::from(missing.count)).map(move |offset| missing.first.saturating_add(offset)))
    }

    /// Writes a NACK of as many of the given sequence numbers (rising) as the bounds and the buffer allow.
    ///
    /// # Errors
    /// [`Full`] when not even one fits, or none is given.
    pub fn write(out: &mut [u8], room_key: u64, alias: Alias, sequences: &[u64]) -> Result<Written, Full> {
        let mut cursor = Cursor::new(out);
        cursor.put(&[TYPE_NACK, 0, 0, 0])?;
        cursor.u32(alias.0)?;
        cursor.u64(room_key)?;
        let packets_max = usize::try_from(NACK_PACKETS_MAX).unwrap_or(usize::MAX);
        let mut rest = sequences.get(..packets_max).unwrap_or(sequences);
        let (mut ranges, mut written) = (0_u8, 0_usize);
        while let [first, ..] = *rest
            && usize::from(ranges) < RANGES_MAX
        {
            // Wrapping, as the caller's numbers are not checked before.
            let run = rest.iter().zip(0_u64..).take_while(|(s, offset)| **s == first.wrapping_add(*offset)).count();
            let start = cursor.at();
            if cursor.u48(first).and_then(|()| cursor.u16(u16::try_from(run).unwrap_or(u16::MAX))).is_err() {
                cursor.rewind(start);
                break;
            }
            ranges = ranges.saturating_add(1);
            written = written.saturating_add(run);
            rest = rest.get(run..).unwrap_or(&[]);
        }
        if ranges == 0 {
            return Err(Full);
        }
        cursor.patch(1, &[ranges]);
        Ok(Written { bytes: cursor.at(), sequences: written })
    }
}

/// How much of a NACK was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the datagram.
    pub bytes: usize,
    /// Sequence numbers that are in it, from the front of those given.
    pub sequences: usize,
}

const TYPE_RTP: u8 = 1;
const TYPE_FRAGMENT: u8 = 2;
const TYPE_NACK: u8 = 3;

#[cfg(test)]
mod tests;
