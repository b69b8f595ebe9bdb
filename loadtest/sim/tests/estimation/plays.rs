//! What must hold, in words.

use crate::world::{Flow, Source, Tells, Viewer, World};
use lyceum_media::estimate::{Ignored, MAX_BPS, MIN_BPS};
use lyceum_sim::{Bottleneck, Bursts, Gate, Growth, Random, Shape, Wobble};
use std::time::Duration;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

const MBIT: u64 = 1_000_000;

/// Runs a play on every seed that is asked for, and says which one failed.
fn on_seeds(play: fn(u64)) {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse().expect("a number"));
    let seeds = match number("LYCEUM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LYCEUM_SEEDS").unwrap_or(4),
    };
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| play(seed)) {
            let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            panic!("LYCEUM_SEED={seed}: {}", words.unwrap_or("panicked"));
        }
    }
}

/// One viewer of an encoder that could send a lot, on this way.
fn alone(shape: Shape, seed: u64) -> World {
    let mut world = World::new(shape, seed);
    world.add(Viewer::encoder(2_500_000, shape.way.delay));
    world
}

#[track_caller]
fn within(what: &str, value: f64, bounds: std::ops::RangeInclusive<f64>) {
    assert!(bounds.contains(&value), "{what}: {value:.0} is not in {bounds:?}");
}

#[track_caller]
fn at_least(what: &str, value: f64, bound: f64) {
    assert!(value >= bound, "{what}: {value:.0} is less than {bound}");
}

#[track_caller]
fn at_most(what: &str, value: f64, bound: f64) {
    assert!(value <= bound, "{what}: {value:.0} is more than {bound}");
}

/// Average target now: over half a second, as a single moment may lie just after a decrease.
fn now_kbps(flow: &Flow) -> f64 {
    flow.target_kbps(0.5)
}

#[test]
fn a_link_is_found_followed_up_and_followed_down() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(500_000, ms(300), ms(100)), seed);
        world.run(seconds(25));
        within("500 kbit/s", now_kbps(&world.flows[0]), 350.0..=550.0);
        at_most("pacer", world.flows[0].pacer_ms(20.0, 1.0), 150.0);
        at_most("queue", world.flows[0].queue_ms(15.0, 0.95), 120.0);

        world.set(Shape::narrow(800_000, ms(300), ms(100)));
        world.run(seconds(20));
        within("800 kbit/s", now_kbps(&world.flows[0]), 600.0..=900.0);
        at_most("pacer", world.flows[0].pacer_ms(20.0, 1.0), 150.0);

        // A fifth of a second more each way, too: not every longer way is a queue.
        world.set(Shape::narrow(100_000, ms(300), ms(200)));
        world.run(seconds(50));
        within("100 kbit/s", now_kbps(&world.flows[0]), 65.0..=115.0);
        at_least("of it used", world.flows[0].arrived_kbps(20.0), 70.0);
        at_most("pacer", world.flows[0].pacer_ms(40.0, 1.0), 150.0);
        // A packet alone takes 96 ms of it.
        at_most("queue", world.flows[0].queue_ms(20.0, 0.95), 250.0);
    });
}

#[test]
fn a_capacity_drop_is_noticed_within_300_ms() {
    on_seeds(|seed| {
        // Bursts of 40 ms show the change a burst later.
        for (burst, noticed) in [(ms(5), ms(300)), (ms(10), ms(300)), (ms(40), ms(400))] {
            let mut world = World::new(Shape::narrow(2 * MBIT, ms(500), ms(25)), seed);
            world.add(Viewer { burst, ..Viewer::encoder(3 * MBIT, ms(25)) });
            world.run(seconds(20));
            let before = world.flows[0].target_kbps(0.1);
            at_least("before", before, 1_500.0);
            world.set(Shape::narrow(500_000, ms(500), ms(25)));
            world.run(noticed);
            at_most("noticed", world.flows[0].target_kbps(0.01), before * 0.85);
            world.run(ms(2_000) - noticed);
            at_most("two seconds later", world.flows[0].target_kbps(0.01), 600.0);
            world.run(seconds(19));
            // What was on its way when it happened is gone, in the network and in the pacer.
            at_most("queue", world.flows[0].queue_ms(16.0, 0.95), 150.0);
            at_most("pacer", world.flows[0].pacer_ms(12.0, 1.0), 150.0);
            within("settled", world.flows[0].target_kbps(10.0), 400.0..=520.0);
        }
    });
}

