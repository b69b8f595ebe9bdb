//! The edge's side: an ICE-lite agent (RFC 8445 §2.5). It never asks, it answers and believes what it can prove.
//!
//! Which pair carries media is the peer's decision. A peer that nominates only what it wants to use (regular nomination:
//! Chromium, Firefox, our bots) is followed at once, so a change of its network moves media with the next check. One
//! that nominates everything (aggressive nomination, RFC 5245) is known by never having sent a check without USE-CANDIDATE;
//! while it still checks everything, the pair with the highest priority wins.

use super::{Credentials, PAIRS_MAX, check};
use crate::drops::{DropReason, Drops};
use crate::session::{Failure, Pair, Session};
use bytes::Bytes;
use lyceum_wire::stun::{Class, Message};
use std::time::{Duration, Instant};

/// An aggressive peer checks everything for this long; what it nominates later is a change of mind.
const AGGRESSIVE: Duration = Duration::from_secs(5);
/// A selected pair that was silent for this long while another one is heard is given up: four checks of a slow client lost.
const STALE: Duration = Duration::from_secs(15);
/// How often a peer with several pairs is looked after.
const SWEEP: Duration = Duration::from_secs(5);

/// An ICE-lite agent.
pub(crate) struct Lite {
    /// The present generation of credentials, and before a restart has come through, the one before.
    generations: Vec<Generation>,
    pairs: Vec<Known>,
    selected: Option<Pair>,
    started: Instant,
    swept: Instant,
}

struct Generation {
    number: u32,
    local: Credentials,
    remote_ufrag: String,
    /// Has sent a check without USE-CANDIDATE.
    regular: bool,
    first_nomination: Option<Instant>,
}

/// A pair that passed a check.
struct Known {
    pair: Pair,
    generation: u32,
    heard: Instant,
    priority: u32,
    nominated: bool,
}

impl Lite {
    pub(crate) fn new(local: Credentials, remote: &Credentials, now: Instant) -> Self {
        let generation = Generation::new(0, local, remote);
        Self { generations: vec![generation], pairs: Vec::new(), selected: None, started: now, swept: now }
    }

    /// New credentials (RFC 8445 §9). What works goes on working until the new generation nominates a pair.
    pub(crate) fn restart(&mut self, local: Credentials, remote: &Credentials, now: Instant) {
        let number = self.generations.last().map_or(0, |generation| generation.number + 1);
        // Two restarts in a row: of the older ones only the generation in use is kept.
        let in_use = self.known(self.selected).map(|known| known.generation);
        self.generations.retain(|generation| Some(generation.number) == in_use);
        self.generations.push(Generation::new(number, local, remote));
        self.forget_lost_generations();
        self.started = now;
    }

    /// A STUN message came.
    pub(crate) fn handle(&mut self, datagram: &[u8], pair: Pair, now: Instant, drops: &mut Drops) -> Option<Bytes> {
        match self.answer(datagram, pair, now, drops) {
            Ok(reply) => reply,
            Err(reason) => {
                drops.count(reason);
                None
            }
        }
    }

    fn answer(
        &mut self,
        datagram: &[u8],
        pair: Pair,
        now: Instant,
        drops: &mut Drops,
    ) -> Result<Option<Bytes>, DropReason> {
        let message = check::read(datagram)?;
        match message.class {
            Class::Request => {}
            // Keeps a NAT open and proves nothing (RFC 8445 §11).
            Class::Indication => return Ok(None),
            Class::Success | Class::Error => return Err(DropReason::StunUnasked),
        }
        let generation = self.of(&message)?;
        let pwd = generation.local.pwd.as_str();
        message.verify(pwd.as_bytes()).map_err(|_| DropReason::StunIntegrity)?;
        if message.unknown_required().next().is_some() {
            return Ok(Some(check::unknown(&message, pwd)));
        }
        let priority = message.priority().map_err(|_| DropReason::StunMalformed)?.unwrap_or_default();
        if message.ice_controlled().map_err(|_| DropReason::StunMalformed)?.is_some() {
            // A lite agent is always the controlled one (RFC 8445 §6.1.1).
            return Ok(Some(check::conflict(&message, pwd)));
        }
        let reply = check::success(&message, pair.remote, pwd);
        let number = generation.number;
        self.heard(pair, number, priority, now, drops);
        if message.use_candidate() {
            self.nominated(pair, number, now);
        } else if let Some(generation) = self.generations.iter_mut().find(|generation| generation.number == number) {
            generation.regular = true;
        }
        Ok(Some(reply))
    }

