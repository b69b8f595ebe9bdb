//! How a bot gets in: a token, and an edge to go to.

use anyhow::{Context, Result, anyhow};
use lyceum_wire::api::{JoinRequest, Placement, Problem, TokenAnswer, TokenRequest};
use lyceum_wire::id::{Region, RoomId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;

/// The control plane answers within this, or the bot could not join.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The control plane, as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    client: reqwest::Client,
    url: String,
    api_secret: Option<String>,
}

impl Door {
    pub(crate) fn new(url: &str, api_secret: Option<String>) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build().context("no HTTP client")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), api_secret })
    }

    /// A token for this room, and where it leads.
    pub(crate) async fn enter(
        &self,
        room: &RoomId,
        name: &str,
        region: Option<Region>,
    ) -> Result<(TokenAnswer, Placement)> {
        let ask =
            TokenRequest { room: room.clone(), name: name.to_owned(), identity: None, grants: None, ttl_seconds: None };
        let token: TokenAnswer = self.post("/v1/tokens", self.api_secret.as_deref(), &ask).await?;
        let join = JoinRequest { region, rtt_ms: BTreeMap::new(), avoid: Vec::new() };
        let placement = self.post(&format!("/v1/rooms/{room}/join"), Some(&token.token), &join).await?;
        Ok((token, placement))
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, bearer: Option<&str>, body: &impl Serialize) -> Result<T> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.post(&url).json(body);
        if let Some(bearer) = bearer {
            request = request.bearer_auth(bearer);
        }
        let response = request.send().await.with_context(|| format!("{url} cannot be reached"))?;
        let status = response.status();
        if !status.is_success() {
            let problem = response.json::<Problem>().await;
            return Err(match problem {
                Ok(problem) => anyhow!("{path}: {} ({})", problem.message, problem.code),
                Err(_) => anyhow!("{path}: HTTP {status}"),
            });
        }
        response.json().await.with_context(|| format!("{path}: the answer cannot be read"))
    }
}
