//! Extension blocks by hand, and what their elements mean.

use super::*;
use crate::golden::hex;

fn read(profile: u16, body: &str) -> Vec<(u8, Vec<u8>)> {
    let body = hex(body);
    Elements::new(profile, &body).map(|e| (e.id, e.data.to_vec())).collect()
}

#[test]
fn blocks_are_read_as_far_as_they_can_be() {
    /// Profile, body, elements.
    type Row = (u16, &'static str, &'static [(u8, &'static str)]);
    let table: &[Row] = &[
        (0xbede, "", &[]),
        (0xbede, "10 ff", &[(1, "ff")]),
        (0xbede, "00 00 10 ff 00", &[(1, "ff")]),
        (0xbede, "ef 00112233445566778899aabbccddeeff", &[(14, "00112233445566778899aabbccddeeff")]),
        // 15 ends the block (RFC 8285 §4.2), so does 0 with a length.
        (0xbede, "10 ff f0 aa 20 bb", &[(1, "ff")]),
        (0xbede, "10 ff 01 aabb 20 bb", &[(1, "ff")]),
        // Cut short.
        (0xbede, "10 ff 23 aabbcc", &[(1, "ff")]),
        (0x1000, "01 00 02 01 aa 00 0f 02 bbcc", &[(1, ""), (2, "aa"), (15, "bbcc")]),
        (0x100f, "10 01 aa", &[(16, "aa")]),
        (0x1000, "01", &[]),
        (0x1000, "01 02 aa", &[]),
        (0x1010, "01 01 aa", &[]),
        (0xbedf, "10 ff", &[]),
    ];
    for (profile, body, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(id, data)| (*id, hex(data))).collect();
        assert_eq!(read(*profile, body), expected, "{profile:x} {body}");
    }
}

#[test]
fn names_lead_to_kinds_and_back() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_uri(kind.uri()), Some(kind));
    }
    assert_eq!(Kind::of_uri("urn:ietf:params:rtp-hdrext:toffset"), None);
}

#[test]
fn known_extensions_are_read_by_the_negotiated_ids() {
    let mut map = Map::new();
    for (id, kind) in [
        (1, Kind::Mid),
        (2, Kind::Rid),
        (3, Kind::RepairedRid),
        (4, Kind::AudioLevel),
        (5, Kind::AbsSendTime),
        (6, Kind::TransportSequence),
        (7, Kind::DependencyDescriptor),
    ] {
        map.set(id, kind);
    }
    map.set(0, Kind::Mid);
    map.set(15, Kind::Mid);
    map.set(17, Kind::PlayoutDelay);
    assert_eq!((map.kind(0), map.kind(8), map.kind(15)), (None, None, None));
    assert_eq!((map.kind(17), map.kind(32), map.kind(255)), (Some(Kind::PlayoutDelay), None, None));
    assert_eq!((map.id(Kind::TransportSequence), map.id(Kind::VideoOrientation)), (Some(6), None));

    let body = hex("10 30 20 68 31 7100 40 a5 52 123456 61 beef 72 800001 80 01");
    let known = map.read(Elements::new(0xbede, &body));
    assert_eq!(known.mid, Some("0"));
    assert_eq!(known.rid, Some("h"));
    assert_eq!(known.repaired_rid, Some("q"), "zero padding is not part of the name");
    assert_eq!(known.audio_level, Some(AudioLevel { below_full: 37, voice: true }));
    assert_eq!(known.abs_send_time, Some(0x12_3456));
    assert_eq!(known.transport_sequence, Some(0xbeef));
    assert_eq!(known.dependency_descriptor, Some(&[0x80, 0, 1][..]));
}

#[test]
fn values_of_the_wrong_length_are_absent() {
    let mut map = Map::new();
    map.set(1, Kind::Mid);
    map.set(5, Kind::AbsSendTime);
    map.set(6, Kind::TransportSequence);
    for body in ["10 20", "10 00", "10 80", "51 1234", "53 12345678", "60 12"] {
        assert_eq!(map.read(Elements::new(0xbede, &hex(body))), Known::default(), "{body}");
    }
}

#[test]
fn audio_levels_come_back() {
    for byte in 0..=255 {
        assert_eq!(AudioLevel::from_byte(byte).to_byte(), byte);
    }
}

#[test]
fn absolute_send_time_is_six_bits_of_seconds_and_eighteen_of_fraction() {
    assert_eq!(abs_send_time(0), 0);
    assert_eq!(abs_send_time(1_000_000), 1 << 18);
    assert_eq!(abs_send_time(500_000), 1 << 17);
    assert_eq!(abs_send_time(63_999_999), 0xff_ffff);
    assert_eq!(abs_send_time(64_000_000), 0);
    assert!(abs_send_time(u64::MAX) <= 0xff_ffff);
}
