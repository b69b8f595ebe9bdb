//! How much the way to one subscriber carries: send-side bandwidth estimation (`docs/estimation.md`).
//!
//! ```text
//!   sent ──────▶ history ◀─ clock ◀─ feedback (transport-cc), congestion_feedback (RFC 8888)
//!                  │ arrived                     │ settled
//!                  ▼                             ▼
//!               groups ─▶ queue ─▶ trend       loss ───────────┐
//!                  └─▶ throughput ─▶ rate ─────────────────────┼─▶ target_bps, pacing_bps, window_bytes
//!   report, remb ─▶ reports (alone for those who give no feedback)┘
//!   wanted, time ─▶ limited, probing ─▶ poll: Probe ─▶ … sent … ─▶ cluster ─▶ rate
//! ```
//!
//! In: what left, what the peer says arrived, time. Out: a rate to share out, a pace, probes. All times inside are µs since
//! the estimate was made; the peer's clock is never compared with ours, only its differences are used.

mod clock;
mod cluster;
mod groups;
mod history;
mod ignored;
mod limited;
mod loss;
mod probing;
mod queue;
mod rate;
mod reports;
mod rival;
mod round;
mod seam;
mod throughput;
mod trend;

use crate::fetch::fetch;
use clock::{PeerClock, Verdict};
use cluster::Clusters;
use groups::{Group, Groups};
use history::History;
use ignored::Counts;
use limited::Limited;
use loss::Loss;
use lyceum_wire::rtcp;
use probing::Probing;
use queue::Queue;
use rate::Rate;
use reports::Reports;
use round::{Anchor, Newest, Round, Unit};
use std::time::{Duration, Instant};
use throughput::{Measured, Throughput};
use trend::{Trend, Usage};

pub use history::PACKETS_MAX;
pub use ignored::Ignored;
pub use seam::{Bounds, ClusterId, MAX_BPS, MIN_BPS, Probe, START_BPS, Sent};

/// One subscriber's bandwidth estimate.
#[derive(Debug)]
pub struct Estimate {
    epoch: Instant,
    bounds: Bounds,
    history: History,
    clock: PeerClock,
    groups: Groups,
    queue: Queue,
    trend: Trend,
    throughput: Throughput,
    rate: Rate,
    loss: Loss,
    reports: Reports,
    limited: Limited,
    probing: Probing,
    clusters: Clusters,
    wanted_bps: Option<f64>,
    rtt: Option<RoundTrip>,
    /// Packets were lost since the last group.
    lost: bool,
    /// When feedback with arrival times was heard last.
    heard_us: Option<u64>,
    /// Number behind the last transport-wide feedback, and that feedback's own number.
    told: Option<Told>,
    silence: Option<Silence>,
    /// When feedback will have stayed away too long.
    silent_at_us: Option<u64>,
    /// When to think of probing again.
    probe_at_us: Option<u64>,
    /// The newest moment told.
    now_us: u64,
    target_bps: u64,
    ignored: Counts,
}

#[derive(Debug, Clone, Copy)]
struct RoundTrip {
    smooth_us: u64,
    /// Least of late: the way without queues.
    least_us: u64,
    least_at_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    until: u16,
    feedback: u8,
}

/// Feedback stays away although packets are under way.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// The rate before it began.
    before_bps: f64,
}

