//! coturn's clients against our TURN: a second implementation of RFC 8656, with a control plane, an edge and real sockets.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

use lyceum_edge::config::Config;
use lyceum_edge::edge::{self, Edge};
use lyceum_wire::api::{IceServer, Placement};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

const SECRET: &str = "a node's secret of this test";
/// The clients need seven seconds for what they do; one that hangs must not hang the suite.
const CLIENT_MAX: Duration = Duration::from_secs(60);

/// A control plane and one edge, as an operator would start them.
struct House {
    control: lyceum_control::Handle,
    edge: Edge,
    server: IceServer,
    port: u16,
}

impl House {
    async fn start(allowed: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = lyceum_control::Config { open: true, ..lyceum_control::Config::new(SECRET) };
        let control = lyceum_control::serve_on(settings, listener, |router| router).await.unwrap();
        let mut config = Config { region: "eu".to_owned(), ..Config::default() };
        config.http.listen = "127.0.0.1:0".parse().unwrap();
        config.control.url = control.url();
        config.control.node_secret = SECRET.to_owned();
        config.media.shards = 1;
        config.media.turn_allowed = allowed.iter().map(|&network| network.to_owned()).collect();
        let mut edge = edge::start(config).await.unwrap();
        edge.ready().await;
        let server = ice_server(&control.url()).await;
        let port = edge.media.first().unwrap().port();
        assert_eq!(server.urls, [format!("turn:127.0.0.1:{port}?transport=udp")]);
        Self { control, edge, server, port }
    }

    async fn stop(self) {
        self.edge.stop().await.unwrap();
        self.control.stop().await.unwrap();
    }

    /// Runs coturn's client with the credential that the control plane handed out.
    async fn uclient(&self, arguments: &[&str]) -> String {
        let server = &self.server;
        self.uclient_as(server.username.as_deref().unwrap(), server.credential.as_deref().unwrap(), arguments).await
    }

    async fn uclient_as(&self, username: &str, password: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("turnutils_uclient");
        // 2 clients, 20 messages of 200 bytes each, one every 20 ms, no RTCP beside.
        command.args(["-c", "-m", "2", "-n", "20", "-l", "200", "-z", "20", "-u", username, "-w", password]);
        command.args(arguments).args(["-p", &self.port.to_string(), "127.0.0.1"]).kill_on_drop(true);
        let done = tokio::time::timeout(CLIENT_MAX, command.output()).await;
        let Output { stdout, stderr, .. } =
            done.expect("the client ends").expect("turnutils_uclient is here: apt-get install coturn");
        format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr))
    }

    async fn metric(&self, name: &str) -> f64 {
        let page = reqwest::get(format!("{}/metrics", self.edge.url)).await.unwrap().text().await.unwrap();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

/// What a browser would be told: a token, then a placement.
async fn ice_server(control: &str) -> IceServer {
    let http = reqwest::Client::new();
    let token = http.post(format!("{control}/v1/tokens")).json(&json!({"room": "physics", "name": "coturn"}));
    let token: serde_json::Value = token.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    let join = http.post(format!("{control}/v1/rooms/physics/join")).json(&json!({}));
    let join = join.bearer_auth(token["token"].as_str().unwrap());
    let placement: Placement = join.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    placement.ice_servers.into_iter().find(|server| server.username.is_some()).unwrap()
}

/// coturn's peer, which sends back what it hears.
fn peer() -> (Child, SocketAddr) {
    let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new("turnutils_peer");
    command.args(["-L", "127.0.0.1", "-p", &address.port().to_string()]).kill_on_drop(true);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    (child.expect("turnutils_peer is here: apt-get install coturn"), address)
}

fn all_came_back(said: &str) {
    assert!(said.contains("tot_send_msgs=40, tot_recv_msgs=40"), "{said}");
    assert!(said.contains("Total lost packets 0 "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coturn_clients_talk_through_our_turn() {
    let house = House::start(&[]).await;
    let (channels, indications, refused, outside) = tokio::join!(
        house.uclient(&["-y"]),
        house.uclient(&["-y", "-s"]),
        house.uclient_as("1:physics", "a guess", &["-y"]),
        house.uclient(&["-e", "127.0.0.1", "-r", "9"]),
    );
    all_came_back(&channels);
    all_came_back(&indications);
    assert!(refused.contains("Cannot complete Allocation"), "{refused}");
    assert!(outside.contains("error 403 (Forbidden)"), "{outside}");
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_outside_is_reached_where_the_operator_lists_it() {
    let house = House::start(&["127.0.0.1/32"]).await;
    let (mut child, peer) = peer();
    let port = peer.port().to_string();
    let listed = ["-e", "127.0.0.1", "-r", &port];
    let by_indications = ["-s", "-e", "127.0.0.1", "-r", &port];
    let another = ["-e", "127.0.0.2", "-r", &port];
    let (channels, indications, unlisted) =
        tokio::join!(house.uclient(&listed), house.uclient(&by_indications), house.uclient(&another));
    all_came_back(&channels);
    all_came_back(&indications);
    assert!(unlisted.contains("error 403 (Forbidden)"), "{unlisted}");
    assert_eq!(house.metric("lyceum_turn_relay_bind_failures_total").await, 0.0);
    child.kill().await.unwrap();
    house.stop().await;
}
