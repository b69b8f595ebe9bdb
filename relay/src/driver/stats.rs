//! What a shard counts about its own wheel: written by its thread alone, read by anybody at any time without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident),+ $(,)?) => {
        /// The living counters. Each is written by one thread and only ever grows.
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub(crate) $field: AtomicU64,)+
        }

        /// All counters, as read at one time (each by itself: the sum of two may be one packet apart).
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $field: u64,)+
        }

        impl Stats {
            /// Reads all counters.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($field: self.$field.load(Ordering::Relaxed),)+ }
            }
        }

        impl Snapshot {
            /// Every counter by name, for metrics.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)+]
            }
        }
    };
}

counters! {
    /// Turns of the wheel in which everything left.
    turns,
    /// Turns in which things were taken in to leave with the next one's.
    gathered,
    /// Nanoseconds spent awake.
    busy_ns,
    /// Nanoseconds spent asleep.
    idle_ns,
    /// Datagrams received.
    datagrams_in,
    /// Bytes received, without IP and UDP headers.
    bytes_in,
    /// Buffers received: one holds several datagrams when the kernel merged them (GRO).
    buffers_in,
    /// `recvmmsg` calls that brought something.
    receives,
    /// `recvmmsg` calls that failed.
    receive_errors,
    /// Datagrams sent.
    datagrams_out,
    /// Bytes sent, without IP and UDP headers.
    bytes_out,
    /// `sendmsg` calls that sent something.
    sends,
    /// Datagrams that left in a call together with others (GSO).
    segments_out,
    /// Dropped: the socket's send buffer was full.
    dropped_send_buffer_full,
    /// Dropped: larger than the path's MTU or than UDP allows.
    dropped_too_large,
    /// Dropped: an address nothing can be sent to (port 0, unspecified, link-local without a scope).
    dropped_bad_destination,
    /// Dropped: the kernel refused the send for another reason (no route, firewall).
    dropped_send_refused,
    /// Commands taken.
    commands,
    /// Events given to the async side.
    events,
    /// Events that had to wait on this side because the async side was behind.
    events_spilled,
    /// Asides taken by other shards at once.
    asides,
    /// Dropped: asides that may be dropped (media between parts of a room), while the other shard was behind.
    dropped_asides_behind,
    /// Dropped: asides that must not be dropped, because even what may wait was full. Any value but 0 is a fault.
    dropped_asides_full,
    /// Dropped: asides to a shard that has ended.
    dropped_asides_gone,
    /// Dropped: events that may be dropped, while the async side was behind.
    dropped_events_behind,
    /// Dropped: events that must not be dropped, because even the spill was full. Any value but 0 is a fault.
    dropped_events_spill_full,
    /// Panics contained.
    panics,
}

impl Stats {
    /// Adds on the shard's own thread: load and store, no locked instruction, as nobody else writes.
    pub(crate) fn add(counter: &AtomicU64, by: u64) {
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }
}

impl Snapshot {
    /// The share of its time a shard was busy between an earlier snapshot and this one, 0 to 1.
    #[must_use]
    pub fn busy_share_since(&self, earlier: &Snapshot) -> f64 {
        let busy = self.busy_ns.saturating_sub(earlier.busy_ns) as f64;
        let idle = self.idle_ns.saturating_sub(earlier.idle_ns) as f64;
        if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 }
    }
}
