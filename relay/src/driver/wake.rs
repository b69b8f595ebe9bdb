//! How the async side wakes a sleeping shard: an eventfd beside the socket in `poll(2)`, written only when the
//! shard is asleep or about to be.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(super) struct Wake {
    fd: OwnedFd,
    asleep: AtomicBool,
}

impl Wake {
    pub(super) fn new() -> io::Result<Self> {
        let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { fd, asleep: AtomicBool::new(false) })
    }

    /// The async side: something was put into the queue.
    pub(super) fn ring(&self) {
        // SeqCst on both sides: either the shard sees what was queued, or we see that it sleeps.
        if self.asleep.swap(false, Ordering::SeqCst) {
            // The counter can only overflow after 2^64 rings: nothing to handle.
            let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
        }
    }

    /// The shard, before it looks into the queue a last time.
    pub(super) fn about_to_sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The shard, after `poll(2)`.
    pub(super) fn awake(&self) {
        if !self.asleep.swap(false, Ordering::SeqCst) {
            let mut count = [0; 8];
            // Nothing in it yet when the ringer stands between its swap and its write: one idle turn follows.
            let _ = rustix::io::read(&self.fd, &mut count);
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}
