//! STUN messages, every typed value, signatures; and a message written again from its attributes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::stun::{Builder, Kind, Message};

fuzz_target!(|datagram: &[u8]| {
    let Ok(message) = Message::parse(datagram) else { return };
    let _ = (message.username(), message.realm(), message.nonce(), message.software(), message.priority());
    let _ = (message.ice_controlling(), message.ice_controlled(), message.use_candidate(), message.data());
    let _ = (message.error_code(), message.lifetime(), message.channel_number(), message.requested_transport());
    let _ = (message.even_port(), message.reservation_token(), message.mapped_address(), message.fingerprint());
    let _ = (message.address_family(Kind::REQUESTED_ADDRESS_FAMILY), message.unknown_attributes().count());
    let _ = (message.peer_addresses().count(), message.unknown_required().count());
    assert!(message.verify(b"a key that nobody signs with").is_err());
    assert!(message.verify_sha256(b"a key that nobody signs with").is_err());

    let mut out = vec![0; datagram.len() + 64];
    let mut builder = Builder::new(&mut out, message.class, message.method, message.transaction);
    for attribute in message.attributes() {
        assert_eq!(&datagram[attribute.range()], attribute.value);
        builder = builder.raw(attribute.kind, attribute.value);
    }
    let len = builder.finish().expect("room");
    assert_eq!(len, datagram.len());
    let again = Message::parse(&out[..len]).expect("what was written can be read");
    assert_eq!((again.class, again.method, again.transaction), (message.class, message.method, message.transaction));
    let both = message.attributes().zip(again.attributes());
    assert!(both.into_iter().all(|(a, b)| a == b));
});
