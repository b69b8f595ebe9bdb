//! From shard to shard: what one machine has for another goes straight into that shard's queue of commands.
//!
//! ```text
//!   shard 0 ── aside ──▶ queue of commands (bounded) ──▶ shard 1
//!              full: media is dropped and counted, all else waits here in order and is offered again
//! ```
//!
//! A shard goes on taking its own commands while asides wait: two shards that are full of each other empty each other.

use super::queue::{Commander, Full};
use super::stats::Stats;
use lyceum_relay_core::machine::Aside;
use lyceum_relay_core::route::SHARDS_MAX;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// Asides waiting for one shard at most: four times its queue. A shard that is that far behind has stopped turning, and
/// its node will be started anew.
pub const ASIDES_WAITING_MAX: usize = 16_384;

/// The shards of one node, as each of them reaches the others. Clones are the same shards.
#[derive(Debug)]
pub struct Neighbours<C>(Arc<OnceLock<Vec<Commander<C>>>>);

impl<C> Clone for Neighbours<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> Default for Neighbours<C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<C> Neighbours<C> {
    /// Says who they are, once, in the order of their numbers. Asides from before wait for it.
    pub fn introduce(&self, shards: Vec<Commander<C>>) {
        // A second introduction would be of the same shards.
        let _ = self.0.set(shards);
    }
}

/// One shard's asides.
#[derive(Debug)]
pub(super) struct Asides<C> {
    neighbours: Neighbours<C>,
    /// What found no place, by shard.
    waiting: Vec<VecDeque<C>>,
}

impl<C> Asides<C> {
    pub(super) fn new(neighbours: Neighbours<C>) -> Self {
        Self { neighbours, waiting: Vec::new() }
    }

    /// Sends, or keeps for later, or drops.
    pub(super) fn send(&mut self, aside: Aside<C>, stats: &Stats) {
        let Aside { shard, command, may_drop } = aside;
        if self.waiting.len() <= shard.min(SHARDS_MAX) {
            self.waiting.resize_with(shard.min(SHARDS_MAX) + 1, VecDeque::new);
        }
        let Some(waiting) = self.waiting.get_mut(shard) else { return Stats::add(&stats.dropped_asides_gone, 1) };
        let sent = match self.neighbours.0.get() {
            Some(shards) if waiting.is_empty() => match shards.get(shard) {
                Some(neighbour) => neighbour.try_send(command),
                None => Err(Full::Gone(command)),
            },
            _ => Err(Full::Full(command)),
        };
        match sent {
            Ok(()) => Stats::add(&stats.asides, 1),
            // The whole node stops, or is about to.
            Err(Full::Gone(_)) => Stats::add(&stats.dropped_asides_gone, 1),
            Err(Full::Full(_)) if may_drop => Stats::add(&stats.dropped_asides_behind, 1),
            Err(Full::Full(command)) if waiting.len() < ASIDES_WAITING_MAX => waiting.push_back(command),
            Err(Full::Full(_)) => {
                if stats.dropped_asides_full.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                    tracing::error!(
                        shard,
                        "another shard of this node takes nothing; rooms that both share fall apart"
                    );
                }
                Stats::add(&stats.dropped_asides_full, 1);
            }
        }
    }

    /// Whether any waits.
    pub(super) fn waiting(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_empty())
    }

    /// Offers what waits again, in order.
    pub(super) fn offer_again(&mut self, stats: &Stats) {
        let Some(shards) = self.neighbours.0.get() else { return };
        for (waiting, neighbour) in self.waiting.iter_mut().zip(shards) {
            while let Some(command) = waiting.pop_front() {
                match neighbour.try_send(command) {
                    Ok(()) => Stats::add(&stats.asides, 1),
                    Err(Full::Full(command)) => {
                        waiting.push_front(command);
                        break;
                    }
                    Err(Full::Gone(_)) => {
                        Stats::add(&stats.dropped_asides_gone, 1 + waiting.len() as u64);
                        waiting.clear();
                    }
                }
            }
        }
    }
}
