//! RTCP (RFC 3550 §6, RFC 4585, RFC 5104, RFC 5506 reduced size, RFC 8888): reading compound packets, writing them.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |V=2|P| count/FMT |      PT       |   length in words, minus 1    |
//! |                     SSRC of the sender                          |
//! |                     … what PT says …                            |
//! ```
//!
//! In: one decrypted RTCP datagram. Out: [`Packet`]s that borrow from it; unknown ones come as [`Packet::Other`].
//! [`Writer`] fills a caller's buffer; a packet that does not fit leaves the buffer as it was.

use crate::cursor::Reader;

pub use crate::cursor::Full;
pub use ccfb::{CongestionFeedback, Fate, REPORTS_OF_STREAM_MAX, Stream, StreamFates, Streams};
pub use twcc::{Arrival, Arrivals, STATUSES_MAX, TransportFeedback};

mod ccfb;
mod twcc;
mod write;

pub use write::{REPORTS_MAX, SenderInfo, Writer};

/// Why bytes are not RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// A packet is longer than the datagram, or shorter than its kind needs.
    #[error("a packet ends inside its fields")]
    Truncated,
    /// The version is not 2.
    #[error("the version is not 2")]
    Version,
    /// The pad count cannot be.
    #[error("the padding is longer than the packet")]
    Padding,
}

/// One packet of a compound.
#[derive(Debug, Clone)]
pub enum Packet<'a> {
    /// A sender's clock and counters, and its view of what it receives (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// A receiver's view (RFC 3550 §6.4.2).
    ReceiverReport {
        /// Who reports.
        sender: u32,
        /// On whom.
        reports: Reports<'a>,
    },
    /// Source descriptions (RFC 3550 §6.5).
    Description(Descriptions<'a>),
    /// Sources that leave (RFC 3550 §6.6).
    Bye(Ssrcs<'a>),
    /// Packets asked for again (RFC 4585 §6.2.1).
    Nack {
        /// Who asks.
        sender: u32,
        /// Of which source.
        media: u32,
        /// Which ones.
        lost: Lost<'a>,
    },
    /// A picture was lost: a key frame, please (RFC 4585 §6.3.1).
    PictureLoss {
        /// Who asks.
        sender: u32,
        /// Of which source.
        media: u32,
    },
    /// Key frames asked for by command (RFC 5104 §4.3.1).
    FullIntra {
        /// Who asks.
        sender: u32,
        /// Of which sources.
        entries: IntraRequests<'a>,
    },
    /// Receiver's estimate of the bandwidth (draft-alvestrand-rmcat-remb).
    Bandwidth {
        /// Who estimates.
        sender: u32,
        /// Bits per second.
        bitrate_bps: u64,
        /// Which sources share it.
        sources: Ssrcs<'a>,
    },
    /// When packets arrived, by transport-wide number.
    Transport(TransportFeedback<'a>),
    /// When packets arrived, by stream and RTP sequence number (RFC 8888).
    Congestion(CongestionFeedback<'a>),
    /// Anything else, unread.
    Other {
        /// PT.
        packet_type: u8,
        /// Count or FMT, 5 bits.
        format: u8,
    },
}

/// The packets of one datagram, in order. The first broken packet is the last item.
#[derive(Debug, Clone)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Looks at a decrypted datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn step(&mut self) -> Result<Packet<'a>, Error> {
        let mut reader = Reader::new(self.rest);
        let first = reader.u8().ok_or(Error::Truncated)?;
        let packet_type = reader.u8().ok_or(Error::Truncated)?;
        let words = reader.u16().ok_or(Error::Truncated)?;
        if first >> 6 != 2 {
            return Err(Error::Version);
        }
        let mut body = reader.take(usize::from(words).saturating_mul(4)).ok_or(Error::Truncated)?;
        self.rest = reader.rest();
        if first & 0x20 != 0 {
            let count = usize::from(*body.last().ok_or(Error::Padding)?);
            let end = body.len().checked_sub(count).filter(|_| count != 0).ok_or(Error::Padding)?;
            body = body.get(..end).ok_or(Error::Padding)?;
        }
        packet(packet_type, first & 0x1f, body).ok_or(Error::Truncated)
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.rest = &[];
        }
        Some(step)
    }
}

