//! `lyceum token` and `lyceum room`: questions to a running control plane.

use crate::cli::{ControlUrl, RoomArgs, RoomCommand, TokenArgs};
use crate::say;
use anyhow::{Context, Result, bail};
use lyceum_wire::api::{Explanation, Problem, TokenAnswer, TokenRequest};
use lyceum_wire::token::Grants;
use reqwest::{Client, RequestBuilder, Response};
use std::time::Duration;

/// A control plane that does not answer in this time is not there.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// `lyceum token`.
pub(crate) async fn token(args: TokenArgs) -> Result<()> {
    let wanted = TokenRequest {
        room: args.room,
        name: args.name,
        identity: args.identity,
        grants: args.viewer.then(Grants::viewer),
        ttl_seconds: args.ttl_seconds,
    };
    let request = client()?.post(format!("{}/v1/tokens", base(&args.control))).json(&wanted);
    let answer: TokenAnswer = send(request, &args.control).await?.json().await.context("the answer cannot be read")?;
    say(answer.token);
    Ok(())
}

/// `lyceum room …`.
pub(crate) async fn room(args: RoomArgs) -> Result<()> {
    let RoomCommand::Explain { control, room, region, json } = args.command;
    // Names need no escaping in a URL.
    let wish = region.map(|region| format!("?region={region}")).unwrap_or_default();
    let request = client()?.get(format!("{}/v1/rooms/{room}/explain{wish}", base(&control)));
    let text = send(request, &control).await?.text().await.context("the answer cannot be read")?;
    if json {
        say(text);
        return Ok(());
    }
    let told: Explanation = serde_json::from_str(&text).context("the answer cannot be understood")?;
    let chosen = told.chosen.as_ref().map_or("nobody", |node| node.as_str());
    say(format_args!("{}: the next participant goes to {chosen}: {}", told.room, told.reason));
    for candidate in &told.candidates {
        let excluded = match &candidate.excluded {
            Some(why) => serde_json::to_string(why)?,
            None => String::new(),
        };
        let score = serde_json::to_string(&candidate.score)?;
        say(format_args!("  {:12} {:8} {score} {excluded}", candidate.node.as_str(), candidate.region.as_str()));
    }
    for recent in &told.recent {
        say(format_args!("  recent: {}", serde_json::to_string(recent)?));
    }
    Ok(())
}

fn client() -> Result<Client> {
    Client::builder().timeout(ANSWER_TIME_MAX).no_proxy().build().context("cannot set up the HTTP client")
}

fn base(control: &ControlUrl) -> &str {
    control.url.trim_end_matches('/')
}

async fn send(mut request: RequestBuilder, control: &ControlUrl) -> Result<Response> {
    if let Some(secret) = &control.api_secret {
        request = request.bearer_auth(secret);
    }
    let response = request.send().await.with_context(|| format!("no control plane answers at {}", control.url))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.json::<Problem>().await {
        Ok(problem) => bail!("{} ({}, {status})", problem.message, problem.code),
        Err(_) => bail!("the control plane answered {status}"),
    }
}
