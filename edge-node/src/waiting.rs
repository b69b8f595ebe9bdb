//! HTTP requests that wait for a shard's answer.

use lyceum_edge_core::door::RequestId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The waiting requests of one kind, bounded.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    by_id: Mutex<HashMap<RequestId, oneshot::Sender<T>>>,
    next: AtomicU64,
    max: usize,
}

impl<T> Waiting<T> {
    pub(crate) fn new(max: usize) -> Self {
        Self { by_id: Mutex::default(), next: AtomicU64::new(1), max }
    }

    /// A new number to ask with. `None`: too many wait already.
    pub(crate) fn ask(&self) -> Option<Question<'_, T>> {
        let mut by_id = self.lock();
        if by_id.len() >= self.max {
            return None;
        }
        let id = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let (sender, answer) = oneshot::channel();
        by_id.insert(id, sender);
        Some(Question { id, answer, waiting: self })
    }

    /// Hands the answer to whoever waits; a late one is dropped.
    pub(crate) fn answer(&self, id: RequestId, answer: T) {
        let asked = self.lock().remove(&id);
        if let Some(sender) = asked {
            // Whoever asked may have left in this moment; nobody wants the answer then.
            let _ = sender.send(answer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, oneshot::Sender<T>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that waits; forgotten when dropped.
#[derive(Debug)]
pub(crate) struct Question<'a, T> {
    /// Its number.
    pub(crate) id: RequestId,
    /// Where the answer comes.
    pub(crate) answer: oneshot::Receiver<T>,
    waiting: &'a Waiting<T>,
}

impl<T> Drop for Question<'_, T> {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_who_asked_and_nobody_waits_for_ever() {
        let waiting = Waiting::new(2);
        let mut first = waiting.ask().unwrap();
        let second = waiting.ask().unwrap();
        assert!(waiting.ask().is_none(), "the bound");
        waiting.answer(first.id, "one");
        assert_eq!(first.answer.try_recv(), Ok("one"));
        let late = second.id;
        drop(second);
        waiting.answer(late, "too late");
        assert!(waiting.ask().is_some());
        assert_eq!(waiting.lock().len(), 0);
    }
}
