//! Loudest-N in two stages, and voices that somebody pinned: a class on one node, its links, its listeners.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests pick a moment to begin at")]

use lyceum_media::downlink::{self, SlotCodec, SlotSpec};
use lyceum_media::packet::{AudioLevel, Flags};
use lyceum_media::room::Origin;
use lyceum_media::{Codec, DownlinkId, Downlinks, Drop, Event, Packet, Room, SeqNo, Ssrc, TapId, TrackId};
use lyceum_wire::ext;
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo, VOICE_ALWAYS, VOICE_WHEN_LOUD};
use lyceum_wire::signal::SlotKind;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const PACKET: Duration = Duration::from_millis(20);
/// A voice and a quiet room, in −dBov.
const LOUD: u8 = 20;
const QUIET: u8 = 70;

struct Class {
    now: Instant,
    start: Instant,
    room: Room,
    downlinks: Downlinks,
    voices: BTreeMap<TrackId, Voice>,
    /// What the taps got: when, which track, which number, whether it begins a run.
    tapped: Vec<(Duration, TrackId, u64, bool)>,
}

struct Voice {
    next: u64,
    minus_dbov: u8,
}

impl Class {
    fn new() -> Self {
        let now = Instant::now();
        let (room, downlinks) = (Room::new(now), Downlinks::new());
        Self { now, start: now, room, downlinks, voices: BTreeMap::new(), tapped: Vec::new() }
    }

    fn publish(&mut self, who: &str, origin: Origin) -> TrackId {
        let info = TrackInfo {
            name: TrackName { participant: id(who), source: Source::Microphone },
            kind: Source::Microphone.kind(),
            codec: "opus".into(),
            clock_hz: 48_000,
            layers: vec![LayerInfo::default()],
            muted: false,
            shared: false,
        };
        let track = self.room.publish(&info, origin, &mut self.downlinks, self.now);
        self.voices.insert(track, Voice { next: 100, minus_dbov: QUIET });
        track
    }

    fn tap(&mut self, track: TrackId, temporal: u8) {
        let layer = Layer { spatial: 0, temporal };
        let (at, tapped) = (self.now - self.start, &mut self.tapped);
        let mut take = |_: TapId, p: &Packet<'_>| tapped.push((at, p.track, p.seq.0, p.flags.start));
        self.room.tap(TapId(track.0), track, layer, &mut take, self.now);
    }

    fn listener(&mut self, who: &str, slots: usize) -> DownlinkId {
        let config = downlink::Config {
            extensions: ext::Map::new(),
            cname: "edge".into(),
            epoch: self.now,
            epoch_ntp: 0,
            seed: 1,
        };
        let downlink = self.downlinks.insert(config, self.now);
        let codecs = vec![SlotCodec { codec: Codec::Opus, pt: 111, rtx_pt: None, clock_hz: 48_000 }];
        let spec = |n: usize| SlotSpec {
            mid: n.to_string(),
            kind: SlotKind::Audio,
            codecs: codecs.clone(),
            ssrc: Ssrc(n as u32),
            rtx_ssrc: None,
        };
        self.downlinks.set_slots(downlink, (0..slots).map(spec).collect());
        self.room.enter(id(who), downlink, &mut self.downlinks, self.now);
        downlink
    }

