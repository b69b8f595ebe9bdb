//! What was sent and what became of it.
//!
//! ```text
//!   number   oldest ……… decided ……… next
//!             │ settled:   │ may still │
//!             │ arrived or │ arrive    │
//!             │ lost       │           │
//! ```
//!
//! A ring of 16 bytes per packet. It grows while packets that nobody has spoken of would fall out, up to [`PACKETS_MAX`].

use super::Sent;
use super::ignored::Ignored;
use crate::fetch::fetch;
use crate::seq::nearest_u16;
use std::num::NonZeroU8;

/// Packets the ring begins with: a second of 2 Mbit/s, 4 KiB.
const PACKETS_FIRST: usize = 256;
/// Packets it grows to: a second of 50 Mbit/s, 64 KiB. Above it the oldest are forgotten unheard.
pub const PACKETS_MAX: usize = 4_096;
/// Nothing is remembered longer, in µs: no path takes that long, and sending times have 32 bits.
const AGE_MAX_US: u64 = 10_000_000;
/// A packet that was told missing is lost when one sent this much later has arrived, in µs: above what links reorder.
const REORDER_US: u64 = 30_000;

/// The ring.
#[derive(Debug)]
pub(super) struct History {
    ring: Vec<Entry>,
    /// Extended number of the next packet.
    next: u64,
    oldest: u64,
    /// First number that is not settled.
    decided: u64,
    /// Bytes of packets in `decided..next` that nobody said arrived.
    in_flight: u64,
    /// When the newest was sent, in µs.
    newest_us: u64,
    /// When the newest one that arrived was sent, in µs.
    heard_us: u64,
    /// Number behind the newest one that arrived.
    heard: u64,
}

/// One packet.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Sending time in µs, its low 32 bits.
    sent_us: u32,
    ssrc: u32,
    sequence: u16,
    bytes: u16,
    probe: Option<NonZeroU8>,
    fate: Fate,
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    /// A number that no packet had.
    #[default]
    Absent,
    /// Nobody has spoken of it.
    Unknown,
    /// Not there when it was spoken of last.
    Missing,
    /// It arrived.
    Arrived,
}

/// A packet of which it is told for the first time that it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) sent_us: u64,
    pub(super) bytes: u16,
    pub(super) probe: Option<NonZeroU8>,
    /// Bytes sent before it of which no feedback ever spoke, and not counted with another packet.
    pub(super) unspoken_bytes: u32,
}

/// A packet whose fate will not change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) sent_us: u64,
    pub(super) bytes: u16,
    pub(super) lost: bool,
}

impl History {
    pub(super) fn new() -> Self {
        Self {
            ring: vec![Entry::default(); PACKETS_FIRST],
            next: 0,
            oldest: 0,
            decided: 0,
            in_flight: 0,
            newest_us: 0,
            heard_us: 0,
            heard: 0,
        }
    }

    /// Asks for the places of packets not settled yet.
    #[inline]
    pub(super) fn fetch_open(&self) {
        let open = (self.decided..self.next).step_by(64 / size_of::<Entry>()).take(8);
        open.for_each(|number| self.fetch_place(number));
    }

    /// Asks for the place of the next packet, and that of the oldest, which may make room for it.
    #[inline]
    pub(super) fn fetch_ends(&self) {
        self.fetch_place(self.next);
        self.fetch_place(self.oldest);
    }

    #[inline]
    fn fetch_place(&self, number: u64) {
        if let Some(entry) = self.ring.get(self.at(number)) {
            fetch(entry);
        }
    }

    /// A packet left.
    #[inline]
    pub(super) fn sent(&mut self, packet: &Sent, now_us: u64) {
        let number =
            if self.next == 0 { 1 << 16 | u64::from(packet.number) } else { nearest_u16(self.next, packet.number) };
        let stale = now_us.saturating_sub(self.newest_us) > AGE_MAX_US;
        if stale || number < self.next || number - self.next > PACKETS_FIRST as u64 {
            // A long pause, a number again, or a jump: nothing from before can be told apart any more.
            (self.oldest, self.decided, self.next, self.in_flight) = (number, number, number, 0);
        }
        while self.next <= number {
            self.make_room(now_us);
            let at = self.at(self.next);
            self.ring[at] = Entry::default();
            self.next += 1;
        }
        self.newest_us = now_us;
        let at = self.at(number);
        self.ring[at] = Entry {
            sent_us: now_us as u32,
            ssrc: packet.ssrc.0,
            sequence: packet.sequence,
            bytes: packet.bytes,
            probe: packet.probe.map(|cluster| cluster.0),
            fate: Fate::Unknown,
        };
        self.in_flight += u64::from(packet.bytes);
    }

