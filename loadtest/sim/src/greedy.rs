//! A flow that takes what it can get, as TCP does: Reno (RFC 5681) or CUBIC (RFC 9438) with selective acknowledgements and paced by
//! them; nothing is sent again, as nobody reads it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// A segment per round trip.
    Reno,
    /// A cubic function of the time since the last loss.
    Cubic,
}

/// The sender. Its owner carries segments to the other side and acknowledgements back.
#[derive(Debug)]
pub struct Greedy {
    growth: Growth,
    window: f64,
    threshold: f64,
    /// When each segment under way was sent.
    underway: BTreeMap<u64, Instant>,
    next: u64,
    highest_acked: u64,
    /// Losses of segments sent before this one belong to the congestion already answered.
    recovered_from: u64,
    rtt: Option<Duration>,
    heard: Instant,
    cubic: Option<Cubic>,
}

#[derive(Debug, Clone, Copy)]
struct Cubic {
    window_max: f64,
    since: Instant,
}

impl Greedy {
    /// A flow that begins now, with ten segments (RFC 6928).
    #[must_use]
    pub fn new(growth: Growth, now: Instant) -> Self {
        Self {
            growth,
            window: 10.0,
            threshold: f64::MAX,
            underway: BTreeMap::new(),
            next: 1,
            highest_acked: 0,
            recovered_from: 0,
            rtt: None,
            heard: now,
            cubic: None,
        }
    }

    /// This segment arrived at the other side.
    pub fn acknowledged(&mut self, segment: u64, now: Instant) {
        self.heard = now;
        let Some(sent) = self.underway.remove(&segment) else { return };
        let sample = now.saturating_duration_since(sent);
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
        self.highest_acked = self.highest_acked.max(segment);
        // Three later ones arrived: it is lost.
        let lost: Vec<u64> = self.underway.range(..self.highest_acked.saturating_sub(2)).map(|(n, _)| *n).collect();
        for segment in lost {
            self.underway.remove(&segment);
            if segment > self.recovered_from {
                self.recovered_from = self.next - 1;
                self.shrink(now);
            }
        }
        self.grow(now);
    }

    /// The next segment to send now, [`SEGMENT_BYTES`] long.
    pub fn poll(&mut self, now: Instant) -> Option<u64> {
        if self.underway.len() as f64 >= self.window.floor() {
            return None;
        }
        let segment = self.next;
        self.next += 1;
        self.underway.insert(segment, now);
        Some(segment)
    }

    /// Time passed: nothing heard for long means that everything is lost (RFC 6298).
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.heard = now;
            self.underway.clear();
            self.shrink(now);
            self.window = 1.0;
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let patience = self.rtt.map_or(TIMEOUT_MIN, |rtt| (rtt * 2).max(TIMEOUT_MIN));
        (!self.underway.is_empty()).then_some(self.heard + patience)
    }

    fn shrink(&mut self, now: Instant) {
        let kept = if self.growth == Growth::Reno { 0.5 } else { CUBIC_KEPT };
        self.cubic = Some(Cubic { window_max: self.window, since: now });
        self.window = (self.window * kept).max(2.0);
        self.threshold = self.window;
    }

    fn grow(&mut self, now: Instant) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let reno = self.window + 1.0 / self.window;
        self.window = match (self.growth, self.cubic) {
            (Growth::Cubic, Some(cubic)) => {
                let k = (cubic.window_max * (1.0 - CUBIC_KEPT) / CUBIC_C).cbrt();
                let t = now.saturating_duration_since(cubic.since).as_secs_f64();
                let aim = cubic.window_max + CUBIC_C * (t - k).powi(3);
                // At most half as much again per round trip (RFC 9438 §4.4), and never slower than Reno.
                (self.window + ((aim - self.window) / self.window).clamp(0.0, 0.5)).max(reno)
            }
            _ => reno,
        };
    }
}

/// Bytes of a segment on the wire.
pub const SEGMENT_BYTES: usize = 1_500;
/// RFC 6298 §2.4.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// RFC 9438 §4.6 and §5.
const CUBIC_KEPT: f64 = 0.7;
const CUBIC_C: f64 = 0.4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Link, Shape};

    /// Alone on a link it fills it, whatever the growth.
    #[test]
    fn alone_it_takes_the_whole_link() {
        for growth in [Growth::Reno, Growth::Cubic] {
            let zero = Instant::now();
            let half = Duration::from_millis(25);
            let mut link = Link::new(Shape::narrow(2_000_000, Duration::from_millis(100), half), 1, zero);
            let mut back: Link<u64> = Link::new(Shape::free(half), 2, zero);
            let mut flow = Greedy::new(growth, zero);
            let mut now = zero;
            while now < zero + Duration::from_secs(30) {
                now += Duration::from_millis(1);
                while let Some((at, segment)) = link.take_due(now) {
                    back.send(40, segment, at).unwrap();
                }
                while let Some((at, segment)) = back.take_due(now) {
                    flow.acknowledged(segment, at);
                }
                flow.handle_timeout(now);
                while let Some(segment) = flow.poll(now) {
                    let _ = link.send(SEGMENT_BYTES, segment, now);
                }
            }
            let bps = link.passed().delivered_bytes * 8 / 30;
            assert!((1_800_000..=2_000_000).contains(&bps), "{growth:?}: {bps}");
            assert!(link.passed().queue_full > 3, "it finds the limit by losses");
        }
    }
}
