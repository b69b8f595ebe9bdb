//! What a viewer would see of one slot, without decoding it: whole frames, freezes, latency.
//!
//! ```text
//!  packets   S··E S·E S···E         S start, E end of a frame, x lost for good
//!  frames    ok    ok   ok          a frame is shown when it is whole and so is everything since a key frame
//!            S·xE S·E K·E           after a hole nothing is shown until the next key frame K
//! ```

use crate::stamp::{self, STAMP_BYTES, Stamp};
use lyceum_media::Packet;
use lyceum_wire::vp8;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Packets a slot may be waiting behind a hole: two seconds of 4 Mbit/s.
const WAITING_PACKETS_MAX: usize = 1_024;
/// A hole is given up after this long: a repair that comes later would not be shown by a browser either.
const HOLE_PATIENCE: Duration = Duration::from_millis(1_000);
/// A pause between shown frames is a freeze beyond this or three times the usual one (as `freezeCount` of getStats counts it).
const FREEZE_BEYOND: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, Copy)]
struct Piece {
    start: bool,
    end: bool,
    key: bool,
    at: Instant,
    stamp: Option<Stamp>,
    check: u32,
}

/// One whole frame that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// A key frame.
    pub key: bool,
    /// When its last packet came.
    pub at: Instant,
    /// Who sent it, and when, if it carried a stamp.
    pub stamp: Option<Stamp>,
}

/// What was seen in one slot so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets that came, repaired ones included.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets given up.
    pub lost: u64,
    /// Frames shown.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Frames that were whole but could not be shown, because something before them was missing.
    pub undecodable: u64,
    /// Pauses between shown frames that a viewer would notice.
    pub freezes: u64,
    /// Frames that follow the one before them without a hole in the numbers, need it to be decoded, and are not the next one of
    /// its encoding: zero in a mesh that switches at key frames only and numbers nothing over.
    pub astray: u64,
    /// Stamped frames whose bytes were not those that left the sender: zero in a mesh that leaves payloads alone.
    pub corrupt: u64,
}

/// One slot's watch.
#[derive(Debug, Default)]
pub struct Watch {
    waiting: BTreeMap<u64, Piece>,
    /// Next number wanted; everything before is dealt with.
    next: Option<u64>,
    /// Since when `next` is missing although later ones are here.
    hole_since: Option<Instant>,
    /// Pieces of the frame under way are whole so far.
    open: Option<Piece>,
    /// A hole came since the last key frame.
    broken: bool,
    /// The last frame shown.
    before: Option<Stamp>,
    last_shown: Option<Instant>,
    usual_gap: Option<Duration>,
    seen: Seen,
}

