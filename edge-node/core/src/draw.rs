//! Random-looking numbers out of a seed: a shard has no random source, and a replay must draw the same.

use crate::door::Seed;
use aws_lc_rs::hmac;
use lyceum_session::ice::Credentials;

/// Characters of an ICE user fragment that say which peer it belongs to: 24 bits.
const UFRAG_PEER_CHARS: u32 = 4;
/// The ice-chars (RFC 8839 §5.4), six bits each.
const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A stream of numbers nobody can guess who does not know the seed: HMAC-SHA-256 over a counter.
pub(crate) struct Draw {
    key: hmac::Key,
    counter: u64,
}

impl Draw {
    pub(crate) fn new(seed: Seed) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed.0), counter: 0 }
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        self.counter += 1;
        let tag = hmac::sign(&self.key, &self.counter.to_be_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    pub(crate) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// A non-zero number for an SSRC.
    pub(crate) fn ssrc(&mut self) -> u32 {
        (self.number() as u32).max(1)
    }

    /// ICE credentials whose user fragment begins with the peer's number, so that a first check finds its peer at once.
    pub(crate) fn credentials(&mut self, peer: u32) -> Credentials {
        let random = self.bytes();
        let mut part = [0; 24];
        part.copy_from_slice(&random[..24]);
        let Credentials { ufrag, pwd } = Credentials::from_random(part);
        let number = (0..UFRAG_PEER_CHARS).rev().map(|n| char::from(ICE_CHARS[(peer >> (6 * n)) as usize & 63]));
        Credentials { ufrag: number.chain(ufrag.chars()).collect(), pwd }
    }
}

/// The peer a user fragment of ours belongs to; it has to be compared with that peer's own then.
pub(crate) fn peer_of(ufrag: &str) -> Option<u32> {
    let number = ufrag.as_bytes().get(..UFRAG_PEER_CHARS as usize)?;
    number.iter().try_fold(0, |sum, char| {
        let six = ICE_CHARS.iter().position(|c| c == char)?;
        Some(sum << 6 | six as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_fragment_leads_to_its_peer_and_differs_each_time() {
        let mut draw = Draw::new(Seed([7; 32]));
        for peer in [0, 1, 63, 64, 300, 0x00ff_ffff] {
            let made = draw.credentials(peer);
            assert_eq!(peer_of(&made.ufrag), Some(peer));
            assert_eq!((made.ufrag.len(), made.pwd.len()), (12, 24));
            assert_ne!(made, draw.credentials(peer));
        }
        assert_eq!(peer_of("abc"), None);
        assert_eq!(peer_of("ab-d1234"), None);
        assert_eq!(Draw::new(Seed([7; 32])).number(), Draw::new(Seed([7; 32])).number(), "a replay draws the same");
    }
}
