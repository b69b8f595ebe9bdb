//! When to try more than the present estimate, and how much.
//!
//! ```text
//!   first packet ─▶ 3 × and 6 × the start ─▶ twice the result, and again, while it gets through
//!   limited by what there is to send, and more wanted ─▶ twice the estimate every five seconds, every one where it is poor
//!   more wanted than before ─▶ that much
//!   fell by a third, and the queue is gone ─▶ what was before, a little less
//! ```
//!
//! Never above what could be used, never while a queue grows.

use super::{ClusterId, Probe};
use crate::fetch::fetch;
use std::num::NonZeroU8;

/// Multiples of the start that are tried at once.
const FIRST: [f64; 2] = [3.0, 6.0];
/// After success, this multiple of the result.
const FURTHER: f64 = 2.0;
/// Success is this share of what was tried.
const SUCCESS: f64 = 0.7;
/// Multiple of the estimate that is tried when the sender is limited.
const LIMITED: f64 = 2.0;
/// Pause between two of these, in µs; it doubles while they bring nothing, up to the second.
const LIMITED_US: u64 = 5_000_000;
const LIMITED_MOST_US: u64 = 30_000_000;
/// Less than this carries hardly a picture: somebody looks at nothing, and a trial is a few kilobytes …
const POOR_BPS: f64 = 300_000.0;
/// … so that it is tried again sooner.
const POOR_US: u64 = 1_000_000;
const POOR_MOST_US: u64 = 5_000_000;
/// Probing does not wake anybody more often than this, in µs.
const SOON_US: u64 = 250_000;
/// Nothing above this multiple of what is wanted is tried. It is more than one, because what is wanted does not come evenly: when somebody
/// turns a page, a key frame of each picture on it is wanted at once.
const WANTED: f64 = 2.0;
/// A fall to less than this share is a large one, worth a second look …
const LARGE_FALL: f64 = 0.66;
/// … at this share of what was before …
const LOOK_AGAIN: f64 = 0.85;
/// … not before, and not after, in µs.
const LOOK_AFTER_US: u64 = 3_000_000;
const LOOK_UNTIL_US: u64 = 15_000_000;
/// Less than this above what is known already is not worth a probe.
const WORTH: f64 = 1.05;
/// Packets and time of a probe: long enough to average over a radio's short pauses, short enough to leave no queue behind.
const PACKETS_MIN: u16 = 5;
const SPAN_S: f64 = 0.02;
/// A probe that brought no answer (a radio delivered it at one moment) is followed by longer ones, up to this.
const SPAN_MOST_S: f64 = 0.1;
/// A probe that nobody could send, or that nobody spoke of, is given up after this, in µs.
const GIVEN_UP_US: u64 = 1_000_000;
/// Probes waiting at the same time.
const WAITING: usize = 3;

/// What is tried, and what waits to be tried.
#[derive(Debug)]
pub(super) struct Probing {
    waiting: [f64; WAITING],
    waiting_len: usize,
    /// Handed out and not yet sent in full.
    sending: Option<Sending>,
    next_id: NonZeroU8,
    /// The highest rate tried whose result is awaited.
    tried: Option<Tried>,
    begun: bool,
    /// When more was tried last because the sender was limited …
    limited_at_us: u64,
    /// … and how often in a row it brought nothing.
    fruitless: u32,
    fell: Option<Fell>,
    span_s: f64,
    max_bps: f64,
}

#[derive(Debug, Clone, Copy)]
struct Sending {
    id: NonZeroU8,
    packets: u16,
    bytes: u32,
    until_us: u64,
}

#[derive(Debug, Clone, Copy)]
struct Tried {
    bps: f64,
    until_us: u64,
    answered: bool,
}

#[derive(Debug, Clone, Copy)]
struct Fell {
    from_bps: f64,
    at_us: u64,
}

/// What is known when time passes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) us: u64,
    pub(super) bps: f64,
    pub(super) wanted_bps: Option<f64>,
    /// Less is sent than allowed, now or a moment ago.
    pub(super) limited: bool,
    /// No queue grows, and none is long.
    pub(super) calm: bool,
}

