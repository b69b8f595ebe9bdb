//! What the doors count themselves; the shards count the rest.

use crate::problem::code_name;
use lyceum_wire::signal::Refusal;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of the doors.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Signaling messages that came by WebSocket.
    pub(crate) messages_in: AtomicU64,
    /// Signaling messages written to WebSockets.
    pub(crate) messages_out: AtomicU64,
    /// WHIP and WHEP requests.
    pub(crate) http_requests: AtomicU64,
    /// Calls to the control plane that failed.
    pub(crate) control_failures: AtomicU64,
    /// Relay sockets that could not be bound.
    pub(crate) relay_bind_failures: AtomicU64,
    /// Relayed datagrams to peers outside that were not sent: no socket, or a full queue.
    pub(crate) relay_drops: AtomicU64,
    /// Sockets that ended, by reason.
    closed: Mutex<BTreeMap<&'static str, u64>>,
    /// What the doors refused before a shard heard of it, by code.
    refusals: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, code: Refusal) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(code_name(code)).or_default() += 1;
    }

    pub(crate) fn closed(&self, why: &'static str) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    pub(crate) fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn closings(&self) -> BTreeMap<&'static str, u64> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
