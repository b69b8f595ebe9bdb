//! Which track is in which slot of whom, and which layer of it.

use super::air::{PREROLL, preroll};
use super::share::Shared;
use super::state::{PENDING_MAX, Sink, Track};
use super::{Assigned, Event, Room, find_mut};
use crate::downlink::{DownlinkId, Downlinks, SlotIndex, Terms, Turn};
use crate::drop::Drops;
use crate::frame;
use crate::packet::{Codec, Packet, TrackId};
use crate::seq::SeqNo;
use crate::sink::select::{TileSize, choose};
use crate::sink::{Begin, Offer};
use crate::slot;
use crate::speaker::Ranking;
use crate::track::Meaning;
use arrayvec::ArrayVec;
use lyceum_wire::dd::Templates;
use lyceum_wire::id::{Kind, ParticipantId, Source, TrackName};
use lyceum_wire::link::TrackInfo;
use lyceum_wire::signal::{SlotKind, Tile};
use std::collections::BTreeSet;
use std::time::Instant;

/// Somebody of this node who receives.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) participant: ParticipantId,
    /// What it shows; none before it said.
    pub(super) view: Option<Vec<Tile>>,
    /// It has slots for sound.
    pub(super) listens: bool,
    /// Whose voices it hears in any case, most important first.
    pins: Vec<ParticipantId>,
    /// Which track feeds each slot.
    fed: Vec<Option<TrackId>>,
    /// Its transport was seen ready: until then what it should have got was dropped.
    connected: bool,
    /// How its budget is shared out.
    pub(super) shared: Shared,
    /// What its client was told of each slot.
    told: Vec<Told>,
}

/// What a client knows of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Told {
    track: Option<TrackId>,
    paused: bool,
}

impl Member {
    pub(super) fn new(participant: ParticipantId) -> Self {
        Self {
            participant,
            view: None,
            listens: false,
            pins: Vec::new(),
            fed: Vec::new(),
            connected: false,
            shared: Shared::default(),
            told: Vec::new(),
        }
    }

    /// The tracks in its slots, each once.
    pub(super) fn fed(&self) -> Vec<TrackId> {
        let mut fed: Vec<TrackId> = self.fed.iter().flatten().copied().collect();
        fed.sort_unstable();
        fed.dedup();
        fed
    }

    /// Another track feeds a slot from now on, or none.
    pub(super) fn feed(&mut self, slot: SlotIndex, track: Option<TrackId>) {
        let at = usize::from(slot.0);
        if self.fed.len() <= at {
            self.fed.resize(at + 1, None);
        }
        self.fed[at] = track;
    }
}

impl Room {
    /// The slots are other ones: sinks are made anew from what the slots still carry, then the free ones are filled.
    pub(super) fn readopt(&mut self, downlink: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        let Some(state) = downlinks.find(downlink) else { return };
        let listens = state.slots.iter().any(|slot| slot.spec.kind == SlotKind::Audio);
        let carried: Vec<_> = state.slots.iter().map(|slot| slot.track).collect();
        let Some(mut member) = self.members.remove(&downlink) else { return };
        let pins = member.pins.clone();
        self.hears(&mut member, listens, pins, now);
        // Whatever they carry is told again: mids may mean something else now.
        member.told = vec![Told::default(); carried.len()];
        let mut touched = member.fed();
        member.fed = carried.clone();
        touched.extend(member.fed());
        touched.sort_unstable();
        touched.dedup();
        self.members.insert(downlink, member);
        for id in touched {
            let Some(track) = find_mut(&mut self.tracks, id) else { continue };
            track.sinks.retain(|sink| sink.downlink != downlink);
            for (at, _) in carried.iter().enumerate().filter(|(_, carried)| **carried == Some(id)) {
                track.sinks.push(Sink { downlink, slot: SlotIndex(at as u16), mask: 0, needs: 0 });
            }
            self.aim_member(id, downlink, downlinks, now);
        }
        // A slot may carry a track that is gone, or that it cannot carry any more.
        for (at, track) in carried.iter().enumerate() {
            let Some(id) = *track else { continue };
            let codec = self.find(id).map(|track| track.codec);
            let Some(slot) = downlinks.slot_mut(downlink, SlotIndex(at as u16)) else { continue };
            if codec.is_none_or(|codec| !slot.takes(codec)) {
                self.put(downlink, SlotIndex(at as u16), None, downlinks);
            }
        }
        self.assign(downlink, Kind::Video, downlinks, now);
        self.assign(downlink, Kind::Audio, downlinks, now);
    }

