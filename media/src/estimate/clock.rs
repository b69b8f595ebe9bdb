//! The peer's clock, as feedback tells it: a few bits of a counter that began anywhere, and that may be set.

/// A transit time that differs by more than this from the last one is a clock that was set, or feedback from another time, in µs:
/// longer than a radio that lost its cell holds packets back.
const JUMP_US: i64 = 6_000_000;
/// After so many feedbacks in a row that agree on it the new time is believed.
const AGREE: u8 = 3;

/// Extends 32 bits of ticks to a time that does not wrap.
#[derive(Debug, Default)]
pub(super) struct PeerClock {
    last: Option<Reading>,
    transit_us: Option<i64>,
    suspect: Option<Suspect>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    low: u32,
    ticks: i64,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    transit_us: i64,
    seen: u8,
}

/// Whether a time can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As expected.
    Usual,
    /// The clock was set, and by now it is believed.
    Set,
    /// Far off: do not use it.
    Doubtful,
}

impl PeerClock {
    /// Ticks without wraps, nearest to the last reading.
    pub(super) fn extend(&self, low: u32) -> i64 {
        match self.last {
            Some(last) => last.ticks + i64::from(low.wrapping_sub(last.low) as i32),
            None => i64::from(low),
        }
    }

    /// Judges the first arrival of a feedback, and remembers its reading if it is believed.
    pub(super) fn judge(&mut self, low: u32, transit_us: i64) -> Verdict {
        let far = self.transit_us.is_some_and(|last| (transit_us - last).abs() > JUMP_US);
        let mut verdict = Verdict::Usual;
        if far {
            let agrees = self.suspect.filter(|suspect| (suspect.transit_us - transit_us).abs() < JUMP_US);
            let seen = agrees.map_or(1, |suspect| suspect.seen + 1);
            if seen < AGREE {
                self.suspect = Some(Suspect { transit_us, seen });
                return Verdict::Doubtful;
            }
            verdict = Verdict::Set;
        }
        self.suspect = None;
        self.transit_us = Some(transit_us);
        self.last = Some(Reading { low, ticks: self.extend(low) });
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_go_on_over_the_wrap() {
        let mut clock = PeerClock::default();
        let ticks = clock.extend(u32::MAX - 1);
        assert_eq!(clock.judge(u32::MAX - 1, 0), Verdict::Usual);
        assert_eq!(clock.extend(3), ticks + 5);
        assert_eq!(clock.extend(u32::MAX - 11), ticks - 10);
    }

    #[test]
    fn one_strange_feedback_is_not_believed_and_three_are() {
        let mut clock = PeerClock::default();
        assert_eq!(clock.judge(0, 50_000), Verdict::Usual);
        assert_eq!(clock.judge(0, -299_000_000), Verdict::Doubtful);
        assert_eq!(clock.judge(0, 51_000), Verdict::Usual);
        let set: Vec<_> = (0..4).map(|n| clock.judge(0, 40_000_000 + n)).collect();
        assert_eq!(set, [Verdict::Doubtful, Verdict::Doubtful, Verdict::Set, Verdict::Usual]);
    }
}
