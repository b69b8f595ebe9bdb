//! A control plane that does as it is told.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use lyceum_relay::certificates::Authority;
use lyceum_wire::api::{CertificateAnswer, CertificateRequest, NodeAddress, NodeLease, NodeStatus, Problem, RoomMap};
use lyceum_wire::id::{NodeId, Region, RoomId};
use lyceum_wire::token::{AUDIENCE, Claims, Grants, Signer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) const NODE_SECRET: &str = "a-secret-of-nodes-0123456789";
/// No test waits longer for anything; nothing takes a tenth of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Plane {
    pub(crate) url: String,
    pub(crate) state: Arc<watch::Sender<Memory>>,
    signer: Signer,
}

/// What it knows, and what it was told.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    /// Answers everything with 503.
    pub(crate) down: bool,
    pub(crate) keys: BTreeMap<String, String>,
    pub(crate) status: Option<NodeStatus>,
    pub(crate) reports: u64,
    pub(crate) certificates: u64,
    pub(crate) forgotten: bool,
    pub(crate) attached: BTreeMap<RoomId, RoomMap>,
    pub(crate) attaches: u64,
    pub(crate) detaches: Vec<RoomId>,
    pub(crate) epoch: u64,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        let signer = signer(1);
        let keys = BTreeMap::from([(signer.id().to_owned(), signer.public().to_text())]);
        let state = Arc::new(watch::Sender::new(Memory { keys, ..Memory::default() }));
        let shared = Shared { state: state.clone(), authority: Arc::new(Authority::generate().unwrap()) };
        let app = Router::new()
            .route("/v1/nodes/{node}", put(report).delete(forget))
            .route("/v1/nodes/{node}/certificate", post(certificate))
            .route("/v1/rooms/{room}/nodes/{node}", post(attach).delete(detach))
            .layer(axum::middleware::from_fn_with_state(shared.clone(), door))
            .with_state(shared);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state, signer }
    }

    /// A good token.
    pub(crate) fn token(&self, room: &str, name: &str) -> String {
        self.signer.mint(&claims(room, name, 3_600)).unwrap()
    }

    /// A host's: may change what others may do.
    pub(crate) fn host(&self, room: &str, name: &str) -> String {
        self.signer.mint(&Claims { grants: Grants::moderator(), ..claims(room, name, 3_600) }).unwrap()
    }

    /// One whose time was over `ago` seconds ago.
    pub(crate) fn expired(&self, room: &str) -> String {
        self.signer.mint(&claims(room, "Late", -60)).unwrap()
    }

    /// One that another mesh signed.
    pub(crate) fn foreign(&self, room: &str) -> String {
        signer(2).mint(&claims(room, "Eve", 3_600)).unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Memory)) {
        self.state.send_modify(change);
    }

    /// Waits until what it was told makes this true.
    pub(crate) async fn until(&self, what: &str, is: impl FnMut(&Memory) -> bool) -> Memory {
        let mut seen = self.state.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(is)).await;
        waited.unwrap_or_else(|_| panic!("it never came that {what}")).unwrap().clone()
    }
}

fn signer(of: u8) -> Signer {
    Signer::from_seed(&[of; 32]).unwrap()
}

fn claims(room: &str, name: &str, seconds: i64) -> Claims {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Claims {
        aud: AUDIENCE.into(),
        sub: name.to_lowercase(),
        name: name.into(),
        room: RoomId::parse(room).unwrap(),
        grants: Grants::participant(),
        nbf: now - 3_600,
        exp: now.saturating_add_signed(seconds),
    }
}

#[derive(Clone)]
struct Shared {
    state: Arc<watch::Sender<Memory>>,
    authority: Arc<Authority>,
}

async fn door(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let secret = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if secret != format!("Bearer {NODE_SECRET}") {
        return problem(StatusCode::UNAUTHORIZED);
    }
    if shared.state.borrow().down {
        return problem(StatusCode::SERVICE_UNAVAILABLE);
    }
    next.run(request).await
}

fn problem(status: StatusCode) -> Response {
    let body = Problem { code: "as_told".into(), message: "the test wants it so".into() };
    (status, Json(body)).into_response()
}

async fn report(State(shared): State<Shared>, Json(status): Json<NodeStatus>) -> Json<NodeLease> {
    shared.state.send_modify(|memory| {
        memory.status = Some(status);
        memory.reports += 1;
        memory.forgotten = false;
    });
    let memory = shared.state.borrow();
    Json(NodeLease {
        lease_ms: 900,
        token_keys: memory.keys.clone(),
        turn_secret: "turn".into(),
        rooms: memory.attached.values().cloned().collect(),
    })
}

async fn forget(State(shared): State<Shared>) -> StatusCode {
    shared.state.send_modify(|memory| memory.forgotten = true);
    StatusCode::NO_CONTENT
}

async fn certificate(
    State(shared): State<Shared>,
    Path(node): Path<NodeId>,
    Json(request): Json<CertificateRequest>,
) -> Json<CertificateAnswer> {
    shared.state.send_modify(|memory| memory.certificates += 1);
    let certificate_pem = shared.authority.sign(&node, &request.csr_pem).unwrap();
    Json(CertificateAnswer { certificate_pem, ca_pem: shared.authority.ca_pem().to_owned() })
}

async fn attach(State(shared): State<Shared>, Path((room, node)): Path<(RoomId, NodeId)>) -> Json<RoomMap> {
    let mut map = None;
    shared.state.send_modify(|memory| {
        memory.epoch += 1;
        memory.attaches += 1;
        let link_addr = "127.0.0.1:9".to_owned();
        let address = NodeAddress { node: node.clone(), region: Region::parse("eu").unwrap(), link_addr };
        let said = RoomMap { room: room.clone(), epoch: memory.epoch, home: node, nodes: vec![address] };
        memory.attached.insert(room, said.clone());
        map = Some(said);
    });
    Json(map.unwrap())
}

async fn detach(State(shared): State<Shared>, Path((room, _)): Path<(RoomId, NodeId)>) -> StatusCode {
    shared.state.send_modify(|memory| {
        memory.attached.remove(&room);
        memory.detaches.push(room);
    });
    StatusCode::NO_CONTENT
}
