//! Clients, attackers and time against one TURN server.

use super::*;
use lyceum_wire::id::RoomId;
use lyceum_wire::stun::{Builder, HEADER_BYTES};
use lyceum_wire::turn as credentials;
use proptest::prelude::*;

const SECRET: &str = "shared by control plane and edges";
const REALM: &str = "lyceum";
const UNIX: u64 = 1_800_000_000;
const OWN: &str = "192.0.2.1:40001";
const OWN_V6: &str = "[2001:db8::1]:40001";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config() -> Config {
    Config {
        realm: REALM.to_owned(),
        secret: SECRET.to_owned(),
        own: vec![at(OWN), at(OWN_V6)],
        siblings: Vec::new(),
        allowed: Vec::new(),
        ports: PORTS,
        seed: [3; 32],
    }
}

/// A server, the time, and the doors as a test wants them.
struct World {
    server: Server,
    now: Instant,
}

/// A client as RFC 8656 describes it, with what it has learnt.
#[derive(Clone)]
struct Person {
    address: SocketAddr,
    username: String,
    key: [u8; 16],
    nonce: String,
    sha256: bool,
    transaction: u8,
}

/// An answer, read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    code: u16,
    relayed: Option<SocketAddr>,
    mapped: Option<SocketAddr>,
    lifetime: Option<u32>,
    nonce: Option<String>,
    unknown: Vec<Kind>,
    len: usize,
}

impl World {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { server: Server::new(config, UNIX * 1000, now), now }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.server.wake(self.now);
    }

    fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Relay> {
        self.server.handle(from, at(OWN), datagram, self.now)
    }

    fn answer(&mut self) -> Option<Vec<u8>> {
        while let Some(output) = self.server.poll() {
            if let Output::Transmit { bytes, .. } = output {
                return Some(bytes);
            }
        }
        None
    }

    fn dropped(&self, name: &str) -> u64 {
        self.server.drops().find(|(reason, _)| *reason == name).unwrap().1
    }

    /// A person with a good credential and a nonce, but no allocation yet.
    fn person(&mut self, address: &str) -> Person {
        let mut person = Person::new(address, "physics", UNIX + 3600);
        let challenge = person.ask(self, Method::ALLOCATE, udp);
        assert_eq!(challenge.code, 401);
        person.nonce = challenge.nonce.unwrap();
        person
    }

    /// A person with an allocation, and its relayed address.
    fn allocated(&mut self, address: &str) -> (Person, SocketAddr) {
        let mut person = self.person(address);
        let answer = person.ask(self, Method::ALLOCATE, udp);
        assert_eq!(answer.code, 0, "{answer:?}");
        (person, answer.relayed.unwrap())
    }
}

impl Person {
    fn new(address: &str, room: &str, expires_at: u64) -> Self {
        let credential = credentials::credential(SECRET, &RoomId::parse(room).unwrap(), expires_at);
        let key = credentials::long_term_key(&credential.username, REALM, &credential.password);
        let (username, nonce) = (credential.username, String::new());
        Self { address: at(address), username, key, nonce, sha256: false, transaction: 0 }
    }

