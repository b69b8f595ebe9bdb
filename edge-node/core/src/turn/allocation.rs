//! One client's relayed address, and whom it may talk to through it.

use lyceum_wire::stun::Transaction;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// A permission lives this long after it was last asked for (RFC 8656 §9).
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// A channel lives this long after it was last asked for (RFC 8656 §12).
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Peers one allocation may have permissions for: an ICE agent has one per remote address, and ours has few.
pub(super) const PERMISSIONS_MAX: usize = 32;
/// Channels of one allocation.
pub(super) const CHANNELS_MAX: usize = 32;

/// Where a client is: its address, and the one of ours that it talks to. With UDP as the only transport, its 5-tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Client {
    /// The client's transport address as we see it.
    pub address: SocketAddr,
    /// Our address it sends to and hears from.
    pub local: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) client: Client,
    pub(super) relayed: SocketAddr,
    /// Who made it: all further requests must come from the same (RFC 8656 §5: 441).
    pub(super) username: String,
    /// Signs what is said about it. Kept, so that a session outlives its credential and a change of the secret.
    pub(super) key: [u8; 16],
    pub(super) expires: Instant,
    /// The request that made it: the same one again gets the same answer (RFC 8656 §7.2).
    pub(super) made_by: Transaction,
    /// A real socket was asked for.
    pub(super) open: bool,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
}

#[derive(Debug)]
struct Permission {
    peer: IpAddr,
    expires: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

/// Why a permission or channel was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The number stands for another peer, or the peer has another number.
    Taken,
    /// The allocation has as many as it may.
    Full,
}

impl Allocation {
    pub(super) fn new(
        client: Client,
        relayed: SocketAddr,
        username: &str,
        key: [u8; 16],
        made_by: Transaction,
        expires: Instant,
    ) -> Self {
        Self {
            client,
            relayed,
            username: username.to_owned(),
            key,
            expires,
            made_by,
            open: false,
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Whether this peer may be heard.
    pub(super) fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions.iter().any(|permission| permission.peer == peer && permission.expires > now)
    }

    /// Whether all of these peers could get a permission now.
    pub(super) fn has_room_for(&mut self, peers: &[SocketAddr], now: Instant) -> bool {
        self.permissions.retain(|permission| permission.expires > now);
        let new = peers
            .iter()
            .enumerate()
            .filter(|(index, peer)| {
                let again = peers.iter().take(*index).any(|earlier| earlier.ip() == peer.ip());
                !again && !self.permissions.iter().any(|permission| permission.peer == peer.ip())
            })
            .count();
        self.permissions.len() + new <= PERMISSIONS_MAX
    }

    /// Lets a peer be heard, or goes on letting it.
    pub(super) fn permit(&mut self, peer: IpAddr, now: Instant) {
        let expires = now + PERMISSION_LIFETIME;
        match self.permissions.iter_mut().find(|permission| permission.peer == peer) {
            Some(permission) => permission.expires = expires,
            None => self.permissions.push(Permission { peer, expires }),
        }
    }

    /// The peer that a channel number stands for.
    pub(super) fn peer_of(&self, number: u16, now: Instant) -> Option<SocketAddr> {
        self.channels.iter().find(|channel| channel.number == number && channel.expires > now).map(|c| c.peer)
    }

    /// The channel number that stands for a peer.
    pub(super) fn channel_of(&self, peer: SocketAddr, now: Instant) -> Option<u16> {
        self.channels.iter().find(|channel| channel.peer == peer && channel.expires > now).map(|c| c.number)
    }

    /// Binds a number to a peer, or goes on with it (RFC 8656 §12.2).
    pub(super) fn bind(&mut self, number: u16, peer: SocketAddr, now: Instant) -> Result<(), Refused> {
        self.channels.retain(|channel| channel.expires > now);
        if self.channels.iter().any(|channel| (channel.number == number) != (channel.peer == peer)) {
            return Err(Refused::Taken);
        }
        let expires = now + CHANNEL_LIFETIME;
        let count = self.channels.len();
        match self.channels.iter_mut().find(|channel| channel.number == number) {
            Some(channel) => channel.expires = expires,
            None if count == CHANNELS_MAX => return Err(Refused::Full),
            None => self.channels.push(Channel { number, peer, expires }),
        }
        Ok(())
    }
}
