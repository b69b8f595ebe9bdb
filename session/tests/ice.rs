//! Connectivity checks against an edge's session, byte by byte: what is answered, what is not, and who carries media.
#![allow(clippy::unwrap_used, missing_docs)]

mod play;

use bytes::Bytes;
use lyceum_session::ice::{Credentials, PAIRS_MAX};
use lyceum_session::{DropReason, Output, Pair, Session};
use lyceum_wire::stun::{Builder, Class, Kind, Message, Method, Transaction};
use play::*;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What is put into a check.
struct Check {
    class: Class,
    method: Method,
    user: String,
    pwd: String,
    priority: u32,
    nominate: bool,
    controlled: bool,
    unknown: Option<u16>,
    fingerprint: bool,
}

impl Default for Check {
    fn default() -> Self {
        let (edge, client) = (credentials(1), credentials(2));
        Self {
            class: Class::Request,
            method: Method::BINDING,
            user: format!("{}:{}", edge.ufrag, client.ufrag),
            pwd: edge.pwd,
            priority: 100,
            nominate: false,
            controlled: false,
            unknown: None,
            fingerprint: true,
        }
    }
}

impl Check {
    fn bytes(&self) -> Vec<u8> {
        let mut out = [0; 512];
        let role = if self.controlled { Kind::ICE_CONTROLLED } else { Kind::ICE_CONTROLLING };
        let mut builder = Builder::new(&mut out, self.class, self.method, Transaction([9; 12]))
            .text(Kind::USERNAME, &self.user)
            .u32(Kind::PRIORITY, self.priority)
            .u64(role, 1);
        if self.nominate {
            builder = builder.flag(Kind::USE_CANDIDATE);
        }
        if let Some(kind) = self.unknown {
            builder = builder.raw(Kind(kind), &[1, 2, 3]);
        }
        builder = builder.integrity(self.pwd.as_bytes());
        if self.fingerprint {
            builder = builder.fingerprint();
        }
        let bytes = builder.finish().unwrap();
        out[..bytes].to_vec()
    }
}

fn edge() -> (Session, Instant) {
    let play = Play::new(1, FINE);
    (play.edge, play.now)
}

fn replies(edge: &mut Session) -> Vec<Bytes> {
    let only = |output| match output {
        Output::Transmit { bytes, .. } => Some(bytes),
        _ => None,
    };
    std::iter::from_fn(|| edge.poll()).filter_map(only).collect()
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, host], 4000))
}

#[test]
fn what_proves_nothing_gets_no_answer_and_is_counted() {
    let garbled = |at: usize| {
        let mut bytes = Check::default().bytes();
        bytes[at] ^= 1;
        bytes
    };
    let swapped = || {
        let (edge, client) = (credentials(1), credentials(2));
        format!("{}:{}", client.ufrag, edge.ufrag)
    };
    for (name, bytes, reason) in [
        ("another password", Check { pwd: "x".repeat(24), ..Check::default() }.bytes(), DropReason::StunIntegrity),
        ("another user", Check { user: "somebody:else".into(), ..Check::default() }.bytes(), DropReason::StunUser),
        ("names swapped", Check { user: swapped(), ..Check::default() }.bytes(), DropReason::StunUser),
        ("half a user", Check { user: credentials(1).ufrag, ..Check::default() }.bytes(), DropReason::StunUser),
        ("no fingerprint", Check { fingerprint: false, ..Check::default() }.bytes(), DropReason::StunFingerprint),
        ("a flipped bit", garbled(45), DropReason::StunFingerprint),
        ("no STUN", vec![0, 1, 0, 0, 1, 2, 3], DropReason::StunMalformed),
        ("TURN", Check { method: Method::ALLOCATE, ..Check::default() }.bytes(), DropReason::StunUnexpected),
        ("an answer", Check { class: Class::Success, ..Check::default() }.bytes(), DropReason::StunUnasked),
        ("RTP", vec![0x80; 40], DropReason::NotOurs),
        ("nothing", Vec::new(), DropReason::NotOurs),
    ] {
        let (mut edge, now) = edge();
        edge.handle(address(1), edge_address(), &bytes, now);
        assert_eq!(edge.drops().iter().collect::<Vec<_>>(), [(reason, 1)], "{name}");
        assert_eq!(edge.poll(), None, "{name}");
        assert!(!edge.is_checked(Pair { local: edge_address(), remote: address(1) }), "{name}");
    }
}