    /// Asks with a fresh transaction, signed once a nonce is known.
    fn ask(
        &mut self,
        world: &mut World,
        method: Method,
        attributes: impl for<'b> Fn(Builder<'b>) -> Builder<'b>,
    ) -> Answer {
        self.transaction += 1;
        self.ask_again(world, method, attributes)
    }

    fn ask_again(
        &mut self,
        world: &mut World,
        method: Method,
        attributes: impl for<'b> Fn(Builder<'b>) -> Builder<'b>,
    ) -> Answer {
        let request = self.request(method, attributes);
        assert_eq!(world.send(self.address, &request), None);
        let bytes = world.answer().expect("a request is answered");
        self.read(&bytes)
    }

    fn request(&self, method: Method, attributes: impl for<'b> Fn(Builder<'b>) -> Builder<'b>) -> Vec<u8> {
        let mut out = [0; 1200];
        let transaction = Transaction([self.transaction; 12]);
        let mut builder = attributes(Builder::new(&mut out, Class::Request, method, transaction));
        if !self.nonce.is_empty() {
            builder =
                builder.text(Kind::USERNAME, &self.username).text(Kind::REALM, REALM).text(Kind::NONCE, &self.nonce);
            builder = match self.sha256 {
                false => builder.integrity(&self.key),
                true => builder.integrity_sha256(&self.key),
            };
        }
        let len = builder.fingerprint().finish().unwrap();
        out[..len].to_vec()
    }

    fn read(&self, bytes: &[u8]) -> Answer {
        let message = Message::parse(bytes).unwrap();
        assert_eq!(message.transaction, Transaction([self.transaction; 12]));
        let code = message.error_code().unwrap().map_or(0, |error| error.code);
        assert_eq!(code == 0, message.class == Class::Success);
        if !matches!(code, 400 | 401 | 438) {
            let signed = if self.sha256 { message.verify_sha256(&self.key) } else { message.verify(&self.key) };
            assert_eq!(signed, Ok(()), "who proved itself gets signed answers: {code}");
        }
        Answer {
            code,
            relayed: message.xor_address(Kind::XOR_RELAYED_ADDRESS).unwrap(),
            mapped: message.mapped_address().unwrap(),
            lifetime: message.lifetime().unwrap(),
            nonce: message.nonce().unwrap().map(str::to_owned),
            unknown: message.unknown_attributes().collect(),
            len: bytes.len(),
        }
    }

    fn permit(&mut self, world: &mut World, peer: &str) -> u16 {
        let peer = at(peer);
        self.ask(world, Method::CREATE_PERMISSION, |b| b.xor_address(Kind::XOR_PEER_ADDRESS, peer)).code
    }

    fn bind(&mut self, world: &mut World, channel: u16, peer: &str) -> u16 {
        let peer = at(peer);
        self.ask(world, Method::CHANNEL_BIND, |b| b.channel_number(channel).xor_address(Kind::XOR_PEER_ADDRESS, peer))
            .code
    }

    fn indication(&self, peer: SocketAddr, data: &[u8]) -> Vec<u8> {
        let mut out = [0; 1200];
        let len = Builder::new(&mut out, Class::Indication, Method::SEND, Transaction([9; 12]))
            .xor_address(Kind::XOR_PEER_ADDRESS, peer)
            .raw(Kind::DATA, data)
            .finish()
            .unwrap();
        out[..len].to_vec()
    }
}

fn channel(number: u16, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1500];
    let len = ChannelData { channel: number, data }.write(&mut out).unwrap();
    out.truncate(len);
    out
}

fn udp(builder: Builder<'_>) -> Builder<'_> {
    builder.requested_transport_udp()
}

fn refresh(seconds: u32) -> impl for<'b> Fn(Builder<'b>) -> Builder<'b> {
    move |builder| builder.u32(Kind::LIFETIME, seconds)
}

#[test]
fn a_binding_request_tells_the_address() {
    let mut world = World::new(config());
    let mut person = Person::new("198.51.100.7:3478", "physics", UNIX);
    let mut out = [0; 64];
    person.transaction = 1;
    let len = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([1; 12])).finish().unwrap();
    world.send(person.address, &out[..len]);
    let bytes = world.answer().unwrap();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.mapped_address(), Ok(Some(person.address)));
    assert_eq!(message.fingerprint(), Some(true));
}

