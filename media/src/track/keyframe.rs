//! Many wishes for a key frame, few questions to the publisher.

use std::time::{Duration, Instant};

/// A layer is asked for a key frame at most this often: an encoder at 1.5 Mbit/s needs most of it to send one.
pub const ASK_EVERY: Duration = Duration::from_millis(500);
/// An unanswered question is repeated after this: it or its answer was lost.
pub const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Unanswered questions in a row, then only the normal pace.
pub const AGAIN_MAX: u8 = 3;
/// Unanswered questions in a row, then none until somebody wishes anew: a publisher that does not send cannot answer.
pub const UNANSWERED_MAX: u8 = 12;

/// The wish of everybody for a key frame of one layer.
#[derive(Debug, Default)]
pub struct Wish {
    since: Option<Instant>,
    asked: Option<Instant>,
    unanswered: u8,
}

impl Wish {
    /// Somebody needs one.
    pub fn wish(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// One arrived: everybody who wished is served.
    pub fn arrived(&mut self) {
        self.since = None;
        self.unanswered = 0;
    }

    /// Whether somebody wishes.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.since.is_some()
    }

    /// Nobody watches any more.
    pub fn forget(&mut self) {
        self.since = None;
    }

    /// Whether to ask now. Remembers that it was asked.
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.deadline().is_none_or(|due| due > now) {
            return false;
        }
        self.asked = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered >= UNANSWERED_MAX {
            self.since = None;
        }
        true
    }

    /// When to ask (again), if somebody still wishes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let since = self.since?;
        let Some(asked) = self.asked else { return Some(since) };
        let again = (1..=AGAIN_MAX).contains(&self.unanswered);
        Some(asked + if again { ASK_AGAIN } else { ASK_EVERY })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_storm_of_wishes_is_one_question() {
        let (mut wish, t) = (Wish::default(), Instant::now());
        assert!(!wish.poll(t), "nobody wishes");
        let mut asked = 0;
        for n in 0..50 {
            wish.wish(t + ms(n));
            asked += u32::from(wish.poll(t + ms(n)));
        }
        assert_eq!(asked, 1);
        wish.arrived();
        assert!(!wish.poll(t + ms(100)));
        wish.wish(t + ms(120));
        assert!(!wish.poll(t + ms(120)), "answered questions keep the pace");
        assert!(wish.poll(t + ASK_EVERY));
    }

    #[test]
    fn a_lost_question_is_repeated_sooner_but_not_for_ever() {
        let (mut wish, t) = (Wish::default(), Instant::now());
        wish.wish(t);
        let asked: Vec<_> = (0..2_000u64).map(|n| n * 10).filter(|n| wish.poll(t + ms(*n))).collect();
        assert_eq!(asked, [0, 250, 500, 750, 1_250, 1_750, 2_250, 2_750, 3_250, 3_750, 4_250, 4_750]);
    }
}
