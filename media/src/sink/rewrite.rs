//! Timestamps of one segment turned into the subscriber's, and the arithmetic of clocks.

use std::time::{Duration, Instant};

/// How the timestamps of one segment become the subscriber's.
///
/// ```text
///   in     key ───────────── edge ──────▶      edge: the newest packet when a replay began, or the first packet
///   out         ░key─edge ──────────────▶      before the edge 32 times as fast, after it as they are
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Times {
    edge_in: u32,
    edge_out: u32,
    at: Instant,
    hz: u32,
    replay: bool,
}

impl Times {
    /// Timestamp `edge_in`, from the moment `at`, becomes `edge_out`.
    #[must_use]
    pub fn new(edge_in: u32, edge_out: u32, at: Instant, hz: u32, replay: bool) -> Self {
        Self { edge_in, edge_out, at, hz, replay }
    }

    /// What a timestamp becomes.
    #[inline]
    #[must_use]
    pub fn out(&self, timestamp: u32) -> u32 {
        let ahead = timestamp.wrapping_sub(self.edge_in);
        if self.replay && (ahead as i32) < 0 {
            return self.edge_out.wrapping_sub(Self::squeeze(ahead.wrapping_neg()));
        }
        self.edge_out.wrapping_add(ahead)
    }

    /// What a distance before the edge shrinks to.
    #[must_use]
    pub fn squeeze(ticks: u32) -> u32 {
        ticks.div_ceil(SQUEEZE)
    }

    /// The moment a timestamp is from, by this segment's beginning alone.
    #[must_use]
    pub fn moment(&self, timestamp: u32) -> Instant {
        let ahead = timestamp.wrapping_sub(self.edge_in) as i32;
        let distance =
            Duration::from_nanos(u64::from(ahead.unsigned_abs()) * 1_000_000_000 / u64::from(self.hz.max(1)));
        if ahead >= 0 { self.at + distance } else { self.at.checked_sub(distance).unwrap_or(self.at) }
    }

    /// Ticks per second.
    #[must_use]
    pub fn hz(&self) -> u32 {
        self.hz
    }
}

/// The timestamp of moment `to`, when `timestamp` is from moment `from`.
#[must_use]
pub fn advance(timestamp: u32, from: Instant, to: Instant, hz: u32) -> u32 {
    match to.checked_duration_since(from) {
        Some(ahead) => timestamp.wrapping_add(ticks(ahead, hz)),
        None => timestamp.wrapping_sub(ticks(from.duration_since(to), hz)),
    }
}

/// A duration in ticks, rounded to the nearest, wrapping as timestamps do.
#[must_use]
pub fn ticks(duration: Duration, hz: u32) -> u32 {
    let nanos = u128::from(hz) * duration.as_nanos();
    ((nanos + 500_000_000) / 1_000_000_000) as u32
}

/// Replayed pictures run this much faster: two seconds become 63 ms, and pictures at 60 per second still have 46 ticks between them.
const SQUEEZE: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_times_are_moved_and_replayed_ones_squeezed() {
        let t = Instant::now();
        let live = Times::new(u32::MAX, 1_000, t, 90_000, false);
        assert_eq!([live.out(u32::MAX), live.out(2_999), live.out(u32::MAX - 10)], [1_000, 4_000, 990]);
        let replay = Times::new(90_000, 5_000, t, 90_000, true);
        assert_eq!([replay.out(90_000), replay.out(93_000), replay.out(0)], [5_000, 8_000, 5_000 - 2_813]);
        let mut last = replay.out(0);
        for timestamp in (1_500..=180_000).step_by(1_500) {
            let out = replay.out(timestamp);
            assert!(out > last, "always forward");
            last = out;
        }
        assert_eq!(replay.moment(0), t.checked_sub(Duration::from_secs(1)).unwrap());
    }

    #[test]
    fn clocks_advance_and_go_back() {
        let t = Instant::now();
        let later = t + Duration::from_millis(20);
        assert_eq!(advance(u32::MAX, t, later, 48_000), 959);
        assert_eq!(advance(959, later, t, 48_000), u32::MAX);
    }
}
