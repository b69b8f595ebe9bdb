//! When a busy shard lets things gather before it sends them.
//!
//! ```text
//!   idle   in·out         in·out                   in·out        each datagram leaves in the turn it came in
//!   busy   in·out ─ rest ─ in·in·in·out ── rest ── in·in·…       after work, as long a rest: the next turn brings more at once
//! ```
//!
//! A send call costs the same for one datagram as for ten to the same peer, and a peer's keys and numbers are fetched from memory once
//! for all that a turn has for it. A shard with time to spare sends at once; one without sends later and more at a time, as a
//! network card moderates its interrupts. The rule needs no measure of load: whoever rests as long as it worked is never
//! slower than it has to be, since what gathers meanwhile is what makes the next turn cheaper.

use std::time::{Duration, Instant};

/// A rest is so many times the work before it.
const REST: u32 = 1;
/// Longest rest: what a packet may wait here at most. Sound is played from a buffer several times as long.
pub(super) const REST_MAX: Duration = Duration::from_millis(10);
/// A shorter rest is none: to sleep and to wake costs about as much.
const REST_MIN: Duration = Duration::from_micros(150);
/// While things gather the socket is looked at this often, so that the time of arrival is known as exactly.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The rhythm of one shard.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Work since the last flush.
    work: Duration,
    /// The rest after the last flush ends here.
    until: Option<Instant>,
}

impl Gather {
    /// Whether what has come may leave in a turn that begins now.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// A turn took this long and left things to gather.
    pub(super) fn worked(&mut self, turn: Duration) {
        self.work += turn;
    }

    /// A turn took this long, and everything has left by now.
    pub(super) fn flushed(&mut self, turn: Duration, now: Instant) {
        let rest = (std::mem::take(&mut self.work) + turn).saturating_mul(REST).min(REST_MAX);
        self.until = (rest >= REST_MIN).then(|| now + rest);
    }

    /// How long to sleep while things gather.
    pub(super) fn nap(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now).min(LOOK_EVERY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn little_work_is_followed_by_no_rest() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        assert!(gather.is_over(now), "nothing has been done yet");
        gather.flushed(REST_MIN - Duration::from_nanos(1), now);
        assert!(gather.is_over(now));
    }

    #[test]
    fn a_rest_is_as_long_as_all_the_work_since_the_last_one_and_bounded() {
        let (mut gather, start) = (Gather::default(), Instant::now());
        gather.flushed(2 * MS, start);
        assert!(!gather.is_over(start + 2 * MS - Duration::from_nanos(1)));
        assert!(gather.is_over(start + 2 * MS));
        assert_eq!(gather.nap(start), MS);
        assert_eq!(gather.nap(start + MS * 7 / 4), MS / 4, "it ends with the rest");
        gather.worked(MS);
        gather.worked(MS);
        gather.flushed(MS, start + 3 * MS);
        assert!(!gather.is_over(start + 5 * MS) && gather.is_over(start + 6 * MS), "three were worked");
        gather.flushed(Duration::from_secs(1), start);
        assert!(gather.is_over(start + REST_MAX));
        gather.flushed(Duration::ZERO, start);
        assert_eq!(gather.nap(start), Duration::ZERO);
    }
}
