//! Fan-out at real scale: a real shard on one core, its publishers and thousands of viewers on the other.
//!
//! ```text
//!   core 1                                   core 0
//!   publishers ──── UDP, SRTP ─────────────▶ driver + shard (open, forward, seal, GSO)
//!   sink, one socket, an address a viewer ◀────────────────┘
//! ```
//!
//! Everybody joins for real (offer, ICE, DTLS), only without the HTTP around it. Then frames of equal packets flow, and
//! afterwards the same batches are sent to the same sink without an SFU: what the machine can do at best.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod bare;
mod edge;
mod outcome;

use anyhow::{Context, Result, bail, ensure};
use bare::{Batches, Labour, Pace, Spent};
use clap::Parser;
use edge::{Edge, Work};
use lyceum_crowd::{Crowd, Knock, Shape, Tally, Way, account};
use lyceum_session::sdp::Answer;
use lyceum_session::{Config as SessionConfig, SrtpProfile};
use outcome::{Ceiling, Loss, Outcome, Row};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The core of generator and sink.
const CROWD_CORE: usize = 1;
/// The address of seat 0; all of 127.0.0.0/8 is this machine's.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
/// Joins under way at once: a queue of people at a door.
const JOINS_AT_ONCE: usize = 50;
/// Everybody is in after this time, or something is wrong.
const JOINED_WITHIN: Duration = Duration::from_secs(20);
/// The shard's events are taken this often.
const SLICE: Duration = Duration::from_millis(100);
/// How long each run without an SFU takes.
const BARE_TIME: Duration = Duration::from_secs(2);

/// Fan-out of one real shard on one core.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Viewers, one row of figures each.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000,3000")]
    viewers: Vec<usize>,
    /// Rooms they are spread over, each with a publisher; its frames come evenly between those of the others.
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Bits per second of a publisher, in thousands.
    #[arg(long, default_value_t = 1_500)]
    kbps: u32,
    /// Packets of one frame.
    #[arg(long, default_value_t = 5)]
    packets: u32,
    /// How long media flow before it counts, in seconds: estimates and queues settle.
    #[arg(long, default_value_t = 4)]
    warm_up: u64,
    /// How long it counts, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// How often each row is measured, edge and bare sends by turns: another guest of the machine may take a part of it meanwhile.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// SRTP as the dearest profile has it, AES128_CM_HMAC_SHA1_80.
    #[arg(long)]
    sha1: bool,
    /// Writes the figures there as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    ensure!(options.rooms > 0, "at least one room is needed");
    options.viewers.sort_unstable();
    account::pin(CROWD_CORE)?;
    let outcome = run(&options)?;
    println!("{outcome}");
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&outcome)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let wrong = outcome.rows.iter().map(|row| row.bad_samples).sum::<u64>();
    ensure!(wrong == 0, "{wrong} samples were not what their publisher sent");
    Ok(())
}

fn run(options: &Options) -> Result<Outcome> {
    let profiles = if options.sha1 { vec![SrtpProfile::Aes128CmSha1_80] } else { SrtpProfile::PREFERRED.to_vec() };
    let session = SessionConfig::with_profiles(&profiles)?;
    let shape = Shape { bitrate_bps: options.kbps * 1_000, packets_per_frame: options.packets };
    let most = options.viewers.last().copied().unwrap_or_default();
    let mut house = House {
        edge: Edge::start(&session, most + options.rooms)?,
        crowd: Crowd::new(FIRST)?,
        session,
        shape,
        rooms: options.rooms,
        viewers: 0,
    };
    for room in 0..options.rooms {
        house.enter(Way::Publish, room)?;
    }
    house.settle()?;
    let mut rows = Vec::new();
    for &viewers in &options.viewers {
        house.fill(viewers)?;
        for round in 1..=options.rounds {
            rows.push(house.row(round, options).with_context(|| format!("{viewers} viewers, round {round}"))?);
        }
    }
    house.edge.stop()?;
    Ok(Outcome {
        machine: account::machine(),
        bitrate_bps: shape.bitrate_bps,
        packets_per_frame: options.packets,
        rows,
    })
}

/// The edge, and everybody who is connected to it.
struct House {
    edge: Edge,
    crowd: Crowd,
    session: SessionConfig,
    shape: Shape,
    rooms: usize,
    viewers: usize,
}

impl House {
    /// Somebody comes in.
    fn enter(&mut self, way: Way, room: usize) -> Result<()> {
        let local = self.crowd.next_address();
        let seed = (self.crowd.publishers().count() + self.viewers) as u64;
        let knock = Knock::new(&self.session, seed, self.crowd.zero());
        let answer = self.edge.join(way, &format!("room-{room}"), knock.offer(way))?;
        let answer = Answer::parse(&answer).context("the edge's answer cannot be read")?;
        let now = Instant::now();
        match way {
            Way::Publish => {
                let publisher = knock.publish(&answer, local, self.shape, now)?;
                self.crowd.add_publisher(publisher);
            }
            Way::View => {
                self.crowd.add_viewer(knock.view(&answer, local, now)?, room);
                self.viewers += 1;
            }
        }
        Ok(())
    }

    /// Waits until everybody's media could flow.
    fn settle(&mut self) -> Result<()> {
        let until = Instant::now() + JOINED_WITHIN;
        let all = self.rooms.max(self.crowd.publishers().count()) + self.viewers;
        loop {
            self.live(Duration::from_millis(5))?;
            let (up, ended) = self.crowd.up();
            if let Some(why) = ended {
                bail!("somebody was lost: {why}");
            }
            if up == all {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{up} of {all} are connected after {JOINED_WITHIN:?}");
        }
    }

    fn live(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.crowd.live(left.min(SLICE))?;
            self.edge.hear();
        }
    }

