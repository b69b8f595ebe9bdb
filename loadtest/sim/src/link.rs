//! A way with a bottleneck, in one direction: what netem and a token bucket do to packets, in virtual time.
//!
//! ```text
//!   send ─▶ │ queue, bytes │ ─▶ rate (steady, or a radio's) ─▶ loss ─▶ delay, jitter ─▶ gate (radio aggregates) ─▶ take_due
//!            full: dropped       served bit by bit, changes while running
//! ```
//!
//! [`Conditions`] say what happens behind the queue. Everything is drawn from one seeded source.

use crate::network::{Bursts, Conditions, Random, Underway};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a way behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Delay, jitter, random loss, doubles.
    pub way: Conditions,
    /// The bottleneck; `None`: as fast as anybody sends.
    pub bottleneck: Option<Bottleneck>,
    /// Losses that come in bursts.
    pub bursts: Option<Bursts>,
    /// Packets are gathered and delivered together.
    pub gate: Option<Gate>,
    /// Jitter may not make packets overtake each other.
    pub in_order: bool,
}

/// A queue and what empties it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bottleneck {
    /// Bits per second; 0: nothing passes.
    pub bps: u64,
    /// What the queue holds; a packet that does not fit is lost.
    pub queue_bytes: usize,
    /// A rate that changes by itself.
    pub wobble: Option<Wobble>,
}

/// A radio cell's rate: a new share of the nominal one every so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wobble {
    /// How often.
    pub every: Duration,
    /// Least share in percent.
    pub least_percent: u64,
    /// Greatest share in percent.
    pub most_percent: u64,
}

/// Opens for a moment after a time between the two, and lets everything through that has come up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Shortest time between two openings.
    pub least: Duration,
    /// Longest.
    pub most: Duration,
}

/// Why a packet does not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The queue was full.
    QueueFull,
    /// By chance, alone or in a burst.
    ByChance,
}

/// What a link did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Packets given to it.
    pub packets: u64,
    /// Packets that arrived or will.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Dropped in front of the queue.
    pub queue_full: u64,
    /// Lost by chance.
    pub by_chance: u64,
}

/// One direction of a way.
#[derive(Debug)]
pub struct Link<T> {
    shape: Shape,
    random: Random,
    queue: VecDeque<Queued<T>>,
    queued_bytes: usize,
    /// Bits of the first packet that are not served yet.
    left_bits: f64,
    served_until: Instant,
    /// Share of the nominal rate, and when it changes.
    share: f64,
    share_until: Instant,
    bad: bool,
    gate_at: Instant,
    last_arrival: Instant,
    underway: Underway<T>,
    passed: Passed,
}

#[derive(Debug)]
struct Queued<T> {
    bytes: usize,
    what: T,
}

impl Shape {
    /// Delay and nothing else.
    #[must_use]
    pub fn free(delay: Duration) -> Self {
        Self { way: Conditions::clean(delay), bottleneck: None, bursts: None, gate: None, in_order: true }
    }

    /// A bottleneck whose queue holds this much time of it, and a delay behind.
    #[must_use]
    pub fn narrow(bps: u64, queue: Duration, delay: Duration) -> Self {
        let queue_bytes = (bps as f64 / 8.0 * queue.as_secs_f64()) as usize;
        let bottleneck = Bottleneck { bps, queue_bytes: queue_bytes.max(QUEUE_BYTES_MIN), wobble: None };
        Self { bottleneck: Some(bottleneck), ..Self::free(delay) }
    }

    /// The same with random loss.
    #[must_use]
    pub fn lossy(mut self, per_million: u32) -> Self {
        self.way.loss_per_million = per_million;
        self
    }
}

impl<T: Clone> Link<T> {
    /// A way without anything on it.
    #[must_use]
    pub fn new(shape: Shape, seed: u64, now: Instant) -> Self {
        Self {
            shape,
            random: Random::new(seed),
            queue: VecDeque::new(),
            queued_bytes: 0,
            left_bits: 0.0,
            served_until: now,
            share: 1.0,
            share_until: now,
            bad: false,
            gate_at: now,
            last_arrival: now,
            underway: Underway::new(),
            passed: Passed::default(),
        }
    }

    /// Another shape from now on; what is in the queue stays there, in its order.
    pub fn set(&mut self, shape: Shape, now: Instant) {
        self.serve(now);
        self.shape = shape;
        self.share_until = now;
    }

    /// How it behaves at present.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// A packet of so many bytes on the wire.
    ///
    /// # Errors
    /// The queue is full: it is gone. (What is lost behind the queue is only counted.)
    pub fn send(&mut self, bytes: usize, what: T, now: Instant) -> Result<(), Lost> {
        self.serve(now);
        self.passed.packets += 1;
        let Some(bottleneck) = self.shape.bottleneck else {
            self.leave(bytes, what, now);
            return Ok(());
        };
        if self.queued_bytes + bytes > bottleneck.queue_bytes {
            self.passed.queue_full += 1;
            return Err(Lost::QueueFull);
        }
        if self.queue.is_empty() {
            self.left_bits = bytes as f64 * 8.0;
        }
        self.queued_bytes += bytes;
        self.queue.push_back(Queued { bytes, what });
        Ok(())
    }

