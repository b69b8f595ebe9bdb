//! One link's life: dialled or accepted, introduced, taken up, run, lost.

use super::frame::{self, FrameError, Reader};
use super::table::{Errand, TakenUp};
use super::{Close, HANDSHAKE_TIMEOUT, Shared, tls};
use crate::driver::{Commander, Full};
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use lyceum_relay_core::link::{Dialler, FromLink, Handshake, Partner};
use lyceum_relay_core::route;
use lyceum_wire::api::NodeAddress;
use lyceum_wire::id::NodeId;
use lyceum_wire::link::{Message, datagram};
use quinn::{Connection, Incoming, SendDatagramError, SendStream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Messages waiting to be written on one link at most: the announcements of a room of 2,000 publishers twice over.
const MESSAGES_QUEUED_MAX: usize = 8192;
/// Bytes of messages waiting to be written on one link at most: several rooms' rosters and histories at once.
const MESSAGE_BYTES_QUEUED_MAX: usize = 32 << 20;
/// Datagrams handed to a shard in one command at most: about what arrives in one turn of the runtime.
const DATAGRAMS_PER_COMMAND: usize = 128;
/// How often a link's round-trip time is looked at.
const QUALITY_EVERY: Duration = Duration::from_secs(1);
/// Dialling takes at most this long: two and a half round trips around the world, twice lost.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause after a failed dial.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between dials: a node that comes back is met again within seconds.
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// The node whose connection would not stay waits this long to be dialled before it dials itself.
const COURTESY: Duration = Duration::from_millis(200);
/// A link nobody wants any more is kept this long: rooms come back.
const LINGER: Duration = Duration::from_secs(30);

/// One node this one wants or has a link to.
#[derive(Debug, Clone)]
pub struct LinkState {
    /// The other node.
    pub node: NodeId,
    /// Where it is dialled, once a room's map has said so.
    pub address: Option<String>,
    /// Dials that failed.
    pub failures: u64,
    /// Who dialled the link that stands.
    pub dialler: Option<Dialler>,
    /// The link's counters, when one stands.
    pub stats: Option<LinkStats>,
}

/// Counters of one link since it was taken up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LinkStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Largest datagram it takes now, in bytes.
    pub datagram_bytes_max: usize,
    /// Bytes the congestion controller allows under way.
    pub window_bytes: u64,
    /// QUIC packets sent.
    pub packets_out: u64,
    /// QUIC packets lost.
    pub packets_lost: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Dropped: older datagrams that had to make room for newer ones, as the path is slower than the media.
    pub dropped_send_queue_full: u64,
    /// Dropped: datagrams larger than the path takes now.
    pub dropped_too_large: u64,
    /// Dropped: datagrams for a shard whose command queue is full.
    pub dropped_shard_full: u64,
    /// Dropped: datagrams for a shard this node does not have, or of a type it does not know.
    pub dropped_unknown: u64,
}

#[derive(Debug, Default)]
struct Counters {
    datagrams_out: AtomicU64,
    datagrams_in: AtomicU64,
    messages_out: AtomicU64,
    messages_in: AtomicU64,
    dropped_send_queue_full: AtomicU64,
    dropped_too_large: AtomicU64,
    dropped_shard_full: AtomicU64,
    dropped_unknown: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// A link that both sides have agreed on.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) partner: Partner,
    pub(super) dialler: Dialler,
    pub(super) connection: Connection,
    messages: mpsc::Sender<Bytes>,
    queued_bytes: AtomicUsize,
    counters: Counters,
}

