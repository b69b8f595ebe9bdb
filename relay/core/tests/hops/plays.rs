//! One thing at a time, on a network that behaves.

use crate::world::*;
use lyceum_relay_core::hop::{CONNECT_AGAIN, Live, Loss, Transit};
use lyceum_relay_core::order::WAITING_MAX;
use lyceum_wire::link::{Layer, Message};
use lyceum_wire::signal::HISTORY_MESSAGES;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_layer_crosses_a_link_once_and_only_while_somebody_watches() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 3);
    world.run(SECOND);
    assert_eq!(world.nodes[&node("eu")].hop.stats().datagrams_out, 0, "nobody watches: no traffic");
    for n in 0..5 {
        world.watch("us", &format!("v{n}"), "ana", 320);
    }
    // Until then also the layer that somebody is shown before the size of the tile is known.
    world.run(SECOND * 3);
    assert_eq!(world.live("eu").served, 1, "five viewers, one layer");
    let before = world.nodes[&node("eu")].hop.stats().datagrams_out;
    world.run(SECOND * 2);
    let sent = world.nodes[&node("eu")].hop.stats().datagrams_out - before;
    assert!((99..=101).contains(&sent), "50 frames a second, each once: {sent}");
    for n in 0..5 {
        let seen = world.seen("us", &format!("v{n}"));
        assert!(seen.numbers.len() > 130, "{}", seen.numbers.len());
        assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0));
    }
    for n in 0..5 {
        world.unwatch("us", &format!("v{n}"));
    }
    world.run(SECOND * 5);
    assert_eq!((world.live("eu").served, world.live("us").subscriptions), (0, 0));
    let before = world.nodes[&node("eu")].hop.stats().datagrams_out;
    world.run(SECOND);
    assert_eq!(world.nodes[&node("eu")].hop.stats().datagrams_out, before);
}

#[test]
fn a_viewer_who_comes_later_sees_a_picture_at_once() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.watch("eu", "ben", "ana", 320);
    world.run(Duration::from_millis(500));
    let asked = world.at("eu").key_frames_wanted.len();
    world.watch("us", "cy", "ana", 320);
    // One round trip for the subscription and a little.
    world.run(Duration::from_millis(60));
    let seen = world.seen("us", "cy");
    assert!(seen.numbers[0] < 3, "from the cached key frame on, which is the one ben asked for: {}", seen.numbers[0]);
    assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0));
    assert_eq!(world.at("eu").key_frames_wanted.len(), asked, "it cost the publisher nothing");
}

#[test]
fn wishes_for_key_frames_are_merged_on_their_way_up() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    for n in 0..20 {
        world.watch("us", &format!("v{n}"), "ana", 320);
    }
    world.run(SECOND);
    let before = world.at("eu").key_frames_wanted.len();
    let now = world.now;
    let us = world.at("us");
    let track = us.hop.room.track(&camera("ana")).unwrap();
    for _ in 0..20 {
        us.hop.room.key_frame(track, 0, now);
    }
    world.run(Duration::from_millis(200));
    assert_eq!(world.said("us", "key_frame"), 1);
    assert_eq!(world.at("eu").key_frames_wanted.len() - before, 1);
}

