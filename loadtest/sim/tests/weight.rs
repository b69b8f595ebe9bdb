//! What a shard takes from the heap: nothing for a packet in the steady state, little for a subscriber.
//!
//! The shards are those of a mesh in virtual time, with everything that lives in it: reports, NACK, timers, a link. Only
//! what happens inside a shard's own calls is counted; one test at a time, for there is one heap.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::disallowed_types, clippy::print_stdout)]

use lyceum_bot::{Clip, Plan};
use lyceum_sim::{BotId, Conditions, EdgeId, Mesh, Meter, Setup, Work};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const EU: EdgeId = EdgeId(0);
const US: EdgeId = EdgeId(1);

/// What was counted in one kind of work.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    calls: u64,
    allocations: u64,
}

thread_local! {
    static BEGAN: RefCell<usize> = const { RefCell::new(0) };
    static COUNTS: RefCell<BTreeMap<Work, Count>> = const { RefCell::new(BTreeMap::new()) };
}

fn allocations() -> usize {
    let stats = HEAP.stats();
    stats.allocations + stats.reallocations
}

const METER: Meter = Meter {
    begins: |_| BEGAN.with(|began| *began.borrow_mut() = allocations()),
    ends: |work| {
        let now = allocations();
        let taken = BEGAN.with(|began| now - *began.borrow());
        COUNTS.with(|counts| {
            let mut counts = counts.borrow_mut();
            let count = counts.entry(work).or_default();
            count.calls += 1;
            count.allocations += taken as u64;
        });
    },
};

/// There is one heap for all tests of a process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn mesh(regions: Vec<&'static str>) -> Mesh {
    let way = Conditions::clean(Duration::from_millis(5));
    Mesh::new(Setup::new(1, regions, way, way), Instant::now())
}

/// A camera in one encoding, 30 frames a second.
fn camera() -> Vec<Arc<Clip>> {
    vec![Arc::new(Clip::made_up(7, 640, 360, 1_000_000, 30, 10))]
}

fn teacher() -> Plan {
    Plan { microphone: Some(Arc::new(Clip::made_up_sound(3))), camera: camera(), ..Plan::default() }
}

fn viewer() -> Plan {
    Plan { audio_slots: 1, video_slots: 1, tile: (640, 360), ..Plan::default() }
}

/// Counts for so long, everybody's media flowing.
fn counted(mesh: &mut Mesh, viewers: &[BotId], time: Duration) -> BTreeMap<Work, Count> {
    let before: Vec<_> = viewers.iter().map(|bot| mesh.bot(*bot).report().seen.packets).collect();
    COUNTS.with(|counts| counts.borrow_mut().clear());
    mesh.meter = METER;
    mesh.run(time);
    mesh.meter = Meter::default();
    for (bot, before) in viewers.iter().zip(before) {
        let seen = mesh.bot(*bot).report().seen;
        assert!(seen.packets - before > 1_000, "media flow: {seen:?}");
    }
    let counts = COUNTS.with(|counts| counts.borrow().clone());
    for (work, count) in &counts {
        println!("{work:?}: {} calls, {} allocations", count.calls, count.allocations);
    }
    Work::ALL.map(|work| (work, counts.get(&work).copied().unwrap_or_default())).into()
}

#[test]
fn a_packet_takes_nothing_from_the_heap_in_the_steady_state() {
    let _alone = alone();
    let mut mesh = mesh(vec!["eu"]);
    mesh.join(EU, "physics", teacher());
    let viewers: Vec<_> = (0..40).map(|_| mesh.join(EU, "physics", viewer())).collect();
    mesh.run(Duration::from_secs(30));
    let counts = counted(&mut mesh, &viewers, Duration::from_secs(15));
    assert!(counts[&Work::Media].calls > 2_000 && counts[&Work::Feedback].calls > 5_000, "{counts:?}");
    for work in [Work::Media, Work::Feedback, Work::Flush, Work::Tick] {
        assert_eq!(counts[&work].allocations, 0, "{work:?}");
    }
}

#[test]
fn a_link_takes_two_allocations_a_turn_however_many_packets_leave_and_none_for_what_comes() {
    let _alone = alone();
    let mut mesh = mesh(vec!["eu", "us"]);
    mesh.join(EU, "physics", teacher());
    let viewers: Vec<_> = (0..3).map(|_| mesh.join(US, "physics", viewer())).collect();
    mesh.run(Duration::from_secs(30));
    let counts = counted(&mut mesh, &viewers, Duration::from_secs(15));
    let (sent, came) = (counts[&Work::Media], counts[&Work::LinkMedia]);
    assert!(sent.calls > 2_000 && came.calls > 2_000, "{counts:?}");
    assert_eq!(came.allocations, 0, "what comes by the link");
    // Here every packet is a turn of its own. The list that goes to the link's thread is one, the other node's name another.
    let taken = sent.allocations + counts[&Work::Flush].allocations;
    assert!(taken <= 2 * sent.calls, "{taken} for {} turns", sent.calls);
}

/// What the shard of a mesh with so many viewers holds on the heap, media flowing.
fn heap_of_a_shard(viewers: usize) -> usize {
    let mut mesh = mesh(vec!["eu"]);
    mesh.join(EU, "physics", teacher());
    for _ in 0..viewers {
        mesh.join(EU, "physics", viewer());
        mesh.run(Duration::from_millis(20));
    }
    mesh.run(Duration::from_secs(20));
    assert!(mesh.all_connected());
    let shard = mesh.into_shards().pop().unwrap();
    let held = || {
        let stats = HEAP.stats();
        stats.bytes_allocated as isize - stats.bytes_deallocated as isize + stats.bytes_reallocated
    };
    let with = held();
    drop(shard);
    usize::try_from(with - held()).unwrap()
}

/// What a subscriber may take, beyond what all of them share.
const SUBSCRIBER_BYTES_MAX: usize = 60 * 1024;

#[test]
fn a_subscriber_takes_less_than_sixty_kibibytes() {
    let _alone = alone();
    let (few, many) = (10, 60);
    let (with_few, with_many) = (heap_of_a_shard(few), heap_of_a_shard(many));
    let each = (with_many - with_few) / (many - few);
    println!("shard with {few} viewers {with_few} bytes, with {many} {with_many}: {each} bytes a viewer");
    assert!(each <= SUBSCRIBER_BYTES_MAX, "{each} bytes a viewer");
}
