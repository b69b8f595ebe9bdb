//! The application's door to grants: who may publish changes while they are in the room. `docs/protocol/signal.md`, "Grants".
//!
//! ```text
//!   POST /v1/rooms/{room}/participants/{participant}/grants   bearer token with `moderate`   {"publish":["camera"]} → 204
//! ```
//!
//! Any edge that runs the room takes it, wherever the participant is.

use crate::doors::Doors;
use crate::problem::Problem;
use crate::whip::{answer, ask, bearer, said};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use lyceum_edge_core::door::Command;
use lyceum_wire::id::{ParticipantId, RoomId};
use lyceum_wire::signal::Refusal;
use lyceum_wire::token::GrantChange;
use std::sync::Arc;

/// Longest body, in bytes: a change that names everything there is has a tenth of it.
pub(crate) const BODY_BYTES_MAX: usize = 4 * 1024;

/// `POST /v1/rooms/{room}/participants/{participant}/grants`.
pub(crate) async fn grants(
    State(doors): State<Arc<Doors>>,
    Path((room, participant)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(&doors, change(&doors, &room, &participant, &headers, body).await)
}

async fn change(
    doors: &Doors,
    room: &str,
    participant: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let malformed = |error: String| Problem::refused(Refusal::Malformed, error);
    let room = RoomId::parse(room).map_err(|error| malformed(error.to_string()))?;
    let participant = ParticipantId::parse(participant).map_err(|error| malformed(error.to_string()))?;
    let claims = doors.keys.verify(bearer(headers)?)?;
    if claims.room != room {
        return Err(Problem::refused(Refusal::WrongRoom, "the token opens another room"));
    }
    if !claims.grants.moderate {
        return Err(Problem::refused(Refusal::NotAllowed, "the token does not allow to change grants"));
    }
    let body =
        body.map_err(|_| Problem::refused(Refusal::TooLarge, format!("a body may have {BODY_BYTES_MAX} bytes")))?;
    let change: GrantChange = serde_json::from_slice(&body).map_err(|error| malformed(error.to_string()))?;
    let shard = doors.shard_of(&room);
    said(ask(doors, shard, |request| Command::Grant { request, room, participant, change }).await?)
}