fn packet(packet_type: u8, format: u8, body: &[u8]) -> Option<Packet<'_>> {
    let mut reader = Reader::new(body);
    let count = usize::from(format);
    Some(match (packet_type, format) {
        (pt::SENDER_REPORT, _) => Packet::SenderReport(SenderReport {
            sender: reader.u32()?,
            ntp: reader.u64()?,
            rtp_timestamp: reader.u32()?,
            packets: reader.u32()?,
            octets: reader.u32()?,
            reports: Reports { blocks: chunks(reader.take(count.checked_mul(24)?)?) },
        }),
        (pt::RECEIVER_REPORT, _) => Packet::ReceiverReport {
            sender: reader.u32()?,
            reports: Reports { blocks: chunks(reader.take(count.checked_mul(24)?)?) },
        },
        (pt::DESCRIPTION, _) => Packet::Description(Descriptions { left: count, reader }),
        (pt::BYE, _) => Packet::Bye(Ssrcs { words: chunks(reader.take(count.checked_mul(4)?)?) }),
        (pt::TRANSPORT_FEEDBACK, fmt::NACK) => {
            Packet::Nack { sender: reader.u32()?, media: reader.u32()?, lost: Lost::new(chunks(reader.rest())) }
        }
        (pt::TRANSPORT_FEEDBACK, fmt::TRANSPORT_WIDE) => Packet::Transport(TransportFeedback::read(reader)?),
        (pt::TRANSPORT_FEEDBACK, fmt::CONGESTION) => Packet::Congestion(CongestionFeedback::read(reader)?),
        (pt::PAYLOAD_FEEDBACK, fmt::PICTURE_LOSS) => {
            Packet::PictureLoss { sender: reader.u32()?, media: reader.u32()? }
        }
        (pt::PAYLOAD_FEEDBACK, fmt::FULL_INTRA) => {
            let sender = reader.u32()?;
            reader.u32()?;
            Packet::FullIntra { sender, entries: IntraRequests { entries: chunks(reader.rest()) } }
        }
        (pt::PAYLOAD_FEEDBACK, fmt::APPLICATION) => match bandwidth(reader) {
            Some(packet) => packet,
            None => Packet::Other { packet_type, format },
        },
        _ => Packet::Other { packet_type, format },
    })
}

/// REMB: `"REMB"`, count, 6 bits of exponent, 18 bits of mantissa, sources.
fn bandwidth(mut reader: Reader<'_>) -> Option<Packet<'_>> {
    let sender = reader.u32()?;
    reader.u32()?;
    if reader.take(4)? != REMB {
        return None;
    }
    let count = usize::from(reader.u8()?);
    let rate = reader.u24()?;
    let (exponent, mantissa) = (rate >> 18, u64::from(rate & 0x3_ffff));
    // An exponent of 46 and more pushes the mantissa's bits out of 64: saturate, as nobody means such a rate.
    let bitrate_bps = if mantissa.leading_zeros() >= exponent { mantissa << exponent } else { u64::MAX };
    let sources = Ssrcs { words: chunks(reader.take(count.checked_mul(4)?)?) };
    Some(Packet::Bandwidth { sender, bitrate_bps, sources })
}

fn chunks<const N: usize>(bytes: &[u8]) -> std::slice::Iter<'_, [u8; N]> {
    bytes.as_chunks::<N>().0.iter()
}

/// A sender's clock and counters.
#[derive(Debug, Clone)]
pub struct SenderReport<'a> {
    /// Who reports.
    pub sender: u32,
    /// Wall clock in NTP format: seconds since 1900 in the upper half, fraction in the lower.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload octets sent so far.
    pub octets: u32,
    /// What it receives itself.
    pub reports: Reports<'a>,
}

/// The middle 32 bits of an NTP time: 16 bits of seconds, 16 of fraction (RFC 3550 §4).
#[must_use]
pub fn ntp_middle(ntp: u64) -> u32 {
    u32::try_from((ntp >> 16) & 0xffff_ffff).unwrap_or(0)
}

/// How one source is received (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Which source.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates make it negative. 24 bits on the wire.
    pub lost: i32,
    /// Highest sequence number received, with its cycles in the upper half.
    pub highest_sequence: u32,
    /// Jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// [`ntp_middle`] of the last sender report seen, 0 for none.
    pub last_sender_report: u32,
    /// How long ago that was, in 1/65,536 s.
    pub delay: u32,
}

