//! `lyceum mesh`.

use crate::process::Process;
use crate::{assert_seen, lesson, place, regions, token};
use futures_util::{SinkExt, StreamExt};
use lyceum_wire::signal::{ClientSays, EdgeSays, ToClient, ToEdge, VERSION};
use std::time::{Duration, Instant};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const MESH: [&str; 3] = ["mesh", "--listen", "127.0.0.1:0"];
/// A stop takes less than this, as the first lines of the documentation promise.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

#[tokio::test]
async fn one_process_is_a_whole_mesh() {
    let mut mesh = Process::start(&MESH, &[]);
    let url = mesh.ready().await;
    let told = regions(&url).await;
    assert!(told.open);
    let names: Vec<_> = told.regions.iter().map(|region| region.region.as_str()).collect();
    assert_eq!(names, ["eu", "us"]);
    for region in &told.regions {
        assert_eq!(reqwest::get(&region.probes[0]).await.unwrap().status(), 204);
    }

    let page = reqwest::get(&url).await.unwrap();
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(reqwest::get(format!("{url}/v1/nothing")).await.unwrap().status(), 404);

    // What is written in one region is read in the other, over the link.
    let mut ana = enter(&url, "physics", "Ana", "eu").await;
    let mut ben = enter(&url, "physics", "Ben", "us").await;
    let body = serde_json::json!({ "text": "across" });
    say(&mut ana, ToEdge { seq: 1, body: ClientSays::Message { id: "1".into(), kind: "chat".into(), body } }).await;
    for person in [&mut ana, &mut ben] {
        let read = until(person, |says| match says {
            EdgeSays::Message { message } => Some(message.body["text"].as_str().unwrap_or_default().to_owned()),
            _ => None,
        });
        assert_eq!(read.await, "across");
    }

    assert_seen(&lesson(&url, None).await);

    let began = Instant::now();
    mesh.interrupt();
    let ended = mesh.end().await;
    assert_eq!(ended.code, Some(0), "{:?}", ended.err);
    assert!(began.elapsed() < STOP_TIME_MAX, "it took {:?} to stop", began.elapsed());
    let regions: Vec<_> = ended.out[1..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(regions, ["eu", "us"], "{:?}", ended.out);
}

#[tokio::test]
async fn regions_and_shards_are_as_asked() {
    let mut arguments = MESH.to_vec();
    arguments.extend(["--regions", "ap,eu,us", "--shards", "2"]);
    let mut mesh = Process::start(&arguments, &[]);
    let url = mesh.ready().await;
    let names: Vec<_> = regions(&url).await.regions.iter().map(|region| region.region.to_string()).collect();
    assert_eq!(names, ["ap", "eu", "us"]);
    mesh.terminate();
    let ended = mesh.end().await;
    assert_eq!(ended.code, Some(0));
    for line in &ended.out[1..] {
        let (_, media) = line.split_once("media udp ").unwrap();
        assert_eq!(media.split("link").next().unwrap().split_whitespace().count(), 2, "{line}");
    }
}

#[tokio::test]
async fn a_room_over_two_shards_of_each_edge_shows_the_same() {
    let mut arguments = MESH.to_vec();
    arguments.extend(["--shards", "2", "--split-viewers", "1"]);
    let mut mesh = Process::start(&arguments, &[]);
    let url = mesh.ready().await;
    let told = lesson(&url, None).await;
    // Three people in eu, two in us: both edges had to split the room, and pictures passed between their shards.
    for region in &regions(&url).await.regions {
        let page = reqwest::get(region.probes[0].replace("/v1/probe", "/metrics")).await.unwrap();
        let page = page.text().await.unwrap();
        let passed: f64 =
            page.lines().find_map(|line| line.strip_prefix("lyceum_part_media_in_total ")?.parse().ok()).unwrap();
        assert!(passed > 50.0, "{}: {passed}", region.region);
    }
    assert_seen(&told);
    mesh.terminate();
    assert_eq!(mesh.end().await.code, Some(0));
}

#[tokio::test]
async fn what_cannot_work_is_said_and_ends_with_a_code() {
    let mut mesh = Process::start(&MESH, &[]);
    let url = mesh.ready().await;
    let taken = url.strip_prefix("http://").unwrap();
    let table: [(&[&str], i32, &str); 7] = [
        (&["mesh", "--listen", taken], 1, "cannot listen on"),
        (&["mesh", "--listen", "127.0.0.1:0", "--regions", "eu,eu"], 1, "twice"),
        (&["mesh", "--regions", "e u"], 2, "a name may only have"),
        (&["control"], 1, "a node secret is wanted"),
        (&["edge", "--listen", "0.0.0.0:0"], 1, "http.url"),
        (&["token", "--control", "http://127.0.0.1:9", "--room", "a", "--name", "b"], 1, "no control plane answers"),
        (&["load", "--url", &url, "--publishers", "0"], 1, "nothing to see"),
    ];
    for (arguments, code, says) in table {
        let ended = Process::start(arguments, &[]).end().await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {:?}", ended.err);
        assert!(ended.err.iter().any(|line| line.contains(says)), "{arguments:?}: {:?}", ended.err);
    }

    let asked = Process::start(&["token", "--control", &url, "--room", "physics", "--name", "Ana"], &[]).end().await;
    assert_eq!(asked.code, Some(0));
    let placed = place(&url, &asked.out[0], "physics", "us").await;
    assert_eq!(placed.edge.region.as_str(), "us");
    let asked = Process::start(&["room", "explain", "--control", &url, "physics"], &[]).end().await;
    assert_eq!(asked.code, Some(0));
    assert!(asked.out.iter().any(|line| line.contains("eu-1")), "{:?}", asked.out);

    let check = Process::start(&["edge", "--check", "--region", "ap"], &[("LYCEUM_MEDIA_SHARDS", "3")]).end().await;
    assert_eq!(check.code, Some(0));
    for line in ["region = \"ap\"", "shards = 3"] {
        assert!(check.out.iter().any(|said| said == line), "{:?}", check.out);
    }
    mesh.terminate();
    assert_eq!(mesh.end().await.code, Some(0));
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A socket with a welcome from that region.
async fn enter(url: &str, room: &str, name: &str, wanted: &str) -> Socket {
    let token = token(url, room, name, "").await.token;
    let placed = place(url, &token, room, wanted).await;
    let door = format!("{}/v1/signal?room={room}", placed.edge.url.replacen("http", "ws", 1));
    let mut socket = connect_async(door).await.unwrap().0;
    say(&mut socket, ToEdge { seq: 0, body: ClientSays::Hello { version: VERSION, token, resume: None } }).await;
    let region = until(&mut socket, |says| match says {
        EdgeSays::Welcome { region, .. } => Some(region.to_string()),
        _ => None,
    });
    assert_eq!(region.await, wanted);
    socket
}

async fn say(socket: &mut Socket, message: ToEdge) {
    socket.send(Message::Text(serde_json::to_string(&message).unwrap().into())).await.unwrap();
}

async fn until<T>(socket: &mut Socket, is: impl Fn(&EdgeSays) -> Option<T>) -> T {
    let heard = async {
        loop {
            if let Message::Text(text) = socket.next().await.expect("the socket closed").unwrap() {
                let message: ToClient = serde_json::from_str(&text).unwrap();
                if let Some(found) = is(&message.body) {
                    return found;
                }
            }
        }
    };
    tokio::time::timeout(crate::process::PATIENCE, heard).await.expect("it was never said")
}
