//! The store in this process: [`Table`] behind a lock, told the time by a task.

use super::{Store, StoreError, Watch};
use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use lyceum_control_core::Table;
use lyceum_control_core::kv::{Change, Commit, LeaseId, Listing, Outcome};
use lyceum_control_core::table::LeaseGone;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// A store in memory. Gone when it is dropped.
pub struct Memory {
    shared: Arc<Shared>,
    clock: tokio::task::JoinHandle<()>,
}

struct Shared {
    table: Mutex<Table>,
    /// The table's revision, told after every change.
    revision: watch::Sender<u64>,
    /// Told when the next deadline may be another.
    leases: tokio::sync::Notify,
}

impl Memory {
    /// An empty store. Revisions begin at the time of day in milliseconds, so that they rise over restarts of this
    /// process as long as it makes fewer than a thousand changes a second. Must be called on a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let first = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(first.as_millis()).unwrap_or(0);
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(first)),
            revision: watch::Sender::new(first),
            leases: tokio::sync::Notify::new(),
        });
        let clock = tokio::spawn(turn_clock(shared.clone()));
        Self { shared, clock }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, revision: u64) {
        self.revision.send_if_modified(|known| {
            let news = *known < revision;
            *known = (*known).max(revision);
            news
        });
    }
}

async fn turn_clock(shared: Arc<Shared>) {
    loop {
        let (deadline, revision) = {
            let mut table = shared.table();
            table.handle_time(Instant::now());
            (table.deadline(), table.list("\u{0}").revision)
        };
        shared.tell(revision);
        let changed = shared.leases.notified();
        match deadline {
            Some(at) => {
                let _ = tokio::time::timeout_at(at.into(), changed).await;
            }
            None => changed.await,
        }
    }
}

#[async_trait]
impl Store for Memory {
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        Ok(self.shared.table().list(prefix))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let outcome = self.shared.table().commit(commit).map_err(|LeaseGone| StoreError::LeaseGone)?;
        if let Outcome::Done { revision } = outcome {
            self.shared.tell(revision);
        }
        Ok(outcome)
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let lease = self.shared.table().lease(ttl, Instant::now());
        self.shared.leases.notify_one();
        Ok(lease)
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.shared.table().keep_alive(lease, Instant::now()).map_err(|LeaseGone| StoreError::LeaseGone)
    }

    async fn watch(&self, prefix: &str, after: u64) -> Result<Watch, StoreError> {
        let (shared, told, prefix) = (self.shared.clone(), self.shared.revision.subscribe(), prefix.to_owned());
        let state = Some((shared, told, prefix, after));
        let news = stream::unfold(state, |state| async move {
            let (shared, mut told, prefix, mut seen) = state?;
            loop {
                if told.wait_for(|revision| *revision > seen).await.is_err() {
                    return None;
                }
                let since = shared.table().since(seen);
                let Ok(changes) = since else {
                    return Some((Err(StoreError::Behind("its log is shorter".into())), None));
                };
                seen = changes.last().map_or(seen, Change::revision);
                let mine: Vec<Change> =
                    changes.into_iter().filter(|change| change.key().starts_with(&prefix)).collect();
                if !mine.is_empty() {
                    return Some((Ok(mine), Some((shared, told, prefix, seen))));
                }
            }
        });
        Ok(news.boxed())
    }
}
