//! The one order of a room's messages.
//!
//! ```text
//!   poster ── Post ──▶ home ── Posted(after, numbered) ──▶ every node that has opened the room
//! ```
//!
//! The room's *home* (one of the nodes that host it, as its map says) gives out the numbers. Three rules keep the order
//! whole when links break and homes change:
//!
//! 1. **A post waits at its poster until it comes back numbered.** Whenever the home opens the room anew, everything that
//!    waits is posted again; the home knows what it has numbered by (from, id).
//! 2. **`Posted` says from where it goes on** and carries a digest of all before. Who has not seen all before asks by
//!    `RoomOpen`; the answer begins with the last message the asker says it has. Who has the same numbers for other
//!    messages steps back until the digests agree, takes the home's, and posts again what thereby lost its number.
//! 3. **A new home first collects.** Whoever knows more than the home sends it; the home gives out no number until every
//!    linked node has spoken or [`COLLECT_MAX`] has passed.
//!
//! Where a node has split the room over shards, its *root* part speaks for all of them: a branch takes the root for the
//! room's home, and the root takes a branch's posts for its own.

use lyceum_wire::id::{NodeId, ParticipantId, RoomId};
use lyceum_wire::link::{Message, chain};
use lyceum_wire::signal::{HISTORY_MESSAGES, RoomMessage};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Messages kept, for nodes that were cut off: more than late joiners get, so that a cut of minutes heals without a hole.
pub const LOG_MESSAGES_MAX: usize = 512;
/// Own posts waiting for their number at most: a class typing for half a minute without its home.
pub const WAITING_MAX: usize = 256;
/// Posts kept by a new home while it collects.
pub const HELD_MAX: usize = 1024;
/// Numbered posts remembered by (from, id): twice what can still be posted again.
pub const REMEMBERED_MAX: usize = 4096;
/// A new home waits this long for nodes that are linked but silent: several round trips around the world.
pub const COLLECT_MAX: Duration = Duration::from_secs(2);
/// Room messages in one link message: with the longest bodies half of the longest link message.
const POSTED_PER_MESSAGE: usize = 32;

/// What the order wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// Send it to this node.
    Send {
        /// To whom.
        node: NodeId,
        /// What.
        message: Message,
    },
    /// Give it to the branch on this shard.
    Branch {
        /// Which shard.
        shard: u8,
        /// What.
        message: Message,
    },
    /// Show it to this node's people.
    Deliver(RoomMessage),
}

/// What was refused or lost, to be counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Posts to a node that is not the home.
    pub not_home: u64,
    /// Posts numbered before.
    pub posted_already: u64,
    /// `Posted` by a node without a say.
    pub not_from_home: u64,
    /// Messages whose number the home gave to another one.
    pub conflicts: u64,
    /// Numbers whose messages nobody keeps any more.
    pub gone: u64,
}

#[derive(Debug)]
struct Peer {
    /// Highest number it was sent or said to have.
    has: u64,
    /// Its word on the map's epoch.
    epoch: u64,
    /// It asked for what follows this number and has no answer yet.
    owed: Option<u64>,
}

/// A branch of the room, at its root.
#[derive(Debug, Default)]
struct Branch {
    /// A post of it found no place: it is asked to post again when there is some.
    refused: bool,
}

/// The messages of one room at one node.
#[derive(Debug)]
pub struct Order {
    room: RoomId,
    /// This node; `None` at a branch, which is never home.
    me: Option<NodeId>,
    epoch: u64,
    home: Option<NodeId>,
    /// The other nodes that host the room, as the map says.
    others: BTreeSet<NodeId>,
    /// Newest last, numbers rising by one (but for what is [`Counts::gone`]).
    log: VecDeque<Entry>,
    /// Highest number seen.
    seen: u64,
    /// Digest of all messages up to `seen`, if known.
    tail: Option<u64>,
    /// How far the last step back went: the next one goes twice as far.
    stride: u64,
    /// This node's posts without a number.
    waiting: VecDeque<RoomMessage>,
    /// Numbers by (from, id), and the same in order of age.
    numbers: BTreeMap<Key, u64>,
    ages: VecDeque<Key>,
    /// Nodes that have opened the room with us.
    peers: BTreeMap<NodeId, Peer>,
    /// Parts of the room on other shards of this node that have opened it with us, the root.
    branches: BTreeMap<u8, Branch>,
    /// Until when the new home collects, and what was posted meanwhile.
    collecting: Option<Instant>,
    held: VecDeque<(NodeId, RoomMessage)>,
    /// What the last question to the home said, and whether it is unanswered.
    asked: Option<u64>,
    out: VecDeque<Out>,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    message: RoomMessage,
    /// Digest of all messages before it, if known.
    before: Option<u64>,
}

