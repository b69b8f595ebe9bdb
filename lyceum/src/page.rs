//! The classroom's page, out of the binary.
//!
//! Files under `assets/` carry a hash in their names and are kept for ever; all else is asked for again each time and
//! mostly answered by 304. A path without a dot that is no file belongs to the page's own router: it gets the index.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write;

#[derive(RustEmbed)]
#[folder = "$LYCEUM_PAGE"]
struct Files;

/// The page may load nothing but itself, and speak to any edge: which one is decided by the control plane.
const POLICY: &str = "default-src 'self'; connect-src 'self' http: https: ws: wss:; img-src 'self' data: blob:; \
media-src 'self' blob: mediastream:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; \
base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Answers any path that the API does not know.
pub(crate) async fn page(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let (path, file) = match Files::get(path) {
        Some(file) if !path.is_empty() => (path, file),
        _ if path.rsplit('/').next().is_some_and(|last| last.contains('.')) => {
            return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response();
        }
        _ => match Files::get("index.html") {
            Some(index) => ("index.html", index),
            None => return (StatusCode::NOT_FOUND, "This binary has no page.\n").into_response(),
        },
    };
    answer(path, file, request.headers())
}

fn answer(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let etag = file.metadata.sha256_hash()[..16].iter().fold(String::from("\""), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }) + "\"";
    let kept = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|said| said.as_bytes() == etag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, mime(path))], file.data.into_owned()).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(self), microphone=(self), display-capture=(self)"),
    );
    response
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "mp3" => "audio/mpeg",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    async fn get(path: &str, if_none_match: &str) -> Response {
        let request = Request::get(path).header(header::IF_NONE_MATCH, if_none_match).body(Body::empty()).unwrap();
        page(request).await
    }

    #[tokio::test]
    async fn the_index_answers_what_the_page_routes_itself() {
        for (path, status) in
            [("/", 200), ("/room/physics", 200), ("/room/a.b/c", 200), ("/missing.js", 404), ("/..%2fCargo.toml", 404)]
        {
            assert_eq!(get(path, "").await.status(), status, "{path}");
        }
        let index = get("/", "").await;
        assert_eq!(index.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(index.headers()[header::CACHE_CONTROL], "no-cache");
        assert!(index.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let etag = index.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert_eq!(get("/", &etag).await.status(), StatusCode::NOT_MODIFIED);
        let post = Request::post("/").body(Body::empty()).unwrap();
        assert_eq!(page(post).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn every_file_has_a_type_and_hashed_ones_are_kept() {
        for path in Files::iter() {
            let response = get(&format!("/{path}"), "").await;
            assert_eq!(response.status(), 200, "{path}");
            assert_ne!(response.headers()[header::CONTENT_TYPE], "application/octet-stream", "{path}");
            let kept = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
            assert_eq!(kept.contains("immutable"), path.starts_with("assets/"), "{path}");
        }
    }
}
