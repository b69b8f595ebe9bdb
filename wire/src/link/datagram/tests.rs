//! The drawings of `docs/protocol/link.md` as golden bytes, bounds, round trips.

use super::*;
use crate::golden::hex;
use proptest::prelude::*;

fn header() -> RtpHeader {
    RtpHeader {
        alias: Alias(0x0201_0203),
        layer: Layer { spatial: 2, temporal: 1 },
        sequence: 0x0000_1234_5678_9abc,
        timestamp: 0x0bad_cafe,
        age_eighths_ms: 100,
        audio_level: AUDIO_LEVEL_NONE,
        back: 1,
        flags: Flags { key_frame: true, start: true, ..Flags::default() },
    }
}

/// Type, flags, layer, level, alias, sequence, age, timestamp, back.
const RTP: &str = "01 c0 44 ff 02010203 123456789abc 0064 0badcafe 01";

#[test]
fn the_header_is_written_as_drawn() {
    let mut out = [0; 64];
    assert_eq!(header().write(&mut out), Ok(RTP_HEADER_BYTES));
    assert_eq!(out[..RTP_HEADER_BYTES], hex(RTP));
    assert_eq!(header().write_fragment(Part { index: 1, last: 2 }, &mut out), Ok(FRAGMENT_HEADER_BYTES));
    assert_eq!(out[0], 2);
    assert_eq!(out[1..RTP_HEADER_BYTES], hex(RTP)[1..]);
    assert_eq!(out[RTP_HEADER_BYTES..FRAGMENT_HEADER_BYTES], [1, 2]);
    assert_eq!(header().write(&mut out[..20]), Err(Full));
}

#[test]
fn the_header_is_read_as_drawn() {
    let bytes = hex(&format!("{RTP} aabbcc"));
    let Ok(Datagram::Rtp { header: read, payload }) = Datagram::parse(&bytes) else { panic!() };
    assert_eq!((read, payload), (header(), &[0xaa, 0xbb, 0xcc][..]));
    // Bits that a newer version may use are not looked at.
    let bytes = hex("01 c0 47 ff 02010203 123456789abc 0064 0badcafe 01");
    assert!(matches!(Datagram::parse(&bytes), Ok(Datagram::Rtp { header: read, payload: [] }) if read == header()));
}

#[test]
fn a_body_may_begin_with_a_descriptor() {
    let bytes = hex(&RTP.replacen("c0", "c1", 1)).into_iter().chain(hex("03 c00007 aabb"));
    let bytes: Vec<u8> = bytes.collect();
    let Ok(Datagram::Rtp { header: read, payload }) = Datagram::parse(&bytes) else { panic!() };
    assert_eq!(read.flags, Flags { descriptor: true, ..header().flags });
    let body = Body::parse(read.flags, payload).unwrap();
    assert_eq!(body, Body { descriptor: &[0xc0, 0, 7], payload: &[0xaa, 0xbb] });
    assert_eq!(Body::parse(header().flags, payload).unwrap(), Body { descriptor: &[], payload });
    for cut in ["", "00", "00 aa", "03 c000"] {
        assert_eq!(Body::parse(read.flags, &hex(cut)), Err(Error::Truncated), "{cut}");
    }
    let sound = Flags { redundant: true, ..Flags::default() };
    assert_eq!((sound.to_byte(), Flags::from_byte(2)), (2, sound));
}

#[test]
fn a_nack_is_written_and_read_as_drawn() {
    let mut out = [0; 64];
    let written = Nack::write(&mut out, 0x1122_3344_5566_7788, Alias(7), &[5, 6, 7, 100]).unwrap();
    assert_eq!(written, Written { bytes: 32, sequences: 4 });
    let golden = hex("03 02 0000 00000007 1122334455667788 000000000005 0003 000000000064 0001");
    assert_eq!(out[..32], golden);
    let Ok(Datagram::Nack(nack)) = Datagram::parse(&golden) else { panic!() };
    assert_eq!((nack.alias, nack.room_key), (Alias(7), 0x1122_3344_5566_7788));
    assert_eq!(nack.ranges().collect::<Vec<_>>(), [Missing { first: 5, count: 3 }, Missing { first: 100, count: 1 }]);
    assert_eq!(nack.sequences().collect::<Vec<_>>(), [5, 6, 7, 100]);
}

#[test]
fn datagrams_that_cannot_be() {
    let nack = "00000007 1122334455667788";
    let table = [
        ("", Error::Truncated),
        ("00", Error::UnknownType),
        ("04 000000", Error::UnknownType),
        ("01 c0 44 ff 02010203 123456789abc 0064 0badcafe", Error::Truncated),
        (&RTP.replacen("01", "02", 1), Error::Truncated),
        (&format!("{} 02 01", RTP.replacen("01", "02", 1)), Error::Fragment),
        (&format!("{} 00 04", RTP.replacen("01", "02", 1)), Error::Fragment),
        ("03 01 0000", Error::Truncated),
        (&format!("03 00 0000 {nack}"), Error::Ranges),
        (&format!("03 41 0000 {nack} {}", "000000000005 0001".repeat(65)), Error::Ranges),
        (&format!("03 02 0000 {nack} 000000000005 0001"), Error::Truncated),
        (&format!("03 01 0000 {nack} 000000000005 0000"), Error::Ranges),
        (&format!("03 01 0000 {nack} 000000000005 0401"), Error::Ranges),
        (&format!("03 02 0000 {nack} 000000000005 0400 000000000005 0001"), Error::Ranges),
        (&format!("03 01 0000 {nack} ffffffffffff 0001"), Error::Ranges),
    ];
    for (bytes, error) in table {
        assert_eq!(Datagram::parse(&hex(bytes)).unwrap_err(), error, "{bytes}");
    }
    let most = hex(&format!("03 01 0000 {nack} 000000000005 0400"));
    assert!(Datagram::parse(&most).is_ok());
}

