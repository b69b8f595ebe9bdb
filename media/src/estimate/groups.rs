//! Packets that travelled together, seen as one.
//!
//! ```text
//!   sent      ▌▌▌▌      ▌▌▌▌      ▌▌        bursts of the pacer
//!   arrived    ▌ ▌ ▌ ▌   ▌ ▌ ▌ ▌   ▌ ▌      spread by the bottleneck, or gathered by radio
//!   transit    ↑ least   ↑ least   ↑ least
//! ```
//!
//! A group is what was sent within [`SPAN_US`]; what comes in one go after having been held up belongs to it too (radio links
//! deliver in aggregates). Of its transit times the least is kept: the others measure the burst itself, or how long the radio
//! held them, not the queue that stands in the network. So bursts of any size cost no accuracy.

use super::history::Acked;

/// What is sent within this is one group, in µs: two turns of the wheel.
const SPAN_US: u64 = 5_000;
/// What arrives this soon after its predecessor came together with it, in µs.
const TOGETHER_US: i64 = 5_000;
/// An aggregate is not longer than this, in µs.
const AGGREGATE_US: i64 = 100_000;

/// Puts packets into groups, in the order they were sent.
#[derive(Debug, Default)]
pub(super) struct Groups {
    open: Option<Group>,
    /// When the first packet of the newest group was sent.
    sent_us: u64,
}

/// Packets that travelled together. Arrival on the peer's clock, sending on ours; their difference has an unknown but
/// constant part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) first_sent_us: u64,
    pub(super) last_sent_us: u64,
    first_arrival_us: i64,
    pub(super) last_arrival_us: i64,
    /// Least transit time, in µs.
    pub(super) transit_us: i64,
    last_transit_us: i64,
    pub(super) bytes: u32,
}

impl Groups {
    /// A packet arrived. Returns the group before it when it begins another. Bytes before it of which no
    /// feedback spoke (it was lost) count as arrived together with it.
    #[inline]
    pub(super) fn push(&mut self, packet: &Acked, arrival_us: i64) -> Option<Group> {
        let bytes = u32::from(packet.bytes) + packet.unspoken_bytes;
        if packet.sent_us < self.sent_us {
            // Told late, and of an earlier group: its delay is history.
            return None;
        }
        let transit_us = arrival_us - packet.sent_us as i64;
        if let Some(group) = &mut self.open
            && (packet.sent_us - group.first_sent_us <= SPAN_US || group.came_with(arrival_us, transit_us))
        {
            group.last_sent_us = group.last_sent_us.max(packet.sent_us);
            group.last_arrival_us = group.last_arrival_us.max(arrival_us);
            group.transit_us = group.transit_us.min(transit_us);
            group.last_transit_us = transit_us;
            group.bytes += bytes;
            return None;
        }
        self.sent_us = packet.sent_us;
        self.open.replace(Group {
            first_sent_us: packet.sent_us,
            last_sent_us: packet.sent_us,
            first_arrival_us: arrival_us,
            last_arrival_us: arrival_us,
            transit_us,
            last_transit_us: transit_us,
            bytes,
        })
    }

    /// The group under way, as far as it is known: at the end of a feedback, so that nothing waits for the next one.
    pub(super) fn close(&mut self) -> Option<Group> {
        self.open.take()
    }

    /// The peer's clock is another now.
    pub(super) fn restart(&mut self) {
        self.open = None;
    }
}

impl Group {
    fn came_with(&self, arrival_us: i64, transit_us: i64) -> bool {
        arrival_us - self.last_arrival_us <= TOGETHER_US
            && transit_us < self.last_transit_us
            && arrival_us - self.first_arrival_us < AGGREGATE_US
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Least transits of the groups that these packets (sent, arrived, in ms) form; the last stays open.
    fn transits(packets: &[(u64, i64)]) -> Vec<i64> {
        let mut groups = Groups::default();
        let acked = |sent| Acked { sent_us: sent * 1_000, bytes: 1_000, probe: None, unspoken_bytes: 0 };
        packets
            .iter()
            .filter_map(|(sent, at)| groups.push(&acked(*sent), at * 1_000))
            .map(|g| g.transit_us / 1_000)
            .collect()
    }

    #[test]
    fn the_size_of_a_burst_does_not_show() {
        // Bursts of four, one and three packets over a link of 10 ms a packet.
        let packets = [(0, 60), (0, 70), (0, 80), (0, 90), (40, 100), (80, 140), (80, 150), (80, 160), (120, 180)];
        assert_eq!(transits(&packets), [60, 60, 60]);
    }

    #[test]
    fn a_radio_that_delivers_in_aggregates_shows_its_least_delay() {
        let packets = [(0, 50), (10, 50), (20, 50), (30, 50), (42, 90), (50, 90), (60, 90), (72, 90), (84, 130)];
        assert_eq!(transits(&packets), [20, 18]);
    }

    #[test]
    fn a_queue_that_grows_shows() {
        let packets = [(0, 50), (20, 90), (40, 130), (60, 170)];
        assert_eq!(transits(&packets), [50, 70, 90]);
    }
}
