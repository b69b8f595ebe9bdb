use super::*;
use lyceum_relay_core::machine::{Aside, Culprit, Input, Transmit, Wire};
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

const SEGMENT: usize = 1000;

/// Says back what it hears. `panic` as a datagram makes it fall over.
struct Echo {
    back: Vec<(SocketAddr, Vec<u8>)>,
    said: VecDeque<Said>,
    banned: BTreeSet<SocketAddr>,
    wake: Option<Instant>,
    flush_panics: bool,
    /// The next flush takes until the sender says go, or is gone.
    flush_takes: Option<std::sync::mpsc::Receiver<()>>,
    /// Said when things gather.
    urgent: Option<usize>,
}

enum Told {
    Flood {
        events: usize,
    },
    Media {
        events: usize,
    },
    WakeIn(Duration),
    SendTo(SocketAddr),
    BreakFlush,
    /// Let the next flush take until the sender says go.
    SlowFlush(std::sync::mpsc::Receiver<()>),
    /// Say this number, and do not wait for what gathers.
    Urgent(usize),
    /// Say so many numbers aside to another shard.
    Pass {
        to: usize,
        numbers: usize,
        may_drop: bool,
    },
    /// Another shard said this.
    Heard(usize),
    /// Stand still until the sender says go, or is gone.
    Stand(std::sync::mpsc::Receiver<()>),
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Number(usize),
    Media,
    Evicted(SocketAddr),
    Woken,
    Aside { to: usize, number: usize, may_drop: bool },
}

impl Echo {
    fn new() -> Self {
        Self {
            back: Vec::new(),
            said: VecDeque::new(),
            banned: BTreeSet::new(),
            wake: None,
            flush_panics: false,
            flush_takes: None,
            urgent: None,
        }
    }
}

impl Machine for Echo {
    type Command = Told;
    type Event = Said;

    fn handle(&mut self, input: Input<'_, Told>, now: Instant) {
        match input {
            Input::Datagram(datagram) => {
                assert!(&*datagram.bytes != b"panic", "as told");
                if !self.banned.contains(&datagram.from) {
                    match self.back.last_mut() {
                        Some((to, batch)) if *to == datagram.from => batch.extend_from_slice(datagram.bytes),
                        _ => self.back.push((datagram.from, datagram.bytes.to_vec())),
                    }
                }
            }
            Input::Command(Told::Flood { events }) => self.said.extend((0..events).map(Said::Number)),
            Input::Command(Told::Media { events }) => self.said.extend((0..events).map(|_| Said::Media)),
            Input::Command(Told::WakeIn(after)) => self.wake = Some(now + after),
            Input::Command(Told::SendTo(to)) => self.back.push((to, vec![7; SEGMENT * 3])),
            Input::Command(Told::Pass { to, numbers, may_drop }) => {
                self.said.extend((0..numbers).map(|number| Said::Aside { to, number, may_drop }));
            }
            Input::Command(Told::Heard(number)) => self.said.push_back(Said::Number(number)),
            Input::Command(Told::Stand(go)) => {
                let _ = go.recv();
            }
            Input::Command(Told::BreakFlush) => self.flush_panics = true,
            Input::Command(Told::SlowFlush(go)) => self.flush_takes = Some(go),
            Input::Command(Told::Urgent(number)) => self.urgent = Some(number),
            Input::Tick => {
                self.wake = None;
                self.said.push_back(Said::Woken);
            }
            Input::Panicked(Culprit::Datagram { from, .. }) => {
                self.banned.insert(from);
                self.said.push_back(Said::Evicted(from));
            }
            Input::Panicked(Culprit::Own) => {}
        }
    }

    fn relieve(&mut self, _: &mut dyn Wire, _: Instant) -> bool {
        self.said.extend(self.urgent.take().map(Said::Number));
        !self.said.is_empty()
    }

    fn flush(&mut self, wire: &mut dyn Wire, _: Instant) {
        assert!(!self.flush_panics, "as told");
        if let Some(go) = self.flush_takes.take() {
            let _ = go.recv();
        }
        self.urgent = None;
        for (to, bytes) in self.back.drain(..) {
            wire.send(Transmit { to, from: None, ecn: Default::default(), segment: SEGMENT, bytes: &bytes });
        }
    }

    fn poll(&mut self) -> Option<Said> {
        self.said.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    fn may_drop(event: &Said) -> bool {
        *event == Said::Media
    }

    fn aside(event: Said) -> Result<Aside<Told>, Said> {
        match event {
            Said::Aside { to: shard, number, may_drop } => Ok(Aside { shard, command: Told::Heard(number), may_drop }),
            event => Err(event),
        }
    }
}

/// Two shards of one node.
fn neighbours() -> [Handle<Echo>; 2] {
    let neighbours = Neighbours::default();
    let shards = [0, 1].map(|_| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let config = Config { name: "shard-test".into(), socket, core: None };
        spawn_among(config, neighbours.clone(), |_, _| Echo::new()).unwrap()
    });
    neighbours.introduce(shards.iter().map(|shard| shard.commands.clone()).collect());
    shards
}

