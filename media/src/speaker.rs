//! Who speaks: loudness from RFC 6464 levels, smoothed, with hysteresis.
//!
//! ```text
//!   level     ▁▁▆█▇▁█▆▁▁▁▁▁▁▁▁▁▁
//!   loudness  ▁▁▃▆▇▆▇▇▆▅▄▃▂▁▁▁▁▁    rises fast, falls slowly
//!   active    ──██████████████──    from above ON until below OFF for HOLD
//! ```

use crate::packet::{AudioLevel, TrackId};
use crate::slot::Voice;
use lyceum_wire::ext;
use std::time::{Duration, Instant};

/// Somebody speaks from here on, in dB above silence (127 − level): −50 dBov, a calm voice at a laptop.
pub const ON: u8 = 77;
/// … until below here: −60 dBov, the noise of a quiet room.
pub const OFF: u8 = 67;
/// … for this long: pauses between sentences are speech.
pub const HOLD: Duration = Duration::from_millis(1_000);
/// Without a packet for this long a track is silent: discontinuous transmission, or it was muted.
pub const NO_PACKET: Duration = Duration::from_millis(300);
/// Lists go out at most this often: faster changes are not readable.
pub const LIST_EVERY: Duration = Duration::from_millis(300);
/// Speakers named in a list: more at once is noise.
pub const LIST_MAX: usize = 8;
/// One overtakes another in the list only when louder by this, in dB.
const OVERTAKE_DB: f32 = 6.0;
/// Share of the difference taken per packet of 20 ms when it gets louder: two packets make most of it.
const ATTACK: f32 = 0.5;
/// … and when it gets quieter: half in a third of a second.
const DECAY: f32 = 0.04;

/// The loudness of all tracks of a room.
#[derive(Debug, Default)]
pub struct Speakers {
    /// Rising by track.
    all: Vec<Speaker>,
    published: u64,
    /// Who spoke at the last look, loudest first.
    listed: Vec<TrackId>,
    told: Vec<TrackId>,
    told_at: Option<Instant>,
    changed: bool,
}

/// All who may be heard, best first: active before silent, unmuted before muted, the latest speaker before earlier ones, then in
/// order of publication.
#[derive(Debug, Default)]
pub struct Ranking {
    voices: Vec<Voice<TrackId>>,
    /// The place of each among them; rising by track.
    places: Vec<(TrackId, u32)>,
}

#[derive(Debug)]
struct Speaker {
    track: TrackId,
    /// Published at this node, not elsewhere in the mesh.
    local: bool,
    /// Place in the order of publication.
    published: u64,
    /// Named in lists; a screen's sound is heard but is nobody.
    person: bool,
    muted: bool,
    loudness: f32,
    active: bool,
    last_packet: Option<Instant>,
    last_loud: Option<Instant>,
}

impl Speakers {
    /// A track that may be heard; `local`: published at this node.
    pub fn add(&mut self, track: TrackId, person: bool, local: bool) {
        self.published += 1;
        let speaker = Speaker {
            track,
            local,
            published: self.published,
            person,
            muted: false,
            loudness: 0.0,
            active: false,
            last_packet: None,
            last_loud: None,
        };
        let at = self.all.partition_point(|s| s.track < track);
        self.all.insert(at, speaker);
        self.changed = true;
    }

    /// It is gone.
    pub fn remove(&mut self, track: TrackId) {
        self.all.retain(|speaker| speaker.track != track);
        self.changed = true;
    }

    /// It was muted or unmuted.
    pub fn mute(&mut self, track: TrackId, muted: bool) {
        if let Ok(at) = self.all.binary_search_by_key(&track, |s| s.track) {
            let speaker = &mut self.all[at];
            speaker.muted = muted;
            if muted {
                speaker.loudness = 0.0;
            }
            self.changed = true;
        }
    }

    /// One packet's level. Says whether somebody began to speak with it.
    #[inline]
    pub fn level(&mut self, track: TrackId, level: AudioLevel, now: Instant) -> bool {
        let Ok(at) = self.all.binary_search_by_key(&track, |s| s.track) else { return false };
        let speaker = &mut self.all[at];
        let loud = f32::from(ext::AudioLevel::SILENT.saturating_sub(level.minus_dbov));
        let share = if loud > speaker.loudness { ATTACK } else { DECAY };
        speaker.loudness += (loud - speaker.loudness) * share;
        speaker.last_packet = Some(now);
        if speaker.loudness >= f32::from(OFF) {
            speaker.last_loud = Some(now);
        }
        let begins = !speaker.active && !speaker.muted && speaker.loudness >= f32::from(ON);
        if begins {
            speaker.active = true;
            self.changed = true;
        }
        begins
    }

