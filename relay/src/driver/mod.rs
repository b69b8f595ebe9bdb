//! The driver: one thread turns one [`Machine`], with one UDP socket, two bounded queues and the only clock.
//!
//! ```text
//!   async side                      shard's thread
//!   Commander ──── commands ──────▶ ┌───────────────────────────────┐
//!              (bounded, waits)     │ wait → receive → flush → tell │ ◀──▶ UDP socket
//!   events    ◀─── events ───────── └───────────────────────────────┘
//!              (bounded, spills)
//! ```
//!
//! - **Commands** are bounded by [`COMMANDS_MAX`]: [`Commander::send`] waits, [`Commander::try_send`] gives the command back.
//! - **Events** never block the shard. When the async side is behind, events that may be dropped are dropped and
//!   counted; the others spill into a second queue of at most [`SPILL_EVENTS_MAX`], and while anything is spilled no
//!   command is taken, so that the async side feels it. Beyond that an event is lost, counted and logged as an error.
//! - **Asides** are what one machine has for another on the same node: they go straight into that shard's queue of
//!   commands, see [`Neighbours`]. Neither shard ever waits for the other.
//! - **Panics** of one step are contained, see [`lyceum_relay_core::machine`]. [`PANICKING_TURNS_MAX`] turns in
//!   a row in which a tick, flush or poll panicked end the thread; the event queue then ends, which is how the async side learns of it.

mod aside;
mod gather;
mod queue;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod wake;
mod wheel;

pub use aside::{ASIDES_WAITING_MAX, Neighbours};
pub use queue::{Commander, Full};
pub use socket::{RECEIVE_BUFFER_BYTES, Receiver, SEND_BUFFER_BYTES, Sender, size_buffers};
pub use stats::{Snapshot, Stats};

use lyceum_relay_core::Machine;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc;

/// Commands waiting for a shard at most: a join storm of a thousand people finds room, a stuck shard is felt within a second.
pub const COMMANDS_MAX: usize = 4096;
/// Events waiting for the async side at most: a roster delta to each of 4,000 viewers at once finds room.
pub const EVENTS_MAX: usize = 8192;
/// Events held back on the shard's side at most, when the async side is behind: 64 Ki events are some 20 MB of JSON.
pub const SPILL_EVENTS_MAX: usize = 65_536;
/// Commands taken in one turn at most, so that media waits less than a millisecond for them.
pub const COMMANDS_PER_TURN: usize = 64;
/// Turns in a row in which a tick, a flush or a poll panicked, after which the thread gives up: it is not one peer's doing.
pub const PANICKING_TURNS_MAX: u32 = 16;

/// What a shard's thread is given.
#[derive(Debug)]
pub struct Config {
    /// The thread's name, such as `shard-0` (15 bytes are kept by the kernel).
    pub name: String,
    /// The bound socket. [`spawn`] makes it non-blocking and sizes its buffers.
    pub socket: UdpSocket,
    /// The CPU to stay on, if any.
    pub core: Option<usize>,
}

/// A running shard, from the async side.
#[derive(Debug)]
pub struct Handle<M: Machine> {
    /// Where commands go in. May be cloned.
    pub commands: Commander<M::Command>,
    /// Where events come out. `None` after the thread has ended.
    pub events: mpsc::Receiver<M::Event>,
    /// The wheel's counters.
    pub stats: Arc<Stats>,
    /// The socket's address.
    pub local: SocketAddr,
    /// The thread: ends after [`Commander::stop`], or with an error after too many panics.
    pub thread: JoinHandle<Result<(), Ended>>,
}

/// Why a shard's thread ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The machine panicked in every turn.
    #[error("the machine panicked in {PANICKING_TURNS_MAX} turns in a row")]
    Panics,
    /// `poll(2)` failed: the process is out of kernel memory.
    #[error("waiting for the socket failed: {0}")]
    Wait(io::Error),
}

/// Starts a thread that makes a machine and turns it until [`Commander::stop`]. The machine is made on its thread and
/// never leaves it.
pub fn spawn<M, F>(config: Config, make: F) -> io::Result<Handle<M>>
where
    M: Machine + 'static,
    F: FnOnce(SocketAddr, Instant) -> M + Send + 'static,
{
    spawn_among(config, Neighbours::default(), make)
}

/// The same for one of several shards that have something for each other.
pub fn spawn_among<M, F>(config: Config, neighbours: Neighbours<M::Command>, make: F) -> io::Result<Handle<M>>
where
    M: Machine + 'static,
    F: FnOnce(SocketAddr, Instant) -> M + Send + 'static,
{
    size_buffers(&config.socket);
    let local = config.socket.local_addr()?;
    let socket = Arc::new(config.socket);
    let stats = Arc::new(Stats::default());
    let sender = Sender::new(socket.clone(), stats.clone())?;
    let receiver = Receiver::new(socket.clone(), stats.clone())?;
    let wake = Arc::new(wake::Wake::new()?);
    let (commands, inbox) = queue::commands(wake.clone());
    let (outbox, events) = mpsc::channel(EVENTS_MAX);
    let core = config.core;
    let wheel_stats = stats.clone();
    let thread = std::thread::Builder::new().name(config.name).spawn(move || {
        pin(core);
        let machine = make(local, Instant::now());
        let asides = aside::Asides::new(neighbours);
        wheel::Wheel::new(machine, socket, sender, receiver, wake, inbox, outbox, asides, wheel_stats)
            .turn_until_stopped()
    })?;
    Ok(Handle { commands, events, stats, local, thread })
}

fn pin(core: Option<usize>) {
    let Some(core) = core.filter(|&core| core < rustix::thread::CpuSet::MAX_CPU) else { return };
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        tracing::warn!(core, %error, "the shard's thread is not pinned");
    }
}
