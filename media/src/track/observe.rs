//! What the packets of one layer show by passing: size, rate, whether it flows, and where its timestamps stand on the node's clock.

use super::Meaning;
use crate::frame::TEMPORAL_MAX;
use crate::packet::Packet;
use lyceum_wire::link::LayerInfo;
use lyceum_wire::vp8;
use std::time::{Duration, Instant};

/// Rates are measured over this long: long enough to hold a key frame, short enough to follow a change.
pub const RATE_WINDOW: Duration = Duration::from_millis(1_000);
/// A layer without packets for this long does not flow: three frames of the slowest encoder that is still a picture.
pub const SILENT_AFTER: Duration = Duration::from_millis(1_500);

/// What is known of one layer.
#[derive(Debug)]
pub struct Observe {
    info: LayerInfo,
    window_start: Option<Instant>,
    /// Bytes of each temporal layer.
    window_bytes: [usize; TEMPORAL_MAX as usize],
    last: Option<Instant>,
    clock: Clock,
}

impl Observe {
    /// Of a layer whose timestamps run at `clock_hz`.
    #[must_use]
    pub fn new(info: LayerInfo, clock_hz: u32) -> Self {
        Self {
            info,
            window_start: None,
            window_bytes: [0; TEMPORAL_MAX as usize],
            last: None,
            clock: Clock::new(clock_hz),
        }
    }

    /// A packet of this layer passed. Says whether the size changed.
    pub fn packet(&mut self, packet: &Packet<'_>, meaning: &Meaning, now: Instant) -> bool {
        self.last = Some(now);
        self.carries(packet, packet.layer.temporal, now);
        meaning.size.is_some_and(|size| self.resize(size))
    }

    /// Who is sent this layer up to `temporal` is sent this packet, too: its own, or one of a lower spatial layer it needs.
    pub fn carries(&mut self, packet: &Packet<'_>, temporal: u8, now: Instant) {
        self.window_bytes[usize::from(temporal.min(TEMPORAL_MAX - 1))] += packet.payload.len();
        let start = *self.window_start.get_or_insert(now);
        let elapsed = now.saturating_duration_since(start);
        if elapsed >= RATE_WINDOW * 2 {
            // It was paused meanwhile: that says nothing of its rate.
            self.window_bytes = [0; TEMPORAL_MAX as usize];
            self.window_start = Some(now);
        } else if elapsed >= RATE_WINDOW {
            let mut bytes = 0;
            for (rate, own) in self.info.temporal_bps.iter_mut().zip(&mut self.window_bytes) {
                bytes += std::mem::take(own);
                *rate = (bytes as f64 * 8.0 / elapsed.as_secs_f64()) as u32;
            }
            self.info.bitrate_bps = self.info.temporal_bps[usize::from(TEMPORAL_MAX) - 1];
            self.window_start = Some(now);
        }
    }

    /// A packet of the sequence this layer's numbers and timestamps are from.
    pub fn time(&mut self, packet: &Packet<'_>) {
        if !packet.payload.is_empty() {
            self.clock.packet(packet.timestamp, packet.arrived.checked_sub(packet.age).unwrap_or(packet.arrived));
        }
    }

    /// Its pictures have this size. Says whether that is news.
    pub fn resize(&mut self, size: vp8::Size) -> bool {
        let news = (size.width, size.height) != (self.info.width, self.info.height);
        (self.info.width, self.info.height) = (size.width, size.height);
        news
    }

    /// News from elsewhere: another node has seen its key frames.
    pub fn told(&mut self, info: &LayerInfo) {
        if info.width != 0 {
            (self.info.width, self.info.height) = (info.width, info.height);
        }
        if self.last.is_none() {
            (self.info.bitrate_bps, self.info.temporal_bps) = (info.bitrate_bps, info.temporal_bps);
        }
    }

    /// Whether packets come.
    #[must_use]
    pub fn flows(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < SILENT_AFTER)
    }

    /// Whether a packet came after this.
    #[must_use]
    pub fn came_since(&self, at: Instant) -> bool {
        self.last.is_some_and(|last| last > at)
    }

    /// Size and rate; rate 0 when it does not flow.
    #[must_use]
    pub fn info(&self, now: Instant) -> LayerInfo {
        if self.last.is_some() && !self.flows(now) {
            return LayerInfo { bitrate_bps: 0, temporal_bps: [0; TEMPORAL_MAX as usize], ..self.info };
        }
        self.info
    }

    /// Size and rates as last known, whether it flows or not.
    #[must_use]
    pub fn known(&self) -> &LayerInfo {
        &self.info
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The clock, to be told of sender reports.
    pub fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }
}

