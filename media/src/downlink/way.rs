//! The way to one subscriber: how much it carries, when the next packet may leave, and what is sent to find out.

use super::{DownlinkId, Downlinks, Route, SlotIndex};
use crate::drop::Drop;
use crate::estimate::{Bounds, Estimate, Probe, Sent};
use crate::pace::{Pace, Waiting};
use crate::packet::Ssrc;
use lyceum_wire::rtcp;
use std::time::{Duration, Instant};

/// What there is to share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Budget {
    /// The peer negotiated nothing by which anything could be known, and has reported nothing yet.
    Unlimited,
    /// Nothing was heard yet of any limit: this is assumed, in bits per second.
    Assumed(u64),
    /// As estimated, in bits per second.
    Measured(u64),
}

/// The way to one subscriber.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) estimate: Estimate,
    pub(super) pace: Pace,
    /// Something was heard of what arrives.
    heard: bool,
    /// The peer can say which packets arrive.
    pub(super) answers: bool,
    probe: Option<Running>,
    /// When the queue or the probe goes on, as in [`Downlinks::paced`].
    due: Option<Instant>,
}

/// A probe under way.
#[derive(Debug)]
struct Running {
    probe: Probe,
    began: Instant,
    packets: u16,
    bytes: u32,
}

impl Way {
    pub(super) fn new(answers: bool, now: Instant) -> Self {
        let bounds = Bounds { start_bps: START_BPS, ..Bounds::default() };
        Self {
            estimate: Estimate::within(bounds, now),
            pace: Pace::default(),
            heard: false,
            answers,
            probe: None,
            due: None,
        }
    }

    /// The pace at present.
    #[inline]
    pub(super) fn pace_bps(&self) -> u64 {
        let known = if self.heard { self.estimate.pacing_bps() } else { PACE_UNKNOWN_BPS };
        self.probe.as_ref().map_or(known, |running| running.probe.bps.max(known))
    }

    /// Whether paced media may leave now.
    #[inline]
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        self.estimate.in_flight_bytes() <= self.estimate.window_bytes() && self.pace.may_send(self.pace_bps(), now)
    }

    /// A packet left.
    #[inline]
    pub(super) fn sent(&mut self, number: u16, bytes: usize, ssrc: Ssrc, sequence: u16, now: Instant) {
        self.pace.sent(bytes);
        let mut probe = None;
        if let Some(running) = &mut self.probe {
            probe = Some(running.probe.cluster);
            running.packets = running.packets.saturating_add(1);
            running.bytes = running.bytes.saturating_add(bytes as u32);
            if running.packets >= running.probe.packets_min && running.bytes >= running.probe.bytes_min {
                self.probe = None;
            }
        }
        self.estimate.sent(Sent { number, bytes: bytes as u16, ssrc, sequence, probe }, now);
    }

    pub(super) fn budget(&self) -> Budget {
        match (self.heard, self.answers) {
            (true, _) if self.estimate.is_untried() => Budget::Assumed(self.estimate.target_bps()),
            (true, _) => Budget::Measured(self.estimate.target_bps()),
            (false, true) => Budget::Assumed(self.estimate.target_bps()),
            (false, false) => Budget::Unlimited,
        }
    }

    /// The peer says what arrived.
    pub(super) fn told(&mut self, packet: &rtcp::Packet<'_>, now: Instant) {
        match packet {
            rtcp::Packet::Transport(feedback) => self.estimate.feedback(feedback, now),
            rtcp::Packet::Congestion(feedback) => self.estimate.congestion_feedback(feedback, now),
            rtcp::Packet::Bandwidth { bitrate_bps, .. } => self.estimate.remb(*bitrate_bps, now),
            _ => return,
        }
        self.heard = true;
    }

    /// The peer reports loss of our sources.
    pub(super) fn reported(&mut self, loss: f32, rtt: Option<Duration>, now: Instant) {
        self.estimate.report(loss, rtt, now);
        self.heard = true;
    }

    /// Time passed: a probe may begin.
    fn tick(&mut self, now: Instant) {
        self.estimate.handle_timeout(now);
        if self.probe.is_none() && self.answers {
            self.probe = self.estimate.poll().map(|probe| Running { probe, began: now, packets: 0, bytes: 0 });
        }
    }

    /// When the next packet of the probe is due.
    fn probe_at(&self) -> Option<Instant> {
        let running = self.probe.as_ref()?;
        let time = f64::from(running.bytes) * 8.0 / running.probe.bps.max(1) as f64;
        Some(running.began + Duration::from_secs_f64(time))
    }

    fn next_due(&self, now: Instant) -> Option<Instant> {
        let queue = if self.pace.is_idle() {
            None
        } else if self.estimate.in_flight_bytes() > self.estimate.window_bytes() {
            Some(now + LOOK_AGAIN)
        } else {
            Some(self.pace.ready_at(self.pace_bps(), now))
        };
        // Never at once: what could be done now has been done.
        [queue, self.probe_at()].into_iter().flatten().min().map(|at| at.max(now + STEP_MIN))
    }
}

/// What is known of a peer's way, for who operates the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WayStats {
    /// What it is taken to carry, bits per second; none before anything was heard of it.
    pub estimate_bps: Option<u64>,
    /// What waits to leave at its pace, bytes.
    pub queued_bytes: u64,
    /// Slots whose pictures it does not carry.
    pub paused: u32,
}

