//! The API through real HTTP, on the store in memory.
#![allow(missing_docs, clippy::unwrap_used)]

use lyceum_control::{Config, Handle, serve, serve_on};
use lyceum_wire::api::{
    CertificateAnswer, Explanation, KeySet, Load, NodeLease, NodeStatus, Nodes, Placement, Problem, Regions, RoomInfo,
    RoomMap, Rooms, TokenAnswer,
};
use lyceum_wire::id::{Region, RoomId};
use lyceum_wire::token::{self, Grants};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NODE_SECRET: &str = "node-secret-of-the-test";
const API_SECRET: &str = "api-secret-of-the-test";

struct Mesh {
    handle: Handle,
    http: reqwest::Client,
}

/// Method, path, bearer, body, and the status and word wanted.
type Refused<'a> = (&'a str, &'a str, &'a str, Option<Value>, u16, &'a str);

/// An answer, read.
struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Mesh {
    async fn open() -> Self {
        Self::with(Config { open: true, ..Config::new(NODE_SECRET) }).await
    }

    async fn closed() -> Self {
        Self::with(Config { api_secret: Some(API_SECRET.into()), ..Config::new(NODE_SECRET) }).await
    }

    async fn with(config: Config) -> Self {
        Self { handle: serve(config).await.unwrap(), http: reqwest::Client::new() }
    }

    async fn ask(&self, method: &str, path: &str, bearer: &str, body: Option<Value>) -> Answer {
        let method: Method = method.parse().unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.handle.url()));
        if !bearer.is_empty() {
            request = request.bearer_auth(bearer);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request.send().await.unwrap()).await
    }

    async fn report(&self, node: &str, rooms: &[(&str, u32)]) -> NodeLease {
        let body = serde_json::to_value(status(node, rooms)).unwrap();
        self.ask("PUT", &format!("/v1/nodes/{node}"), NODE_SECRET, Some(body)).await.ok()
    }

    async fn token(&self, room: &str) -> String {
        let body = json!({ "room": room, "name": "Ana" });
        let answer: TokenAnswer = self.ask("POST", "/v1/tokens", API_SECRET, Some(body)).await.ok();
        answer.token
    }

    async fn attach(&self, room: &str, node: &str) -> RoomMap {
        self.ask("POST", &format!("/v1/rooms/{room}/nodes/{node}"), NODE_SECRET, None).await.ok()
    }
}

impl Answer {
    async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    fn ok<T: serde::de::DeserializeOwned>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    fn problem(&self) -> (u16, String) {
        let problem: Problem =
            serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not a Problem: {}", self.text));
        assert!(!problem.message.is_empty());
        (self.status.as_u16(), problem.code)
    }
}

fn status(node: &str, rooms: &[(&str, u32)]) -> NodeStatus {
    NodeStatus {
        region: Region::parse(node.split('-').next().unwrap()).unwrap(),
        url: format!("http://{node}.test:8080"),
        link_addr: format!("{node}.test:4433"),
        turn_urls: vec![format!("turn:{node}.test:1?transport=udp"), format!("turn:{node}.test:2?transport=udp")],
        version: "0.1.0".into(),
        ready: true,
        load: Load { participants: rooms.iter().map(|room| room.1).sum(), rooms: 0, cpu: 0.1 },
        rooms: rooms.iter().map(|(room, people)| (RoomId::parse(room).unwrap(), *people)).collect(),
    }
}

