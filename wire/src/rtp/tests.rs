//! Headers by hand, broken ones, round trips.

use super::*;
use crate::ext::{Element, Form};
use crate::golden::hex;
use proptest::prelude::*;

/// V=2, P, X, one CSRC; marker, type 96; two one-byte elements with padding between them; payload `aabb`, 2 of padding.
const FULL: &str = "
    b1 e0 1234 00000100 cafebabe
    0000002a
    bede 0002 10 ff 00 21 aabb 00 00
    aabb 00 02";

#[test]
fn a_header_with_everything() {
    let packet = hex(FULL);
    let header = Header::parse(&packet).unwrap();
    assert!(header.marker && header.padding);
    assert_eq!(header.payload_type, 96);
    assert_eq!(header.sequence, 0x1234);
    assert_eq!(header.timestamp, 0x100);
    assert_eq!(header.ssrc, 0xcafe_babe);
    assert_eq!(header.len, 28);
    assert_eq!(header.csrcs(&packet).collect::<Vec<_>>(), [42]);
    let elements: Vec<_> = header.extensions(&packet).collect();
    assert_eq!(elements, [Element { id: 1, data: &[0xff] }, Element { id: 2, data: &[0xaa, 0xbb] }]);
    assert_eq!(header.payload(&packet), Ok(&[0xaa, 0xbb][..]));
}

#[test]
fn broken_packets_are_told_apart() {
    let table = [
        ("", Error::Truncated),
        ("80 60 0001 00000000 000000", Error::Truncated),
        ("40 60 0001 00000000 00000000", Error::Version),
        ("00 60 0001 00000000 00000000", Error::Version),
        ("c0 60 0001 00000000 00000000", Error::Version),
        ("81 60 0001 00000000 00000000 000000", Error::Truncated),
        ("8f 60 0001 00000000 00000000 00000000", Error::Truncated),
        ("90 60 0001 00000000 00000000 bede", Error::Truncated),
        ("90 60 0001 00000000 00000000 bede 0001 1000", Error::Truncated),
        ("90 60 0001 00000000 00000000 bede ffff 10000000", Error::Truncated),
    ];
    for (packet, error) in table {
        assert_eq!(Header::parse(&hex(packet)), Err(error), "{packet}");
    }
}

#[test]
fn padding_must_fit_the_payload() {
    let table: &[(&str, Result<usize, Error>)] = &[
        ("01", Ok(0)),
        ("aa 01", Ok(1)),
        ("aa 02", Ok(0)),
        ("000000 04", Ok(0)),
        ("aa 00", Err(Error::Padding)),
        ("aa 03", Err(Error::Padding)),
        ("ff", Err(Error::Padding)),
        ("", Err(Error::Padding)),
    ];
    for (payload, expected) in table {
        let packet = hex(&format!("a0 60 0001 00000000 00000000 {payload}"));
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.payload(&packet).map(<[u8]>::len), *expected, "{payload}");
    }
}

#[test]
fn retransmissions_carry_their_original_number() {
    assert_eq!(retransmitted(&hex("1234 aabb")), Some((0x1234, &[0xaa, 0xbb][..])));
    assert_eq!(retransmitted(&hex("1234")), Some((0x1234, &[][..])));
    assert_eq!(retransmitted(&hex("12")), None);
    assert_eq!(retransmitted(&[]), None);
}

#[test]
fn a_header_is_written_byte_for_byte() {
    let mut out = [0xee; 64];
    let fields = Fields { marker: true, payload_type: 96, sequence: 0x1234, timestamp: 0x100, ssrc: 0xcafe_babe };
    let mut writer = Writer::start(&mut out, fields, &[42], Form::OneByte).unwrap();
    writer.extension(1, &[0xff]).unwrap();
    writer.extension(2, &[0xaa, 0xbb]).unwrap();
    // What the form cannot express is left out.
    writer.extension(0, &[1]).unwrap();
    writer.extension(15, &[1]).unwrap();
    writer.extension(3, &[]).unwrap();
    writer.extension(3, &[0; 17]).unwrap();
    let len = writer.finish().unwrap();
    assert_eq!(out[..len], hex("91 e0 1234 00000100 cafebabe 0000002a bede 0002 10 ff 21 aabb 000000"));
    assert_eq!(out[len], 0xee);
}

#[test]
fn without_extensions_there_is_no_block() {
    let mut out = [0xee; 64];
    let fields = Fields { marker: false, payload_type: 0xff, sequence: 1, timestamp: 2, ssrc: 3 };
    let writer = Writer::start(&mut out, fields, &[], Form::TwoByte).unwrap();
    assert_eq!(writer.finish(), Ok(12));
    assert_eq!(out[..12], hex("80 7f 0001 00000002 00000003"));
}

proptest! {
    #[test]
    fn headers_come_back(
        marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32,
        csrcs in proptest::collection::vec(any::<u32>(), 0..16),
        elements in proptest::collection::vec((1_u8..15, proptest::collection::vec(any::<u8>(), 1..17)), 0..6),
        two_byte: bool,
    ) {
        let form = if two_byte { Form::TwoByte } else { Form::OneByte };
        let fields = Fields { marker, payload_type, sequence, timestamp, ssrc };
        let mut out = [0; 256];
        let mut writer = Writer::start(&mut out, fields, &csrcs, form).unwrap();
        for (id, data) in &elements {
            writer.extension(*id, data).unwrap();
        }
        let len = writer.finish().unwrap();
        let packet = &out[..len];
        let header = Header::parse(packet).unwrap();
        prop_assert_eq!(header.len, len);
        prop_assert_eq!((header.marker, header.payload_type, header.sequence), (marker, payload_type, sequence));
        prop_assert_eq!((header.timestamp, header.ssrc), (timestamp, ssrc));
        prop_assert_eq!(header.csrcs(packet).collect::<Vec<_>>(), csrcs);
        let read: Vec<_> = header.extensions(packet).map(|e| (e.id, e.data.to_vec())).collect();
        prop_assert_eq!(read, elements);
    }

    #[test]
    fn a_buffer_too_small_is_told(size in 0_usize..40) {
        let mut out = vec![0; size];
        let fields = Fields { marker: false, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3 };
        let written = Writer::start(&mut out, fields, &[1], Form::OneByte)
            .and_then(|mut writer| { writer.extension(1, b"abc")?; writer.finish() });
        prop_assert_eq!(written.is_ok(), size >= 24);
    }

    #[test]
    fn noise_is_read_without_harm(noise in proptest::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(header) = Header::parse(&noise) {
            let _ = (header.payload(&noise), header.csrcs(&noise).count(), header.extensions(&noise).count());
            // Another packet than the one it was read from gives nonsense, but no harm.
            let _ = (header.payload(&[]), header.csrcs(&[]).count(), header.extensions(&[]).count());
        }
    }
}
