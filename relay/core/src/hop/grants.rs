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
}

impl Grants {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.values().map(|asked| asked.until).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }

    /// Takes out what is over: all of one node, or what nobody answered in time.
    fn over(&mut self, is_over: impl Fn(&Asked) -> bool) -> Vec<u32> {
        let over: Vec<u32> =
            self.asked.iter().filter(|(_, asked)| is_over(asked)).map(|(request, _)| *request).collect();
        self.asked.retain(|request, _| !over.contains(request));
        over
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
        let edge = self.roster.edge_of(&participant).and_then(|node| self.names.get(node)).copied();
        let of =
            edge.filter(|at| self.peers.get(at.0).is_some_and(super::peer::Peer::is_open)).ok_or(Refusal::Absent)?;
        if self.grants.asked.len() >= ASKED_MAX {
            return Err(Refusal::TooMany);
        }
        let request = self.grants.next;
        self.grants.next = request.wrapping_add(1);
        self.grants.asked.insert(request, Asked { of, until: now + ANSWER_TIME_MAX });
        let room = self.config.room.clone();
        self.say(of, Message::Grant { room, request, by, participant, change });
        Ok(request)
    }

    /// What [`Output::Grant`] wished is done, or refused.
    pub fn granted(&mut self, node: &NodeId, request: u32, refused: Option<Refusal>) {
        if let Some(at) = self.names.get(node).copied() {
            let room = self.config.room.clone();
            self.say(at, Message::Granted { room, request, refused });
        }
    }

    /// A node wants grants of one of this node's people changed: only on behalf of a moderator of its own.
    pub(super) fn grant_wanted(&mut self, at: PeerIndex, wish: GrantWish) {
        let moderates = |by: &ParticipantId| {
            let known = self.roster.person_of(&wish.node, by);
            known.is_some_and(|person| person.moderates)
        };
        if !wish.by.as_ref().is_none_or(moderates) {
            self.stats.lose(Loss::NotModerator, 1);
            let room = self.config.room.clone();
            let refused = Some(Refusal::NotAllowed);
            return self.say(at, Message::Granted { room, request: wish.request, refused });
        }
        self.out.push_back(Output::Grant(wish));
    }

    /// A node answered.
    pub(super) fn grant_done(&mut self, from: PeerIndex, request: u32, refused: Option<Refusal>) {
        if self.grants.asked.get(&request).is_some_and(|asked| asked.of == from) {
            self.grants.asked.remove(&request);
            self.out.push_back(Output::Granted { request, refused });
        }
    }

    /// Nobody answers any more: the node is gone, or its time is over.
    pub(super) fn grants_lost(&mut self, gone: Option<PeerIndex>, now: Instant) {
        let over = self.grants.over(|asked| Some(asked.of) == gone || asked.until <= now);
        self.out.extend(over.into_iter().map(|request| Output::Granted { request, refused: Some(Refusal::Absent) }));
    }
}
