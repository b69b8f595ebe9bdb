//! Whoever may want a packet: which ones it wants, and as what it gets them.
//!
//! ```text
//!   publisher A, layer 0   100 101 102 103 |                     key frame of layer 1
//!   publisher A, layer 1                   | 7000  ✗   7002       ✗ temporal layer left out
//!   subscriber             500 501 502 503   504       505        one sequence, one clock, one line of picture ids
//! ```
//!
//! A [`Stream`] is a chain of segments: each says how one encoding's numbers become the subscriber's. It keeps the last
//! few, so that a repair asked for later gets the very numbers it had; no per-packet memory is needed for that.

pub mod frames;
pub mod renumber;
pub mod rewrite;
pub mod select;

use crate::drop::Drop;
use crate::fetch::fetch;
use crate::packet::{Packet, TrackId};
use crate::seq::SeqNo;
use crate::srtp::Window;
use crate::track::Meaning;
use lyceum_wire::dd::Mandatory;
use renumber::Numbers;
use rewrite::Times;
use std::time::{Duration, Instant};

/// What one slot sends, as one unbroken stream.
#[derive(Debug)]
pub struct Stream {
    /// The newest last.
    segments: Vec<Segment>,
    sent: Window,
    next_seq: u64,
    next_picture: u64,
    next_tl0: u8,
    /// The next frame number of the dependency descriptor.
    next_frame: u16,
    /// The newest picture's timestamp, and the moment it is from.
    clock: Option<StreamClock>,
    first_timestamp: u32,
}

/// Where the outgoing timestamps stand.
#[derive(Debug, Clone, Copy)]
pub struct StreamClock {
    /// The newest timestamp sent …
    pub timestamp: u32,
    /// … is from this moment.
    pub at: Instant,
    /// When it was sent.
    pub sent: Instant,
    /// Ticks per second.
    pub hz: u32,
}

impl StreamClock {
    /// The timestamp of a moment, for sender reports.
    #[must_use]
    pub fn timestamp_at(&self, at: Instant) -> u32 {
        rewrite::advance(self.timestamp, self.at, at, self.hz)
    }
}

/// What a packet is called on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Sequence number, not wrapped.
    pub seq: SeqNo,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8 or VP9 picture id.
    pub picture_id: u16,
    /// VP8 or VP9 TL0PICIDX.
    pub tl0: u8,
    /// Frame number of the dependency descriptor.
    pub frame: u16,
}

/// Where an outgoing number came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The track.
    pub track: TrackId,
    /// Its spatial layer.
    pub spatial: u8,
    /// The number there.
    pub seq: SeqNo,
}

/// How a segment begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With a live packet from this moment.
    Live {
        /// When the picture was taken.
        at: Instant,
    },
    /// With a packet from the cache; the live edge stands at this timestamp, from this moment. What lies before it is squeezed
    /// into a few milliseconds, so that a player catches up at once instead of playing late for ever.
    Replay {
        /// Timestamp of the newest packet.
        edge: u32,
        /// When that picture was taken.
        at: Instant,
    },
}

/// One packet on its way to sinks, read once for all of them.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The packet, as the cache has it.
    pub packet: Packet<'a>,
    /// What it is.
    pub meaning: Meaning,
    /// How a stream begins that begins with it.
    pub begin: Begin,
}

/// Numbers of one encoding turned into the subscriber's.
#[derive(Debug)]
struct Segment {
    track: TrackId,
    spatial: u8,
    packets: Numbers,
    pictures: Option<Pictures>,
    /// Outgoing frame number minus incoming: frames refer to each other by distances, so gaps stay.
    frame_offset: u16,
    times: Times,
}

#[derive(Debug)]
struct Pictures {
    numbers: Numbers,
    /// 7 or 15.
    bits: u32,
    highest: u64,
    /// Outgoing TL0PICIDX minus incoming.
    tl0_offset: u8,
}

