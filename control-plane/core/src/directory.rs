//! What a control plane knows of the mesh: the nodes that live and the rooms they host. Joins are answered from here alone,
//! so that they go on when the store is away.
//!
//! Two sources speak of a node. Its own reports, when it makes them to this control plane, are believed first. What the store
//! says comes second: an entry there means that the node reported somewhere within its lease. While the store is away, nodes
//! known only through it keep the age they had: the last good state.

use crate::kv::{Change, Entry, LeaseId, Listing, NODES, ROOMS};
use crate::map::{self, Record};
use crate::place::{self, Offer, Verdict, Wish};
use lyceum_wire::api::{
    EdgeAddress, Explanation, JoinRequest, NodeAddress, NodeInfo, NodeStatus, PROBES_MAX, RecentPlacement, RegionInfo,
    RoomInfo, RoomMap, RoomNode, Rooms,
};
use lyceum_wire::id::{NodeId, Region, RoomId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Somebody placed is expected for this long; who has not come by then does not come.
pub const EXPECTED_FOR: Duration = Duration::from_secs(15);
/// Participants expected at one node at most: beyond this the assumption alone has long filled it.
pub const EXPECTED_MAX: usize = 1_000;
/// Placements remembered for `explain`, over all rooms.
pub const RECENT_MAX: usize = 1_024;
/// Reports in a row that must leave out a room before its node counts as gone from it: one may have crossed the attachment.
pub const MISSING_REPORTS: u8 = 3;

/// What is known of the mesh.
#[derive(Debug)]
pub struct Directory {
    lease: Duration,
    nodes: BTreeMap<NodeId, Node>,
    rooms: BTreeMap<RoomId, Room>,
    store_lost: Option<Instant>,
    recent: VecDeque<Placed>,
    unreadable: u64,
}

#[derive(Debug)]
struct Node {
    status: NodeStatus,
    heard: Instant,
    /// Heard from itself, not from the store.
    direct: bool,
    /// Its entry in the store.
    stored: Option<Stored>,
    /// When participants were placed there whom no report shows yet, oldest first.
    expected: VecDeque<Instant>,
    /// Rooms that its reports left out though it is attached, and how often in a row.
    missing: BTreeMap<RoomId, u8>,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    revision: u64,
    lease: Option<LeaseId>,
}

#[derive(Debug)]
struct Room {
    record: Record,
    revision: u64,
}

#[derive(Debug)]
struct Placed {
    room: RoomId,
    node: NodeId,
    reason: String,
    at: Instant,
}

/// Where a participant goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The edge.
    pub edge: EdgeAddress,
    /// The TURN URL of the room's shard there, if the edge serves TURN.
    pub turn_url: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
}

/// No edge can take anybody. The text says what is known of the edges there are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoEdge(pub String);

/// What has to be written so that rooms' maps agree with what a node says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healing {
    /// Rooms the node hosts that do not know it, or not under this address.
    pub attach: Vec<RoomId>,
    /// Rooms that believe it hosts them.
    pub detach: Vec<RoomId>,
}

