//! When what may leave: bursts that keep send calls large, at a pace the way carries.
//!
//! ```text
//!   level   ▁▃▆█ a burst leaves at once ▇▆▅▄▃▂ drains at the pace ▂▅█ …
//! ```
//!
//! A leaky bucket: everything sent fills it, time drains it, and paced media wait while it is over the brim. A picture usually
//! fits below the brim and leaves in one send call. Sound and repairs are never asked: they only fill it. What has to wait does so as
//! a reference to the track's cache ([`Waiting`]), not as a copy, and is chosen, numbered and sealed when it leaves.

use crate::downlink::SlotIndex;
use crate::packet::TrackId;
use crate::seq::SeqNo;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A packet in a track's cache that a slot gets when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Whose packet.
    pub track: TrackId,
    /// For which slot.
    pub slot: SlotIndex,
    /// Its spatial layer.
    pub spatial: u8,
    /// Its place in its sequence.
    pub seq: SeqNo,
    /// Payload in bytes.
    pub len: u16,
}

/// The pace of one subscriber.
#[derive(Debug, Default)]
pub struct Pace {
    level: f64,
    at: Option<Instant>,
    queue: VecDeque<Waiting>,
    queued_bytes: usize,
}

impl Pace {
    /// This many bytes left, headers included.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        self.level += bytes as f64;
    }

    /// Whether paced media may leave now, at this pace.
    #[inline]
    pub fn may_send(&mut self, bps: u64, now: Instant) -> bool {
        self.drain(bps, now);
        self.level < brim(bps)
    }

    /// When it may again: a good part of a burst later, so that what leaves then shares send calls, too.
    #[must_use]
    pub fn ready_at(&self, bps: u64, now: Instant) -> Instant {
        let over = (self.level - brim(bps) / 2.0).max(0.0);
        now + Duration::from_secs_f64(over * 8.0 / bps.max(1) as f64).clamp(WAIT_MIN, WAIT_MAX)
    }

    /// Lets a packet wait behind the others. Says whether there was room: what would leave only after [`QUEUE_MAX`] is too late to
    /// be watched, and stands in the way of what comes after it.
    pub fn wait(&mut self, waiting: Waiting, bps: u64) -> bool {
        let bytes = self.queued_bytes + usize::from(waiting.len);
        let late = delay(bytes, bps) > QUEUE_MAX && self.queue.len() >= QUEUE_PACKETS_MIN;
        if self.queue.len() >= QUEUE_PACKETS_MAX || late {
            return false;
        }
        self.queued_bytes = bytes;
        self.queue.push_back(waiting);
        true
    }

    /// The next one whose turn it is.
    pub fn pop(&mut self) -> Option<Waiting> {
        let next = self.queue.pop_front()?;
        self.queued_bytes -= usize::from(next.len);
        Some(next)
    }

    /// Takes out all that waits for a slot. Says how many.
    pub fn forget(&mut self, slot: SlotIndex) -> usize {
        let before = self.queue.len();
        self.queue.retain(|waiting| waiting.slot != slot);
        self.queued_bytes = self.queue.iter().map(|waiting| usize::from(waiting.len)).sum();
        before - self.queue.len()
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of media that wait.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn drain(&mut self, bps: u64, now: Instant) {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.at = Some(now);
        self.level = (self.level - passed.as_secs_f64() * bps as f64 / 8.0).max(0.0);
    }
}

/// How long so many bytes take to leave.
fn delay(bytes: usize, bps: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / bps.max(1) as f64)
}

/// How full the bucket may be before media wait, in bytes.
fn brim(bps: u64) -> f64 {
    (bps as f64 / 8.0 * BURST.as_secs_f64()).max(BURST_BYTES_MIN)
}

/// A burst is what the pace carries in this time: most of a picture at 30 a second, at one and a half times its rate.
pub const BURST: Duration = Duration::from_millis(20);
/// … and never less than this, in bytes: four full packets in one send call.
const BURST_BYTES_MIN: f64 = 4_800.0;
/// Longest wait. A queue that is longer is dropped, and its slots go on with a key frame of a layer that fits: delay would
/// otherwise only grow.
pub const QUEUE_MAX: Duration = Duration::from_millis(400);
/// So many packets may wait however slow the pace is: the key frame of a small picture.
const QUEUE_PACKETS_MIN: usize = 16;
/// Most packets that wait: the replay of a large picture, 32 bytes each.
pub const QUEUE_PACKETS_MAX: usize = 512;
/// Shortest sleep: timers are not finer.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// Longest sleep: the pace may have changed by then.
const WAIT_MAX: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(slot: u16, seq: u64) -> Waiting {
        Waiting { track: TrackId(1), slot: SlotIndex(slot), spatial: 0, seq: SeqNo(seq), len: 1_000 }
    }

    #[test]
    fn a_picture_leaves_at_once_and_a_flood_at_the_pace() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let (mut sent, mut now) = (0u64, start);
        // 4 Mbit/s: 10,000 bytes are a burst.
        while pace.may_send(4_000_000, now) {
            pace.sent(1_000);
            sent += 1;
        }
        assert_eq!(sent, 10);
        while now < start + Duration::from_secs(1) {
            now = pace.ready_at(4_000_000, now);
            while pace.may_send(4_000_000, now) {
                pace.sent(1_000);
                sent += 1;
            }
        }
        assert!((505..=520).contains(&sent), "{sent} of 500 and a burst");
    }

    #[test]
    fn those_who_wait_keep_their_order_and_are_bounded_in_time() {
        let mut pace = Pace::default();
        let taken = (0..).take_while(|seq| pace.wait(waiting(0, *seq), 1_000_000)).count();
        assert_eq!(taken, 50, "400 ms at 1 Mbit/s");
        assert_eq!(delay(pace.queued_bytes, 1_000_000), QUEUE_MAX);
        assert_eq!(pace.pop(), Some(waiting(0, 0)));
        assert!(pace.wait(waiting(1, 7), 1_000_000));
        assert_eq!(pace.forget(SlotIndex(0)), 49);
        assert_eq!((pace.pop(), pace.pop()), (Some(waiting(1, 7)), None));
        assert!(pace.is_idle());
        let at_a_crawl = (0..).take_while(|seq| pace.wait(waiting(0, *seq), 1)).count();
        assert_eq!(at_a_crawl, QUEUE_PACKETS_MIN);
        let in_no_time = (0..).take_while(|seq| pace.wait(waiting(0, *seq), u64::MAX)).count();
        assert_eq!(in_no_time + QUEUE_PACKETS_MIN, QUEUE_PACKETS_MAX);
    }
}
