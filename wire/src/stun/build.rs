//! Writing STUN messages.

use super::attribute::address_bytes;
use super::{Class, FINGERPRINT_XOR, Full, HEADER_BYTES, Kind, MAGIC_COOKIE, Method, Transaction, join, sign};
use crate::cursor::Cursor;
use aws_lc_rs::hmac;
use std::net::SocketAddr;

/// Writes a message into a caller's buffer, attribute by attribute. What does not fit is told once, by
/// [`Builder::finish`].
///
/// ```
/// # use lyceum_wire::stun::*;
/// let mut out = [0; 128];
/// let len = Builder::new(&mut out, Class::Request, Method::BINDING, Transaction([7; 12]))
///     .text(Kind::USERNAME, "theirs:ours")
///     .u32(Kind::PRIORITY, 0x6e00_01ff)
///     .integrity(b"their password")
///     .fingerprint()
///     .finish()?;
/// let message = Message::parse(&out[..len]).expect("what was written can be read");
/// assert_eq!(message.verify(b"their password"), Ok(()));
/// assert_eq!(message.fingerprint(), Some(true));
/// # Ok::<(), Full>(())
/// ```
#[derive(Debug)]
pub struct Builder<'a> {
    cursor: Cursor<'a>,
    transaction: Transaction,
    full: bool,
}

impl<'a> Builder<'a> {
    /// Starts a message at the front of `out`.
    #[must_use]
    pub fn new(out: &'a mut [u8], class: Class, method: Method, transaction: Transaction) -> Self {
        let mut cursor = Cursor::new(out);
        let full = cursor
            .u16(join(class, method))
            .and_then(|()| cursor.u16(0))
            .and_then(|()| cursor.u32(MAGIC_COOKIE))
            .and_then(|()| cursor.put(&transaction.0))
            .is_err();
        Self { cursor, transaction, full }
    }

    /// Adds an attribute by its bytes.
    #[must_use]
    pub fn raw(mut self, kind: Kind, value: &[u8]) -> Self {
        let at = self.cursor.at();
        if self.put(kind, value).is_err() {
            self.full = true;
            self.cursor.rewind(at);
        }
        self
    }

    /// Adds an attribute without a value, such as USE-CANDIDATE.
    #[must_use]
    pub fn flag(self, kind: Kind) -> Self {
        self.raw(kind, &[])
    }

    /// Adds a number of 32 bits.
    #[must_use]
    pub fn u32(self, kind: Kind, value: u32) -> Self {
        self.raw(kind, &value.to_be_bytes())
    }

    /// Adds a number of 64 bits.
    #[must_use]
    pub fn u64(self, kind: Kind, value: u64) -> Self {
        self.raw(kind, &value.to_be_bytes())
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, kind: Kind, value: &str) -> Self {
        self.raw(kind, value.as_bytes())
    }

    /// Adds an XORed address.
    #[must_use]
    pub fn xor_address(self, kind: Kind, address: SocketAddr) -> Self {
        let (bytes, len) = address_bytes(address, Some(self.transaction));
        self.raw(kind, bytes.get(..len).unwrap_or(&[]))
    }

    /// Adds CHANNEL-NUMBER.
    #[must_use]
    pub fn channel_number(self, channel: u16) -> Self {
        self.u32(Kind::CHANNEL_NUMBER, u32::from(channel) << 16)
    }

    /// Adds REQUESTED-TRANSPORT for UDP.
    #[must_use]
    pub fn requested_transport_udp(self) -> Self {
        self.u32(Kind::REQUESTED_TRANSPORT, 17 << 24)
    }

    /// Adds ERROR-CODE; `code` is 300 to 699.
    #[must_use]
    pub fn error(self, code: u16, reason: &str) -> Self {
        let digits = |n: u16| u8::try_from(n).unwrap_or(0);
        let mut value = [0; 64];
        let mut cursor = Cursor::new(&mut value);
        // A reason too long for the buffer is left out: the code says what machines need.
        let _ =
            cursor.put(&[0, 0, digits(code / 100), digits(code % 100)]).and_then(|()| cursor.put(reason.as_bytes()));
        let len = cursor.at();
        self.raw(Kind::ERROR_CODE, value.get(..len).unwrap_or(&[]))
    }

    /// Adds UNKNOWN-ATTRIBUTES with at most 16 kinds.
    #[must_use]
    pub fn unknown(self, kinds: impl Iterator<Item = Kind>) -> Self {
        let mut value = [0; 32];
        let mut cursor = Cursor::new(&mut value);
        for kind in kinds.take(16) {
            let _ = cursor.u16(kind.0);
        }
        let len = cursor.at();
        self.raw(Kind::UNKNOWN_ATTRIBUTES, value.get(..len).unwrap_or(&[]))
    }

    /// Signs what was written so far (HMAC-SHA1). Only a fingerprint may follow.
    #[must_use]
    pub fn integrity(self, key: &[u8]) -> Self {
        self.signed(Kind::MESSAGE_INTEGRITY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 20, key)
    }

    /// Signs what was written so far (HMAC-SHA256). Only a fingerprint may follow.
    #[must_use]
    pub fn integrity_sha256(self, key: &[u8]) -> Self {
        self.signed(Kind::MESSAGE_INTEGRITY_SHA256, hmac::HMAC_SHA256, 32, key)
    }

    fn signed(mut self, kind: Kind, algorithm: hmac::Algorithm, bytes: usize, key: &[u8]) -> Self {
        match sign(self.cursor.written(), bytes, algorithm, key) {
            Some(tag) => self.raw(kind, tag.as_ref()),
            None => {
                self.full = true;
                self
            }
        }
    }

    /// Adds the checksum; the last attribute.
    #[must_use]
    pub fn fingerprint(mut self) -> Self {
        // The length in the header counts the fingerprint in.
        self.write_length(8);
        let crc = crc32fast::hash(self.cursor.written()) ^ FINGERPRINT_XOR;
        self.u32(Kind::FINGERPRINT, crc)
    }

    /// Returns the length of the message.
    ///
    /// # Errors
    /// [`Full`] when anything did not fit.
    pub fn finish(mut self) -> Result<usize, Full> {
        self.write_length(0);
        if self.full { Err(Full) } else { Ok(self.cursor.at()) }
    }

    fn put(&mut self, kind: Kind, value: &[u8]) -> Result<(), Full> {
        self.cursor.u16(kind.0)?;
        self.cursor.u16(u16::try_from(value.len()).map_err(|_| Full)?)?;
        self.cursor.put(value)?;
        self.cursor.pad4()
    }

    fn write_length(&mut self, more: usize) {
        let length = self.cursor.at().saturating_sub(HEADER_BYTES).saturating_add(more);
        match u16::try_from(length) {
            Ok(length) => self.cursor.patch(2, &length.to_be_bytes()),
            Err(_) => self.full = true,
        }
    }
}