impl Downlinks {
    /// How a peer's way is.
    #[must_use]
    pub fn way(&self, id: DownlinkId) -> Option<WayStats> {
        let super::Downlink { way, slots, .. } = self.find(id)?;
        let paused = slots.iter().filter(|slot| slot.track.is_some() && slot.portion.layer.is_none()).count();
        Some(WayStats {
            estimate_bps: way.heard.then(|| way.estimate.target_bps()),
            queued_bytes: way.pace.queued_bytes() as u64,
            paused: paused as u32,
        })
    }

    /// What there is to share out among a peer's slots.
    pub(crate) fn budget(&self, id: DownlinkId) -> Option<Budget> {
        self.find(id).map(|downlink| downlink.way.budget())
    }

    /// What could be used if the way carried it.
    pub(crate) fn wanted(&mut self, id: DownlinkId, bps: u64, now: Instant) {
        if let Some(downlink) = self.find_mut(id) {
            downlink.way.estimate.wanted(bps, now);
        }
    }

    /// Whether so many bytes at once are gone soon enough for what comes after them.
    pub(crate) fn affords(&self, id: DownlinkId, bytes: usize) -> bool {
        let Some(downlink) = self.find(id) else { return false };
        downlink.way.pace.is_idle() && bytes as f64 * 8.0 / downlink.way.pace_bps() as f64 <= BURST_MAX.as_secs_f64()
    }

    /// Time passed for a peer's estimate.
    pub(crate) fn tick_way(&mut self, id: DownlinkId, now: Instant) {
        if let Some(downlink) = self.find_mut(id) {
            downlink.way.tick(now);
            self.schedule(id, now);
        }
    }

    /// A peer whose queue or probe goes on now: call [`crate::Room::pace`] for it.
    pub fn poll_paced(&mut self, now: Instant) -> Option<DownlinkId> {
        let id = self.paced.pop(now)?;
        if let Some(downlink) = self.find_mut(id) {
            downlink.way.due = None;
        }
        Some(id)
    }

    /// Notes when the peer's queue or probe goes on.
    pub(crate) fn schedule(&mut self, id: DownlinkId, now: Instant) {
        let Some(downlink) = self.find_mut(id) else { return };
        let next = downlink.way.next_due(now);
        let before = downlink.way.due;
        // What is due stays due, however often it is asked: else a steady stream would put it off for ever.
        let next = match (before, next) {
            (Some(before), Some(next)) => Some(before.min(next)),
            (_, next) => next,
        };
        if before == next {
            return;
        }
        downlink.way.due = next;
        self.paced.set(id, next);
    }

    /// The next packet that waits and may leave now.
    pub(crate) fn release(&mut self, id: DownlinkId, now: Instant) -> Option<Waiting> {
        let way = &mut self.find_mut(id)?.way;
        if way.pace.is_idle() || !way.may_send(now) {
            return None;
        }
        way.pace.pop()
    }

    /// Whether a probe lacks media now.
    pub(crate) fn lacks(&self, id: DownlinkId, now: Instant) -> bool {
        let way = self.find(id).map(|downlink| &downlink.way);
        way.is_some_and(|way| way.pace.is_idle() && way.probe_at().is_some_and(|at| at <= now))
    }

    /// Nothing can be sent for the probe.
    pub(crate) fn give_up(&mut self, id: DownlinkId) {
        if let Some(downlink) = self.find_mut(id) {
            downlink.way.probe = None;
        }
    }

    /// The slot that sent a picture last and can send repairs.
    pub(crate) fn busiest(&self, id: DownlinkId) -> Option<(SlotIndex, u16)> {
        let slots = self.find(id)?.slots.iter().enumerate();
        let (at, slot) = slots
            .filter(|(_, slot)| slot.repairs_pictures())
            .max_by_key(|(_, slot)| slot.stream.clock().map(|clock| clock.sent))?;
        Some((SlotIndex(at as u16), slot.stream.next_seq().wire().wrapping_sub(1)))
    }

    /// Sends a packet of padding: a repair of nothing.
    pub(crate) fn pad(&mut self, id: DownlinkId, slot: SlotIndex, now: Instant) -> Result<(), Drop> {
        self.with_wire(id, slot, now, |slot, wire| slot.pad(wire))?;
        if let Some(downlink) = self.find_mut(id) {
            downlink.sent.probes += 1;
        }
        Ok(())
    }
}

/// Headers of IP and UDP around what we write, in bytes.
pub(super) fn overhead(route: Option<Route>) -> usize {
    if route.is_some_and(|route| route.remote.is_ipv6()) { 48 } else { 28 }
}

/// Assumed before anything was heard: most ways carry it, and a picture or two begin at a size worth looking at.
const START_BPS: u64 = 1_000_000;
/// The pace before anything was heard of a way: a key frame and what followed it leave within the first tenth of a second.
const PACE_UNKNOWN_BPS: u64 = 8_000_000;
/// More than what leaves in this time is not sent at once: what comes after it would be too late.
const BURST_MAX: Duration = Duration::from_millis(300);
/// Shortest wait: timers are not finer.
const STEP_MIN: Duration = Duration::from_millis(1);
/// While too much is under way, look again this soon; feedback looks earlier.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