    /// A track came: whom it concerns is looked at. Those are who show it, who have said nothing yet and have a free slot, and for a
    /// voice who pinned it.
    pub(super) fn offer_to_members(&mut self, info: &TrackInfo, downlinks: &mut Downlinks, now: Instant) {
        let kinds = slot_kinds(info.kind);
        let free = |downlink: &DownlinkId| {
            let slots = downlinks.find(*downlink).into_iter().flat_map(|state| &state.slots);
            slots.into_iter().any(|slot| slot.track.is_none() && kinds.contains(&slot.spec.kind))
        };
        let concerned: Vec<DownlinkId> = match info.kind {
            Kind::Audio if self.ears.is_pinned(&info.name.participant) => self.members.keys().copied().collect(),
            Kind::Audio => self.members.keys().copied().filter(free).collect(),
            Kind::Video => {
                let watchers = self.watchers.get(&info.name).into_iter().flatten().copied();
                let unsaid = self.members.iter().filter(|(id, member)| member.view.is_none() && free(id));
                watchers.chain(unsaid.map(|(id, _)| *id)).collect()
            }
        };
        self.assign_each(&concerned, info.kind, downlinks, now);
    }

    /// Somebody began or ceased to speak: all listeners' slots are looked at.
    fn assign_listeners(&mut self, downlinks: &mut Downlinks, now: Instant) {
        let listeners: Vec<_> = self.members.iter().filter(|(_, m)| m.listens).map(|(id, _)| *id).collect();
        self.assign_each(&listeners, Kind::Audio, downlinks, now);
    }

    fn assign_each(&mut self, whose: &[DownlinkId], kind: Kind, downlinks: &mut Downlinks, now: Instant) {
        let ranking = if kind == Kind::Audio { self.speakers.ranking() } else { Ranking::default() };
        for downlink in whose {
            self.assign_ranked(*downlink, kind, &ranking, downlinks, now);
        }
    }

    /// Fills one member's slots of a kind, and tells what changed.
    pub(super) fn assign(&mut self, downlink: DownlinkId, kind: Kind, downlinks: &mut Downlinks, now: Instant) {
        self.assign_each(&[downlink], kind, downlinks, now);
    }

