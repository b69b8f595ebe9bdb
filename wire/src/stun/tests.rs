//! The RFCs' own messages, hand-made bad ones, and round trips.

use super::*;
use crate::golden::hex;
use proptest::prelude::*;
use std::net::SocketAddr;

/// RFC 5769 §2.1.
const REQUEST: &str = "
    0001 0058 2112a442 b7e7a701bc34d686fa87dfae
    8022 0010 5354554e 20746573 7420636c 69656e74
    0024 0004 6e0001ff
    8029 0008 932ff9b1 51263b36
    0006 0009 6576746a 3a683676 59202020
    0008 0014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2
    8028 0004 e57a3bcf";
/// RFC 5769 §2.2.
const RESPONSE_V4: &str = "
    0101 003c 2112a442 b7e7a701bc34d686fa87dfae
    8022 000b 74657374 20766563 746f7220
    0020 0008 0001a147 e112a643
    0008 0014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7
    8028 0004 c07d4c96";
/// RFC 5769 §2.3.
const RESPONSE_V6: &str = "
    0101 0048 2112a442 b7e7a701bc34d686fa87dfae
    8022 000b 74657374 20766563 746f7220
    0020 0014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9
    0008 0014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41
    8028 0004 c8fb0b4c";
/// RFC 5769 §2.4.
const LONG_TERM: &str = "
    0001 0060 2112a442 78ad3433c6ad72c029da412e
    0006 0012 e3839ee3 8388e383 aae38383 e382afe3 82b90000
    0015 001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341
    0014 000b 6578616d 706c652e 6f726700
    0008 0014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666";
/// RFC 8489 §B.1.
const LONG_TERM_SHA256: &str = "
    0001 0090 2112a442 78ad3433c6ad72c029da412e
    001e 0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704
    0015 0029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464 364f4c33 346f4c39 46535476 79363473 41000000
    0014 000b 6578616d 706c652e 6f726700
    001d 0004 00020000
    001c 0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65";
const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn rfc5769_request() {
    let bytes = hex(REQUEST);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class, message.method), (Class::Request, Method::BINDING));
    assert_eq!(message.software(), Ok(Some("STUN test client")));
    assert_eq!(message.priority(), Ok(Some(0x6e00_01ff)));
    assert_eq!(message.ice_controlled(), Ok(Some(0x932f_f9b1_5126_3b36)));
    assert_eq!(message.ice_controlling(), Ok(None));
    assert_eq!(message.username(), Ok(Some("evtj:h6vY")));
    assert_eq!(message.verify(PASSWORD), Ok(()));
    assert_eq!(message.verify(b"another"), Err(IntegrityError::Wrong));
    assert_eq!(message.verify_sha256(PASSWORD), Err(IntegrityError::Missing));
    assert_eq!(message.fingerprint(), Some(true));
    assert!(!message.use_candidate());
    assert_eq!(message.unknown_required().count(), 0);
}

#[test]
fn rfc5769_responses() {
    for (hexed, address) in
        [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let bytes = hex(hexed);
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(message.class, Class::Success);
        assert_eq!(message.mapped_address(), Ok(Some(at(address))));
        assert_eq!(message.verify(PASSWORD), Ok(()));
        assert_eq!(message.fingerprint(), Some(true));
    }
}

#[test]
fn rfc5769_long_term_credentials() {
    let bytes = hex(LONG_TERM);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Ok(Some("マトリックス")));
    assert_eq!(message.realm(), Ok(Some("example.org")));
    assert_eq!(message.nonce(), Ok(Some("f//499k954d6OL34oL9FSTvy64sA")));
    let key = crate::turn::long_term_key("マトリックス", "example.org", "TheMatrIX");
    assert_eq!(message.verify(&key), Ok(()));
    assert_eq!(message.fingerprint(), None);
}

#[test]
fn rfc8489_long_term_credentials_with_sha256() {
    let bytes = hex(LONG_TERM_SHA256);
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.find(Kind::USERHASH).unwrap().value.len(), 32);
    let key = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, "マトリックス:example.org:TheMatrIX".as_bytes());
    assert_eq!(message.verify_sha256(key.as_ref()), Ok(()));
    assert_eq!(message.verify(key.as_ref()), Err(IntegrityError::Missing));
}

