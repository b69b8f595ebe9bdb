//! SDP: offers as the edge reads them, answers as a client reads them; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_session::sdp::{Answer, Candidate, Offer};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Candidate::parse(text);
    if let Ok(offer) = Offer::parse(text) {
        let written = offer.write();
        let again = Offer::parse(&written).expect("what was written can be read");
        assert_eq!(again.write(), written);
        let _ = offer.remote();
    }
    if let Ok(answer) = Answer::parse(text) {
        Answer::parse(&answer.write()).expect("what was written can be read");
    }
});
