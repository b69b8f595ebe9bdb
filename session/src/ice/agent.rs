//! The client's side: a controlling full agent (RFC 8445 §6 to §8), as small as a bot may be.
//!
//! Every own address is paired with every address of the edge. All pairs are checked at once, the best one that works is nominated
//! (regular nomination, RFC 8445 §8.1.1), and from then on checks keep consent (RFC 7675). When a better way is needed, because the
//! own address went away or the edge is not heard there any more, another pair is nominated.

use super::{Credentials, PAIRS_MAX, check};
use crate::drops::{DropReason, Drops};
use crate::session::{Failure, Pair, Session};
use bytes::Bytes;
use lyceum_wire::splitmix;
use lyceum_wire::stun::{Class, Transaction};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Pause before an unanswered first check is repeated; doubles up to [`KEEP`].
const REPEAT_FIRST: Duration = Duration::from_millis(250);
/// Pause between checks of a pair that works (RFC 7675 §5.1 says 5 s, scattered).
const KEEP: Duration = Duration::from_secs(5);
/// Pause between checks of the selected pair while it does not answer.
const REPEAT_SELECTED: Duration = Duration::from_millis(500);
/// A better pair is awaited this long after the first one worked.
const PATIENCE: Duration = Duration::from_millis(150);
/// The selected pair has not answered for this long: another one that works is taken.
const SILENT: Duration = Duration::from_secs(4);
/// Open transactions kept per pair, so that a late answer still counts.
const OPEN_CHECKS: usize = 4;

/// A controlling agent.
pub(crate) struct Agent {
    local: Credentials,
    remote: Credentials,
    tie_breaker: u64,
    random: Random,
    locals: Vec<SocketAddr>,
    remotes: Vec<SocketAddr>,
    pairs: Vec<Check>,
    selected: Option<Pair>,
    /// When the selected pair last answered.
    heard: Option<Instant>,
    first_valid: Option<Instant>,
    started: Instant,
}

/// One pair and its checks.
struct Check {
    pair: Pair,
    priority: u32,
    next: Instant,
    pause: Duration,
    open: Vec<(Transaction, Nomination)>,
    /// When it last answered under the present credentials.
    valid: Option<Instant>,
    nominate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nomination {
    Asked,
    NotAsked,
}

impl Agent {
    pub(crate) fn new(local: Credentials, remote: Credentials, seed: u64, now: Instant) -> Self {
        let mut random = Random(seed);
        Self {
            local,
            remote,
            tie_breaker: random.next(),
            random,
            locals: Vec::new(),
            remotes: Vec::new(),
            pairs: Vec::new(),
            selected: None,
            heard: None,
            first_valid: None,
            started: now,
        }
    }

    pub(crate) fn add_local(&mut self, local: SocketAddr, now: Instant) {
        if !self.locals.contains(&local) {
            self.locals.push(local);
            for remote in self.remotes.clone() {
                self.pair(Pair { local, remote }, now);
            }
        }
    }

    pub(crate) fn add_remote(&mut self, remote: SocketAddr, now: Instant) {
        if !self.remotes.contains(&remote) {
            self.remotes.push(remote);
            for local in self.locals.clone() {
                self.pair(Pair { local, remote }, now);
            }
        }
    }

    pub(crate) fn remove_local(&mut self, local: SocketAddr, now: Instant) {
        self.locals.retain(|have| *have != local);
        self.pairs.retain(|check| check.pair.local != local);
        if self.selected.is_some_and(|pair| pair.local == local) {
            self.nominate_best(now);
        }
    }

    pub(crate) fn restart(&mut self, local: Credentials, remote: Credentials, now: Instant) {
        (self.local, self.remote) = (local, remote);
        (self.first_valid, self.started) = (None, now);
        for check in &mut self.pairs {
            check.open.clear();
            (check.valid, check.nominate, check.next, check.pause) = (None, false, now, REPEAT_FIRST);
        }
    }

    fn pair(&mut self, pair: Pair, now: Instant) {
        if pair.local.is_ipv4() == pair.remote.is_ipv4() && self.pairs.len() < PAIRS_MAX {
            // Earlier addresses are preferred; a new one after a network change comes last and waits for its nomination.
            let preference = u32::from(u16::MAX) - self.pairs.len() as u32;
            self.pairs.push(Check {
                pair,
                priority: (126 << 24) | (preference << 8) | 255,
                next: now,
                pause: REPEAT_FIRST,
                open: Vec::new(),
                valid: None,
                nominate: false,
            });
        }
    }

    /// A STUN message came.
    pub(crate) fn handle(&mut self, datagram: &[u8], pair: Pair, now: Instant, drops: &mut Drops) -> Option<Bytes> {
        match self.take(datagram, pair, now) {
            Ok(reply) => reply,
            Err(reason) => {
                drops.count(reason);
                None
            }
        }
    }

