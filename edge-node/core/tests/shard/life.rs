//! How participants and rooms end, and that nothing stays behind.

use crate::client::{Line, sends};
use crate::media::film;
use crate::world::{World, room};
use lyceum_edge_core::door::{Command, Event};
use lyceum_edge_core::stats::Live;
use lyceum_relay_core::machine::{Culprit, Input, Machine};
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, SlotKind};

#[test]
fn a_client_that_vanishes_is_removed_and_the_others_are_told() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 5);
    // The laptop's lid closes: neither socket nor datagrams, and no goodbye.
    world.clients[ana].cut_off = true;
    world.run(25_000);
    assert_eq!(world.roster(ben), ["ana Camera", "ben"]);
    world.run(10_000);
    assert_eq!(world.roster(ben), ["ben"]);
    assert_eq!(world.nodes[0].shard.stats().departures["media_lost"], 1);
    let live = world.nodes[0].shard.live();
    assert_eq!((live.peers, live.downlinks), (1, 1));
    assert_eq!(world.refusals(ana), ["MediaLost fatal"], "said to a socket that may still be there");
}

#[test]
fn an_offer_nobody_follows_up_fails_with_a_reason() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.clients[ana].lines = vec![sends(Source::Camera)];
    world.clients[ana].cut_off = true;
    world.offer(ana);
    world.run(60_000);
    assert_eq!(world.refusals(ana), ["MediaLost fatal"]);
    assert_eq!(world.nodes[0].shard.stats().departures["media_failed"], 1);
}

#[test]
fn a_cut_socket_keeps_media_until_the_session_ends() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    world.cut(ana);
    film(&mut world, ana, 0, 300);
    assert!(world.clients[ben].rtp.len() >= 298, "media never stopped");
    assert_eq!(world.nodes[0].shard.stats().waiting, 1);
    let seen = world.seen(ana);
    world.resume(ana, seen);
    let before = world.clients[ben].rtp.len();
    film(&mut world, ana, 0, 30);
    assert!(world.clients[ben].rtp.len() >= before + 29);
    assert_eq!(world.clients[ana].version, 1, "and nothing was negotiated again");
}

#[test]
fn a_room_that_ends_leaves_nothing() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Microphone), sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 1, 10);
    let wanted = |e: &&Event| matches!(e, Event::RoomWanted { .. });
    assert_eq!(world.nodes[0].wanted.iter().filter(wanted).count(), 1, "asked for once");
    world.say(ana, ClientSays::Leave);
    world.cut(ben);
    world.run(31_000);
    assert_eq!(world.nodes[0].shard.live().rooms, 1, "it lingers");
    world.run(10_000);
    assert_eq!(world.nodes[0].shard.live(), Live::default());
    let ended = |e: &&Event| matches!(e, Event::RoomEmpty { room: id } if *id == room("physics"));
    assert_eq!(world.nodes[0].wanted.iter().filter(ended).count(), 1);
    let counts: Vec<u32> = world.nodes[0]
        .wanted
        .iter()
        .filter_map(|e| match e {
            Event::RoomCount { participants, .. } => Some(*participants),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1, 2, 1, 0]);
    assert!(world.nodes[0].shard.deadline().is_none(), "nothing is left to wake up for");
}

#[test]
fn a_reload_finds_the_room_as_it_was() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.chat(ana, "wait for me");
    world.say(ana, ClientSays::Leave);
    world.run(3_000);
    let again = world.join(0, "ana2", "physics");
    assert_eq!(world.chats(again), ["1 ana: wait for me"]);
    world.run(60_000);
    assert_eq!(world.nodes[0].shard.live().rooms, 1);
}

#[test]
fn one_who_is_kicked_hears_why() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    let participant = ParticipantId::parse("p-ana").unwrap();
    world.command(0, Command::Kick { room: room("physics"), participant, message: "class is over".into() });
    let bye = EdgeSays::Bye { message: "class is over".into(), rejoin: false };
    assert_eq!(world.clients[ana].said(|b| *b == bye), 1);
    assert!(world.clients[ana].closed);
    world.run(500);
    assert_eq!(world.roster(ben), ["ben"]);
}

#[test]
fn a_shutdown_says_goodbye_to_everybody_and_leaves_nothing() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "chemistry");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.command(0, Command::Shutdown { message: "the edge restarts".into() });
    for client in [ana, ben] {
        let bye = |b: &EdgeSays| matches!(b, EdgeSays::Bye { rejoin: true, .. });
        assert_eq!(world.clients[client].said(bye), 1);
    }
    assert_eq!(world.nodes[0].shard.live(), Live::default());
    let closed = |o: &lyceum_session::Output| {
        matches!(o, lyceum_session::Output::Failed { why: lyceum_session::Failure::Closed })
    };
    assert!(world.clients[ana].session_said.iter().any(closed), "DTLS said goodbye too");
}

#[test]
fn a_panic_costs_one_peer() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    let cem = world.join(0, "cem", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    world.connect(cem, vec![Line::Slot(SlotKind::Video)]);
    let culprit = Culprit::Datagram { from: world.clients[cem].address, to: world.nodes[0].address };
    world.nodes[0].shard.handle(Input::Panicked(culprit), world.now);
    world.run(500);
    assert_eq!(world.roster(ben), ["ana Camera", "ben"]);
    assert_eq!(world.nodes[0].shard.stats().evictions, 1);
    assert_eq!(world.nodes[0].shard.stats().departures["evicted"], 1);
    film(&mut world, ana, 0, 10);
    assert!(world.clients[ben].rtp.len() >= 9);
    let bye = |b: &EdgeSays| matches!(b, EdgeSays::Bye { rejoin: true, .. });
    assert_eq!(world.clients[cem].said(bye), 1);
}

#[test]
fn an_idle_class_costs_next_to_nothing() {
    let mut world = World::new(1);
    for n in 0..10 {
        let client = world.join(0, &format!("guest{n}"), "physics");
        world.connect(client, vec![Line::Slot(SlotKind::Video)]);
    }
    world.run(5_000);
    let turns = world.nodes[0].turns;
    world.run(10_000);
    let per_second = (world.nodes[0].turns - turns) as f64 / 10.0;
    assert!(per_second < 40.0, "{per_second} wake-ups per second for ten idle peers");
}
