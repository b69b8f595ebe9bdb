//! What the publisher is told, and when.

use super::source::Role;
use super::*;
use crate::feedback::{nack, report};
use lyceum_wire::rtcp;

/// When what is due, and what the publisher's reports said.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Jitter is measured from here.
    pub(super) epoch: Instant,
    pub(super) rtt: Duration,
    report_due: Option<Instant>,
    /// Any source of the peer: transport-cc feedback must name one.
    any_ssrc: u32,
    offset: Option<ClockOffset>,
    pub(super) clocks: Vec<SenderClock>,
    ask: Vec<crate::seq::SeqNo>,
    ask_wire: Vec<u16>,
    reports: Vec<rtcp::Report>,
    /// Sources whose blocks did not fit into the last report come first in the next.
    report_from: usize,
}

/// The publisher's clock against ours: NTP time `ntp` arrived at `at` on the fastest way seen.
#[derive(Debug, Clone, Copy)]
struct ClockOffset {
    ntp: u64,
    at: Instant,
}

impl Schedule {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            rtt: RTT_UNKNOWN,
            report_due: None,
            any_ssrc: 0,
            offset: None,
            clocks: Vec::new(),
            ask: Vec::new(),
            ask_wire: Vec::new(),
            reports: Vec::new(),
            report_from: 0,
        }
    }

    /// Something is published: reports begin.
    pub(super) fn begin(&mut self, now: Instant) {
        self.report_due.get_or_insert(now + report::INTERVAL);
    }

    pub(super) fn forget(&mut self, track: TrackId) {
        self.clocks.retain(|clock| clock.track != track);
    }

    pub(super) fn heard_of(&mut self, ssrc: u32) {
        self.any_ssrc = ssrc;
    }

    /// A repair took this long from question to arrival.
    pub(super) fn measured(&mut self, rtt: Duration) {
        self.rtt = (self.rtt * 7 + rtt) / 8;
    }

    /// A sender report: the moment its NTP time stands for here, the same for all of the peer's sources.
    fn moment(&mut self, ntp: u64, now: Instant) -> Instant {
        let Some(offset) = self.offset else {
            self.offset = Some(ClockOffset { ntp, at: now });
            return now;
        };
        let ahead = ntp.wrapping_sub(offset.ntp);
        let predicted = if (ahead as i64) >= 0 {
            offset.at + report::ntp_duration(ahead)
        } else {
            offset.at.checked_sub(report::ntp_duration(ahead.wrapping_neg())).unwrap_or(offset.at)
        };
        let late = now.saturating_duration_since(predicted);
        let early = predicted.saturating_duration_since(now);
        let at = if late > CLOCK_JUMP || early > Duration::ZERO {
            now
        } else {
            // Slowly towards later: the way may have become longer for good, and clocks drift.
            predicted + late / OFFSET_LEAK
        };
        self.offset = Some(ClockOffset { ntp, at });
        at
    }
}

