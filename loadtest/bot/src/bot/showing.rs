//! What a bot shows: its roster, the page of pictures it is on, the voices it pins.

use super::{Bot, Stage};
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::signal::{ClientSays, Participant, Tile};
use lyceum_wire::splitmix;
use std::time::Instant;

/// Which page of pictures a bot shows.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// How often it has turned its page …
    turned: u64,
    /// … and which it turned to, from 0.
    at: usize,
    /// Who there is or whom it hears changed since it was made.
    stale: bool,
}

impl Bot {
    pub(super) fn roster(&mut self, present: Vec<Participant>, gone: &[ParticipantId]) {
        for participant in present.into_iter().filter(|participant| Some(&participant.id) != self.me.as_ref()) {
            let (id, shows) = (participant.id.clone(), shows(&participant));
            match self.others.insert(id.clone(), participant) {
                None => self.came.push((id, shows)),
                Some(before) if self::shows(&before) != shows => {
                    self.came.iter_mut().filter(|(other, _)| *other == id).for_each(|(_, known)| *known = shows);
                }
                Some(_) => {}
            }
        }
        for id in gone {
            self.others.remove(id);
        }
        if !gone.is_empty() {
            self.came.retain(|(id, _)| self.others.contains_key(id));
        }
        self.page.stale = true;
    }

    /// Hears these voices in any case from now on.
    pub fn pin(&mut self, voices: Vec<ParticipantId>) {
        self.pins = voices;
        self.page.stale = true;
    }

    /// Shows as many cameras as it has slots for: the first page of those who came, as a page in a browser does, and others when the
    /// plan says to turn pages.
    pub(super) fn look(&mut self, now: Instant) {
        let turned = self.turned(now);
        if turned == self.page.turned && !self.page.stale {
            return;
        }
        let (width, height) = self.config.plan.tile;
        let each = usize::from(self.config.plan.video_slots).max(1);
        let pages = self.came.iter().filter(|(_, shows)| *shows).count().div_ceil(each).max(1);
        if turned != self.page.turned {
            // Each bot goes to a page of its own, so that a class does not turn its pages in step.
            self.page.at = (self.config.origin as usize + turned as usize) % pages;
        }
        (self.page.turned, self.page.stale) = (turned, false);
        let showing = self.came.iter().filter(|(_, shows)| *shows).map(|(id, _)| id);
        let shown = showing.skip(self.page.at.min(pages - 1) * each).take(usize::from(self.config.plan.video_slots));
        let track = |id: &ParticipantId| TrackName { participant: id.clone(), source: Source::Camera };
        let tiles: Vec<Tile> = shown.map(|id| Tile { track: track(id), width, height, pinned: false }).collect();
        let view = (tiles, self.pins.clone());
        if view != self.shown && self.stage != Stage::Over {
            self.shown.clone_from(&view);
            let (tiles, listen) = view;
            self.say(ClientSays::View { tiles, listen });
        }
    }

    /// How often it has turned its page. The first time comes before a page is over, for each bot at another moment.
    fn turned(&self, now: Instant) -> u64 {
        let Some(every) = self.config.plan.page_every.filter(|every| !every.is_zero()) else { return 0 };
        let every = every.as_millis() as u64;
        let ahead = splitmix::spread(self.config.origin) % every;
        (now.saturating_duration_since(self.born).as_millis() as u64 + ahead) / every
    }
}

/// Whether a participant shows a camera.
fn shows(participant: &Participant) -> bool {
    participant.publishes.iter().any(|track| track.source == Source::Camera)
}
