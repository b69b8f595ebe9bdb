//! Tracks of other nodes: who offers them, what is subscribed of them, and what comes of it.

use super::peer::PeerIndex;
use super::{Hop, Loss};
use crate::repair::{Arrival, Gaps};
use crate::route;
use lyceum_media::frame::Frame;
use lyceum_media::room::Origin;
use lyceum_media::uplink::SenderClock;
use lyceum_media::{AudioLevel, Codec, Downlinks, Flags, Packet, SeqNo, TrackId, frame};
use lyceum_wire::dd::Templates;
use lyceum_wire::id::{Kind, NodeId, TrackName};
use lyceum_wire::link::datagram::{AUDIO_LEVEL_NONE, Body, FRAGMENTS_MAX, Part, RtpHeader};
use lyceum_wire::link::{Alias, HOPS_MAX, Layer, Message, TrackInfo};
use lyceum_wire::signal::Path;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Tracks of other nodes in one room at most: 2,000 people with all four sources.
pub const TRACKS_MAX: usize = 8192;
/// Packets of one subscription whose parts are waited for at the same time: QUIC's datagrams overtake each other by less.
const PARTIAL_MAX: usize = 4;
/// Spatial layers of a track: three bits on the wire.
const SPATIAL_MAX: usize = 8;
/// How much of a new measurement of age goes into the average: the last fifty packets count for most of it.
const AGE_WEIGHT: f32 = 1.0 / 32.0;

/// A track that can be had from other nodes.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) name: TrackName,
    pub(super) info: TrackInfo,
    offers: BTreeMap<PeerIndex, Offer>,
    chosen: PeerIndex,
    /// By spatial layer: the highest temporal layer wanted, and the subscription for it. Where layers share a sequence there is
    /// one subscription, that of the lowest, for all of them.
    wanted: [Option<u8>; SPATIAL_MAX],
    subscribed: [Option<u16>; SPATIAL_MAX],
}

#[derive(Debug)]
struct Offer {
    info: TrackInfo,
    hops: Vec<NodeId>,
    latency_ms: f32,
}

impl Remote {
    /// Whom it is taken from.
    pub(super) fn chosen(&self) -> PeerIndex {
        self.chosen
    }
}

/// One layer that comes from another node.
#[derive(Debug)]
struct Subscription {
    track: TrackId,
    /// The layer whose sequence it is …
    spatial: u8,
    /// … and up to which layer it was asked for.
    layer: Layer,
    /// Not a picture.
    sound: bool,
    peer: PeerIndex,
    /// What its dependency descriptors have said.
    templates: Templates,
    gaps: Gaps,
    partial: Vec<Partial>,
    /// Average age of packets on their first way, in milliseconds.
    age_ms: Option<f32>,
}

/// A descriptor that cannot be one.
struct BadDescriptor;

/// A packet of which not all parts have come.
#[derive(Debug)]
struct Partial {
    sequence: u64,
    last: u8,
    parts: [Option<Vec<u8>>; FRAGMENTS_MAX],
}

/// Everything that comes from other nodes.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub(super) remotes: BTreeMap<TrackId, Remote>,
    subscriptions: Vec<Option<Subscription>>,
    /// Where the search for a free subscription begins: numbers are used again as late as possible, so that what is
    /// still under way for an old one is not taken for the new one's.
    cursor: usize,
    live: usize,
    /// When the next gap is to be looked at.
    pub(super) repair_at: Option<Instant>,
    asks: Vec<u64>,
}

impl Upstream {
    pub(super) fn len(&self) -> usize {
        self.live
    }

    fn insert(&mut self, subscription: Subscription) -> Option<u16> {
        let max = usize::from(route::SUBSCRIPTIONS_MAX);
        if self.live >= max {
            return None;
        }
        // Places are opened up one after the other before any is used again.
        let at = if self.subscriptions.len() < max {
            self.subscriptions.push(None);
            self.subscriptions.len() - 1
        } else {
            (0..max)
                .map(|step| (self.cursor + step) % max)
                .find(|at| matches!(self.subscriptions.get(*at), Some(None)))?
        };
        self.cursor = (at + 1) % max;
        self.live += 1;
        if let Some(place) = self.subscriptions.get_mut(at) {
            *place = Some(subscription);
        }
        u16::try_from(at).ok()
    }

