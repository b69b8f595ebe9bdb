//! The store's language spoken in memory: a table with revisions, conditions, leases and a log of what happened.
//!
//! The owner tells it the time and asks [`Table::deadline`] when to tell it again, so that leases run out.

use crate::kv::{Change, Commit, Entry, LeaseId, Listing, Outcome, Write};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Changes kept for watchers: a watcher that falls further behind lists again. At 100 nodes that report every three
/// seconds this is two minutes.
pub const LOG_CHANGES_MAX: usize = 4_096;

/// A table with revisions.
#[derive(Debug)]
pub struct Table {
    revision: u64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
    lease_next: i64,
    log: VecDeque<Change>,
    /// Changes up to this revision are no longer in the log.
    forgotten: u64,
}

#[derive(Debug)]
struct Lease {
    ttl: Duration,
    until: Instant,
    keys: BTreeSet<String>,
}

/// The lease asked for has run out or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lease has run out")]
pub struct LeaseGone;

/// The log does not reach back that far: list again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log does not reach back that far")]
pub struct Forgotten;

impl Table {
    /// An empty table. Revisions begin above `first`; a caller that passes the time of its start in milliseconds has
    /// revisions that rise over restarts, as readers of room maps expect.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self {
            revision: first,
            entries: BTreeMap::new(),
            leases: BTreeMap::new(),
            lease_next: 1,
            log: VecDeque::new(),
            forgotten: first,
        }
    }

    /// All entries whose key begins with `prefix`.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Listing {
        let from = self.entries.range(prefix.to_owned()..);
        let entries = from.take_while(|(key, _)| key.starts_with(prefix)).map(|(_, entry)| entry.clone()).collect();
        Listing { revision: self.revision, entries }
    }

    /// Writes, if what is expected is so.
    pub fn commit(&mut self, commit: Commit) -> Result<Outcome, LeaseGone> {
        let holds = |key: &str| self.entries.get(key).map_or(0, |entry| entry.revision);
        if commit.expect.iter().any(|expect| holds(&expect.key) != expect.revision) {
            return Ok(Outcome::Conflict);
        }
        let bound = |write: &Write| match write {
            Write::Put { lease, .. } => *lease,
            Write::Delete { .. } => None,
        };
        if commit.write.iter().filter_map(bound).any(|lease| !self.leases.contains_key(&lease)) {
            return Err(LeaseGone);
        }
        let revision = self.revision + 1;
        for write in commit.write {
            match write {
                Write::Put { key, value, lease } => self.put(Entry { key, value, revision, lease }),
                Write::Delete { key } => self.delete(&key, revision),
            }
        }
        Ok(Outcome::Done { revision: self.revision })
    }

    /// A new lease that runs out after `ttl` without [`Table::keep_alive`].
    pub fn lease(&mut self, ttl: Duration, now: Instant) -> LeaseId {
        let id = LeaseId(self.lease_next);
        self.lease_next += 1;
        self.leases.insert(id, Lease { ttl, until: now + ttl, keys: BTreeSet::new() });
        id
    }

    /// Gives a lease its whole time again.
    pub fn keep_alive(&mut self, lease: LeaseId, now: Instant) -> Result<(), LeaseGone> {
        let lease = self.leases.get_mut(&lease).ok_or(LeaseGone)?;
        lease.until = now + lease.ttl;
        Ok(())
    }

    /// What happened after this revision, oldest first.
    pub fn since(&self, revision: u64) -> Result<Vec<Change>, Forgotten> {
        if revision < self.forgotten {
            return Err(Forgotten);
        }
        let known = self.log.partition_point(|change| change.revision() <= revision);
        Ok(self.log.iter().skip(known).cloned().collect())
    }

    /// Tells the time: leases run out. True when an entry vanished.
    pub fn handle_time(&mut self, now: Instant) -> bool {
        let over: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| lease.until <= now).map(|(id, _)| *id).collect();
        let before = self.revision;
        for id in over {
            let Some(lease) = self.leases.remove(&id) else { continue };
            let revision = self.revision + 1;
            for key in lease.keys {
                self.delete(&key, revision);
            }
        }
        self.revision != before
    }

    /// When the next lease runs out.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.leases.values().map(|lease| lease.until).min()
    }

    fn put(&mut self, entry: Entry) {
        self.unbind(&entry.key);
        if let Some(lease) = entry.lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.insert(entry.key.clone());
        }
        self.revision = entry.revision;
        self.entries.insert(entry.key.clone(), entry.clone());
        self.note(Change::Put(entry));
    }

    fn delete(&mut self, key: &str, revision: u64) {
        self.unbind(key);
        if self.entries.remove(key).is_some() {
            self.revision = revision;
            self.note(Change::Gone { key: key.to_owned(), revision });
        }
    }

    fn unbind(&mut self, key: &str) {
        let lease = self.entries.get(key).and_then(|entry| entry.lease);
        if let Some(lease) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            lease.keys.remove(key);
        }
    }

    fn note(&mut self, change: Change) {
        if self.log.len() == LOG_CHANGES_MAX
            && let Some(old) = self.log.pop_front()
        {
            self.forgotten = old.revision();
        }
        self.log.push_back(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::Expect;

    fn put(key: &str, value: &str, lease: Option<LeaseId>) -> Write {
        Write::Put { key: key.into(), value: value.into(), lease }
    }

    fn commit(write: Vec<Write>) -> Commit {
        Commit { expect: Vec::new(), write }
    }

    #[test]
    fn a_lease_takes_its_entries_with_it_at_its_hour_and_not_before() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut table = Table::new(0);
        let lease = table.lease(Duration::from_secs(10), start);
        table.commit(commit(vec![put("nodes/a", "1", Some(lease)), put("rooms/r", "1", None)])).unwrap();
        assert_eq!(table.deadline(), Some(after(10)));
        assert!(!table.handle_time(after(9)));
        table.keep_alive(lease, after(9)).unwrap();
        assert!(!table.handle_time(after(18)), "kept alive at 9 s, it lives until 19 s");
        assert!(table.handle_time(after(19)));
        assert_eq!(table.list("").entries.len(), 1, "what is bound to no lease stays");
        assert_eq!(table.since(1).unwrap(), vec![Change::Gone { key: "nodes/a".into(), revision: 2 }]);
        assert_eq!(table.keep_alive(lease, after(19)), Err(LeaseGone));
        assert_eq!(table.commit(commit(vec![put("nodes/a", "2", Some(lease))])), Err(LeaseGone));
        assert_eq!(table.deadline(), None);
    }

    #[test]
    fn an_entry_written_under_another_lease_outlives_the_first() {
        let start = Instant::now();
        let mut table = Table::new(0);
        let short = table.lease(Duration::from_secs(1), start);
        let long = table.lease(Duration::from_secs(9), start);
        table.commit(commit(vec![put("k", "1", Some(short))])).unwrap();
        table.commit(commit(vec![put("k", "2", Some(long))])).unwrap();
        assert!(!table.handle_time(start + Duration::from_secs(1)));
        assert!(table.handle_time(start + Duration::from_secs(9)));
    }

    #[test]
    fn a_watcher_too_far_behind_is_told_so() {
        let mut table = Table::new(0);
        for i in 0..=LOG_CHANGES_MAX {
            table.commit(commit(vec![put("k", &i.to_string(), None)])).unwrap();
        }
        assert_eq!(table.since(0), Err(Forgotten));
        assert_eq!(table.since(1).unwrap().len(), LOG_CHANGES_MAX);
        assert_eq!(table.since(table.list("").revision).unwrap(), vec![]);
    }

    #[test]
    fn nothing_is_written_when_one_expectation_of_two_fails() {
        let mut table = Table::new(100);
        let done = table.commit(commit(vec![put("a", "1", None)])).unwrap();
        assert_eq!(done, Outcome::Done { revision: 101 });
        let expect = |a, b| vec![Expect { key: "a".into(), revision: a }, Expect { key: "b".into(), revision: b }];
        let write = vec![put("a", "2", None), put("b", "2", None)];
        let try_it =
            |table: &mut Table, a, b| table.commit(Commit { expect: expect(a, b), write: write.clone() }).unwrap();
        assert_eq!(try_it(&mut table, 101, 7), Outcome::Conflict);
        assert_eq!(try_it(&mut table, 0, 0), Outcome::Conflict);
        assert_eq!(table.list("").entries.len(), 1);
        assert_eq!(try_it(&mut table, 101, 0), Outcome::Done { revision: 102 });
    }
}
