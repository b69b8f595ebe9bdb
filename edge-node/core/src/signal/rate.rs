//! How fast a client may talk: token buckets, and when a flood is the end.

use std::time::{Duration, Instant};

/// Messages a client may send per second, over time: views follow a scrolling grid, candidates trickle, everything is acknowledged.
pub const MESSAGES_PER_SECOND: u32 = 100;
/// Messages a client may send at once: acknowledgements of a whole history, and what it says again after a cut.
pub const MESSAGES_BURST: u32 = 500;
/// Room messages a client may post per second, over time: faster than anybody types.
pub const POSTS_PER_SECOND: u32 = 5;
/// Room messages a client may post at once: reactions come in handfuls.
pub const POSTS_BURST: u32 = 25;
/// Offers a client may make per second, over time: the most expensive thing it can ask for.
pub const OFFERS_PER_SECOND: u32 = 1;
/// Offers a client may make at once: camera, microphone and screen switched on in a row, and more slots.
pub const OFFERS_BURST: u32 = 10;
/// Offences (too fast, unreadable, out of turn) after which the session ends; they are forgiven one per second.
pub const OFFENCES_MAX: u32 = 60;
/// Offences forgiven per second: a client with a small fault lives, a flood does not.
pub const OFFENCES_FORGIVEN_PER_SECOND: u32 = 1;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    per_second: u32,
    burst: u32,
    /// Full again at this time.
    full_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self { per_second, burst, full_at: now }
    }

    /// Takes one token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / self.per_second;
        let from = self.full_at.max(now);
        if from.duration_since(now) > each * (self.burst - 1) {
            return false;
        }
        self.full_at = from + each;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        let passed = (0..10).filter(|_| bucket.take(start)).count();
        assert_eq!(passed, 3);
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!bucket.take(at(99)));
        assert!(bucket.take(at(100)));
        assert!(!bucket.take(at(150)));
        let passed = (0..10).filter(|_| bucket.take(at(5_000))).count();
        assert_eq!(passed, 3, "idling saves up a burst, no more");
    }
}
