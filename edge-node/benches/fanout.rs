//! What one forwarded packet costs a shard, against what it cannot cost less than.
//!
//! One publisher, 1, 50 and 500 viewers. The shard is the real one, and so are its sessions, SRTP and the driver's
//! sender with a real socket; only signaling and the handshakes go by hand. A sink on another core takes what is sent.
//!
//! ```text
//!   shard:  open + forward + copy + seal + number + batch + send      the publisher's packets, already made
//!   limit:  copy + seal (AES-128-GCM) + send                          the same sizes in the same GSO batches
//! ```
//!
//! In both every viewer has a key of its own: nobody can send SRTP to two viewers under one.
//!
//! CPU time of the measuring thread, kernel included, which on loopback also delivers to the sink. Both are also
//! measured with a wire that sends nothing. Each figure is the median of [`RUNS`] runs that take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lyceum_bot::{Bot, Clip, Config as BotConfig, Output, Plan, Stage};
use lyceum_edge_core::config::{LINGER, PARTICIPANTS_MAX};
use lyceum_edge_core::door::{Command, Entry, Event, Secret, Seed, SocketId};
use lyceum_edge_core::{Config, Shard};
use lyceum_relay::driver::{Receiver, Sender, Stats, size_buffers};
use lyceum_relay_core::machine::{Datagram, Ecn, Input, Machine, Transmit, Wire};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::signal::{ClientSays, ToEdge};
use lyceum_wire::token::{Claims, Grants};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Runs of each measurement; the median is shown.
const RUNS: usize = 5;
/// Frames of one run, at 30 per second: all runs together stay within a silent viewer's consent (RFC 7675: 30 s).
const FRAMES: u32 = 60;
const FRAME: Duration = Duration::from_micros(33_333);
/// The publisher's bitrate: a camera at 1280 × 720.
const BITRATE: u32 = 2_000_000;

fn main() {
    pin(0);
    println!("| viewers | packets/frame | shard | limit | × | shard, nothing sent | limit, nothing sent | × |");
    println!("|---|---|---|---|---|---|---|---|");
    for viewers in [1, 50, 500] {
        measure(viewers);
    }
    println!("\nNanoseconds of CPU per forwarded packet, median of {RUNS} runs of {FRAMES} frames.");
}

fn measure(viewers: usize) {
    let sink = Sink::start();
    let mut house = House::new(viewers, sink.port);
    let mut figures: [Vec<f64>; 4] = Default::default();
    let mut packets_per_frame = 0.0;
    for _ in 0..RUNS {
        let sent = house.run(Out::Socket);
        let silent = house.run(Out::Nothing);
        packets_per_frame = sent.packets as f64 / f64::from(FRAMES) / viewers as f64;
        let shapes = std::mem::take(&mut house.shapes);
        figures[0].push(sent.nanoseconds_each());
        figures[1].push(limit(&shapes, Some(&mut house.sender)).nanoseconds_each());
        figures[2].push(silent.nanoseconds_each());
        figures[3].push(limit(&shapes, None).nanoseconds_each());
    }
    let [shard, limit, silent, seal] = figures.map(median);
    println!(
        "| {viewers} | {packets_per_frame:.1} | {shard:.0} | {limit:.0} | {:.2} | {silent:.0} | {seal:.0} | {:.2} |",
        shard / limit,
        silent / seal
    );
    let stats = house.stats.snapshot();
    let lost = stats.dropped_send_buffer_full + stats.dropped_send_refused + stats.dropped_too_large;
    assert_eq!(lost, 0, "the socket did not take everything: {stats:?}");
    assert!(sink.stop() > 0, "nothing arrived");
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// CPU time and packets of a run.
#[derive(Default)]
struct Cost {
    time: Duration,
    packets: u64,
}

impl Cost {
    fn nanoseconds_each(&self) -> f64 {
        self.time.as_nanos() as f64 / self.packets as f64
    }
}

/// One batch that the shard sent: to whom, the size of its datagrams, all bytes.
#[derive(Clone, Copy)]
struct Shape {
    to: SocketAddr,
    segment: usize,
    bytes: usize,
}

/// The least that must be done for these batches.
fn limit(shapes: &[Shape], mut sender: Option<&mut Sender>) -> Cost {
    const HEADER: usize = 24;
    let mut of_viewer = HashMap::new();
    let mut keys = Vec::new();
    let whose: Vec<usize> = shapes
        .iter()
        .map(|shape| {
            *of_viewer.entry(shape.to).or_insert_with(|| {
                keys.push(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[keys.len() as u8; 16]).unwrap()));
                keys.len() - 1
            })
        })
        .collect();
    let payload = vec![0x5a; 2_048];
    let mut batch = vec![0; 65_536];
    let mut number = 0_u64;
    let mut cost = Cost::default();
    let began = cpu();
    for (shape, key) in shapes.iter().zip(whose) {
        let key = &keys[key];
        let mut at = 0;
        while at < shape.bytes {
            let end = (at + shape.segment).min(shape.bytes);
            let body = at + HEADER;
            let tag = end - 16;
            if body < tag {
                batch[body..tag].copy_from_slice(&payload[..tag - body]);
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&number.to_be_bytes());
                let (head, rest) = batch.split_at_mut(body);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let sealed = &mut rest[..tag - body];
                let seal = key.seal_in_place_separate_tag(nonce, Aad::from(&head[at..]), sealed).unwrap();
                batch[tag..end].copy_from_slice(seal.as_ref());
            }
            number += 1;
            cost.packets += 1;
            at = end;
        }
        if let Some(sender) = &mut sender {
            let bytes = &batch[..shape.bytes];
            sender.send(Transmit { to: shape.to, from: None, ecn: Ecn::NotCapable, segment: shape.segment, bytes });
        }
    }
    cost.time = cpu() - began;
    cost
}

