//! STUN messages (RFC 8489), for ICE (RFC 8445) and TURN (RFC 8656).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0 0| method and class, mixed   |        length behind header   |
//! |                  magic cookie 0x2112A442                      |
//! |                  transaction id, 96 bits                      |
//! +---------------------------------------------------------------+
//! |        attribute kind         |      length of its value      |
//! |        value, padded to a multiple of four with anything      |
//! ```
//!
//! In: one datagram. Out: a [`Message`] whose attribute chain is known to be whole; values are read by typed methods that
//! tell "absent" from "malformed". [`Builder`] writes into a caller's buffer.

mod attribute;
mod build;

use crate::cursor::Reader;
use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

pub use crate::cursor::Full;
pub use attribute::{ErrorCode, Family};
pub use build::Builder;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 20;
/// Second word of every message.
pub const MAGIC_COOKIE: u32 = 0x2112_a442;
/// Most attributes of one message: twice what the busiest honest one (TURN over ICE) has.
pub const ATTRIBUTES_MAX: usize = 32;
/// Largest message written by us, in bytes: fits the smallest IPv6 MTU.
pub const MESSAGE_BYTES_MAX: usize = 1200;

/// Why bytes are not a STUN message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// Shorter than the header, or a length that is not the datagram's.
    #[error("the length is not that of the datagram")]
    Length,
    /// The first two bits or the cookie are wrong: something else, or RFC 3489.
    #[error("not a STUN message")]
    NotStun,
    /// An attribute reaches over the end, or there are more than [`ATTRIBUTES_MAX`].
    #[error("the attributes do not fit into the message")]
    Attributes,
    /// An attribute's value is not what its kind needs.
    #[error("the value of attribute {0:?} is malformed")]
    Malformed(Kind),
}

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum IntegrityError {
    /// No integrity attribute of the asked kind.
    #[error("the message is not signed")]
    Missing,
    /// Made with another key, or changed on its way.
    #[error("the signature is wrong")]
    Wrong,
}

/// Request, indication or answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// Answers that it was done.
    Success,
    /// Answers why it was not.
    Error,
}

/// What is asked. Methods of other RFCs are carried as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(pub u16);

impl Method {
    /// Which address do you see? And ICE's connectivity check.
    pub const BINDING: Self = Self(0x001);
    /// TURN: a relayed address, please.
    pub const ALLOCATE: Self = Self(0x003);
    /// TURN: keep it, or give it back.
    pub const REFRESH: Self = Self(0x004);
    /// TURN: send this to that peer.
    pub const SEND: Self = Self(0x006);
    /// TURN: this came from that peer.
    pub const DATA: Self = Self(0x007);
    /// TURN: that peer may send to me.
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// TURN: a short name for that peer.
    pub const CHANNEL_BIND: Self = Self(0x009);
}

/// Number that ties an answer to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transaction(pub [u8; 12]);

/// Kind of an attribute. Below 0x8000 a receiver must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

/// One attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its bytes without padding.
    pub value: &'a [u8],
    /// Where it starts in the message.
    at: usize,
}

impl Attribute<'_> {
    /// Where its value is in the message.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        let start = self.at.saturating_add(4);
        start..start.saturating_add(self.value.len())
    }
}

