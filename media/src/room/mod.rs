//! One room on one shard: its tracks, and who of this node wants which of them.
//!
//! ```text
//!   publish, update ─▶ tracks ─┬─ layers: cache · observe · wish · demand ─▶ events: Demand, KeyFrame, Layers
//!   enter, view ─────▶ members │
//!   speakers ────────▶ slots ──┴─ sinks, taps        ◀── forward(packet) … deliver(): the only hot doors
//! ```

mod air;
mod deliver;
mod ears;
mod members;
mod repair;
mod share;
mod state;

use crate::downlink::{DownlinkId, Downlinks, SlotIndex};
use crate::drop::{Drop, Drops};
use crate::packet::{Flags, Packet, TrackId};
use crate::seq::SeqNo;
use crate::speaker::Speakers;
use crate::track::Meaning;
use crate::uplink::SenderClock;
use air::Air;
use ears::{Ear, Ears};
use lyceum_wire::id::{Kind, ParticipantId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo};
use lyceum_wire::signal::{LISTEN_MAX, Tile};
use members::Member;
use state::{Pending, Tap, Track};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// One tap of a track: a link's subscription, later a recorder. Chosen by the owner, unique in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TapId(pub u32);

/// Where a track enters this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a participant of this node; key frames are asked of its uplink, and all its layers flow.
    Local,
    /// Over a link: layers flow when subscribed upstream.
    Link,
}

/// What the room wants done or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// What is wanted of one spatial layer, by all sinks and taps together, changed. `None`: nobody wants it.
    /// For a link's track: subscribe or unsubscribe upstream; it begins as not wanted. For a local one: tell the publisher;
    /// it begins as wanted in all layers, so that the first event may be that a layer is not.
    Demand {
        /// The track.
        track: TrackId,
        /// The spatial layer.
        spatial: u8,
        /// Highest temporal layer wanted. For sound: [`VOICE_WHEN_LOUD`](lyceum_wire::link::VOICE_WHEN_LOUD) or
        /// [`VOICE_ALWAYS`](lyceum_wire::link::VOICE_ALWAYS).
        temporal: Option<u8>,
    },
    /// Somebody needs a key frame of this layer; already merged and rate-limited. To the uplink or upstream.
    KeyFrame {
        /// The track.
        track: TrackId,
        /// The spatial layer.
        spatial: u8,
    },
    /// What a subscriber's slots carry changed.
    Slots {
        /// Whose.
        downlink: DownlinkId,
        /// The changes: the slot's mid and the track in it from now on.
        assigned: Vec<Assigned>,
    },
    /// Who speaks, loudest first; empty: silence. At most every 300 ms.
    Speakers {
        /// The speakers.
        active: Vec<ParticipantId>,
    },
    /// A local track's layers changed in resolution or notably in bitrate: announce it again.
    Layers {
        /// The track.
        track: TrackId,
        /// All its spatial layers.
        layers: Vec<LayerInfo>,
    },
}

/// A slot's new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Which slot.
    pub slot: SlotIndex,
    /// Its mid.
    pub mid: String,
    /// The track in it, or none.
    pub track: Option<TrackName>,
    /// The way to the subscriber carries nothing of it now.
    pub paused: bool,
}

/// How many of each thing a room holds: all zero when it has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    /// Tracks.
    pub tracks: usize,
    /// Subscribers of this node.
    pub members: usize,
    /// Slots fed by a track.
    pub slots: usize,
    /// Taps.
    pub taps: usize,
}