#[test]
fn a_person_behind_a_wall_talks_to_the_session_and_hears_it() {
    let mut world = World::new(config());
    let (mut ana, relayed) = world.allocated("198.51.100.7:3478");
    assert_eq!(relayed.ip(), at(OWN).ip());
    assert!(PORTS.contains(&relayed.port()));
    assert!(world.server.is_relayed(relayed));

    // Nothing passes before it is permitted, in neither direction.
    let check = ana.indication(at(OWN), b"a check");
    assert_eq!(world.send(ana.address, &check), None);
    assert_eq!(world.server.from_self(relayed, at(OWN), 7, world.now), None);
    assert_eq!(world.dropped("turn_no_permission"), 2);

    assert_eq!(ana.permit(&mut world, OWN), 0);
    let Some(Relay::ToSelf { relayed: from, own, payload }) = world.send(ana.address, &check) else { panic!() };
    assert_eq!((from, own, &check[payload]), (relayed, at(OWN), &b"a check"[..]));

    // The way back, as an indication until a channel is bound, then for four bytes.
    let back = world.server.from_self(relayed, at(OWN), 5, world.now).unwrap();
    assert_eq!(back.to, Client { address: ana.address, local: at(OWN) });
    let mut datagram = Vec::new();
    back.wrap.write(b"hello", &mut datagram);
    let message = Message::parse(&datagram).unwrap();
    assert_eq!((message.method, message.data()), (Method::DATA, Some(&b"hello"[..])));
    assert_eq!(message.xor_address(Kind::XOR_PEER_ADDRESS), Ok(Some(at(OWN))));

    assert_eq!(ana.bind(&mut world, 0x4000, OWN), 0);
    let packet = channel(0x4000, b"rtp");
    let Some(Relay::ToSelf { payload, .. }) = world.send(ana.address, &packet) else { panic!() };
    assert_eq!(&packet[payload], b"rtp");
    let back = world.server.from_self(relayed, at(OWN), 5, world.now).unwrap();
    back.wrap.write(b"hello", &mut datagram);
    assert_eq!(datagram, channel(0x4000, b"hello"));
}

#[test]
fn padding_behind_channel_data_is_not_data() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    assert_eq!(ana.bind(&mut world, 0x4abc, OWN), 0);
    let mut packet = channel(0x4abc, b"rtp");
    packet.push(0xee);
    let Some(Relay::ToSelf { payload, .. }) = world.send(ana.address, &packet) else { panic!() };
    assert_eq!(&packet[payload], b"rtp");
    assert_eq!(world.send(ana.address, &channel(0x4abd, b"rtp")), None);
    assert_eq!(world.dropped("turn_no_channel"), 1);
}

#[test]
fn two_clients_of_one_server_talk_inside() {
    let mut world = World::new(config());
    let (mut ana, ana_relayed) = world.allocated("198.51.100.7:3478");
    let (mut ben, ben_relayed) = world.allocated("198.51.100.8:3478");
    assert_eq!(ana.bind(&mut world, 0x4000, &ben_relayed.to_string()), 0);
    let packet = channel(0x4000, b"hi ben");
    assert_eq!(world.send(ana.address, &packet), None, "ben has not permitted ana");
    assert_eq!(ben.bind(&mut world, 0x4fff, &ana_relayed.to_string()), 0);
    let Some(Relay::ToClient { to, wrap, payload }) = world.send(ana.address, &packet) else { panic!() };
    assert_eq!(to.address, ben.address);
    let mut datagram = Vec::new();
    wrap.write(&packet[payload], &mut datagram);
    assert_eq!(datagram, channel(0x4fff, b"hi ben"));
}

#[test]
fn peers_that_are_not_ours_are_refused_in_every_disguise() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    let mut v6 = world.person("198.51.100.7:3479");
    let answer = v6.ask(&mut world, Method::ALLOCATE, |b| {
        b.requested_transport_udp().raw(Kind::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])
    });
    assert_eq!(answer.relayed.unwrap().ip(), at(OWN_V6).ip());

    let table: &[(&str, u16, u16)] = &[
        // peer, answer to an IPv4 allocation, answer to an IPv6 allocation
        ("0.0.0.0:80", 403, 443),
        ("127.0.0.1:80", 403, 443),
        ("127.1.2.3:80", 403, 443),
        ("10.0.0.1:80", 403, 443),
        ("192.168.1.1:80", 403, 443),
        ("169.254.169.254:80", 403, 443),
        ("203.0.113.9:80", 403, 443),
        ("224.0.0.1:80", 403, 443),
        ("255.255.255.255:80", 403, 443),
        ("[::]:80", 443, 403),
        ("[::1]:80", 443, 403),
        ("[fe80::1]:80", 443, 403),
        ("[ff02::1]:80", 443, 403),
        ("[2001:db8::2]:80", 443, 403),
        // IPv4 in disguise is IPv4: checked as such, and no peer of an IPv6 allocation.
        ("[::ffff:127.0.0.1]:80", 403, 443),
        ("[::127.0.0.1]:80", 403, 443),
        ("[::ffff:0:127.0.0.1]:80", 403, 443),
        ("[64:ff9b::7f00:1]:80", 403, 443),
        ("[64:ff9b::a9fe:a9fe]:80", 403, 443),
        ("[64:ff9b:1::7f00:1]:80", 403, 443),
        ("[2002:7f00:1::1]:80", 403, 443),
        ("[2001:0:4136:e378:8000:63bf:80ff:fffe]:80", 403, 443),
        ("[fe80::5efe:7f00:1]:80", 403, 443),
    ];
    for (peer, ipv4, ipv6) in table {
        assert_eq!(ana.permit(&mut world, peer), *ipv4, "permission for {peer}");
        assert_eq!(ana.bind(&mut world, 0x4001, peer), *ipv4, "channel to {peer}");
        assert_eq!(v6.permit(&mut world, peer), *ipv6, "permission of IPv6 for {peer}");
        assert_eq!(v6.bind(&mut world, 0x4001, peer), *ipv6, "channel of IPv6 to {peer}");
        let indication = ana.indication(at(peer), b"x");
        assert_eq!(world.send(ana.address, &indication), None, "{peer}");
    }
}

