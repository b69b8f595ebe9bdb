//! One edge, started and stopped as a whole.
//!
//! ```text
//!   start:  bind every socket ─► shards on threads ─► doors open ─► first lease, certificate ─► links
//!   stop:   take nobody new ─► bye to everybody ─► rooms detached, node forgotten ─► threads joined
//! ```

use crate::config::{self, Config};
use crate::control::ControlPlane;
use crate::doors::{Doors, Shard, stopped, unix_ms};
use crate::http::{self, At};
use crate::keeper::{Card, Keeper, NEWS_MAX, News};
use crate::mesh::Links;
use crate::sockets::ToSocket;
use crate::turn_relay::Relays;
use anyhow::{Context, Result, ensure};
use lyceum_edge_core::Sibling;
use lyceum_edge_core::door::{Command, Event, Secret, Seed};
use lyceum_edge_core::spread::Policy;
use lyceum_relay::driver;
use lyceum_relay_core::Machine;
use lyceum_wire::id::{NodeId, Region};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Saying bye to everybody may take this long at a stop.
const FAREWELL: Duration = Duration::from_millis(800);
/// What still runs after the farewell is given this long, then abandoned.
const WIND_DOWN: Duration = Duration::from_millis(1_200);
/// Realm of TURN credentials (RFC 8489 §9.2).
const TURN_REALM: &str = "lyceum";

/// A running edge.
#[derive(Debug)]
pub struct Edge {
    /// Its node id.
    pub node: NodeId,
    /// Where its HTTP doors listen.
    pub http: SocketAddr,
    /// The base URL that clients are given.
    pub url: String,
    /// Where its shards' media sockets are bound, in shard order.
    pub media: Vec<SocketAddr>,
    /// Where its QUIC endpoint is bound.
    pub link: SocketAddr,
    doors: Arc<Doors>,
    stop: watch::Sender<bool>,
    leased: watch::Receiver<bool>,
    linked: watch::Receiver<bool>,
    faults: mpsc::Receiver<String>,
    threads: Vec<JoinHandle<Result<(), driver::Ended>>>,
    tasks: JoinSet<()>,
}

/// What a shard's machine is made from, beside what is the same for all.
#[derive(Debug, Clone)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// The shard's number.
    pub shard: u8,
    /// Its socket's addresses as clients reach it.
    pub candidates: Vec<SocketAddr>,
    /// The other shards.
    pub siblings: Vec<Sibling>,
}

/// Starts an edge. It returns when all sockets are bound and the doors are open; [`Edge::ready`] waits for the rest.
pub async fn start(config: Config) -> Result<Edge> {
    let session = lyceum_session::Config::new().context("cannot make the certificate for media")?;
    let (turn, allowed, ports) = (config.media.turn, config.media.allowed()?, config.media.ports()?);
    let shards = config.media.shard_count();
    start_with(config, move |place, now| {
        let turn = turn.then(|| lyceum_edge_core::config::TurnConfig {
            realm: TURN_REALM.to_owned(),
            // Nobody knows this one: TURN opens with the control plane's secret.
            secret: Secret(format!("{:032x}", rand::random::<u128>())),
            allowed: allowed.clone(),
            ports: share(&ports, usize::from(place.shard), shards),
        });
        let config = lyceum_edge_core::config::Config {
            node: place.node,
            region: place.region,
            shard: place.shard,
            candidates: place.candidates,
            session: session.clone(),
            seed: Seed(rand::random()),
            unix_ms: unix_ms(),
            participants_max: lyceum_edge_core::config::PARTICIPANTS_MAX,
            linger: lyceum_edge_core::config::LINGER,
            turn,
            siblings: place.siblings,
        };
        lyceum_edge_core::Shard::new(config, now)
    })
    .await
}

