//! What a viewer's packets will need is looked for while another's are being sealed.
//!
//! ```text
//!   peer ─▶ slot, history ─▶ numbers      each look finds where the next one goes
//! ```
//!
//! A viewer's state is kilobytes in places that lead from one to the next, and a crowd's is in no cache when its turn comes. Reads that
//! nothing waits for run beside the sealing, all at once; the same reads when their turn comes would each wait for the one before.

use super::slot::Slot;
use super::{Downlink, DownlinkId, Downlinks, SlotIndex};

/// How deep to look for what a packet will need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What is said of the peer itself.
    Peer,
    /// Its slot, and what was sent to it.
    Slot,
    /// The slot's numbers.
    Stream,
}

impl Downlinks {
    /// Begins to load what the packets of a viewer who comes later in the turn will need.
    #[inline]
    pub(crate) fn warm(&self, id: DownlinkId, slot: SlotIndex, depth: Depth) {
        let Some(downlink) = self.find(id) else { return };
        let slot = || downlink.slots.get(usize::from(slot.0));
        let touched = match depth {
            Depth::Peer => downlink.touch(),
            Depth::Slot => slot().map_or(0, Slot::touch) ^ downlink.way.estimate.touch(),
            Depth::Stream => slot().map_or(0, |slot| slot.stream.touch()),
        };
        std::hint::black_box(touched);
    }
}

impl Downlink {
    /// Reads a little of each place that a packet needs.
    #[inline]
    fn touch(&self) -> u64 {
        u64::from(self.outbound.is_some())
            ^ u64::from(self.route.is_some())
            ^ self.slots.len() as u64
            ^ u64::from(self.outbox.is_some())
            ^ u64::from(self.transport)
            ^ self.sent.packets
            ^ u64::from(self.report_due.is_some())
            ^ u64::from(self.tells_send_time)
            ^ self.config.epoch_ntp
            ^ self.way.touch()
    }
}