#[tokio::test]
async fn from_a_token_to_a_place_to_a_room_and_out_again() {
    let mesh = Mesh::open().await;
    let lease = mesh.report("eu-1", &[]).await;
    mesh.report("us-1", &[]).await;
    assert_eq!(lease.lease_ms, 10_000);
    let token = mesh.token("physics").await;

    // The token is verified offline, with the keys from the lease alone.
    let claims = token::verify(&token::keys(&lease.token_keys), &token, unix_now()).unwrap();
    assert_eq!((claims.name.as_str(), claims.room.as_str()), ("Ana", "physics"));
    assert_eq!(claims.grants, {
        let mut all = Grants::participant();
        all.publish.sort();
        all
    });
    assert_eq!(claims.exp - claims.nbf, 3_600);

    let join = json!({ "region": "us", "rtt_ms": { "eu": 9.5, "us": 80.0 } });
    let placed: Placement = mesh.ask("POST", "/v1/rooms/physics/join", &token, Some(join)).await.ok();
    assert_eq!((placed.edge.node.as_str(), placed.edge.url.as_str()), ("us-1", "http://us-1.test:8080"));
    assert!(placed.reason.contains("region us was wished for"), "{}", placed.reason);

    // TURN: the room's shard, and a credential that the shared secret proves.
    let shard = RoomId::parse("physics").unwrap().key() % 2 + 1;
    let ice = &placed.ice_servers[0];
    assert_eq!(ice.urls, [format!("turn:us-1.test:{shard}?transport=udp")]);
    let user = ice.username.as_deref().unwrap();
    assert_eq!(ice.credential.as_deref().unwrap(), lyceum_wire::turn::password(&lease.turn_secret, user));
    assert!(lyceum_wire::turn::check(user, unix_now() + 3_600).is_ok(), "a session may last");

    let first = mesh.attach("physics", "us-1").await;
    let second = mesh.attach("physics", "eu-1").await;
    assert_eq!(first.home, second.home);
    assert!(second.epoch > first.epoch);
    assert_eq!(second.nodes[1].link_addr, "eu-1.test:4433");
    assert_eq!(mesh.attach("physics", "eu-1").await, second, "again changes nothing");

    let lease = mesh.report("us-1", &[("physics", 7)]).await;
    assert_eq!(lease.rooms, std::slice::from_ref(&second));
    let room: RoomInfo = mesh.ask("GET", "/v1/rooms/physics", "", None).await.ok();
    assert_eq!((room.participants, room.nodes.len(), room.home.as_str()), (7, 2, "us-1"));
    let told: Explanation = mesh.ask("GET", "/v1/rooms/physics/explain", "", None).await.ok();
    assert_eq!(told.chosen.unwrap().as_str(), "us-1");
    assert!(told.reason.contains("7 of the 7 people in the room are in region us"), "{}", told.reason);
    assert_eq!(told.recent.len(), 1);
    let told: Explanation = mesh.ask("GET", "/v1/rooms/physics/explain?region=eu", "", None).await.ok();
    assert_eq!(told.chosen.unwrap().as_str(), "eu-1");

    for _ in 0..2 {
        let gone = mesh.ask("DELETE", "/v1/rooms/physics/nodes/us-1", NODE_SECRET, None).await;
        assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
    }
    let room: RoomInfo = mesh.ask("GET", "/v1/rooms/physics", "", None).await.ok();
    assert_eq!((room.home.as_str(), room.nodes.len()), ("eu-1", 1), "the home moved on");
    assert!(room.epoch > second.epoch);
    mesh.ask("DELETE", "/v1/rooms/physics/nodes/eu-1", NODE_SECRET, None).await;
    assert_eq!(mesh.ask("GET", "/v1/rooms/physics", "", None).await.problem(), (404, "no_room".into()));
    let again = mesh.attach("physics", "eu-1").await;
    assert!(again.epoch > room.epoch, "also when the room ended and began again");
    mesh.handle.stop().await.unwrap();
}

