//! Several control planes on one etcd: they agree, they outlive a dead node, and they outlive etcd's absence.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{EtcdProcess, eventually};
use lyceum_control::{Config, Handle, StoreConfig, serve};
use lyceum_wire::api::{Load, NodeLease, NodeStatus, Placement, Problem, RoomInfo, RoomMap, TokenAnswer};
use lyceum_wire::id::{Region, RoomId};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

const SECRET: &str = "node-secret-of-the-test";

fn config(etcd: &EtcdProcess) -> Config {
    Config {
        open: true,
        lease: Duration::from_secs(2),
        store: StoreConfig::Etcd(etcd.config("lyceum/")),
        ..Config::new(SECRET)
    }
}

/// One control plane, as clients and nodes see it.
struct Plane {
    url: String,
    http: reqwest::Client,
    _handle: Handle,
}

impl Plane {
    async fn start(etcd: &EtcdProcess) -> Self {
        let handle = serve(config(etcd)).await.unwrap();
        Self { url: handle.url(), http: reqwest::Client::new(), _handle: handle }
    }

    async fn report(&self, node: &str, rooms: &[&str]) -> NodeLease {
        let status = NodeStatus {
            region: Region::parse(node.split('-').next().unwrap()).unwrap(),
            url: format!("http://{node}.test"),
            link_addr: format!("{node}.test:4433"),
            turn_urls: vec![],
            version: "1".into(),
            ready: true,
            load: Load::default(),
            rooms: rooms.iter().map(|room| (RoomId::parse(room).unwrap(), 1)).collect(),
        };
        let request = self.http.put(format!("{}/v1/nodes/{node}", self.url)).bearer_auth(SECRET).json(&status);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn attach(&self, room: &str, node: &str) -> Result<RoomMap, Problem> {
        let request = self.http.post(format!("{}/v1/rooms/{room}/nodes/{node}", self.url)).bearer_auth(SECRET);
        let response = request.send().await.unwrap();
        if response.status().is_success() {
            Ok(response.json().await.unwrap())
        } else {
            Err(response.json().await.unwrap())
        }
    }

    async fn join(&self, room: &str) -> Result<Placement, Problem> {
        let body = json!({ "room": room, "name": "Ana" });
        let token = self.http.post(format!("{}/v1/tokens", self.url)).json(&body).send().await.unwrap();
        let token: TokenAnswer = token.error_for_status().unwrap().json().await.unwrap();
        let join = self.http.post(format!("{}/v1/rooms/{room}/join", self.url)).bearer_auth(token.token);
        let response = join.json(&json!({})).send().await.unwrap();
        if response.status().is_success() {
            Ok(response.json().await.unwrap())
        } else {
            Err(response.json().await.unwrap())
        }
    }

    async fn room(&self, room: &str) -> Option<RoomInfo> {
        let response = self.http.get(format!("{}/v1/rooms/{room}", self.url)).send().await.unwrap();
        if response.status().is_success() { Some(response.json().await.unwrap()) } else { None }
    }

    async fn text(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

#[tokio::test]
async fn what_one_control_plane_is_told_the_other_knows() {
    let etcd = EtcdProcess::start().await;
    let (one, two) = tokio::join!(Plane::start(&etcd), Plane::start(&etcd));
    let keys = (one.report("eu-1", &[]).await.token_keys, two.report("us-1", &[]).await.token_keys);
    assert_eq!(keys.0, keys.1, "one mesh, one signing key");
    eventually("a node of the other can be chosen", async || {
        let token = one.join("r").await.ok()?;
        (token.edge.node.as_str() == "us-1").then_some(())
    })
    .await;
    let map = one.attach("r", "eu-1").await.unwrap();
    let seen = eventually("the other sees the room", async || two.room("r").await).await;
    assert_eq!((seen.epoch, &seen.home), (map.epoch, &map.home));
}

#[tokio::test]
async fn nodes_that_attach_at_once_through_different_control_planes_all_get_in() {
    const NODES: usize = 16;
    let etcd = EtcdProcess::start().await;
    let (one, two) = tokio::join!(Plane::start(&etcd), Plane::start(&etcd));
    for i in 0..NODES {
        let plane = [&one, &two][i % 2];
        plane.report(&format!("eu-{i}"), &[]).await;
    }
    let attach = |i: usize| {
        let plane = [&one, &two][i % 2];
        async move { plane.attach("r", &format!("eu-{i}")).await.unwrap() }
    };
    let maps = futures_util::future::join_all((0..NODES).map(attach)).await;
    let epochs: BTreeSet<u64> = maps.iter().map(|map| map.epoch).collect();
    assert_eq!(epochs.len(), NODES, "every attachment is an epoch of its own");
    let last = maps.iter().max_by_key(|map| map.epoch).unwrap();
    assert_eq!(last.nodes.len(), NODES);
    // Whoever saw an older map saw the beginning of the last one: the order of attachment is one.
    for map in &maps {
        assert_eq!(map.nodes[..], last.nodes[..map.nodes.len()]);
        assert_eq!(map.home, last.home);
    }
}

#[tokio::test]
async fn a_node_that_dies_leaves_its_rooms_and_the_next_one_is_home() {
    let etcd = EtcdProcess::start().await;
    let (one, two) = tokio::join!(Plane::start(&etcd), Plane::start(&etcd));
    one.report("eu-1", &[]).await;
    two.report("us-1", &[]).await;
    one.attach("r", "eu-1").await.unwrap();
    let before = eventually("both know us-1", async || one.attach("r", "us-1").await.ok()).await;
    assert_eq!(before.home.as_str(), "eu-1");
    // eu-1 says nothing any more; us-1 goes on.
    let after = eventually("the home moves", async || {
        two.report("us-1", &["r"]).await;
        two.room("r").await.filter(|room| room.home.as_str() == "us-1")
    })
    .await;
    assert!(after.epoch > before.epoch);
    let lease = two.report("us-1", &["r"]).await;
    assert_eq!((lease.rooms[0].home.as_str(), lease.rooms[0].nodes.len()), ("us-1", 1), "the node hears of it");
    assert_eq!(two.join("r").await.unwrap().edge.node.as_str(), "us-1");
}

#[tokio::test]
async fn with_etcd_away_joins_go_on_and_the_maps_heal_when_it_is_back() {
    let mut etcd = EtcdProcess::start().await;
    let plane = Plane::start(&etcd).await;
    plane.report("eu-1", &[]).await;
    let before = plane.attach("r", "eu-1").await.unwrap();
    etcd.kill();
    eventually("it notices", async || {
        let (status, text) = plane.text("/readyz").await;
        assert_eq!(status, 200, "it stays ready");
        text.contains("last good state").then_some(())
    })
    .await;
    assert_eq!(plane.text("/healthz").await.0, 200);
    assert!(plane.text("/metrics").await.1.contains("lyceum_control_store_up 0"));
    // Reports are heard, and answered with keys and the last maps; a room that is there already is joined, a new one too.
    let lease = plane.report("eu-1", &["r", "new"]).await;
    assert_eq!(lease.rooms, std::slice::from_ref(&before));
    assert!(!lease.token_keys.is_empty());
    assert_eq!(plane.join("r").await.unwrap().edge.node.as_str(), "eu-1");
    assert_eq!(plane.join("new").await.unwrap().edge.node.as_str(), "eu-1");
    // What cannot be written is refused with the reason.
    assert_eq!(plane.attach("new", "eu-1").await.unwrap_err().code, "store_away");

    etcd.resume().await;
    let healed = eventually("the new room is in the store", async || {
        plane.report("eu-1", &["r", "new"]).await;
        plane.room("new").await
    })
    .await;
    assert_eq!(healed.home.as_str(), "eu-1");
    assert_eq!(plane.text("/readyz").await.1, "ready\n");
    let other = Plane::start(&etcd).await;
    assert_eq!(other.room("r").await.unwrap().epoch, before.epoch, "and the old one is as it was");
    assert_eq!(other.join("r").await.unwrap().edge.node.as_str(), "eu-1");
}

#[tokio::test]
async fn started_without_etcd_it_lives_is_not_ready_and_becomes_so() {
    let mut etcd = EtcdProcess::start().await;
    etcd.kill();
    let plane = Plane::start(&etcd).await;
    assert_eq!(plane.text("/healthz").await.0, 200);
    let (status, text) = plane.text("/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("starting"), "{text}");
    assert_eq!(plane.text("/v1/keys").await.0, 503);
    etcd.resume().await;
    eventually("ready", async || (plane.text("/readyz").await.0 == 200).then_some(())).await;
    plane.report("eu-1", &[]).await;
    assert!(plane.join("r").await.is_ok());
}
