//! A client and an edge on a seeded network in virtual time.
#![allow(dead_code, reason = "every test file plays with a part of it")]

use bytes::Bytes;
use lyceum_session::ice::Credentials;
use lyceum_session::{ChannelId, Config, Failure, MessageKind, Output, Pair, Remote, SctpRemote, Session, SrtpKeys};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub(crate) static EDGE_CONFIG: LazyLock<Config> = LazyLock::new(|| Config::new().unwrap());
pub(crate) static CLIENT_CONFIG: LazyLock<Config> = LazyLock::new(|| Config::new().unwrap());

pub(crate) fn edge_address() -> SocketAddr {
    "203.0.113.1:5000".parse().unwrap()
}

pub(crate) fn client_address() -> SocketAddr {
    "198.51.100.7:40000".parse().unwrap()
}

pub(crate) fn other_client_address() -> SocketAddr {
    "198.51.100.99:41000".parse().unwrap()
}

pub(crate) fn credentials(seed: u8) -> Credentials {
    Credentials::from_random(std::array::from_fn(|i| seed.wrapping_mul(31).wrapping_add(i as u8 * 7)))
}

pub(crate) const SCTP: SctpRemote = SctpRemote { port: 5000, max_message_bytes: 65_536 };

pub(crate) fn remote(config: &Config, ice: Credentials) -> Remote {
    Remote { ice, fingerprint: config.fingerprint(), sctp: Some(SCTP) }
}

/// What the network does to a datagram.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) loss_percent: u64,
    pub(crate) delay_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) duplicate_percent: u64,
    /// One to four bytes changed.
    pub(crate) garble_percent: u64,
}

pub(crate) const FINE: Weather =
    Weather { loss_percent: 0, delay_ms: 20, jitter_ms: 0, duplicate_percent: 0, garble_percent: 0 };
/// Jitter above the distance of two datagrams: they overtake each other.
pub(crate) const ROUGH: Weather =
    Weather { loss_percent: 10, delay_ms: 40, jitter_ms: 30, duplicate_percent: 2, garble_percent: 0 };

pub(crate) struct Play {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) weather: Weather,
    pub(crate) edge: Session,
    pub(crate) client: Session,
    pub(crate) edge_said: Vec<Output>,
    pub(crate) client_said: Vec<Output>,
    /// Datagrams to and from these client addresses vanish.
    pub(crate) dead: Vec<SocketAddr>,
    /// Datagrams from client to edge, as they left.
    pub(crate) seen: Vec<(Pair, Bytes)>,
    in_flight: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Bytes)>,
    random: u64,
    sent: u64,
}

