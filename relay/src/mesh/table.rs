//! Which nodes are wanted, by which rooms, and which link to each stands.

use super::link::{Link, LinkState};
use lyceum_relay_core::link::replaces;
use lyceum_wire::api::NodeAddress;
use lyceum_wire::id::{NodeId, RoomId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

#[derive(Default)]
pub(super) struct Table {
    nodes: BTreeMap<NodeId, Entry>,
    closed: bool,
    /// The renewed client configuration, when there was one.
    pub(super) client: Option<quinn::ClientConfig>,
}

pub(super) struct Entry {
    address: Option<NodeAddress>,
    rooms: BTreeSet<RoomId>,
    link: Option<Arc<Link>>,
    /// Whether a task dials it.
    dialled: bool,
    /// Rings when the wish or the link changed.
    changed: watch::Sender<()>,
    /// One link at a time speaks to the shards: the older one's `Down` comes before the newer one's `Up`.
    turn: Arc<tokio::sync::Mutex<()>>,
    failures: u64,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            address: None,
            rooms: BTreeSet::new(),
            link: None,
            dialled: false,
            changed: watch::Sender::new(()),
            turn: Arc::default(),
            failures: 0,
        }
    }
}

/// What a dialling task does next.
pub(super) enum Errand {
    /// Dial this address.
    Dial(NodeAddress),
    /// A link stands: look again when it has changed.
    Wait(watch::Receiver<()>),
    /// Nobody wants it: end.
    End,
}

impl Table {
    /// Notes who hosts a room and returns the nodes that need a task to dial them.
    pub(super) fn want(&mut self, room: &RoomId, nodes: Vec<NodeAddress>) -> Vec<NodeId> {
        if self.closed {
            return Vec::new();
        }
        let wanted: BTreeSet<&NodeId> = nodes.iter().map(|address| &address.node).collect();
        for (node, entry) in &mut self.nodes {
            if !wanted.contains(node) && entry.rooms.remove(room) && entry.rooms.is_empty() {
                entry.changed.send_replace(());
            }
        }
        let mut dial = Vec::new();
        for address in nodes {
            let entry = self.nodes.entry(address.node.clone()).or_default();
            entry.rooms.insert(room.clone());
            if !entry.dialled {
                entry.dialled = true;
                dial.push(address.node.clone());
            }
            if entry.address.as_ref() != Some(&address) {
                entry.address = Some(address);
                entry.changed.send_replace(());
            }
        }
        dial
    }

    pub(super) fn errand(&mut self, node: &NodeId) -> Errand {
        let closed = self.closed;
        let Some(entry) = self.nodes.get_mut(node) else { return Errand::End };
        match &entry.address {
            Some(address) if !entry.rooms.is_empty() && !closed => match &entry.link {
                Some(_) => Errand::Wait(entry.changed.subscribe()),
                None => Errand::Dial(address.clone()),
            },
            _ => {
                entry.dialled = false;
                self.forget(node);
                Errand::End
            }
        }
    }

    /// Whether any room wants a link to the node.
    pub(super) fn wanted(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|entry| !entry.rooms.is_empty())
    }

    /// Tells when the wish for a node or the link to it changes from now on.
    pub(super) fn changes(&self, node: &NodeId) -> Option<watch::Receiver<()>> {
        Some(self.nodes.get(node)?.changed.subscribe())
    }

    pub(super) fn failed(&mut self, node: &NodeId) {
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.failures += 1;
        }
    }

    pub(super) fn link(&self, node: &NodeId) -> Option<Arc<Link>> {
        self.nodes.get(node)?.link.clone()
    }

    /// Takes a link up, unless an older one between the same two nodes stays. Returns what to hold while speaking to
    /// the shards, and the older link, to be closed.
    pub(super) fn take_up(&mut self, us: &NodeId, link: &Arc<Link>) -> Result<TakenUp, ()> {
        if self.closed {
            return Err(());
        }
        let entry = self.nodes.entry(link.partner.node.clone()).or_default();
        if let Some(old) = &entry.link
            && old.connection.close_reason().is_none()
            && !replaces(us, &link.partner.node, old.dialler, link.dialler)
        {
            return Err(());
        }
        let older = entry.link.replace(link.clone());
        entry.changed.send_replace(());
        Ok(TakenUp { turn: entry.turn.clone(), older })
    }

    /// The link is gone. Nothing changes when another one has taken its place.
    pub(super) fn lost(&mut self, link: &Arc<Link>) {
        let node = &link.partner.node;
        if let Some(entry) = self.nodes.get_mut(node)
            && entry.link.as_ref().is_some_and(|current| Arc::ptr_eq(current, link))
        {
            entry.link = None;
            entry.changed.send_replace(());
            self.forget(node);
        }
    }

    /// Drops an entry that holds nothing any more.
    fn forget(&mut self, node: &NodeId) {
        if self.nodes.get(node).is_some_and(|entry| entry.link.is_none() && entry.rooms.is_empty() && !entry.dialled) {
            self.nodes.remove(node);
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        for entry in self.nodes.values_mut() {
            entry.rooms.clear();
            entry.changed.send_replace(());
        }
    }

    pub(super) fn states(&self) -> Vec<LinkState> {
        let state = |(node, entry): (&NodeId, &Entry)| LinkState {
            node: node.clone(),
            address: entry.address.as_ref().map(|address| address.link_addr.clone()),
            failures: entry.failures,
            dialler: entry.link.as_ref().map(|link| link.dialler),
            stats: entry.link.as_ref().map(|link| link.stats()),
        };
        self.nodes.iter().map(state).collect()
    }
}

pub(super) struct TakenUp {
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) older: Option<Arc<Link>>,
}
