//! Looking at the mesh: rooms, nodes, why somebody was placed where; health and metrics.

use super::door::{Application, Asked, Failure, Named};
use crate::state::{Followed, State};
use axum::Json;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use lyceum_wire::api::{Explanation, JoinRequest, Nodes, Problem, RoomInfo, Rooms};
use lyceum_wire::id::{Region, RoomId};
use serde::Deserialize;
use std::time::Instant;

/// Rooms in one answer when nothing else was asked for.
const ROOMS: usize = 100;
/// Most rooms in one answer: some 300 kB.
const ROOMS_MAX: usize = 1_000;

/// Which rooms.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// Only rooms after this one, by name.
    #[param(value_type = Option<String>)]
    after: Option<RoomId>,
    /// At most so many, 1 to 1,000; 100 when absent.
    limit: Option<usize>,
}

/// Rooms that somebody hosts, page by page.
#[utoipa::path(get, path = "/v1/rooms", tag = "operators", params(Page), security(("api_secret" = []), ()),
    responses(
        (status = 200, description = "Rooms by name.", body = Rooms),
        (status = 400, description = "`malformed`.", body = Problem),
        (status = 401, description = "`unauthorized`.", body = Problem)
    ))]
pub(crate) async fn rooms(
    Shared(state): Shared<State>,
    _: Application,
    Asked(page): Asked<Page>,
) -> Result<Json<Rooms>, Failure> {
    let limit = page.limit.unwrap_or(ROOMS);
    if !(1..=ROOMS_MAX).contains(&limit) {
        return Err(Failure::malformed(format!("`limit` must be 1 to {ROOMS_MAX}.")));
    }
    Ok(Json(state.inner.directory().rooms(page.after.as_ref(), limit)))
}

/// One room.
#[utoipa::path(get, path = "/v1/rooms/{room}", tag = "operators", security(("api_secret" = []), ()),
    params(("room" = String, Path, description = "The room.")),
    responses(
        (status = 200, description = "The room.", body = RoomInfo),
        (status = 401, description = "`unauthorized`.", body = Problem),
        (status = 404, description = "`no_room`: nobody hosts it.", body = Problem)
    ))]
pub(crate) async fn room(
    Shared(state): Shared<State>,
    _: Application,
    Named(room): Named<RoomId>,
) -> Result<Json<RoomInfo>, Failure> {
    let info = state.inner.directory().room(&room);
    info.map(Json)
        .ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "no_room", "Nobody hosts this room at the moment."))
}

/// A wish to explain.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wished {
    /// As if the participant wished for this region.
    #[param(value_type = Option<String>)]
    region: Option<Region>,
}

/// Where the next participant would go and why, and where the last ones went. Changes nothing.
#[utoipa::path(get, path = "/v1/rooms/{room}/explain", tag = "operators", security(("api_secret" = []), ()),
    params(("room" = String, Path, description = "The room."), Wished),
    responses(
        (status = 200, description = "The explanation.", body = Explanation),
        (status = 401, description = "`unauthorized`.", body = Problem)
    ))]
pub(crate) async fn explain(
    Shared(state): Shared<State>,
    _: Application,
    Named(room): Named<RoomId>,
    Asked(wished): Asked<Wished>,
) -> Result<Json<Explanation>, Failure> {
    let request = JoinRequest { region: wished.region, ..JoinRequest::default() };
    Ok(Json(state.inner.directory().explain(&room, &request, Instant::now())))
}

/// All registered nodes.
#[utoipa::path(get, path = "/v1/nodes", tag = "operators", security(("api_secret" = []), ()),
    responses(
        (status = 200, description = "Nodes by name.", body = Nodes),
        (status = 401, description = "`unauthorized`.", body = Problem)
    ))]
pub(crate) async fn nodes(Shared(state): Shared<State>, _: Application) -> Result<Json<Nodes>, Failure> {
    Ok(Json(Nodes { nodes: state.inner.directory().nodes(Instant::now()) }))
}

/// Ready: it has keys and has seen the store once, so it can answer joins. It stays ready while the store is away: were
/// all control planes to call themselves unready then, nobody could join anything.
pub(crate) async fn ready(Shared(state): Shared<State>) -> Result<&'static str, Failure> {
    match state.inner.followed() {
        Followed::Never => Err(Failure::not_ready()),
        Followed::Now => Ok("ready\n"),
        Followed::Lost => Ok("ready, from the last good state: the store is away\n"),
    }
}

/// Prometheus.
pub(crate) async fn metrics(Shared(state): Shared<State>) -> impl IntoResponse {
    let count = state.inner.directory().count(Instant::now());
    let text = state.inner.metrics.text(count, state.inner.followed() == Followed::Now);
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text)
}