impl Estimate {
    /// Nothing known yet, usual bounds.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self::within(Bounds::default(), now)
    }

    /// Nothing known yet.
    #[must_use]
    pub fn within(bounds: Bounds, now: Instant) -> Self {
        let start = bounds.start_bps as f64;
        Self {
            epoch: now,
            bounds,
            history: History::new(),
            clock: PeerClock::default(),
            groups: Groups::default(),
            queue: Queue::default(),
            trend: Trend::new(),
            throughput: Throughput::new(),
            rate: Rate::new(start, 0),
            loss: Loss::new(),
            reports: Reports::new(start),
            limited: Limited::new(0),
            probing: Probing::new(bounds.max_bps as f64),
            clusters: Clusters::default(),
            wanted_bps: None,
            rtt: None,
            lost: false,
            heard_us: None,
            told: None,
            silence: None,
            silent_at_us: None,
            probe_at_us: None,
            now_us: 0,
            target_bps: bounds.start_bps,
            ignored: Counts::default(),
        }
    }

    /// A packet left. Hot: called for each.
    #[inline]
    pub fn sent(&mut self, packet: Sent, now: Instant) {
        let now_us = self.tell(now);
        self.history.sent(&packet, now_us);
        self.limited.update(packet.bytes, self.rate.bps(), now_us);
        self.reports.sent(packet.bytes, now_us);
        if let Some(cluster) = packet.probe {
            self.probing.sent(cluster.0, packet.bytes);
        }
        if self.silent_at_us.is_none() && self.heard_us.is_some() {
            self.silent_at_us = Some(now_us + self.patience_us());
        }
        if self.probing.begin(self.bounds.start_bps as f64, self.wanted_bps, now_us) {
            self.plan();
        }
    }

    /// Asks for what feedback needs, which is about to come. A crowd's estimates are in no cache.
    #[inline]
    pub fn fetch(&self) {
        self.fetch_for_sending();
        fetch(&self.clock);
        fetch(&self.groups);
        self.queue.fetch();
        self.trend.fetch();
        self.throughput.fetch();
        self.loss.fetch();
    }

    /// Asks for what a packet that leaves needs, …
    #[inline]
    pub(crate) fn fetch_for_sending(&self) {
        fetch(&self.history);
        fetch(&self.queue);
        fetch(&self.rate);
        self.reports.fetch();
        self.limited.fetch();
        self.probing.fetch();
        fetch(&self.rtt);
        fetch(&self.silent_at_us);
        fetch(&self.target_bps);
    }

    /// … and when that is there, for its place.
    #[inline]
    pub(crate) fn fetch_place(&self) {
        self.history.fetch_ends();
    }

    /// Transport-wide feedback came.
    pub fn feedback(&mut self, feedback: &rtcp::TransportFeedback<'_>, now: Instant) {
        self.history.fetch_open();
        let now_us = self.tell(now);
        self.mind_the_gap(feedback);
        let mut round = Round::new(Unit::TransportWide);
        for arrival in feedback.arrivals() {
            match (self.history.resolve(arrival.sequence), arrival.ticks) {
                (Some(number), Some(ticks)) => self.arrived(&mut round, number, ticks, 0),
                (Some(number), None) => self.history.missing(number),
                (None, _) => self.ignored.count(Ignored::NotInHistory),
            }
        }
        self.conclude(&round, now_us);
    }

    /// Feedback by stream came (RFC 8888).
    pub fn congestion_feedback(&mut self, feedback: &rtcp::CongestionFeedback<'_>, now: Instant) {
        let now_us = self.tell(now);
        let mut round = Round::new(Unit::Ntp);
        // Each packet whose fate is open is looked up in the feedback, which finds it at once: the history is in the order of
        // sending, whereas the feedback goes stream by stream.
        let mut open = self.history.open_from(0);
        while let Some((number, ssrc, sequence)) = open {
            open = self.history.open_from(number + 1);
            match feedback.streams().filter(|stream| stream.ssrc == ssrc).find_map(|stream| stream.fate(sequence)) {
                None => {}
                Some(rtcp::Fate::Missing) => self.history.missing(number),
                // Without a time it still says that nothing was lost.
                Some(rtcp::Fate::Arrived { offset: None, .. }) => drop(self.history.arrived(number)),
                Some(rtcp::Fate::Arrived { offset: Some(offset), .. }) => {
                    let held = i64::from(offset) * NTP_PER_OFFSET;
                    self.arrived(&mut round, number, i64::from(feedback.timestamp) - held, held);
                }
            }
        }
        self.conclude(&round, now_us);
    }

    /// A receiver report came: the worst share lost of any source (0 to 1), and the round trip if it tells one. It decides only
    /// for a subscriber who gives no better feedback.
    pub fn report(&mut self, loss: f32, rtt: Option<Duration>, now: Instant) {
        let now_us = self.tell(now);
        let loss = if loss.is_nan() { 0.0 } else { loss.clamp(0.0, 1.0) };
        self.reports.report(loss, rtt, now_us);
        if let Some(rtt) = rtt
            && self.by_reports()
        {
            self.round_trip(rtt.as_micros() as u64);
        }
        self.aim();
    }

    /// The receiver's own estimate came (REMB).
    pub fn remb(&mut self, bps: u64, now: Instant) {
        let now_us = self.tell(now);
        self.reports.remb(bps, now_us);
        self.aim();
    }

    /// What could be used at most if the way carried it: the sum of the best layers of everything shown. Probing goes not
    /// far above it. Until it is told there is no such bound.
    pub fn wanted(&mut self, bps: u64, now: Instant) {
        self.tell(now);
        let wanted = bps as f64;
        let more = self.wanted_bps.is_none_or(|before| wanted > before);
        self.wanted_bps = Some(wanted);
        if more {
            self.probing.wanted_more(&self.outlook());
        }
        self.plan();
    }

    /// A probe to send. The next one comes when this one has been sent, or given up.
    pub fn poll(&mut self) -> Option<Probe> {
        let probe = self.probing.poll(self.now_us)?;
        self.clusters.begin(probe.cluster.0, probe.packets_min, probe.bytes_min);
        self.plan();
        Some(probe)
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now_us = self.tell(now);
        self.limited.update(0, self.rate.bps(), now_us);
        if self.silent_at_us.is_some_and(|at| at <= now_us) {
            self.hear_nothing(now_us);
        }
        self.probing.handle_timeout(&self.outlook());
        self.aim();
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let at_us = [self.silent_at_us, self.probe_at_us].into_iter().flatten().min()?;
        Some(self.epoch + Duration::from_micros(at_us))
    }

    /// What to send at most, headers of IP and UDP included: what allocation shares out.
    #[must_use]
    pub fn target_bps(&self) -> u64 {
        self.target_bps
    }

    /// How fast the pacer may empty its queue: above the target, so that a large picture does not wait; hardly above it while
    /// a queue stands in the network.
    #[must_use]
    pub fn pacing_bps(&self) -> u64 {
        let factor = if self.queue.wait_ms() > PACE_QUEUE_MS { PACE_QUEUED } else { PACE };
        ((self.target_bps as f64 * factor) as u64).max(PACE_MIN_BPS)
    }

    /// Bytes sent of which nothing was heard yet.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.history.in_flight()
    }

    /// While more than this is in flight only audio should be sent: what was sent stands in a queue, or feedback stays away.
    #[must_use]
    pub fn window_bytes(&self) -> u64 {
        if self.heard_us.is_none() || self.by_reports() {
            return u64::MAX;
        }
        let time_us = self.rtt.map_or(0, |rtt| rtt.least_us) + WINDOW_US;
        (self.target_bps as f64 / 8e6 * time_us as f64) as u64 + WINDOW_MIN_BYTES
    }

    /// Round-trip time, once known.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|rtt| Duration::from_micros(rtt.smooth_us))
    }

    /// Share of packets lost lately, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f32 {
        if self.by_reports() { self.reports.loss() } else { self.loss.average() as f32 }
    }

    /// How long packets wait in the network's queue at present.
    #[must_use]
    pub fn queue_delay(&self) -> Duration {
        Duration::from_secs_f64(self.queue.wait_ms().max(0.0) / 1_000.0)
    }

    /// Less is sent than the target allows, so that the estimate cannot learn without probing.
    #[must_use]
    pub fn is_application_limited(&self) -> bool {
        self.limited.is_limited()
    }

    /// How often feedback was passed over for this reason.
    #[must_use]
    pub fn ignored(&self, reason: Ignored) -> u32 {
        self.ignored.of(reason)
    }

    /// Nothing has shown a limit so far: no queue, no loss, no word of the receiver's. The target is where we began, or what was tried.
    #[must_use]
    pub fn is_untried(&self) -> bool {
        let told = self.loss.bps().is_some() || self.reports.remb_bps(self.now_us).is_some() || self.silence.is_some();
        !told && !self.rate.has_fallen() && !self.reports.has_fallen()
    }

    /// Memory used, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.history.heap_bytes()
    }
}

