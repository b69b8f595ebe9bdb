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
//! slower than it has to be, since what gathers meanwhile is what makes the next turn cheaper. A shard whose send calls are full
//! already (a picture to a crowd) has little to gain, and rests for a moment only.

use std::time::{Duration, Instant};

/// Longest rest while a send call carries up to [`FEW`] datagrams: what a packet may wait here at most. Sound is played from a buffer
/// several times as long.
pub(super) const REST_MAX: Duration = Duration::from_millis(10);
/// … and while it carries [`MANY`]: the pieces of one picture come within this time.
const REST_MAX_FULL: Duration = Duration::from_millis(1);
const FEW: f64 = 2.0;
const MANY: f64 = 4.0;
/// How much of what was seen of send calls is remembered from flush to flush.
const REMEMBERED: f64 = 0.9;
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
    /// Datagrams and send calls lately.
    sent: (f64, f64),
}

/// What a flush sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flushed {
    pub(super) datagrams: u64,
    pub(super) sends: u64,
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
    pub(super) fn flushed(&mut self, turn: Duration, flushed: Flushed, now: Instant) {
        self.sent.0 = self.sent.0 * REMEMBERED + flushed.datagrams as f64;
        self.sent.1 = self.sent.1 * REMEMBERED + flushed.sends as f64;
        let rest = (std::mem::take(&mut self.work) + turn).min(self.rest_max());
        self.until = (rest >= REST_MIN).then(|| now + rest);
    }

    /// The longest rest that is worth its delay.
    fn rest_max(&self) -> Duration {
        let (datagrams, sends) = self.sent;
        let full = ((datagrams / sends.max(1.0) - FEW) / (MANY - FEW)).clamp(0.0, 1.0);
        REST_MAX - (REST_MAX - REST_MAX_FULL).mul_f64(full)
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
    const SINGLE: Flushed = Flushed { datagrams: 100, sends: 100 };

    #[test]
    fn little_work_is_followed_by_no_rest() {
        let (mut gather, now) = (Gather::default(), Instant::now());
        assert!(gather.is_over(now), "nothing has been done yet");
        gather.flushed(REST_MIN - Duration::from_nanos(1), SINGLE, now);
        assert!(gather.is_over(now));
    }

    #[test]
    fn a_rest_is_as_long_as_all_the_work_since_the_last_one_and_bounded() {
        let (mut gather, start) = (Gather::default(), Instant::now());
        gather.flushed(2 * MS, SINGLE, start);
        assert!(!gather.is_over(start + 2 * MS - Duration::from_nanos(1)));
        assert!(gather.is_over(start + 2 * MS));
        assert_eq!(gather.nap(start), MS);
        assert_eq!(gather.nap(start + MS * 7 / 4), MS / 4, "it ends with the rest");
        gather.worked(MS);
        gather.worked(MS);
        gather.flushed(MS, SINGLE, start + 3 * MS);
        assert!(!gather.is_over(start + 5 * MS) && gather.is_over(start + 6 * MS), "three were worked");
        gather.flushed(Duration::from_secs(1), SINGLE, start);
        assert!(!gather.is_over(start + REST_MAX - Duration::from_nanos(1)) && gather.is_over(start + REST_MAX));
        gather.flushed(Duration::ZERO, SINGLE, start);
        assert_eq!(gather.nap(start), Duration::ZERO);
    }

    #[test]
    fn who_fills_its_send_calls_rests_for_a_moment_only() {
        let longest = |datagrams| {
            let mut gather = Gather::default();
            (0..50).for_each(|_| gather.flushed(MS, Flushed { datagrams, sends: 100 }, Instant::now()));
            gather.rest_max()
        };
        let longest = [100, 200, 300, 400, 900].map(longest);
        assert_eq!(longest, [REST_MAX, REST_MAX, (REST_MAX + REST_MAX_FULL) / 2, REST_MAX_FULL, REST_MAX_FULL]);
        assert_eq!(Gather::default().rest_max(), REST_MAX);
    }
}