impl Uplink {
    /// Opens an RTCP datagram and takes in the sender reports.
    pub(super) fn receive_rtcp<'a>(&mut self, datagram: &'a mut [u8], now: Instant) -> Result<&'a [u8], Drop> {
        let inbound = self.inbound.as_mut().ok_or(Drop::NoKeys)?;
        let plain: &'a [u8] = inbound.unprotect_rtcp(datagram)?;
        for packet in rtcp::Compound::new(plain) {
            let Ok(packet) = packet else {
                self.drops.count(Drop::Malformed);
                break;
            };
            if let rtcp::Packet::SenderReport(report) = packet {
                self.sources.reception(report.sender, |r| r.sender_report(report.ntp, now));
                let Some(source) = self.sources.find(report.sender).filter(|s| s.role == Role::Media) else { continue };
                let at = self.feedback.moment(report.ntp, now);
                let (track, spatial) = (source.track, source.spatial);
                self.feedback.clocks.retain(|clock| (clock.track, clock.spatial) != (track, spatial));
                self.feedback.clocks.push(SenderClock { track, spatial, timestamp: report.rtp_timestamp, at });
            }
        }
        Ok(plain)
    }

    pub(super) fn feedback_due(&self) -> Option<Instant> {
        let layers = self.layers.iter().flat_map(|layer| {
            let nack = if layer.wants_nack { layer.nack.deadline() } else { None };
            let wish = layer.wish.deadline().filter(|_| layer.can_be_asked());
            nack.into_iter().chain(wish)
        });
        layers.chain(self.twcc.deadline()).chain(self.feedback.report_due).min()
    }

    pub(super) fn write_feedback(&mut self, rtcp: &mut Vec<u8>, now: Instant) -> bool {
        rtcp.clear();
        if self.feedback_due().is_none_or(|due| due > now) {
            return false;
        }
        rtcp.resize(COMPOUND_BYTES_MAX, 0);
        let mut writer = rtcp::Writer::new(rtcp);
        self.write_report(&mut writer, now);
        self.write_asks(&mut writer, now);
        let Ssrc(sender) = self.config.feedback_ssrc;
        if COMPOUND_BYTES_MAX - writer.len() >= TRANSPORT_BYTES_MIN {
            self.twcc.poll(now, sender, self.feedback.any_ssrc, &mut writer);
        }
        let len = writer.len();
        rtcp.truncate(len);
        len > 0
    }

    /// The receiver report, when its time has come.
    fn write_report(&mut self, writer: &mut rtcp::Writer<'_>, now: Instant) {
        if self.feedback.report_due.is_none_or(|due| due > now) {
            return;
        }
        self.feedback.report_due = Some(now + report::INTERVAL);
        self.feedback.reports.clear();
        let count = self.sources.media_receptions().count().max(1);
        let first = self.feedback.report_from % count;
        // Round the ring once, beginning with `first`.
        for (at, (ssrc, reception)) in self.sources.media_receptions().enumerate().skip(first) {
            if at - first < REPORTS_PER_PACKET {
                self.feedback.reports.extend(reception.block(ssrc, now));
            }
        }
        for (at, (ssrc, reception)) in self.sources.media_receptions().enumerate().take(first) {
            if count - first + at < REPORTS_PER_PACKET {
                self.feedback.reports.extend(reception.block(ssrc, now));
            }
        }
        if count > REPORTS_PER_PACKET {
            self.feedback.report_from = (self.feedback.report_from + REPORTS_PER_PACKET) % count;
        }
        let Ssrc(sender) = self.config.feedback_ssrc;
        // Room for all of it is there: it is the first in the compound.
        let _ = writer.receiver_report(sender, &self.feedback.reports);
    }

    /// NACKs and key-frame requests of all layers, as far as there is room; the rest is still due afterwards.
    fn write_asks(&mut self, writer: &mut rtcp::Writer<'_>, now: Instant) {
        let Ssrc(sender) = self.config.feedback_ssrc;
        let schedule = &mut self.feedback;
        for layer in self.layers.iter_mut() {
            let Some(media) = layer.ssrc else { continue };
            if COMPOUND_BYTES_MAX - writer.len() < ASK_BYTES_MAX {
                return;
            }
            if layer.wants_nack && layer.nack.deadline().is_some_and(|due| due <= now) {
                schedule.ask.clear();
                schedule.ask_wire.clear();
                let given_up = layer.nack.poll(now, schedule.rtt, &mut schedule.ask);
                schedule.ask_wire.extend(schedule.ask.iter().map(|seq| layer.wire(*seq)));
                let _ = writer.nack(sender, media, &schedule.ask_wire);
                if given_up > 0 {
                    layer.wish_after_loss(now);
                }
            }
            if layer.can_be_asked() && layer.wish.poll(now) {
                self.heard.key_frames_asked += 1;
                let _ = match layer.keyframe {
                    KeyFrameAsk::Never => Ok(()),
                    KeyFrameAsk::Pli => writer.picture_loss(sender, media),
                    KeyFrameAsk::Fir => {
                        layer.intra = layer.intra.wrapping_add(1);
                        writer.full_intra(sender, &[rtcp::IntraRequest { ssrc: media, sequence: layer.intra }])
                    }
                };
            }
        }
    }
}

impl layer::LayerState {
    /// Whether there is a source to ask, and a way.
    fn can_be_asked(&self) -> bool {
        self.ssrc.is_some() && self.keyframe != KeyFrameAsk::Never
    }
}

/// Assumed until measured: a publisher near its edge, with room for a bad access line.
const RTT_UNKNOWN: Duration = Duration::from_millis(100);
/// Longest compound written, in bytes: with SRTCP's trailer it fits every path.
const COMPOUND_BYTES_MAX: usize = 1_200;
/// Room a layer's questions may need, in bytes: a NACK of the worst pattern and a full intra request.
const ASK_BYTES_MAX: usize = 12 + 4 * nack::ASKS_PER_POLL + 20;
/// Transport feedback is not begun with less room than this, in bytes.
const TRANSPORT_BYTES_MIN: usize = 64;
/// Blocks per receiver report: they leave room for what else is due.
const REPORTS_PER_PACKET: usize = 16;
/// Reports that disagree with arrival by more than this mean that the publisher's clock was set.
const CLOCK_JUMP: Duration = Duration::from_secs(2);
/// How slowly the clock offset follows later arrivals: a sixty-fourth per report.
const OFFSET_LEAK: u32 = 64;
