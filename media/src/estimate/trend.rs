//! Whether a queue grows: the slope of the transit times against an adaptive threshold (Carlucci et al., "Analysis and Design of
//! the Google Congestion Control for WebRTC", 2016).
//!
//! The slope is that of a least-squares line through the levels of the last groups. The threshold follows it slowly, so that a flow that fills
//! queues (TCP) does not push us aside, and jitter that belongs to the path is not taken for a queue.

use crate::fetch::{fetch, fetch_all};
/// What the transit times say of the way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// A queue drains.
    Under,
    /// Nothing changes.
    #[default]
    Normal,
    /// A queue grows: more is sent than the way carries.
    Over,
}

/// Groups in the window: a fifth of a second of bursts every 10 ms.
const SAMPLES: usize = 20;
/// Fewer than this tell no slope …
const SAMPLES_MIN: usize = 6;
/// … and older ones are left out, in ms, while enough are left.
const WINDOW_MS: f64 = 600.0;
/// Slope (ms per ms) to the scale of the threshold: the gain of the original for sixty groups and more.
const GAIN: f64 = 4.0;
/// Groups after which the slope counts in full.
const GROUPS_FULL: u32 = 60;
/// Threshold at the beginning and its bounds.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast the threshold falls towards a smaller slope and rises towards a larger one, per ms.
const FALL: f64 = 0.039;
const RISE: f64 = 0.0087;
/// A slope that is further above the threshold than this is an event, not a property of the path.
const ADAPT_WITHIN: f64 = 15.0;
/// The slope has to stay above the threshold this long, in ms, and for two groups.
const OVER_MS: f64 = 10.0;
/// Below this there is no queue worth the name, in ms: timers and radios make as much; nor below the time of a packet.
const WAIT_MIN_MS: f64 = 8.0;
/// Nor below so many times what the level moves anyway, averaged with this weight per group.
const UNREST_TIMES: f64 = 4.0;
const UNREST: f64 = 1.0 / 32.0;

/// The window and the threshold.
#[derive(Debug)]
pub(super) struct Trend {
    samples: [Sample; SAMPLES],
    len: usize,
    groups: u32,
    origin_us: i64,
    last_ms: Option<f64>,
    threshold: f64,
    over_ms: f64,
    over_groups: u32,
    slope_before: f64,
    /// How much the level usually moves from one group to the next, in ms.
    unrest_ms: f64,
    usage: Usage,
}

/// A group, as the queue saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) sent_us: u64,
    /// What the queue does to packets, on an arbitrary scale.
    pub(super) level_us: i64,
    /// How long packets wait.
    pub(super) wait_ms: f64,
    /// How long one packet takes at the present rate.
    pub(super) packet_ms: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    sent_ms: f64,
    level_ms: f64,
}

impl Trend {
    /// Asks for what a group needs.
    pub(super) fn fetch(&self) {
        fetch_all(&self.samples);
        fetch(&self.origin_us);
        fetch(&self.unrest_ms);
    }

    pub(super) fn new() -> Self {
        Self {
            samples: [Sample::default(); SAMPLES],
            len: 0,
            groups: 0,
            origin_us: 0,
            last_ms: None,
            threshold: THRESHOLD,
            over_ms: 0.0,
            over_groups: 0,
            slope_before: 0.0,
            unrest_ms: 0.0,
            usage: Usage::Normal,
        }
    }

    /// A group arrived.
    pub(super) fn push(&mut self, group: &Observed) {
        if self.last_ms.is_none() {
            self.origin_us = group.level_us;
        }
        let sent_ms = group.sent_us as f64 / 1_000.0;
        let elapsed_ms = self.last_ms.map_or(0.0, |last| (sent_ms - last).max(0.0));
        self.last_ms = Some(sent_ms);
        self.groups = self.groups.saturating_add(1);
        let level_ms = (group.level_us - self.origin_us) as f64 / 1_000.0;
        if let Some(before) = self.len.checked_sub(1).and_then(|last| self.samples.get(last)) {
            self.unrest_ms += ((level_ms - before.level_ms).abs() - self.unrest_ms) * UNREST;
        }
        self.keep(Sample { sent_ms, level_ms });
        if let Some(slope) = self.slope() {
            self.detect(slope, elapsed_ms, group);
        }
    }

