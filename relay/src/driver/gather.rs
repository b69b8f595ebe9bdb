//! When a busy shard lets things gather before it sends them.
//!
//! ```text
//!   idle   in·out         in·out                   in·out        each datagram leaves in the turn it came in
//!   busy   in·out ─ rest ─ in·in·in·out ── rest ── in·in·…       after work, as long a rest: the next turn brings more at once
//!   crowd  in ─ lull ─ in·in·out ────── rest ─                   the first piece of a picture waits for the others
//! ```
//!
//! A send call costs the same for one datagram as for ten to the same peer, and a peer's keys and numbers are fetched from memory once
//! for all that a turn has for it. A shard with time to spare sends at once; one without sends later and more at a time, as a
//! network card moderates its interrupts. The rule needs no measure of load: whoever rests as long as it worked is never
//! slower than it has to be, since what gathers meanwhile is what makes the next turn cheaper. A shard whose send calls are full
//! already (a picture to a crowd) has little to gain, and rests for a moment only.
//!
//! What comes to a crowd's shard that has nothing to do is mostly the first of several pieces. Sent at once it would cost a turn through all
//! viewers for itself, and the others would wait for that turn to end: a short look whether more is coming makes all of them earlier.
//! A shard that is busy most of the time has no such lulls to spare; what comes to it gathers anyway.

use std::time::{Duration, Instant};

/// Longest rest while a send call carries up to [`FEW`] datagrams: what a packet may wait here at most. Sound is played from a buffer
/// several times as long.
pub(super) const REST_MAX: Duration = Duration::from_millis(10);
/// … and while it carries [`MANY`]: the pieces of a picture that come within a burst. Longer, and a shard that fell behind would stay behind.
const REST_MAX_FULL: Duration = Duration::from_micros(300);
const FEW: f64 = 2.0;
const MANY: f64 = 4.0;
/// How much of what was seen of send calls is remembered from flush to flush.
const REMEMBERED: f64 = 0.9;
/// Who has been free for this part of its last turn of any length is not near its limit: what comes then has a lull.
const FREE_SHARE: f64 = 0.5;
/// It waits for more this part of the time that its turn will take …
const LULL_SHARE: f64 = 1.0 / 16.0;
/// … within these bounds: a shorter lull is none, and the pieces of a picture that come in one burst come within the longer one.
const LULL_MIN: Duration = Duration::from_micros(50);
const LULL_MAX: Duration = Duration::from_micros(500);
/// A shorter rest is none: to sleep and to wake costs about as much.
const REST_MIN: Duration = Duration::from_micros(150);
/// While things gather the socket is looked at this often, so that the time of arrival is known as exactly.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The rhythm of one shard.
#[derive(Debug, Default)]
pub(super) struct Gather {
    /// Work since the last flush.
    work: Duration,
    /// The rest after the last flush ends here, or the lull before the next one.
    until: Option<Instant>,
    /// Something has come since the last flush.
    came: bool,
    /// From here on, with nothing long to do meanwhile, there is time for a lull.
    free_at: Option<Instant>,
    lately: Lately,
}

/// Flushes lately, the newest counting most.
#[derive(Debug, Default)]
struct Lately {
    datagrams: f64,
    sends: f64,
    /// Seconds of the turn in which a datagram left, summed over datagrams.
    turns: f64,
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

    /// Datagrams came. The first after a while waits a little for others.
    pub(super) fn came(&mut self, now: Instant) {
        let first = !std::mem::replace(&mut self.came, true);
        if !first || !self.is_over(now) || self.free_at.is_some_and(|at| now < at) {
            return;
        }
        let lull = Duration::from_secs_f64(self.lately.turn() * LULL_SHARE).min(LULL_MAX);
        if lull >= LULL_MIN {
            self.until = Some(now + lull);
        }
    }

    /// A turn took this long and left things to gather.
    pub(super) fn worked(&mut self, turn: Duration) {
        self.work += turn;
    }

