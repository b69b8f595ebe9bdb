//! Nonces without a table: the server recognises its own by their signature (RFC 8489 §9.2, §9.2.1).
//!
//! ```text
//!   base64url( seconds since the server started, 4 bytes | HMAC-SHA256(key, seconds | client's address), first 12 )
//! ```
//!
//! A table of nonces handed out would grow with every unauthenticated request.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// A nonce is good for this long: RFC 8489 §9.2 leaves it open, an hour is customary, and a replay needs the client's port.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);
const SIGNATURE_BYTES: usize = 12;
const NONCE_BYTES: usize = 4 + SIGNATURE_BYTES;

pub(super) struct Nonces {
    key: hmac::Key,
    started: Instant,
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(…)")
    }
}

impl Nonces {
    pub(super) fn new(seed: &[u8; 32], now: Instant) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, seed), started: now }
    }

    /// A fresh nonce for a client.
    pub(super) fn make(&self, client: SocketAddr, now: Instant) -> String {
        let seconds = self.seconds(now).to_be_bytes();
        let mut bytes = [0; NONCE_BYTES];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..].copy_from_slice(&self.sign(seconds, client).as_ref()[..SIGNATURE_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether a nonce was made here, for this client, and not too long ago.
    pub(super) fn fresh(&self, nonce: &str, client: SocketAddr, now: Instant) -> bool {
        let mut bytes = [0; NONCE_BYTES];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) != Ok(NONCE_BYTES) {
            return false;
        }
        let mut seconds = [0; 4];
        seconds.copy_from_slice(&bytes[..4]);
        let expected = self.sign(seconds, client);
        if aws_lc_rs::constant_time::verify_slices_are_equal(&bytes[4..], &expected.as_ref()[..SIGNATURE_BYTES])
            .is_err()
        {
            return false;
        }
        let age = self.seconds(now).saturating_sub(u32::from_be_bytes(seconds));
        u64::from(age) < LIFETIME.as_secs()
    }

    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.started).as_secs()).unwrap_or(u32::MAX)
    }

    fn sign(&self, seconds: [u8; 4], client: SocketAddr) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&seconds);
        match client.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.port().to_be_bytes());
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_for_one_client_one_server_and_one_hour() {
        let now = Instant::now();
        let client: SocketAddr = "192.0.2.1:5000".parse().unwrap();
        let nonces = Nonces::new(&[1; 32], now);
        let nonce = nonces.make(client, now + Duration::from_secs(10));
        assert!(nonces.fresh(&nonce, client, now + Duration::from_secs(10)));
        assert!(nonces.fresh(&nonce, client, now + Duration::from_secs(3609)));
        assert!(!nonces.fresh(&nonce, client, now + Duration::from_secs(3610)), "after an hour");
        assert!(!nonces.fresh(&nonce, "192.0.2.1:5001".parse().unwrap(), now), "another port");
        assert!(!nonces.fresh(&nonce, "192.0.2.2:5000".parse().unwrap(), now), "another host");
        assert!(!Nonces::new(&[2; 32], now).fresh(&nonce, client, now), "another server");
        for forged in ["", "x", &nonce[1..], &format!("{nonce}A"), &nonce.replace(&nonce[8..9], "-")] {
            assert!(!nonces.fresh(forged, client, now), "{forged}");
        }
    }
}