impl Stream {
    /// A stream whose numbers begin where `seed` says.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            segments: Vec::with_capacity(SEGMENTS_KEPT + 1),
            sent: Window::default(),
            // Below 2^15, so that an early loss does not confuse a receiver's roll-over counter (RFC 3711 §3.3.1).
            next_seq: 1 + (seed & 0x3fff),
            next_picture: (seed >> 16) & 0x3fff,
            next_tl0: (seed >> 32) as u8,
            next_frame: (seed >> 40) as u16,
            clock: None,
            first_timestamp: (seed >> 24) as u32,
        }
    }

    /// The next sequence number to be given out.
    #[must_use]
    pub fn next_seq(&self) -> SeqNo {
        SeqNo(self.next_seq)
    }

    /// Goes on where an earlier stream of the same source ended: a sealed number must never be sealed again.
    pub fn continue_at(&mut self, seq: SeqNo) {
        self.next_seq = seq.0;
    }

    /// Where the outgoing clock stands, once something was sent.
    #[must_use]
    pub fn clock(&self) -> Option<&StreamClock> {
        self.clock.as_ref()
    }

    /// What it carries now.
    #[must_use]
    pub fn current(&self) -> Option<(TrackId, u8)> {
        self.segments.last().map(|segment| (segment.track, segment.spatial))
    }

    /// Whether the publisher's numbers jump here: too far for loss that anybody repairs, so that a segment must begin. Passed on,
    /// the gap would throw a receiver's roll-over counter off (RFC 3711 §3.3.1).
    #[inline]
    #[must_use]
    pub fn jumps(&self, packet: &Packet<'_>) -> bool {
        self.segments.last().is_some_and(|segment| packet.seq.0 > segment.packets.next_in() + GAP_MAX)
    }

    /// Asks for what [`Self::place`] needs beside what lies at its beginning.
    #[inline]
    pub(crate) fn fetch(&self) {
        if let Some(segment) = self.segments.last() {
            fetch(segment);
        }
        self.sent.fetch();
    }

    /// Begins a segment with this packet, which must be placed next.
    pub fn begin(&mut self, packet: &Packet<'_>, meaning: &Meaning, begin: Begin, hz: u32, now: Instant) {
        let times = self.times(packet, begin, hz, now);
        let pictures = meaning.numbers.picture_id().map(|id| {
            let first = PICTURES_START + u64::from(id.value);
            Pictures {
                numbers: Numbers::new(first, self.next_picture),
                bits: if id.long { 15 } else { 7 },
                highest: first,
                tl0_offset: self.next_tl0.wrapping_sub(meaning.numbers.tl0_picture().unwrap_or(0)),
            }
        });
        if self.segments.len() == SEGMENTS_KEPT {
            self.segments.remove(0);
        }
        self.segments.push(Segment {
            track: packet.track,
            spatial: packet.layer.spatial,
            packets: Numbers::new(packet.seq.0, self.next_seq),
            pictures,
            frame_offset: self.next_frame.wrapping_sub(frame_number(packet).unwrap_or(0)),
            times,
        });
    }

    /// The numbers of a packet of the current segment. Each sequence number is given once.
    #[inline]
    pub fn place(
        &mut self,
        packet: &Packet<'_>,
        meaning: &Meaning,
        at: Option<Instant>,
        now: Instant,
    ) -> Result<Placed, Drop> {
        let segment = self.segments.last_mut().ok_or(Drop::AwaitingKeyframe)?;
        let seq = segment.packets.place(packet.seq.0)?;
        let placed = segment.placed(seq, packet, meaning)?;
        if !self.sent.is_new(seq) {
            return Err(Drop::Duplicate);
        }
        self.sent.mark(seq);
        self.next_seq = self.next_seq.max(seq + 1);
        if let Some(pictures) = &segment.pictures {
            self.next_picture = pictures.numbers.next_out();
            if meaning.numbers.is_base() && newer_u8(placed.tl0, self.next_tl0) {
                self.next_tl0 = placed.tl0.wrapping_add(1);
            }
        }
        if !packet.descriptor.is_empty() && placed.frame.wrapping_sub(self.next_frame) < 1 << 15 {
            self.next_frame = placed.frame.wrapping_add(1);
        }
        let moved = self.clock.is_none_or(|clock| placed.timestamp.wrapping_sub(clock.timestamp) as i32 >= 0);
        if moved {
            let hz = segment.times.hz();
            let at = at.unwrap_or_else(|| segment.times.moment(packet.timestamp));
            self.clock = Some(StreamClock { timestamp: placed.timestamp, at, sent: now, hz });
        }
        Ok(placed)
    }

    /// Leaves a packet of the current segment out: what follows closes up to what came before.
    pub fn skip(&mut self, packet: &Packet<'_>, meaning: &Meaning) {
        if let Some(segment) = self.segments.last_mut() {
            segment.packets.skip(packet.seq.0);
            if let (Some(pictures), Some(id), true) =
                (&mut segment.pictures, meaning.numbers.picture_id(), meaning.numbers.closes_up())
            {
                let picture = pictures.extend(id.value);
                pictures.numbers.skip(picture);
                self.next_picture = pictures.numbers.next_out();
            }
            self.next_seq = self.next_seq.max(segment.packets.next_out());
        }
    }

    /// Where the outgoing number `wire` came from, among those given out lately.
    #[must_use]
    pub fn locate(&self, wire: u16) -> Option<Origin> {
        let newest = self.next_seq.checked_sub(1)?;
        let out = crate::seq::nearest_u16(newest, wire);
        if out > newest {
            return None;
        }
        let segment = self.segments.iter().rev().find(|segment| segment.packets.first_out() <= out)?;
        let seq = segment.packets.locate(out)?;
        Some(Origin { track: segment.track, spatial: segment.spatial, seq: SeqNo(seq) })
    }

    /// The numbers a packet of [`Self::locate`] had, or would have had.
    #[must_use]
    pub fn placed_before(&self, wire: u16, packet: &Packet<'_>, meaning: &Meaning) -> Option<Placed> {
        let out = crate::seq::nearest_u16(self.next_seq.checked_sub(1)?, wire);
        let segment = self.segments.iter().rev().find(|segment| segment.packets.first_out() <= out)?;
        segment.peek(out, packet, meaning)
    }

    /// The clock of a new segment: it goes on from the newest timestamp by the time between the two moments.
    fn times(&self, packet: &Packet<'_>, begin: Begin, hz: u32, now: Instant) -> Times {
        let (edge, at, replay) = match begin {
            Begin::Live { at } => (packet.timestamp, at, false),
            Begin::Replay { edge, at } => (edge, at, true),
        };
        let Some(clock) = &self.clock else {
            return Times::new(edge, self.first_timestamp, at, hz, replay);
        };
        let by_moment = rewrite::advance(clock.timestamp, clock.at, at, hz);
        let by_sending = rewrite::advance(clock.timestamp, clock.sent, now, hz);
        // Two publishers' clocks may disagree; the wall between two sends cannot be wrong by much.
        let error = by_moment.wrapping_sub(by_sending) as i32;
        let limit = rewrite::ticks(CLOCK_ERROR_MAX, hz) as i32;
        let mut out = if error.abs() <= limit { by_moment } else { by_sending };
        // The first packet must come after all that was sent.
        let squeezed = if replay { Times::squeeze(edge.wrapping_sub(packet.timestamp)) } else { 0 };
        let earliest = clock.timestamp.wrapping_add(rewrite::ticks(STEP_MIN, hz).max(1)).wrapping_add(squeezed);
        if (out.wrapping_sub(earliest) as i32) < 0 {
            out = earliest;
        }
        Times::new(edge, out, at, hz, replay)
    }
}

