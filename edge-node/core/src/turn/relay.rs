//! What leaves the relay at once: values that the hot path returns, and the few bytes it puts around a payload.

use super::allocation::Client;
use lyceum_wire::stun::{Builder, Class, Kind, Method, Transaction};
use lyceum_wire::turn::ChannelData;
use std::net::SocketAddr;
use std::ops::Range;

/// Most bytes in front of a payload: STUN header, XOR-PEER-ADDRESS of IPv6, DATA's own header.
const FRONT_BYTES_MAX: usize = 20 + 24 + 4;

/// Where a datagram that came from a client goes. `payload` is the part of it that goes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relay {
    /// To one of this node's own media addresses: take it as if it came to `own` from `relayed`.
    ToSelf {
        /// The client's relayed address.
        relayed: SocketAddr,
        /// The media address it is for.
        own: SocketAddr,
        /// Which part of the datagram.
        payload: Range<usize>,
    },
    /// To a media address of another shard of this node.
    ToShard {
        /// Which shard.
        shard: u8,
        /// The client's relayed address.
        relayed: SocketAddr,
        /// The media address it is for.
        own: SocketAddr,
        /// Which part of the datagram.
        payload: Range<usize>,
    },
    /// To another client of this server.
    ToClient {
        /// Which one.
        to: Client,
        /// What goes around the payload.
        wrap: Wrap,
        /// Which part of the datagram.
        payload: Range<usize>,
    },
    /// To a peer outside that the operator allows, from the real socket bound to `relayed`.
    ToPeer {
        /// The client's relayed address.
        relayed: SocketAddr,
        /// The peer.
        peer: SocketAddr,
        /// Which part of the datagram.
        payload: Range<usize>,
    },
}

/// What goes to a client: `wrap`'s front, the payload, `wrap`'s padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToClient {
    /// Which client.
    pub to: Client,
    /// What goes around the payload.
    pub wrap: Wrap,
}

/// The bytes around a payload that goes to a client: a channel's header or a Data indication (RFC 8656 §11.4, §12.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap {
    front: [u8; FRONT_BYTES_MAX],
    front_len: u8,
    pad: u8,
}

impl Wrap {
    /// What goes before the payload.
    #[must_use]
    pub fn front(&self) -> &[u8] {
        self.front.get(..usize::from(self.front_len)).unwrap_or(&[])
    }

    /// How many zero bytes go behind the payload, at most 3.
    #[must_use]
    pub fn pad(&self) -> usize {
        usize::from(self.pad)
    }

    /// How long the whole datagram is around this payload.
    #[must_use]
    pub fn total(&self, payload_len: usize) -> usize {
        usize::from(self.front_len) + payload_len + usize::from(self.pad)
    }

    /// Puts the whole datagram into `out`, which is emptied first.
    pub fn write(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.front());
        out.extend_from_slice(payload);
        out.resize(out.len() + self.pad(), 0);
    }

    pub(super) fn channel(number: u16, payload_len: usize) -> Option<Self> {
        let mut front = [0; FRONT_BYTES_MAX];
        let header = ChannelData::header(number, payload_len).ok()?;
        front.get_mut(..header.len())?.copy_from_slice(&header);
        Some(Self { front, front_len: 4, pad: 0 })
    }

    /// A Data indication whose last attribute, DATA, is still without its value.
    pub(super) fn indication(peer: SocketAddr, payload_len: usize, transaction: Transaction) -> Option<Self> {
        let mut front = [0; FRONT_BYTES_MAX];
        let written = Builder::new(&mut front, Class::Indication, Method::DATA, transaction)
            .xor_address(Kind::XOR_PEER_ADDRESS, peer)
            .flag(Kind::DATA)
            .finish()
            .ok()?;
        let pad = payload_len.wrapping_neg() & 3;
        // Both lengths count the value that follows: the attribute's own without padding, the message's with it.
        let message = u16::try_from(written - 20 + payload_len + pad).ok()?;
        let value = u16::try_from(payload_len).ok()?;
        front.get_mut(2..4)?.copy_from_slice(&message.to_be_bytes());
        front.get_mut(written - 2..written)?.copy_from_slice(&value.to_be_bytes());
        Some(Self { front, front_len: u8::try_from(written).ok()?, pad: u8::try_from(pad).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::stun::Message;

    #[test]
    fn a_data_indication_is_whole_around_any_payload() {
        for peer in ["192.0.2.1:9", "[2001:db8::1]:40000"] {
            let peer: SocketAddr = peer.parse().unwrap();
            for len in 0..9 {
                let payload = vec![0xab; len];
                let mut datagram = Vec::new();
                let wrap = Wrap::indication(peer, len, Transaction([5; 12])).unwrap();
                wrap.write(&payload, &mut datagram);
                assert_eq!(datagram.len(), wrap.total(len));
                let message = Message::parse(&datagram).unwrap();
                assert_eq!((message.class, message.method), (Class::Indication, Method::DATA));
                assert_eq!(message.xor_address(Kind::XOR_PEER_ADDRESS), Ok(Some(peer)));
                assert_eq!(message.data(), Some(&payload[..]));
            }
        }
    }

    #[test]
    fn a_channel_costs_four_bytes() {
        let mut datagram = Vec::new();
        Wrap::channel(0x4001, 3).unwrap().write(b"abc", &mut datagram);
        assert_eq!(datagram, b"\x40\x01\x00\x03abc");
    }
}
