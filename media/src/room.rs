//! One room on one shard: its tracks, and who of this node wants which of them.

use crate::downlink::{DownlinkId, Downlinks, SlotIndex};
use crate::drop::Drops;
use crate::packet::{Packet, TrackId};
use crate::seq::SeqNo;
use crate::uplink::SenderClock;
use lyceum_wire::id::{ParticipantId, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo};
use lyceum_wire::signal::Tile;
use std::time::Instant;

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
    /// For a link's track: subscribe or unsubscribe upstream. For a local one: tell the publisher.
    Demand {
        /// The track.
        track: TrackId,
        /// The spatial layer.
        spatial: u8,
        /// Highest temporal layer wanted.
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
    drops: Drops,
}

impl Room {
    /// An empty room.
    #[must_use]
    pub fn new(_now: Instant) -> Self {
        Self { drops: Drops::default() }
    }

    /// A track can be had on this node from now on. The same name again is a new track that replaces the old one.
    pub fn publish(
        &mut self,
        _info: &TrackInfo,
        _origin: Origin,
        _downlinks: &mut Downlinks,
        _now: Instant,
    ) -> TrackId {
        TrackId(0)
    }

    /// News of a track: muted or not, layers' sizes. Name and codec stay.
    pub fn update(&mut self, _track: TrackId, _info: &TrackInfo, _downlinks: &mut Downlinks, _now: Instant) {}

    /// The track is gone: slots empty, taps end, ids are not used again.
    pub fn unpublish(&mut self, _track: TrackId, _downlinks: &mut Downlinks, _now: Instant) {}

    /// A track by its name.
    #[must_use]
    pub fn track(&self, _name: &TrackName) -> Option<TrackId> {
        None
    }

    /// What is known of a track, layers as measured.
    #[must_use]
    pub fn info(&self, _track: TrackId) -> Option<&TrackInfo> {
        None
    }

    /// A participant of this node with a receiving side is in the room. Its own tracks are never sent to it.
    pub fn enter(
        &mut self,
        _participant: ParticipantId,
        _downlink: DownlinkId,
        _downlinks: &mut Downlinks,
        _now: Instant,
    ) {
    }

    /// The participant's receiving side is gone.
    pub fn leave(&mut self, _downlink: DownlinkId, _downlinks: &mut Downlinks, _now: Instant) {}

    /// Its slots were negotiated anew.
    pub fn slots_changed(&mut self, _downlink: DownlinkId, _downlinks: &mut Downlinks, _now: Instant) {}

    /// What it shows, most important first.
    pub fn view(&mut self, _downlink: DownlinkId, _tiles: &[Tile], _downlinks: &mut Downlinks, _now: Instant) {}

    /// A link (or recorder) wants this spatial layer, up to this temporal one. What the cache has from the newest key frame on
    /// comes through `taps` before this returns. The same id again changes the layer.
    pub fn tap(
        &mut self,
        _tap: TapId,
        _track: TrackId,
        _layer: Layer,
        _taps: &mut dyn FnMut(TapId, &Packet<'_>),
        _now: Instant,
    ) {
    }

    /// It no longer wants it.
    pub fn untap(&mut self, _tap: TapId, _now: Instant) {}

    /// A key frame is needed downstream: merged and rate-limited into [`Event::KeyFrame`].
    pub fn key_frame(&mut self, _track: TrackId, _spatial: u8, _now: Instant) {}

    /// Where a layer's timestamps stand, from its sender reports.
    pub fn sender_clock(&mut self, _clock: SenderClock) {}

    /// A packet as the track had it, for a link's repair. Its `age` includes the time it lay here.
    #[must_use]
    pub fn cached(&self, _track: TrackId, _spatial: u8, _seq: SeqNo, _now: Instant) -> Option<Packet<'_>> {
        None
    }

    /// The hot door: one packet of a track to everybody who wants it.
    pub fn forward(
        &mut self,
        _packet: &Packet<'_>,
        _downlinks: &mut Downlinks,
        _taps: &mut dyn FnMut(TapId, &Packet<'_>),
        _now: Instant,
    ) {
    }

    /// A subscriber's plain RTCP compound: repairs, key-frame wishes, reports.
    pub fn receive_rtcp(&mut self, _downlink: DownlinkId, _compound: &[u8], _downlinks: &mut Downlinks, _now: Instant) {
    }

    /// What the room wants done.
    pub fn poll(&mut self) -> Option<Event> {
        None
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, _downlinks: &mut Downlinks, _now: Instant) {}

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// How many of each thing it holds.
    #[must_use]
    pub fn live(&self) -> Live {
        Live::default()
    }

    /// What was dropped in it.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }
}