    fn assign_ranked(
        &mut self,
        downlink: DownlinkId,
        kind: Kind,
        ranking: &Ranking,
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let (Some(member), Some(state)) = (self.members.get(&downlink), downlinks.find(downlink)) else { return };
        let (mut changes, mut tiles) = (Vec::new(), Vec::new());
        for slot_kind in slot_kinds(kind) {
            let of_kind = |at: &usize| state.slots[*at].spec.kind == *slot_kind;
            let places: Vec<usize> = (0..state.slots.len()).filter(of_kind).collect();
            let Some(first) = places.first().copied() else { continue };
            let takes = |codec: Codec| state.slots[first].takes(codec);
            let before: Vec<_> = places.iter().map(|at| state.slots[*at].track).collect();
            let after = match slot_kind {
                SlotKind::Audio => {
                    let may = |track| self.may_have(member, track, &takes);
                    let voices = ranking.contenders(before.iter().flatten().copied(), may);
                    slot::voices(&before, &voices, &self.pinned(member, may))
                }
                SlotKind::Video | SlotKind::Screen => {
                    let wanted = self.wanted(member, *slot_kind, &takes);
                    let ids: Vec<_> = wanted.iter().map(|wanted| wanted.id).collect();
                    tiles.extend(wanted);
                    slot::settle(&before, &ids)
                }
            };
            for ((at, before), after) in places.into_iter().zip(before).zip(after) {
                if before != after {
                    changes.push(Change { slot: SlotIndex(at as u16), before, after });
                }
            }
        }
        // First all that go, then all that come: a track moves from slot to slot in one step.
        for change in &changes {
            self.put(downlink, change.slot, None, downlinks);
        }
        for change in changes.iter().filter(|change| change.after.is_some()) {
            self.put(downlink, change.slot, change.after, downlinks);
        }
        let mut touched: Vec<TrackId> = changes.iter().flat_map(|c| [c.before, c.after]).flatten().collect();
        for Wanted { id, tile, place, pinned } in tiles {
            let Some(track) = find_mut(&mut self.tracks, id) else { continue };
            for sink in track.sinks.iter().filter(|sink| sink.downlink == downlink) {
                let Some(slot) = downlinks.slot_mut(downlink, sink.slot) else { continue };
                (slot.portion.place, slot.portion.pinned) = (place, pinned);
                if slot.portion.tile != tile {
                    slot.portion.tile = tile;
                    touched.push(id);
                }
            }
        }
        self.share(downlink, &mut touched, downlinks, now);
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            self.aim_member(id, downlink, downlinks, now);
        }
        self.tell(downlink, downlinks);
    }

    /// The voices a member hears in any case, as far as they are here.
    fn pinned(&self, member: &Member, may: impl Fn(TrackId) -> bool) -> Vec<TrackId> {
        let voice = |participant: &ParticipantId| {
            self.track(&TrackName { participant: participant.clone(), source: Source::Microphone })
        };
        member.pins.iter().filter_map(voice).filter(|track| may(*track)).collect()
    }

    /// What a member wants in its picture slots of a kind, most important first: what it shows, or everything before it said.
    fn wanted(&self, member: &Member, kind: SlotKind, takes: &impl Fn(Codec) -> bool) -> Vec<Wanted> {
        let source = if kind == SlotKind::Screen { Source::Screen } else { Source::Camera };
        match &member.view {
            Some(tiles) => tiles
                .iter()
                .enumerate()
                .filter(|(_, tile)| tile.track.source == source)
                .filter_map(|(place, tile)| {
                    let id = self.track(&tile.track).filter(|id| self.may_have(member, *id, takes))?;
                    let size = TileSize { width: tile.width, height: tile.height };
                    Some(Wanted { id, tile: size, place: Some(place as u16), pinned: tile.pinned })
                })
                .collect(),
            None => {
                let tile = if kind == SlotKind::Screen { SCREEN_UNKNOWN } else { TILE_UNKNOWN };
                let of_source = |id: &TrackId| self.find(*id).is_some_and(|t| t.info.name.source == source);
                let ids = self.order.iter().copied().filter(of_source);
                let ids = ids.filter(|id| self.may_have(member, *id, takes));
                ids.map(|id| Wanted { id, tile, place: None, pinned: false }).collect()
            }
        }
    }

    /// Never oneself, and only what the slot can carry.
    fn may_have(&self, member: &Member, id: TrackId, takes: &impl Fn(Codec) -> bool) -> bool {
        self.find(id).is_some_and(|track| track.info.name.participant != member.participant && takes(track.codec))
    }

    /// Puts a track into a slot, or nothing.
    fn put(&mut self, downlink: DownlinkId, slot: SlotIndex, track: Option<TrackId>, downlinks: &mut Downlinks) {
        let Some(state) = downlinks.slot_mut(downlink, slot) else { return };
        if let Some(member) = self.members.get_mut(&downlink) {
            member.feed(slot, track);
        }
        if let Some(old) = state.track.and_then(|old| find_mut(&mut self.tracks, old)) {
            old.sinks.retain(|sink| (sink.downlink, sink.slot) != (downlink, slot));
        }
        match track.and_then(|id| find_mut(&mut self.tracks, id)) {
            Some(track) => {
                state.assign(Some((track.id, track.codec)), track.csrc);
                state.portion.tile = TILE_UNKNOWN;
                track.sinks.push(Sink { downlink, slot, mask: 0, needs: 0 });
            }
            None => state.assign(None, 0),
        }
    }

    /// Chooses the layer of one member's slot with this track.
    pub(super) fn aim_member(&mut self, id: TrackId, downlink: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        for at in 0..track.sinks.len() {
            if track.sinks[at].downlink == downlink
                && let Some(spatial) = aim(track, at, downlinks, &mut self.drops, now)
            {
                track.wish(spatial, &mut self.events, now);
            }
        }
        self.settle(id, now);
    }

    /// Chooses layers for all of a track's slots.
    pub(super) fn retarget(&mut self, id: TrackId, downlinks: &mut Downlinks, now: Instant) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        (track.seen_usable, track.seen_flowing) = (track.usable(now), track.flowing(now));
        for at in 0..track.sinks.len() {
            if let Some(spatial) = aim(track, at, downlinks, &mut self.drops, now) {
                track.wish(spatial, &mut self.events, now);
            }
        }
        self.settle(id, now);
    }

    /// A layer began to flow, or its pictures have another size.
    pub(super) fn layer_changed(&mut self, id: TrackId, resized: bool, downlinks: &mut Downlinks, now: Instant) {
        self.share_anew(id);
        self.retarget(id, downlinks, now);
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        if resized && track.measure(true, now) && track.origin == super::Origin::Local {
            let layers = track.info.layers.clone();
            self.events.push_back(Event::Layers { track: id, layers });
        }
    }

    /// Streams began with the last packet, or wait for a key frame: joiners get what the cache has, the rest wishes.
    pub(super) fn streams_changed(
        &mut self,
        id: TrackId,
        spatial: u8,
        awaits: bool,
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        let mut wish = awaits && track.taps.iter().any(|tap| !tap.begun && tap.layer.spatial == spatial);
        for at in 0..track.sinks.len() {
            if let Some(waiting) = aim(track, at, downlinks, &mut self.drops, now) {
                wish |= waiting == spatial;
            }
        }
        if wish {
            track.wish(spatial, &mut self.events, now);
        }
        self.settle(id, now);
    }

    /// Whose transport became ready: its slots begin, from the cache where that is possible.
    pub(super) fn welcome(&mut self, downlinks: &mut Downlinks, now: Instant) {
        let mut ready = Vec::new();
        for (id, member) in self.members.iter_mut().filter(|(_, member)| !member.connected) {
            member.connected = downlinks.find(*id).is_some_and(|downlink| downlink.is_ready());
            if member.connected {
                ready.push(*id);
            }
        }
        for id in ready {
            let carried = downlinks.find(id).into_iter().flat_map(|d| d.slots.iter().filter_map(|slot| slot.track));
            for track in carried.collect::<Vec<_>>() {
                self.aim_member(track, id, downlinks, now);
            }
        }
    }

    /// Who speaks, and who is heard because of it.
    pub(super) fn hear(&mut self, downlinks: &mut Downlinks, now: Instant) {
        if self.speakers.look(now) {
            let (off, on) = self.air.look(&self.speakers);
            for (tracks, on_air) in [(off, false), (on, true)] {
                for id in tracks {
                    if let Some(track) = find_mut(&mut self.tracks, id) {
                        track.on_air = on_air;
                    }
                }
            }
            self.assign_listeners(downlinks, now);
        }
        if let Some(list) = self.speakers.list(now) {
            let list = list.to_vec();
            let name = |id: &TrackId| self.find(*id).map(|track| track.info.name.participant.clone());
            let active: Vec<ParticipantId> = list.iter().filter_map(name).collect();
            self.speaking = active.first().cloned();
            self.events.push_back(Event::Speakers { active });
        }
    }

    /// It listens or not from now on, and hears these voices in any case: what is wanted of voices follows.
    pub(super) fn hears(&mut self, member: &mut Member, listens: bool, pins: Vec<ParticipantId>, now: Instant) {
        let few = self.ears.few();
        let before = std::mem::replace(&mut member.pins, pins);
        let listened = std::mem::replace(&mut member.listens, listens);
        if listens != listened {
            self.ears.listens(&member.participant, listens);
        }
        let mut touched = BTreeSet::new();
        for (pins, counts, pinned) in [(&before, listened, false), (&member.pins, listens, true)] {
            for whose in pins.iter().filter(|whose| counts && **whose != member.participant) {
                self.ears.pins(whose, pinned);
                touched.insert(whose.clone());
            }
        }
        if listens != listened && (few || self.ears.few()) {
            for at in 0..self.order.len() {
                let id = self.order[at];
                if self.find(id).is_some_and(|track| track.info.kind == Kind::Audio) {
                    self.settle(id, now);
                }
            }
        } else {
            for participant in touched {
                if let Some(id) = self.track(&TrackName { participant, source: Source::Microphone }) {
                    self.settle(id, now);
                }
            }
        }
    }

    /// It shows other tiles from now on.
    pub(super) fn watch(&mut self, downlink: DownlinkId, before: Option<Vec<Tile>>, after: Option<&[Tile]>) {
        for tile in before.into_iter().flatten() {
            if let Some(watchers) = self.watchers.get_mut(&tile.track) {
                watchers.remove(&downlink);
                if watchers.is_empty() {
                    self.watchers.remove(&tile.track);
                }
            }
        }
        for tile in after.into_iter().flatten() {
            self.watchers.entry(tile.track.clone()).or_default().insert(downlink);
        }
    }

    /// Tells a member's client what its slots carry, as far as it does not know.
    pub(super) fn tell(&mut self, downlink: DownlinkId, downlinks: &Downlinks) {
        let (Some(state), Some(member)) = (downlinks.find(downlink), self.members.get_mut(&downlink)) else { return };
        let mut changed = Vec::new();
        for (at, (slot, told)) in state.slots.iter().zip(&mut member.told).enumerate() {
            let now = Told { track: slot.track, paused: slot.track.is_some() && slot.portion.layer.is_none() };
            if now != *told {
                *told = now;
                changed.push((SlotIndex(at as u16), slot.spec.mid.clone(), now));
            }
        }
        if changed.is_empty() {
            return;
        }
        let name = |id: Option<TrackId>| id.and_then(|id| self.find(id)).map(|track| track.info.name.clone());
        let assigned = changed
            .into_iter()
            .map(|(slot, mid, Told { track, paused })| Assigned { slot, mid, track: name(track), paused })
            .collect();
        self.events.push_back(Event::Slots { downlink, assigned });
    }
}

