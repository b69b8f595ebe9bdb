//! A moderator at one edge changes what somebody at another may do.

use crate::world::*;
use lyceum_relay_core::hop::{ANSWER_TIME_MAX, ASKED_MAX, Loss};
use lyceum_wire::id::Source;
use lyceum_wire::link::Message;
use lyceum_wire::signal::{Participant, Refusal};
use lyceum_wire::token::GrantChange;
use std::time::Duration;

fn to_stage() -> GrantChange {
    GrantChange { publish: Some(vec![Source::Camera]), ..GrantChange::default() }
}

/// A moderator at eu, a participant at us, everybody knows everybody.
fn class() -> World {
    let mut world = World::gathered(&["eu", "us"], 1, FAIR);
    let now = world.now;
    let host = Participant {
        id: person("host"),
        identity: "host".into(),
        name: "Host".into(),
        edge: node("eu"),
        region: region("eu"),
        publishes: Vec::new(),
        on_stage: true,
        moderates: true,
    };
    world.at("eu").hop.join(host);
    world.join("us", "ben");
    world.join("eu", "ana");
    world.run(Duration::from_millis(200));
    assert_eq!(world.now - now, Duration::from_millis(200));
    world
}

#[test]
fn a_change_reaches_the_participants_edge_and_the_answer_comes_back() {
    let mut world = class();
    let now = world.now;
    let request = world.at("eu").hop.grant(Some(person("host")), person("ben"), to_stage(), now).unwrap();
    world.run(Duration::from_millis(100));
    let wish = world.at("us").wished.pop().expect("a wish");
    assert_eq!(
        (wish.by.clone(), wish.participant.clone(), wish.change.clone()),
        (Some(person("host")), person("ben"), to_stage())
    );
    world.at("us").hop.granted(&wish, None);
    world.run(Duration::from_millis(100));
    assert_eq!(world.at("eu").granted, [(request, None)]);
    assert_eq!(world.live("eu").waiting_grants, 0);
}

#[test]
fn only_who_moderates_at_the_asking_edge_is_listened_to() {
    let mut world = class();
    let now = world.now;
    for by in ["ana", "ben", "nobody"] {
        world.at("eu").hop.grant(Some(person(by)), person("ben"), to_stage(), now).unwrap();
    }
    world.run(Duration::from_millis(200));
    assert!(world.at("us").wished.is_empty());
    assert_eq!(world.lost_for("us", Loss::NotModerator), 3);
    let refused: Vec<_> = world.at("eu").granted.iter().map(|(_, refused)| *refused).collect();
    assert_eq!(refused, [Some(Refusal::NotAllowed); 3]);
    // Without a name it is the application, whose token the asking edge has verified.
    world.at("eu").hop.grant(None, person("ben"), to_stage(), now).unwrap();
    world.run(Duration::from_millis(200));
    assert_eq!(world.at("us").wished.len(), 1);
}

#[test]
fn who_is_not_there_is_absent_and_nobody_waits_for_ever() {
    let mut world = class();
    let now = world.now;
    let host = || Some(person("host"));
    assert_eq!(world.at("eu").hop.grant(host(), person("ghost"), to_stage(), now), Err(Refusal::Absent));
    // The other edge takes it in and never answers.
    for _ in 0..ASKED_MAX {
        world.at("eu").hop.grant(host(), person("ben"), to_stage(), now).unwrap();
    }
    assert_eq!(world.at("eu").hop.grant(host(), person("ben"), to_stage(), now), Err(Refusal::TooMany));
    world.run(ANSWER_TIME_MAX + Duration::from_millis(100));
    let given_up = world.at("eu").granted.iter().filter(|(_, refused)| *refused == Some(Refusal::Absent)).count();
    assert_eq!((given_up, world.live("eu").waiting_grants), (ASKED_MAX, 0));
    // An answer that comes too late, or was never asked for, is nobody's.
    world.message("us", "eu", Message::Granted { room: room(), request: 0, refused: None });
    world.message("us", "eu", Message::Granted { room: room(), request: 99_999, refused: None });
    assert_eq!(world.at("eu").granted.len(), ASKED_MAX);
    // A link that breaks answers at once.
    let now = world.now;
    world.at("eu").hop.grant(host(), person("ben"), to_stage(), now).unwrap();
    world.cut("eu", "us");
    assert_eq!(world.at("eu").granted.last().unwrap().1, Some(Refusal::Absent));
}