    fn find(&mut self, number: u16) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(usize::from(number))?.as_mut()
    }

    fn remove(&mut self, number: u16) -> Option<Subscription> {
        let removed = self.subscriptions.get_mut(usize::from(number))?.take()?;
        self.live -= 1;
        Some(removed)
    }

    fn look_at(&mut self, at: Option<Instant>) {
        self.repair_at = [self.repair_at, at].into_iter().flatten().min();
    }
}

impl Remote {
    /// Whose subscription a spatial layer has, and up to which layer that one shall be, if at all.
    fn subscription_for(&self, spatial: u8) -> (u8, Option<Layer>) {
        if !self.info.shared {
            let temporal = self.wanted.get(usize::from(spatial)).copied().flatten();
            return (spatial, temporal.map(|temporal| Layer { spatial, temporal }));
        }
        let each = self.wanted.iter().zip(0..).filter_map(|(temporal, spatial)| temporal.map(|t| (spatial, t)));
        let layer = each.fold(None, |highest: Option<Layer>, (spatial, temporal)| {
            Some(Layer { spatial, temporal: highest.map_or(temporal, |highest| highest.temporal.max(temporal)) })
        });
        (0, layer)
    }
}

impl Subscription {
    /// What a packet's frame is, as far as it says so.
    fn frame(&mut self, info: &TrackInfo, body: Body<'_>) -> Result<Option<Frame>, BadDescriptor> {
        if body.descriptor.is_empty() {
            return Ok(frame::of_payload(Codec::of(&info.codec), body.payload));
        }
        let simulcast = !info.shared && info.layers.len() > 1;
        frame::read(&mut self.templates, body.descriptor, simulcast).map(|reading| reading.frame).ok_or(BadDescriptor)
    }

    /// A part came. The whole packet, when it was the last that lacked; else how many packets were given up for it.
    fn join(&mut self, sequence: u64, part: Part, payload: &[u8]) -> Result<Vec<u8>, u64> {
        let mut given_up = 0;
        let at = match self.partial.iter().position(|partial| partial.sequence == sequence) {
            Some(at) => at,
            None => {
                if self.partial.len() >= PARTIAL_MAX {
                    self.partial.remove(0);
                    given_up = 1;
                }
                self.partial.push(Partial { sequence, last: part.last, parts: Default::default() });
                self.partial.len() - 1
            }
        };
        let Some(partial) = self.partial.get_mut(at) else { return Err(given_up) };
        if partial.last != part.last {
            // Sent again over a path of another datagram size: begin anew.
            *partial = Partial { sequence, last: part.last, parts: Default::default() };
        }
        if let Some(place) = partial.parts.get_mut(usize::from(part.index)) {
            *place = Some(payload.to_vec());
        }
        let count = usize::from(part.last) + 1;
        if partial.parts.iter().take(count).any(Option::is_none) {
            return Err(given_up);
        }
        let whole = partial.parts.iter().take(count).flatten().flatten().copied().collect();
        self.partial.remove(at);
        Ok(whole)
    }
}

impl Hop {
    // ── Offers ──────────────────────────────────────────────────────────────────────────────────────────────────

