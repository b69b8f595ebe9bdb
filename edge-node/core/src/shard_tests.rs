use super::*;
use crate::door::Seed;
use crate::stats::Live;
use lyceum_wire::id::ParticipantId;
use lyceum_wire::token::{Claims, Grants};

/// A shard with two rooms of two people each.
fn shard(now: Instant) -> Shard {
    shard_among(now, Vec::new())
}

fn shard_among(now: Instant, siblings: Vec<crate::Sibling>) -> Shard {
    let mut shard = Shard::new(
        Config {
            node: NodeId::parse("node").unwrap(),
            region: Region::parse("eu").unwrap(),
            shard: 0,
            candidates: vec!["203.0.113.1:5000".parse().unwrap()],
            session: lyceum_session::Config::new().unwrap(),
            seed: Seed([1; 32]),
            unix_ms: 0,
            participants_max: 10,
            linger: Duration::ZERO,
            turn: None,
            siblings,
        },
        now,
    );
    for (n, room) in ["physics", "physics", "chemistry", "chemistry"].into_iter().enumerate() {
        let claims = Claims {
            aud: "lyceum".into(),
            sub: String::new(),
            name: String::new(),
            room: RoomId::parse(room).unwrap(),
            grants: Grants::participant(),
            nbf: 0,
            exp: 0,
        };
        let participant = ParticipantId::parse(&format!("p{n}")).unwrap();
        let entry = Entry { secret: Secret(n.to_string()), participant, claims, seed: Seed([n as u8; 32]) };
        shard.open(SocketId(n as u64), entry, now);
    }
    shard.settle(now);
    shard
}

#[test]
fn a_panic_in_a_room_costs_that_room_and_no_other() {
    let now = Instant::now();
    for work in [Work::Room(0), Work::Ruin(0)] {
        let mut shard = shard(now);
        shard.working = Some(work);
        shard.handle(Input::Panicked(Culprit::Own), now);
        shard.settle(now);
        assert_eq!((shard.live().rooms, shard.live().peers), (1, 2), "{work:?}");
        let closed = shard.events.iter().filter(|e| matches!(e, Event::CloseSocket { .. })).count();
        assert_eq!(closed, 2);
        let ended = |e: &&Event| matches!(e, Event::RoomEmpty { room } if room.as_str() == "physics");
        assert_eq!(shard.events.iter().filter(ended).count(), 1);
        shard.shut_down("done", now);
        shard.settle(now);
        assert_eq!(shard.live(), Live::default(), "nothing is left behind the panic");
    }
}

#[test]
fn other_parts_hear_of_a_room_that_a_panic_ruined() {
    let now = Instant::now();
    let siblings = [1, 2].map(|shard| crate::Sibling { shard, candidates: Vec::new() });
    for work in [Work::Ruin(0), Work::Ruin(1)] {
        let mut shard = shard_among(now, siblings.to_vec());
        let Work::Ruin(place) = work else { unreachable!() };
        let (room, root) = {
            let room = &shard.rooms.get(place).unwrap().id;
            (room.clone(), shard.root_of(room))
        };
        shard.events.clear();
        shard.working = Some(work);
        shard.handle(Input::Panicked(Culprit::Own), now);
        let told = shard.events.iter().filter_map(|event| match event {
            Event::Aside { from: 0, shard, aside: Aside::Room(Said::Message(message)) } => match &**message {
                Message::RoomClose { room: of } if *of == room => Some(*shard),
                _ => None,
            },
            _ => None,
        });
        let wanted = root.map_or(vec![1, 2], |root| vec![root]);
        assert_eq!(told.collect::<Vec<_>>(), wanted, "{room}, root {root:?}");
    }
}

#[test]
fn who_says_something_is_answered_while_media_gather() {
    struct Nowhere;
    impl Wire for Nowhere {
        fn send(&mut self, _: Transmit<'_>) {}
    }
    let now = Instant::now();
    let mut shard = shard(now);
    shard.events.clear();
    shard.handle(Input::Command(Command::Link(FromLink::Down { node: NodeId::parse("other").unwrap() })), now);
    assert!(!shard.relieve(&mut Nowhere, now), "a link's affairs wait");
    let body = lyceum_wire::signal::ClientSays::Ping { t: 7.0 };
    let message = Box::new(lyceum_wire::signal::ToEdge { seq: 0, body });
    shard.handle(Input::Command(Command::Said { socket: SocketId(0), message }), now);
    assert!(shard.relieve(&mut Nowhere, now));
    assert!(shard.events.iter().any(|event| matches!(event, Event::Say { socket: SocketId(0), .. })));
    assert!(!shard.relieve(&mut Nowhere, now), "it has been answered");
}

#[test]
fn a_panic_that_was_nobodys_costs_nobody() {
    let now = Instant::now();
    let mut shard = shard(now);
    shard.handle(Input::Panicked(Culprit::Own), now);
    assert_eq!((shard.live().peers, shard.stats().evictions), (4, 1));
}
