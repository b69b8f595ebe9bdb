//! WHIP publishers and WHEP players.

use crate::client::{Line, sends};
use crate::media::film;
use crate::world::{World, secret_of};
use lyceum_edge_core::door::{Command, HttpOutcome};
use lyceum_wire::id::Source;
use lyceum_wire::signal::{EdgeSays, Refusal, SlotKind};
use lyceum_wire::token::Grants;

/// Posts an offer of these lines; gives the client and what was answered.
fn post(world: &mut World, name: &str, lines: Vec<Line>, plays: bool, grants: Grants) -> (usize, HttpOutcome) {
    let client = world.add(0, name);
    world.clients[client].lines = lines;
    let (sdp, ..) = world.clients[client].offer();
    let entry = world.entry(name, "physics", grants);
    let request = world.request();
    world.command(
        0,
        match plays {
            false => Command::Whip { request, entry, sdp },
            true => Command::Whep { request, entry, sdp },
        },
    );
    let outcome = world.http(0, request);
    if let HttpOutcome::Created { sdp, etag } = &outcome {
        assert!(!etag.is_empty());
        let now = world.now;
        world.clients[client].take_answer(sdp, now);
        world.run(2_000);
        assert!(world.clients[client].is_connected());
    }
    (client, outcome)
}

#[test]
fn a_publisher_by_http_is_seen_in_the_roster_and_in_slots() {
    let mut world = World::new(1);
    let ben = world.join(0, "ben", "physics");
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    let lines = vec![sends(Source::Microphone), sends(Source::Camera)];
    let (obs, _) = post(&mut world, "obs", lines, false, Grants::participant());
    assert_eq!(world.roster(ben), ["ben", "obs Microphone Camera"]);
    film(&mut world, obs, 1, 20);
    assert!(world.clients[ben].rtp.len() >= 19);
    let request = world.request();
    world.command(0, Command::HttpDelete { request, resource: secret_of("obs") });
    assert_eq!(world.http(0, request), HttpOutcome::Deleted);
    world.run(500);
    assert_eq!(world.roster(ben), ["ben"]);
    let request = world.request();
    world.command(0, Command::HttpDelete { request, resource: secret_of("obs") });
    assert_eq!(world.http(0, request), HttpOutcome::NotFound);
}

#[test]
fn a_player_sees_a_camera_then_the_screen_and_is_not_in_the_roster() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    let lines = vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)];
    let (player, _) = post(&mut world, "player", lines, true, Grants::viewer());
    film(&mut world, ana, 0, 20);
    let seen = world.clients[player].rtp.len();
    assert!(seen >= 18, "{seen}");
    assert_eq!(world.roster(ana), ["ana Camera"]);
    world.clients[ana].lines.push(sends(Source::Screen));
    world.offer(ana);
    world.run(500);
    film(&mut world, ana, 1, 20);
    assert!(world.clients[player].rtp.len() >= seen + 18, "the screen took the camera's place");
    let ssrcs: std::collections::BTreeSet<u32> = world.clients[player].rtp.iter().map(|p| p.ssrc).collect();
    assert_eq!(ssrcs.len(), 1, "on the same line");
}

#[test]
fn http_offers_are_refused_in_clear_words() {
    let mut world = World::new(1);
    let refused = |world: &mut World, name, lines, plays, grants| match post(world, name, lines, plays, grants).1 {
        HttpOutcome::Refused { code, message } => (code, message),
        other => panic!("{other:?}"),
    };
    let camera = || vec![sends(Source::Camera)];
    assert_eq!(refused(&mut world, "a", camera(), false, Grants::viewer()).0, Refusal::NotAllowed);
    assert_eq!(refused(&mut world, "b", camera(), true, Grants::participant()).0, Refusal::BadOffer);
    let entry = world.entry("c", "physics", Grants::participant());
    world.clients[0].lines = camera();
    let (sdp, ..) = world.clients[0].offer();
    let request = world.request();
    world.command(0, Command::Whip { request, entry, sdp: sdp.replace("VP8/90000", "H265/90000") });
    let HttpOutcome::Refused { code, message } = world.http(0, request) else { panic!() };
    assert_eq!(
        (code, message.as_str()),
        (
            Refusal::BadOffer,
            "m-line 0 must offer VP8, VP9, H264 (constrained baseline) or AV1; it offers H264, H265, rtx"
        )
    );
    world.run(20_000);
    assert_eq!(world.nodes[0].shard.live(), Default::default(), "nobody came in");
}

#[test]
fn patches_trickle_and_restart() {
    let mut world = World::new(1);
    let (obs, _) = post(&mut world, "obs", vec![sends(Source::Camera)], false, Grants::participant());
    let patch = |world: &mut World, fragment: &str| {
        let request = world.request();
        let resource = secret_of("obs");
        world.command(0, Command::HttpPatch { request, resource, fragment: fragment.into() });
        world.http(0, request)
    };
    let trickle = "a=mid:0\r\na=candidate:1 1 udp 1 198.51.100.9 9 typ host\r\n";
    assert_eq!(patch(&mut world, trickle), HttpOutcome::NoContent);
    let ice = crate::client::credentials(99, 9);
    let restart = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.pwd);
    let HttpOutcome::Restarted { fragment, etag } = patch(&mut world, &restart) else { panic!("restarted") };
    let value = |name: &str| fragment.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(value("a=ice-ufrag:"), etag);
    let remote = lyceum_session::ice::Credentials { ufrag: etag, pwd: value("a=ice-pwd:") };
    let now = world.now;
    world.clients[obs].session.as_mut().unwrap().restart_ice(ice, remote, now);
    world.run(60_000);
    assert_eq!(world.nodes[0].shard.stats().connected, 1, "the restarted session stays");
    let huge = "a=x\r\n".repeat(10_000);
    assert!(matches!(patch(&mut world, &huge), HttpOutcome::Refused { code: Refusal::TooLarge, .. }));
}

#[test]
fn a_publisher_that_vanishes_is_removed() {
    let mut world = World::new(1);
    let ben = world.join(0, "ben", "physics");
    let (obs, _) = post(&mut world, "obs", vec![sends(Source::Camera)], false, Grants::participant());
    world.clients[obs].cut_off = true;
    world.run(40_000);
    assert_eq!(world.roster(ben), ["ben"]);
    assert_eq!(world.clients[ben].said(|b| matches!(b, EdgeSays::Refused { .. })), 0);
}