impl Link {
    /// Queues a message. A link that does not take its messages any more is cut: both sides start anew, which is
    /// better than a hole in what they believe of each other.
    pub(super) fn send(&self, message: &Message) {
        let frame = match frame::encode(message) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::error!(node = %self.partner.node, %error, "a message cannot be sent");
                return self.close(Close::Broken);
            }
        };
        let length = frame.len();
        let queued = self.queued_bytes.fetch_add(length, Ordering::Relaxed) + length;
        if queued > MESSAGE_BYTES_QUEUED_MAX || self.messages.try_send(frame).is_err() {
            if self.connection.close_reason().is_none() {
                tracing::warn!(node = %self.partner.node, queued, "the node does not take its messages; the link is cut");
            }
            self.close(Close::Slow);
        }
    }

    pub(super) fn send_datagrams(&self, datagrams: Vec<Bytes>) {
        for datagram in datagrams {
            // QUIC makes room by dropping its oldest datagrams; how many it does not say.
            if self.connection.datagram_send_buffer_space() < datagram.len() {
                add(&self.counters.dropped_send_queue_full, 1);
            }
            match self.connection.send_datagram(datagram) {
                Ok(()) => add(&self.counters.datagrams_out, 1),
                Err(SendDatagramError::TooLarge) => add(&self.counters.dropped_too_large, 1),
                Err(SendDatagramError::ConnectionLost(_)) => return,
                Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                    return self.close(Close::Refused);
                }
            }
        }
    }

    pub(super) fn close(&self, why: Close) {
        self.connection.close(why.code(), b"");
    }

    pub(super) fn stats(&self) -> LinkStats {
        let path = self.connection.stats().path;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LinkStats {
            rtt: path.rtt,
            datagram_bytes_max: self.connection.max_datagram_size().unwrap_or(0),
            window_bytes: path.cwnd,
            packets_out: path.sent_packets,
            packets_lost: path.lost_packets,
            datagrams_out: read(&self.counters.datagrams_out),
            datagrams_in: read(&self.counters.datagrams_in),
            messages_out: read(&self.counters.messages_out),
            messages_in: read(&self.counters.messages_in),
            dropped_send_queue_full: read(&self.counters.dropped_send_queue_full),
            dropped_too_large: read(&self.counters.dropped_too_large),
            dropped_shard_full: read(&self.counters.dropped_shard_full),
            dropped_unknown: read(&self.counters.dropped_unknown),
        }
    }
}

/// Takes connections until the endpoint is closed.
pub(super) async fn accept<C: From<FromLink> + Send + 'static>(shared: Arc<Shared<C>>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        // Half of the places are kept for senders whose address is proven: a flood of forged ones costs little.
        let free = shared.handshakes.available_permits();
        if free < super::HANDSHAKES_MAX / 2 && !incoming.remote_address_validated() {
            let _ = incoming.retry();
            continue;
        }
        let Ok(permit) = shared.handshakes.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let met = timeout(HANDSHAKE_TIMEOUT, meet_incoming(&shared, incoming)).await;
            drop(permit);
            match met {
                Ok(Ok(met)) => run(&shared, met, Dialler::Them).await,
                Ok(Err(error)) => tracing::warn!("a link from {from} is refused: {error:#}"),
                Err(_) => tracing::warn!("a link from {from} did not introduce itself in time"),
            }
        });
    }
}

async fn meet_incoming<C>(shared: &Shared<C>, incoming: Incoming) -> anyhow::Result<Met> {
    let connection = incoming.accept()?.await?;
    meet(shared, connection, None).await
}