    /// A node says that a track can be had from it.
    pub(super) fn announced(
        &mut self,
        from: PeerIndex,
        info: TrackInfo,
        hops: Vec<NodeId>,
        latency_ms: f32,
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get(from.0) else { return };
        let repeated = hops.iter().enumerate().any(|(at, hop)| hops.iter().skip(at + 1).any(|other| other == hop));
        // Another part of this node says which nodes a track passed before this one: none, when it was published here.
        let ends_there = peer.part.is_some() || hops.last() == Some(&peer.node);
        let refused = if hops.contains(&self.config.node) {
            Some(Loss::WouldLoop)
        } else if hops.len() > HOPS_MAX || !ends_there || repeated || !latency_ms.is_finite() {
            Some(Loss::BadHops)
        } else {
            None
        };
        let known = self.room.track(&info.name);
        if let Some(reason) = refused {
            self.stats.lose(reason, 1);
            // What it offered before it no longer offers.
            return self.withdrawn(from, &info.name, downlinks, now);
        }
        let offer = Offer { info: info.clone(), hops, latency_ms };
        match known.filter(|track| self.upstream.remotes.contains_key(track)) {
            Some(track) => {
                if let Some(remote) = self.upstream.remotes.get_mut(&track) {
                    remote.offers.insert(from, offer);
                }
                self.choose(track, downlinks, now);
            }
            // One of our own publishers' tracks cannot come from elsewhere.
            None if known.is_some() => self.stats.lose(Loss::WouldLoop, 1),
            None if self.upstream.remotes.len() >= TRACKS_MAX => self.stats.lose(Loss::TooMany, 1),
            None => {
                let track = self.room.publish(&info, Origin::Link, downlinks, now);
                let remote = Remote {
                    name: info.name.clone(),
                    info,
                    offers: BTreeMap::from([(from, offer)]),
                    chosen: from,
                    wanted: [None; SPATIAL_MAX],
                    subscribed: [None; SPATIAL_MAX],
                };
                self.upstream.remotes.insert(track, remote);
                self.paths.changed(now);
                self.announce_everywhere(track);
            }
        }
    }

    /// A node no longer offers a track.
    pub(super) fn withdrawn(&mut self, from: PeerIndex, name: &TrackName, downlinks: &mut Downlinks, now: Instant) {
        let Some(track) = self.room.track(name) else { return };
        if let Some(remote) = self.upstream.remotes.get_mut(&track)
            && remote.offers.remove(&from).is_some()
        {
            self.choose(track, downlinks, now);
        }
    }

    /// Nothing can be had from a node any more.
    pub(super) fn withdraw_all(&mut self, from: PeerIndex, downlinks: &mut Downlinks, now: Instant) {
        let tracks: Vec<TrackId> = self.upstream.remotes.keys().copied().collect();
        for track in tracks {
            if let Some(remote) = self.upstream.remotes.get_mut(&track)
                && remote.offers.remove(&from).is_some()
            {
                self.choose(track, downlinks, now);
            }
        }
    }

    /// Takes the best offer: the shortest way, of equal ones the quickest. The one in use stays unless a shorter way
    /// is offered, so that measurements do not make it jump.
    fn choose(&mut self, track: TrackId, downlinks: &mut Downlinks, now: Instant) {
        let Some(remote) = self.upstream.remotes.get_mut(&track) else { return };
        let length = |peer: &PeerIndex| remote.offers.get(peer).map(|offer| offer.hops.len());
        let one_way = |peer: &PeerIndex| self.peers.get(peer.0).map_or(0.0, |peer| peer.one_way_ms());
        let best = remote
            .offers
            .iter()
            .min_by(|(a, x), (b, y)| {
                let (x_ms, y_ms) = (x.latency_ms + one_way(a), y.latency_ms + one_way(b));
                x.hops.len().cmp(&y.hops.len()).then(x_ms.total_cmp(&y_ms)).then(a.cmp(b))
            })
            .map(|(peer, _)| *peer);
        let Some(best) = best else { return self.lost(track, downlinks, now) };
        let before = remote.chosen;
        let stays = length(&before).is_some_and(|in_use| length(&best).is_some_and(|better| in_use <= better));
        let chosen = if stays { before } else { best };
        remote.chosen = chosen;
        let Some(info) = remote.offers.get(&chosen).map(|offer| offer.info.clone()) else { return };
        if info.codec != remote.info.codec || info.kind != remote.info.kind {
            // Not the same track any more, whatever its name says.
            let offers = std::mem::take(&mut remote.offers);
            self.lost(track, downlinks, now);
            for (peer, offer) in offers {
                self.announced(peer, offer.info, offer.hops, offer.latency_ms, downlinks, now);
            }
            return;
        }
        let news = remote.info != info;
        remote.info = info.clone();
        if news {
            self.room.update(track, &info, downlinks, now);
        }
        if chosen != before {
            self.move_over(track);
            self.paths.changed(now);
        }
        if news || chosen != before {
            self.announce_everywhere(track);
        }
    }

