//! A room split over shards of one node: what its people and other nodes notice of it, which is nothing.

use crate::world::*;
use lyceum_relay_core::hop::{Live, Loss};
use lyceum_wire::id::NodeId;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// `eu` on three shards, and `us`.
fn split(seed: u64) -> World {
    let mut world = World::gathered(&["eu", "us"], seed, FAIR);
    world.branch("eu", 7);
    world.branch("eu", 9);
    world.run(SECOND);
    world
}

fn known(world: &World, at: &str) -> Vec<String> {
    world.nodes[&node(at)].people.keys().map(|id| id.as_str().to_owned()).collect()
}

fn way(world: &World, at: &str, who: &str) -> Option<(Vec<NodeId>, f32)> {
    let path = world.nodes[&node(at)].paths.get(&person(who))?;
    Some((path.hops.iter().map(|hop| hop.node.clone()).collect(), path.latency_ms))
}

#[test]
fn a_track_reaches_every_part_and_every_node_and_is_of_its_node() {
    let mut world = split(1);
    world.join("eu.7", "ana");
    world.publish("eu.7", "ana", 1);
    for at in ["eu", "eu.7", "eu.9", "us"] {
        world.watch(at, &format!("viewer-{at}"), "ana", 320);
    }
    world.run(SECOND * 3);
    for at in ["eu", "eu.7", "eu.9", "us"] {
        let seen = world.seen(at, &format!("viewer-{at}"));
        assert!(seen.numbers.len() > 140, "{at}: {}", seen.numbers.len());
        assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0), "{at}");
    }
    let (hops, latency) = way(&world, "us", "ana").unwrap();
    assert_eq!(hops, [node("eu"), node("us")], "no shard shows outside");
    assert!((19.0..24.0).contains(&latency), "{latency}");
    for at in ["eu", "eu.9"] {
        assert_eq!(way(&world, at, "ana"), Some((vec![node("eu")], 0.0)), "{at}: to people an edge is one thing");
    }
    for at in ["eu", "eu.7", "eu.9", "us"] {
        for reason in [Loss::WouldLoop, Loss::BadHops, Loss::NotServed, Loss::NotTheirEdge, Loss::Duplicate] {
            assert_eq!(world.lost_for(at, reason), 0, "{at}: {reason:?}");
        }
    }
    // Everything a part gets passes the root once.
    assert_eq!((world.live("eu.7").served, world.live("eu").served, world.live("eu.9").served), (1, 2, 0));
    let stats = *world.nodes[&node("eu.7")].hop.stats();
    assert_eq!(stats.datagrams_out, 0, "a branch has no links");
    assert!(stats.part_datagrams_out > 140);
}

#[test]
fn a_track_of_another_node_crosses_the_link_once_for_all_parts() {
    let mut world = split(1);
    world.join("us", "ana");
    world.publish("us", "ana", 1);
    for at in ["eu", "eu.7", "eu.9"] {
        world.watch(at, &format!("viewer-{at}"), "ana", 320);
    }
    world.run(SECOND * 3);
    assert_eq!(world.live("us").served, 1);
    for at in ["eu", "eu.7", "eu.9"] {
        let seen = world.seen(at, &format!("viewer-{at}"));
        assert!(seen.numbers.len() > 140, "{at}: {}", seen.numbers.len());
        assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0), "{at}");
        let (hops, latency) = way(&world, at, "ana").unwrap();
        assert_eq!(hops, [node("us"), node("eu")]);
        assert!((19.0..24.0).contains(&latency), "{at}: {latency}");
        assert_eq!(world.nodes[&node(at)].paths[&person("ana")].hops[0].region, region("us"), "{at}");
    }
    for at in ["eu", "eu.7", "eu.9"] {
        world.unwatch(at, &format!("viewer-{at}"));
    }
    world.run(SECOND * 5);
    assert_eq!((world.live("us").served, world.live("eu").subscriptions, world.live("eu").served), (0, 0, 0));
}

#[test]
fn wishes_for_key_frames_of_all_parts_are_one() {
    let mut world = split(1);
    world.publish("us", "ana", 1);
    for at in ["eu", "eu.7", "eu.9"] {
        world.watch(at, &format!("viewer-{at}"), "ana", 320);
    }
    world.run(SECOND);
    let before = world.at("us").key_frames_wanted.len();
    let now = world.now;
    for at in ["eu", "eu.7", "eu.9"] {
        let hop = &mut world.at(at).hop;
        let track = hop.room.track(&camera("ana")).unwrap();
        hop.room.key_frame(track, 0, now);
    }
    world.run(Duration::from_millis(200));
    assert_eq!(world.at("us").key_frames_wanted.len() - before, 1);
}

