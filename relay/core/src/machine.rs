//! What the driver turns: a machine with one socket, two queues and no clock.
//!
//! ```text
//!             ┌────────────── one turn of the wheel ──────────────┐
//!   recvmmsg ─┤ handle(Datagram) × n                              │
//!   commands ─┤ handle(Command)  × n                              │
//!   clock    ─┤ handle(Tick)       when deadline() has passed     │
//!             │ flush(wire)        GSO batches out                │
//!             │ poll() …           events to the async side       │
//!             │ deadline()         sleep until then               │
//!             └───────────────────────────────────────────────────┘
//! ```
//!
//! A panic inside a step is contained by the driver: it counts it and hands [`Input::Panicked`] to the machine,
//! which removes the peer or the room concerned and goes on.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Congestion bits of the IP header (RFC 3168 §5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotCapable,
    /// ECT(0).
    Ect0,
    /// ECT(1), as L4S sends it.
    Ect1,
    /// Congestion experienced.
    Congested,
}

/// One datagram from the shard's socket. IPv4 addresses are always in their IPv4 form, also on a dual-stack socket.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// The local address it came to.
    pub to: SocketAddr,
    /// Its congestion bits.
    pub ecn: Ecn,
    /// Its bytes, to be decrypted and rewritten in place.
    pub bytes: &'a mut [u8],
}

/// What the driver was doing when the machine panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// Handling a datagram: evict the peer behind this 5-tuple.
    Datagram {
        /// Who sent it.
        from: SocketAddr,
        /// The local address it came to.
        to: SocketAddr,
    },
    /// Handling a command, a tick, a flush or a poll: evict what the machine itself had noted to be working on.
    Own,
}

/// What the world tells a machine.
#[derive(Debug)]
pub enum Input<'a, C> {
    /// A datagram arrived.
    Datagram(Datagram<'a>),
    /// The async side commands.
    Command(C),
    /// The deadline has passed.
    Tick,
    /// The last step panicked and was abandoned in the middle: remove what it was about, whole.
    Panicked(Culprit),
}

/// One or more datagrams of the same size to one destination; the last one may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// The local address to send from: the `to` of what is answered. `None` leaves it to the routing table.
    pub from: Option<IpAddr>,
    /// Congestion bits to set.
    pub ecn: Ecn,
    /// Size of each datagram in bytes; at least `bytes.len()` when there is one only.
    pub segment: usize,
    /// The datagrams, one behind the other.
    pub bytes: &'a [u8],
}

/// Where a machine's datagrams leave. They are sent or dropped before `send` returns; drops are counted by the driver.
pub trait Wire {
    /// Sends.
    fn send(&mut self, transmit: Transmit<'_>);

    /// The time by now, for a machine whose turn is long: when a datagram really leaves is what delays are reckoned from. A wire without
    /// a clock knows no more than the machine was `told`.
    fn now(&self, told: Instant) -> Instant {
        told
    }
}

/// What one shard of a node has for another.
#[derive(Debug)]
pub struct Aside<C> {
    /// The other shard's number.
    pub shard: usize,
    /// What it is told.
    pub command: C,
    /// It may be dropped when the other shard is behind: media is, the word of a room is not.
    pub may_drop: bool,
}

/// A shard, as the driver sees it.
///
/// The law: hand in, `flush`, drain `poll`, read `deadline`; only then hand in again. A batch of inputs counts as one, also one that
/// gathers over a few milliseconds with `relieve` in between.
pub trait Machine {
    /// What the async side may tell it.
    type Command: Send + 'static;
    /// What it tells the async side.
    type Event: Send + 'static;

    /// The world said.
    fn handle(&mut self, input: Input<'_, Self::Command>, now: Instant);
    /// Sends all that waits to be sent.
    fn flush(&mut self, wire: &mut dyn Wire, now: Instant);
    /// The driver lets media gather for a few milliseconds before it flushes: sends what is worth more now than with others, such as
    /// the next step of a handshake. Says whether there is anything to `poll`.
    fn relieve(&mut self, wire: &mut dyn Wire, now: Instant) -> bool {
        let _ = (wire, now);
        false
    }
    /// What it has to say, until `None`.
    fn poll(&mut self) -> Option<Self::Event>;
    /// When to wake it at the latest. A deadline in the past means at once.
    fn deadline(&self) -> Option<Instant>;
    /// Whether an event may be dropped when the async side is behind: media is, the word of a door is not.
    fn may_drop(event: &Self::Event) -> bool;
    /// What an event is when it is meant for another shard of this node. It goes from thread to thread, and the async side
    /// does not hear it. Else the event itself.
    fn aside(event: Self::Event) -> Result<Aside<Self::Command>, Self::Event> {
        Err(event)
    }
}
