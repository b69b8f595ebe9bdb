//! Keeps the control plane and this edge of one mind: that the node lives, which rooms it hosts, who else does.
//!
//! ```text
//!   shards ── RoomWanted, RoomEmpty, RoomCount ──► Keeper ── attach, detach, report ──► control plane
//!   shards ◄── RoomMap, TurnSecret, WallClock ──── Keeper ◄── maps, lease, keys ────────┘
//! ```
//!
//! Per room there is one call at a time; a failed one is tried again for ever, more and more slowly. What got lost is
//! healed by the lease, which lists the rooms the control plane believes this node hosts. While the control plane is
//! away nothing here stops: keys are kept, running rooms go on.

use crate::control::ControlPlane;
use crate::counters::Counters;
use crate::doors::{Doors, stopped, unix_ms};
use crate::mesh::Links;
use anyhow::Result;
use lyceum_edge_core::door::{Command, Secret};
use lyceum_relay::driver;
use lyceum_wire::api::{Load, NodeLease, NodeStatus, RoomMap};
use lyceum_wire::id::RoomId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// First pause after a failed call; doubled up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// Longest pause: a control plane that comes back is heard within this.
const RETRY_LONGEST: Duration = Duration::from_secs(3);
/// Reports go out three times a lease, as the API asks; never more often than this.
const REPORT_SHORTEST: Duration = Duration::from_millis(300);
/// News of rooms waiting to be taken in.
pub(crate) const NEWS_MAX: usize = 4_096;

/// What a shard says of a room.
#[derive(Debug)]
pub(crate) enum News {
    /// Its first participant is here.
    Wanted(RoomId),
    /// Its last participant is gone.
    Empty(RoomId),
    /// It has this many on one shard.
    Count { room: RoomId, shard: usize, participants: u32 },
}

/// What this node says of itself that does not change.
#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) link_addr: String,
    pub(crate) turn_urls: Vec<String>,
}

pub(crate) struct Keeper {
    doors: Arc<Doors>,
    control: ControlPlane,
    links: Links,
    card: Card,
    news: mpsc::Receiver<News>,
    rooms: BTreeMap<RoomId, Hosted>,
    calls: JoinSet<Done>,
    /// When the next report goes out; `None` while one is under way.
    report_at: Option<tokio::time::Instant>,
    report_failures: u32,
    turn_secret: String,
    wheels: Vec<driver::Snapshot>,
    leased: watch::Sender<bool>,
}

/// One room as it stands between this node and the control plane.
#[derive(Debug, Default)]
struct Hosted {
    wanted: bool,
    /// By shard.
    participants: BTreeMap<usize, u32>,
    /// The epoch of the newest map, and since when we have one. `None`: not attached, as far as known.
    attached: Option<Attached>,
    /// A call about this room is under way.
    calling: bool,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Attached {
    epoch: u64,
    since: Instant,
}

/// A call that ended.
enum Done {
    Attach(RoomId, Result<RoomMap>),
    Detach(RoomId, Result<()>),
    Report { sent: Instant, answer: Result<NodeLease> },
}

impl Keeper {
    /// `leased` turns true with the first lease.
    pub(crate) fn new(
        doors: Arc<Doors>,
        control: ControlPlane,
        links: Links,
        card: Card,
        news: mpsc::Receiver<News>,
        leased: watch::Sender<bool>,
    ) -> Self {
        let wheels = doors.shards.iter().map(|shard| shard.wheel.snapshot()).collect();
        Self {
            doors,
            control,
            links,
            card,
            news,
            rooms: BTreeMap::new(),
            calls: JoinSet::new(),
            report_at: Some(tokio::time::Instant::now()),
            report_failures: 0,
            turn_secret: String::new(),
            wheels,
            leased,
        }
    }

