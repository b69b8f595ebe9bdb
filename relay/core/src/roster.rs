//! Who is in the room: this node's own people, and everybody else by the node that took them in.

use lyceum_wire::id::{NodeId, ParticipantId};
use lyceum_wire::signal::Participant;
use std::collections::{BTreeMap, BTreeSet};

/// People one node may report in one room: twice what one edge serves.
pub const PEOPLE_PER_NODE_MAX: usize = 4096;
/// People in one roster message: 30 KB with names of usual length, so that tracks and grants are not kept waiting behind a class.
pub const PEOPLE_PER_MESSAGE: usize = 100;

/// Who came or changed, and who left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Came or changed.
    pub present: BTreeMap<ParticipantId, Participant>,
    /// Left.
    pub gone: BTreeSet<ParticipantId>,
}

impl Change {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.present.is_empty() && self.gone.is_empty()
    }

    /// A later word on a person takes the place of an earlier one.
    fn came(&mut self, participant: Participant) {
        self.gone.remove(&participant.id);
        self.present.insert(participant.id.clone(), participant);
    }

    fn left(&mut self, id: ParticipantId) {
        self.present.remove(&id);
        self.gone.insert(id);
    }
}

/// Counted refusals of what another node reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// People whose edge is not the node that reports them.
    pub not_their_edge: u64,
    /// People above [`PEOPLE_PER_NODE_MAX`].
    pub too_many: u64,
}

/// What another node says of its people in one message.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// A part of everybody.
    pub snapshot: bool,
    /// Of which more parts follow.
    pub more: bool,
    /// Came or changed.
    pub present: Vec<Participant>,
    /// Left.
    pub gone: Vec<ParticipantId>,
}

/// Everybody in one room.
#[derive(Debug, Default)]
pub struct Roster {
    local: BTreeMap<ParticipantId, Participant>,
    remote: BTreeMap<NodeId, BTreeMap<ParticipantId, Participant>>,
    /// Whom the pages of an unfinished snapshot have named so far.
    named: BTreeMap<NodeId, BTreeSet<ParticipantId>>,
    /// Not yet told to the other nodes.
    to_links: Change,
    /// Not yet told to this node's people.
    to_owner: Change,
}

impl Roster {
    /// One of this node's people came or changed.
    pub fn join(&mut self, participant: Participant) {
        if self.local.get(&participant.id) != Some(&participant) {
            self.to_links.came(participant.clone());
            self.local.insert(participant.id.clone(), participant);
        }
    }

    /// One of this node's people left.
    pub fn leave(&mut self, id: &ParticipantId) {
        if self.local.remove(id).is_some() {
            self.to_links.left(id.clone());
        }
    }

    /// Another node speaks of its people.
    pub fn report(&mut self, node: &NodeId, page: Page) -> Refused {
        let Page { snapshot, more, present, gone } = page;
        let mut refused = Refused::default();
        let known = self.remote.entry(node.clone()).or_default();
        if snapshot {
            let mut named = self.named.remove(node).unwrap_or_default();
            named.extend(present.iter().map(|participant| participant.id.clone()).take(PEOPLE_PER_NODE_MAX));
            if more && named.len() < PEOPLE_PER_NODE_MAX {
                self.named.insert(node.clone(), named);
            } else {
                known.retain(|id, _| {
                    let stays = named.contains(id);
                    if !stays {
                        self.to_owner.left(id.clone());
                    }
                    stays
                });
            }
        }
        for participant in present {
            if participant.edge != *node {
                refused.not_their_edge += 1;
            } else if known.len() >= PEOPLE_PER_NODE_MAX && !known.contains_key(&participant.id) {
                refused.too_many += 1;
            } else if known.get(&participant.id) != Some(&participant) {
                self.to_owner.came(participant.clone());
                known.insert(participant.id.clone(), participant);
            }
        }
        for id in gone {
            if known.remove(&id).is_some() {
                self.to_owner.left(id);
            }
        }
        refused
    }

    /// A node is gone, its people with it.
    pub fn node_gone(&mut self, node: &NodeId) {
        self.named.remove(node);
        for id in self.remote.remove(node).into_iter().flat_map(BTreeMap::into_keys) {
            self.to_owner.left(id);
        }
    }