#[test]
fn people_are_known_everywhere_and_go_with_their_node() {
    let mut world = World::gathered(&["eu", "us", "ap"], 1, FAIR);
    world.join("eu", "ana");
    world.join("us", "ben");
    world.join("ap", "cy");
    world.run(SECOND);
    let known = |world: &World, at: &str| {
        let people = &world.nodes[&node(at)].people;
        people.keys().map(|id| id.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(known(&world, "eu"), ["ben", "cy"]);
    assert_eq!(known(&world, "us"), ["ana", "cy"]);
    assert_eq!(world.nodes[&node("eu")].hop.total(), 3);
    world.cut("eu", "us");
    world.join("us", "di");
    assert_eq!(known(&world, "eu"), ["cy"]);
    world.run(SECOND);
    world.link("eu", "us");
    world.run(SECOND);
    assert_eq!(known(&world, "eu"), ["ben", "cy", "di"]);
    world.close("us");
    world.run(SECOND);
    assert_eq!(known(&world, "eu"), ["cy"]);
}

#[test]
fn a_node_that_speaks_for_others_is_not_believed() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.join("eu", "ana");
    world.run(SECOND);
    let mut ana = world.at("us").people[&person("ana")].clone();
    ana.edge = node("ap");
    let present = vec![ana];
    world.message(
        "eu",
        "us",
        Message::Roster { room: room(), snapshot: false, present, gone: Vec::new(), more: false },
    );
    assert_eq!(world.lost_for("us", Loss::NotTheirEdge), 1);
    // And a node that has not opened the room has no say at all.
    world.message(
        "ap",
        "us",
        Message::Roster { room: room(), snapshot: true, present: Vec::new(), gone: Vec::new(), more: false },
    );
    assert_eq!(world.lost_for("us", Loss::NotOpen), 1);
    assert!(world.at("us").people.contains_key(&person("ana")));
}

#[test]
fn the_way_and_its_latency_are_measured() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.run(SECOND);
    let path = world.at("us").paths[&person("ana")].clone();
    let nodes: Vec<_> = path.hops.iter().map(|hop| (hop.node.as_str(), hop.region.as_str())).collect();
    assert_eq!(nodes, [("eu", "eu-region"), ("us", "us-region")]);
    assert!((19.0..21.0).contains(&path.latency_ms), "{}", path.latency_ms);
    world.watch("us", "ben", "ana", 320);
    world.run(SECOND * 2);
    let measured = world.at("us").hop.paths();
    assert!((19.0..22.0).contains(&measured[0].latency_ms), "{}", measured[0].latency_ms);
    // The link becomes slower: that is noticed, once it is measured.
    world.at("us").hop.link_quality(&node("eu"), Duration::from_millis(160), 1_400);
    world.run(SECOND * 4);
    let path = world.at("us").paths[&person("ana")].clone();
    // What moved by less than 15 % is not told again: it is 80 now.
    assert!((68.0..92.0).contains(&path.latency_ms), "{}", path.latency_ms);
    assert!(world.at("eu").paths.is_empty(), "its own people have no way to come");
}

#[test]
fn packets_larger_than_the_links_datagrams_arrive_whole() {
    let weather = Weather { datagram_bytes_max: 500, ..FAIR };
    let mut world = World::gathered(&["eu", "us"], 1, weather);
    world.publish("eu", "ana", 1);
    world.watch("us", "ben", "ana", 320);
    world.run(SECOND * 3);
    let seen = world.seen("us", "ben");
    assert!(seen.numbers.len() > 130);
    assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0));
}

#[test]
fn a_track_that_ends_ends_everywhere() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 2);
    world.watch("us", "ben", "ana", 640);
    world.run(SECOND);
    world.unpublish("ana");
    world.run(SECOND);
    assert_eq!(world.live("eu"), Live { partners: 1, ..Live::default() });
    assert_eq!(world.live("us"), Live { partners: 1, ..Live::default() });
    // The same name again is another track, with numbers of its own.
    world.publish("eu", "ana", 2);
    world.run(SECOND);
    let seen = world.seen("us", "ben");
    assert!(seen.numbers.iter().filter(|number| **number == 0).count() == 2, "both began at their first frame");
    assert_eq!((seen.repeated(), seen.torn), (0, 0));
}

#[test]
fn after_a_cut_tracks_come_back_and_nothing_is_left_of_the_old_ones() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.watch("us", "ben", "ana", 320);
    world.run(SECOND);
    world.cut("eu", "us");
    assert_eq!(world.live("us").remote_tracks, 0);
    assert_eq!(world.live("eu").served, 0);
    world.run(CONNECT_AGAIN * 3);
    let asked = world.at("us").connects.iter().filter(|to| **to == node("eu")).count();
    assert!((3..=5).contains(&asked), "asked for the link again and again: {asked}");
    world.link("eu", "us");
    let before = world.seen("us", "ben").numbers.len();
    world.run(SECOND);
    assert!(world.seen("us", "ben").numbers.len() > before + 40);
    assert_eq!((world.live("us").subscriptions, world.live("eu").served), (1, 1));
}