impl Segment {
    fn placed(&mut self, seq: u64, packet: &Packet<'_>, meaning: &Meaning) -> Result<Placed, Drop> {
        let (mut picture_id, mut tl0) = (0, 0);
        if let Some(pictures) = &mut self.pictures {
            if let Some(id) = meaning.numbers.picture_id() {
                let picture = pictures.extend(id.value);
                picture_id = pictures.numbers.place(picture)? as u16;
            }
            tl0 = meaning.numbers.tl0_picture().unwrap_or(0).wrapping_add(pictures.tl0_offset);
        }
        let timestamp = self.times.out(packet.timestamp);
        Ok(Placed { seq: SeqNo(seq), timestamp, picture_id, tl0, frame: self.frame(packet) })
    }

    fn peek(&self, seq: u64, packet: &Packet<'_>, meaning: &Meaning) -> Option<Placed> {
        let (mut picture_id, mut tl0) = (0, 0);
        if let Some(pictures) = &self.pictures {
            if let Some(id) = meaning.numbers.picture_id() {
                picture_id = pictures.numbers.peek(pictures.nearest(id.value))? as u16;
            }
            tl0 = meaning.numbers.tl0_picture().unwrap_or(0).wrapping_add(pictures.tl0_offset);
        }
        let timestamp = self.times.out(packet.timestamp);
        Some(Placed { seq: SeqNo(seq), timestamp, picture_id, tl0, frame: self.frame(packet) })
    }

    fn frame(&self, packet: &Packet<'_>) -> u16 {
        frame_number(packet).unwrap_or(0).wrapping_add(self.frame_offset)
    }
}

impl Pictures {
    fn nearest(&self, value: u16) -> u64 {
        let modulus = 1u64 << self.bits;
        let ahead = u64::from(value).wrapping_sub(self.highest) & (modulus - 1);
        if ahead < modulus / 2 { self.highest + ahead } else { self.highest + ahead - modulus }
    }

    fn extend(&mut self, value: u16) -> u64 {
        let picture = self.nearest(value);
        self.highest = self.highest.max(picture);
        picture
    }
}

/// The frame number that a packet's descriptor says.
fn frame_number(packet: &Packet<'_>) -> Option<u16> {
    Mandatory::parse(packet.descriptor).ok().map(|said| said.number)
}

fn newer_u8(candidate: u8, than_or_equal: u8) -> bool {
    candidate.wrapping_sub(than_or_equal) < 128
}

/// Longest gap passed on: what a receiver would still ask for.
pub const GAP_MAX: u64 = crate::feedback::nack::MISSING_MAX as u64;
/// Earlier segments a repair may still be asked of: a slot that changes more often than this within a round trip is not watched.
const SEGMENTS_KEPT: usize = 4;
/// Picture ids are counted from here, so that an earlier one arriving late has a place.
const PICTURES_START: u64 = 1 << 15;
/// Two layers' clocks may disagree by this much with the time between their packets; beyond, the time between packets counts.
const CLOCK_ERROR_MAX: Duration = Duration::from_millis(1_000);
/// Least distance between two segments' pictures.
const STEP_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
