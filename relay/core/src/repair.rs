//! What is missing on one subscription, and when to ask for it again.
//!
//! ```text
//!   sequence   100  101   –    –   104          102 and 103 are missing; asked for after FIRST_ASK
//!   back         1    1             3           103, 102 were left out on purpose: nothing is missing
//!   back         1    1             1           103 was sent and lost; 102 too, or left out: both are asked for
//! ```
//!
//! A voice is left out for seconds at a time. The first packets after that say which was the first of them ([`Gaps::resumed`]).
//!
//! A link's repairs are quick (one hop) and come from the upstream's cache, so that a loss on one link is felt on no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A missing packet is first asked for after this long: QUIC's datagrams overtake each other by less.
pub const FIRST_ASK: Duration = Duration::from_millis(5);
/// How often a missing packet is asked for at most: at 5 % loss both ways four asks leave one in ten thousand missing.
pub const ASKS_MAX: u8 = 4;
/// A packet missing for this long is given up: no playout waits longer.
pub const GIVE_UP: Duration = Duration::from_millis(500);
/// Packets missing at the same time in one subscription at most: half a second of 8 Mbit/s. A wider gap is an outage,
/// after which a key frame helps sooner.
pub const MISSING_MAX: u64 = 512;
/// Packets no longer asked for that are still known for missing, the oldest forgotten first: as many as can be missing at once.
const GIVEN_UP_MAX: usize = MISSING_MAX as usize;
/// How far behind the newest a packet may come and still be told from a duplicate.
const BEHIND_MAX: u64 = 8192;

/// What a packet was to its subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before. `outage`: so many before it are missing that none is asked for.
    New {
        /// Packets given up at once.
        outage: u64,
    },
    /// It was missing. It may have been given up: upstream it was itself repaired, over a slower way than the link.
    Repaired,
    /// It was here before.
    Duplicate,
    /// From before the first one, or too far behind to say.
    TooOld,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Instant,
    ask_at: Instant,
    asks: u8,
}

/// The gaps of one subscription.
#[derive(Debug, Default)]
pub struct Gaps {
    first: u64,
    highest: Option<u64>,
    missing: BTreeMap<u64, Missing>,
    given_up: BTreeSet<u64>,
}

impl Gaps {
    /// A packet came, `back` places after the one sent before it (0: unknown).
    pub fn arrived(&mut self, sequence: u64, back: u8, now: Instant) -> Arrival {
        let Some(highest) = self.highest else {
            (self.first, self.highest) = (sequence, Some(sequence));
            return Arrival::New { outage: 0 };
        };
        if sequence <= highest {
            return self.late(sequence, back, highest);
        }
        self.highest = Some(sequence);
        // What lies between it and the one sent before it was never sent.
        let sent_before = sequence.saturating_sub(u64::from(back.max(1)));
        let lost = sent_before.saturating_sub(highest);
        if lost + self.missing.len() as u64 > MISSING_MAX {
            let outage = lost + self.missing.len() as u64;
            self.missing.clear();
            self.given_up.clear();
            self.first = sequence;
            return Arrival::New { outage };
        }
        for sequence in highest + 1..=sent_before {
            self.missing.insert(sequence, Missing { since: now, ask_at: now + FIRST_ASK, asks: 0 });
        }
        Arrival::New { outage: 0 }
    }

    /// A packet of a voice that was left out for a while and came up with number `first`: what lies before that was never sent.
    /// Says also whether it is the first one to come since.
    pub fn resumed(&mut self, sequence: u64, first: u64, now: Instant) -> (Arrival, bool) {
        let comes_up = self.highest.is_some_and(|highest| highest < first);
        if comes_up {
            self.highest = first.checked_sub(1);
        }
        (self.arrived(sequence, 1, now), comes_up)
    }

    fn late(&mut self, sequence: u64, back: u8, highest: u64) -> Arrival {
        if back > 1 {
            for never_sent in sequence.saturating_sub(u64::from(back) - 1)..sequence {
                self.missing.remove(&never_sent);
                self.given_up.remove(&never_sent);
            }
        }
        if self.missing.remove(&sequence).is_some() || self.given_up.remove(&sequence) {
            Arrival::Repaired
        } else if sequence < self.first || highest - sequence > BEHIND_MAX {
            Arrival::TooOld
        } else {
            Arrival::Duplicate
        }
    }

    /// Puts what is to be asked for now into `asks`, rising, and returns how many were given up.
    pub fn due(&mut self, rtt: Duration, now: Instant, asks: &mut Vec<u64>) -> u64 {
        let before = self.missing.len();
        // A repair asked for on its last chance still gets its round trip.
        let given_up = &mut self.given_up;
        self.missing.retain(|sequence, missing| {
            let hopeless = now.saturating_duration_since(missing.since) >= GIVE_UP;
            let keep = !(hopeless || missing.asks >= ASKS_MAX && missing.ask_at <= now);
            if !keep {
                given_up.insert(*sequence);
            }
            keep
        });
        while given_up.len() > GIVEN_UP_MAX {
            given_up.pop_first();
        }
        let given_up = (before - self.missing.len()) as u64;
        let again = rtt + rtt / 4 + FIRST_ASK;
        for (sequence, missing) in &mut self.missing {
            if missing.ask_at <= now {
                missing.asks += 1;
                missing.ask_at = now + again;
                asks.push(*sequence);
            }
        }
        given_up
    }

