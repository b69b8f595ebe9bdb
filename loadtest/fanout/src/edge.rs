//! What is measured: a real shard, turned by the driver that turns it in production, on a core of its own.

use anyhow::{Context, Result, bail};
use lyceum_edge_core::config::LINGER;
use lyceum_edge_core::door::{Command, Entry, Event, HttpOutcome, RequestId, Secret, Seed};
use lyceum_edge_core::{Config, Shard};
use lyceum_relay::driver::{self, Handle, Snapshot};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::token::{Claims, Grants};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use lyceum_crowd::{Way, account};

/// The name of the shard's thread.
const THREAD: &str = "shard-0";
/// The core it stays on.
pub(crate) const CORE: usize = 0;

/// The running edge.
pub(crate) struct Edge {
    handle: Handle<Shard>,
    joined: u64,
}

/// What the shard's thread had done at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) stats: Snapshot,
    pub(crate) cpu: Duration,
    /// Dropped by the kernel because the shard's receive buffer was full.
    pub(crate) drops: u64,
}

impl Edge {
    /// Starts a shard that takes in so many.
    pub(crate) fn start(session: &lyceum_session::Config, participants_max: usize) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no UDP socket")?;
        let session = session.clone();
        let (node, region) = (NodeId::parse("eu-1")?, Region::parse("eu")?);
        let config = driver::Config { name: THREAD.into(), socket, core: Some(CORE) };
        let handle = driver::spawn(config, move |address, now| {
            let config = Config {
                node,
                region,
                shard: 0,
                candidates: vec![address],
                session,
                seed: Seed([1; 32]),
                unix_ms: 1_700_000_000_000,
                participants_max,
                linger: LINGER,
                turn: None,
                siblings: Vec::new(),
            };
            Shard::new(config, now)
        })?;
        Ok(Self { handle, joined: 0 })
    }

    /// Somebody comes in by WHIP or WHEP, without the HTTP around it: offer in, answer out.
    pub(crate) fn join(&mut self, way: Way, room: &str, sdp: String) -> Result<String> {
        self.joined += 1;
        let request = RequestId(self.joined);
        let entry = Box::new(entry(self.joined, room)?);
        let command = match way {
            Way::Publish => Command::Whip { request, entry, sdp },
            Way::View => Command::Whep { request, entry, sdp },
        };
        if self.handle.commands.try_send(command).is_err() {
            bail!("the shard takes no commands");
        }
        loop {
            match self.handle.events.blocking_recv() {
                Some(Event::HttpAnswer { request: of, outcome }) if of == request => match outcome {
                    HttpOutcome::Created { sdp, .. } => return Ok(sdp),
                    other => bail!("the edge did not let somebody in: {other:?}"),
                },
                Some(_) => {}
                None => bail!("the shard's thread has ended"),
            }
        }
    }

    /// Takes what the shard has to say, as its async side would.
    pub(crate) fn hear(&mut self) {
        while self.handle.events.try_recv().is_ok() {}
    }

    /// What it has done so far.
    pub(crate) fn work(&self) -> Result<Work> {
        Ok(Work {
            stats: self.handle.stats.snapshot(),
            cpu: account::thread_named(THREAD)?,
            drops: lyceum_crowd::dropped_by_kernel(self.handle.local.port())?,
        })
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.handle.commands.stop();
        self.hear();
        match self.handle.thread.join() {
            Ok(ended) => ended.context("the shard gave up"),
            Err(_) => bail!("the shard's thread panicked"),
        }
    }
}

fn entry(n: u64, room: &str) -> Result<Entry> {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&n.to_be_bytes());
    let claims = Claims {
        aud: "lyceum".into(),
        sub: format!("u{n}"),
        name: format!("u{n}"),
        room: RoomId::parse(room)?,
        grants: Grants::participant(),
        nbf: 0,
        exp: u64::MAX,
    };
    let participant = ParticipantId::parse(&format!("p{n}"))?;
    Ok(Entry { secret: Secret(format!("secret-{n}")), participant, claims, seed: Seed(seed) })
}
