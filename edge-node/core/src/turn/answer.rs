//! What a request is answered with: success with attributes, or one of RFC 8489's and RFC 8656's error codes.

use super::allocation::Client;
use super::{Output, Server, TurnDrop};
use lyceum_wire::stun::{Builder, Class, Kind, Message};
use std::time::Instant;

/// Why a request was not done (RFC 8489 §14.8, RFC 8656 §19). The number is the code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400: something is missing or cannot be.
    BadRequest,
    /// 401, with realm and a nonce: prove yourself.
    Unauthorized,
    /// 403: that peer is not to be reached.
    Forbidden,
    /// 420: an attribute is not known.
    UnknownAttribute,
    /// 437: no allocation, or one too many.
    Mismatch,
    /// 438, with realm and a nonce: the nonce has had its day.
    StaleNonce,
    /// 440: no relayed address of that family here.
    FamilyUnsupported,
    /// 441: the allocation belongs to another credential.
    WrongCredentials,
    /// 442: only UDP is relayed.
    TransportUnsupported,
    /// 443: the peer is of another family than the relayed address.
    FamilyMismatch,
    /// 486: the credential has as many allocations as it may.
    QuotaReached,
    /// 508: the server or the allocation is full.
    InsufficientCapacity,
}

impl Refusal {
    fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::Mismatch => 437,
            Self::StaleNonce => 438,
            Self::FamilyUnsupported => 440,
            Self::WrongCredentials => 441,
            Self::TransportUnsupported => 442,
            Self::FamilyMismatch => 443,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::Mismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::FamilyUnsupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::TransportUnsupported => "Unsupported Transport Protocol",
            Self::FamilyMismatch => "Peer Address Family Mismatch",
            Self::QuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }
}

/// How the client signs, and so how it is answered (RFC 8489 §9.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    Sha1,
    Sha256,
}

/// Whoever proved to have the password.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    pub(super) username: String,
    pub(super) key: [u8; 16],
    pub(super) signature: Signature,
}

impl Proven {
    fn sign<'a>(&self, builder: Builder<'a>) -> Builder<'a> {
        match self.signature {
            Signature::Sha1 => builder.integrity(&self.key),
            Signature::Sha256 => builder.integrity_sha256(&self.key),
        }
    }
}

/// Longest answer: an error with realm, nonce and 16 unknown attributes, or an allocation's success.
const ANSWER_BYTES_MAX: usize = 1024;

impl Server {
    /// Refuses a request of somebody who proved nothing: out of its source's budget, unsigned.
    pub(super) fn refuse_unproven(
        &mut self,
        client: Client,
        message: &Message<'_>,
        refusal: Refusal,
        now: Instant,
    ) -> Result<(), TurnDrop> {
        if !self.budget.take(client.address.ip(), now) {
            return Err(TurnDrop::OverBudget);
        }
        let nonce = self.nonces.make(client.address, now);
        let realm = &self.config.realm;
        let mut out = [0; ANSWER_BYTES_MAX];
        let mut builder = refusing(&mut out, message, refusal);
        if matches!(refusal, Refusal::Unauthorized | Refusal::StaleNonce) {
            builder = builder.text(Kind::REALM, realm).text(Kind::NONCE, &nonce);
        }
        let len = builder.finish().unwrap_or(0);
        self.transmit(client, out.get(..len).unwrap_or(&[]));
        Ok(())
    }

    pub(super) fn refuse(&mut self, client: Client, message: &Message<'_>, proven: &Proven, refusal: Refusal) {
        let mut out = [0; ANSWER_BYTES_MAX];
        let len = proven.sign(refusing(&mut out, message, refusal)).finish().unwrap_or(0);
        self.transmit(client, out.get(..len).unwrap_or(&[]));
    }

    /// Answers that it was done, with what `attributes` adds.
    pub(super) fn accept(
        &mut self,
        client: Client,
        message: &Message<'_>,
        proven: &Proven,
        attributes: impl for<'b> FnOnce(Builder<'b>) -> Builder<'b>,
    ) {
        let mut out = [0; ANSWER_BYTES_MAX];
        let builder = Builder::new(&mut out, Class::Success, message.method, message.transaction);
        let len = proven.sign(attributes(builder)).finish().unwrap_or(0);
        self.transmit(client, out.get(..len).unwrap_or(&[]));
    }

    /// RFC 8489 §6.3.1: answers a Binding request, out of the source's budget.
    pub(super) fn answer_binding(
        &mut self,
        client: Client,
        message: &Message<'_>,
        now: Instant,
    ) -> Result<(), TurnDrop> {
        if !self.budget.take(client.address.ip(), now) {
            return Err(TurnDrop::OverBudget);
        }
        let mut out = [0; ANSWER_BYTES_MAX];
        let len = Builder::new(&mut out, Class::Success, message.method, message.transaction)
            .xor_address(Kind::XOR_MAPPED_ADDRESS, client.address)
            .fingerprint()
            .finish()
            .unwrap_or(0);
        self.transmit(client, out.get(..len).unwrap_or(&[]));
        Ok(())
    }

    fn transmit(&mut self, to: Client, bytes: &[u8]) {
        // Zero length: our own configuration (a realm of a kilobyte) does not fit; silence is the lesser evil.
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Transmit { to, bytes: bytes.to_vec() });
        }
    }
}

fn refusing<'b>(out: &'b mut [u8], message: &Message<'_>, refusal: Refusal) -> Builder<'b> {
    let builder =
        Builder::new(out, Class::Error, message.method, message.transaction).error(refusal.code(), refusal.reason());
    match refusal {
        Refusal::UnknownAttribute => builder.unknown(unknown(message)),
        _ => builder,
    }
}

/// What in a request is not understood here: DONT-FRAGMENT is known but not promised, which RFC 8656 §7.2 (4) wants to be
/// told the same way.
pub(super) fn unknown<'a>(message: &Message<'a>) -> impl Iterator<Item = Kind> + use<'a> {
    let dont_fragment = message.find(Kind::DONT_FRAGMENT).map(|attribute| attribute.kind);
    message.unknown_required().chain(dont_fragment)
}