#[tokio::test]
async fn regions_rooms_and_nodes_can_be_looked_at() {
    let mesh = Mesh::open().await;
    assert_eq!(mesh.ask("GET", "/v1/regions", "", None).await.ok::<Regions>().regions, []);
    for node in ["us-1", "eu-1", "eu-2", "eu-3", "eu-4"] {
        mesh.report(node, &[("math", 3)]).await;
    }
    let mut draining = status("asia-1", &[]);
    draining.ready = false;
    mesh.ask("PUT", "/v1/nodes/asia-1", NODE_SECRET, Some(serde_json::to_value(draining).unwrap()))
        .await
        .ok::<NodeLease>();
    let regions: Regions = mesh.ask("GET", "/v1/regions", "", None).await.ok();
    assert!(regions.open);
    let say: Vec<(&str, usize)> = regions.regions.iter().map(|r| (r.region.as_str(), r.probes.len())).collect();
    assert_eq!(say, [("eu", 3), ("us", 1)]);
    assert_eq!(regions.regions[1].probes, ["http://us-1.test:8080/v1/probe"]);
    let nodes: Nodes = mesh.ask("GET", "/v1/nodes", "", None).await.ok();
    assert_eq!(nodes.nodes.len(), 6);
    assert_eq!((nodes.nodes[0].node.as_str(), nodes.nodes[0].ready), ("asia-1", false));
    // All five said that they host it, and nobody ever attached: the reports healed the map.
    let rooms: Rooms = mesh.ask("GET", "/v1/rooms", "", None).await.ok();
    assert_eq!((rooms.rooms.len(), rooms.rooms[0].participants, rooms.rooms[0].home.as_str()), (1, 15, "us-1"));
    let page: Rooms = mesh.ask("GET", "/v1/rooms?after=math&limit=1", "", None).await.ok();
    assert_eq!((page.rooms.len(), page.next), (0, None));
}

