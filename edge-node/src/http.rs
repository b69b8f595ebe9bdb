//! All HTTP paths of an edge, in one place.

use crate::doors::Doors;
use crate::mesh::Links;
use crate::{grants, metrics, signal, whip};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tower_http::cors::{Any, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// A browser may remember what it may send here for this long.
const PREFLIGHT_SECONDS: u64 = 3_600;

/// What the paths speak about.
#[derive(Debug, Clone)]
pub(crate) struct At {
    pub(crate) doors: Arc<Doors>,
    pub(crate) links: Links,
}

impl FromRef<At> for Arc<Doors> {
    fn from_ref(at: &At) -> Self {
        at.doors.clone()
    }
}

/// The edge's doors for clients and operators.
pub(crate) fn router(at: At) -> Router {
    let media = Router::new()
        .route("/v1/whip/{room}", post(whip::whip))
        .route("/v1/whep/{room}", post(whip::whep))
        .route("/v1/whip/{room}/{secret}", patch(whip::patch).delete(whip::delete))
        .route("/v1/whep/{room}/{secret}", patch(whip::patch).delete(whip::delete))
        .layer(DefaultBodyLimit::max(whip::BODY_BYTES_MAX));
    let people = Router::new()
        .route("/v1/rooms/{room}/participants/{participant}/grants", post(grants::grants))
        .layer(DefaultBodyLimit::max(grants::BODY_BYTES_MAX));
    Router::new()
        .merge(media)
        .merge(people)
        .route("/v1/signal", get(signal::signal))
        .route("/v1/probe", get(probe))
        .layer(cors())
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(at)
}

/// Any page may speak to an edge: it is let in by a bearer token that it has to send itself, never by a cookie that
/// a browser adds, so another origin's page gains nothing.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH])
        .expose_headers([header::LOCATION, header::ETAG, header::LINK])
        .max_age(Duration::from_secs(PREFLIGHT_SECONDS))
}

/// How far away is this edge? `docs/protocol/api.md`.
async fn probe() -> Response {
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static("timing-allow-origin"), HeaderValue::from_static("*")),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Ready: it can let somebody in. Alive is another question (`/healthz`): an edge whose control plane is away from
/// the start must not be restarted for that.
async fn ready(State(doors): State<Arc<Doors>>) -> Response {
    if doors.stopping.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "about to stop\n").into_response()
    } else if doors.keys.any() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "has not heard from the control plane yet\n").into_response()
    }
}