#[test]
fn everybody_is_known_once_everywhere() {
    let mut world = split(1);
    for (at, who) in [("eu", "ana"), ("eu.7", "ben"), ("eu.9", "cy"), ("us", "di")] {
        world.join(at, who);
    }
    world.run(SECOND);
    assert_eq!(known(&world, "eu"), ["ben", "cy", "di"]);
    assert_eq!(known(&world, "eu.7"), ["ana", "cy", "di"]);
    assert_eq!(known(&world, "eu.9"), ["ana", "ben", "di"]);
    assert_eq!(known(&world, "us"), ["ana", "ben", "cy"]);
    for at in ["eu", "eu.7", "eu.9", "us"] {
        assert_eq!(world.live(at).people, 4, "{at}");
    }
    // Another node hears of all of them when it comes later, as of one node's people.
    world.cut("eu", "us");
    assert_eq!((known(&world, "us").len(), known(&world, "eu.7")), (0, vec!["ana".into(), "cy".into(), "di".into()]));
    world.run(SECOND);
    assert_eq!(known(&world, "eu.7"), ["ana", "cy"]);
    world.link("eu", "us");
    world.run(SECOND);
    assert_eq!(known(&world, "us"), ["ana", "ben", "cy"]);
    assert_eq!(known(&world, "eu.9"), ["ana", "ben", "di"]);
    world.at("eu.7").hop.leave(&person("ben"));
    world.run(SECOND);
    for at in ["eu", "eu.9", "us"] {
        assert!(!known(&world, at).contains(&"ben".into()), "{at}");
    }
}

#[test]
fn a_part_ends_and_nothing_of_it_stays() {
    let mut world = split(1);
    world.join("eu.7", "ana");
    world.publish("eu.7", "ana", 1);
    world.watch("us", "ben", "ana", 320);
    world.watch("eu.9", "cy", "ana", 320);
    world.run(SECOND);
    assert!(world.at("eu").hop.has_branches());
    world.remove("eu.7");
    world.run(SECOND);
    assert_eq!((known(&world, "us"), known(&world, "eu.9")), (vec![], vec![]));
    for at in ["us", "eu", "eu.9"] {
        let live = world.live(at);
        assert_eq!((live.remote_tracks, live.subscriptions, live.served, live.people), (0, 0, 0, 0), "{at}");
    }
    world.remove("eu.9");
    world.run(SECOND);
    assert!(!world.at("eu").hop.has_branches());
    world.cut("eu", "us");
    assert_eq!(world.live("eu"), Live::default());
}

#[test]
fn what_a_full_queue_sheds_between_parts_is_repaired() {
    let mut world = split(7);
    world.shed_percent = 10;
    world.publish("eu.7", "ana", 1);
    world.watch("eu.9", "ben", "ana", 320);
    world.watch("us", "cy", "ana", 320);
    world.run(SECOND * 10);
    assert!(world.lost > 80, "{}", world.lost);
    for (at, who) in [("eu.9", "ben"), ("us", "cy")] {
        let seen = world.seen(at, who);
        assert!(seen.numbers.len() > 480, "{at}: {}", seen.numbers.len());
        assert!(seen.holes() <= 1, "{at}: {} holes", seen.holes());
        assert_eq!((seen.repeated(), seen.torn), (0, 0), "{at}");
    }
    let repaired: u64 = ["eu", "eu.9"].iter().map(|at| world.nodes[&node(at)].hop.stats().repaired).sum();
    assert!(repaired > 40, "{repaired}");
}

#[test]
fn messages_of_all_parts_have_one_order_wherever_the_home_is() {
    for home in ["eu", "us"] {
        let mut world = split(3);
        world.map(home, &["eu", "us"]);
        world.run(SECOND * 3);
        for round in 0..5 {
            for at in ["eu.7", "us", "eu", "eu.9"] {
                world.post(at, &format!("{at}-{round}"));
                world.run(Duration::from_millis(7));
            }
        }
        world.run(SECOND);
        let wanted = world.nodes[&node("eu")].messages.clone();
        assert_eq!(wanted.len(), 20);
        assert!(wanted.iter().map(|(number, _)| *number).eq(1..=20));
        for at in ["eu.7", "eu.9", "us"] {
            assert_eq!(world.nodes[&node(at)].messages, wanted, "home {home}, at {at}");
            assert_eq!(world.live(at).waiting_posts, 0);
        }
        // A part that comes later has the same history.
        world.branch("eu", 11);
        world.run(SECOND);
        let history: Vec<u64> = world.at("eu.11").hop.history().map(|message| message.number).collect();
        assert!(history.iter().copied().eq(1..=20), "{history:?}");
    }
}

