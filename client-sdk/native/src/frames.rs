//! RTP packets of one slot put together to frames: a pure machine, told the time.
//!
//! ```text
//!   packets   100 101 103 102 104      out of order, repaired ones late
//!   in order  100 101 102 103 104
//!   frames    [100 101 102] [103 104]  from a frame's first packet to its marker
//! ```
//!
//! A hole is given [`HOLE_MAX`] to be repaired; then it is skipped, and a picture starts anew at the next key frame.

use crate::media_file::Codec;
use bytes::{Bytes, BytesMut};
use lyceum_wire::id::TrackName;
use lyceum_wire::vp8;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A hole is given this long to be repaired: two round trips over an ocean.
pub const HOLE_MAX: Duration = Duration::from_millis(300);
/// Packets kept behind a hole at most: a second of 5 Mbit/s.
pub const WAITING_MAX: usize = 512;
/// Packets of one frame at most: 1.2 MB, a key frame of a whole screen.
pub const FRAME_PACKETS_MAX: usize = 1_024;

/// One received frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The slot's m-line.
    pub mid: String,
    /// Whose track it is, as far as the packets' CSRC and the slot's assignment agree.
    pub track: Option<TrackName>,
    /// What it is encoded with.
    pub codec: Codec,
    /// RTP timestamp.
    pub timestamp: u32,
    /// It can be decoded alone.
    pub key_frame: bool,
    /// Width and height in pixels, of a picture's key frame.
    pub size: Option<(u16, u16)>,
    /// Publisher, as the packets' CSRC.
    pub csrc: Option<u32>,
    /// The encoded frame.
    pub data: Bytes,
}

/// What was received in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// RTP packets, each counted once.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that came twice.
    pub repeated: u64,
    /// Packets that never came.
    pub lost: u64,
    /// Whole frames.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Times that a picture broke off and waited for a key frame.
    pub breaks: u64,
    /// Width and height of the last key frame.
    pub size: Option<(u16, u16)>,
}

/// The parts of an RTP packet that matter here.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) csrc: Option<u32>,
    pub(crate) payload: Bytes,
}

/// A frame that is whole, without what only the room knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) timestamp: u32,
    pub(crate) key_frame: bool,
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) csrc: Option<u32>,
    pub(crate) data: Bytes,
}

/// Puts frames of one slot together.
#[derive(Debug)]
pub(crate) struct Assembler {
    codec: Codec,
    /// Next sequence number wanted, extended to 64 bits.
    next: Option<u64>,
    waiting: BTreeMap<u64, Packet>,
    hole_since: Option<Instant>,
    building: Vec<Packet>,
    /// Only a key frame can go on.
    broken: bool,
    received: Received,
}

impl Assembler {
    pub(crate) fn new(codec: Codec) -> Self {
        let broken = codec == Codec::Vp8;
        Self {
            codec,
            next: None,
            waiting: BTreeMap::new(),
            hole_since: None,
            building: Vec::new(),
            broken,
            received: Received::default(),
        }
    }

    /// A packet came.
    pub(crate) fn handle(&mut self, packet: Packet, now: Instant) {
        let sequence = match self.next {
            // One round of 16 bits above zero, so that packets from before the first one have a number too.
            None => u64::from(packet.sequence) + (1 << 16),
            Some(next) => {
                let distance = packet.sequence.wrapping_sub(next as u16).cast_signed();
                next.saturating_add_signed(i64::from(distance))
            }
        };
        let next = *self.next.get_or_insert(sequence);
        if sequence < next || self.waiting.contains_key(&sequence) {
            self.received.repeated += 1;
            return;
        }
        self.received.packets += 1;
        self.received.bytes += packet.payload.len() as u64;
        self.waiting.insert(sequence, packet);
        self.look(now);
    }

