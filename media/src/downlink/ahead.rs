//! What a viewer's turn will need, asked of memory while those before it have theirs.

use super::{DownlinkId, Downlinks, SlotIndex};
use crate::fetch::fetch;

/// In which order a downlink's state is asked for: each needs what the one before brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What every packet to the peer needs.
    Downlink,
    /// The slot, and the packet's place in the estimate.
    Slot,
    /// How the slot's track is numbered.
    Stream,
}

impl Downlinks {
    /// Asks for what [`Self::offer`] will need.
    #[inline]
    pub(crate) fn fetch(&self, id: DownlinkId, slot: SlotIndex, reach: Reach) {
        let Some(downlink) = self.find(id) else { return };
        if reach == Reach::Downlink {
            fetch(&downlink.outbound);
            fetch(&downlink.slots);
            fetch(&downlink.outbox);
            fetch(&downlink.config);
            fetch(&downlink.route);
            fetch(&downlink.sent);
            fetch(&downlink.transport);
            fetch(&downlink.way.pace);
            return downlink.way.estimate.fetch_for_sending();
        }
        let Some(slot) = downlink.slots.get(usize::from(slot.0)) else { return };
        if reach == Reach::Stream {
            return slot.stream.fetch();
        }
        slot.fetch();
        downlink.way.estimate.fetch_place();
    }

    /// A report of this peer comes: asks for what it concerns.
    #[inline]
    pub fn fetch_for_report(&self, id: DownlinkId) {
        if let Some(downlink) = self.find(id) {
            fetch(&downlink.reception);
            downlink.way.estimate.fetch();
        }
    }
}
