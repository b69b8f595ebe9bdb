//! For a subscriber who tells no arrival times: receiver reports and its own estimate (REMB) decide.
//!
//! Loss moves the rate as in draft-ietf-rmcat-gcc-02 §6, a round trip that grows far above the least one counts as a queue, and the
//! receiver's estimate bounds it all.

use crate::fetch::fetch;
use std::time::Duration;

/// Below this loss the rate may rise, above the other it falls.
const LOSS_LOW: f32 = 0.02;
const LOSS_HIGH: f32 = 0.10;
/// Increase per second.
const INCREASE: f64 = 1.08;
/// The rate stays within this multiple of what is sent: nothing is known of more.
const ABOVE_SENT: f64 = 1.5;
/// Round trips longer than the least by this are a queue, in ms.
const QUEUE_MS: f64 = 150.0;
/// And are answered with this much less, at most once in so many µs.
const DECREASE: f64 = 0.85;
const DECREASE_US: u64 = 1_000_000;
/// The least round trip is forgotten after this, in µs: the route may have changed.
const LEAST_US: u64 = 30_000_000;
/// A receiver's estimate older than this is no bound any more, in µs: receivers repeat it every second or so.
const REMB_US: u64 = 30_000_000;
/// What is sent is averaged over this time, in µs.
const SENT_US: u64 = 1_000_000;

/// What reports say.
#[derive(Debug)]
pub(super) struct Reports {
    bps: f64,
    changed_us: Option<u64>,
    decreased_us: u64,
    loss: f32,
    least_rtt: Option<Least>,
    remb: Option<Remb>,
    sent_bytes: u64,
    sent_since_us: u64,
    sent_bps: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Least {
    ms: f64,
    at_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Remb {
    bps: f64,
    at_us: u64,
}

impl Reports {
    /// Asks for what a packet that leaves needs.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(&self.sent_bytes);
    }

    /// Whether the rate ever fell.
    pub(super) fn has_fallen(&self) -> bool {
        self.decreased_us != 0
    }

    pub(super) fn new(bps: f64) -> Self {
        Self {
            bps,
            changed_us: None,
            decreased_us: 0,
            loss: 0.0,
            least_rtt: None,
            remb: None,
            sent_bytes: 0,
            sent_since_us: 0,
            sent_bps: None,
        }
    }

    /// A packet left.
    #[inline]
    pub(super) fn sent(&mut self, bytes: u16, now_us: u64) {
        self.sent_bytes += u64::from(bytes);
        let elapsed_us = now_us.saturating_sub(self.sent_since_us);
        if elapsed_us >= SENT_US {
            self.sent_bps = Some(self.sent_bytes as f64 * 8e6 / elapsed_us as f64);
            (self.sent_bytes, self.sent_since_us) = (0, now_us);
        }
    }

    /// A receiver report came.
    pub(super) fn report(&mut self, loss: f32, rtt: Option<Duration>, now_us: u64) {
        self.loss = loss;
        let rtt_ms = rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0);
        let queue = rtt_ms.is_some_and(|ms| ms > self.least_ms(ms, now_us) + QUEUE_MS);
        let elapsed_s = self.changed_us.map_or(0.0, |at| (now_us.saturating_sub(at) as f64 / 1e6).min(1.0));
        self.changed_us = Some(now_us);
        let may_decrease = now_us.saturating_sub(self.decreased_us) >= DECREASE_US;
        if (loss > LOSS_HIGH || queue) && may_decrease {
            let kept = if loss > LOSS_HIGH { 1.0 - 0.5 * f64::from(loss) } else { DECREASE };
            // From what was really in use: not above the receiver's estimate, and not far above what was sent.
            let used = self.bps.min(self.remb_bps(now_us).unwrap_or(f64::MAX));
            self.bps = self.sent_bps.map_or(used, |sent| sent.clamp(used * 0.5, used)) * kept;
            self.decreased_us = now_us;
        } else if loss <= LOSS_LOW && !queue {
            let limit = self.sent_bps.map_or(f64::MAX, |sent| sent * ABOVE_SENT + 10_000.0);
            self.bps = (self.bps * INCREASE.powf(elapsed_s) + 1_000.0 * elapsed_s).min(limit).max(self.bps);
        }
    }

