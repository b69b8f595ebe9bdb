//! What a class costs beside its packets: people who come, publish, turn pages, speak; and the room's own looking around.
//!
//! ```text
//!   cargo bench -p lyceum-media --bench class
//! ```
//!
//! All publish a voice and a camera, all have 4 slots for voices and 25 for pictures, all show a page of 25. Times are medians of
//! single calls of the room's doors, in microseconds, at the given number of people; a time that grows with it linearly is
//! one that looks at everybody, quadratically one that should not be.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measuring program"
)]

use lyceum_media::downlink::{Config, SlotCodec, SlotSpec};
use lyceum_media::packet::AudioLevel;
use lyceum_media::room::Origin;
use lyceum_media::{Codec, DownlinkId, Downlinks, Flags, Packet, Room, SeqNo, Ssrc, TrackId};
use lyceum_wire::ext::Map;
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo};
use lyceum_wire::signal::{SlotKind, Tile};
use std::time::{Duration, Instant};

const TILES: usize = 25;
const VOICES: usize = 4;

fn main() {
    println!(
        "{:>7} {:>9} {:>12} {:>12} {:>9} {:>11} {:>9} {:>9}   µs, medians",
        "people", "come in", "microphone", "camera", "page", "speaks up", "tick", "leave"
    );
    for people in [30usize, 100, 300, 600] {
        let mut class = Class::new(people);
        let all: Vec<usize> = (0..people).collect();
        let come = median(&all, |n| class.come(*n));
        let microphone = median(&all, |n| class.publish(*n, Source::Microphone));
        let camera = median(&all, |n| class.publish(*n, Source::Camera));
        let page = median(&all, |n| class.page(*n));
        let speaks = median(&all[..people.min(60)], |n| class.speak(*n));
        let tick = median(&all[..30], |_| class.tick());
        let leave = median(&all[..people / 2], |n| class.leave(*n));
        println!(
            "{people:>7} {come:>9.1} {microphone:>12.1} {camera:>12.1} {page:>9.1} {speaks:>11.1} {tick:>9.1} {leave:>9.1}"
        );
    }
}

fn median(of: &[usize], mut call: impl FnMut(&usize) -> Duration) -> f64 {
    let mut times: Vec<Duration> = of.iter().map(&mut call).collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1_000.0
}

struct Class {
    now: Instant,
    people: usize,
    room: Room,
    downlinks: Downlinks,
    members: Vec<Option<DownlinkId>>,
    voices: Vec<(TrackId, u64)>,
    turned: usize,
}

impl Class {
    fn new(people: usize) -> Self {
        let now = Instant::now();
        let (room, downlinks) = (Room::new(now), Downlinks::new());
        Self { now, people, room, downlinks, members: vec![None; people], voices: Vec::new(), turned: 0 }
    }

    /// Drops what the room wants, outside of what is measured.
    fn timed(&mut self, call: impl FnOnce(&mut Self)) -> Duration {
        let begun = Instant::now();
        call(self);
        let took = begun.elapsed();
        while self.room.poll().is_some() {}
        took
    }

    fn come(&mut self, n: usize) -> Duration {
        let config =
            Config { extensions: Map::new(), cname: "b".into(), epoch: self.now, epoch_ntp: 0, seed: n as u64 };
        let downlink = self.downlinks.insert(config, self.now);
        let slot = |at: usize| {
            let sound = at < VOICES;
            let (kind, codec) = if sound { (SlotKind::Audio, Codec::Opus) } else { (SlotKind::Video, Codec::Vp8) };
            let codecs = vec![SlotCodec { codec, pt: 96, rtx_pt: None, clock_hz: if sound { 48_000 } else { 90_000 } }];
            SlotSpec { mid: at.to_string(), kind, codecs, ssrc: Ssrc(at as u32), rtx_ssrc: None }
        };
        self.downlinks.set_slots(downlink, (0..VOICES + TILES).map(slot).collect());
        self.members[n] = Some(downlink);
        let now = self.now;
        self.timed(|class| class.room.enter(person(n), downlink, &mut class.downlinks, now))
    }

    fn publish(&mut self, n: usize, source: Source) -> Duration {
        let sound = source == Source::Microphone;
        let info = TrackInfo {
            name: TrackName { participant: person(n), source },
            kind: source.kind(),
            codec: if sound { "opus" } else { "VP8" }.into(),
            clock_hz: if sound { 48_000 } else { 90_000 },
            layers: vec![LayerInfo::default(); if sound { 1 } else { 3 }],
            shared: false,
            muted: false,
        };
        let (now, mut track) = (self.now, TrackId(0));
        let took = self.timed(|class| track = class.room.publish(&info, Origin::Local, &mut class.downlinks, now));
        if sound {
            self.voices.push((track, 100));
        }
        took
    }

    fn page(&mut self, n: usize) -> Duration {
        self.turned += 7;
        let first = n + self.turned;
        let tile = |at: usize| Tile {
            track: TrackName { participant: person((first + at) % self.people), source: Source::Camera },
            width: 160,
            height: 90,
            pinned: false,
        };
        let tiles: Vec<Tile> = (0..TILES).map(tile).collect();
        let (now, downlink) = (self.now, self.members[n].unwrap());
        self.timed(|class| class.room.view(downlink, &tiles, &mut class.downlinks, now))
    }

    /// A few loud packets, then the look that puts the voice into everybody's slots.
    fn speak(&mut self, n: usize) -> Duration {
        for _ in 0..6 {
            self.now += Duration::from_millis(20);
            let (track, next) = &mut self.voices[n];
            *next += 1;
            let packet = Packet {
                track: *track,
                layer: Layer::default(),
                seq: SeqNo(*next),
                timestamp: *next as u32 * 960,
                marker: false,
                flags: Flags::default(),
                frame: None,
                descriptor: &[],
                level: Some(AudioLevel { minus_dbov: 20, voice: true }),
                arrived: self.now,
                age: Duration::ZERO,
                payload: &[7; 60],
            };
            self.room.forward(&packet, &mut self.downlinks, &mut |_, _| {}, self.now);
        }
        let due = self.room.deadline().unwrap().max(self.now);
        self.timed(|class| class.room.handle_timeout(&mut class.downlinks, due))
    }

    fn tick(&mut self) -> Duration {
        self.now += Duration::from_secs(2);
        let now = self.now;
        self.timed(|class| class.room.handle_timeout(&mut class.downlinks, now))
    }

    fn leave(&mut self, n: usize) -> Duration {
        let (now, downlink) = (self.now, self.members[n].take().unwrap());
        self.timed(|class| class.room.leave(downlink, &mut class.downlinks, now))
    }
}

fn person(n: usize) -> ParticipantId {
    ParticipantId::parse(&format!("p{n:04}")).unwrap()
}
