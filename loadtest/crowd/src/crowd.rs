//! All members on one thread: what comes is given to whom it is for, what they want said is sent.

use crate::account;
use crate::publisher::Publisher;
use crate::socket::Socket;
use crate::viewer::{Seen, Viewer};
use anyhow::Result;
use hdrhistogram::Histogram;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Members look after their timers this often: reports are due every 50 to 1,000 ms.
const ROUND_EVERY: Duration = Duration::from_millis(10);
/// Longest delay told apart from a longer one.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// First byte of a datagram that nobody protected: see [`bare_datagram`]. No protocol of WebRTC begins so (RFC 7983 §7).
pub const BARE: u8 = 0xf5;

/// What was measured of one kind of datagram.
#[derive(Debug, Clone)]
pub struct Delays {
    histogram: Histogram<u64>,
}

impl Delays {
    fn new() -> Self {
        // Constant bounds that the library takes; without them there is nothing to go on with.
        #[allow(clippy::expect_used, reason = "bounds known at compile time")]
        let histogram = Histogram::new_with_bounds(1, DELAY_MAX.as_micros() as u64, 3).expect("fine bounds");
        Self { histogram }
    }

    #[inline]
    fn record(&mut self, delay: Duration) {
        self.histogram.saturating_record(delay.as_micros() as u64);
    }