#[tokio::test]
async fn every_refusal_has_its_status_and_word() {
    let mesh = Mesh::closed().await;
    mesh.report("eu-1", &[]).await;
    let good = mesh.token("r").await;
    let stranger = Mesh::closed().await.token("r").await;
    let n = serde_json::to_value(status("eu-1", &[])).unwrap();
    let with = |key: &str, value: Value| {
        let mut n = n.clone();
        n[key] = value;
        Some(n)
    };
    let t = |more: Value| {
        let mut body = json!({ "room": "r", "name": "Ana" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Some(body)
    };
    let j = || Some(json!({}));
    let long = "x".repeat(129);
    let regions: BTreeMap<String, f64> = (0..300).map(|i| (format!("r{i}"), 1.0)).collect();
    let cases: Vec<Refused<'_>> = vec![
        ("POST", "/v1/tokens", "", t(json!({})), 401, "unauthorized"),
        ("POST", "/v1/tokens", NODE_SECRET, t(json!({})), 401, "unauthorized"),
        ("POST", "/v1/tokens", API_SECRET, None, 415, "not_json"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "room": "a/b" })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "rooom": "a" })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "name": " " })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "name": "a\nb" })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "identity": long })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "ttl_seconds": 0 })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "ttl_seconds": 86_401 })), 400, "malformed"),
        ("POST", "/v1/tokens", API_SECRET, t(json!({ "name": "x".repeat(70_000) })), 413, "too_large"),
        ("POST", "/v1/rooms/r/join", "", j(), 401, "bad_token"),
        ("POST", "/v1/rooms/r/join", "x.y.z", j(), 401, "bad_token"),
        ("POST", "/v1/rooms/r/join", &stranger, j(), 401, "bad_token"),
        ("POST", "/v1/rooms/s/join", &good, j(), 403, "wrong_room"),
        ("POST", "/v1/rooms/r/join", &good, Some(json!({ "rtt_ms": regions })), 400, "malformed"),
        ("POST", "/v1/rooms/r/join", &good, Some(json!({ "regoin": "eu" })), 400, "malformed"),
        ("POST", "/v1/rooms/a%20b/join", &good, j(), 400, "bad_name"),
        ("GET", "/v1/rooms", "", None, 401, "unauthorized"),
        ("GET", "/v1/rooms/r", "wrong", None, 401, "unauthorized"),
        ("GET", "/v1/rooms/r/explain", "", None, 401, "unauthorized"),
        ("GET", "/v1/nodes", &good, None, 401, "unauthorized"),
        ("GET", "/v1/rooms?limit=0", API_SECRET, None, 400, "malformed"),
        ("GET", "/v1/rooms?limit=x", API_SECRET, None, 400, "malformed"),
        ("GET", "/v1/rooms/nobody", API_SECRET, None, 404, "no_room"),
        ("PUT", "/v1/nodes/eu-1", "", Some(n.clone()), 401, "unauthorized"),
        ("PUT", "/v1/nodes/eu-1", API_SECRET, Some(n.clone()), 401, "unauthorized"),
        ("PUT", "/v1/nodes/Eu-1", NODE_SECRET, Some(n.clone()), 400, "bad_name"),
        ("PUT", "/v1/nodes/eu-1", NODE_SECRET, with("url", json!("ftp://x")), 400, "malformed"),
        ("PUT", "/v1/nodes/eu-1", NODE_SECRET, with("link_addr", json!("nowhere")), 400, "malformed"),
        ("PUT", "/v1/nodes/eu-1", NODE_SECRET, with("turn_urls", json!(["stun:x"])), 400, "malformed"),
        ("PUT", "/v1/nodes/eu-1", NODE_SECRET, with("version", json!("v".repeat(2 << 20))), 413, "too_large"),
        ("POST", "/v1/nodes/eu-1/certificate", NODE_SECRET, Some(json!({ "csr_pem": "no" })), 400, "bad_request"),
        ("POST", "/v1/rooms/r/nodes/eu-9", NODE_SECRET, None, 409, "unknown_node"),
        ("POST", "/v1/rooms/r/nodes/eu-1", "", None, 401, "unauthorized"),
        ("DELETE", "/v1/rooms/r/nodes/eu-1", API_SECRET, None, 401, "unauthorized"),
        ("GET", "/v1/nonsense", "", None, 404, "no_route"),
        ("GET", "/v1/rooms/r/nonsense", "", None, 404, "no_route"),
        ("DELETE", "/v1/tokens", API_SECRET, None, 405, "no_method"),
    ];
    for (method, path, bearer, body, status, code) in cases {
        let answer = mesh.ask(method, path, bearer, body.clone()).await;
        let short = body.map(|b| b.to_string().chars().take(100).collect::<String>());
        assert_eq!(answer.problem(), (status, code.into()), "{method} {path} {short:?}: {}", answer.text);
        assert_eq!(status == 401, answer.headers.contains_key("www-authenticate"), "{method} {path}");
    }
    // And with all in order the same calls pass.
    assert_eq!(mesh.ask("POST", "/v1/rooms/r/join", &good, j()).await.status, 200);
    assert_eq!(mesh.ask("GET", "/v1/rooms", API_SECRET, None).await.status, 200);
}

#[tokio::test]
async fn without_an_edge_a_join_is_told_when_to_try_again() {
    let mesh = Mesh::open().await;
    let token = mesh.token("r").await;
    let answer = mesh.ask("POST", "/v1/rooms/r/join", &token, Some(json!({}))).await;
    assert_eq!(answer.problem(), (503, "no_edge".into()));
    assert!(answer.text.contains("No edge has registered."));
    assert_eq!(answer.headers["retry-after"], "2");
}

