//! Sender reports out, receivers' reports in.

use super::{DownlinkId, Downlinks};
use crate::feedback::report::{INTERVAL, round_trip};
use lyceum_wire::rtcp;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The first report follows the first packet this soon.
pub(super) const FIRST_AFTER: Duration = Duration::from_millis(100);
/// A slot that sent nothing for this long is not reported on.
const QUIET_AFTER: Duration = Duration::from_secs(3);
/// Longest compound, in bytes: with SRTCP's trailer it fits every path.
const COMPOUND_BYTES_MAX: usize = 1_200;

impl Downlinks {
    /// Reports of all slots that send, and when to report next.
    pub(super) fn send_reports(&mut self, id: DownlinkId, now: Instant) {
        let mut infos = std::mem::take(&mut self.infos);
        infos.clear();
        self.look_at_senders(id, &mut infos, now);
        self.write_reports(id, &infos);
        self.infos = infos;
    }

    /// Who sends, and with that when to report next.
    fn look_at_senders(&mut self, id: DownlinkId, infos: &mut Vec<rtcp::SenderInfo>, now: Instant) {
        let Some(downlink) = self.find_mut(id) else { return };
        let next = now + INTERVAL;
        downlink.report_due = Some(next);
        let ntp = downlink.clock.at(now);
        infos.extend(downlink.slots.iter().filter_map(|slot| {
            let clock = slot.stream.clock().filter(|c| now.saturating_duration_since(c.sent) < QUIET_AFTER)?;
            Some(rtcp::SenderInfo {
                sender: slot.spec.ssrc.0,
                ntp,
                rtp_timestamp: clock.timestamp_at(now),
                packets: slot.packets,
                octets: slot.octets,
            })
        }));
        if infos.is_empty() {
            // Nothing flows: the next packet begins anew.
            downlink.report_due = None;
            return;
        }
        self.reports.set(id, Some(next));
    }

    fn write_reports(&mut self, id: DownlinkId, infos: &[rtcp::SenderInfo]) {
        let Some(downlink) = self.find(id) else { return };
        let cname = Arc::clone(&downlink.config.cname);
        let mut buffer = [0; COMPOUND_BYTES_MAX];
        let mut rest = infos;
        while !rest.is_empty() {
            let mut writer = rtcp::Writer::new(&mut buffer);
            let mut written = 0;
            for info in rest {
                // Report and name go together, or into the next compound.
                let room = COMPOUND_BYTES_MAX - writer.len();
                if room < 28 + 16 + cname.len().min(255) || writer.sender_report(info, &[]).is_err() {
                    break;
                }
                let _ = writer.description(info.sender, &cname);
                written += 1;
            }
            if written == 0 {
                return;
            }
            rest = &rest[written..];
            let len = writer.len();
            self.send_rtcp(id, &buffer[..len]);
        }
    }

    /// Takes in what concerns the whole peer: round trip, loss, bandwidth, arrival times.
    pub(crate) fn take_report(&mut self, id: DownlinkId, packet: &rtcp::Packet<'_>, now: Instant) {
        let Some(downlink) = self.find_mut(id) else { return };
        downlink.way.told(packet, now);
        match packet {
            rtcp::Packet::SenderReport(report) => downlink.take_blocks(report.reports.clone(), now),
            rtcp::Packet::ReceiverReport { reports, .. } => downlink.take_blocks(reports.clone(), now),
            rtcp::Packet::Bandwidth { bitrate_bps, .. } => downlink.reception.remb_bps = Some(*bitrate_bps),
            rtcp::Packet::Transport(feedback) => {
                for arrival in feedback.arrivals() {
                    match arrival.ticks {
                        Some(_) => downlink.reception.transport_received += 1,
                        None => downlink.reception.transport_missing += 1,
                    }
                }
            }
            rtcp::Packet::PictureLoss { .. } | rtcp::Packet::FullIntra { .. } => downlink.sent.key_frame_requests += 1,
            _ => {}
        }
    }
}

impl super::Downlink {
    fn take_blocks(&mut self, reports: rtcp::Reports<'_>, now: Instant) {
        let ntp = self.clock.at(now);
        let mut worst: Option<u8> = None;
        for report in reports {
            if !self.slots.iter().any(|slot| slot.spec.ssrc.0 == report.ssrc) {
                continue;
            }
            worst = worst.max(Some(report.fraction_lost));
            if let Some(rtt) = round_trip(&report, ntp).filter(|rtt| *rtt < RTT_MAX) {
                self.reception.rtt = Some(match self.reception.rtt {
                    Some(before) => (before * 7 + rtt) / 8,
                    None => rtt,
                });
            }
        }
        if let Some(worst) = worst {
            self.reception.loss = f32::from(worst) / 256.0;
            self.way.reported(self.reception.loss, self.reception.rtt, now);
        }
    }
}

/// Longer round trips are not believed: they come from clocks that were set or reports that lie.
const RTT_MAX: Duration = Duration::from_secs(10);
