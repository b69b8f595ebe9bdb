//! A class: hundreds in the roster, people called to the stage and back, voices that are always heard.

use crate::client::{Line, VP8, sends};
use crate::media::{film, talk, track};
use crate::world::{World, room};
use lyceum_edge_core::door::{Command, HttpOutcome, RequestId};
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, LISTEN_MAX, ROSTER_PAGE, Refusal, SlotKind};
use lyceum_wire::token::{GrantChange, Grants};

fn id(name: &str) -> ParticipantId {
    ParticipantId::parse(&format!("p-{name}")).unwrap()
}

fn grant(name: &str, publish: &[Source]) -> ClientSays {
    let change = GrantChange { publish: Some(publish.to_vec()), ..GrantChange::default() };
    ClientSays::Grant { participant: id(name), change }
}

/// What a client was told it may publish, each time that changed.
fn grants_told(world: &World, client: usize) -> Vec<Vec<Source>> {
    let told = |body: &EdgeSays| match body {
        EdgeSays::Grants { grants, .. } => Some(grants.publish.clone()),
        _ => None,
    };
    world.clients[client].heard.iter().filter_map(|m| told(&m.body)).collect()
}

/// A host at one edge, a viewer at another, and somebody who may not moderate.
fn two_regions() -> (World, usize, usize, usize) {
    let mut world = World::new(2);
    world.link_all();
    let host = world.join_with(0, "host", "physics", Grants::moderator());
    let viewer = world.join_with(1, "viewer", "physics", Grants::viewer());
    let guest = world.join(0, "guest", "physics");
    world.run(1_000);
    (world, host, viewer, guest)
}

#[test]
fn three_hundred_who_join_in_five_seconds_know_each_other_and_cost_little() {
    const CLASS: usize = 300;
    let mut world = World::new(1);
    let people: Vec<usize> = (0..CLASS)
        .map(|n| {
            let client = world.join(0, &format!("g{n:03}"), "physics");
            world.run(if n % 3 == 0 { 50 } else { 0 });
            client
        })
        .collect();
    world.run(1_000);
    for client in [people[0], people[150], people[299]] {
        assert_eq!(world.roster(client).len(), CLASS);
        let mut open = false;
        for message in &world.clients[client].heard {
            let EdgeSays::Roster { present, gone, total, more } = &message.body else { continue };
            assert!(present.len() <= ROSTER_PAGE && gone.len() <= ROSTER_PAGE);
            assert!(*total as usize <= CLASS);
            open = *more;
        }
        assert!(!open, "the last page says that it is the last one");
    }
    let last = &world.clients[people[299]].heard;
    let pages = last.iter().filter(|m| matches!(m.body, EdgeSays::Roster { .. })).count();
    assert!(pages <= 6, "the last one to come is told of 300 people in {pages} messages");
    let stats = world.nodes[0].shard.stats();
    assert!(stats.roster_entries > 80_000, "{} entries were told", stats.roster_entries);
    // Five seconds hold 62 looks of 80 ms: each writes the whole roster at most once, and who came.
    assert!(stats.roster_written < 62 * 150 + 2 * CLASS as u64, "{} entries were written", stats.roster_written);
    // They all go: told in pages, too.
    let before = world.clients[people[0]].heard.len();
    for client in &people[1..] {
        world.say(*client, ClientSays::Leave);
    }
    world.run(1_000);
    assert_eq!(world.roster(people[0]).len(), 1);
    assert!(world.clients[people[0]].heard.len() - before <= 5);
}

#[test]
fn a_viewer_goes_on_stage_and_back_in_the_same_session() {
    let (mut world, host, viewer, _) = two_regions();
    world.connect(host, vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)]);
    world.connect(viewer, vec![Line::Slot(SlotKind::Video)]);
    let camera = |active| Line::Send { source: Source::Camera, rids: Vec::new(), active };
    world.clients[viewer].lines.push(camera(true));
    world.offer(viewer);
    assert_eq!(world.refusals(viewer), ["NotAllowed"], "not from the audience");

    let asked = world.say(host, grant("viewer", &[Source::Camera, Source::Microphone]));
    world.run(500);
    let granted = |body: &EdgeSays| matches!(body, EdgeSays::Granted { of, .. } if *of == asked);
    assert_eq!(world.clients[host].said(granted), 1);
    assert_eq!(grants_told(&world, viewer), [vec![Source::Microphone, Source::Camera]]);
    world.offer(viewer);
    world.run(500);
    assert_eq!(world.roster(host), ["guest", "host", "viewer Camera"]);
    film(&mut world, viewer, 1, 40);
    let seen = world.clients[host].rtp.iter().filter(|p| p.payload_type == VP8).count();
    assert!(seen >= 30, "{seen} pictures from the stage");

    world.say(host, grant("viewer", &[]));
    world.run(500);
    assert_eq!(world.roster(host), ["guest", "host", "viewer"], "its tracks have ended");
    assert_eq!(grants_told(&world, viewer).last(), Some(&Vec::new()));
    let before = world.clients[host].rtp.len();
    film(&mut world, viewer, 1, 20);
    assert_eq!(world.clients[host].rtp.len(), before, "whatever the client still sends reaches nobody");
    world.offer(viewer);
    world.run(100);
    assert_eq!(world.refusals(viewer), ["NotAllowed", "NotAllowed"]);
    // An offer without it is taken, and the stage opens again.
    world.clients[viewer].lines[1] = camera(false);
    world.offer(viewer);
    world.say(host, grant("viewer", &[Source::Camera]));
    world.run(500);
    world.clients[viewer].lines[1] = camera(true);
    world.offer(viewer);
    world.run(500);
    assert_eq!(world.roster(host), ["guest", "host", "viewer Camera"]);
    assert_eq!(world.refusals(viewer).len(), 2);
}

