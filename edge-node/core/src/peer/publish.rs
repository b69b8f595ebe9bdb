//! What a peer sends: its tracks in the room, their layers, who watches them, muting.

use super::negotiate::Publishing;
use super::{Media, Peer, Published, Way};
use crate::shard::Shard;
use lyceum_media::uplink::Publication;
use lyceum_wire::id::{Source, TrackName};
use lyceum_wire::link::{LayerInfo, TrackInfo};
use lyceum_wire::signal::{self, EdgeSays, RidDemand};
use std::time::{Duration, Instant};

/// Spatial layers of one encoding at most: what a track's layers are counted by.
const LAYERS_MAX: usize = 8;

/// A layer nobody watches any more is said to be so after this long: scrolling past a tile must not stop and start it.
pub const DEMAND_FALLS_AFTER: Duration = Duration::from_secs(3);

impl Shard {
    /// Makes what the peer publishes what the plan says: new tracks come, changed ones change, the others end.
    pub(crate) fn apply_publishing(&mut self, index: u32, plan: Vec<Publishing>, now: Instant) {
        let gone: Vec<Source> = self.published(index, |published| {
            let stays = plan.iter().any(|p| p.source == published.plan.source && published.goes_on_as(p));
            (!stays).then_some(published.plan.source)
        });
        for source in gone {
            self.unpublish(index, source, now);
        }
        for publishing in plan {
            self.publish(index, publishing, now);
        }
        self.publications_changed(index, now);
    }

    pub(crate) fn published<T>(&self, index: u32, pick: impl FnMut(&Published) -> Option<T>) -> Vec<T> {
        let media = self.peers.get(index).and_then(|peer| peer.media.as_ref());
        media.map(|media| media.published.iter().filter_map(pick).collect()).unwrap_or_default()
    }

    fn publish(&mut self, index: u32, plan: Publishing, now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Peer { participant, media: Some(media), .. } = peer else { return };
        let name = TrackName { participant: participant.id.clone(), source: plan.source };
        if let Some(known) = media.published.iter_mut().find(|p| p.plan.source == plan.source) {
            known.plan = plan;
            room.hop.update(known.track, &known.info(name), downlinks, now);
            media.uplink.publish(known.publication(), now);
        } else {
            let mut published = Published::new(plan);
            published.track = room.hop.publish(&published.info(name), downlinks, now);
            room.publishers.insert(published.track, index);
            media.uplink.publish(published.publication(), now);
            media.published.push(published);
        }
        let place = peer.room;
        self.touch_room(place);
    }

    pub(crate) fn unpublish(&mut self, index: u32, source: Source, now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Some(media) = &mut peer.media else { return };
        let Some(at) = media.published.iter().position(|p| p.plan.source == source) else { return };
        let published = media.published.remove(at);
        media.uplink.unpublish(published.track);
        room.publishers.remove(&published.track);
        room.hop.unpublish(published.track, downlinks, now);
        let place = peer.room;
        self.touch_room(place);
    }

    /// Ends everything the peer publishes.
    pub(crate) fn unpublish_all(&mut self, index: u32, now: Instant) {
        for source in self.published(index, |published| Some(published.plan.source)) {
            self.unpublish(index, source, now);
        }
    }

