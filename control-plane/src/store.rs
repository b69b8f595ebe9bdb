//! Where the mesh's memory is: the one seam between a control plane and its store, with two implementations and one suite
//! of tests that runs against both (`tests/store.rs`).

mod etcd;
mod memory;

pub use etcd::Etcd;
pub use memory::Memory;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lyceum_control_core::kv::{Change, Commit, LeaseId, Listing, Outcome};
use std::time::Duration;

/// A store: keys with revisions, commits on conditions, leases, and what happened since.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// All entries below a prefix, as they are now (never older than the last commit anybody was told of).
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError>;

    /// Writes, if what is expected is so.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;

    /// A new lease that runs out after `ttl` (whole seconds, at least 2) without [`Store::keep_alive`].
    async fn lease(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Gives a lease its whole time again.
    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// What happens below a prefix after a revision: every change, in order, once. An error ends the stream; after it
    /// only a new listing says how things stand.
    async fn watch(&self, prefix: &str, after: u64) -> Result<Watch, StoreError>;
}

/// What happens in a store, commit by commit.
pub type Watch = BoxStream<'static, Result<Vec<Change>, StoreError>>;

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or has no majority. Nothing is known of what was asked: it may have happened. Try later.
    #[error("the store is away: {0}")]
    Away(String),
    /// The lease has run out or never was: take a new one.
    #[error("the lease has run out")]
    LeaseGone,
    /// The watch cannot tell everything that happened: list again.
    #[error("the watch fell behind: {0}")]
    Behind(String),
    /// It does not take this request; that is a fault of ours or of the configuration.
    #[error("the store refuses: {0}")]
    Refused(String),
}

impl StoreError {
    /// One word for metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::LeaseGone => "lease_gone",
            Self::Behind(_) => "behind",
            Self::Refused(_) => "refused",
        }
    }
}