#[test]
fn a_track_that_came_this_way_already_is_refused() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    let announce = |who: &str, hops: &[&str]| Message::Announce {
        room: room(),
        track: World::info(who, 1),
        hops: hops.iter().map(|hop| node(hop)).collect(),
        latency_ms: 1.0,
    };
    let long: Vec<String> = (0..9).map(|n| format!("n{n}")).chain(["eu".to_owned()]).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let cases: [(&[&str], Loss); 5] = [
        (&["ap", "us", "eu"], Loss::WouldLoop),
        (&["eu", "ap"], Loss::BadHops),
        (&[], Loss::BadHops),
        (&["eu", "ap", "eu"], Loss::BadHops),
        (&long, Loss::BadHops),
    ];
    for (at, (hops, reason)) in cases.into_iter().enumerate() {
        let before = world.lost_for("us", reason);
        world.message("eu", "us", announce(&format!("t{at}"), hops));
        assert_eq!(world.lost_for("us", reason) - before, 1, "{hops:?}");
    }
    assert_eq!(world.live("us").remote_tracks, 0);
    // A track that took a turn through us is no longer to be had from there.
    world.message("eu", "us", announce("ana", &["ap", "eu"]));
    assert_eq!(world.live("us").remote_tracks, 1);
    world.message("eu", "us", announce("ana", &["ap", "us", "eu"]));
    assert_eq!(world.live("us").remote_tracks, 0);
}

