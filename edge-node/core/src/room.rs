//! One room on this shard: its hop, its participants here, and what they are told together.

use crate::door::{Aside, Event};
use crate::drops::Departure;
use crate::peer::{Peer, Way, grants, subscribe};
use crate::shard::{Alarm, Shard};
use crate::signal::roster::{Delta, ROSTER_EVERY, Told, Whole};
use crate::signal::saying::Body;
use lyceum_media::TrackId;
use lyceum_relay_core::hop::{self, Hop, Output};
use lyceum_wire::api::RoomMap;
use lyceum_wire::id::{Kind, ParticipantId, RoomId, TrackName};
use lyceum_wire::link::Message;
use lyceum_wire::signal::{self, EdgeSays, Participant, Path};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

/// One room on this shard.
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) hop: Hop,
    /// Peers in it, by their place.
    pub(crate) members: BTreeSet<u32>,
    /// Whose the local tracks are.
    pub(crate) publishers: BTreeMap<TrackId, u32>,
    /// Who speaks, loudest first.
    speakers: Vec<ParticipantId>,
    delta: Delta,
    delta_at: Option<Instant>,
    /// Everybody as newcomers are told, until the next change is told.
    whole: Option<Whole>,
    pub(crate) told: Told,
    /// What moderators here have asked of other edges.
    pub(crate) asked: BTreeMap<u32, grants::Asked>,
    /// Nobody is left: it ends then.
    ends_at: Option<Instant>,
    /// This node's own entry in paths.
    here: signal::Hop,
    /// Waits to be looked at in this turn.
    pub(crate) dirty: bool,
}

impl Room {
    fn new(id: RoomId, hop: Hop, here: signal::Hop) -> Self {
        Self {
            id,
            hop,
            members: BTreeSet::new(),
            publishers: BTreeMap::new(),
            speakers: Vec::new(),
            delta: Delta::default(),
            delta_at: None,
            whole: None,
            told: Told::default(),
            asked: BTreeMap::new(),
            ends_at: None,
            here,
            dirty: false,
        }
    }

    /// A participant of this node came, or changed.
    pub(crate) fn came(&mut self, participant: Participant, now: Instant) {
        self.hop.join(participant.clone());
        self.delta.came(participant);
        self.delta_at.get_or_insert(now + ROSTER_EVERY);
    }

    /// A participant of this node left.
    fn left(&mut self, participant: &ParticipantId, now: Instant) {
        self.hop.leave(participant);
        self.delta.left(participant.clone());
        self.delta_at.get_or_insert(now + ROSTER_EVERY);
    }

    /// Everybody and the ways of their tracks, for a newcomer.
    pub(crate) fn introduce(&mut self, newcomer: &Participant) -> Vec<Arc<Body>> {
        let total = self.hop.total() as u32;
        let own = self.whole.is_some().then(|| (newcomer.clone(), total));
        if self.whole.is_none() {
            let remote = self.hop.paths();
            let elsewhere: BTreeSet<ParticipantId> = remote.iter().map(|path| path.participant.clone()).collect();
            // Who publishes on another shard of this edge has a path of the hop's.
            let here =
                |p: &&Participant| p.edge == self.here.node && !p.publishes.is_empty() && !elsewhere.contains(&p.id);
            let local = self.hop.roster().filter(here).map(|p| self.local_path(p.id.clone()));
            let whole = Whole::new(self.hop.roster().cloned(), local.chain(remote), total);
            whole.roster(None).chain(whole.paths()).for_each(|body| self.told.wrote(&body));
            self.whole = Some(whole);
        }
        let Some(whole) = &self.whole else { return Vec::new() };
        let roster: Vec<_> = whole.roster(own).collect();
        roster.iter().for_each(|body| self.told.said(body));
        roster
    }

    /// The ways of everybody's tracks, for a newcomer.
    pub(crate) fn all_paths(&self) -> Vec<Arc<Body>> {
        self.whole.iter().flat_map(Whole::paths).collect()
    }

