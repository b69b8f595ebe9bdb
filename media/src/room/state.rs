//! One track of a room with its layers and its sinks.

use super::air::Hush;
use super::ears::Ear;
use super::{Event, Origin, TapId};
use crate::downlink::{DownlinkId, SlotIndex};
use crate::drop::Drop;
use crate::frame::SPATIAL_MAX;
use crate::packet::{Codec, Packet, TrackId};
use crate::seq::SeqNo;
use crate::sink::select::TEMPORAL_ALL;
use crate::track::Meaning;
use crate::track::cache::Cache;
use crate::track::keyframe::Wish;
use crate::track::observe::{Observe, SILENT_AFTER};
use lyceum_wire::id::Kind;
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo, VOICE_ALWAYS, VOICE_WHEN_LOUD};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Layers of one track: what three bits of a layer mask's users can name.
pub(super) const LAYERS_MAX: usize = 8;
/// Packets of one track offered to its sinks together: a picture at 2 Mbit/s four times over, and few enough that they are still in
/// the processor's nearest cache when the last viewer gets them.
pub(super) const PENDING_MAX: usize = 32;
/// A layer that nobody wants any more stays demanded for this long: people click back and forth.
pub(super) const DEMAND_HOLD: Duration = Duration::from_millis(2_000);

/// A publisher who was told that a layer is wanted again sends it within this time: the way there, an encoder that changes its
/// mind, the way back. After that it is asked for a key frame, before the layer counts as one that does not come (`SILENT_AFTER`).
const WAKES_WITHIN: Duration = Duration::from_millis(1_000);
/// A question from another node within this time of a key frame crossed it on the way: between far regions it takes 200 ms.
const CROSSED: Duration = Duration::from_millis(300);

/// Where one joined from the cache, another may follow within this time.
const JOINERS_FOLLOW: Duration = Duration::from_millis(1_000);
/// A key frame that joiners use is renewed at this age: a question, the way there and back, and an encoder's frame before it is
/// too old.
const RENEW_AFTER: Duration = Duration::from_millis(1_200);
/// … and of another node's track a little later: when the crowd is at both, the publisher's own edge asks for both.
const RENEW_AFTER_FAR: Duration = Duration::from_millis(1_500);

/// A track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) info: TrackInfo,
    pub(super) codec: Codec,
    pub(super) origin: Origin,
    pub(super) csrc: u32,
    /// Its spatial layers share one sequence, that of the lowest.
    pub(super) shared: bool,
    pub(super) layers: Vec<LayerState>,
    pub(super) sinks: Vec<Sink>,
    pub(super) taps: Vec<Tap>,
    /// In the cache, not yet offered to the sinks.
    pub(super) pending: Vec<Pending>,
    /// Sound: its packets cross links. A voice of another node has passed its own node's choice already.
    pub(super) on_air: bool,
    /// Sound: whether it has anything to say.
    pub(super) hush: Hush,
    /// The sequence in which a key frame begins with the packet at hand: who is aimed at it now begins with that.
    pub(super) begins: Option<usize>,
    /// Which layers could be chosen at the last look, a bit each …
    pub(super) seen_usable: u8,
    /// … and which flowed.
    pub(super) seen_flowing: u8,
    /// Layers as last announced.
    pub(super) announced: Vec<LayerInfo>,
}

/// One spatial layer.
#[derive(Debug)]
pub(super) struct LayerState {
    pub(super) cache: Cache,
    pub(super) observe: Observe,
    pub(super) wish: Wish,
    pub(super) demand: Demand,
    /// A joiner was served from the cache at this moment: more of them may be coming.
    pub(super) replayed: Option<Instant>,
}

/// A slot fed by this track.
#[derive(Debug)]
pub(super) struct Sink {
    pub(super) downlink: DownlinkId,
    pub(super) slot: SlotIndex,
    /// Layers it takes packets of, a bit each.
    pub(super) mask: u8,
    /// Layers it needs, the one it would like best included.
    pub(super) needs: u8,
}

