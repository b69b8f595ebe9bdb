//! Payloads of VP9, H264, AV1 and redundant audio; what is renumbered or renamed can be read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::{av1, h264, red, vp9};

fuzz_target!(|input: (u16, u8, Vec<u8>)| {
    let (picture, tl0, mut payload) = input;
    let _ = (av1::Aggregation::parse(&payload), h264::Payload::parse(&payload));
    if let Ok(before) = vp9::Descriptor::parse(&payload) {
        let original = payload.clone();
        before.renumber(&mut payload, picture, tl0);
        let after = vp9::Descriptor::parse(&payload).expect("still a descriptor");
        assert_eq!((after.len, after.layer, after.size), (before.len, before.layer, before.size));
        assert_eq!(original[before.len..], payload[before.len..], "the picture is not touched");
        payload = original;
    }
    if let Ok(before) = red::Redundant::parse(&payload) {
        let original = payload.clone();
        before.rename(&mut payload, tl0);
        let after = red::Redundant::parse(&payload).expect("still redundant");
        assert_eq!(after, red::Redundant { payload_type: tl0 & 0x7f, ..before });
        assert_eq!(original[before.primary_at..], payload[before.primary_at..]);
    }
});
