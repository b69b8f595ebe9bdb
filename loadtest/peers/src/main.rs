//! Other servers beside ours: one publisher, the same viewers, the same pictures, by turns in one run.
//!
//! ```text
//!   core 1: crowd (publisher, viewers) ══ veth ══ core 0: Janus, Lyceum, each as it is installed
//! ```
//!
//! What counts is the CPU time of a server's processes per packet that arrived at a viewer. A server may choose its SRTP profile:
//! what was agreed is said, and both servers are measured with each other's choice as well.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod ground;
mod janus;
mod lyceum;
mod outcome;
mod server;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use ground::Ground;
use lyceum_crowd::{Crowd, Knock, Shape, account};
use lyceum_session::{Config as SessionConfig, SrtpProfile};
use outcome::{Contender, Outcome, Round};
use server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The core of the servers.
const SERVER_CORE: usize = 0;
/// The core of the crowd.
const CROWD_CORE: usize = 1;
/// Joins under way at once.
const JOINS_AT_ONCE: usize = 10;
/// Between two steps all parties live so long, silent ones too.
const SIGN_OF_LIFE: Duration = Duration::from_millis(20);
/// All viewers of a server are in after this time, or something is wrong.
const JOINED_WITHIN: Duration = Duration::from_secs(20);

/// Ours against others: CPU per forwarded packet.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Viewers of each server and profile.
    #[arg(long, default_value_t = 100)]
    viewers: usize,
    /// Bits per second of the publisher, in thousands.
    #[arg(long, default_value_t = 1_500)]
    kbps: u32,
    /// Packets of one frame.
    #[arg(long, default_value_t = 5)]
    packets: u32,
    /// Rounds, each of all servers.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How long media flow before it counts, in seconds.
    #[arg(long, default_value_t = 2)]
    warm_up: u64,
    /// How long it counts, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Our binary; the one beside this program when absent.
    #[arg(long)]
    lyceum: Option<PathBuf>,
    /// Janus's binary.
    #[arg(long, default_value = "/usr/bin/janus")]
    janus: PathBuf,
    /// Writes the figures there as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let folder = std::env::temp_dir().join(format!("lyceum-peers-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = run(&options, &folder);
    if outcome.is_ok() {
        // The servers' logs stay when something went wrong.
        std::fs::remove_dir_all(&folder)?;
    }
    let outcome = outcome.with_context(|| format!("the servers' logs are in {}", folder.display()))?;
    println!("{outcome}");
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&outcome)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(outcome.contenders.iter().all(|c| c.rounds.iter().all(|r| r.bad_samples == 0)), "payloads were changed");
    Ok(())
}

fn run(options: &Options, folder: &std::path::Path) -> Result<Outcome> {
    account::pin(CROWD_CORE)?;
    let ground = Ground::lay()?;
    let beside = std::env::current_exe()?.with_file_name("lyceum");
    let ours = options.lyceum.as_ref().unwrap_or(&beside);
    ensure!(ours.exists(), "{} is not there: `cargo build --release -p lyceum`", ours.display());

    let janus = janus::Janus::start(&ground, &options.janus, folder, SERVER_CORE)?;
    let lyceum = lyceum::Lyceum::start(&ground, ours, folder, SERVER_CORE)?;
    let ours = lyceum.name().to_owned();
    let mut servers: Vec<Box<dyn Server>> = vec![Box::new(janus), Box::new(lyceum)];

    let mut parties = Vec::new();
    for server in 0..servers.len() {
        // As each chooses among all, and with the one that all must have.
        for profiles in [&SrtpProfile::PREFERRED[..], &[SrtpProfile::Aes128CmSha1_80]] {
            let (room, first) = (parties.len() as u32 + 1, ground.crowd(parties.len()));
            parties.push(Party::new(server, room, first, SessionConfig::with_profiles(profiles)?, options)?);
        }
    }
    // A few at a time everywhere, and between any two steps all show that they are still there (RFC 7675).
    let count = parties.len();
    for turn in 0.. {
        let party = &mut parties[turn % count];
        let server = &mut *servers[party.server];
        party
            .gather(server, options.viewers)
            .with_context(|| format!("{} does not take everybody in", server.name()))?;
        parties.iter_mut().try_for_each(|party| party.crowd.live(SIGN_OF_LIFE))?;
        if parties.iter().all(|party| party.crowd.viewers().count() == options.viewers) {
            break;
        }
    }
    for turn in 0..options.rounds * count {
        let party = &mut parties[turn % count];
        let server = &servers[party.server];
        let round = party.round(&server.pids(), options).with_context(|| server.name().to_owned())?;
        party.rounds.push(round);
        parties.iter_mut().try_for_each(|party| party.crowd.live(SIGN_OF_LIFE))?;
    }
    let contender = |party: Party| Contender {
        server: servers[party.server].name().to_owned(),
        profile: party.profile(),
        rounds: party.rounds,
    };
    Ok(Outcome {
        machine: account::machine(),
        viewers: options.viewers,
        bitrate_bps: options.kbps * 1_000,
        ours,
        contenders: parties.into_iter().map(contender).collect(),
    })
}