    /// How many were measured.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The delay at this quantile, in milliseconds.
    #[must_use]
    pub fn ms(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// What came since [`Crowd::forget`].
#[derive(Debug, Clone)]
pub struct Tally {
    /// What all viewers saw.
    pub seen: Seen,
    /// Packets on their way from the publishers' send calls to the sink's receive call.
    pub delays: Delays,
    /// Bare datagrams on their way from the sender to the sink's receive call.
    pub bare: Delays,
    /// Their bytes.
    pub bare_bytes: u64,
    /// How long.
    pub time: Duration,
    /// Processor time of the crowd's thread.
    pub cpu: Duration,
    /// Receive calls, and those that brought as much as one call can: the sink was behind.
    pub receives: u64,
    /// See `receives`.
    pub full_receives: u64,
    /// Dropped by the kernel because the sink's buffer was full.
    pub sink_drops: u64,
    /// What the crowd could not send.
    pub send_drops: u64,
}

enum Member {
    Viewer { viewer: Viewer, publisher: usize },
    Publisher(Publisher),
}

/// The members, their socket and their only clock.
pub struct Crowd {
    socket: Socket,
    zero: Instant,
    members: Vec<Member>,
    /// Seats of publishers, by their number.
    publishers: Vec<usize>,
    next_round: Instant,
    /// The last receive call left something.
    more: bool,
    delays: Delays,
    bare: Delays,
    bare_bytes: u64,
    receives: u64,
    full_receives: u64,
    since: Since,
}

/// What the counters said when counting began.
struct Since {
    at: Instant,
    cpu: Duration,
    seen: Seen,
    sink_drops: u64,
    send_drops: u64,
}

impl Crowd {
    /// Nobody yet. Seats have addresses from `first` on, see [`Socket::bind`].
    ///
    /// # Errors
    /// When there is no socket.
    pub fn new(first: Ipv4Addr) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            socket: Socket::bind(first)?,
            zero: now,
            members: Vec::new(),
            publishers: Vec::new(),
            next_round: now,
            more: false,
            delays: Delays::new(),
            bare: Delays::new(),
            bare_bytes: 0,
            receives: 0,
            full_receives: 0,
            since: Since { at: now, cpu: account::this_thread(), seen: Seen::default(), sink_drops: 0, send_drops: 0 },
        })
    }

    /// Zero of the run.
    #[must_use]
    pub fn zero(&self) -> Instant {
        self.zero
    }

    /// The address of whoever takes the next seat.
    #[must_use]
    pub fn next_address(&self) -> SocketAddr {
        self.socket.address(self.members.len())
    }

    /// The address of a seat.
    #[must_use]
    pub fn address(&self, seat: usize) -> SocketAddr {
        self.socket.address(seat)
    }

    /// Takes in a publisher; the answer is its number.
    pub fn add_publisher(&mut self, publisher: Publisher) -> usize {
        self.publishers.push(self.members.len());
        self.members.push(Member::Publisher(publisher));
        self.publishers.len() - 1
    }

    /// Takes in somebody who watches that publisher.
    pub fn add_viewer(&mut self, viewer: Viewer, publisher: usize) {
        self.members.push(Member::Viewer { viewer, publisher });
    }

    /// Who watches.
    pub fn viewers(&self) -> impl Iterator<Item = &Viewer> {
        self.members.iter().filter_map(|member| match member {
            Member::Viewer { viewer, .. } => Some(viewer),
            Member::Publisher(_) => None,
        })
    }

    /// Who publishes.
    pub fn publishers(&self) -> impl Iterator<Item = &Publisher> {
        self.publishers.iter().filter_map(|&seat| match self.members.get(seat) {
            Some(Member::Publisher(publisher)) => Some(publisher),
            _ => None,
        })
    }

    /// Publishers begin to play, their frames spread evenly over `interval`.
    pub fn play(&mut self, interval: Duration) {
        let now = Instant::now();
        let count = self.publishers.len().max(1) as u32;
        for (n, &seat) in (0..).zip(&self.publishers) {
            if let Some(Member::Publisher(publisher)) = self.members.get_mut(seat) {
                publisher.play_from(now + interval * n / count);
            }
        }
    }

    /// Publishers fall silent.
    pub fn pause(&mut self) {
        for &seat in &self.publishers {
            if let Some(Member::Publisher(publisher)) = self.members.get_mut(seat) {
                publisher.stop();
            }
        }
    }

    /// Members that are up, and the first reason of those that are over.
    #[must_use]
    pub fn up(&self) -> (usize, Option<String>) {
        let calls = self.members.iter().map(|member| match member {
            Member::Viewer { viewer, .. } => viewer.call(),
            Member::Publisher(publisher) => publisher.call(),
        });
        let ended = calls.clone().find_map(|call| call.ended()).map(str::to_owned);
        (calls.filter(|call| call.is_up()).count(), ended)
    }

    /// Lets everybody live for so long.
    ///
    /// # Errors
    /// When waiting for the socket fails.
    pub fn live(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while self.turn(until)? {}
        Ok(())
    }

    /// Begins to count anew.
    ///
    /// # Errors
    /// When the kernel does not say what it dropped.
    pub fn forget(&mut self) -> Result<()> {
        (self.delays, self.bare, self.bare_bytes) = (Delays::new(), Delays::new(), 0);
        (self.receives, self.full_receives) = (0, 0);
        self.since = Since {
            at: Instant::now(),
            cpu: account::this_thread(),
            seen: self.seen(),
            sink_drops: self.socket.dropped_by_kernel()?,
            send_drops: self.send_drops(),
        };
        Ok(())
    }

    /// What came since [`Crowd::forget`].
    ///
    /// # Errors
    /// When the kernel does not say what it dropped.
    pub fn tally(&self) -> Result<Tally> {
        let (now, before) = (self.seen(), &self.since.seen);
        let seen = Seen {
            packets: now.packets - before.packets,
            bytes: now.bytes - before.bytes,
            // A late packet takes back a loss of before.
            lost: now.lost.saturating_sub(before.lost),
            late: now.late - before.late,
            extra: now.extra - before.extra,
            samples: now.samples - before.samples,
            bad_samples: now.bad_samples - before.bad_samples,
            resumed: now.resumed - before.resumed,
            reports: now.reports - before.reports,
        };
        Ok(Tally {
            seen,
            delays: self.delays.clone(),
            bare: self.bare.clone(),
            bare_bytes: self.bare_bytes,
            time: self.since.at.elapsed(),
            cpu: account::this_thread().saturating_sub(self.since.cpu),
            receives: self.receives,
            full_receives: self.full_receives,
            sink_drops: self.socket.dropped_by_kernel()? - self.since.sink_drops,
            send_drops: self.send_drops() - self.since.send_drops,
        })
    }

    fn seen(&self) -> Seen {
        let mut sum = Seen::default();
        self.viewers().for_each(|viewer| sum += viewer.seen());
        sum
    }

    fn send_drops(&self) -> u64 {
        let stats = self.socket.stats();
        stats.dropped_send_buffer_full + stats.dropped_send_refused + stats.dropped_too_large
    }

    /// One turn: play, look after timers, wait, receive. False when the time is over.
    fn turn(&mut self, until: Instant) -> Result<bool> {
        let now = Instant::now();
        if now >= until {
            return Ok(false);
        }
        self.play_due(now);
        if now >= self.next_round {
            self.next_round = now + ROUND_EVERY;
            for seat in 0..self.members.len() {
                match &mut self.members[seat] {
                    Member::Viewer { viewer, .. } => viewer.tick(now),
                    Member::Publisher(publisher) => publisher.tick(now),
                }
                self.transmit(seat);
            }
        }
        if !self.more {
            let due = self.publishers().filter_map(Publisher::due).min().unwrap_or(until);
            let next = due.min(until).min(self.next_round);
            self.socket.wait(next.saturating_duration_since(Instant::now()))?;
        }
        self.receive();
        Ok(true)
    }

    fn play_due(&mut self, now: Instant) {
        for n in 0..self.publishers.len() {
            let seat = self.publishers[n];
            let Some(Member::Publisher(publisher)) = self.members.get_mut(seat) else { continue };
            if publisher.due().is_some_and(|due| due <= now) {
                // As near to the send call as can be: others may have been sent before.
                publisher.play(Instant::now());
                self.transmit(seat);
            }
        }
    }

    fn receive(&mut self) {
        self.more = self.socket.receive();
        self.receives += 1;
        self.full_receives += u64::from(self.more);
        let now = Instant::now();
        let first = self.socket.first();
        let Self { socket, members, publishers, delays, bare, bare_bytes, zero, .. } = self;
        let mut wants = Vec::new();
        socket.drain(|datagram| {
            if datagram.bytes.first() == Some(&BARE) {
                *bare_bytes += datagram.bytes.len() as u64;
                if let Some(sent_at) = bare_sent_at(datagram.bytes, *zero) {
                    bare.record(now.saturating_duration_since(sent_at));
                }
                return;
            }
            let Some(seat) = Socket::seat(first, datagram.to).filter(|seat| *seat < members.len()) else { return };
            // RTP and RTCP leave nothing to send before the next round.
            let media = datagram.bytes.first().is_some_and(|byte| byte >> 6 == 2);
            let publisher = match &members[seat] {
                Member::Viewer { publisher, .. } => publishers[*publisher],
                Member::Publisher(_) => seat,
            };
            if let Ok([member, other]) = members.get_disjoint_mut([seat, publisher]) {
                if let (Member::Viewer { viewer, .. }, Member::Publisher(publisher)) = (member, other)
                    && let Some(delay) = viewer.datagram(datagram.from, datagram.bytes, publisher.ledger(), now)
                {
                    delays.record(delay);
                }
            } else if let Member::Publisher(publisher) = &mut members[seat] {
                publisher.datagram(datagram.from, datagram.bytes, now);
                wants.push(seat);
            }
            if !media {
                wants.push(seat);
            }
        });
        for seat in wants {
            self.transmit(seat);
        }
    }

    fn transmit(&mut self, seat: usize) {
        let from = self.socket.address(seat);
        let Some(member) = self.members.get_mut(seat) else { return };
        loop {
            let next = match member {
                Member::Viewer { viewer, .. } => viewer.poll(),
                Member::Publisher(publisher) => publisher.poll(),
            };
            let Some((to, bytes)) = next else { break };
            self.socket.send(from, to, &bytes);
        }
    }
}

/// Fills a datagram that the sink takes without any session: when it was sent, since the run's zero.
pub fn bare_datagram(datagram: &mut [u8], zero: Instant, now: Instant) {
    let micros = now.saturating_duration_since(zero).as_micros() as u64;
    if let Some(head) = datagram.first_chunk_mut::<9>() {
        head[0] = BARE;
        head[1..].copy_from_slice(&micros.to_be_bytes());
    }
}

fn bare_sent_at(datagram: &[u8], zero: Instant) -> Option<Instant> {
    let micros = datagram.get(1..9)?.first_chunk::<8>()?;
    Some(zero + Duration::from_micros(u64::from_be_bytes(*micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_datagram_says_when_it_was_sent() {
        let zero = Instant::now();
        let mut datagram = [0; 100];
        bare_datagram(&mut datagram, zero, zero + Duration::from_micros(1_234));
        assert_eq!(bare_sent_at(&datagram, zero), Some(zero + Duration::from_micros(1_234)));
        assert_eq!(lyceum_wire::demux::Class::of(&datagram), None);
        assert_eq!(bare_sent_at(&datagram[..8], zero), None);
    }
}