#[test]
fn the_nodes_own_ip_is_no_door_to_its_other_ports() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    // The permission is by IP (RFC 8656 §9) and includes the media port; other ports stay shut.
    assert_eq!(ana.permit(&mut world, OWN), 0);
    for port in [0, 22, 443, 40_000, 40_002, 65_000] {
        let peer = SocketAddr::new(at(OWN).ip(), port);
        assert_eq!(world.send(ana.address, &ana.indication(peer, b"x")), None, "{peer}");
        assert_eq!(ana.bind(&mut world, 0x4001, &peer.to_string()), 403, "{peer}");
    }
    assert_eq!(world.dropped("turn_peer_denied"), 6);
}

#[test]
fn listed_peers_are_reached_through_a_real_socket() {
    let mut world = World::new(Config { allowed: vec!["203.0.113.0/24".parse().unwrap()], ..config() });
    let (mut ana, relayed) = world.allocated("198.51.100.7:3478");
    assert_eq!(ana.permit(&mut world, "198.18.0.1:1"), 403);
    let peer = at("203.0.113.9:5000");
    let request = ana.request(Method::CREATE_PERMISSION, |b| b.xor_address(Kind::XOR_PEER_ADDRESS, peer));
    world.send(ana.address, &request);
    assert_eq!(world.server.poll(), Some(Output::Open { relayed }));
    assert!(matches!(world.server.poll(), Some(Output::Transmit { .. })));

    let indication = ana.indication(peer, b"out");
    let Some(Relay::ToPeer { relayed: from, peer: to, payload }) = world.send(ana.address, &indication) else {
        panic!()
    };
    assert_eq!((from, to, &indication[payload]), (relayed, peer, &b"out"[..]));
    assert!(world.server.from_peer(relayed, peer, 3, world.now).is_some());
    assert!(world.server.from_peer(relayed, at("203.0.113.10:1"), 3, world.now).is_none(), "not permitted");
    assert!(world.server.from_peer(relayed, at("198.18.0.1:1"), 3, world.now).is_none(), "not listed");

    // Asked for once, closed with the allocation.
    assert_eq!(ana.bind(&mut world, 0x4000, "203.0.113.9:5000"), 0);
    assert_eq!(world.server.poll(), None);
    world.pass(601);
    assert_eq!(world.server.poll(), Some(Output::Close { relayed }));
    assert!(world.server.from_peer(relayed, peer, 3, world.now).is_none());
}