/// Where timestamps stand on the node's clock: which moment a picture or a sound is from.
///
/// By the publisher's sender reports where they come, else by the packets themselves: those that came fastest say it best,
/// so the earliest arrivals count and the rest only leaks in, to follow a clock that drifts.
#[derive(Debug)]
pub struct Clock {
    hz: u32,
    reported: Option<Point>,
    seen: Option<Point>,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    timestamp: u32,
    at: Instant,
}

impl Clock {
    /// Of timestamps that run at `hz`.
    #[must_use]
    pub fn new(hz: u32) -> Self {
        Self { hz: hz.max(1), reported: None, seen: None }
    }

    /// A packet with this timestamp entered the mesh at `entered`.
    pub fn packet(&mut self, timestamp: u32, entered: Instant) {
        let Some(seen) = self.seen else {
            self.seen = Some(Point { timestamp, at: entered });
            return;
        };
        let predicted = self.from(seen, timestamp);
        let late = entered.saturating_duration_since(predicted);
        let early = predicted.saturating_duration_since(entered);
        let at = if late > JUMP || early > Duration::ZERO {
            entered
        } else {
            let since = predicted.saturating_duration_since(seen.at);
            predicted + late.min(since / LEAK)
        };
        // A late packet of an old picture must not move the point back.
        if at >= seen.at || early > Duration::ZERO {
            self.seen = Some(Point { timestamp, at });
        }
    }

    /// A sender report said so.
    pub fn report(&mut self, timestamp: u32, at: Instant) {
        self.reported = Some(Point { timestamp, at });
    }

    /// The moment this timestamp is from.
    #[must_use]
    pub fn at(&self, timestamp: u32) -> Option<Instant> {
        let seen = self.seen.map(|point| self.from(point, timestamp));
        match self.reported {
            Some(point) => {
                let reported = self.from(point, timestamp);
                // A report from before the publisher's timestamps jumped is of no use.
                match seen {
                    Some(seen) if reported.max(seen) - reported.min(seen) > JUMP => Some(seen),
                    _ => Some(reported),
                }
            }
            None => seen,
        }
    }

    fn from(&self, point: Point, timestamp: u32) -> Instant {
        let ticks = timestamp.wrapping_sub(point.timestamp) as i32;
        let distance = Duration::from_nanos(u64::from(ticks.unsigned_abs()) * 1_000_000_000 / u64::from(self.hz));
        if ticks >= 0 { point.at + distance } else { point.at.checked_sub(distance).unwrap_or(point.at) }
    }
}

/// Timestamps that disagree with arrival by more than this have jumped: a camera came back after a pause.
const JUMP: Duration = Duration::from_secs(2);
/// How slowly the clock follows later arrivals: 1 ms a second, ten times the drift of a poor crystal.
const LEAK: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_fastest_packets_say_where_the_clock_stands() {
        let (mut clock, t) = (Clock::new(90_000), Instant::now());
        for n in 0..300u64 {
            let jitter = (n * 7) % 20;
            clock.packet((n * 3_000) as u32, t + Duration::from_micros(n * 33_333) + ms(50 + jitter));
        }
        let at = clock.at(300 * 3_000).unwrap();
        let truth = t + Duration::from_micros(300 * 33_333) + ms(50);
        assert!(at.max(truth) - at.min(truth) < ms(6), "{:?}", at - t);
    }

    #[test]
    fn reports_win_until_the_timestamps_jump() {
        let (mut clock, t) = (Clock::new(90_000), Instant::now());
        clock.packet(0, t + ms(40));
        clock.report(0, t + ms(10));
        assert_eq!(clock.at(90_000), Some(t + ms(1_010)));
        clock.packet(900_000_000, t + ms(1_000));
        assert_eq!(clock.at(900_000_000), Some(t + ms(1_000)));
    }

    #[test]
    fn timestamps_wrap() {
        let (mut clock, t) = (Clock::new(48_000), Instant::now());
        clock.packet(u32::MAX - 47_999, t);
        assert_eq!(clock.at(48_000), Some(t + ms(2_000)));
        assert_eq!(clock.at(u32::MAX - 95_999), t.checked_sub(ms(1_000)));
    }
}
