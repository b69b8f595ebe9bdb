//! A room on two shards of one edge: two threads, two sockets, and nobody the wiser.

use crate::client::Client;
use crate::edge_with;
use crate::metrics::scrape;
use crate::plane::Plane;
use lyceum_edge::edge::Edge;
use lyceum_wire::id::RoomId;
use lyceum_wire::signal::{ClientSays, EdgeSays};

/// An edge with two shards that takes one participant of a room on each before the next.
async fn split(plane: &Plane) -> Edge {
    edge_with(plane, |config| config.media.split_viewers = 1).await
}

/// Hears rosters until so many are there.
async fn sees(client: &mut Client, total: u32) {
    client
        .until("everybody", |says| matches!(says, EdgeSays::Roster { total: of, .. } if *of == total).then_some(()))
        .await;
}

#[tokio::test]
async fn people_on_two_shards_meet_write_resume_and_leave() {
    let plane = Plane::start().await;
    let edge = split(&plane).await;
    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let (mut ben, welcome) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    sees(&mut ana, 2).await;
    sees(&mut ben, 2).await;
    ana.chat("hello").await;
    assert_eq!((ana.read(1).await, ben.read(1).await), (vec!["hello".to_owned()], vec!["hello".to_owned()]));
    ben.chat("hi").await;
    assert_eq!((ana.read(1).await, ben.read(1).await), (vec!["hi".to_owned()], vec!["hi".to_owned()]));

    let page = scrape(&edge).await;
    assert_eq!((page["lyceum_rooms"], page["lyceum_room_branches"], page["lyceum_participants"]), (1.0, 1.0, 2.0));
    let asides = |shard: u8| page[&format!("lyceum_shard_asides_total{{shard=\"{shard}\"}}")];
    assert!(asides(0) > 0.0 && asides(1) > 0.0);
    let physics = RoomId::parse("physics").unwrap();
    let reported = plane
        .until("both are reported", |memory| {
            memory.status.as_ref().is_some_and(|status| status.rooms.get(&physics) == Some(&2))
        })
        .await;
    assert_eq!(reported.status.unwrap().load.rooms, 1, "one room");

    // The session is found again on its own shard.
    drop(ben);
    let mut ben = Client::resume(&edge, &welcome.session, 0).await;
    assert!(ben.welcome().await.resumed);
    ana.chat("again").await;
    ben.until("what was missed", |says| match says {
        EdgeSays::Message { message } => (message.body["text"] == "again").then_some(()),
        _ => None,
    })
    .await;

    ana.say(ClientSays::Leave).await;
    ana.closed().await;
    sees(&mut ben, 1).await;
    ben.chat("alone").await;
    ben.say(ClientSays::Leave).await;
    ben.closed().await;
    let end = plane.until("the room is given back", |memory| memory.detaches.contains(&physics)).await;
    assert_eq!((end.attaches, end.detaches.len()), (1, 1), "only its root speaks for a room");
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_room_fills_its_shards_and_an_edge_stops_with_both() {
    let plane = Plane::start().await;
    let edge = split(&plane).await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(Client::join(&edge, &plane.token("physics", &format!("P{n}"))).await.0);
    }
    for person in &mut people {
        sees(person, 4).await;
    }
    let page = scrape(&edge).await;
    assert_eq!((page["lyceum_rooms"], page["lyceum_room_branches"], page["lyceum_participants"]), (1.0, 1.0, 4.0));
    edge.stop().await.unwrap();
    for person in &mut people {
        person.until("bye", |says| matches!(says, EdgeSays::Bye { .. }).then_some(())).await;
        person.closed().await;
    }
}
