//! Which packets of one stream to ask for again, and when (RFC 4585 §6.2.1).
//!
//! ```text
//!   gap seen ──10 ms──▶ ask ──rtt──▶ ask ──1.5 rtt──▶ ask … ──▶ give up (video: a key frame instead)
//!                 └ arrives, original or repair: forgotten at once
//! ```

use crate::seq::SeqNo;
use std::time::{Duration, Instant};

/// A gap is given this long to close by itself: reordering on one path is a matter of milliseconds.
pub const REORDER_WAIT: Duration = Duration::from_millis(10);
/// A packet is asked for this often, then given up: with 10 % loss both ways ten tries fail once in 10⁷.
pub const TRIES_MAX: u8 = 10;
/// A packet is given up this long after its gap was seen: what comes later is of no use to a live picture.
pub const AGE_MAX: Duration = Duration::from_millis(1_500);
/// More missing packets than this are an outage, not loss: all are given up.
pub const MISSING_MAX: usize = 512;
/// Shortest time between two asks for the same packet, however near the peer.
pub const REPEAT_MIN: Duration = Duration::from_millis(30);
/// Longest time between two asks for the same packet.
pub const REPEAT_MAX: Duration = Duration::from_millis(500);

/// Asked for at once: with 16-bit masks they fill 512 bytes of NACK in the worst pattern.
pub const ASKS_PER_POLL: usize = 128;

/// What a packet's arrival meant for the gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one after a new gap.
    Newest,
    /// It closed a gap. `asked` is when it was asked for if that was exactly once: a round-trip sample.
    Repaired {
        /// When it was asked for.
        asked: Option<Instant>,
    },
    /// It was not missing: a duplicate, or given up before.
    NotMissing,
    /// The gap before it is too large to repair: ask for a key frame.
    Outage,
}

/// The gaps of one stream.
#[derive(Debug, Default)]
pub struct Generator {
    highest: Option<SeqNo>,
    /// Rising.
    missing: Vec<Missing>,
    given_up: u64,
    asked: u64,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    seq: SeqNo,
    since: Instant,
    last: Option<Instant>,
    next: Instant,
    tries: u8,
}

impl Generator {
    /// A packet arrived, as original or as repair.
    pub fn received(&mut self, seq: SeqNo, now: Instant) -> Arrival {
        let Some(highest) = self.highest else {
            self.highest = Some(seq);
            return Arrival::Newest;
        };
        if seq <= highest {
            let Ok(at) = self.missing.binary_search_by_key(&seq, |m| m.seq) else { return Arrival::NotMissing };
            let gone = self.missing.remove(at);
            return Arrival::Repaired { asked: gone.last.filter(|_| gone.tries == 1) };
        }
        self.highest = Some(seq);
        let gap = seq.0 - highest.0 - 1;
        if gap as usize + self.missing.len() > MISSING_MAX {
            self.given_up += gap + self.missing.len() as u64;
            self.missing.clear();
            return Arrival::Outage;
        }
        let next = now + REORDER_WAIT;
        self.missing.extend((1..=gap).map(|n| Missing {
            seq: highest.plus(n),
            since: now,
            last: None,
            next,
            tries: 0,
        }));
        Arrival::Newest
    }

    /// Nothing before `seq` is needed any more: a key frame begins there.
    pub fn forget_before(&mut self, seq: SeqNo) {
        let keep = self.missing.partition_point(|m| m.seq < seq);
        self.missing.drain(..keep);
    }

    /// Appends what to ask for now to `ask`, rising, at most [`ASKS_PER_POLL`]; the rest stays due. Returns how many packets were given up.
    pub fn poll(&mut self, now: Instant, rtt: Duration, ask: &mut Vec<SeqNo>) -> usize {
        let before = self.missing.len();
        self.missing.retain(|m| m.next > now || (m.tries < TRIES_MAX && now.duration_since(m.since) < AGE_MAX));
        let given_up = before - self.missing.len();
        self.given_up += given_up as u64;
        for m in self.missing.iter_mut().filter(|m| m.next <= now).take(ASKS_PER_POLL) {
            ask.push(m.seq);
            m.tries += 1;
            m.last = Some(now);
            // The first repeat waits a little more than a round trip, later ones longer each time.
            let wait = rtt.mul_f32(1.0 + 0.25 * f32::from(m.tries)).clamp(REPEAT_MIN, REPEAT_MAX);
            m.next = now + wait;
            self.asked += 1;
        }
        given_up
    }

    /// When to poll next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.missing.iter().map(|m| m.next).min()
    }

    /// How many packets are missing now.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// How many asks were made, repeats included.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked
    }

    /// How many packets were given up.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(50);
    const NOTHING: [u64; 0] = [];

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn poll(g: &mut Generator, now: Instant) -> Vec<u64> {
        let mut ask = Vec::new();
        g.poll(now, RTT, &mut ask);
        ask.into_iter().map(|s| s.0).collect()
    }

    #[test]
    fn a_gap_is_asked_for_after_a_short_wait_and_forgotten_when_repaired() {
        let (mut g, t) = (Generator::default(), Instant::now());
        g.received(SeqNo(10), t);
        g.received(SeqNo(13), t);
        assert_eq!(poll(&mut g, t), NOTHING, "reordering gets its chance");
        assert_eq!(g.deadline(), Some(t + REORDER_WAIT));
        assert_eq!(poll(&mut g, t + REORDER_WAIT), [11, 12]);
        assert_eq!(
            g.received(SeqNo(11), t + ms(60)),
            Arrival::Repaired { asked: Some(t + REORDER_WAIT) },
            "one ask, one answer: a round-trip sample"
        );
        assert_eq!(g.received(SeqNo(11), t + ms(60)), Arrival::NotMissing);
        assert_eq!(poll(&mut g, t + ms(60)), NOTHING, "not again within a round trip");
        assert_eq!(poll(&mut g, t + ms(80)), [12]);
        assert_eq!(g.received(SeqNo(12), t + ms(130)), Arrival::Repaired { asked: None }, "which ask was answered?");
        for n in 0..50 {
            assert_eq!(poll(&mut g, t + ms(130 + 100 * n)), NOTHING, "repaired means silence");
        }
        assert_eq!((g.deadline(), g.asked()), (None, 3));
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let (mut g, t) = (Generator::default(), Instant::now());
        g.received(SeqNo(1), t);
        g.received(SeqNo(3), t);
        let mut asks = 0;
        for n in 0..400 {
            asks += poll(&mut g, t + ms(n * 10)).len();
        }
        assert!((3..=usize::from(TRIES_MAX)).contains(&asks), "{asks}");
        assert_eq!((g.missing(), g.given_up()), (0, 1));
    }

    #[test]
    fn an_outage_is_not_repaired_packet_by_packet() {
        let (mut g, t) = (Generator::default(), Instant::now());
        g.received(SeqNo(1), t);
        assert_eq!(g.received(SeqNo(1_000), t), Arrival::Outage);
        assert_eq!(poll(&mut g, t + ms(20)), NOTHING);
    }

    #[test]
    fn a_key_frame_makes_older_gaps_pointless() {
        let (mut g, t) = (Generator::default(), Instant::now());
        g.received(SeqNo(1), t);
        g.received(SeqNo(5), t);
        g.received(SeqNo(8), t);
        g.forget_before(SeqNo(5));
        assert_eq!(poll(&mut g, t + ms(20)), [6, 7]);
    }
}