#[test]
fn a_fast_link_is_found_in_less_than_a_second() {
    on_seeds(|seed| {
        let mut world = World::new(Shape::narrow(1_000 * MBIT, ms(50), ms(50)), seed);
        world.add(Viewer::encoder(5 * MBIT, ms(50)));
        world.run(seconds(10));
        let flow = &world.flows[0];
        assert!(
            flow.reached_after(2_500.0).is_some_and(|s| s < 1.0),
            "2.5 Mbit/s after {:?}",
            flow.reached_after(2_500.0)
        );
        at_least("all that is wanted", flow.target_kbps(1.0), 5_000.0);
        at_most("padding for it, bytes", flow.padding_bytes as f64, 100_000.0);
    });
}

#[test]
fn beside_tcp_a_fair_part_is_kept_and_a_fair_part_is_left() {
    on_seeds(|seed| {
        for growth in [Growth::Reno, Growth::Cubic] {
            let mut world = alone(Shape::narrow(MBIT, ms(300), ms(50)), seed);
            world.run(seconds(10));
            world.greedy(growth, ms(50), Some(seconds(90)));
            world.run(seconds(30));
            let before = world.greedy_bytes();
            world.run(seconds(60));
            // A fair part: between a seventh and three quarters of the link, over a minute. The first is what a picture and a voice need.
            within("ours", world.flows[0].arrived_kbps(60.0), 140.0..=750.0);
            at_least("theirs", (world.greedy_bytes() - before) as f64 * 8.0 / 60_000.0, 250.0);
            // When it has gone, the link is ours again, and its queue is emptied.
            world.run(seconds(30));
            at_least("afterwards", world.flows[0].target_kbps(5.0), 700.0);
            at_most("queue", world.flows[0].queue_ms(5.0, 0.9), 120.0);
        }
    });
}

#[test]
fn short_tcp_flows_do_not_ruin_the_estimate() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(200), ms(50)), seed);
        world.run(seconds(15));
        for _ in 0..5 {
            // A page loads for two seconds.
            world.greedy(Growth::Cubic, ms(50), Some(seconds(2)));
            world.run(seconds(12));
        }
        at_least("average", world.flows[0].target_kbps(60.0), 900.0);
        at_least("at the end", world.flows[0].target_kbps(2.0), 800.0);
    });
}

#[test]
fn with_the_video_stopped_the_estimate_stays() {
    on_seeds(|seed| {
        let mut world = World::new(Shape::narrow(2 * MBIT, ms(300), ms(100)), seed);
        world.add(Viewer { voice: true, ..Viewer::encoder(3 * MBIT, ms(100)) });
        world.run(seconds(20));
        at_least("before", world.flows[0].target_kbps(1.0), 1_400.0);
        world.flows[0].viewer.source = Source::Off;
        world.run(seconds(60));
        let flow = &world.flows[0];
        at_least("least of a minute", flow.least_kbps(58.0), 1_000.0);
        at_most("and not more than there is", flow.target_kbps(1.0), 2_200.0);
        at_most("queue", flow.queue_ms(55.0, 0.99), 100.0);
        world.flows[0].viewer.source = Source::Encoder { max_bps: 3 * MBIT };
        world.run(seconds(5));
        at_least("resumed", world.flows[0].arrived_kbps(4.0), 1_200.0);
        at_most("queue", world.flows[0].queue_ms(5.0, 1.0), 250.0);
    });
}

#[test]
fn after_total_silence_it_goes_on_where_it_was() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(300), ms(50)), seed);
        world.run(seconds(15));
        world.flows[0].viewer.source = Source::Off;
        world.run(seconds(40));
        at_least("nothing at all was sent", world.flows[0].target_kbps(0.1), 1_000.0);
        world.flows[0].viewer.source = Source::Encoder { max_bps: 3 * MBIT };
        world.run(seconds(4));
        at_least("resumed", world.flows[0].arrived_kbps(3.0), 1_000.0);
    });
}

