//! What several targets need: inputs cut into steps, and a TURN client that signs what the fuzzer dictates.

use lyceum_wire::id::RoomId;
use lyceum_wire::stun::{Builder, Class, Kind, Message, Method, Transaction};
use lyceum_wire::turn;

/// Cuts an input into steps: each begins with its length in one byte. The last one may be shorter.
pub fn steps(mut input: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = input.split_first()?;
        let (step, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        input = rest;
        Some(step)
    })
}

/// Shared secret of the servers that are fuzzed.
pub const TURN_SECRET: &str = "secret";
/// Their realm.
pub const REALM: &str = "lyceum";
/// Their wall clock, seconds.
pub const UNIX: u64 = 1_800_000_000;

/// A TURN client with a good credential.
pub struct TurnClient {
    username: String,
    key: [u8; 16],
    /// As the server last gave it.
    pub nonce: String,
}

impl Default for TurnClient {
    fn default() -> Self {
        let room = RoomId::parse("room").expect("a name");
        let credential = turn::credential(TURN_SECRET, &room, UNIX + 3600);
        let key = turn::long_term_key(&credential.username, REALM, &credential.password);
        Self { username: credential.username, key, nonce: String::new() }
    }
}

impl TurnClient {
    /// A request with the attributes that `script` says (kind, length, value, again), signed once there is a nonce.
    pub fn request(&self, script: &[u8]) -> Vec<u8> {
        let (method, script) = script.split_first().unwrap_or((&0, &[]));
        let methods =
            [Method::ALLOCATE, Method::REFRESH, Method::CREATE_PERMISSION, Method::CHANNEL_BIND, Method::BINDING];
        let method = methods[usize::from(*method) % methods.len()];
        let mut out = vec![0; 2048];
        let transaction = Transaction([*script.first().unwrap_or(&0); 12]);
        let mut builder = Builder::new(&mut out, Class::Request, method, transaction);
        let mut rest = script;
        while let [kind, len, tail @ ..] = rest {
            let (value, tail) = tail.split_at(usize::from(*len & 31).min(tail.len()));
            // Most kinds that matter are below 0x30; the top bit leads to the optional ones.
            let kind = u16::from(*kind & 0x7f) | u16::from(*kind & 0x80) << 8;
            builder = builder.raw(Kind(kind), value);
            rest = tail;
        }
        if !self.nonce.is_empty() {
            builder = builder
                .text(Kind::USERNAME, &self.username)
                .text(Kind::REALM, REALM)
                .text(Kind::NONCE, &self.nonce)
                .integrity(&self.key);
        }
        let len = builder.finish().unwrap_or(0);
        out.truncate(len);
        out
    }

    /// Learns the nonce of an answer.
    pub fn learn(&mut self, answer: &[u8]) {
        if let Ok(message) = Message::parse(answer)
            && let Ok(Some(nonce)) = message.nonce()
        {
            self.nonce = nonce.to_owned();
        }
    }
}

/// What a browser offers: cameras, a microphone, slots, data.
pub const OFFER: &str = include_str!("../../session/tests/golden/chromium-156-class.sdp");

/// The value of the first `a={name}:` line.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> Option<&'a str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
}

/// A connectivity check as the offerer would send it.
pub fn check(server_ufrag: &str, server_pwd: &str, client_ufrag: &str, nominate: bool, transaction: u8) -> Vec<u8> {
    let mut out = vec![0; 512];
    let username = format!("{server_ufrag}:{client_ufrag}");
    let mut builder = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([transaction; 12]))
        .text(Kind::USERNAME, &username)
        .u64(Kind::ICE_CONTROLLING, 7)
        .u32(Kind::PRIORITY, 0x6e00_01ff);
    if nominate {
        builder = builder.flag(Kind::USE_CANDIDATE);
    }
    let len = builder.integrity(server_pwd.as_bytes()).fingerprint().finish().unwrap_or(0);
    out.truncate(len);
    out
}
