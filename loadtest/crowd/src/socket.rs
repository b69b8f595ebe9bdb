//! One socket for everybody: each member has an address of its own, all have the same port.

use anyhow::{Context, Result};
use lyceum_relay::driver::{Receiver, Sender, Stats};
use lyceum_relay_core::machine::{Datagram, Ecn, Transmit, Wire};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// Receive buffer in bytes: a tenth of a second of 5 Gbit/s, so that what a measured edge sends at once is not lost here.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// Send buffer in bytes: feedback of thousands at once.
const SEND_BUFFER_BYTES: usize = 8 << 20;

/// The socket and its two halves, as an edge has them: recvmmsg with GRO, sendmsg with GSO.
#[derive(Debug)]
pub struct Socket {
    socket: Arc<UdpSocket>,
    receiver: Receiver,
    sender: Sender,
    stats: Arc<Stats>,
    /// The address of seat 0.
    first: Ipv4Addr,
    port: u16,
}

impl Socket {
    /// Binds to every address of this machine. Seats count from `first`: all of that network must be this machine's (as
    /// 127.0.0.0/8 is, or what `ip route add local` makes so).
    ///
    /// # Errors
    /// When there is no socket.
    pub fn bind(first: Ipv4Addr) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("no UDP socket")?;
        socket.set_nonblocking(true)?;
        // Beyond the system's limit where this process may.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES)?;
        }
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        let port = socket.local_addr()?.port();
        let socket = Arc::new(socket);
        let stats = Arc::new(Stats::default());
        let receiver = Receiver::new(socket.clone(), stats.clone())?;
        let sender = Sender::new(socket.clone(), stats.clone())?;
        Ok(Self { socket, receiver, sender, stats, first, port })
    }

    /// The address of a seat.
    #[must_use]
    pub fn address(&self, seat: usize) -> SocketAddr {
        let ip = Ipv4Addr::from_bits(self.first.to_bits().wrapping_add(seat as u32));
        SocketAddr::from((ip, self.port))
    }

    /// The seat an address belongs to.
    pub(crate) fn seat(first: Ipv4Addr, address: SocketAddr) -> Option<usize> {
        match address {
            SocketAddr::V4(v4) => v4.ip().to_bits().checked_sub(first.to_bits()).map(|seat| seat as usize),
            SocketAddr::V6(_) => None,
        }
    }

    /// The address of seat 0.
    pub(crate) fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// Sends one datagram from a seat's address.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let segment = bytes.len();
        self.sender.send(Transmit { to, from: Some(from.ip()), ecn: Ecn::NotCapable, segment, bytes });
    }

    /// Takes what is there; true when more may be waiting.
    pub(crate) fn receive(&mut self) -> bool {
        self.receiver.receive()
    }

    /// The datagrams of the last [`Socket::receive`].
    pub(crate) fn drain(&mut self, each: impl FnMut(Datagram<'_>)) {
        self.receiver.drain(each);
    }

    /// Waits until something is there, or as long.
    ///
    /// # Errors
    /// When `poll(2)` fails.
    pub(crate) fn wait(&self, at_most: Duration) -> Result<()> {
        let mut fds = [PollFd::new(&*self.socket, PollFlags::IN)];
        let timeout = Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for the socket failed"),
        }
    }

    /// Its counters.
    #[must_use]
    pub fn stats(&self) -> lyceum_relay::driver::Snapshot {
        self.stats.snapshot()
    }

    /// What the kernel dropped because this socket's receive buffer was full.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn dropped_by_kernel(&self) -> Result<u64> {
        dropped_by_kernel(self.port)
    }
}

/// What the kernel dropped because the receive buffer of the IPv4 UDP socket on this port was full.
///
/// # Errors
/// When the kernel does not say.
pub fn dropped_by_kernel(port: u16) -> Result<u64> {
    let table = std::fs::read_to_string("/proc/net/udp").context("no /proc/net/udp")?;
    let ours = format!(":{port:04X}");
    let mut lines = table.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|at| at.ends_with(&ours)));
    let drops = lines.next().and_then(|line| line.split_whitespace().last()).and_then(|drops| drops.parse().ok());
    drops.with_context(|| format!("/proc/net/udp has no port {port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_and_addresses_are_one_to_one() {
        let socket = Socket::bind(Ipv4Addr::new(127, 1, 0, 1)).unwrap();
        for seat in [0, 1, 254, 255, 3_000] {
            assert_eq!(Socket::seat(socket.first(), socket.address(seat)), Some(seat));
        }
        let below = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 1), 9));
        assert_eq!(Socket::seat(socket.first(), below), None);
    }

    #[test]
    fn what_the_kernel_drops_is_counted() {
        let small = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        sockopt::set_socket_recv_buffer_size(&small, 4_096).unwrap();
        let to = small.local_addr().unwrap();
        assert_eq!(dropped_by_kernel(to.port()).unwrap(), 0);
        let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..200 {
            from.send_to(&[0; 1_000], to).unwrap();
        }
        let mut kept = 0;
        small.set_nonblocking(true).unwrap();
        while small.recv(&mut [0; 1_500]).is_ok() {
            kept += 1;
        }
        assert_eq!(dropped_by_kernel(to.port()).unwrap(), 200 - kept);
    }
}
