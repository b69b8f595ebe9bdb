//! The RFCs' own vectors, and what an enemy or a bad network does.

use super::keys::{Session, Stream, cm_apply, gcm_nonce};
use super::*;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, UnboundKey};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn keys(profile: Profile) -> Keys {
    Keys { profile, key: (0..profile.key_len() as u8).collect(), salt: (100..100 + profile.salt_len() as u8).collect() }
}

const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80];

/// RFC 3711 appendix B.3.
#[test]
fn keys_are_derived_as_rfc_3711_says() {
    let keys = Keys {
        profile: Profile::Aes128CmSha1_80,
        key: hex("E1F97A0D3E018BE0D64FA32C06DE4139"),
        salt: hex("0EC675AD498AFEEBB6960B3AABE6"),
    };
    let mut key = [0; 16];
    keys.derive(0, &mut key).unwrap();
    assert_eq!(key.to_vec(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    let mut salt = [0; 14];
    keys.derive(2, &mut salt).unwrap();
    assert_eq!(salt.to_vec(), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let mut auth = [0; 20];
    keys.derive(1, &mut auth).unwrap();
    assert_eq!(auth.to_vec(), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

/// RFC 3711 appendix B.2: the key stream for a packet of SSRC 0 and index 0.
#[test]
fn counter_mode_makes_the_key_stream_of_rfc_3711() {
    let cipher =
        aws_lc_rs::cipher::UnboundCipherKey::new(&aws_lc_rs::cipher::AES_128, &hex("2B7E151628AED2A6ABF7158809CF4F3C"))
            .and_then(aws_lc_rs::cipher::EncryptingKey::ctr)
            .unwrap();
    let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let mut stream = [0; 48];
    cm_apply(&cipher, &salt, 0, 0, &mut stream).unwrap();
    assert_eq!(
        stream.to_vec(),
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0")
    );
}

const RTP_PLAIN: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120
     696e2070 61727465 73207472 6573";

/// RFC 7714 §16: with the *session* key and salt given, so the derivation is left out.
fn gcm_vector(key: &str, sealed: &str) {
    let key = hex(key);
    let algorithm = if key.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
    let session = Session::Gcm {
        key: LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap()),
        salt: hex("517569642070726f2071756f").try_into().unwrap(),
    };
    let (mut packet, ssrc, index) = (hex(RTP_PLAIN), 0x5501_a0b2, 0xf17b);
    let Session::Gcm { key, salt } = &session else { unreachable!() };
    let (head, body) = packet.split_at_mut(12);
    let tag = key.seal_in_place_separate_tag(gcm_nonce(salt, ssrc, index), Aad::from(&*head), body).unwrap();
    packet.extend_from_slice(tag.as_ref());
    assert_eq!(packet, hex(sealed));
}

#[test]
fn aes_128_gcm_seals_as_rfc_7714_says() {
    gcm_vector(
        "000102030405060708090a0b0c0d0e0f",
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a
         51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
    );
}

#[test]
fn aes_256_gcm_seals_as_rfc_7714_says() {
    gcm_vector(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02
         76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
    );
}

fn rtp(ssrc: u32, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend(7u32.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 201, 0, 1];
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    packet
}

#[test]
fn what_one_side_seals_the_other_opens() {
    for profile in PROFILES {
        let (mut out, mut inn) = (Outbound::new(&keys(profile)).unwrap(), Inbound::new(&keys(profile)).unwrap());
        for (ssrc, sequence) in [(1, 65_534u16), (1, 65_535), (1, 0), (1, 2), (1, 1), (9, 40_000)] {
            let plain = rtp(ssrc, sequence, b"a picture");
            let mut packet = plain.clone();
            out.protect(&mut packet).unwrap();
            assert_eq!(packet.len(), plain.len() + profile.tag_len());
            assert_ne!(packet[12..plain.len()], plain[12..]);
            let opened = inn.unprotect(&mut packet).unwrap();
            assert_eq!(&packet[..opened.len], plain, "{profile:?} {ssrc} {sequence}");
            assert_eq!(opened.index & 0xffff, u64::from(sequence));
            assert_eq!(opened.index >> 16, u64::from(ssrc == 1 && sequence < 10), "roll-over");
        }
        for _ in 0..3 {
            let plain = rtcp(4);
            let mut packet = plain.clone();
            out.protect_rtcp(&mut packet).unwrap();
            assert_eq!(inn.unprotect_rtcp(&mut packet.clone()).unwrap(), plain);
            assert_eq!(inn.unprotect_rtcp(&mut packet), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn a_changed_byte_anywhere_is_refused_and_leaves_no_trace() {
    for profile in PROFILES {
        let (mut out, mut inn) = (Outbound::new(&keys(profile)).unwrap(), Inbound::new(&keys(profile)).unwrap());
        let mut sealed = rtp(1, 5, b"voice");
        out.protect(&mut sealed).unwrap();
        let mut control = rtcp(1);
        out.protect_rtcp(&mut control).unwrap();
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 0x04;
            assert!(inn.unprotect(&mut bad).is_err(), "{profile:?} byte {at}");
        }
        for at in 0..control.len() {
            let mut bad = control.clone();
            bad[at] ^= 0x04;
            assert!(inn.unprotect_rtcp(&mut bad).is_err(), "{profile:?} RTCP byte {at}");
        }
        assert!(inn.unprotect(&mut sealed.clone()).is_ok(), "forgeries must not close the window");
        assert_eq!(inn.unprotect(&mut sealed), Err(SrtpError::Replayed));
        assert!(inn.unprotect_rtcp(&mut control).is_ok());
        for len in 0..40 {
            assert!(inn.unprotect(&mut vec![0x80; len]).is_err());
            assert!(inn.unprotect_rtcp(&mut vec![0x80; len]).is_err());
        }
    }
}

#[test]
fn rtp_and_rtcp_use_different_keys() {
    let keys = keys(Profile::AeadAes128Gcm);
    let (Session::Gcm { salt: a, .. }, Session::Gcm { salt: b, .. }) =
        (keys.session(Stream::Rtp).unwrap(), keys.session(Stream::Rtcp).unwrap())
    else {
        panic!("GCM keys make GCM sessions")
    };
    assert_ne!(a, b);
}

#[test]
fn a_peer_cannot_have_endless_sources() {
    let mut inn = Inbound::new(&keys(Profile::AeadAes128Gcm)).unwrap();
    for ssrc in 0..=SOURCES_MAX as u32 {
        let mut packet = rtp(ssrc, 1, b"x");
        Outbound::new(&keys(Profile::AeadAes128Gcm)).unwrap().protect(&mut packet).unwrap();
        let opened = inn.unprotect(&mut packet);
        assert_eq!(opened.is_ok(), (ssrc as usize) < SOURCES_MAX);
    }
}

#[test]
fn keys_of_the_wrong_length_are_refused() {
    for profile in PROFILES {
        let mut short = keys(profile);
        short.salt.pop();
        assert!(matches!(Inbound::new(&short), Err(SrtpError::BadKey)));
        assert!(matches!(Outbound::new(&short), Err(SrtpError::BadKey)));
    }
}
