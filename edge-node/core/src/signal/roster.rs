//! Who came and went, gathered for a moment: a join storm becomes ten messages a second, not one per join.

use lyceum_wire::id::ParticipantId;
use lyceum_wire::signal::{EdgeSays, Participant};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Changes wait this long for company. Nobody notices; a class of 300 that arrives at once notices the difference.
pub const ROSTER_EVERY: Duration = Duration::from_millis(80);

/// Changes of a room's roster that its clients have not been told.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    present: BTreeMap<ParticipantId, Participant>,
    gone: BTreeSet<ParticipantId>,
}

impl Delta {
    /// Somebody came or changed.
    pub(crate) fn came(&mut self, participant: Participant) {
        self.gone.remove(&participant.id);
        self.present.insert(participant.id.clone(), participant);
    }

    /// Somebody left.
    pub(crate) fn left(&mut self, participant: ParticipantId) {
        self.present.remove(&participant);
        self.gone.insert(participant);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.gone.is_empty()
    }

    /// What to tell everybody.
    pub(crate) fn take(&mut self, total: u32) -> EdgeSays {
        let Self { present, gone } = std::mem::take(self);
        EdgeSays::Roster {
            present: present.into_values().collect(),
            gone: gone.into_iter().collect(),
            total,
            more: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::id::{NodeId, Region};

    fn person(id: &str, name: &str) -> Participant {
        Participant {
            id: ParticipantId::parse(id).unwrap(),
            identity: id.into(),
            name: name.into(),
            edge: NodeId::parse("eu-1").unwrap(),
            region: Region::parse("eu").unwrap(),
            publishes: Vec::new(),
            on_stage: true,
            moderates: false,
        }
    }

    #[test]
    fn the_last_word_about_each_person_is_what_is_told() {
        let mut delta = Delta::default();
        delta.came(person("a", "Ana"));
        delta.came(person("b", "Ben"));
        delta.came(person("a", "Anna"));
        delta.left(person("b", "Ben").id);
        delta.left(person("c", "Cem").id);
        let EdgeSays::Roster { present, gone, total, .. } = delta.take(1) else { panic!("a roster") };
        assert_eq!(present, [person("a", "Anna")]);
        assert_eq!(gone.iter().map(ParticipantId::as_str).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(total, 1);
        assert!(delta.is_empty());
    }
}
