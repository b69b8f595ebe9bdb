//! Ours: `lyceum mesh` with one edge of one shard, by WHIP and WHEP.

use crate::ground::{Ground, SERVERS};
use crate::server::{Http, Process, Server};
use anyhow::{Context, Result};
use lyceum_crowd::{Knock, Publisher, Shape, Viewer, Way};
use lyceum_session::sdp::Answer;
use serde_json::json;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

/// A running mesh.
pub(crate) struct Lyceum {
    process: Process,
    http: Http,
    /// The control plane.
    url: String,
}

impl Lyceum {
    pub(crate) fn start(ground: &Ground, binary: &Path, folder: &Path, core: usize) -> Result<Self> {
        let log = folder.join("lyceum.log");
        let mut command = ground.command(binary, core);
        command.args(["mesh", "--listen", &format!("{SERVERS}:0"), "--regions", "eu", "--shards", "1"]);
        let mut process = Process::start(command, &log)?;
        let url = process.until(&log, || {
            let said = std::fs::read_to_string(&log).ok()?;
            said.lines().find_map(|line| line.strip_prefix("ready ")).map(|url| url.trim().to_owned())
        })?;
        Ok(Self { process, http: Http::new()?, url })
    }

    fn enter(&self, way: Way, room: u32, knock: &Knock) -> Result<Answer> {
        let room = format!("peers-{room}");
        let body = json!({ "room": room, "name": "peer" });
        let token = self.http.post(&format!("{}/v1/tokens", self.url), None, &body)?;
        let token = token["token"].as_str().context("no token in the answer")?;
        let place = self.http.post(&format!("{}/v1/rooms/{room}/join", self.url), Some(token), &json!({}))?;
        let edge = place["edge"]["url"].as_str().context("no edge in the placement")?;
        let door = match way {
            Way::Publish => "whip",
            Way::View => "whep",
        };
        let answer = self.http.post_sdp(&format!("{edge}/v1/{door}/{room}"), token, knock.offer(way))?;
        Answer::parse(&answer).context("the edge's answer cannot be read")
    }
}

impl Server for Lyceum {
    fn name(&self) -> &str {
        concat!("Lyceum ", env!("CARGO_PKG_VERSION"))
    }

    fn pids(&self) -> Vec<u32> {
        vec![self.process.pid()]
    }

    fn publish(&mut self, room: u32, knock: Knock, local: SocketAddr, shape: Shape) -> Result<Publisher> {
        let answer = self.enter(Way::Publish, room, &knock)?;
        Ok(knock.publish(&answer, local, shape, Instant::now())?)
    }

    fn view(&mut self, room: u32, knock: Knock, local: SocketAddr) -> Result<Viewer> {
        let answer = self.enter(Way::View, room, &knock)?;
        Ok(knock.view(&answer, local, Instant::now())?)
    }
}