    /// Mutes or unmutes. False: the peer does not publish that.
    pub(crate) fn mute(&mut self, index: u32, source: Source, muted: bool, now: Instant) -> bool {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return false };
        let Some(room) = rooms.get_mut(peer.room) else { return false };
        let Peer { participant, media: Some(media), .. } = peer else { return false };
        let Some(published) = media.published.iter_mut().find(|p| p.plan.source == source) else { return false };
        if published.plan.muted != muted {
            published.plan.muted = muted;
            let name = TrackName { participant: participant.id.clone(), source };
            room.hop.update(published.track, &published.info(name), downlinks, now);
            self.publications_changed(index, now);
        }
        true
    }

    /// Tells the room what the peer publishes now, if that changed.
    pub(crate) fn publications_changed(&mut self, index: u32, now: Instant) {
        let Self { peers, rooms, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(media) = &peer.media else { return };
        let publication = |p: &Published| signal::Publication {
            source: p.plan.source,
            codec: p.plan.codec.clone(),
            muted: p.plan.muted,
        };
        let mut publishes: Vec<_> = media.published.iter().map(publication).collect();
        publishes.sort_by_key(|publication| publication.source);
        if publishes == peer.participant.publishes {
            return;
        }
        let first = peer.participant.publishes.is_empty();
        peer.participant.publishes = publishes;
        if peer.is_seen()
            && let Some(room) = rooms.get_mut(peer.room)
        {
            room.came(peer.participant.clone(), now);
        }
        let (place, participant) = (peer.room, peer.participant.id.clone());
        if first {
            self.tell_local_path(place, participant, now);
        }
        self.touch_room(place);
    }

    /// Somebody needs a key frame of a local track.
    pub(crate) fn key_frame_needed(&mut self, index: u32, track: lyceum_media::TrackId, spatial: u8, now: Instant) {
        if let Some(media) = self.peers.get_mut(index).and_then(|peer| peer.media.as_mut()) {
            media.uplink.request_key_frame(track, spatial, now);
            self.key_frame_requests += 1;
            self.touch_peer(index);
        }
    }

    /// What is wanted of a layer of a local track changed.
    pub(crate) fn demand_changed(
        &mut self,
        index: u32,
        track: lyceum_media::TrackId,
        spatial: u8,
        watched: bool,
        now: Instant,
    ) {
        let Some(media) = self.peers.get_mut(index).and_then(|peer| peer.media.as_mut()) else { return };
        let Some(published) = media.published.iter_mut().find(|p| p.track == track) else { return };
        if published.encodings.len() == 1 && usize::from(spatial) < LAYERS_MAX {
            published.grow(usize::from(spatial) + 1);
        }
        if let Some(layer) = published.watched.get_mut(usize::from(spatial)) {
            *layer = watched;
            published.schedule(now);
            self.touch_peer(index);
        }
    }

    /// Tells the client which of its layers are watched, where that is due.
    pub(crate) fn tell_demand(&mut self, index: u32, now: Instant) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Peer { way, media: Some(media), .. } = peer else { return };
        for published in &mut media.published {
            if published.tell_at.is_some_and(|at| at <= now) {
                let demand = published.tell();
                // A WHIP publisher has no ear for it.
                if let Way::Socket(conversation) = way {
                    conversation.say(demand, &mut self.events);
                }
            }
        }
    }

    /// A local track's layers were measured: news for the room, and the proof of which is the smallest.
    pub(crate) fn layers_measured(
        &mut self,
        index: u32,
        track: lyceum_media::TrackId,
        layers: Vec<LayerInfo>,
        now: Instant,
    ) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Peer { participant, media: Some(media), .. } = peer else { return };
        let Media { published, uplink, .. } = &mut **media;
        let Some(published) = published.iter_mut().find(|p| p.track == track) else { return };
        published.grow(layers.len());
        published.layers = layers;
        let name = TrackName { participant: participant.id.clone(), source: published.plan.source };
        if published.reorder() {
            published.schedule(now);
            uplink.unpublish(published.track);
            room.publishers.remove(&published.track);
            room.hop.unpublish(published.track, downlinks, now);
            published.track = room.hop.publish(&published.info(name), downlinks, now);
            room.publishers.insert(published.track, index);
            uplink.publish(published.publication(), now);
        } else {
            room.hop.update(published.track, &published.info(name), downlinks, now);
        }
        let place = peer.room;
        self.touch_room(place);
    }
}

impl Published {
    fn new(plan: Publishing) -> Self {
        let layers = plan.encodings.len();
        Self {
            track: lyceum_media::TrackId(0),
            encodings: plan.encodings.clone(),
            layers: vec![LayerInfo::default(); layers],
            reordered: false,
            watched: vec![true; layers],
            told: vec![true; layers],
            tell_at: None,
            plan,
        }
    }

    /// Whether the plan only changes what can change while the track goes on.
    fn goes_on_as(&self, plan: &Publishing) -> bool {
        self.plan.mid == plan.mid && self.plan.encodings == plan.encodings && self.plan.codec == plan.codec
    }

    fn info(&self, name: TrackName) -> TrackInfo {
        TrackInfo {
            kind: name.source.kind(),
            name,
            codec: self.plan.codec.clone(),
            clock_hz: self.plan.clock_hz,
            layers: self.layers.clone(),
            shared: self.shared(),
            muted: self.plan.muted,
        }
    }

    fn publication(&self) -> Publication {
        Publication {
            mid: self.plan.mid.clone(),
            track: self.track,
            payload_types: self.plan.payload_types.clone(),
            encodings: self.encodings.clone(),
            nack: self.plan.nack,
            keyframe: self.plan.keyframe,
        }
    }

    /// One encoding with several spatial layers.
    fn shared(&self) -> bool {
        self.encodings.len() == 1 && self.watched.len() > 1
    }

    /// Its one encoding turned out to have so many spatial layers. They are taken to be watched until the room says otherwise.
    fn grow(&mut self, layers: usize) {
        if self.encodings.len() == 1 && layers > self.watched.len() {
            self.watched.resize(layers, true);
            self.told.resize(layers, true);
            self.layers.resize(layers, LayerInfo::default());
        }
    }

    /// Sorts the encodings by the widths measured, once, when all are known and the names had said otherwise.
    fn reorder(&mut self) -> bool {
        let known = self.layers.iter().all(|layer| layer.width > 0);
        if self.reordered || !known || self.shared() || self.layers.is_sorted_by_key(|layer| layer.width) {
            return false;
        }
        self.reordered = true;
        let encodings = self.encodings.iter().cloned().zip(self.told.iter().copied());
        let mut rows: Vec<_> = self.layers.iter().copied().zip(encodings).collect();
        rows.sort_by_key(|(layer, _)| layer.width);
        (self.layers, (self.encodings, self.told)) = rows.into_iter().unzip();
        // It becomes another track, of which everything is wanted until the room says otherwise.
        self.watched.fill(true);
        for (spatial, encoding) in self.encodings.iter_mut().enumerate() {
            encoding.spatial = spatial as u8;
        }
        true
    }

