//! How long packets wait in the network: transit times above the least one known.
//!
//! The least is taken over the last [`WINDOW_US`] to twice that, so that two clocks drifting apart (or another route) do not
//! show as a queue for ever.

/// Half of what is looked back on at most, in µs.
const WINDOW_US: u64 = 10_000_000;

/// Least transit times.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Least of the window under way and of the one before.
    least: Option<[i64; 2]>,
    since_us: u64,
    /// Time waited by the newest group, µs.
    wait_us: i64,
}

impl Queue {
    /// A group was in transit for so long.
    pub(super) fn transit(&mut self, transit_us: i64, sent_us: u64) {
        let [current, before] = self.least.unwrap_or([transit_us; 2]);
        let turned = sent_us.saturating_sub(self.since_us) >= WINDOW_US;
        let (current, before) = if turned { (transit_us, current) } else { (current.min(transit_us), before) };
        if turned {
            self.since_us = sent_us;
        }
        self.least = Some([current, before]);
        self.wait_us = transit_us - current.min(before);
    }

    /// What the newest group waited, in ms.
    pub(super) fn wait_ms(&self) -> f64 {
        self.wait_us as f64 / 1_000.0
    }

    /// The peer's clock is another now.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }
}