fn shard() -> Handle<Echo> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let config = Config { name: "shard-test".into(), socket, core: Some(0) };
    spawn(config, |_, _| Echo::new()).unwrap()
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // All of a test's echoes fit in, however late they are read.
    size_buffers(&socket);
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

fn finish(handle: Handle<Echo>) -> Snapshot {
    handle.commands.stop();
    handle.thread.join().unwrap().unwrap();
    handle.stats.snapshot()
}

#[test]
fn a_batch_comes_back_whole_and_in_order() {
    let handle = shard();
    let client = client();
    // More than one GSO call may carry.
    for n in 0..200u8 {
        client.send_to(&[n; SEGMENT], handle.local).unwrap();
    }
    let mut buffer = [0; 2048];
    for n in 0..200u8 {
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from, buffer[0]), (SEGMENT, handle.local, n));
    }
    let stats = finish(handle);
    assert_eq!((stats.datagrams_in, stats.datagrams_out), (200, 200));
    assert_eq!((stats.bytes_in, stats.bytes_out), (200_000, 200_000));
}

#[test]
fn a_panicking_datagram_evicts_its_sender_and_nobody_else() {
    let mut handle = shard();
    let (good, bad) = (client(), client());
    bad.send_to(b"panic", handle.local).unwrap();
    assert_eq!(handle.events.blocking_recv(), Some(Said::Evicted(bad.local_addr().unwrap())));
    bad.send_to(b"again", handle.local).unwrap();
    good.send_to(b"hello", handle.local).unwrap();
    let mut buffer = [0; 16];
    let (length, _) = good.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"hello");
    assert_eq!(finish(handle).panics, 1);
}

#[test]
fn an_async_side_that_is_behind_loses_media_but_no_word() {
    let mut handle = shard();
    let flood = EVENTS_MAX + 500;
    handle.commands.try_send(Told::Flood { events: flood }).ok().unwrap();
    handle.commands.try_send(Told::Media { events: 50 }).ok().unwrap();
    // Nobody has listened until the queue is full and the rest spilled.
    while handle.stats.snapshot().events_spilled < 500 {
        std::thread::yield_now();
    }
    let mut next = 0;
    while next < flood {
        match handle.events.blocking_recv() {
            Some(Said::Number(n)) => {
                assert_eq!(n, next);
                next += 1;
            }
            other => assert_eq!(other, Some(Said::Media)),
        }
    }
    let stats = finish(handle);
    assert_eq!((stats.events_spilled, stats.dropped_events_spill_full), (500, 0));
}

#[test]
fn media_events_are_dropped_when_the_queue_is_full() {
    let handle = shard();
    handle.commands.try_send(Told::Media { events: EVENTS_MAX + 10 }).ok().unwrap();
    assert_eq!(finish(handle).dropped_events_behind, 10);
}

#[test]
fn two_shards_full_of_each_other_empty_each_other_in_order() {
    let numbers = COMMANDS_MAX * 3;
    let mut shards = neighbours();
    for (shard, to) in [(0, 1), (1, 0)] {
        shards[shard].commands.try_send(Told::Pass { to, numbers, may_drop: false }).ok().unwrap();
    }
    for n in 0..numbers {
        for shard in &mut shards {
            assert_eq!(shard.events.blocking_recv(), Some(Said::Number(n)), "an aside is heard by its shard alone");
        }
    }
    for shard in shards {
        let stats = finish(shard);
        assert_eq!(stats.asides, numbers as u64);
        assert_eq!((stats.dropped_asides_behind, stats.dropped_asides_full, stats.dropped_asides_gone), (0, 0, 0));
    }
}

#[test]
fn a_shard_that_stands_still_costs_its_neighbour_media_and_no_time() {
    let [here, mut there] = neighbours();
    let (go, gone) = std::sync::mpsc::channel();
    there.commands.try_send(Told::Stand(gone)).ok().unwrap();
    while there.stats.snapshot().commands == 0 {
        std::thread::yield_now();
    }
    here.commands.try_send(Told::Pass { to: 1, numbers: COMMANDS_MAX + 100, may_drop: true }).ok().unwrap();
    here.commands.try_send(Told::Pass { to: 1, numbers: ASIDES_WAITING_MAX + 7, may_drop: false }).ok().unwrap();
    while here.stats.snapshot().dropped_asides_full < 7 {
        std::thread::yield_now();
    }
    assert_eq!(here.stats.snapshot().dropped_asides_behind, 100, "media found its queue full");
    go.send(()).unwrap();
    for n in (0..COMMANDS_MAX).chain(0..ASIDES_WAITING_MAX) {
        assert_eq!(there.events.blocking_recv(), Some(Said::Number(n)));
    }
    finish(there);
    assert_eq!(finish(here).asides, (COMMANDS_MAX + ASIDES_WAITING_MAX) as u64);
}

