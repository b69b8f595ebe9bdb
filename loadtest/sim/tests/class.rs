//! A class and a crowd in virtual time: pages that turn, speakers that change, pins, the stage, and five hundred who come at once.
//! `LYCEUM_SEED=17 cargo test -p lyceum-sim --test class` replays one seed, `LYCEUM_SEEDS=100` runs more of them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod play;

use lyceum_bot::{Clip, Plan, Turn};
use lyceum_sim::{BotId, Conditions, EdgeId, Mesh, Random, Setup};
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::token::{GrantChange, Grants};
use play::{on_seeds, seconds};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const EU: EdgeId = EdgeId(0);
const US: EdgeId = EdgeId(1);
const ROOM: &str = "physics";
/// Seeds of the class when nothing else is asked for: each is fourteen people for a quarter of a minute.
const SEEDS: u64 = 6;

static CAMERA: LazyLock<Vec<Arc<Clip>>> = LazyLock::new(|| vec![Arc::new(Clip::made_up(7, 320, 180, 60_000, 10, 4))]);
static LAYERS: LazyLock<Vec<Arc<Clip>>> = LazyLock::new(|| {
    [(320, 180, 60_000), (640, 360, 150_000)]
        .map(|(width, height, bitrate)| Arc::new(Clip::made_up_sparse(9, width, height, bitrate, 10, 60)))
        .to_vec()
});
static VOICE: LazyLock<Arc<Clip>> = LazyLock::new(|| Arc::new(Clip::made_up_sound(3)));

/// Camera and microphone, four tiles that turn, a turn to speak in each round of eight seconds.
fn pupil(n: u64) -> Plan {
    Plan {
        microphone: Some(VOICE.clone()),
        camera: CAMERA.clone(),
        audio_slots: 2,
        video_slots: 4,
        tile: (320, 180),
        page_every: Some(seconds(3)),
        turn: Some(Turn { every: seconds(8), lasts: Duration::from_millis(2_500), offset: seconds(n % 8) }),
    }
}

fn silent(plan: Plan) -> Plan {
    Plan { turn: Some(Turn { every: seconds(1), lasts: Duration::ZERO, offset: Duration::ZERO }), ..plan }
}

fn on_stage(publish: &[Source]) -> GrantChange {
    GrantChange { publish: Some(publish.to_vec()), ..GrantChange::default() }
}

fn publishes(mesh: &mut Mesh, eyes: BotId, whose: &ParticipantId) -> usize {
    mesh.bot(eyes).others().get(whose).map_or(0, |person| person.publishes.len())
}

fn class(seed: u64) {
    let mut random = Random::new(seed ^ 0xc1a5);
    let mut way = |shortest_ms: u64, longest_ms: u64| {
        let delay = Duration::from_millis(shortest_ms + random.below(longest_ms - shortest_ms));
        Conditions::rough(delay, random.below(3) as u32)
    };
    let mut setup = Setup::new(seed, vec!["eu", "us"], way(2, 30), way(5, 90));
    // Every other class is spread over two shards of each edge.
    (setup.shards, setup.split_viewers) = if seed % 2 == 1 { (2, 4) } else { (1, 0) };
    let mut mesh = Mesh::new(setup, Instant::now());
    let host = mesh.join_with(EU, ROOM, silent(pupil(0)), Grants::moderator());
    let pupils: Vec<BotId> = (0..12).map(|n| mesh.join([EU, US][n % 2], ROOM, pupil(n as u64))).collect();
    let guest = mesh.join_with(US, ROOM, silent(pupil(0)), Grants::viewer());
    let everybody: Vec<BotId> = [host, guest].into_iter().chain(pupils.iter().copied()).collect();
    assert!(mesh.run_until(seconds(8), |mesh| mesh.all_connected()), "not everybody is connected after 8 s");
    mesh.run(seconds(1));
    for bot in &everybody {
        assert_eq!(mesh.bot(*bot).others().len(), 13, "{bot:?} does not know everybody");
    }
    let teacher = mesh.bot(host).participant().unwrap().clone();
    let called = mesh.bot(guest).participant().unwrap().clone();
    assert_eq!(publishes(&mut mesh, host, &called), 0, "the audience shows nothing");

    // The teacher whispers at the other edge; who pins her has her in a slot whoever speaks.
    let far = pupils[1];
    mesh.bot(far).pin(vec![teacher.clone()]);
    mesh.bot(host).grant(called.clone(), on_stage(&[Source::Microphone, Source::Camera]));
    assert!(mesh.run_until(seconds(4), |mesh| publishes(mesh, pupils[0], &called) == 2), "nobody came on stage");
    for _ in 0..16 {
        mesh.run(Duration::from_millis(500));
        let hears = mesh.bot(far).voices().any(|voice| voice.participant == teacher);
        assert!(hears, "the pinned voice lost its slot");
    }
    let sent: u64 = mesh.bot(guest).encodings().map(|sent| sent.frames).sum();
    assert!(sent > 30, "the guest sent {sent} pictures from the stage");
    mesh.bot(host).grant(called.clone(), on_stage(&[]));
    assert!(mesh.run_until(seconds(4), |mesh| publishes(mesh, pupils[0], &called) == 0), "nobody left the stage");
    mesh.run(seconds(2));

    for bot in &everybody {
        let report = mesh.bot(*bot).report();
        assert_eq!(report.frozen, 0, "{bot:?} saw a slot hang: {report:?}");
        assert!(report.seen.frames > 200, "{bot:?} saw too little: {report:?}");
        assert!(report.audio_packets > 300, "{bot:?} heard too little: {report:?}");
        assert_eq!(report.ended, None);
    }
    everybody.iter().for_each(|bot| mesh.leave(*bot));
    mesh.run(seconds(40));
    mesh.look_at_the_end();
    assert!(mesh.findings.list().is_empty(), "{:#?}", mesh.findings.list());
}

