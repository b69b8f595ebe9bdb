//! The seam for whoever is compared.

use anyhow::{Context, Result};
use lyceum_crowd::{Knock, Publisher, Shape, Viewer};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that forwards what one publishes to those who watch. To add one: start it on the ground, and teach this to it.
pub(crate) trait Server {
    /// Its name and version.
    fn name(&self) -> &str;
    /// Its processes, whose CPU time is counted.
    fn pids(&self) -> Vec<u32>;
    /// Lets a publisher into a room; there is one in each.
    fn publish(&mut self, room: u32, knock: Knock, local: SocketAddr, shape: Shape) -> Result<Publisher>;
    /// Lets a viewer in who sees that publisher.
    fn view(&mut self, room: u32, knock: Knock, local: SocketAddr) -> Result<Viewer>;
}

/// One HTTP call may take this long; joins are slow where a core is busy.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// A server stands within this, or never; on a busy machine it takes some ten seconds.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// Time for a server to end by itself.
const STOP_TIME_MAX: Duration = Duration::from_secs(3);

/// A server's process, ended when this goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn start(mut command: Command, log: &std::path::Path) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn().context("the server does not start")? })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks until there is an answer, or the process has ended.
    pub(crate) fn until<T>(&mut self, log: &std::path::Path, mut ask: impl FnMut() -> Option<T>) -> Result<T> {
        let until = Instant::now() + START_TIME_MAX;
        loop {
            if let Some(answer) = ask() {
                return Ok(answer);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > until {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(5).collect();
                anyhow::bail!("the server does not stand ({ended:?}); its log ends with, newest first: {tail:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        let until = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < until {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// HTTP, one call after the other.
pub(crate) struct Http {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Http {
    pub(crate) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client: reqwest::Client::builder().no_proxy().timeout(CALL_TIME_MAX).build()?, runtime })
    }

    pub(crate) fn get(&self, url: &str) -> Result<Value> {
        self.json(self.client.get(url), url)
    }

    pub(crate) fn post(&self, url: &str, bearer: Option<&str>, body: &Value) -> Result<Value> {
        let request = self.client.post(url).json(body);
        self.json(bearer.iter().fold(request, |request, bearer| request.bearer_auth(bearer)), url)
    }

    /// An offer for an answer, as WHIP and WHEP have it.
    pub(crate) fn post_sdp(&self, url: &str, bearer: &str, sdp: String) -> Result<String> {
        let request = self.client.post(url).bearer_auth(bearer).header("content-type", "application/sdp").body(sdp);
        self.runtime.block_on(async {
            let response = request.send().await.with_context(|| format!("{url} cannot be reached"))?;
            let (status, text) = (response.status(), response.text().await?);
            anyhow::ensure!(status.is_success(), "{url}: {status}: {text}");
            Ok(text)
        })
    }

    fn json(&self, request: reqwest::RequestBuilder, url: &str) -> Result<Value> {
        self.runtime.block_on(async {
            let response = request.send().await.with_context(|| format!("{url} cannot be reached"))?;
            let status = response.status();
            let value: Value = response.json().await.with_context(|| format!("{url}: {status}, and no JSON"))?;
            anyhow::ensure!(status.is_success(), "{url}: {status}: {value}");
            Ok(value)
        })
    }
}
