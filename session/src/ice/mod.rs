//! ICE: who the peer is and which pair of addresses works (RFC 8445).

mod agent;
mod check;
mod lite;

pub(crate) use agent::Agent;
pub(crate) use lite::Lite;

use std::fmt;

/// Addresses of a peer kept at most: a client on two interfaces, two families and a relay shows six.
pub const PAIRS_MAX: usize = 16;

/// One side's ICE user fragment and password (RFC 8839 §5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User fragment, 4 to 256 ice-chars.
    pub ufrag: String,
    /// Password, 22 to 256 ice-chars.
    pub pwd: String,
}

impl Credentials {
    /// Makes credentials out of 24 random bytes: a `ufrag` of 8 characters and a `pwd` of 24 (144 bit).
    #[must_use]
    pub fn from_random(random: [u8; 24]) -> Self {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(32);
        for three in random.chunks_exact(3) {
            let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
            for shift in [18, 12, 6, 0] {
                text.push(char::from(ALPHABET[(bits >> shift) as usize & 63]));
            }
        }
        let pwd = text.split_off(8);
        Self { ufrag: text, pwd }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, secret)", self.ufrag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_credentials_are_long_enough_and_of_ice_chars() {
        let made = Credentials::from_random(std::array::from_fn(|i| i as u8 * 11));
        assert_eq!((made.ufrag.len(), made.pwd.len()), (8, 24));
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        assert!(made.ufrag.chars().chain(made.pwd.chars()).all(fine));
        assert_ne!(made, Credentials::from_random([7; 24]));
        assert!(!format!("{made:?}").contains(&made.pwd));
    }
}
