//! The bandwidth estimate: packets leave, time passes, and feedback says anything at all about them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_fuzz::steps;
use lyceum_media::Ssrc;
use lyceum_media::estimate::{ClusterId, Estimate, MAX_BPS, MIN_BPS, PACKETS_MAX, Sent};
use lyceum_wire::rtcp::{Compound, Packet};
use std::time::{Duration, Instant};

fuzz_target!(|input: &[u8]| {
    let mut now = Instant::now();
    let mut estimate = Estimate::new(now);
    let (mut number, mut cluster) = (0_u16, None::<ClusterId>);
    for step in steps(input) {
        let Some((kind, rest)) = step.split_first() else { continue };
        match kind % 4 {
            // Packets leave.
            0 => {
                for byte in rest {
                    let probe = cluster.filter(|_| byte & 1 == 1);
                    let bytes = u16::from(*byte) * 8;
                    estimate.sent(Sent { number, bytes, ssrc: Ssrc(1), sequence: number, probe }, now);
                    number = number.wrapping_add(1 + u16::from(byte & 0x80 != 0) * u16::from(byte & 0x7e));
                    now += Duration::from_micros(u64::from(*byte) * 16);
                }
            }
            // Time passes.
            1 => {
                let micros = rest.iter().take(4).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
                now += Duration::from_micros(micros);
                estimate.handle_timeout(now);
            }
            // Feedback as dictated, its base counted from what was sent last.
            2 => {
                let mut packet = vec![0x8f, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];
                packet.extend_from_slice(rest);
                if let Some(base) = packet.get_mut(12..14) {
                    let back = u16::from_be_bytes([base[0], base[1]]);
                    base.copy_from_slice(&number.wrapping_sub(back).to_be_bytes());
                }
                packet.resize(packet.len().next_multiple_of(4), 0);
                packet[3] = (packet.len() / 4 - 1) as u8;
                take(&mut estimate, &packet, now);
            }
            // Anything else.
            _ => take(&mut estimate, rest, now),
        }
        if let Some(probe) = estimate.poll() {
            cluster = Some(probe.cluster);
        }
        assert!((MIN_BPS..=MAX_BPS).contains(&estimate.target_bps()));
        assert!((0.0..=1.0).contains(&estimate.loss()));
        assert!(estimate.bytes() <= PACKETS_MAX * 16 + 8 * 1024);
    }
});

fn take(estimate: &mut Estimate, bytes: &[u8], now: Instant) {
    for packet in Compound::new(bytes).flatten() {
        match packet {
            Packet::Transport(feedback) => estimate.feedback(&feedback, now),
            Packet::Congestion(feedback) => estimate.congestion_feedback(&feedback, now),
            Packet::Bandwidth { bitrate_bps, .. } => estimate.remb(bitrate_bps, now),
            Packet::ReceiverReport { reports, .. } => {
                for report in reports {
                    let rtt = Some(Duration::from_micros(u64::from(report.delay)));
                    estimate.report(f32::from(report.fraction_lost) / 256.0, rtt, now);
                }
            }
            _ => {}
        }
    }
}