    /// Tells the time.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        self.look(now);
    }

    /// The next whole frame.
    pub(crate) fn poll(&mut self) -> Option<Whole> {
        loop {
            let next = self.next?;
            let packet = self.waiting.remove(&next)?;
            self.next = Some(next + 1);
            if let Some(whole) = self.take(packet) {
                return Some(whole);
            }
        }
    }

    /// Only a key frame helps.
    pub(crate) fn wants_key_frame(&self) -> bool {
        self.broken && self.received.packets > 0
    }

    pub(crate) fn received(&self) -> Received {
        self.received
    }

    /// Notes a hole, and gives one up that is too old or has too much behind it.
    fn look(&mut self, now: Instant) {
        let (Some(next), Some(first)) = (self.next, self.waiting.keys().next().copied()) else {
            self.hole_since = None;
            return;
        };
        if first == next {
            self.hole_since = None;
            return;
        }
        let since = *self.hole_since.get_or_insert(now);
        if now.saturating_duration_since(since) < HOLE_MAX && self.waiting.len() < WAITING_MAX {
            return;
        }
        self.received.lost += first - next;
        self.next = Some(first);
        self.hole_since = None;
        self.break_off();
    }

    fn break_off(&mut self) {
        self.building.clear();
        if self.codec == Codec::Vp8 && !self.broken {
            self.broken = true;
            self.received.breaks += 1;
        }
    }

    /// A packet in its turn.
    fn take(&mut self, packet: Packet) -> Option<Whole> {
        if packet.payload.is_empty() {
            // Padding.
            return None;
        }
        match self.codec {
            Codec::Opus => Some(self.whole(&packet, true, None, packet.payload.clone())),
            Codec::Vp8 => self.take_vp8(packet),
        }
    }

    fn take_vp8(&mut self, packet: Packet) -> Option<Whole> {
        let Ok(descriptor) = vp8::Descriptor::parse(&packet.payload) else {
            self.break_off();
            return None;
        };
        if descriptor.frame_start() {
            if !self.building.is_empty() {
                // The marker of the frame before never came.
                self.break_off();
            }
            if self.broken && !descriptor.key_frame {
                return None;
            }
        } else if self.building.first().is_none_or(|first| first.timestamp != packet.timestamp) {
            if !self.broken {
                self.break_off();
            }
            return None;
        }
        let marker = packet.marker;
        self.building.push(packet);
        if self.building.len() > FRAME_PACKETS_MAX {
            self.break_off();
            return None;
        }
        if !marker {
            return None;
        }
        let packets = std::mem::take(&mut self.building);
        let mut data = BytesMut::new();
        let (mut key_frame, mut size) = (false, None);
        for (i, packet) in packets.iter().enumerate() {
            let descriptor = vp8::Descriptor::parse(&packet.payload).ok()?;
            if i == 0 {
                key_frame = descriptor.key_frame;
                size = descriptor.size(&packet.payload).map(|size| (size.width, size.height));
            }
            data.extend_from_slice(packet.payload.get(descriptor.len..).unwrap_or_default());
        }
        self.broken = false;
        packets.first().map(|first| self.whole(first, key_frame, size, data.freeze()))
    }

    fn whole(&mut self, first: &Packet, key_frame: bool, size: Option<(u16, u16)>, data: Bytes) -> Whole {
        self.received.frames += 1;
        self.received.key_frames += u64::from(key_frame);
        self.received.size = size.or(self.received.size);
        Whole { timestamp: first.timestamp, key_frame, size, csrc: first.csrc, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays packets such as `7K` (sequence 7, first of a key frame), `8.` (goes on), `9d` (first of another frame), with a
    /// `!` after the last packet of a frame, `+400` (milliseconds pass); says frames by their first packet.
    fn play(script: &str) -> (String, Received) {
        let mut assembler = Assembler::new(Codec::Vp8);
        let (mut now, mut said, mut timestamp) = (Instant::now(), Vec::new(), 0);
        for word in script.split_whitespace() {
            if let Some(ms) = word.strip_prefix('+') {
                now += Duration::from_millis(ms.parse().unwrap());
                assembler.handle_time(now);
            } else {
                let digits: String = word.chars().take_while(char::is_ascii_digit).collect();
                let kind = &word[digits.len()..=digits.len()];
                let sequence: u16 = digits.parse().unwrap();
                let payload: &[u8] = match kind {
                    "K" => &[0x10, 0x00, 0, 0, 0x9d, 0x01, 0x2a, 64, 1, 180, 0],
                    "d" => &[0x10, 0x01, 0, 0],
                    _ => &[0x00, 0xee],
                };
                if kind != "." {
                    timestamp = u32::from(sequence);
                }
                let packet = Packet {
                    sequence,
                    timestamp,
                    marker: word.ends_with('!'),
                    csrc: None,
                    payload: Bytes::from_static(payload),
                };
                assembler.handle(packet, now);
            }
            while let Some(whole) = assembler.poll() {
                said.push(format!("{}{}", whole.timestamp, if whole.key_frame { "K" } else { "" }));
            }
        }
        (said.join(" "), assembler.received())
    }

    #[test]
    fn frames_come_whole_and_in_order() {
        for (script, wanted) in [
            ("1K 2. 3.! 4d! 5d 6.!", "1K 4 5"),
            ("1K! 3d! 2d!", "1K 2 3"),
            ("65534K 65535.! 0d! 1d!", "65534K 0 1"),
            ("1d! 2d! 3K! 4d!", "3K 4"),
            ("1K! 1K! 2d! 1K!", "1K 2"),
            // A hole that is filled in time.
            ("1K! 3d! +200 2d! 4d!", "1K 2 3 4"),
            // One that is not: what follows waits for a key frame.
            ("1K! 3d! 4d! +200 +200 5d! 6K! 7d!", "1K 6K 7"),
            // The marker is missing.
            ("1K! 2d 3d! 4K!", "1K 4K"),
        ] {
            assert_eq!(play(script).0, wanted, "{script}");
        }
    }

    #[test]
    fn everything_is_counted() {
        let received = play("1K 2.! 2. 4d! +400 5d! 6K!").1;
        let wanted = Received {
            packets: 5,
            bytes: 11 + 2 + 4 + 4 + 11,
            repeated: 1,
            lost: 1,
            frames: 2,
            key_frames: 2,
            breaks: 1,
            size: Some((320, 180)),
        };
        assert_eq!(received, wanted);
    }

    #[test]
    fn a_long_hole_does_not_fill_our_memory() {
        let script: Vec<String> = (2..3_000).map(|i| format!("{}d!", i + 1)).collect();
        let (_, received) = play(&format!("1K! {}", script.join(" ")));
        assert_eq!((received.lost, received.breaks), (1, 1));
    }

    #[test]
    fn sound_goes_on_after_a_hole() {
        let mut assembler = Assembler::new(Codec::Opus);
        let begin = Instant::now();
        let mut count = 0;
        for sequence in [1u16, 2, 4, 5] {
            let payload = Bytes::from_static(&[0x78, 1]);
            assembler.handle(Packet { sequence, timestamp: 0, marker: false, csrc: Some(9), payload }, begin);
            while assembler.poll().is_some() {
                count += 1;
            }
        }
        assert_eq!(count, 2);
        assembler.handle_time(begin + HOLE_MAX);
        while assembler.poll().is_some() {
            count += 1;
        }
        assert_eq!((count, assembler.received().lost), (4, 1));
        assert!(!assembler.wants_key_frame());
    }
}
