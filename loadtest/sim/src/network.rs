//! A network from a seed: what is delayed, lost, overtaken and doubled.

use lyceum_wire::splitmix;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A stream of numbers from a seed, and what a network asks of it.
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
        splitmix::next(&mut self.0)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True this often in a million times.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
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
    /// Losses that come together.
    pub bursts: Option<Bursts>,
    /// A bottleneck: what comes faster waits, and is lost when it would wait too long.
    pub limit: Option<Limit>,
}

/// Losses that come together: a way is good or bad, and changes with the packets that pass (Gilbert and Elliott).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bursts {
    /// A good way turns bad with a packet, of a million times.
    pub begin_per_million: u32,
    /// A bad way turns good again.
    pub end_per_million: u32,
    /// Lost while it is bad, of a million.
    pub loss_per_million: u32,
}

/// A bottleneck with a queue before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Its rate.
    pub bits_per_second: u64,
    /// A packet that would wait longer is lost.
    pub queue: Duration,
}

impl Conditions {
    /// A way without faults.
    #[must_use]
    pub fn clean(delay: Duration) -> Self {
        Self { delay, jitter: Duration::ZERO, loss_per_million: 0, doubled_per_million: 0, bursts: None, limit: None }
    }

    /// A way with this loss in percent, some jitter, and some packets doubled.
    #[must_use]
    pub fn rough(delay: Duration, loss_percent: u32) -> Self {
        let loss_per_million = loss_percent * 10_000;
        Self {
            jitter: delay / 4 + Duration::from_millis(2),
            loss_per_million,
            doubled_per_million: 3_000,
            ..Self::clean(delay)
        }
    }

    /// A way by chance: anything from a fair one to one that nobody would want, but that a call survives.
    #[must_use]
    pub fn drawn(random: &mut Random, longest: Duration) -> Self {
        let delay = Duration::from_millis(1) + random.up_to(longest);
        let mut way = Self::clean(delay);
        if random.one_in(2) {
            way.jitter = random.up_to(delay / 2 + Duration::from_millis(5));
        }
        if random.one_in(2) {
            way.loss_per_million = random.below(50_000) as u32;
        }
        if random.one_in(3) {
            way.doubled_per_million = random.below(10_000) as u32;
        }
        if random.one_in(3) {
            way.bursts = Some(Bursts {
                begin_per_million: random.below(10_000) as u32,
                end_per_million: 100_000 + random.below(400_000) as u32,
                loss_per_million: 300_000 + random.below(700_000) as u32,
            });
        }
        way
    }

    /// The same behind a bottleneck.
    #[must_use]
    pub fn behind(self, bits_per_second: u64, queue: Duration) -> Self {
        Self { limit: Some(Limit { bits_per_second, queue }), ..self }
    }

    /// After which times a packet arrives: never, once or twice. Bursts and bottlenecks are the business of whoever has a past.
    pub(crate) fn arrivals(&self, random: &mut Random) -> impl Iterator<Item = Duration> + use<> {
        let lost = random.chance(self.loss_per_million);
        let doubled = random.chance(self.doubled_per_million);
        let (first, second) = (self.delay + random.up_to(self.jitter), self.delay + random.up_to(self.jitter));
        [(!lost).then_some(first), doubled.then_some(second)].into_iter().flatten()
    }

    /// Whether anything can be lost on it.
    #[must_use]
    pub fn loses(&self) -> bool {
        self.loss_per_million > 0 || self.bursts.is_some() || self.limit.is_some()
    }
}

/// A way in use: its conditions, and what of its past matters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) conditions: Conditions,
    bad: bool,
    /// When its bottleneck has sent all it holds.
    free_at: Option<Instant>,
}

/// When one packet arrives: never, once or twice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrivals([Option<Duration>; 2]);

impl Arrivals {
    /// After which times.
    pub(crate) fn times(self) -> impl Iterator<Item = Duration> {
        self.0.into_iter().flatten()
    }

