//! The queue of commands into a shard.

use super::COMMANDS_MAX;
use super::wake::Wake;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Where commands go into a shard. Clones share the queue.
#[derive(Debug)]
pub struct Commander<C> {
    queue: mpsc::Sender<C>,
    wake: Arc<Wake>,
    stopping: Arc<AtomicBool>,
}

impl<C> Clone for Commander<C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), wake: self.wake.clone(), stopping: self.stopping.clone() }
    }
}

/// Why a command was given back.
#[derive(Debug, thiserror::Error)]
pub enum Full<C> {
    /// [`COMMANDS_MAX`] commands wait already.
    #[error("the shard's command queue is full")]
    Full(C),
    /// The shard's thread has ended.
    #[error("the shard is gone")]
    Gone(C),
}

impl<C> Commander<C> {
    /// Sends if there is room now.
    pub fn try_send(&self, command: C) -> Result<(), Full<C>> {
        match self.queue.try_send(command) {
            Ok(()) => {
                self.wake.ring();
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(command)) => Err(Full::Full(command)),
            Err(mpsc::error::TrySendError::Closed(command)) => Err(Full::Gone(command)),
        }
    }

    /// Waits for room, then sends. Gives the command back when the shard is gone.
    pub async fn send(&self, command: C) -> Result<(), C> {
        self.queue.send(command).await.map_err(|error| error.0)?;
        self.wake.ring();
        Ok(())
    }

    /// Asks the shard to take what is queued, flush, tell its last events and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.wake.ring();
    }
}

/// The shard's end of the queue.
#[derive(Debug)]
pub(super) struct Inbox<C> {
    queue: mpsc::Receiver<C>,
    stopping: Arc<AtomicBool>,
}

impl<C> Inbox<C> {
    pub(super) fn take(&mut self) -> Option<C> {
        self.queue.try_recv().ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

pub(super) fn commands<C>(wake: Arc<Wake>) -> (Commander<C>, Inbox<C>) {
    let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
    let stopping = Arc::new(AtomicBool::new(false));
    (Commander { queue: sender, wake, stopping: stopping.clone() }, Inbox { queue: receiver, stopping })
}
