//! Answering repeats once: the same packet is not repaired twice within a round trip (RFC 4588 says how it is sent).

use std::time::{Duration, Instant};

/// Repairs remembered per slot: as many as one compound may ask for.
pub const REMEMBERED: usize = 128;
/// Two asks within this time are the same ask, however short the round trip.
pub const AGAIN_MIN: Duration = Duration::from_millis(10);

/// What was repaired lately.
#[derive(Debug, Default)]
pub struct Repairs {
    recent: Vec<(u64, Instant)>,
    next: usize,
}

impl Repairs {
    /// Whether to repair `seq` now. Remembers it if so.
    pub fn allow(&mut self, seq: u64, now: Instant, rtt: Duration) -> bool {
        let quiet = rtt.max(AGAIN_MIN);
        if self.recent.iter().any(|(s, at)| *s == seq && now.duration_since(*at) < quiet) {
            return false;
        }
        self.sent(seq, now);
        true
    }

    /// `seq` was sent just now, later than its neighbours: who asks for it has not seen it yet.
    pub fn sent(&mut self, seq: u64, now: Instant) {
        if self.recent.len() < REMEMBERED {
            self.recent.push((seq, now));
        } else {
            self.recent[self.next] = (seq, now);
            self.next = (self.next + 1) % REMEMBERED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repair_per_round_trip() {
        let (mut repairs, t, rtt) = (Repairs::default(), Instant::now(), Duration::from_millis(100));
        assert!(repairs.allow(7, t, rtt));
        assert!(!repairs.allow(7, t + Duration::from_millis(99), rtt));
        assert!(repairs.allow(8, t, rtt));
        assert!(repairs.allow(7, t + rtt, rtt), "the repair itself may have been lost");
    }
}
