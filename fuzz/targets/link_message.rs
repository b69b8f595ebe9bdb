//! Messages between nodes: what is understood says the same when it is said again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::link::Message;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = serde_json::from_slice::<Message>(bytes) else { return };
    let text = serde_json::to_string(&message).expect("messages can be written");
    let again: Message = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&again).expect("messages can be written"), text);
});
