//! A room on several shards of one node: its *root* on the room's own shard, *branches* on others, joined in memory.
//!
//! ```text
//!                      ┌───────────── one node ─────────────┐
//!   other nodes ─links─┼─ root (shard 2) ─┬─ branch (shard 0)│     a star: what a branch has is its own or the root's
//!                      │                  └─ branch (shard 3)│
//!                      └─────────────────────────────────────┘
//! ```
//!
//! Parts speak the link's own language, so that cascading is the one way to grow. What differs is who they are: there is no
//! node between them. To other nodes the root speaks for all parts as one node; a track's hop list says nothing of shards, and
//! is kept short of this node's own id between its parts. A star has no loop: the root hands a track to every part but
//! the one it comes from, a branch hands on its own publishers' alone.
//!
//! A branch opens the room with the root when it is made, and knocks again until it is answered; a root that has gone (its
//! room was thrown out by a panic) is made anew by that.

use super::peer::{Link, Peer, PeerIndex};
use super::{CONNECT_AGAIN, Hop, Loss, Output};
use bytes::Bytes;
use lyceum_media::Downlinks;
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::link::{Message, VERSION_MAX};
use lyceum_wire::signal::Participant;
use std::time::{Duration, Instant};

/// Which part of the room a hop is on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The one on the room's own shard, which other nodes meet. The only one, unless the room is split.
    Root,
    /// One more, on another shard: all it shares with anybody it shares with the root.
    Branch {
        /// The root's shard.
        root: u8,
    },
}

/// What one part of a room says to another: what a link carries, without the link.
#[derive(Debug, Clone)]
pub enum Said {
    /// A message about the room, as on a link's control stream.
    Message(Box<Message>),
    /// Datagrams, as on a link.
    Datagrams(Vec<Bytes>),
    /// Where nodes stand: a branch hears no map.
    Regions {
        /// The room.
        room: RoomId,
        /// Nodes and their regions.
        regions: Vec<(NodeId, Region)>,
    },
}

/// Datagrams in memory are never cut: larger than any packet of a media port.
const DATAGRAM_BYTES_MAX: usize = 65_535;

impl Hop {
    /// Whether it is a branch of its room.
    #[must_use]
    pub fn is_branch(&self) -> bool {
        matches!(self.config.part, Part::Branch { .. })
    }

    /// Whether another part of the room on this node lives by this one.
    #[must_use]
    pub fn has_branches(&self) -> bool {
        !self.is_branch() && self.parts.values().any(|at| self.peers.get(at.0).is_some_and(Peer::is_open))
    }

    /// The part of the room on another shard of this node said something.
    pub fn part_said(&mut self, shard: u8, said: Said, downlinks: &mut Downlinks, now: Instant) {
        let Some(at) = self.part_on(shard) else { return self.stats.lose(Loss::NotOpen, 1) };
        match said {
            Said::Message(message) => {
                let closes = matches!(*message, Message::RoomClose { .. });
                self.heard(at, *message, downlinks, now);
                if closes && self.is_branch() {
                    self.knock_at(at, now);
                }
            }
            Said::Datagrams(datagrams) => {
                for datagram in &datagrams {
                    self.datagram_at(at, datagram, downlinks, now);
                }
            }
            Said::Regions { regions, .. } => self.regions.extend(regions),
        }
    }

    /// Whose shard a peer is, when it is no other node.
    pub(super) fn part_at(&self, at: PeerIndex) -> Option<u8> {
        self.peers.get(at.0)?.part
    }

    /// A branch begins at its root.
    pub(super) fn grow_from_root(&mut self, now: Instant) {
        if let Part::Branch { root } = self.config.part
            && let Some(at) = self.part_on(root)
        {
            // By this name the order of messages knows it: to a branch, the root is the node.
            self.names.insert(self.config.node.clone(), at);
            self.knock_at(at, now);
            self.knock(now);
        }
    }

    /// A branch whose root does not answer opens the room anew.
    pub(super) fn knock(&mut self, now: Instant) {
        let Part::Branch { root } = self.config.part else { return };
        let Some(at) = self.parts.get(&root).copied() else { return };
        if let Some(peer) = self.peers.get_mut(at.0).filter(|peer| peer.connect_at.is_some_and(|at| at <= now)) {
            peer.opened_by_us = false;
            peer.connect_at = Some(now + CONNECT_AGAIN);
            self.open(at);
        }
    }

    fn knock_at(&mut self, at: PeerIndex, now: Instant) {
        if let Some(peer) = self.peers.get_mut(at.0) {
            peer.connect_at = Some(now);
        }
    }

    /// The peer that is this node's part on a shard. A branch has none but the root.
    fn part_on(&mut self, shard: u8) -> Option<PeerIndex> {
        if let Some(at) = self.parts.get(&shard) {
            return Some(*at);
        }
        let knows = match self.config.part {
            Part::Root => shard != self.config.shard,
            Part::Branch { root } => shard == root,
        };
        if !knows {
            return None;
        }
        let at = PeerIndex(self.peers.len());
        let mut peer = Peer::new(self.config.node.clone());
        peer.part = Some(shard);
        peer.region = Some(self.config.region.clone());
        // One process on both sides: nothing to negotiate.
        let version = VERSION_MAX;
        peer.link = Some(Link { version, rtt: Duration::ZERO, datagram_bytes_max: DATAGRAM_BYTES_MAX });
        self.peers.push(peer);
        self.parts.insert(shard, at);
        Some(at)
    }

    /// The branches hear who came and went anywhere but with themselves.
    pub(super) fn tell_branches_people(&mut self) {
        let Some(news) = self.roster.news_for_branches().filter(|_| !self.is_branch()) else { return };
        for (shard, at) in self.parts.clone() {
            let own = |id: &ParticipantId| self.roster.is_of_branch(shard, id);
            let present = news.present.values().filter(|participant| !own(&participant.id));
            let present: Vec<Participant> = present.cloned().collect();
            let gone: Vec<ParticipantId> = news.gone.iter().cloned().collect();
            if !present.is_empty() || !gone.is_empty() {
                self.say_roster(at, false, &present, &gone);
            }
        }
    }

    /// The branches hear where nodes stand.
    pub(super) fn tell_regions(&mut self) {
        if self.is_branch() {
            return;
        }
        let open = |at: &PeerIndex| self.peers.get(at.0).is_some_and(|peer| peer.opened_by_us);
        let branches: Vec<u8> = self.parts.iter().filter(|(_, at)| open(at)).map(|(shard, _)| *shard).collect();
        for shard in branches {
            let regions = self.regions.iter().map(|(node, region)| (node.clone(), region.clone())).collect();
            let said = Said::Regions { room: self.config.room.clone(), regions };
            self.out.push_back(Output::Part { shard, said });
        }
    }
}
