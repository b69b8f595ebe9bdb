//! Somebody who watches one picture without decoding it, and says so as a browser would.

use crate::call::Call;
use crate::knock::Line;
use crate::ledger::Ledger;
use bytes::Bytes;
use lyceum_bot::stamp::Stamp;
use lyceum_media::feedback::twcc;
use lyceum_wire::demux::Class;
use lyceum_wire::rtcp::{self, Report};
use lyceum_wire::{ext, rtp};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One frame's last packet of so many is opened and compared: at 30 frames a second, every viewer is looked at four times each second, and
/// for no longer than that a delay is reckoned by numbers from before a pause.
const SAMPLE_EVERY_FRAMES: u32 = 8;
/// Receiver reports, and REMB where that is what was agreed (RFC 3550 §6.2 asks for about this at these rates).
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// What a viewer says by REMB it can take: more than anybody sends.
const REMB_BPS: u64 = 20_000_000;
/// Room for a report in bytes.
const REPORT_BYTES: usize = 1_200;

/// What a viewer saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets of the picture, each number once.
    pub packets: u64,
    /// Their bytes above UDP.
    pub bytes: u64,
    /// Numbers that did not come.
    pub lost: u64,
    /// Packets that came after later ones.
    pub late: u64,
    /// Packets of the repair source: repairs, or probes of the bandwidth.
    pub extra: u64,
    /// Packets opened and compared.
    pub samples: u64,
    /// Those whose tag or content was not right, or whose frame nobody sent.
    pub bad_samples: u64,
    /// How often numbers had closed up: the picture was paused, or went on after a full queue.
    pub resumed: u64,
    /// Reports sent.
    pub reports: u64,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.late += other.late;
        self.extra += other.extra;
        self.samples += other.samples;
        self.bad_samples += other.bad_samples;
        self.resumed += other.resumed;
        self.reports += other.reports;
    }
}

/// A member who watches.
pub struct Viewer {
    call: Call,
    pt: u8,
    extensions: ext::Map,
    /// Where transport-cc was agreed.
    arrivals: Option<twcc::Recorder>,
    remb: bool,
    ssrc: u32,
    media_ssrc: u32,
    /// Number expected next, once there was one.
    next: Option<u16>,
    cycles: u32,
    /// Own number minus the publisher's.
    shift: Option<u16>,
    frames_unseen: u32,
    report_due: Instant,
    seen: Seen,
}

impl Viewer {
    pub(crate) fn new(call: Call, line: Line, seed: u64, now: Instant) -> Self {
        let agreed = |what: &str| line.vp8.has_feedback(what);
        let transport = agreed("transport-cc") && line.extensions.id(ext::Kind::TransportSequence).is_some();
        // Scattered over the interval, so that thousands do not report at once.
        let phase = REPORT_EVERY * (seed.wrapping_mul(61) % 1_000) as u32 / 1_000;
        Self {
            call,
            pt: line.vp8.pt,
            arrivals: transport.then(|| twcc::Recorder::new(now)),
            remb: !transport && agreed("goog-remb"),
            extensions: line.extensions,
            ssrc: 0x4000_0000 | seed as u32,
            media_ssrc: line.media.ssrcs.first().map_or(0, |source| source.ssrc),
            next: None,
            cycles: 0,
            shift: None,
            frames_unseen: SAMPLE_EVERY_FRAMES,
            report_due: now + phase,
            seen: Seen::default(),
        }
    }

    /// Its connection.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it saw.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// A datagram came; the answer is how long a packet of the picture was on its way, where that is known already.
    #[inline]
    pub(crate) fn datagram(
        &mut self,
        from: SocketAddr,
        datagram: &mut [u8],
        ledger: &Ledger,
        now: Instant,
    ) -> Option<Duration> {
        match Class::of(datagram) {
            Some(Class::Rtp) => self.media(datagram, ledger, now),
            Some(Class::Stun | Class::Dtls) => {
                self.call.handle(from, datagram, now);
                None
            }
            // Sender reports are for lip-sync, which nobody watches here.
            Some(Class::Rtcp | Class::Channel) | None => None,
        }
    }