/// Starts an edge around other machines than the usual ones: for tests of the doors.
pub async fn start_with<M, F>(config: Config, make: F) -> Result<Edge>
where
    M: Machine<Command = Command, Event = Event> + 'static,
    F: Fn(Place, Instant) -> M + Clone + Send + 'static,
{
    config.check()?;
    let region = Region::parse(&config.region)?;
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {} (http.listen)", config.http.listen))?;
    let http = listener.local_addr()?;
    let node = node_id(&config, http.port())?;
    let url = if config.http.url.is_empty() { format!("http://{http}") } else { config.http.url.clone() };
    let url = url.trim_end_matches('/').to_owned();
    let link_socket = UdpSocket::bind(config.link.listen)
        .with_context(|| format!("cannot listen on {} (link.listen)", config.link.listen))?;
    let link = link_socket.local_addr()?;

    let mut shards = Vec::new();
    let mut queues = Vec::new();
    let mut threads = Vec::new();
    let mut media = Vec::new();
    let mut turn_urls = Vec::new();
    let neighbours = driver::Neighbours::default();
    let sockets = media_sockets(&config.media)?;
    let all = siblings(&config.media, &sockets)?;
    for (index, socket) in sockets.into_iter().enumerate() {
        let candidates = announced(&config.media, socket.local_addr()?);
        if config.media.turn {
            turn_urls.extend(candidates.first().map(|address| format!("turn:{address}?transport=udp")));
        }
        let shard = u8::try_from(index)?;
        let siblings = all.iter().filter(|sibling| sibling.shard != shard).cloned().collect();
        let place = Place { node: node.clone(), region: region.clone(), shard, candidates, siblings };
        let make = make.clone();
        let settings =
            driver::Config { name: format!("shard-{index}"), socket, core: config.media.pin.then_some(index) };
        let handle = driver::spawn_among(settings, neighbours.clone(), move |_, now| make(place, now))
            .context("cannot start a shard")?;
        media.push(handle.local);
        shards.push(Shard { commands: handle.commands, wheel: handle.stats });
        queues.push(handle.events);
        threads.push(handle.thread);
    }

    neighbours.introduce(shards.iter().map(|shard| shard.commands.clone()).collect());
    let policy = Policy { split_viewers: config.media.split_viewers };
    let doors = Arc::new(Doors::new(node.clone(), region, url.clone(), config.limits.clone(), shards, policy));
    let control = ControlPlane::new(&config.control, node.clone(), config.node_secret()?)?;
    let (stop, stopping) = watch::channel(false);
    let (leased_tx, leased) = watch::channel(false);
    let (linked_tx, linked) = watch::channel(false);
    let (fault, faults) = mpsc::channel(threads.len() + 1);
    let (news_tx, news) = mpsc::channel(NEWS_MAX);
    let link_addr = if config.link.announce.is_empty() { link.to_string() } else { config.link.announce.clone() };
    let mut tasks = JoinSet::new();
    let links = Links::new(doors.clone());
    for (shard, events) in queues.into_iter().enumerate() {
        let route = Route {
            doors: doors.clone(),
            links: links.clone(),
            news: news_tx.clone(),
            fault: fault.clone(),
            relays: Relays::new(doors.clone(), shard, config.media.listen),
        };
        tasks.spawn(route.run(shard, events));
    }
    let card = Card { link_addr, turn_urls };
    tasks.spawn(doors.clone().measure(stopping.clone()));
    let keeper = Keeper::new(doors.clone(), control.clone(), links.clone(), card, news, leased_tx);
    tasks.spawn(keeper.run(stopping.clone()));
    tasks.spawn(links.clone().run(link_socket, control, linked_tx, fault, stopping.clone()));
    let app = http::router(At { doors: doors.clone(), links }).into_make_service_with_connect_info::<SocketAddr>();
    let mut closing = stopping;
    tasks.spawn(async move {
        let until = async move { stopped(&mut closing).await };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
            tracing::error!(%error, "the HTTP doors ended");
        }
    });
    tracing::info!(%node, %url, %link, ?media, "edge");
    Ok(Edge { node, http, url, media, link, doors, stop, leased, linked, faults, threads, tasks })
}

impl Edge {
    /// The region it stands in.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.doors.region
    }

    /// Waits until the control plane has taken the node in and links may stand.
    pub async fn ready(&mut self) {
        // An error says that the task is gone, and then so is the edge.
        let _ = self.leased.wait_for(|leased| *leased).await;
        let _ = self.linked.wait_for(|linked| *linked).await;
    }

    /// Waits until the edge cannot go on by itself, and says why. A process should end then, to be started anew.
    pub async fn fault(&mut self) -> String {
        match self.faults.recv().await {
            Some(fault) => fault,
            None => std::future::pending().await,
        }
    }

    /// Says bye to everybody and stops everything.
    pub async fn stop(mut self) -> Result<()> {
        self.doors.stopping.store(true, Ordering::Relaxed);
        let farewell = async {
            for shard in 0..self.doors.shards.len() {
                let message = "this edge stops".to_owned();
                self.doors.command(shard, Command::Shutdown { message }).await;
            }
            let mut look = tokio::time::interval(Duration::from_millis(10));
            while self.doors.sockets.standing().0 > 0 {
                look.tick().await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::info!(sockets = self.doors.sockets.standing().0, "some sockets were not closed in good order");
        }
        self.doors.shards.iter().for_each(|shard| shard.commands.stop());
        self.stop.send_replace(true);
        let wind_down = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(WIND_DOWN, wind_down).await.is_err() {
            tracing::debug!("some connections were cut");
        }
        self.tasks.abort_all();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().map(JoinHandle::join).collect::<Vec<_>>());
        for ended in joined.await? {
            ended.map_err(|_| anyhow::anyhow!("a shard's thread panicked"))??;
        }
        Ok(())
    }
}

