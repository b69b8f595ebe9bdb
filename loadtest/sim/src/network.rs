//! A network from a seed: what is delayed, lost, overtaken and doubled.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True this often in a million times.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// A time from zero up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.below(most.as_nanos() as u64 + 1))
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes());
        }
        bytes
    }
}

/// How a way between two machines behaves, in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conditions {
    /// Every packet takes at least this long.
    pub delay: Duration,
    /// And up to this much more; packets overtake each other by it.
    pub jitter: Duration,
    /// Lost, of a million.
    pub loss_per_million: u32,
    /// Arriving twice, of a million.
    pub doubled_per_million: u32,
}

impl Conditions {
    /// A way without faults.
    #[must_use]
    pub fn clean(delay: Duration) -> Self {
        Self { delay, jitter: Duration::ZERO, loss_per_million: 0, doubled_per_million: 0 }
    }

    /// A way with this loss in percent, some jitter, and some packets doubled.
    #[must_use]
    pub fn rough(delay: Duration, loss_percent: u32) -> Self {
        let loss_per_million = loss_percent * 10_000;
        Self { delay, jitter: delay / 4 + Duration::from_millis(2), loss_per_million, doubled_per_million: 3_000 }
    }

    /// After which times a packet arrives: never, once or twice.
    pub(crate) fn arrivals(&self, random: &mut Random) -> impl Iterator<Item = Duration> + use<> {
        let lost = random.chance(self.loss_per_million);
        let doubled = random.chance(self.doubled_per_million);
        let (first, second) = (self.delay + random.up_to(self.jitter), self.delay + random.up_to(self.jitter));
        [(!lost).then_some(first), doubled.then_some(second)].into_iter().flatten()
    }
}

/// What is under way, in order of arrival; what was sent first goes first among equals.
#[derive(Debug)]
pub(crate) struct Underway<T> {
    heap: BinaryHeap<Reverse<Arrival<T>>>,
    sent: u64,
}

#[derive(Debug)]
struct Arrival<T> {
    at: Instant,
    number: u64,
    what: T,
}

impl<T> PartialEq for Arrival<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Arrival<T> {}

impl<T> PartialOrd for Arrival<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Arrival<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> Underway<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), sent: 0 }
    }

    pub(crate) fn send(&mut self, at: Instant, what: T) {
        self.sent += 1;
        self.heap.push(Reverse(Arrival { at, number: self.sent, what }));
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|arrival| arrival.0.at)
    }

    pub(crate) fn take_due(&mut self, now: Instant) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|arrival| arrival.0.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_come_in_order_of_time_then_of_sending() {
        let zero = Instant::now();
        let mut underway = Underway::new();
        for (ms, name) in [(5, "b"), (1, "a"), (5, "c")] {
            underway.send(zero + Duration::from_millis(ms), name);
        }
        assert_eq!(underway.take_due(zero), None);
        let late = zero + Duration::from_secs(1);
        let order: Vec<_> = std::iter::from_fn(|| underway.take_due(late)).collect();
        assert_eq!(order, ["a", "b", "c"]);
    }

    #[test]
    fn conditions_are_met_within_what_chance_allows() {
        let mut random = Random::new(1);
        let way = Conditions::rough(Duration::from_millis(20), 5);
        let times: Vec<Vec<_>> = (0..10_000).map(|_| way.arrivals(&mut random).collect()).collect();
        let lost = times.iter().filter(|arrivals| arrivals.is_empty()).count();
        assert!((400..600).contains(&lost), "{lost}");
        assert!(times.iter().any(|arrivals| arrivals.len() == 2));
        assert!(times.iter().flatten().all(|after| (20..=27).contains(&after.as_millis())));
    }
}