impl Play {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        Self::with(seed, weather, &EDGE_CONFIG, &CLIENT_CONFIG, |_, _| {})
    }

    /// `spoil` changes what the edge and the client believe of each other.
    pub(crate) fn with(
        seed: u64,
        weather: Weather,
        edge_config: &Config,
        client_config: &Config,
        spoil: impl FnOnce(&mut Remote, &mut Remote),
    ) -> Self {
        #[allow(clippy::disallowed_methods, reason = "the one reading of a clock: virtual time needs an origin")]
        let now = Instant::now();
        let (edge_ice, client_ice) = (credentials(1), credentials(2));
        let mut seen_by_edge = remote(client_config, client_ice.clone());
        let mut seen_by_client = remote(edge_config, edge_ice.clone());
        spoil(&mut seen_by_edge, &mut seen_by_client);
        let edge = Session::server(edge_config, edge_ice, seen_by_edge, now);
        let client =
            Session::client(client_config, client_ice, seen_by_client, client_address(), &[edge_address()], seed, now);
        Self {
            now,
            start: now,
            weather,
            edge,
            client,
            edge_said: Vec::new(),
            client_said: Vec::new(),
            dead: Vec::new(),
            seen: Vec::new(),
            in_flight: BTreeMap::new(),
            random: seed,
            sent: 0,
        }
    }

    fn dice(&mut self, sides: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % sides.max(1)
    }

    fn post(&mut self, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let copies = 1 + u64::from(self.dice(100) < self.weather.duplicate_percent);
        for _ in 0..copies {
            let lost = self.dice(100) < self.weather.loss_percent;
            let ms = self.weather.delay_ms + self.dice(self.weather.jitter_ms + 1);
            let bytes = if self.dice(100) < self.weather.garble_percent { self.garble(&bytes) } else { bytes.clone() };
            if !lost && !self.dead.contains(&from) && !self.dead.contains(&to) {
                self.sent += 1;
                self.in_flight.insert((self.now + Duration::from_millis(ms), self.sent), (from, to, bytes));
            }
        }
    }

    fn garble(&mut self, bytes: &Bytes) -> Bytes {
        let mut garbled = bytes.to_vec();
        for _ in 0..=self.dice(4) {
            let at = self.dice(garbled.len() as u64) as usize;
            garbled[at] = self.dice(256) as u8;
        }
        garbled.truncate(garbled.len() - (self.dice(8) / 7 * self.dice(garbled.len() as u64)) as usize);
        garbled.into()
    }

    fn drain(&mut self) {
        while let Some(output) = self.edge.poll() {
            match output {
                Output::Transmit { pair, bytes } => self.post(pair.local, pair.remote, bytes),
                other => self.edge_said.push(other),
            }
        }
        while let Some(output) = self.client.poll() {
            match output {
                Output::Transmit { pair, bytes } => {
                    self.seen.push((pair, bytes.clone()));
                    self.post(pair.local, pair.remote, bytes);
                }
                other => self.client_said.push(other),
            }
        }
    }

    /// Turns the world until `done`, at most for `limit`. False: it never was.
    pub(crate) fn until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        let mut steps_at = (self.now, 0);
        loop {
            self.drain();
            if done(self) {
                return true;
            }
            let arrival = self.in_flight.first_key_value().map(|((at, _), _)| *at);
            let next = [arrival, self.edge.deadline(), self.client.deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            steps_at = if next > steps_at.0 { (next, 0) } else { (steps_at.0, steps_at.1 + 1) };
            assert!(steps_at.1 < 10_000, "time stands still: a deadline in the past");
            self.now = self.now.max(next);
            while let Some(entry) = self.in_flight.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, bytes) = entry.remove();
                if to == edge_address() {
                    self.edge.handle(from, to, &bytes, self.now);
                } else {
                    self.client.handle(from, to, &bytes, self.now);
                }
                self.drain();
            }
            if self.edge.deadline().is_some_and(|at| at <= self.now) {
                self.edge.handle_timeout(self.now);
            }
            if self.client.deadline().is_some_and(|at| at <= self.now) {
                self.client.handle_timeout(self.now);
            }
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    pub(crate) fn connect(&mut self) {
        let connected =
            self.until(Duration::from_secs(25), |play| play.edge.is_connected() && play.client.is_connected());
        assert!(connected, "not connected; edge {:?}, client {:?}", self.edge_said, self.client_said);
    }
}

pub(crate) fn keys(said: &[Output]) -> Option<&SrtpKeys> {
    said.iter().find_map(|output| match output {
        Output::Connected { srtp } => srtp.as_ref(),
        _ => None,
    })
}

pub(crate) fn failure(said: &[Output]) -> Option<Failure> {
    said.iter().find_map(|output| match output {
        Output::Failed { why } => Some(*why),
        _ => None,
    })
}

pub(crate) fn selections(said: &[Output]) -> Vec<Pair> {
    said.iter()
        .filter_map(|output| match output {
            Output::Selected { pair } => Some(*pair),
            _ => None,
        })
        .collect()
}

pub(crate) fn opened(said: &[Output]) -> Vec<ChannelId> {
    said.iter()
        .filter_map(|output| match output {
            Output::ChannelOpen { channel, .. } => Some(*channel),
            _ => None,
        })
        .collect()
}

pub(crate) fn messages(said: &[Output]) -> Vec<(ChannelId, MessageKind, Bytes)> {
    said.iter()
        .filter_map(|output| match output {
            Output::ChannelMessage { channel, kind, data } => Some((*channel, *kind, data.clone())),
            _ => None,
        })
        .collect()
}
