//! Connectivity checks as bytes (RFC 8445 §7).

use super::Credentials;
use crate::drops::DropReason;
use bytes::Bytes;
use lyceum_wire::stun::{Builder, Class, Kind, Message, Method, Transaction};
use std::net::SocketAddr;

/// Room for any check: a user name of two times 256 characters is the most of it.
const CHECK_BYTES_MAX: usize = 768;

/// Reads a STUN message and proves its FINGERPRINT, which ICE demands (RFC 8445 §7.1).
pub(super) fn read(datagram: &[u8]) -> Result<Message<'_>, DropReason> {
    let message = Message::parse(datagram).map_err(|_| DropReason::StunMalformed)?;
    if message.fingerprint() != Some(true) {
        return Err(DropReason::StunFingerprint);
    }
    if message.method != Method::BINDING {
        return Err(DropReason::StunUnexpected);
    }
    Ok(message)
}

/// A check from the controlling side.
pub(super) struct Request<'a> {
    pub(super) transaction: Transaction,
    pub(super) local: &'a Credentials,
    pub(super) remote: &'a Credentials,
    pub(super) priority: u32,
    pub(super) tie_breaker: u64,
    pub(super) nominate: bool,
}

impl Request<'_> {
    pub(super) fn write(&self) -> Bytes {
        let user = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        write(Class::Request, self.transaction, &self.remote.pwd, |builder| {
            let builder = builder
                .text(Kind::USERNAME, &user)
                .u32(Kind::PRIORITY, self.priority)
                .u64(Kind::ICE_CONTROLLING, self.tie_breaker);
            if self.nominate { builder.flag(Kind::USE_CANDIDATE) } else { builder }
        })
    }
}

/// "I see you at this address."
pub(super) fn success(request: &Message<'_>, seen: SocketAddr, pwd: &str) -> Bytes {
    write(Class::Success, request.transaction, pwd, |b| b.xor_address(Kind::XOR_MAPPED_ADDRESS, seen))
}

/// Role conflict (RFC 8445 §7.3.1.1): "you are the controlling one."
pub(super) fn conflict(request: &Message<'_>, pwd: &str) -> Bytes {
    write(Class::Error, request.transaction, pwd, |b| b.error(487, "Role Conflict"))
}

/// "I do not understand these attributes, and must" (RFC 8489 §6.3.1).
pub(super) fn unknown(request: &Message<'_>, pwd: &str) -> Bytes {
    write(Class::Error, request.transaction, pwd, |b| {
        b.error(420, "Unknown Attribute").unknown(request.unknown_required())
    })
}

fn write(
    class: Class,
    transaction: Transaction,
    pwd: &str,
    fill: impl for<'b> FnOnce(Builder<'b>) -> Builder<'b>,
) -> Bytes {
    let mut out = [0; CHECK_BYTES_MAX];
    let builder = fill(Builder::new(&mut out, class, Method::BINDING, transaction));
    // Nothing here is too long, credentials are bounded where they are read; if it were, no datagram is better than half of one.
    let bytes = builder.integrity(pwd.as_bytes()).fingerprint().finish().unwrap_or(0);
    Bytes::copy_from_slice(out.get(..bytes).unwrap_or_default())
}
