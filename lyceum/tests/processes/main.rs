//! The command as an operator runs it: processes, ports, signals, exit codes.
#![allow(missing_docs, clippy::unwrap_used)]

mod apart;
mod mesh;
mod process;

use lyceum_wire::api::{JoinRequest, Placement, Regions, TokenAnswer};
use lyceum_wire::id::Region;
use process::Process;
use serde_json::{Value, json};

/// Where the control plane puts this person.
async fn place(url: &str, token: &str, room: &str, region: &str) -> Placement {
    let wish = JoinRequest { region: Some(Region::parse(region).unwrap()), ..JoinRequest::default() };
    let request = reqwest::Client::new().post(format!("{url}/v1/rooms/{room}/join")).bearer_auth(token).json(&wish);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

async fn token(url: &str, room: &str, name: &str, api_secret: &str) -> TokenAnswer {
    let request = reqwest::Client::new().post(format!("{url}/v1/tokens")).bearer_auth(api_secret);
    request.json(&json!({ "room": room, "name": name })).send().await.unwrap().json().await.unwrap()
}

async fn regions(url: &str) -> Regions {
    reqwest::get(format!("{url}/v1/regions")).await.unwrap().json().await.unwrap()
}

/// One publisher in `eu` and two viewers in each region, for a few seconds: what they saw.
async fn lesson(url: &str, api_secret: Option<&str>) -> Value {
    let mut arguments = vec!["load", "--url", url, "--publishers", "1", "--viewers", "4", "--region", "eu=1,us=1"];
    arguments.extend(["--seconds", "4", "--ramp-ms", "500", "--json"]);
    let environment: Vec<(&str, &str)> = api_secret.map(|secret| ("LYCEUM_API_SECRET", secret)).into_iter().collect();
    let ended = Process::start(&arguments, &environment).end().await;
    // Its exit code also says whether this machine was too busy to measure anything; that is not asked here.
    let text = ended.out.last().unwrap_or_else(|| panic!("it said nothing: {:?}", ended.err));
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Everybody joined, and saw and heard the publisher.
fn assert_seen(told: &Value) {
    assert_eq!(told["joined"], 5, "{told:#}");
    assert_eq!(told["regions"], json!({ "eu": 3, "us": 2 }), "{told:#}");
    assert!(told["frames"].as_u64().unwrap() > 60, "{told:#}");
    assert!(told["audio_packets"].as_u64().unwrap() > 60, "{told:#}");
    for what in ["duplicates", "corrupt", "faults"] {
        assert_eq!(told[what], 0, "{what}: {told:#}");
    }
    assert_eq!(told["first_frame"]["count"], 4, "{told:#}");
}