#[test]
fn the_rfcs_response_is_written_byte_for_byte() {
    let mut out = [0; 128];
    let transaction = Transaction(hex("b7e7a701bc34d686fa87dfae").try_into().unwrap());
    let len = Builder::new(&mut out, Class::Success, Method::BINDING, transaction)
        .text(Kind::SOFTWARE, "test vector")
        .xor_address(Kind::XOR_MAPPED_ADDRESS, at("192.0.2.1:32853"))
        .integrity(PASSWORD)
        .fingerprint()
        .finish()
        .unwrap();
    // The RFC pads with a space, we with zero; and so the signatures differ. Everything else is the same.
    let golden = hex(RESPONSE_V4);
    assert_eq!(len, golden.len());
    assert_eq!(out[..35], golden[..35]);
    assert_eq!(out[36..52], golden[36..52]);
    let message = Message::parse(&out[..len]).unwrap();
    assert_eq!((message.verify(PASSWORD), message.fingerprint()), (Ok(()), Some(true)));
}

#[test]
fn any_changed_byte_is_noticed() {
    let bytes = hex(REQUEST);
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 0x04;
        let believed = Message::parse(&changed)
            .is_ok_and(|message| message.verify(PASSWORD).is_ok() && message.fingerprint() == Some(true));
        assert!(!believed, "byte {index}");
    }
}

#[test]
fn what_stands_behind_the_signature_is_not_believed() {
    let mut out = [0; 128];
    let len = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12]))
        .text(Kind::USERNAME, "signed")
        .integrity(b"key")
        .flag(Kind::USE_CANDIDATE)
        .text(Kind::REALM, "smuggled")
        .finish()
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert_eq!(message.verify(b"key"), Ok(()));
    assert_eq!(message.username(), Ok(Some("signed")));
    assert!(!message.use_candidate());
    assert_eq!(message.realm(), Ok(None));
}

#[test]
fn messages_that_cannot_be() {
    let cookie = "2112a442 000000000000000000000000";
    let table = [
        ("", Error::Length),
        ("0001", Error::Length),
        ("0001 0000 2112a442 0000000000000000000000", Error::Length),
        (&format!("0001 0004 {cookie}"), Error::Length),
        (&format!("0001 0000 {cookie} 00000000"), Error::Length),
        (&format!("0001 0003 {cookie} 000000"), Error::Length),
        (&format!("4001 0000 {cookie}"), Error::NotStun),
        (&format!("8001 0000 {cookie}"), Error::NotStun),
        ("0001 0000 2112a443 000000000000000000000000", Error::NotStun),
        (&format!("0001 0004 {cookie} 0006 0001"), Error::Attributes),
        (&format!("0001 0008 {cookie} 0006 0005 61616161"), Error::Attributes),
        (&format!("0001 0084 {cookie} {}", "8022 0000".repeat(33)), Error::Attributes),
    ];
    for (text, error) in table {
        assert_eq!(Message::parse(&hex(text)).unwrap_err(), error, "{text}");
    }
    assert!(Message::parse(&hex(&format!("0001 0080 {cookie} {}", "8022 0000".repeat(32)))).is_ok());
}

#[test]
fn values_that_cannot_be() {
    type Read = fn(&Message<'_>) -> bool;
    let table: &[(Kind, &str, Read)] = &[
        (Kind::PRIORITY, "000000", |m| m.priority().is_err()),
        (Kind::PRIORITY, "0000000000", |m| m.priority().is_err()),
        (Kind::ICE_CONTROLLING, "00000000", |m| m.ice_controlling().is_err()),
        (Kind::USERNAME, "ff", |m| m.username().is_err()),
        (Kind::USERNAME, &"61".repeat(509), |m| m.username().is_err()),
        (Kind::USERNAME, &"61".repeat(508), |m| m.username().is_ok()),
        (Kind::NONCE, &"61".repeat(764), |m| m.nonce().is_err()),
        (Kind::XOR_MAPPED_ADDRESS, "0001a147e112a6", |m| m.mapped_address().is_err()),
        (Kind::XOR_MAPPED_ADDRESS, "0001a147e112a64300", |m| m.mapped_address().is_err()),
        (Kind::XOR_MAPPED_ADDRESS, "0002a147e112a643", |m| m.mapped_address().is_err()),
        (Kind::XOR_MAPPED_ADDRESS, "0003a147e112a643", |m| m.mapped_address().is_err()),
        (Kind::XOR_MAPPED_ADDRESS, "", |m| m.mapped_address().is_err()),
        (Kind::MAPPED_ADDRESS, "00018055c0000201", |m| m.mapped_address() == Ok(Some(at("192.0.2.1:32853")))),
        (Kind::ERROR_CODE, "000004", |m| m.error_code().is_err()),
        (Kind::ERROR_CODE, "00000200", |m| m.error_code().is_err()),
        (Kind::ERROR_CODE, "00000700", |m| m.error_code().is_err()),
        (Kind::ERROR_CODE, "00000464", |m| m.error_code().is_err()),
        (Kind::ERROR_CODE, "000004266f6b", |m| m.error_code() == Ok(Some(ErrorCode { code: 438, reason: "ok" }))),
        (Kind::CHANNEL_NUMBER, "4000", |m| m.channel_number().is_err()),
        (Kind::CHANNEL_NUMBER, "3fff0000", |m| m.channel_number().is_err()),
        (Kind::CHANNEL_NUMBER, "80000000", |m| m.channel_number().is_err()),
        (Kind::CHANNEL_NUMBER, "40010000", |m| m.channel_number() == Ok(Some(0x4001))),
        (Kind::REQUESTED_TRANSPORT, "11", |m| m.requested_transport().is_err()),
        (Kind::EVEN_PORT, "8000", |m| m.even_port().is_err()),
        (Kind::EVEN_PORT, "80", |m| m.even_port() == Ok(Some(true))),
        (Kind::EVEN_PORT, "7f", |m| m.even_port() == Ok(Some(false))),
        (Kind::RESERVATION_TOKEN, "00", |m| m.reservation_token().is_err()),
    ];
    for (kind, value, holds) in table {
        let mut out = [0; 1200];
        let len = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12]))
            .raw(*kind, &hex(value))
            .finish()
            .unwrap();
        assert!(holds(&Message::parse(&out[..len]).unwrap()), "{kind:?} {value}");
    }
}

