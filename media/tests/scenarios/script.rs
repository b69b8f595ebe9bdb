//! The words of a play, one sentence per line.
//!
//! | sentence | what happens or must hold |
//! |---|---|
//! | `ana joins audio 3 video 2 screen 1` | with so many slots |
//! | `ana publishes camera 180 360 720` | layers by height; also `screen`, `microphone` |
//! | `ana speaks` · `ana is quiet` · `ana falls silent` | −25 dBov · the noise of a room · digital silence |
//! | `ben views ana 320x180, cleo screen 1280x720` | cameras unless said otherwise |
//! | `ana mutes camera` · `unmutes` · `stops` · `resumes` | muted by signaling · nothing sent |
//! | `ana loses 50 up` · `down` | per mille |
//! | `ben does not ask` | no NACK from its players |
//! | `ben lost the picture in video0` | a PLI |
//! | `after 500ms` | time passes |
//! | `ben sees ana 180` · `ben sees nothing of ana` | in the last 150 ms |
//! | `ben is told that ana is paused` · `is not paused` | by signaling |
//! | `ben was told of at most 2 pauses` | since `ben begins to be watched` |
//! | `ben hears ana` · `ben does not hear ana` | likewise |
//! | `ben has no gap` | every number of every slot arrived, once |
//! | `ana sends nothing of 720` · `ana sends 720` | in the last 150 ms: demand reached the publisher |
//! | `at most 3 key frame requests for ana 180` | so far |
//! | `key frame requests for ana are 250ms apart` | so far |
//! | `speakers ana ben` · `speakers nobody` | last list |
//! | `ana leaves` · `nothing is left` | |

use crate::world::{Narrow, World, csrc_of, name};
use lyceum_wire::id::Source;
use lyceum_wire::signal::SlotKind;
use std::time::Duration;

/// Plays the script; panics with the line that does not hold. Decoders' rules are checked all the time. Returns the world for a closer look.
pub(crate) fn check(script: &str) -> World {
    let mut world = World::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sentence(&mut world, &words)));
        assert!(done.is_ok(), "at {:?}, in: {line}", world.now - world.start);
        for (who, person) in &world.people {
            person.players.values().for_each(|player| player.check_order(who));
        }
    }
    world
}

fn sentence(world: &mut World, words: &[&str]) {
    match *words {
        ["after", time] => world.run(duration(time)),
        [who, "joins", ref slots @ ..] => {
            let slots: Vec<_> = slots.chunks(2).map(|pair| (slot_kind(pair[0]), pair[1].parse().unwrap())).collect();
            world.join(who, &slots);
        }
        [who, "publishes", "microphone"] => world.publish_microphone(who),
        [who, "publishes", what, ref heights @ ..] => {
            let heights: Vec<u16> = heights.iter().map(|h| h.parse().unwrap()).collect();
            world.publish_camera(who, source(what), &heights);
        }
        [who, "speaks"] => world.person(who).microphone.as_mut().unwrap().minus_dbov = 25,
        [who, "is", "quiet"] => world.person(who).microphone.as_mut().unwrap().minus_dbov = 90,
        [who, "falls", "silent"] => world.person(who).microphone.as_mut().unwrap().minus_dbov = 127,
        [who, "views", ref tiles @ ..] => {
            let text = tiles.join(" ");
            let tiles: Vec<_> = text.split(',').filter(|t| !t.trim().is_empty()).map(tile).collect();
            world.view(who, &tiles);
        }
        [who, "mutes", what] => world.mute(track(world, who, what), true),
        [who, "unmutes", what] => world.mute(track(world, who, what), false),
        [who, "stops", what] => world.person(who).cameras.get_mut(&source(what)).unwrap().stopped = true,
        [who, "resumes", what] => world.person(who).cameras.get_mut(&source(what)).unwrap().stopped = false,
        [who, "uses", "temporal", "layers"] => {
            world.person(who).cameras.get_mut(&Source::Camera).unwrap().temporal = true;
        }
        [who, "loses", per_mille, "up"] => world.person(who).loss_up = per_mille.parse().unwrap(),
        [who, "loses", per_mille, "down"] => world.person(who).loss_down = per_mille.parse().unwrap(),
        [who, "downlink", rate] => {
            let (bps, now) = (bitrate(rate), world.now);
            match &mut world.person(who).narrow {
                Some(narrow) => narrow.bps = bps,
                none => *none = Some(Narrow::new(bps, now)),
            }
        }
        [who, "begins", "to", "be", "watched"] => {
            let person = world.person(who);
            person.narrow.as_mut().unwrap().longest = Duration::ZERO;
            person.pauses = 0;
        }
        [who, "waited", "at", "most", time] => {
            let longest = world.person(who).narrow.as_ref().unwrap().longest;
            assert!(longest <= duration(time), "{longest:?}");
        }
        [who, "does", "not", "ask"] => world.person(who).players.values_mut().for_each(|p| p.no_asks = true),
        [who, "lost", "the", "picture", "in", mid] => world.picture_lost(who, mid),
        [who, "sees", "nothing", "of", whose] => assert_eq!(seen(world, who, whose), None),
        [who, "sees", whose, height] => assert_eq!(seen(world, who, whose), Some(height.parse().unwrap())),
        [who, "is", "told", "that", whose, "is", "paused"] => assert!(paused(world, who, whose)),
        [who, "is", "told", "that", whose, "is", "not", "paused"] => assert!(!paused(world, who, whose)),
        [who, "was", "told", "of", "at", "most", count, "pauses"] => {
            let pauses = world.person(who).pauses;
            assert!(pauses <= count.parse().unwrap(), "{pauses} pauses");
        }
        [who, "hears", whose] => assert!(heard(world, who, whose)),
        [who, "does", "not", "hear", whose] => assert!(!heard(world, who, whose)),
        [who, "has", "no", "gap"] => {
            for (ssrc, player) in &world.person(who).players {
                assert_eq!(player.missing(), [0; 0], "slot {ssrc}");
                assert_eq!(player.duplicates, 0, "slot {ssrc}");
            }
        }
        [who, "sends", "nothing", "of", height] => assert!(!sends(world, who, height)),
        [who, "sends", height] => assert!(sends(world, who, height)),
        ["at", "most", count, "key", "frame", "requests", "for", who, height] => {
            let count: usize = count.parse().unwrap();
            let asked = requests(world, who, Some(height));
            assert!(asked.len() <= count, "{asked:?}");
        }
        ["key", "frame", "requests", "for", who, "are", apart, "apart"] => {
            let heights: Vec<u16> =
                world.person(who).cameras.values().flat_map(|c| c.layers.iter().map(|l| l.height)).collect();
            for height in heights {
                let asked = requests(world, who, Some(&height.to_string()));
                assert!(asked.windows(2).all(|w| w[1] - w[0] >= duration(apart)), "{height}: {asked:?}");
            }
        }
        ["speakers", "nobody"] => assert_eq!(world.speakers.last().map_or(&[][..], |(_, s)| s), [""; 0]),
        ["speakers", ref names @ ..] => assert_eq!(world.speakers.last().unwrap().1, names),
        [who, "leaves"] => world.leave(who),
        ["nothing", "is", "left"] => {
            assert_eq!(world.room.live(), lyceum_media::room::Live::default());
            assert!(world.downlinks.is_empty());
        }
        _ => panic!("no such sentence"),
    }
}