    /// What the newest group says.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// When the group left after which the transit times only rose: since then the bottleneck has been busy.
    pub(super) fn busy_since_us(&self) -> Option<u64> {
        let window = self.samples.get(..self.len)?;
        let least = window.iter().rev().min_by(|a, b| a.level_ms.total_cmp(&b.level_ms))?;
        Some((least.sent_ms * 1_000.0) as u64)
    }

    /// The peer's clock is another now, or nothing was heard for long.
    pub(super) fn restart(&mut self) {
        *self = Self { threshold: self.threshold, groups: self.groups, ..Self::new() };
    }

    fn keep(&mut self, sample: Sample) {
        let old = self.samples[..self.len].iter().take_while(|s| sample.sent_ms - s.sent_ms > WINDOW_MS).count();
        let full = usize::from(self.len == SAMPLES);
        let out = old.min(self.len.saturating_sub(SAMPLES_MIN - 1)).max(full);
        self.samples.copy_within(out..self.len, 0);
        self.len -= out;
        self.samples[self.len] = sample;
        self.len += 1;
    }

    fn slope(&self) -> Option<f64> {
        let window = self.samples.get(..self.len).filter(|window| window.len() >= SAMPLES_MIN)?;
        let n = window.len() as f64;
        let first = window.first()?.sent_ms;
        let x_mean = window.iter().map(|s| s.sent_ms - first).sum::<f64>() / n;
        let y_mean = window.iter().map(|s| s.level_ms).sum::<f64>() / n;
        let (mut above, mut below) = (0.0, 0.0);
        for sample in window {
            let x = sample.sent_ms - first - x_mean;
            above += x * (sample.level_ms - y_mean);
            below += x * x;
        }
        (below > 0.0).then(|| above / below)
    }

    fn detect(&mut self, slope: f64, elapsed_ms: f64, group: &Observed) {
        let scaled = slope * f64::from(self.groups.min(GROUPS_FULL)) * GAIN;
        if scaled > self.threshold {
            self.over_ms += elapsed_ms;
            self.over_groups += 1;
            // A slope that falls again is a queue that will drain by itself.
            let lasting = self.over_ms > OVER_MS && self.over_groups > 1 && slope >= self.slope_before;
            let noise_ms = WAIT_MIN_MS.max(group.packet_ms).max(self.unrest_ms * UNREST_TIMES);
            if lasting && group.wait_ms > noise_ms {
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_groups) = (0.0, 0);
            self.usage = if scaled < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.slope_before = slope;
        let size = scaled.abs();
        if size < self.threshold + ADAPT_WITHIN {
            let speed = if size < self.threshold { FALL } else { RISE };
            let step = speed * (size - self.threshold) * elapsed_ms.min(100.0);
            self.threshold = (self.threshold + step).clamp(THRESHOLD_MIN, THRESHOLD_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(sent_us: u64, wait_ms: f64) -> Observed {
        let level_us = 50_000 + (wait_ms * 1_000.0) as i64;
        Observed { sent_us, level_us, wait_ms, packet_ms: 5.0 }
    }

    /// Feeds groups every 20 ms with these waits, and says when (in groups) overuse was seen first.
    fn first_over(waits: impl Iterator<Item = f64>) -> Option<usize> {
        let mut trend = Trend::new();
        waits.enumerate().find_map(|(n, wait_ms)| {
            trend.push(&group(n as u64 * 20_000, wait_ms));
            (trend.usage() == Usage::Over).then_some(n)
        })
    }

    #[test]
    fn a_queue_that_grows_is_seen_within_ten_groups() {
        // Twice the capacity: 20 ms of queue every 20 ms.
        let waits = (0..200).map(|n| if n < 100 { 0.0 } else { f64::from(n - 100) * 20.0 });
        let seen = first_over(waits).unwrap();
        assert!((100..110).contains(&seen), "{seen}");
    }

    #[test]
    fn jitter_around_a_mean_is_no_queue() {
        let waits = (0..2_000).map(|n: i64| ((n * 7_919) % 13) as f64);
        assert_eq!(first_over(waits), None);
    }

    #[test]
    fn the_bottleneck_is_busy_since_the_queue_began_to_grow() {
        let mut trend = Trend::new();
        for n in 0..60_u64 {
            let wait = n.saturating_sub(50) * 10_000;
            trend.push(&group(n * 20_000, wait as f64 / 1_000.0));
        }
        assert_eq!(trend.busy_since_us(), Some(50 * 20_000));
    }
}
