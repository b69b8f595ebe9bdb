//! The TURN server of a shard (RFC 8656 over UDP): for clients whose network lets them reach only this one port.
//!
//! ```text
//!                       Send, ChannelData                       ToSelf: to a media address of this node
//!   client ──────────────────────────────▶ allocation ───────▶ ToClient: to another allocation of this server
//!   (address, our address)                 (relayed address)    ToPeer: outside, only where the operator allows it
//!          ◀──────────────────────────────            ◀─────── from_self, from_peer
//!                       Data, ChannelData
//! ```
//!
//! The peer is nearly always this node's own media socket, so relayed packets never leave the process: a relayed address
//! is a name (the node's IP, a port of a range that no socket is bound to), and a datagram for one of our own media
//! addresses is handed back as a value. Only for peers that the operator lists is a real socket asked for, by
//! [`Output::Open`]. Credentials are the control plane's (`lyceum_wire::turn`), checked without a look-up; nonces are
//! signed, not stored; who has not proved itself gets a bounded number of answers.
//!
//! Two speeds: relaying returns a [`Relay`] from the call, everything else leaves by [`Server::poll`].

mod allocation;
mod answer;
mod budget;
mod nonce;
mod peer;
mod relay;
mod request;

use crate::drops::reasons;
use crate::slab::Slab;
use allocation::Allocation;
use budget::Budget;
use lyceum_wire::demux;
use lyceum_wire::stun::{Class, Kind, Message, Method, Transaction};
use lyceum_wire::turn::ChannelData;
use nonce::Nonces;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub use allocation::Client;
pub use peer::{Network, NotANetwork, canonical};
pub use relay::{Relay, ToClient, Wrap};

/// Allocations of one shard at most: as many as it takes participants. Each is below 4 KiB with everything it may hold.
pub const ALLOCATIONS_MAX: usize = 4_000;
/// Allocations of one credential at most: a browser makes one per interface and address family, twice while it restarts ICE.
pub const ALLOCATIONS_PER_CREDENTIAL: u32 = 16;
/// An allocation lives this long unless asked otherwise (RFC 8656 §3.2).
pub const LIFETIME_DEFAULT: Duration = Duration::from_secs(600);
/// An allocation lives at most this long without being refreshed (RFC 8656 §7.2).
pub const LIFETIME_MAX: Duration = Duration::from_secs(3600);
/// Ports of relayed addresses: above what Linux hands out by itself, so that a name is never somebody's real address.
pub const PORTS: RangeInclusive<u16> = 61_000..=65_535;

/// What the server is told when it is made.
#[derive(Debug, Clone)]
pub struct Config {
    /// Realm of the credentials.
    pub realm: String,
    /// Shared secret of the credentials.
    pub secret: String,
    /// This shard's own media addresses: the peers that everybody may reach. The IPs of relayed addresses are theirs.
    pub own: Vec<SocketAddr>,
    /// Media addresses of the node's other shards, which everybody may reach as well.
    pub siblings: Vec<(u8, Vec<SocketAddr>)>,
    /// Networks outside that clients may reach; none by default.
    pub allowed: Vec<Network>,
    /// Ports of relayed addresses, [`PORTS`] by default. No other shard of the node has the same.
    pub ports: RangeInclusive<u16>,
    /// Keys the nonces and places the ports.
    pub seed: [u8; 32],
}

/// What the server wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Transmit {
        /// To whom.
        to: Client,
        /// What.
        bytes: Vec<u8>,
    },
    /// Bind a real socket to this relayed address: its client may talk to a peer outside.
    Open {
        /// The address.
        relayed: SocketAddr,
    },
    /// Close that socket.
    Close {
        /// The address.
        relayed: SocketAddr,
    },
}

reasons! {
    /// Why something that came to TURN, or through it, went no further.
    TurnDrop, TurnDrops {
        /// Not STUN and not ChannelData, or cut short.
        Malformed => "turn_malformed",
        /// An answer, or a method that is not TURN's.
        Unexpected => "turn_unexpected",
        /// The source has used up its unproven requests.
        OverBudget => "turn_over_budget",
        /// ChannelData or a Send indication from a client without an allocation.
        NoAllocation => "turn_no_allocation",
        /// ChannelData on a channel that is not bound.
        NoChannel => "turn_no_channel",
        /// To or from a peer without a permission.
        NoPermission => "turn_no_permission",
        /// To a peer that clients may not reach.
        PeerDenied => "turn_peer_denied",
        /// Asks not to be fragmented, which is not promised here (RFC 8656 §11.2).
        DontFragment => "turn_dont_fragment",
        /// Too long to be wrapped.
        TooLong => "turn_too_long",
    }
}