    /// A turn took this long, and everything has left by now.
    pub(super) fn flushed(&mut self, turn: Duration, flushed: Flushed, now: Instant) {
        let work = std::mem::take(&mut self.work) + turn;
        self.lately.flushed(work, flushed);
        self.came = false;
        let free_at = now + work.mul_f64(FREE_SHARE);
        self.free_at = Some(self.free_at.map_or(free_at, |at| at.max(free_at)));
        let rest = work.min(self.lately.rest_max());
        self.until = (rest >= REST_MIN).then(|| now + rest);
    }

    /// How long to sleep while things gather.
    pub(super) fn nap(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now).min(LOOK_EVERY))
    }
}

impl Lately {
    fn flushed(&mut self, work: Duration, Flushed { datagrams, sends }: Flushed) {
        self.datagrams = self.datagrams * REMEMBERED + datagrams as f64;
        self.sends = self.sends * REMEMBERED + sends as f64;
        self.turns = self.turns * REMEMBERED + datagrams as f64 * work.as_secs_f64();
    }

    /// The longest rest that is worth its delay.
    fn rest_max(&self) -> Duration {
        let full = ((self.datagrams / self.sends.max(1.0) - FEW) / (MANY - FEW)).clamp(0.0, 1.0);
        REST_MAX - (REST_MAX - REST_MAX_FULL).mul_f64(full)
    }

    /// How long a turn is in which a datagram leaves, in seconds. Turns that send nothing (timers) do not count.
    fn turn(&self) -> f64 {
        self.turns / self.datagrams.max(1.0)
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
            gather.lately.rest_max()
        };
        let longest = [100, 200, 300, 400, 900].map(longest);
        assert_eq!(longest, [REST_MAX, REST_MAX, (REST_MAX + REST_MAX_FULL) / 2, REST_MAX_FULL, REST_MAX_FULL]);
        assert_eq!(Gather::default().lately.rest_max(), REST_MAX);
    }

    #[test]
    fn after_a_while_the_first_piece_of_a_picture_waits_for_the_others() {
        const CROWD: Flushed = Flushed { datagrams: 3_500, sends: 700 };
        const REPORT: Flushed = Flushed { datagrams: 1, sends: 1 };
        let (mut gather, start) = (Gather::default(), Instant::now());
        gather.flushed(4 * MS, CROWD, start);
        let free = start + 2 * MS;
        gather.came(free);
        assert!(!gather.is_over(free + MS / 4 - Duration::from_nanos(1)) && gather.is_over(free + MS / 4));
        gather.came(free + MS / 8);
        assert!(gather.is_over(free + MS / 4), "what follows does not prolong it");
        gather.came(free + MS / 4);
        assert!(gather.is_over(free + MS / 4), "there is one lull a flush");
        // What comes during a rest has waited long enough when it ends.
        gather.flushed(4 * MS, CROWD, start);
        gather.came(start + REST_MAX_FULL / 2);
        assert!(gather.is_over(start + REST_MAX_FULL));
        gather.came(free);
        assert!(gather.is_over(free));
        // Who has been free for less than half a turn works on, also when a timer was looked after meanwhile.
        gather.flushed(4 * MS, CROWD, start);
        gather.flushed(MS / 50, Flushed::default(), start + MS * 3 / 2);
        gather.came(free - Duration::from_nanos(1));
        assert!(gather.is_over(free));
        // Timers in between, with nothing to send or a report, do not make it forget.
        (0..20).for_each(|_| gather.flushed(MS / 50, Flushed::default(), start));
        gather.flushed(MS / 50, REPORT, start);
        gather.came(start + 30 * MS);
        assert!(!gather.is_over(start + 30 * MS + MS / 5));
        // Turns so short have none, and none is longer than the bursts of a picture.
        let lull = |turn| {
            let mut gather = Gather::default();
            gather.flushed(turn, CROWD, start);
            let after = start + MS * 100;
            gather.came(after);
            gather.nap(after)
        };
        assert_eq!([MS / 2, 2 * MS, 100 * MS].map(lull), [Duration::ZERO, MS / 8, LULL_MAX]);
    }
}
