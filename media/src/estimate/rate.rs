//! From "a queue grows" to a rate: additive or multiplicative increase, multiplicative decrease (AIMD), and what the link was
//! last seen to carry.
//!
//! ```text
//!   rate   ╱│    ╱│            far from any known capacity: 8 % a second
//!         ╱ │  ╱‾ │  ╱‾‾│      near it: about a packet per round trip
//!        ╱  │_╱   │_╱   │_     a queue grows: 0.85 of what arrives, then back up once the queue is gone
//! ```

use super::rival::Rival;
use super::trend::Usage;

/// What is left of the measured capacity when a queue grows: the rest drains it.
const DECREASE: f64 = 0.85;
/// At most this much at once: a moment may mislead, a second feedback does not.
const DECREASE_MOST: f64 = 0.5;
/// Once the queue has drained: nearly all of what arrived while it was there.
const RESTORE: f64 = 0.92;
/// Increase per second far from any known capacity.
const INCREASE: f64 = 1.08;
/// No more than this much above what arrives, and a constant on top: otherwise the rate runs away from what was ever tried.
const ABOVE_ARRIVED: f64 = 1.5;
const ABOVE_ARRIVED_BPS: f64 = 10_000.0;
/// Slowest increase near the capacity, in bits per second per second.
const ADDITIVE_MIN_BPS: f64 = 4_000.0;
/// Bytes of a packet and pictures per second that "a packet per round trip" reckons with.
const PACKET_BYTES: f64 = 1_200.0;
const PICTURES: f64 = 30.0;
/// In ms; 100 kbit/s.
const PACKET_MS_MOST: f64 = 100.0;
/// A response takes a round trip and a feedback interval, in ms.
const RESPONSE_MS: f64 = 100.0;
/// Two decreases lie this far apart, bounded in ms: a shorter time would punish the same queue twice.
const AGAIN_MS: (f64, f64) = (100.0, 400.0);
/// A queue that is at least this long is drained actively, in ms.
const DRAIN_FROM_MS: f64 = 40.0;
/// And below this it is gone, in ms.
const DRAINED_MS: f64 = 20.0;
/// Of the rate, at most this share is held back to drain; it is reached with this much queue, in ms.
const DRAIN_MOST: f64 = 0.45;
const DRAIN_FULL_MS: f64 = 500.0;
/// Draining that does not help within this time is given up, in µs: the queue is somebody else's.
const DRAIN_US: u64 = 3_000_000;
/// Then it is not tried again for so long, in µs.
const DRAIN_PAUSE_US: u64 = 5_000_000;

/// A queue longer than this is too long even when it does not grow, in ms …
const STANDING_MS: f64 = 120.0;
/// … if it is still there so long after the last decrease, in µs.
const STANDING_US: u64 = 1_000_000;
/// What is kept after a loss while somebody else keeps the queue full: more than Reno's half, as our packets are not sent again.
const COMPETE_KEPT: f64 = 0.75;

/// The rate that transit times allow.
#[derive(Debug)]
pub(super) struct Rate {
    bps: f64,
    changed_us: u64,
    decreased_us: Option<u64>,
    /// Waiting for the queue to go before rising again.
    holds: bool,
    capacity: Capacity,
    drain: Option<Drain>,
    no_drain_until_us: u64,
    rival: Rival,
}

#[derive(Debug, Clone, Copy)]
struct Drain {
    until_us: u64,
    wait_ms: f64,
}

/// What is known when the rate is reconsidered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) usage: Usage,
    /// What arrives, bits per second.
    pub(super) arrived_bps: Option<f64>,
    /// What arrived while the bottleneck was busy.
    pub(super) busy_bps: Option<f64>,
    pub(super) rtt_ms: f64,
    /// Queue in the network, in ms.
    pub(super) wait_ms: f64,
    /// Less is sent than allowed.
    pub(super) limited: bool,
    /// Packets were lost since the last time.
    pub(super) lost: bool,
    pub(super) us: u64,
}

impl Rate {
    pub(super) fn new(bps: f64, now_us: u64) -> Self {
        Self {
            bps,
            changed_us: now_us,
            decreased_us: None,
            holds: false,
            capacity: Capacity::default(),
            drain: None,
            no_drain_until_us: 0,
            rival: Rival::default(),
        }
    }

    /// Feedback was taken in. Returns the rate before, when it fell.
    pub(super) fn update(&mut self, now: &Now) -> Option<f64> {
        let before = self.bps;
        self.rival.queue(now.wait_ms, packet_ms(self.bps), now.us);
        let standing = now.wait_ms > STANDING_MS + packet_ms(self.bps) && now.usage != Usage::Under;
        if self.rival.is_there() {
            self.compete(now);
        } else if now.usage == Usage::Over || (standing && self.may_decrease_standing(now)) {
            if self.may_decrease(now) {
                self.decrease(now);
            }
        } else if now.usage == Usage::Under {
            self.holds = true;
        } else if !standing {
            self.rise(now);
        }
        self.watch_drain(now);
        self.changed_us = now.us;
        (self.bps < before).then_some(before)
    }