#[tokio::test]
async fn a_closed_control_plane_without_a_secret_gives_no_tokens() {
    let mesh = Mesh::with(Config::new(NODE_SECRET)).await;
    let body = json!({ "room": "r", "name": "Ana" });
    assert_eq!(mesh.ask("POST", "/v1/tokens", "guess", Some(body)).await.problem(), (403, "closed".into()));
    assert!(!mesh.ask("GET", "/v1/regions", "", None).await.ok::<Regions>().open);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_nodes_never_do() {
    let mesh = Mesh::with(Config { open: true, rate_per_second: 1, rate_burst: 5, ..Config::new(NODE_SECRET) }).await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = mesh.ask("GET", "/v1/regions", "", None).await;
        if answer.status != 200 {
            assert_eq!(answer.problem(), (429, "too_many".into()));
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
    }
    assert!(refused >= 4, "{refused}");
    for _ in 0..10 {
        mesh.report("eu-1", &[]).await;
    }
}

#[tokio::test]
async fn a_node_gets_a_certificate_over_http() {
    let mesh = Mesh::open().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let path = "/v1/nodes/eu-1/certificate";
    let answer: CertificateAnswer = mesh.ask("POST", path, NODE_SECRET, Some(json!({ "csr_pem": csr }))).await.ok();
    assert!(answer.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_ne!(answer.certificate_pem, answer.ca_pem);
    // rustls takes the pair: the certificate is for that key.
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let chain = vec![CertificateDer::from_pem_slice(answer.certificate_pem.as_bytes()).unwrap()];
    let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    server.with_no_client_auth().with_single_cert(chain, private).unwrap();
}

#[tokio::test]
async fn the_key_set_verifies_what_the_control_plane_signs() {
    let mesh = Mesh::open().await;
    let set: KeySet = mesh.ask("GET", "/v1/keys", "", None).await.ok();
    let key = &set.keys[0];
    assert_eq!(
        (key.kty.as_str(), key.crv.as_str(), key.alg.as_str(), key.usage.as_str()),
        ("OKP", "Ed25519", "EdDSA", "sig")
    );
    let keys = token::keys(&BTreeMap::from([(key.kid.clone(), key.x.clone())]));
    assert!(token::verify(&keys, &mesh.token("r").await, unix_now()).is_ok());
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_all_its_references_lead_somewhere() {
    let mesh = Mesh::open().await;
    let document: Value = mesh.ask("GET", "/v1/openapi.json", "", None).await.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let listed: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
        .collect();
    let wanted = [
        "delete /v1/rooms/{room}/nodes/{node}",
        "get /v1/keys",
        "get /v1/nodes",
        "get /v1/regions",
        "get /v1/rooms",
        "get /v1/rooms/{room}",
        "get /v1/rooms/{room}/explain",
        "post /v1/nodes/{node}/certificate",
        "post /v1/rooms/{room}/join",
        "post /v1/rooms/{room}/nodes/{node}",
        "post /v1/tokens",
        "put /v1/nodes/{node}",
    ];
    assert_eq!(listed, wanted.iter().map(|line| (*line).to_owned()).collect());
    let normative = include_str!("../../docs/protocol/api.md");
    for line in &wanted {
        let (method, path) = line.split_once(' ').unwrap();
        assert!(normative.contains(&format!("{} {path}", method.to_uppercase())), "docs/protocol/api.md lacks {line}");
        let path = path.replace("{room}", "r").replace("{node}", "eu-1");
        let answer = mesh.ask(&method.to_uppercase(), &path, "", None).await;
        assert_ne!(answer.status, 405, "{line}");
        assert!(!answer.text.contains("no_route"), "{line}");
    }
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
    assert!(text.contains("Placement") && text.contains("join_token"));
}

#[tokio::test]
async fn a_page_of_another_origin_may_ask() {
    let mesh = Mesh::open().await;
    let request = mesh.http.request(Method::OPTIONS, format!("{}/v1/rooms/r/join", mesh.handle.url()));
    let request = request
        .header("origin", "https://school.test")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = Answer::read(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let allowed = answer.headers["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"));
    let refused = mesh.http.get(format!("{}/v1/nonsense", mesh.handle.url())).header("origin", "https://school.test");
    let refused = Answer::read(refused.send().await.unwrap()).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "*", "the page can read why it was refused");
}

#[tokio::test]
async fn health_readiness_and_metrics_are_told() {
    let mesh = Mesh::open().await;
    mesh.report("eu-1", &[("r", 4)]).await;
    let token = mesh.token("r").await;
    mesh.ask("POST", "/v1/rooms/r/join", &token, Some(json!({}))).await.ok::<Placement>();
    mesh.ask("POST", "/v1/rooms/r/join", "no", Some(json!({}))).await;
    assert_eq!(mesh.ask("GET", "/healthz", "", None).await.text, "alive\n");
    assert_eq!(mesh.ask("GET", "/readyz", "", None).await.text, "ready\n");
    let metrics = mesh.ask("GET", "/metrics", "", None).await.text;
    for line in [
        "lyceum_control_nodes_ready 1",
        "lyceum_control_rooms 1",
        "lyceum_control_participants 4",
        "lyceum_control_store_up 1",
        "lyceum_control_joins_total{result=\"placed\"} 1",
        "lyceum_control_joins_total{result=\"bad_token\"} 1",
        "lyceum_control_requests_total{route=\"PUT /v1/nodes/{node}\",status=\"200\"} 1",
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_page_beside_the_api_never_answers_for_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config { open: true, ..Config::new(NODE_SECRET) };
    let handle = serve_on(config, listener, |api| api.fallback(|| async { "the page" })).await.unwrap();
    let mesh = Mesh { handle, http: reqwest::Client::new() };
    for path in ["/", "/room/physics", "/assets/x.js"] {
        assert_eq!(mesh.ask("GET", path, "", None).await.text, "the page", "{path}");
    }
    for path in ["/v1/nonsense", "/v1/rooms/r/nonsense/more"] {
        assert_eq!(mesh.ask("GET", path, "", None).await.problem(), (404, "no_route".into()), "{path}");
    }
    assert_eq!(mesh.ask("GET", "/healthz", "", None).await.text, "alive\n");
}

#[tokio::test]
async fn keys_can_be_given_by_file() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    // RFC 8410 §10.3: the example key. Its public half is in §10.1.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let file = folder.join("token.pem");
    std::fs::write(&file, pem).unwrap();
    let config = Config { open: true, token_key_file: Some(file.clone()), ..Config::new(NODE_SECRET) };
    let mesh = Mesh::with(config.clone()).await;
    let set: KeySet = mesh.ask("GET", "/v1/keys", "", None).await.ok();
    assert_eq!(set.keys[0].x, "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
    let again = Mesh::with(config.clone()).await;
    let same: KeySet = again.ask("GET", "/v1/keys", "", None).await.ok();
    assert_eq!(same, set);
    std::fs::write(&file, "not a key").unwrap();
    let error = serve(config).await.err().unwrap();
    assert!(format!("{error:#}").contains("token.pem is not an Ed25519 key"), "{error:#}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_configuration_says_what_is_wrong_with_it() {
    let parse = |text: &str| toml::from_str::<Config>(text);
    let good = parse("node_secret = \"0123456789abcdef\"\nlease = \"6 s\"\n[store]\nkind = \"etcd\"\nendpoints = [\"http://e:2379\"]").unwrap();
    assert!(good.check().is_ok());
    assert_eq!(good.lease.as_secs(), 6);
    assert!(parse("node_secret = \"x\"\nspeling = 1").is_err());
    for (change, wanted) in [
        ("node_secret = \"short\"", "node_secret is too short"),
        ("node_secret = \"0123456789abcdef\"\napi_secret = \"0123456789abcdef\"", "must differ"),
        ("node_secret = \"0123456789abcdef\"\nlease = \"1 s\"", "lease must be"),
        ("node_secret = \"0123456789abcdef\"\nrate_burst = 0", "must not be 0"),
        ("node_secret = \"0123456789abcdef\"\n[store]\nkind = \"etcd\"\nendpoints = []", "at least one etcd"),
        (
            "node_secret = \"0123456789abcdef\"\n[store]\nkind = \"etcd\"\nendpoints = [\"https://e:2379\"]",
            "an https etcd needs store.ca_file",
        ),
    ] {
        let error = parse(change).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