/// A packet that came in this turn and lies in the cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pending {
    pub(super) spatial: u8,
    pub(super) seq: SeqNo,
    /// The moment its picture or sound is from.
    pub(super) at: Instant,
}

/// A link's or recorder's subscription.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) id: TapId,
    pub(super) layer: Layer,
    /// It has had a packet that a stream can begin with.
    pub(super) begun: bool,
    /// The newest packet of sound it has had: what was said before is sent after a pause, but never twice.
    pub(super) newest: Option<SeqNo>,
}

/// What is wanted of a layer and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Demand {
    wanted: Option<u8>,
    told: Option<u8>,
    /// When demand began, as told.
    since: Option<Instant>,
    falls: Option<Instant>,
}

impl Track {
    pub(super) fn new(id: TrackId, info: &TrackInfo, origin: Origin, now: Instant) -> Self {
        let mut track = Self {
            id,
            info: info.clone(),
            codec: Codec::of(&info.codec),
            origin,
            csrc: info.name.participant.csrc(),
            shared: info.shared,
            layers: Vec::new(),
            sinks: Vec::new(),
            taps: Vec::new(),
            pending: Vec::with_capacity(PENDING_MAX),
            begins: None,
            on_air: origin == Origin::Link,
            hush: Hush::default(),
            seen_usable: 0,
            seen_flowing: 0,
            announced: Vec::new(),
        };
        track.set_layers(info, now);
        track
    }

    /// Takes in what an announcement says of layers; there is always one, and none goes away.
    pub(super) fn set_layers(&mut self, info: &TrackInfo, now: Instant) {
        self.shared |= info.shared;
        let count = info.layers.len().clamp(1, LAYERS_MAX).max(self.layers.len());
        for spatial in 0..count {
            let told = info.layers.get(spatial).copied().unwrap_or_default();
            match self.layers.get_mut(spatial) {
                Some(layer) => layer.observe.told(&told),
                None => self.layers.push(LayerState {
                    cache: Cache::new(),
                    observe: Observe::new(told, info.clock_hz),
                    wish: Wish::default(),
                    demand: Demand::new(self.origin, now),
                    replayed: None,
                }),
            }
        }
        self.info.layers = self.layers.iter().map(|layer| layer.observe.info(now)).collect();
        self.info.shared = self.shared;
    }

    /// The layer whose sequence, cache, clock and key frames a layer has: its own, or the lowest's.
    #[inline]
    pub(super) fn line(&self, spatial: u8) -> usize {
        if self.shared { 0 } else { usize::from(spatial) }
    }

    /// A single encoding turns out to have these spatial layers: they share its sequence. Says whether that is news.
    pub(super) fn grow(&mut self, count: u8, now: Instant) -> bool {
        let count = usize::from(count.min(SPATIAL_MAX));
        if self.layers.len() >= count || !(self.shared || self.layers.len() == 1) {
            return false;
        }
        let info = TrackInfo { layers: vec![LayerInfo::default(); count], shared: true, ..self.info.clone() };
        self.set_layers(&info, now);
        true
    }

    /// A packet passed: rates of all layers it is a part of, and sizes. Says whether a size changed.
    #[inline]
    pub(super) fn observe(&mut self, packet: &Packet<'_>, meaning: &Meaning, now: Instant) -> bool {
        let own = usize::from(packet.layer.spatial);
        let mut resized = match self.layers.get_mut(own) {
            Some(layer) => layer.observe.packet(packet, meaning, now),
            None => false,
        };
        let Some(frame) = &packet.frame else { return resized };
        if self.shared {
            for (spatial, layer) in self.layers.iter_mut().enumerate().filter(|(spatial, _)| *spatial != own) {
                let columns = frame.part_of.row(spatial as u8);
                if columns != 0 {
                    layer.observe.carries(packet, columns.trailing_zeros() as u8, now);
                }
            }
        }
        if meaning.begins
            && !packet.descriptor.is_empty()
            && let Some(templates) = crate::frame::alone(packet.descriptor)
        {
            let sizes = templates.structure().map_or(&[][..], |structure| &structure.sizes);
            let layers = if self.shared { self.layers.iter_mut() } else { self.layers[own..].iter_mut() };
            for (layer, size) in layers.zip(sizes.iter().take(if self.shared { sizes.len() } else { 1 })) {
                resized |= layer.observe.resize(*size);
            }
        }
        resized
    }

