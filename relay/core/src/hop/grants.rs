//! Grants of people at other edges: asked for on behalf of a moderator here, done on behalf of one there.

use super::peer::PeerIndex;
use super::{Hop, Loss, Output};
use lyceum_wire::id::{NodeId, ParticipantId};
use lyceum_wire::link::Message;
use lyceum_wire::signal::Refusal;
use lyceum_wire::token::GrantChange;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// An edge answers a request for a change of grants within this time, or is taken for absent: a link that lives answers in a round trip.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// Requests of this node that wait for an answer at the same time: a whole page of the roster called to the stage at once.
pub const ASKED_MAX: usize = 64;

/// What another node wants of one of this node's people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantWish {
    /// Who asks; the answer goes there.
    pub node: NodeId,
    /// It is this very node: its part of the room on that shard.
    pub part: Option<u8>,
    /// Its number for it.
    pub request: u32,
    /// The moderator, who is one; absent: the application.
    pub by: Option<ParticipantId>,
    /// Whose grants.
    pub participant: ParticipantId,
    /// What changes.
    pub change: GrantChange,
}

/// Requests of this node that wait for an answer.
#[derive(Debug, Default)]
pub(super) struct Grants {
    asked: BTreeMap<u32, Asked>,
    next: u32,
}

#[derive(Debug)]
struct Asked {
    of: PeerIndex,
    until: Instant,
    /// On behalf of another part or node, and its number there.
    back: Option<(PeerIndex, u32)>,
}

impl Grants {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.values().map(|asked| asked.until).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }

    /// Takes out what is over: all of one node, or what nobody answered in time.
    fn over(&mut self, is_over: impl Fn(&Asked) -> bool) -> Vec<(u32, Asked)> {
        let over: Vec<u32> =
            self.asked.iter().filter(|(_, asked)| is_over(asked)).map(|(request, _)| *request).collect();
        over.into_iter().filter_map(|request| self.asked.remove_entry(&request)).collect()
    }
}

impl Hop {
    /// A moderator here, or the application (`by` absent), wants grants of somebody at another edge changed. Answered by
    /// [`Output::Granted`] with the number returned.
    ///
    /// # Errors
    /// [`Refusal::Absent`]: nobody of that name at an edge that can be reached. [`Refusal::TooMany`]: [`ASKED_MAX`] wait already.
    pub fn grant(
        &mut self,
        by: Option<ParticipantId>,
        participant: ParticipantId,
        change: GrantChange,
        now: Instant,
    ) -> Result<u32, Refusal> {
        self.ask_grant(None, by, participant, change, now)
    }

    fn ask_grant(
        &mut self,
        back: Option<(PeerIndex, u32)>,
        by: Option<ParticipantId>,
        participant: ParticipantId,
        change: GrantChange,
        now: Instant,
    ) -> Result<u32, Refusal> {
        let of = self.whose(&participant).ok_or(Refusal::Absent)?;
        if self.grants.asked.len() >= ASKED_MAX {
            return Err(Refusal::TooMany);
        }
        let request = self.grants.next;
        self.grants.next = request.wrapping_add(1);
        self.grants.asked.insert(request, Asked { of, until: now + ANSWER_TIME_MAX, back });
        let room = self.config.room.clone();
        self.say(of, Message::Grant { room, request, by, participant, change });
        Ok(request)
    }

    /// Whoever can change somebody's grants: another node, or the part of this node that somebody is on or is known by.
    fn whose(&self, participant: &ParticipantId) -> Option<PeerIndex> {
        let at = match self.roster.branch_of(participant) {
            Some(shard) => self.parts.get(&shard),
            // A branch knows everybody by its root, which goes by the node's own name.
            None if self.roster.elsewhere(participant).is_some() => self.names.get(&self.config.node),
            None => self.roster.edge_of(participant).and_then(|node| self.names.get(node)),
        };
        at.copied().filter(|at| self.peers.get(at.0).is_some_and(super::peer::Peer::is_open))
    }

    /// What [`Output::Grant`] wished is done, or refused.
    pub fn granted(&mut self, wish: &GrantWish, refused: Option<Refusal>) {
        let at = match wish.part {
            Some(shard) => self.parts.get(&shard),
            None => self.names.get(&wish.node),
        };
        if let Some(at) = at.copied() {
            let (room, request) = (self.config.room.clone(), wish.request);
            self.say(at, Message::Granted { room, request, refused });
        }
    }

    /// A node wants grants of one of this node's people changed: only on behalf of a moderator of its own.
    pub(super) fn grant_wanted(&mut self, at: PeerIndex, wish: GrantWish, now: Instant) {
        let moderates = |by: &ParticipantId| {
            let known = match wish.part {
                None => self.roster.person_of(&wish.node, by),
                Some(_) if self.is_branch() => self.roster.elsewhere(by),
                Some(shard) => self.roster.person_of_branch(shard, by),
            };
            known.is_some_and(|person| person.moderates)
        };
        if !wish.by.as_ref().is_none_or(moderates) {
            self.stats.lose(Loss::NotModerator, 1);
            let room = self.config.room.clone();
            let refused = Some(Refusal::NotAllowed);
            return self.say(at, Message::Granted { room, request: wish.request, refused });
        }
        // From a branch to whoever else is in the room, or from anywhere to a branch: the root hands it on.
        if !self.is_branch() && (wish.part.is_some() || self.roster.branch_of(&wish.participant).is_some()) {
            let GrantWish { request, by, participant, change, .. } = wish.clone();
            if !self.roster.is_local(&participant) {
                if let Err(refused) = self.ask_grant(Some((at, request)), by, participant, change, now) {
                    let room = self.config.room.clone();
                    self.say(at, Message::Granted { room, request, refused: Some(refused) });
                }
                return;
            }
        }
        self.out.push_back(Output::Grant(wish));
    }

    /// A node answered.
    pub(super) fn grant_done(&mut self, from: PeerIndex, request: u32, refused: Option<Refusal>) {
        if self.grants.asked.get(&request).is_some_and(|asked| asked.of == from)
            && let Some(asked) = self.grants.asked.remove(&request)
        {
            self.grant_answered(request, &asked, refused);
        }
    }

    fn grant_answered(&mut self, request: u32, asked: &Asked, refused: Option<Refusal>) {
        match asked.back {
            None => self.out.push_back(Output::Granted { request, refused }),
            Some((at, request)) => {
                let room = self.config.room.clone();
                self.say(at, Message::Granted { room, request, refused });
            }
        }
    }

    /// Nobody answers any more: the node is gone, or its time is over.
    pub(super) fn grants_lost(&mut self, gone: Option<PeerIndex>, now: Instant) {
        let over = self.grants.over(|asked| Some(asked.of) == gone || asked.until <= now);
        for (request, asked) in over {
            self.grant_answered(request, &asked, Some(Refusal::Absent));
        }
    }
}
