//! One row of figures, and what stopped the machine.

use serde::Serialize;
use std::fmt;

/// A share of its core from which on a thread is taken to have been the limit.
const BUSY: f64 = 0.95;
/// Of the sink's receive calls, so many brought all that one can bring: it was behind.
const BEHIND: f64 = 0.5;
/// What the product promises, in milliseconds.
pub(crate) const DELAY_P99_MAX_MS: f64 = 5.0;

/// Viewers of one run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) viewers: usize,
    pub(crate) rooms: usize,
    /// From 1: which of several measurements with so many viewers.
    pub(crate) round: u8,
    pub(crate) profile: String,
    pub(crate) seconds: f64,
    /// Delivered, bits above UDP.
    pub(crate) gbps: f64,
    pub(crate) packets_per_second: f64,
    pub(crate) packet_bytes: f64,
    /// Packets of one send call, on average.
    pub(crate) packets_per_send: f64,
    /// CPU time of the shard's thread per datagram it sent, kernel included.
    pub(crate) edge_ns_per_packet: f64,
    /// Share of its core.
    pub(crate) edge_busy: f64,
    pub(crate) delay_p50_ms: f64,
    pub(crate) delay_p99_ms: f64,
    pub(crate) delay_max_ms: f64,
    pub(crate) loss: Loss,
    pub(crate) samples: u64,
    pub(crate) bad_samples: u64,
    /// Viewers whose picture was paused for a while, or dropped from a full queue.
    pub(crate) resumed: u64,
    pub(crate) reports_per_second: f64,
    /// Share of its core that generator and sink used.
    pub(crate) crowd_busy: f64,
    pub(crate) full_receives: f64,
    pub(crate) bare: Ceiling,
}

/// Packets that did not come, by where they were lost.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Loss {
    /// Numbers missing at the viewers.
    pub(crate) missing: u64,
    /// The shard's socket refused them.
    pub(crate) edge_send: u64,
    /// The kernel had no room in the shard's receive buffer.
    pub(crate) edge_receive: u64,
    /// The kernel had no room in the sink's receive buffer.
    pub(crate) sink_receive: u64,
    /// The crowd's socket refused what it said.
    pub(crate) crowd_send: u64,
}

/// The same batches without an SFU.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Ceiling {
    /// At the same pace: only sent.
    pub(crate) paced_p50_ms: f64,
    pub(crate) paced_p99_ms: f64,
    pub(crate) paced_ns_per_packet: f64,
    /// At the same pace: copied, sealed and sent.
    pub(crate) sealed_p99_ms: f64,
    pub(crate) sealed_ns_per_packet: f64,
    /// Flat out, only sent: what left the sender, and what of it arrived.
    pub(crate) flat_gbps: f64,
    pub(crate) flat_arrived: f64,
    /// Datagrams that the kernel refused to take.
    pub(crate) flat_refused: u64,
    pub(crate) flat_ns_per_packet: f64,
    /// Share of its core that the sink used meanwhile.
    pub(crate) flat_sink_busy: f64,
}

/// The whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) machine: String,
    pub(crate) bitrate_bps: u32,
    pub(crate) packets_per_frame: u32,
    pub(crate) rows: Vec<Row>,
}

impl Row {
    /// Processor time of a datagram against copying, sealing and sending it.
    pub(crate) fn over_limit(&self) -> f64 {
        self.edge_ns_per_packet / self.bare.sealed_ns_per_packet
    }