fn bitrate(text: &str) -> u64 {
    match text.strip_suffix('M') {
        Some(mega) => (mega.parse::<f64>().unwrap() * 1e6) as u64,
        None => text.strip_suffix('k').unwrap().parse::<u64>().unwrap() * 1_000,
    }
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(ms) => Duration::from_millis(ms.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

fn source(text: &str) -> Source {
    match text {
        "camera" => Source::Camera,
        "screen" => Source::Screen,
        "microphone" => Source::Microphone,
        _ => panic!("no such source: {text}"),
    }
}

fn slot_kind(text: &str) -> SlotKind {
    match text {
        "audio" => SlotKind::Audio,
        "video" => SlotKind::Video,
        "screen" => SlotKind::Screen,
        _ => panic!("no such slot: {text}"),
    }
}

fn tile(text: &str) -> (&str, Source, u16, u16) {
    let words: Vec<_> = text.split_whitespace().collect();
    let (whose, source, size) = match words[..] {
        [whose, size] => (whose, Source::Camera, size),
        [whose, what, size] => (whose, source(what), size),
        _ => panic!("no such tile: {text}"),
    };
    let (width, height) = size.split_once('x').unwrap();
    (whose, source, width.parse().unwrap(), height.parse().unwrap())
}

fn track(world: &World, who: &str, what: &str) -> lyceum_media::TrackId {
    world.room.track(&name(who, source(what))).unwrap()
}

/// What `who` sees of `whose`, if its slot, by signaling and by CSRC, carried it lately.
fn seen(world: &mut World, who: &str, whose: &str) -> Option<u16> {
    let now = world.now - world.start;
    let person = world.person(who);
    let of = |t: &Option<lyceum_wire::id::TrackName>| {
        t.as_ref().is_some_and(|t| t.participant.as_str() == whose && t.source != Source::Microphone)
    };
    let mid = person.slots.iter().find(|(_, track)| of(track)).map(|(mid, _)| mid.clone())?;
    let player = person.players.get(&person.mids[&mid])?;
    let last = player.packets.values().next_back()?;
    assert_eq!(last.csrc, csrc_of(whose), "the packets say whose they are");
    if now - player.last()? > Duration::from_millis(150) { None } else { player.height() }
}

/// What `who` was told last of the slot with `whose` picture.
fn paused(world: &mut World, who: &str, whose: &str) -> bool {
    let person = world.person(who);
    let of = |t: &Option<lyceum_wire::id::TrackName>| {
        t.as_ref().is_some_and(|t| t.participant.as_str() == whose && t.source != Source::Microphone)
    };
    let (mid, _) = person.slots.iter().find(|(_, track)| of(track)).expect("it is in a slot");
    person.paused[mid]
}

fn heard(world: &mut World, who: &str, whose: &str) -> bool {
    let now = world.now - world.start;
    let person = world.person(who);
    let lately = |p: &&crate::world::Seen| now - p.at < Duration::from_millis(150) && p.height.is_none();
    let all = person.players.values().filter_map(|p| p.packets.values().next_back());
    all.filter(lately).any(|p| p.csrc == csrc_of(whose))
}

fn sends(world: &mut World, who: &str, height: &str) -> bool {
    let height: u16 = height.parse().unwrap();
    world.person(who).cameras.values().flat_map(|c| &c.layers).any(|l| l.height == height && !l.paused)
}

fn requests(world: &mut World, who: &str, height: Option<&str>) -> Vec<Duration> {
    let height = height.map(|h| h.parse::<u16>().unwrap());
    let layers = world.person(who).cameras.values().flat_map(|c| &c.layers);
    let mut all: Vec<_> =
        layers.filter(|l| height.is_none_or(|h| h == l.height)).flat_map(|l| l.key_requests.clone()).collect();
    all.sort_unstable();
    all
}
