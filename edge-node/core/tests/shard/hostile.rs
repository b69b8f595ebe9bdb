//! Bad input: refused or dropped, counted, and nobody else notices.

use crate::client::{Line, sends};
use crate::media::film;
use crate::world::World;
use lyceum_edge_core::door::Command;
use lyceum_wire::id::Source;
use lyceum_wire::signal::{ClientSays, EdgeSays, Refusal, SlotKind};

/// Ana films, Ben watches: the ones who must not notice.
fn class(world: &mut World) -> (usize, usize) {
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    (ana, ben)
}

fn nobody_noticed(world: &mut World, ana: usize, ben: usize) {
    let before = world.clients[ben].rtp.len();
    film(world, ana, 0, 10);
    assert!(world.clients[ben].rtp.len() >= before + 9, "the class goes on");
}

/// A small generator: the same noise every time.
fn noise(seed: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (*seed >> 33) as u8;
    }
}

#[test]
fn garbage_datagrams_are_counted_and_harmless() {
    let mut world = World::new(1);
    let (ana, ben) = class(&mut world);
    let stranger = "192.0.2.66:666".parse().unwrap();
    let known = world.clients[ben].address;
    let mut seed = 7;
    for n in 0..3_000_usize {
        let mut bytes = vec![0; n % 1_400];
        noise(&mut seed, &mut bytes);
        if let Some(first) = bytes.first_mut() {
            *first = (n % 256) as u8;
        }
        world.throw(if n % 2 == 0 { stranger } else { known }, 0, &bytes);
    }
    for reason in ["noise", "stun_malformed", "dtls_unknown", "media_unknown"] {
        assert!(world.drops(0, "door", reason) > 40, "{reason}");
    }
    assert!(world.drops(0, "media", "bad_tag") > 50);
    nobody_noticed(&mut world, ana, ben);
    assert_eq!(world.nodes[0].shard.stats().participants, 2);
}

#[test]
fn a_check_for_nobody_or_with_a_wrong_password_gets_no_answer() {
    use lyceum_wire::stun::{Builder, Class, Kind, Method, Transaction};
    let mut world = World::new(1);
    let (ana, ben) = class(&mut world);
    let stranger = "192.0.2.66:666".parse().unwrap();
    let sent = world.nodes[0].shard.stats().datagrams_out;
    for user in ["nobody:me", "AAAAxxxxxxxx:me", "::::", "ÄÖ"] {
        let mut bytes = [0; 200];
        let built = Builder::new(&mut bytes, Class::Request, Method::BINDING, Transaction([1; 12]))
            .text(Kind::USERNAME, user)
            .finish();
        let len = built.unwrap();
        world.throw(stranger, 0, &bytes[..len]);
    }
    assert_eq!(world.drops(0, "door", "unknown_ufrag"), 4);
    // Somebody read Ben's user fragment over his shoulder, but not the password.
    let (ours, theirs) = (ufrag_of(&world, ben), world.clients[ben].ice.ufrag.clone());
    let mut bytes = [0; 200];
    let built = Builder::new(&mut bytes, Class::Request, Method::BINDING, Transaction([2; 12]))
        .text(Kind::USERNAME, &format!("{ours}:{theirs}"))
        .u32(Kind::PRIORITY, 1)
        .u64(Kind::ICE_CONTROLLING, 1)
        .integrity(b"not the password at all")
        .fingerprint()
        .finish();
    let len = built.unwrap();
    world.throw(stranger, 0, &bytes[..len]);
    assert_eq!(world.drops(0, "session", "stun_integrity"), 1);
    world.throw(stranger, 0, &[0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7, 7, 7, 7]);
    world.throw(stranger, 0, &[22, 254, 253, 0, 0]);
    assert_eq!(world.drops(0, "door", "media_unknown"), 1, "its address counts for nothing");
    assert_eq!(world.drops(0, "door", "dtls_unknown"), 1);
    assert_eq!(world.nodes[0].shard.stats().datagrams_out, sent);
    nobody_noticed(&mut world, ana, ben);
}

/// The user fragment the edge gave a client.
fn ufrag_of(world: &World, client: usize) -> String {
    let mut answers = world.clients[client].heard.iter().filter_map(|m| match &m.body {
        EdgeSays::Answer { sdp } => Some(lyceum_session::sdp::Answer::parse(sdp).unwrap().ice.ufrag.clone()),
        _ => None,
    });
    answers.next_back().unwrap()
}

