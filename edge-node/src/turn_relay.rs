//! Real sockets for TURN: what clients say to peers outside that the operator allows (`media.turn_allowed`), and back.
//!
//! ```text
//!   shard ─ TurnOpen ──▶ a socket bound to the relayed address's port, a task ─ recv ─▶ TurnReceived ─▶ shard
//!         ─ TurnSend ──▶ its queue ─ send ─▶ peer
//!         ─ TurnClose ─▶ gone
//! ```
//!
//! With the usual, empty list nothing of this is ever asked for: relayed packets stay inside the shard.

use crate::counters::Counters;
use crate::doors::Doors;
use bytes::Bytes;
use lyceum_edge_core::door::Command;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Datagrams that wait for one relay socket: 64 ms at 1,000 per second. A socket that is that far behind drops.
const QUEUE_MAX: usize = 64;
/// Largest datagram taken from a peer, in bytes: more than any path of the Internet carries in one packet.
const DATAGRAM_BYTES_MAX: usize = 2_048;

/// The relay sockets of one shard.
#[derive(Debug)]
pub(crate) struct Relays {
    doors: Arc<Doors>,
    shard: usize,
    /// The address the media sockets are bound to: relay sockets are bound beside them.
    listen: IpAddr,
    /// By relayed address. A queue that is dropped ends its task.
    queues: Mutex<BTreeMap<SocketAddr, mpsc::Sender<Outgoing>>>,
}

#[derive(Debug)]
struct Outgoing {
    peer: SocketAddr,
    payload: Bytes,
}

impl Relays {
    pub(crate) fn new(doors: Arc<Doors>, shard: usize, listen: IpAddr) -> Self {
        Self { doors, shard, listen, queues: Mutex::new(BTreeMap::new()) }
    }

    /// Binds a socket for a relayed address. When that fails, what goes outside from there is lost; the rest of the
    /// allocation works.
    pub(crate) async fn open(&self, relayed: SocketAddr) {
        let local = SocketAddr::new(self.ip_for(relayed), relayed.port());
        let socket = match UdpSocket::bind(local).await {
            Ok(socket) => socket,
            Err(error) => {
                Counters::add(&self.doors.counters.relay_bind_failures);
                tracing::warn!(%local, %error, "cannot bind a relay socket: is media.turn_ports free here?");
                return;
            }
        };
        let (queue, outgoing) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(carry(self.doors.clone(), self.shard, relayed, socket, outgoing));
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(relayed, queue);
    }

    pub(crate) fn close(&self, relayed: SocketAddr) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).remove(&relayed);
    }

    pub(crate) fn send(&self, relayed: SocketAddr, peer: SocketAddr, payload: Bytes) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queues.get(&relayed).is_some_and(|queue| queue.try_send(Outgoing { peer, payload }).is_ok());
        if !sent {
            Counters::add(&self.doors.counters.relay_drops);
        }
    }

    /// The address of the media sockets; a relayed address that an operator announces may be another machine's.
    fn ip_for(&self, relayed: SocketAddr) -> IpAddr {
        match relayed {
            _ if relayed.is_ipv4() == self.listen.is_ipv4() => self.listen,
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// Carries datagrams both ways until the relayed address is closed or the shard is gone.
async fn carry(
    doors: Arc<Doors>,
    shard: usize,
    relayed: SocketAddr,
    socket: UdpSocket,
    mut outgoing: mpsc::Receiver<Outgoing>,
) {
    let mut buffer = [0; DATAGRAM_BYTES_MAX];
    loop {
        tokio::select! {
            out = outgoing.recv() => match out {
                None => return,
                Some(Outgoing { peer, payload }) => if socket.send_to(&payload, peer).await.is_err() {
                    Counters::add(&doors.counters.relay_drops);
                },
            },
            received = socket.recv_from(&mut buffer) => match received {
                Ok((len, peer)) => {
                    let payload = Bytes::copy_from_slice(buffer.get(..len).unwrap_or(&[]));
                    if !doors.command(shard, Command::TurnReceived { relayed, peer, payload }).await {
                        return;
                    }
                }
                // An ICMP answer to something sent before; it says nothing about what comes.
                Err(error) => tracing::debug!(%relayed, %error, "relay socket"),
            },
        }
    }
}
