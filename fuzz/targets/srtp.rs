//! SRTP and SRTCP: noise is never believed, and what was sealed opens to what it was, once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_media::srtp::{Inbound, Keys, Outbound, Profile};

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (which, bytes) = input;
    let profile = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::Aes128CmSha1_80][usize::from(which % 3)];
    let keys = Keys { profile, key: vec![1; profile.key_len()], salt: vec![2; profile.salt_len()] };
    let mut inbound = Inbound::new(&keys).expect("keys fit");
    assert!(inbound.unprotect(&mut bytes.clone()).is_err(), "nobody guesses a tag");
    assert!(inbound.unprotect_rtcp(&mut bytes.clone()).is_err(), "nobody guesses a tag");

    let mut outbound = Outbound::new(&keys).expect("keys fit");
    let mut sealed = bytes.clone();
    if outbound.protect(&mut sealed).is_ok() {
        let mut opened = sealed.clone();
        let len = bytes.len();
        inbound.unprotect(&mut opened).expect("what was sealed opens");
        assert_eq!(opened[..len], bytes);
        assert!(inbound.unprotect(&mut sealed.clone()).is_err(), "only once");
    }
    let mut sealed = bytes.clone();
    if outbound.protect_rtcp(&mut sealed).is_ok()
        && let Ok(opened) = inbound.unprotect_rtcp(&mut sealed)
    {
        assert_eq!(opened, bytes);
    }
});
