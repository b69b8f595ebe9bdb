//! Sessions over sockets: joining, numbers, resuming, roster, chat, grants.

use crate::client::sends;
use crate::world::{UNIX_MS, World};
use lyceum_edge_core::door::{Command, Event};
use lyceum_wire::id::Source;
use lyceum_wire::signal::{ClientSays, EdgeSays, SlotKind, Tile};
use lyceum_wire::token::Grants;

#[test]
fn a_newcomer_is_welcomed_told_everybody_and_the_history() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.chat(ana, "first");
    world.chat(ana, "second");
    world.run(1_000);
    let ben = world.join(0, "ben", "physics");
    let kinds: Vec<_> = world.clients[ben]
        .heard
        .iter()
        .map(|m| match &m.body {
            EdgeSays::Welcome { resumed: false, seen: 0, .. } => (m.seq, "welcome"),
            EdgeSays::Roster { .. } => (m.seq, "roster"),
            EdgeSays::Message { .. } => (m.seq, "message"),
            _ => (m.seq, "other"),
        })
        .collect();
    assert_eq!(kinds, [(0, "welcome"), (1, "roster"), (2, "message"), (3, "message")]);
    assert_eq!(world.roster(ben), ["ana", "ben"]);
    assert_eq!(world.chats(ben), ["1 ana: first", "2 ana: second"]);
    let Some(EdgeSays::Message { message }) =
        world.clients[ben].heard.iter().map(|m| &m.body).find(|b| matches!(b, EdgeSays::Message { .. }))
    else {
        panic!("a message")
    };
    assert_eq!(message.sent_at_ms, UNIX_MS);
    world.run(1_000);
    assert_eq!(world.roster(ana), ["ana", "ben"]);
}

#[test]
fn joins_in_one_moment_are_one_roster_message() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.run(1_000);
    let before = world.clients[ana].heard.len();
    for n in 0..20 {
        world.join(0, &format!("guest{n}"), "physics");
    }
    world.run(1_000);
    assert_eq!(world.clients[ana].heard.len() - before, 1);
    assert_eq!(world.roster(ana).len(), 21);
    let Some(EdgeSays::Roster { total, .. }) = world.clients[ana].heard.last().map(|m| &m.body) else { panic!() };
    assert_eq!(*total, 21);
}

#[test]
fn a_cut_socket_loses_nothing_either_way() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.run(1_000);
    let seen = world.seen(ana);
    world.cut(ana);
    for n in 0..30 {
        world.chat(ben, &format!("while you were away {n}"));
        world.run(200);
    }
    // What Ana says now reaches nobody; she says it again, with the old number, once she is back.
    let lost = world.chat(ana, "into the void");
    assert_eq!(world.roster(ben), ["ana", "ben"], "she is still there");
    world.resume(ana, seen);
    let again = ClientSays::Message { id: "ana-1".into(), kind: "chat".into(), body: "into the void".into() };
    world.clients[ana].seq = lost - 1;
    world.say(ana, again);
    world.run(1_000);
    assert_eq!(world.chats(ana).len(), 31);
    assert_eq!(world.chats(ana), world.chats(ben));
    let numbers: Vec<u64> = world.clients[ana].heard.iter().map(|m| m.seq).filter(|n| *n > 0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "every number once: {numbers:?}");
    let welcomed = |b: &EdgeSays| matches!(b, EdgeSays::Welcome { resumed: true, seen: 0, .. });
    assert_eq!(world.clients[ana].said(welcomed), 1);
}

#[test]
fn what_was_seen_before_the_cut_is_not_done_twice() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.chat(ana, "once");
    world.cut(ana);
    world.resume(ana, 0);
    world.clients[ana].seq = 0;
    world.chat(ana, "once");
    world.run(1_000);
    assert_eq!(world.chats(ben), ["1 ana: once"]);
    // The same id under a new number is the same message as well.
    world.say(ana, ClientSays::Message { id: "ana-1".into(), kind: "chat".into(), body: "once".into() });
    world.run(1_000);
    assert_eq!(world.chats(ben), ["1 ana: once"]);
    assert_eq!(world.refusals(ana), Vec::<String>::new());
}

#[test]
fn a_second_socket_takes_the_session_over() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let old = world.clients[ana].socket.unwrap();
    world.resume(ana, 1);
    let closed = |e: &Event| matches!(e, Event::CloseSocket { socket } if *socket == old);
    assert!(!world.clients[ana].closed, "the new one stands");
    assert!(world.nodes[0].wanted.iter().all(|e| !closed(e)));
    // A late word that the old one is gone does no harm.
    world.command(0, Command::SocketLost { socket: old });
    world.chat(ana, "still here");
    world.run(1_000);
    assert_eq!(world.chats(ana), ["1 ana: still here"]);
}

