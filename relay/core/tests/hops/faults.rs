//! The same over a network that loses, repeats and reorders, for many seeds.

use crate::world::*;
use lyceum_relay_core::hop::{Loss, Transit};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Runs per check. Each is a few thousand packets.
const SEEDS: u64 = 40;

#[test]
fn what_the_link_loses_is_repaired_on_the_link() {
    for seed in 0..SEEDS {
        let weather = Weather {
            one_way: Duration::from_millis(5 + seed % 60),
            jitter: Duration::from_millis(seed % 4),
            loss_percent: seed % 6,
            repeat_percent: seed % 3,
            ..FAIR
        };
        let mut world = World::gathered(&["eu", "us"], seed, weather);
        world.publish("eu", "ana", 1);
        world.watch("us", "ben", "ana", 320);
        world.run(SECOND * 4);
        // The last second may still be under repair.
        let frames = world.frames_of("ana");
        let seen = world.seen("us", "ben");
        let settled: Vec<u64> = seen.numbers.iter().copied().filter(|number| number + 50 < frames).collect();
        let settled = Seen { numbers: settled, ..Seen::default() };
        let given_up = world.lost_for("us", Loss::NotRepaired);
        assert!(settled.numbers.len() > 100, "seed {seed}");
        assert!(settled.holes() as u64 <= given_up, "seed {seed}: {} holes", settled.holes());
        assert!(given_up <= 1, "seed {seed}: at most one in ten thousand: {given_up}");
        assert_eq!((seen.repeated(), seen.torn), (0, 0), "seed {seed}");
        let stats = world.nodes[&node("us")].hop.stats();
        assert!(stats.asked <= world.lost * 4 + 40, "seed {seed}: {} asked for {} lost", stats.asked, world.lost);
        if weather.loss_percent == 0 && weather.jitter < Duration::from_millis(5) {
            assert_eq!(stats.repaired + given_up, stats.repaired, "seed {seed}");
            assert_eq!(stats.asked, 0, "seed {seed}: what is only late is not asked for");
        }
        assert!(weather.repeat_percent == 0 || world.lost_for("us", Loss::Duplicate) > 0, "seed {seed}");
    }
}

#[test]
fn parts_of_packets_are_repaired_as_well() {
    for seed in 0..SEEDS / 3 {
        let weather = Weather { loss_percent: 3, jitter: Duration::from_millis(2), datagram_bytes_max: 450, ..FAIR };
        let mut world = World::gathered(&["eu", "us"], seed, weather);
        world.publish("eu", "ana", 1);
        world.watch("us", "ben", "ana", 320);
        world.run(SECOND * 4);
        let frames = world.frames_of("ana");
        let seen = world.seen("us", "ben");
        let numbers = seen.numbers.iter().copied().filter(|number| number + 50 < frames).collect();
        let settled = Seen { numbers, ..Seen::default() };
        assert!(settled.numbers.len() > 100, "seed {seed}");
        assert!(settled.holes() as u64 <= world.lost_for("us", Loss::NotRepaired), "seed {seed}");
        assert!(settled.holes() <= 1, "seed {seed}");
        assert_eq!((seen.repeated(), seen.torn), (0, 0), "seed {seed}");
    }
}

#[test]
fn every_hop_of_a_chain_repairs_its_own_link() {
    for seed in 0..SEEDS / 3 {
        let weather = Weather { loss_percent: 2, jitter: Duration::from_millis(1), ..FAIR };
        let mut world = World::new(&["a", "b", "c"], seed, weather, Transit::Always);
        world.link("a", "b");
        world.link("b", "c");
        world.map("a", &["a", "b", "c"]);
        world.run(SECOND);
        world.publish("a", "ana", 1);
        world.watch("c", "cy", "ana", 320);
        world.watch("b", "ben", "ana", 320);
        world.run(SECOND * 5);
        let frames = world.frames_of("ana");
        for (at, viewer) in [("b", "ben"), ("c", "cy")] {
            let seen = world.seen(at, viewer);
            let numbers = seen.numbers.iter().copied().filter(|number| number + 60 < frames).collect();
            let settled = Seen { numbers, ..Seen::default() };
            assert!(settled.holes() <= 1, "seed {seed}: {} holes at {at}", settled.holes());
            assert_eq!((seen.repeated(), seen.torn), (0, 0), "seed {seed} at {at}");
        }
        assert!(world.nodes[&node("a")].hop.stats().repairs_sent > 0, "seed {seed}");
        assert!(world.nodes[&node("b")].hop.stats().repairs_sent > 0, "seed {seed}");
    }
}

#[test]
fn links_that_come_and_go_leave_one_order_of_messages_and_no_old_subscription() {
    let names = ["eu", "us", "ap"];
    for seed in 0..SEEDS {
        let weather = Weather { loss_percent: seed % 4, jitter: Duration::from_millis(2), ..FAIR };
        let mut world = World::gathered(&names, seed, weather);
        world.publish("eu", "ana", 2);
        world.watch("us", "ben", "ana", 320);
        world.watch("ap", "cy", "ana", 640);
        let mut random = seed.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
        let mut pick = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ((random >> 30) % n) as usize
        };
        let mut posted = 0;
        let mut cut: Vec<(&str, &str)> = Vec::new();
        for step in 0..30 {
            let (x, y) = [("eu", "us"), ("eu", "ap"), ("us", "ap")][pick(3)];
            match pick(6) {
                0 if !cut.contains(&(x, y)) => {
                    world.cut(x, y);
                    cut.push((x, y));
                }
                1 if cut.contains(&(x, y)) => {
                    cut.retain(|pair| *pair != (x, y));
                    world.link(x, y);
                }
                2 if step % 10 == 9 => world.map(names[pick(3)], &names),
                _ => {
                    world.post(names[pick(3)], &format!("m{step}"));
                    posted += 1;
                }
            }
            world.run(Duration::from_millis(50 + pick(200) as u64));
        }
        for (x, y) in cut {
            world.link(x, y);
        }
        world.map(names[pick(3)], &names);
        world.run(SECOND * 6);
        let order = |world: &World, at: &str| {
            let hop = &world.nodes[&node(at)].hop;
            hop.history().map(|message| (message.number, message.id.clone())).collect::<Vec<_>>()
        };
        let eu = order(&world, "eu");
        assert_eq!(eu.len(), posted, "seed {seed}");
        assert_eq!(order(&world, "us"), eu, "seed {seed}");
        assert_eq!(order(&world, "ap"), eu, "seed {seed}");
        assert_eq!(world.live("eu").served, 2, "seed {seed}");
        for (at, viewer) in [("us", "ben"), ("ap", "cy")] {
            let live = world.live(at);
            assert_eq!((live.remote_tracks, live.subscriptions, live.served), (1, 1, 0), "seed {seed} at {at}");
            let seen = world.seen(at, viewer);
            assert_eq!((seen.repeated(), seen.torn), (0, 0), "seed {seed} at {at}");
            assert!(world.frames_of("ana") - seen.numbers.iter().max().unwrap() < 10, "seed {seed}: {viewer} sees");
        }
    }
}
