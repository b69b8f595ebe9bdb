//! What a peer receives: its slots, what it shows, and, for a WHEP player, what the edge shows it.

use super::{Peer, Way};
use crate::shard::Shard;
use lyceum_media::downlink::SlotSpec;
use lyceum_wire::id::{Source, TrackName};
use lyceum_wire::signal::{SlotKind, Tile};
use std::time::Instant;

/// The tile a WHEP player is taken to show: as large as any.
const PLAYER_TILE: (u16, u16) = (1920, 1080);

impl Shard {
    /// The receiving lines were negotiated.
    pub(crate) fn apply_slots(&mut self, index: u32, slots: Vec<SlotSpec>, now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Some(media) = &mut peer.media else { return };
        if media.slots != slots {
            media.slots = slots;
            downlinks.set_slots(media.downlink, media.slots.clone());
            room.hop.room.slots_changed(media.downlink, downlinks, now);
        }
        if matches!(peer.way, Way::Whep) {
            self.direct(index, now);
        } else {
            self.apply_view(index, now);
        }
    }

    /// Tells the room what the peer shows, once both are known.
    pub(crate) fn apply_view(&mut self, index: u32, now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Peer { media: Some(media), view: Some(view), listen, .. } = peer else { return };
        room.hop.room.view(media.downlink, view, downlinks, now);
        room.hop.room.listen(media.downlink, listen, downlinks, now);
        let place = peer.room;
        self.touch_room(place);
    }

    /// Chooses what all WHEP players of a room see: who came, left, spoke or shared a screen may have changed it.
    pub(crate) fn direct_all(&mut self, place: u32, now: Instant) {
        let Some(room) = self.rooms.get(place) else { return };
        let is_player = |index: &u32| self.peers.get(*index).is_some_and(|peer| matches!(peer.way, Way::Whep));
        let players: Vec<u32> = room.members.iter().copied().filter(is_player).collect();
        for index in players {
            self.direct(index, now);
        }
    }

    /// Chooses what a WHEP player sees: a screen if one is shared, else who speaks, else who came first.
    fn direct(&mut self, index: u32, now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let Some(media) = &mut peer.media else { return };
        let tracks = room.program();
        let (width, height) = PLAYER_TILE;
        let tiles: Vec<Tile> =
            tracks.iter().map(|track| Tile { track: track.clone(), width, height, pinned: false }).collect();
        // A player's picture lines are alike: each takes the kind of what shall be seen in it.
        let mut kinds = tracks.iter().map(|track| match track.source {
            Source::Screen => SlotKind::Screen,
            _ => SlotKind::Video,
        });
        let mut changed = false;
        for slot in media.slots.iter_mut().filter(|slot| slot.kind != SlotKind::Audio) {
            let kind = kinds.next().unwrap_or(SlotKind::Video);
            changed |= slot.kind != kind;
            slot.kind = kind;
        }
        if changed {
            downlinks.set_slots(media.downlink, media.slots.clone());
            room.hop.room.slots_changed(media.downlink, downlinks, now);
        }
        if peer.view.as_ref() != Some(&tiles) {
            room.hop.room.view(media.downlink, &tiles, downlinks, now);
            peer.view = Some(tiles);
        }
        let place = peer.room;
        self.touch_room(place);
    }
}

/// Puts the pictures of a room in the order in which a player with few lines shall see them.
pub(crate) fn program(
    publications: impl Iterator<Item = TrackName>,
    speakers: &[lyceum_wire::id::ParticipantId],
) -> Vec<TrackName> {
    let mut tracks: Vec<TrackName> =
        publications.filter(|track| matches!(track.source, Source::Camera | Source::Screen)).collect();
    let place = |track: &TrackName| match track.source {
        Source::Screen => 0,
        _ => 1 + speakers.iter().position(|speaker| *speaker == track.participant).unwrap_or(speakers.len()),
    };
    tracks.sort_by_key(place);
    tracks
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::id::ParticipantId;

    #[test]
    fn a_player_sees_screens_then_speakers_then_the_others() {
        let id = |name: &str| ParticipantId::parse(name).unwrap();
        let track = |name: &str, source| TrackName { participant: id(name), source };
        let published = [
            track("ana", Source::Camera),
            track("ana", Source::Microphone),
            track("ben", Source::Camera),
            track("cem", Source::Camera),
            track("cem", Source::Screen),
        ];
        let shown = program(published.iter().cloned(), &[id("cem"), id("ben")]);
        let names: Vec<_> = shown.iter().map(|t| (t.participant.as_str(), t.source)).collect();
        assert_eq!(
            names,
            [("cem", Source::Screen), ("cem", Source::Camera), ("ben", Source::Camera), ("ana", Source::Camera)]
        );
    }
}