#[test]
fn only_who_moderates_changes_grants_and_a_new_moderator_may() {
    let (mut world, host, viewer, guest) = two_regions();
    world.say(guest, grant("viewer", &[Source::Camera]));
    world.say(viewer, grant("viewer", &[Source::Camera]));
    world.say(host, grant("nobody", &[Source::Camera]));
    world.run(500);
    assert_eq!(world.refusals(guest), ["NotAllowed"]);
    assert_eq!(world.refusals(viewer), ["NotAllowed"]);
    assert_eq!(world.refusals(host), ["Absent"]);
    assert_eq!(grants_told(&world, viewer), Vec::<Vec<Source>>::new());
    let change = GrantChange { moderate: Some(true), ..GrantChange::default() };
    world.say(host, ClientSays::Grant { participant: id("viewer"), change });
    world.run(500);
    world.say(viewer, grant("guest", &[]));
    world.run(500);
    assert_eq!(grants_told(&world, guest), [Vec::new()], "over the link the other way round");
    assert_eq!(world.refusals(viewer), ["NotAllowed"]);
    // Who is called down while the session waits for its socket stays down.
    let seen = world.seen(guest);
    world.cut(guest);
    world.say(host, grant("guest", &[Source::Screen]));
    world.run(500);
    world.resume(guest, seen);
    world.run(100);
    assert_eq!(grants_told(&world, guest).last(), Some(&vec![Source::Screen]));
}

#[test]
fn an_application_changes_grants_over_http() {
    let (mut world, _, viewer, guest) = two_regions();
    let ask = |world: &mut World, room_name: &str, name: &str| -> RequestId {
        let request = world.request();
        let change = GrantChange { publish: Some(Vec::new()), ..GrantChange::default() };
        world.command(0, Command::Grant { request, room: room(room_name), participant: id(name), change });
        request
    };
    let here = ask(&mut world, "physics", "guest");
    assert_eq!(world.http(0, here), HttpOutcome::NoContent);
    assert_eq!(grants_told(&world, guest), [Vec::new()]);
    let change = GrantChange { publish: Some(vec![Source::Camera]), ..GrantChange::default() };
    let there = world.request();
    world.command(0, Command::Grant { request: there, room: room("physics"), participant: id("viewer"), change });
    world.run(500);
    assert_eq!(world.http(0, there), HttpOutcome::NoContent);
    assert_eq!(grants_told(&world, viewer), [vec![Source::Camera]]);
    for (room_name, name) in [("physics", "nobody"), ("chemistry", "guest")] {
        let absent = ask(&mut world, room_name, name);
        let HttpOutcome::Refused { code, .. } = world.http(0, absent) else { panic!("refused") };
        assert_eq!(code, Refusal::Absent);
    }
}

#[test]
fn a_teacher_far_away_is_heard_though_the_class_shouts() {
    let mut world = World::new(2);
    world.link_all();
    let listener = world.join(1, "listener", "physics");
    let teacher = world.join(0, "teacher", "physics");
    let crowd: Vec<usize> = (0..7).map(|n| world.join(0, &format!("c{n}"), "physics")).collect();
    world.run(500);
    world.connect(listener, vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Audio)]);
    for client in crowd.iter().chain([&teacher]) {
        world.connect(*client, vec![sends(Source::Microphone)]);
    }
    let too_many = vec![id("x"); LISTEN_MAX + 1];
    world.say(listener, ClientSays::View { tiles: Vec::new(), listen: too_many });
    assert_eq!(world.refusals(listener), ["TooLarge"]);
    world.say(listener, ClientSays::View { tiles: Vec::new(), listen: vec![id("teacher")] });
    // The class shouts, and the teacher does, too, as loud as any.
    for _ in 0..20 {
        for client in &crowd {
            talk(&mut world, *client, 0, 1);
        }
        talk(&mut world, teacher, 0, 1);
    }
    let assigned = |body: &EdgeSays| match body {
        EdgeSays::Slots { assigned } => assigned.iter().any(|a| a.track == Some(track("teacher", Source::Microphone))),
        _ => false,
    };
    assert!(world.clients[listener].said(assigned) >= 1);
    let heard = world.clients[listener].rtp.iter().filter(|p| p.csrcs == [id("teacher").csrc()]).count();
    assert!(heard >= 18, "{heard} of 20 packets");
}