#[test]
fn only_fresh_and_true_credentials_open_it() {
    let mut world = World::new(config());
    let good = world.person("198.51.100.7:3478");

    let expired = Person { nonce: good.nonce.clone(), ..Person::new("198.51.100.7:3478", "physics", UNIX) };
    assert_eq!(expired.clone().ask(&mut world, Method::ALLOCATE, udp).code, 401, "its time is over");
    let forged = Person { key: [0; 16], ..good.clone() };
    assert_eq!(forged.clone().ask(&mut world, Method::ALLOCATE, udp).code, 401, "wrong password");
    let renamed = Person { username: good.username.replace("physics", "chemistry"), ..good.clone() };
    assert_eq!(renamed.clone().ask(&mut world, Method::ALLOCATE, udp).code, 401, "another room's name");
    let extended = Person {
        username: good.username.replace(&(UNIX + 3600).to_string(), &(UNIX + 9999).to_string()),
        ..good.clone()
    };
    assert_eq!(extended.clone().ask(&mut world, Method::ALLOCATE, udp).code, 401, "a later expiry");
    for odd in ["nobody", ":", "1800000000:", "+1900000000:physics", "01900000000:physics", "1900000000:a b"] {
        let odd = Person { username: odd.to_owned(), ..good.clone() };
        assert_eq!(odd.clone().ask(&mut world, Method::ALLOCATE, udp).code, 401, "{}", odd.username);
    }
    assert_eq!(world.server.allocations(), 0);
    assert_eq!(good.clone().ask(&mut world, Method::ALLOCATE, udp).code, 0);
}

#[test]
fn a_stale_or_stolen_nonce_is_answered_with_a_new_one() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    let stolen = Person { address: at("198.51.100.66:3478"), ..ana.clone() };
    assert_eq!(stolen.clone().ask(&mut world, Method::ALLOCATE, udp).code, 438);

    for _ in 0..6 {
        assert_eq!(ana.ask(&mut world, Method::REFRESH, refresh(600)).code, 0);
        world.pass(599);
    }
    let mut answer = ana.ask(&mut world, Method::REFRESH, refresh(3600));
    assert_eq!(answer.code, 0);
    world.pass(10);
    answer = ana.ask(&mut world, Method::REFRESH, refresh(600));
    assert_eq!(answer.code, 438, "the nonce is an hour old");
    ana.nonce = answer.nonce.unwrap();
    assert_eq!(ana.ask(&mut world, Method::REFRESH, refresh(600)).code, 0, "the allocation is still there");
}

#[test]
fn a_session_outlives_its_credential_and_a_new_secret() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    for _ in 0..3 {
        let answer = ana.ask(&mut world, Method::REFRESH, refresh(3600));
        ana.nonce = answer.nonce.unwrap_or(ana.nonce);
        ana.ask(&mut world, Method::REFRESH, refresh(3600));
        world.pass(3000);
    }
    world.server.set_secret("another".to_owned());
    let answer = ana.ask(&mut world, Method::REFRESH, refresh(600));
    ana.nonce = answer.nonce.unwrap_or(ana.nonce);
    assert_eq!(ana.ask(&mut world, Method::REFRESH, refresh(600)).code, 0, "two hours later");
    // But it opens nothing new.
    let mut again = Person { address: at("198.51.100.7:9999"), nonce: String::new(), ..ana.clone() };
    again.nonce = again.ask(&mut world, Method::ALLOCATE, udp).nonce.unwrap();
    assert_eq!(again.ask(&mut world, Method::ALLOCATE, udp).code, 401);
}

#[test]
fn one_credential_has_so_many_allocations_and_gets_them_back() {
    let mut world = World::new(config());
    let mut people = Vec::new();
    for port in 0..ALLOCATIONS_PER_CREDENTIAL {
        people.push(world.allocated(&format!("198.51.100.7:{}", 5000 + port)).0);
    }
    let mut more = world.person("198.51.100.7:6000");
    assert_eq!(more.ask(&mut world, Method::ALLOCATE, udp).code, 486);
    let mut other = Person { nonce: more.nonce.clone(), ..Person::new("198.51.100.7:6000", "chemistry", UNIX + 60) };
    assert_eq!(other.ask(&mut world, Method::ALLOCATE, udp).code, 0, "another credential is not affected");
    assert_eq!(people[0].ask(&mut world, Method::REFRESH, refresh(0)).code, 0);
    assert_eq!(other.ask(&mut world, Method::REFRESH, refresh(0)).code, 0);
    assert_eq!(more.ask(&mut world, Method::ALLOCATE, udp).code, 0);
    world.pass(601);
    assert_eq!(world.server.allocations(), 0);
    assert!(world.server.by_client.is_empty() && world.server.by_relayed.is_empty());
    assert!(world.server.by_credential.is_empty() && world.server.expiries.is_empty());
    assert_eq!(world.server.deadline(), None);
}

