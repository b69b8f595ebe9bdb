//! One bottleneck and who shares it: viewers served by a real [`Estimate`] with a simple pacer and a source of pictures, and flows
//! that take what they can get.
//!
//! ```text
//!   source ─▶ pacer ─▶ ┐                    ┌─▶ recorder ─▶ feedback bytes ─▶ back ─▶ Estimate
//!   source ─▶ pacer ─▶ ├─▶ Link (shared) ─▶ ┤
//!   greedy ──────────▶ ┘                    └─▶ acknowledgement ─▶ back ─▶ greedy
//! ```

use lyceum_media::estimate::{ClusterId, Estimate, Probe, Sent};
use lyceum_media::{Ssrc, feedback::twcc::Recorder};
use lyceum_sim::{Greedy, Growth, Link, Random, SEGMENT_BYTES, Shape};
use lyceum_wire::rtcp;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub(crate) const PACKET_BYTES: usize = 1_200;
const VOICE_BYTES: usize = 130;
const VOICE_EVERY: Duration = Duration::from_millis(20);
const PICTURE_EVERY: Duration = Duration::from_micros(33_333);
const STEP: Duration = Duration::from_millis(1);
const SAMPLE_EVERY: u64 = 10;
const FEEDBACK_EVERY: Duration = Duration::from_millis(100);

/// What makes pictures.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// An encoder that follows the target up to a rate.
    Encoder { max_bps: u64 },
    /// Layers of a simulcast: the highest that the target carries.
    Layers(Vec<u64>),
    /// No pictures.
    Off,
}

/// What the viewer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    TransportWide,
    Congestion,
    ReportsAndRemb,
    Reports,
}

/// How a viewer is served.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) source: Source,
    pub(crate) voice: bool,
    pub(crate) tells: Tells,
    pub(crate) back: Shape,
    /// The pacer sends this much at once.
    pub(crate) burst: Duration,
    pub(crate) wanted_bps: Option<u64>,
}

impl Viewer {
    pub(crate) fn encoder(max_bps: u64, delay: Duration) -> Self {
        Self {
            source: Source::Encoder { max_bps },
            voice: false,
            tells: Tells::TransportWide,
            back: Shape::free(delay),
            burst: Duration::from_millis(10),
            wanted_bps: Some(max_bps),
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Parcel {
    Media { flow: usize, number: u16, ssrc: u32, sequence: u16, bytes: usize, sent: Instant },
    Segment { flow: usize, segment: u64 },
}

/// The state every ten milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) target_bps: u64,
    pub(crate) pacer: Duration,
    /// Bytes of this viewer that arrived so far.
    pub(crate) arrived_bytes: u64,
    pub(crate) queue: Duration,
}

pub(crate) struct Flow {
    began: Instant,
    pub(crate) estimate: Estimate,
    pub(crate) viewer: Viewer,
    back: Link<Vec<u8>>,
    random: Random,
    // Sending.
    queue: VecDeque<Waiting>,
    clear_at: Instant,
    burst_at: Instant,
    probe: Option<Sending>,
    number: u16,
    sequences: [u16; 3],
    next_picture: Instant,
    next_voice: Instant,
    layer: usize,
    pub(crate) padding_bytes: u64,
    // Receiving.
    recorder: Recorder,
    /// The viewer's clock is this much ahead.
    pub(crate) clock_ahead: Duration,
    arrivals: BTreeMap<u32, Stream>,
    next_told: Instant,
    reception: Reception,
    pub(crate) arrived_bytes: u64,
    /// Feedback kept back to be delivered late.
    pub(crate) kept: Vec<Vec<u8>>,
    pub(crate) keep_next: usize,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    bytes: usize,
    since: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    probe: Probe,
    packets: u16,
    bytes: u32,
}

#[derive(Debug, Default)]
struct Stream {
    next: Option<u16>,
    arrived: BTreeMap<u16, Instant>,
}

#[derive(Debug, Default)]
struct Reception {
    numbers: Vec<u16>,
    expected_from: u16,
    bytes: u64,
    least: Option<Duration>,
    newest: Duration,
}

struct Other {
    flow: Greedy,
    back: Link<u64>,
    until: Option<Instant>,
    pub(crate) arrived_bytes: u64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) link: Link<Parcel>,
    pub(crate) flows: Vec<Flow>,
    others: Vec<Other>,
    seed: u64,
    steps: u64,
}

impl World {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let zero = Instant::now();
        let link = Link::new(shape, seed, zero);
        Self { now: zero, link, flows: Vec::new(), others: Vec::new(), seed, steps: 0 }
    }

