//! One connection between two nodes, without its sockets: the handshake, and to which shard its traffic belongs.

use bytes::Bytes;
use lyceum_wire::id::{NodeId, Region};
use lyceum_wire::link::{Message, VERSION_MAX, VERSION_MIN};
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
        /// The version of the link that both speak.
        version: u16,
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

/// Who is at the other end of a link, after both `Hello`s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// The other node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// The version both speak: the smaller of the two `version_max`.
    pub version: u16,
}

/// Why a link is not taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Something else came before `Hello`.
    #[error("the first message was not a hello")]
    NotHello,
    /// No version both speak: one of the two nodes has to be brought up to date.
    #[error("the other node speaks versions {min} to {max}, this one {VERSION_MIN} to {VERSION_MAX}")]
    Version {
        /// Its oldest.
        min: u16,
        /// Its newest.
        max: u16,
    },
    /// The other node is not the one that was dialled.
    #[error("{is} answered where {wanted} was dialled")]
    WrongNode {
        /// Dialled.
        wanted: NodeId,
        /// Answered.
        is: NodeId,
    },
    /// A node dialled itself.
    #[error("this node reached itself")]
    Ourselves,
}

/// Both sides' `Hello`.
#[derive(Debug, Clone)]
pub struct Handshake {
    node: NodeId,
    region: Region,
    dialled: Option<NodeId>,
}

impl Handshake {
    /// This node meets another: the one it `dialled`, or whoever came.
    #[must_use]
    pub fn new(node: NodeId, region: Region, dialled: Option<NodeId>) -> Self {
        Self { node, region, dialled }
    }

    /// What to say first.
    #[must_use]
    pub fn hello(&self) -> Message {
        Message::Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            node: self.node.clone(),
            region: self.region.clone(),
        }
    }

    /// What the other said first. That its certificate names the same node is checked where the certificate is.
    pub fn answer(&self, first: Message) -> Result<Partner, Refused> {
        let Message::Hello { version_min, version_max, node, region } = first else { return Err(Refused::NotHello) };
        let version = version_max.min(VERSION_MAX);
        if version < version_min || version < VERSION_MIN {
            return Err(Refused::Version { min: version_min, max: version_max });
        }
        if node == self.node {
            return Err(Refused::Ourselves);
        }
        match &self.dialled {
            Some(wanted) if *wanted != node => Err(Refused::WrongNode { wanted: wanted.clone(), is: node }),
            _ => Ok(Partner { node, region, version }),
        }
    }
}

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialler {
    /// This node.
    Us,
    /// The other one.
    Them,
}

/// Of two connections between the same two nodes, whether the new one takes the old one's place. Both nodes may have
/// dialled at the same time and both decide alike: the connection dialled by the smaller node id stays. Of two dialled
/// by the same node the newer one stays: its dialler has given up the older.
#[must_use]
pub fn replaces(us: &NodeId, them: &NodeId, old: Dialler, new: Dialler) -> bool {
    let smaller = if us < them { Dialler::Us } else { Dialler::Them };
    old == new || new == smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::parse(name).unwrap()
    }

    fn hello(name: &str, version_min: u16, version_max: u16) -> Message {
        Message::Hello { version_min, version_max, node: node(name), region: Region::parse("eu").unwrap() }
    }

    #[test]
    fn a_handshake_ends_in_the_newest_version_both_speak() {
        let us = Handshake::new(node("a"), Region::parse("eu").unwrap(), Some(node("b")));
        let check = |first: Message, expected: Result<u16, Refused>| {
            assert_eq!(us.answer(first).map(|partner| partner.version), expected);
        };
        check(hello("b", 1, 1), Ok(1));
        check(hello("b", 1, 9), Ok(VERSION_MAX));
        check(hello("b", VERSION_MAX + 1, 9), Err(Refused::Version { min: VERSION_MAX + 1, max: 9 }));
        check(hello("b", 0, 0), Err(Refused::Version { min: 0, max: 0 }));
        check(hello("c", 1, 1), Err(Refused::WrongNode { wanted: node("b"), is: node("c") }));
        check(hello("a", 1, 1), Err(Refused::Ourselves));
        check(Message::Unknown, Err(Refused::NotHello));
        assert_eq!(us.answer(us.hello()), Err(Refused::Ourselves));
    }

    #[test]
    fn both_nodes_keep_the_same_one_of_two_connections() {
        let (a, b) = (node("a"), node("b"));
        // Whatever order the two connections show up in at either side, the one dialled by `a` is left.
        for (first, second) in [(Dialler::Us, Dialler::Them), (Dialler::Them, Dialler::Us)] {
            let at_a = if replaces(&a, &b, first, second) { second } else { first };
            assert_eq!(at_a, Dialler::Us);
            let at_b = if replaces(&b, &a, first, second) { second } else { first };
            assert_eq!(at_b, Dialler::Them);
        }
        assert!(replaces(&a, &b, Dialler::Us, Dialler::Us));
        assert!(replaces(&a, &b, Dialler::Them, Dialler::Them));
    }
}