#[test]
fn a_proven_check_is_answered_with_no_more_than_is_needed() {
    for host in ["198.51.100.1:4000", "[2001:db8::7]:4000"] {
        let (mut edge, now) = edge();
        let from: SocketAddr = host.parse().unwrap();
        let question = Check::default().bytes();
        edge.handle(from, edge_address(), &question, now);
        let [reply] = &replies(&mut edge)[..] else { panic!("one reply") };
        let message = Message::parse(reply).unwrap();
        assert_eq!((message.class, message.transaction), (Class::Success, Transaction([9; 12])));
        assert_eq!(message.mapped_address(), Ok(Some(from)));
        assert_eq!(message.verify(credentials(1).pwd.as_bytes()), Ok(()));
        assert_eq!(message.fingerprint(), Some(true));
        assert!(reply.len() < question.len(), "{} for {}", reply.len(), question.len());
        assert!(edge.is_checked(Pair { local: edge_address(), remote: from }));
        assert_eq!(edge.selected(), None);
    }
}

#[test]
fn an_unknown_required_attribute_is_named_and_an_optional_one_ignored() {
    let (mut edge, now) = edge();
    edge.handle(address(1), edge_address(), &Check { unknown: Some(0x7001), ..Check::default() }.bytes(), now);
    let [reply] = &replies(&mut edge)[..] else { panic!("one reply") };
    let message = Message::parse(reply).unwrap();
    assert_eq!(message.error_code().unwrap().unwrap().code, 420);
    assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [Kind(0x7001)]);
    assert_eq!(message.verify(credentials(1).pwd.as_bytes()), Ok(()));
    assert!(!edge.is_checked(Pair { local: edge_address(), remote: address(1) }));
    edge.handle(address(1), edge_address(), &Check { unknown: Some(0xc057), ..Check::default() }.bytes(), now);
    assert_eq!(Message::parse(&replies(&mut edge)[0]).unwrap().class, Class::Success);
}

#[test]
fn a_peer_that_thinks_it_is_controlled_is_told_otherwise() {
    let (mut edge, now) = edge();
    edge.handle(address(1), edge_address(), &Check { controlled: true, ..Check::default() }.bytes(), now);
    let reply = replies(&mut edge).remove(0);
    assert_eq!(Message::parse(&reply).unwrap().error_code().unwrap().unwrap().code, 487);
    assert_eq!(edge.selected(), None);
}

#[test]
fn a_peer_that_nominates_by_choice_is_followed_at_once() {
    let (mut edge, now) = edge();
    let mut check = |host: u8, priority: u32, nominate: bool, ms: u64| {
        let bytes = Check { priority, nominate, ..Check::default() }.bytes();
        edge.handle(address(host), edge_address(), &bytes, now + Duration::from_millis(ms));
        edge.selected().map(|pair| pair.remote)
    };
    assert_eq!(check(1, 200, false, 0), None);
    assert_eq!(check(2, 100, false, 10), None);
    assert_eq!(check(1, 200, true, 50), Some(address(1)));
    assert_eq!(check(2, 100, false, 60), Some(address(1)), "an ordinary check changes nothing");
    assert_eq!(check(2, 100, true, 70), Some(address(2)), "another network, of lower priority");
    assert_eq!(check(1, 200, true, 80), Some(address(1)), "and back");
}

#[test]
fn of_a_peer_that_nominates_everything_the_best_pair_is_taken() {
    let (mut edge, now) = edge();
    let mut check = |host: u8, priority: u32, ms: u64| {
        let bytes = Check { priority, nominate: true, ..Check::default() }.bytes();
        edge.handle(address(host), edge_address(), &bytes, now + Duration::from_millis(ms));
        edge.selected().map(|pair| pair.remote)
    };
    assert_eq!(check(1, 100, 0), Some(address(1)));
    assert_eq!(check(2, 200, 50), Some(address(2)));
    assert_eq!(check(1, 100, 100), Some(address(2)), "no flapping while everything is checked");
    assert_eq!(check(1, 100, 20_000), Some(address(1)), "much later it is a change of mind");
}

#[test]
fn after_a_restart_old_checks_keep_the_old_pair_and_the_new_generation_wins() {
    let (mut edge, now) = edge();
    let at = |ms: u64| now + Duration::from_millis(ms);
    let old = |nominate| Check { nominate, ..Check::default() }.bytes();
    let (local, remote) = (credentials(3), credentials(4));
    let user = format!("{}:{}", local.ufrag, remote.ufrag);
    let new = |nominate| Check { user: user.clone(), pwd: credentials(3).pwd, nominate, ..Check::default() }.bytes();
    edge.handle(address(1), edge_address(), &old(false), at(0));
    edge.handle(address(1), edge_address(), &old(true), at(1));
    edge.restart_ice(local, remote, at(2));
    edge.handle(address(1), edge_address(), &old(true), at(3));
    assert_eq!(edge.selected().unwrap().remote, address(1));
    edge.handle(address(2), edge_address(), &new(false), at(4));
    edge.handle(address(1), edge_address(), &old(true), at(5));
    assert_eq!(edge.selected().unwrap().remote, address(1), "checked, not nominated");
    edge.handle(address(2), edge_address(), &new(true), at(6));
    assert_eq!(edge.selected().unwrap().remote, address(2));
    let before = edge.drops().of(DropReason::StunUser);
    edge.handle(address(1), edge_address(), &old(true), at(7));
    assert_eq!(edge.drops().of(DropReason::StunUser), before + 1, "the old credentials are dead");
    assert!(!edge.is_checked(Pair { local: edge_address(), remote: address(1) }), "and so is their pair");
}