// Private steps, in the order they are called.
impl Estimate {
    fn tell(&mut self, now: Instant) -> u64 {
        self.now_us = self.now_us.max(now.saturating_duration_since(self.epoch).as_micros() as u64);
        self.now_us
    }

    /// Numbers between two feedbacks that follow each other did not arrive: a receiver may begin each with one that did.
    fn mind_the_gap(&mut self, feedback: &rtcp::TransportFeedback<'_>) {
        let until = feedback.base.wrapping_add(feedback.count);
        if let Some(told) = self.told
            && feedback.feedback == told.feedback.wrapping_add(1)
        {
            let gap = feedback.base.wrapping_sub(told.until);
            for ahead in 0..if gap < GAP_MAX { gap } else { 0 } {
                if let Some(number) = self.history.resolve(told.until.wrapping_add(ahead)) {
                    self.history.missing(number);
                }
            }
        }
        self.told = Some(Told { until, feedback: feedback.feedback });
    }

    /// A packet arrived at `ticks` of the peer's clock, which spoke of it `held` ticks later.
    #[inline]
    fn arrived(&mut self, round: &mut Round, number: u64, ticks: i64, held: i64) {
        let packet = match self.history.look(number) {
            Ok(packet) => packet,
            Err(reason) => return self.ignored.count(reason),
        };
        // The first arrival places the feedback on the peer's clock; the others follow from it.
        let anchor = match round.anchor {
            Some(anchor) => anchor,
            None => {
                let extended = self.clock.extend(ticks as u32);
                let verdict = self.clock.judge(ticks as u32, round.unit.us(extended) - packet.sent_us as i64);
                if verdict == Verdict::Set {
                    self.restart_delay();
                }
                *round.anchor.insert(Anchor { ticks, extended, doubtful: verdict == Verdict::Doubtful })
            }
        };
        if anchor.doubtful {
            return self.ignored.count(Ignored::ClockJumped);
        }
        let arrival_us = round.unit.us(anchor.extended + (ticks - anchor.ticks));
        let Ok(packet) = self.history.arrived(number) else { return };
        if round.newest.is_none_or(|newest| newest.sent_us <= packet.sent_us) {
            round.newest = Some(Newest { sent_us: packet.sent_us, held_us: round.unit.us(held) as u64 });
        }
        if let Some(id) = packet.probe
            && let Some(bps) = self.clusters.arrived(id, &packet, arrival_us)
        {
            round.probed_bps = Some(bps);
        }
        if let Some(group) = self.groups.push(&packet, arrival_us) {
            self.travelled(&group);
        }
    }

