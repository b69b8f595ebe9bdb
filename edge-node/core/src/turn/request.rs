//! Requests: who asks, what for, and whether it is done (RFC 8656 §7, §8, §10, §12).

use super::allocation::{Allocation, Client, Refused};
use super::answer::{Proven, Refusal, Signature, unknown};
use super::{
    ALLOCATIONS_MAX, ALLOCATIONS_PER_CREDENTIAL, LIFETIME_DEFAULT, LIFETIME_MAX, Output, Server, TurnDrop, budget,
    plain,
};
use lyceum_wire::stun::{self, Family, Kind, Message, Method};
use lyceum_wire::turn;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Peers in one CreatePermission request at most: as many as an allocation may permit.
const PEERS_MAX: usize = super::allocation::PERMISSIONS_MAX;
/// UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

impl From<stun::Error> for Refusal {
    /// A malformed attribute is a bad request, whichever it is.
    fn from(_: stun::Error) -> Self {
        Self::BadRequest
    }
}

impl Server {
    pub(super) fn request(&mut self, client: Client, message: &Message<'_>, now: Instant) -> Result<(), TurnDrop> {
        match message.method {
            Method::BINDING if message.unknown_required().next().is_some() => {
                self.refuse_unproven(client, message, Refusal::UnknownAttribute, now)
            }
            Method::BINDING => self.answer_binding(client, message, now),
            Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND => {
                match self.prove(client, message, now) {
                    Ok(proven) => {
                        if let Err(refusal) = self.perform(client, message, &proven, now) {
                            self.refuse(client, message, &proven, refusal);
                        }
                        Ok(())
                    }
                    Err(refusal) => self.refuse_unproven(client, message, refusal, now),
                }
            }
            _ => Err(TurnDrop::Unexpected),
        }
    }

    /// RFC 8489 §9.2.4, in its order.
    fn prove(&self, client: Client, message: &Message<'_>, now: Instant) -> Result<Proven, Refusal> {
        let signature = if message.find(Kind::MESSAGE_INTEGRITY).is_some() {
            Signature::Sha1
        } else if message.find(Kind::MESSAGE_INTEGRITY_SHA256).is_some() {
            Signature::Sha256
        } else {
            return Err(Refusal::Unauthorized);
        };
        let username = message.username()?.ok_or(Refusal::BadRequest)?;
        message.realm()?.ok_or(Refusal::BadRequest)?;
        let nonce = message.nonce()?.ok_or(Refusal::BadRequest)?;
        if !self.nonces.fresh(nonce, client.address, now) {
            return Err(Refusal::StaleNonce);
        }
        let standing = self.by_client.get(&client).and_then(|key| self.allocations.get(*key));
        let key = match standing.filter(|allocation| allocation.username == username) {
            // A session outlives the credential it began with.
            Some(allocation) => allocation.key,
            None => {
                turn::check(username, self.now_unix(now)).map_err(|_| Refusal::Unauthorized)?;
                let password = turn::password(&self.config.secret, username);
                turn::long_term_key(username, &self.config.realm, &password)
            }
        };
        let verified = match signature {
            Signature::Sha1 => message.verify(&key),
            Signature::Sha256 => message.verify_sha256(&key),
        };
        verified.map_err(|_| Refusal::Unauthorized)?;
        Ok(Proven { username: username.to_owned(), key, signature })
    }

    fn perform(&mut self, client: Client, message: &Message<'_>, proven: &Proven, now: Instant) -> Result<(), Refusal> {
        if unknown(message).next().is_some() {
            return Err(Refusal::UnknownAttribute);
        }
        let standing = self.by_client.get(&client).copied();
        if message.method == Method::ALLOCATE {
            return self.allocate(client, message, proven, standing, now);
        }
        let key = standing.ok_or(Refusal::Mismatch)?;
        let allocation = self.allocations.get(key).ok_or(Refusal::Mismatch)?;
        if allocation.username != proven.username {
            return Err(Refusal::WrongCredentials);
        }
        match message.method {
            Method::REFRESH => self.refresh(client, message, proven, key, now),
            Method::CREATE_PERMISSION => self.create_permission(client, message, proven, key, now),
            _ => self.channel_bind(client, message, proven, key, now),
        }
    }