    /// The path of what is published at this very edge.
    fn local_path(&self, participant: ParticipantId) -> Path {
        Path { participant, hops: vec![self.here.clone()], latency_ms: 0.0 }
    }

    /// The pictures of the room in the order in which a player shall see them.
    pub(crate) fn program(&self) -> Vec<TrackName> {
        let publications = self.hop.roster().flat_map(|participant| {
            let shown = participant.publishes.iter().filter(|p| !p.muted && p.source.kind() == Kind::Video);
            shown.map(|p| TrackName { participant: participant.id.clone(), source: p.source })
        });
        subscribe::program(publications, &self.speakers)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.hop.deadline(), self.delta_at, self.ends_at].into_iter().flatten().min()
    }
}

impl Shard {
    /// The room's place; made when it is not here yet. `None`: no more rooms fit.
    pub(crate) fn room_for(&mut self, id: &RoomId, now: Instant) -> Option<u32> {
        if let Some(place) = self.room_by_id.get(id).copied() {
            // What was said before the newcomer came is history to it, and must not reach it twice.
            self.settle_room(place, now);
            return Some(place);
        }
        if self.rooms.len() >= crate::config::ROOMS_MAX {
            return None;
        }
        let place = self.rooms.next_key();
        let config = hop::Config {
            room: id.clone(),
            node: self.config.node.clone(),
            region: self.config.region.clone(),
            shard: self.config.shard,
            slot: place as u16,
            part: self.root_of(id).map_or(hop::Part::Root, |root| hop::Part::Branch { root }),
            transit: hop::Transit::Never,
        };
        let mut hop = Hop::new(config, now);
        if !hop.is_branch() {
            for (node, link) in &self.links {
                hop.link_up(node, &link.region, link.version, link.rtt, link.datagram_bytes_max);
            }
            // The control plane hears of a room from its root.
            self.events.push_back(Event::RoomWanted { room: id.clone() });
        }
        let here = signal::Hop { node: self.config.node.clone(), region: self.config.region.clone() };
        self.rooms.insert(Room::new(id.clone(), hop, here));
        self.room_by_id.insert(id.clone(), place);
        self.room_by_key.insert(id.key(), place);
        Some(place)
    }

    /// The shard of the room's root, when that is another one.
    pub(crate) fn root_of(&self, room: &RoomId) -> Option<u8> {
        let shards = self.config.siblings.len() as u64 + 1;
        let root = (room.key() % shards) as u8;
        (shards > 1 && root != self.config.shard).then_some(root)
    }

    /// A room lives as long as somebody is in it, or, at its root, on another shard.
    pub(crate) fn keep_or_end(&mut self, place: u32, now: Instant) {
        let linger = self.config.linger;
        let Some(room) = self.rooms.get_mut(place) else { return };
        if !room.members.is_empty() || room.hop.has_branches() {
            room.ends_at = None;
        } else {
            room.ends_at.get_or_insert(now + linger);
        }
    }

    /// The control plane, or who counts, hears that a room is gone.
    pub(crate) fn room_is_gone(&mut self, room: &Room) {
        let id = room.id.clone();
        self.events.push_back(match room.hop.is_branch() {
            true => Event::RoomCount { room: id, participants: 0 },
            false => Event::RoomEmpty { room: id },
        });
    }

    /// The other parts hear of a room that could not say so itself.
    pub(crate) fn part_is_gone(&mut self, room: &RoomId) {
        let from = self.config.shard;
        let root = self.root_of(room);
        for shard in self.config.siblings.iter().map(|sibling| sibling.shard) {
            if root.is_none_or(|root| root == shard) {
                let message = Box::new(Message::RoomClose { room: room.clone() });
                self.events.push_back(Event::Aside { from, shard, aside: Aside::Room(hop::Said::Message(message)) });
            }
        }
    }

