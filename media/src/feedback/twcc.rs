//! Arrival times by transport-wide number, for the sender's bandwidth estimate (draft-holmer-rmcat-transport-wide-cc-extensions-01).
//!
//! Browsers never send faster than their first guess without it. Counts every packet that carries the extension: media, repairs, padding.

use crate::seq::{Extend, SeqNo};
use lyceum_wire::rtcp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Longest time between an arrival and its feedback. Chromium's own receivers send every 50 to 250 ms.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Under load feedback goes earlier, but never more often than this.
pub const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// So many unreported arrivals are load: 4 Mbit/s in [`INTERVAL_MIN`] are about 20.
pub const ARRIVALS_SOON: usize = 32;
/// Numbers remembered behind the newest, so that a late arrival is reported together with its neighbours.
pub const BACKLOG: usize = 512;
/// A jump larger than this is another stream, not loss.
pub const JUMP_MAX: u64 = 4_096;
/// Room for one feedback packet in bytes; the rest goes into the next.
const FEEDBACK_BYTES: usize = 1_100;

/// The receiving side's log of arrivals.
#[derive(Debug)]
pub struct Recorder {
    /// Ticks of the feedback count from here.
    epoch: Instant,
    extend: Extend,
    /// Arrivals in ticks of 250 µs from number `first` on.
    arrivals: VecDeque<Option<i64>>,
    first: u64,
    /// First number not yet reported.
    report_from: u64,
    unreported: usize,
    feedback: u8,
    last: Instant,
    due: Option<Instant>,
}