    /// Subscribes at the chosen node what was subscribed elsewhere: first the new, then the old ends.
    fn move_over(&mut self, track: TrackId) {
        let Some(remote) = self.upstream.remotes.get_mut(&track) else { return };
        let old: Vec<u16> = remote.subscribed.iter_mut().filter_map(Option::take).collect();
        let wanted = remote.wanted;
        for (spatial, temporal) in wanted.iter().enumerate() {
            self.demanded(track, spatial as u8, *temporal);
        }
        for number in old {
            self.end_subscription(number);
        }
    }

    /// The track cannot be had any more.
    fn lost(&mut self, track: TrackId, downlinks: &mut Downlinks, now: Instant) {
        let Some(remote) = self.upstream.remotes.remove(&track) else { return };
        for number in remote.subscribed.into_iter().flatten() {
            self.end_subscription(number);
        }
        self.unannounce_everywhere(track, &remote.name);
        self.unserve_track(track);
        self.room.unpublish(track, downlinks, now);
        self.paths.changed(now);
    }

    // ── Subscriptions ───────────────────────────────────────────────────────────────────────────────────────────

    /// What all sinks and taps of this node want of a layer changed. False: not a track of another node.
    pub(super) fn demanded(&mut self, track: TrackId, spatial: u8, temporal: Option<u8>) -> bool {
        let Some(remote) = self.upstream.remotes.get_mut(&track) else { return false };
        if let Some(wanted) = remote.wanted.get_mut(usize::from(spatial)) {
            *wanted = temporal.map(|temporal| temporal.min(7));
        }
        let (line, layer) = remote.subscription_for(spatial);
        let Some(subscribed) = remote.subscribed.get_mut(usize::from(line)) else { return true };
        let (name, peer) = (remote.name.clone(), remote.chosen);
        match (layer, *subscribed) {
            (None, Some(number)) => {
                *subscribed = None;
                self.end_subscription(number);
            }
            (Some(layer), Some(number)) => {
                let Some(known) = self.upstream.find(number) else { return true };
                if known.layer != layer {
                    known.layer = layer;
                    self.subscribe(peer, name, layer, number);
                }
            }
            (Some(layer), None) => {
                let made = Subscription {
                    track,
                    spatial: line,
                    layer,
                    sound: remote.info.kind == Kind::Audio,
                    peer,
                    templates: Templates::default(),
                    gaps: Gaps::default(),
                    partial: Vec::new(),
                    age_ms: None,
                };
                let Some(number) = self.upstream.insert(made) else {
                    self.stats.lose(Loss::TooMany, 1);
                    return true;
                };
                if let Some(remote) = self.upstream.remotes.get_mut(&track)
                    && let Some(subscribed) = remote.subscribed.get_mut(usize::from(line))
                {
                    *subscribed = Some(number);
                }
                self.subscribe(peer, name, layer, number);
            }
            (None, None) => {}
        }
        true
    }

    fn subscribe(&mut self, peer: PeerIndex, track: TrackName, layer: Layer, number: u16) {
        let (room, alias) = (self.config.room.clone(), self.alias(number));
        self.say(peer, Message::Subscribe { room, track, layer, alias });
    }

    fn end_subscription(&mut self, number: u16) {
        let alias = self.alias(number);
        if let Some(ended) = self.upstream.remove(number) {
            let room = self.config.room.clone();
            self.say(ended.peer, Message::Unsubscribe { room, alias });
        }
    }

    /// A key frame is needed of another node's track. False: not another node's.
    pub(super) fn ask_key_frame(&mut self, track: TrackId, spatial: u8) -> bool {
        let Some(remote) = self.upstream.remotes.get(&track) else { return false };
        let (line, _) = remote.subscription_for(spatial);
        let number = remote.subscribed.get(usize::from(line)).copied().flatten();
        if let Some(number) = number {
            let (room, alias, peer) = (self.config.room.clone(), self.alias(number), remote.chosen);
            self.stats.key_frames_asked += 1;
            self.say(peer, Message::KeyFrame { room, alias });
        }
        true
    }

