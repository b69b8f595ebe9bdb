//! Whether somebody else keeps the queue full.
//!
//! A queue of our own making goes away when we send less. One that stays, although we have stepped back more than once, is kept up by
//! a flow that knows losses only (TCP); stepping back further would leave it everything. Until the queue is seen empty again,
//! losses and not delays tell us to send less.

/// A queue shorter than this is not kept up by anybody, in ms: enough to notice one …
const SHORT_MS: f64 = 40.0;
/// … and an end of it.
const GONE_MS: f64 = 15.0;
/// It has to stay for this long, in µs: what we can have caused ourselves is drained by then.
const STAYS_US: u64 = 2_500_000;
/// And we have to have stepped back this often in the meantime.
const STEPS_BACK: u32 = 2;

/// What is remembered of the queue.
#[derive(Debug, Default)]
pub(super) struct Rival {
    short_us: u64,
    steps_back: u32,
    there: bool,
}

impl Rival {
    /// The queue is this long now.
    pub(super) fn queue(&mut self, wait_ms: f64, now_us: u64) {
        if wait_ms < if self.there { GONE_MS } else { SHORT_MS } {
            *self = Self { short_us: now_us, ..Self::default() };
        }
        if self.steps_back >= STEPS_BACK && now_us.saturating_sub(self.short_us) >= STAYS_US {
            self.there = true;
        }
    }

    /// We step back because the queue grows.
    pub(super) fn stepped_back(&mut self) {
        self.steps_back = self.steps_back.saturating_add(1);
    }

    /// Somebody keeps the queue full.
    pub(super) fn is_there(&self) -> bool {
        self.there
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
            if second.is_multiple_of(2) && second > 0 {
                rival.stepped_back();
            }
            rival.queue(wait_ms, second * 1_000_000);
            seen.push(rival.is_there());
        }
        assert_eq!(seen, [false, false, false, false, true, true, true, false, false, false]);
    }

    #[test]
    fn a_queue_that_goes_when_we_step_back_was_ours() {
        let mut rival = Rival::default();
        for tenth in 0..600_u64 {
            // Grows for two seconds, is drained for two.
            let phase = tenth % 40;
            let wait_ms = if phase < 20 { phase as f64 * 10.0 } else { 400.0 - phase as f64 * 10.0 };
            if phase == 15 || phase == 18 {
                rival.stepped_back();
            }
            rival.queue(wait_ms, tenth * 100_000);
            assert!(!rival.is_there(), "{tenth}");
        }
    }
}
