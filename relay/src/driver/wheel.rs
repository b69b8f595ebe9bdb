//! The one event loop of the data plane.

use super::aside::Asides;
use super::gather::{Flushed, Gather};
use super::queue::Inbox;
use super::socket::{Receiver, Sender};
use super::stats::Stats;
use super::wake::Wake;
use super::{COMMANDS_PER_TURN, Ended, PANICKING_TURNS_MAX, SPILL_EVENTS_MAX};
use lyceum_relay_core::Machine;
use lyceum_relay_core::machine::{Culprit, Input};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::net::UdpSocket;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the shard sleeps at most while events are spilled or asides wait, before it offers them again.
const SPILL_RETRY: Duration = Duration::from_millis(1);
/// How long the shard sleeps at most in any case: a bound for what a lost wake-up could cost.
const SLEEP_MAX: Duration = Duration::from_millis(500);

pub(super) struct Wheel<M: Machine> {
    machine: M,
    socket: Arc<UdpSocket>,
    sender: Sender,
    receiver: Receiver,
    wake: Arc<Wake>,
    inbox: Inbox<M::Command>,
    outbox: mpsc::Sender<M::Event>,
    spill: VecDeque<M::Event>,
    asides: Asides<M::Command>,
    stats: Arc<Stats>,
    gather: Gather,
    /// Whether a tick, a flush or a poll panicked in this turn.
    panicked: bool,
    /// Turns in a row in which one did.
    panicking_turns: u32,
}

impl<M: Machine> Wheel<M> {
    #[allow(clippy::too_many_arguments)] // the parts of one wheel, put together in one place
    pub(super) fn new(
        machine: M,
        socket: Arc<UdpSocket>,
        sender: Sender,
        receiver: Receiver,
        wake: Arc<Wake>,
        inbox: Inbox<M::Command>,
        outbox: mpsc::Sender<M::Event>,
        asides: Asides<M::Command>,
        stats: Arc<Stats>,
    ) -> Self {
        Self {
            machine,
            socket,
            sender,
            receiver,
            wake,
            inbox,
            outbox,
            spill: VecDeque::new(),
            asides,
            stats,
            gather: Gather::default(),
            panicked: false,
            panicking_turns: 0,
        }
    }

