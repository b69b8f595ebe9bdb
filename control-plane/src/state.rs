//! What all requests share, and the background work: follow the store, bury dead nodes.

use crate::config::{Config, StoreConfig};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::store::{Etcd, Memory, Store, StoreError, Watch};
use anyhow::Context;
use futures_util::StreamExt;
use lyceum_control_core::Directory;
use lyceum_control_core::kv::{Change, Commit, Entry, Expect, NODES, Outcome, ROOMS, Write};
use lyceum_control_core::map::{self, Full, Record, Step};
use lyceum_control_core::rate::Buckets;
use lyceum_wire::api::{NodeStatus, RoomMap};
use lyceum_wire::id::{NodeId, RoomId};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// A control plane's state: cheap to clone. The background work ends with the last clone, or at [`State::stop`].
#[derive(Clone)]
pub struct State {
    pub(crate) inner: Arc<Inner>,
    stop: Arc<watch::Sender<bool>>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    store: Box<dyn Store>,
    keys: OnceLock<Keys>,
    directory: Mutex<Directory>,
    buckets: Mutex<Buckets>,
    followed: Cell,
    pub(crate) metrics: Metrics,
}

/// How well the store is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Followed {
    /// Never seen yet: nothing can be answered.
    #[default]
    Never,
    /// All is known as it happens.
    Now,
    /// Away: answers come from the last good state.
    Lost,
}

/// A [`Followed`] that all may read and the background work writes.
#[derive(Default)]
struct Cell(Mutex<Followed>);

impl Cell {
    fn load(&self) -> Followed {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, how: Followed) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }
}

/// First wait before the store is tried again; doubled up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest wait: a store that comes back is used this soon.
const RETRY_MAX: Duration = Duration::from_secs(2);
/// Tries of one change of a room's map. Each lost one means that another control plane's won: 64 nodes that attach to one
/// room at the same moment all get in.
const AMEND_TRIES: usize = 100;
/// Rooms put right after one report, the rest after the next: a report is answered within a lease.
const HEALED_PER_REPORT: usize = 64;

/// Why a room's map was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AmendError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Full(#[from] Full),
    #[error("the room's entry in the store was written by a newer version")]
    Unreadable,
    #[error("others keep changing the room's map")]
    Contended,
}

