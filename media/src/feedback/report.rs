//! Sender and receiver reports (RFC 3550 §6.4 and appendix A): loss, jitter, clocks, round trips.

use crate::seq::SeqNo;
use lyceum_wire::rtcp::{Report, ntp_middle};
use std::time::{Duration, Instant};

/// Time between two reports. RFC 3550 §6.2 asks for 5 % of the bandwidth at most; one second is far below that and what browsers use.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The node's clock in NTP format, from one fixed point.
#[derive(Debug, Clone, Copy)]
pub struct NtpClock {
    /// This moment …
    pub epoch: Instant,
    /// … is this NTP time: seconds since 1900 in the upper half, fraction in the lower.
    pub ntp: u64,
}

impl NtpClock {
    /// NTP time of a moment; moments before the epoch are the epoch.
    #[must_use]
    pub fn at(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp.wrapping_add((since.as_secs() << 32) | fraction)
    }
}

/// Length of an NTP duration (64 bits, seconds in the upper half).
#[must_use]
pub fn ntp_duration(ntp: u64) -> Duration {
    let nanos = ((ntp & 0xffff_ffff) * 1_000_000_000) >> 32;
    Duration::new(ntp >> 32, nanos as u32)
}

/// What the round trip was, from a report block that answers a sender report (RFC 3550 §6.4.1). `None`: it answers none.
#[must_use]
pub fn round_trip(report: &Report, ntp_now: u64) -> Option<Duration> {
    if report.last_sender_report == 0 {
        return None;
    }
    let elapsed = ntp_middle(ntp_now).wrapping_sub(report.last_sender_report);
    // Rounding may make a very short trip negative.
    let trip = (elapsed.wrapping_sub(report.delay) as i32).max(0);
    Some(Duration::from_secs_f64(f64::from(trip) / 65_536.0))
}

/// How one source is received.
#[derive(Debug, Default)]
pub struct Reception {
    first: Option<SeqNo>,
    highest: SeqNo,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: f64,
    transit: Option<f64>,
    sender_report: Option<(u32, Instant)>,
}

impl Reception {
    /// A packet of the source arrived. `timestamp` in ticks of `clock_hz`.
    pub fn received(&mut self, seq: SeqNo, timestamp: u32, clock_hz: u32, epoch: Instant, now: Instant) {
        if self.first.is_none() {
            self.first = Some(seq);
            self.highest = seq;
        }
        self.highest = self.highest.max(seq);
        self.received += 1;
        // RFC 3550 appendix A.8, in ticks.
        let arrival = now.saturating_duration_since(epoch).as_secs_f64() * f64::from(clock_hz);
        let transit = arrival - f64::from(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            // A wrap of the timestamp, or a pause, is not jitter.
            let difference = (transit - before).abs();
            if difference < f64::from(clock_hz) {
                self.jitter += (difference - self.jitter) / 16.0;
            }
        }
    }

    /// The source sent a report.
    pub fn sender_report(&mut self, ntp: u64, now: Instant) {
        self.sender_report = Some((ntp_middle(ntp), now));
    }

    /// The block to send about it; loss is counted from one block to the next. `None`: nothing arrived yet.
    pub fn block(&mut self, ssrc: u32, now: Instant) -> Option<Report> {
        let first = self.first?;
        let expected = self.highest.0.saturating_sub(first.0) + 1;
        let lost = expected as i64 - self.received as i64;
        let expected_lately = expected - self.expected_before;
        let received_lately = self.received - self.received_before;
        let lost_lately = expected_lately.saturating_sub(received_lately);
        self.expected_before = expected;
        self.received_before = self.received;
        let fraction_lost = (lost_lately * 256).checked_div(expected_lately).unwrap_or(0).min(255) as u8;
        let (last_sender_report, delay) = match self.sender_report {
            Some((middle, at)) => (middle, (now.saturating_duration_since(at).as_secs_f64() * 65_536.0) as u32),
            None => (0, 0),
        };
        Some(Report {
            ssrc,
            fraction_lost,
            lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            // Extended numbers start in the second cycle here, in the first on the wire.
            highest_sequence: self.highest.0.wrapping_sub(1 << 16) as u32,
            jitter: self.jitter as u32,
            last_sender_report,
            delay,
        })
    }

    /// Packets received.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_counted_between_reports() {
        let (mut reception, t) = (Reception::default(), Instant::now());
        for n in (0..100u64).filter(|n| n % 10 != 3) {
            reception.received(SeqNo(65_536 + n), (n * 3_000) as u32, 90_000, t, t + Duration::from_millis(n * 33));
        }
        let block = reception.block(7, t + Duration::from_secs(4)).unwrap();
        assert_eq!((block.lost, block.fraction_lost, block.highest_sequence), (10, 25, 99));
        assert!(block.jitter < 90, "an even stream: {}", block.jitter);
        reception.received(SeqNo(65_536 + 100), 300_000, 90_000, t, t + Duration::from_millis(3_333));
        assert_eq!(reception.block(7, t).unwrap().fraction_lost, 0);
    }

    #[test]
    fn a_round_trip_is_measured_by_report_and_answer() {
        let t = Instant::now();
        let clock = NtpClock { epoch: t, ntp: 0xe000_0000_0000_0000 };
        let mut receiver = Reception::default();
        receiver.received(SeqNo(1), 0, 90_000, t, t);
        let ms = Duration::from_millis;
        receiver.sender_report(clock.at(t + ms(100)), t + ms(130));
        let block = receiver.block(1, t + ms(530)).unwrap();
        let trip = round_trip(&block, clock.at(t + ms(570))).unwrap();
        assert!(trip.abs_diff(ms(70)) < ms(1), "{trip:?}");
        assert_eq!(round_trip(&Report::default(), 0), None);
    }

    #[test]
    fn ntp_counts_seconds_in_its_upper_half() {
        let t = Instant::now();
        let clock = NtpClock { epoch: t, ntp: 5 << 32 };
        assert_eq!(clock.at(t + Duration::from_millis(1_500)), (6 << 32) | 1 << 31);
        assert_eq!(ntp_duration((6 << 32) | 1 << 31), Duration::from_millis(6_500));
    }
}