/// One room on one shard.
///
/// `taps` in its doors is called once per tap that shall have the packet.
pub struct Room {
    tracks: Vec<Place>,
    free: Vec<u16>,
    names: BTreeMap<TrackName, TrackId>,
    /// In order of publication.
    order: Vec<TrackId>,
    members: BTreeMap<DownlinkId, Member>,
    /// Who shows which picture, by its name: also of those that are not published yet.
    watchers: BTreeMap<TrackName, BTreeSet<DownlinkId>>,
    ears: Ears,
    taps: BTreeMap<TapId, TrackId>,
    /// Tracks with packets that were not yet offered to their slots.
    waiting: Vec<TrackId>,
    /// Where it is written down who gets what of a turn.
    parts: Vec<deliver::Part>,
    desk: share::Desk,
    speakers: Speakers,
    /// Who speaks loudest.
    speaking: Option<ParticipantId>,
    air: Air,
    events: VecDeque<Event>,
    next_tick: Instant,
    /// When to look who is heard; earlier than the tick when somebody began to speak.
    next_hear: Instant,
    next_measure: Instant,
    drops: Drops,
}

struct Place {
    generation: u16,
    track: Option<Box<Track>>,
}

impl Room {
    /// An empty room.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            tracks: Vec::new(),
            free: Vec::new(),
            names: BTreeMap::new(),
            order: Vec::new(),
            members: BTreeMap::new(),
            watchers: BTreeMap::new(),
            ears: Ears::default(),
            taps: BTreeMap::new(),
            waiting: Vec::new(),
            parts: Vec::new(),
            desk: share::Desk::default(),
            speakers: Speakers::default(),
            speaking: None,
            air: Air::default(),
            events: VecDeque::new(),
            next_tick: now + TICK,
            next_hear: now + TICK,
            next_measure: now + MEASURE_EVERY,
            drops: Drops::default(),
        }
    }

    /// A track can be had on this node from now on. The same name again is a new track that replaces the old one.
    pub fn publish(&mut self, info: &TrackInfo, origin: Origin, downlinks: &mut Downlinks, now: Instant) -> TrackId {
        if let Some(old) = self.names.get(&info.name).copied() {
            self.remove_track(old, downlinks);
        }
        let index = self.free.pop().unwrap_or(self.tracks.len() as u16);
        if usize::from(index) == self.tracks.len() {
            self.tracks.push(Place { generation: 0, track: None });
        }
        let place = &mut self.tracks[usize::from(index)];
        let id = TrackId(u32::from(place.generation) << 16 | u32::from(index));
        place.track = Some(Box::new(Track::new(id, info, origin, now)));
        self.names.insert(info.name.clone(), id);
        self.order.push(id);
        if info.kind == Kind::Audio {
            self.speakers.add(id, info.name.source == Source::Microphone, origin == Origin::Local);
            self.speakers.mute(id, info.muted);
        }
        self.offer_to_members(info, downlinks, now);
        self.settle(id, now);
        id
    }

    /// News of a track: muted or not, layers' sizes. Name and codec stay.
    pub fn update(&mut self, track: TrackId, info: &TrackInfo, downlinks: &mut Downlinks, now: Instant) {
        let Some(state) = self.find_mut(track) else { return };
        state.set_layers(info, now);
        let muted_before = std::mem::replace(&mut state.info.muted, info.muted);
        if muted_before && !info.muted {
            // What was left out meanwhile must not look like loss: streams begin anew.
            for sink in &state.sinks {
                if let Some(slot) = downlinks.slot_mut(sink.downlink, sink.slot) {
                    slot.select.restart();
                }
            }
        }
        if muted_before != info.muted && state.info.kind == Kind::Audio {
            self.speakers.mute(track, info.muted);
        }
        self.retarget(track, downlinks, now);
    }

    /// The track is gone: slots empty, taps end, ids are not used again.
    pub fn unpublish(&mut self, track: TrackId, downlinks: &mut Downlinks, now: Instant) {
        let Some(removed) = self.remove_track(track, downlinks) else { return };
        // Only whose slot it left has a free one now.
        for downlink in removed.fed {
            self.assign(downlink, removed.kind, downlinks, now);
        }
    }

    /// A track by its name.
    #[must_use]
    pub fn track(&self, name: &TrackName) -> Option<TrackId> {
        self.names.get(name).copied()
    }

    /// What is known of a track, layers as last measured.
    #[must_use]
    pub fn info(&self, track: TrackId) -> Option<&TrackInfo> {
        self.find(track).map(|track| &track.info)
    }

    /// A participant of this node with a receiving side is in the room. Its own tracks are never sent to it.
    pub fn enter(&mut self, participant: ParticipantId, downlink: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        self.members.insert(downlink, Member::new(participant));
        self.slots_changed(downlink, downlinks, now);
    }

    /// The participant's receiving side is gone.
    pub fn leave(&mut self, downlink: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        let Some(mut member) = self.members.remove(&downlink) else { return };
        self.watch(downlink, member.view.take(), None);
        for id in member.fed() {
            let Some(track) = self.find_mut(id) else { continue };
            for sink in track.sinks.extract_if(.., |sink| sink.downlink == downlink) {
                if let Some(slot) = downlinks.slot_mut(downlink, sink.slot) {
                    slot.assign(None, 0);
                }
            }
            self.settle(id, now);
        }
        self.hears(&mut member, false, Vec::new(), now);
    }

    /// Its slots were negotiated anew.
    pub fn slots_changed(&mut self, downlink: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        self.readopt(downlink, downlinks, now);
    }

    /// What it shows, most important first.
    pub fn view(&mut self, downlink: DownlinkId, tiles: &[Tile], downlinks: &mut Downlinks, now: Instant) {
        let Some(member) = self.members.get_mut(&downlink) else { return };
        let tiles: Vec<Tile> = tiles.iter().take(TILES_MAX).cloned().collect();
        let before = member.view.replace(tiles.clone());
        self.watch(downlink, before, Some(&tiles));
        self.assign(downlink, Kind::Video, downlinks, now);
    }

    /// Whose voices it hears in any case, most important first: they are wanted also when they are not loud, from wherever they come.
    pub fn listen(&mut self, downlink: DownlinkId, voices: &[ParticipantId], downlinks: &mut Downlinks, now: Instant) {
        let Some(mut member) = self.members.remove(&downlink) else { return };
        let listens = member.listens;
        self.hears(&mut member, listens, voices.iter().take(LISTEN_MAX).cloned().collect(), now);
        self.members.insert(downlink, member);
        self.assign(downlink, Kind::Audio, downlinks, now);
    }

    /// A link (or recorder) wants this spatial layer, up to this temporal one. What the cache has from the newest key frame on
    /// comes through `taps` before this returns. The same id again changes the layer.
    pub fn tap(
        &mut self,
        tap: TapId,
        track: TrackId,
        layer: Layer,
        taps: &mut dyn FnMut(TapId, &Packet<'_>),
        now: Instant,
    ) {
        if let Some(other) = self.taps.get(&tap).copied().filter(|other| *other != track) {
            self.remove_tap(tap, other, now);
        }
        let Some(state) = self.find_mut(track) else { return };
        if usize::from(layer.spatial) >= state.layers.len() {
            return;
        }
        let shared = state.shared;
        match state.taps.iter_mut().find(|t| t.id == tap) {
            Some(known) if known.layer.spatial == layer.spatial || shared => known.layer = layer,
            Some(known) => *known = Tap { id: tap, layer, begun: false, newest: None },
            None => state.taps.push(Tap { id: tap, layer, begun: false, newest: None }),
        }
        self.taps.insert(tap, track);
        self.begin_tap(tap, track, taps, now);
        self.settle(track, now);
    }

    /// It no longer wants it.
    pub fn untap(&mut self, tap: TapId, now: Instant) {
        if let Some(track) = self.taps.get(&tap).copied() {
            self.remove_tap(tap, track, now);
        }
    }

    /// A key frame is needed downstream: merged and rate-limited into [`Event::KeyFrame`].
    pub fn key_frame(&mut self, track: TrackId, spatial: u8, now: Instant) {
        if let Some(state) = find_mut(&mut self.tracks, track)
            && !state.begun_lately(spatial, now)
        {
            state.wish(spatial, &mut self.events, now);
        }
    }

    /// Where a layer's timestamps stand, from its sender reports.
    pub fn sender_clock(&mut self, clock: SenderClock) {
        if let Some(layer) =
            self.find_mut(clock.track).and_then(|track| track.layers.get_mut(usize::from(clock.spatial)))
        {
            layer.observe.clock_mut().report(clock.timestamp, clock.at);
        }
    }

    /// A packet as the track had it, for a link's repair. Its `age` includes the time it lay here.
    #[must_use]
    pub fn cached(&self, track: TrackId, spatial: u8, seq: SeqNo, now: Instant) -> Option<Packet<'_>> {
        let state = self.find(track)?;
        let mut packet = state.layers.get(state.line(spatial))?.cache.packet(track, seq)?;
        packet.age += now.saturating_duration_since(packet.arrived);
        packet.arrived = now;
        Some(packet)
    }

    /// The hot door: one packet of a track, to taps at once, to slots at the next [`Self::deliver`].
    pub fn forward(
        &mut self,
        packet: &Packet<'_>,
        downlinks: &mut Downlinks,
        taps: &mut dyn FnMut(TapId, &Packet<'_>),
        now: Instant,
    ) {
        let Some(track) = find_mut(&mut self.tracks, packet.track) else {
            return self.drops.count(Drop::UnknownTrack);
        };
        if track.info.muted {
            return self.drops.count(Drop::Muted);
        }
        if packet.seq.0 > SEQ_MAX {
            return self.drops.count(Drop::Malformed);
        }
        let Some(meaning) = Meaning::of(track.codec, packet) else { return self.drops.count(Drop::Malformed) };
        let spatial = packet.layer.spatial;
        let bit = 1u8 << (spatial & 7);
        // A single encoding may turn out to have layers: by its structure, or by the first packet of one.
        let told = if meaning.begins && !packet.descriptor.is_empty() { packet.frame } else { None };
        let highest = told.and_then(|frame| frame.active.best()).map_or(spatial, |best| best.spatial.max(spatial));
        let grown = highest > 0 && track.codec.is_video() && track.grow(highest.saturating_add(1), now);
        let line = track.line(spatial);
        if usize::from(spatial) >= track.layers.len() {
            return self.drops.count(Drop::UnknownLayer);
        }
        let resumes = track.info.kind == Kind::Audio && track.hush.hear(packet.level, packet.payload.len(), now);
        let begun;
        let packet = if resumes {
            begun = Packet { flags: Flags { start: true, ..packet.flags }, ..*packet };
            &begun
        } else {
            packet
        };
        let Some(layer) = track.layers.get_mut(line) else { return self.drops.count(Drop::UnknownLayer) };
        let begins_picture = meaning.begins && track.info.kind == Kind::Video;
        if let Err(reason) = layer.cache.insert(packet, begins_picture) {
            return self.drops.count(reason);
        }
        if meaning.begins {
            layer.wish.arrived();
        }
        layer.observe.time(packet);
        let at = layer.observe.clock().at(packet.timestamp).unwrap_or(packet.arrived);
        let resized = grown | track.observe(packet, &meaning, now);
        if let Some(level) = packet.level
            && self.speakers.level(packet.track, level, now)
        {
            self.next_hear = self.next_hear.min(now + HEAR_EVERY);
        }
        if track.seen_flowing & bit == 0 || resized {
            track.begins = meaning.begins.then_some(line);
            self.layer_changed(packet.track, resized, downlinks, now);
        }
        let Some(track) = find_mut(&mut self.tracks, packet.track) else { return };
        track.begins = None;
        if track.hush.rests {
            return self.drops.count(Drop::Silent);
        }
        if track.info.kind == Kind::Audio {
            let left_out = track.air(packet, taps);
            self.drops.add(Drop::NotLoud, left_out);
            return self.wait(packet.track, Pending { spatial, seq: packet.seq, at }, downlinks, now);
        }
        let mut awaits = false;
        let shared = track.shared;
        for tap in &mut track.taps {
            match tap.wants(packet, &meaning, shared) {
                Ok(()) => taps(tap.id, packet),
                Err(reason) => {
                    awaits |= reason == Drop::AwaitingKeyframe;
                    self.drops.count(reason);
                }
            }
        }
        if awaits && track.layers[line].stalls(now) {
            self.streams_changed(packet.track, spatial, awaits, downlinks, now);
        }
        self.wait(packet.track, Pending { spatial, seq: packet.seq, at }, downlinks, now);
    }

    /// A subscriber's plain RTCP compound: repairs, key-frame wishes, reports.
    pub fn receive_rtcp(&mut self, downlink: DownlinkId, compound: &[u8], downlinks: &mut Downlinks, now: Instant) {
        self.take_rtcp(downlink, compound, downlinks, now);
    }

    /// What the room wants done.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, downlinks: &mut Downlinks, now: Instant) {
        if now >= self.next_hear {
            self.next_hear = now + TICK;
            self.hear(downlinks, now);
        }
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.welcome(downlinks, now);
        self.share_on_time(downlinks, now);
        let measure = now >= self.next_measure;
        if measure {
            self.next_measure = now + MEASURE_EVERY;
        }
        for at in 0..self.order.len() {
            let id = self.order[at];
            let Some(track) = find_mut(&mut self.tracks, id) else { continue };
            track.expect_joiners(now);
            track.ask_key_frames(&mut self.events, now);
            // Another size is noticed when its key frame passes; here it is the rates, and the first word on each track.
            let look = measure || track.announced.len() != track.layers.len();
            if look && track.measure(!measure, now) && track.origin == Origin::Local {
                let layers = track.info.layers.clone();
                self.events.push_back(Event::Layers { track: id, layers });
            }
            let falls = track.layers.iter().any(|layer| layer.demand.waits());
            if (track.usable(now), track.flowing(now)) != (track.seen_usable, track.seen_flowing) {
                self.retarget(id, downlinks, now);
            } else if falls {
                self.settle(id, now);
            }
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        (!self.order.is_empty()).then(|| self.next_tick.min(self.next_hear))
    }

    /// How many of each thing it holds.
    #[must_use]
    pub fn live(&self) -> Live {
        let tracks = || self.order.iter().filter_map(|id| self.find(*id));
        Live {
            tracks: self.order.len(),
            members: self.members.len(),
            slots: tracks().map(|track| track.sinks.len()).sum(),
            taps: self.taps.len(),
        }
    }

    /// Memory held by the caches of its tracks: how many there are, and the bytes of the largest one.
    #[must_use]
    pub fn caches(&self) -> (usize, usize) {
        let layers = self.order.iter().filter_map(|id| self.find(*id)).flat_map(|track| &track.layers);
        layers.fold((0, 0), |(count, largest), layer| (count + 1, largest.max(layer.cache.footprint())))
    }

    /// What was dropped in it.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    fn find(&self, id: TrackId) -> Option<&Track> {
        find(&self.tracks, id)
    }

    fn find_mut(&mut self, id: TrackId) -> Option<&mut Track> {
        find_mut(&mut self.tracks, id)
    }

    /// Takes a track out and empties its slots.
    fn remove_track(&mut self, id: TrackId, downlinks: &mut Downlinks) -> Option<Removed> {
        self.find(id)?;
        let place = &mut self.tracks[(id.0 & 0xffff) as usize];
        let track = place.track.take()?;
        if place.generation < u16::MAX {
            // A place whose generations are used up is never used again: 65,535 tracks came and went there.
            place.generation += 1;
            self.free.push((id.0 & 0xffff) as u16);
        }
        self.names.remove(&track.info.name);
        self.order.retain(|other| *other != id);
        self.speakers.remove(id);
        for tap in &track.taps {
            self.taps.remove(&tap.id);
        }
        for sink in &track.sinks {
            if let Some(slot) = downlinks.slot_mut(sink.downlink, sink.slot) {
                slot.assign(None, 0);
            }
            if let Some(member) = self.members.get_mut(&sink.downlink) {
                member.feed(sink.slot, None);
            }
        }
        let fed = track.sinks.iter().map(|sink| sink.downlink).collect();
        Some(Removed { kind: track.info.kind, fed })
    }

    fn remove_tap(&mut self, tap: TapId, track: TrackId, now: Instant) {
        self.taps.remove(&tap);
        if let Some(state) = self.find_mut(track) {
            state.taps.retain(|t| t.id != tap);
        }
        self.settle(track, now);
    }

    /// A new tap gets what the cache has from the newest key frame on; else it waits for one.
    fn begin_tap(&mut self, tap: TapId, track: TrackId, taps: &mut dyn FnMut(TapId, &Packet<'_>), now: Instant) {
        let Some(state) = find_mut(&mut self.tracks, track) else { return };
        let codec = state.codec;
        let Some(known) = state.taps.iter_mut().find(|t| t.id == tap && !t.begun) else { return };
        if codec.kind() == Kind::Audio {
            known.begun = true;
            return;
        }
        let (spatial, shared) = (known.layer.spatial, state.shared);
        let cache = &state.layers[if shared { 0 } else { usize::from(spatial) }].cache;
        if let Some(range) = cache.replay(now) {
            for packet in range.filter_map(|seq| cache.packet(track, SeqNo(seq))) {
                let wanted = Meaning::of(codec, &packet).map(|meaning| known.wants(&packet, &meaning, shared));
                if wanted == Some(Ok(())) {
                    taps(tap, &packet);
                }
            }
            return;
        }
        state.wish(spatial, &mut self.events, now);
    }

    /// Brings a track's demand up to date.
    fn settle(&mut self, id: TrackId, now: Instant) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        let name = &track.info.name;
        let ear = match (track.info.kind, self.ears.of(&name.participant)) {
            (Kind::Video, _) => Ear::Nobody,
            // Pinned is a person's voice, not the sound of their screen.
            (Kind::Audio, Ear::Always) if name.source != Source::Microphone => Ear::WhenLoud,
            (Kind::Audio, ear) => ear,
        };
        track.settle_demand(ear, &mut self.events, now);
    }
}

