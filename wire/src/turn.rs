//! TURN (RFC 8656) besides its STUN messages: ChannelData, keys, and credentials that need no look-up.
//!
//! ```text
//!  0                   1                   2                   3
//! |         channel number        |            length             |
//! |         application data, padded to four bytes on streams only |
//! ```
//!
//! Credentials are those of the TURN REST API draft: user name `{expiry, unix seconds}:{room}`, password
//! `base64(HMAC-SHA1(shared secret, user name))`. Whoever has the secret can check them.

use crate::cursor::{Cursor, Reader};
use crate::id::RoomId;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

pub use crate::cursor::Full;

/// Smallest channel number (RFC 8656 §12).
pub const CHANNEL_MIN: u16 = 0x4000;
/// Largest channel number. RFC 8656 stops at 0x4FFF; clients of RFC 5766 (coturn's among them) choose up to here, and as no
/// QUIC shares a media port (RFC 9443), nothing else begins like that.
pub const CHANNEL_MAX: u16 = 0x7fff;
/// Bytes before the data.
pub const CHANNEL_HEADER_BYTES: usize = 4;

/// Whether a number is one of a channel.
#[inline]
#[must_use]
pub fn is_channel(number: u16) -> bool {
    (CHANNEL_MIN..=CHANNEL_MAX).contains(&number)
}

/// Data for or from the peer that a channel is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// Which channel.
    pub channel: u16,
    /// What for it.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads a datagram. Bytes behind the data are padding, whatever they are (RFC 8656 §12.5); `None` when it is
    /// too short or the number is not one of a channel.
    #[inline]
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let channel = reader.u16().filter(|number| is_channel(*number))?;
        let length = reader.u16()?;
        Some(Self { channel, data: reader.take(usize::from(length))? })
    }

    /// The header that goes in front of `length` bytes of data in a datagram.
    ///
    /// # Errors
    /// [`Full`] when the length does not fit 16 bits.
    #[inline]
    pub fn header(channel: u16, length: usize) -> Result<[u8; CHANNEL_HEADER_BYTES], Full> {
        let [c0, c1] = channel.to_be_bytes();
        let [l0, l1] = u16::try_from(length).map_err(|_| Full)?.to_be_bytes();
        Ok([c0, c1, l0, l1])
    }

    /// Writes it as one datagram, unpadded. Returns the length.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cursor = Cursor::new(out);
        cursor.put(&Self::header(self.channel, self.data.len())?)?;
        cursor.put(self.data)?;
        Ok(cursor.at())
    }

    /// Writes it into a stream: padded to a multiple of four (RFC 8656 §12.5). Returns the length.
    ///
    /// # Errors
    /// [`Full`].
    pub fn write_to_stream(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut cursor = Cursor::new(out);
        cursor.put(&Self::header(self.channel, self.data.len())?)?;
        cursor.put(self.data)?;
        cursor.pad4()?;
        Ok(cursor.at())
    }
}

/// What the front of a stream (TURN over TCP or TLS) holds, and how long it is with its padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A STUN message of this many bytes.
    Message(usize),
    /// ChannelData of this many bytes, padding included.
    Channel(usize),
}

impl Frame {
    /// Looks at the first four bytes; `None` while there are fewer.
    ///
    /// # Errors
    /// The stream is neither: it must be closed.
    pub fn of(stream: &[u8]) -> Result<Option<Self>, NotFramed> {
        let mut reader = Reader::new(stream);
        let (Some(first), Some(length)) = (reader.u16(), reader.u16()) else { return Ok(None) };
        let length = usize::from(length);
        if first & 0xc000 == 0 {
            Ok(Some(Self::Message(length.saturating_add(crate::stun::HEADER_BYTES))))
        } else if is_channel(first) {
            let padded = length.saturating_add(length.wrapping_neg() & 3);
            Ok(Some(Self::Channel(padded.saturating_add(CHANNEL_HEADER_BYTES))))
        } else {
            Err(NotFramed)
        }
    }
}

/// The stream holds neither STUN nor ChannelData.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream holds neither STUN nor ChannelData")]
pub struct NotFramed;

/// A long-term credential's key: MD5 of `user:realm:password` (RFC 8489 §9.2.2).
#[must_use]
pub fn long_term_key(username: &str, realm: &str, password: &str) -> [u8; 16] {
    Md5::new()
        .chain_update(username)
        .chain_update(":")
        .chain_update(realm)
        .chain_update(":")
        .chain_update(password)
        .finalize()
        .into()
}

/// A user name and its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `{expiry}:{room}`.
    pub username: String,
    /// Its HMAC.
    pub password: String,
}

/// What a user name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Seconds since the Unix epoch.
    pub expires_at: u64,
    /// The room it is for: its shard owns the allocation.
    pub room: RoomId,
}

/// Why a user name opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum CredentialError {
    /// Not `{expiry}:{room}`.
    #[error("the user name is not of the form expiry:room")]
    Malformed,
    /// Its time is over.
    #[error("the credential has expired")]
    Expired,
}

/// Makes a credential for a room.
#[must_use]
pub fn credential(secret: &str, room: &RoomId, expires_at: u64) -> Credential {
    let username = format!("{expires_at}:{room}");
    let password = password(secret, &username);
    Credential { username, password }
}

/// The password of a user name.
#[must_use]
pub fn password(secret: &str, username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    STANDARD.encode(hmac::sign(&key, username.as_bytes()))
}

/// Reads a user name and compares its expiry with the time. The signature of the message proves the password.
///
/// # Errors
/// [`CredentialError`].
pub fn check(username: &str, now_unix: u64) -> Result<Grant, CredentialError> {
    let (expiry, room) = username.split_once(':').ok_or(CredentialError::Malformed)?;
    // Digits only: `u64::from_str` would take a sign, and two spellings of one name would share a quota.
    if !expiry.bytes().all(|byte| byte.is_ascii_digit()) || expiry.starts_with('0') {
        return Err(CredentialError::Malformed);
    }
    let expires_at = expiry.parse().map_err(|_| CredentialError::Malformed)?;
    let room = RoomId::parse(room).map_err(|_| CredentialError::Malformed)?;
    if now_unix >= expires_at { Err(CredentialError::Expired) } else { Ok(Grant { expires_at, room }) }
}

#[cfg(test)]
mod tests;
