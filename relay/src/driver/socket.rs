//! The two halves of a shard's UDP socket: [`Sender`] (GSO) and [`Receiver`] (recvmmsg, GRO).

use super::stats::Stats;
use lyceum_relay_core::machine::{Datagram, Ecn, Transmit, Wire};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

/// Receive buffer of a shard's socket, in bytes: 30 ms of 1 Gbit/s, the longest a turn of the wheel should take.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Send buffer of a shard's socket, in bytes: a key frame of 100 kB to 40 subscribers at once.
pub const SEND_BUFFER_BYTES: usize = 4 << 20;
/// Most bytes of one GSO call: the largest UDP payload over IPv4, RFC 768 and RFC 791.
const GSO_BYTES_MAX: usize = 65_507;
/// Size of one receive buffer, in bytes: what GRO merges at most (64 KiB, the largest IP packet).
const RECEIVE_SLOT_BYTES: usize = 1 << 16;

/// Sets the buffer sizes of a socket: beyond the system's limit when this process may, up to it otherwise.
pub fn size_buffers(socket: &UdpSocket) {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER_BYTES);
    }
    if sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER_BYTES).is_err() {
        tracing::debug!("the send buffer keeps its default size");
    }
}

/// Sends batches of equal datagrams in as few calls as the kernel allows. A batch larger than that is split.
#[derive(Debug)]
pub struct Sender {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    local: SocketAddr,
    stats: Arc<Stats>,
}

impl Sender {
    /// The sending half of a socket.
    pub fn new(socket: Arc<UdpSocket>, stats: Arc<Stats>) -> io::Result<Self> {
        let state = UdpSocketState::new((&*socket).into())?;
        let local = socket.local_addr()?;
        Ok(Self { socket, state, local, stats })
    }

    /// Most datagrams one call may carry; 1 without GSO.
    #[must_use]
    pub fn segments_max(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn send_part(&mut self, to: SocketAddr, from: Option<IpAddr>, part: &Transmit<'_>, bytes: &[u8]) {
        let count = bytes.len().div_ceil(part.segment.max(1)) as u64;
        let transmit = quinn_udp::Transmit {
            destination: to,
            ecn: codepoint(part.ecn),
            contents: bytes,
            segment_size: (count > 1).then_some(part.segment),
            src_ip: from,
        };
        match self.state.try_send((&*self.socket).into(), &transmit) {
            Ok(()) => {
                Stats::add(&self.stats.sends, 1);
                Stats::add(&self.stats.datagrams_out, count);
                Stats::add(&self.stats.bytes_out, bytes.len() as u64);
                if count > 1 {
                    Stats::add(&self.stats.segments_out, count);
                }
            }
            Err(error) => self.refused(to, from, part, bytes, count, &error),
        }
    }

    /// The kernel said no. A batch is tried again one by one: some network cards refuse GSO (EIO), and then
    /// `segments_max` is 1 from now on. When the single datagram is refused as well, GSO was not to blame.
    fn refused(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        part: &Transmit<'_>,
        bytes: &[u8],
        count: u64,
        error: &io::Error,
    ) {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(error);
        match errno {
            _ if error.kind() == io::ErrorKind::WouldBlock => {
                Stats::add(&self.stats.dropped_send_buffer_full, count);
            }
            Some(Errno::NOBUFS) => Stats::add(&self.stats.dropped_send_buffer_full, count),
            Some(Errno::INVAL | Errno::IO | Errno::MSGSIZE) if count > 1 => {
                for one in bytes.chunks(part.segment.max(1)) {
                    self.send_part(to, from, part, one);
                }
            }
            Some(Errno::MSGSIZE) => Stats::add(&self.stats.dropped_too_large, 1),
            Some(Errno::INVAL) => {
                Stats::add(&self.stats.dropped_bad_destination, 1);
                // quinn-udp turns GSO off for good at EINVAL. This was one destination's fault: a fresh state
                // asks the kernel again, so that no peer can talk the shard out of its batches.
                if let Ok(state) = UdpSocketState::new((&*self.socket).into()) {
                    self.state = state;
                }
            }
            _ => Stats::add(&self.stats.dropped_send_refused, count),
        }
    }
}

impl Wire for Sender {
    fn now(&self, _told: Instant) -> Instant {
        Instant::now()
    }