    /// Everybody sends a packet each 20 ms; time passes as a driver lets it pass.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 20 {
            let until = self.now + PACKET;
            let Self { now, start, room, downlinks, voices, tapped } = self;
            for (track, voice) in voices.iter_mut() {
                let packet = Packet {
                    track: *track,
                    layer: Layer::default(),
                    seq: SeqNo(voice.next),
                    timestamp: voice.next as u32 * 960,
                    marker: false,
                    flags: Flags::default(),
                    frame: None,
                    descriptor: &[],
                    level: Some(AudioLevel { minus_dbov: voice.minus_dbov, voice: true }),
                    arrived: *now,
                    age: Duration::ZERO,
                    payload: &[7; 60],
                };
                voice.next += 1;
                let at = *now - *start;
                let mut take = |_: TapId, p: &Packet<'_>| tapped.push((at, p.track, p.seq.0, p.flags.start));
                room.forward(&packet, downlinks, &mut take, *now);
            }
            room.deliver(downlinks, *now);
            while let Some(due) = room.deadline().filter(|due| *due <= until) {
                *now = due;
                room.handle_timeout(downlinks, due);
            }
            *now = until;
        }
    }

    fn speaks(&mut self, track: TrackId, minus_dbov: u8) {
        self.voices.get_mut(&track).unwrap().minus_dbov = minus_dbov;
    }

    /// Tracks that the taps got something of in the last milliseconds.
    fn on_air(&self, ms: u64) -> BTreeSet<TrackId> {
        let since = (self.now - self.start).saturating_sub(Duration::from_millis(ms));
        self.tapped.iter().filter(|(at, ..)| *at >= since).map(|(_, track, ..)| *track).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.room.poll()).collect()
    }

    /// Whose voices are in a listener's slots, by what it was told.
    fn heard(&mut self, downlink: DownlinkId, slots: &mut BTreeMap<String, Option<String>>) -> BTreeSet<String> {
        for event in self.events() {
            let Event::Slots { downlink: of, assigned } = event else { continue };
            for slot in assigned.into_iter().filter(|_| of == downlink) {
                slots.insert(slot.mid, slot.track.map(|track| track.participant.to_string()));
            }
        }
        slots.values().flatten().cloned().collect()
    }
}

fn id(who: &str) -> ParticipantId {
    ParticipantId::parse(who).unwrap()
}

#[test]
fn of_a_hundred_microphones_the_loudest_five_leave_the_node() {
    let mut class = Class::new();
    let tracks: Vec<_> = (0..100).map(|n| class.publish(&format!("p{n}"), Origin::Local)).collect();
    tracks.iter().for_each(|track| class.tap(*track, VOICE_WHEN_LOUD));
    class.run(1_000);
    let quiet = class.on_air(200);
    assert!(quiet.len() <= 5, "{quiet:?}");
    for n in [90, 91, 92] {
        class.speaks(tracks[n], LOUD);
    }
    class.run(1_000);
    let loud = class.on_air(200);
    assert!([90, 91, 92].iter().all(|n| loud.contains(&tracks[*n])), "{loud:?}");
    assert_eq!(loud.len(), 5, "those who spoke before keep their place: nothing goes up and down for nothing");
    // A room full of shouting is five voices, too.
    tracks.iter().for_each(|track| class.speaks(*track, LOUD));
    class.run(2_000);
    assert_eq!(class.on_air(200).len(), 5);
    assert!(class.room.drops().of(Drop::NotLoud) > 10_000, "all the rest is counted");
}

#[test]
fn a_voice_that_comes_up_flows_at_once_and_its_first_syllable_too() {
    let mut class = Class::new();
    let tracks: Vec<_> = (0..20).map(|n| class.publish(&format!("p{n}"), Origin::Local)).collect();
    tracks.iter().for_each(|track| class.tap(*track, VOICE_WHEN_LOUD));
    class.run(1_000);
    let speaker = tracks[19];
    assert!(!class.on_air(500).contains(&speaker));
    let (first_loud, began) = (class.voices[&speaker].next, class.now - class.start);
    class.speaks(speaker, LOUD);
    class.run(400);
    let got: Vec<_> = class.tapped.iter().filter(|(_, track, ..)| *track == speaker).collect();
    let (at, _, first, starts) = got[0];
    assert!(*at - began <= Duration::from_millis(100), "{:?} after it spoke up", *at - began);
    assert!(*first <= first_loud, "from {first}, spoken up at {first_loud}: nothing of the word is lost");
    assert!(first_loud - first <= 6, "and not the silence of the last minute either");
    assert!(*starts && got[1..].iter().all(|(.., starts)| !starts), "the first one says that it is the first");
    assert!(got.windows(2).all(|w| w[1].2 == w[0].2 + 1), "no packet twice, none left out: {got:?}");
}

