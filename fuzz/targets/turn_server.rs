//! The TURN server: what clients with and without a credential say in any order, while time passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_edge_core::turn::{Config, Output, PORTS, Relay, Server};
use lyceum_fuzz::{REALM, TURN_SECRET, TurnClient, UNIX, steps};
use lyceum_wire::stun::Message;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fuzz_target!(|input: &[u8]| {
    let own = SocketAddr::from(([192, 0, 2, 1], 40_001));
    let mut now = Instant::now();
    let config = Config {
        realm: REALM.to_owned(),
        secret: TURN_SECRET.to_owned(),
        own: vec![own, SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 40_001))],
        siblings: Vec::new(),
        allowed: Vec::new(),
        ports: PORTS,
        seed: [7; 32],
    };
    let mut server = Server::new(config, UNIX * 1000, now);
    let mut clients = [TurnClient::default(), TurnClient::default()];
    for step in steps(input) {
        let Some((how, rest)) = step.split_first() else { continue };
        let which = usize::from(how & 1);
        let from = SocketAddr::from(([198, 51, 100, 7], 5000 + u16::from(how & 1)));
        let datagram = if how & 2 == 0 { rest.to_vec() } else { clients[which].request(rest) };
        now += Duration::from_secs(u64::from(how >> 2) * 4);
        server.wake(now);
        match server.handle(from, own, &datagram, now) {
            Some(Relay::ToSelf { relayed, own: to, payload }) => {
                assert_eq!(to.port(), own.port(), "only to what is ours");
                assert!(server.is_relayed(relayed) && payload.end <= datagram.len());
                server.from_self(relayed, to, payload.len(), now);
            }
            Some(Relay::ToClient { payload, .. }) => assert!(payload.end <= datagram.len()),
            Some(Relay::ToShard { .. }) => panic!("there is one shard"),
            Some(Relay::ToPeer { .. }) => panic!("nobody is listed"),
            None => {}
        }
        let mut answers = 0;
        while let Some(output) = server.poll() {
            let Output::Transmit { to, bytes } = output else { panic!("nobody is listed") };
            assert_eq!(to.address, from);
            Message::parse(&bytes).expect("answers can be read");
            clients[which].learn(&bytes);
            answers += 1;
        }
        assert!(answers <= 1 && server.allocations() <= 2);
    }
    server.wake(now + Duration::from_secs(3601));
    assert_eq!((server.allocations(), server.deadline()), (0, None));
});
