//! Join tokens: as they come, and signed with the right key around any header and claims.
#![no_main]

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use lyceum_wire::token::{Keys, LEEWAY_SECONDS, Signer, TEXT_BYTES_MAX, verify};
use std::sync::LazyLock;

const NOW: u64 = 1_800_000_000;
const SEED: [u8; 32] = [7; 32];

static KEYS: LazyLock<(Ed25519KeyPair, String, Keys)> = LazyLock::new(|| {
    let signer = Signer::from_seed(&SEED).expect("a key");
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key");
    (pair, signer.id().to_owned(), Keys::from([(signer.id().to_owned(), signer.public())]))
});

fuzz_target!(|bytes: &[u8]| {
    let (pair, id, keys) = &*KEYS;
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verify(keys, text, NOW).is_err(), "nobody guesses a signature");
    }
    let header = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => bytes[..end].to_vec(),
        None => format!(r#"{{"alg":"EdDSA","kid":"{id}"}}"#).into_bytes(),
    };
    let claims = bytes.split(|byte| *byte == b'\n').next_back().unwrap_or(bytes);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())));
    if let Ok(claims) = verify(keys, &token, NOW) {
        assert_eq!(claims.aud, "lyceum");
        assert!(claims.exp + LEEWAY_SECONDS > NOW && claims.nbf <= NOW + LEEWAY_SECONDS);
        assert!(claims.name.len() <= TEXT_BYTES_MAX && claims.sub.len() <= TEXT_BYTES_MAX);
    }
});
