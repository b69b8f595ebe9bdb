//! A session that stands before DTLS: checks that are good, and whatever else comes from an address that passed one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_fuzz::{OFFER, check, steps};
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::Offer;
use lyceum_session::{Config, Session};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static CONFIG: LazyLock<Config> = LazyLock::new(|| Config::new().expect("a certificate"));
/// Outputs of one step; more means that something chases its tail.
const OUTPUTS_MAX: usize = 1_000;

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::now();
    let offer = Offer::parse(OFFER).expect("a browser's offer");
    let local = Credentials::from_random([9; 24]);
    let mut session = Session::server(&CONFIG, local.clone(), offer.remote(), now);
    let own = SocketAddr::from(([192, 0, 2, 1], 40_001));
    let honest = SocketAddr::from(([198, 51, 100, 7], 5000));
    let first = check(&local.ufrag, &local.pwd, &offer.remote().ice.ufrag, true, 0);
    session.handle(honest, own, &first, now);
    for step in steps(input) {
        let Some((how, datagram)) = step.split_first() else { continue };
        let from = if how & 1 == 0 { honest } else { SocketAddr::from(([198, 51, 100, 8], 5000)) };
        now += Duration::from_millis(u64::from(how >> 1));
        if session.deadline().is_some_and(|deadline| deadline <= now) {
            session.handle_timeout(now);
        }
        session.handle(from, own, datagram, now);
        let outputs = std::iter::from_fn(|| session.poll()).take(OUTPUTS_MAX).count();
        assert!(outputs < OUTPUTS_MAX);
    }
    assert!(!session.is_connected(), "nobody guesses a DTLS handshake");
});