#[test]
fn required_attributes_that_nobody_knows_are_named() {
    let mut out = [0; 128];
    let len = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12]))
        .flag(Kind(0x7fff))
        .flag(Kind(0xffff))
        .flag(Kind(0x0002))
        .finish()
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert_eq!(message.unknown_required().collect::<Vec<_>>(), [Kind(0x7fff), Kind(0x0002)]);
}

#[test]
fn what_does_not_fit_is_told_and_nothing_breaks() {
    for size in 0..120 {
        let mut out = vec![0; size];
        let finished = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12]))
            .text(Kind::USERNAME, "somebody")
            .xor_address(Kind::XOR_MAPPED_ADDRESS, at("[2001:db8::1]:1"))
            .error(420, "Unknown Attribute")
            .integrity(b"key")
            .fingerprint()
            .finish();
        match finished {
            Ok(len) => assert!(Message::parse(&out[..len]).unwrap().verify(b"key").is_ok()),
            Err(Full) => assert!(size < 116, "{size}"),
        }
    }
}

proptest! {
    #[test]
    fn methods_and_classes_come_back(method in 0_u16..0x1000, class in 0..4) {
        let class = [Class::Request, Class::Indication, Class::Success, Class::Error][class as usize];
        prop_assert_eq!(split(join(class, Method(method))), (class, Method(method)));
        prop_assert!(join(class, Method(method)) < 0x4000);
    }

    #[test]
    fn addresses_come_back(v6 in any::<[u8; 16]>(), v4 in any::<[u8; 4]>(), port in any::<u16>(), id in any::<[u8; 12]>()) {
        for address in [SocketAddr::from((v6, port)), SocketAddr::from((v4, port))] {
            let mut out = [0; 64];
            let len = Builder::new(&mut out, Class::Success, Method::BINDING, Transaction(id))
                .xor_address(Kind::XOR_PEER_ADDRESS, address)
                .finish()
                .unwrap();
            let message = Message::parse(&out[..len]).unwrap();
            prop_assert_eq!(message.xor_address(Kind::XOR_PEER_ADDRESS), Ok(Some(address)));
            prop_assert_eq!(message.peer_addresses().collect::<Vec<_>>(), vec![Ok(address)]);
        }
    }

    #[test]
    fn attributes_come_back(values in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let mut out = [0; 1200];
        let mut builder = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12]));
        for (kind, value) in &values {
            builder = builder.raw(Kind(*kind), value);
        }
        let len = builder.finish().unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        let read: Vec<_> = message.attributes().map(|a| (a.kind.0, a.value.to_vec())).collect();
        for attribute in message.attributes() {
            prop_assert_eq!(&out[attribute.range()], attribute.value);
        }
        prop_assert_eq!(read, values);
    }

    #[test]
    fn noise_is_read_without_harm(mut noise in proptest::collection::vec(any::<u8>(), 0..300), honest in any::<bool>()) {
        if honest && noise.len() >= 20 {
            let length = u16::try_from((noise.len() - 20) & !3).unwrap();
            noise.truncate(20 + usize::from(length));
            noise[0] &= 0x3f;
            noise[2..4].copy_from_slice(&length.to_be_bytes());
            noise[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        }
        if let Ok(message) = Message::parse(&noise) {
            let _ = (message.username(), message.mapped_address(), message.error_code(), message.fingerprint());
            let _ = (message.verify(b"k"), message.verify_sha256(b"k"), message.peer_addresses().count());
        }
    }
}
