//! Feedback that nobody would give: whatever it says, the estimate stays within its bounds, and small.

use lyceum_media::Ssrc;
use lyceum_media::estimate::{Bounds, ClusterId, Estimate, PACKETS_MAX, Sent};
use lyceum_wire::rtcp::{self, Fate, StreamFates};
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    Send { packets: u16, bytes: u16, jump: u16, probe: bool },
    Wait { micros: u64 },
    Transport { back: u16, base_shift: u16, feedback: u8, ticks: i64, arrivals: Vec<Option<i16>> },
    Congestion { back: u16, timestamp: u32, fates: Vec<Option<u16>> },
    Report { loss: f32, rtt_ms: Option<u64> },
    Remb { bps: u64 },
    Wanted { bps: u64 },
    Noise { bytes: Vec<u8> },
}

fn step() -> impl Strategy<Value = Step> {
    let jump = prop_oneof![9 => Just(0_u16), 1 => any::<u16>()];
    let micros = prop_oneof![9 => 0..200_000_u64, 1 => 0..400_000_000_u64];
    let ticks = prop_oneof![8 => 0..100_000_i64, 2 => -0x7fff_ffff..0x7fff_ffff_i64];
    let arrivals = || proptest::collection::vec(proptest::option::weighted(0.8, -300_i16..3_000), 0..60);
    prop_oneof![
        4 => (1..40_u16, any::<u16>(), jump, any::<bool>())
            .prop_map(|(packets, bytes, jump, probe)| Step::Send { packets, bytes, jump, probe }),
        3 => micros.prop_map(|micros| Step::Wait { micros }),
        4 => (0..80_u16, prop_oneof![9 => Just(0_u16), 1 => any::<u16>()], any::<u8>(), ticks, arrivals())
            .prop_map(|(back, base_shift, feedback, ticks, arrivals)| {
                Step::Transport { back, base_shift, feedback, ticks, arrivals }
            }),
        2 => (0..80_u16, any::<u32>(), proptest::collection::vec(proptest::option::of(0..0x2000_u16), 0..60))
            .prop_map(|(back, timestamp, fates)| Step::Congestion { back, timestamp, fates }),
        1 => (any::<f32>(), proptest::option::of(0..20_000_u64)).prop_map(|(loss, rtt_ms)| Step::Report { loss, rtt_ms }),
        1 => any::<u64>().prop_map(|bps| Step::Remb { bps }),
        1 => any::<u64>().prop_map(|bps| Step::Wanted { bps }),
        1 => proptest::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| Step::Noise { bytes }),
    ]
}

fn take(estimate: &mut Estimate, bytes: &[u8], now: Instant) {
    for packet in rtcp::Compound::new(bytes).flatten() {
        match packet {
            rtcp::Packet::Transport(feedback) => estimate.feedback(&feedback, now),
            rtcp::Packet::Congestion(feedback) => estimate.congestion_feedback(&feedback, now),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_feedback_leaves_it_within_its_bounds(steps in proptest::collection::vec(step(), 1..120), start in any::<u16>()) {
        let zero = Instant::now();
        let bounds = Bounds { start_bps: 400_000, min_bps: 50_000, max_bps: 20_000_000 };
        let mut estimate = Estimate::within(bounds, zero);
        let (mut now, mut number, mut cluster) = (zero, start, None::<ClusterId>);
        for step in steps {
            match step {
                Step::Send { packets, bytes, jump, probe } => {
                    number = number.wrapping_add(jump);
                    for _ in 0..packets {
                        let probe = cluster.filter(|_| probe);
                        estimate.sent(Sent { number, bytes, ssrc: Ssrc(1), sequence: number, probe }, now);
                        number = number.wrapping_add(1);
                        now += Duration::from_micros(700);
                    }
                }
                Step::Wait { micros } => {
                    now += Duration::from_micros(micros);
                    estimate.handle_timeout(now);
                }
                Step::Transport { back, base_shift, feedback, ticks, arrivals } => {
                    let mut at = ticks;
                    let arrivals: Vec<Option<i64>> = arrivals.iter().map(|delta| delta.map(|delta| {
                        at += i64::from(delta);
                        at
                    })).collect();
                    let base = number.wrapping_sub(back).wrapping_add(base_shift);
                    let mut buffer = [0; 1_200];
                    let mut writer = rtcp::Writer::new(&mut buffer);
                    let _ = writer.transport_feedback(1, 2, base, feedback, &arrivals);
                    take(&mut estimate, writer.written(), now);
                }
                Step::Congestion { back, timestamp, fates } => {
                    let fates: Vec<Fate> = fates.iter().map(|fate| match fate {
                        None => Fate::Missing,
                        Some(offset) => Fate::Arrived { offset: Some(*offset), ecn: 0 },
                    }).collect();
                    let begin = number.wrapping_sub(back);
                    let mut buffer = [0; 1_200];
                    let mut writer = rtcp::Writer::new(&mut buffer);
                    writer.congestion_feedback(1, timestamp, &[StreamFates { ssrc: 1, begin, fates: &fates }]).unwrap();
                    take(&mut estimate, writer.written(), now);
                }
                Step::Report { loss, rtt_ms } => estimate.report(loss, rtt_ms.map(Duration::from_millis), now),
                Step::Remb { bps } => estimate.remb(bps, now),
                Step::Wanted { bps } => estimate.wanted(bps, now),
                Step::Noise { bytes } => take(&mut estimate, &bytes, now),
            }
            if let Some(probe) = estimate.poll() {
                prop_assert!(probe.packets_min > 0 && probe.bps <= bounds.max_bps);
                cluster = Some(probe.cluster);
            }
            prop_assert!((bounds.min_bps..=bounds.max_bps).contains(&estimate.target_bps()), "{}", estimate.target_bps());
            prop_assert!((0.0..=1.0).contains(&estimate.loss()), "{}", estimate.loss());
            prop_assert!(estimate.in_flight_bytes() <= PACKETS_MAX as u64 * u64::from(u16::MAX));
            prop_assert!(estimate.bytes() <= PACKETS_MAX * 16 + 8 * 1024, "{}", estimate.bytes());
            prop_assert!(estimate.pacing_bps() >= estimate.target_bps());
        }
        // Given time it comes to rest: its deadlines end, or lie apart.
        let (mut turns, end) = (0, now + Duration::from_secs(60));
        while let Some(at) = estimate.deadline().filter(|at| *at < end) {
            now = now.max(at);
            estimate.handle_timeout(now);
            while let Some(probe) = estimate.poll() {
                cluster = Some(probe.cluster);
            }
            turns += 1;
            prop_assert!(turns < 300, "it wakes up all the time");
            now += Duration::from_millis(1);
        }
        let _ = cluster;
    }
}
