//! VP8 payload descriptors, renumbered in place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::vp8::Descriptor;

fuzz_target!(|input: (u16, u8, Vec<u8>)| {
    let (picture, tl0, mut payload) = input;
    let Ok(before) = Descriptor::parse(&payload) else { return };
    let _ = before.size(&payload);
    let original = payload.clone();
    before.renumber(&mut payload, picture, tl0);
    let after = Descriptor::parse(&payload).expect("still a descriptor");
    assert_eq!((after.len, after.temporal, after.key_frame), (before.len, before.temporal, before.key_frame));
    assert_eq!(after.picture_id.is_some(), before.picture_id.is_some());
    assert_eq!(original[before.len..], payload[before.len..], "the picture is not touched");
});