#[test]
fn layers_are_reached_by_probing_alone() {
    on_seeds(|seed| {
        let mut world = World::new(Shape::narrow(1_300_000, ms(300), ms(50)), seed);
        world.add(Viewer {
            source: Source::Layers(vec![150_000, 500_000, 1_500_000]),
            voice: true,
            wanted_bps: Some(1_560_000),
            ..Viewer::encoder(0, ms(50))
        });
        world.run(seconds(60));
        // The middle layer is sent; the estimate knows that there is more, but not enough for the upper one.
        within("estimate", world.flows[0].target_kbps(30.0), 900.0..=1_400.0);
        within("sent", world.flows[0].arrived_kbps(30.0), 480.0..=700.0);
        at_most("queue", world.flows[0].queue_ms(55.0, 0.99), 120.0);
        // The link grows: the upper layer within half a minute, although nothing of what is sent changes by itself.
        world.set(Shape::narrow(3 * MBIT, ms(300), ms(50)));
        world.run(seconds(40));
        at_least("upper layer", world.flows[0].arrived_kbps(5.0), 1_400.0);
        // And it shrinks below the middle one: the queue does not stay full.
        world.set(Shape::narrow(400_000, ms(300), ms(50)));
        world.run(seconds(20));
        at_most("estimate", world.flows[0].target_kbps(10.0), 480.0);
        at_most("queue", world.flows[0].queue_ms(10.0, 0.9), 120.0);
        at_most("pacer", world.flows[0].pacer_ms(10.0, 1.0), 150.0);
    });
}

#[test]
fn probing_goes_no_further_than_is_wanted() {
    on_seeds(|seed| {
        let mut world = World::new(Shape::narrow(100 * MBIT, ms(50), ms(20)), seed);
        world.add(Viewer {
            source: Source::Layers(vec![150_000]),
            wanted_bps: Some(400_000),
            ..Viewer::encoder(0, ms(20))
        });
        world.run(seconds(30));
        let flow = &mut world.flows[0];
        within("estimate", flow.target_kbps(20.0), 700.0..=900.0);
        let (padding, now) = (flow.padding_bytes, world.now);
        flow.estimate.wanted(3 * MBIT, now);
        world.run(seconds(15));
        at_least("more is wanted, more is found", world.flows[0].target_kbps(1.0), 3_000.0);
        at_most("bytes for it", (world.flows[0].padding_bytes - padding) as f64, 60_000.0);
    });
}

#[test]
fn random_loss_is_no_reason_to_send_less() {
    on_seeds(|seed| {
        for percent in [2, 5, 10] {
            let mut world = alone(Shape::narrow(10 * MBIT, ms(100), ms(50)).lossy(percent * 10_000), seed);
            world.run(seconds(60));
            at_least(&format!("{percent} % lost"), world.flows[0].least_kbps(40.0), 2_000.0);
        }
        // The same in bursts of five packets.
        let mut shape = Shape::narrow(10 * MBIT, ms(100), ms(50));
        shape.bursts =
            Some(Bursts { begin_per_million: 10_000, end_per_million: 200_000, loss_per_million: 1_000_000 });
        let mut world = alone(shape, seed);
        world.run(seconds(60));
        at_least("bursts of loss", world.flows[0].least_kbps(40.0), 1_800.0);
    });
}

#[test]
fn a_link_without_a_queue_is_found_by_its_losses() {
    on_seeds(|seed| {
        // 24 ms of queue: delays show nothing.
        let mut world = alone(Shape::narrow(MBIT, ms(24), ms(30)), seed);
        world.run(seconds(60));
        let flow = &world.flows[0];
        within("estimate", flow.target_kbps(40.0), 600.0..=1_050.0);
        at_most("lost, per mille", f64::from(flow.estimate.loss()) * 1_000.0, 180.0);
    });
}

