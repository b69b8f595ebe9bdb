//! Two shards on two nodes, joined by links that the test carries.

use crate::client::{Line, VP8, sends};
use crate::media::{film, talk, track};
use crate::world::World;
use lyceum_edge_core::stats::Live;
use lyceum_wire::id::Source;
use lyceum_wire::signal::{ClientSays, EdgeSays, SlotKind, Tile};

fn two_regions() -> (World, usize, usize) {
    let mut world = World::new(2);
    world.link_all();
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(1, "ben", "physics");
    world.run(1_000);
    (world, ana, ben)
}

#[test]
fn everybody_sees_everybody_across_a_link() {
    let (mut world, ana, ben) = two_regions();
    assert_eq!(world.roster(ana), ["ana", "ben"]);
    assert_eq!(world.roster(ben), ["ana", "ben"]);
    world.connect(ana, vec![sends(Source::Camera)]);
    assert_eq!(world.roster(ben), ["ana Camera", "ben"]);
    world.say(ana, ClientSays::Leave);
    world.run(1_000);
    assert_eq!(world.roster(ben), ["ben"]);
}

#[test]
fn chat_has_one_order_everywhere() {
    let (mut world, ana, ben) = two_regions();
    for n in 0..20 {
        world.chat(ana, &format!("eu {n}"));
        world.chat(ben, &format!("us {n}"));
        world.run(250);
    }
    world.run(1_000);
    assert_eq!(world.chats(ana).len(), 40);
    assert_eq!(world.chats(ana), world.chats(ben));
    let cem = world.join(1, "cem", "physics");
    assert_eq!(world.chats(cem), world.chats(ana), "who comes later reads the same");
}

#[test]
fn media_cross_a_link_and_say_which_way_they_came() {
    let (mut world, ana, ben) = two_regions();
    world.connect(ana, vec![sends(Source::Microphone), sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)]);
    let tiles = vec![Tile { track: track("ana", Source::Camera), width: 640, height: 360, pinned: false }];
    world.say(ben, ClientSays::View { tiles, listen: Vec::new() });
    world.run(500);
    film(&mut world, ana, 1, 60);
    let pictures: Vec<_> = world.clients[ben].rtp.iter().filter(|p| p.payload_type == VP8).collect();
    assert!(pictures.len() >= 50, "{} pictures", pictures.len());
    assert!(pictures.windows(2).all(|w| w[0].sequence.wrapping_add(1) == w[1].sequence));
    talk(&mut world, ana, 0, 100);
    let sounds = world.clients[ben].rtp.iter().filter(|p| p.payload_type != VP8).count();
    assert!(sounds >= 60, "{sounds} sounds");
    let path = |b: &EdgeSays| match b {
        EdgeSays::Paths { paths } => paths.iter().any(|p| {
            let regions: Vec<_> = p.hops.iter().map(|h| h.region.as_str()).collect();
            p.participant == track("ana", Source::Camera).participant && regions == ["eu", "us"] && p.latency_ms > 0.0
        }),
        _ => false,
    };
    assert!(world.clients[ben].said(path) >= 1);
    let stats = world.nodes[1].shard.stats();
    assert!(stats.link_datagrams_in > 100, "{}", stats.link_datagrams_in);
    assert!(stats.links["node-0"].up);
}

#[test]
fn nothing_crosses_a_link_for_nobody() {
    let (mut world, ana, _) = two_regions();
    world.connect(ana, vec![sends(Source::Camera)]);
    film(&mut world, ana, 0, 30);
    assert_eq!(world.nodes[1].shard.stats().link_datagrams_in, 0);
}

#[test]
fn the_last_one_leaves_nothing_on_either_node() {
    let (mut world, ana, ben) = two_regions();
    world.connect(ana, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    world.connect(ben, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 10);
    world.say(ana, ClientSays::Leave);
    world.run(10_000);
    assert_eq!(world.roster(ben), ["ben Camera"]);
    assert_eq!(world.nodes[0].shard.live(), Live::default());
    world.say(ben, ClientSays::Leave);
    world.run(10_000);
    assert_eq!(world.nodes[1].shard.live(), Live::default());
}

#[test]
fn a_class_works_while_the_control_plane_is_away() {
    let mut world = World::new(1);
    world.linked = false;
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 10);
    assert!(world.clients[ben].rtp.len() >= 9);
    // Only the order of room messages has to wait for the word who makes it.
    world.chat(ana, "do you see me?");
    world.run(500);
    assert_eq!(world.chats(ben), Vec::<String>::new());
    world.attach(0, crate::world::room("physics"));
    world.run(500);
    assert_eq!(world.chats(ben), ["1 ana: do you see me?"]);
}
