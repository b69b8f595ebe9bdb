//! Whose a datagram is: everything of a shard's participants comes to one UDP port.
//!
//! ```text
//!   first byte (RFC 7983)
//!     ├─ STUN ──── a check with our user fragment ──▶ that peer (which verifies it)
//!     │            an answer, from a known 5-tuple ─▶ that peer
//!     │            anything else ──────────────────▶ TURN and STUN server
//!     ├─ ChannelData ──────────────────────────────▶ TURN
//!     ├─ DTLS, RTP, RTCP from a known 5-tuple ─────▶ that peer
//!     └─ all else: dropped, counted
//! ```
//!
//! A 5-tuple becomes known when a check from it passed, and no earlier.

use lyceum_session::Pair;
use std::collections::HashMap;

/// Which 5-tuples belong to which peer.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    peers: HashMap<Pair, u32>,
    /// Of these, the ones whose remote end is a relayed address of another shard.
    aside: HashMap<Pair, u8>,
}

impl Pairs {
    /// Whose this 5-tuple is.
    pub(crate) fn peer(&self, pair: Pair) -> Option<u32> {
        self.peers.get(&pair).copied()
    }

    /// A check passed on it. Gives the peer it belonged to before, if that was another one: the newest proof wins.
    pub(crate) fn learn(&mut self, pair: Pair, peer: u32) -> Option<u32> {
        self.peers.insert(pair, peer).filter(|old| *old != peer)
    }

    /// The peer no longer uses it.
    pub(crate) fn forget(&mut self, pair: Pair, peer: u32) {
        if self.peers.get(&pair) == Some(&peer) {
            self.peers.remove(&pair);
            self.aside.remove(&pair);
        }
    }

    /// Something came from a TURN client of another shard. What goes back goes that way, if the 5-tuple is a peer's.
    pub(crate) fn came_aside(&mut self, pair: Pair, shard: u8) {
        if self.peers.contains_key(&pair) {
            self.aside.insert(pair, shard);
        }
    }

    /// The shard whose TURN client is at the other end, if it is one of another shard's.
    pub(crate) fn aside(&self, pair: Pair) -> Option<u8> {
        if self.aside.is_empty() { None } else { self.aside.get(&pair).copied() }
    }

    pub(crate) fn len(&self) -> usize {
        debug_assert!(self.aside.len() <= self.peers.len());
        self.peers.len()
    }
}
