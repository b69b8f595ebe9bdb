//! What losses say of the way: a model of loss that tells a full queue from a noisy radio.
//!
//! ```text
//!   chance of loss = inherent + (1 − inherent) · (sent − capacity) / sent      what is sent above the capacity is lost,
//!                                                                              of the rest a share that no rate changes
//! ```
//!
//! Observations of a quarter of a second and more (rate sent, packets, lost) are kept for a few seconds. Of a few candidates for the
//! capacity that one is taken which makes them most likely, with a small preference for higher ones; the inherent loss that
//! goes with a candidate is found by Newton's method and bounded, because a loss of a third is never noise.

use crate::fetch::fetch;
/// An observation lasts at least this long, in µs …
const OBSERVATION_US: u64 = 250_000;
/// … and speaks of at least so many packets, unless it lasts four times as long.
const PACKETS_MIN: u32 = 10;
/// Observations kept: five seconds and more.
const OBSERVATIONS: usize = 20;
/// An observation weighs this much less than the next newer one.
const AGEING: f64 = 0.9;
/// Observations before anything is said.
const OBSERVATIONS_MIN: usize = 3;
/// Candidates around the present value.
const STEPS: [f64; 3] = [1.02, 1.0, 0.95];
/// Preference for high candidates: per kbit/s, and per factor of e.
const PREFERENCE: f64 = 0.0002;
const PREFERENCE_LOG: f64 = 0.02;
/// Above this average loss a preference for high candidates is out of place.
const PREFERENCE_LOSS_MAX: f64 = 0.15;
/// Bounds of the inherent loss: never exactly none, and at most `BOUND + BALANCE / capacity`.
const INHERENT_MIN: f64 = 0.001;
const INHERENT_BOUND: f64 = 0.08;
/// In bits per second: small flows see larger shares lost by chance.
const INHERENT_BALANCE: f64 = 75_000.0;
const INHERENT_MOST: f64 = 0.25;
/// First guess.
const INHERENT_FIRST: f64 = 0.01;
/// Steps of Newton's method per update, and how far each goes.
const NEWTON_STEPS: usize = 2;
const NEWTON_STEP: f64 = 0.75;
/// After a fall the capacity is believed to be at most this much above what arrives, until losses are usual again.
const RISE_MAX: f64 = 1.3;
/// The average loss has this time constant, in observations.
const AVERAGE: f64 = 0.3;

/// Observations and what they say.
#[derive(Debug)]
pub(super) struct Loss {
    observations: [Observation; OBSERVATIONS],
    /// Observations made so far.
    made: usize,
    partial: Partial,
    /// Capacity in bits per second, once losses have limited it.
    bps: Option<f64>,
    inherent: f64,
    average: f64,
}

/// A time in which so many packets were sent at this rate.
#[derive(Debug, Clone, Copy, Default)]
struct Observation {
    sent_bps: f64,
    packets: f64,
    lost: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    first_us: Option<u64>,
    last_us: u64,
    bytes: u64,
    packets: u32,
    lost: u32,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    bps: f64,
    inherent: f64,
}

impl Loss {
    pub(super) fn new() -> Self {
        Self {
            observations: [Observation::default(); OBSERVATIONS],
            made: 0,
            partial: Partial::default(),
            bps: None,
            inherent: INHERENT_FIRST,
            average: 0.0,
        }
    }

    /// A packet's fate is settled. Says whether an observation is complete: call [`Self::update`] then.
    #[inline]
    pub(super) fn settled(&mut self, sent_us: u64, bytes: u16, lost: bool) -> bool {
        let partial = &mut self.partial;
        let first_us = *partial.first_us.get_or_insert(sent_us);
        let elapsed_us = sent_us.saturating_sub(first_us);
        let complete =
            elapsed_us >= OBSERVATION_US && (partial.packets >= PACKETS_MIN || elapsed_us >= 4 * OBSERVATION_US);
        if complete {
            let sent_bps = partial.bytes as f64 * 8e6 / elapsed_us as f64;
            let (packets, lost) = (f64::from(partial.packets), f64::from(partial.lost));
            self.observations[self.made % OBSERVATIONS] = Observation { sent_bps, packets, lost };
            self.made += 1;
            self.average += (lost / packets.max(1.0) - self.average) * AVERAGE;
            self.partial = Partial { first_us: Some(sent_us), ..Partial::default() };
        }
        let partial = &mut self.partial;
        partial.last_us = sent_us;
        partial.bytes += u64::from(bytes);
        partial.packets += 1;
        partial.lost += u32::from(lost);
        complete
    }

    /// Weighs the candidates. `delay_bps` is what the transit times allow, `arrived_bps` what arrives, and `limited` whether that is
    /// only what there was to send.
    pub(super) fn update(&mut self, delay_bps: f64, arrived_bps: Option<f64>, limited: bool) {
        if self.made < OBSERVATIONS_MIN {
            return;
        }
        if self.bps.is_none() && self.kept().all(|(_, observation)| observation.lost == 0.0) {
            // Nothing was lost and nothing is limited: the highest candidate is the best, as is plain without weighing.
            self.inherent = self.fit(delay_bps).inherent;
            return;
        }
        let present = self.bps.unwrap_or(delay_bps).min(delay_bps);
        // What little there was to send says nothing of what could have been, unless more is lost of it than noise takes.
        let beyond_noise = self.recent_loss() > inherent_most(present);
        let arrived_bps = arrived_bps.filter(|_| !limited || beyond_noise);
        let mut best: Option<(f64, Candidate)> = None;
        let steps = STEPS.iter().map(|step| present * step);
        for bps in steps.chain([delay_bps]).chain(arrived_bps) {
            let candidate = self.fit(bps.min(delay_bps));
            let merit = self.merit(candidate);
            if best.is_none_or(|(most, _)| merit > most) {
                best = Some((merit, candidate));
            }
        }
        let Some((_, best)) = best else { return };
        self.inherent = best.inherent;
        let recent = self.recent_loss();
        let mut bps = best.bps;
        if bps > present {
            // More loss than noise explains: this is no time to rise.
            if recent > best.inherent.max(0.01) * 1.5 && recent > 0.02 {
                bps = present;
            }
            if let (Some(arrived), Some(_)) = (arrived_bps, self.bps) {
                bps = bps.min((arrived * RISE_MAX).max(present));
            }
        }
        self.bps = (bps < delay_bps * 0.999).then_some(bps);
    }

