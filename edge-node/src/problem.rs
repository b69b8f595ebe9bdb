//! Errors over HTTP: every answer outside 2xx has a JSON body for machines and people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lyceum_wire::api;
use lyceum_wire::signal::Refusal;

/// A status and its body.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// What a refusal of the signaling protocol is in HTTP.
    pub(crate) fn refused(code: Refusal, message: impl Into<String>) -> Self {
        let status = match code {
            Refusal::BadToken | Refusal::ExpiredToken => StatusCode::UNAUTHORIZED,
            Refusal::WrongRoom | Refusal::NotAllowed => StatusCode::FORBIDDEN,
            Refusal::Malformed | Refusal::BadOffer | Refusal::Version => StatusCode::BAD_REQUEST,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Full => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::SessionGone | Refusal::MediaLost | Refusal::Absent => StatusCode::NOT_FOUND,
            Refusal::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, code_name(code), message)
    }

    /// Its word for machines.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(api::Problem { code: self.code, message: self.message })).into_response();
        if unauthorized {
            // RFC 9110 §11.6.1: a 401 says how to do better.
            let challenge = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A refusal's name as it stands on the wire.
pub(crate) fn code_name(code: Refusal) -> &'static str {
    match code {
        Refusal::BadToken => "bad_token",
        Refusal::ExpiredToken => "expired_token",
        Refusal::WrongRoom => "wrong_room",
        Refusal::NotAllowed => "not_allowed",
        Refusal::Malformed => "malformed",
        Refusal::BadOffer => "bad_offer",
        Refusal::TooLarge => "too_large",
        Refusal::TooMany => "too_many",
        Refusal::Full => "full",
        Refusal::Version => "version",
        Refusal::SessionGone => "session_gone",
        Refusal::MediaLost => "media_lost",
        Refusal::Absent => "absent",
        Refusal::Internal => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        use Refusal::*;
        let all = [
            BadToken,
            ExpiredToken,
            WrongRoom,
            NotAllowed,
            Malformed,
            BadOffer,
            TooLarge,
            TooMany,
            Full,
            Version,
            SessionGone,
            MediaLost,
            Internal,
        ];
        for code in all {
            assert_eq!(serde_json::to_value(code).unwrap(), code_name(code));
        }
    }
}
