//! Loudest-N in two stages: what crosses a link, what is heard behind it, how soon.

use crate::world::*;
use lyceum_relay_core::hop::Loss;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const LOUD: u8 = 20;
const QUIET: u8 = 100;

fn class(seed: u64, weather: Weather) -> World {
    let mut world = World::gathered(&["eu", "us"], seed, weather);
    for n in 0..30 {
        world.unmute("eu", &format!("e{n}"));
        world.unmute("us", &format!("u{n}"));
    }
    world.listen("eu", "eva");
    world.listen("us", "uma");
    world.run(Duration::from_secs(2));
    world
}

/// Packets of sound that crossed a link within a while.
fn crossed(world: &mut World, from: &str, to: &str, time: Duration) -> u64 {
    let before = world.at(to).hop.stats().datagrams_in;
    world.run(time);
    let _ = from;
    world.at(to).hop.stats().datagrams_in - before
}

fn hears(world: &World, at: &str, listener: &str, since: Instant) -> BTreeSet<u32> {
    world.heard(at, listener).iter().filter(|heard| heard.at >= since).map(|heard| heard.whose).collect()
}

#[test]
fn a_link_carries_five_voices_of_thirty() {
    let mut world = class(1, FAIR);
    for n in 0..30 {
        world.speak(&format!("e{n}"), LOUD);
    }
    world.run(Duration::from_secs(1));
    let packets = crossed(&mut world, "eu", "us", Duration::from_secs(2));
    assert!((450..=510).contains(&packets), "{packets} packets in two seconds: five voices of 50 a second");
    assert!(hears(&world, "us", "uma", world.now - Duration::from_millis(500)).len() == 3, "three slots are full");
}

#[test]
fn who_speaks_up_far_away_is_heard_within_a_tick_and_from_the_first_syllable_on() {
    for seed in 0..10 {
        let mut world = class(seed, FAIR);
        let (began, first) = (world.now, world.frames_of("e17"));
        world.speak("e17", LOUD);
        world.run(Duration::from_secs(1));
        let whose = person("e17").csrc();
        let heard: Vec<_> = world.heard("us", "uma").iter().filter(|h| h.whose == whose && h.at >= began).collect();
        let after = heard[0].at - began;
        assert!(after <= Duration::from_millis(100) + FAIR.one_way, "seed {seed}: {after:?}");
        assert!(heard[0].number <= first, "seed {seed}: from {} on, spoken up at {first}", heard[0].number);
        assert!(heard.windows(2).all(|w| w[1].number == w[0].number + 1), "seed {seed}: without a hole");
    }
}

#[test]
fn pauses_are_no_losses_and_losses_are_repaired() {
    for seed in 0..20 {
        let weather = Weather { loss_percent: seed % 5, jitter: Duration::from_millis(seed % 3), ..FAIR };
        let mut world = class(seed, weather);
        // Nine take turns, so that each goes off the air again and again.
        for turn in 0..27 {
            world.speak(&format!("e{}", turn % 9), LOUD);
            world.speak(&format!("e{}", (turn + 6) % 9), QUIET);
            world.run(Duration::from_millis(700));
        }
        let stats = *world.at("us").hop.stats();
        assert!(stats.lost(Loss::NotRepaired) <= 3, "seed {seed}: {}", stats.lost(Loss::NotRepaired));
        assert!(stats.asked <= world.lost * 4 + 60, "seed {seed}: {} asked for {} lost", stats.asked, world.lost);
        assert_eq!(stats.lost(Loss::GapTooWide), 0, "seed {seed}");
        // Every slot's numbers are unbroken but for what never came: nothing looks like a loss to the listener that was a pause.
        let heard = world.heard("us", "uma");
        for slot in 1..=3 {
            let numbers: Vec<u16> = heard.iter().filter(|h| h.slot == slot).map(|h| h.sequence).collect();
            let distinct: BTreeSet<u16> = numbers.iter().copied().collect();
            assert_eq!(distinct.len(), numbers.len(), "seed {seed}: a number twice in slot {slot}");
            let holes = numbers.iter().max().map_or(0, |max| usize::from(max - numbers[0]) + 1 - distinct.len());
            assert!(holes <= 6, "seed {seed}: {holes} holes in slot {slot}");
        }
    }
}

#[test]
fn a_pinned_voice_crosses_though_it_whispers() {
    let mut world = class(3, FAIR);
    for n in 0..12 {
        world.speak(&format!("e{n}"), LOUD);
        world.speak(&format!("u{n}"), LOUD);
    }
    world.run(Duration::from_secs(2));
    let teacher = person("e29").csrc();
    assert!(!hears(&world, "us", "uma", world.now - Duration::from_secs(1)).contains(&teacher));
    world.pin("us", "uma", &["e29"]);
    let pinned_at = world.now;
    world.run(Duration::from_millis(300));
    let first = world.heard("us", "uma").iter().find(|h| h.whose == teacher && h.at >= pinned_at).expect("heard");
    assert!(first.at - pinned_at <= Duration::from_millis(100) + FAIR.one_way * 2, "{:?}", first.at - pinned_at);
    let packets = crossed(&mut world, "eu", "us", Duration::from_secs(2));
    assert!((550..=620).contains(&packets), "{packets}: the five loudest and the pinned one");
    assert!(hears(&world, "us", "uma", world.now - Duration::from_millis(200)).contains(&teacher));
    assert_eq!(world.at("us").hop.stats().lost(Loss::NotRepaired), 0);
    world.pin("us", "uma", &[]);
    world.run(Duration::from_secs(5));
    let packets = crossed(&mut world, "eu", "us", Duration::from_secs(2));
    assert!((450..=510).contains(&packets), "{packets}: unpinned, it is one of many again");
}