    /// A group of packets is complete.
    fn travelled(&mut self, group: &Group) {
        let lost = std::mem::take(&mut self.lost);
        let packet_ms = rate::packet_ms(self.rate.bps());
        self.queue.transit(group.transit_us, group.last_sent_us, lost, packet_ms);
        self.trend.push(&trend::Observed {
            sent_us: group.last_sent_us,
            level_us: self.queue.level_us(),
            wait_ms: self.queue.wait_ms(),
            packet_ms,
        });
        self.throughput.push(group);
    }

    /// All of a feedback was taken in: reconsider.
    fn conclude(&mut self, round: &Round, now_us: u64) {
        let Some(newest) = round.newest else { return };
        if let Some(group) = self.groups.close() {
            self.travelled(&group);
        }
        let (mut observed, mut lost) = (false, false);
        while let Some(settled) = self.history.settle() {
            observed |= self.loss.settled(settled.sent_us, settled.bytes, settled.lost);
            lost |= settled.lost;
        }
        self.lost |= lost;
        self.round_trip(now_us.saturating_sub(newest.sent_us + newest.held_us));
        self.heard_us = Some(now_us);
        self.silent_at_us = (self.history.in_flight() > 0).then_some(now_us + self.patience_us());
        if let Some(silence) = self.silence.take() {
            // Only the feedback may have been away. What was believed before is tried again.
            self.probing.fell(silence.before_bps, self.rate.bps(), now_us);
        }
        self.limited.update(0, self.rate.bps(), now_us);
        let arrived_bps = self.throughput.bps();
        let limited = self.limited.is_limited();
        let busy = self.trend.busy_since_us().and_then(|since| self.throughput.since(since));
        let known = rate::Now {
            usage: if self.way_narrowed(busy) { Usage::Over } else { self.trend.usage() },
            arrived_bps,
            busy_bps: busy.map(|busy| busy.arrived_bps),
            rtt_ms: self.rtt.map_or(RTT_UNKNOWN_MS, |rtt| rtt.smooth_us as f64 / 1_000.0),
            wait_ms: self.queue.wait_ms(),
            limited,
            lost,
            us: now_us,
        };
        if let Some(before) = self.rate.update(&known) {
            self.probing.fell(before, self.rate.bps(), now_us);
        }
        if self.is_untried()
            && let Some(carried) = self.throughput.carried_bps()
            && known.usage == Usage::Normal
            && known.wait_ms < CARRIED_MS
            && !lost
            && carried > self.rate.bps()
        {
            // It was sent although less was believed in, it arrives, and no queue stands: better than any probe.
            self.rate.set(carried, now_us);
        }
        if let Some(bps) = round.probed_bps {
            self.take_probe(bps, now_us);
        }
        if observed {
            self.loss.update(self.rate.bps(), arrived_bps, limited);
        }
        self.probing.handle_timeout(&self.outlook());
        self.aim();
        self.reports.follow(self.target_bps as f64);
    }

