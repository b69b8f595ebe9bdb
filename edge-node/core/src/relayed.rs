//! TURN at the shard's port: a relayed address is one more address of a peer.
//!
//! ```text
//!   in    Send, ChannelData ─▶ turn ─▶ ToSelf{relayed, own} ─▶ demux as if it came from `relayed` to `own`
//!   out   batch to `relayed` ─▶ each datagram of it wrapped ─▶ one batch to the client behind
//! ```
//!
//! A TURN client is sent to its room's shard before anybody knows on which shard it will be taken in. When that is another
//! one, relayed datagrams change shards: in by [`Aside::Relayed`], and out by [`Aside::ToRelayed`] the way they came. Each shard
//! gives out ports of its own, so that a relayed address means one client on the whole node.

use crate::config::Config;
use crate::demux::Pairs;
use crate::door::{Aside, Event};
use crate::draw::Draw;
use crate::drops::DoorDrop;
use crate::shard::{Alarm, Shard, Traffic, transmit};
use crate::turn::{self, Output, Relay};
use bytes::Bytes;
use lyceum_media::downlink::{self, Outlet, Route};
use lyceum_relay_core::machine::Wire;
use lyceum_session::Pair;
use std::net::SocketAddr;
use std::time::Instant;

/// The server, when it is on.
pub(crate) fn server(config: &Config, draw: &mut Draw, now: Instant) -> Option<turn::Server> {
    let settings = config.turn.as_ref()?;
    let config_of_turn = turn::Config {
        realm: settings.realm.clone(),
        secret: settings.secret.0.clone(),
        own: config.candidates.clone(),
        siblings: config.siblings.iter().map(|sibling| (sibling.shard, sibling.candidates.clone())).collect(),
        allowed: settings.allowed.clone(),
        ports: settings.ports.clone(),
        seed: draw.bytes(),
    };
    Some(turn::Server::new(config_of_turn, config.unix_ms, now))
}

impl Shard {
    /// STUN that is no check of a peer, or ChannelData.
    pub(crate) fn turn_datagram(&mut self, pair: Pair, bytes: &mut [u8], now: Instant) {
        let Some(turn) = &mut self.turn else { return self.drops.count(DoorDrop::TurnOff) };
        match turn.handle(pair.remote, pair.local, bytes, now) {
            Some(Relay::ToSelf { relayed, own, payload }) => {
                if let Some(inner) = bytes.get_mut(payload) {
                    self.demux_relayed(Pair { local: own, remote: relayed }, inner, now);
                }
            }
            Some(Relay::ToShard { shard, relayed, own, payload }) => {
                if let Some(inner) = bytes.get(payload) {
                    let aside = Aside::Relayed { relayed, own, payload: Bytes::copy_from_slice(inner) };
                    self.events.push_back(Event::Aside { from: self.config.shard, shard, aside });
                }
            }
            Some(Relay::ToClient { to, wrap, payload }) => {
                if let Some(inner) = bytes.get(payload) {
                    let mut whole = Vec::with_capacity(wrap.total(inner.len()));
                    wrap.write(inner, &mut whole);
                    self.outbox.push((Pair { local: to.local, remote: to.address }, whole.into()));
                }
            }
            Some(Relay::ToPeer { relayed, peer, payload }) => {
                if let Some(inner) = bytes.get(payload) {
                    let payload = Bytes::copy_from_slice(inner);
                    self.events.push_back(Event::TurnSend { relayed, peer, payload });
                }
            }
            None => {}
        }
        self.settle_turn();
    }

    /// A peer outside answers a client.
    pub(crate) fn turn_received(&mut self, relayed: SocketAddr, peer: SocketAddr, payload: &[u8], now: Instant) {
        let Some(turn) = &mut self.turn else { return };
        if let Some(turn::ToClient { to, wrap }) = turn.from_peer(relayed, peer, payload.len(), now) {
            let mut whole = Vec::with_capacity(wrap.total(payload.len()));
            wrap.write(payload, &mut whole);
            self.outbox.push((Pair { local: to.local, remote: to.address }, whole.into()));
        }
    }

    /// Another shard answers a client of ours.
    pub(crate) fn relayed_aside(&mut self, pair: Pair, bytes: &[u8], segment: usize, now: Instant) {
        let Some(turn) = &mut self.turn else { return self.drops.count(DoorDrop::RelayedAside) };
        for datagram in bytes.chunks(segment.max(1)) {
            let Some(turn::ToClient { to, wrap }) = turn.from_self(pair.remote, pair.local, datagram.len(), now) else {
                return self.drops.count(DoorDrop::RelayClosed);
            };
            let mut whole = Vec::with_capacity(wrap.total(datagram.len()));
            wrap.write(datagram, &mut whole);
            self.outbox.push((Pair { local: to.local, remote: to.address }, whole.into()));
        }
    }

