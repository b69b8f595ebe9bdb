//! Calls to the control plane: `docs/protocol/api.md`, the node's half.

use crate::config;
use anyhow::{Context, Result};
use lyceum_wire::api::{CertificateAnswer, CertificateRequest, NodeLease, NodeStatus, Problem, RoomMap};
use lyceum_wire::id::{NodeId, RoomId};
use reqwest::{Method, RequestBuilder, Response};

/// The control plane, as this node calls it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlane {
    http: reqwest::Client,
    base: String,
    node: NodeId,
    secret: String,
}

impl ControlPlane {
    pub(crate) fn new(config: &config::Control, node: NodeId, secret: String) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(config.timeout.0)
            // A node reaches its control plane directly: a proxy meant for browsing must not carry the node secret.
            .no_proxy()
            .build()
            .context("cannot set up the HTTP client")?;
        Ok(Self { http, base: config.url.trim_end_matches('/').to_owned(), node, secret })
    }

    /// Says that the node lives, and how it is; the first call registers it.
    pub(crate) async fn report(&self, status: &NodeStatus) -> Result<NodeLease> {
        let path = format!("/v1/nodes/{}", self.node);
        let answer = send(self.call(Method::PUT, &path).json(status)).await?;
        answer.json().await.context("the control plane's lease cannot be read")
    }

    /// Says that the node is gone: its participants are placed elsewhere at once.
    pub(crate) async fn forget(&self) -> Result<()> {
        send(self.call(Method::DELETE, &format!("/v1/nodes/{}", self.node))).await.map(drop)
    }

    /// Has the node's key certified for its links.
    pub(crate) async fn certificate(&self, csr_pem: String) -> Result<CertificateAnswer> {
        let path = format!("/v1/nodes/{}/certificate", self.node);
        let answer = send(self.call(Method::POST, &path).json(&CertificateRequest { csr_pem })).await?;
        answer.json().await.context("the control plane's certificate cannot be read")
    }

    /// This node hosts the room from now on.
    pub(crate) async fn attach(&self, room: &RoomId) -> Result<RoomMap> {
        let answer = send(self.call(Method::POST, &self.seat(room))).await?;
        answer.json().await.context("the control plane's room map cannot be read")
    }

    /// This node does not host the room any more. A room it did not host is fine.
    pub(crate) async fn detach(&self, room: &RoomId) -> Result<()> {
        let request = self.call(Method::DELETE, &self.seat(room));
        let response = request.send().await.context("the control plane cannot be reached")?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(());
        }
        judge(response).await.map(drop)
    }

    fn seat(&self, room: &RoomId) -> String {
        format!("/v1/rooms/{room}/nodes/{}", self.node)
    }

    fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.secret)
    }
}

async fn send(request: RequestBuilder) -> Result<Response> {
    judge(request.send().await.context("the control plane cannot be reached")?).await
}

async fn judge(response: Response) -> Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    match response.json::<Problem>().await {
        Ok(problem) => anyhow::bail!("the control plane refused ({status}, {}): {}", problem.code, problem.message),
        Err(_) => anyhow::bail!("the control plane refused ({status})"),
    }
}