    pub(crate) fn add(&mut self, viewer: Viewer) -> usize {
        let now = self.now;
        let seed = self.seed.wrapping_mul(31).wrapping_add(self.flows.len() as u64 + 1);
        let mut estimate = Estimate::new(now);
        if let Some(wanted) = viewer.wanted_bps {
            estimate.wanted(wanted, now);
        }
        self.flows.push(Flow {
            began: now,
            estimate,
            back: Link::new(viewer.back, seed ^ 0xbac, now),
            random: Random::new(seed),
            queue: VecDeque::new(),
            clear_at: now,
            burst_at: now,
            probe: None,
            number: 65_000,
            sequences: [7, 65_500, 3],
            next_picture: now,
            next_voice: now,
            layer: 0,
            padding_bytes: 0,
            recorder: Recorder::new(now),
            clock_ahead: Duration::ZERO,
            arrivals: BTreeMap::new(),
            next_told: now,
            reception: Reception { expected_from: 65_000, ..Reception::default() },
            arrived_bytes: 0,
            kept: Vec::new(),
            keep_next: 0,
            samples: Vec::new(),
            viewer,
        });
        self.flows.len() - 1
    }

    /// A flow that takes what it can get, for so long.
    pub(crate) fn greedy(&mut self, growth: Growth, delay: Duration, lasts: Option<Duration>) {
        let back = Link::new(Shape::free(delay), self.seed ^ 0x7c9, self.now);
        let until = lasts.map(|lasts| self.now + lasts);
        self.others.push(Other { flow: Greedy::new(growth, self.now), back, until, arrived_bytes: 0 });
    }

    pub(crate) fn set(&mut self, shape: Shape) {
        self.link.set(shape, self.now);
    }

    pub(crate) fn run(&mut self, lasts: Duration) {
        let until = self.now + lasts;
        while self.now < until {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        self.steps += 1;
        let now = self.now;
        while let Some((at, parcel)) = self.link.take_due(now) {
            match parcel {
                Parcel::Media { flow, number, ssrc, sequence, bytes, sent } => {
                    self.flows[flow].arrived(number, ssrc, sequence, bytes, sent, at);
                }
                Parcel::Segment { flow, segment } => {
                    let other = &mut self.others[flow];
                    other.arrived_bytes += SEGMENT_BYTES as u64;
                    let _ = other.back.send(40, segment, at);
                }
            }
        }
        for (index, flow) in self.flows.iter_mut().enumerate() {
            flow.tell(now);
            flow.hear(now);
            if flow.estimate.deadline().is_some_and(|at| at <= now) {
                flow.estimate.handle_timeout(now);
            }
            flow.make(now);
            flow.pace(index, &mut self.link, now);
            if self.steps.is_multiple_of(SAMPLE_EVERY) {
                flow.sample(self.link.queue_delay(), now);
            }
        }
        for (index, other) in self.others.iter_mut().enumerate() {
            while let Some((at, segment)) = other.back.take_due(now) {
                other.flow.acknowledged(segment, at);
            }
            if other.until.is_some_and(|until| until <= now) {
                continue;
            }
            other.flow.handle_timeout(now);
            while let Some(segment) = other.flow.poll(now) {
                let _ = self.link.send(SEGMENT_BYTES, Parcel::Segment { flow: index, segment }, now);
            }
        }
    }
}

impl Flow {
    /// Average target over the last so many seconds, kbit/s.
    pub(crate) fn target_kbps(&self, seconds: f64) -> f64 {
        let count = ((seconds * 100.0) as usize).clamp(1, self.samples.len());
        let last = &self.samples[self.samples.len() - count..];
        last.iter().map(|s| s.target_bps as f64).sum::<f64>() / count as f64 / 1_000.0
    }