    fn send(&mut self, transmit: Transmit<'_>) {
        let segment = transmit.segment.clamp(1, transmit.bytes.len().max(1));
        if transmit.bytes.is_empty() {
            return;
        }
        let count = transmit.bytes.len().div_ceil(segment) as u64;
        if segment > GSO_BYTES_MAX {
            Stats::add(&self.stats.dropped_too_large, count);
            return;
        }
        let Some(to) = sendable(transmit.to, self.local) else {
            Stats::add(&self.stats.dropped_bad_destination, count);
            return;
        };
        // A socket bound to one address sends from there anyway.
        let from = match transmit.from {
            Some(ip) if self.local.ip().is_unspecified() => Some(match (ip, self.local) {
                (IpAddr::V4(v4), SocketAddr::V6(_)) => IpAddr::V6(v4.to_ipv6_mapped()),
                _ => ip,
            }),
            _ => None,
        };
        let part = Transmit { segment, ..transmit };
        let step = self.state.max_gso_segments().min(GSO_BYTES_MAX / segment).max(1) * segment;
        for bytes in transmit.bytes.chunks(step) {
            self.send_part(to, from, &part, bytes);
        }
    }
}

/// The destination in the socket's family, if anything can be sent there at all.
fn sendable(to: SocketAddr, local: SocketAddr) -> Option<SocketAddr> {
    if to.port() == 0 || to.ip().is_unspecified() {
        return None;
    }
    match (to, local) {
        (SocketAddr::V4(v4), SocketAddr::V6(_)) => {
            Some(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into())
        }
        (SocketAddr::V6(_), SocketAddr::V4(_)) => None,
        (SocketAddr::V6(v6), _) if link_local(*v6.ip()) && v6.scope_id() == 0 => None,
        _ => Some(to),
    }
}

fn link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotCapable => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Congested => Some(EcnCodepoint::Ce),
    }
}

/// Receives up to [`BATCH_SIZE`] merged buffers in one call and hands out their datagrams one by one.
#[derive(Debug)]
pub struct Receiver {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    local: SocketAddr,
    buffer: Box<[u8]>,
    metas: [RecvMeta; BATCH_SIZE],
    filled: usize,
    stats: Arc<Stats>,
}

impl Receiver {
    /// The receiving half of a socket.
    pub fn new(socket: Arc<UdpSocket>, stats: Arc<Stats>) -> io::Result<Self> {
        let state = UdpSocketState::new((&*socket).into())?;
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            state,
            local: canonical(local),
            buffer: vec![0; BATCH_SIZE * RECEIVE_SLOT_BYTES].into_boxed_slice(),
            metas: [RecvMeta::default(); BATCH_SIZE],
            filled: 0,
            stats,
        })
    }

    /// Takes what is there, without waiting. True when more may be waiting.
    pub fn receive(&mut self) -> bool {
        self.filled = 0;
        let mut slots = self.buffer.chunks_exact_mut(RECEIVE_SLOT_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
        match self.state.recv((&*self.socket).into(), &mut slices, &mut self.metas) {
            Ok(count) => {
                self.filled = count;
                Stats::add(&self.stats.receives, 1);
                Stats::add(&self.stats.buffers_in, count as u64);
                count == BATCH_SIZE
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(_) => {
                Stats::add(&self.stats.receive_errors, 1);
                false
            }
        }
    }

    /// The last [`Receiver::receive`] brought nothing.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Every datagram of the last [`Receiver::receive`], in order of arrival.
    pub fn drain(&mut self, mut each: impl FnMut(Datagram<'_>)) {
        let filled = std::mem::take(&mut self.filled);
        let slots = self.buffer.chunks_exact_mut(RECEIVE_SLOT_BYTES);
        let mut datagrams = 0;
        let mut bytes_in = 0;
        for (slot, meta) in slots.zip(&self.metas).take(filled) {
            let from = canonical(meta.addr);
            let to = meta.dst_ip.map_or(self.local, |ip| SocketAddr::new(ip.to_canonical(), self.local.port()));
            let ecn = match meta.ecn {
                None => Ecn::NotCapable,
                Some(EcnCodepoint::Ect0) => Ecn::Ect0,
                Some(EcnCodepoint::Ect1) => Ecn::Ect1,
                Some(EcnCodepoint::Ce) => Ecn::Congested,
            };
            let whole = slot.get_mut(..meta.len).unwrap_or_default();
            for bytes in whole.chunks_mut(meta.stride.max(1)) {
                datagrams += 1;
                bytes_in += bytes.len() as u64;
                each(Datagram { from, to, ecn, bytes });
            }
        }
        Stats::add(&self.stats.datagrams_in, datagrams);
        Stats::add(&self.stats.bytes_in, bytes_in);
    }
}

/// IPv4 in its own form, also when it came through a dual-stack socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => SocketAddr::new(v6.ip().to_canonical(), v6.port()),
        _ => address,
    }
}