    /// Everybody, in order of nodes and ids, this node's own first.
    pub fn everybody(&self) -> impl Iterator<Item = &Participant> + '_ {
        self.local.values().chain(self.remote.values().flat_map(BTreeMap::values))
    }

    /// This node's own people.
    pub fn local(&self) -> impl Iterator<Item = &Participant> + '_ {
        self.local.values()
    }

    /// How many people are in the room.
    #[must_use]
    pub fn total(&self) -> usize {
        self.local.len() + self.remote.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Where a participant of another node is.
    #[must_use]
    pub fn edge_of(&self, id: &ParticipantId) -> Option<&NodeId> {
        self.remote.iter().find(|(_, people)| people.contains_key(id)).map(|(node, _)| node)
    }

    /// One of another node's people.
    #[must_use]
    pub fn person_of(&self, node: &NodeId, id: &ParticipantId) -> Option<&Participant> {
        self.remote.get(node)?.get(id)
    }

    /// What the other nodes have not been told yet.
    pub fn news_for_links(&mut self) -> Option<Change> {
        (!self.to_links.is_empty()).then(|| std::mem::take(&mut self.to_links))
    }

    /// What this node's people have not been told yet.
    pub fn news_for_owner(&mut self) -> Option<Change> {
        (!self.to_owner.is_empty()).then(|| std::mem::take(&mut self.to_owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::id::Region;

    fn person(id: &str, edge: &str, name: &str) -> Participant {
        Participant {
            id: ParticipantId::parse(id).unwrap(),
            identity: id.into(),
            name: name.into(),
            edge: NodeId::parse(edge).unwrap(),
            region: Region::parse("eu").unwrap(),
            publishes: Vec::new(),
            on_stage: true,
            moderates: false,
        }
    }

    fn ids(change: Option<Change>) -> (Vec<String>, Vec<String>) {
        let change = change.unwrap_or_default();
        let text = |id: &ParticipantId| id.to_string();
        (change.present.keys().map(text).collect(), change.gone.iter().map(text).collect())
    }

    fn v(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_snapshot_replaces_and_a_delta_adds() {
        let b = NodeId::parse("b").unwrap();
        let mut roster = Roster::default();
        let say = |roster: &mut Roster, snapshot, more, people: &[&str], gone: &[&str]| {
            let present = people.iter().map(|id| person(id, "b", "")).collect();
            let gone = gone.iter().map(|id| ParticipantId::parse(id).unwrap()).collect();
            roster.report(&b, Page { snapshot, more, present, gone });
        };
        say(&mut roster, true, false, &["p1", "p2"], &[]);
        assert_eq!(ids(roster.news_for_owner()), (v(&["p1", "p2"]), v(&[])));
        say(&mut roster, false, false, &["p3"], &["p1"]);
        assert_eq!(ids(roster.news_for_owner()), (v(&["p3"]), v(&["p1"])));
        say(&mut roster, true, false, &["p3", "p4"], &[]);
        assert_eq!(ids(roster.news_for_owner()), (v(&["p4"]), v(&["p2"])), "p3 did not change");
        say(&mut roster, true, true, &["p5"], &[]);
        assert_eq!(ids(roster.news_for_owner()), (v(&["p5"]), v(&[])), "nobody is gone before the last page");
        say(&mut roster, true, false, &["p3"], &[]);
        assert_eq!(ids(roster.news_for_owner()), (v(&[]), v(&["p4"])));
        roster.node_gone(&b);
        assert_eq!(ids(roster.news_for_owner()), (v(&[]), v(&["p3", "p5"])));
        assert_eq!(roster.total(), 0);
    }

    #[test]
    fn a_node_speaks_of_its_own_people_only() {
        let b = NodeId::parse("b").unwrap();
        let mut roster = Roster::default();
        let page = |present| Page { present, ..Page::default() };
        let refused = roster.report(&b, Page { snapshot: true, ..page(vec![person("p1", "c", "Ana")]) });
        assert_eq!(refused, Refused { not_their_edge: 1, too_many: 0 });
        assert_eq!(roster.news_for_owner(), None);
        let crowd = (0..=PEOPLE_PER_NODE_MAX).map(|n| person(&format!("q{n}"), "b", "")).collect();
        assert_eq!(roster.report(&b, page(crowd)).too_many, 1);
    }

    #[test]
    fn someone_who_comes_and_goes_at_once_is_gone() {
        let mut roster = Roster::default();
        roster.join(person("p1", "a", "Ana"));
        roster.leave(&ParticipantId::parse("p1").unwrap());
        assert_eq!(ids(roster.news_for_links()), (v(&[]), v(&["p1"])));
        roster.join(person("p1", "a", "Ana"));
        roster.join(person("p1", "a", "Ana"));
        assert_eq!(ids(roster.news_for_links()), (v(&["p1"]), v(&[])));
        assert_eq!(roster.news_for_links(), None);
    }
}