    /// Looks who fell silent. Says whether who is active changed since the last look.
    pub fn look(&mut self, now: Instant) -> bool {
        for speaker in &mut self.all {
            if speaker.last_packet.is_some_and(|last| now.saturating_duration_since(last) > NO_PACKET) {
                speaker.loudness = 0.0;
                speaker.last_packet = None;
            }
            let held = speaker.last_loud.is_some_and(|last| now.saturating_duration_since(last) <= HOLD);
            if speaker.active && (!held || speaker.muted) {
                speaker.active = false;
                self.changed = true;
            }
        }
        self.order();
        std::mem::take(&mut self.changed)
    }

    /// The list of speakers, when it changed and the last one is old enough.
    pub fn list(&mut self, now: Instant) -> Option<&[TrackId]> {
        if self.told_at.is_some_and(|at| now.saturating_duration_since(at) < LIST_EVERY) {
            return None;
        }
        if self.listed == self.told {
            return None;
        }
        self.told.clone_from(&self.listed);
        self.told_at = Some(now);
        Some(&self.told)
    }

    /// All who may be heard, in order.
    #[must_use]
    pub fn ranking(&self) -> Ranking {
        Ranking::of(self.all.iter().collect())
    }

    /// Those of them who are published at this node and not muted: who may leave it.
    #[must_use]
    pub fn local_ranking(&self) -> Ranking {
        Ranking::of(self.all.iter().filter(|speaker| speaker.local && !speaker.muted).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Brings the list up to date: newcomers at the end, then the clearly louder overtake.
    fn order(&mut self) {
        let all = &self.all;
        let find = |track: TrackId| all.iter().find(|s| s.track == track);
        self.listed.retain(|track| find(*track).is_some_and(|s| s.active && s.person));
        for speaker in all.iter().filter(|s| s.active && s.person) {
            if !self.listed.contains(&speaker.track) && self.listed.len() < LIST_MAX {
                self.listed.push(speaker.track);
            }
        }
        let loudness = |track: TrackId| find(track).map_or(0.0, |s| s.loudness);
        for end in 1..self.listed.len() {
            let mut at = end;
            while at > 0 && loudness(self.listed[at]) > loudness(self.listed[at - 1]) + OVERTAKE_DB {
                self.listed.swap(at, at - 1);
                at -= 1;
            }
        }
    }
}

impl Ranking {
    fn of(mut ranked: Vec<&Speaker>) -> Self {
        ranked.sort_by_key(|s| (!s.active, s.muted, std::cmp::Reverse(s.last_loud), s.published));
        let voice = |s: &&Speaker| Voice { track: s.track, active: s.active, loudness: s.loudness as u8 };
        let voices: Vec<_> = ranked.iter().map(voice).collect();
        let mut places: Vec<_> = voices.iter().map(|voice| voice.track).zip(0..).collect();
        places.sort_unstable();
        Self { voices, places }
    }

    /// All of them.
    #[must_use]
    pub fn voices(&self) -> &[Voice<TrackId>] {
        &self.voices
    }

    /// Those who can change who is heard where `heard` are now: the first [`CONTENDERS`] that `may` be heard there, and `heard`
    /// themselves. Still best first. In a class of 300 nobody looks at the other 280 for each of 300 listeners.
    #[must_use]
    pub fn contenders(
        &self,
        heard: impl Iterator<Item = TrackId>,
        may: impl Fn(TrackId) -> bool,
    ) -> Vec<Voice<TrackId>> {
        let mut places: Vec<u32> = Vec::with_capacity(CONTENDERS + 8);
        places.extend((0..).zip(&self.voices).filter(|(_, v)| may(v.track)).map(|(place, _)| place).take(CONTENDERS));
        let place =
            |track: TrackId| self.places.binary_search_by_key(&track, |(t, _)| *t).ok().map(|at| self.places[at].1);
        places.extend(heard.filter(|track| may(*track)).filter_map(place));
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.voices.get(place as usize).copied()).collect()
    }
}

/// Voices looked at for each listener besides those in its slots: twice as many as any has slots for sound, so that all of
/// those who speak at once are among them.
pub const CONTENDERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays levels, one per 20 ms, and returns every list that went out with its time in ms.
    fn play(levels: impl Fn(u32, u64) -> Option<u8>, tracks: u32, length_ms: u64) -> Vec<(u64, Vec<u32>)> {
        let (mut speakers, t) = (Speakers::default(), Instant::now());
        (0..tracks).for_each(|n| speakers.add(TrackId(n), true, true));
        let mut lists = Vec::new();
        for ms in (0..length_ms).step_by(20) {
            let now = t + Duration::from_millis(ms);
            for track in 0..tracks {
                if let Some(minus_dbov) = levels(track, ms) {
                    speakers.level(TrackId(track), AudioLevel { minus_dbov, voice: true }, now);
                }
            }
            if ms % 100 == 0 {
                speakers.look(now);
                if let Some(list) = speakers.list(now) {
                    lists.push((ms, list.iter().map(|t| t.0).collect()));
                }
            }
        }
        lists
    }