    /// Whether it ever fell.
    pub(super) fn has_fallen(&self) -> bool {
        self.decreased_us.is_some()
    }

    /// What may be sent.
    pub(super) fn bps(&self) -> f64 {
        self.bps
    }

    /// Which share of the rate should be sent for the moment: less while a queue drains.
    pub(super) fn share(&self) -> f64 {
        let Some(drain) = self.drain else { return 1.0 };
        let queue = (drain.wait_ms - DRAINED_MS).max(0.0) / (DRAIN_FULL_MS - DRAINED_MS);
        1.0 - DRAIN_MOST * queue.min(1.0)
    }

    /// A probe got this much through, or something else is known for sure.
    pub(super) fn set(&mut self, bps: f64, now_us: u64) {
        self.bps = bps;
        self.changed_us = now_us;
        if self.capacity.most().is_some_and(|most| bps > most) {
            self.capacity = Capacity::default();
        }
    }

    fn may_decrease(&self, now: &Now) -> bool {
        let Some(at) = self.decreased_us else { return true };
        let elapsed_ms = now.us.saturating_sub(at) as f64 / 1_000.0;
        let far_off = now.busy_bps.is_some_and(|busy| busy < self.bps * 0.5);
        elapsed_ms >= now.rtt_ms.clamp(AGAIN_MS.0, AGAIN_MS.1) || (far_off && elapsed_ms >= AGAIN_MS.0)
    }

    /// A queue that neither grows nor goes is too long all the same; it is given time to go.
    fn may_decrease_standing(&self, now: &Now) -> bool {
        self.decreased_us.is_none_or(|at| now.us.saturating_sub(at) >= STANDING_US)
    }

    /// Against a flow that fills the queue: its own rules, a little milder.
    fn compete(&mut self, now: &Now) {
        self.drain = None;
        if let Some(arrives) = now.arrived_bps {
            self.rival.gets_through(arrives, now.us);
        }
        let again_us = ((now.rtt_ms + RESPONSE_MS) * 1_000.0) as u64;
        let lately = self.decreased_us.is_some_and(|at| now.us.saturating_sub(at) < again_us);
        if now.lost && !lately {
            self.bps *= COMPETE_KEPT;
            self.rival.cut();
            self.decreased_us = Some(now.us);
        } else if !now.lost {
            let elapsed_s = (now.us.saturating_sub(self.changed_us) as f64 / 1e6).min(1.0);
            let step = PACKET_BYTES * 8.0 * 1_000.0 / now.rtt_ms.max(50.0);
            self.raise(self.bps + step * elapsed_s, now);
        }
    }

    fn decrease(&mut self, now: &Now) {
        let arrives = now.busy_bps.or(now.arrived_bps);
        let to = match arrives {
            // Little is sent: what arrives is not what could.
            Some(arrives) if now.limited => DECREASE * arrives.max(self.bps),
            Some(arrives) => DECREASE * arrives,
            None => self.bps / 2.0,
        };
        if let Some(arrives) = arrives
            && !now.limited
        {
            self.capacity.seen(arrives);
        }
        self.bps = self.bps.min(to.max(self.bps * DECREASE_MOST));
        self.decreased_us = Some(now.us);
        self.holds = true;
        self.rival.stepped_back(arrives.unwrap_or(self.bps));
        if self.drain.is_none() && now.wait_ms > DRAIN_FROM_MS && now.us >= self.no_drain_until_us {
            self.drain = Some(Drain { until_us: now.us + DRAIN_US, wait_ms: now.wait_ms });
        }
    }

    fn rise(&mut self, now: &Now) {
        if self.holds {
            // One round trip for what is under way.
            let waited_us = self.decreased_us.map_or(u64::MAX, |at| now.us.saturating_sub(at));
            self.holds = waited_us < (now.rtt_ms * 1_000.0) as u64;
            if !self.holds && now.wait_ms < DRAINED_MS + packet_ms(self.bps) / 2.0 {
                self.restore(now);
            }
            return;
        }
        let elapsed_s = (now.us.saturating_sub(self.changed_us) as f64 / 1e6).min(1.0);
        if let (Some(arrives), Some(most)) = (now.arrived_bps, self.capacity.most())
            && arrives > most
        {
            self.capacity = Capacity::default();
        }
        let to = if self.capacity.bps.is_some() {
            self.bps + self.additive_bps(now.rtt_ms) * elapsed_s
        } else {
            self.bps * INCREASE.powf(elapsed_s) + 1_000.0 * elapsed_s
        };
        self.raise(to, now);
    }

    fn raise(&mut self, to: f64, now: &Now) {
        let limit = now.arrived_bps.map_or(f64::MAX, |arrives| arrives * ABOVE_ARRIVED + ABOVE_ARRIVED_BPS);
        self.bps = to.min(limit).max(self.bps);
    }