/// Keeps a link to a node for as long as a room wants it.
pub(super) async fn keep<C: From<FromLink> + Send + 'static>(shared: Arc<Shared<C>>, node: NodeId) {
    let mut backoff = BACKOFF_MIN;
    if node < shared.node {
        pause(&shared, &node, COURTESY).await;
    }
    loop {
        let errand = shared.table().errand(&node);
        match errand {
            Errand::End => return,
            Errand::Wait(mut changes) => {
                // An error means that the entry is gone: the next errand says so.
                let _ = changes.changed().await;
            }
            Errand::Dial(address) => {
                let began = Instant::now();
                match timeout(DIAL_TIMEOUT, dial(&shared, &address)).await.unwrap_or_else(|_| Err(anyhow!("no answer")))
                {
                    Ok(met) => run(&shared, met, Dialler::Us).await,
                    Err(error) => {
                        shared.table().failed(&node);
                        tracing::debug!("{node} at {} cannot be reached: {error:#}", address.link_addr);
                    }
                }
                if began.elapsed() > BACKOFF_MAX * 2 {
                    backoff = BACKOFF_MIN;
                }
                pause(&shared, &node, backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// Waits, but not when the node has meanwhile dialled us or is no longer wanted.
async fn pause<C>(shared: &Shared<C>, node: &NodeId, backoff: Duration) {
    let changes = shared.table().changes(node);
    match changes {
        Some(mut changes) => {
            let _ = timeout(backoff, changes.changed()).await;
        }
        None => sleep(backoff).await,
    }
}

async fn dial<C>(shared: &Shared<C>, address: &NodeAddress) -> anyhow::Result<Met> {
    let local = shared.endpoint.local_addr()?;
    let mut found = tokio::net::lookup_host(&address.link_addr).await.context("its address")?;
    let to = found
        .find(|to| to.is_ipv4() == local.is_ipv4() || local.is_ipv6())
        .ok_or_else(|| anyhow!("its address is of a family this node does not speak"))?;
    let name = tls::server_name(&address.node)?;
    let renewed = shared.table().client.clone();
    let connecting = match renewed {
        Some(client) => shared.endpoint.connect_with(client, to, &name)?,
        None => shared.endpoint.connect(to, &name)?,
    };
    meet(shared, connecting.await?, Some(address.node.clone())).await
}

/// Two nodes that have introduced themselves.
struct Met {
    connection: Connection,
    partner: Partner,
    writer: SendStream,
    reader: Reader,
}

async fn meet<C>(shared: &Shared<C>, connection: Connection, dialled: Option<NodeId>) -> anyhow::Result<Met> {
    let met = introduce(shared, &connection, dialled).await;
    if let Err(error) = &met {
        let reason = format!("{error:#}");
        connection.close(Close::Refused.code(), reason.as_bytes());
    }
    met
}

async fn introduce<C>(shared: &Shared<C>, connection: &Connection, dialled: Option<NodeId>) -> anyhow::Result<Met> {
    let handshake = Handshake::new(shared.node.clone(), shared.region.clone(), dialled);
    let mut writer = connection.open_uni().await?;
    writer.write_all(&frame::encode(&handshake.hello())?).await?;
    let mut reader = Reader::new(connection.accept_uni().await?);
    let partner = handshake.answer(reader.next().await?)?;
    tls::check_identity(connection, &partner.node)?;
    if connection.max_datagram_size().is_none() {
        bail!("{} takes no datagrams", partner.node);
    }
    Ok(Met { connection: connection.clone(), partner, writer, reader })
}

/// From the introduction to the end.
async fn run<C: From<FromLink> + Send + 'static>(shared: &Shared<C>, met: Met, dialler: Dialler) {
    let (messages, queue) = mpsc::channel(MESSAGES_QUEUED_MAX);
    let link = Arc::new(Link {
        partner: met.partner,
        dialler,
        connection: met.connection,
        messages,
        queued_bytes: AtomicUsize::new(0),
        counters: Counters::default(),
    });
    let taken = shared.table().take_up(&shared.node, &link);
    let Ok(TakenUp { turn, older }) = taken else {
        return link.close(Close::Duplicate);
    };
    if let Some(older) = older {
        older.close(Close::Duplicate);
    }
    // The older link says `Down` before this one says `Up`.
    let turn = turn.lock().await;
    let node = link.partner.node.clone();
    if link.connection.close_reason().is_none() {
        tracing::info!(%node, region = %link.partner.region, ?dialler, version = link.partner.version, "a link stands");
        let up = FromLink::Up {
            node: node.clone(),
            region: link.partner.region.clone(),
            version: link.partner.version,
            rtt: link.connection.rtt(),
            datagram_bytes_max: link.connection.max_datagram_size().unwrap_or(0),
        };
        tell_all(&shared.shards, up).await;
        let why = tokio::select! {
            error = link.connection.closed() => error.to_string(),
            why = write(&link, met.writer, queue) => why,
            why = read(&link, met.reader, &shared.shards) => why,
            why = read_datagrams(&link, &shared.shards) => why,
            why = watch_quality(&link, &shared.shards) => why,
            why = watch_wish(shared, &node, dialler) => why,
        };
        tracing::info!(%node, why, "a link is gone");
        link.close(Close::Done);
        shared.table().lost(&link);
        tell_all(&shared.shards, FromLink::Down { node }).await;
    } else {
        shared.table().lost(&link);
    }
    drop(turn);
}

async fn tell_all<C: From<FromLink>>(shards: &[Commander<C>], said: FromLink) {
    for shard in shards {
        // A shard that is gone has nobody to tell.
        let _ = shard.send(said.clone().into()).await;
    }
}

async fn write(link: &Link, mut stream: SendStream, mut queue: mpsc::Receiver<Bytes>) -> String {
    while let Some(frame) = queue.recv().await {
        let length = frame.len();
        if let Err(error) = stream.write_chunk(frame).await {
            return error.to_string();
        }
        link.queued_bytes.fetch_sub(length, Ordering::Relaxed);
        add(&link.counters.messages_out, 1);
    }
    "nothing more to write".to_owned()
}

async fn read<C: From<FromLink>>(link: &Link, mut reader: Reader, shards: &[Commander<C>]) -> String {
    loop {
        let message = match reader.next().await {
            Ok(message) => message,
            Err(error @ (FrameError::TooLong(_) | FrameError::Malformed(_))) => {
                tracing::warn!(node = %link.partner.node, %error, "the link is cut");
                link.close(Close::Broken);
                return error.to_string();
            }
            Err(error) => return error.to_string(),
        };
        add(&link.counters.messages_in, 1);
        let Some(key) = route::room(&message).map(|room| room.key()) else { continue };
        let Some(shard) = key.checked_rem(shards.len() as u64).and_then(|index| shards.get(index as usize)) else {
            continue;
        };
        let said = FromLink::Message { node: link.partner.node.clone(), message: Box::new(message) };
        if shard.send(said.into()).await.is_err() {
            return "the shard is gone".to_owned();
        }
    }
}

async fn read_datagrams<C: From<FromLink>>(link: &Link, shards: &[Commander<C>]) -> String {
    let mut batches: Vec<Vec<Bytes>> = shards.iter().map(|_| Vec::new()).collect();
    loop {
        let mut next = match link.connection.read_datagram().await {
            Ok(first) => Some(first),
            Err(error) => return error.to_string(),
        };
        let mut taken = 0;
        while let Some(bytes) = next {
            taken += 1;
            match datagram::shard(&bytes, shards.len()).and_then(|shard| batches.get_mut(shard)) {
                Some(batch) => batch.push(bytes),
                None => add(&link.counters.dropped_unknown, 1),
            }
            next = if taken < DATAGRAMS_PER_COMMAND { at_hand(&link.connection) } else { None };
        }
        add(&link.counters.datagrams_in, taken as u64);
        for (shard, batch) in shards.iter().zip(&mut batches) {
            if batch.is_empty() {
                continue;
            }
            let count = batch.len() as u64;
            let said = FromLink::Datagrams { node: link.partner.node.clone(), datagrams: std::mem::take(batch) };
            if let Err(Full::Full(_)) = shard.try_send(said.into()) {
                add(&link.counters.dropped_shard_full, count);
            }
        }
    }
}

/// The next datagram, if one is there already.
fn at_hand(connection: &Connection) -> Option<Bytes> {
    let next = pin!(connection.read_datagram());
    match next.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(bytes)) => Some(bytes),
        _ => None,
    }
}

async fn watch_quality<C: From<FromLink>>(link: &Link, shards: &[Commander<C>]) -> String {
    loop {
        sleep(QUALITY_EVERY).await;
        let said = FromLink::Quality {
            node: link.partner.node.clone(),
            rtt: link.connection.rtt(),
            datagram_bytes_max: link.connection.max_datagram_size().unwrap_or(0),
        };
        tell_all(shards, said).await;
    }
}

/// Ends when nobody has wanted the link for a while. The side that was dialled leaves that to the other.
async fn watch_wish<C>(shared: &Shared<C>, node: &NodeId, dialler: Dialler) -> String {
    if dialler == Dialler::Them {
        return std::future::pending().await;
    }
    loop {
        let (wanted, changes) = {
            let table = shared.table();
            (table.wanted(node), table.changes(node))
        };
        let Some(mut changes) = changes else { return "the mesh is closed".to_owned() };
        if wanted {
            let _ = changes.changed().await;
        } else if timeout(LINGER, changes.changed()).await.is_err() {
            return "no room wants it any more".to_owned();
        }
    }
}
