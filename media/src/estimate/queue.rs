//! How long packets wait in the network: transit times above the least one known.
//!
//! ```text
//!   transit  │  ╷╷   ╷ ╷   ╷╷                    single groups: jitter, a radio's pauses
//!            │ ╷││╷╷╷│╷│╷╷╷││╷                   level: least of the last 50 ms
//!            │─┴──┴─┴──┴─┴──┴─── level
//!            │━━━━━━━━━━━━━━━━━━ base: least of the last minute or two
//! ```
//!
//! Jitter only ever adds, so the least of a short time is what the queue does. The base is forgotten slowly (clocks drift), and at
//! once when the level stays flat above it without a packet lost: then the way is longer than it was, as queues never stay flat for long.

use crate::fetch::{fetch, fetch_all};
/// The level is the least of so much time, in µs: as long as radios keep packets back.
const LEVEL_US: u64 = 50_000;
/// Groups remembered for it: they are at least 5 ms apart, or told by different feedback.
const RECENT: usize = 12;
/// Half of what the base is looked back on for at most, in µs.
const BASE_US: u64 = 60_000_000;
/// A level that moved by no more than this and half a packet's time, in µs …
const FLAT_US: i64 = 8_000;
/// (a packet that takes longer counts as this, in ms)
const PACKET_MS_MOST: f64 = 75.0;
/// … for this long, in µs, without a loss, is a longer way.
const FLAT_FOR_US: u64 = 2_500_000;

/// Least transit times, near and far.
#[derive(Debug, Default)]
pub(super) struct Queue {
    recent: [Seen; RECENT],
    next: usize,
    level_us: i64,
    newest_us: i64,
    /// Least of the window under way and of the one before.
    base: Option<[i64; 2]>,
    base_since_us: u64,
    flat: Flat,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    sent_us: u64,
    transit_us: i64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { sent_us: 0, transit_us: i64::MAX }
    }
}

/// Bounds of the level since it began to be flat.
#[derive(Debug, Default, Clone, Copy)]
struct Flat {
    since_us: u64,
    least_us: i64,
    most_us: i64,
}

impl Queue {
    /// A group was in transit for so long. `lost`: packets were lost since the last one.
    /// `packet_ms`: how long one packet takes at the present rate.
    pub(super) fn transit(&mut self, transit_us: i64, sent_us: u64, lost: bool, packet_ms: f64) {
        self.newest_us = transit_us;
        self.recent[self.next % RECENT] = Seen { sent_us, transit_us };
        self.next = self.next.wrapping_add(1);
        let young = self.recent.iter().filter(|seen| seen.sent_us + LEVEL_US >= sent_us);
        self.level_us = young.map(|seen| seen.transit_us).min().unwrap_or(transit_us).min(transit_us);

        let [current, before] = self.base.unwrap_or([transit_us; 2]);
        let turned = sent_us.saturating_sub(self.base_since_us) >= BASE_US;
        self.base = Some(if turned { [transit_us, current] } else { [current.min(transit_us), before] });
        if turned {
            self.base_since_us = sent_us;
        }
        self.watch_flat(sent_us, lost, FLAT_US + (packet_ms.min(PACKET_MS_MOST) * 500.0) as i64);
    }

    /// Asks for what a group needs.
    pub(super) fn fetch(&self) {
        fetch_all(&self.recent);
        fetch(&self.level_us);
        fetch(&self.flat);
    }

    /// What the queue does to a packet, on an arbitrary scale, in µs.
    pub(super) fn level_us(&self) -> i64 {
        self.level_us
    }

    /// How long packets wait, in ms.
    pub(super) fn wait_ms(&self) -> f64 {
        self.base.map_or(0.0, |[current, before]| (self.level_us - current.min(before)) as f64 / 1_000.0)
    }

    /// By how much the newest group waited longer than the level, in ms.
    pub(super) fn above_level_ms(&self) -> f64 {
        (self.newest_us - self.level_us) as f64 / 1_000.0
    }

    /// The peer's clock is another now.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    fn watch_flat(&mut self, sent_us: u64, lost: bool, within_us: i64) {
        let flat = &mut self.flat;
        flat.least_us = flat.least_us.min(self.level_us);
        flat.most_us = flat.most_us.max(self.level_us);
        if lost || flat.most_us - flat.least_us > within_us {
            *flat = Flat { since_us: sent_us, least_us: self.level_us, most_us: self.level_us };
        } else if sent_us.saturating_sub(flat.since_us) >= FLAT_FOR_US {
            self.base = Some([flat.least_us; 2]);
            self.base_since_us = sent_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: i64 = 40_000;

    /// Groups every 20 ms with these waits in ms, from `from` on; the wait seen at the end.
    fn feed(queue: &mut Queue, from: u64, waits: impl Iterator<Item = i64>) -> f64 {
        for (n, wait) in waits.enumerate() {
            queue.transit(BASE + wait * 1_000, 1_000_000 + (from + n as u64) * 20_000, false, 5.0);
        }
        queue.wait_ms()
    }

    #[test]
    fn jitter_is_no_queue_and_a_queue_is() {
        let mut queue = Queue::default();
        assert_eq!(feed(&mut queue, 0, (0..200).map(|n| n % 3 * 15)), 0.0);
        assert_eq!(feed(&mut queue, 200, (0..10).map(|n| 100 + n % 3 * 15)), 100.0);
    }

    #[test]
    fn a_way_that_became_longer_is_believed_in_the_end() {
        let mut queue = Queue::default();
        feed(&mut queue, 0, (0..100).map(|_| 0));
        let longer = |n: i64| 80 + n % 2 * 5;
        assert_eq!(feed(&mut queue, 100, (0..100).map(longer)), 80.0, "two seconds");
        assert_eq!(feed(&mut queue, 200, (0..50).map(longer)), 0.0, "three");
    }

    #[test]
    fn a_queue_that_moves_is_never_taken_for_the_way() {
        let mut queue = Queue::default();
        feed(&mut queue, 0, (0..100).map(|_| 0));
        // TCP between 50 and 150 ms for half a minute.
        let wait = feed(&mut queue, 100, (0..1_500).map(|n| 50 + n % 100));
        assert!(wait > 50.0, "{wait}");
    }
}