    /// When to look again: something arrives, or leaves the queue.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        let leaves = self.shape.bottleneck.filter(|_| !self.queue.is_empty()).map(|bottleneck| {
            let done = self.left_bits / (bottleneck.bps as f64 * self.share).max(1e-3);
            let done = self.served_until + Duration::from_secs_f64(done.min(IDLE.as_secs_f64())) + ROUND_UP;
            if bottleneck.wobble.is_some() {
                done.min(self.share_until.max(self.served_until + ROUND_UP))
            } else {
                done
            }
        });
        [leaves, self.underway.next_at()].into_iter().flatten().min()
    }

    /// What has arrived by now, with the moment it did; in order.
    pub fn take_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.serve(now);
        let at = self.underway.next_at()?;
        self.underway.take_due(now).map(|what| (at, what))
    }

    /// How long a packet sent now would wait in the queue.
    #[must_use]
    pub fn queue_delay(&self) -> Duration {
        let Some(bottleneck) = self.shape.bottleneck else { return Duration::ZERO };
        Duration::from_secs_f64((self.queued_bytes as f64 * 8.0 / bottleneck.bps.max(1) as f64).min(IDLE.as_secs_f64()))
    }

    /// What it did so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// Lets the bottleneck work until now.
    fn serve(&mut self, now: Instant) {
        let Some(bottleneck) = self.shape.bottleneck else {
            // The narrow part was taken away: everything goes at once.
            while let Some(first) = self.queue.pop_front() {
                self.leave(first.bytes, first.what, now);
            }
            self.queued_bytes = 0;
            self.served_until = now;
            return;
        };
        while self.served_until < now {
            let mut until = now;
            if let Some(wobble) = bottleneck.wobble {
                if self.share_until <= self.served_until {
                    let spread = wobble.most_percent.saturating_sub(wobble.least_percent);
                    self.share = (wobble.least_percent + self.random.below(spread + 1)) as f64 / 100.0;
                    self.share_until = self.served_until + wobble.every;
                }
                until = until.min(self.share_until);
            } else {
                self.share = 1.0;
            }
            self.serve_at(bottleneck.bps as f64 * self.share, until);
        }
    }

    fn serve_at(&mut self, bps: f64, until: Instant) {
        while let Some(first) = self.queue.front() {
            let bits = until.saturating_duration_since(self.served_until).as_secs_f64() * bps;
            if bits < self.left_bits {
                self.left_bits -= bits;
                break;
            }
            let took = Duration::from_secs_f64(self.left_bits / bps);
            self.served_until = (self.served_until + took).min(until);
            self.queued_bytes -= first.bytes;
            let at = self.served_until;
            if let Some(first) = self.queue.pop_front() {
                self.leave(first.bytes, first.what, at);
            }
            self.left_bits = self.queue.front().map_or(0.0, |next| next.bytes as f64 * 8.0);
        }
        self.served_until = until;
    }

    /// A packet leaves the queue: lost, or on its way.
    fn leave(&mut self, bytes: usize, what: T, at: Instant) {
        if let Some(bursts) = self.shape.bursts {
            let turn = if self.bad { bursts.end_per_million } else { bursts.begin_per_million };
            self.bad ^= self.random.chance(turn);
        } else {
            self.bad = false;
        }
        let burst = self.shape.bursts.map_or(0, |bursts| bursts.loss_per_million);
        let bad = self.bad && self.random.chance(burst);
        let arrivals: Vec<Duration> = self.shape.way.arrivals(&mut self.random).filter(|_| !bad).collect();
        if arrivals.is_empty() {
            self.passed.by_chance += 1;
            return;
        }
        self.passed.delivered += 1;
        self.passed.delivered_bytes += bytes as u64;
        for after in arrivals {
            let mut arrival = at + after;
            if self.shape.in_order {
                arrival = arrival.max(self.last_arrival);
            }
            if let Some(gate) = self.shape.gate {
                while self.gate_at < arrival {
                    let spread = gate.most.saturating_sub(gate.least);
                    self.gate_at += gate.least.max(ROUND_UP) + self.random.up_to(spread);
                }
                arrival = self.gate_at;
            }
            self.last_arrival = self.last_arrival.max(arrival);
            self.underway.send(arrival, what.clone());
        }
    }
}