#[test]
fn a_layer_that_is_not_offered_is_not_served() {
    let mut world = World::gathered(&["eu", "us", "ap"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.run(SECOND);
    // `us` has ana's track from `eu`; in a full mesh it does not hand it on.
    let subscribe = |who: &str, spatial| Message::Subscribe {
        room: room(),
        track: camera(who),
        layer: Layer { spatial, temporal: 7 },
        alias: lyceum_wire::link::Alias(5),
    };
    for message in [subscribe("ana", 0), subscribe("nobody", 0), subscribe("ana", 200)] {
        world.message("ap", "us", message);
    }
    assert_eq!(world.lost_for("us", Loss::NotServed), 3);
    assert_eq!(world.live("us").served, 0);
}

#[test]
fn in_a_chain_tracks_are_handed_on_without_loops_and_by_the_shortest_way() {
    let mut world = World::new(&["a", "b", "c", "d"], 1, FAIR, Transit::Always);
    for (x, y) in [("a", "b"), ("b", "c"), ("c", "d")] {
        world.link(x, y);
    }
    world.map("a", &["a", "b", "c", "d"]);
    world.run(SECOND);
    world.publish("a", "ana", 1);
    world.watch("d", "dora", "ana", 320);
    world.run(SECOND * 3);
    let seen = world.seen("d", "dora");
    assert!(seen.numbers.len() > 120, "{}", seen.numbers.len());
    assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0));
    let way = |world: &World, at: &str| {
        let path = &world.nodes[&node(at)].paths[&person("ana")];
        path.hops.iter().map(|hop| hop.node.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(way(&world, "d"), ["a", "b", "c", "d"]);
    let latency = world.at("d").hop.paths()[0].latency_ms;
    assert!((57.0..65.0).contains(&latency), "three links of 20 ms: {latency}");
    // The ring closes: a shorter way, taken over without a hole.
    world.link("d", "a");
    world.run(SECOND * 3);
    assert_eq!(way(&world, "d"), ["a", "d"]);
    let seen = world.seen("d", "dora");
    assert_eq!((seen.holes(), seen.repeated(), seen.torn), (0, 0, 0));
    assert_eq!((world.live("c").served, world.live("b").served), (0, 0));
    // And back when it breaks.
    world.cut("d", "a");
    world.run(SECOND * 3);
    assert_eq!(way(&world, "d"), ["a", "b", "c", "d"]);
    let (frames, last) = (world.frames_of("ana"), *world.seen("d", "dora").numbers.iter().max().unwrap());
    assert!(frames - last < 10, "{frames} {last}");
    let loops: u64 = ["a", "b", "c", "d"].iter().map(|at| world.lost_for(at, Loss::WouldLoop)).sum();
    assert_eq!(loops, 0, "split horizon keeps them from being offered at all");
    world.unpublish("ana");
    world.run(SECOND);
    for at in ["a", "b", "c", "d"] {
        let live = world.live(at);
        assert_eq!((live.remote_tracks, live.served, live.subscriptions), (0, 0, 0), "{at}");
    }
}

#[test]
fn chat_crosses_links_once_and_in_one_order() {
    let mut world = World::gathered(&["eu", "us", "ap"], 1, FAIR);
    for n in 0..30 {
        for at in ["eu", "us", "ap"] {
            world.post(at, &format!("{at}{n}"));
        }
        world.run(Duration::from_millis(7));
    }
    world.cut("eu", "ap");
    world.post("ap", "alone");
    world.run(SECOND * 3);
    world.link("eu", "ap");
    world.run(SECOND);
    let eu = world.at("eu").messages.clone();
    assert_eq!(eu.len(), 91);
    assert!(eu.iter().enumerate().all(|(at, (number, _))| *number == at as u64 + 1));
    assert_eq!(world.at("us").messages, eu);
    assert_eq!(world.at("ap").messages, eu);
    assert_eq!(world.nodes[&node("ap")].hop.history().count(), 91.min(HISTORY_MESSAGES));
}

#[test]
fn a_room_without_a_home_refuses_posts_with_a_word_when_too_many_wait() {
    let mut world = World::new(&["eu"], 1, FAIR, Transit::Never);
    for n in 0..WAITING_MAX {
        world.post("eu", &n.to_string());
    }
    let refused = world.at("eu").hop.post(lyceum_wire::signal::RoomMessage {
        number: 0,
        id: "one too many".into(),
        from: person("p-eu"),
        name: String::new(),
        kind: "chat".into(),
        body: serde_json::Value::Null,
        sent_at_ms: 0,
    });
    assert!(refused.is_err());
    world.map("eu", &["eu"]);
    world.run(SECOND);
    assert_eq!(world.at("eu").messages.len(), WAITING_MAX);
}

#[test]
fn the_sender_clock_crosses_the_link() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.watch("us", "ben", "ana", 320);
    world.run(SECOND);
    let at = world.now;
    let eu = world.at("eu");
    let track = eu.hop.room.track(&camera("ana")).unwrap();
    eu.hop.sender_clock(lyceum_media::uplink::SenderClock { track, spatial: 0, timestamp: 1_000, at });
    world.run(SECOND);
    assert_eq!(world.said("eu", "clock"), 1);
    // Who comes later is told as well.
    world.unwatch("us", "ben");
    world.run(SECOND * 4);
    world.watch("us", "cy", "ana", 320);
    world.run(SECOND);
    assert_eq!(world.said("eu", "clock"), 2);
}

#[test]
fn a_node_that_lost_its_room_is_told_everything_again() {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    world.publish("eu", "ana", 1);
    world.join("eu", "ana");
    world.join("us", "ben");
    world.watch("us", "ben", "ana", 320);
    world.post("eu", "hello");
    world.run(SECOND);
    assert!(world.at("eu").people.contains_key(&person("ben")));
    world.forget("us", &["eu", "us"], "eu");
    world.watch("us", "cy", "ana", 320);
    world.run(SECOND);
    assert!(!world.at("eu").people.contains_key(&person("ben")), "gone with the room it was in");
    assert_eq!(world.live("us").remote_tracks, 1);
    assert_eq!((world.live("us").people, world.live("eu").people), (1, 1));
    assert!(world.seen("us", "cy").numbers.len() > 40);
    assert_eq!(world.nodes[&node("us")].hop.history().count(), 1);
    assert_eq!(world.live("eu").served, 1);
}