/// A publisher and its viewers at one server.
struct Party {
    server: usize,
    room: u32,
    crowd: Crowd,
    config: SessionConfig,
    shape: Shape,
    rounds: Vec<Round>,
}

impl Party {
    fn new(
        server: usize,
        room: u32,
        first: std::net::Ipv4Addr,
        config: SessionConfig,
        options: &Options,
    ) -> Result<Self> {
        let shape = Shape { bitrate_bps: options.kbps * 1_000, packets_per_frame: options.packets };
        Ok(Self { server, room, crowd: Crowd::new(first)?, config, shape, rounds: Vec::new() })
    }

    /// The publisher comes in, if it is not there, and some viewers more.
    fn gather(&mut self, server: &mut dyn Server, viewers: usize) -> Result<()> {
        if self.crowd.publishers().next().is_none() {
            let (knock, local) = self.knock(0);
            let publisher = server.publish(self.room, knock, local, self.shape)?;
            self.crowd.add_publisher(publisher);
            self.settle(1)?;
        }
        let there = self.crowd.viewers().count();
        let all = viewers.min(there + JOINS_AT_ONCE);
        for n in there..all {
            let (knock, local) = self.knock(n + 1);
            self.crowd.add_viewer(server.view(self.room, knock, local)?, 0);
        }
        self.settle(all + 1)
    }

    fn knock(&self, n: usize) -> (Knock, SocketAddr) {
        // Numbers differ over the whole run.
        let seed = u64::from(self.room) << 32 | n as u64;
        (Knock::new(&self.config, seed, self.crowd.zero()), self.crowd.next_address())
    }

    fn settle(&mut self, all: usize) -> Result<()> {
        let until = Instant::now() + JOINED_WITHIN;
        loop {
            self.crowd.live(Duration::from_millis(5))?;
            match self.crowd.up() {
                (_, Some(why)) => bail!("somebody was lost: {why}"),
                (up, None) if up == all => return Ok(()),
                (up, None) => ensure!(Instant::now() < until, "{up} of {all} are connected after {JOINED_WITHIN:?}"),
            }
        }
    }

    /// Plays for a while.
    fn round(&mut self, pids: &[u32], options: &Options) -> Result<Round> {
        self.crowd.play(self.shape.interval());
        self.crowd.live(Duration::from_secs(options.warm_up))?;
        self.crowd.forget()?;
        let before = account::processes(pids)?;
        self.crowd.live(Duration::from_secs(options.seconds))?;
        let cpu = account::processes(pids)?.saturating_sub(before);
        let tally = self.crowd.tally()?;
        self.crowd.pause();
        self.crowd.live(Duration::from_millis(200))?;
        if let (_, Some(why)) = self.crowd.up() {
            bail!("somebody was lost: {why}");
        }
        ensure!(tally.seen.packets > 0, "nothing arrived");
        Ok(Round {
            packets: tally.seen.packets,
            bytes: tally.seen.bytes,
            lost: tally.seen.lost,
            seconds: tally.time.as_secs_f64(),
            server_cpu_seconds: cpu.as_secs_f64(),
            delay_p50_ms: tally.delays.ms(0.5),
            delay_p99_ms: tally.delays.ms(0.99),
            crowd_busy: tally.cpu.as_secs_f64() / tally.time.as_secs_f64(),
            sink_drops: tally.sink_drops,
            bad_samples: tally.seen.bad_samples,
            resumed: tally.seen.resumed,
        })
    }

    fn profile(&self) -> String {
        let viewer = self.crowd.viewers().next();
        viewer
            .and_then(|viewer| viewer.call().profile())
            .map_or_else(|| "none".into(), |profile| format!("{profile:?}"))
    }
}