    /// The newest packets waited much longer than those a moment before, and arrive much slower than they were sent: the way became
    /// narrow just now, before the level of its queue shows it.
    fn way_narrowed(&self, busy: Option<Measured>) -> bool {
        let above_ms = self.queue.above_level_ms();
        above_ms > NARROWED_MS + rate::packet_ms(self.rate.bps())
            && busy.is_some_and(|busy| busy.arrived_bps < busy.sent_bps * NARROWED_SHARE)
    }

    fn take_probe(&mut self, bps: f64, now_us: u64) {
        self.probing.answered();
        if self.trend.usage() == Usage::Over {
            return;
        }
        if bps > self.rate.bps() {
            self.rate.set(bps.min(self.bounds.max_bps as f64), now_us);
        }
        self.probing.result(bps, &self.outlook());
    }

    /// Packets are under way and nothing is heard of them: send less and less, until something is.
    fn hear_nothing(&mut self, now_us: u64) {
        self.silent_at_us = None;
        let sent_since = self.history.newest_us() > self.heard_us.unwrap_or(0);
        if self.history.in_flight() == 0 || !sent_since || self.by_reports() {
            return self.history.forget_open();
        }
        self.silence.get_or_insert(Silence { before_bps: self.rate.bps() });
        self.rate.set(self.rate.bps() * SILENCE_KEPT, now_us);
        // What nobody has spoken of by now may not keep us from sending: who sends nothing hears nothing.
        self.history.forget_open();
        self.silent_at_us = Some(now_us + SILENCE_AGAIN_US);
    }

    fn round_trip(&mut self, sample_us: u64) {
        let at_us = self.now_us;
        let before = self.rtt.unwrap_or(RoundTrip { smooth_us: sample_us, least_us: sample_us, least_at_us: at_us });
        let smooth_us = (before.smooth_us * 7 + sample_us) / 8;
        let outdated = at_us.saturating_sub(before.least_at_us) >= RTT_LEAST_US;
        let (least_us, least_at_us) = if outdated || sample_us <= before.least_us {
            (sample_us, at_us)
        } else {
            (before.least_us, before.least_at_us)
        };
        self.rtt = Some(RoundTrip { smooth_us, least_us, least_at_us });
    }

    /// How long feedback may stay away.
    fn patience_us(&self) -> u64 {
        SILENCE_US + self.rtt.map_or(0, |rtt| rtt.smooth_us * 2)
    }

    /// No arrival times, or none any more: reports alone decide.
    fn by_reports(&self) -> bool {
        self.heard_us.is_none_or(|heard| {
            self.now_us.saturating_sub(heard) > FEEDBACK_ENDED_US && self.reports.came_after(heard + FEEDBACK_ENDED_US)
        })
    }

    /// Puts together what the parts allow.
    fn aim(&mut self) {
        let bps = if self.by_reports() {
            self.reports.bps(self.now_us)
        } else {
            let loss = self.loss.bps().unwrap_or(f64::MAX);
            let remb = self.reports.remb_bps(self.now_us).unwrap_or(f64::MAX);
            (self.rate.bps() * self.rate.share()).min(loss).min(remb)
        };
        let (min, max) = (self.bounds.min_bps, self.bounds.max_bps.max(self.bounds.min_bps));
        self.target_bps = (bps as u64).clamp(min, max);
        if self.rate.bps() < min as f64 {
            self.rate.set(min as f64, self.now_us);
        }
        self.plan();
    }

