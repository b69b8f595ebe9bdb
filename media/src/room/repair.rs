//! What subscribers ask for: packets again, and key frames.

use super::{Room, find_mut};
use crate::downlink::{DownlinkId, Downlinks, SlotIndex, Why};
use crate::drop::Drop;
use crate::track::Meaning;
use lyceum_wire::rtcp;
use std::time::Instant;

/// Repairs answered per compound: a loss that is larger is not repaired packet by packet, and nobody gets more out than a key frame's worth.
const REPAIRS_PER_COMPOUND: usize = 128;

impl Room {
    pub(super) fn take_rtcp(&mut self, id: DownlinkId, compound: &[u8], downlinks: &mut Downlinks, now: Instant) {
        let mut budget = REPAIRS_PER_COMPOUND;
        for packet in rtcp::Compound::new(compound) {
            let Ok(packet) = packet else { break };
            downlinks.take_report(id, &packet, now);
            match packet {
                rtcp::Packet::Nack { media, lost, .. } => {
                    // What it asks for may be on its way to it already.
                    self.deliver(downlinks, now);
                    let Some(slot) = downlinks.slot_of(id, media) else { continue };
                    for number in lost {
                        if budget == 0 {
                            self.drops.count(Drop::TooManyRepairs);
                            continue;
                        }
                        budget -= 1;
                        if let Err(reason) = self.repair(id, slot, number, downlinks, now) {
                            self.drops.count(reason);
                        }
                    }
                }
                rtcp::Packet::PictureLoss { media, .. } => self.picture_lost(id, media, downlinks, now),
                rtcp::Packet::FullIntra { entries, .. } => {
                    entries.for_each(|entry| self.picture_lost(id, entry.ssrc, downlinks, now));
                }
                _ => {}
            }
        }
        self.heard_of(id, downlinks, now);
    }

    /// One packet again, from the track's own cache.
    fn repair(
        &mut self,
        id: DownlinkId,
        slot: SlotIndex,
        number: u16,
        downlinks: &mut Downlinks,
        now: Instant,
    ) -> Result<(), Drop> {
        let origin = downlinks.asked_again(id, slot, number, now)?;
        let track = self.find(origin.track).ok_or(Drop::NotInCache)?;
        let layer = track.layers.get(track.line(origin.spatial)).ok_or(Drop::NotInCache)?;
        let packet = layer.cache.packet(origin.track, origin.seq).ok_or(Drop::NotInCache)?;
        let meaning = Meaning::of(track.codec, &packet).ok_or(Drop::Malformed)?;
        downlinks.repair(id, slot, number, &packet, &meaning, Why::Asked, now)
    }

    /// A subscriber's decoder needs a key frame of what its slot shows.
    fn picture_lost(&mut self, id: DownlinkId, ssrc: u32, downlinks: &mut Downlinks, now: Instant) {
        let Some(slot) = downlinks.slot_of(id, ssrc).and_then(|slot| downlinks.slot_mut(id, slot)) else { return };
        let (Some(track), Some(spatial)) = (slot.track, slot.select.current().or(slot.select.target())) else { return };
        if let Some(track) = find_mut(&mut self.tracks, track) {
            track.wish(spatial, &mut self.events, now);
        }
    }
}