    /// RFC 8656 §7.2, in its order.
    fn allocate(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        standing: Option<u32>,
        now: Instant,
    ) -> Result<(), Refusal> {
        if let Some(allocation) = standing.and_then(|key| self.allocations.get(key)) {
            // The answer was lost and the request sent again.
            if allocation.made_by != message.transaction || allocation.username != proven.username {
                return Err(Refusal::Mismatch);
            }
            let key = standing.unwrap_or_default();
            return self.accept_allocation(client, message, proven, key, now);
        }
        if message.requested_transport()?.ok_or(Refusal::BadRequest)? != UDP {
            return Err(Refusal::TransportUnsupported);
        }
        let even_port = message.even_port()?;
        let family = message.address_family(Kind::REQUESTED_ADDRESS_FAMILY)?;
        let second_family = message.address_family(Kind::ADDITIONAL_ADDRESS_FAMILY)?;
        if message.reservation_token()?.is_some() {
            // No port is ever reserved here, so no token is ours.
            let contradicts = even_port.is_some() || family.is_some() || second_family.is_some();
            return Err(if contradicts { Refusal::BadRequest } else { Refusal::InsufficientCapacity });
        }
        if let Some(second) = second_family
            && (second != Family::V6 || family.is_some() || even_port == Some(true))
        {
            return Err(Refusal::BadRequest);
        }
        if even_port == Some(true) {
            return Err(Refusal::InsufficientCapacity);
        }
        let ip = self.relay_ip(family.unwrap_or(Family::V4)).ok_or(Refusal::FamilyUnsupported)?;
        if self.by_credential.get(&proven.username).is_some_and(|count| *count >= ALLOCATIONS_PER_CREDENTIAL) {
            return Err(Refusal::QuotaReached);
        }
        let relayed = self.free_address(ip, even_port.is_some()).ok_or(Refusal::InsufficientCapacity)?;

        let expires = now + lifetime(message.lifetime()?);
        let allocation = Allocation::new(client, relayed, &proven.username, proven.key, message.transaction, expires);
        let key = self.allocations.insert(allocation);
        self.by_client.insert(client, key);
        self.by_relayed.insert(relayed, key);
        *self.by_credential.entry(proven.username.clone()).or_default() += 1;
        self.expiries.insert((expires, key));
        self.accept_allocation(client, message, proven, key, now)
    }

    fn accept_allocation(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        key: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let allocation = self.allocations.get(key).ok_or(Refusal::Mismatch)?;
        let (relayed, left) = (allocation.relayed, allocation.expires.saturating_duration_since(now).as_secs());
        let second = message.find(Kind::ADDITIONAL_ADDRESS_FAMILY).is_some();
        self.accept(client, message, proven, |builder| {
            let builder = builder
                .xor_address(Kind::XOR_RELAYED_ADDRESS, relayed)
                .u32(Kind::LIFETIME, u32::try_from(left).unwrap_or(u32::MAX))
                .xor_address(Kind::XOR_MAPPED_ADDRESS, client.address);
            // One relayed address per allocation: the second family is refused, the first one stands (RFC 8656 §7.2).
            if second { builder.raw(Kind::ADDRESS_ERROR_CODE, &[2, 0, 4, 40]) } else { builder }
        });
        Ok(())
    }

    /// RFC 8656 §8.2.
    fn refresh(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        key: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let wanted = message.lifetime()?;
        let family = message.address_family(Kind::REQUESTED_ADDRESS_FAMILY)?;
        let allocation = self.allocations.get_mut(key).ok_or(Refusal::Mismatch)?;
        if family.is_some_and(|family| family != family_of(allocation.relayed.ip())) {
            return Err(Refusal::FamilyMismatch);
        }
        let lifetime = match wanted {
            Some(0) => Duration::ZERO,
            wanted => lifetime(wanted),
        };
        if lifetime.is_zero() {
            self.free(key);
        } else {
            self.expiries.remove(&(allocation.expires, key));
            allocation.expires = now + lifetime;
            self.expiries.insert((allocation.expires, key));
        }
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        self.accept(client, message, proven, |builder| builder.u32(Kind::LIFETIME, seconds));
        Ok(())
    }