/// A message whose outer shape is right.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Request, indication or answer.
    pub class: Class,
    /// Of what.
    pub method: Method,
    /// Which one.
    pub transaction: Transaction,
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a datagram that is one whole message.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::NotStun`] or [`Error::Attributes`].
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(datagram);
        let kind = reader.u16().ok_or(Error::Length)?;
        let length = reader.u16().ok_or(Error::Length)?;
        let cookie = reader.u32().ok_or(Error::Length)?;
        let transaction = reader.array().ok_or(Error::Length)?;
        if kind & 0xc000 != 0 || cookie != MAGIC_COOKIE {
            return Err(Error::NotStun);
        }
        if length & 3 != 0 || usize::from(length) != reader.rest().len() {
            return Err(Error::Length);
        }
        let (class, method) = split(kind);
        let message = Self { class, method, transaction: Transaction(transaction), bytes: datagram };
        let mut walk = message.attributes();
        if walk.by_ref().count() > ATTRIBUTES_MAX || !walk.rest.is_empty() {
            return Err(Error::Attributes);
        }
        Ok(message)
    }

    /// The whole message.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All attributes in order, also those behind the signature.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        let rest = self.bytes.get(HEADER_BYTES..).unwrap_or(&[]);
        Attributes { rest, at: HEADER_BYTES }
    }

    /// The first attribute of a kind. What stands behind a signature is not signed and not found, but for the other
    /// signature and the fingerprint (RFC 8489 §14.5).
    #[must_use]
    pub fn find(&self, kind: Kind) -> Option<Attribute<'a>> {
        let trailer =
            |kind| matches!(kind, Kind::MESSAGE_INTEGRITY | Kind::MESSAGE_INTEGRITY_SHA256 | Kind::FINGERPRINT);
        let mut signed = false;
        for attribute in self.attributes() {
            if attribute.kind == kind && (!signed || trailer(kind)) {
                return Some(attribute);
            }
            signed |= matches!(attribute.kind, Kind::MESSAGE_INTEGRITY | Kind::MESSAGE_INTEGRITY_SHA256);
        }
        None
    }

    /// All attributes of a kind that stand before a signature.
    pub fn find_all(&self, kind: Kind) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.attributes()
            .take_while(|a| !matches!(a.kind, Kind::MESSAGE_INTEGRITY | Kind::MESSAGE_INTEGRITY_SHA256))
            .filter(move |a| a.kind == kind)
    }

    /// Kinds that must be understood but are not (RFC 8489 §6.3.1): a request that has any is answered by 420.
    pub fn unknown_required(&self) -> impl Iterator<Item = Kind> + use<'a> {
        self.attributes().map(|a| a.kind).filter(|kind| kind.0 < 0x8000 && !kind.known())
    }

    /// Checks MESSAGE-INTEGRITY (HMAC-SHA1). The key is the ICE password, or [`crate::turn::long_term_key`].
    ///
    /// # Errors
    /// [`IntegrityError`].
    pub fn verify(&self, key: &[u8]) -> Result<(), IntegrityError> {
        self.verify_with(Kind::MESSAGE_INTEGRITY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 20..=20, key)
    }

    /// Checks MESSAGE-INTEGRITY-SHA256, which may be cut to 16 bytes (RFC 8489 §14.6).
    ///
    /// # Errors
    /// [`IntegrityError`].
    pub fn verify_sha256(&self, key: &[u8]) -> Result<(), IntegrityError> {
        self.verify_with(Kind::MESSAGE_INTEGRITY_SHA256, hmac::HMAC_SHA256, 16..=32, key)
    }

    fn verify_with(
        &self,
        kind: Kind,
        algorithm: hmac::Algorithm,
        lengths: std::ops::RangeInclusive<usize>,
        key: &[u8],
    ) -> Result<(), IntegrityError> {
        let signature = self.find(kind).ok_or(IntegrityError::Missing)?;
        if !lengths.contains(&signature.value.len()) || signature.value.len() & 3 != 0 {
            return Err(IntegrityError::Wrong);
        }
        let signed = self.bytes.get(..signature.at).unwrap_or(&[]);
        let tag = sign(signed, signature.value.len(), algorithm, key).ok_or(IntegrityError::Wrong)?;
        let tag = tag.as_ref().get(..signature.value.len()).ok_or(IntegrityError::Wrong)?;
        if bool::from(tag.ct_eq(signature.value)) { Ok(()) } else { Err(IntegrityError::Wrong) }
    }

    /// Checks FINGERPRINT: `None` without one, else whether it is the last attribute and right (RFC 8489 §14.7).
    #[must_use]
    pub fn fingerprint(&self) -> Option<bool> {
        let attribute = self.find(Kind::FINGERPRINT)?;
        let last = attribute.at.saturating_add(8) == self.bytes.len();
        let covered = self.bytes.get(..attribute.at).unwrap_or(&[]);
        Some(last && attribute.value == (crc32fast::hash(covered) ^ FINGERPRINT_XOR).to_be_bytes())
    }
}

/// Attributes of a message, in order.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let mut reader = Reader::new(self.rest);
        let kind = Kind(reader.u16()?);
        let length = usize::from(reader.u16()?);
        let value = reader.take(length)?;
        reader.take(length.wrapping_neg() & 3)?;
        let attribute = Attribute { kind, value, at: self.at };
        self.at = self.at.saturating_add(self.rest.len().saturating_sub(reader.rest().len()));
        self.rest = reader.rest();
        Some(attribute)
    }
}

/// HMAC of a message up to its signature, with the length that counts the signature in (RFC 8489 §14.5).
fn sign(signed: &[u8], signature_bytes: usize, algorithm: hmac::Algorithm, key: &[u8]) -> Option<hmac::Tag> {
    let length = signed.len().checked_sub(HEADER_BYTES)?.checked_add(4)?.checked_add(signature_bytes)?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    context.update(signed.get(..2)?);
    context.update(&u16::try_from(length).ok()?.to_be_bytes());
    context.update(signed.get(4..)?);
    Some(context.sign())
}

/// Takes method and class apart (RFC 8489 §5, figure 3).
fn split(kind: u16) -> (Class, Method) {
    let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    (class, Method(kind & 0x000f | (kind & 0x00e0) >> 1 | (kind & 0x3e00) >> 2))
}

fn join(class: Class, method: Method) -> u16 {
    let bits = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    bits | method.0 & 0x000f | (method.0 & 0x0070) << 1 | (method.0 & 0x0f80) << 2
}

const FINGERPRINT_XOR: u32 = 0x5354_554e;

#[cfg(test)]
mod tests;
