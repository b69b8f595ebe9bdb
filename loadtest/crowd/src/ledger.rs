//! What a publisher sent and when, by its own numbers: what viewers' packets are compared with.

use lyceum_wire::vp8;
use std::time::Instant;

/// Packets remembered: all 16-bit numbers there are, seven minutes of 1.5 Mbit/s.
const PACKETS: usize = 1 << 16;
/// Frames remembered by number: half a minute of 30 a second.
const FRAMES: usize = 1 << 10;

/// One publisher's book.
#[derive(Debug)]
pub struct Ledger {
    packets: Vec<Option<Entry>>,
    frames: Vec<Option<Last>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Instant,
    check: u32,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    frame: u32,
    sequence: u16,
}

/// A number that is never a frame's check by chance in what the crowd sends.
fn check(payload: &[u8]) -> u32 {
    let media = vp8::Descriptor::parse(payload).map_or(0, |descriptor| descriptor.len);
    lyceum_bot::stamp::check(payload.get(media..).unwrap_or_default())
}

impl Default for Ledger {
    fn default() -> Self {
        Self { packets: vec![None; PACKETS], frames: vec![None; FRAMES] }
    }
}

impl Ledger {
    /// A packet is about to be sent.
    pub fn sends(&mut self, sequence: u16, payload: &[u8], at: Instant) {
        self.packets[usize::from(sequence)] = Some(Entry { at, check: check(payload) });
        if let Some(stamp) = lyceum_bot::stamp::Stamp::read(payload) {
            self.frames[stamp.frame as usize % FRAMES] = Some(Last { frame: stamp.frame, sequence });
        }
    }

    /// When the packet was sent.
    #[inline]
    #[must_use]
    pub fn sent_at(&self, sequence: u16) -> Option<Instant> {
        self.packets[usize::from(sequence)].map(|entry| entry.at)
    }

    /// The number of the frame's last packet.
    #[must_use]
    pub fn last_of(&self, frame: u32) -> Option<u16> {
        self.frames[frame as usize % FRAMES].filter(|last| last.frame == frame).map(|last| last.sequence)
    }

    /// Whether this opened payload is what was sent under that number. The VP8 descriptor may have other numbers.
    #[must_use]
    pub fn agrees(&self, sequence: u16, payload: &[u8]) -> bool {
        self.packets[usize::from(sequence)].is_some_and(|entry| entry.check == check(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_bot::stamp::Stamp;

    #[test]
    fn a_payload_is_recognised_under_its_number_and_no_other() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        let descriptor = |picture_id| {
            let fields = vp8::Fields {
                frame_start: true,
                non_reference: false,
                picture_id,
                tl0_picture: 1,
                temporal: 0,
                layer_sync: false,
            };
            fields.to_bytes().to_vec()
        };
        let stamp = Stamp { origin: 0, sent_us: 5, frame: 9, encoding: 0, check: 0 };
        let payload =
            |picture_id, media: &[u8]| [descriptor(picture_id), media.to_vec(), stamp.bytes().to_vec()].concat();
        ledger.sends(65_535, &payload(7, b"picture"), now);
        assert_eq!(ledger.last_of(9), Some(65_535));
        assert_eq!(ledger.last_of(9 + FRAMES as u32), None);
        assert_eq!(ledger.sent_at(65_535), Some(now));
        assert!(ledger.agrees(65_535, &payload(31_000, b"picture")), "renumbered on the way");
        assert!(!ledger.agrees(65_535, &payload(7, b"picturE")), "changed on the way");
        assert!(!ledger.agrees(0, &payload(7, b"picture")), "never sent");
    }
}