    /// The generation whose `local:remote` the message names.
    fn of(&self, message: &Message<'_>) -> Result<&Generation, DropReason> {
        let user = message.username().map_err(|_| DropReason::StunMalformed)?.ok_or(DropReason::StunUser)?;
        let (local, remote) = user.split_once(':').ok_or(DropReason::StunUser)?;
        let named = |generation: &&Generation| generation.local.ufrag == local && generation.remote_ufrag == remote;
        self.generations.iter().rev().find(named).ok_or(DropReason::StunUser)
    }

    /// A check of a generation passed on a pair.
    fn heard(&mut self, pair: Pair, generation: u32, priority: u32, now: Instant, drops: &mut Drops) {
        if let Some(known) = self.pairs.iter_mut().find(|known| known.pair == pair) {
            if known.generation < generation {
                (known.generation, known.nominated) = (generation, false);
            }
            (known.heard, known.priority) = (now, priority);
            return;
        }
        if self.pairs.len() >= PAIRS_MAX {
            drops.count(DropReason::PairsFull);
            let selected = self.selected;
            let spare = self.pairs.iter().enumerate().filter(|(_, known)| Some(known.pair) != selected);
            if let Some(at) = spare.min_by_key(|(_, known)| known.heard).map(|(at, _)| at) {
                self.pairs.remove(at);
            }
        }
        self.pairs.push(Known { pair, generation, heard: now, priority, nominated: false });
    }

    /// The peer wants to use a pair.
    fn nominated(&mut self, pair: Pair, number: u32, now: Instant) {
        let Some(at) = self.pairs.iter().position(|known| known.pair == pair && known.generation == number) else {
            return;
        };
        self.pairs[at].nominated = true;
        let priority = self.pairs[at].priority;
        let Some(generation) = self.generations.iter_mut().find(|generation| generation.number == number) else {
            return;
        };
        let first = *generation.first_nomination.get_or_insert(now);
        let aggressive = !generation.regular && now.duration_since(first) < AGGRESSIVE;
        let follow = match self.known(self.selected) {
            None => true,
            Some(present) if present.generation > number => false,
            Some(present) if present.generation < number => true,
            Some(present) => !aggressive || priority >= present.priority,
        };
        if follow {
            self.selected = Some(pair);
            // The restart has come through: the credentials before it are dead.
            self.generations.retain(|generation| generation.number >= number);
            self.forget_lost_generations();
        }
    }

    fn forget_lost_generations(&mut self) {
        let alive: Vec<u32> = self.generations.iter().map(|generation| generation.number).collect();
        self.pairs.retain(|known| alive.contains(&known.generation));
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        self.swept = now;
        let selected = self.selected;
        self.pairs.retain(|known| now < known.heard + Session::CONSENT);
        let silent = self.known(selected).is_none_or(|known| now >= known.heard + STALE);
        if selected.is_some() && silent {
            // Among what the peer nominated before, the one that is still heard.
            let rest = self.pairs.iter().filter(|known| known.nominated && now < known.heard + STALE);
            if let Some(other) = rest.max_by_key(|known| known.heard) {
                self.selected = Some(other.pair);
            } else if self.known(selected).is_none() {
                return Err(Failure::ConsentLost);
            }
        }
        if selected.is_none() && self.pairs.is_empty() && now >= self.started + Session::CONSENT {
            return Err(Failure::NoPath);
        }
        Ok(())
    }

    pub(crate) fn deadline(&self) -> Instant {
        let lost = self.pairs.iter().map(|known| known.heard + Session::CONSENT).min();
        let lost = lost.unwrap_or(self.started + Session::CONSENT);
        // With more than one way there may be a better one.
        if self.selected.is_some() && self.pairs.len() > 1 { lost.min(self.swept + SWEEP) } else { lost }
    }

    fn known(&self, pair: Option<Pair>) -> Option<&Known> {
        let pair = pair?;
        self.pairs.iter().find(|known| known.pair == pair)
    }

    pub(crate) fn selected(&self) -> Option<Pair> {
        self.selected
    }

    pub(crate) fn is_checked(&self, pair: Pair) -> bool {
        self.known(Some(pair)).is_some()
    }

    pub(crate) fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.generations.iter().rev().map(|generation| generation.local.ufrag.as_str())
    }
}

impl Generation {
    fn new(number: u32, local: Credentials, remote: &Credentials) -> Self {
        Self { number, local, remote_ufrag: remote.ufrag.clone(), regular: false, first_nomination: None }
    }
}