#[test]
fn a_session_nobody_resumes_ends() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.run(100);
    world.cut(ana);
    world.run(29_000);
    assert_eq!(world.roster(ben), ["ana", "ben"]);
    world.run(2_000);
    assert_eq!(world.roster(ben), ["ben"]);
    assert_eq!(world.nodes[0].shard.stats().departures["socket_gone"], 1);
    world.resume(ana, 0);
    assert_eq!(world.refusals(ana), ["SessionGone fatal"]);
    assert!(world.clients[ana].closed);
}

#[test]
fn who_is_too_far_behind_joins_anew() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let seen = world.seen(ana);
    world.cut(ana);
    // A megabyte of chat is more than is kept for somebody who is away.
    let ben = world.join(0, "ben", "physics");
    for n in 0..80 {
        world.chat(ben, &format!("{n}{}", "x".repeat(15_000)));
        world.run(220);
    }
    world.resume(ana, seen);
    assert_eq!(world.refusals(ana), ["SessionGone fatal"]);
    world.run(1_000);
    assert_eq!(world.roster(ben), ["ben"]);
}

#[test]
fn grants_are_held_to() {
    let mut world = World::new(1);
    let grants = Grants { publish: vec![Source::Microphone], subscribe: false, message: false, moderate: false };
    let mute = world.join_with(0, "mute", "physics", grants);
    world.chat(mute, "may I?");
    world.say(mute, ClientSays::View { tiles: Vec::<Tile>::new(), listen: Vec::new() });
    world.clients[mute].lines = vec![sends(Source::Camera)];
    world.offer(mute);
    world.clients[mute].lines = vec![crate::client::Line::Slot(SlotKind::Audio)];
    world.offer(mute);
    world.say(mute, ClientSays::Mute { source: Source::Microphone, muted: true });
    assert_eq!(world.refusals(mute), ["NotAllowed"; 5]);
    let of: Vec<_> = world.clients[mute]
        .heard
        .iter()
        .filter_map(|m| match &m.body {
            EdgeSays::Refused { of, .. } => *of,
            _ => None,
        })
        .collect();
    assert_eq!(of, [1, 2, 3, 4, 5], "each refusal names its message");
    assert!(world.clients[mute].session.is_none());
}

#[test]
fn pings_acks_and_leaving() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.say(ana, ClientSays::Ping { t: 12.5 });
    assert_eq!(world.clients[ana].said(|b| *b == EdgeSays::Pong { t: 12.5 }), 1);
    world.chat(ana, "a");
    world.chat(ana, "b");
    world.run(1_000);
    assert_eq!(world.clients[ana].said(|b| *b == EdgeSays::Ack { seen: 2 }), 1, "acknowledged together");
    world.say(ana, ClientSays::Ack { seen: 1_000 });
    assert_eq!(world.refusals(ana), ["Malformed"], "nobody has seen what was not said");
    world.say(ana, ClientSays::Leave);
    assert!(world.clients[ana].closed);
    world.run(1_000);
    assert_eq!(world.roster(ben), ["ben"]);
    assert_eq!(world.nodes[0].shard.stats().departures["left"], 1);
}

#[test]
fn a_full_shard_says_so() {
    let mut world = World::with(1, |config| config.participants_max = 1);
    world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    assert_eq!(world.refusals(ben), ["Full fatal"]);
    assert!(world.clients[ben].closed);
    assert_eq!(world.nodes[0].shard.live().peers, 1);
}

#[test]
fn what_is_said_in_the_moment_of_a_join_comes_once() {
    use lyceum_edge_core::door::SocketId;
    use lyceum_relay_core::machine::{Input, Machine};
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.add(0, "ben");
    let (entry, socket) = (world.entry("ben", "physics", Grants::participant()), SocketId(77));
    world.clients[ben].socket = Some(socket);
    // Both in one turn of the wheel: nothing is settled in between.
    let body = ClientSays::Message { id: "1".into(), kind: "chat".into(), body: "hello".into() };
    let message = Box::new(lyceum_wire::signal::ToEdge { seq: 1, body });
    let said = Command::Said { socket: world.clients[ana].socket.unwrap(), message };
    let now = world.now;
    world.nodes[0].shard.handle(Input::Command(said), now);
    world.nodes[0].shard.handle(Input::Command(Command::Open { socket, entry }), now);
    world.run(500);
    assert_eq!(world.chats(ben), ["1 ana: hello"]);
    assert_eq!(world.chats(ana), ["1 ana: hello"]);
}