    /// Time passed.
    pub(crate) fn turn_timeout(&mut self, now: Instant) {
        if let Some(turn) = &mut self.turn {
            turn.wake(now);
        }
        self.settle_turn();
    }

    fn settle_turn(&mut self) {
        let Some(turn) = &mut self.turn else { return };
        while let Some(output) = turn.poll() {
            match output {
                Output::Transmit { to, bytes } => {
                    self.outbox.push((Pair { local: to.local, remote: to.address }, bytes.into()));
                }
                Output::Open { relayed } => self.events.push_back(Event::TurnOpen { relayed }),
                Output::Close { relayed } => self.events.push_back(Event::TurnClose { relayed }),
            }
        }
        self.timers.set(Alarm::Turn, turn.deadline());
    }
}

/// Where batches leave: straight, or wrapped for the TURN client behind a relayed address.
pub(crate) struct Exit<'a> {
    pub(crate) turn: Option<&'a mut turn::Server>,
    /// This shard's number, who is behind another one, and where to leave what is for it.
    pub(crate) shard: u8,
    pub(crate) pairs: &'a Pairs,
    pub(crate) events: &'a mut std::collections::VecDeque<Event>,
    pub(crate) traffic: &'a mut Traffic,
    pub(crate) drops: &'a mut crate::drops::DoorDrops,
    /// Where wrapped batches are put together.
    pub(crate) scratch: &'a mut Vec<u8>,
    pub(crate) now: Instant,
}

impl Exit<'_> {
    /// Sends datagrams of `segment` bytes each (the last may be shorter) over a pair of addresses.
    pub(crate) fn send(&mut self, wire: &mut dyn Wire, pair: Pair, bytes: &[u8], segment: usize) {
        let segment = segment.max(1);
        if let Some(shard) = self.pairs.aside(pair) {
            let payload = Bytes::copy_from_slice(bytes);
            let aside = Aside::ToRelayed { relayed: pair.remote, own: pair.local, payload, segment };
            return self.events.push_back(Event::Aside { from: self.shard, shard, aside });
        }
        match &mut self.turn {
            Some(turn) if turn.allocations() > 0 && turn.is_relayed(pair.remote) => {
                let Some(wrapped) = wrap(turn, pair, bytes, segment, self.scratch, self.now) else {
                    return self.drops.count(DoorDrop::RelayClosed);
                };
                self.traffic.sent(self.scratch.len(), wrapped.segment);
                wire.send(transmit(wrapped.client.remote, wrapped.client.local, self.scratch, wrapped.segment));
            }
            _ => {
                self.traffic.sent(bytes.len(), segment);
                wire.send(transmit(pair.remote, pair.local, bytes, segment));
            }
        }
    }
}

/// The exit as media see it.
pub(crate) struct MediaExit<'a> {
    pub(crate) exit: Exit<'a>,
    pub(crate) wire: &'a mut dyn Wire,
}

impl Outlet for MediaExit<'_> {
    fn send(&mut self, batch: downlink::Transmit<'_>) {
        let Route { local, remote } = batch.route;
        self.exit.send(self.wire, Pair { local, remote }, batch.bytes, batch.segment_size);
    }

    fn now(&mut self) -> Instant {
        self.wire.now(self.exit.now)
    }
}

/// A batch that was wrapped.
struct Wrapped {
    client: Pair,
    segment: usize,
}

/// Wraps each datagram of a batch. What goes around is equally long for all of them, so that a batch stays one.
fn wrap(
    turn: &mut turn::Server,
    pair: Pair,
    bytes: &[u8],
    segment: usize,
    scratch: &mut Vec<u8>,
    now: Instant,
) -> Option<Wrapped> {
    scratch.clear();
    let mut wrapped = None;
    for datagram in bytes.chunks(segment) {
        let turn::ToClient { to, wrap } = turn.from_self(pair.remote, pair.local, datagram.len(), now)?;
        scratch.extend_from_slice(wrap.front());
        scratch.extend_from_slice(datagram);
        scratch.resize(scratch.len() + wrap.pad(), 0);
        let client = Pair { local: to.local, remote: to.address };
        wrapped.get_or_insert(Wrapped { client, segment: wrap.total(datagram.len()) });
    }
    wrapped
}