    /// Layers that may be chosen: they flow, or nobody has asked for them long enough to know better.
    pub(super) fn usable(&self, now: Instant) -> u8 {
        self.bits(|layer| layer.observe.flows(now) || !layer.demand.told_for(SILENT_AFTER, now))
    }

    /// Layers that flow, a bit each.
    pub(super) fn flowing(&self, now: Instant) -> u8 {
        self.bits(|layer| layer.observe.flows(now))
    }

    fn bits(&self, test: impl Fn(&LayerState) -> bool) -> u8 {
        self.layers.iter().enumerate().filter(|(_, layer)| test(layer)).fold(0, |bits, (n, _)| bits | 1 << n)
    }

    /// What all sinks and taps together want of each layer. Sound is wanted by whoever has ears, in a slot or not: it says who is
    /// loud.
    pub(super) fn settle_demand(&mut self, ear: Ear, events: &mut VecDeque<Event>, now: Instant) {
        let (sound, shared) = (self.info.kind == Kind::Audio, self.shared);
        for (spatial, layer) in self.layers.iter_mut().enumerate() {
            let by_slot = match ear {
                Ear::Always if sound => Some(VOICE_ALWAYS),
                Ear::WhenLoud if sound => Some(VOICE_WHEN_LOUD),
                _ if sound => None,
                _ => self.sinks.iter().any(|sink| sink.needs & 1 << spatial != 0).then_some(TEMPORAL_ALL),
            };
            let carries = |of: usize| if shared { of >= spatial } else { of == spatial };
            let by_tap = self.taps.iter().filter(|t| carries(t.layer.spatial.into())).map(|t| t.layer.temporal);
            let wanted = if by_slot == Some(TEMPORAL_ALL) { by_slot } else { by_slot.max(by_tap.max()) };
            if layer.demand.want(wanted, now) {
                events.push_back(Event::Demand { track: self.id, spatial: spatial as u8, temporal: wanted });
            }
            if wanted.is_none() && (!shared || spatial == 0) {
                layer.wish.forget();
            }
        }
    }

    /// While joiners keep coming, the next key frame is asked for before the last one is too old for them: none of them waits for
    /// it, and the publisher makes fewer of them than if each joiner had asked.
    pub(super) fn expect_joiners(&mut self, now: Instant) {
        let renew_after = match self.origin {
            Origin::Local => RENEW_AFTER,
            Origin::Link => RENEW_AFTER_FAR,
        };
        for layer in &mut self.layers {
            let joiners_come = layer.replayed.is_some_and(|at| now.saturating_duration_since(at) <= JOINERS_FOLLOW);
            if joiners_come && layer.cache.ages(renew_after, now) {
                layer.wish.wish(now);
            }
        }
    }

    /// Questions for key frames that are due.
    pub(super) fn ask_key_frames(&mut self, events: &mut VecDeque<Event>, now: Instant) {
        for line in 0..self.layers.len() {
            if !self.wakes(line, now) && self.layers[line].wish.poll(now) {
                events.push_back(Event::KeyFrame { track: self.id, spatial: line as u8 });
            }
        }
    }

    /// A layer of this sequence rested, and its publisher was just told that it is wanted: it begins with a key frame by itself, and
    /// a question would cost another one, of all layers.
    fn wakes(&self, line: usize, now: Instant) -> bool {
        let wakes = |layer: &LayerState| {
            let lately = layer.demand.since.filter(|at| now.saturating_duration_since(*at) < WAKES_WITHIN);
            lately.is_some_and(|at| !layer.observe.came_since(at))
        };
        let layers = if self.shared { &self.layers[..] } else { &self.layers[line..=line] };
        self.origin == Origin::Local && layers.iter().any(wakes)
    }