/// The TURN and STUN server of one shard.
#[derive(Debug)]
pub struct Server {
    config: Config,
    nonces: Nonces,
    budget: Budget,
    wall: WallClock,
    allocations: Slab<Allocation>,
    by_client: HashMap<Client, u32>,
    by_relayed: HashMap<SocketAddr, u32>,
    by_credential: BTreeMap<String, u32>,
    expiries: BTreeSet<(Instant, u32)>,
    /// Counts ports tried and indications sent.
    counter: u64,
    outputs: VecDeque<Output>,
    drops: TurnDrops,
}

/// The wall clock, as it was last told.
#[derive(Debug, Clone, Copy)]
struct WallClock {
    unix_ms: u64,
    at: Instant,
}

/// How a peer is reached.
enum Route {
    Own,
    Shard(u8),
    Sibling(u32),
    Outside,
}

impl Server {
    /// A server without allocations. `unix_ms`: the wall clock at `now`.
    #[must_use]
    pub fn new(config: Config, unix_ms: u64, now: Instant) -> Self {
        Self {
            nonces: Nonces::new(&config.seed, now),
            budget: Budget::new(&config.seed, now),
            config,
            wall: WallClock { unix_ms, at: now },
            allocations: Slab::new(),
            by_client: HashMap::new(),
            by_relayed: HashMap::new(),
            by_credential: BTreeMap::new(),
            expiries: BTreeSet::new(),
            counter: 0,
            outputs: VecDeque::new(),
            drops: TurnDrops::default(),
        }
    }

