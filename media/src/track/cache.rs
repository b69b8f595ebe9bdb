//! The packets of one layer that may be wanted again: for repairs, and for those who join after a key frame.
//!
//! ```text
//!   entries   │ 97 │ 98 │ 99 │ 96 │        indexed by number modulo their count
//!                │    └──────┐
//!   bytes     ▓▓▓│▓▓▓▓▓▓▓│▓▓▓▓▓▓▓▓│░░░░░   one ring; `end` only rises, a packet lives until the ring has passed it
//! ```
//!
//! A dependency descriptor lies in front of its payload. Both rings begin small and double when they would overwrite something younger than [`KEEP`], up to their bounds. In steady state
//! nothing is allocated.

use crate::drop::Drop;
use crate::frame::Frame;
use crate::packet::{AudioLevel, Flags, Packet, TrackId};
use crate::seq::SeqNo;
use lyceum_wire::link::Layer;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long packets shall stay: several round trips of the farthest subscriber, and the pictures since a recent key frame.
pub const KEEP: Duration = Duration::from_millis(2_000);
/// Entries at first: two seconds of sound, or of a small picture.
const PACKETS_MIN: usize = 128;
/// Most entries: two seconds at 10 Mbit/s.
pub const PACKETS_MAX: usize = 2_048;
/// Bytes at first.
const BYTES_MIN: usize = 16 * 1024;
/// Most bytes of one layer: two seconds at 8 Mbit/s.
pub const BYTES_MAX: usize = 2 * 1024 * 1024;
/// A joiner gets the newest key frame and what followed if that is no older than this: older pictures cost more to catch up with than a new key frame costs the publisher.
pub const REPLAY_AGE_MAX: Duration = Duration::from_millis(2_000);
/// … and no more packets than this: they leave in one burst, about the burst of a large key frame.
pub const REPLAY_PACKETS_MAX: u64 = 256;

/// Recent packets of one layer, or of all layers that share a sequence.
#[derive(Debug)]
pub struct Cache {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Bytes ever written, skipped ones at the ring's end included.
    end: u64,
    highest: Option<SeqNo>,
    keyframe: Option<SeqNo>,
    /// What the byte ring holds, oldest first.
    written: VecDeque<Written>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    at: u64,
    arrived: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seq: u64,
    at: u64,
    len: u16,
    descriptor_len: u8,
    layer: Layer,
    marker: bool,
    flags: Flags,
    frame: Option<Frame>,
    level: Option<AudioLevel>,
    timestamp: u32,
    arrived: Instant,
    age: Duration,
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new() -> Self {
        Self { entries: Vec::new(), bytes: Vec::new(), end: 0, highest: None, keyframe: None, written: VecDeque::new() }
    }

    /// Keeps a packet; `keyframe`: it is the first of a key frame. Refuses what it has, and what is older than all it could have.
    pub fn insert(&mut self, packet: &Packet<'_>, keyframe: bool) -> Result<(), Drop> {
        let seq = packet.seq;
        if self.entries.is_empty() {
            self.entries = vec![Entry::nothing(packet.arrived); PACKETS_MIN];
            self.bytes = vec![0; BYTES_MIN];
        }
        if let Some(highest) = self.highest
            && seq.0 + self.entries.len() as u64 <= highest.0
        {
            return Err(Drop::TooOld);
        }
        if self.entries[self.place(seq)].seq == seq.0 {
            return Err(Drop::Duplicate);
        }
        self.make_room(packet);
        let at = self.write(packet);
        let place = self.place(seq);
        self.entries[place] = Entry {
            seq: seq.0,
            at,
            len: packet.payload.len() as u16,
            descriptor_len: packet.descriptor.len() as u8,
            layer: packet.layer,
            marker: packet.marker,
            flags: packet.flags,
            frame: packet.frame,
            level: packet.level,
            timestamp: packet.timestamp,
            arrived: packet.arrived,
            age: packet.age,
        };
        self.highest = self.highest.max(Some(seq));
        if keyframe {
            self.keyframe = self.keyframe.max(Some(seq));
        }
        Ok(())
    }

