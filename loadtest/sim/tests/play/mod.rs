//! What all scenarios share: seeds, clips, plans.
#![allow(dead_code, reason = "no scenario needs all of it")]

use lyceum_bot::{Clip, Plan};
use std::num::NonZero;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

static CAMERA: LazyLock<Vec<Arc<Clip>>> = LazyLock::new(|| {
    [(320, 180, 60_000), (640, 360, 150_000), (1280, 720, 350_000)]
        .map(|(width, height, bitrate)| Arc::new(Clip::made_up(7, width, height, bitrate, 15, 4)))
        .to_vec()
});
static VOICE: LazyLock<Arc<Clip>> = LazyLock::new(|| Arc::new(Clip::made_up_sound(3)));

pub(crate) fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn speaker(tile: (u16, u16)) -> Plan {
    let (microphone, camera) = (Some(VOICE.clone()), CAMERA.clone());
    Plan { microphone, camera, audio_slots: 2, video_slots: 2, tile, ..Plan::default() }
}

pub(crate) fn viewer(tile: (u16, u16)) -> Plan {
    Plan { audio_slots: 2, video_slots: 2, tile, ..Plan::default() }
}

/// Runs a scenario on every seed that is asked for, a core each at a time, and says how to replay the first one that failed:
/// `LYCEUM_SEED=17` runs one seed, `LYCEUM_SEEDS=10000` more of them.
pub(crate) fn on_seeds(count: u64, scenario: fn(u64)) {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse().expect("a number"));
    let (first, end) = match number("LYCEUM_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("LYCEUM_SEEDS").unwrap_or(count)),
    };
    let next = AtomicU64::new(first);
    let test = std::thread::current().name().unwrap_or("…").to_owned();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return None;
            }
            if let Err(panic) = catch_unwind(|| scenario(seed)) {
                let words =
                    panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
                // What fails once fails soon again: one is enough.
                next.store(end, Ordering::Relaxed);
                return Some((seed, words.unwrap_or("panicked").to_owned()));
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let failed = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().filter_map(|worker| worker.join().unwrap()).min()
    });
    if let Some((seed, words)) = failed {
        panic!("{words}\nreplay: LYCEUM_SEED={seed} cargo test -p lyceum-sim {test}");
    }
}