    /// Time passed, at least a few times a second.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.call.tick(now);
        self.report(now);
    }

    /// The next datagram, and where it goes.
    pub(crate) fn poll(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.call.poll()
    }

    fn media(&mut self, datagram: &mut [u8], ledger: &Ledger, now: Instant) -> Option<Duration> {
        let header = rtp::Header::parse(datagram).ok()?;
        if let Some(arrivals) = &mut self.arrivals
            && let Some(number) = self.extensions.read(header.extensions(datagram)).transport_sequence
        {
            arrivals.received(number, now);
        }
        if header.payload_type != self.pt {
            self.seen.extra += 1;
            return None;
        }
        self.media_ssrc = header.ssrc;
        self.seen.packets += 1;
        self.seen.bytes += datagram.len() as u64;
        self.number(header.sequence);
        if header.marker {
            self.frames_unseen += 1;
            if self.shift.is_none() || self.frames_unseen >= SAMPLE_EVERY_FRAMES {
                self.frames_unseen = 0;
                self.sample(datagram, ledger);
            }
        }
        let sent_at = ledger.sent_at(header.sequence.wrapping_sub(self.shift?))?;
        Some(now.saturating_duration_since(sent_at))
    }

    fn number(&mut self, sequence: u16) {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        if ahead < 0x8000 {
            self.seen.lost += u64::from(ahead);
            let after = sequence.wrapping_add(1);
            self.cycles += u32::from(after < next);
            self.next = Some(after);
        } else {
            self.seen.late += 1;
            self.seen.lost = self.seen.lost.saturating_sub(1);
        }
    }

    /// Opens a frame's last packet: its tag, its number and its content must be what the publisher sent.
    fn sample(&mut self, datagram: &mut [u8], ledger: &Ledger) {
        let Some(inbound) = &mut self.call.inbound else { return };
        self.seen.samples += 1;
        let shift = inbound.unprotect(datagram).ok().and_then(|opened| {
            let payload = opened.header.payload(&datagram[..opened.len]).ok()?;
            let theirs = ledger.last_of(Stamp::read(payload)?.frame)?;
            ledger.agrees(theirs, payload).then(|| opened.header.sequence.wrapping_sub(theirs))
        });
        match (self.shift, shift) {
            (_, None) => self.seen.bad_samples += 1,
            // Numbers close up over what was left out on purpose: it was paused for a while.
            (Some(before), Some(now)) if before != now => self.seen.resumed += 1,
            _ => {}
        }
        self.shift = shift;
    }

    fn report(&mut self, now: Instant) {
        let Some(outgoing) = &mut self.call.outgoing else { return };
        let mut buffer = [0; REPORT_BYTES];
        if let Some(arrivals) = &mut self.arrivals {
            loop {
                let mut writer = rtcp::Writer::new(&mut buffer);
                if !arrivals.poll(now, self.ssrc, self.media_ssrc, &mut writer) {
                    break;
                }
                outgoing.rtcp(writer.written());
                self.seen.reports += 1;
            }
        }
        if now < self.report_due || self.next.is_none() {
            return;
        }
        self.report_due = now + REPORT_EVERY;
        let next = self.next.unwrap_or_default();
        let report = Report {
            ssrc: self.media_ssrc,
            fraction_lost: 0,
            lost: i32::try_from(self.seen.lost).unwrap_or(i32::MAX),
            // The number before `next`, which lies in the cycle before where `next` has just begun a new one.
            highest_sequence: (self.cycles << 16 | u32::from(next)).wrapping_sub(1),
            jitter: 0,
            last_sender_report: 0,
            delay: 0,
        };
        let mut writer = rtcp::Writer::new(&mut buffer);
        let mut written = writer.receiver_report(self.ssrc, &[report]);
        if self.remb {
            written = written.and_then(|()| writer.bandwidth(self.ssrc, REMB_BPS, &[self.media_ssrc]));
        }
        if written.is_ok() {
            outgoing.rtcp(writer.written());
            self.seen.reports += 1;
        }
    }
}
