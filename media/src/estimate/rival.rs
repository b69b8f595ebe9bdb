//! Whether somebody else keeps the queue full.
//!
//! A queue of our own making goes away when we send less. One that stays and grows again and again, although each time less of
//! ours gets through than the time before, is kept up by a flow that knows losses only (TCP); stepping back further would leave it
//! everything. Until the queue is seen empty again, losses and not delays tell us to send less.

/// A queue shorter than this is not kept up by anybody, in ms: enough to notice one …
const SHORT_MS: f64 = 40.0;
/// … and an end of it.
const GONE_MS: f64 = 15.0;
/// It has to stay for this long, in µs: what we can have caused ourselves is drained by then.
const STAYS_US: u64 = 3_000_000;
/// Or, if we have little left to lose, for this long: by then a longer way has been noticed (see `queue`).
const STAYS_LONG_US: u64 = 6_000_000;
/// If what gets through, averaged over this time in µs, stays within this factor for so long in µs although we sent less in the meantime
/// this often, the queue is our own after all: beside somebody, sending less is getting less.
const AVERAGE_US: f64 = 1_500_000.0;
const ALONE_WITHIN: f64 = 1.10;
const ALONE_US: u64 = 10_000_000;
const ALONE_CUTS: u32 = 2;
/// And in the meantime we have to have stepped back so often, …
const STEPS_BACK: u32 = 3;
/// … each time getting through less than this share of the time before. Alone on a link, what gets through is always the same.
const LESS: f64 = 0.95;

/// What is remembered of the queue.
#[derive(Debug, Default)]
pub(super) struct Rival {
    short_us: u64,
    /// Steps back in the meantime, and those in a row that left us less.
    steps_back: u32,
    steps_down: u32,
    arrived_bps: Option<f64>,
    /// Since when somebody is assumed to be there.
    since_us: Option<u64>,
    /// What gets through meanwhile: on average, and the bounds of that since a moment.
    mean_bps: f64,
    most_bps: f64,
    least_bps: f64,
    least_us: u64,
    cuts: u32,
    at_us: u64,
}

impl Rival {
    /// The queue is this long now, while a packet takes so long.
    pub(super) fn queue(&mut self, wait_ms: f64, packet_ms: f64, now_us: u64) {
        if wait_ms < packet_ms / 2.0 + if self.is_there() { GONE_MS } else { SHORT_MS } {
            *self = Self { short_us: now_us, ..Self::default() };
        }
        let stays_us = now_us.saturating_sub(self.short_us);
        let shrinking = self.steps_down >= STEPS_BACK && stays_us >= STAYS_US;
        if self.since_us.is_none() && (shrinking || (self.steps_back >= STEPS_BACK && stays_us >= STAYS_LONG_US)) {
            self.since_us = Some(now_us);
        }
        if let Some(since_us) = self.since_us
            && now_us.saturating_sub(since_us.max(self.least_us)) >= ALONE_US
        {
            // Nobody shares a link on which we always get the same.
            let alone = self.cuts >= ALONE_CUTS && self.most_bps < self.least_bps * ALONE_WITHIN;
            (self.cuts, self.least_us, self.most_bps, self.least_bps) = (0, now_us, self.mean_bps, self.mean_bps);
            if alone {
                *self = Self { short_us: now_us, ..Self::default() };
            }
        }
    }

    /// We step back because the queue grows, while so much gets through.
    pub(super) fn stepped_back(&mut self, arrived_bps: f64) {
        let less = self.arrived_bps.is_none_or(|before| arrived_bps < before * LESS);
        self.steps_back = self.steps_back.saturating_add(1);
        self.steps_down = if less { self.steps_down.saturating_add(1) } else { 1 };
        self.arrived_bps = Some(arrived_bps);
    }

    /// So much gets through while somebody is assumed to be there.
    pub(super) fn gets_through(&mut self, bps: f64, now_us: u64) {
        let weight = 1.0 - (-(now_us.saturating_sub(self.at_us) as f64) / AVERAGE_US).exp();
        self.at_us = now_us;
        self.mean_bps += (bps - self.mean_bps) * weight;
        self.most_bps = self.most_bps.max(self.mean_bps);
        self.least_bps = self.least_bps.min(self.mean_bps);
    }

    /// We sent less because something was lost.
    pub(super) fn cut(&mut self) {
        self.cuts += 1;
    }

    /// Somebody keeps the queue full.
    pub(super) fn is_there(&self) -> bool {
        self.since_us.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_stays_although_we_step_back_is_somebody_elses() {
        let mut rival = Rival::default();
        let mut seen = Vec::new();
        for second in 0..10_u64 {
            let wait_ms = if second < 7 { 120.0 } else { 5.0 };
            rival.stepped_back(1e6 * 0.9_f64.powi(second as i32));
            rival.queue(wait_ms, 0.0, second * 1_000_000);
            seen.push(rival.is_there());
        }
        assert_eq!(seen, [false, false, false, true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_way_that_became_longer_is_nobody() {
        let mut rival = Rival::default();
        for second in 0..5_u64 {
            // It takes `queue` three seconds to know; what gets through stays the same meanwhile.
            rival.stepped_back(100_000.0 + (second % 3) as f64 * 2_000.0);
            rival.queue(120.0, 0.0, second * 1_000_000);
            assert!(!rival.is_there(), "{second}");
        }
    }

    #[test]
    fn whoever_gets_the_same_whatever_he_sends_is_alone() {
        let there_after = |gets: fn(u64) -> f64| {
            let mut rival = Rival::default();
            for tenth in 0..400_u64 {
                if tenth < 100 && tenth % 10 == 0 {
                    rival.stepped_back(1e6 / (tenth + 1) as f64);
                }
                rival.queue(120.0, 0.0, tenth * 100_000);
                if rival.is_there() {
                    rival.gets_through(gets(tenth), tenth * 100_000);
                    if tenth % 30 == 0 {
                        rival.cut();
                    }
                }
            }
            rival.is_there()
        };
        assert!(there_after(|tenth| 300_000.0 + (tenth % 60) as f64 * 3_000.0), "a share that rises and falls");
        assert!(!there_after(|tenth| 300_000.0 + (tenth % 3) as f64 * 5_000.0), "all of a link");
    }

    #[test]
    fn a_queue_that_goes_when_we_step_back_was_ours() {
        let mut rival = Rival::default();
        for tenth in 0..600_u64 {
            // Grows for two seconds, is drained for two.
            let phase = tenth % 40;
            let wait_ms = if phase < 20 { phase as f64 * 10.0 } else { 400.0 - phase as f64 * 10.0 };
            if phase == 15 || phase == 18 {
                rival.stepped_back(1e6 / (tenth + 1) as f64);
            }
            rival.queue(wait_ms, 0.0, tenth * 100_000);
            assert!(!rival.is_there(), "{tenth}");
        }
    }
}