    /// The full number whose low bits are these, if it is remembered.
    #[inline]
    pub(super) fn resolve(&self, number: u16) -> Option<u64> {
        let full = nearest_u16(self.next, number);
        (self.oldest..self.next).contains(&full).then_some(full)
    }

    /// It was told that this packet arrived.
    #[inline]
    pub(super) fn arrived(&mut self, number: u64) -> Result<Acked, Ignored> {
        let mut acked = self.look(number)?;
        let at = self.at(number);
        self.ring[at].fate = Fate::Arrived;
        for before in self.heard.max(self.oldest)..number {
            let entry = self.ring[self.at(before)];
            acked.unspoken_bytes += if entry.fate == Fate::Unknown { u32::from(entry.bytes) } else { 0 };
        }
        self.heard = self.heard.max(number + 1);
        if number >= self.decided {
            self.in_flight = self.in_flight.saturating_sub(u64::from(acked.bytes));
        }
        self.heard_us = self.heard_us.max(acked.sent_us);
        Ok(acked)
    }

    /// What [`Self::arrived`] would say, without taking note.
    #[inline]
    pub(super) fn look(&self, number: u64) -> Result<Acked, Ignored> {
        if !(self.oldest..self.next).contains(&number) {
            return Err(Ignored::NotInHistory);
        }
        let entry = self.ring[self.at(number)];
        match entry.fate {
            Fate::Absent => Err(Ignored::NotInHistory),
            Fate::Arrived => Err(Ignored::ToldBefore),
            Fate::Unknown | Fate::Missing => Ok(Acked {
                sent_us: self.full_us(entry.sent_us),
                bytes: entry.bytes,
                probe: entry.probe,
                unspoken_bytes: 0,
            }),
        }
    }

    /// It was told that this packet has not arrived.
    #[inline]
    pub(super) fn missing(&mut self, number: u64) {
        if (self.oldest..self.next).contains(&number) {
            let at = self.at(number);
            if self.ring[at].fate == Fate::Unknown {
                self.ring[at].fate = Fate::Missing;
            }
        }
    }

    /// The first packet from `number` on whose fate is open, with its source and its number there.
    pub(super) fn open_from(&self, number: u64) -> Option<(u64, u32, u16)> {
        (number.max(self.decided)..self.next).find_map(|number| {
            let entry = &self.ring[self.at(number)];
            let open = matches!(entry.fate, Fate::Unknown | Fate::Missing);
            open.then_some((number, entry.ssrc, entry.sequence))
        })
    }

    /// The next packet whose fate is settled by what arrived after it. Feedback that was lost itself settles nothing:
    /// a packet that nobody spoke of is neither counted as arrived nor as lost.
    #[inline]
    pub(super) fn settle(&mut self) -> Option<Settled> {
        while self.decided < self.next {
            let entry = self.ring[self.at(self.decided)];
            let sent_us = self.full_us(entry.sent_us);
            let passed = sent_us + REORDER_US <= self.heard_us;
            if entry.fate != Fate::Absent && !passed {
                return None;
            }
            self.decided += 1;
            match entry.fate {
                Fate::Absent => {}
                Fate::Arrived => return Some(Settled { sent_us, bytes: entry.bytes, lost: false }),
                Fate::Missing => {
                    self.in_flight = self.in_flight.saturating_sub(u64::from(entry.bytes));
                    return Some(Settled { sent_us, bytes: entry.bytes, lost: true });
                }
                Fate::Unknown => self.in_flight = self.in_flight.saturating_sub(u64::from(entry.bytes)),
            }
        }
        None
    }

    /// Bytes whose fate is open.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Gives up on everything that is open: nothing more is expected of it.
    pub(super) fn forget_open(&mut self) {
        self.decided = self.next;
        self.in_flight = 0;
    }

    /// When the newest packet was sent.
    pub(super) fn newest_us(&self) -> u64 {
        self.newest_us
    }