type Key = (ParticipantId, String);

fn key(message: &RoomMessage) -> Key {
    (message.from.clone(), message.id.clone())
}

impl Order {
    /// Nothing said yet, no home known.
    #[must_use]
    pub fn new(room: RoomId, me: NodeId) -> Self {
        Self {
            room,
            me: Some(me),
            epoch: 0,
            home: None,
            others: BTreeSet::new(),
            log: VecDeque::new(),
            seen: 0,
            tail: Some(0),
            stride: 0,
            waiting: VecDeque::new(),
            numbers: BTreeMap::new(),
            ages: VecDeque::new(),
            peers: BTreeMap::new(),
            branches: BTreeMap::new(),
            collecting: None,
            held: VecDeque::new(),
            asked: None,
            out: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// The same at a branch of the room on this node: its root, which goes by the node's own id, has the say.
    #[must_use]
    pub fn branch(room: RoomId, node: NodeId) -> Self {
        Self { me: None, home: Some(node.clone()), ..Self::new(room, node) }
    }

    // ── The world said ──────────────────────────────────────────────────────────────────────────────────────────

    /// The room's map: who is home in this epoch, and which other nodes host the room.
    pub fn map(&mut self, epoch: u64, home: &NodeId, others: BTreeSet<NodeId>, now: Instant) {
        if epoch <= self.epoch && self.home.is_some() {
            return;
        }
        let moved = self.home.as_ref() != Some(home);
        self.epoch = epoch;
        self.home = Some(home.clone());
        self.others = others;
        self.asked = None;
        let ours = self.is_home();
        if moved {
            self.collecting = ours.then(|| now + COLLECT_MAX);
            self.held.clear();
        }
        // Everybody hears of our epoch: a new home counts on it, an old one stops.
        for node in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.say_open(&node);
        }
        if moved && !ours && self.peers.contains_key(home) {
            self.hand_over(&home.clone());
        }
        self.settle(now);
    }

    /// A node opened the room with us, or asks for what it has not seen.
    pub fn opened(&mut self, node: &NodeId, epoch: u64, seen: u64, now: Instant) {
        self.peers.insert(node.clone(), Peer { has: seen, epoch, owed: Some(seen) });
        if self.is_home() {
            // It posts again whatever it waits for after this.
            self.held.retain(|(from, _)| from != node);
            self.settle(now);
        } else if self.home.as_ref() == Some(node) {
            self.asked = None;
            if epoch >= self.epoch {
                self.hand_over(&node.clone());
            }
            self.post_waiting();
        }
    }

    /// The link to a node is gone, or it closed the room.
    pub fn closed(&mut self, node: &NodeId, now: Instant) {
        self.peers.remove(node);
        if self.home.as_ref() == Some(node) {
            self.asked = None;
        }
        self.settle(now);
    }

    /// A node asks us, as home, to number a message.
    pub fn post_from(&mut self, node: &NodeId, message: RoomMessage) {
        if !self.is_home() {
            // It posts again when it learns of the home, or when we have become it.
            self.counts.not_home += 1;
        } else if self.numbering() {
            self.number(message);
        } else if self.held.len() < HELD_MAX {
            self.held.push_back((node.clone(), message));
        } else {
            self.counts.not_home += 1;
        }
    }

    /// Numbered messages from the home; or, while we collect, from whoever knows more.
    pub fn posted(&mut self, node: &NodeId, after: u64, theirs: Option<u64>, messages: Vec<RoomMessage>, now: Instant) {
        let from_home = self.home.as_ref() == Some(node) && !self.is_home();
        if !from_home && self.collecting.is_none() {
            self.counts.not_from_home += 1;
            return;
        }
        self.told(from_home, after, theirs, messages, now);
    }

    fn told(&mut self, from_home: bool, after: u64, theirs: Option<u64>, messages: Vec<RoomMessage>, now: Instant) {
        if after > self.seen {
            if from_home {
                self.ask(self.seen);
            }
            return;
        }
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let start = first.number.saturating_sub(1);
        let differ = matches!((theirs, self.chain_at(start)), (Some(theirs), Some(ours)) if theirs != ours);
        // A home that speaks of numbers we no longer keep has started over.
        let started_over = self.log.front().is_some_and(|oldest| last.number < oldest.message.number);
        if differ || started_over {
            if from_home {
                self.stride = (self.stride * 2).max(1);
                let to = if started_over { 0 } else { start.saturating_sub(self.stride) };
                self.step_back(to);
                self.ask(to);
            }
            return;
        }
        if !from_home
            && messages.iter().any(|theirs| self.logged(theirs.number).is_some_and(|ours| key(ours) != key(theirs)))
        {
            // What we have as home stays; the other one finds out and steps back.
            return;
        }
        self.stride = 0;
        self.asked = None;
        let mut before = theirs;
        for message in messages {
            if message.number > self.seen {
                let hole = message.number - self.seen - 1;
                self.counts.gone += if self.seen == 0 { 0 } else { hole };
                let tail = if hole == 0 { self.tail } else { before };
                self.take(message, tail);
            } else if self.logged(message.number).is_some_and(|ours| key(ours) != key(&message)) {
                // The home gave the number to another message: ours lose theirs, from here on.
                self.step_back(message.number - 1);
                self.take(message, self.tail.or(before));
            }
            before = None;
        }
        self.settle(now);
    }

    /// A branch opened the room with us, its root, or asks for what it has not seen.
    pub fn branch_opened(&mut self, shard: u8, seen: u64) {
        self.branches.insert(shard, Branch::default());
        for message in self.posted_after(seen.min(self.seen).saturating_sub(1)) {
            self.out.push_back(Out::Branch { shard, message });
        }
    }

    /// A branch is gone.
    pub fn branch_closed(&mut self, shard: u8) {
        self.branches.remove(&shard);
    }

    /// A branch hands on what one of its people says. It keeps the post until that comes back numbered, as we do.
    pub fn post_from_branch(&mut self, shard: u8, message: RoomMessage) {
        let key = key(&message);
        if self.numbers.contains_key(&key) || self.waiting.iter().any(|waiting| self::key(waiting) == key) {
            self.counts.posted_already += 1;
        } else if !self.post(message)
            && let Some(branch) = self.branches.get_mut(&shard)
        {
            self.counts.not_home += 1;
            branch.refused = true;
        }
    }

    /// A branch knows messages that we do not: the root has begun anew, and the branch has not.
    pub fn posted_by_branch(&mut self, after: u64, theirs: Option<u64>, messages: Vec<RoomMessage>, now: Instant) {
        if self.seen > 0 {
            self.counts.not_from_home += 1;
            return;
        }
        self.told(false, after, theirs, messages, now);
    }

    // ── The owner said ──────────────────────────────────────────────────────────────────────────────────────────

    /// One of our people says something. False: too much waits already.
    #[must_use]
    pub fn post(&mut self, mut message: RoomMessage) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        message.number = 0;
        if self.numbering() {
            self.number(message);
            return true;
        }
        if let Some(home) = self.home.clone().filter(|home| self.peers.contains_key(home)) {
            self.send_post(&home, message.clone());
        }
        self.waiting.push_back(message);
        true
    }

