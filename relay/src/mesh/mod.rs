//! The links of this node: one QUIC connection to every node that shares a room with it.
//!
//! ```text
//!   shards ── Event: message, datagrams ──▶ Mesh::send, Mesh::send_datagrams ──▶ ┌──────┐
//!   shards ◀─ Command::from(FromLink) ────── one task per link ───────────────── │ QUIC │ ◀──▶ the other node
//!   room maps ──▶ Mesh::want ──▶ dials, again and again with backoff ──────────▶ └──────┘
//! ```
//!
//! - Traffic of one room belongs to one shard: messages by the room's key, media by the alias, repair by the room's key.
//! - Everything is bounded per link: a node that does not take its messages is cut off and meets again from the
//!   start; datagrams are dropped, oldest first. No link waits for another.
//! - Both nodes of a pair may dial; the connection dialled by the smaller node id stays.

mod congestion;
mod frame;
mod link;
mod table;
#[cfg(test)]
mod tests;
mod tls;

pub use link::{LinkState, LinkStats};
pub use tls::{DATAGRAM_RECEIVE_BYTES, DATAGRAM_SEND_BYTES, IDLE_TIMEOUT, KEEP_ALIVE};

use crate::certificates::Identity;
use crate::driver::Commander;
use anyhow::Context;
use bytes::Bytes;
use lyceum_relay_core::link::FromLink;
use lyceum_wire::api::NodeAddress;
use lyceum_wire::id::{NodeId, Region, RoomId};
use lyceum_wire::link::Message;
use quinn::{Endpoint, EndpointConfig, TokioRuntime, VarInt};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::Table;
use tokio::sync::Semaphore;

/// Handshakes of incoming connections at the same time: each costs a signature; more wait in QUIC's own queue.
const HANDSHAKES_MAX: usize = 64;
/// A connection whose `Hello` has not come after this long is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a mesh is told.
#[derive(Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// Its region.
    pub region: Region,
    /// The bound UDP socket of the links.
    pub socket: UdpSocket,
    /// Certificate, key and authority.
    pub identity: Identity,
}

/// Why a connection was closed by us: the application error code of QUIC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Close {
    /// The node stops, or no room wants this link any more.
    Done = 0,
    /// Another connection between the same two nodes stays.
    Duplicate = 1,
    /// The `Hello` did not agree with us, or with the certificate.
    Refused = 2,
    /// It does not take its messages.
    Slow = 3,
    /// It said what the protocol does not allow.
    Broken = 4,
}

impl Close {
    fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

/// The links of this node. Clones are the same mesh.
pub struct Mesh<C> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for Mesh<C> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<C> std::fmt::Debug for Mesh<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

struct Shared<C> {
    node: NodeId,
    region: Region,
    endpoint: Endpoint,
    shards: Vec<Commander<C>>,
    handshakes: Arc<Semaphore>,
    table: Mutex<Table>,
}

impl<C> Shared<C> {
    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic while it was held leaves the table as it was between two assignments: usable.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: From<FromLink> + Send + 'static> Mesh<C> {
    /// Starts to listen. Must be called inside a tokio runtime.
    pub fn start(config: Config, shards: Vec<Commander<C>>) -> anyhow::Result<Self> {
        crate::driver::size_buffers(&config.socket);
        let tls::Configs { server, client } = tls::configs(&config.identity)?;
        let runtime = Arc::new(TokioRuntime);
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Some(server), config.socket, runtime)
            .context("the links' socket")?;
        endpoint.set_default_client_config(client);
        let shared = Arc::new(Shared {
            node: config.node,
            region: config.region,
            endpoint,
            shards,
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            table: Mutex::new(Table::default()),
        });
        tokio::spawn(link::accept(shared.clone()));
        Ok(Self { shared })
    }

    /// Where this node listens for links.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared.endpoint.local_addr()
    }

    /// The nodes that host a room with this one, as its map says; this node itself in the list is fine. A link to each
    /// is kept, with backoff, until no room wants it. An empty list ends the room's wish.
    pub fn want(&self, room: &RoomId, nodes: &[NodeAddress]) {
        let others: Vec<_> = nodes.iter().filter(|address| address.node != self.shared.node).cloned().collect();
        let dial = self.shared.table().want(room, others);
        for node in dial {
            tokio::spawn(link::keep(self.shared.clone(), node));
        }
    }

    /// Writes a message on the control stream to a node. Without a link it goes nowhere: the hop starts anew when
    /// there is one.
    pub fn send(&self, node: &NodeId, message: &Message) {
        let link = self.shared.table().link(node);
        if let Some(link) = link {
            link.send(message);
        }
    }

    /// Sends datagrams to a node, in order. Without a link they go nowhere.
    pub fn send_datagrams(&self, node: &NodeId, datagrams: Vec<Bytes>) {
        let link = self.shared.table().link(node);
        if let Some(link) = link {
            link.send_datagrams(datagrams);
        }
    }

    /// Every node this one wants or has a link to.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        self.shared.table().states()
    }

    /// Uses a renewed certificate for connections from now on. Links that stand stay.
    pub fn renew(&self, identity: &Identity) -> anyhow::Result<()> {
        let tls::Configs { server, client } = tls::configs(identity)?;
        self.shared.endpoint.set_server_config(Some(server));
        self.shared.table().client = Some(client);
        Ok(())
    }

    /// Closes every link and stops to listen. Waits until the other nodes have been told, at most a second.
    pub async fn close(&self) {
        self.shared.table().close();
        self.shared.endpoint.close(Close::Done.code(), b"the node stops");
        let _ = tokio::time::timeout(Duration::from_secs(1), self.shared.endpoint.wait_idle()).await;
    }
}