/// Chooses the layer of one slot, and begins it from the cache where that is possible. Returns a layer whose key frame it needs.
fn aim(track: &mut Track, at: usize, downlinks: &mut Downlinks, drops: &mut Drops, now: Instant) -> Option<u8> {
    let (usable, flowing) = (track.usable(now), track.flowing(now));
    let sink = &mut track.sinks[at];
    let slot = downlinks.slot_mut(sink.downlink, sink.slot)?;
    slot.select.share(track.shared);
    let (ideal, target) = if track.info.kind == Kind::Audio {
        (Some(0), Some(0))
    } else {
        track.info.layers.clear();
        track.info.layers.extend(track.layers.iter().map(|layer| layer.observe.info(now)));
        let layers = &track.info.layers;
        let portion = slot.portion;
        let may = portion.layer.map_or(0, |layer| u8::MAX >> (7 - layer.spatial.min(7)));
        let ideal = choose(portion.tile, layers, |layer| may & 1 << layer != 0).filter(|_| may != 0);
        // Nothing shown yet: better at once what flows than later what fits. Layers that share a sequence come with one key frame.
        let at_once = slot.select.current().is_none() && flowing != 0 && !track.shared;
        let good = if at_once { flowing } else { usable };
        let target = if good & may == 0 { ideal } else { choose(portion.tile, layers, |l| good & may & 1 << l != 0) };
        if let Some(layer) = portion.layer {
            slot.select.aim_temporal(layer.temporal);
        }
        (ideal, target)
    };
    if slot.select.target() != target {
        slot.select.aim(target);
    }
    let fresh = slot.select.current().is_none();
    let awaits = slot.select.awaits();
    let mut waiting = awaits;
    match (awaits, fresh, track.codec.is_video()) {
        (Some(spatial), true, true) => match replay(track, at, spatial, downlinks, drops, now) {
            Replay::Begun => {
                let line = track.line(spatial);
                track.layers[line].replayed = Some(now);
                waiting = None;
            }
            // It begins from the cache as soon as the transport stands: no key frame is needed for that.
            Replay::NotConnected => waiting = None,
            Replay::NothingKept => {}
        },
        (Some(_), true, false) => repeat(track, at, downlinks, drops, now),
        _ => {}
    }
    let sink = &mut track.sinks[at];
    let slot = downlinks.slot_mut(sink.downlink, sink.slot)?;
    sink.mask = slot.select.mask();
    let needs = |layer: u8| if track.shared { u8::MAX >> (7 - (layer & 7)) } else { 1 << layer };
    sink.needs = slot.select.needs() | ideal.map_or(0, needs);
    // The ideal layer is wished for once it flows and becomes the target.
    if track.codec.is_video() { waiting } else { None }
}

