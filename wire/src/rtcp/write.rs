//! Writing RTCP: packets one after the other into a caller's buffer.

use super::{Full, IntraRequest, REMB, Report, SDES_CNAME, StreamFates, ccfb, fmt, pt, twcc};
use crate::cursor::Cursor;

/// Most report blocks in one packet (5 bits of count).
pub const REPORTS_MAX: usize = 31;

/// Fills a buffer with RTCP packets. Every method either adds one whole packet or leaves the buffer as it was.
#[derive(Debug)]
pub struct Writer<'a> {
    cursor: Cursor<'a>,
    bytes_max: usize,
}

/// The counters of a sender report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderInfo {
    /// Who reports.
    pub sender: u32,
    /// Wall clock in NTP format.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
    /// Payload octets sent so far.
    pub octets: u32,
}

impl<'a> Writer<'a> {
    /// Starts at the front of `out`. Leave room behind it for what SRTCP adds.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        let bytes_max = out.len();
        Self { cursor: Cursor::new(out), bytes_max }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cursor.at()
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cursor.at() == 0
    }

    /// The packets written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.cursor.written()
    }

    /// A sender report; at most [`REPORTS_MAX`] reports are taken.
    ///
    /// # Errors
    /// [`Full`], as all methods here.
    pub fn sender_report(&mut self, info: &SenderInfo, reports: &[Report]) -> Result<(), Full> {
        let reports = reports.get(..REPORTS_MAX).unwrap_or(reports);
        self.packet(pt::SENDER_REPORT, count(reports.len()), |cursor| {
            cursor.u32(info.sender)?;
            cursor.u64(info.ntp)?;
            cursor.u32(info.rtp_timestamp)?;
            cursor.u32(info.packets)?;
            cursor.u32(info.octets)?;
            reports.iter().try_for_each(|report| write_report(cursor, report))
        })
    }

    /// A receiver report; at most [`REPORTS_MAX`] reports are taken.
    ///
    /// # Errors
    /// [`Full`].
    pub fn receiver_report(&mut self, sender: u32, reports: &[Report]) -> Result<(), Full> {
        let reports = reports.get(..REPORTS_MAX).unwrap_or(reports);
        self.packet(pt::RECEIVER_REPORT, count(reports.len()), |cursor| {
            cursor.u32(sender)?;
            reports.iter().try_for_each(|report| write_report(cursor, report))
        })
    }

    /// A source description with a canonical name (at most 255 bytes of it).
    ///
    /// # Errors
    /// [`Full`].
    pub fn description(&mut self, ssrc: u32, cname: &str) -> Result<(), Full> {
        let name = cname.as_bytes();
        let name = name.get(..255).unwrap_or(name);
        self.packet(pt::DESCRIPTION, 1, |cursor| {
            cursor.u32(ssrc)?;
            cursor.put(&[SDES_CNAME, u8::try_from(name.len()).unwrap_or(0)])?;
            cursor.put(name)?;
            cursor.u8(0)
        })
    }

    /// Says that sources leave; at most 31 are taken.
    ///
    /// # Errors
    /// [`Full`].
    pub fn bye(&mut self, ssrcs: &[u32]) -> Result<(), Full> {
        let ssrcs = ssrcs.get(..REPORTS_MAX).unwrap_or(ssrcs);
        self.packet(pt::BYE, count(ssrcs.len()), |cursor| ssrcs.iter().try_for_each(|ssrc| cursor.u32(*ssrc)))
    }

    /// Asks for packets again. `lost` must rise (modulo 2^16); it is packed into pairs of number and 16-bit mask.
    ///
    /// # Errors
    /// [`Full`].
    pub fn nack(&mut self, sender: u32, media: u32, lost: &[u16]) -> Result<(), Full> {
        if lost.is_empty() {
            return Ok(());
        }
        self.packet(pt::TRANSPORT_FEEDBACK, fmt::NACK, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(media)?;
            let mut rest = lost;
            while let [base, tail @ ..] = rest {
                let mut mask = 0_u16;
                rest = tail;
                while let [next, tail @ ..] = rest {
                    let distance = next.wrapping_sub(*base);
                    match distance {
                        0 => {}
                        1..=16 => mask |= 1_u16 << (distance.wrapping_sub(1) & 15),
                        _ => break,
                    }
                    rest = tail;
                }
                cursor.u16(*base)?;
                cursor.u16(mask)?;
            }
            Ok(())
        })
    }

    /// Asks for a key frame.
    ///
    /// # Errors
    /// [`Full`].
    pub fn picture_loss(&mut self, sender: u32, media: u32) -> Result<(), Full> {
        self.packet(pt::PAYLOAD_FEEDBACK, fmt::PICTURE_LOSS, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(media)
        })
    }

    /// Asks for key frames by command.
    ///
    /// # Errors
    /// [`Full`].
    pub fn full_intra(&mut self, sender: u32, requests: &[IntraRequest]) -> Result<(), Full> {
        self.packet(pt::PAYLOAD_FEEDBACK, fmt::FULL_INTRA, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(0)?;
            requests.iter().try_for_each(|request| {
                cursor.u32(request.ssrc)?;
                cursor.put(&[request.sequence, 0, 0, 0])
            })
        })
    }

    /// Says how much bandwidth the receiver believes in; at most 255 sources are taken. Rounded down to 18 bits.
    ///
    /// # Errors
    /// [`Full`].
    pub fn bandwidth(&mut self, sender: u32, bitrate_bps: u64, sources: &[u32]) -> Result<(), Full> {
        let sources = sources.get(..255).unwrap_or(sources);
        let exponent = 64_u32.saturating_sub(bitrate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = u32::try_from(bitrate_bps.checked_shr(exponent).unwrap_or(0)).unwrap_or(0);
        self.packet(pt::PAYLOAD_FEEDBACK, fmt::APPLICATION, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(0)?;
            cursor.put(REMB)?;
            cursor.u8(u8::try_from(sources.len()).unwrap_or(0))?;
            cursor.u24(exponent << 18 | mantissa & 0x3_ffff)?;
            sources.iter().try_for_each(|source| cursor.u32(*source))
        })
    }

    /// Says when packets arrived: `arrivals` begin with transport-wide number `base`, in ticks of 250 µs since a moment
    /// that stays the same for all feedback; `None` is a packet that did not arrive. Returns how many were taken:
    /// call again with the rest when it is fewer.
    ///
    /// # Errors
    /// [`Full`] when not even an empty feedback fits.
    pub fn transport_feedback(
        &mut self,
        sender: u32,
        media: u32,
        base: u16,
        feedback: u8,
        arrivals: &[Option<i64>],
    ) -> Result<usize, Full> {
        // 12 bytes before what `twcc::write` counts, up to 3 of padding behind it.
        let room = self.bytes_max.saturating_sub(self.cursor.at()).saturating_sub(15);
        let mut taken = 0;
        self.packet(pt::TRANSPORT_FEEDBACK, fmt::TRANSPORT_WIDE, |cursor| {
            cursor.u32(sender)?;
            cursor.u32(media)?;
            taken = twcc::write(cursor, base, feedback, arrivals, room)?;
            Ok(())
        })?;
        Ok(taken)
    }

    /// Says what became of packets by stream and RTP sequence number (RFC 8888). `timestamp` is [`super::ntp_middle`] of
    /// now; the offsets of the fates count back from it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn congestion_feedback(
        &mut self,
        sender: u32,
        timestamp: u32,
        streams: &[StreamFates<'_>],
    ) -> Result<(), Full> {
        self.packet(pt::TRANSPORT_FEEDBACK, fmt::CONGESTION, |cursor| {
            cursor.u32(sender)?;
            ccfb::write(cursor, timestamp, streams)
        })
    }

    /// Writes the common header, the body, padding and the length.
    fn packet(
        &mut self,
        packet_type: u8,
        format: u8,
        body: impl FnOnce(&mut Cursor<'a>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let start = self.cursor.at();
        let written = self.write(packet_type, format, body);
        if written.is_err() {
            self.cursor.rewind(start);
        }
        written
    }

    fn write(
        &mut self,
        packet_type: u8,
        format: u8,
        body: impl FnOnce(&mut Cursor<'a>) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let start = self.cursor.at();
        self.cursor.put(&[0x80 | format & 0x1f, packet_type, 0, 0])?;
        body(&mut self.cursor)?;
        let unpadded = self.cursor.at();
        self.cursor.pad4()?;
        // Feedback of transport-wide numbers ends anywhere; its padding is announced (RFC 3550 §6.4.1).
        let pad = self.cursor.at().saturating_sub(unpadded);
        if pad > 0 && packet_type == pt::TRANSPORT_FEEDBACK {
            self.cursor.patch(self.cursor.at().saturating_sub(1), &[u8::try_from(pad).unwrap_or(0)]);
            self.cursor.patch(start, &[0xa0 | format & 0x1f]);
        }
        let words = (self.cursor.at().saturating_sub(start) >> 2).saturating_sub(1);
        let words = u16::try_from(words).map_err(|_| Full)?;
        self.cursor.patch(start.saturating_add(2), &words.to_be_bytes());
        Ok(())
    }
}

fn count(len: usize) -> u8 {
    u8::try_from(len).unwrap_or(0)
}

fn write_report(cursor: &mut Cursor<'_>, report: &Report) -> Result<(), Full> {
    cursor.u32(report.ssrc)?;
    cursor.u8(report.fraction_lost)?;
    let lost = report.lost.clamp(-0x80_0000, 0x7f_ffff);
    let [_, a, b, c] = lost.to_be_bytes();
    cursor.put(&[a, b, c])?;
    cursor.u32(report.highest_sequence)?;
    cursor.u32(report.jitter)?;
    cursor.u32(report.last_sender_report)?;
    cursor.u32(report.delay)
}