    fn alias(&self, number: u16) -> Alias {
        route::alias(self.config.shard, self.config.slot, number)
    }

    /// A node says where a layer's timestamps stand.
    pub(super) fn clock_told(&mut self, from: PeerIndex, alias: Alias, timestamp: u32, sampled_us: i64, now: Instant) {
        let Some(known) = self.upstream.find(route::subscription(alias)).filter(|known| known.peer == from) else {
            return;
        };
        let (track, spatial) = (known.track, known.spatial);
        if let Some(at) = self.peers.get_mut(from.0).and_then(|peer| peer.moment(sampled_us, now)) {
            let clock = SenderClock { track, spatial, timestamp, at };
            self.room.sender_clock(clock);
            self.spread_clock(clock);
        }
    }

    // ── Packets ─────────────────────────────────────────────────────────────────────────────────────────────────

    /// A part of a packet came.
    pub(super) fn part(
        &mut self,
        from: PeerIndex,
        header: &RtpHeader,
        part: Part,
        payload: &[u8],
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let known = self.upstream.find(route::subscription(header.alias)).filter(|known| known.peer == from);
        let Some(known) = known else { return self.stats.lose(Loss::UnknownAlias, 1) };
        match known.join(header.sequence, part, payload) {
            Ok(whole) => self.packet(from, header, &whole, downlinks, now),
            Err(given_up) => self.stats.lose(Loss::PartsMissing, given_up),
        }
    }

    /// A packet came: noted, its gaps noted, handed on.
    pub(super) fn packet(
        &mut self,
        from: PeerIndex,
        header: &RtpHeader,
        body: &[u8],
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let one_way = self.peers.get(from.0).map_or(Duration::ZERO, |peer| peer.one_way());
        let number = route::subscription(header.alias);
        let ours = self.alias(number) == header.alias;
        let Upstream { subscriptions, remotes, .. } = &mut self.upstream;
        let known = subscriptions.get_mut(usize::from(number)).and_then(Option::as_mut);
        let known = known.filter(|known| ours && known.peer == from);
        let Some((known, info)) = known.and_then(|known| remotes.get(&known.track).map(|remote| (known, &remote.info)))
        else {
            return self.stats.lose(Loss::UnknownAlias, 1);
        };
        let Ok(Body { descriptor, payload }) = Body::parse(header.flags, body) else {
            return self.stats.lose(Loss::Malformed, 1);
        };
        if header.layer.spatial != known.spatial && !info.shared {
            return self.stats.lose(Loss::Malformed, 1);
        }
        let (track, missing_before) = (known.track, known.gaps.missing());
        // On sound, S says that the voice has come up again, `back` packets before.
        let (arrival, comes_up) = if known.sound && header.flags.start {
            let first = header.sequence.saturating_sub(u64::from(header.back));
            known.gaps.resumed(header.sequence, first, now)
        } else {
            (known.gaps.arrived(header.sequence, header.back, now), false)
        };
        let start = if known.sound { comes_up } else { header.flags.start };
        let age = Duration::from_micros(u64::from(header.age_eighths_ms) * 125) + one_way;
        if !header.flags.repair {
            let measured = age.as_secs_f32() * 1000.0;
            known.age_ms = Some(known.age_ms.map_or(measured, |average| average + (measured - average) * AGE_WEIGHT));
        }
        let look_at = if known.gaps.missing() > missing_before { known.gaps.deadline() } else { None };
        let frame = known.frame(info, Body { descriptor, payload });
        self.upstream.look_at(look_at);
        match arrival {
            Arrival::New { outage: 0 } => {}
            Arrival::New { outage } => {
                self.stats.lose(Loss::GapTooWide, outage);
                self.room.key_frame(track, header.layer.spatial, now);
            }
            Arrival::Repaired => self.stats.repaired += 1,
            Arrival::Duplicate => return self.stats.lose(Loss::Duplicate, 1),
            Arrival::TooOld => return self.stats.lose(Loss::TooOld, 1),
        }
        let Ok(frame) = frame else { return self.stats.lose(Loss::Malformed, 1) };
        let level = (header.audio_level != AUDIO_LEVEL_NONE)
            .then_some(AudioLevel { minus_dbov: header.audio_level & 0x7f, voice: header.audio_level & 0x80 != 0 });
        let packet = Packet {
            track,
            layer: header.layer,
            seq: SeqNo(header.sequence),
            timestamp: header.timestamp,
            marker: header.flags.marker,
            flags: Flags {
                keyframe: header.flags.key_frame,
                start,
                end: header.flags.end,
                discardable: header.flags.discardable,
                redundant: header.flags.redundant,
            },
            frame,
            descriptor,
            level,
            arrived: now,
            age,
            payload,
        };
        self.spread(&packet, downlinks, now);
    }