#[test]
fn a_radio_that_delivers_in_aggregates_does_not_make_it_collapse() {
    on_seeds(|seed| {
        for burst in [ms(5), ms(40)] {
            let mut shape = Shape::narrow(4 * MBIT, ms(300), ms(20));
            shape.gate = Some(Gate { least: ms(20), most: ms(50) });
            let mut world = World::new(shape, seed);
            world.add(Viewer { burst, ..Viewer::encoder(2_500_000, ms(20)) });
            world.run(seconds(60));
            at_least("average", world.flows[0].target_kbps(45.0), 900.0);
            at_least("least", world.flows[0].least_kbps(45.0), 350.0);
        }
    });
}

#[test]
fn a_cell_whose_rate_changes_all_the_time_does_not_make_it_collapse() {
    on_seeds(|seed| {
        let cell = |bps, every, least_percent, most_percent| {
            let mut shape = Shape::narrow(bps, ms(400), ms(40));
            let wobble = Some(Wobble { every, least_percent, most_percent });
            shape.bottleneck = shape.bottleneck.map(|bottleneck| Bottleneck { wobble, ..bottleneck });
            shape.way.jitter = ms(8);
            shape
        };
        // Between nothing and twice the rate every ten milliseconds, then slower waves.
        let mut world = alone(cell(4 * MBIT, ms(10), 10, 190), seed);
        world.run(seconds(60));
        at_least("fast changes", world.flows[0].target_kbps(45.0), 1_800.0);
        let mut world = alone(cell(3 * MBIT, ms(100), 30, 170), seed);
        world.run(seconds(60));
        at_least("slow changes", world.flows[0].target_kbps(45.0), 750.0);
        at_most("queue", world.flows[0].queue_ms(45.0, 0.95), 150.0);
    });
}

#[test]
fn packets_that_overtake_each_other_are_not_lost() {
    on_seeds(|seed| {
        let mut shape = Shape::narrow(4 * MBIT, ms(300), ms(30));
        (shape.way.jitter, shape.in_order) = (ms(30), false);
        let mut world = alone(shape, seed);
        world.run(seconds(60));
        at_least("average", world.flows[0].target_kbps(45.0), 1_500.0);
        at_most("taken for lost, per mille", f64::from(world.flows[0].estimate.loss()) * 1_000.0, 10.0);
    });
}

#[test]
fn an_outage_ends_and_so_does_its_effect() {
    on_seeds(|seed| {
        let usual = Shape::narrow(2 * MBIT, ms(400), ms(40));
        let mut world = alone(usual, seed);
        world.run(seconds(15));
        for lasts in [ms(500), seconds(2), seconds(5)] {
            let mut shut = usual;
            shut.bottleneck = shut.bottleneck.map(|bottleneck| Bottleneck { bps: 0, ..bottleneck });
            world.set(shut);
            world.run(lasts);
            world.set(usual);
            world.run(seconds(15));
            at_least("15 s later", world.flows[0].target_kbps(1.0), 1_000.0);
        }
    });
}

#[test]
fn two_of_ours_share_fairly() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(300), ms(50)), seed);
        world.run(seconds(20));
        world.add(Viewer::encoder(2_500_000, ms(50)));
        world.run(seconds(90));
        let [first, second] = [0, 1].map(|n| world.flows[n].arrived_kbps(40.0));
        at_least("together", first + second, 1_500.0);
        within("one of them in per cent", first / (first + second) * 100.0, 25.0..=75.0);
        at_most("queue", world.flows[0].queue_ms(40.0, 0.95), 120.0);
    });
}

#[test]
fn feedback_may_get_lost_on_its_way() {
    on_seeds(|seed| {
        for (percent, bound) in [(10, 700.0), (30, 550.0), (50, 400.0)] {
            let mut world = World::new(Shape::narrow(MBIT, ms(300), ms(50)), seed);
            let back = Shape::free(ms(50)).lossy(percent * 10_000);
            world.add(Viewer { back, ..Viewer::encoder(2 * MBIT, ms(50)) });
            world.run(seconds(60));
            let flow = &world.flows[0];
            at_least(&format!("{percent} % of the feedback lost"), flow.target_kbps(40.0), bound);
            assert_eq!(flow.estimate.loss(), 0.0, "nothing of what was sent was lost");
        }
    });
}