#[test]
fn digital_silence_does_not_cross_a_link_and_the_first_sound_begins_a_run() {
    let mut class = Class::new();
    let voice = class.publish("ana", Origin::Local);
    class.tap(voice, VOICE_ALWAYS);
    class.speaks(voice, LOUD);
    class.run(200);
    class.speaks(voice, 127);
    class.run(4_000);
    let newest = class.tapped.last().unwrap().2;
    assert_eq!(newest, 100 + 10 + 100 - 1, "two seconds of silence are sent");
    assert!(class.room.drops().of(Drop::Silent) >= 99);
    class.speaks(voice, QUIET);
    class.run(100);
    let after: Vec<_> = class.tapped.iter().filter(|(_, _, seq, _)| *seq > newest).map(|t| (t.2, t.3)).collect();
    let first = 100 + 10 + 200;
    assert_eq!(after, [(first, true), (first + 1, false), (first + 2, false), (first + 3, false), (first + 4, false)]);
}

#[test]
fn a_muted_voice_never_leaves_the_node_and_a_pinned_one_always_does() {
    let mut class = Class::new();
    let tracks: Vec<_> = (0..20).map(|n| class.publish(&format!("p{n}"), Origin::Local)).collect();
    tracks.iter().for_each(|track| class.tap(*track, VOICE_WHEN_LOUD));
    (0..8).for_each(|n| class.speaks(tracks[n], LOUD));
    let pinned = tracks[15];
    class.tap(pinned, VOICE_ALWAYS);
    let muted = tracks[0];
    let mut info = class.room.info(muted).unwrap().clone();
    info.muted = true;
    class.run(500);
    class.room.update(muted, &info, &mut class.downlinks, class.now);
    class.run(500);
    let on_air = class.on_air(200);
    assert!(on_air.contains(&pinned) && !on_air.contains(&muted), "{on_air:?}");
    assert_eq!(on_air.len(), 6, "a pinned voice comes on top of the five");
    // Unpinned, it is one among many again.
    class.tap(pinned, VOICE_WHEN_LOUD);
    class.run(500);
    assert!(!class.on_air(200).contains(&pinned));
}

#[test]
fn a_pinned_voice_is_in_a_slot_though_all_others_shout() {
    let mut class = Class::new();
    let ear = class.listener("ear", 3);
    let tracks: Vec<_> = (0..8).map(|n| class.publish(&format!("p{n}"), Origin::Local)).collect();
    tracks.iter().for_each(|track| class.speaks(*track, LOUD));
    class.speaks(tracks[7], QUIET);
    class.run(1_000);
    let mut slots = BTreeMap::new();
    assert!(!class.heard(ear, &mut slots).contains("p7"));
    class.room.listen(ear, &[id("p7"), id("ear"), id("nobody")], &mut class.downlinks, class.now);
    class.run(3_000);
    let heard = class.heard(ear, &mut slots);
    assert!(heard.contains("p7") && heard.len() == 3, "{heard:?}");
    class.room.listen(ear, &[], &mut class.downlinks, class.now);
    class.run(3_000);
    assert!(!class.heard(ear, &mut slots).contains("p7"), "unpinned, the silent one makes room");
}

#[test]
fn a_pin_is_wanted_upstream_and_given_back() {
    let mut class = Class::new();
    let far = class.publish("far", Origin::Link);
    let told = |class: &mut Class| {
        let mine = |event: Event| match event {
            Event::Demand { track, temporal, .. } if track == far => Some(temporal),
            _ => None,
        };
        class.events().into_iter().filter_map(mine).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut class), [], "nobody listens");
    let ear = class.listener("ear", 2);
    assert_eq!(told(&mut class), [Some(VOICE_WHEN_LOUD)]);
    class.room.listen(ear, &[id("far")], &mut class.downlinks, class.now);
    assert_eq!(told(&mut class), [Some(VOICE_ALWAYS)]);
    let other = class.listener("other", 1);
    class.room.listen(other, &[id("far")], &mut class.downlinks, class.now);
    class.room.listen(ear, &[], &mut class.downlinks, class.now);
    class.run(5_000);
    assert_eq!(told(&mut class), [], "the other one still pins it");
    class.room.leave(other, &mut class.downlinks, class.now);
    class.run(5_000);
    assert_eq!(told(&mut class), [Some(VOICE_WHEN_LOUD)]);
    class.room.leave(ear, &mut class.downlinks, class.now);
    class.run(5_000);
    assert_eq!(told(&mut class), [None]);
}
