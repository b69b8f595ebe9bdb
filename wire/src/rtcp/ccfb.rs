//! Congestion control feedback (RFC 8888 §3.1): when each packet of each stream arrived, by RTP sequence number.
//!
//! ```text
//! |                  SSRC of the RTCP sender                      |
//! |                  SSRC of the first stream                     |  ┐
//! |        begin_seq              |          num_reports          |  │ per stream
//! |R|ECN|  arrival time offset    |R|ECN|  …                      |  ┘ padded to whole words
//! |                  report timestamp                             |
//!
//! R 0: did not arrive.  Offset: how long before the report timestamp, in 1/1024 s
//! ```

use crate::cursor::{Cursor, Full, Reader};

/// Feedback on the packets of any number of streams.
#[derive(Debug, Clone)]
pub struct CongestionFeedback<'a> {
    /// Who gives it.
    pub sender: u32,
    /// When, on the reporter's clock, in 1/65,536 s: [`super::ntp_middle`] of an NTP time.
    pub timestamp: u32,
    streams: Reader<'a>,
}

/// Most packets of one stream that one feedback may speak of (RFC 8888 §3.1).
pub const REPORTS_OF_STREAM_MAX: u16 = 16_384;
/// An offset that is longer than the field can say.
const OFFSET_LONGER: u16 = 0x1ffe;

impl<'a> CongestionFeedback<'a> {
    pub(super) fn read(mut reader: Reader<'a>) -> Option<Self> {
        let sender = reader.u32()?;
        let bytes = reader.rest();
        let (streams, timestamp) = bytes.split_last_chunk::<4>()?;
        Some(Self { sender, timestamp: u32::from_be_bytes(*timestamp), streams: Reader::new(streams) })
    }

    /// The streams in order. Ends early when the bytes do, or when a stream speaks of more packets than it may.
    pub fn streams(&self) -> Streams<'a> {
        Streams { reader: self.streams }
    }
}

/// The streams of one feedback.
#[derive(Debug, Clone)]
pub struct Streams<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Streams<'a> {
    type Item = Stream<'a>;

    fn next(&mut self) -> Option<Stream<'a>> {
        let ssrc = self.reader.u32()?;
        let (begin, count) = (self.reader.u16()?, self.reader.u16()?);
        if count > REPORTS_OF_STREAM_MAX {
            self.reader = Reader::new(&[]);
            return None;
        }
        let blocks = self.reader.take(usize::from(count).saturating_mul(2))?;
        if count & 1 == 1 {
            self.reader.take(2)?;
        }
        Some(Stream { ssrc, begin, blocks: blocks.as_chunks::<2>().0 })
    }
}

/// What became of a run of one stream's packets.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    /// Which stream.
    pub ssrc: u32,
    /// RTP sequence number of the first packet spoken of.
    pub begin: u16,
    blocks: &'a [[u8; 2]],
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It did not arrive.
    Missing,
    /// It arrived.
    Arrived {
        /// How long before the report's timestamp, in 1/1024 s; `None`: longer than the field can say, or not known.
        offset: Option<u16>,
        /// The two ECN bits it arrived with (RFC 3168 §5); 3 is "congestion experienced".
        ecn: u8,
    },
}

impl Stream<'_> {
    /// How many packets it speaks of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Whether it speaks of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// What it says of this sequence number; `None` when it does not speak of it.
    #[must_use]
    pub fn fate(&self, sequence: u16) -> Option<Fate> {
        self.blocks.get(usize::from(sequence.wrapping_sub(self.begin))).map(|block| fate(*block))
    }

    /// Sequence numbers and their fates, in order.
    pub fn fates(&self) -> impl Iterator<Item = (u16, Fate)> + use<'_> {
        (0..=u16::MAX).zip(self.blocks).map(|(index, block)| (self.begin.wrapping_add(index), fate(*block)))
    }
}

fn fate(block: [u8; 2]) -> Fate {
    let block = u16::from_be_bytes(block);
    if block & 0x8000 == 0 {
        return Fate::Missing;
    }
    let offset = block & 0x1fff;
    let ecn = u8::try_from(block >> 13 & 3).unwrap_or(0);
    Fate::Arrived { offset: (offset < OFFSET_LONGER).then_some(offset), ecn }
}

/// A run of one stream's packets to be reported on.
#[derive(Debug, Clone, Copy)]
pub struct StreamFates<'a> {
    /// Which stream.
    pub ssrc: u32,
    /// RTP sequence number of the first.
    pub begin: u16,
    /// What became of them, at most [`REPORTS_OF_STREAM_MAX`].
    pub fates: &'a [Fate],
}

/// Writes everything behind the SSRC of the sender.
pub(super) fn write(cursor: &mut Cursor<'_>, timestamp: u32, streams: &[StreamFates<'_>]) -> Result<(), Full> {
    for stream in streams {
        let fates = stream.fates.get(..usize::from(REPORTS_OF_STREAM_MAX)).unwrap_or(stream.fates);
        cursor.u32(stream.ssrc)?;
        cursor.u16(stream.begin)?;
        cursor.u16(u16::try_from(fates.len()).unwrap_or(REPORTS_OF_STREAM_MAX))?;
        for fate in fates {
            cursor.u16(match fate {
                Fate::Missing => 0,
                Fate::Arrived { offset, ecn } => {
                    let offset = offset.unwrap_or(OFFSET_LONGER).min(OFFSET_LONGER);
                    0x8000 | u16::from(ecn & 3) << 13 | offset
                }
            })?;
        }
        if fates.len() & 1 == 1 {
            cursor.u16(0)?;
        }
    }
    cursor.u32(timestamp)
}