#[test]
fn feedback_that_comes_299_seconds_late_does_no_harm() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(300), ms(50)), seed);
        world.run(seconds(20));
        world.flows[0].keep_next = 5;
        world.run(seconds(299));
        assert_eq!(world.flows[0].kept.len(), 5);
        let before = world.flows[0].target_kbps(5.0);
        let now = world.now;
        for bytes in std::mem::take(&mut world.flows[0].kept) {
            world.flows[0].take_feedback(&bytes, now);
        }
        let estimate = &world.flows[0].estimate;
        assert!(estimate.ignored(Ignored::NotInHistory) + estimate.ignored(Ignored::ClockJumped) > 0);
        world.run(seconds(2));
        at_least("afterwards", world.flows[0].least_kbps(2.0), before * 0.75);
    });
}

#[test]
fn all_feedback_may_come_two_seconds_late_and_twice() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(300), ms(50)), seed);
        world.run(seconds(15));
        let before = world.flows[0].target_kbps(2.0);
        world.flows[0].keep_next = 8;
        world.run(seconds(2));
        let kept = std::mem::take(&mut world.flows[0].kept);
        let now = world.now;
        for bytes in kept.iter().chain(&kept).rev() {
            world.flows[0].take_feedback(bytes, now);
        }
        assert!(world.flows[0].estimate.ignored(Ignored::ToldBefore) > 0);
        world.run(seconds(5));
        at_least("afterwards", world.flows[0].target_kbps(2.0), before * 0.6);
    });
}

#[test]
fn the_viewers_clock_may_be_set() {
    on_seeds(|seed| {
        let mut world = alone(Shape::narrow(2 * MBIT, ms(300), ms(50)), seed);
        world.run(seconds(15));
        let before = world.flows[0].target_kbps(2.0);
        world.flows[0].clock_ahead = seconds(40_000);
        world.run(seconds(5));
        assert!(world.flows[0].estimate.ignored(Ignored::ClockJumped) > 0);
        at_least("afterwards", world.flows[0].least_kbps(5.0), before * 0.7);
        let heard = world.flows[0].estimate.ignored(Ignored::ClockJumped);
        world.run(seconds(10));
        assert_eq!(world.flows[0].estimate.ignored(Ignored::ClockJumped), heard, "it is believed in the end");
        at_least("a while later", world.flows[0].target_kbps(2.0), before * 0.8);
    });
}

#[test]
fn whatever_a_viewer_tells_is_enough() {
    on_seeds(|seed| {
        // Without arrival times from the viewer a queue is seen late, in the round trip or in losses.
        for (tells, queue) in [(Tells::Congestion, 120.0), (Tells::ReportsAndRemb, 260.0), (Tells::Reports, 310.0)] {
            let mut world = World::new(Shape::narrow(MBIT, ms(300), ms(50)), seed);
            world.add(Viewer { tells, ..Viewer::encoder(2 * MBIT, ms(50)) });
            world.run(seconds(60));
            within(&format!("{tells:?}"), world.flows[0].target_kbps(30.0), 650.0..=1_200.0);
            at_most(&format!("queue with {tells:?}"), world.flows[0].queue_ms(30.0, 0.95), queue);
            world.set(Shape::narrow(300_000, ms(300), ms(50)));
            world.run(seconds(30));
            within(&format!("narrower, {tells:?}"), world.flows[0].target_kbps(10.0), 150.0..=400.0);
        }
    });
}

