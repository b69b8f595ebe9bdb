//! What every door of an edge shares: the shards behind it, the keys, the bounds, the counters.

use crate::config::Limits;
use crate::counters::Counters;
use crate::keys::Keys;
use crate::sockets::Sockets;
use crate::waiting::Waiting;
use lyceum_edge_core::door::{Command, Entry, HttpOutcome, Secret, Seed};
use lyceum_edge_core::spread::{MEASURE_EVERY, Policy, Spread};
use lyceum_edge_core::stats::Stats;
use lyceum_relay::driver;
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId};
use lyceum_wire::token::Claims;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Snapshots waited for at a time: a scrape asks every shard once, and sixteen scrapes of the largest node fit.
const STATS_WAITING_MAX: usize = 4_096;

/// One shard, from the async side.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Where commands go in.
    pub(crate) commands: driver::Commander<Command>,
    /// Its wheel's counters.
    pub(crate) wheel: Arc<driver::Stats>,
}

/// What every door shares.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) node: NodeId,
    pub(crate) region: Region,
    /// Base URL for clients.
    pub(crate) url: String,
    pub(crate) limits: Limits,
    pub(crate) keys: Keys,
    pub(crate) shards: Vec<Shard>,
    /// Which shard takes whom.
    spread: Mutex<Spread>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) requests: Waiting<HttpOutcome>,
    pub(crate) snapshots: Waiting<Box<Stats>>,
    pub(crate) counters: Counters,
    /// The edge is on its way down: it takes nobody new.
    pub(crate) stopping: AtomicBool,
}

impl Doors {
    pub(crate) fn new(
        node: NodeId,
        region: Region,
        url: String,
        limits: Limits,
        shards: Vec<Shard>,
        policy: Policy,
    ) -> Self {
        Self {
            node,
            region,
            url,
            keys: Keys::default(),
            sockets: Arc::new(Sockets::new(limits.clone())),
            requests: Waiting::new(limits.http_waiting),
            snapshots: Waiting::new(STATS_WAITING_MAX),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            limits,
            spread: Mutex::new(Spread::new(shards.len(), policy)),
            shards,
        }
    }

    /// The shard on which a room is at home: other nodes and the control plane meet it there.
    pub(crate) fn shard_of(&self, room: &RoomId) -> usize {
        self.spread().root(room)
    }

    /// Who is where.
    pub(crate) fn spread(&self) -> MutexGuard<'_, Spread> {
        // A panic while it was held leaves counts that the shards' next words set right.
        self.spread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures how busy the shards are, for who comes next, until `stop` turns true.
    pub(crate) async fn measure(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(MEASURE_EVERY);
        let mut before: Vec<_> = self.shards.iter().map(|shard| shard.wheel.snapshot()).collect();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                _ = tick.tick() => {}
            }
            let now: Vec<_> = self.shards.iter().map(|shard| shard.wheel.snapshot()).collect();
            let mut spread = self.spread();
            for (shard, (now, before)) in now.iter().zip(&before).enumerate() {
                spread.measured(shard, now.busy_share_since(before));
            }
            spread.sweep(Instant::now());
            before = now;
        }
    }

    /// The shard that a secret of ours names by its first two digits. `None`: it is not one of ours.
    pub(crate) fn shard_of_secret(&self, secret: &str) -> Option<usize> {
        let shard = usize::from_str_radix(secret.get(..2)?, 16).ok()?;
        (secret.len() == SECRET_CHARACTERS && shard < self.shards.len()).then_some(shard)
    }

    /// Everything a shard needs of somebody who comes in, and which shard.
    pub(crate) fn entry(&self, claims: Claims) -> (usize, Box<Entry>) {
        let shard = self.spread().join(&claims.room, Instant::now());
        let entry = Entry {
            secret: Secret(format!("{shard:02x}{}", hex(&rand::random::<[u8; SECRET_BYTES]>()))),
            participant: participant(),
            claims,
            seed: Seed(rand::random()),
        };
        (shard, Box::new(entry))
    }

    /// Tells a shard, waiting for room in its queue. False: the shard is gone.
    pub(crate) async fn command(&self, shard: usize, command: Command) -> bool {
        match self.shards.get(shard) {
            Some(shard) => shard.commands.send(command).await.is_ok(),
            None => false,
        }
    }
}

/// 160 random bits in a secret, 80 in a participant's id: the first must not be guessed, the second must not collide.
const SECRET_BYTES: usize = 20;
const PARTICIPANT_BYTES: usize = 10;
/// Two digits for the shard, then the random ones.
const SECRET_CHARACTERS: usize = 2 + 2 * SECRET_BYTES;

fn participant() -> ParticipantId {
    let text = hex(&rand::random::<[u8; PARTICIPANT_BYTES]>());
    ParticipantId::parse(&text).unwrap_or_else(|_| unreachable!("twenty hexadecimal digits are a name"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Waits until it is time to stop; a sender that is gone says so, too.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The value it returns is a lock: it must not live on beside an await.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The wall clock, in milliseconds since the Unix epoch.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