#[test]
fn a_class_turns_pages_takes_turns_and_goes_on_stage() {
    on_seeds(SEEDS, class);
}

#[test]
fn five_hundred_who_come_within_five_seconds_see_a_picture_at_once_and_cost_the_publisher_little() {
    const CROWD: u32 = 500;
    let access = Conditions::clean(Duration::from_millis(10));
    let backbone = Conditions::clean(Duration::from_millis(40));
    let mut mesh = Mesh::new(Setup::new(5, vec!["eu", "us"], access, backbone), Instant::now());
    let teacher = mesh.join(EU, ROOM, Plan { camera: LAYERS.clone(), ..Plan::default() });
    // One viewer each, so that the room is open on both edges and the layer flows.
    let watch = Plan { video_slots: 1, tile: (320, 180), ..Plan::default() };
    let first = [mesh.join(EU, ROOM, watch.clone()), mesh.join(US, ROOM, watch.clone())];
    assert!(mesh.run_until(seconds(5), |mesh| mesh.all_connected()), "not everybody is connected after 5 s");
    mesh.run(seconds(3));
    let asked = |mesh: &mut Mesh| -> Vec<u64> { mesh.bot(teacher).encodings().map(|s| s.key_frames_asked).collect() };
    let before = asked(&mut mesh);
    let crowd: Vec<BotId> = (0..CROWD)
        .map(|n| {
            let bot = mesh.join([EU, US][n as usize % 2], ROOM, watch.clone());
            mesh.run(seconds(5) / CROWD);
            bot
        })
        .collect();
    mesh.run(seconds(1));
    let cost: Vec<u64> = asked(&mut mesh).iter().zip(&before).map(|(after, before)| after - before).collect();
    // A question per layer and 500 ms would be twelve; one that is renewed before it is too old for joiners is asked for less often.
    assert!(cost.iter().all(|asked| *asked <= 8), "the crowd cost the publisher {cost:?} key frames");
    // The operator's view of it: all but the teacher, whose page shows nobody, have told what arrives.
    let stats = mesh.stats(EU).into_iter().next().expect("a shard");
    assert!(stats.estimated >= CROWD / 2, "{} estimated", stats.estimated);
    assert!(stats.estimate_bps / u64::from(stats.estimated) >= 300_000, "{} bit/s", stats.estimate_bps);
    assert_eq!((stats.slots_paused, stats.paced_bytes), (0, 0));
    let mut waits: Vec<Duration> = crowd
        .iter()
        .map(|bot| {
            let report = mesh.bot(*bot).report();
            let (joined, seen) =
                (report.joined_after.expect("connected"), report.first_frame_after.expect("a picture"));
            seen.saturating_sub(joined)
        })
        .collect();
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    // From SRTP keys to the first whole picture: the way down, and at most a tick of the room. The very first ones may meet a key
    // frame that is too old, and wait for the next: to the publisher and back.
    assert!(at(95) <= Duration::from_millis(130), "p50 {:?}, p95 {:?}, worst {:?}", at(50), at(95), at(100));
    assert!(at(100) <= Duration::from_millis(400), "the last one waited {:?}", at(100));
    for bot in first.iter().chain(&crowd) {
        assert_eq!(mesh.bot(*bot).report().frozen, 0);
    }
    assert!(mesh.findings.list().is_empty(), "{:#?}", mesh.findings.list());
}
