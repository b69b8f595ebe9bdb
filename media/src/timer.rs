//! When whom to wake: one entry per key, the earliest found at once, so that a thousand idle peers cost nothing.
//!
//! An alarm that is moved leaves its old entry in the heap; such entries are passed over, and swept out when they are the
//! many. Nothing here takes memory once it has seen its largest crowd.

use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::Hash;
use std::time::Instant;

/// Stale entries are swept out when there are so many more than alarms.
const STALE_MAX: usize = 64;

/// A set of alarms, at most one per key.
#[derive(Debug)]
pub struct Timers<K> {
    /// Its top is never stale.
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    /// Keys are our own numbers: nobody outside can choose them to collide.
    by_key: FxHashMap<K, Instant>,
}

impl<K: Ord + Hash + Copy> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord + Hash + Copy> Timers<K> {
    /// No alarms.
    #[must_use]
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), by_key: FxHashMap::default() }
    }

    /// Sets, moves or (with `None`) removes the alarm of a key.
    pub fn set(&mut self, key: K, at: Option<Instant>) {
        let old = match at {
            Some(at) => self.by_key.insert(key, at),
            None => self.by_key.remove(&key),
        };
        if old == at {
            return;
        }
        if let Some(at) = at {
            self.heap.push(Reverse((at, key)));
        }
        if self.heap.len() > 2 * self.by_key.len() + STALE_MAX {
            let Self { heap, by_key } = self;
            heap.retain(|Reverse((at, key))| by_key.get(key) == Some(at));
        }
        self.settle();
    }

    /// The earliest alarm.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out one alarm that is due.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let Reverse((at, key)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.set(key, None);
        Some(key)
    }

    /// Alarms that stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Passes over stale entries at the top.
    fn settle(&mut self) {
        while let Some(Reverse((at, key))) = self.heap.peek()
            && self.by_key.get(key) != Some(at)
        {
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_alarm_per_key_and_the_earliest_first() {
        let start = Instant::now() + Duration::from_secs(1);
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set('a', Some(at(30)));
        timers.set('b', Some(at(20)));
        timers.set('a', Some(at(10)));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop(at(9)), None);
        assert_eq!(timers.pop(at(25)), Some('a'));
        assert_eq!(timers.pop(at(25)), Some('b'));
        assert_eq!(timers.pop(at(25)), None);
        timers.set('c', Some(at(40)));
        timers.set('c', None);
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }

    #[test]
    fn alarms_that_are_moved_for_ever_take_no_more_and_no_more_memory() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.set(9, Some(at(0)));
        for ms in 1..100_000 {
            timers.set(ms % 9, Some(at(ms)));
            timers.set(ms % 7, None);
            timers.set(ms % 9, Some(at(ms)));
            assert_eq!(timers.next(), Some(at(0)));
        }
        assert!(timers.heap.capacity() < 4 * STALE_MAX, "{}", timers.heap.capacity());
        assert_eq!(timers.pop(at(0)), Some(9));
        let mut last = at(0);
        for left in (0..timers.len()).rev() {
            let next = timers.next().unwrap();
            assert!(next >= last);
            last = next;
            assert!(timers.pop(next).is_some());
            assert_eq!(timers.len(), left);
        }
        assert_eq!(timers.next(), None);
    }
}
