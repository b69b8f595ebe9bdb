//! WHIP and WHEP, as a publisher and a player without a browser see them.

use crate::client::Client;
use crate::edge;
use crate::plane::Plane;
use lyceum_wire::api::Problem;
use lyceum_wire::signal::EdgeSays;
use reqwest::{Client as Http, Method, Response};

/// What GStreamer sends.
const OFFER: &str = include_str!("../../../session/tests/golden/gstreamer-whip.sdp");

async fn post(url: &str, token: &str, kind: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = Http::new().post(url).header("content-type", kind).body(body);
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_publisher_comes_and_goes() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let url = format!("{}/v1/whip/physics", edge.url);
    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let created = post(&url, &plane.token("physics", "Studio"), "application/sdp", OFFER).await;
    if created.status() != 201 {
        panic!("{}: {}", created.status(), created.text().await.unwrap());
    }
    assert_eq!(created.headers()["content-type"], "application/sdp");
    let etag = created.headers()["etag"].to_str().unwrap().to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with(&format!("{url}/")), "{location}");
    let answer = created.text().await.unwrap();
    let port = edge.media.iter().find(|address| answer.contains(&format!(" {} typ host", address.port())));
    assert!(port.is_some() && answer.contains("a=ice-lite"), "{answer}");
    let studio = ben
        .until("the studio", |says| match says {
            EdgeSays::Roster { present, .. } => present.iter().find(|p| p.name == "Studio").map(|p| p.id.clone()),
            _ => None,
        })
        .await;

    let http = Http::new();
    let fragment = |body: &'static str| {
        http.patch(&location).header("content-type", "application/trickle-ice-sdpfrag").body(body).send()
    };
    let trickled = fragment("a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n");
    assert_eq!(trickled.await.unwrap().status(), 204);

    assert_eq!(http.delete(&location).send().await.unwrap().status(), 200);
    ben.until("the studio gone", |says| match says {
        EdgeSays::Roster { gone, .. } => gone.contains(&studio).then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(http.delete(&location).send().await.unwrap().status(), 404);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let good = plane.token("physics", "Studio");
    let sdp = "application/sdp";
    let table: [(&str, &str, &str, &str, String, u16, &str); 10] = [
        ("no token", "whip/physics", "", sdp, OFFER.into(), 401, "bad_token"),
        ("foreign token", "whip/physics", &plane.foreign("physics"), sdp, OFFER.into(), 401, "bad_token"),
        ("expired token", "whip/physics", &plane.expired("physics"), sdp, OFFER.into(), 401, "expired_token"),
        ("wrong room", "whip/chemistry", &good, sdp, OFFER.into(), 403, "wrong_room"),
        ("not a room", "whip/a%20b", &good, sdp, OFFER.into(), 400, "malformed"),
        ("not SDP", "whip/physics", &good, "text/plain", OFFER.into(), 415, "malformed"),
        ("garbage", "whip/physics", &good, sdp, "v=1".into(), 400, "bad_offer"),
        ("nothing", "whep/physics", &good, sdp, String::new(), 400, "bad_offer"),
        ("10 MB", "whip/physics", &good, sdp, "a".repeat(10 << 20), 413, "too_large"),
        ("10 MB", "whep/physics", &good, sdp, "a".repeat(10 << 20), 413, "too_large"),
    ];
    for (what, path, token, kind, body, status, code) in table {
        let answer = post(&format!("{}/v1/{path}", edge.url), token, kind, body).await;
        assert_eq!(answer.status(), status, "{what}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401, "{what}");
        let problem: Problem = answer.json().await.unwrap();
        assert_eq!(problem.code, code, "{what}: {}", problem.message);
        assert!(!problem.message.is_empty());
    }
    for method in [Method::PATCH, Method::DELETE] {
        for secret in [String::from("x"), format!("00{}", "0".repeat(40)), format!("ff{}", "0".repeat(40))] {
            let url = format!("{}/v1/whip/physics/{secret}", edge.url);
            let request =
                Http::new().request(method.clone(), url).header("content-type", "application/trickle-ice-sdpfrag");
            assert_eq!(request.send().await.unwrap().status(), 404, "{method} {secret}");
        }
    }
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn any_page_may_ask() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let preflight = Http::new()
        .request(Method::OPTIONS, format!("{}/v1/whip/physics", edge.url))
        .header("origin", "https://school.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let answer = preflight.send().await.unwrap();
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap().to_lowercase();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"), "{allowed}");
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));

    let post = Http::new().post(format!("{}/v1/whip/physics", edge.url)).header("origin", "https://school.example");
    let answer = post.send().await.unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap().to_lowercase();
    assert!(exposed.contains("location") && exposed.contains("etag"), "{exposed}");

    let probe = Http::new().get(format!("{}/v1/probe", edge.url)).header("origin", "https://school.example");
    let answer = probe.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert_eq!(answer.headers()["timing-allow-origin"], "*");
    edge.stop().await.unwrap();
}
