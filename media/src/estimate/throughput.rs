//! How much arrives: the rate of acknowledged bytes on the peer's clock.

use super::groups::Group;
use crate::fetch::fetch_all;

/// Groups that arrive within this are counted together, in µs.
const SLOT_US: i64 = 20_000;
/// Slots kept: more than a second of a busy stream.
const SLOTS: usize = 56;
/// What is looked back on when nothing special happens, in µs: ten pictures and more, so that one large one does not show.
const WINDOW_US: i64 = 500_000;
/// Anything shorter says nothing: a single burst would decide, in µs.
const WINDOW_MIN_US: i64 = 60_000;

/// What has gone on for this long is no burst, in µs.
const CARRIED_US: i64 = 250_000;

/// Arrived bytes in slots of [`SLOT_US`].
#[derive(Debug)]
pub(super) struct Throughput {
    slots: [Slot; SLOTS],
    /// Slots begun so far; the newest is at `begun - 1` modulo the length.
    begun: usize,
}

/// Bytes that arrived after the slot before, until `arrival_us`.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    arrival_us: i64,
    sent_us: u64,
    bytes: u32,
    begun_us: i64,
}

/// Bits per second over a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// At which they arrived.
    pub(super) arrived_bps: f64,
    /// At which they were sent.
    pub(super) sent_bps: f64,
}

impl Throughput {
    pub(super) fn new() -> Self {
        Self { slots: [Slot::default(); SLOTS], begun: 0 }
    }

    /// Asks for what a group needs.
    pub(super) fn fetch(&self) {
        fetch_all(&self.slots);
    }

    /// A group arrived.
    pub(super) fn push(&mut self, group: &Group) {
        if let Some(slot) = self.newest_mut()
            && group.last_arrival_us - slot.begun_us < SLOT_US
        {
            slot.arrival_us = slot.arrival_us.max(group.last_arrival_us);
            slot.sent_us = slot.sent_us.max(group.last_sent_us);
            slot.bytes = slot.bytes.saturating_add(group.bytes);
            return;
        }
        self.begun += 1;
        let begun_us = group.last_arrival_us;
        if let Some(slot) = self.newest_mut() {
            *slot =
                Slot { arrival_us: group.last_arrival_us, sent_us: group.last_sent_us, bytes: group.bytes, begun_us };
        }
    }

    /// What arrives at present: not more than was sent, as a queue that empties at once says nothing of the way.
    pub(super) fn bps(&self) -> Option<f64> {
        let newest = self.newest()?;
        let measured = self.measure(|slot| newest.arrival_us - slot.arrival_us >= WINDOW_US)?;
        Some(measured.arrived_bps.min(measured.sent_bps))
    }

    /// What has arrived for long enough to be called carried.
    pub(super) fn carried_bps(&self) -> Option<f64> {
        let newest = self.newest()?;
        let oldest = self.slots.get(self.begun.saturating_sub(SLOTS) % SLOTS)?;
        (newest.arrival_us - oldest.arrival_us >= CARRIED_US).then(|| self.bps()).flatten()
    }

    /// What has arrived of what was sent since then: while the bottleneck is busy, its capacity.
    pub(super) fn since(&self, sent_us: u64) -> Option<Measured> {
        self.measure(|slot| slot.sent_us <= sent_us)
    }

    /// The rate from the newest slot that `begins` until now, or since the oldest there is.
    fn measure(&self, begins: impl Fn(&Slot) -> bool) -> Option<Measured> {
        let newest = *self.newest()?;
        let (mut bytes, mut from) = (0_u64, newest);
        for back in 1..self.begun.min(SLOTS) {
            // What a slot counts came after the one before it.
            bytes += u64::from(from.bytes);
            from = self.slots[(self.begun - 1 - back) % SLOTS];
            if begins(&from) && newest.arrival_us - from.arrival_us >= WINDOW_MIN_US {
                break;
            }
        }
        let arrived_us = newest.arrival_us - from.arrival_us;
        if arrived_us < WINDOW_MIN_US {
            return None;
        }
        let sent_us = newest.sent_us.saturating_sub(from.sent_us).max(1);
        let bits = bytes as f64 * 8.0 * 1e6;
        Some(Measured { arrived_bps: bits / arrived_us as f64, sent_bps: bits / sent_us as f64 })
    }

    /// The peer's clock is another now.
    pub(super) fn restart(&mut self) {
        self.begun = 0;
    }

    fn newest(&self) -> Option<&Slot> {
        let last = self.begun.checked_sub(1)?;
        self.slots.get(last % SLOTS)
    }

    fn newest_mut(&mut self) -> Option<&mut Slot> {
        let last = self.begun.checked_sub(1)?;
        self.slots.get_mut(last % SLOTS)
    }
}
