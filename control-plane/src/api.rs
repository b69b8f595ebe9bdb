//! The HTTP API. Normative: `docs/protocol/api.md`; for machines: `GET /v1/openapi.json`, made from the handlers here.

mod client;
mod door;
mod look;
mod node;

use crate::state::State;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State as Shared};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use door::Failure;
use std::time::{Duration, Instant};
use tower_http::cors::{Any, CorsLayer};
use tracing::Instrument;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Largest body taken from clients and applications, in bytes: a join with round-trip times of 500 regions fits.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body taken from nodes, in bytes: a report of 10,000 rooms with the longest names fits.
pub(crate) const NODE_BODY_BYTES_MAX: usize = 1 << 20;

/// How browsers may remember that the API may be asked from any page.
const CORS_AGE: Duration = Duration::from_secs(24 * 3600);

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lyceum control plane",
        description = "Join tokens, placement of participants, rooms, nodes. Every answer outside 2xx has a Problem as body."
    ),
    tags(
        (name = "clients", description = "What a client calls to get into a room."),
        (name = "operators", description = "Looking at rooms and nodes."),
        (name = "nodes", description = "What edges call.")
    )
)]
struct Document;

/// All routes. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that rates are bounded per address.
pub fn router(state: State) -> Router {
    let clients = OpenApiRouter::new()
        .routes(routes!(client::token))
        .routes(routes!(client::join))
        .routes(routes!(client::regions))
        .routes(routes!(client::keys))
        .routes(routes!(look::rooms))
        .routes(routes!(look::room))
        .routes(routes!(look::explain))
        .routes(routes!(look::nodes))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), door::bound_rate));
    let nodes = OpenApiRouter::new()
        .routes(routes!(node::report))
        .routes(routes!(node::certificate))
        .routes(routes!(node::attach, node::detach))
        .layer(DefaultBodyLimit::max(NODE_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), door::only_nodes));
    let (api, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(clients).merge(nodes).split_for_parts();
    let bearer = |what: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(what)).build())
    };
    let parts = document.components.get_or_insert_default();
    parts.add_security_scheme("join_token", bearer("A join token."));
    parts.add_security_scheme(
        "api_secret",
        bearer("The secret of applications; nothing when the control plane is open."),
    );
    parts.add_security_scheme("node_secret", bearer("The secret of nodes."));
    let document = serde_json::to_string(&document).unwrap_or_default();
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .max_age(CORS_AGE);
    api.route("/v1/openapi.json", get(|| async move { ([(header::CONTENT_TYPE, "application/json")], document) }))
        .route("/v1/{*rest}", axum::routing::any(|| async { Failure::no_route() }))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(look::ready))
        .route("/metrics", get(look::metrics))
        .method_not_allowed_fallback(|| async { Failure::no_method() })
        .layer(cors)
        .route_layer(middleware::from_fn_with_state(state.clone(), measure))
        .with_state(state)
}

/// Counts and times every request, and gives its log lines a span. The route is the pattern, never what was asked for.
async fn measure(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or_else(String::new, |path| path.as_str().to_owned());
    let route = format!("{} {route}", request.method());
    let begin = Instant::now();
    let span = tracing::debug_span!("request", route);
    let response = next.run(request).instrument(span).await;
    let metrics = &state.inner.metrics;
    metrics.seconds.observe(begin.elapsed().as_secs_f64());
    metrics.requests.with_label_values(&[route.as_str(), response.status().as_str()]).inc();
    response
}

impl Failure {
    fn no_route() -> Response {
        Self::new(StatusCode::NOT_FOUND, "no_route", "The API has no such path.").into_response()
    }

    fn no_method() -> Response {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "no_method", "The path does not take this method.").into_response()
    }
}
