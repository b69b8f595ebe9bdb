//! How fast one socket may speak: a token bucket.

use std::time::{Duration, Instant};

/// Refills steadily, spends one by one.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    /// Full at the start.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second: f64::from(per_second), burst: f64::from(burst), left: f64::from(burst), filled: now }
    }

    /// Whether one more is allowed now. A refused one costs nothing.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.left = (self.left + passed.as_secs_f64() * self.per_second).min(self.burst);
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        let taken = |bucket: &mut Bucket, at_ms: u64, tries: usize| {
            (0..tries).filter(|_| bucket.take(start + Duration::from_millis(at_ms))).count()
        };
        assert_eq!(taken(&mut bucket, 0, 10), 3, "the burst");
        assert_eq!(taken(&mut bucket, 250, 10), 2, "what a quarter of a second brought");
        assert_eq!(taken(&mut bucket, 60_000, 10), 3, "never more than the burst");
        assert_eq!(taken(&mut bucket, 0, 10), 0, "a clock that went back brings nothing");
    }
}