#[test]
fn a_full_server_says_so() {
    let mut world = World::new(Config { ports: 61_000..=61_003, ..config() });
    for room in 0..4 {
        let address = format!("198.51.100.7:{}", 5000 + room);
        world.allocated(&address);
    }
    let mut late = world.person("198.51.100.7:6000");
    assert_eq!(late.ask(&mut world, Method::ALLOCATE, udp).code, 508);
    world.pass(601);
    assert_eq!(late.ask(&mut world, Method::ALLOCATE, udp).code, 0, "ports come back");
}

#[test]
fn allocations_are_asked_for_as_the_rfc_says() {
    let mut world = World::new(config());
    let ana = world.person("198.51.100.7:3478");
    type Ask = for<'b> fn(Builder<'b>) -> Builder<'b>;
    let table: &[(&str, u16, Ask)] = &[
        ("no transport", 400, |b| b),
        ("TCP", 442, |b| b.u32(Kind::REQUESTED_TRANSPORT, 6 << 24)),
        ("a transport of two bytes", 400, |b| b.raw(Kind::REQUESTED_TRANSPORT, &[17, 0])),
        ("DONT-FRAGMENT", 420, |b| b.requested_transport_udp().flag(Kind::DONT_FRAGMENT)),
        ("an unknown attribute", 420, |b| b.requested_transport_udp().u32(Kind(0x7abc), 1)),
        ("an unknown optional attribute", 0, |b| b.requested_transport_udp().u32(Kind(0xfabc), 1)),
        ("a pair of ports", 508, |b| b.requested_transport_udp().raw(Kind::EVEN_PORT, &[0x80])),
        ("an even port", 0, |b| b.requested_transport_udp().raw(Kind::EVEN_PORT, &[0])),
        ("a reservation", 508, |b| b.requested_transport_udp().u64(Kind::RESERVATION_TOKEN, 7)),
        ("a reservation and an even port", 400, |b| {
            b.requested_transport_udp().u64(Kind::RESERVATION_TOKEN, 7).raw(Kind::EVEN_PORT, &[0])
        }),
        ("IPv4", 0, |b| b.requested_transport_udp().raw(Kind::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0])),
        ("IPv6", 0, |b| b.requested_transport_udp().raw(Kind::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0])),
        ("IPv9", 440, |b| b.requested_transport_udp().raw(Kind::REQUESTED_ADDRESS_FAMILY, &[9, 0, 0, 0])),
        ("both", 0, |b| b.requested_transport_udp().raw(Kind::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0])),
        ("both the wrong way", 400, |b| {
            b.requested_transport_udp().raw(Kind::ADDITIONAL_ADDRESS_FAMILY, &[1, 0, 0, 0])
        }),
    ];
    for (name, code, ask) in table {
        let mut person = ana.clone();
        let answer = person.ask(&mut world, Method::ALLOCATE, ask);
        assert_eq!(answer.code, *code, "{name}");
        match code {
            0 => {
                assert_eq!(answer.mapped, Some(ana.address), "{name}");
                assert_eq!(answer.lifetime, Some(600), "{name}");
                if *name == "an even port" {
                    assert_eq!(answer.relayed.unwrap().port() % 2, 0);
                }
                assert_eq!(person.ask(&mut world, Method::REFRESH, refresh(0)).code, 0);
            }
            420 => assert_eq!(answer.unknown.len(), 1, "{name}"),
            _ => assert_eq!(world.server.allocations(), 0, "{name}"),
        }
    }
}

#[test]
fn a_lost_answer_is_given_again_and_a_second_allocation_is_not() {
    let mut world = World::new(config());
    let (mut ana, relayed) = world.allocated("198.51.100.7:3478");
    assert_eq!(ana.ask_again(&mut world, Method::ALLOCATE, udp).relayed, Some(relayed));
    assert_eq!(ana.ask(&mut world, Method::ALLOCATE, udp).code, 437);
    assert_eq!(world.server.allocations(), 1);
    // Somebody else's credential on the same 5-tuple.
    let mut other = Person { nonce: ana.nonce.clone(), ..Person::new("198.51.100.7:3478", "chemistry", UNIX + 60) };
    assert_eq!(other.ask(&mut world, Method::REFRESH, refresh(0)).code, 441);
    assert_eq!(other.permit(&mut world, OWN), 441);
    assert_eq!(world.server.allocations(), 1);
    // And without an allocation there is nothing to refresh.
    let mut nobody = world.person("198.51.100.8:3478");
    assert_eq!(nobody.ask(&mut world, Method::REFRESH, refresh(600)).code, 437);
    assert_eq!(nobody.permit(&mut world, OWN), 437);
}

