//! What came of a probe: packets sent a little faster for a moment, and how fast they arrived.

use super::history::Acked;
use std::num::NonZeroU8;

/// Probes watched at the same time: two of the beginning and one that follows them.
const CLUSTERS: usize = 4;
/// A result needs this share of the packets and bytes asked for.
const SHARE_MIN: f64 = 0.8;
/// A longer probe was interrupted, in µs.
const SPAN_MAX_US: u64 = 1_000_000;
/// Faster than sent by this factor: something held the packets and let them go at once.
const FASTER_MAX: f64 = 2.0;
/// Slower than sent by this factor: the link was full, so the result is its capacity …
const SLOWER: f64 = 0.9;
/// … of which a little is left free.
const LEFT_FREE: f64 = 0.95;

/// Probes under way.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    watched: [Option<Cluster>; CLUSTERS],
    next: usize,
}

#[derive(Debug, Clone, Copy)]
struct Cluster {
    id: NonZeroU8,
    packets_min: u32,
    bytes_min: u32,
    packets: u32,
    bytes: u32,
    /// Bytes sent at the first moment and at the last: bursts, whose own pace is not known.
    first_sent: Moment,
    last_sent: Moment,
    first_arrival_us: i64,
    last_arrival_us: i64,
    /// Bytes that came first, of one burst: how long they took is not known.
    first_arrival_bytes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    us: u64,
    bytes: u32,
}

impl Clusters {
    /// A probe was handed out.
    pub(super) fn begin(&mut self, id: NonZeroU8, packets_min: u16, bytes_min: u32) {
        self.watched[self.next % CLUSTERS] = Some(Cluster {
            id,
            packets_min: u32::from(packets_min),
            bytes_min,
            packets: 0,
            bytes: 0,
            first_sent: Moment { us: u64::MAX, bytes: 0 },
            last_sent: Moment { us: 0, bytes: 0 },
            first_arrival_us: i64::MAX,
            last_arrival_us: i64::MIN,
            first_arrival_bytes: 0,
        });
        self.next = self.next.wrapping_add(1);
    }

    /// A packet of a probe arrived. Returns what the way carries, as far as this probe can say by now.
    pub(super) fn arrived(&mut self, id: NonZeroU8, packet: &Acked, arrival_us: i64) -> Option<f64> {
        let cluster = self.watched.iter_mut().flatten().find(|cluster| cluster.id == id)?;
        cluster.count(packet, arrival_us);
        cluster.result()
    }

    /// The peer's clock is another now.
    pub(super) fn restart(&mut self) {
        self.watched = [None; CLUSTERS];
    }
}

impl Cluster {
    fn count(&mut self, packet: &Acked, arrival_us: i64) {
        let bytes = u32::from(packet.bytes);
        self.packets += 1;
        self.bytes += bytes;
        if packet.sent_us < self.first_sent.us {
            self.first_sent = Moment { us: packet.sent_us, bytes: 0 };
        }
        if packet.sent_us > self.last_sent.us {
            self.last_sent = Moment { us: packet.sent_us, bytes: 0 };
        }
        for moment in [&mut self.first_sent, &mut self.last_sent] {
            moment.bytes += if moment.us == packet.sent_us { bytes } else { 0 };
        }
        if arrival_us < self.first_arrival_us {
            (self.first_arrival_us, self.first_arrival_bytes) = (arrival_us, 0);
        }
        // What was sent later and came at the same moment was held up; what was sent with it came with it.
        let of_first_burst = packet.sent_us == self.first_sent.us || self.first_arrival_bytes == 0;
        if arrival_us == self.first_arrival_us && of_first_burst {
            self.first_arrival_bytes += bytes;
        }
        self.last_arrival_us = self.last_arrival_us.max(arrival_us);
    }

    fn result(&self) -> Option<f64> {
        let enough = |have: u32, want: u32| f64::from(have) >= f64::from(want) * SHARE_MIN;
        if !enough(self.packets, self.packets_min) || !enough(self.bytes, self.bytes_min) {
            return None;
        }
        let sent_us = self.last_sent.us.checked_sub(self.first_sent.us).filter(|us| (1..SPAN_MAX_US).contains(us))?;
        let arrived_us = u64::try_from(self.last_arrival_us.checked_sub(self.first_arrival_us)?).ok()?;
        if !(1..SPAN_MAX_US).contains(&arrived_us) {
            return None;
        }
        let bps = |bytes: u32, us: u64| f64::from(bytes) * 8e6 / us as f64;
        // All but the last burst left in the time; all but the first one arrived in its time. The two are compared by the
        // same packets, unless the first burst came drawn out: then it shows itself what the way carries.
        let sent = bps(self.bytes - self.last_sent.bytes, sent_us);
        let sent_alike = bps(self.bytes - self.first_sent.bytes, sent_us);
        let arrived = bps(self.bytes - self.first_arrival_bytes, arrived_us);
        let drawn_out = self.first_arrival_bytes < self.first_sent.bytes;
        let left = if drawn_out { sent } else { sent_alike };
        if sent <= 0.0 || arrived <= 0.0 || arrived > left * FASTER_MAX {
            return None;
        }
        Some(if arrived < left * SLOWER { arrived * LEFT_FREE } else { sent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NonZeroU8 = NonZeroU8::MIN;

    #[test]
    fn a_picture_at_the_start_of_a_probe_does_not_hide_a_narrow_way() {
        // Three packets at once, then one each 10 ms: 1.6 Mbit/s on a way of 0.8.
        let bps = result(&[(0, 10), (0, 20), (0, 30), (10, 40), (20, 50)]).unwrap();
        assert!((700_000.0..=800_000.0).contains(&bps), "{bps}");
        let wide = result(&[(0, 5), (0, 5), (0, 5), (10, 15), (20, 25)]).unwrap();
        assert!((1_500_000.0..=1_700_000.0).contains(&wide), "{wide}");
    }

    /// Packets of 1,000 bytes sent and arrived at these times in ms; the last result.
    fn result(packets: &[(u64, i64)]) -> Option<f64> {
        let mut clusters = Clusters::default();
        clusters.begin(ID, 5, 5_000);
        let mut last = None;
        for (sent, at) in packets {
            let acked = Acked { sent_us: sent * 1_000, bytes: 1_000, probe: Some(ID), unspoken_bytes: 0 };
            last = clusters.arrived(ID, &acked, at * 1_000);
        }
        last
    }

    #[test]
    fn a_way_that_carries_the_probe_gives_its_rate() {
        assert_eq!(result(&[(0, 50), (4, 54), (8, 58), (12, 62), (16, 66)]), Some(2_000_000.0));
    }

    #[test]
    fn a_full_link_gives_its_capacity_less_a_little() {
        let result = result(&[(0, 50), (4, 58), (8, 66), (12, 74), (16, 82)]).unwrap();
        assert!((result - 950_000.0).abs() < 1.0, "{result}");
    }

    #[test]
    fn bursts_of_the_pacer_are_reckoned_with() {
        // Two packets every 8 ms are 2 Mbit/s too.
        assert_eq!(result(&[(0, 50), (0, 50), (8, 58), (8, 58), (16, 66)]), Some(2_000_000.0));
    }

    #[test]
    fn packets_let_go_at_once_give_nothing() {
        assert_eq!(result(&[(0, 50), (4, 50), (8, 50), (12, 51), (16, 51)]), None);
        assert_eq!(result(&[(0, 50), (4, 54), (8, 58)]), None, "too few");
    }
}