/// A track that was taken out.
struct Removed {
    kind: Kind,
    /// Whose slots it was in.
    fed: BTreeSet<DownlinkId>,
}

fn find(tracks: &[Place], id: TrackId) -> Option<&Track> {
    let place = tracks.get((id.0 & 0xffff) as usize).filter(|p| u32::from(p.generation) == id.0 >> 16)?;
    place.track.as_deref()
}

fn find_mut(tracks: &mut [Place], id: TrackId) -> Option<&mut Track> {
    let place = tracks.get_mut((id.0 & 0xffff) as usize).filter(|p| u32::from(p.generation) == id.0 >> 16)?;
    place.track.as_deref_mut()
}

/// The room looks around this often: speakers, layers that began or stopped to flow, questions to repeat.
const TICK: Duration = Duration::from_millis(100);
/// … and this soon after somebody began to speak: one packet later, so that a storm of clicks does not make it look all the time.
pub(crate) const HEAR_EVERY: Duration = Duration::from_millis(20);
/// Rates are compared with what was announced this often.
const MEASURE_EVERY: Duration = Duration::from_millis(5_000);
/// Largest number taken: a link that counts from further up is broken, and sums must not overflow.
const SEQ_MAX: u64 = 1 << 48;
/// Tiles looked at in a view: more than any client's slots.
const TILES_MAX: usize = 256;

#[cfg(test)]
#[path = "../room_tests.rs"]
mod tests;