#[test]
fn an_offer_of_ten_megabytes_is_refused() {
    let mut world = World::new(1);
    let (ana, ben) = class(&mut world);
    let eve = world.join(0, "eve", "physics");
    let sdp = "v=0\r\n".to_owned() + &"a=x:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(250_000);
    assert!(sdp.len() > 10_000_000);
    world.say(eve, ClientSays::Offer { sdp, publish: Vec::new(), slots: Vec::new() });
    world.say(eve, ClientSays::Offer { sdp: "nonsense".into(), publish: Vec::new(), slots: Vec::new() });
    assert_eq!(world.refusals(eve), ["TooLarge", "BadOffer"]);
    nobody_noticed(&mut world, ana, ben);
}

#[test]
fn a_flood_is_refused_and_then_ended() {
    let mut world = World::new(1);
    let (ana, ben) = class(&mut world);
    let eve = world.join(0, "eve", "physics");
    let mut said = 0;
    while !world.clients[eve].closed {
        world.say(eve, ClientSays::Candidate { candidate: None });
        said += 1;
        assert!(said < 1_000, "it has to end");
    }
    assert!(said > 500, "a burst is allowed: {said}");
    let refusals = world.refusals(eve);
    assert!(refusals[..refusals.len() - 1].iter().all(|r| r == "TooMany"));
    assert_eq!(refusals.last().map(String::as_str), Some("TooMany fatal"));
    assert_eq!(world.nodes[0].shard.stats().departures["offended"], 1);
    world.run(500);
    assert_eq!(world.roster(ben), ["ana Camera", "ben"]);
    nobody_noticed(&mut world, ana, ben);
}

#[test]
fn chat_faster_than_anybody_types_is_refused_but_survives() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    for n in 0..40 {
        world.chat(ana, &n.to_string());
    }
    let refused = world.refusals(ana).len();
    assert_eq!(refused, 15, "25 at once");
    world.run(1_000);
    for _ in 0..5 {
        world.chat(ana, "slower");
    }
    assert_eq!(world.refusals(ana).len(), refused);
    assert!(!world.clients[ana].closed);
}

#[test]
fn what_cannot_be_read_is_refused_and_a_stream_of_it_ends() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let socket = world.clients[ana].socket.unwrap();
    let garbled = |code| Command::Garbled { socket, code, message: "not JSON".into() };
    world.command(0, garbled(Refusal::Malformed));
    // The unreadable one had a number; the next one is welcome.
    world.clients[ana].seq += 1;
    world.chat(ana, "sorry");
    assert_eq!(world.refusals(ana), ["Malformed"]);
    for _ in 0..100 {
        world.command(0, garbled(Refusal::Malformed));
    }
    assert!(world.clients[ana].closed);
    let ben = world.join(0, "ben", "physics");
    let socket = world.clients[ben].socket.unwrap();
    world.command(0, Command::Garbled { socket, code: Refusal::TooMany, message: String::new() });
    assert_eq!(world.refusals(ben), ["TooMany fatal"]);
    assert!(world.clients[ben].closed);
}

#[test]
fn a_number_out_of_turn_ends_the_session() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.clients[ana].seq = 5;
    world.chat(ana, "from the future");
    assert_eq!(world.refusals(ana), ["Malformed fatal"]);
    assert!(world.clients[ana].closed);
    assert_eq!(world.nodes[0].shard.live().peers, 0);
}

#[test]
fn commands_about_nobody_do_nothing() {
    use lyceum_edge_core::door::{Secret, SocketId};
    let mut world = World::new(1);
    let socket = SocketId(999);
    world.command(0, Command::SocketLost { socket });
    world.command(0, Command::Garbled { socket, code: Refusal::Malformed, message: String::new() });
    let message = Box::new(lyceum_wire::signal::ToEdge { seq: 1, body: ClientSays::Leave });
    world.command(0, Command::Said { socket, message });
    world.command(
        0,
        Command::HttpDelete { request: lyceum_edge_core::door::RequestId(1), resource: Secret("x".into()) },
    );
    assert_eq!(world.nodes[0].shard.live(), Default::default());
}