/// A queue holds at least two packets, or nothing large would ever pass.
const QUEUE_BYTES_MIN: usize = 3_000;
/// Times are computed in fractions and kept in nanoseconds.
const ROUND_UP: Duration = Duration::from_nanos(1);
/// A way that is shut is looked at again after this.
const IDLE: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Runs a link until nothing is left on it, by its own deadlines; arrivals in ms since `zero`.
    fn drain(link: &mut Link<u32>, zero: Instant) -> Vec<(u32, u64)> {
        let mut arrived = Vec::new();
        while let Some(at) = link.next_at() {
            while let Some((when, what)) = link.take_due(at) {
                arrived.push((what, when.duration_since(zero).as_millis() as u64));
            }
        }
        arrived
    }

    #[test]
    fn a_packet_waits_for_those_before_it_and_then_travels() {
        let zero = Instant::now();
        // 1,000 bytes at 800 kbit/s are 10 ms.
        let mut link = Link::new(Shape::narrow(800_000, ms(100), ms(50)), 1, zero);
        for n in 0..3 {
            link.send(1_000, n, zero).unwrap();
        }
        assert_eq!(link.queue_delay(), ms(30));
        assert_eq!(drain(&mut link, zero), [(0, 60), (1, 70), (2, 80)]);
    }

    #[test]
    fn what_does_not_fit_is_lost_and_counted() {
        let zero = Instant::now();
        let mut link = Link::new(Shape::narrow(800_000, ms(100), ms(50)), 1, zero);
        let lost = (0..15).filter(|n| link.send(1_000, *n, zero).is_err()).count();
        assert_eq!((lost, link.passed().queue_full), (5, 5));
        assert_eq!(drain(&mut link, zero).len(), 10);
    }

    #[test]
    fn a_change_of_rate_reaches_the_packet_that_is_being_sent() {
        let zero = Instant::now();
        let mut link = Link::new(Shape::narrow(800_000, ms(100), ms(0)), 1, zero);
        link.send(1_000, 1, zero).unwrap();
        link.send(1_000, 2, zero).unwrap();
        // Half of the first is gone; the rest goes four times as slowly, nothing at all between 20 and 40 ms.
        link.set(Shape::narrow(200_000, ms(400), ms(0)), zero + ms(5));
        link.set(Shape::narrow(0, ms(400), ms(0)), zero + ms(20));
        let mut slow = Shape::narrow(200_000, ms(400), ms(0));
        slow.in_order = false;
        link.set(slow, zero + ms(40));
        assert_eq!(drain(&mut link, zero), [(1, 45), (2, 85)]);
    }

    #[test]
    fn losses_come_alone_or_in_bursts_as_often_as_asked() {
        let zero = Instant::now();
        let mut shape = Shape::free(ms(10)).lossy(50_000);
        let lost = |shape: Shape| {
            let mut link = Link::new(shape, 7, zero);
            (0..20_000).for_each(|n| link.send(1_000, n, zero).unwrap());
            let arrived: Vec<u32> = drain(&mut link, zero).into_iter().map(|(what, _)| what).collect();
            let gaps = arrived.windows(2).filter(|w| w[1] > w[0] + 1).count();
            (link.passed().by_chance, gaps)
        };
        let (alone, gaps) = lost(shape);
        assert!((850..1_150).contains(&alone) && gaps > 850, "{alone} in {gaps}");
        shape.way.loss_per_million = 0;
        // One in a hundred begins a burst of ten on average.
        shape.bursts =
            Some(Bursts { begin_per_million: 10_000, end_per_million: 100_000, loss_per_million: 1_000_000 });
        let (bursts, gaps) = lost(shape);
        assert!((1_400..2_300).contains(&bursts) && (140..240).contains(&gaps), "{bursts} in {gaps}");
    }

    #[test]
    fn a_gate_delivers_in_aggregates_and_a_radio_changes_its_rate() {
        let zero = Instant::now();
        let mut shape = Shape::free(ms(10));
        shape.gate = Some(Gate { least: ms(20), most: ms(50) });
        let mut link = Link::new(shape, 3, zero);
        (0..200_u32).for_each(|n| link.send(1_000, n, zero + ms(u64::from(n))).unwrap());
        let mut times: Vec<u64> = drain(&mut link, zero).into_iter().map(|(_, at)| at).collect();
        times.dedup();
        assert!((4..=11).contains(&times.len()), "{times:?}");
        assert!(times.windows(2).all(|w| (20..=51).contains(&(w[1] - w[0]))), "{times:?}");

        let mut shape = Shape::narrow(800_000, ms(100_000), ms(0));
        let wobble = Wobble { every: ms(10), least_percent: 20, most_percent: 180 };
        shape.bottleneck = shape.bottleneck.map(|b| Bottleneck { wobble: Some(wobble), ..b });
        let mut link = Link::new(shape, 3, zero);
        (0..1_000_u32).for_each(|n| link.send(1_000, n, zero).unwrap());
        let times: Vec<u64> = drain(&mut link, zero).into_iter().map(|(_, at)| at).collect();
        let last = *times.last().unwrap();
        assert!((9_000..11_000).contains(&last), "the mean is the nominal rate: {last}");
        let spans: Vec<u64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(spans.iter().max() > spans.iter().min(), "but it is not steady");
    }
}