impl Recorder {
    /// A log that knows nothing.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            extend: Extend::default(),
            arrivals: VecDeque::new(),
            first: 0,
            report_from: 0,
            unreported: 0,
            feedback: 0,
            last: now,
            due: None,
        }
    }

    /// A packet with this transport-wide number arrived.
    pub fn received(&mut self, number: u16, now: Instant) {
        let SeqNo(number) = self.extend.extend(number);
        let next = self.first + self.arrivals.len() as u64;
        if self.arrivals.is_empty() || number >= next + JUMP_MAX {
            self.arrivals.clear();
            (self.first, self.report_from, self.unreported) = (number, number, 0);
        } else if number < self.first {
            return;
        }
        while self.first + (self.arrivals.len() as u64) <= number {
            self.arrivals.push_back(None);
        }
        // Microseconds first, rounded to the quarter millisecond.
        let ticks = ((now.duration_since(self.epoch).as_micros() + 125) / 250) as i64;
        if let Some(arrival) = self.arrivals.get_mut((number - self.first) as usize)
            && arrival.is_none()
        {
            *arrival = Some(ticks);
            self.unreported += 1;
            self.report_from = self.report_from.min(number);
            let interval = if self.unreported >= ARRIVALS_SOON { INTERVAL_MIN } else { INTERVAL };
            let due = (self.last + interval).max(now);
            self.due = Some(self.due.map_or(due, |d| d.min(due)));
        }
        // Unreported numbers are never trimmed by more than a jump: feedback is far more frequent than that.
        while self.arrivals.len() > BACKLOG && self.first < self.report_from {
            self.arrivals.pop_front();
            self.first += 1;
        }
    }

    /// Writes the feedback that is due, if any, and whether it did. Call until `false`.
    pub fn poll(&mut self, now: Instant, sender: u32, media: u32, out: &mut rtcp::Writer<'_>) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        let from = (self.report_from - self.first) as usize;
        let arrivals = self.arrivals.make_contiguous();
        let Some(pending) = arrivals.get(from..).filter(|pending| !pending.is_empty()) else {
            (self.due, self.unreported) = (None, 0);
            return false;
        };
        // A packet opens with one that arrived: what lies before it is told by the gap to the last feedback.
        let skip = pending.iter().position(Option::is_some).unwrap_or(pending.len());
        let base = self.report_from + skip as u64;
        let taken = match out.transport_feedback(sender, media, base as u16, self.feedback, &pending[skip..]) {
            Ok(taken) if taken > 0 => taken,
            _ => {
                // Nothing fits, or nothing arrived: never come back to these.
                self.report_from += pending.len() as u64;
                (self.due, self.unreported) = (None, 0);
                return false;
            }
        };
        self.feedback = self.feedback.wrapping_add(1);
        self.report_from = base + taken as u64;
        if self.report_from == self.first + self.arrivals.len() as u64 {
            (self.due, self.unreported, self.last) = (None, 0, now);
        }
        true
    }

    /// When to poll next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Bytes one feedback needs at most.
    #[must_use]
    pub fn bytes_max() -> usize {
        FEEDBACK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn drain(recorder: &mut Recorder, now: Instant) -> Vec<(u16, i64)> {
        let mut told = Vec::new();
        loop {
            let mut buffer = [0; FEEDBACK_BYTES];
            let mut writer = rtcp::Writer::new(&mut buffer);
            if !recorder.poll(now, 1, 2, &mut writer) {
                return told;
            }
            for packet in rtcp::Compound::new(writer.written()) {
                let Ok(rtcp::Packet::Transport(feedback)) = packet else { panic!("{packet:?}") };
                told.extend(feedback.arrivals().filter_map(|a| a.ticks.map(|t| (a.sequence, t))));
            }
        }
    }

    #[test]
    fn feedback_comes_within_its_interval_and_tells_every_arrival_once() {
        let t = Instant::now();
        let mut recorder = Recorder::new(t);
        let at = |ms| t + Duration::from_millis(ms);
        for (number, ms) in [(65_534u16, 5), (65_535, 10), (1, 20), (0, 21)] {
            recorder.received(number, at(ms));
        }
        assert_eq!(drain(&mut recorder, at(50)), []);
        assert_eq!(recorder.deadline(), Some(at(100)));
        assert_eq!(drain(&mut recorder, at(100)), [(65_534, 20), (65_535, 40), (0, 84), (1, 80)]);
        assert_eq!(recorder.deadline(), None);
        recorder.received(3, at(150));
        recorder.received(2, at(220));
        assert_eq!(drain(&mut recorder, at(220)), [(2, 880), (3, 600)]);
    }

    #[test]
    fn an_arrival_later_than_its_feedback_is_told_after_all() {
        let t = Instant::now();
        let mut recorder = Recorder::new(t);
        recorder.received(1, t);
        recorder.received(3, t);
        drain(&mut recorder, t + INTERVAL);
        recorder.received(2, t + Duration::from_millis(110));
        let told = drain(&mut recorder, t + Duration::from_millis(300));
        assert!(told.contains(&(2, 440)), "{told:?}");
    }

    #[test]
    fn another_stream_does_not_make_a_thousand_losses() {
        let t = Instant::now();
        let mut recorder = Recorder::new(t);
        recorder.received(1, t);
        recorder.received(20_000, t);
        assert_eq!(drain(&mut recorder, t + INTERVAL), [(20_000, 0)]);
    }

    proptest! {
        #[test]
        fn told_is_what_arrived(steps in prop::collection::vec((0u16..40, 0u64..30_000), 1..300)) {
            let t = Instant::now();
            let mut recorder = Recorder::new(t);
            let (mut now, mut number) = (t, 0u16);
            let (mut arrived, mut told) = (BTreeMap::new(), BTreeMap::new());
            for (skip, micros) in steps {
                number += if skip > 30 { skip } else { 1 };
                now += Duration::from_micros(micros);
                recorder.received(number, now);
                arrived.insert(number, ((now.duration_since(t).as_micros() + 125) / 250) as i64);
                if recorder.deadline().is_some_and(|due| due <= now) {
                    told.extend(drain(&mut recorder, now));
                }
            }
            told.extend(drain(&mut recorder, now + INTERVAL));
            prop_assert_eq!(told, arrived);
        }
    }
}