#[test]
fn lifetimes_are_bounded_and_permissions_and_channels_end() {
    let mut world = World::new(config());
    let (mut ana, relayed) = world.allocated("198.51.100.7:3478");
    for (wanted, given) in [(1, 600), (600, 600), (1200, 1200), (100_000, 3600)] {
        assert_eq!(ana.ask(&mut world, Method::REFRESH, refresh(wanted)).lifetime, Some(given));
    }
    assert_eq!(ana.bind(&mut world, 0x4000, OWN), 0);
    world.pass(299);
    assert!(world.server.from_self(relayed, at(OWN), 1, world.now).is_some());
    world.pass(2);
    assert_eq!(world.server.from_self(relayed, at(OWN), 1, world.now), None, "the permission is over");
    assert!(world.send(ana.address, &channel(0x4000, b"x")).is_some(), "the channel is not");
    assert_eq!(ana.permit(&mut world, OWN), 0);
    assert!(world.server.from_self(relayed, at(OWN), 1, world.now).is_some());
    world.pass(300);
    assert_eq!(world.send(ana.address, &channel(0x4000, b"x")), None, "now the channel is over, too");
    world.pass(3600);
    assert!(!world.server.is_relayed(relayed));
    assert_eq!(world.server.from_self(relayed, at(OWN), 1, world.now), None);
    assert_eq!(world.dropped("turn_no_allocation"), 1);
}

#[test]
fn a_channel_and_its_peer_belong_together() {
    let mut world = World::new(config());
    let (mut ana, _) = world.allocated("198.51.100.7:3478");
    let (_, ben) = world.allocated("198.51.100.8:3478");
    let ben = ben.to_string();
    assert_eq!(ana.bind(&mut world, 0x4000, OWN), 0);
    assert_eq!(ana.bind(&mut world, 0x4000, OWN), 0, "again");
    assert_eq!(ana.bind(&mut world, 0x4001, OWN), 400, "the peer has another number");
    assert_eq!(ana.bind(&mut world, 0x4000, &ben), 400, "the number has another peer");
    assert_eq!(ana.bind(&mut world, 0x4001, &ben), 0);
    for number in [0, 0x3fff, 0x8000, 0xffff] {
        assert_eq!(ana.bind(&mut world, number, OWN), 400, "{number:x}");
    }
}

#[test]
fn permissions_are_all_or_none_and_bounded() {
    let mut world = World::new(Config { allowed: vec!["203.0.113.0/24".parse().unwrap()], ..config() });
    let (mut ana, relayed) = world.allocated("198.51.100.7:3478");
    let (good, bad) = (at("203.0.113.1:1"), at("198.18.0.1:1"));
    let answer = ana.ask(&mut world, Method::CREATE_PERMISSION, |b| {
        b.xor_address(Kind::XOR_PEER_ADDRESS, good).xor_address(Kind::XOR_PEER_ADDRESS, bad)
    });
    assert_eq!(answer.code, 403);
    assert!(world.server.from_peer(relayed, good, 1, world.now).is_none(), "none of them was permitted");
    assert_eq!(ana.ask(&mut world, Method::CREATE_PERMISSION, |b| b).code, 400, "no peer at all");
    for host in 0..32 {
        assert_eq!(ana.permit(&mut world, &format!("203.0.113.{host}:1")), 0);
    }
    assert_eq!(ana.permit(&mut world, "203.0.113.200:1"), 508);
    assert_eq!(ana.permit(&mut world, "203.0.113.3:1"), 0, "one that it has is no new one");
    world.pass(301);
    assert_eq!(ana.permit(&mut world, "203.0.113.200:1"), 0, "old ones make room");
}

#[test]
fn who_signs_with_sha256_is_answered_with_it() {
    let mut world = World::new(config());
    let mut ana = world.person("198.51.100.7:3478");
    ana.sha256 = true;
    assert_eq!(ana.ask(&mut world, Method::ALLOCATE, udp).code, 0);
    assert_eq!(ana.permit(&mut world, OWN), 0);
}