#[test]
fn a_capacity_that_varies_is_followed() {
    // RFC 8867 §5.1: one flow, 50 ms one way, 300 ms of queue; capacity relative to 1 Mbit/s: 1, 2.5, 0.6, 1.
    on_seeds(|seed| {
        let step = |bps| Shape::narrow(bps, ms(300), ms(50));
        let mut world = alone(step(MBIT), seed);
        let mut used = 0.0;
        for (bps, lasts) in [(MBIT, 40), (2_500_000, 20), (600_000, 20), (MBIT, 20)] {
            world.set(step(bps));
            world.run(seconds(lasts));
            let flow = &world.flows[0];
            let last = lasts as f64 / 2.0;
            within(
                &format!("at {bps}"),
                flow.target_kbps(last),
                bps as f64 * 0.55 / 1_000.0..=bps as f64 * 1.1 / 1_000.0,
            );
            at_most(&format!("queue at {bps}"), flow.queue_ms(last, 0.95), 150.0);
            used += flow.arrived_kbps(lasts as f64) * lasts as f64 / (bps as f64 / 1_000.0 * lasts as f64) / 4.0;
        }
        at_least("of the capacity used, per cent", used * 100.0, 65.0);
    });
}

#[test]
fn a_capacity_that_varies_is_followed_by_two() {
    // RFC 8867 §5.2: two flows, capacity 2, 1, 1.75, 0.5, 1 Mbit/s (relative to 2 Mbit/s as in its table).
    on_seeds(|seed| {
        let step = |bps| Shape::narrow(bps, ms(300), ms(50));
        let mut world = World::new(step(4 * MBIT), seed);
        world.add(Viewer::encoder(2_500_000, ms(50)));
        world.add(Viewer::encoder(2_500_000, ms(50)));
        for (bps, lasts) in [(4 * MBIT, 25), (2 * MBIT, 25), (3_500_000, 25), (MBIT, 25), (2 * MBIT, 25)] {
            world.set(step(bps));
            world.run(seconds(lasts));
            let [first, second] = [0, 1].map(|n| world.flows[n].arrived_kbps(10.0));
            within(
                &format!("together at {bps}"),
                first + second,
                bps as f64 * 0.55 / 1_000.0..=bps as f64 * 1.02 / 1_000.0,
            );
            at_least(&format!("the smaller one at {bps}"), first.min(second), bps as f64 * 0.12 / 1_000.0);
            at_most(&format!("queue at {bps}"), world.flows[0].queue_ms(10.0, 0.95), 150.0);
        }
    });
}

#[test]
fn bounds_and_memory_hold_on_any_network() {
    on_seeds(|seed| {
        let mut random = Random::new(seed ^ 0xb0d5);
        let shape = |random: &mut Random| {
            let bps = 30_000 << random.below(12);
            let mut shape = Shape::narrow(bps, ms(20 + random.below(600)), ms(1 + random.below(200)));
            shape = shape.lossy(random.below(4) as u32 * 60_000);
            shape.way.jitter = ms(random.below(40));
            shape.way.doubled_per_million = random.below(30_000) as u32;
            shape.in_order = random.below(2) == 0;
            if random.below(3) == 0 {
                shape.gate = Some(Gate { least: ms(1 + random.below(30)), most: ms(31 + random.below(60)) });
            }
            if random.below(3) == 0 {
                shape.bursts =
                    Some(Bursts { begin_per_million: 5_000, end_per_million: 50_000, loss_per_million: 1_000_000 });
            }
            shape
        };
        let first = shape(&mut random);
        let mut world = World::new(first, seed);
        let back = Shape::free(ms(20)).lossy(random.below(3) as u32 * 100_000);
        let tells = if random.below(2) == 0 { Tells::TransportWide } else { Tells::Congestion };
        world.add(Viewer { back, tells, voice: true, ..Viewer::encoder(8 * MBIT, ms(20)) });
        for _ in 0..8 {
            world.run(ms(500 + random.below(8_000)));
            let next = shape(&mut random);
            world.set(next);
            let flow = &world.flows[0];
            assert!(flow.samples.iter().all(|sample| (MIN_BPS..=MAX_BPS).contains(&sample.target_bps)));
            assert!(flow.estimate.bytes() <= 48 * 1024, "{} bytes", flow.estimate.bytes());
            assert!((0.0..=1.0).contains(&flow.estimate.loss()));
        }
        // Whatever happened, an ordinary link is found again.
        world.set(Shape::narrow(2 * MBIT, ms(200), ms(40)));
        world.flows[0].keep_next = 0;
        world.run(seconds(60));
        at_least("at last", world.flows[0].target_kbps(5.0), 500.0);
    });
}