    /// RFC 8656 §10.2: all peers or none.
    fn create_permission(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        key: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let mut peers = Vec::new();
        for peer in message.peer_addresses() {
            if peers.len() == PEERS_MAX {
                return Err(Refusal::InsufficientCapacity);
            }
            peers.push(plain(peer?));
        }
        if peers.is_empty() {
            return Err(Refusal::BadRequest);
        }
        let family = self.allocations.get(key).map(|allocation| family_of(allocation.relayed.ip()));
        if peers.iter().any(|peer| Some(family_of(peer.ip())) != family) {
            return Err(Refusal::FamilyMismatch);
        }
        if !peers.iter().all(|peer| self.is_own(peer.ip()) || self.outside_allowed(peer.ip())) {
            return Err(Refusal::Forbidden);
        }
        let allocation = self.allocations.get_mut(key).ok_or(Refusal::Mismatch)?;
        if !allocation.has_room_for(&peers, now) {
            return Err(Refusal::InsufficientCapacity);
        }
        for peer in &peers {
            allocation.permit(peer.ip(), now);
        }
        if peers.iter().any(|peer| self.outside_allowed(peer.ip())) {
            self.open(key);
        }
        self.accept(client, message, proven, |builder| builder);
        Ok(())
    }

    /// RFC 8656 §12.2.
    fn channel_bind(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        key: u32,
        now: Instant,
    ) -> Result<(), Refusal> {
        let number = message.channel_number()?.ok_or(Refusal::BadRequest)?;
        let peer = plain(message.xor_address(Kind::XOR_PEER_ADDRESS)?.ok_or(Refusal::BadRequest)?);
        let family = self.allocations.get(key).map(|allocation| family_of(allocation.relayed.ip()));
        if Some(family_of(peer.ip())) != family {
            return Err(Refusal::FamilyMismatch);
        }
        let route = self.route(peer).ok_or(Refusal::Forbidden)?;
        let outside = matches!(route, super::Route::Outside);
        let allocation = self.allocations.get_mut(key).ok_or(Refusal::Mismatch)?;
        if !allocation.has_room_for(&[peer], now) {
            return Err(Refusal::InsufficientCapacity);
        }
        allocation.bind(number, peer, now).map_err(|refused| match refused {
            Refused::Taken => Refusal::BadRequest,
            Refused::Full => Refusal::InsufficientCapacity,
        })?;
        // Binding a channel permits its peer, too.
        allocation.permit(peer.ip(), now);
        if outside {
            self.open(key);
        }
        self.accept(client, message, proven, |builder| builder);
        Ok(())
    }

    /// Asks for a real socket, once per allocation.
    fn open(&mut self, key: u32) {
        if let Some(allocation) = self.allocations.get_mut(key)
            && !allocation.open
        {
            allocation.open = true;
            self.outputs.push_back(Output::Open { relayed: allocation.relayed });
        }
    }

    fn relay_ip(&self, family: Family) -> Option<IpAddr> {
        self.config.own.iter().map(SocketAddr::ip).find(|ip| family_of(*ip) == family)
    }

    /// A relayed address that nobody has: from a place the seed decides, the next free one.
    fn free_address(&mut self, ip: IpAddr, even: bool) -> Option<SocketAddr> {
        if self.allocations.len() >= ALLOCATIONS_MAX {
            return None;
        }
        let (first, last) = (u32::from(*self.config.ports.start()), u32::from(*self.config.ports.end()));
        let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
        self.counter += 1;
        let start = budget::mix(self.budget.seed(), self.counter) % u64::from(count);
        (0..count)
            .map(|step| first + (u32::try_from(start).unwrap_or(0) + step) % count)
            .filter(|port| !even || port % 2 == 0)
            .map(|port| SocketAddr::new(ip, u16::try_from(port).unwrap_or(0)))
            .find(|address| !self.by_relayed.contains_key(address) && !self.config.own.contains(address))
    }
}

/// RFC 8656 §7.2: the client's wish, but no shorter than the default and no longer than the maximum.
fn lifetime(wanted: Option<u32>) -> Duration {
    let wanted = wanted.map_or(LIFETIME_DEFAULT, |seconds| Duration::from_secs(u64::from(seconds)));
    wanted.clamp(LIFETIME_DEFAULT, LIFETIME_MAX)
}

fn family_of(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::V4 } else { Family::V6 }
}