    pub(super) fn turn_until_stopped(mut self) -> Result<(), Ended> {
        let mut now = Instant::now();
        loop {
            let stopping = self.inbox.stopping();
            self.tick(now);
            let more_commands = self.take_commands(now);
            let more_datagrams = self.receive(now);
            let flushed = (stopping || self.gather.is_over(now)).then(|| self.flush(now));
            if flushed.is_some() || self.relieve(now) {
                self.tell();
            }
            if std::mem::take(&mut self.panicked) {
                self.panicking_turns += 1;
            } else if flushed.is_some() {
                self.panicking_turns = 0;
            }
            if self.panicking_turns >= PANICKING_TURNS_MAX {
                tracing::error!("the machine panics in every turn; the shard gives up");
                return Err(Ended::Panics);
            }
            if stopping && !more_commands {
                return Ok(());
            }
            let busy = more_commands || more_datagrams;
            now = match flushed {
                Some(flushed) => self.sleep(now, flushed, busy)?,
                None => self.nap(now, busy),
            };
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.machine.deadline().is_some_and(|at| at <= now) {
            self.step(now, |wheel| wheel.machine.handle(Input::Tick, now));
        }
    }

    /// True when more commands wait than one turn takes. None are taken while events are spilled.
    fn take_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            if !self.spill.is_empty() {
                return false;
            }
            let Some(command) = self.inbox.take() else { return false };
            Stats::add(&self.stats.commands, 1);
            self.step(now, |wheel| wheel.machine.handle(Input::Command(command), now));
        }
        !self.inbox.is_empty()
    }

    /// True when more datagrams may wait than one turn takes.
    fn receive(&mut self, now: Instant) -> bool {
        let more = self.receiver.receive();
        if !self.receiver.is_empty() {
            self.gather.came(now);
        }
        let machine = &mut self.machine;
        let stats = &self.stats;
        self.receiver.drain(|datagram| {
            let culprit = Culprit::Datagram { from: datagram.from, to: datagram.to };
            let handled = catch_unwind(AssertUnwindSafe(|| machine.handle(Input::Datagram(datagram), now)));
            if handled.is_err() {
                evict(machine, stats, culprit, now);
            }
        });
        more
    }

    /// Says what was sent.
    fn flush(&mut self, now: Instant) -> Flushed {
        let before = self.sent();
        self.step(now, |wheel| wheel.machine.flush(&mut wheel.sender, now));
        let after = self.sent();
        Flushed { datagrams: after.datagrams - before.datagrams, sends: after.sends - before.sends }
    }

    fn sent(&self) -> Flushed {
        let Stats { datagrams_out, sends, .. } = &*self.stats;
        Flushed { datagrams: datagrams_out.load(Relaxed), sends: sends.load(Relaxed) }
    }

    /// While media gather. True when the machine may have something to say.
    fn relieve(&mut self, now: Instant) -> bool {
        let mut says = false;
        self.step(now, |wheel| says = wheel.machine.relieve(&mut wheel.sender, now));
        says
    }

    /// Gives the machine's events to the async side or to the shard they are meant for, in order: what waits goes first.
    fn tell(&mut self) {
        self.asides.offer_again(&self.stats);
        while let Some(event) = self.spill.pop_front() {
            match self.outbox.try_send(event) {
                Ok(()) => Stats::add(&self.stats.events, 1),
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.spill.push_front(event);
                    break;
                }
                // Nobody listens any more: the process is stopping.
                Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
        loop {
            let mut said = None;
            self.step(Instant::now(), |wheel| said = wheel.machine.poll());
            let Some(event) = said else { break };
            match M::aside(event) {
                Ok(aside) => self.asides.send(aside, &self.stats),
                Err(event) => self.say(event),
            }
        }
    }

    fn say(&mut self, event: M::Event) {
        let event = if self.spill.is_empty() {
            match self.outbox.try_send(event) {
                Ok(()) => return Stats::add(&self.stats.events, 1),
                Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(event)) => event,
            }
        } else {
            event
        };
        if M::may_drop(&event) {
            Stats::add(&self.stats.dropped_events_behind, 1);
        } else if self.spill.len() < SPILL_EVENTS_MAX {
            Stats::add(&self.stats.events_spilled, 1);
            self.spill.push_back(event);
        } else {
            if self.stats.dropped_events_spill_full.load(Relaxed) == 0 {
                tracing::error!("the async side does not take the shard's events; some are lost");
            }
            Stats::add(&self.stats.dropped_events_spill_full, 1);
        }
    }

    /// Until something comes, or something is due.
    fn sleep(&mut self, turn_began: Instant, flushed: Flushed, busy: bool) -> Result<Instant, Ended> {
        self.wake.about_to_sleep();
        let before = Instant::now();
        self.gather.flushed(before - turn_began, flushed, before);
        let timeout = if busy || (self.spill.is_empty() && !self.inbox.is_empty()) || self.inbox.stopping() {
            Duration::ZERO
        } else {
            let limit = if self.spill.is_empty() && !self.asides.waiting() { SLEEP_MAX } else { SPILL_RETRY };
            self.machine.deadline().map_or(limit, |at| at.saturating_duration_since(before)).min(limit)
        };
        let mut fds = [PollFd::new(&*self.socket, PollFlags::IN), PollFd::new(self.wake.fd(), PollFlags::IN)];
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        let waited = poll(&mut fds, Some(&timeout));
        self.wake.awake();
        let after = Instant::now();
        Stats::add(&self.stats.turns, 1);
        Stats::add(&self.stats.busy_ns, nanos(before - turn_began));
        Stats::add(&self.stats.idle_ns, nanos(after - before));
        match waited {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(after),
            Err(error) => Err(Ended::Wait(error.into())),
        }
    }

    /// While things gather.
    fn nap(&mut self, turn_began: Instant, busy: bool) -> Instant {
        let before = Instant::now();
        self.gather.worked(before - turn_began);
        Stats::add(&self.stats.gathered, 1);
        Stats::add(&self.stats.busy_ns, nanos(before - turn_began));
        let nap = self.gather.nap(before);
        if busy || nap.is_zero() {
            return before;
        }
        std::thread::sleep(nap);
        let after = Instant::now();
        Stats::add(&self.stats.idle_ns, nanos(after - before));
        after
    }

    fn step(&mut self, now: Instant, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.panicked = true;
            evict(&mut self.machine, &self.stats, Culprit::Own, now);
        }
    }
}

/// Tells the machine to remove what the panicking step was about; the shard goes on.
fn evict<M: Machine>(machine: &mut M, stats: &Stats, culprit: Culprit, now: Instant) {
    Stats::add(&stats.panics, 1);
    tracing::error!(?culprit, "a step panicked; what it was about is removed");
    if catch_unwind(AssertUnwindSafe(|| machine.handle(Input::Panicked(culprit), now))).is_err() {
        Stats::add(&stats.panics, 1);
        tracing::error!(?culprit, "removing it panicked as well");
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