    /// The receiver's own estimate came.
    pub(super) fn remb(&mut self, bps: u64, now_us: u64) {
        let bps = bps as f64;
        let first = self.remb.is_none();
        self.remb = Some(Remb { bps, at_us: now_us });
        if first {
            // It has seen arrival times, which nobody told us: begin where it says.
            self.bps = self.bps.max(bps);
        }
    }

    /// What may be sent when nothing else is known.
    pub(super) fn bps(&mut self, now_us: u64) -> f64 {
        let bound = self.remb_bps(now_us);
        // Under a receiver's estimate ours only guards against loss: it follows upwards at once when there is none.
        if let Some(bound) = bound
            && self.loss <= LOSS_LOW
            && now_us.saturating_sub(self.decreased_us) >= 2 * DECREASE_US
        {
            self.bps = self.bps.max(bound);
        }
        self.bps.min(bound.unwrap_or(f64::MAX))
    }

    /// The receiver's estimate, while it is young.
    pub(super) fn remb_bps(&self, now_us: u64) -> Option<f64> {
        self.remb.filter(|remb| now_us.saturating_sub(remb.at_us) < REMB_US).map(|remb| remb.bps)
    }

    /// A report or an estimate came after this moment.
    pub(super) fn came_after(&self, us: u64) -> bool {
        self.changed_us.is_some_and(|at| at > us) || self.remb.is_some_and(|remb| remb.at_us > us)
    }

    /// Share lost in the last report.
    pub(super) fn loss(&self) -> f32 {
        self.loss
    }

    /// Keeps up with what better feedback says, to go on from there should it end.
    pub(super) fn follow(&mut self, bps: f64) {
        self.bps = bps;
    }

    fn least_ms(&mut self, ms: f64, now_us: u64) -> f64 {
        let least = self.least_rtt.filter(|least| now_us.saturating_sub(least.at_us) < LEAST_US && least.ms <= ms);
        let least = least.unwrap_or(Least { ms, at_us: now_us });
        self.least_rtt = Some(least);
        least.ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bps` for a second from `second` on, in packets of 1,000 bytes.
    fn send(reports: &mut Reports, bps: f64, second: u64) {
        let packets = (bps / 8_000.0) as u64;
        for n in 0..packets {
            reports.sent(1_000, second * 1_000_000 + n * 1_000_000 / packets);
        }
    }

    #[test]
    fn without_loss_it_rises_and_with_loss_it_falls() {
        let mut reports = Reports::new(300_000.0);
        for second in 0..10 {
            let now_us = second * 1_000_000;
            let bps = reports.bps(now_us);
            send(&mut reports, bps, second);
            reports.report(0.0, Some(Duration::from_millis(50)), now_us);
        }
        let risen = reports.bps(10_000_000);
        assert!((550_000.0..700_000.0).contains(&risen), "{risen}");
        reports.report(0.2, Some(Duration::from_millis(50)), 11_000_000);
        assert!(reports.bps(11_000_000) < risen * 0.91);
    }

    #[test]
    fn a_round_trip_that_grows_is_a_queue() {
        let mut reports = Reports::new(1_000_000.0);
        reports.report(0.0, Some(Duration::from_millis(50)), 1_000_000);
        reports.report(0.0, Some(Duration::from_millis(400)), 2_000_000);
        assert!(reports.bps(2_000_000) <= 850_000.0);
    }

    #[test]
    fn the_receivers_estimate_is_followed_up_and_down() {
        let mut reports = Reports::new(300_000.0);
        reports.remb(2_000_000, 5_000_000);
        assert_eq!(reports.bps(5_000_000), 2_000_000.0);
        reports.remb(400_000, 6_000_000);
        assert_eq!(reports.bps(6_000_000), 400_000.0);
        reports.remb(1_500_000, 7_000_000);
        assert_eq!(reports.bps(7_000_000), 1_500_000.0);
        reports.report(0.3, None, 8_000_000);
        assert!(reports.bps(8_000_000) < 1_300_000.0, "loss that it does not see");
    }
}