    /// When the client is to be told of what is watched: more at once, less only when it stays less.
    fn schedule(&mut self, now: Instant) {
        let pairs = || self.watched.iter().zip(&self.told);
        // Sound is never paused: who speaks is found by listening.
        self.tell_at = if self.plan.source.kind() == lyceum_wire::id::Kind::Audio || pairs().all(|(w, t)| w == t) {
            None
        } else if pairs().any(|(watched, told)| *watched && !told) {
            Some(now)
        } else {
            Some(self.tell_at.unwrap_or(now + DEMAND_FALLS_AFTER))
        };
    }

    fn tell(&mut self) -> EdgeSays {
        self.tell_at = None;
        self.told.clone_from(&self.watched);
        if self.shared() {
            let spatial = self.told.iter().rposition(|watched| *watched).map(|spatial| spatial as u8);
            let watched = vec![RidDemand { rid: String::new(), watched: spatial.is_some() }];
            return EdgeSays::Demand { source: self.plan.source, watched, spatial };
        }
        let each = self.encodings.iter().zip(&self.told);
        let watched = each
            .map(|(encoding, watched)| RidDemand { rid: encoding.rid.clone().unwrap_or_default(), watched: *watched });
        EdgeSays::Demand { source: self.plan.source, watched: watched.collect(), spatial: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_media::uplink::{Encoding, KeyFrameAsk};

    fn camera(rids: &[&str]) -> Published {
        let encoding =
            |(n, rid): (usize, &&str)| Encoding { spatial: n as u8, rid: Some((*rid).into()), ..Encoding::default() };
        Published::new(Publishing {
            source: Source::Camera,
            mid: "1".into(),
            muted: false,
            codec: "VP8".into(),
            clock_hz: 90_000,
            payload_types: Vec::new(),
            encodings: rids.iter().enumerate().map(encoding).collect(),
            nack: true,
            keyframe: KeyFrameAsk::Pli,
        })
    }

    fn widths(published: &mut Published, widths: &[u16]) {
        published.layers = widths.iter().map(|w| LayerInfo { width: *w, ..LayerInfo::default() }).collect();
    }

    #[test]
    fn measured_widths_have_the_last_word_once() {
        let mut published = camera(&["a", "b", "c"]);
        widths(&mut published, &[1280, 0, 320]);
        assert!(!published.reorder(), "not everything is measured yet");
        widths(&mut published, &[1280, 640, 320]);
        assert!(published.reorder());
        let order: Vec<_> = published.encodings.iter().map(|e| (e.spatial, e.rid.as_deref().unwrap())).collect();
        assert_eq!(order, [(0, "c"), (1, "b"), (2, "a")]);
        assert_eq!(published.layers.iter().map(|l| l.width).collect::<Vec<_>>(), [320, 640, 1280]);
        widths(&mut published, &[640, 320, 1280]);
        assert!(!published.reorder(), "never twice");
    }

    #[test]
    fn layers_within_one_encoding_are_told_by_the_highest_watched() {
        let mut published = camera(&[]);
        published.encodings = vec![Encoding::default()];
        published.grow(1);
        assert!(
            !published
                .info(TrackName {
                    participant: lyceum_wire::id::ParticipantId::parse("a").unwrap(),
                    source: Source::Camera
                })
                .shared
        );
        published.grow(3);
        assert!(published.shared());
        widths(&mut published, &[1280, 640, 320]);
        assert!(!published.reorder(), "there is nothing to sort");
        for (watched, any, spatial) in
            [([true, true, false], true, Some(1)), ([false, false, true], true, Some(2)), ([false; 3], false, None)]
        {
            published.watched = watched.to_vec();
            let EdgeSays::Demand { watched, spatial: told, .. } = published.tell() else { panic!("demand") };
            assert_eq!((watched.len(), watched[0].watched, told), (1, any, spatial));
        }
        let mut simulcast = camera(&["q", "h"]);
        simulcast.grow(3);
        assert_eq!(simulcast.watched.len(), 2);
    }

    #[test]
    fn more_demand_is_told_at_once_and_less_after_a_while() {
        let now = Instant::now();
        let mut published = camera(&["q", "h"]);
        published.watched = vec![true, false];
        published.schedule(now);
        assert_eq!(published.tell_at, Some(now + DEMAND_FALLS_AFTER), "h is not watched");
        let later = now + Duration::from_secs(1);
        published.schedule(later);
        assert_eq!(published.tell_at, Some(now + DEMAND_FALLS_AFTER), "waiting does not begin anew");
        let EdgeSays::Demand { watched, .. } = published.tell() else { panic!("demand") };
        assert_eq!(
            watched.iter().map(|w| (w.rid.as_str(), w.watched)).collect::<Vec<_>>(),
            [("q", true), ("h", false)]
        );
        published.watched = vec![true, true];
        published.schedule(later);
        assert_eq!(published.tell_at, Some(later));
    }
}
