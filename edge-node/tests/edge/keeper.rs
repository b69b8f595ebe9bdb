//! The edge and its control plane stay of one mind, whatever gets lost between them.

use crate::client::Client;
use crate::plane::Plane;
use crate::{edge, edge_with};
use lyceum_edge::config::Config;
use lyceum_edge::edge as edges;
use lyceum_edge::units::Span;
use lyceum_wire::api::RoomMap;
use lyceum_wire::id::{NodeId, RoomId};

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

#[tokio::test]
async fn a_room_is_attached_reported_and_detached() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let status = plane.until("the node reports", |memory| memory.status.is_some()).await.status.unwrap();
    assert_eq!(status.url, edge.url);
    assert_eq!(status.link_addr, edge.link.to_string());
    let turn: Vec<String> = edge.media.iter().map(|address| format!("turn:{address}?transport=udp")).collect();
    assert_eq!(status.turn_urls, turn);
    assert!(status.ready);

    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let (_ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let physics = room("physics");
    plane.until("the room is attached", |memory| memory.attached.contains_key(&physics)).await;
    plane
        .until("both are reported", |memory| {
            memory.status.as_ref().is_some_and(|status| status.rooms.get(&physics) == Some(&2))
        })
        .await;
    ana.say(lyceum_wire::signal::ClientSays::Leave).await;
    drop(_ben);
    plane
        .until("one is left", |memory| {
            memory.status.as_ref().is_some_and(|status| status.load.participants == 1 && status.load.rooms == 1)
        })
        .await;
    edge.stop().await.unwrap();
    let end = plane.until("the node is forgotten", |memory| memory.forgotten).await;
    assert_eq!(end.attaches, 1, "one room, one call");
}

#[tokio::test]
async fn without_a_control_plane_what_runs_goes_on() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    plane.until("the room is attached", |memory| memory.attaches == 1).await;
    plane.change(|memory| memory.down = true);

    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    ben.chat("still teaching").await;
    assert_eq!(ana.read(1).await, ["still teaching"]);
    let (mut eve, _) = Client::join(&edge, &plane.token("chemistry", "Eve")).await;
    eve.ping().await;
    let ready = reqwest::get(format!("{}/readyz", edge.url)).await.unwrap();
    assert_eq!(ready.status(), 200, "its keys still open its doors");

    plane.change(|memory| {
        memory.down = false;
        memory.attached.clear();
    });
    let healed = plane.until("both rooms are there again", |memory| memory.attached.len() == 2).await;
    assert!(healed.attached.contains_key(&room("chemistry")));
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn what_the_control_plane_got_wrong_is_healed() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (_ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    plane.until("the room is attached", |memory| memory.attaches == 1).await;
    plane.change(|memory| {
        // It has forgotten a room, and remembers one that this edge never had.
        memory.attached.clear();
        let home = NodeId::parse("eu-1").unwrap();
        memory.attached.insert(room("ghost"), RoomMap { room: room("ghost"), epoch: 1, home, nodes: Vec::new() });
    });
    let healed =
        plane.until("it agrees again", |memory| memory.attached.keys().map(RoomId::as_str).eq(["physics"])).await;
    assert_eq!(healed.attaches, 2);
    assert_eq!(healed.detaches, [room("ghost")]);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn new_keys_are_taken_and_old_ones_end() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let token = plane.token("physics", "Ana");
    let (_ana, _) = Client::join(&edge, &token).await;
    let before = plane.until("there is a certificate", |memory| memory.certificates > 0).await;
    let other = lyceum_wire::token::Signer::from_seed(&[9; 32]).unwrap();
    plane.change(|memory| {
        memory.keys = [(other.id().to_owned(), other.public().to_text())].into();
    });
    plane.until("the certificate is renewed", |memory| memory.certificates > before.certificates).await;
    let mut late = Client::connect(&edge, "").await;
    late.hello(&token, None).await;
    assert_eq!(late.refused().await, (lyceum_wire::signal::Refusal::BadToken, true));
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn an_edge_without_its_control_plane_is_alive_but_not_ready() {
    let plane = Plane::start().await;
    plane.change(|memory| memory.down = true);
    let mut config = Config { node: "eu-1".into(), region: "eu".into(), ..Config::default() };
    config.http.listen.set_port(0);
    config.media.shards = 1;
    config.control.url = plane.url.clone();
    config.control.node_secret = crate::plane::NODE_SECRET.into();
    config.control.timeout = Span::ms(500);
    let mut edge = edges::start(config).await.unwrap();
    let status = async |path: &str| reqwest::get(format!("{}{path}", edge.url)).await.unwrap().status().as_u16();
    assert_eq!(status("/healthz").await, 200);
    assert_eq!(status("/readyz").await, 503);
    let mut early = Client::connect(&edge, "").await;
    early.hello(&plane.token("physics", "Ana"), None).await;
    assert_eq!(early.refused().await, (lyceum_wire::signal::Refusal::Internal, true), "it cannot judge yet");
    plane.change(|memory| memory.down = false);
    tokio::time::timeout(crate::plane::PATIENCE, edge.ready()).await.expect("it never became ready");
    assert_eq!(reqwest::get(format!("{}/readyz", edge.url)).await.unwrap().status(), 200);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_said_in_words() {
    let plane = Plane::start().await;
    let first = edge(&plane).await;
    let mut config = Config { region: "eu".into(), ..Config::default() };
    config.http.listen = first.http;
    let error = edges::start(config).await.map(drop).unwrap_err();
    assert!(format!("{error:#}").contains(&format!("cannot listen on {}", first.http)), "{error:#}");
    first.stop().await.unwrap();
    let again = edge_with(&plane, |config| config.http.listen.set_port(0)).await;
    again.stop().await.unwrap();
}
