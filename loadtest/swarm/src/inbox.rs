//! A bot's UDP socket: what the edge sends in one call is taken in one call (GRO), as a real participant's kernel does.

use anyhow::{Context, Result};
use quinn_udp::{RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Receive buffer asked for: a second of video at 2 Mbit/s.
const RECEIVE_BUFFER_BYTES: usize = 256 * 1024;
/// Trains of datagrams taken in one call.
const TRAINS: usize = 4;
/// Longest train in bytes: what the kernel merges at most.
const TRAIN_BYTES_MAX: usize = 1 << 16;

/// The socket with room for what comes.
pub(crate) struct Inbox {
    udp: UdpSocket,
    state: UdpSocketState,
    buffer: Box<[u8]>,
    metas: [RecvMeta; TRAINS],
}

impl Inbox {
    /// A socket on the address from which the edge is reached.
    pub(crate) async fn towards(url: &str) -> Result<Self> {
        let udp = udp_towards(url).await?;
        let state = UdpSocketState::new((&udp).into()).context("the UDP socket has no batches")?;
        let buffer = vec![0; TRAINS * TRAIN_BYTES_MAX].into_boxed_slice();
        Ok(Self { udp, state, buffer, metas: [RecvMeta::default(); TRAINS] })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Sends one datagram. A full socket buffer drops it, as a network would.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let _ = self.udp.try_send_to(bytes, to);
    }

    /// Waits until something is there.
    pub(crate) async fn ready(&self) -> io::Result<()> {
        self.udp.readable().await
    }

    /// Takes trains that are there and hands out their datagrams. Says how many there were; none: wait again.
    pub(crate) fn take(&mut self, mut each: impl FnMut(SocketAddr, &mut [u8])) -> io::Result<usize> {
        let mut rooms = self.buffer.chunks_exact_mut(TRAIN_BYTES_MAX);
        let mut rooms: [_; TRAINS] = std::array::from_fn(|_| IoSliceMut::new(rooms.next().unwrap_or_default()));
        let (udp, state, metas) = (&self.udp, &self.state, &mut self.metas);
        let trains = match udp.try_io(Interest::READABLE, || state.recv(udp.into(), &mut rooms, metas)) {
            Ok(trains) => trains,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        };
        for (room, meta) in rooms.iter_mut().zip(&self.metas).take(trains) {
            let train = room.get_mut(..meta.len).unwrap_or_default();
            train.chunks_mut(meta.stride.max(1)).for_each(|datagram| each(meta.addr, datagram));
        }
        Ok(trains)
    }
}

/// A UDP socket on the address from which the edge is reached.
async fn udp_towards(url: &str) -> Result<UdpSocket> {
    let authority = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or_default();
    let port = if url.starts_with("https") { 443 } else { 80 };
    let authority = if authority.rsplit(']').next().unwrap_or_default().contains(':') {
        authority.to_owned()
    } else {
        format!("{authority}:{port}")
    };
    let mut addresses = tokio::net::lookup_host(&authority).await.with_context(|| format!("{authority} is unknown"))?;
    let edge = addresses.next().with_context(|| format!("{authority} has no address"))?;
    let any: SocketAddr = match edge {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    // The routing table tells the own address; nothing is sent by this.
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(edge)?;
    let own = SocketAddr::new(probe.local_addr()?.ip(), 0);
    let socket = socket2::Socket::new(socket2::Domain::for_address(own), socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&own.into())?;
    UdpSocket::from_std(socket.into()).context("no UDP socket")
}