    /// A key frame of this layer passed so lately that who asks from afar did not know of it yet. If it was lost, they ask again.
    pub(super) fn begun_lately(&self, spatial: u8, now: Instant) -> bool {
        self.layers.get(self.line(spatial)).is_some_and(|layer| layer.cache.began_within(CROSSED, now))
    }

    /// A key frame of this layer is needed; asks at once if the pace allows.
    pub(super) fn wish(&mut self, spatial: u8, events: &mut VecDeque<Event>, now: Instant) {
        let line = self.line(spatial);
        if !self.codec.is_video() || self.begins == Some(line) {
            return;
        }
        // Nobody wanted it until now: its publisher is told first.
        let rests = self.origin == Origin::Local
            && self.layers.get(usize::from(spatial)).is_some_and(|layer| layer.demand.told.is_none());
        if let Some(layer) = self.layers.get_mut(line) {
            layer.wish.wish(now);
            if !rests && !self.wakes(line, now) && self.layers[line].wish.poll(now) {
                events.push_back(Event::KeyFrame { track: self.id, spatial: line as u8 });
            }
        }
    }

    /// Sizes and rates as measured; says whether they are worth announcing again.
    pub(super) fn measure(&mut self, sizes_only: bool, now: Instant) -> bool {
        self.info.layers.clear();
        self.info.layers.extend(self.layers.iter().map(|layer| layer.observe.info(now)));
        let apart = |a: u32, b: u32| (a == 0) != (b == 0) || u64::from(a.abs_diff(b)) * 3 > u64::from(a.max(b));
        let worth = self.announced.len() != self.info.layers.len()
            || self.announced.iter().zip(&self.info.layers).any(|(a, b)| {
                (a.width, a.height) != (b.width, b.height) || (!sizes_only && apart(a.bitrate_bps, b.bitrate_bps))
            });
        if worth {
            self.announced.clone_from(&self.info.layers);
        }
        worth
    }
}

impl Tap {
    /// Whether the tap's owner wants the packet.
    #[inline]
    pub(super) fn wants(&mut self, packet: &Packet<'_>, meaning: &Meaning, shared: bool) -> Result<(), Drop> {
        if !shared && packet.layer.spatial != self.layer.spatial {
            return Err(Drop::OtherLayer);
        }
        if !self.begun {
            if !meaning.begins {
                return Err(Drop::AwaitingKeyframe);
            }
            self.begun = true;
        }
        if packet.layer.temporal > self.layer.temporal {
            return Err(Drop::AboveTemporal);
        }
        // Who watches what behind the tap may need any of the lower layers: independent between key frames or not.
        if packet.layer.spatial > self.layer.spatial {
            return Err(Drop::NotNeeded);
        }
        Ok(())
    }
}

impl Demand {
    fn new(origin: Origin, now: Instant) -> Self {
        match origin {
            // A publisher sends everything until told otherwise.
            Origin::Local => {
                Self { told: Some(TEMPORAL_ALL), since: Some(now), falls: Some(now + DEMAND_HOLD), ..Self::default() }
            }
            Origin::Link => Self::default(),
        }
    }

    /// What is wanted from now on. Says whether to tell: more at once, less only after a while.
    fn want(&mut self, wanted: Option<u8>, now: Instant) -> bool {
        self.wanted = wanted;
        if wanted == self.told {
            self.falls = None;
            return false;
        }
        if wanted < self.told && *self.falls.get_or_insert(now + DEMAND_HOLD) > now {
            return false;
        }
        if self.told.is_none() {
            self.since = Some(now);
        }
        if wanted.is_none() {
            self.since = None;
        }
        (self.told, self.falls) = (wanted, None);
        true
    }

    /// Whether the layer has been asked for at least this long.
    fn told_for(&self, duration: Duration, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) >= duration)
    }

    /// Whether a fall waits for its time.
    pub(super) fn waits(&self) -> bool {
        self.falls.is_some()
    }
}