    /// The packet with this number, if it is still here.
    #[must_use]
    pub fn packet(&self, track: TrackId, seq: SeqNo) -> Option<Packet<'_>> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = &self.entries[self.place(seq)];
        if entry.seq != seq.0 || self.end - entry.at > self.bytes.len() as u64 {
            return None;
        }
        let start = (entry.at % self.bytes.len() as u64) as usize;
        let bytes = self.bytes.get(start..start + entry.bytes())?;
        let (descriptor, payload) = bytes.split_at_checked(usize::from(entry.descriptor_len))?;
        Some(Packet {
            track,
            layer: entry.layer,
            seq,
            timestamp: entry.timestamp,
            marker: entry.marker,
            flags: entry.flags,
            frame: entry.frame,
            descriptor,
            level: entry.level,
            arrived: entry.arrived,
            age: entry.age,
            payload,
        })
    }

    /// The numbers from the newest key frame to the newest packet, if a joiner should begin there.
    #[must_use]
    pub fn replay(&self, now: Instant) -> Option<std::ops::RangeInclusive<u64>> {
        let (first, last) = (self.keyframe?, self.highest?);
        let entry = self.entries.get(self.place(first))?;
        let here = entry.seq == first.0 && self.end - entry.at <= self.bytes.len() as u64;
        let fresh = now.saturating_duration_since(entry.arrived) <= REPLAY_AGE_MAX;
        (here && fresh && last.0 - first.0 < REPLAY_PACKETS_MAX).then_some(first.0..=last.0)
    }

    /// Whether a joiner could begin with the newest key frame, but not for much longer: it is older than `age`, or most of the
    /// packets that a joiner gets have come since.
    #[must_use]
    pub fn ages(&self, age: Duration, now: Instant) -> bool {
        let Some(range) = self.replay(now) else { return false };
        let Some(entry) = self.entries.get(self.place(SeqNo(*range.start()))) else { return false };
        now.saturating_duration_since(entry.arrived) >= age || range.end() - range.start() >= REPLAY_PACKETS_MAX / 4 * 3
    }

    /// Whether a key frame that a joiner could begin with came within this time.
    #[must_use]
    pub fn began_within(&self, age: Duration, now: Instant) -> bool {
        let newest = self.replay(now).and_then(|range| self.entries.get(self.place(SeqNo(*range.start()))));
        newest.is_some_and(|entry| now.saturating_duration_since(entry.arrived) < age)
    }

    /// The newest packet's number.
    #[must_use]
    pub fn highest(&self) -> Option<SeqNo> {
        self.highest
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.bytes.len() + self.entries.len() * size_of::<Entry>()
    }

    fn place(&self, seq: SeqNo) -> usize {
        (seq.0 % self.entries.len().max(1) as u64) as usize
    }

    /// Doubles a ring that is about to overwrite something too young.
    fn make_room(&mut self, packet: &Packet<'_>) {
        let now = packet.arrived;
        let young = |arrived: Instant| now.saturating_duration_since(arrived) < KEEP;
        while self.entries.len() < PACKETS_MAX {
            let there = &self.entries[self.place(packet.seq)];
            if there.seq == NOTHING || !young(there.arrived) {
                break;
            }
            self.grow_entries(now);
        }
        let len = (packet.descriptor.len() + packet.payload.len()) as u64;
        loop {
            let ring = self.bytes.len() as u64;
            let skipped = if self.end % ring + len > ring { ring - self.end % ring } else { 0 };
            let end = self.end + skipped + len;
            let Some(oldest) = self.written.front().copied().filter(|oldest| oldest.at + ring < end) else { break };
            if young(oldest.arrived) && self.bytes.len() < BYTES_MAX {
                self.grow_bytes();
            } else {
                self.written.pop_front();
            }
        }
    }

    fn grow_entries(&mut self, now: Instant) {
        let old = std::mem::take(&mut self.entries);
        self.entries = vec![Entry::nothing(now); old.len() * 2];
        for entry in old.into_iter().filter(|e| e.seq != NOTHING) {
            let place = self.place(SeqNo(entry.seq));
            // Two numbers may meet only if one is stale: the newer stays.
            let kept = self.entries[place].seq;
            if kept == NOTHING || kept < entry.seq {
                self.entries[place] = entry;
            }
        }
    }

    fn grow_bytes(&mut self) {
        let old = std::mem::take(&mut self.bytes);
        let len = old.len() as u64;
        self.bytes = vec![0; old.len() * 2];
        let alive = |entry: &Entry| entry.seq != NOTHING && self.end - entry.at <= len;
        // What had been overwritten must not look alive: its old place lies in a ring that is gone.
        let mut live: Vec<usize> = Vec::with_capacity(self.entries.len());
        for i in 0..self.entries.len() {
            if alive(&self.entries[i]) {
                live.push(i);
            } else {
                self.entries[i].seq = NOTHING;
            }
        }
        live.sort_unstable_by_key(|i| self.entries[*i].at);
        self.end = 0;
        self.written.clear();
        for i in live {
            let start = (self.entries[i].at % len) as usize;
            let Some(payload) = old.get(start..start + self.entries[i].bytes()) else { continue };
            let at = self.end as usize;
            self.bytes[at..at + payload.len()].copy_from_slice(payload);
            self.entries[i].at = self.end;
            self.written.push_back(Written { at: self.end, arrived: self.entries[i].arrived });
            self.end += payload.len() as u64;
        }
    }

    /// Copies descriptor and payload into the ring in one piece and says where.
    fn write(&mut self, packet: &Packet<'_>) -> u64 {
        let len = self.bytes.len() as u64;
        let offset = self.end % len;
        let bytes = packet.descriptor.len() + packet.payload.len();
        if offset + bytes as u64 > len {
            self.end += len - offset;
        }
        let at = self.end;
        let start = (at % len) as usize;
        if let Some((descriptor, payload)) = self
            .bytes
            .get_mut(start..start + bytes)
            .and_then(|place| place.split_at_mut_checked(packet.descriptor.len()))
        {
            descriptor.copy_from_slice(packet.descriptor);
            payload.copy_from_slice(packet.payload);
        }
        self.end += bytes as u64;
        self.written.push_back(Written { at, arrived: packet.arrived });
        at
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new()
    }
}

impl Entry {
    /// Bytes it has in the ring.
    fn bytes(&self) -> usize {
        usize::from(self.descriptor_len) + usize::from(self.len)
    }

    fn nothing(now: Instant) -> Self {
        Self {
            seq: NOTHING,
            at: 0,
            len: 0,
            descriptor_len: 0,
            layer: Layer::default(),
            marker: false,
            flags: Flags::default(),
            frame: None,
            level: None,
            timestamp: 0,
            arrived: now,
            age: Duration::ZERO,
        }
    }
}

/// A number no packet has.
const NOTHING: u64 = u64::MAX;

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
