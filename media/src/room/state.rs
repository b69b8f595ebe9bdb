//! One track of a room with its layers and its sinks.

use super::ears::Ear;
use super::{Event, Origin, TapId};
use crate::downlink::{DownlinkId, SlotIndex};
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
/// A layer that nobody wants any more stays demanded for this long: people click back and forth.
pub(super) const DEMAND_HOLD: Duration = Duration::from_millis(2_000);

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
    pub(super) layers: Vec<LayerState>,
    pub(super) sinks: Vec<Sink>,
    pub(super) taps: Vec<Tap>,
    /// Sound: its packets cross links. A voice of another node has passed its own node's choice already.
    pub(super) on_air: bool,
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
    pub(super) tile: crate::sink::select::TileSize,
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
            layers: Vec::new(),
            sinks: Vec::new(),
            taps: Vec::new(),
            on_air: origin == Origin::Link,
            seen_usable: 0,
            seen_flowing: 0,
            announced: Vec::new(),
        };
        track.set_layers(info, now);
        track
    }

    /// Takes in what an announcement says of layers; there is always one, and none goes away.
    pub(super) fn set_layers(&mut self, info: &TrackInfo, now: Instant) {
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
        let sound = self.info.kind == Kind::Audio;
        for (spatial, layer) in self.layers.iter_mut().enumerate() {
            let by_slot = match ear {
                Ear::Always if sound => Some(VOICE_ALWAYS),
                Ear::WhenLoud if sound => Some(VOICE_WHEN_LOUD),
                _ if sound => None,
                _ => self.sinks.iter().any(|sink| sink.needs & 1 << spatial != 0).then_some(TEMPORAL_ALL),
            };
            let by_tap = self.taps.iter().filter(|t| usize::from(t.layer.spatial) == spatial).map(|t| t.layer.temporal);
            let wanted = if by_slot == Some(TEMPORAL_ALL) { by_slot } else { by_slot.max(by_tap.max()) };
            if layer.demand.want(wanted, now) {
                events.push_back(Event::Demand { track: self.id, spatial: spatial as u8, temporal: wanted });
            }
            if wanted.is_none() {
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
        for (spatial, layer) in self.layers.iter_mut().enumerate() {
            if layer.wish.poll(now) {
                events.push_back(Event::KeyFrame { track: self.id, spatial: spatial as u8 });
            }
        }
    }

    /// A key frame of this layer is needed; asks at once if the pace allows.
    pub(super) fn wish(&mut self, spatial: u8, events: &mut VecDeque<Event>, now: Instant) {
        if self.codec != Codec::Vp8 {
            return;
        }
        if let Some(layer) = self.layers.get_mut(usize::from(spatial)) {
            layer.wish.wish(now);
            if layer.wish.poll(now) {
                events.push_back(Event::KeyFrame { track: self.id, spatial });
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
    pub(super) fn wants(&mut self, packet: &Packet<'_>, meaning: &Meaning) -> Result<(), crate::drop::Drop> {
        use crate::drop::Drop;
        if packet.layer.spatial != self.layer.spatial {
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
