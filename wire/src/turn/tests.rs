//! Channel data, stream framing, credentials.

use super::*;
use crate::golden::hex;
use proptest::prelude::*;

#[test]
fn channel_data_is_read_with_and_without_padding() {
    let table = [
        ("4000 0000", Some((0x4000, ""))),
        ("4001 0003 616263", Some((0x4001, "616263"))),
        ("4001 0003 61626300", Some((0x4001, "616263"))),
        ("7fff 0001 61 ffffff", Some((0x7fff, "61"))),
        ("4001 0004 616263", None),
        ("4001 00", None),
        ("", None),
        ("3fff 0000", None),
        ("8000 0000", None),
        ("0001 0000", None),
    ];
    for (bytes, expected) in table {
        let bytes = hex(bytes);
        let read = ChannelData::parse(&bytes).map(|data| (data.channel, data.data.to_vec()));
        assert_eq!(read, expected.map(|(channel, data)| (channel, hex(data))), "{bytes:x?}");
    }
}

#[test]
fn streams_are_padded_and_datagrams_are_not() {
    let data = ChannelData { channel: 0x4001, data: b"abcde" };
    let mut out = [0xee; 16];
    assert_eq!(data.write(&mut out), Ok(9));
    assert_eq!(out[..9], hex("4001 0005 6162636465"));
    assert_eq!(data.write_to_stream(&mut out), Ok(12));
    assert_eq!(out[..12], hex("4001 0005 6162636465 000000"));
    assert_eq!(data.write(&mut out[..8]), Err(Full));
    assert_eq!(data.write_to_stream(&mut out[..11]), Err(Full));
    assert_eq!(ChannelData::header(0x4000, 65_536), Err(Full));
}

#[test]
fn the_front_of_a_stream_says_how_much_to_wait_for() {
    let table = [
        ("", Ok(None)),
        ("000100", Ok(None)),
        ("0001 0000", Ok(Some(Frame::Message(20)))),
        ("0001 0058", Ok(Some(Frame::Message(108)))),
        ("4001 0000", Ok(Some(Frame::Channel(4)))),
        ("4001 0005", Ok(Some(Frame::Channel(12)))),
        ("4001 0008", Ok(Some(Frame::Channel(12)))),
        ("4001 ffff", Ok(Some(Frame::Channel(65_540)))),
        ("8001 0000", Err(NotFramed)),
        ("1603 0100", Ok(Some(Frame::Message(276)))),
        ("c000 0000", Err(NotFramed)),
    ];
    for (bytes, expected) in table {
        assert_eq!(Frame::of(&hex(bytes)), expected, "{bytes}");
    }
}

#[test]
fn credentials_are_those_of_the_rest_api() {
    let room = RoomId::parse("physics-101").unwrap();
    let credential = credential("north", &room, 1_800_000_000);
    assert_eq!(credential.username, "1800000000:physics-101");
    // printf %s 1800000000:physics-101 | openssl dgst -sha1 -hmac north -binary | base64
    assert_eq!(credential.password, "OTVk8R8YIwmqw8fn7kWFkljCGtU=");
    assert_eq!(check(&credential.username, 1_799_999_999), Ok(Grant { expires_at: 1_800_000_000, room }));
    assert_eq!(check(&credential.username, 1_800_000_000), Err(CredentialError::Expired));
}

#[test]
fn user_names_have_one_spelling() {
    for bad in [
        "",
        ":",
        "1800000000",
        "1800000000:",
        ":room",
        "+1800000000:room",
        "01800000000:room",
        "-1:room",
        "1800000000:a/b",
        "1800000000:a:b",
        "99999999999999999999:room",
        "18e8:room",
        " 1800000000:room",
        "0:room",
    ] {
        assert_eq!(check(bad, 0), Err(CredentialError::Malformed), "{bad}");
    }
}

proptest! {
    #[test]
    fn channel_data_comes_back(channel in CHANNEL_MIN..=CHANNEL_MAX, data in proptest::collection::vec(any::<u8>(), 0..100)) {
        let data = ChannelData { channel, data: &data };
        let mut out = [0; 128];
        let len = data.write(&mut out).unwrap();
        prop_assert_eq!(ChannelData::parse(&out[..len]), Some(data));
        let len = data.write_to_stream(&mut out).unwrap();
        prop_assert_eq!(Frame::of(&out[..len]), Ok(Some(Frame::Channel(len))));
        prop_assert_eq!(ChannelData::parse(&out[..len]), Some(data));
    }
}
