//! What a bot shows: its roster, the page of pictures it is on, the voices it pins.

use super::{Bot, Stage};
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::signal::{ClientSays, Participant, Tile};
use std::time::Instant;

impl Bot {
    pub(super) fn roster(&mut self, present: Vec<Participant>, gone: &[ParticipantId]) {
        for participant in present {
            self.others.insert(participant.id.clone(), participant);
        }
        for id in gone {
            self.others.remove(id);
        }
        if let Some(me) = &self.me {
            self.others.remove(me);
        }
    }

    /// Hears these voices in any case from now on.
    pub fn pin(&mut self, voices: Vec<ParticipantId>) {
        self.pins = voices;
    }

    /// Shows as many cameras as it has slots for: a page of all there are, turned when the plan says so.
    pub(super) fn look(&mut self, now: Instant) {
        let (width, height) = self.config.plan.tile;
        let shows = |person: &&Participant| person.publishes.iter().any(|track| track.source == Source::Camera);
        let all: Vec<&Participant> = self.others.values().filter(shows).collect();
        let each = usize::from(self.config.plan.video_slots).max(1);
        let pages = all.len().div_ceil(each).max(1);
        let page = match self.config.plan.page_every.filter(|every| !every.is_zero()) {
            // Each bot is on a page of its own at first, so that a class does not turn its pages in step.
            Some(every) => {
                let turned = now.saturating_duration_since(self.born).as_millis() / every.as_millis().max(1);
                (self.config.origin as usize + turned as usize) % pages
            }
            None => 0,
        };
        let shown = all.into_iter().skip(page * each).take(usize::from(self.config.plan.video_slots));
        let track = |person: &Participant| TrackName { participant: person.id.clone(), source: Source::Camera };
        let tiles: Vec<Tile> =
            shown.map(|person| Tile { track: track(person), width, height, pinned: false }).collect();
        let view = (tiles, self.pins.clone());
        if view != self.shown && self.stage != Stage::Over {
            self.shown.clone_from(&view);
            let (tiles, listen) = view;
            self.say(ClientSays::View { tiles, listen });
        }
    }
}
