//! Who is in the room: this node's own people, and everybody else by the node that took them in.
//!
//! ```text
//!                      links    branches    owner
//!   local                ✓         ✓                     people on this shard
//!   of a branch          ✓      the others     ✓         people of this node on another shard, at the room's root
//!   of another node                ✓           ✓
//!   from the root                              ✓         everybody else, at a branch
//! ```

use lyceum_wire::id::{NodeId, ParticipantId};
use lyceum_wire::signal::Participant;
use std::collections::{BTreeMap, BTreeSet};

/// People one node may report in one room: twice what one edge serves.
pub const PEOPLE_PER_NODE_MAX: usize = 4096;
/// People a branch hears of from its root: sixteen nodes full of them.
pub const PEOPLE_ELSEWHERE_MAX: usize = 16 * PEOPLE_PER_NODE_MAX;
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
    /// People of this node on other shards, at the root.
    branches: BTreeMap<u8, BTreeMap<ParticipantId, Participant>>,
    /// Everybody that is not here, at a branch.
    elsewhere: BTreeMap<ParticipantId, Participant>,
    remote: BTreeMap<NodeId, BTreeMap<ParticipantId, Participant>>,
    /// Whom the pages of an unfinished snapshot have named so far.
    named: BTreeMap<Reporter, BTreeSet<ParticipantId>>,
    /// Not yet told to the other nodes; by a branch, to its root.
    to_links: Change,
    /// Not yet told to the branches.
    to_branches: Change,
    /// Not yet told to this node's people.
    to_owner: Change,
}

impl Roster {
    /// One of this node's people came or changed.
    pub fn join(&mut self, participant: Participant) {
        if self.local.get(&participant.id) != Some(&participant) {
            self.to_links.came(participant.clone());
            self.to_branches.came(participant.clone());
            self.local.insert(participant.id.clone(), participant);
        }
    }

    /// One of this node's people left.
    pub fn leave(&mut self, id: &ParticipantId) {
        if self.local.remove(id).is_some() {
            self.to_links.left(id.clone());
            self.to_branches.left(id.clone());
        }
    }

    /// Another node speaks of its people.
    pub fn report(&mut self, node: &NodeId, page: Page) -> Refused {
        let Self { remote, named, to_owner, to_branches, .. } = self;
        let known = remote.entry(node.clone()).or_default();
        let fits = |participant: &Participant| participant.edge == *node;
        let reporter = Reporter::Node(node.clone());
        page.note(known, named, reporter, PEOPLE_PER_NODE_MAX, fits, &mut [to_owner, to_branches])
    }

    /// A branch speaks of its people: this node's, on another shard.
    pub fn report_branch(&mut self, shard: u8, node: &NodeId, page: Page) -> Refused {
        let Self { branches, named, to_owner, to_branches, to_links, .. } = self;
        let known = branches.entry(shard).or_default();
        let fits = |participant: &Participant| participant.edge == *node;
        let told = &mut [to_owner, to_branches, to_links];
        page.note(known, named, Reporter::Branch(shard), PEOPLE_PER_NODE_MAX, fits, told)
    }

    /// The root speaks of everybody that is not on this shard.
    pub fn report_root(&mut self, page: Page) -> Refused {
        let Self { local, elsewhere, named, to_owner, .. } = self;
        let fits = |participant: &Participant| !local.contains_key(&participant.id);
        page.note(elsewhere, named, Reporter::Root, PEOPLE_ELSEWHERE_MAX, fits, &mut [to_owner])
    }

    /// A branch is gone, its people with it.
    pub fn branch_gone(&mut self, shard: u8) {
        self.named.remove(&Reporter::Branch(shard));
        for id in self.branches.remove(&shard).into_iter().flat_map(BTreeMap::into_keys) {
            for change in [&mut self.to_owner, &mut self.to_branches, &mut self.to_links] {
                change.left(id.clone());
            }
        }
    }

    /// The root is gone, and everybody that was known from it.
    pub fn root_gone(&mut self) {
        self.named.remove(&Reporter::Root);
        for id in std::mem::take(&mut self.elsewhere).into_keys() {
            self.to_owner.left(id);
        }
    }

    /// A node is gone, its people with it.
    pub fn node_gone(&mut self, node: &NodeId) {
        self.named.remove(&Reporter::Node(node.clone()));
        for id in self.remote.remove(node).into_iter().flat_map(BTreeMap::into_keys) {
            self.to_owner.left(id.clone());
            self.to_branches.left(id);
        }
    }

