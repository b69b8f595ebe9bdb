//! Payload descriptors by hand.

use super::*;
use crate::golden::hex;
use proptest::prelude::*;

#[test]
fn descriptors_of_every_shape() {
    // descriptor and first VP8 byte, length, picture id, tl0, temporal, key frame
    type Row = (&'static str, usize, Option<(u16, bool)>, Option<u8>, Option<u8>, bool);
    let table: &[Row] = &[
        ("10 00", 1, None, None, None, true),
        ("10 01", 1, None, None, None, false),
        ("00 00", 1, None, None, None, false),
        ("11 00", 1, None, None, None, false),
        ("90 80 05 00", 3, Some((5, false)), None, None, true),
        ("90 80 8123 00", 4, Some((0x123, true)), None, None, true),
        ("90 e0 8123 07 60 01", 6, Some((0x123, true)), Some(7), Some(1), false),
        ("90 60 07 c0 00", 4, None, Some(7), Some(3), true),
        ("90 10 1f 00", 3, None, None, None, true),
        ("90 00 00", 2, None, None, None, true),
    ];
    for (bytes, len, picture, tl0, temporal, key) in table {
        let descriptor = Descriptor::parse(&hex(bytes)).unwrap();
        assert_eq!(descriptor.len, *len, "{bytes}");
        assert_eq!(descriptor.picture_id.map(|id| (id.value, id.long)), *picture, "{bytes}");
        assert_eq!((descriptor.tl0_picture, descriptor.temporal), (*tl0, *temporal), "{bytes}");
        assert_eq!(descriptor.key_frame, *key, "{bytes}");
    }
    let descriptor = Descriptor::parse(&hex("b0 f0 8123 07 7f 01")).unwrap();
    assert!(descriptor.non_reference && descriptor.layer_sync && descriptor.frame_start());
    assert_eq!(descriptor.key_index, Some(31));
}

#[test]
fn a_payload_that_ends_early_is_told() {
    for bytes in ["", "10", "90", "90 80", "90 80 81", "90 80 8123", "90 40", "90 20", "90 e0 8123 07 60"] {
        assert_eq!(Descriptor::parse(&hex(bytes)), Err(Error::Truncated), "{bytes}");
    }
}

#[test]
fn key_frames_say_their_size() {
    let payload = hex("10 50 42 00 9d012a 8002 e001 00");
    let descriptor = Descriptor::parse(&payload).unwrap();
    assert_eq!(descriptor.size(&payload), Some(Size { width: 640, height: 480 }));
    let scaled = hex("10 50 42 00 9d012a 8042 e0c1");
    assert_eq!(descriptor.size(&scaled), Some(Size { width: 640, height: 480 }), "the scaling bits are not the size");
    assert_eq!(descriptor.size(&hex("10 50 42 00 9d012b 8002 e001")), None);
    assert_eq!(descriptor.size(&hex("10 50 42")), None);
}

#[test]
fn numbers_are_changed_in_place_and_nothing_else_is() {
    let table = [
        ("90 e0 8123 07 60 01", "90 e0 fabc 99 60 01"),
        ("90 c0 23 07 01", "90 c0 3c 99 01"),
        ("90 80 8123 01", "90 80 fabc 01"),
        ("90 40 07 01", "90 40 99 01"),
        ("90 20 60 01", "90 20 60 01"),
        ("10 01", "10 01"),
    ];
    for (before, after) in table {
        let mut payload = hex(before);
        Descriptor::parse(&payload).unwrap().renumber(&mut payload, 0x7abc, 0x99);
        assert_eq!(payload, hex(after), "{before}");
    }
}

proptest! {
    #[test]
    fn written_descriptors_come_back(
        frame_start: bool, non_reference: bool, picture_id in 0_u16..0x8000, tl0_picture: u8, temporal in 0_u8..4, layer_sync: bool,
    ) {
        let fields = Fields { frame_start, non_reference, picture_id, tl0_picture, temporal, layer_sync };
        let mut payload = fields.to_bytes().to_vec();
        payload.push(0);
        let read = Descriptor::parse(&payload).unwrap();
        prop_assert_eq!(read.len, WRITTEN_BYTES);
        prop_assert_eq!((read.frame_start(), read.key_frame), (frame_start, frame_start));
        prop_assert_eq!(read.picture_id, Some(PictureId { value: picture_id, long: true }));
        prop_assert_eq!((read.tl0_picture, read.temporal), (Some(tl0_picture), Some(temporal)));
        prop_assert_eq!((read.non_reference, read.layer_sync), (non_reference, layer_sync));
    }

    #[test]
    fn noise_is_renumbered_without_harm(noise in proptest::collection::vec(any::<u8>(), 0..12), id: u16, tl0: u8, cut in 0_usize..12) {
        if let Ok(descriptor) = Descriptor::parse(&noise) {
            let mut whole = noise.clone();
            descriptor.renumber(&mut whole, id, tl0);
            let again = Descriptor::parse(&whole).unwrap();
            prop_assert_eq!((again.len, again.temporal, again.key_frame), (descriptor.len, descriptor.temporal, descriptor.key_frame));
            let mut short = noise[..cut.min(noise.len())].to_vec();
            descriptor.renumber(&mut short, id, tl0);
            let _ = descriptor.size(&short);
        }
    }
}