    /// Least target over the last so many seconds, kbit/s.
    pub(crate) fn least_kbps(&self, seconds: f64) -> f64 {
        let count = ((seconds * 100.0) as usize).clamp(1, self.samples.len());
        let last = &self.samples[self.samples.len() - count..];
        last.iter().map(|s| s.target_bps).min().unwrap_or(0) as f64 / 1_000.0
    }

    /// What arrived over the last so many seconds, kbit/s.
    pub(crate) fn arrived_kbps(&self, seconds: f64) -> f64 {
        let count = ((seconds * 100.0) as usize).clamp(2, self.samples.len());
        let last = &self.samples[self.samples.len() - count..];
        (last[count - 1].arrived_bytes - last[0].arrived_bytes) as f64 * 8.0 / ((count - 1) as f64 * 10.0)
    }

    /// This quantile of the queue in the network over the last so many seconds, ms.
    pub(crate) fn queue_ms(&self, seconds: f64, quantile: f64) -> f64 {
        self.quantile(seconds, quantile, |sample| sample.queue)
    }

    /// The same of the pacer's.
    pub(crate) fn pacer_ms(&self, seconds: f64, quantile: f64) -> f64 {
        self.quantile(seconds, quantile, |sample| sample.pacer)
    }

    fn quantile(&self, seconds: f64, quantile: f64, of: impl Fn(&Sample) -> Duration) -> f64 {
        let count = ((seconds * 100.0) as usize).clamp(1, self.samples.len());
        let mut last: Vec<Duration> = self.samples[self.samples.len() - count..].iter().map(of).collect();
        last.sort_unstable();
        last[((count - 1) as f64 * quantile) as usize].as_secs_f64() * 1_000.0
    }

    /// Seconds from the beginning until the target first reached this.
    pub(crate) fn reached_after(&self, kbps: f64) -> Option<f64> {
        self.samples.iter().position(|s| s.target_bps as f64 >= kbps * 1_000.0).map(|n| n as f64 / 100.0)
    }