#[test]
fn posts_wait_in_their_part_while_the_home_is_away_and_none_is_lost() {
    let mut world = split(3);
    world.map("us", &["eu", "us"]);
    world.run(SECOND * 3);
    world.cut("eu", "us");
    // More than the root keeps for itself: the branches are asked again when there is room.
    for n in 0..200 {
        world.post("eu.7", &format!("a{n}"));
        world.post("eu.9", &format!("b{n}"));
    }
    world.run(SECOND);
    world.link("eu", "us");
    world.run(SECOND * 3);
    let wanted = world.nodes[&node("us")].messages.clone();
    assert_eq!(wanted.len(), 400);
    for at in ["eu", "eu.7", "eu.9"] {
        assert_eq!(world.nodes[&node(at)].messages, wanted, "{at}");
        assert_eq!(world.live(at).waiting_posts, 0, "{at}");
    }
    let in_order = |of: char| {
        let of: Vec<usize> =
            wanted.iter().filter(|(_, id)| id.starts_with(of)).map(|(_, id)| id[1..].parse().unwrap()).collect();
        of.is_sorted()
    };
    assert!(in_order('a') && in_order('b'), "each part's posts keep their order");
}

#[test]
fn a_root_thrown_out_by_a_panic_begins_anew_and_its_branches_with_it() {
    let mut world = split(3);
    world.join("eu.7", "ana");
    world.publish("eu.7", "ana", 1);
    world.watch("eu.9", "ben", "ana", 320);
    world.post("us", "before");
    world.run(SECOND * 2);
    world.forget("eu", &["eu", "us"], "us");
    // What a shard says for a room that could not.
    for at in ["eu.7", "eu.9"] {
        world.part_closed(at);
    }
    world.run(SECOND * 4);
    assert_eq!(world.live("eu").partners, 3);
    assert_eq!(known(&world, "us"), ["ana"]);
    let before = world.seen("eu.9", "ben").numbers.len();
    world.run(SECOND);
    assert!(world.seen("eu.9", "ben").numbers.len() > before + 45, "the picture goes on");
    world.post("eu.7", "after");
    world.run(SECOND);
    for at in ["eu.7", "eu.9", "us"] {
        let ids: Vec<&str> = world.nodes[&node(at)].messages.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["before", "after"], "{at}");
    }
}

#[test]
fn a_stranger_is_no_part_of_a_branch() {
    let mut world = split(1);
    world.publish("us", "ana", 1);
    world.run(SECOND);
    let now = world.now;
    let branch = world.at("eu.7");
    let said = lyceum_relay_core::hop::Said::Message(Box::new(lyceum_wire::link::Message::RoomOpen {
        room: room(),
        epoch: 1,
        messages_seen: 0,
        heard: false,
    }));
    branch.hop.part_said(9, said, &mut branch.downlinks, now);
    assert_eq!((world.lost_for("eu.7", Loss::NotOpen), world.live("eu.7").partners), (1, 1));
}

#[test]
fn grants_change_across_parts_and_nodes_whoever_asks() {
    let mut world = split(1);
    for (at, who) in [("eu", "ana"), ("eu.7", "host"), ("eu.9", "ben"), ("us", "di")] {
        world.join(at, who);
    }
    world.moderates("eu.7", "host");
    world.moderates("us", "di");
    world.run(SECOND);
    let change = || lyceum_wire::token::GrantChange { publish: Some(Vec::new()), ..Default::default() };
    // From a branch to its root, to another branch and to another node; from that node to a branch.
    let table = [
        ("eu.7", "host", "eu", "ana"),
        ("eu.7", "host", "eu.9", "ben"),
        ("eu.7", "host", "us", "di"),
        ("us", "di", "eu.9", "ben"),
    ];
    for (from, by, to, whom) in table {
        let now = world.now;
        let request = world.at(from).hop.grant(Some(person(by)), person(whom), change(), now).unwrap();
        world.run(Duration::from_millis(100));
        let wish = world.at(to).wished.pop().unwrap_or_else(|| panic!("{from} to {to}: nothing is wished"));
        assert_eq!((wish.by.clone(), wish.participant.clone()), (Some(person(by)), person(whom)));
        world.at(to).hop.granted(&wish, None);
        world.run(Duration::from_millis(100));
        assert_eq!(world.at(from).granted.pop(), Some((request, None)), "{from} to {to}");
        for at in ["eu", "eu.7", "eu.9", "us"] {
            assert_eq!(world.live(at).waiting_grants, 0, "{at}");
        }
    }
    // Who does not moderate is not listened to, wherever it is.
    let now = world.now;
    let request = world.at("eu.9").hop.grant(Some(person("ben")), person("ana"), change(), now).unwrap();
    world.run(Duration::from_millis(100));
    assert!(world.at("eu").wished.is_empty());
    assert_eq!(world.at("eu.9").granted.pop(), Some((request, Some(lyceum_wire::signal::Refusal::NotAllowed))));
}