/// What came of beginning a slot from the cache.
enum Replay {
    /// It shows what the cache had.
    Begun,
    /// The cache has it, and the transport is not ready: the room tries again when it is.
    NotConnected,
    /// The cache has no key frame that is fresh enough, or the way is too narrow for all that followed it.
    NothingKept,
}

/// Sends a joiner what the cache has from the newest key frame on.
fn replay(track: &Track, at: usize, spatial: u8, downlinks: &mut Downlinks, drops: &mut Drops, now: Instant) -> Replay {
    let Some(layer) = track.layers.get(track.line(spatial)) else { return Replay::NothingKept };
    let Some(range) = layer.cache.replay(now) else { return Replay::NothingKept };
    let sink = &track.sinks[at];
    if !downlinks.find(sink.downlink).is_some_and(|downlink| downlink.is_ready()) {
        return Replay::NotConnected;
    }
    let bytes = |seq| layer.cache.packet(track.id, SeqNo(seq)).map_or(0, |packet| packet.payload.len());
    if !downlinks.affords(sink.downlink, range.clone().map(bytes).sum()) {
        return Replay::NothingKept;
    }
    let edge = layer.cache.highest().and_then(|seq| layer.cache.packet(track.id, seq));
    let Some(edge) = edge.map(|packet| packet.timestamp) else { return Replay::NothingKept };
    let begin = Begin::Replay { edge, at: layer.observe.clock().at(edge).unwrap_or(now) };
    let (mut templates, simulcast) = (Templates::default(), !track.shared && track.layers.len() > 1);
    let mut offers = range.filter_map(|seq| {
        let mut packet = layer.cache.packet(track.id, SeqNo(seq))?;
        if let Some(reading) = frame::read(&mut templates, packet.descriptor, simulcast)
            && packet.frame.is_none()
        {
            // It came before the structure it needs.
            packet.frame = reading.frame;
        }
        Some(Offer { packet, meaning: Meaning::of(track.codec, &packet)?, begin })
    });
    let mut began = false;
    let terms = Terms { layers: sink.mask | 1 << (spatial & 7), turn: Turn::Comes };
    loop {
        let some: ArrayVec<Offer<'_>, PENDING_MAX> = offers.by_ref().take(PENDING_MAX).collect();
        if some.is_empty() {
            return if began { Replay::Begun } else { Replay::NothingKept };
        }
        began |= downlinks.offer(sink.downlink, sink.slot, &some, terms, drops, now).began != 0;
        if !began {
            return Replay::NothingKept;
        }
    }
}

