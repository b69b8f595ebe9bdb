//! Messages between client and edge, and bodies of the control plane's API.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::api::{JoinRequest, NodeStatus, TokenRequest};
use lyceum_wire::signal::{ToClient, ToEdge};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = serde_json::from_slice::<ToEdge>(bytes) {
        let text = serde_json::to_string(&message).expect("messages can be written");
        serde_json::from_str::<ToEdge>(&text).expect("what was written can be read");
    }
    if let Ok(message) = serde_json::from_slice::<ToClient>(bytes) {
        let text = serde_json::to_string(&message).expect("messages can be written");
        serde_json::from_str::<ToClient>(&text).expect("what was written can be read");
    }
    let _ = serde_json::from_slice::<TokenRequest>(bytes);
    let _ = serde_json::from_slice::<JoinRequest>(bytes);
    let _ = serde_json::from_slice::<NodeStatus>(bytes);
});
