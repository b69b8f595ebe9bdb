//! The control plane, as a client sees it: a token, the nearest region, a place.

use crate::Error;
use lyceum_wire::api::{JoinRequest, Placement, Problem, Regions, TokenAnswer, TokenRequest};
use lyceum_wire::id::{Region, RoomId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for an answer.
pub const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a probe: a region further away than this is not near.
pub const PROBE_MAX: Duration = Duration::from_secs(2);
/// Probes of each edge; the fastest counts, so that opening the connection does not.
const PROBES: usize = 3;

/// A control plane.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    url: String,
    http: reqwest::Client,
}

impl ControlPlane {
    /// The control plane at this base URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let http = reqwest::Client::builder().timeout(ANSWER_MAX).build();
        let http = http.map_err(|error| Error::Option(format!("no HTTP client: {error}")))?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Asks for a join token. Works without a secret when the control plane is open.
    pub async fn token(&self, request: &TokenRequest, api_secret: Option<&str>) -> Result<TokenAnswer, Error> {
        let mut call = self.http.post(format!("{}/v1/tokens", self.url)).json(request);
        if let Some(secret) = api_secret {
            call = call.bearer_auth(secret);
        }
        self.read(call).await
    }

    /// The regions one can join in.
    pub async fn regions(&self) -> Result<Regions, Error> {
        self.read(self.http.get(format!("{}/v1/regions", self.url))).await
    }

    /// Measures the way to every region, in milliseconds. A region that does not answer is left out.
    pub async fn measure(&self) -> Result<BTreeMap<Region, f64>, Error> {
        let regions = self.regions().await?.regions;
        let measured = regions.into_iter().map(|info| async move {
            let probes = info.probes.iter().map(|url| self.probe(url));
            let fastest = futures_util::future::join_all(probes).await.into_iter().flatten().min_by(f64::total_cmp);
            fastest.map(|ms| (info.region, ms))
        });
        Ok(futures_util::future::join_all(measured).await.into_iter().flatten().collect())
    }

    /// Asks where to connect.
    pub async fn join(&self, room: &RoomId, token: &str, request: &JoinRequest) -> Result<Placement, Error> {
        let call = self.http.post(format!("{}/v1/rooms/{room}/join", self.url)).bearer_auth(token).json(request);
        self.read(call).await
    }

    async fn probe(&self, url: &str) -> Option<f64> {
        let mut fastest: Option<f64> = None;
        for _ in 0..PROBES {
            let begin = Instant::now();
            let answer = self.http.get(url).timeout(PROBE_MAX).send().await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let ms = begin.elapsed().as_secs_f64() * 1_000.0;
            fastest = Some(fastest.map_or(ms, |best| best.min(ms)));
        }
        fastest
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, call: reqwest::RequestBuilder) -> Result<T, Error> {
        let unreachable = |error: reqwest::Error| Error::Unreachable { url: self.url.clone(), why: chain(&error) };
        let answer = call.send().await.map_err(unreachable)?;
        refused(answer).await?.json().await.map_err(unreachable)
    }
}

/// The answer, unless it is a refusal.
pub(crate) async fn refused(answer: reqwest::Response) -> Result<reqwest::Response, Error> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status().as_u16();
    let problem = answer.json::<Problem>().await.unwrap_or_else(|_| Problem {
        code: "not_lyceum".into(),
        message: "the server gave no reason; is this the right URL?".into(),
    });
    Err(Error::Http { status, problem })
}

/// An error and what caused it, in one line: the cause alone says "connection refused".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