#[test]
fn what_is_said_before_the_introduction_waits_and_to_nobody_is_counted() {
    let neighbours = Neighbours::default();
    let spawned = |name: &str| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let config = Config { name: name.into(), socket, core: None };
        spawn_among(config, neighbours.clone(), |_, _| Echo::new()).unwrap()
    };
    let (first, mut second) = (spawned("shard-first"), spawned("shard-second"));
    first.commands.try_send(Told::Pass { to: 1, numbers: 3, may_drop: false }).ok().unwrap();
    while first.stats.snapshot().commands == 0 {
        std::thread::yield_now();
    }
    neighbours.introduce([&first, &second].map(|shard| shard.commands.clone()).into());
    for n in 0..3 {
        assert_eq!(second.events.blocking_recv(), Some(Said::Number(n)));
    }
    first.commands.try_send(Told::Pass { to: 9, numbers: 2, may_drop: false }).ok().unwrap();
    finish(second);
    assert_eq!(finish(first).dropped_asides_gone, 2);
}

#[test]
fn a_deadline_wakes_the_machine() {
    let mut handle = shard();
    handle.commands.try_send(Told::WakeIn(Duration::from_millis(5))).ok().unwrap();
    assert_eq!(handle.events.blocking_recv(), Some(Said::Woken));
    finish(handle);
}

#[test]
fn after_a_long_flush_things_gather_and_what_is_urgent_does_not_wait() {
    let mut handle = shard();
    let client = client();
    let mut buffer = [0; 2048];
    // The thread may be kept from running until the rest is over: then it is tried again.
    for trial in 0..100 {
        let (go, gone) = std::sync::mpsc::channel();
        handle.commands.try_send(Told::SlowFlush(gone)).ok().unwrap();
        let commands = handle.stats.snapshot().commands;
        while handle.stats.snapshot().commands == commands {
            std::thread::yield_now();
        }
        std::thread::sleep(2 * gather::REST_MAX);
        client.send_to(&[7; SEGMENT], handle.local).unwrap();
        handle.commands.try_send(Told::Urgent(trial)).ok().unwrap();
        go.send(()).unwrap();
        let (length, _) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((length, buffer[0]), (SEGMENT, 7), "it comes, later");
        // A flush answers nobody here: what is said was said while things gathered.
        if let Ok(said) = handle.events.try_recv() {
            assert_eq!(said, Said::Number(trial));
            assert!(handle.stats.snapshot().gathered > 0);
            finish(handle);
            return;
        }
    }
    panic!("nothing ever gathered");
}

#[test]
fn commands_beyond_the_bound_are_given_back() {
    let (commands, inbox) = queue::commands::<usize>(Arc::new(wake::Wake::new().unwrap()));
    for n in 0..COMMANDS_MAX {
        commands.try_send(n).unwrap();
    }
    assert!(matches!(commands.try_send(7), Err(Full::Full(7))));
    drop(inbox);
    assert!(matches!(commands.try_send(7), Err(Full::Gone(7))));
}

#[test]
fn a_machine_that_panics_in_every_turn_ends_its_thread() {
    let mut handle = shard();
    handle.commands.try_send(Told::BreakFlush).ok().unwrap();
    // Turns go on while datagrams come; the event queue's end tells of the thread's.
    let client = client();
    let stats = handle.stats.clone();
    while !handle.thread.is_finished() {
        client.send_to(b"turn", handle.local).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(handle.events.blocking_recv(), None);
    assert!(matches!(handle.thread.join().unwrap(), Err(Ended::Panics)));
    assert_eq!(stats.snapshot().panics, u64::from(PANICKING_TURNS_MAX));
}

#[test]
fn an_address_nothing_can_be_sent_to_costs_nobody_else_their_batches() {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let stats = Arc::new(Stats::default());
    let mut sender = Sender::new(socket, stats.clone()).unwrap();
    let before = sender.segments_max();
    let bytes = [0; SEGMENT * 3];
    let to = |text: &str| text.parse::<SocketAddr>().unwrap();
    for nowhere in ["127.0.0.1:0", "0.0.0.0:5", "[::1]:5", "[fe80::1]:5", "255.255.255.255:5", "224.0.0.1:5"] {
        sender.send(Transmit { to: to(nowhere), from: None, ecn: Default::default(), segment: SEGMENT, bytes: &bytes });
    }
    sender.send(Transmit {
        to: to("127.0.0.1:9"),
        from: None,
        ecn: Default::default(),
        segment: 70_000,
        bytes: &[0; 70_000],
    });
    let counted = stats.snapshot();
    assert_eq!(sender.segments_max(), before);
    assert!(counted.dropped_bad_destination >= 12, "{counted:?}");
    assert_eq!(counted.dropped_too_large, 1);
}

#[test]
fn a_dual_stack_socket_speaks_ipv4_as_ipv4() {
    let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    let config = Config { name: "shard-dual".into(), socket: socket.into(), core: None };
    let mut handle: Handle<Echo> = spawn(config, |_, _| Echo::new()).unwrap();
    let client = client();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, handle.local.port()));
    client.send_to(b"panic", to).unwrap();
    assert_eq!(handle.events.blocking_recv(), Some(Said::Evicted(client.local_addr().unwrap())));
    handle.commands.try_send(Told::SendTo(client.local_addr().unwrap())).ok().unwrap();
    let mut buffer = [0; 2048];
    for _ in 0..3 {
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((length, from), (SEGMENT, to));
    }
    finish(handle);
}
