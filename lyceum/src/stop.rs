//! When to stop.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM. Taken up before anything starts, so that none is missed.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn listen() -> Result<Self> {
        let take = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: take(SignalKind::interrupt())?, terminate: take(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs the clean-up; a second signal ends the process at once.
    pub(crate) async fn while_stopping<T>(&mut self, clean_up: impl Future<Output = T>) -> T {
        tokio::select! {
            done = clean_up => done,
            () = self.wait() => std::process::exit(130),
        }
    }
}