impl State {
    /// Opens the store, loads or makes the keys, and follows the store in the background. With etcd away it starts all
    /// the same, not ready, and goes on trying. Must be called on a tokio runtime.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.check()?;
        let store: Box<dyn Store> = match &config.store {
            StoreConfig::Memory => Box::new(Memory::new()),
            StoreConfig::Etcd(etcd) => Box::new(Etcd::connect(etcd).await.context("etcd")?),
        };
        Self::with_store(config, store).await
    }

    /// [`State::start`] on a store of the caller's. Returns once the store was followed for the first time, or could not be.
    pub async fn with_store(config: &Config, store: Box<dyn Store>) -> anyhow::Result<Self> {
        let inner = Arc::new(Inner {
            config: config.clone(),
            store,
            keys: OnceLock::new(),
            directory: Mutex::new(Directory::new(config.lease)),
            buckets: Mutex::new(Buckets::new(config.rate_per_second, config.rate_burst)),
            followed: Cell::default(),
            metrics: Metrics::new()?,
        });
        let opened = inner.open().await;
        if let Err(error) = &opened {
            let passes = matches!(error.downcast_ref(), Some(StoreError::Away(_) | StoreError::Behind(_)));
            anyhow::ensure!(passes, "{error:#}");
            inner.lost(error);
            warn!(error = format!("{error:#}"), "started without the store: not ready until it comes");
        }
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(work(inner.clone(), opened.ok(), stopped));
        Ok(Self { inner, stop: Arc::new(stop) })
    }

    /// Ends the background work.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Inner {
    /// The keys, once the store has been seen.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.get()
    }

    pub(crate) fn directory(&self) -> MutexGuard<'_, Directory> {
        self.directory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn followed(&self) -> Followed {
        self.followed.load()
    }

    /// A node reported: notes it here and in the store, and puts its rooms' maps right. Whatever the store says, the node was heard.
    pub(crate) async fn report(&self, node: &NodeId, status: NodeStatus) {
        let value = serde_json::to_vec(&status).unwrap_or_default();
        let (lease, healing) = {
            let mut directory = self.directory();
            let lease = directory.reported(node, status, Instant::now());
            (lease, directory.healing(node))
        };
        if let Err(error) = self.note_node(node, value, lease).await {
            self.metrics.store_failed("report", &error);
            debug!(%node, %error, "a node's report was not noted in the store");
            return;
        }
        let attach = healing.attach.iter().map(|room| (room, true));
        let detach = healing.detach.iter().map(|room| (room, false));
        for (room, attach) in attach.chain(detach).take(HEALED_PER_REPORT) {
            let healed = if attach { self.attach(room, node).await.map(|_| ()) } else { self.detach(room, node).await };
            match healed {
                Ok(()) => info!(%room, %node, attach, "a room's map was put right after a node's report"),
                Err(error) => warn!(%room, %node, %error, "a room's map could not be put right"),
            }
        }
    }

    async fn note_node(
        &self,
        node: &NodeId,
        value: Vec<u8>,
        known: Option<lyceum_control_core::kv::LeaseId>,
    ) -> Result<(), StoreError> {
        let alive = match known {
            Some(lease) => match self.store.keep_alive(lease).await {
                Ok(()) => Some(lease),
                Err(StoreError::LeaseGone) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let lease = match alive {
            Some(lease) => lease,
            None => self.store.lease(self.config.lease).await?,
        };
        let key = format!("{NODES}{node}");
        let put = Write::Put { key, value, lease: Some(lease) };
        if let Outcome::Done { revision } = self.store.commit(Commit { expect: Vec::new(), write: vec![put] }).await? {
            self.directory().noted(node, revision, lease);
        }
        Ok(())
    }

    /// A node hosts a room from now on. None: the node is not known.
    pub(crate) async fn attach(&self, room: &RoomId, node: &NodeId) -> Result<Option<RoomMap>, AmendError> {
        let Some(address) = self.directory().address(node) else { return Ok(None) };
        self.amend(room, |record| map::attach(record, &address)).await
    }

    /// A node no longer hosts a room.
    pub(crate) async fn detach(&self, room: &RoomId, node: &NodeId) -> Result<(), AmendError> {
        self.amend(room, |record| Ok(map::detach(record, node))).await.map(|_| ())
    }

    /// Changes a room's map by compare-and-swap, however many others do the same. Returns the map as it then is.
    async fn amend(
        &self,
        room: &RoomId,
        step: impl Fn(Option<&Record>) -> Result<Step, Full>,
    ) -> Result<Option<RoomMap>, AmendError> {
        let key = format!("{ROOMS}{room}");
        for _ in 0..AMEND_TRIES {
            let listing = self.store.list(&key).await.inspect_err(|error| self.metrics.store_failed("room", error))?;
            let entry = listing.entries.into_iter().find(|entry| entry.key == key);
            let revision = entry.as_ref().map_or(0, |entry| entry.revision);
            let record: Option<Record> = match &entry {
                Some(entry) => Some(serde_json::from_slice(&entry.value).map_err(|_| AmendError::Unreadable)?),
                None => None,
            };
            let (write, record) = match step(record.as_ref())? {
                Step::Same => {
                    if let Some(entry) = entry {
                        self.directory().changed(&Change::Put(entry), Instant::now());
                    }
                    return Ok(record.and_then(|record| map::view(room, &record, revision)));
                }
                Step::Write(record) => {
                    let value = serde_json::to_vec(&record).unwrap_or_default();
                    (Write::Put { key: key.clone(), value, lease: None }, Some(record))
                }
                Step::Delete => (Write::Delete { key: key.clone() }, None),
            };
            let expect = vec![Expect { key: key.clone(), revision }];
            let commit = Commit { expect, write: vec![write] };
            let outcome =
                self.store.commit(commit).await.inspect_err(|error| self.metrics.store_failed("room", error))?;
            let Outcome::Done { revision } = outcome else { continue };
            let change = match &record {
                Some(record) => {
                    let value = serde_json::to_vec(record).unwrap_or_default();
                    Change::Put(Entry { key: key.clone(), value, revision, lease: None })
                }
                None => Change::Gone { key: key.clone(), revision },
            };
            self.directory().changed(&change, Instant::now());
            return Ok(record.and_then(|record| map::view(room, &record, revision)));
        }
        Err(AmendError::Contended)
    }

    /// Takes dead nodes out of the rooms that still name them. Every control plane tries; whoever is first has done it.
    async fn bury(&self) -> Result<(), StoreError> {
        let orphans = self.directory().orphans();
        for (room, node) in orphans {
            match self.detach(&room, &node).await {
                Ok(()) => info!(%room, %node, "a node died and was taken out of a room"),
                Err(AmendError::Store(error)) => return Err(error),
                Err(error) => warn!(%room, %node, %error, "a dead node could not be taken out of a room"),
            }
        }
        Ok(())
    }

    /// Lists everything, and watches from there on.
    async fn open(&self) -> anyhow::Result<Watch> {
        if self.keys.get().is_none() {
            let keys = Keys::load(&self.config, self.store.as_ref(), unix_now()).await?;
            let _ = self.keys.set(keys);
        }
        let listing = self.store.list("").await?;
        self.metrics.listings.inc();
        self.directory().listed(&listing, Instant::now());
        let news = self.store.watch("", listing.revision).await?;
        self.followed.store(Followed::Now);
        Ok(news)
    }

    /// Takes in what happens, until something is in doubt.
    async fn follow(&self, mut news: Watch) -> Result<std::convert::Infallible, StoreError> {
        self.bury().await?;
        let mut tick = tokio::time::interval(self.config.lease / 3);
        loop {
            let mut died = false;
            tokio::select! {
                some = news.next() => {
                    let changes = some.unwrap_or_else(|| Err(StoreError::Away("the watch ended".into())))?;
                    let mut directory = self.directory();
                    for change in &changes {
                        died |= matches!(change, Change::Gone { key, .. } if key.starts_with(NODES));
                        directory.changed(change, Instant::now());
                    }
                }
                _ = tick.tick() => {
                    self.directory().handle_time(Instant::now());
                    died = true;
                }
            }
            if died {
                self.bury().await?;
            }
        }
    }

    /// Something went wrong with the store.
    fn lost(&self, error: &anyhow::Error) {
        let why = error.downcast_ref::<StoreError>();
        if let Some(why) = why {
            self.metrics.store_failed("follow", why);
        }
        // A watch that fell behind is listed again at once: nothing is known to be away.
        if self.followed.load() == Followed::Now && !matches!(why, Some(StoreError::Behind(_))) {
            self.directory().store_lost(Instant::now());
            self.followed.store(Followed::Lost);
        }
    }
}

/// The background work: follows the store, and opens it again whenever that ends.
async fn work(inner: Arc<Inner>, mut news: Option<Watch>, mut stopped: watch::Receiver<bool>) {
    let follow = async {
        let mut retry = RETRY_FIRST;
        loop {
            let opened = match news.take() {
                Some(news) => Ok(news),
                None => inner.open().await,
            };
            let error = match opened {
                Ok(news) => {
                    retry = RETRY_FIRST;
                    match inner.follow(news).await {
                        Ok(never) => match never {},
                        Err(error) => error.into(),
                    }
                }
                Err(error) => error,
            };
            inner.lost(&error);
            warn!(error = format!("{error:#}"), retry_ms = retry.as_millis(), "the store is not followed");
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    };
    tokio::select! {
        () = follow => {}
        // Also when the last state was dropped.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