    /// What the figures are to be read with.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let who = format!("{} viewers in {} room(s)", self.viewers, self.rooms);
        if self.bad_samples > 0 || self.samples == 0 {
            remarks.push(format!("{who}: {} of {} samples were wrong", self.bad_samples, self.samples));
        }
        if self.resumed > 0 {
            remarks.push(format!(
                "{who}: {} times a picture was paused and went on: the way looked too narrow",
                self.resumed
            ));
        }
        if self.crowd_busy >= BUSY || self.full_receives >= BEHIND || self.loss.sink_receive > 0 {
            remarks.push(format!(
                "{who}: the generator and sink were the bottleneck ({:.0} % of their core, {:.0} % full receives, {} dropped): \
                 the row says what this machine can receive, not what the edge can send",
                self.crowd_busy * 100.0,
                self.full_receives * 100.0,
                self.loss.sink_receive
            ));
        }
        if self.edge_busy >= BUSY {
            remarks.push(format!(
                "{who}: the edge's core is full; bare sends flat out make {:.1} Gbit/s",
                self.bare.flat_gbps
            ));
        }
        remarks
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, bitrate_bps, packets_per_frame, rows } = self;
        writeln!(f, "{machine}. {} kbit/s, {packets_per_frame} packets a frame.\n", bitrate_bps / 1_000)?;
        writeln!(
            f,
            "| viewers | rooms | Gbit/s | kpps | packets/send | edge ns/packet | edge core | p50 ms | p99 ms | missing | crowd core |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|")?;
        for row in rows {
            writeln!(
                f,
                "| {} | {} | {:.2} | {:.0} | {:.1} | {:.0} | {:.0} % | {:.2} | {:.2} | {} | {:.0} % |",
                row.viewers,
                row.rooms,
                row.gbps,
                row.packets_per_second / 1e3,
                row.packets_per_send,
                row.edge_ns_per_packet,
                row.edge_busy * 100.0,
                row.delay_p50_ms,
                row.delay_p99_ms,
                row.loss.missing,
                row.crowd_busy * 100.0
            )?;
        }
        writeln!(f, "\nThe same batches to the same sink without an SFU:\n")?;
        writeln!(
            f,
            "| viewers | rooms | sent: ns | p50 ms | p99 ms | copied, sealed, sent: ns | p99 ms | edge × | flat out: Gbit/s | ns | arrived | sink core |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|---|---|---|")?;
        for row in rows {
            let bare = &row.bare;
            writeln!(
                f,
                "| {} | {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} % | {:.0} % |",
                row.viewers,
                row.rooms,
                bare.paced_ns_per_packet,
                bare.paced_p50_ms,
                bare.paced_p99_ms,
                bare.sealed_ns_per_packet,
                bare.sealed_p99_ms,
                row.over_limit(),
                bare.flat_gbps,
                bare.flat_ns_per_packet,
                bare.flat_arrived * 100.0,
                bare.flat_sink_busy * 100.0
            )?;
        }
        writeln!(f)?;
        for same in rows.chunk_by(|a, b| a.viewers == b.viewers) {
            let [Row { viewers, rooms, .. }, ..] = same else { continue };
            writeln!(
                f,
                "- {viewers} viewers in {rooms} room(s), medians of {} round(s): edge {:.0} ns a packet, limit {:.0} ns, edge × {:.2}, p50 {:.2} ms, p99 {:.2} ms",
                same.len(),
                median(same, |row| row.edge_ns_per_packet),
                median(same, |row| row.bare.sealed_ns_per_packet),
                median(same, Row::over_limit),
                median(same, |row| row.delay_p50_ms),
                median(same, |row| row.delay_p99_ms)
            )?;
            if let Some(remark) = late(same) {
                writeln!(f, "- {remark}")?;
            }
        }
        for row in rows {
            let Loss { missing, edge_send, edge_receive, sink_receive, crowd_send } = row.loss;
            if missing + edge_send + edge_receive + sink_receive + crowd_send > 0 {
                writeln!(
                    f,
                    "- {} viewers in {} room(s): {missing} missing; {edge_send} refused to the edge, {edge_receive} dropped before the \
                     edge, {sink_receive} dropped before the sink, {crowd_send} refused to the crowd",
                    row.viewers, row.rooms
                )?;
            }
            for remark in row.remarks() {
                writeln!(f, "- {remark}")?;
            }
        }
        Ok(())
    }
}

