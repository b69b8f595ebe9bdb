//! The congestion controller of links: for a stream of live media, not for a file.
//!
//! Why not one of QUIC's usual ones: Cubic and NewReno take every lost packet for congestion and collapse on a long
//! path that loses one in a hundred at random; they also fill the bottleneck's queue before they notice anything. BBR
//! does neither, but empties the pipe for 200 ms every ten seconds to measure the path, which a live picture shows.
//!
//! This one looks once per round trip at both signals and moves the window gently:
//!
//! | seen in the last round trip            | window        |
//! |----------------------------------------|---------------|
//! | loss above [`LOSS_SEVERE`]             | × 0.7         |
//! | loss above [`LOSS_NOTABLE`], or CE     | × 0.85        |
//! | delay above 1.5 × the smallest + 20 ms | × 0.9         |
//! | neither, and the window was used       | × 2 until the first decrease, then × 1.05 |
//!
//! Time outs of everything in flight (persistent congestion, RFC 9002 §7.6) set it to the floor.

use quinn::congestion::{Controller, ControllerFactory};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A round with more than this share lost is severe congestion.
pub(super) const LOSS_SEVERE: f64 = 0.10;
/// A round with more than this share lost is congestion; less is what radio and long cables lose anyway.
pub(super) const LOSS_NOTABLE: f64 = 0.02;
/// Window at the start, in bytes: 25 Mbit/s over 80 ms, a class's worth of media from the first second on.
const WINDOW_START: u64 = 256 * 1024;
/// Smallest window, in packets: audio of a few voices still flows at any round-trip time.
const WINDOW_PACKETS_MIN: u64 = 16;
/// Largest window, in bytes: 5 Gbit/s over 100 ms is 64 MiB; more than a node sends to one other.
const WINDOW_MAX: u64 = 64 << 20;
/// Delay above this, on top of half the smallest, means that a queue stands at the bottleneck.
const QUEUE_DELAY: Duration = Duration::from_millis(20);

/// Makes a [`Realtime`] per connection.
#[derive(Debug, Default)]
pub(super) struct Factory;

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Realtime::new(now, current_mtu))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Realtime {
    window: u64,
    mtu: u64,
    starting: bool,
    round_began: Instant,
    acked: u64,
    lost: u64,
    marked: bool,
    /// Acknowledgements of this round that came while the window was in use.
    used: u64,
}

/// What one round trip showed.
struct Round {
    loss: f64,
    marked: bool,
    queue: bool,
    used: bool,
}

impl Realtime {
    fn new(now: Instant, mtu: u16) -> Self {
        Self {
            window: WINDOW_START,
            mtu: u64::from(mtu),
            starting: true,
            round_began: now,
            acked: 0,
            lost: 0,
            marked: false,
            used: 0,
        }
    }

    fn acked(&mut self, now: Instant, bytes: u64, app_limited: bool, rtt: Duration, rtt_min: Duration) {
        self.acked += bytes;
        if !app_limited {
            self.used += bytes;
        }
        if now.saturating_duration_since(self.round_began) < rtt {
            return;
        }
        let sent = self.acked + self.lost;
        let round = Round {
            loss: if sent == 0 { 0.0 } else { self.lost as f64 / sent as f64 },
            marked: self.marked,
            queue: rtt > rtt_min + rtt_min / 2 + QUEUE_DELAY,
            used: self.used * 2 >= self.acked,
        };
        (self.round_began, self.acked, self.lost, self.marked, self.used) = (now, 0, 0, false, 0);
        self.turn(&round);
    }

    fn turn(&mut self, round: &Round) {
        let factor = if round.loss > LOSS_SEVERE {
            0.7
        } else if round.loss > LOSS_NOTABLE || round.marked {
            0.85
        } else if round.queue {
            0.9
        } else if !round.used {
            1.0
        } else if self.starting {
            2.0
        } else {
            1.05
        };
        self.starting &= factor >= 1.0;
        self.set((self.window as f64 * factor) as u64);
    }

    fn set(&mut self, window: u64) {
        self.window = window.clamp(WINDOW_PACKETS_MIN * self.mtu, WINDOW_MAX);
    }
}

impl Controller for Realtime {
    fn on_ack(&mut self, now: Instant, _: Instant, bytes: u64, app_limited: bool, rtt: &quinn_proto::RttEstimator) {
        self.acked(now, bytes, app_limited, rtt.get(), rtt.min());
    }

    fn on_congestion_event(&mut self, _: Instant, _: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.lost += lost_bytes;
        // No bytes lost: the path marked packets instead (ECN).
        self.marked |= lost_bytes == 0;
        if is_persistent_congestion {
            self.starting = false;
            self.set(0);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.set(self.window);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        WINDOW_START
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(80);

    /// Runs rounds of 100 packets of which `lost` per round do not arrive, and returns the window in the end.
    fn after(rounds: u32, lost: u64, rtt: Duration, app_limited: bool) -> u64 {
        let start = Instant::now();
        let mut controller = Realtime::new(start, 1200);
        for round in 1..=rounds {
            let now = start + RTT * round * 2;
            controller.on_congestion_event(now, now, false, lost * 1200 + u64::from(lost == 0));
            controller.lost -= u64::from(lost == 0);
            controller.acked(now, (100 - lost) * 1200, app_limited, rtt, RTT);
        }
        controller.window()
    }

    #[test]
    fn one_packet_in_a_hundred_lost_does_not_shrink_the_window() {
        assert!(after(50, 1, RTT, true) >= WINDOW_START);
        assert!(after(50, 1, RTT, false) > WINDOW_START);
    }

    #[test]
    fn heavy_loss_and_a_standing_queue_shrink_it() {
        assert!(after(10, 5, RTT, false) < WINDOW_START / 4);
        assert!(after(10, 20, RTT, false) < after(10, 5, RTT, false));
        assert!(after(10, 0, RTT * 2, false) < WINDOW_START);
    }

    #[test]
    fn a_window_nobody_uses_does_not_grow_without_bound() {
        assert_eq!(after(50, 0, RTT, true), WINDOW_START);
        assert_eq!(after(50, 0, RTT, false), WINDOW_MAX);
    }

    #[test]
    fn it_never_shrinks_below_a_few_voices() {
        assert_eq!(after(200, 50, RTT, false), WINDOW_PACKETS_MIN * 1200);
    }
}
