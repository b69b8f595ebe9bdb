//! The language between a control plane and its store: keys with revisions, commits on conditions, leases.
//!
//! A revision counts the store's commits. Every entry carries the revision of the commit that wrote it last, so that
//! "nobody changed this since I looked" is one comparison, and "what happened since" is one number.

/// Nodes that live: `nodes/{node}`, a [`lyceum_wire::api::NodeStatus`] as JSON, bound to the node's lease.
pub const NODES: &str = "nodes/";
/// Who hosts what: `rooms/{room}`, a [`crate::map::Record`] as JSON.
pub const ROOMS: &str = "rooms/";
/// What all control planes share and nobody else may see: `secrets/{what}`.
pub const SECRETS: &str = "secrets/";

/// A lease: entries bound to it vanish when nobody keeps it alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

/// One key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What it holds.
    pub value: Vec<u8>,
    /// The commit that wrote it last.
    pub revision: u64,
    /// The lease it is bound to.
    pub lease: Option<LeaseId>,
}

/// All entries below a prefix, as they were at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The revision.
    pub revision: u64,
    /// The entries, by key.
    pub entries: Vec<Entry>,
}

/// Writes that happen together, or not at all when an expectation fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// What must be so.
    pub expect: Vec<Expect>,
    /// What is then written; each key at most once.
    pub write: Vec<Write>,
}

/// That a key was last written by this commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The key.
    pub key: String,
    /// The commit; 0: the key does not exist.
    pub revision: u64,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Creates or replaces an entry.
    Put {
        /// The key.
        key: String,
        /// What it holds from now on.
        value: Vec<u8>,
        /// The lease it is bound to from now on.
        lease: Option<LeaseId>,
    },
    /// Removes an entry, if there is one.
    Delete {
        /// The key.
        key: String,
    },
}

/// How a commit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Written. The store's revision after it.
    Done {
        /// The revision; that of the written entries, if anything was written.
        revision: u64,
    },
    /// An expectation failed; nothing was written.
    Conflict,
}

/// One thing that happened in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An entry was created or replaced.
    Put(Entry),
    /// An entry was removed, or its lease ran out.
    Gone {
        /// Its key.
        key: String,
        /// The revision of its removal.
        revision: u64,
    },
}

impl Change {
    /// The key it happened to.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Gone { key, .. } => key,
        }
    }

    /// When it happened.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Gone { revision, .. } => *revision,
        }
    }
}
