//! An application changes what somebody in a room may do.

use crate::client::Client;
use crate::edge;
use crate::plane::Plane;
use lyceum_wire::api::Problem;
use lyceum_wire::signal::EdgeSays;
use reqwest::{Client as Http, Response};

async fn post(url: &str, token: &str, body: &str) -> Response {
    let request = Http::new().post(url).header("content-type", "application/json").body(body.to_owned());
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    request.send().await.unwrap()
}

async fn code(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.json::<Problem>().await.unwrap().code)
}

#[tokio::test]
async fn grants_are_changed_by_who_holds_a_moderators_token() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ben, welcome) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let url = |room: &str, who: &str| format!("{}/v1/rooms/{room}/participants/{who}/grants", edge.url);
    let (host, ben_url) = (plane.host("physics", "App"), url("physics", &welcome.participant));
    assert_eq!(post(&ben_url, &host, r#"{"publish":["camera"],"message":false}"#).await.status(), 204);
    let told = ben
        .until("grants", |says| match says {
            EdgeSays::Grants { grants, by } => Some((grants.clone(), by.clone())),
            _ => None,
        })
        .await;
    assert_eq!(serde_json::to_string(&told.0.publish).unwrap(), r#"["camera"]"#);
    assert!(!told.0.message && told.0.subscribe && told.1.is_none());

    let change = "{}";
    assert_eq!(code(post(&ben_url, "", change).await).await, (401, "bad_token".into()));
    let ordinary = plane.token("physics", "Eve");
    assert_eq!(code(post(&ben_url, &ordinary, change).await).await, (403, "not_allowed".into()));
    let elsewhere = plane.host("chemistry", "App");
    assert_eq!(code(post(&ben_url, &elsewhere, change).await).await, (403, "wrong_room".into()));
    assert_eq!(code(post(&url("physics", "nobody"), &host, change).await).await, (404, "absent".into()));
    assert_eq!(code(post(&ben_url, &host, "[1]").await).await, (400, "malformed".into()));
    let long = format!("{{\"publish\":[{}]}}", vec!["\"camera\""; 1_000].join(","));
    assert_eq!(code(post(&ben_url, &host, &long).await).await, (413, "too_large".into()));
    edge.stop().await.unwrap();
}