/// Gives a slot that has just got this voice what it said a moment ago: the syllable by which it was noticed.
fn repeat(track: &Track, at: usize, downlinks: &mut Downlinks, drops: &mut Drops, now: Instant) {
    let Some(layer) = track.layers.first() else { return };
    let sink = &track.sinks[at];
    let Some(newest) = layer.cache.highest().and_then(|seq| layer.cache.packet(track.id, seq)) else { return };
    let fresh = |packet: &Packet<'_>| now.saturating_duration_since(packet.arrived) <= PREROLL;
    let said = preroll(&layer.cache, &newest).chain([newest]).filter(fresh).filter_map(|packet| {
        let begin = Begin::Live { at: layer.observe.clock().at(packet.timestamp).unwrap_or(packet.arrived) };
        Some(Offer { packet, meaning: Meaning::of(track.codec, &packet)?, begin })
    });
    // A slot that cannot take it now takes what comes next.
    let some: ArrayVec<Offer<'_>, PENDING_MAX> = said.take(PENDING_MAX).collect();
    let terms = Terms { layers: 1, turn: Turn::Comes };
    let _ = downlinks.offer(sink.downlink, sink.slot, &some, terms, drops, now);
}

/// Which slots take tracks of a kind.
fn slot_kinds(kind: Kind) -> &'static [SlotKind] {
    match kind {
        Kind::Audio => &[SlotKind::Audio],
        Kind::Video => &[SlotKind::Video, SlotKind::Screen],
    }
}

/// A picture that a member wants, and how.
struct Wanted {
    id: TrackId,
    tile: TileSize,
    place: Option<u16>,
    pinned: bool,
}

/// Another content of a slot.
struct Change {
    slot: SlotIndex,
    before: Option<TrackId>,
    after: Option<TrackId>,
}

/// Assumed before a client says how large it shows a camera.
const TILE_UNKNOWN: TileSize = TileSize { width: 640, height: 360 };
/// … and a screen, which is there to be read.
const SCREEN_UNKNOWN: TileSize = TileSize { width: 1_920, height: 1_080 };