    /// Everybody, in order of nodes and ids, this node's own first.
    pub fn everybody(&self) -> impl Iterator<Item = &Participant> + '_ {
        self.own().chain(self.elsewhere.values()).chain(self.remote.values().flat_map(BTreeMap::values))
    }

    /// This node's own people, those of its other shards included; at a branch, those of this shard.
    pub fn own(&self) -> impl Iterator<Item = &Participant> + '_ {
        self.local.values().chain(self.branches.values().flat_map(BTreeMap::values))
    }

    /// Everybody but the people of this branch: what it is to know.
    pub fn for_branch(&self, shard: u8) -> impl Iterator<Item = &Participant> + '_ {
        let others = self.branches.iter().filter(move |(of, _)| **of != shard);
        let remote = self.remote.values().flat_map(BTreeMap::values);
        self.local.values().chain(others.flat_map(|(_, people)| people.values())).chain(remote)
    }

    /// Whether somebody is one of this branch's people.
    #[must_use]
    pub fn is_of_branch(&self, shard: u8, id: &ParticipantId) -> bool {
        self.branches.get(&shard).is_some_and(|people| people.contains_key(id))
    }

    /// How many people are in the room.
    #[must_use]
    pub fn total(&self) -> usize {
        let elsewhere = self.remote.values().chain(self.branches.values()).map(BTreeMap::len).sum::<usize>();
        self.local.len() + self.elsewhere.len() + elsewhere
    }

    /// Where a participant of another node is.
    #[must_use]
    pub fn edge_of(&self, id: &ParticipantId) -> Option<&NodeId> {
        self.remote.iter().find(|(_, people)| people.contains_key(id)).map(|(node, _)| node)
    }

    /// The branch whose people somebody belongs to.
    #[must_use]
    pub fn branch_of(&self, id: &ParticipantId) -> Option<u8> {
        self.branches.iter().find(|(_, people)| people.contains_key(id)).map(|(shard, _)| *shard)
    }

    /// Somebody whom the root told this branch of.
    #[must_use]
    pub fn elsewhere(&self, id: &ParticipantId) -> Option<&Participant> {
        self.elsewhere.get(id)
    }

    /// One of a branch's people.
    #[must_use]
    pub fn person_of_branch(&self, shard: u8, id: &ParticipantId) -> Option<&Participant> {
        self.branches.get(&shard)?.get(id)
    }

    /// Whether somebody is one of this shard's people.
    #[must_use]
    pub fn is_local(&self, id: &ParticipantId) -> bool {
        self.local.contains_key(id)
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

    /// What the branches have not been told yet. Each leaves out its own people.
    pub fn news_for_branches(&mut self) -> Option<Change> {
        (!self.to_branches.is_empty()).then(|| std::mem::take(&mut self.to_branches))
    }

    /// What this node's people have not been told yet.
    pub fn news_for_owner(&mut self) -> Option<Change> {
        (!self.to_owner.is_empty()).then(|| std::mem::take(&mut self.to_owner))
    }
}

/// Who speaks of people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Reporter {
    Node(NodeId),
    Branch(u8),
    Root,
}

impl Page {
    /// Notes it in what is known, and what is news in each of `told`.
    fn note(
        self,
        known: &mut BTreeMap<ParticipantId, Participant>,
        unfinished: &mut BTreeMap<Reporter, BTreeSet<ParticipantId>>,
        reporter: Reporter,
        most: usize,
        fits: impl Fn(&Participant) -> bool,
        told: &mut [&mut Change],
    ) -> Refused {
        let mut refused = Refused::default();
        if self.snapshot {
            let mut named = unfinished.remove(&reporter).unwrap_or_default();
            named.extend(self.present.iter().map(|participant| participant.id.clone()).take(most));
            if self.more && named.len() < most {
                unfinished.insert(reporter, named);
            } else {
                known.retain(|id, _| {
                    let stays = named.contains(id);
                    if !stays {
                        told.iter_mut().for_each(|change| change.left(id.clone()));
                    }
                    stays
                });
            }
        }
        for participant in self.present {
            if !fits(&participant) {
                refused.not_their_edge += 1;
            } else if known.len() >= most && !known.contains_key(&participant.id) {
                refused.too_many += 1;
            } else if known.get(&participant.id) != Some(&participant) {
                told.iter_mut().for_each(|change| change.came(participant.clone()));
                known.insert(participant.id.clone(), participant);
            }
        }
        for id in self.gone {
            if known.remove(&id).is_some() {
                told.iter_mut().for_each(|change| change.left(id.clone()));
            }
        }
        refused
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

    #[test]
    fn a_root_speaks_for_its_branches_and_tells_each_of_everybody_else() {
        let (us, b) = (NodeId::parse("a").unwrap(), NodeId::parse("b").unwrap());
        let mut root = Roster::default();
        root.join(person("p1", "a", "Ana"));
        let page = |present| Page { snapshot: true, present, ..Page::default() };
        root.report(&b, page(vec![person("q1", "b", "Ben")]));
        root.report_branch(1, &us, page(vec![person("p2", "a", "Cy"), person("q2", "b", "Di")]));
        root.report_branch(2, &us, page(vec![person("p3", "a", "Eva")]));
        assert_eq!(ids(root.news_for_links()), (v(&["p1", "p2", "p3"]), v(&[])), "to other nodes they are one node");
        assert_eq!(ids(root.news_for_owner()), (v(&["p2", "p3", "q1"]), v(&[])));
        assert_eq!(ids(root.news_for_branches()), (v(&["p1", "p2", "p3", "q1"]), v(&[])));
        let told: Vec<&str> = root.for_branch(1).map(|participant| participant.id.as_str()).collect();
        assert_eq!(told, ["p1", "p3", "q1"]);
        assert!(root.is_of_branch(1, &ParticipantId::parse("p2").unwrap()));
        assert_eq!((root.total(), root.own().count()), (4, 3), "somebody of another node is not a branch's to report");

        let mut branch = Roster::default();
        branch.join(person("p2", "a", "Cy"));
        let refused = branch.report_root(page(vec![person("p1", "a", "Ana"), person("p2", "a", "Cy")]));
        assert_eq!((refused.not_their_edge, branch.total()), (1, 2), "nobody is in the room twice");
        branch.root_gone();
        assert_eq!(ids(branch.news_for_owner()), (v(&[]), v(&["p1"])));
        root.branch_gone(1);
        assert_eq!(ids(root.news_for_links()), (v(&[]), v(&["p2"])));
        assert_eq!(root.total(), 3);
    }
}