    /// Never.
    pub(crate) fn lost(self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl Way {
    pub(crate) fn new(conditions: Conditions) -> Self {
        Self { conditions, bad: false, free_at: None }
    }

    /// A packet of so many bytes is sent on it.
    pub(crate) fn send(&mut self, bytes: usize, now: Instant, random: &mut Random) -> Arrivals {
        let Conditions { delay, jitter, loss_per_million, doubled_per_million, bursts, limit } = self.conditions;
        let mut queued = Duration::ZERO;
        if let Some(Limit { bits_per_second, queue }) = limit {
            let begins = self.free_at.map_or(now, |free| free.max(now));
            if begins - now > queue {
                return Arrivals([None, None]);
            }
            let ends = begins + Duration::from_nanos(bytes as u64 * 8_000_000_000 / bits_per_second.max(1));
            self.free_at = Some(ends);
            queued = ends - now;
        }
        let mut lost = random.chance(loss_per_million);
        if let Some(Bursts { begin_per_million, end_per_million, loss_per_million }) = bursts {
            self.bad = if self.bad { !random.chance(end_per_million) } else { random.chance(begin_per_million) };
            lost |= self.bad && random.chance(loss_per_million);
        }
        let doubled = random.chance(doubled_per_million);
        let first = queued + delay + random.up_to(jitter);
        let second = queued + delay + random.up_to(jitter);
        Arrivals([(!lost).then_some(first), doubled.then_some(second)])
    }

    /// A message that must arrive is sent on it: loss costs a retransmission, never the message.
    pub(crate) fn send_reliably(&mut self, random: &mut Random) -> Duration {
        let Conditions { delay, jitter, loss_per_million, .. } = self.conditions;
        let mut after = delay + random.up_to(jitter);
        while random.chance(loss_per_million) {
            after += delay * 3;
        }
        after
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
        let mut way = Way::new(Conditions::rough(Duration::from_millis(20), 5));
        let now = Instant::now();
        let times: Vec<Vec<_>> = (0..10_000).map(|_| way.send(100, now, &mut random).times().collect()).collect();
        let lost = times.iter().filter(|arrivals| arrivals.is_empty()).count();
        assert!((400..600).contains(&lost), "{lost}");
        assert!(times.iter().any(|arrivals| arrivals.len() == 2));
        assert!(times.iter().flatten().all(|after| (20..=27).contains(&after.as_millis())));
    }

    #[test]
    fn a_bottleneck_lets_through_its_rate_and_holds_its_queue() {
        let mut random = Random::new(1);
        let delay = Duration::from_millis(10);
        let mut way = Way::new(Conditions::clean(delay).behind(1_000_000, Duration::from_millis(100)));
        let zero = Instant::now();
        // 2 Mbit/s for a second: half gets through, after the delay, its own time on the wire and at most the queue's.
        let sent: Vec<_> =
            (0..250).map(|n| way.send(1_000, zero + Duration::from_millis(4) * n, &mut random)).collect();
        let through = sent.iter().filter(|arrivals| !arrivals.lost()).count();
        assert!((125..=140).contains(&through), "{through}");
        let longest = sent.iter().flat_map(|arrivals| arrivals.times()).max().unwrap();
        assert!((105..=118).contains(&longest.as_millis()), "{longest:?}");
    }

    #[test]
    fn bursts_lose_in_a_row() {
        let mut random = Random::new(1);
        let bursts = Bursts { begin_per_million: 5_000, end_per_million: 200_000, loss_per_million: 1_000_000 };
        let mut way = Way::new(Conditions { bursts: Some(bursts), ..Conditions::clean(Duration::ZERO) });
        let now = Instant::now();
        let lost: Vec<bool> = (0..20_000).map(|_| way.send(100, now, &mut random).lost()).collect();
        let all = lost.iter().filter(|lost| **lost).count();
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((300..700).contains(&all), "{all}");
        assert!(all > runs * 3, "{all} in {runs} runs");
    }
}