#[test]
fn datagrams_find_their_shard_unread() {
    let table = [
        (RTP.to_owned(), Some(2)),
        (RTP.replacen("01", "02", 1), Some(2)),
        (RTP.replacen("02010203", "04010203", 1), None),
        ("03 01 0000 00000007 0000000000000007".to_owned(), Some(3)),
        ("03 01 0000 00000007 00000000000000".to_owned(), None),
        ("09 01 0000 00000007 0000000000000007".to_owned(), None),
        (String::new(), None),
    ];
    for (bytes, expected) in table {
        assert_eq!(shard(&hex(&bytes), 4), expected, "{bytes}");
    }
    assert_eq!(shard(&hex("03 01 0000 00000007 0000000000000007"), 0), None);
}

proptest! {
    #[test]
    fn headers_come_back(
        alias: u32, spatial in 0_u8..8, temporal in 0_u8..8, sequence in 0..=SEQUENCE_MAX, timestamp: u32,
        age_eighths_ms: u16, audio_level: u8, back: u8, flags: [bool; 8], payload in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let [key_frame, start, end, marker, discardable, repair, redundant, descriptor] = flags;
        let header = RtpHeader {
            alias: Alias(alias), layer: Layer { spatial, temporal }, sequence, timestamp, age_eighths_ms, audio_level, back,
            flags: Flags { key_frame, start, end, marker, discardable, repair, redundant, descriptor },
        };
        let mut out = vec![0; RTP_HEADER_BYTES];
        header.write(&mut out).unwrap();
        out.extend_from_slice(&payload);
        let Ok(Datagram::Rtp { header: read, payload: rest }) = Datagram::parse(&out) else { panic!() };
        prop_assert_eq!((read, rest), (header, &payload[..]));
    }

    #[test]
    fn parts_make_the_whole(payload in proptest::collection::vec(any::<u8>(), 0..5000), datagram in 0_usize..1500) {
        let mut whole = Vec::new();
        let mut count = 0;
        for (expected, cut) in fragments(payload.len(), datagram).enumerate() {
            prop_assert_eq!(usize::from(cut.part.index), expected);
            let mut out = vec![0; FRAGMENT_HEADER_BYTES];
            header().write_fragment(cut.part, &mut out).unwrap();
            out.extend_from_slice(&payload[cut.range]);
            prop_assert!(out.len() <= datagram);
            let Ok(Datagram::Fragment { part, payload: piece, .. }) = Datagram::parse(&out) else { panic!() };
            prop_assert_eq!(part, cut.part);
            whole.extend_from_slice(piece);
            count = usize::from(cut.part.last) + 1;
        }
        let room = datagram.saturating_sub(FRAGMENT_HEADER_BYTES);
        let fits = room > 0 && payload.len().div_ceil(room) <= FRAGMENTS_MAX;
        prop_assert_eq!(count > 0, fits);
        if fits {
            prop_assert_eq!(whole, payload);
        }
    }

    #[test]
    fn nacks_come_back(start in 0_u64..1 << 40, gaps in proptest::collection::vec(prop_oneof![4 => Just(1_u64), 1 => 2_u64..500], 0..1200), size in 16_usize..600) {
        let mut sequences = vec![start];
        for gap in gaps {
            sequences.push(sequences.last().unwrap() + gap);
        }
        let mut out = vec![0; size];
        match Nack::write(&mut out, 1, Alias(2), &sequences) {
            Err(Full) => prop_assert!(size < NACK_HEADER_BYTES + RANGE_BYTES),
            Ok(written) => {
                prop_assert!(written.sequences > 0);
                let Ok(Datagram::Nack(nack)) = Datagram::parse(&out[..written.bytes]) else { panic!() };
                prop_assert_eq!(nack.sequences().collect::<Vec<_>>(), &sequences[..written.sequences]);
            }
        }
    }

    #[test]
    fn noise_is_read_without_harm(mut noise in proptest::collection::vec(any::<u8>(), 0..100), kind in 0_u8..5) {
        if let Some(first) = noise.first_mut() {
            *first = kind;
        }
        if let Ok(Datagram::Nack(nack)) = Datagram::parse(&noise) {
            prop_assert!(nack.sequences().count() <= usize::try_from(NACK_PACKETS_MAX).unwrap());
        }
        let _ = shard(&noise, 3);
    }
}
