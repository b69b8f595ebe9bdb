//! Who came and went, gathered for a moment: a join storm becomes ten messages a second, not one per join. What a whole room is
//! told is written once; what newcomers are told is written once for all who come before the next change.

use super::saying::Body;
use lyceum_wire::id::ParticipantId;
use lyceum_wire::signal::{EdgeSays, Participant, Path, ROSTER_PAGE};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Changes wait this long for company. Nobody notices; a class of 300 that arrives at once notices the difference.
pub const ROSTER_EVERY: Duration = Duration::from_millis(80);

/// Changes of a room that its clients have not been told: people, and the ways of their tracks.
#[derive(Debug, Default)]
pub(crate) struct Delta {
    present: BTreeMap<ParticipantId, Participant>,
    gone: BTreeSet<ParticipantId>,
    paths: BTreeMap<ParticipantId, Path>,
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
        self.paths.remove(&participant);
        self.gone.insert(participant);
    }

    /// Somebody's tracks come by this way.
    pub(crate) fn moved(&mut self, path: Path) {
        self.paths.insert(path.participant.clone(), path);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.gone.is_empty() && self.paths.is_empty()
    }

    /// What to tell everybody.
    pub(crate) fn take(&mut self, total: u32) -> Vec<Arc<Body>> {
        let Self { present, gone, paths } = std::mem::take(self);
        let mut bodies = Vec::new();
        if !present.is_empty() || !gone.is_empty() {
            bodies.extend(pages(present.into_values(), gone.into_iter().collect(), total).map(Body::new));
        }
        bodies.extend(path_pages(paths.into_values()).map(Body::new));
        bodies
    }
}

/// People in messages of bounded length; all but the last say that more follow. At least one.
fn pages(
    present: impl Iterator<Item = Participant>,
    gone: Vec<ParticipantId>,
    total: u32,
) -> impl Iterator<Item = EdgeSays> {
    let (present, mut gone): (Vec<_>, _) = (present.collect(), gone.into_iter());
    let count = present.len().div_ceil(ROSTER_PAGE).max(gone.len().div_ceil(ROSTER_PAGE)).max(1);
    let mut present = present.into_iter();
    (1..=count).map(move |page| EdgeSays::Roster {
        present: present.by_ref().take(ROSTER_PAGE).collect(),
        gone: gone.by_ref().take(ROSTER_PAGE).collect(),
        total,
        more: page < count,
    })
}

fn path_pages(paths: impl Iterator<Item = Path>) -> impl Iterator<Item = EdgeSays> {
    let mut paths = paths.peekable();
    std::iter::from_fn(move || {
        paths.peek()?;
        Some(EdgeSays::Paths { paths: paths.by_ref().take(ROSTER_PAGE).collect() })
    })
}

/// Everybody and every way, for newcomers.
#[derive(Debug)]
pub(crate) struct Whole {
    roster: Vec<Arc<Body>>,
    paths: Vec<Arc<Body>>,
}

impl Whole {
    /// Written for the first newcomer after a change.
    pub(crate) fn new(
        people: impl Iterator<Item = Participant>,
        paths: impl Iterator<Item = Path>,
        total: u32,
    ) -> Self {
        Self {
            roster: pages(people, Vec::new(), total).map(Body::new).collect(),
            paths: path_pages(paths).map(Body::new).collect(),
        }
    }

    /// What a newcomer is told of people. `own`: its own entry, if it came after this was written. Who else came since then is told
    /// to everybody with the next changes, so to the newcomer, too.
    pub(crate) fn roster(&self, own: Option<(Participant, u32)>) -> impl Iterator<Item = Arc<Body>> + '_ {
        let own = own.map(|(own, total)| {
            Body::new(EdgeSays::Roster { present: vec![own], gone: Vec::new(), total, more: true })
        });
        own.into_iter().chain(self.roster.iter().cloned())
    }

    /// What a newcomer is told of ways.
    pub(crate) fn paths(&self) -> impl Iterator<Item = Arc<Body>> + '_ {
        self.paths.iter().cloned()
    }
}

/// What was said of people, counted: what the room wrote against what its clients got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Entries in bodies written, each once.
    pub(crate) written: u64,
    /// Messages to clients.
    pub(crate) messages: u64,
    /// Entries in messages to clients.
    pub(crate) entries: u64,
}

impl Told {
    /// Adds another room's counts to these.
    pub(crate) fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.messages += other.messages;
        self.entries += other.entries;
    }

    /// This was written.
    pub(crate) fn wrote(&mut self, body: &Body) {
        self.written += entries(body).unwrap_or(0);
    }

    /// This was said to a client.
    pub(crate) fn said(&mut self, body: &Body) {
        if let Some(entries) = entries(body) {
            self.messages += 1;
            self.entries += entries;
        }
    }
}

fn entries(body: &Body) -> Option<u64> {
    match body.says() {
        EdgeSays::Roster { present, gone, .. } => Some((present.len() + gone.len()) as u64),
        _ => None,
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

    /// People, leavers and `more` of each page.
    fn shape<'a>(bodies: impl Iterator<Item = &'a Arc<Body>>) -> Vec<(usize, usize, bool)> {
        let each = |body: &Arc<Body>| match body.says() {
            EdgeSays::Roster { present, gone, more, .. } => (present.len(), gone.len(), *more),
            other => panic!("{other:?}"),
        };
        bodies.map(each).collect()
    }

    #[test]
    fn the_last_word_about_each_person_is_what_is_told() {
        let mut delta = Delta::default();
        delta.came(person("a", "Ana"));
        delta.came(person("b", "Ben"));
        delta.came(person("a", "Anna"));
        delta.left(person("b", "Ben").id);
        delta.left(person("c", "Cem").id);
        let bodies = delta.take(1);
        let EdgeSays::Roster { present, gone, total, more } = bodies[0].says() else { panic!("a roster") };
        assert_eq!(*present, [person("a", "Anna")]);
        assert_eq!(gone.iter().map(ParticipantId::as_str).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!((*total, *more, bodies.len()), (1, false, 1));
        assert!(delta.is_empty());
    }

    #[test]
    fn a_crowd_comes_in_pages_that_say_whether_more_follow() {
        let mut delta = Delta::default();
        (0..250).for_each(|n| delta.came(person(&format!("p{n}"), "")));
        (0..130).for_each(|n| delta.left(person(&format!("q{n}"), "").id));
        assert_eq!(shape(delta.take(250).iter()), [(100, 100, true), (100, 30, true), (50, 0, false)]);
        let everybody = (0..200).map(|n| person(&format!("p{n}"), ""));
        let whole = Whole::new(everybody, std::iter::empty(), 200);
        let first: Vec<_> = whole.roster(None).collect();
        assert_eq!(shape(first.iter()), [(100, 0, true), (100, 0, false)]);
        let later: Vec<_> = whole.roster(Some((person("p200", ""), 201))).collect();
        assert_eq!(shape(later.iter()), [(1, 0, true), (100, 0, true), (100, 0, false)]);
        assert!(Arc::ptr_eq(&first[0], &later[1]), "written once for all newcomers");
        assert_eq!(
            shape(Whole::new(std::iter::empty(), std::iter::empty(), 0).roster(None).collect::<Vec<_>>().iter()),
            [(0, 0, false)]
        );
    }
}