/// Report blocks.
#[derive(Debug, Clone)]
pub struct Reports<'a> {
    blocks: std::slice::Iter<'a, [u8; 24]>,
}

impl Iterator for Reports<'_> {
    type Item = Report;

    fn next(&mut self) -> Option<Report> {
        let mut reader = Reader::new(self.blocks.next()?);
        Some(Report {
            ssrc: reader.u32()?,
            fraction_lost: reader.u8()?,
            lost: {
                let [a, b, c] = reader.array()?;
                // Sign-extended from 24 bits.
                i32::from_be_bytes([a, b, c, 0]) >> 8
            },
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sender_report: reader.u32()?,
            delay: reader.u32()?,
        })
    }
}

/// Sources named in a packet.
#[derive(Debug, Clone)]
pub struct Ssrcs<'a> {
    words: std::slice::Iter<'a, [u8; 4]>,
}

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.words.next().map(|word| u32::from_be_bytes(*word))
    }
}

/// Sequence numbers of a NACK, in the order of its entries.
#[derive(Debug, Clone)]
pub struct Lost<'a> {
    entries: std::slice::Iter<'a, [u8; 4]>,
    base: u16,
    /// Bit 0: `base` itself; bit n: `base + n`.
    left: u32,
}

impl<'a> Lost<'a> {
    fn new(entries: std::slice::Iter<'a, [u8; 4]>) -> Self {
        Self { entries, base: 0, left: 0 }
    }
}

impl Iterator for Lost<'_> {
    type Item = u16;

    #[inline]
    fn next(&mut self) -> Option<u16> {
        if self.left == 0 {
            let [b0, b1, m0, m1] = *self.entries.next()?;
            self.base = u16::from_be_bytes([b0, b1]);
            self.left = u32::from(u16::from_be_bytes([m0, m1])) << 1 | 1;
        }
        let offset = self.left.trailing_zeros();
        self.left &= !(1_u32 << (offset & 31));
        Some(self.base.wrapping_add(u16::try_from(offset).unwrap_or(0)))
    }
}

/// One entry of a full intra request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntraRequest {
    /// Which source.
    pub ssrc: u32,
    /// Rises with every new request; a repeat has the same number.
    pub sequence: u8,
}

/// Entries of a full intra request.
#[derive(Debug, Clone)]
pub struct IntraRequests<'a> {
    entries: std::slice::Iter<'a, [u8; 8]>,
}

impl Iterator for IntraRequests<'_> {
    type Item = IntraRequest;

    fn next(&mut self) -> Option<IntraRequest> {
        let [a, b, c, d, sequence, ..] = *self.entries.next()?;
        Some(IntraRequest { ssrc: u32::from_be_bytes([a, b, c, d]), sequence })
    }
}

/// Canonical names in a source description; other items are passed over.
#[derive(Debug, Clone)]
pub struct Descriptions<'a> {
    left: usize,
    reader: Reader<'a>,
}

/// One described source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described<'a> {
    /// Which source.
    pub ssrc: u32,
    /// Its CNAME, as bytes (UTF-8 by the standard, unchecked).
    pub cname: Option<&'a [u8]>,
}

impl<'a> Iterator for Descriptions<'a> {
    type Item = Described<'a>;

    fn next(&mut self) -> Option<Described<'a>> {
        self.left = self.left.checked_sub(1)?;
        let start = self.reader.rest().len();
        let ssrc = self.reader.u32()?;
        let mut cname = None;
        loop {
            let kind = self.reader.u8()?;
            if kind == 0 {
                break;
            }
            let len = self.reader.u8()?;
            let text = self.reader.take(usize::from(len))?;
            if kind == SDES_CNAME {
                cname = Some(text);
            }
        }
        // Chunks end at a multiple of four, with at least one zero.
        while start.saturating_sub(self.reader.rest().len()) & 3 != 0 {
            self.reader.u8()?;
        }
        Some(Described { ssrc, cname })
    }
}

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
mod pt {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Feedback formats.
mod fmt {
    pub(super) const NACK: u8 = 1;
    pub(super) const CONGESTION: u8 = 11;
    pub(super) const TRANSPORT_WIDE: u8 = 15;
    pub(super) const PICTURE_LOSS: u8 = 1;
    pub(super) const FULL_INTRA: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

const REMB: &[u8; 4] = b"REMB";
const SDES_CNAME: u8 = 1;

#[cfg(test)]
mod tests;