#[test]
fn forged_sources_get_few_and_small_answers() {
    let mut world = World::new(config());
    let victim = at("203.0.113.66:53");
    let mut out = [0; 64];
    let len = Builder::new(&mut out, Class::Request, Method::ALLOCATE, Transaction([1; 12]))
        .requested_transport_udp()
        .finish()
        .unwrap();
    let (mut answers, mut bytes) = (0, 0);
    for _ in 0..100_000 {
        world.send(victim, &out[..len]);
        if let Some(answer) = world.answer() {
            (answers, bytes) = (answers + 1, bytes + answer.len());
        }
    }
    assert_eq!(answers, 512);
    assert!(bytes / answers < 140, "a challenge has {} bytes", bytes / answers);
    assert_eq!(world.dropped("turn_over_budget"), 100_000 - 512);
    assert_eq!(world.server.allocations(), 0);
    // Somebody else still gets in.
    world.allocated("198.51.100.7:3478");
}

#[test]
fn what_is_not_turn_is_counted_and_not_answered() {
    let mut world = World::new(config());
    let mut response = [0; 64];
    let len = Builder::new(&mut response, Class::Success, Method::ALLOCATE, Transaction([1; 12])).finish().unwrap();
    world.send(at("203.0.113.66:53"), &response[..len]);
    let len = Builder::new(&mut response, Class::Request, Method(0x0aa), Transaction([1; 12])).finish().unwrap();
    world.send(at("203.0.113.66:53"), &response[..len]);
    assert_eq!(world.dropped("turn_unexpected"), 2);
    for garbage in [&b""[..], b"\x00", b"\x40\x00\x00", b"\x40\x00\xff\xff", &[0; HEADER_BYTES], b"\xff\xff"] {
        world.send(at("203.0.113.66:53"), garbage);
    }
    assert_eq!(world.dropped("turn_malformed"), 6);
    assert_eq!(world.answer(), None);
}

proptest! {
    /// Whatever a client with a credential says, nothing leaves for an address that is not ours.
    #[test]
    fn nothing_ever_leaves_for_a_stranger(
        peers in proptest::collection::vec((any::<u128>(), any::<u32>(), any::<bool>(), any::<u16>()), 1..20),
        numbers in proptest::collection::vec(any::<u16>(), 20),
    ) {
        let mut world = World::new(config());
        let (mut ana, _) = world.allocated("198.51.100.7:3478");
        ana.permit(&mut world, OWN);
        for ((v6, v4, four, port), number) in peers.into_iter().zip(numbers) {
            let ip = if four { IpAddr::from(v4.to_be_bytes()) } else { IpAddr::from(v6.to_be_bytes()) };
            let peer = SocketAddr::new(ip, port);
            ana.permit(&mut world, &peer.to_string());
            ana.bind(&mut world, number, &peer.to_string());
            for datagram in [ana.indication(peer, b"x"), channel(number, b"x")] {
                match world.send(ana.address, &datagram) {
                    None => {}
                    Some(Relay::ToSelf { own, .. }) => prop_assert_eq!(own, at(OWN)),
                    Some(other) => prop_assert!(false, "{:?}", other),
                }
            }
        }
    }

    /// Mutated requests of a client with an allocation never break the tables' agreement.
    #[test]
    fn tables_agree_after_any_noise(flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..60)) {
        let mut world = World::new(config());
        let (ana, _) = world.allocated("198.51.100.7:3478");
        let request = ana.request(Method::CHANNEL_BIND, |b| {
            b.channel_number(0x4000).xor_address(Kind::XOR_PEER_ADDRESS, at(OWN))
        });
        for (at, value) in flips {
            let mut noisy = request.clone();
            let len = noisy.len();
            noisy[at % len] ^= value;
            world.send(ana.address, &noisy);
            while world.server.poll().is_some() {}
            let count = world.server.allocations();
            prop_assert!(count <= 1);
            prop_assert_eq!(world.server.by_client.len(), count);
            prop_assert_eq!(world.server.by_relayed.len(), count);
            prop_assert_eq!(world.server.expiries.len(), count);
        }
    }
}