    /// The newest messages, oldest first, as many as a late joiner gets.
    pub fn history(&self) -> impl Iterator<Item = &RoomMessage> + '_ {
        let late = self.log.len().saturating_sub(HISTORY_MESSAGES);
        self.log.iter().skip(late).map(|entry| &entry.message)
    }

    /// Own posts without a number.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Highest number seen: what `RoomOpen` says.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The map's epoch: what `RoomOpen` says.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
    }

    /// What it wants done.
    pub fn poll(&mut self) -> Option<Out> {
        self.out.pop_front()
    }

    /// When to call [`Order::handle_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.collecting
    }

    /// What was counted since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    // ── Home ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn is_home(&self) -> bool {
        self.me.is_some() && self.home == self.me
    }

    /// Whether this node may give out numbers: it is home, has collected, and nobody has heard of a newer home.
    fn numbering(&self) -> bool {
        self.is_home() && self.collecting.is_none() && self.peers.values().all(|peer| peer.epoch <= self.epoch)
    }

    fn number(&mut self, mut message: RoomMessage) {
        if self.numbers.contains_key(&key(&message)) {
            self.counts.posted_already += 1;
            return;
        }
        message.number = self.seen + 1;
        let targets: Vec<NodeId> = self.peers.keys().cloned().collect();
        for node in targets {
            let posted = self.posted_one(self.tail, message.clone());
            self.send_posted(&node, posted);
        }
        self.take(message, self.tail);
    }

    /// As home: ends collecting when every other node has spoken in this epoch, or at the latest after
    /// [`COLLECT_MAX`]; then answers who asked and numbers what waits.
    fn settle(&mut self, now: Instant) {
        if let Some(until) = self.collecting {
            let spoke =
                |node| self.peers.get(node).is_some_and(|peer| peer.epoch >= self.epoch && peer.has <= self.seen);
            if now < until && !self.others.iter().all(spoke) {
                return;
            }
            self.collecting = None;
        }
        if !self.numbering() {
            return;
        }
        let owed: Vec<(NodeId, u64)> =
            self.peers.iter_mut().filter_map(|(node, peer)| Some((node.clone(), peer.owed.take()?))).collect();
        for (node, seen) in owed {
            // One earlier than asked for: whether both mean the same message by that number.
            self.send_from(&node, seen.min(self.seen).saturating_sub(1));
        }
        for (_, message) in std::mem::take(&mut self.held) {
            self.number(message);
        }
        for message in std::mem::take(&mut self.waiting) {
            self.number(message);
        }
    }

    /// Sends all that is kept after `after`; a node that has nothing gets what a late joiner gets.
    fn send_from(&mut self, node: &NodeId, after: u64) {
        for message in self.posted_after(after) {
            self.send_posted(node, message);
        }
    }

    /// The same as messages of a link.
    fn posted_after(&self, after: u64) -> Vec<Message> {
        let newest = if after == 0 { HISTORY_MESSAGES } else { usize::MAX };
        let skipped = self.log.len().saturating_sub(newest);
        let missing: Vec<(Option<u64>, RoomMessage)> = self
            .log
            .iter()
            .skip(skipped)
            .filter(|entry| entry.message.number > after)
            .map(|entry| (entry.before, entry.message.clone()))
            .collect();
        let mut after = after;
        let mut said = Vec::new();
        for batch in missing.chunks(POSTED_PER_MESSAGE) {
            let chain = batch.first().and_then(|(before, _)| *before);
            let messages = batch.iter().map(|(_, message)| message.clone()).collect();
            said.push(Message::Posted { room: self.room.clone(), after, chain, messages });
            after = batch.last().map_or(after, |(_, message)| message.number);
        }
        said
    }

    fn send_posted(&mut self, node: &NodeId, message: Message) {
        if let (Some(peer), Message::Posted { messages, .. }) = (self.peers.get_mut(node), &message)
            && let Some(last) = messages.last()
        {
            peer.has = last.number;
        }
        self.out.push_back(Out::Send { node: node.clone(), message });
    }

    // ── Elsewhere ───────────────────────────────────────────────────────────────────────────────────────────────

    /// We know more than the new home.
    fn hand_over(&mut self, home: &NodeId) {
        let has = self.peers.get(home).map_or(0, |peer| peer.has);
        if has < self.seen {
            self.send_from(home, has);
        }
    }

    fn post_waiting(&mut self) {
        let Some(home) = self.home.clone().filter(|home| self.peers.contains_key(home)) else { return };
        for message in self.waiting.iter().cloned().collect::<Vec<_>>() {
            self.send_post(&home, message);
        }
    }

    fn send_post(&mut self, home: &NodeId, message: RoomMessage) {
        let message = Message::Post { room: self.room.clone(), message };
        self.out.push_back(Out::Send { node: home.clone(), message });
    }

    /// Asks the home for what follows `seen`, once.
    fn ask(&mut self, seen: u64) {
        if self.asked == Some(seen) {
            return;
        }
        self.asked = Some(seen);
        if let Some(home) = self.home.clone() {
            self.say_open(&home);
        }
    }

    /// Opens the room with a node that has opened it with us. The home forgets what we posted and it has not numbered
    /// yet, and counts on us to post it again: so the order of one node's posts stays as it was.
    fn say_open(&mut self, node: &NodeId) {
        let message = Message::RoomOpen {
            room: self.room.clone(),
            epoch: self.epoch,
            messages_seen: self.seen,
            // Only nodes that have opened the room are known here.
            heard: true,
        };
        self.out.push_back(Out::Send { node: node.clone(), message });
        if self.home.as_ref() == Some(node) {
            self.post_waiting();
        }
    }

    /// One numbered message, to who has all before it.
    fn posted_one(&self, chain: Option<u64>, message: RoomMessage) -> Message {
        let after = message.number.saturating_sub(1);
        Message::Posted { room: self.room.clone(), after, chain, messages: vec![message] }
    }

    /// What the branches have of a message that takes its place here.
    fn tell_branches(&mut self, message: &RoomMessage, before: Option<u64>) {
        let room_again = self.waiting.len() <= WAITING_MAX / 2;
        let posted = (!self.branches.is_empty()).then(|| self.posted_one(before, message.clone()));
        for (shard, branch) in &mut self.branches {
            let again = (branch.refused && room_again).then(|| {
                branch.refused = false;
                Message::RoomOpen { room: self.room.clone(), epoch: self.epoch, messages_seen: self.seen, heard: true }
            });
            for message in posted.iter().cloned().chain(again) {
                self.out.push_back(Out::Branch { shard: *shard, message });
            }
        }
    }

    // ── The log ─────────────────────────────────────────────────────────────────────────────────────────────────

    fn logged(&self, number: u64) -> Option<&RoomMessage> {
        let at = self.log.binary_search_by_key(&number, |entry| entry.message.number).ok()?;
        Some(&self.log.get(at)?.message)
    }

    /// Digest of all messages up to `number`, if known.
    fn chain_at(&self, number: u64) -> Option<u64> {
        if number >= self.seen {
            return self.tail.filter(|_| number == self.seen);
        }
        let at = self.log.binary_search_by_key(&(number + 1), |entry| entry.message.number).ok()?;
        self.log.get(at)?.before
    }

    /// The next message of the order, with the digest of all before it.
    fn take(&mut self, message: RoomMessage, before: Option<u64>) {
        self.seen = message.number;
        self.tail = before.map(|before| chain(before, &message));
        let key = key(&message);
        self.waiting.retain(|waiting| waiting.from != key.0 || waiting.id != key.1);
        if self.numbers.insert(key.clone(), message.number).is_none() {
            self.ages.push_back(key);
        }
        while self.ages.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.ages.pop_front() {
                self.numbers.remove(&oldest);
            }
        }
        self.tell_branches(&message, before);
        self.out.push_back(Out::Deliver(message.clone()));
        self.log.push_back(Entry { message, before });
        while self.log.len() > LOG_MESSAGES_MAX {
            self.log.pop_front();
        }
    }

    /// Everything after `number` loses its number and waits to be posted again.
    fn step_back(&mut self, number: u64) {
        self.tail = if number == 0 { Some(0) } else { self.chain_at(number) };
        self.seen = number;
        let mut lost = Vec::new();
        while let Some(last) = self.log.pop_back() {
            if last.message.number <= number {
                self.log.push_back(last);
                break;
            }
            lost.push(last.message);
        }
        self.counts.conflicts += lost.len() as u64;
        let dropped: BTreeSet<Key> = lost.iter().map(key).collect();
        self.ages.retain(|key| !dropped.contains(key));
        for mut message in lost {
            self.numbers.remove(&key(&message));
            message.number = 0;
            self.waiting.push_front(message);
        }
        // Those the home has numbered as well leave the queue when they come; posting them again does no harm.
        self.post_waiting();
    }
}

#[cfg(test)]
mod tests;