    fn take(&mut self, datagram: &[u8], pair: Pair, now: Instant) -> Result<Option<Bytes>, DropReason> {
        let message = check::read(datagram)?;
        match message.class {
            Class::Indication => Ok(None),
            // A full agent at the other side checks us too. It proves its pair, ours are proven by answers.
            Class::Request => {
                let user = message.username().map_err(|_| DropReason::StunMalformed)?.ok_or(DropReason::StunUser)?;
                if user.split_once(':') != Some((self.local.ufrag.as_str(), self.remote.ufrag.as_str())) {
                    return Err(DropReason::StunUser);
                }
                let pwd = self.local.pwd.as_str();
                message.verify(pwd.as_bytes()).map_err(|_| DropReason::StunIntegrity)?;
                Ok(Some(match message.ice_controlling() {
                    _ if message.unknown_required().next().is_some() => check::unknown(&message, pwd),
                    Ok(Some(_)) => check::conflict(&message, pwd),
                    _ => check::success(&message, pair.remote, pwd),
                }))
            }
            Class::Success | Class::Error => {
                // The answer comes from where the question went (RFC 8445 §7.2.5.2.1).
                let known = self.pairs.iter_mut().find(|check| check.pair == pair).ok_or(DropReason::StunUnasked)?;
                let open = known.open.iter().position(|(transaction, _)| *transaction == message.transaction);
                let open = open.ok_or(DropReason::StunUnasked)?;
                message.verify(self.remote.pwd.as_bytes()).map_err(|_| DropReason::StunIntegrity)?;
                let (_, nomination) = known.open.remove(open);
                if message.class == Class::Error {
                    return Err(DropReason::StunError);
                }
                known.valid = Some(now);
                // A nomination that is due is not put off by the answer to an earlier check.
                if nomination == Nomination::Asked || !known.nominate {
                    known.pause = KEEP;
                    known.next = now + KEEP.mul_f64(0.8 + 0.4 * self.random.fraction());
                }
                if nomination == Nomination::Asked {
                    self.selected = Some(pair);
                }
                if self.selected == Some(pair) {
                    self.heard = Some(now);
                }
                self.first_valid.get_or_insert(now);
                self.decide(now);
                Ok(None)
            }
        }
    }

    /// Nominates when there is something to nominate.
    fn decide(&mut self, now: Instant) {
        if self.pairs.iter().any(|check| check.nominate) {
            return;
        }
        let Some(first_valid) = self.first_valid else { return };
        let best = self.pairs.iter().max_by_key(|check| check.priority);
        if best.is_some_and(|best| best.valid.is_some()) || now >= first_valid + PATIENCE {
            self.nominate_best(now);
        }
    }

    fn nominate_best(&mut self, now: Instant) {
        let fresh = |check: &&mut Check| check.valid.is_some_and(|valid| now < valid + 2 * KEEP);
        for check in &mut self.pairs {
            check.nominate = false;
        }
        if let Some(best) = self.pairs.iter_mut().filter(fresh).max_by_key(|check| check.priority) {
            best.nominate = true;
            best.next = now;
        } else {
            // Nothing works at the moment; the next answer begins anew.
            self.first_valid = None;
        }
    }

    /// Sends what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Vec<(Pair, Bytes)>) -> Result<(), Failure> {
        match self.heard {
            Some(heard) if now >= heard + Session::CONSENT => return Err(Failure::ConsentLost),
            None if now >= self.started + Session::CONSENT => return Err(Failure::NoPath),
            Some(heard) if now >= heard + SILENT => {
                let selected = self.selected;
                let other =
                    |check: &&Check| Some(check.pair) != selected && check.valid.is_some_and(|valid| valid > heard);
                if self.pairs.iter().any(|check| other(&check)) {
                    for check in self.pairs.iter_mut().filter(|check| Some(check.pair) == selected) {
                        check.valid = None;
                    }
                    if !self.pairs.iter().any(|check| check.nominate && Some(check.pair) != selected) {
                        self.nominate_best(now);
                    }
                }
            }
            _ => self.decide(now),
        }
        for check in &mut self.pairs {
            if now < check.next {
                continue;
            }
            let nomination = if check.nominate { Nomination::Asked } else { Nomination::NotAsked };
            let transaction = Transaction(self.random.transaction());
            if check.open.len() >= OPEN_CHECKS {
                check.open.remove(0);
            }
            check.open.push((transaction, nomination));
            let request = check::Request {
                transaction,
                local: &self.local,
                remote: &self.remote,
                priority: check.priority,
                tie_breaker: self.tie_breaker,
                nominate: check.nominate,
            };
            out.push((check.pair, request.write()));
            // Until the answer comes: soon again where it matters, ever slower elsewhere.
            let pause = if Some(check.pair) == self.selected || check.nominate { REPEAT_SELECTED } else { check.pause };
            check.next = now + pause;
            check.pause = (check.pause * 2).min(KEEP);
        }
        Ok(())
    }

    pub(crate) fn deadline(&self) -> Instant {
        let lost = self.heard.unwrap_or(self.started) + Session::CONSENT;
        let nominated = self.pairs.iter().any(|check| check.nominate);
        let patience = self.first_valid.filter(|_| !nominated).map(|first| first + PATIENCE);
        let next = self.pairs.iter().map(|check| check.next).chain(patience).min();
        next.map_or(lost, |next| next.min(lost))
    }

    fn check(&self, pair: Option<Pair>) -> Option<&Check> {
        let pair = pair?;
        self.pairs.iter().find(|check| check.pair == pair)
    }

    pub(crate) fn selected(&self) -> Option<Pair> {
        self.selected
    }

    /// DTLS is taken from where a check was answered, under these credentials or those before.
    pub(crate) fn is_checked(&self, pair: Pair) -> bool {
        self.selected == Some(pair) || self.check(Some(pair)).is_some_and(|check| check.valid.is_some())
    }

    pub(crate) fn local_ufrag(&self) -> &str {
        &self.local.ufrag
    }
}

/// From a seed: transaction ids only have to differ; what nobody may guess is the password.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        splitmix::next(&mut self.0)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn transaction(&mut self) -> [u8; 12] {
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.next().to_be_bytes());
        id[8..].copy_from_slice(&self.next().to_be_bytes()[..4]);
        id
    }
}
