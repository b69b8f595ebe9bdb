//! What somebody may do is changed while they are here: a moderator calls them to the stage or back to the audience.
//!
//! ```text
//!   moderator ─ grant ─▶ its edge ─ is it a moderator? ─┬─ target here ──────────────▶ applied, roster tells everybody
//!                                                       └─ Message::Grant ─▶ target's edge ─ is `by` one there? ─▶ applied
//!   moderator ◀─ granted or refused ─ its edge ◀─ Message::Granted ─┘
//! ```

use super::Published;
use crate::door::{Event, HttpOutcome, RequestId};
use crate::shard::Shard;
use lyceum_relay_core::hop::GrantWish;
use lyceum_wire::id::{ParticipantId, RoomId, Source};
use lyceum_wire::signal::{EdgeSays, Refusal};
use lyceum_wire::token::GrantChange;
use std::time::Instant;

/// Who waits for another edge's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    who: Asker,
    participant: ParticipantId,
}

/// Who wants grants changed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asker {
    /// A moderator, by the message with this number.
    Moderator { index: u32, id: ParticipantId, of: u64 },
    /// The application, over HTTP.
    Application(RequestId),
}

impl Shard {
    /// A client wants somebody's grants changed.
    pub(crate) fn ask_grant(
        &mut self,
        index: u32,
        participant: ParticipantId,
        change: GrantChange,
        of: u64,
        now: Instant,
    ) -> Result<(), Refusal> {
        let peer = self.peers.get(index).ok_or(Refusal::Absent)?;
        if !peer.grants.moderate {
            return Err(Refusal::NotAllowed);
        }
        let (place, id) = (peer.room, peer.participant.id.clone());
        let asked = Asked { who: Asker::Moderator { index, id: id.clone(), of }, participant };
        self.pass_grant(place, Some(id), asked, change, now)
    }

    /// The application wants somebody's grants changed.
    pub(crate) fn grant_by_http(
        &mut self,
        request: RequestId,
        room: &RoomId,
        participant: ParticipantId,
        change: GrantChange,
        now: Instant,
    ) {
        let asked = Asked { who: Asker::Application(request), participant };
        let place = self.room_by_id.get(room).copied().ok_or(Refusal::Absent);
        if let Err(code) = place.and_then(|place| self.pass_grant(place, None, asked, change, now)) {
            self.answer_grant(Asker::Application(request), None, Some(code));
        }
    }

    /// Does it here, or asks the participant's edge.
    fn pass_grant(
        &mut self,
        place: u32,
        by: Option<ParticipantId>,
        asked: Asked,
        change: GrantChange,
        now: Instant,
    ) -> Result<(), Refusal> {
        if let Some(index) = self.member(place, &asked.participant) {
            self.apply_grant(index, by, &change, now);
            self.answer_grant(asked.who, Some(asked.participant), None);
            return Ok(());
        }
        let room = self.rooms.get_mut(place).ok_or(Refusal::Absent)?;
        let request = room.hop.grant(by, asked.participant.clone(), change, now)?;
        room.asked.insert(request, asked);
        self.touch_room(place);
        Ok(())
    }

    /// Another edge wants it of somebody here; that `by` may, the hop has seen.
    pub(crate) fn grant_wished(&mut self, place: u32, wish: GrantWish, now: Instant) {
        let refused = match self.member(place, &wish.participant) {
            Some(index) => {
                self.apply_grant(index, wish.by.clone(), &wish.change, now);
                None
            }
            None => Some(Refusal::Absent),
        };
        if let Some(room) = self.rooms.get_mut(place) {
            room.hop.granted(&wish, refused);
            self.touch_room(place);
        }
    }

    /// Another edge answered, or did not in time.
    pub(crate) fn grant_answered(&mut self, place: u32, request: u32, refused: Option<Refusal>) {
        if let Some(asked) = self.rooms.get_mut(place).and_then(|room| room.asked.remove(&request)) {
            self.answer_grant(asked.who, Some(asked.participant), refused);
        }
    }

    fn answer_grant(&mut self, who: Asker, participant: Option<ParticipantId>, refused: Option<Refusal>) {
        match (who, refused) {
            (Asker::Moderator { index, id, of }, refused) => {
                // It may have left meanwhile, and somebody else may have its place.
                if self.peers.get(index).is_none_or(|peer| peer.participant.id != id) {
                    return;
                }
                match (refused, participant) {
                    (Some(code), _) => self.refuse(index, code, sentence(code).into(), Some(of)),
                    (None, Some(participant)) => self.say(index, EdgeSays::Granted { participant, of }),
                    (None, None) => {}
                }
            }
            (Asker::Application(request), refused) => {
                let outcome = match refused {
                    Some(code) => HttpOutcome::Refused { code, message: sentence(code).into() },
                    None => HttpOutcome::NoContent,
                };
                self.events.push_back(Event::HttpAnswer { request, outcome });
            }
        }
    }

    /// Somebody of this shard by id.
    fn member(&self, place: u32, participant: &ParticipantId) -> Option<u32> {
        let is_meant = |index: &u32| self.peers.get(*index).is_some_and(|peer| peer.participant.id == *participant);
        self.rooms.get(place)?.members.iter().copied().find(is_meant)
    }

    /// The grants are other ones from now on: what is not allowed any more ends here, whatever the client does.
    fn apply_grant(&mut self, index: u32, by: Option<ParticipantId>, change: &GrantChange, now: Instant) {
        let Self { peers, rooms, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        if !peer.grants.change(change) {
            return;
        }
        let grants = peer.grants.clone();
        tracing::info!(participant = %peer.participant.id, publish = grants.publish.len(), "grants changed");
        peer.participant.on_stage = !grants.publish.is_empty();
        peer.participant.moderates = grants.moderate;
        if peer.is_seen()
            && let Some(room) = rooms.get_mut(peer.room)
        {
            room.came(peer.participant.clone(), now);
        }
        let place = peer.room;
        let forbidden = |published: &Published| {
            let source = published.plan.source;
            (!grants.publish.contains(&source)).then_some(source)
        };
        let ended: Vec<Source> = self.published(index, forbidden);
        for source in &ended {
            self.unpublish(index, *source, now);
        }
        if !ended.is_empty() {
            self.publications_changed(index, now);
        }
        if !grants.subscribe {
            self.apply_slots(index, Vec::new(), now);
        }
        self.say(index, EdgeSays::Grants { grants, by });
        self.touch_room(place);
        self.touch_peer(index);
    }
}

/// Why grants were not changed, for people.
pub(crate) fn sentence(code: Refusal) -> &'static str {
    match code {
        Refusal::NotAllowed => "you do not moderate this room",
        Refusal::Absent => "this participant is not in the room, or cannot be reached now",
        Refusal::TooMany => "too many changes wait for other edges: try again",
        _ => "the grants could not be changed",
    }
}