#[test]
fn restarts_one_after_the_other_leave_no_more_than_two_generations() {
    let (mut edge, now) = edge();
    edge.handle(address(1), edge_address(), &Check { nominate: true, ..Check::default() }.bytes(), now);
    for i in 10..20 {
        edge.restart_ice(credentials(i), credentials(i + 100), now);
        assert!(edge.local_ufrags().len() <= 2);
    }
    assert_eq!(edge.local_ufrags(), [credentials(19).ufrag, credentials(1).ufrag]);
    assert!(edge.is_checked(Pair { local: edge_address(), remote: address(1) }));
}

#[test]
fn addresses_are_bounded_and_the_selected_one_stays() {
    let (mut edge, now) = edge();
    edge.handle(address(0), edge_address(), &Check { nominate: true, ..Check::default() }.bytes(), now);
    for host in 1..100 {
        let later = now + Duration::from_millis(u64::from(host));
        edge.handle(address(host), edge_address(), &Check::default().bytes(), later);
    }
    let known = |host: &u8| edge.is_checked(Pair { local: edge_address(), remote: address(*host) });
    assert_eq!((0..100).filter(known).count(), PAIRS_MAX);
    assert!(known(&0) && known(&99));
    assert_eq!(edge.drops().of(DropReason::PairsFull) as usize, 100 - PAIRS_MAX);
}

#[test]
fn a_silent_pair_gives_way_to_one_that_was_nominated_before_and_is_heard() {
    let (mut edge, now) = edge();
    let at = |seconds: u64| now + Duration::from_secs(seconds);
    let nominate = Check { nominate: true, ..Check::default() }.bytes();
    let check = Check::default().bytes();
    edge.handle(address(1), edge_address(), &check, at(0));
    edge.handle(address(1), edge_address(), &nominate, at(0));
    edge.handle(address(2), edge_address(), &nominate, at(1));
    assert_eq!(edge.selected().unwrap().remote, address(2));
    for seconds in 2..25 {
        edge.handle(address(1), edge_address(), &check, at(seconds));
        if edge.deadline().unwrap() <= at(seconds) {
            edge.handle_timeout(at(seconds));
        }
    }
    assert_eq!(edge.selected().unwrap().remote, address(1));
    assert!(!edge.is_over());
}

#[test]
fn the_longest_credentials_of_an_edge_fit_into_a_check() {
    let long = Credentials { ufrag: "b".repeat(256), pwd: "b".repeat(256) };
    let config = &CLIENT_CONFIG;
    let play = Play::new(1, FINE);
    let remote = remote(&EDGE_CONFIG, long);
    let mut client = Session::client(config, credentials(1), remote, client_address(), &[edge_address()], 1, play.now);
    let checks = replies(&mut client);
    let message = Message::parse(&checks[0]).unwrap();
    assert_eq!(message.username().unwrap().map(str::len), Some(265));
}

#[test]
fn two_answers_at_once_do_not_put_off_the_nomination() {
    let Play { mut edge, mut client, now, .. } = Play::new(1, FINE);
    let (at_edge, at_client) = (edge_address(), client_address());
    let mut answers = Vec::new();
    // The second check goes out before the answer to the first is read: a thread that was held up.
    for after in [0, 300] {
        let now = now + Duration::from_millis(after);
        client.handle_timeout(now);
        while let Some(output) = client.poll() {
            let Output::Transmit { bytes, .. } = output else { continue };
            edge.handle(at_client, at_edge, &bytes, now);
        }
        while let Some(output) = edge.poll() {
            if let Output::Transmit { bytes, .. } = output {
                answers.push(bytes);
            }
        }
    }
    assert!(answers.len() >= 2, "{}", answers.len());
    let now = now + Duration::from_millis(400);
    for answer in &answers {
        client.handle(at_edge, at_client, answer, now);
    }
    assert!(client.deadline().is_some_and(|at| at <= now), "the nomination is due at once");
}