    /// Lets viewers in until there are so many.
    fn fill(&mut self, viewers: usize) -> Result<()> {
        while self.viewers < viewers {
            for _ in 0..JOINS_AT_ONCE.min(viewers - self.viewers) {
                self.enter(Way::View, self.viewers % self.rooms)?;
            }
            self.settle()?;
        }
        Ok(())
    }

    fn row(&mut self, round: u8, options: &Options) -> Result<Row> {
        self.crowd.play(self.shape.interval());
        self.live(Duration::from_secs(options.warm_up))?;
        self.crowd.forget()?;
        let before = self.edge.work()?;
        self.live(Duration::from_secs(options.seconds))?;
        let after = self.edge.work()?;
        let tally = self.crowd.tally()?;
        self.crowd.pause();
        // What is under way or held back by a pacer arrives before something else is measured.
        self.live(Duration::from_millis(500))?;
        if let (_, Some(why)) = self.crowd.up() {
            bail!("somebody was lost: {why}");
        }
        ensure!(tally.seen.packets > 0, "nothing arrived");
        let bare = self.ceiling(&tally)?;
        Ok(self.figures(round, &before, &after, &tally, bare))
    }

    fn figures(&self, round: u8, before: &Work, after: &Work, tally: &Tally, bare: Ceiling) -> Row {
        let seconds = tally.time.as_secs_f64();
        let (now, then) = (&after.stats, &before.stats);
        let sent = (now.datagrams_out - then.datagrams_out).max(1) as f64;
        let cpu = after.cpu.saturating_sub(before.cpu);
        let refused = |of: &lyceum_relay::driver::Snapshot| {
            of.dropped_send_buffer_full + of.dropped_send_refused + of.dropped_too_large + of.dropped_bad_destination
        };
        let viewer = self.crowd.viewers().next();
        Row {
            viewers: self.viewers,
            rooms: self.rooms,
            round,
            profile: viewer.and_then(|viewer| viewer.call().profile()).map_or_else(String::new, |p| format!("{p:?}")),
            seconds,
            gbps: tally.seen.bytes as f64 * 8.0 / seconds / 1e9,
            packets_per_second: tally.seen.packets as f64 / seconds,
            packet_bytes: tally.seen.bytes as f64 / tally.seen.packets.max(1) as f64,
            packets_per_send: sent / (now.sends - then.sends).max(1) as f64,
            edge_ns_per_packet: cpu.as_nanos() as f64 / sent,
            edge_busy: cpu.as_secs_f64() / seconds,
            delay_p50_ms: tally.delays.ms(0.5),
            delay_p99_ms: tally.delays.ms(0.99),
            delay_max_ms: tally.delays.ms(1.0),
            loss: Loss {
                missing: tally.seen.lost,
                edge_send: refused(now) - refused(then),
                edge_receive: after.drops - before.drops,
                sink_receive: tally.sink_drops,
                crowd_send: tally.send_drops,
            },
            samples: tally.seen.samples,
            bad_samples: tally.seen.bad_samples,
            resumed: tally.seen.resumed,
            reports_per_second: tally.seen.reports as f64 / seconds,
            crowd_busy: tally.cpu.as_secs_f64() / seconds,
            full_receives: tally.full_receives as f64 / tally.receives.max(1) as f64,
            bare,
        }
    }

    /// The same batches without an SFU.
    fn ceiling(&mut self, tally: &Tally) -> Result<Ceiling> {
        let mut rooms: Vec<Vec<SocketAddr>> = vec![Vec::new(); self.rooms];
        for (n, viewer) in self.crowd.viewers().enumerate() {
            rooms[n % self.rooms].push(viewer.call().local());
        }
        let segment = (tally.seen.bytes / tally.seen.packets.max(1)) as usize;
        let batches = Batches { rooms, segment, segments: self.shape.packets_per_frame.max(1) as usize };
        let pace = Pace::Every(self.shape.interval());
        let (paced, at_pace) = self.bare(&batches, Labour::Send, pace)?;
        let (sealed, at_pace_sealed) = self.bare(&batches, Labour::SealAndSend, pace)?;
        let (flat, at_most) = self.bare(&batches, Labour::Send, Pace::FlatOut)?;
        Ok(Ceiling {
            paced_p50_ms: at_pace.bare.ms(0.5),
            paced_p99_ms: at_pace.bare.ms(0.99),
            paced_ns_per_packet: paced.nanoseconds_each(),
            sealed_p99_ms: at_pace_sealed.bare.ms(0.99),
            sealed_ns_per_packet: sealed.nanoseconds_each(),
            flat_gbps: flat.gbps(),
            flat_arrived: at_most.bare_bytes as f64 / flat.bytes.max(1) as f64,
            flat_refused: flat.refused,
            flat_ns_per_packet: flat.nanoseconds_each(),
            flat_sink_busy: at_most.cpu.as_secs_f64() / at_most.time.as_secs_f64(),
        })
    }

    fn bare(&mut self, batches: &Batches, labour: Labour, pace: Pace) -> Result<(Spent, Tally)> {
        let (batches, zero) = (batches.clone(), self.crowd.zero());
        self.crowd.forget()?;
        let thread = std::thread::Builder::new().name("bare".into());
        let thread = thread.spawn(move || bare::send(&batches, labour, pace, BARE_TIME, zero))?;
        while !thread.is_finished() {
            self.live(Duration::from_millis(20))?;
        }
        let tally = self.crowd.tally()?;
        self.live(SLICE)?;
        match thread.join() {
            Ok(spent) => Ok((spent?, tally)),
            Err(_) => bail!("the bare sender panicked"),
        }
    }
}