    /// A datagram that no participant claims: STUN or ChannelData that came from `from` to our address `to`.
    pub fn handle(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8], now: Instant) -> Option<Relay> {
        let client = Client { address: from, local: to };
        let taken = match demux::Class::of(datagram) {
            Some(demux::Class::Channel) => self.channel_data(client, datagram, now).map(Some),
            Some(demux::Class::Stun) => self.message(client, datagram, now),
            _ => Err(TurnDrop::Malformed),
        };
        self.counted(taken).flatten()
    }

    /// Something goes from our media address `own` to a relayed address. Wraps it for the client behind.
    pub fn from_self(
        &mut self,
        relayed: SocketAddr,
        own: SocketAddr,
        payload_len: usize,
        now: Instant,
    ) -> Option<ToClient> {
        let found = self.by_relayed.get(&relayed).copied().ok_or(TurnDrop::NoAllocation);
        let wrapped = found.and_then(|key| self.wrapped(key, own, payload_len, now));
        self.counted(wrapped)
    }

    /// Something came from a peer outside to the real socket of a relayed address. Wraps it for the client behind.
    pub fn from_peer(
        &mut self,
        relayed: SocketAddr,
        peer: SocketAddr,
        payload_len: usize,
        now: Instant,
    ) -> Option<ToClient> {
        let peer = plain(peer);
        let found = self.by_relayed.get(&relayed).copied().ok_or(TurnDrop::NoAllocation);
        let wrapped = found.and_then(|key| match self.outside_allowed(peer.ip()) {
            true => self.wrapped(key, peer, payload_len, now),
            false => Err(TurnDrop::PeerDenied),
        });
        self.counted(wrapped)
    }

    /// Whether this is the relayed address of a standing allocation: what goes there goes by [`Server::from_self`].
    #[must_use]
    pub fn is_relayed(&self, address: SocketAddr) -> bool {
        self.by_relayed.contains_key(&address)
    }

    /// The shared secret changed. Allocations that stand go on.
    pub fn set_secret(&mut self, secret: String) {
        self.config.secret = secret;
    }

    /// What the wall clock says now.
    pub fn wall_clock(&mut self, unix_ms: u64, now: Instant) {
        self.wall = WallClock { unix_ms, at: now };
    }

    /// What is to be done, until `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Server::wake`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Time has passed: allocations that nobody refreshed end.
    pub fn wake(&mut self, now: Instant) {
        while let Some((at, key)) = self.expiries.first().copied()
            && at <= now
        {
            self.free(key);
        }
    }

    /// Allocations that stand.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.allocations.len()
    }

    /// How often each drop happened, by its name in metrics.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.drops.iter().map(|(reason, count)| (reason.name(), count))
    }

    fn counted<T>(&mut self, result: Result<T, TurnDrop>) -> Option<T> {
        result.map_err(|reason| self.drops.count(reason)).ok()
    }

    fn channel_data(&mut self, client: Client, datagram: &[u8], now: Instant) -> Result<Relay, TurnDrop> {
        let data = ChannelData::parse(datagram).ok_or(TurnDrop::Malformed)?;
        let key = *self.by_client.get(&client).ok_or(TurnDrop::NoAllocation)?;
        let allocation = self.allocations.get(key).ok_or(TurnDrop::NoAllocation)?;
        let peer = allocation.peer_of(data.channel, now).ok_or(TurnDrop::NoChannel)?;
        self.relay(key, peer, 4..4 + data.data.len(), now)
    }

    fn message(&mut self, client: Client, datagram: &[u8], now: Instant) -> Result<Option<Relay>, TurnDrop> {
        let message = Message::parse(datagram).map_err(|_| TurnDrop::Malformed)?;
        if message.fingerprint() == Some(false) {
            return Err(TurnDrop::Malformed);
        }
        match (message.class, message.method) {
            (Class::Indication, Method::SEND) => self.send(client, &message, now).map(Some),
            // Keeps a binding of an address translator alive; wants no answer.
            (Class::Indication, Method::BINDING) => Ok(None),
            (Class::Request, _) => self.request(client, &message, now).map(|()| None),
            _ => Err(TurnDrop::Unexpected),
        }
    }

    /// RFC 8656 §11.2.
    fn send(&mut self, client: Client, message: &Message<'_>, now: Instant) -> Result<Relay, TurnDrop> {
        let key = *self.by_client.get(&client).ok_or(TurnDrop::NoAllocation)?;
        let allocation = self.allocations.get(key).ok_or(TurnDrop::NoAllocation)?;
        let peer = message.xor_address(Kind::XOR_PEER_ADDRESS).ok().flatten().ok_or(TurnDrop::Malformed)?;
        let data = message.find(Kind::DATA).ok_or(TurnDrop::Malformed)?;
        if message.find(Kind::DONT_FRAGMENT).is_some() {
            return Err(TurnDrop::DontFragment);
        }
        let peer = plain(peer);
        if !allocation.permits(peer.ip(), now) {
            return Err(TurnDrop::NoPermission);
        }
        self.relay(key, peer, data.range(), now)
    }

    fn relay(
        &mut self,
        from: u32,
        peer: SocketAddr,
        payload: std::ops::Range<usize>,
        now: Instant,
    ) -> Result<Relay, TurnDrop> {
        let relayed = self.allocations.get(from).ok_or(TurnDrop::NoAllocation)?.relayed;
        match self.route(peer).ok_or(TurnDrop::PeerDenied)? {
            Route::Own => Ok(Relay::ToSelf { relayed, own: peer, payload }),
            Route::Shard(shard) => Ok(Relay::ToShard { shard, relayed, own: peer, payload }),
            Route::Sibling(key) => {
                let ToClient { to, wrap } = self.wrapped(key, relayed, payload.len(), now)?;
                Ok(Relay::ToClient { to, wrap, payload })
            }
            Route::Outside => Ok(Relay::ToPeer { relayed, peer, payload }),
        }
    }

    /// RFC 8656 §11.3 and §12.7: by the peer's channel if it has one, else as a Data indication.
    fn wrapped(&mut self, key: u32, peer: SocketAddr, payload_len: usize, now: Instant) -> Result<ToClient, TurnDrop> {
        let allocation = self.allocations.get(key).ok_or(TurnDrop::NoAllocation)?;
        if !allocation.permits(peer.ip(), now) {
            return Err(TurnDrop::NoPermission);
        }
        let to = allocation.client;
        let wrap = match allocation.channel_of(peer, now) {
            Some(number) => Wrap::channel(number, payload_len),
            None => Wrap::indication(peer, payload_len, self.transaction()),
        };
        wrap.map(|wrap| ToClient { to, wrap }).ok_or(TurnDrop::TooLong)
    }

    fn route(&self, peer: SocketAddr) -> Option<Route> {
        if self.config.own.contains(&peer) {
            return Some(Route::Own);
        }
        if let Some((shard, _)) = self.config.siblings.iter().find(|(_, own)| own.contains(&peer)) {
            return Some(Route::Shard(*shard));
        }
        if let Some(key) = self.by_relayed.get(&peer) {
            return Some(Route::Sibling(*key));
        }
        (peer.port() != 0 && self.outside_allowed(peer.ip())).then_some(Route::Outside)
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        self.config.own.iter().any(|own| own.ip() == ip)
    }

    fn outside_allowed(&self, ip: IpAddr) -> bool {
        peer::outside_allowed(&self.config.allowed, ip, self.is_own(ip))
    }

    fn transaction(&mut self) -> Transaction {
        self.counter += 1;
        let mut id = [0; 12];
        id[..4].copy_from_slice(&self.config.seed[..4]);
        id[4..].copy_from_slice(&self.counter.to_be_bytes());
        Transaction(id)
    }

    fn now_unix(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.wall.at);
        self.wall.unix_ms / 1000 + since.as_secs()
    }

    fn free(&mut self, key: u32) {
        let Some(allocation) = self.allocations.remove(key) else { return };
        self.expiries.remove(&(allocation.expires, key));
        self.by_client.remove(&allocation.client);
        self.by_relayed.remove(&allocation.relayed);
        if let Some(count) = self.by_credential.get_mut(&allocation.username) {
            *count -= 1;
            if *count == 0 {
                self.by_credential.remove(&allocation.username);
            }
        }
        if allocation.open {
            self.outputs.push_back(Output::Close { relayed: allocation.relayed });
        }
    }
}

/// An address in its one form, see [`canonical`].
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(address.ip()), address.port())
}

#[cfg(test)]
mod tests;
