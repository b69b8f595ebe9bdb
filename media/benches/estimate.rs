//! CPU of the bandwidth estimate, per packet sent and per feedback taken in, and its memory.
//!
//! ```text
//!   cargo bench -p lyceum-media --bench estimate
//! ```
//!
//! Many viewers are served in turn, as on a shard, so that their state is not warm in the cache more than it would be there.
//! Each is sent bursts of eight packets every 40 ms (2 Mbit/s) and answers every 100 ms; a queue comes and goes, so that all parts
//! have work. Medians of rounds, so that a noisy neighbour does not show.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measuring program"
)]

use lyceum_media::Ssrc;
use lyceum_media::estimate::{Estimate, Sent};
use lyceum_wire::rtcp;
use std::hint::black_box;
use std::time::{Duration, Instant};

const BURST: u16 = 8;
const BURST_EVERY: Duration = Duration::from_millis(40);
/// Bursts per feedback: 120 ms.
const BURSTS: u16 = 3;
const ROUNDS: u16 = 600;

fn main() {
    println!("bursts of {BURST} packets of 1,200 B every 40 ms, feedback on {} packets; medians", BURST * BURSTS);
    println!(
        "{:>8} {:>14} {:>16} {:>20} {:>14}",
        "viewers", "sent, ns", "feedback, ns", "feedback/packet, ns", "memory, B"
    );
    for viewers in [1_usize, 100, 3_000] {
        let zero = Instant::now();
        let mut estimates: Vec<Estimate> = (0..viewers).map(|_| Estimate::new(zero)).collect();
        let rounds = if viewers > 1_000 { ROUNDS / 10 } else { ROUNDS };
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        let mut now = zero;
        for round in 0..rounds {
            let first = round.wrapping_mul(BURST * BURSTS);
            let start = now;
            let before = Instant::now();
            for burst in 0..BURSTS {
                for estimate in &mut estimates {
                    for n in 0..BURST {
                        let number = first.wrapping_add(burst * BURST + n);
                        estimate.sent(Sent { number, bytes: 1_200, ssrc: Ssrc(1), sequence: number, probe: None }, now);
                    }
                }
                now += BURST_EVERY;
            }
            sent.push(before.elapsed());
            let bytes = feedback(round, first, start.duration_since(zero));
            let Some(Ok(rtcp::Packet::Transport(feedback))) = rtcp::Compound::new(&bytes).next() else { panic!() };
            let before = Instant::now();
            for estimate in &mut estimates {
                estimate.fetch();
                estimate.feedback(black_box(&feedback), now);
                black_box(estimate.target_bps());
            }
            told.push(before.elapsed());
        }
        let per = |mut all: Vec<Duration>, count: usize| {
            all.sort_unstable();
            all[all.len() / 2].as_nanos() as f64 / count as f64
        };
        let packets = usize::from(BURST * BURSTS);
        let (sent, told) = (per(sent, viewers * packets), per(told, viewers));
        let memory = estimates[0].bytes();
        println!("{viewers:>8} {sent:>14.1} {told:>16.0} {:>20.1} {memory:>14}", told / packets as f64);
    }
}

/// What a viewer says of one round: 50 ms of way, a millisecond per packet, and a queue that comes and goes.
fn feedback(round: u16, first: u16, sent: Duration) -> Vec<u8> {
    let mut buffer = [0; 1_200];
    let mut writer = rtcp::Writer::new(&mut buffer);
    let queue = f64::from(round % 40) * 2.0;
    let arrivals: Vec<Option<i64>> = (0..BURST * BURSTS)
        .map(|n| {
            let at = sent.as_secs_f64() * 1_000.0 + f64::from(n / BURST) * 40.0 + f64::from(n % BURST) + 50.0 + queue;
            (n % 23 != 22).then_some((at * 4.0) as i64)
        })
        .collect();
    writer.transport_feedback(1, 2, first, round as u8, &arrivals).unwrap();
    writer.written().to_vec()
}
