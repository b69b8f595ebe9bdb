//! ChannelData, the framing of streams, user names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::demux::Class;
use lyceum_wire::turn::{self, ChannelData, Frame};

fuzz_target!(|bytes: &[u8]| {
    let _ = Class::of(bytes);
    if let Some(data) = ChannelData::parse(bytes) {
        assert_eq!(Class::of(bytes), Some(Class::Channel));
        let mut out = vec![0; data.data.len() + 8];
        let len = data.write_to_stream(&mut out).expect("room");
        assert_eq!(ChannelData::parse(&out[..len]), Some(data));
        assert_eq!(Frame::of(&out[..len]), Ok(Some(Frame::Channel(len))));
    }
    if let Ok(Some(Frame::Message(len) | Frame::Channel(len))) = Frame::of(bytes) {
        assert!(len >= 4);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(grant) = turn::check(text, 0)
    {
        // A user name that is accepted has this one spelling.
        assert_eq!(text, format!("{}:{}", grant.expires_at, grant.room));
    }
});
