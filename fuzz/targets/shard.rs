//! A whole shard: a participant who has offered, and datagrams, signaling and link traffic from anybody.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_edge_core::door::{Command, Entry, Event, Secret, Seed, SocketId};
use lyceum_edge_core::{Config, Shard, TurnConfig};
use lyceum_fuzz::{OFFER, REALM, TURN_SECRET, TurnClient, UNIX, attribute, check, steps};
use lyceum_relay_core::link::FromLink;
use lyceum_relay_core::machine::{Datagram, Ecn, Input, Machine, Transmit, Wire};
use lyceum_wire::id::{NodeId, ParticipantId, Region, RoomId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, PublishLine, SlotKind, SlotLine, ToEdge};
use lyceum_wire::token::{Claims, Grants};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

static SESSIONS: LazyLock<lyceum_session::Config> =
    LazyLock::new(|| lyceum_session::Config::new().expect("a certificate"));
/// Events of one step; more means that something chases its tail.
const EVENTS_MAX: usize = 10_000;

struct World {
    shard: Shard,
    now: Instant,
    own: SocketAddr,
    answer: Option<String>,
    sent: Vec<Vec<u8>>,
}

struct Sink<'a>(&'a mut Vec<Vec<u8>>);

impl Wire for Sink<'_> {
    fn send(&mut self, transmit: Transmit<'_>) {
        self.0.extend(transmit.bytes.chunks(transmit.segment.max(1)).map(<[u8]>::to_vec));
    }
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        let own = SocketAddr::from(([192, 0, 2, 1], 40_001));
        let config = Config {
            node: NodeId::parse("eu-1").expect("a name"),
            region: Region::parse("eu").expect("a name"),
            shard: 0,
            candidates: vec![own],
            session: SESSIONS.clone(),
            seed: Seed([1; 32]),
            unix_ms: UNIX * 1000,
            participants_max: 4,
            linger: Duration::from_secs(5),
            siblings: Vec::new(),
            turn: Some(TurnConfig {
                realm: REALM.to_owned(),
                secret: Secret(TURN_SECRET.to_owned()),
                allowed: Vec::new(),
                ports: lyceum_edge_core::turn::PORTS,
            }),
        };
        let mut world = Self { shard: Shard::new(config, now), now, own, answer: None, sent: Vec::new() };
        let claims = Claims {
            aud: "lyceum".to_owned(),
            sub: "ana".to_owned(),
            name: "Ana".to_owned(),
            room: RoomId::parse("room").expect("a name"),
            grants: Grants::participant(),
            nbf: 0,
            exp: u64::MAX,
        };
        let participant = ParticipantId::parse("p-ana").expect("a name");
        let entry = Entry { secret: Secret("secret-of-ana".to_owned()), participant, claims, seed: Seed([2; 32]) };
        world.command(Command::Open { socket: SocketId(1), entry: Box::new(entry) });
        let publish = [("0", Source::Microphone), ("1", Source::Camera)];
        let slots = [("2", SlotKind::Audio), ("3", SlotKind::Audio), ("5", SlotKind::Video), ("8", SlotKind::Screen)];
        let offer = ClientSays::Offer {
            sdp: OFFER.to_owned(),
            publish: publish.map(|(mid, source)| PublishLine { mid: mid.to_owned(), source, muted: false }).to_vec(),
            slots: slots.map(|(mid, kind)| SlotLine { mid: mid.to_owned(), kind }).to_vec(),
        };
        world.command(Command::Said { socket: SocketId(1), message: Box::new(ToEdge { seq: 1, body: offer }) });
        world
    }

    fn command(&mut self, command: Command) {
        self.shard.handle(Input::Command(command), self.now);
        self.settle();
    }

    fn datagram(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let datagram = Datagram { from, to: self.own, ecn: Ecn::NotCapable, bytes };
        self.shard.handle(Input::Datagram(datagram), self.now);
        self.settle();
    }

    fn settle(&mut self) {
        self.shard.flush(&mut Sink(&mut self.sent), self.now);
        for turn in 0.. {
            assert!(turn < EVENTS_MAX, "the shard chases its tail");
            let Some(event) = self.shard.poll() else { break };
            if let Event::Say { message, .. } = event
                && let EdgeSays::Answer { sdp } = message.to_client().body
            {
                self.answer = Some(sdp);
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    let mut turn = TurnClient::default();
    let answer = world.answer.clone().expect("the offer is answered");
    let (ufrag, pwd) = (attribute(&answer, "ice-ufrag"), attribute(&answer, "ice-pwd"));
    let theirs = attribute(OFFER, "ice-ufrag").expect("an offer has one");
    for step in steps(input) {
        let Some((how, rest)) = step.split_first() else { continue };
        let from = SocketAddr::from(([198, 51, 100, 7], 5000 + u16::from(how >> 6)));
        let mut bytes = rest.to_vec();
        match how & 0x07 {
            0..=2 => world.datagram(from, &mut bytes),
            3 => {
                let nominate = how & 8 != 0;
                let mut good = check(ufrag.unwrap_or(""), pwd.unwrap_or(""), theirs, nominate, *how);
                world.datagram(from, &mut good);
            }
            4 => {
                let mut request = turn.request(rest);
                world.sent.clear();
                world.datagram(from, &mut request);
                world.sent.iter().for_each(|answer| turn.learn(answer));
            }
            5 => {
                if let Ok(message) = serde_json::from_slice::<ToEdge>(rest) {
                    world.command(Command::Said { socket: SocketId(1), message: Box::new(message) });
                }
            }
            6 => {
                let node = NodeId::parse("us-1").expect("a name");
                let link = match serde_json::from_slice(rest) {
                    Ok(message) => FromLink::Message { node, message: Box::new(message) },
                    Err(_) => FromLink::Datagrams { node, datagrams: vec![bytes.into()] },
                };
                world.command(Command::Link(link));
            }
            _ => {
                world.now += Duration::from_millis(u64::from(*how) * 8);
                if world.shard.deadline().is_some_and(|deadline| deadline <= world.now) {
                    world.shard.handle(Input::Tick, world.now);
                    world.settle();
                }
            }
        }
        world.sent.clear();
    }
});
