//! Which WebSockets stand, and where to write to each.
//!
//! ```text
//!   accept ──► Admission (counted, per address) ──► hello ──► Seat (a queue by SocketId) ──► socket task
//!   shard's event loop ── Say ──────────────────────────────────► queue, or the seat is lost (too slow)
//! ```

use crate::config::Limits;
use lyceum_edge_core::door::SocketId;
use lyceum_edge_core::signal::saying::Saying;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// What a socket's task is told by its shard.
#[derive(Debug)]
pub(crate) enum ToSocket {
    /// Write this.
    Say(Saying),
    /// Write what was said before, then close.
    Close,
}

/// Why a new socket is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSeat {
    /// [`Limits::sockets`] stand already.
    Full,
    /// [`Limits::sockets_per_address`] stand already from there.
    Address,
    /// [`Limits::sockets_before_hello`] have not said hello.
    Silent,
}

/// All sockets of one edge.
#[derive(Debug)]
pub(crate) struct Sockets {
    counts: Mutex<Counts>,
    seats: Mutex<HashMap<SocketId, mpsc::Sender<ToSocket>>>,
    next: AtomicU64,
    limits: Limits,
    /// Sockets closed because they read too slowly.
    pub(crate) too_slow: AtomicU64,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    before_hello: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Sockets {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            counts: Mutex::default(),
            seats: Mutex::default(),
            next: AtomicU64::new(1),
            limits,
            too_slow: AtomicU64::new(0),
        }
    }

    /// Counts a new socket in, before its upgrade is answered.
    pub(crate) fn admit(self: &Arc<Self>, from: IpAddr) -> Result<Admission, NoSeat> {
        let mut counts = lock(&self.counts);
        if counts.all >= self.limits.sockets {
            return Err(NoSeat::Full);
        }
        if counts.before_hello >= self.limits.sockets_before_hello {
            return Err(NoSeat::Silent);
        }
        let from_there = counts.by_address.entry(from.to_canonical()).or_default();
        if *from_there >= self.limits.sockets_per_address {
            return Err(NoSeat::Address);
        }
        *from_there += 1;
        counts.all += 1;
        counts.before_hello += 1;
        Ok(Admission { sockets: self.clone(), from: from.to_canonical(), silent: true })
    }

    /// Writes to a socket. False: it does not stand, or reads too slowly and is lost by this.
    pub(crate) fn tell(&self, socket: SocketId, what: ToSocket) -> bool {
        let mut seats = lock(&self.seats);
        let Some(seat) = seats.get(&socket) else { return false };
        match seat.try_send(what) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                seats.remove(&socket);
                self.too_slow.fetch_add(1, Ordering::Relaxed);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// How many stand, and how many of them have not said hello.
    pub(crate) fn standing(&self) -> (usize, usize) {
        let counts = lock(&self.counts);
        (counts.all, counts.before_hello)
    }
}

/// A socket that is counted in; counted out when dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    sockets: Arc<Sockets>,
    from: IpAddr,
    silent: bool,
}

impl Admission {
    /// The socket has said a good hello: gives it its number and the queue it is to write from.
    pub(crate) fn seat(&mut self) -> Seat {
        if std::mem::take(&mut self.silent) {
            lock(&self.sockets.counts).before_hello -= 1;
        }
        let id = SocketId(self.sockets.next.fetch_add(1, Ordering::Relaxed));
        let (sender, queue) = mpsc::channel(self.sockets.limits.socket_queue);
        lock(&self.sockets.seats).insert(id, sender);
        Seat { id, queue, sockets: self.sockets.clone() }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = lock(&self.sockets.counts);
        counts.all -= 1;
        if self.silent {
            counts.before_hello -= 1;
        }
        if let Some(from_there) = counts.by_address.get_mut(&self.from) {
            *from_there -= 1;
            if *from_there == 0 {
                counts.by_address.remove(&self.from);
            }
        }
    }
}

/// One socket's place: what it is told comes out of `queue`; the queue ends when it was too slow.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Its number.
    pub(crate) id: SocketId,
    /// What it is told.
    pub(crate) queue: mpsc::Receiver<ToSocket>,
    sockets: Arc<Sockets>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.sockets.seats).remove(&self.id);
    }
}

/// A panic elsewhere does not poison counting: every change under these locks is complete in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_wire::signal::EdgeSays;

    fn sockets(change: impl FnOnce(&mut Limits)) -> Arc<Sockets> {
        let mut limits = Limits::default();
        change(&mut limits);
        Arc::new(Sockets::new(limits))
    }

    fn pong() -> ToSocket {
        ToSocket::Say(Saying::new(0, EdgeSays::Pong { t: 1.0 }))
    }

    #[test]
    fn every_bound_refuses_and_gives_back() {
        let ana: IpAddr = "192.0.2.1".parse().unwrap();
        let ana_mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let ben: IpAddr = "192.0.2.2".parse().unwrap();
        type Change = fn(&mut Limits);
        let table: [(Change, NoSeat); 3] = [
            (|l| l.sockets = 2, NoSeat::Full),
            (|l| l.sockets_per_address = 2, NoSeat::Address),
            (|l| l.sockets_before_hello = 2, NoSeat::Silent),
        ];
        for (change, wanted) in table {
            let sockets = sockets(change);
            let first = sockets.admit(ana).unwrap();
            let _second = sockets.admit(ana_mapped).unwrap();
            assert_eq!(sockets.admit(ana).unwrap_err(), wanted);
            drop(first);
            let mut third = sockets.admit(ana).unwrap();
            let seat = third.seat();
            let more = sockets.admit(ben);
            assert_eq!(more.is_ok(), wanted != NoSeat::Full, "{wanted:?}");
            drop((seat, third, more));
            assert_eq!(sockets.standing(), (1, 1));
        }
    }

    #[test]
    fn a_slow_reader_loses_its_seat_and_nobody_else_does() {
        let sockets = sockets(|l| l.socket_queue = 2);
        let mut slow = sockets.admit("192.0.2.1".parse().unwrap()).unwrap();
        let mut good = sockets.admit("192.0.2.1".parse().unwrap()).unwrap();
        let (mut slow, mut good) = (slow.seat(), good.seat());
        for _ in 0..2 {
            assert!(sockets.tell(slow.id, pong()));
        }
        assert!(!sockets.tell(slow.id, pong()));
        assert!(!sockets.tell(slow.id, pong()), "it has no seat any more");
        assert!(sockets.tell(good.id, pong()));
        assert!(good.queue.try_recv().is_ok());
        let mut told = 0;
        while slow.queue.try_recv().is_ok() {
            told += 1;
        }
        assert_eq!(told, 2);
        assert_eq!(slow.queue.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
        assert_eq!(sockets.too_slow.load(Ordering::Relaxed), 1);
    }
}