/// Where the shard's datagrams go.
#[derive(Clone, Copy)]
enum Out {
    Socket,
    Nothing,
}

/// Counts and passes on.
struct Gate<'a> {
    sender: Option<&'a mut Sender>,
    shapes: &'a mut Vec<Shape>,
}

impl Wire for Gate<'_> {
    fn send(&mut self, transmit: Transmit<'_>) {
        let Transmit { to, segment, bytes, .. } = transmit;
        self.shapes.push(Shape { to, segment: segment.min(bytes.len()), bytes: bytes.len() });
        if let Some(sender) = &mut self.sender {
            sender.send(transmit);
        }
    }
}

/// Keeps what is sent, for the handshakes.
struct Kept(Vec<(SocketAddr, Vec<u8>)>);

impl Wire for Kept {
    fn send(&mut self, transmit: Transmit<'_>) {
        for datagram in transmit.bytes.chunks(transmit.segment.max(1)) {
            self.0.push((transmit.to, datagram.to_vec()));
        }
    }
}

/// A shard, a publisher and its viewers, in a time of their own.
struct House {
    now: Instant,
    shard: Shard,
    address: SocketAddr,
    bots: Vec<Bot>,
    by_address: HashMap<SocketAddr, usize>,
    addresses: Vec<SocketAddr>,
    sender: Sender,
    stats: Arc<Stats>,
    shapes: Vec<Shape>,
}

impl House {
    fn new(viewers: usize, sink: u16) -> Self {
        let now = Instant::now();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        size_buffers(&socket);
        let address = socket.local_addr().unwrap();
        let stats = Arc::new(Stats::default());
        let sender = Sender::new(Arc::new(socket), stats.clone()).unwrap();
        let session = lyceum_session::Config::new().unwrap();
        let config = Config {
            node: NodeId::parse("eu-1").unwrap(),
            region: Region::parse("eu").unwrap(),
            shard: 0,
            candidates: vec![address],
            session: session.clone(),
            seed: Seed([1; 32]),
            unix_ms: 1_700_000_000_000,
            participants_max: PARTICIPANTS_MAX,
            linger: LINGER,
            turn: None,
            siblings: Vec::new(),
        };
        let shard = Shard::new(config, now);
        let camera = vec![Arc::new(Clip::made_up(7, 1280, 720, BITRATE, 30, 10))];
        let publisher = Plan { camera, ..Plan::default() };
        let viewer = Plan { video_slots: 1, tile: (1280, 720), ..Plan::default() };
        let mut house = Self {
            now,
            shard,
            address,
            bots: Vec::new(),
            by_address: HashMap::new(),
            addresses: Vec::new(),
            sender,
            stats,
            shapes: Vec::new(),
        };
        house.enter(publisher, sink, &session);
        for _ in 0..viewers {
            house.enter(viewer.clone(), sink, &session);
        }
        // Until everybody has a picture.
        house.live(Duration::from_secs(3));
        for (index, bot) in house.bots.iter().enumerate() {
            assert_eq!(bot.stage(), Stage::Connected, "bot {index}");
            assert!(index == 0 || bot.report().seen.packets > 0, "bot {index} sees nothing");
        }
        house
    }

    fn enter(&mut self, plan: Plan, sink: u16, session: &lyceum_session::Config) {
        let n = self.bots.len();
        let local = SocketAddr::from((Ipv4Addr::new(127, 1, (n / 250) as u8, (1 + n % 250) as u8), sink));
        let config =
            BotConfig { token: String::new(), plan, local, seed: 1_000 + n as u64, origin: n as u64, zero: self.now };
        self.by_address.insert(local, n);
        self.addresses.push(local);
        self.bots.push(Bot::new(config, session, self.now));
        self.bots[n].socket_opened();
        // Handshakes one after the other, as a queue of people at a door.
        self.live(Duration::from_millis(30));
    }

