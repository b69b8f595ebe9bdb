//! What a client needs to get into a room: a token, the regions, a place.

use super::door::{self, Application, Body, Failure, Named, bearer};
use crate::state::{State, unix_now};
use axum::Json;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use lyceum_wire::api::{IceServer, JoinRequest, Key, KeySet, Placement, Problem, Regions, TokenAnswer, TokenRequest};
use lyceum_wire::id::RoomId;
use lyceum_wire::signal::Refusal;
use lyceum_wire::token::{AUDIENCE, Claims, Grants, TEXT_BYTES_MAX, verify_for};
use lyceum_wire::turn;
use std::time::{Duration, Instant};

/// A token opens doors for this long when nothing else was asked for, in seconds: a lesson.
const TTL_SECONDS: u64 = 3_600;
/// Longest time a token may open doors, in seconds: a day.
const TTL_SECONDS_MAX: u64 = 86_400;
/// TURN credentials hold this long, in seconds: a session that began may go on over TURN for half a day.
const TURN_TTL_SECONDS: u64 = 12 * 3_600;
/// Regions and nodes that one join may name: more is not a client's measurement.
const WISHES_MAX: usize = 256;

/// Gives out a join token.
#[utoipa::path(post, path = "/v1/tokens", tag = "clients", request_body = TokenRequest, security(("api_secret" = []), ()),
    responses(
        (status = 200, description = "A token.", body = TokenAnswer),
        (status = 400, description = "`malformed`: not a token request, or a bound was passed.", body = Problem),
        (status = 401, description = "`unauthorized`: the API secret is missing or wrong.", body = Problem),
        (status = 403, description = "`closed`: there is no API secret, so nobody gets tokens here.", body = Problem),
        (status = 429, description = "`too_many` requests from this address.", body = Problem),
        (status = 503, description = "`starting`: the keys are not loaded yet.", body = Problem)
    ))]
pub(crate) async fn token(
    Shared(state): Shared<State>,
    _: Application,
    Body(request): Body<TokenRequest>,
) -> Result<Json<TokenAnswer>, Failure> {
    let keys = door::keys(&state)?;
    let name = request.name.trim();
    let fits = |text: &str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    if !fits(name) {
        return Err(Failure::malformed(format!(
            "`name` must have 1 to {TEXT_BYTES_MAX} bytes and no control characters."
        )));
    }
    let identity = request.identity.unwrap_or_else(|| format!("guest-{:016x}", rand::random::<u64>()));
    if !fits(&identity) {
        return Err(Failure::malformed(format!(
            "`identity` must have 1 to {TEXT_BYTES_MAX} bytes and no control characters."
        )));
    }
    let ttl = request.ttl_seconds.unwrap_or(TTL_SECONDS);
    if !(1..=TTL_SECONDS_MAX).contains(&ttl) {
        return Err(Failure::malformed(format!("`ttl_seconds` must be 1 to {TTL_SECONDS_MAX}.")));
    }
    let mut grants = request.grants.unwrap_or_else(Grants::participant);
    grants.publish.sort_unstable();
    grants.publish.dedup();
    let now = unix_now();
    let claims = Claims {
        aud: AUDIENCE.into(),
        sub: identity,
        name: name.into(),
        room: request.room,
        grants,
        nbf: now,
        exp: now + ttl,
    };
    let failed = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The token could not be signed.");
    Ok(Json(TokenAnswer { token: keys.signer.mint(&claims).map_err(failed)?, expires_at: claims.exp }))
}

/// Says which edge to connect to. Answered from memory: it goes on while the store is away.
#[utoipa::path(post, path = "/v1/rooms/{room}/join", tag = "clients", request_body = JoinRequest,
    params(("room" = String, Path, description = "The room.")), security(("join_token" = [])),
    responses(
        (status = 200, description = "The edge.", body = Placement),
        (status = 400, description = "`malformed` or `bad_name`.", body = Problem),
        (status = 401, description = "`bad_token` or `expired_token`.", body = Problem),
        (status = 403, description = "`wrong_room`: the token opens another one.", body = Problem),
        (status = 429, description = "`too_many` requests from this address.", body = Problem),
        (status = 503, description = "`no_edge` can take anybody, or `starting`.", body = Problem)
    ))]
pub(crate) async fn join(
    Shared(state): Shared<State>,
    Named(room): Named<RoomId>,
    headers: HeaderMap,
    Body(request): Body<JoinRequest>,
) -> Result<Json<Placement>, Failure> {
    let placed = place(&state, &room, &headers, &request);
    let result = if let Err(failure) = &placed { failure.code() } else { "placed" };
    state.inner.metrics.joins.with_label_values(&[result]).inc();
    placed.map(Json)
}

fn place(state: &State, room: &RoomId, headers: &HeaderMap, request: &JoinRequest) -> Result<Placement, Failure> {
    let keys = door::keys(state)?;
    let now = unix_now();
    verify_for(&keys.public, bearer(headers).unwrap_or_default(), room, now).map_err(|error| {
        let (status, code) = match error.refusal() {
            Refusal::ExpiredToken => (StatusCode::UNAUTHORIZED, "expired_token"),
            Refusal::WrongRoom => (StatusCode::FORBIDDEN, "wrong_room"),
            _ => (StatusCode::UNAUTHORIZED, "bad_token"),
        };
        Failure::new(status, code, format!("You cannot join: {error}."))
    })?;
    if request.rtt_ms.len() > WISHES_MAX || request.avoid.len() > WISHES_MAX {
        return Err(Failure::malformed(format!("`rtt_ms` and `avoid` may name {WISHES_MAX} each.")));
    }
    let placed = state.inner.directory().place(room, request, Instant::now());
    let choice = placed.map_err(|none| {
        let none = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "no_edge", none.to_string());
        none.retry_after(Duration::from_secs(2))
    })?;
    let ice_servers = choice.turn_url.map(|url| {
        let credential = turn::credential(&keys.turn_secret, room, now + TURN_TTL_SECONDS);
        IceServer { urls: vec![url], username: Some(credential.username), credential: Some(credential.password) }
    });
    tracing::debug!(%room, node = %choice.edge.node, reason = choice.reason, "placed");
    Ok(Placement {
        room: room.clone(),
        edge: choice.edge,
        ice_servers: ice_servers.into_iter().collect(),
        reason: choice.reason,
    })
}

/// The regions one can join in, with probes to measure the way to them.
#[utoipa::path(get, path = "/v1/regions", tag = "clients",
    responses((status = 200, description = "The regions that have a ready edge.", body = Regions)))]
pub(crate) async fn regions(Shared(state): Shared<State>) -> Json<Regions> {
    let regions = state.inner.directory().regions(Instant::now());
    Json(Regions { regions, open: state.inner.config.open })
}

/// The public keys of join tokens.
#[utoipa::path(get, path = "/v1/keys", tag = "clients",
    responses(
        (status = 200, description = "A JSON Web Key Set.", body = KeySet),
        (status = 503, description = "`starting`: the keys are not loaded yet.", body = Problem)
    ))]
pub(crate) async fn keys(Shared(state): Shared<State>) -> Result<Json<KeySet>, Failure> {
    let keys = door::keys(&state)?;
    let key = |(id, public): (&String, &lyceum_wire::token::PublicKey)| Key {
        kty: "OKP".into(),
        crv: "Ed25519".into(),
        usage: "sig".into(),
        alg: "EdDSA".into(),
        kid: id.clone(),
        x: public.to_text(),
    };
    Ok(Json(KeySet { keys: keys.public.iter().map(key).collect() }))
}