    /// Runs until `stop` turns true.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let report_at = self.report_at;
            let report_due = async move {
                match report_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stopped(&mut stop) => break,
                news = self.news.recv() => match news {
                    Some(news) => self.take(news),
                    None => break,
                },
                Some(done) = self.calls.join_next(), if !self.calls.is_empty() => match done {
                    Ok(done) => self.done(done).await,
                    Err(error) => tracing::error!(%error, "a call to the control plane panicked"),
                },
                () = report_due => self.report(),
            }
        }
        self.calls.abort_all();
        if *self.leased.borrow()
            && let Err(error) = self.control.forget().await
        {
            tracing::debug!(error = format!("{error:#}"), "the control plane was not told that this node stops");
        }
    }

    fn take(&mut self, news: News) {
        match news {
            News::Wanted(room) => {
                self.rooms.entry(room.clone()).or_default().wanted = true;
                self.settle(room);
            }
            News::Empty(room) => {
                let hosted = self.rooms.entry(room.clone()).or_default();
                hosted.wanted = false;
                self.links.want(&room, &[]);
                self.settle(room);
            }
            // A branch may be heard of before its room's root.
            News::Count { room, shard, participants } => {
                let hosted = self.rooms.entry(room.clone()).or_default();
                match participants {
                    0 => drop(hosted.participants.remove(&shard)),
                    some => drop(hosted.participants.insert(shard, some)),
                }
                self.settle(room);
            }
        }
    }

    /// Starts the call that a room needs, if it needs one and none is under way.
    fn settle(&mut self, room: RoomId) {
        let Some(hosted) = self.rooms.get_mut(&room) else { return };
        if hosted.calling {
            return;
        }
        let pause = pause(hosted.failures);
        let control = self.control.clone();
        match (hosted.wanted, hosted.attached) {
            (true, None) => {
                hosted.calling = true;
                self.calls.spawn(async move {
                    tokio::time::sleep(pause).await;
                    let map = control.attach(&room).await;
                    Done::Attach(room, map)
                });
            }
            (false, Some(_)) => {
                hosted.calling = true;
                self.calls.spawn(async move {
                    tokio::time::sleep(pause).await;
                    let gone = control.detach(&room).await;
                    Done::Detach(room, gone)
                });
            }
            (false, None) if hosted.participants.is_empty() => {
                self.rooms.remove(&room);
            }
            (false, None) | (true, Some(_)) => {}
        }
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Attach(room, answer) => {
                let Some(hosted) = self.rooms.get_mut(&room) else { return };
                hosted.calling = false;
                match answer {
                    Ok(map) => {
                        hosted.failures = 0;
                        hosted.attached = Some(Attached { epoch: map.epoch, since: Instant::now() });
                        // It may have become empty meanwhile; then the detach that follows is all it needs.
                        if hosted.wanted {
                            self.tell(map).await;
                        }
                    }
                    Err(error) => failed(&self.doors, hosted, "attach", &error),
                }
                self.settle(room);
            }
            Done::Detach(room, answer) => {
                let Some(hosted) = self.rooms.get_mut(&room) else { return };
                hosted.calling = false;
                match answer {
                    Ok(()) => {
                        hosted.failures = 0;
                        hosted.attached = None;
                    }
                    Err(error) => failed(&self.doors, hosted, "detach", &error),
                }
                self.settle(room);
            }
            Done::Report { sent, answer: Ok(lease) } => self.leased(sent, lease).await,
            Done::Report { answer: Err(error), .. } => {
                Counters::add(&self.doors.counters.control_failures);
                // Said once per outage: the counter tells how long it lasts.
                if self.report_failures == 0 {
                    tracing::warn!(error = format!("{error:#}"), "the control plane does not take reports; trying on");
                }
                self.report_failures += 1;
                self.report_at = Some(tokio::time::Instant::now() + pause(self.report_failures));
            }
        }
    }

    fn report(&mut self) {
        self.report_at = None;
        let rooms: BTreeMap<RoomId, u32> = self
            .rooms
            .iter()
            .filter(|(_, hosted)| hosted.wanted)
            .map(|(room, hosted)| (room.clone(), hosted.participants.values().sum()))
            .collect();
        let load = Load {
            participants: rooms.values().sum(),
            rooms: u32::try_from(rooms.len()).unwrap_or(u32::MAX),
            cpu: self.busiest(),
        };
        let status = NodeStatus {
            region: self.doors.region.clone(),
            url: self.doors.url.clone(),
            link_addr: self.card.link_addr.clone(),
            turn_urls: self.card.turn_urls.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: !self.doors.stopping.load(Ordering::Relaxed),
            load,
            rooms,
        };
        let control = self.control.clone();
        let sent = Instant::now();
        self.calls.spawn(async move { Done::Report { sent, answer: control.report(&status).await } });
    }

    /// The busiest shard's share of its core since the last report.
    fn busiest(&mut self) -> f64 {
        let now: Vec<_> = self.doors.shards.iter().map(|shard| shard.wheel.snapshot()).collect();
        let shares = now.iter().zip(&self.wheels).map(|(now, earlier)| now.busy_share_since(earlier));
        let busiest = shares.fold(0.0, f64::max);
        self.wheels = now;
        busiest
    }

    async fn leased(&mut self, sent: Instant, lease: NodeLease) {
        if self.report_failures > 0 {
            tracing::info!(failures = self.report_failures, "the control plane takes reports again");
        }
        self.report_failures = 0;
        let every = (Duration::from_millis(lease.lease_ms) / 3).max(REPORT_SHORTEST);
        self.report_at = Some(tokio::time::Instant::now() + every);
        if self.doors.keys.set(&lease.token_keys) {
            self.links.renew();
        }
        let new_secret = (self.turn_secret != lease.turn_secret).then(|| lease.turn_secret.clone());
        for shard in 0..self.doors.shards.len() {
            self.doors.command(shard, Command::WallClock { unix_ms: unix_ms() }).await;
            if let Some(secret) = &new_secret {
                self.doors.command(shard, Command::TurnSecret(Secret(secret.clone()))).await;
            }
        }
        self.turn_secret = lease.turn_secret;
        self.heal(sent, lease.rooms).await;
        self.leased.send_replace(true);
    }

    /// Compares what the control plane believes this node hosts with what it does host.
    async fn heal(&mut self, sent: Instant, maps: Vec<RoomMap>) {
        let mut listed = BTreeMap::new();
        for map in maps {
            listed.insert(map.room.clone(), map.epoch);
            let hosted = self.rooms.entry(map.room.clone()).or_default();
            if hosted.calling {
                continue;
            }
            let newer = hosted.attached.is_none_or(|attached| attached.epoch < map.epoch);
            if newer {
                hosted.attached = Some(Attached { epoch: map.epoch, since: Instant::now() });
            }
            if hosted.wanted && newer {
                self.tell(map).await;
            }
        }
        // A room attached after this report went out is rightly not in its answer.
        let lost = |hosted: &Hosted| !hosted.calling && hosted.attached.is_some_and(|attached| attached.since < sent);
        for (room, hosted) in &mut self.rooms {
            if lost(hosted) && !listed.contains_key(room) {
                hosted.attached = None;
            }
        }
        let all: Vec<RoomId> = self.rooms.keys().cloned().collect();
        all.into_iter().for_each(|room| self.settle(room));
    }

    async fn tell(&self, map: RoomMap) {
        let shard = self.doors.shard_of(&map.room);
        self.links.want(&map.room, &map.nodes);
        self.doors.command(shard, Command::RoomMap(Box::new(map))).await;
    }
}

fn failed(doors: &Doors, hosted: &mut Hosted, what: &'static str, error: &anyhow::Error) {
    Counters::add(&doors.counters.control_failures);
    if hosted.failures == 0 {
        tracing::warn!(what, error = format!("{error:#}"), "a room's call to the control plane failed; trying on");
    }
    hosted.failures = hosted.failures.saturating_add(1);
}

fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n => RETRY_FIRST.saturating_mul(1 << (n - 1).min(10)).min(RETRY_LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_short() {
        let pauses: Vec<u128> = [0, 1, 2, 5, 6, 4_000_000].map(|n| pause(n).as_millis()).into();
        assert_eq!(pauses, [0, 200, 400, 3_000, 3_000, 3_000]);
    }
}