    #[test]
    fn a_sentence_with_pauses_is_one_turn() {
        let lists = play(|_, ms| Some(if ms < 3_000 && ms % 800 < 400 { 30 } else { 127 }), 1, 6_000);
        assert_eq!(lists.len(), 2, "{lists:?}");
        assert_eq!((&lists[0].1[..], &lists[1].1[..]), (&[0][..], &[][..]));
        assert!((3_500..5_000).contains(&lists[1].0));
    }

    #[test]
    fn a_click_or_a_quiet_room_is_nobody() {
        assert_eq!(play(|_, ms| Some(if ms % 1_000 == 0 { 40 } else { 127 }), 1, 5_000), []);
        assert_eq!(play(|_, _| Some(62), 1, 5_000), []);
    }

    #[test]
    fn lists_are_never_more_frequent_than_readable() {
        let lists = play(|track, ms| Some(if ms / 90 % 3 == u64::from(track) { 10 } else { 120 }), 3, 10_000);
        assert!(lists.windows(2).all(|w| w[1].0 - w[0].0 >= 300), "{lists:?}");
    }

    #[test]
    fn the_clearly_louder_leads_and_the_slightly_louder_does_not() {
        let lists = play(|track, _| Some(if track == 0 { 30 } else { 27 }), 2, 2_000);
        assert_eq!(lists.last().unwrap().1, [0, 1]);
        let lists = play(|track, _| Some(if track == 0 { 45 } else { 20 }), 2, 2_000);
        assert_eq!(lists.last().unwrap().1, [1, 0]);
    }

    #[test]
    fn who_stops_sending_stops_speaking() {
        let lists = play(|_, ms| (ms < 1_000).then_some(20), 1, 4_000);
        assert_eq!(lists.len(), 2, "{lists:?}");
        assert!(lists[1].0 <= 2_600);
    }

    #[test]
    fn only_a_few_contend_and_those_who_are_heard_among_them() {
        let (mut speakers, t) = (Speakers::default(), Instant::now());
        (0..300).for_each(|n| speakers.add(TrackId(n), true, n % 2 == 0));
        for n in [290, 17, 5] {
            for ms in 0..10 {
                speakers.level(TrackId(n), AudioLevel { minus_dbov: 20, voice: true }, t + Duration::from_millis(ms));
            }
        }
        let tracks = |voices: &[Voice<TrackId>]| voices.iter().map(|v| v.track.0).collect::<Vec<_>>();
        let all = speakers.ranking();
        assert_eq!(tracks(&all.voices()[..5]), [5, 17, 290, 0, 1]);
        let contend = all.contenders([TrackId(200), TrackId(290), TrackId(100)].into_iter(), |track| track.0 != 5);
        assert_eq!(contend.len(), CONTENDERS + 2);
        assert_eq!(tracks(&contend[..3]), [17, 290, 0]);
        assert_eq!(tracks(&contend[CONTENDERS..]), [100, 200], "in their order, after all who rank before them");
        let local = speakers.local_ranking();
        assert_eq!((local.voices().len(), local.voices()[0].track), (150, TrackId(290)));
        speakers.mute(TrackId(290), true);
        assert_eq!(speakers.local_ranking().voices().len(), 149, "who is muted does not leave the node");
    }
}