impl Probing {
    /// Asks for what a packet that leaves needs.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(&self.sending);
        fetch(&self.begun);
    }

    pub(super) fn new(max_bps: f64) -> Self {
        Self {
            waiting: [0.0; WAITING],
            waiting_len: 0,
            sending: None,
            next_id: NonZeroU8::MIN,
            tried: None,
            begun: false,
            limited_at_us: 0,
            fruitless: 0,
            fell: None,
            span_s: SPAN_S,
            max_bps,
        }
    }

    /// A packet left: the way is open. Says whether it was the first.
    pub(super) fn begin(&mut self, start_bps: f64, wanted_bps: Option<f64>, now_us: u64) -> bool {
        if std::mem::replace(&mut self.begun, true) {
            return false;
        }
        self.limited_at_us = now_us;
        for multiple in FIRST {
            self.ask(start_bps * multiple, start_bps, wanted_bps);
        }
        true
    }

    /// More is wanted than before.
    pub(super) fn wanted_more(&mut self, now: &Now) {
        if self.begun
            && now.calm
            && self.tried.is_none()
            && let Some(wanted) = now.wanted_bps
        {
            // Not more than three times the estimate at once: what cannot be carried becomes a queue.
            self.ask(wanted.min(now.bps * FIRST[0]), now.bps, now.wanted_bps);
        }
    }

    /// A packet of a probe was sent.
    pub(super) fn sent(&mut self, id: NonZeroU8, bytes: u16) {
        if let Some(sending) = self.sending.as_mut().filter(|sending| sending.id == id) {
            sending.packets = sending.packets.saturating_sub(1);
            sending.bytes = sending.bytes.saturating_sub(u32::from(bytes));
            if sending.packets == 0 && sending.bytes == 0 {
                self.sending = None;
            }
        }
    }

    /// The next probe to send.
    pub(super) fn poll(&mut self, now_us: u64) -> Option<Probe> {
        if self.sending.is_some() || self.waiting_len == 0 {
            return None;
        }
        let bps = self.waiting[0];
        self.waiting.copy_within(1.., 0);
        self.waiting_len -= 1;
        let id = self.next_id;
        self.next_id = id.checked_add(1).unwrap_or(NonZeroU8::MIN);
        let (packets_min, bytes_min) = (PACKETS_MIN, (bps * self.span_s / 8.0) as u32);
        let until_us = now_us + GIVEN_UP_US;
        self.sending = Some(Sending { id, packets: packets_min, bytes: bytes_min, until_us });
        let bps_tried = self.tried.map_or(bps, |tried| tried.bps.max(bps));
        let answered = self.tried.is_some_and(|tried| tried.answered);
        self.tried = Some(Tried { bps: bps_tried, until_us, answered });
        Some(Probe { cluster: ClusterId(id), bps: bps as u64, packets_min, bytes_min })
    }

    /// Something is known of a probe: it need not be longer.
    pub(super) fn answered(&mut self) {
        if let Some(tried) = &mut self.tried {
            tried.answered = true;
        }
    }

    /// A probe got this much through.
    pub(super) fn result(&mut self, bps: f64, now: &Now) {
        let Some(tried) = self.tried else { return };
        if bps >= tried.bps * SUCCESS {
            self.tried = None;
            self.fruitless = 0;
            self.ask(bps * FURTHER, bps, now.wanted_bps);
        }
    }

    /// The estimate fell.
    pub(super) fn fell(&mut self, from_bps: f64, to_bps: f64, now_us: u64) {
        self.waiting_len = 0;
        // What was there before the first of several steps down.
        let young = self.fell.filter(|fell| now_us.saturating_sub(fell.at_us) < LOOK_AFTER_US);
        let from_bps = young.map_or(from_bps, |fell| fell.from_bps.max(from_bps));
        if to_bps < from_bps * LARGE_FALL {
            self.fell = Some(Fell { from_bps, at_us: now_us });
        }
    }

    /// Time passed.
    pub(super) fn handle_timeout(&mut self, now: &Now) {
        if self.sending.is_some_and(|sending| now.us >= sending.until_us) {
            self.sending = None;
            self.waiting_len = 0;
        }
        if let Some(tried) = self.tried.filter(|tried| now.us >= tried.until_us) {
            self.tried = None;
            if !tried.answered && self.span_s < SPAN_MOST_S {
                self.span_s = (self.span_s * 2.0).min(SPAN_MOST_S);
                self.ask(tried.bps, now.bps, now.wanted_bps);
            }
        }
        if !self.begun || !now.calm || self.tried.is_some() || self.waiting_len > 0 {
            return;
        }
        self.look_again(now);
        if now.limited && now.us >= self.limited_next_us(now.bps) {
            self.ask(now.bps * LIMITED, now.bps, now.wanted_bps);
            self.limited_at_us = now.us;
            self.fruitless += 1;
        }
    }

    /// When a limited sender tries more.
    fn limited_next_us(&self, bps: f64) -> u64 {
        let (first, most) = if bps < POOR_BPS { (POOR_US, POOR_MOST_US) } else { (LIMITED_US, LIMITED_MOST_US) };
        self.limited_at_us + (first << self.fruitless.min(8)).min(most)
    }

    /// When to call [`Self::handle_timeout`] next.
    pub(super) fn deadline_us(&self, now: &Now) -> Option<u64> {
        let given_up = self.sending.map(|s| s.until_us).or(self.tried.map(|t| t.until_us));
        if !self.begun || !now.calm || given_up.is_some() {
            // What calms the way down is feedback, and that is looked at anyway.
            return given_up;
        }
        let more = now.wanted_bps.is_none_or(|wanted| wanted > now.bps);
        let limited = (now.limited && more).then(|| self.limited_next_us(now.bps));
        let again = self.fell.map(|fell| fell.at_us + LOOK_AFTER_US);
        [limited, again].into_iter().flatten().min().map(|at| at.max(now.us + SOON_US))
    }

    fn look_again(&mut self, now: &Now) {
        let Some(fell) = self.fell else { return };
        let since_us = now.us.saturating_sub(fell.at_us);
        if since_us < LOOK_AFTER_US {
            return;
        }
        if since_us >= LOOK_UNTIL_US || now.bps >= fell.from_bps * LOOK_AGAIN {
            self.fell = None;
        } else {
            self.fell = None;
            self.ask(fell.from_bps * LOOK_AGAIN, now.bps, now.wanted_bps);
        }
    }

    /// Puts a rate into the queue, if it is worth trying.
    fn ask(&mut self, bps: f64, present_bps: f64, wanted_bps: Option<f64>) {
        let most = wanted_bps.map_or(self.max_bps, |wanted| (wanted * WANTED).min(self.max_bps));
        let bps = bps.min(most);
        let highest = self.waiting[..self.waiting_len].iter().copied().fold(present_bps, f64::max);
        if bps > highest * WORTH && self.waiting_len < WAITING {
            self.waiting[self.waiting_len] = bps;
            self.waiting_len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds after which a limited sender whose trials bring nothing has tried more.
    fn trials(bps: f64) -> Vec<u64> {
        let mut probing = Probing::new(20e6);
        probing.begin(bps, Some(bps * 10.0), 0);
        while probing.poll(0).is_some() {
            (probing.sending, probing.tried) = (None, None);
        }
        let mut tried = Vec::new();
        for second in 0..=60 {
            let now = Now { us: second * 1_000_000, bps, wanted_bps: Some(bps * 10.0), limited: true, calm: true };
            probing.handle_timeout(&now);
            if probing.poll(now.us).is_some() {
                tried.push(second);
                (probing.sending, probing.tried) = (None, None);
            }
        }
        tried
    }

    #[test]
    fn who_looks_at_nothing_does_not_wait_as_long_as_who_could_look_at_more() {
        assert_eq!(trials(1_000_000.0), [5, 15, 35]);
        assert_eq!(trials(80_000.0), [1, 3, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57]);
    }
}