/// One shard's events to whom they concern.
struct Route {
    doors: Arc<Doors>,
    links: Links,
    news: mpsc::Sender<News>,
    fault: mpsc::Sender<String>,
    relays: Relays,
}

/// Events taken at a time.
const BATCH: usize = 256;

impl Route {
    async fn run(self, shard: usize, mut events: mpsc::Receiver<Event>) {
        let mut batch = Vec::with_capacity(BATCH);
        while events.recv_many(&mut batch, BATCH).await > 0 {
            for event in batch.drain(..) {
                self.event(shard, event).await;
            }
        }
        if !self.doors.stopping.load(Ordering::Relaxed) {
            // The receiver lives as long as the edge.
            let _ = self.fault.send(format!("shard {shard} has ended")).await;
        }
    }

    async fn event(&self, shard: usize, event: Event) {
        match event {
            Event::Say { socket, message } => {
                self.doors.sockets.tell(socket, ToSocket::Say(message));
            }
            Event::CloseSocket { socket } => {
                self.doors.sockets.tell(socket, ToSocket::Close);
            }
            Event::HttpAnswer { request, outcome } => self.doors.requests.answer(request, outcome),
            Event::Stats { request, stats } => self.doors.snapshots.answer(request, stats),
            Event::RoomWanted { room } => self.tell(News::Wanted(room)).await,
            Event::RoomEmpty { room } => self.tell(News::Empty(room)).await,
            Event::RoomCount { room, participants } => {
                self.doors.spread().counted(&room, shard, participants);
                self.tell(News::Count { room, shard, participants }).await;
            }
            // The room's map, which brought it, has asked for the link already; an aside never comes here.
            Event::Connect { .. } | Event::Aside { .. } => {}
            Event::LinkSend { node, message } => self.links.send(&node, &message),
            Event::LinkDatagrams { node, datagrams } => self.links.send_datagrams(&node, datagrams),
            Event::TurnOpen { relayed } => self.relays.open(relayed).await,
            Event::TurnClose { relayed } => self.relays.close(relayed),
            Event::TurnSend { relayed, peer, payload } => self.relays.send(relayed, peer, payload),
        }
    }

    async fn tell(&self, news: News) {
        // The keeper ends before the shards only when the whole edge stops.
        let _ = self.news.send(news).await;
    }
}

fn node_id(config: &Config, port: u16) -> Result<NodeId> {
    if !config.node.is_empty() {
        return Ok(NodeId::parse(&config.node)?);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // Lower case, as the id becomes part of a DNS name in the links' certificate.
    let host: String = host
        .trim()
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .take(HOST_CHARACTERS_MAX)
        .collect();
    let host = if host.is_empty() { "node" } else { &host };
    let text = format!("{}-{host}-{port}", config.region);
    NodeId::parse(&text).with_context(|| format!("{text:?} cannot be a node id: set `node`"))
}

/// Of the host's name, this much goes into a node id: region, port and it fit into a name.
const HOST_CHARACTERS_MAX: usize = 32;

/// One socket per shard, all bound before anything runs.
fn media_sockets(config: &config::Media) -> Result<Vec<UdpSocket>> {
    (0..config.shard_count())
        .map(|shard| {
            let port = match config.port {
                0 => 0,
                first => {
                    let port = usize::from(first) + shard;
                    ensure!(port <= usize::from(u16::MAX), "media.port {first} leaves no port for shard {shard}");
                    u16::try_from(port)?
                }
            };
            let address = SocketAddr::new(config.listen, port);
            UdpSocket::bind(address).with_context(|| format!("cannot take {address} for media (media.listen)"))
        })
        .collect()
}

/// Every shard as the others know it.
fn siblings(config: &config::Media, sockets: &[UdpSocket]) -> Result<Vec<Sibling>> {
    let sibling = |(shard, socket): (usize, &UdpSocket)| {
        Ok(Sibling { shard: u8::try_from(shard)?, candidates: announced(config, socket.local_addr()?) })
    };
    sockets.iter().enumerate().map(sibling).collect()
}

/// A shard's own part of the ports: a relayed address must say whose it is.
fn share(ports: &RangeInclusive<u16>, shard: usize, shards: usize) -> RangeInclusive<u16> {
    let each = u16::try_from(ports.len() / shards.max(1)).unwrap_or(u16::MAX);
    let first = ports.start() + u16::try_from(shard).unwrap_or(0) * each;
    first..=first + each.saturating_sub(1)
}

/// A media socket's addresses as clients reach it.
fn announced(config: &config::Media, local: SocketAddr) -> Vec<SocketAddr> {
    let addresses: Vec<IpAddr> = if config.announce.is_empty() { vec![local.ip()] } else { config.announce.clone() };
    addresses.into_iter().map(|ip| SocketAddr::new(ip, local.port())).collect()
}