    /// Asks for what is missing and due.
    pub(super) fn ask_again(&mut self, now: Instant) {
        if self.upstream.repair_at.is_none_or(|at| at > now) {
            return;
        }
        self.upstream.repair_at = None;
        let (room_key, shard, slot) = (self.room_key, self.config.shard, self.config.slot);
        let Self { upstream, peers, stats, .. } = self;
        let mut next: Option<Instant> = None;
        for (number, known) in upstream.subscriptions.iter_mut().enumerate() {
            let Some(known) = known.as_mut().filter(|known| known.gaps.missing() > 0) else { continue };
            let Some(peer) = peers.get_mut(known.peer.0) else { continue };
            let Some(link) = peer.link else { continue };
            upstream.asks.clear();
            let given_up = known.gaps.due(link.rtt, now, &mut upstream.asks);
            stats.lose(Loss::NotRepaired, given_up);
            stats.asked += upstream.asks.len() as u64;
            let alias = route::alias(shard, slot, number as u16);
            peer.queue.nacks(room_key, alias, &upstream.asks, link.datagram_bytes_max);
            next = [next, known.gaps.deadline()].into_iter().flatten().min();
        }
        upstream.look_at(next);
    }

    // ── Paths ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Nodes a track has passed, this one last.
    pub(super) fn hops_of(&self, track: TrackId) -> Option<Vec<NodeId>> {
        let Some(remote) = self.upstream.remotes.get(&track) else { return Some(vec![self.config.node.clone()]) };
        let mut hops = remote.offers.get(&remote.chosen)?.hops.clone();
        hops.push(self.config.node.clone());
        Some(hops)
    }

    /// One-way latency from a track's origin to here: as measured on its packets, else as announced.
    pub(super) fn latency_of(&self, track: TrackId) -> f32 {
        let Some(remote) = self.upstream.remotes.get(&track) else { return 0.0 };
        let measured = |number: &u16| self.upstream.subscriptions.get(usize::from(*number))?.as_ref()?.age_ms;
        let best = remote.subscribed.iter().flatten().filter_map(measured).min_by(f32::total_cmp);
        best.unwrap_or_else(|| {
            let announced = remote.offers.get(&remote.chosen).map_or(0.0, |offer| offer.latency_ms);
            announced + self.peers.get(remote.chosen.0).map_or(0.0, |peer| peer.one_way_ms())
        })
    }

    /// The way of each remote participant's tracks.
    pub(super) fn paths_now(&self) -> Vec<Path> {
        let mut paths: BTreeMap<_, Path> = BTreeMap::new();
        for (track, remote) in &self.upstream.remotes {
            let Some(hops) = self.hops_of(*track) else { continue };
            // From one part of this node to another is no way that anybody could feel.
            let latency_ms = if hops.len() > 1 { self.latency_of(*track) } else { 0.0 };
            let hops = hops.into_iter().map(|node| self.hop_named(node)).collect();
            let path = Path { participant: remote.name.participant.clone(), hops, latency_ms };
            match paths.get_mut(&remote.name.participant) {
                // Sound and picture go the same way; what is measured on either is right.
                Some(known) if known.latency_ms <= path.latency_ms => {}
                _ => {
                    paths.insert(remote.name.participant.clone(), path);
                }
            }
        }
        paths.into_values().collect()
    }
}