impl Watch {
    /// A slot in which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { broken: true, ..Self::default() }
    }

    /// The publisher was muted, paused or another one came into the slot: the pause that follows is no freeze.
    pub fn forgive(&mut self) {
        self.last_shown = None;
        self.usual_gap = None;
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Whether a key frame is needed before anything can be shown again.
    #[must_use]
    pub fn needs_key_frame(&self) -> bool {
        self.broken
    }

    /// A packet came. `shown` is called for each frame that can be shown now, in order.
    pub fn take(&mut self, packet: &Packet<'_>, now: Instant, mut shown: impl FnMut(Shown)) {
        let seq = packet.seq.0;
        let next = *self.next.get_or_insert(seq);
        if seq < next || self.waiting.contains_key(&seq) {
            self.seen.duplicates += 1;
            return;
        }
        self.seen.packets += 1;
        self.seen.bytes += packet.payload.len() as u64;
        let stamp = if packet.flags.end { Stamp::read(packet.payload) } else { None };
        let (start, end, key) = (packet.flags.start, packet.flags.end, packet.flags.keyframe);
        let media = vp8::Descriptor::parse(packet.payload).map_or(0, |descriptor| descriptor.len);
        let tail = packet.payload.len() - if stamp.is_some() { STAMP_BYTES } else { 0 };
        let check = stamp::check(packet.payload.get(media..tail).unwrap_or_default());
        self.waiting.insert(seq, Piece { start, end, key, at: now, stamp, check });
        self.drain(&mut shown);
        self.give_up(now, &mut shown);
    }

    /// Time passed: a hole may be given up.
    pub fn tick(&mut self, now: Instant, mut shown: impl FnMut(Shown)) {
        self.give_up(now, &mut shown);
    }

    fn give_up(&mut self, now: Instant, shown: &mut impl FnMut(Shown)) {
        loop {
            let Some((&first, _)) = self.waiting.first_key_value() else {
                self.hole_since = None;
                return;
            };
            // A hole is as old as what has come after it: several holes are waited for at the same time.
            let oldest = || self.waiting.values().map(|piece| piece.at).min().unwrap_or(now);
            let since = *self.hole_since.get_or_insert_with(oldest);
            if now.saturating_duration_since(since) < HOLE_PATIENCE && self.waiting.len() < WAITING_PACKETS_MAX {
                return;
            }
            self.seen.lost += first - self.next.unwrap_or(first);
            self.next = Some(first);
            self.hole_since = None;
            self.open = None;
            self.broken = true;
            self.drain(shown);
        }
    }

    fn drain(&mut self, shown: &mut impl FnMut(Shown)) {
        while let Some(next) = self.next {
            let Some(piece) = self.waiting.remove(&next) else { break };
            self.next = Some(next + 1);
            self.hole_since = None;
            self.piece(piece, shown);
        }
    }

    fn piece(&mut self, piece: Piece, shown: &mut impl FnMut(Shown)) {
        if piece.start {
            self.open = Some(Piece { check: 0, ..piece });
        }
        let Some(open) = self.open.as_mut() else { return };
        open.at = open.at.max(piece.at);
        open.check = open.check.wrapping_add(piece.check);
        if !piece.end {
            return;
        }
        let frame = Shown { key: open.key, at: open.at, stamp: piece.stamp };
        self.seen.corrupt += u64::from(piece.stamp.is_some_and(|stamp| stamp.check != open.check));
        self.open = None;
        if self.broken && !frame.key {
            self.seen.undecodable += 1;
            return;
        }
        if let (false, Some(before), Some(stamp)) = (frame.key, self.before, frame.stamp) {
            self.seen.astray += u64::from(!before.is_followed_by(&stamp));
        }
        self.before = frame.stamp;
        self.broken = false;
        self.seen.frames += 1;
        self.seen.key_frames += u64::from(frame.key);
        if let Some(last) = self.last_shown {
            let gap = frame.at.saturating_duration_since(last);
            let usual = self.usual_gap.unwrap_or(gap);
            if gap > (usual * 3).max(usual + FREEZE_BEYOND) {
                self.seen.freezes += 1;
            }
            self.usual_gap = Some((usual * 7 + gap) / 8);
        }
        self.last_shown = Some(frame.at);
        shown(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_media::{Flags, SeqNo, TrackId};
    use lyceum_wire::link::Layer;

    /// Plays packets of (sequence, start, end, key) one step apart, then lets a minute pass.
    fn watch(plan: &[(u64, bool, bool, bool)], step_ms: u64) -> (Seen, Vec<bool>) {
        let zero = Instant::now();
        let mut watch = Watch::new();
        let mut frames = Vec::new();
        for (n, &(seq, start, end, key)) in plan.iter().enumerate() {
            let now = zero + Duration::from_millis(step_ms * n as u64);
            let packet = Packet {
                track: TrackId(0),
                layer: Layer::default(),
                seq: SeqNo(seq),
                timestamp: 0,
                marker: end,
                flags: Flags { keyframe: key, start, end, discardable: false, ..Flags::default() },
                frame: None,
                descriptor: &[],
                level: None,
                arrived: now,
                age: Duration::ZERO,
                payload: &[0; 10],
            };
            watch.take(&packet, now, |shown| frames.push(shown.key));
        }
        watch.tick(zero + Duration::from_secs(60), |shown| frames.push(shown.key));
        (watch.seen(), frames)
    }

    #[test]
    fn frames_are_shown_when_whole_and_in_order() {
        let (seen, frames) = watch(
            &[(1, true, false, true), (2, false, true, true), (4, false, true, false), (3, true, false, false)],
            10,
        );
        assert_eq!(frames, [true, false]);
        assert_eq!((seen.frames, seen.key_frames, seen.lost, seen.packets), (2, 1, 0, 4));
    }

    #[test]
    fn a_switch_away_from_a_key_frame_is_noticed() {
        let zero = Instant::now();
        let astray = |frames: &[(u64, u8, u32, bool)]| {
            let mut watch = Watch::new();
            for &(seq, encoding, frame, key) in frames {
                let stamp = Stamp { origin: 1, sent_us: 0, frame, encoding, check: 0 };
                let packet = Packet {
                    track: TrackId(0),
                    layer: Layer::default(),
                    seq: SeqNo(seq),
                    timestamp: 0,
                    marker: true,
                    flags: Flags { keyframe: key, start: true, end: true, discardable: false, redundant: false },
                    frame: None,
                    descriptor: &[],
                    level: None,
                    arrived: zero,
                    age: Duration::ZERO,
                    payload: &stamp.bytes(),
                };
                watch.take(&packet, zero, |_| {});
            }
            watch.tick(zero + Duration::from_secs(60), |_| {});
            watch.seen().astray
        };
        assert_eq!(astray(&[(1, 0, 7, true), (2, 0, 8, false), (3, 1, 9, true), (4, 1, 10, false)]), 0);
        assert_eq!(astray(&[(1, 0, 7, true), (2, 1, 8, false)]), 1, "another layer");
        assert_eq!(astray(&[(1, 0, 7, true), (2, 0, 9, false)]), 1, "a frame left out and numbered over");
        assert_eq!(astray(&[(1, 0, 7, true), (3, 0, 9, false), (4, 1, 9, true)]), 0, "a real hole");
    }

    #[test]
    fn after_a_hole_nothing_is_shown_until_a_key_frame() {
        let (seen, frames) = watch(
            &[
                (1, true, true, true),
                (3, true, true, false), // 2 never comes
                (4, true, true, false),
                (5, true, true, true),
                (6, true, true, false),
            ],
            600,
        );
        assert_eq!(frames, [true, true, false]);
        assert_eq!((seen.lost, seen.undecodable), (1, 2));
    }

    #[test]
    fn several_holes_cost_the_patience_of_one() {
        // Every other packet of ten is lost, then all is well: one second later everything shows.
        let mut plan: Vec<_> = (0..10).map(|n| (n * 2, true, true, n == 0)).collect();
        plan.extend((20..45).map(|n| (n, true, true, n == 20)));
        let zero = Instant::now();
        let mut early = Watch::new();
        for (n, &(seq, start, end, key)) in plan.iter().enumerate() {
            let now = zero + Duration::from_millis(50 * n as u64);
            let packet = Packet {
                track: TrackId(0),
                layer: Layer::default(),
                seq: SeqNo(seq),
                timestamp: 0,
                marker: end,
                flags: Flags { keyframe: key, start, end, discardable: false, redundant: false },
                frame: None,
                descriptor: &[],
                level: None,
                arrived: now,
                age: Duration::ZERO,
                payload: &[0; 10],
            };
            early.take(&packet, now, |_| {});
        }
        // The last hole opened after half a second; the last packet came more than a second later.
        assert_eq!(early.seen().frames, 1 + 25, "{:?}", early.seen());
    }

    #[test]
    fn duplicates_are_counted_and_change_nothing() {
        let (seen, frames) =
            watch(&[(1, true, true, true), (1, true, true, true), (2, true, true, false), (1, true, true, true)], 10);
        assert_eq!((seen.duplicates, seen.packets, frames.len()), (2, 2, 2));
    }

    #[test]
    fn a_long_pause_is_one_freeze_unless_forgiven() {
        let mut plan: Vec<_> = (1..=30).map(|n| (n, true, true, n == 1)).collect();
        let (seen, _) = watch(&plan, 33);
        assert_eq!(seen.freezes, 0);
        plan.truncate(2);
        let (seen, _) = watch(&plan, 2_000);
        assert_eq!(seen.freezes, 0, "the first pause is the usual one");
    }
}