impl Directory {
    /// Knows nothing yet. Nodes live for `lease` after they were heard.
    #[must_use]
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            nodes: BTreeMap::new(),
            rooms: BTreeMap::new(),
            store_lost: None,
            recent: VecDeque::new(),
            unreadable: 0,
        }
    }

    /// The store said everything: this replaces what was known through it. Nodes that speak to this control plane and
    /// are not in the store (their lease ran out while it was away) stay as long as they speak.
    pub fn listed(&mut self, listing: &Listing, now: Instant) {
        let lease = self.lease;
        let keys: BTreeSet<&str> = listing.entries.iter().map(|entry| entry.key.as_str()).collect();
        let there = |prefix: &str, name: &str| keys.contains(format!("{prefix}{name}").as_str());
        self.rooms.retain(|room, _| there(ROOMS, room.as_str()));
        self.nodes.retain(|id, node| {
            if there(NODES, id.as_str()) {
                return true;
            }
            node.stored = None;
            node.direct && now.saturating_duration_since(node.heard) < lease
        });
        for entry in &listing.entries {
            self.put(entry, now);
        }
        self.store_lost = None;
    }

    /// Something happened in the store, or was written there by this control plane itself.
    pub fn changed(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Put(entry) => self.put(entry, now),
            Change::Gone { key, revision } => self.gone(key, *revision, now),
        }
    }

    /// The store is away: what is known ages no further.
    pub fn store_lost(&mut self, now: Instant) {
        self.store_lost.get_or_insert(now);
    }

    /// A node reports to this control plane itself. Returns the lease of its entry in the store, if it has one.
    pub fn reported(&mut self, id: &NodeId, status: NodeStatus, now: Instant) -> Option<LeaseId> {
        let node = self.hear(id, status, now);
        node.direct = true;
        node.stored.and_then(|stored| stored.lease)
    }

    /// This control plane wrote a node's report into the store.
    pub fn noted(&mut self, id: &NodeId, revision: u64, lease: LeaseId) {
        if let Some(node) = self.nodes.get_mut(id).filter(|node| node.stored.is_none_or(|s| s.revision <= revision)) {
            node.stored = Some(Stored { revision, lease: Some(lease) });
            node.direct = true;
        }
    }

    /// What has to be written after this node's report. Call it once for each.
    pub fn healing(&mut self, id: &NodeId) -> Healing {
        let mut healing = Healing::default();
        let Some(node) = self.nodes.get_mut(id) else { return healing };
        let address = address(id, &node.status);
        for room in node.status.rooms.keys() {
            node.missing.remove(room);
            let known = self.rooms.get(room).is_some_and(|room| room.record.nodes.contains(&address));
            if !known {
                healing.attach.push(room.clone());
            }
        }
        let attached = |room: &Room| room.record.nodes.iter().any(|there| there.node == *id);
        node.missing.retain(|room, _| self.rooms.get(room).is_some_and(attached));
        for (room, known) in &self.rooms {
            if attached(known) && !node.status.rooms.contains_key(room) {
                let reports = node.missing.entry(room.clone()).or_default();
                *reports += 1;
                if *reports >= MISSING_REPORTS {
                    healing.detach.push(room.clone());
                }
            }
        }
        healing
    }

    /// Nodes that rooms still name although they are dead, room by room. Nothing while the store is away: who is dead is not known then.
    #[must_use]
    pub fn orphans(&self) -> Vec<(RoomId, NodeId)> {
        if self.store_lost.is_some() {
            return Vec::new();
        }
        let dead = |node: &NodeId| !self.nodes.contains_key(node);
        let of = |(room, known): (&RoomId, &Room)| {
            let nodes = known.record.nodes.iter().filter(|there| dead(&there.node));
            nodes.map(|there| (room.clone(), there.node.clone())).collect::<Vec<_>>()
        };
        self.rooms.iter().flat_map(of).collect()
    }

    /// Tells the time: nodes that are in no store and have fallen silent are forgotten. (The store itself removes its own.)
    pub fn handle_time(&mut self, now: Instant) {
        let lease = self.lease;
        let silent = |node: &Node| node.stored.is_none() && now.saturating_duration_since(node.heard) >= lease;
        self.nodes.retain(|_, node| !silent(node));
    }

    /// Places a participant, and expects them there from now on.
    pub fn place(&mut self, room: &RoomId, request: &JoinRequest, now: Instant) -> Result<Choice, NoEdge> {
        let Verdict { chosen, reason, .. } = self.verdict(room, request, now);
        let Some(id) = chosen else { return Err(NoEdge(reason)) };
        let Some(node) = self.nodes.get_mut(&id) else { return Err(NoEdge(reason)) };
        if node.expected.len() == EXPECTED_MAX {
            node.expected.pop_front();
        }
        node.expected.push_back(now);
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(Placed { room: room.clone(), node: id.clone(), reason: reason.clone(), at: now });
        let shards = node.status.turn_urls.len() as u64;
        let shard = room.key().checked_rem(shards);
        let turn_url = shard.and_then(|shard| node.status.turn_urls.get(usize::try_from(shard).ok()?)).cloned();
        let edge = EdgeAddress { node: id, region: node.status.region.clone(), url: node.status.url.clone() };
        Ok(Choice { edge, turn_url, reason })
    }

    /// Where the next participant with these wishes would go and why, and where the last ones went.
    #[must_use]
    pub fn explain(&self, room: &RoomId, request: &JoinRequest, now: Instant) -> Explanation {
        let Verdict { chosen, reason, candidates } = self.verdict(room, request, now);
        let recent = self.recent.iter().rev().filter(|placed| placed.room == *room).take(EXPLAIN_RECENT_MAX);
        let recent = recent.map(|placed| RecentPlacement {
            node: placed.node.clone(),
            reason: placed.reason.clone(),
            age_ms: milliseconds(now.saturating_duration_since(placed.at)),
        });
        Explanation { room: room.clone(), chosen, reason, candidates, recent: recent.collect() }
    }

    /// A node's address, if it is known.
    #[must_use]
    pub fn address(&self, id: &NodeId) -> Option<NodeAddress> {
        self.nodes.get(id).map(|node| address(id, &node.status))
    }

    /// The maps of all rooms that name this node.
    #[must_use]
    pub fn maps_of(&self, id: &NodeId) -> Vec<RoomMap> {
        let names = |room: &Room| room.record.nodes.iter().any(|there| there.node == *id);
        let mine = self.rooms.iter().filter(|(_, room)| names(room));
        mine.filter_map(|(id, room)| map::view(id, &room.record, room.revision)).collect()
    }

    /// The regions that have a ready edge.
    #[must_use]
    pub fn regions(&self, now: Instant) -> Vec<RegionInfo> {
        let mut regions: BTreeMap<&Region, Vec<String>> = BTreeMap::new();
        for (_, node) in self.nodes.iter().filter(|(_, node)| node.status.ready && !self.silent(node, now)) {
            let probes = regions.entry(&node.status.region).or_default();
            if probes.len() < PROBES_MAX {
                probes.push(format!("{}/v1/probe", node.status.url.trim_end_matches('/')));
            }
        }
        regions.into_iter().map(|(region, probes)| RegionInfo { region: region.clone(), probes }).collect()
    }

    /// Rooms by name, the first after `after`, at most `limit`.
    #[must_use]
    pub fn rooms(&self, after: Option<&RoomId>, limit: usize) -> Rooms {
        let later = self.rooms.iter().filter(|(room, _)| after.is_none_or(|after| *room > after));
        let mut rooms: Vec<RoomInfo> = later.take(limit + 1).filter_map(|(id, room)| self.info(id, room)).collect();
        let more = rooms.len() > limit;
        rooms.truncate(limit);
        let next = rooms.last().filter(|_| more).map(|last| last.room.clone());
        Rooms { rooms, next }
    }

    /// One room, if somebody hosts it.
    #[must_use]
    pub fn room(&self, id: &RoomId) -> Option<RoomInfo> {
        self.rooms.get(id).and_then(|room| self.info(id, room))
    }

    /// All nodes.
    #[must_use]
    pub fn nodes(&self, now: Instant) -> Vec<NodeInfo> {
        let info = |(id, node): (&NodeId, &Node)| NodeInfo {
            node: id.clone(),
            region: node.status.region.clone(),
            url: node.status.url.clone(),
            link_addr: node.status.link_addr.clone(),
            version: node.status.version.clone(),
            ready: node.status.ready,
            age_ms: milliseconds(self.age(node, now)),
            load: node.status.load,
            expected: node.expecting(now),
        };
        self.nodes.iter().map(info).collect()
    }

    /// How much is known, for the metrics.
    #[must_use]
    pub fn count(&self, now: Instant) -> Count {
        let ready = self.nodes.values().filter(|node| node.status.ready && !self.silent(node, now)).count();
        let participants = self.nodes.values().map(|node| u64::from(node.status.load.participants)).sum();
        Count { nodes: self.nodes.len(), ready, rooms: self.rooms.len(), participants, unreadable: self.unreadable }
    }

    fn put(&mut self, entry: &Entry, now: Instant) {
        if let Some(name) = entry.key.strip_prefix(NODES) {
            let (Ok(id), Ok(status)) = (NodeId::parse(name), serde_json::from_slice::<NodeStatus>(&entry.value)) else {
                self.unreadable += 1;
                return;
            };
            let stored = Stored { revision: entry.revision, lease: entry.lease };
            match self.nodes.get_mut(&id) {
                // What the node said to this control plane itself is at least as new.
                Some(node) if node.stored.is_some_and(|known| known.revision >= entry.revision) => {
                    node.stored = node.stored.filter(|known| known.revision > entry.revision).or(Some(stored));
                    if !node.direct {
                        node.heard = now;
                    }
                }
                _ => {
                    let node = self.hear(&id, status, now);
                    node.direct = false;
                    node.stored = Some(stored);
                }
            }
        } else if let Some(name) = entry.key.strip_prefix(ROOMS) {
            let (Ok(id), Ok(record)) = (RoomId::parse(name), serde_json::from_slice::<Record>(&entry.value)) else {
                self.unreadable += 1;
                return;
            };
            if self.rooms.get(&id).is_none_or(|room| room.revision < entry.revision) {
                self.rooms.insert(id, Room { record, revision: entry.revision });
            }
        }
    }

    fn gone(&mut self, key: &str, revision: u64, now: Instant) {
        if let Some(id) = key.strip_prefix(NODES).and_then(|name| NodeId::parse(name).ok()) {
            let Some(node) = self.nodes.get_mut(&id) else { return };
            if node.stored.is_some_and(|known| known.revision > revision) {
                return;
            }
            node.stored = None;
            let speaks = node.direct && now.saturating_duration_since(node.heard) < self.lease;
            if !speaks {
                self.nodes.remove(&id);
            }
        } else if let Some(id) = key.strip_prefix(ROOMS).and_then(|name| RoomId::parse(name).ok())
            && self.rooms.get(&id).is_some_and(|room| room.revision < revision)
        {
            self.rooms.remove(&id);
        }
    }

    /// A report, from wherever: participants it shows are no longer expected.
    fn hear(&mut self, id: &NodeId, status: NodeStatus, now: Instant) -> &mut Node {
        let node = self.nodes.entry(id.clone()).or_insert_with(|| Node {
            status: status.clone(),
            heard: now,
            direct: false,
            stored: None,
            expected: VecDeque::new(),
            missing: BTreeMap::new(),
        });
        let arrived = status.load.participants.saturating_sub(node.status.load.participants) as usize;
        node.expected.drain(..arrived.min(node.expected.len()));
        node.status = status;
        node.heard = now;
        node
    }

    fn verdict(&self, room: &RoomId, request: &JoinRequest, now: Instant) -> Verdict {
        let hosts = |id: &NodeId, node: &Node| {
            let reported = node.status.rooms.get(room).copied();
            let attached = self.rooms.get(room).is_some_and(|room| room.record.nodes.iter().any(|n| n.node == *id));
            reported.or(attached.then_some(0))
        };
        let offer = |(id, node)| offer(id, node, self.silent(node, now), hosts(id, node), now);
        let offers: Vec<Offer<'_>> = self.nodes.iter().map(offer).collect();
        let wish = Wish { room, region: request.region.as_ref(), rtt_ms: &request.rtt_ms, avoid: &request.avoid };
        place::choose(&wish, &offers)
    }

    fn info(&self, id: &RoomId, room: &Room) -> Option<RoomInfo> {
        let people =
            |node: &NodeId| self.nodes.get(node).and_then(|node| node.status.rooms.get(id)).copied().unwrap_or(0);
        let nodes: Vec<RoomNode> = room
            .record
            .nodes
            .iter()
            .map(|n| RoomNode { node: n.node.clone(), region: n.region.clone(), participants: people(&n.node) })
            .collect();
        Some(RoomInfo {
            room: id.clone(),
            epoch: room.revision,
            home: room.record.nodes.first()?.node.clone(),
            participants: nodes.iter().map(|node| node.participants).sum(),
            nodes,
        })
    }

    fn silent(&self, node: &Node, now: Instant) -> bool {
        self.age(node, now) >= self.lease
    }

    fn age(&self, node: &Node, now: Instant) -> Duration {
        let until = self.store_lost.filter(|_| !node.direct).unwrap_or(now);
        until.saturating_duration_since(node.heard)
    }
}

/// How much is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Nodes.
    pub nodes: usize,
    /// Nodes that take people.
    pub ready: usize,
    /// Rooms.
    pub rooms: usize,
    /// Participants, as last reported.
    pub participants: u64,
    /// Entries of the store that could not be read since the start: written by a version too new.
    pub unreadable: u64,
}

/// Placements told by one explanation.
const EXPLAIN_RECENT_MAX: usize = 20;

impl Node {
    fn expecting(&self, now: Instant) -> u32 {
        let coming = self.expected.iter().filter(|at| now.saturating_duration_since(**at) < EXPECTED_FOR);
        u32::try_from(coming.count()).unwrap_or(u32::MAX)
    }
}

fn offer<'a>(id: &'a NodeId, node: &'a Node, silent: bool, hosts: Option<u32>, now: Instant) -> Offer<'a> {
    Offer {
        node: id,
        region: &node.status.region,
        ready: node.status.ready,
        silent,
        load: node.status.load,
        expected: node.expecting(now),
        hosts,
    }
}

fn address(id: &NodeId, status: &NodeStatus) -> NodeAddress {
    NodeAddress { node: id.clone(), region: status.region.clone(), link_addr: status.link_addr.clone() }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
