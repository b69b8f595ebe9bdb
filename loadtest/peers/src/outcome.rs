//! What a comparison says.

use serde::Serialize;
use std::fmt;

/// A crowd busier than this was the bottleneck.
const CROWD_BUSY_MAX: f64 = 0.95;

/// One server with one SRTP profile in one round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
    /// CPU time of the server's processes, kernel included.
    pub(crate) server_cpu_seconds: f64,
    pub(crate) delay_p50_ms: f64,
    pub(crate) delay_p99_ms: f64,
    pub(crate) crowd_busy: f64,
    pub(crate) sink_drops: u64,
    pub(crate) bad_samples: u64,
    /// Viewers whose picture was paused for a while, or dropped from a full queue.
    pub(crate) resumed: u64,
}

impl Round {
    pub(crate) fn microseconds_each(&self) -> f64 {
        self.server_cpu_seconds * 1e6 / self.packets.max(1) as f64
    }
}

/// One server with one SRTP profile.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Contender {
    pub(crate) server: String,
    /// As agreed, not as wished.
    pub(crate) profile: String,
    pub(crate) rounds: Vec<Round>,
}

impl Contender {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.rounds.iter().map(of).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The median over the rounds.
    pub(crate) fn microseconds_each(&self) -> f64 {
        self.median(Round::microseconds_each)
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) machine: String,
    pub(crate) viewers: usize,
    pub(crate) bitrate_bps: u32,
    /// Ours is the last server named; the others are compared with it.
    pub(crate) ours: String,
    pub(crate) contenders: Vec<Contender>,
}

impl Outcome {
    /// Why the figures may not be believed.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for contender in &self.contenders {
            let who = format!("{} ({})", contender.server, contender.profile);
            let busiest = contender.rounds.iter().map(|round| round.crowd_busy).fold(0.0, f64::max);
            let drops: u64 = contender.rounds.iter().map(|round| round.sink_drops).sum();
            let bad: u64 = contender.rounds.iter().map(|round| round.bad_samples).sum();
            if busiest > CROWD_BUSY_MAX || drops > 0 {
                doubts.push(format!(
                    "{who}: the crowd was the bottleneck ({:.0} % of its core, {drops} dropped)",
                    busiest * 100.0
                ));
            }
            let resumed: u64 = contender.rounds.iter().map(|round| round.resumed).sum();
            if resumed > 0 {
                doubts.push(format!("{who}: {resumed} times a picture was paused and went on"));
            }
            if bad > 0 {
                doubts.push(format!("{who}: {bad} packets were not what the publisher sent"));
            }
        }
        doubts
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.contenders.first().map_or(0, |contender| contender.rounds.len());
        writeln!(
            f,
            "{}. {} viewers of {} kbit/s, median of {rounds} rounds that took turns.\n",
            self.machine,
            self.viewers,
            self.bitrate_bps / 1_000
        )?;
        writeln!(f, "| server | SRTP | kpps | Gbit/s | CPU µs/packet | each round | p50 ms | p99 ms | missing |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        for contender in &self.contenders {
            let each: Vec<String> =
                contender.rounds.iter().map(|round| format!("{:.2}", round.microseconds_each())).collect();
            let lost: u64 = contender.rounds.iter().map(|round| round.lost).sum();
            writeln!(
                f,
                "| {} | {} | {:.1} | {:.3} | {:.2} | {} | {:.2} | {:.2} | {lost} |",
                contender.server,
                contender.profile,
                contender.median(|round| round.packets as f64 / round.seconds) / 1e3,
                contender.median(|round| round.bytes as f64 * 8.0 / round.seconds) / 1e9,
                contender.microseconds_each(),
                each.join(", "),
                contender.median(|round| round.delay_p50_ms),
                contender.median(|round| round.delay_p99_ms),
            )?;
        }
        writeln!(f)?;
        for theirs in self.contenders.iter().filter(|contender| contender.server != self.ours) {
            for ours in self.contenders.iter().filter(|contender| contender.server == self.ours) {
                writeln!(
                    f,
                    "- {} ({}) costs {:.2} of {} ({})",
                    ours.server,
                    ours.profile,
                    ours.microseconds_each() / theirs.microseconds_each(),
                    theirs.server,
                    theirs.profile
                )?;
            }
        }
        for doubt in self.doubts() {
            writeln!(f, "- {doubt}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender(server: &str, cpu_seconds: &[f64]) -> Contender {
        let round = |&server_cpu_seconds: &f64| Round {
            packets: 1_000_000,
            bytes: 1_160_000_000,
            lost: 0,
            seconds: 5.0,
            server_cpu_seconds,
            delay_p50_ms: 1.0,
            delay_p99_ms: 2.0,
            crowd_busy: 0.3,
            sink_drops: 0,
            bad_samples: 0,
            resumed: 0,
        };
        Contender { server: server.into(), profile: "p".into(), rounds: cpu_seconds.iter().map(round).collect() }
    }

    #[test]
    fn the_median_is_compared_and_doubts_are_said() {
        let mut outcome = Outcome {
            machine: "m".into(),
            viewers: 100,
            bitrate_bps: 1_500_000,
            ours: "ours".into(),
            contenders: vec![contender("theirs", &[8.0, 90.0, 7.0]), contender("ours", &[1.0, 2.0, 3.0])],
        };
        let text = outcome.to_string();
        assert!(text.contains("- ours (p) costs 0.25 of theirs (p)"), "{text}");
        assert!(outcome.doubts().is_empty());
        outcome.contenders[0].rounds[1].sink_drops = 3;
        outcome.contenders[1].rounds[0].bad_samples = 2;
        assert_eq!(outcome.doubts().len(), 2, "{:?}", outcome.doubts());
    }
}
