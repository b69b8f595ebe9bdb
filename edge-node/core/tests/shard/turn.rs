//! A client whose network lets it reach nothing but the shard's port as a TURN server.

use crate::client::{Line, sends};
use crate::media::film;
use crate::world::{UNIX_MS, World, room};
use lyceum_wire::id::Source;
use lyceum_wire::signal::SlotKind;
use lyceum_wire::stun::{Builder, Class, Kind, Message, Method, Transaction};
use lyceum_wire::turn::{Credential, credential, long_term_key};
use std::net::SocketAddr;

const CHANNEL: u16 = 0x4001;

/// The way of a client that is relayed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relayed {
    /// Where it really is.
    pub(crate) real: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) channel: u16,
    /// Whom the channel leads to.
    pub(crate) peer: SocketAddr,
}

/// Asks the server something and gives its answer.
fn ask(
    world: &mut World,
    real: SocketAddr,
    number: u8,
    build: impl FnOnce(Builder<'_>) -> usize,
    buffer: &mut [u8],
) -> Vec<u8> {
    let (method, transaction) = (Method(u16::from(number)), Transaction([number; 12]));
    let len = build(Builder::new(buffer, Class::Request, method, transaction));
    world.stray.clear();
    let bytes = buffer[..len].to_vec();
    world.throw(real, 0, &bytes);
    world.stray.pop().expect("an answer").1
}

/// Gets an allocation and a channel to the shard's own address.
fn allocate(world: &mut World, real: SocketAddr, credential: &Credential) -> SocketAddr {
    let peer = world.nodes[0].address;
    allocate_to(world, real, credential, peer)
}

/// The same with a channel to another address.
fn allocate_to(world: &mut World, real: SocketAddr, credential: &Credential, peer: SocketAddr) -> SocketAddr {
    let mut buffer = [0; 512];
    let first = ask(world, real, 3, |b| b.requested_transport_udp().finish().unwrap(), &mut buffer);
    let challenge = Message::parse(&first).unwrap();
    assert_eq!(challenge.class, Class::Error);
    let nonce = challenge.nonce().unwrap().unwrap().to_owned();
    let realm = challenge.realm().unwrap().unwrap().to_owned();
    let key = long_term_key(&credential.username, &realm, &credential.password);
    let sign = |b: Builder<'_>| {
        b.text(Kind::USERNAME, &credential.username)
            .text(Kind::REALM, &realm)
            .text(Kind::NONCE, &nonce)
            .integrity(&key)
            .finish()
            .unwrap()
    };
    let answer = ask(world, real, 3, |b| sign(b.requested_transport_udp()), &mut buffer);
    let allocated = Message::parse(&answer).unwrap();
    assert_eq!(allocated.class, Class::Success, "{allocated:?}");
    let relayed = allocated.xor_address(Kind::XOR_RELAYED_ADDRESS).unwrap().unwrap();
    let bind = |b: Builder<'_>| sign(b.channel_number(CHANNEL).xor_address(Kind::XOR_PEER_ADDRESS, peer));
    let answer = ask(world, real, 9, bind, &mut buffer);
    assert_eq!(Message::parse(&answer).unwrap().class, Class::Success);
    relayed
}

#[test]
fn media_pass_through_the_built_in_relay_both_ways() {
    let mut world = World::new(1);
    let real: SocketAddr = "198.51.100.200:50505".parse().unwrap();
    let credential = credential("turn-secret", &room("physics"), UNIX_MS / 1_000 + 600);
    let relayed = allocate(&mut world, real, &credential);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    let server = world.nodes[0].address;
    world.clients[ana].address = relayed;
    world.clients[ana].relayed = Some(Relayed { real, server, channel: CHANNEL, peer: server });
    world.connect(ana, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    world.connect(ben, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 20);
    assert!(world.clients[ben].rtp.len() >= 18, "relayed in: {}", world.clients[ben].rtp.len());
    film(&mut world, ben, 0, 20);
    assert!(world.clients[ana].rtp.len() >= 18, "relayed out: {}", world.clients[ana].rtp.len());
    assert_eq!(world.nodes[0].shard.stats().allocations, 1);
}

#[test]
fn an_allocation_on_a_rooms_shard_reaches_a_session_on_another() {
    let mut world = World::of_shards(&[2], |_| {});
    let real: SocketAddr = "198.51.100.200:50505".parse().unwrap();
    let physics = crate::split::rooted("physics", 2, 0);
    let credential = credential("turn-secret", &physics, UNIX_MS / 1_000 + 600);
    // The control plane has sent the client to the room's shard; the room is full there.
    let (server, session) = (world.nodes[0].address, world.nodes[1].address);
    let relayed = allocate_to(&mut world, real, &credential, session);
    let ana = world.join(1, "ana", physics.as_str());
    let ben = world.join(0, "ben", physics.as_str());
    world.clients[ana].address = relayed;
    world.clients[ana].relayed = Some(Relayed { real, server, channel: CHANNEL, peer: session });
    world.connect(ana, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    world.connect(ben, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 20);
    assert!(world.clients[ben].rtp.len() >= 18, "relayed in: {}", world.clients[ben].rtp.len());
    film(&mut world, ben, 0, 20);
    assert!(world.clients[ana].rtp.len() >= 18, "relayed out: {}", world.clients[ana].rtp.len());
    let allocations: Vec<u32> = world.nodes.iter().map(|node| node.shard.stats().allocations).collect();
    assert_eq!(allocations, [1, 0]);
    assert!(world.asides["relayed"] > 20 && world.asides["to_relayed"] > 20, "{:?}", world.asides);
    assert!(world.stray.is_empty(), "nothing went to the relayed address itself");
}

#[test]
fn an_expired_credential_and_a_wrong_secret_get_no_allocation() {
    let mut world = World::new(1);
    let real: SocketAddr = "198.51.100.200:50505".parse().unwrap();
    for bad in [
        credential("turn-secret", &room("physics"), UNIX_MS / 1_000 - 1),
        credential("another-secret", &room("physics"), UNIX_MS / 1_000 + 600),
    ] {
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| allocate(&mut world, real, &bad)));
        assert!(refused.is_err());
    }
    assert_eq!(world.nodes[0].shard.stats().allocations, 0);
}

#[test]
fn who_asks_for_his_address_is_told() {
    let mut world = World::new(1);
    let real: SocketAddr = "198.51.100.200:50505".parse().unwrap();
    let mut buffer = [0; 64];
    let answer = ask(&mut world, real, 1, |b| b.finish().unwrap(), &mut buffer);
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.xor_address(Kind::XOR_MAPPED_ADDRESS), Ok(Some(real)));
}

#[test]
fn a_shard_without_turn_counts_what_it_does_not_take() {
    let mut world = World::with(1, |config| config.turn = None);
    let mut bytes = [0; 64];
    let len = Builder::new(&mut bytes, Class::Request, Method::ALLOCATE, Transaction([1; 12])).finish().unwrap();
    world.throw("192.0.2.1:1".parse().unwrap(), 0, &bytes[..len]);
    assert_eq!(world.drops(0, "door", "turn_off"), 1);
}