    /// Lets everybody live on for a while.
    fn live(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.settle();
            let next = self.bots.iter().filter_map(Bot::deadline).chain(self.shard.deadline()).min();
            self.now = next.unwrap_or(until).max(self.now + Duration::from_millis(1)).min(until);
            for bot in &mut self.bots {
                if bot.deadline().is_some_and(|at| at <= self.now) {
                    bot.tick(self.now);
                }
            }
            self.shard.handle(Input::Tick, self.now);
            if self.now >= until {
                return self.settle();
            }
        }
    }

    /// Carries messages and datagrams until nobody has any.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for n in 0..self.bots.len() {
                while let Some(output) = self.bots[n].poll() {
                    quiet = false;
                    match output {
                        Output::Say(message) => self.say(n, *message),
                        Output::Transmit { bytes, .. } => self.receive(n, &mut bytes.to_vec()),
                    }
                }
            }
            let mut kept = Kept(Vec::new());
            self.shard.flush(&mut kept, self.now);
            for (to, mut datagram) in kept.0 {
                quiet = false;
                let bot = self.by_address[&to];
                self.bots[bot].datagram(self.address, &mut datagram, self.now);
            }
            while let Some(event) = self.shard.poll() {
                quiet = false;
                if let Event::Say { socket, message } = event {
                    self.bots[socket.0 as usize - 1].hear(message.to_client(), self.now);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn say(&mut self, n: usize, message: ToEdge) {
        let socket = SocketId(n as u64 + 1);
        let command = match message.body {
            ClientSays::Hello { .. } => Command::Open { socket, entry: Box::new(entry(n)) },
            _ => Command::Said { socket, message: Box::new(message) },
        };
        self.shard.handle(Input::Command(command), self.now);
    }

    fn receive(&mut self, n: usize, bytes: &mut [u8]) {
        let datagram = Datagram { from: self.addresses[n], to: self.address, ecn: Ecn::NotCapable, bytes };
        self.shard.handle(Input::Datagram(datagram), self.now);
    }

    /// Frames of the publisher through the shard; only the shard's and the kernel's work is measured.
    fn run(&mut self, out: Out) -> Cost {
        let mut cost = Cost::default();
        self.shapes.clear();
        for _ in 0..FRAMES {
            self.now += FRAME;
            self.between();
            self.bots[0].tick(self.now);
            let mut datagrams = Vec::new();
            while let Some(output) = self.bots[0].poll() {
                match output {
                    Output::Say(message) => self.say(0, *message),
                    Output::Transmit { bytes, .. } => datagrams.push(bytes.to_vec()),
                }
            }
            let from = self.addresses[0];
            let before = self.shapes.len();
            let began = cpu();
            for bytes in &mut datagrams {
                let datagram = Datagram { from, to: self.address, ecn: Ecn::NotCapable, bytes };
                self.shard.handle(Input::Datagram(datagram), self.now);
            }
            let sender = matches!(out, Out::Socket).then_some(&mut self.sender);
            self.shard.flush(&mut Gate { sender, shapes: &mut self.shapes }, self.now);
            cost.time += cpu() - began;
            let frame = &self.shapes[before..];
            cost.packets += frame.iter().map(|shape| shape.bytes.div_ceil(shape.segment) as u64).sum::<u64>();
        }
        cost
    }

    /// What is due beside media: reports, timers. The publisher hears it; the viewers stand still.
    fn between(&mut self) {
        self.shard.handle(Input::Tick, self.now);
        let mut kept = Kept(Vec::new());
        self.shard.flush(&mut kept, self.now);
        while self.shard.poll().is_some() {}
        for (to, mut datagram) in kept.0 {
            if to == self.addresses[0] {
                self.bots[0].datagram(self.address, &mut datagram, self.now);
            }
        }
    }
}

fn entry(n: usize) -> Entry {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Entry {
        secret: Secret(format!("secret-{n}")),
        participant: ParticipantId::parse(&format!("p{n}")).unwrap(),
        claims: Claims {
            aud: "lyceum".into(),
            sub: format!("u{n}"),
            name: format!("u{n}"),
            room: RoomId::parse("fanout").unwrap(),
            grants: Grants::participant(),
            nbf: 0,
            exp: u64::MAX,
        },
        seed: Seed(seed),
    }
}

/// Takes whatever comes to any of the viewers' addresses, on another core.
struct Sink {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
    stats: Arc<Stats>,
}

impl Sink {
    fn start() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        size_buffers(&socket);
        let port = socket.local_addr().unwrap().port();
        let stats = Arc::new(Stats::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut receiver = Receiver::new(Arc::new(socket), stats.clone()).unwrap();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            pin(1);
            while !stopped.load(Ordering::Relaxed) {
                if !receiver.receive() {
                    std::thread::sleep(Duration::from_micros(200));
                }
                receiver.drain(|_| {});
            }
        });
        Self { port, stop, thread, stats }
    }

    /// How many datagrams came.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.stats.snapshot().datagrams_in
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Stays on one core, where there are several.
fn pin(core: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut set = CpuSet::new();
    set.set(core % cores);
    sched_setaffinity(None, &set).unwrap();
}
