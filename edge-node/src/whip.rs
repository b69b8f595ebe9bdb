//! The HTTP doors of media: WHIP (RFC 9725) takes a publisher, WHEP (draft-ietf-wish-whep) a player.
//!
//! ```text
//!   POST   /v1/whip/{room}           offer, bearer token  → 201, Location, ETag, answer
//!   PATCH  /v1/whip/{room}/{secret}  trickle-ice-sdpfrag  → 204, or 200 with an ICE restart
//!   DELETE /v1/whip/{room}/{secret}                       → 200
//! ```
//!
//! The resource's last segment is a secret of 160 bits: whoever knows it may change or end the session (RFC 9725 §5).
//! Answers are complete, so a publisher need not trickle anything to be heard.

use crate::counters::Counters;
use crate::doors::Doors;
use crate::keys::Rejected;
use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lyceum_edge_core::door::{Command, HttpOutcome, RequestId, Secret};
use lyceum_wire::id::RoomId;
use lyceum_wire::signal::{MESSAGE_BYTES_MAX, Refusal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest body, in bytes: an SDP may be as large here as by WebSocket.
pub(crate) const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// A shard answers within microseconds, or when another edge has answered it or has not for five seconds; one that did not in
/// this time is stuck.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(6);

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Which of the two doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// A publisher comes in.
    Whip,
    /// A player comes in.
    Whep,
}

/// `POST /v1/whip/{room}`.
pub(crate) async fn whip(
    State(doors): State<Arc<Doors>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(&doors, create(&doors, Way::Whip, &room, &headers, body).await)
}

/// `POST /v1/whep/{room}`.
pub(crate) async fn whep(
    State(doors): State<Arc<Doors>>,
    Path(room): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(&doors, create(&doors, Way::Whep, &room, &headers, body).await)
}

/// `PATCH` of either's resource.
pub(crate) async fn patch(
    State(doors): State<Arc<Doors>>,
    Path((_, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    answer(&doors, change(&doors, secret, &headers, body).await)
}

/// `DELETE` of either's resource.
pub(crate) async fn delete(State(doors): State<Arc<Doors>>, Path((_, secret)): Path<(String, String)>) -> Response {
    answer(&doors, end(&doors, secret).await)
}

async fn create(
    doors: &Doors,
    way: Way,
    room: &str,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if doors.stopping.load(Ordering::Relaxed) {
        return Err(Problem::refused(Refusal::Full, "this edge is about to stop: use another"));
    }
    let room = RoomId::parse(room).map_err(|error| Problem::refused(Refusal::Malformed, error.to_string()))?;
    let claims = doors.keys.verify(bearer(headers)?)?;
    if claims.room != room {
        return Err(Problem::refused(Refusal::WrongRoom, "the token opens another room"));
    }
    let sdp = body_text(headers, SDP, body)?;
    let (shard, entry) = doors.entry(claims);
    let secret = entry.secret.0.clone();
    let outcome = ask(doors, shard, |request| match way {
        Way::Whip => Command::Whip { request, entry, sdp },
        Way::Whep => Command::Whep { request, entry, sdp },
    })
    .await?;
    let HttpOutcome::Created { sdp, etag } = outcome else { return said(outcome) };
    let door = match way {
        Way::Whip => "whip",
        Way::Whep => "whep",
    };
    let location = format!("{}/v1/{door}/{room}/{secret}", doors.url);
    let headers = [
        (header::CONTENT_TYPE, SDP.to_owned()),
        (header::LOCATION, location),
        (header::ETAG, quoted(&etag)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((StatusCode::CREATED, headers, sdp).into_response())
}

async fn change(
    doors: &Doors,
    secret: String,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let shard = doors.shard_of_secret(&secret).ok_or_else(not_found)?;
    let fragment = body_text(headers, FRAGMENT, body)?;
    let resource = Secret(secret);
    let outcome = ask(doors, shard, |request| Command::HttpPatch { request, resource, fragment }).await?;
    said(outcome)
}

async fn end(doors: &Doors, secret: String) -> Result<Response, Problem> {
    let shard = doors.shard_of_secret(&secret).ok_or_else(not_found)?;
    let resource = Secret(secret);
    said(ask(doors, shard, |request| Command::HttpDelete { request, resource }).await?)
}

/// Asks a shard and waits for its answer.
pub(crate) async fn ask(
    doors: &Doors,
    shard: usize,
    command: impl FnOnce(RequestId) -> Command,
) -> Result<HttpOutcome, Problem> {
    let full = || Problem::refused(Refusal::Full, "too many requests wait already: try again");
    let mut question = doors.requests.ask().ok_or_else(full)?;
    let stuck = || Problem::refused(Refusal::Internal, "this part of the edge does not answer: try again");
    if !doors.command(shard, command(question.id)).await {
        return Err(stuck());
    }
    match tokio::time::timeout(ANSWER_TIME_MAX, &mut question.answer).await {
        Ok(Ok(outcome)) => Ok(outcome),
        _ => Err(stuck()),
    }
}

pub(crate) fn said(outcome: HttpOutcome) -> Result<Response, Problem> {
    match outcome {
        HttpOutcome::NoContent => Ok(StatusCode::NO_CONTENT.into_response()),
        HttpOutcome::Deleted => Ok(StatusCode::OK.into_response()),
        HttpOutcome::Restarted { fragment, etag } => {
            let headers = [(header::CONTENT_TYPE, FRAGMENT.to_owned()), (header::ETAG, quoted(&etag))];
            Ok((StatusCode::OK, headers, fragment).into_response())
        }
        HttpOutcome::NotFound => Err(not_found()),
        HttpOutcome::Refused { code, message } => Err(Problem::refused(code, message)),
        HttpOutcome::Created { .. } => Err(Problem::refused(Refusal::Internal, "an answer to another question")),
    }
}

pub(crate) fn answer(doors: &Doors, result: Result<Response, Problem>) -> Response {
    Counters::add(&doors.counters.http_requests);
    result.unwrap_or_else(|problem| {
        tracing::debug!(code = problem.code(), "request refused");
        problem.into_response()
    })
}

pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match value.split_once(' ') {
        // RFC 9110 §11.1: the scheme's name has no case.
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Problem::refused(Refusal::BadToken, "the join token is wanted: Authorization: Bearer …")),
    }
}

fn body_text(headers: &HeaderMap, kind: &str, body: Result<Bytes, BytesRejection>) -> Result<String, Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim();
    if !said.eq_ignore_ascii_case(kind) {
        let message = format!("the body must be {kind}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "malformed", message));
    }
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::refused(Refusal::TooLarge, format!("a body may have {BODY_BYTES_MAX} bytes"))
        }
        _ => Problem::refused(Refusal::Malformed, "the body did not arrive"),
    })?;
    String::from_utf8(body.into()).map_err(|_| Problem::refused(Refusal::Malformed, "the body is not UTF-8"))
}

/// RFC 9110 §8.8.3: an entity tag is a quoted string.
fn quoted(etag: &str) -> String {
    format!("\"{}\"", etag.replace(['"', '\\'], ""))
}

fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such session; it may have ended")
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Self {
        Self::refused(rejected.code, rejected.message)
    }
}
