//! What nodes call: reports, certificates, rooms they host.

use super::door::{self, Body, Failure, Named};
use crate::keys::dns_name;
use crate::state::{State, unix_now};
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use lyceum_wire::api::{CertificateAnswer, CertificateRequest, NodeLease, NodeStatus, Problem, RoomMap};
use lyceum_wire::id::{NodeId, RoomId};
use std::collections::BTreeMap;

/// Longest URL or address of a node, in bytes.
const ADDRESS_BYTES_MAX: usize = 256;
/// Most shards of a node, each with one TURN URL: the link's alias has 8 bits for the shard.
const SHARDS_MAX: usize = 256;
/// Longest certificate request, in bytes of PEM: one with a 4096-bit RSA key has 1.7 kB.
const CSR_BYTES_MAX: usize = 8 << 10;

/// A node says that it lives and how it is. Registers at the first call; the node is gone when it is silent for a lease.
#[utoipa::path(put, path = "/v1/nodes/{node}", tag = "nodes", request_body = NodeStatus, security(("node_secret" = [])),
    params(("node" = String, Path, description = "The node's id; must be fit for a DNS name.")),
    responses(
        (status = 200, description = "Its lease, the keys, the maps of its rooms.", body = NodeLease),
        (status = 400, description = "`malformed` or `bad_name`.", body = Problem),
        (status = 401, description = "`unauthorized`.", body = Problem),
        (status = 503, description = "`starting`.", body = Problem)
    ))]
pub(crate) async fn report(
    Shared(state): Shared<State>,
    Named(node): Named<NodeId>,
    Body(status): Body<NodeStatus>,
) -> Result<Json<NodeLease>, Failure> {
    fit(&node)?;
    check(&status).map_err(Failure::malformed)?;
    let keys = door::keys(&state)?;
    state.inner.report(&node, status).await;
    let token_keys: BTreeMap<String, String> =
        keys.public.iter().map(|(id, key)| (id.clone(), key.to_text())).collect();
    let lease_ms = u64::try_from(state.inner.config.lease.as_millis()).unwrap_or(u64::MAX);
    let rooms = state.inner.directory().maps_of(&node);
    Ok(Json(NodeLease { lease_ms, token_keys, turn_secret: keys.turn_secret.clone(), rooms }))
}

/// Signs a certificate for the node's links.
#[utoipa::path(post, path = "/v1/nodes/{node}/certificate", tag = "nodes", request_body = CertificateRequest,
    params(("node" = String, Path, description = "The node's id.")), security(("node_secret" = [])),
    responses(
        (status = 200, description = "The certificate, good for a day, and the authority's.", body = CertificateAnswer),
        (status = 400, description = "`bad_request`: not a certificate request, or not signed by its key; `bad_name`.", body = Problem),
        (status = 401, description = "`unauthorized`.", body = Problem),
        (status = 503, description = "`starting`.", body = Problem)
    ))]
pub(crate) async fn certificate(
    Shared(state): Shared<State>,
    Named(node): Named<NodeId>,
    Body(request): Body<CertificateRequest>,
) -> Result<Json<CertificateAnswer>, Failure> {
    fit(&node)?;
    let keys = door::keys(&state)?;
    if request.csr_pem.len() > CSR_BYTES_MAX {
        return Err(Failure::malformed(format!("`csr_pem` may have {CSR_BYTES_MAX} bytes.")));
    }
    let signed = keys.ca.sign(&node, &request.csr_pem, unix_now());
    let wrong = |error: anyhow::Error| {
        Failure::new(StatusCode::BAD_REQUEST, "bad_request", format!("No certificate: {error:#}."))
    };
    let certificate_pem = signed.map_err(wrong)?;
    tracing::info!(%node, "signed a node's certificate");
    Ok(Json(CertificateAnswer { certificate_pem, ca_pem: keys.ca.certificate_pem().to_owned() }))
}

/// The node hosts the room from now on. Saying it again changes nothing.
#[utoipa::path(post, path = "/v1/rooms/{room}/nodes/{node}", tag = "nodes", security(("node_secret" = [])),
    params(("room" = String, Path, description = "The room."), ("node" = String, Path, description = "The node.")),
    responses(
        (status = 200, description = "The room's map, with the node in it.", body = RoomMap),
        (status = 401, description = "`unauthorized`.", body = Problem),
        (status = 409, description = "`unknown_node`: it has to report first; `room_full`.", body = Problem),
        (status = 503, description = "`store_away`: go on hosting and try again; `contended`.", body = Problem)
    ))]
pub(crate) async fn attach(
    Shared(state): Shared<State>,
    Named((room, node)): Named<(RoomId, NodeId)>,
) -> Result<Json<RoomMap>, Failure> {
    let map = state.inner.attach(&room, &node).await?;
    let unknown = || Failure::new(StatusCode::CONFLICT, "unknown_node", format!("Node {node} has to report first."));
    map.map(Json).ok_or_else(unknown)
}

/// The node no longer hosts the room. Saying it again changes nothing.
#[utoipa::path(delete, path = "/v1/rooms/{room}/nodes/{node}", tag = "nodes", security(("node_secret" = [])),
    params(("room" = String, Path, description = "The room."), ("node" = String, Path, description = "The node.")),
    responses(
        (status = 204, description = "It is so."),
        (status = 401, description = "`unauthorized`.", body = Problem),
        (status = 503, description = "`store_away`, `contended`: try again, or report without the room.", body = Problem)
    ))]
pub(crate) async fn detach(
    Shared(state): Shared<State>,
    Named((room, node)): Named<(RoomId, NodeId)>,
) -> Result<StatusCode, Failure> {
    state.inner.detach(&room, &node).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn fit(node: &NodeId) -> Result<(), Failure> {
    let wrong = |error: anyhow::Error| Failure::new(StatusCode::BAD_REQUEST, "bad_name", format!("{error}."));
    dns_name(node).map(|_| ()).map_err(wrong)
}

/// What is wrong with a report, if anything: other nodes and clients will act on it.
fn check(status: &NodeStatus) -> Result<(), String> {
    let address = |text: &str| text.len() <= ADDRESS_BYTES_MAX && !text.contains(|c: char| c.is_control() || c == ' ');
    if !(address(&status.url) && (status.url.starts_with("http://") || status.url.starts_with("https://"))) {
        return Err("`url` must be an http or https URL of at most 256 bytes.".into());
    }
    let port = status.link_addr.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if !address(&status.link_addr) || port.is_none_or(|port| port == 0) {
        return Err("`link_addr` must be host:port.".into());
    }
    let turn = |url: &String| address(url) && (url.starts_with("turn:") || url.starts_with("turns:"));
    if status.turn_urls.len() > SHARDS_MAX || !status.turn_urls.iter().all(turn) {
        return Err(format!("`turn_urls` must be at most {SHARDS_MAX} turn: URLs."));
    }
    if status.version.len() > ADDRESS_BYTES_MAX {
        return Err("`version` is too long.".into());
    }
    if !status.load.cpu.is_finite() || status.load.cpu < 0.0 {
        return Err("`load.cpu` must be 0 or more.".into());
    }
    Ok(())
}