    /// A peer is in the room from now on.
    pub(crate) fn enter_room(&mut self, place: u32, index: u32, now: Instant) {
        let Self { peers, rooms, .. } = self;
        let (Some(room), Some(peer)) = (rooms.get_mut(place), peers.get(index)) else { return };
        room.members.insert(index);
        room.ends_at = None;
        if peer.is_seen() {
            room.came(peer.participant.clone(), now);
        }
        self.count_room(place);
        self.touch_room(place);
    }

    /// A peer's tracks and downlink are out of the room already; now it is.
    pub(crate) fn leave_room(&mut self, place: u32, index: u32, peer: &Peer, now: Instant) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        if !room.members.remove(&index) {
            return;
        }
        if peer.is_seen() {
            room.left(&peer.participant.id, now);
        }
        self.keep_or_end(place, now);
        self.count_room(place);
        self.touch_room(place);
    }

    fn count_room(&mut self, place: u32) {
        if let Some(room) = self.rooms.get(place) {
            let participants = room.members.len() as u32;
            self.events.push_back(Event::RoomCount { room: room.id.clone(), participants });
        }
    }

    /// The control plane says who hosts a room.
    pub(crate) fn mapped(&mut self, map: &RoomMap, now: Instant) {
        let Some(place) = self.room_by_id.get(&map.room).copied() else {
            // The room ended here while the answer was under way, or the control plane remembers what is gone.
            if map.nodes.iter().any(|address| address.node == self.config.node) {
                self.events.push_back(Event::RoomEmpty { room: map.room.clone() });
            }
            return;
        };
        if let Some(room) = self.rooms.get_mut(place) {
            room.hop.map(map, now);
            self.touch_room(place);
        }
    }

    /// Timers of the room.
    pub(crate) fn room_timeout(&mut self, place: u32, now: Instant) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        if room.hop.deadline().is_some_and(|at| at <= now) {
            room.hop.handle_timeout(&mut self.downlinks, now);
        }
        if room.ends_at.is_some_and(|at| at <= now) {
            return self.end_room(place, now);
        }
        if room.delta_at.is_some_and(|at| at <= now) {
            room.delta_at = None;
            if !room.delta.is_empty() {
                let bodies = room.delta.take(room.hop.total() as u32);
                room.whole = None;
                for body in bodies {
                    self.tell_all(place, body);
                }
                self.direct_all(place, now);
            }
        }
        self.touch_room(place);
    }

    /// Nobody is left in it: it goes, whole.
    pub(crate) fn end_room(&mut self, place: u32, now: Instant) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        room.hop.close(&mut self.downlinks, now);
        self.settle_room(place, now);
        let Some(room) = self.rooms.remove(place) else { return };
        let live = room.hop.room.live();
        if live != lyceum_media::room::Live::default() {
            tracing::error!(?live, "a room that ended was not empty");
        }
        self.room_by_id.remove(&room.id);
        self.room_by_key.remove(&room.id.key());
        self.timers.set(Alarm::Room(place), None);
        self.past.take(&room.hop);
        self.past.take_told(&room.told);
        self.room_is_gone(&room);
    }

    /// Does what the hop wants done, until it wants nothing more.
    pub(crate) fn settle_room(&mut self, place: u32, now: Instant) {
        if let Some(room) = self.rooms.get_mut(place) {
            room.hop.deliver(&mut self.downlinks, now);
        }
        while let Some(output) = self.rooms.get_mut(place).and_then(|room| room.hop.poll()) {
            match output {
                Output::Message { node, message } => self.events.push_back(Event::LinkSend { node, message }),
                Output::Datagrams { node, datagrams } => {
                    self.events.push_back(Event::LinkDatagrams { node, datagrams });
                }
                Output::Part { shard, said } => {
                    let from = self.config.shard;
                    self.events.push_back(Event::Aside { from, shard, aside: Aside::Room(said) });
                }
                Output::Connect(address) => self.events.push_back(Event::Connect { address }),
                Output::Roster { present, gone } => self.remote_roster(place, present, gone, now),
                Output::Posted(message) => self.tell_all(place, Body::new(EdgeSays::Message { message })),
                Output::Paths(paths) => self.ways_changed(place, paths, now),
                Output::Grant(wish) => self.grant_wished(place, wish, now),
                Output::Granted { request, refused } => self.grant_answered(place, request, refused),
                Output::Room(event) => self.media_event(place, event, now),
            }
        }
        let deadline = self.rooms.get(place).and_then(Room::deadline);
        self.timers.set(Alarm::Room(place), deadline);
    }

    fn remote_roster(&mut self, place: u32, present: Vec<Participant>, gone: Vec<ParticipantId>, now: Instant) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        present.into_iter().for_each(|participant| room.delta.came(participant));
        gone.into_iter().for_each(|participant| room.delta.left(participant));
        room.delta_at.get_or_insert(now + ROSTER_EVERY);
    }

    fn media_event(&mut self, place: u32, event: lyceum_media::Event, now: Instant) {
        use lyceum_media::Event as Media;
        let publisher = |shard: &Self, track| shard.rooms.get(place)?.publishers.get(&track).copied();
        match event {
            Media::Demand { track, spatial, temporal } => {
                if let Some(index) = publisher(self, track) {
                    self.demand_changed(index, track, spatial, temporal.is_some(), now);
                }
            }
            Media::KeyFrame { track, spatial } => {
                if let Some(index) = publisher(self, track) {
                    self.key_frame_needed(index, track, spatial, now);
                }
            }
            Media::Layers { track, layers } => {
                if let Some(index) = publisher(self, track) {
                    self.layers_measured(index, track, layers, now);
                }
            }
            Media::Slots { downlink, assigned } => {
                let Some(index) = self.peer_by_downlink.get(&downlink).copied() else { return };
                let said = |a: lyceum_media::room::Assigned| signal::SlotAssignment {
                    mid: a.mid,
                    track: a.track,
                    paused: a.paused,
                };
                let assigned = assigned.into_iter().map(said).collect();
                self.say(index, EdgeSays::Slots { assigned });
            }
            Media::Speakers { active } => {
                if let Some(room) = self.rooms.get_mut(place) {
                    room.speakers.clone_from(&active);
                }
                self.tell_all(place, Body::new(EdgeSays::Speakers { active }));
                self.direct_all(place, now);
            }
        }
    }

    /// Tracks come here by these ways from now on: told with the next changes of the roster.
    fn ways_changed(&mut self, place: u32, paths: Vec<Path>, now: Instant) {
        let Some(room) = self.rooms.get_mut(place) else { return };
        paths.into_iter().for_each(|path| room.delta.moved(path));
        room.delta_at.get_or_insert(now + ROSTER_EVERY);
    }

    /// What somebody publishes at this edge comes by the shortest of all paths.
    pub(crate) fn tell_local_path(&mut self, place: u32, participant: ParticipantId, now: Instant) {
        let Some(room) = self.rooms.get(place) else { return };
        let path = room.local_path(participant);
        self.ways_changed(place, vec![path], now);
    }

    /// Says the same to everybody in the room.
    fn tell_all(&mut self, place: u32, body: Arc<Body>) {
        let Self { peers, rooms, events, .. } = self;
        let Some(room) = rooms.get_mut(place) else { return };
        room.told.wrote(&body);
        for index in &room.members {
            if let Some(Peer { way: Way::Socket(conversation), .. }) = peers.get_mut(*index) {
                room.told.said(&body);
                conversation.say_shared(body.clone(), events);
            }
        }
    }

    /// Ends one participant's session.
    pub(crate) fn kick(&mut self, room: &RoomId, participant: &ParticipantId, message: String, now: Instant) {
        let Some(room) = self.room_by_id.get(room).and_then(|place| self.rooms.get(*place)) else { return };
        let is_meant = |index: &&u32| self.peers.get(**index).is_some_and(|peer| peer.participant.id == *participant);
        if let Some(index) = room.members.iter().find(is_meant).copied() {
            self.bid_farewell(index, message, false, Departure::Kicked, now);
        }
    }
}