    /// Feedback of bytes, as the wire would deliver it.
    pub(crate) fn take_feedback(&mut self, bytes: &[u8], now: Instant) {
        for packet in rtcp::Compound::new(bytes) {
            match packet {
                Ok(rtcp::Packet::Transport(feedback)) => self.estimate.feedback(&feedback, now),
                Ok(rtcp::Packet::Congestion(feedback)) => self.estimate.congestion_feedback(&feedback, now),
                Ok(rtcp::Packet::Bandwidth { bitrate_bps, .. }) => self.estimate.remb(bitrate_bps, now),
                Ok(rtcp::Packet::ReceiverReport { reports, .. }) => {
                    for report in reports {
                        // The delay field carries the whole round trip here, in 1/65,536 s.
                        let rtt = Duration::from_secs_f64(f64::from(report.delay) / 65_536.0);
                        self.estimate.report(f32::from(report.fraction_lost) / 256.0, Some(rtt), now);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn make(&mut self, now: Instant) {
        while self.next_voice <= now {
            self.next_voice += VOICE_EVERY;
            if self.viewer.voice {
                // In front of everything.
                self.queue.push_front(Waiting { bytes: VOICE_BYTES, since: now });
            }
        }
        while self.next_picture <= now {
            self.next_picture += PICTURE_EVERY;
            let target = self.estimate.target_bps();
            let bps = match &self.viewer.source {
                Source::Encoder { max_bps } => target.min(*max_bps),
                Source::Layers(layers) => {
                    let fits = layers.iter().rposition(|bps| *bps <= target).unwrap_or(0);
                    // Up only with some room.
                    if fits < self.layer || target as f64 > layers[fits] as f64 * 1.1 {
                        self.layer = fits;
                    }
                    layers[self.layer]
                }
                Source::Off => 0,
            };
            let noise = 0.7 + self.random.below(600) as f64 / 1_000.0;
            let mut bytes = (bps as f64 / 8.0 * PICTURE_EVERY.as_secs_f64() * noise) as usize;
            while bytes > 0 {
                let packet = bytes.min(PACKET_BYTES);
                bytes -= packet;
                self.queue.push_back(Waiting { bytes: packet.max(100), since: now });
            }
        }
    }

    fn pace(&mut self, index: usize, link: &mut Link<Parcel>, now: Instant) {
        if self.probe.is_none()
            && let Some(probe) = self.estimate.poll()
        {
            self.probe = Some(Sending { probe, packets: 0, bytes: 0 });
            self.clear_at = now;
        }
        // Voices do not wait for the pacer.
        while self.queue.front().is_some_and(|first| first.bytes == VOICE_BYTES) {
            self.queue.pop_front();
            self.send(index, 0, VOICE_BYTES, None, link, now);
        }
        if let Some(mut sending) = self.probe {
            self.clear_at = self.clear_at.max(now.checked_sub(STEP * 2).unwrap_or(now));
            while self.clear_at <= now {
                let (bytes, stream) = match self.queue.pop_front() {
                    Some(first) => (first.bytes, 1),
                    None => (PACKET_BYTES, 2),
                };
                self.send(index, stream, bytes, Some(sending.probe.cluster), link, now);
                self.clear_at += time_of(bytes, sending.probe.bps);
                sending.packets += 1;
                sending.bytes += bytes as u32;
                if sending.packets >= sending.probe.packets_min && sending.bytes >= sending.probe.bytes_min {
                    self.probe = None;
                    return;
                }
            }
            self.probe = Some(sending);
            return;
        }
        if now < self.burst_at {
            return;
        }
        self.burst_at = now + self.viewer.burst;
        self.clear_at = self.clear_at.max(now.checked_sub(self.viewer.burst).unwrap_or(now));
        while self.clear_at <= now && self.estimate.in_flight_bytes() <= self.estimate.window_bytes() {
            let Some(first) = self.queue.pop_front() else { break };
            self.send(index, 1, first.bytes, None, link, now);
            self.clear_at += time_of(first.bytes, self.estimate.pacing_bps());
        }
    }

    fn send(
        &mut self,
        index: usize,
        stream: usize,
        bytes: usize,
        probe: Option<ClusterId>,
        link: &mut Link<Parcel>,
        now: Instant,
    ) {
        let (number, ssrc, sequence) = (self.number, 100 + stream as u32, self.sequences[stream]);
        self.number = self.number.wrapping_add(1);
        self.sequences[stream] = sequence.wrapping_add(1);
        self.padding_bytes += if stream == 2 { bytes as u64 } else { 0 };
        self.estimate.sent(Sent { number, bytes: bytes as u16, ssrc: Ssrc(ssrc), sequence, probe }, now);
        let _ = link.send(bytes, Parcel::Media { flow: index, number, ssrc, sequence, bytes, sent: now }, now);
    }

    fn arrived(&mut self, number: u16, ssrc: u32, sequence: u16, bytes: usize, sent: Instant, at: Instant) {
        self.arrived_bytes += bytes as u64;
        self.recorder.received(number, at + self.clock_ahead);
        let stream = self.arrivals.entry(ssrc).or_default();
        stream.next.get_or_insert(sequence);
        stream.arrived.insert(sequence, at);
        let reception = &mut self.reception;
        reception.numbers.push(number);
        reception.bytes += bytes as u64;
        reception.newest = at.duration_since(sent);
        reception.least = Some(reception.least.map_or(reception.newest, |least| least.min(reception.newest)));
    }

    fn tell(&mut self, now: Instant) {
        let mut buffer = [0; 1_500];
        match self.viewer.tells {
            Tells::TransportWide => loop {
                let mut writer = rtcp::Writer::new(&mut buffer[..Recorder::bytes_max()]);
                if !self.recorder.poll(now + self.clock_ahead, 1, 2, &mut writer) {
                    break;
                }
                let bytes = writer.written().to_vec();
                if self.keep_next > 0 {
                    self.keep_next -= 1;
                    self.kept.push(bytes);
                } else {
                    let _ = self.back.send(bytes.len(), bytes, now);
                }
            },
            Tells::Congestion => {
                if now < self.next_told {
                    return;
                }
                self.next_told = now + FEEDBACK_EVERY;
                let mut told = Vec::new();
                for (ssrc, stream) in &mut self.arrivals {
                    let Some(begin) = stream.next else { continue };
                    let ahead = |sequence: u16| sequence.wrapping_sub(begin);
                    let Some(last) =
                        stream.arrived.keys().copied().filter(|s| ahead(*s) < 30_000).max_by_key(|s| ahead(*s))
                    else {
                        continue;
                    };
                    let fates: Vec<rtcp::Fate> = (0..=ahead(last))
                        .map(|n| match stream.arrived.get(&begin.wrapping_add(n)) {
                            None => rtcp::Fate::Missing,
                            Some(at) => {
                                let offset = (now.duration_since(*at).as_secs_f64() * 1_024.0) as u16;
                                rtcp::Fate::Arrived { offset: Some(offset), ecn: 0 }
                            }
                        })
                        .collect();
                    stream.arrived.clear();
                    stream.next = Some(last.wrapping_add(1));
                    told.push((*ssrc, begin, fates));
                }
                if told.is_empty() {
                    return;
                }
                let streams: Vec<_> = told
                    .iter()
                    .map(|(ssrc, begin, fates)| rtcp::StreamFates { ssrc: *ssrc, begin: *begin, fates })
                    .collect();
                // Began near the wrap of 32 bits.
                let since = now.duration_since(self.began).as_secs_f64() + 65_530.0;
                let timestamp = ((since * 65_536.0) as u64 & 0xffff_ffff) as u32;
                let mut writer = rtcp::Writer::new(&mut buffer);
                writer.congestion_feedback(1, timestamp, &streams).unwrap();
                let bytes = writer.written().to_vec();
                let _ = self.back.send(bytes.len(), bytes, now);
            }
            Tells::Reports | Tells::ReportsAndRemb => {
                if now < self.next_told {
                    return;
                }
                self.next_told = now + FEEDBACK_EVERY * 10;
                let reception = &mut self.reception;
                let highest = reception.numbers.iter().map(|n| n.wrapping_sub(reception.expected_from)).max();
                let Some(highest) = highest else { return };
                let expected = f64::from(highest) + 1.0;
                let lost = (1.0 - reception.numbers.len() as f64 / expected).max(0.0);
                reception.expected_from = reception.expected_from.wrapping_add(highest + 1);
                let queue = reception.newest - reception.least.unwrap_or_default();
                let trip = reception.newest + self.viewer.back.way.delay;
                let report = rtcp::Report {
                    fraction_lost: (lost * 256.0) as u8,
                    delay: (trip.as_secs_f64() * 65_536.0) as u32,
                    ..rtcp::Report::default()
                };
                let mut writer = rtcp::Writer::new(&mut buffer);
                writer.receiver_report(1, &[report]).unwrap();
                if self.viewer.tells == Tells::ReportsAndRemb {
                    // A receiver that sees queues: it asks for less when one stands, and for a little more otherwise.
                    let factor = if queue > Duration::from_millis(60) { 0.85 } else { 1.1 };
                    writer.bandwidth(1, (reception.bytes as f64 * 8.0 * factor) as u64, &[]).unwrap();
                }
                reception.numbers.clear();
                reception.bytes = 0;
                let bytes = writer.written().to_vec();
                let _ = self.back.send(bytes.len(), bytes, now);
            }
        }
    }

    fn hear(&mut self, now: Instant) {
        while let Some((at, bytes)) = self.back.take_due(now) {
            self.take_feedback(&bytes, at);
        }
    }

    fn sample(&mut self, queue: Duration, now: Instant) {
        let waiting = self.queue.iter().map(|waiting| waiting.since).min();
        let pacer = waiting.map_or(Duration::ZERO, |since| now.duration_since(since));
        let (target_bps, arrived_bytes) = (self.estimate.target_bps(), self.arrived_bytes);
        self.samples.push(Sample { target_bps, pacer, arrived_bytes, queue });
    }
}

impl World {
    /// What the greedy flows got so far, in bytes.
    pub(crate) fn greedy_bytes(&self) -> u64 {
        self.others.iter().map(|other| other.arrived_bytes).sum()
    }
}

fn time_of(bytes: usize, bps: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 * 8.0 / bps.max(1) as f64)
}