    /// When [`Gaps::due`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.ask_at.min(missing.since + GIVE_UP)).min()
    }

    /// How many are missing.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(40);

    fn asked(gaps: &mut Gaps, now: Instant) -> (Vec<u64>, u64) {
        let mut asks = Vec::new();
        let given_up = gaps.due(RTT, now, &mut asks);
        (asks, given_up)
    }

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        assert_eq!(gaps.arrived(100, 0, start), Arrival::New { outage: 0 });
        assert_eq!(gaps.arrived(103, 1, start), Arrival::New { outage: 0 });
        assert_eq!(asked(&mut gaps, start), (vec![], 0), "it may only be late");
        assert_eq!(asked(&mut gaps, start + FIRST_ASK), (vec![101, 102], 0));
        assert_eq!(asked(&mut gaps, start + FIRST_ASK + RTT), (vec![], 0), "the answer may be under way");
        assert_eq!(gaps.arrived(101, 1, start + RTT), Arrival::Repaired);
        assert_eq!(gaps.arrived(101, 1, start + RTT), Arrival::Duplicate);
        assert_eq!(asked(&mut gaps, start + RTT * 2), (vec![102], 0));
        assert_eq!(gaps.arrived(102, 1, start + RTT * 3), Arrival::Repaired);
        assert_eq!((gaps.missing(), gaps.deadline()), (0, None));
    }

    #[test]
    fn what_was_left_out_on_purpose_is_not_missing() {
        let now = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(100, 0, now);
        gaps.arrived(104, 4, now);
        assert_eq!(gaps.missing(), 0);
        // 106 was lost, 105 left out: which of the two is only known when 106 comes.
        gaps.arrived(107, 1, now);
        assert_eq!(gaps.missing(), 2);
        assert_eq!(gaps.arrived(106, 2, now), Arrival::Repaired);
        assert_eq!(gaps.missing(), 0);
    }

    #[test]
    fn what_a_voice_did_not_say_is_not_missing_and_its_first_syllable_is() {
        let now = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(100, 0, now);
        // It came up with 5,000, which was lost; 5,001 says so.
        assert_eq!(gaps.resumed(5_001, 5_000, now), (Arrival::New { outage: 0 }, true));
        assert_eq!(asked(&mut gaps, now + FIRST_ASK), (vec![5_000], 0));
        assert_eq!(gaps.resumed(5_002, 5_000, now), (Arrival::New { outage: 0 }, false), "it comes up once");
        assert_eq!(gaps.arrived(5_000, 0, now), Arrival::Repaired);
        // A pause so short that what was said before it is sent again.
        assert_eq!(gaps.resumed(5_001, 5_001, now), (Arrival::Duplicate, false));
        assert_eq!(gaps.resumed(5_003, 5_001, now), (Arrival::New { outage: 0 }, false));
        assert_eq!(gaps.missing(), 0);
    }

    #[test]
    fn what_does_not_come_is_given_up() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(1, 0, start);
        gaps.arrived(3, 1, start);
        let (mut now, mut asks, mut given_up) = (start, 0, 0);
        while let Some(at) = gaps.deadline() {
            assert!(at > now, "a deadline that was served lies ahead");
            now = at;
            let (asked, lost) = asked(&mut gaps, now);
            asks += asked.len();
            given_up += lost;
        }
        assert_eq!((asks, given_up), (usize::from(ASKS_MAX), 1));
        assert!(now - start <= GIVE_UP);
    }

    /// At 5 % loss on a publisher's uplink every few seconds a picture stood still for three in the other region.
    #[test]
    fn what_upstream_repaired_late_is_no_duplicate() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(1, 0, start);
        gaps.arrived(3, 1, start);
        while let Some(at) = gaps.deadline() {
            asked(&mut gaps, at);
        }
        // A second later: its publisher has sent it once more.
        let now = start + Duration::from_secs(1);
        assert_eq!(gaps.arrived(4, 1, now), Arrival::New { outage: 0 });
        assert_eq!(gaps.arrived(2, 1, now), Arrival::Repaired);
        assert_eq!(gaps.arrived(2, 1, now), Arrival::Duplicate);
    }

    #[test]
    fn what_was_given_up_is_remembered_within_bounds() {
        let mut now = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(0, 0, now);
        let last = 4 * GIVEN_UP_MAX as u64;
        for sequence in (2..=last).step_by(2) {
            gaps.arrived(sequence, 1, now);
            now += GIVE_UP;
            asked(&mut gaps, now);
        }
        assert_eq!(gaps.given_up.len(), GIVEN_UP_MAX);
        assert_eq!(gaps.arrived(1, 1, now), Arrival::Duplicate, "forgotten");
        assert_eq!(gaps.arrived(last - 1, 1, now), Arrival::Repaired);
    }

    #[test]
    fn an_outage_is_not_repaired_packet_by_packet() {
        let now = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(1, 0, now);
        gaps.arrived(3, 1, now);
        assert_eq!(gaps.arrived(4 + MISSING_MAX, 1, now), Arrival::New { outage: MISSING_MAX + 1 });
        assert_eq!(gaps.missing(), 0);
        assert_eq!(gaps.arrived(3, 1, now), Arrival::TooOld);
    }
}