    /// The queue is gone: back to nearly what the bottleneck was seen to carry.
    fn restore(&mut self, now: &Now) {
        if let Some(capacity) = self.capacity.bps
            && !now.limited
        {
            self.bps = self.bps.max(RESTORE * capacity.min(self.capacity.last));
        }
    }

    fn additive_bps(&self, rtt_ms: f64) -> f64 {
        let picture_bits = self.bps / PICTURES;
        let packets = (picture_bits / (PACKET_BYTES * 8.0)).ceil().max(1.0);
        (picture_bits / packets * 1_000.0 / (rtt_ms + RESPONSE_MS)).max(ADDITIVE_MIN_BPS)
    }

    fn watch_drain(&mut self, now: &Now) {
        let Some(drain) = &mut self.drain else { return };
        drain.wait_ms = now.wait_ms;
        if now.wait_ms < DRAINED_MS + packet_ms(self.bps) / 2.0 {
            self.drain = None;
        } else if now.us >= drain.until_us {
            self.drain = None;
            self.no_drain_until_us = now.us + DRAIN_PAUSE_US;
        }
    }
}

/// How long a packet takes at this rate: what a wait is compared with, so that very low rates do not hide any queue.
pub(super) fn packet_ms(bps: f64) -> f64 {
    (PACKET_BYTES * 8_000.0 / bps.max(1_000.0)).min(PACKET_MS_MOST)
}

/// What the link carried when a queue grew: a smoothed value and its spread.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    bps: Option<f64>,
    last: f64,
    /// Variance in units of the value itself, as the original keeps it (kbit/s).
    spread: f64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { bps: None, last: 0.0, spread: 0.4 }
    }
}

impl Capacity {
    const SMOOTH: f64 = 0.05;

    fn seen(&mut self, bps: f64) {
        if self.least().is_some_and(|least| bps < least) {
            *self = Self::default();
        }
        let before = self.bps.unwrap_or(bps);
        let after = before + (bps - before) * Self::SMOOTH;
        let error = (after - bps) / 1_000.0;
        let kbps = (after / 1_000.0).max(1.0);
        self.spread = ((1.0 - Self::SMOOTH) * self.spread + Self::SMOOTH * error * error / kbps).clamp(0.4, 2.5);
        (self.bps, self.last) = (Some(after), bps);
    }

    /// Three standard deviations above: more than this arriving is another link.
    fn most(&self) -> Option<f64> {
        self.bps.map(|bps| bps + 3.0 * self.deviation_bps(bps))
    }

    fn least(&self) -> Option<f64> {
        self.bps.map(|bps| bps - 3.0 * self.deviation_bps(bps))
    }

    fn deviation_bps(&self, bps: f64) -> f64 {
        (self.spread * bps / 1_000.0).sqrt() * 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(usage: Usage, arrives: f64, ms: u64) -> Now {
        let arrived_bps = Some(arrives);
        Now {
            usage,
            arrived_bps,
            busy_bps: None,
            rtt_ms: 100.0,
            wait_ms: 0.0,
            limited: false,
            lost: false,
            us: ms * 1_000,
        }
    }

    #[test]
    fn without_a_known_capacity_it_rises_by_eight_per_cent_a_second() {
        let mut rate = Rate::new(500_000.0, 0);
        for n in 1..=100 {
            rate.update(&now(Usage::Normal, 1e6, n * 100));
        }
        let expected = 500_000.0 * 1.08_f64.powi(10);
        assert!((expected..expected * 1.03).contains(&rate.bps()), "{}", rate.bps());
    }

    #[test]
    fn a_queue_takes_it_below_what_arrives_and_then_it_goes_slowly() {
        let mut rate = Rate::new(1_000_000.0, 0);
        assert_eq!(rate.update(&now(Usage::Over, 600_000.0, 100)), Some(1_000_000.0));
        assert_eq!(rate.bps(), 510_000.0);
        assert_eq!(rate.update(&now(Usage::Over, 600_000.0, 150)), None, "the same queue");
        for n in 1..=20 {
            rate.update(&now(Usage::Normal, 540_000.0, 200 + n * 100));
        }
        // Back to 0.92 once the queue was gone, then additive.
        assert!((552_000.0..640_000.0).contains(&rate.bps()), "{}", rate.bps());
    }

    #[test]
    fn a_sender_with_little_to_send_does_not_fall_to_that_little() {
        let mut rate = Rate::new(2_000_000.0, 0);
        let mut little = now(Usage::Over, 40_000.0, 100);
        little.limited = true;
        rate.update(&little);
        assert_eq!(rate.bps(), 1_700_000.0);
    }

    #[test]
    fn it_does_not_run_away_from_what_arrives() {
        let mut rate = Rate::new(500_000.0, 0);
        for n in 1..=600 {
            rate.update(&now(Usage::Normal, 400_000.0, n * 100));
        }
        assert_eq!(rate.bps(), 610_000.0);
    }
}
