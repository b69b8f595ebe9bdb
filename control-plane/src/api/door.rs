//! What stands between a request and its handler: bodies and names read with our own words of refusal, secrets, rates.

use crate::keys::Keys;
use crate::state::{AmendError, State};
use crate::store::StoreError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lyceum_wire::api::Problem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    problem: Problem,
    retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, problem: Problem { code: code.into(), message: message.into() }, retry_after: None }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// The word for machines.
    pub(crate) fn code(&self) -> &str {
        &self.problem.code
    }

    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) fn not_ready() -> Self {
        let message = "The control plane has not seen its store yet. Try again in a second.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "starting", message).retry_after(Duration::from_secs(1))
    }

    fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.problem)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, at least one (RFC 9110 §10.2.3).
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<AmendError> for Failure {
    fn from(error: AmendError) -> Self {
        let message = error.to_string();
        match error {
            AmendError::Store(StoreError::Refused(_)) | AmendError::Unreadable => {
                tracing::error!(error = message, "a room's map could not be written");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The room's map could not be written.")
            }
            AmendError::Store(_) => {
                let message = "The store is away; go on hosting the room and try again.";
                let away = Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_away", message);
                away.retry_after(Duration::from_secs(1))
            }
            AmendError::Full(_) => Self::new(StatusCode::CONFLICT, "room_full", message),
            AmendError::Contended => {
                let busy = Self::new(StatusCode::SERVICE_UNAVAILABLE, "contended", message);
                busy.retry_after(Duration::from_secs(1))
            }
        }
    }
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                let message = "The body must be JSON, with 'content-type: application/json'.";
                Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message))
            }
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The body is larger than this path takes.",
            )),
            Err(rejection) => Err(Failure::malformed(rejection.body_text())),
        }
    }
}

/// Names in the path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Failure> {
        let named = Path::<T>::from_request_parts(parts, state).await;
        let wrong = |rejection: PathRejection| Failure::new(StatusCode::BAD_REQUEST, "bad_name", rejection.body_text());
        named.map(|Path(names)| Self(names)).map_err(wrong)
    }
}

/// What follows the question mark.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned + Send> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Failure> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        asked
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection: QueryRejection| Failure::malformed(rejection.body_text()))
    }
}

/// The bearer credential of a request (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

/// An application or an operator: whoever has the API secret, or anybody when the control plane is open. A handler that
/// takes one is called by nobody else, and its body is not read before.
pub(crate) struct Application;

impl FromRequestParts<State> for Application {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &State) -> Result<Self, Failure> {
        let config = &state.inner.config;
        if config.open {
            return Ok(Self);
        }
        let Some(secret) = &config.api_secret else {
            let message = "This control plane has no API secret, so nobody may do this.";
            return Err(Failure::new(StatusCode::FORBIDDEN, "closed", message));
        };
        match bearer(&parts.headers) {
            Some(given) if same(given, secret) => Ok(Self),
            _ => Err(Failure::unauthorized("This needs the API secret as bearer credential.")),
        }
    }
}

/// What answers are signed with; without it a control plane has not begun.
pub(crate) fn keys(state: &State) -> Result<&Keys, Failure> {
    state.inner.keys().ok_or_else(Failure::not_ready)
}

/// Middleware: only those who have the nodes' secret.
pub(crate) async fn only_nodes(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    match bearer(request.headers()) {
        Some(given) if same(given, &state.inner.config.node_secret) => next.run(request).await,
        _ => Failure::unauthorized("This needs the nodes' secret as bearer credential.").into_response(),
    }
}

/// Middleware: no address asks more often than it may. Without a known address (another server in front that does not say
/// it) there is nothing to tell callers apart by, and that server has to bound them.
pub(crate) async fn bound_rate(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
    if let Some(address) = address
        && let Err(too_many) = state.inner.buckets().take(address, Instant::now())
    {
        let message = "Too many requests from this address; try again in a moment.";
        let failure = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message);
        return failure.retry_after(too_many.retry_after).into_response();
    }
    next.run(request).await
}

/// Compares secrets in a time that tells nothing of them: their digests, which are equally long, bit by bit.
fn same(given: &str, secret: &str) -> bool {
    let digest = |text: &str| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    aws_lc_rs::constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(secret).as_ref()).is_ok()
}