    /// What losses allow; `None`: they limit nothing.
    pub(super) fn bps(&self) -> Option<f64> {
        self.bps
    }

    /// Average share lost.
    pub(super) fn average(&self) -> f64 {
        self.average
    }

    fn kept(&self) -> impl Iterator<Item = (f64, Observation)> + '_ {
        let kept = self.made.min(OBSERVATIONS);
        let mut weight = 1.0;
        (0..kept).map(move |back| {
            let observation = self.observations[(self.made - 1 - back) % OBSERVATIONS];
            let now = weight;
            weight *= AGEING;
            (now, observation)
        })
    }

    /// Asks for what an observation needs.
    pub(super) fn fetch(&self) {
        fetch(&self.partial);
        fetch(&self.average);
        fetch(&self.made);
    }

    fn recent_loss(&self) -> f64 {
        let (mut packets, mut lost) = (0.0, 0.0);
        for (weight, observation) in self.kept() {
            packets += weight * observation.packets;
            lost += weight * observation.lost;
        }
        lost / f64::max(packets, 1.0)
    }

    /// The inherent loss that goes best with a capacity.
    fn fit(&self, bps: f64) -> Candidate {
        let most = inherent_most(bps);
        let mut inherent = self.inherent.clamp(INHERENT_MIN, most);
        for _ in 0..NEWTON_STEPS {
            let (mut first, mut second) = (0.0, 0.0);
            for (weight, observation) in self.kept() {
                let Observation { packets, lost, .. } = observation;
                let chance = observation.chance(Candidate { bps, inherent });
                let kept = packets - lost;
                first += weight * (lost / chance - kept / (1.0 - chance));
                second -= weight * (lost / (chance * chance) + kept / ((1.0 - chance) * (1.0 - chance)));
            }
            if second < 0.0 {
                inherent = (inherent - NEWTON_STEP * first / second).clamp(INHERENT_MIN, most);
            }
        }
        Candidate { bps, inherent }
    }

    /// Log-likelihood of everything observed, and the preference.
    fn merit(&self, candidate: Candidate) -> f64 {
        let kbps = candidate.bps / 1_000.0;
        let recent = self.recent_loss();
        let room = (1.0 - recent / PREFERENCE_LOSS_MAX).max(0.0);
        let preference = room * (PREFERENCE * kbps + PREFERENCE_LOG * kbps.max(1.0).ln());
        self.kept()
            .map(|(weight, observation)| {
                let Observation { packets, lost, .. } = observation;
                let chance = observation.chance(candidate);
                weight * (lost * chance.ln() + (packets - lost) * (1.0 - chance).ln() + preference * packets)
            })
            .sum()
    }
}

/// How much loss may be put down to noise.
fn inherent_most(bps: f64) -> f64 {
    (INHERENT_BOUND + INHERENT_BALANCE / bps.max(1.0)).min(INHERENT_MOST)
}

impl Observation {
    fn chance(&self, candidate: Candidate) -> f64 {
        let above = if self.sent_bps > candidate.bps { (self.sent_bps - candidate.bps) / self.sent_bps } else { 0.0 };
        (candidate.inherent + (1.0 - candidate.inherent) * above).clamp(1e-6, 1.0 - 1e-6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends at what the estimate allows for some seconds over a way that loses `noise` of everything, and everything above
    /// `capacity`; returns the estimate at the end.
    fn settle(capacity: f64, noise: f64, delay_bps: f64) -> f64 {
        let mut loss = Loss::new();
        let (mut now_us, mut dropped, mut draw) = (0_u64, 0.0, 0.0_f64);
        while now_us < 30_000_000 {
            let rate = loss.bps().unwrap_or(delay_bps);
            now_us += (1_000.0 * 8e6 / rate) as u64;
            dropped += ((rate - capacity) / rate).max(0.0);
            // Spread evenly, not at random: the model does not know.
            draw = (draw + 0.618_034) % 1.0;
            let over = dropped >= 1.0;
            dropped -= f64::from(u8::from(over));
            if loss.settled(now_us, 1_000, over || draw < noise) {
                loss.update(delay_bps, Some(rate.min(capacity) * (1.0 - noise)), false);
            }
        }
        loss.bps().unwrap_or(delay_bps)
    }

    #[test]
    fn what_a_policer_takes_is_not_sent() {
        let settled = settle(1_000_000.0, 0.0, 2_000_000.0);
        assert!((800_000.0..1_150_000.0).contains(&settled), "{settled}");
    }

    #[test]
    fn noise_limits_nothing() {
        for noise in [0.02, 0.05, 0.10] {
            let settled = settle(1e9, noise, 2_000_000.0);
            assert!(settled > 1_600_000.0, "{noise}: {settled}");
        }
    }

    #[test]
    fn a_policer_on_a_noisy_way_is_found_too() {
        let settled = settle(1_000_000.0, 0.05, 2_000_000.0);
        assert!((700_000.0..1_200_000.0).contains(&settled), "{settled}");
    }
}