    fn outlook(&self) -> probing::Now {
        probing::Now {
            us: self.now_us,
            bps: self.target_bps as f64,
            wanted_bps: self.wanted_bps,
            limited: self.limited.lately(LIMITED_LATELY_US, self.now_us) || self.is_between_steps(),
            calm: self.is_idle()
                || (self.trend.usage() != Usage::Over && self.queue.wait_ms() < CALM_MS && self.silence.is_none()),
        }
    }

    /// Layers come in steps: what is sent is the most that fits, the next step does not, and without trying nobody knows better.
    fn is_between_steps(&self) -> bool {
        let arrives = self.throughput.bps().unwrap_or(f64::MAX);
        let target = self.target_bps as f64;
        self.wanted_bps.is_some_and(|wanted| wanted > target * STEP_WANTED) && arrives < target * STEP_FILLS
    }

    /// Nothing is under way and nothing was heard for a while: whatever stood in a queue is gone, though no feedback says so.
    fn is_idle(&self) -> bool {
        self.history.in_flight() == 0 && self.heard_us.is_some_and(|heard| self.now_us.saturating_sub(heard) > IDLE_US)
    }

    fn plan(&mut self) {
        self.probe_at_us = self.probing.deadline_us(&self.outlook());
    }

    /// The peer's clock is another now: differences to before mean nothing.
    fn restart_delay(&mut self) {
        self.groups.restart();
        self.queue.restart();
        self.trend.restart();
        self.throughput.restart();
        self.clusters.restart();
    }
}

/// More is wanted when it is this multiple of the target, and what arrives leaves room when it is less than this share of it.
const STEP_WANTED: f64 = 1.05;
const STEP_FILLS: f64 = 0.7;
/// A way on which nothing was under way for this long has no queue, in µs.
const IDLE_US: u64 = 500_000;
/// What arrives is carried while no longer queue stands, in ms.
const CARRIED_MS: f64 = 20.0;
/// The pacer's pace as a multiple of the target, usually and while a queue of so many ms stands in the network.
const PACE: f64 = 1.5;
const PACE_QUEUED: f64 = 1.2;
const PACE_QUEUE_MS: f64 = 60.0;
/// Slower than this a single packet would wait longer in the pacer than a voice may, in bits per second.
const PACE_MIN_BPS: u64 = 150_000;
/// What the newest packets wait longer than the level, in ms, and what share of the sent rate arrives, when the way became narrow.
const NARROWED_MS: f64 = 30.0;
const NARROWED_SHARE: f64 = 0.65;
/// What may be in flight: a round trip and this much time of the target, in µs: a feedback interval and a queue that still drains …
const WINDOW_US: u64 = 450_000;
/// … and a few packets, in bytes.
const WINDOW_MIN_BYTES: u64 = 6_000;
/// Feedback that stays away this long (and two round trips) although packets are under way is silence, in µs …
const SILENCE_US: u64 = 1_000_000;
/// … answered with this share of the rate, again after so many µs.
const SILENCE_KEPT: f64 = 0.8;
const SILENCE_AGAIN_US: u64 = 500_000;
/// After so many µs without feedback reports decide, if they go on: the peer has stopped giving it.
const FEEDBACK_ENDED_US: u64 = 5_000_000;
/// Larger gaps between feedbacks are not losses but something else.
const GAP_MAX: u16 = 512;
/// Round trip assumed until measured, in ms.
const RTT_UNKNOWN_MS: f64 = 200.0;
/// The least round trip is forgotten after this, in µs.
const RTT_LEAST_US: u64 = 30_000_000;
/// Whoever was limited this short a time ago counts as limited where probing is concerned, in µs.
const LIMITED_LATELY_US: u64 = 3_000_000;
/// Probing waits until queues are shorter than this, in ms.
const CALM_MS: f64 = 60.0;
/// NTP ticks in the unit of an arrival time offset (1/1024 s).
const NTP_PER_OFFSET: i64 = 64;