/// Why the delay is too long, when it is in the middle of the rounds.
fn late(same: &[Row]) -> Option<String> {
    let [Row { viewers, rooms, .. }, ..] = same else { return None };
    let (sent, sealed) = (median(same, |row| row.bare.paced_p99_ms), median(same, |row| row.bare.sealed_p99_ms));
    (median(same, |row| row.delay_p99_ms) > DELAY_P99_MAX_MS).then(|| {
        format!(
            "{viewers} viewers in {rooms} room(s): p99 is above {DELAY_P99_MAX_MS} ms; the same batches at the same pace, only sent, take \
             {sent:.1} ms at the 99th percentile, copied and sealed {sealed:.1} ms"
        )
    })
}

/// The one in the middle; of an even number the mean of the two.
fn median(rows: &[Row], of: fn(&Row) -> f64) -> f64 {
    let mut of: Vec<f64> = rows.iter().map(of).collect();
    of.sort_by(f64::total_cmp);
    match (of.get(of.len().wrapping_sub(1) / 2), of.get(of.len() / 2)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            viewers: 10,
            rooms: 1,
            round: 1,
            profile: "AeadAes128Gcm".into(),
            seconds: 1.0,
            gbps: 1.0,
            packets_per_second: 1e5,
            packet_bytes: 1_160.0,
            packets_per_send: 5.0,
            edge_ns_per_packet: 900.0,
            edge_busy: 0.5,
            delay_p50_ms: 1.0,
            delay_p99_ms: 2.0,
            delay_max_ms: 3.0,
            loss: Loss::default(),
            samples: 100,
            bad_samples: 0,
            resumed: 0,
            reports_per_second: 100.0,
            crowd_busy: 0.3,
            full_receives: 0.0,
            bare: Ceiling::default(),
        }
    }

    #[test]
    fn a_run_says_who_was_the_bottleneck() {
        assert!(row().remarks().is_empty());
        let sink = Row { crowd_busy: 0.99, ..row() }.remarks();
        assert!(sink.len() == 1 && sink[0].contains("sink were the bottleneck"), "{sink:?}");
        let dropped = Row { loss: Loss { sink_receive: 1, ..Loss::default() }, ..row() }.remarks();
        assert!(dropped[0].contains("1 dropped"), "{dropped:?}");
        let edge = Row { edge_busy: 0.99, ..row() }.remarks();
        assert!(edge.len() == 1 && edge[0].contains("edge's core is full"), "{edge:?}");
        let rounds = [9.0, 2.0, 6.0].map(|delay_p99_ms| Row { delay_p99_ms, ..row() });
        assert!(late(&rounds).unwrap().contains("only sent"));
        assert!(late(&rounds[..2]).is_some(), "5.5 on average");
        assert_eq!(late(&rounds[1..2]), None);
        let blind = Row { samples: 0, ..row() }.remarks();
        assert!(blind.len() == 1 && blind[0].contains("samples"), "{blind:?}");
    }

    #[test]
    fn rounds_are_summed_up_by_their_medians() {
        let round = |round, edge, limit| {
            let bare = Ceiling { sealed_ns_per_packet: limit, ..Ceiling::default() };
            Row { round, edge_ns_per_packet: edge, bare, ..row() }
        };
        let rows = vec![round(1, 300.0, 200.0), round(2, 600.0, 200.0), round(3, 320.0, 160.0)];
        assert_eq!(median(&rows[..2], Row::over_limit).to_bits(), 2.25_f64.to_bits());
        let outcome = Outcome { machine: "a machine".into(), bitrate_bps: 1, packets_per_frame: 5, rows };
        let text = outcome.to_string();
        assert!(text.contains("medians of 3 round(s): edge 320 ns a packet, limit 200 ns, edge × 2.00"), "{text}");
        assert!(median(&[], Row::over_limit).is_nan());
    }
}