    /// Bytes of memory behind the structure.
    pub(super) fn heap_bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Entry>()
    }

    /// Keeps the ring from overrunning: what is old goes, what is open and young makes the ring grow.
    #[inline]
    fn make_room(&mut self, now_us: u64) {
        if self.next - self.oldest < self.ring.len() as u64 {
            return;
        }
        let entry = self.ring[self.at(self.oldest)];
        let open = self.oldest >= self.decided && matches!(entry.fate, Fate::Unknown | Fate::Missing);
        let young = now_us.saturating_sub(self.full_us(entry.sent_us)) < AGE_MAX_US;
        if open && young && self.ring.len() < PACKETS_MAX {
            self.grow();
            return;
        }
        if open {
            self.in_flight = self.in_flight.saturating_sub(u64::from(entry.bytes));
        }
        self.oldest += 1;
        self.decided = self.decided.max(self.oldest);
    }

    #[cold]
    fn grow(&mut self) {
        let mut ring = vec![Entry::default(); self.ring.len() * 2];
        let mask = ring.len() as u64 - 1;
        for number in self.oldest..self.next {
            ring[(number & mask) as usize] = self.ring[self.at(number)];
        }
        self.ring = ring;
    }

    /// Sending times are kept as 32 bits; everything kept is at most [`AGE_MAX_US`] older than the newest or so.
    #[inline]
    fn full_us(&self, low: u32) -> u64 {
        self.newest_us.saturating_sub(u64::from((self.newest_us as u32).wrapping_sub(low)))
    }

    /// The ring's length is a power of two.
    #[inline]
    fn at(&self, number: u64) -> usize {
        (number & (self.ring.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Ssrc;

    fn packet(number: u16) -> Sent {
        Sent { number, bytes: 100, ssrc: Ssrc(7), sequence: number.wrapping_mul(3), probe: None }
    }

    #[test]
    fn what_is_told_twice_counts_once_and_what_was_never_sent_never() {
        let mut history = History::new();
        for number in 65_534..=65_537_u32 {
            history.sent(&packet(number as u16), 1_000);
        }
        assert_eq!(history.in_flight(), 400);
        let first = history.resolve(65_534).unwrap();
        assert_eq!(history.resolve(0).unwrap(), first + 2, "over the wrap");
        assert!(history.arrived(first).is_ok());
        assert_eq!(history.arrived(first), Err(Ignored::ToldBefore));
        assert_eq!(history.resolve(2), None);
        assert_eq!(history.resolve(65_533), None);
        assert_eq!(history.in_flight(), 300);
    }

    #[test]
    fn lost_is_what_was_missing_and_then_overtaken() {
        let mut history = History::new();
        for number in 0..6 {
            history.sent(&packet(number), u64::from(number) * 20_000);
        }
        let first = history.resolve(0).unwrap();
        history.missing(first);
        history.missing(first + 1);
        history.arrived(first + 2).unwrap();
        assert_eq!(history.settle().map(|s| s.lost), Some(true), "0 is 40 ms older than 2");
        assert_eq!(history.settle(), None, "1 may have been overtaken");
        history.arrived(first + 1).unwrap();
        history.arrived(first + 5).unwrap();
        let settled: Vec<_> = std::iter::from_fn(|| history.settle()).map(|s| (s.sent_us, s.lost)).collect();
        // Nobody spoke of 3: feedback on it may have been lost.
        assert_eq!(settled, [(20_000, false), (40_000, false)]);
        assert_eq!(history.in_flight(), 100, "4 is still open");
    }

    #[test]
    fn the_ring_grows_while_nobody_answers_and_then_forgets() {
        let mut history = History::new();
        for number in 0..20_000_u32 {
            history.sent(&packet(number as u16), u64::from(number) * 10);
        }
        assert_eq!(history.heap_bytes(), PACKETS_MAX * 16);
        assert_eq!(history.in_flight(), 100 * PACKETS_MAX as u64);
        let oldest = history.resolve((20_000 - PACKETS_MAX) as u16).unwrap();
        assert!(history.arrived(oldest).is_ok());
        assert_eq!(history.arrived(oldest - 1), Err(Ignored::NotInHistory));
    }

    #[test]
    fn a_small_ring_is_enough_for_those_who_answer() {
        let mut history = History::new();
        for number in 0..100_000_u32 {
            history.sent(&packet(number as u16), u64::from(number) * 1_000);
            if let Some(full) = history.resolve((number as u16).wrapping_sub(100)) {
                let _ = history.arrived(full);
                while history.settle().is_some() {}
            }
        }
        assert_eq!(history.heap_bytes(), PACKETS_FIRST * 16);
        assert_eq!(history.in_flight(), 100 * 100);
    }
}
