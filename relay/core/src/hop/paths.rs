//! Which ways this node's people were told of, and when it is worth telling again.

use lyceum_wire::id::ParticipantId;
use lyceum_wire::signal::Path;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Latencies are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a change they are looked at this soon: a class that arrives is looked at ten times a second, not once per track.
const LOOK_SOON: Duration = Duration::from_millis(80);
/// A latency that moved by less is not told again: nobody feels 3 ms.
const NOTICEABLE_MS: f32 = 3.0;
/// Nor one that moved by less than this share: links breathe.
const NOTICEABLE_SHARE: f32 = 0.15;

#[derive(Debug, Default)]
pub(super) struct Paths {
    told: BTreeMap<ParticipantId, Path>,
    look_at: Option<Instant>,
}

impl Paths {
    /// A way changed, or may have: look soon, once for all that change together.
    pub(super) fn changed(&mut self, now: Instant) {
        let soon = now + LOOK_SOON;
        self.look_at = Some(self.look_at.map_or(soon, |at| at.min(soon)));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.look_at.is_some_and(|at| at <= now)
    }

    /// What is worth telling of the ways as they are now.
    pub(super) fn news(&mut self, paths: Vec<Path>, now: Instant) -> Vec<Path> {
        self.look_at = (!paths.is_empty()).then(|| now + LOOK_EVERY);
        let moved = |told: &Path, path: &Path| {
            let apart = (told.latency_ms - path.latency_ms).abs();
            told.hops != path.hops || (apart > NOTICEABLE_MS && apart > told.latency_ms * NOTICEABLE_SHARE)
        };
        let news: Vec<Path> = paths
            .iter()
            .filter(|path| self.told.get(&path.participant).is_none_or(|told| moved(told, path)))
            .cloned()
            .collect();
        self.told.retain(|participant, _| paths.iter().any(|path| path.participant == *participant));
        for path in &news {
            self.told.insert(path.participant.clone(), path.clone());
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::id::{NodeId, Region};
    use lyceum_wire::signal::Hop;

    fn path(who: &str, nodes: &[&str], latency_ms: f32) -> Path {
        let hop = |node: &&str| Hop { node: NodeId::parse(node).unwrap(), region: Region::parse("eu").unwrap() };
        Path { participant: ParticipantId::parse(who).unwrap(), hops: nodes.iter().map(hop).collect(), latency_ms }
    }

    #[test]
    fn only_what_people_would_notice_is_told_again() {
        let now = Instant::now();
        let mut paths = Paths::default();
        let mut told = |list: Vec<Path>| paths.news(list, now).len();
        assert_eq!(told(vec![path("p", &["a", "b"], 40.0)]), 1);
        assert_eq!(told(vec![path("p", &["a", "b"], 44.0)]), 0, "10 % is breathing");
        assert_eq!(told(vec![path("p", &["a", "b"], 50.0)]), 1);
        assert_eq!(told(vec![path("p", &["a", "c", "b"], 50.0)]), 1, "another way");
        assert_eq!(told(vec![]), 0);
        assert_eq!(told(vec![path("p", &["a", "c", "b"], 50.0)]), 1, "gone and come again");
        assert_eq!(told(vec![path("p", &["a", "c", "b"], 1.0)]), 1);
        assert_eq!(told(vec![path("p", &["a", "c", "b"], 3.0)]), 0, "nobody feels 2 ms");
    }
}
