//! One connection between two nodes, without its sockets: the handshake, and to which shard its traffic belongs.

use bytes::Bytes;
use lyceum_wire::id::{NodeId, Region};
use lyceum_wire::link::Message;
use std::time::Duration;

/// What a link tells a shard.
#[derive(Debug, Clone)]
pub enum FromLink {
    /// The link stands, after both `Hello`s.
    Up {
        /// The other node.
        node: NodeId,
        /// Its region.
        region: Region,
        /// Round-trip time measured so far.
        rtt: Duration,
        /// Largest datagram the link takes now, in bytes.
        datagram_bytes_max: usize,
    },
    /// The round-trip time or the datagram size, once a second.
    Quality {
        /// The other node.
        node: NodeId,
        /// Smoothed round-trip time.
        rtt: Duration,
        /// Largest datagram the link takes now, in bytes.
        datagram_bytes_max: usize,
    },
    /// A message about a room of this shard. Never `Hello`.
    Message {
        /// The node it came from.
        node: NodeId,
        /// The message.
        message: Box<Message>,
    },
    /// Datagrams for this shard, in order of arrival.
    Datagrams {
        /// The node they came from.
        node: NodeId,
        /// The datagrams.
        datagrams: Vec<Bytes>,
    },
    /// The link is gone.
    Down {
        /// The other node.
        node: NodeId,
    },
}
