//! Attributes of STUN, ICE and TURN: their numbers, and their values with every length checked.

use super::{Error, Kind, MAGIC_COOKIE, Message, Transaction};
use crate::cursor::Reader;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Kind {
    /// RFC 8489 §14.1.
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// RFC 8489 §14.3.
    pub const USERNAME: Self = Self(0x0006);
    /// RFC 8489 §14.5.
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    /// RFC 8489 §14.8.
    pub const ERROR_CODE: Self = Self(0x0009);
    /// RFC 8489 §14.13.
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000a);
    /// RFC 8656 §18.1.
    pub const CHANNEL_NUMBER: Self = Self(0x000c);
    /// RFC 8656 §18.2.
    pub const LIFETIME: Self = Self(0x000d);
    /// RFC 8656 §18.3.
    pub const XOR_PEER_ADDRESS: Self = Self(0x0012);
    /// RFC 8656 §18.4.
    pub const DATA: Self = Self(0x0013);
    /// RFC 8489 §14.9.
    pub const REALM: Self = Self(0x0014);
    /// RFC 8489 §14.10.
    pub const NONCE: Self = Self(0x0015);
    /// RFC 8656 §18.5.
    pub const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    /// RFC 8656 §18.6.
    pub const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    /// RFC 8656 §18.7.
    pub const EVEN_PORT: Self = Self(0x0018);
    /// RFC 8656 §18.8.
    pub const REQUESTED_TRANSPORT: Self = Self(0x0019);
    /// RFC 8656 §18.9.
    pub const DONT_FRAGMENT: Self = Self(0x001a);
    /// RFC 8489 §14.6.
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001c);
    /// RFC 8489 §14.12.
    pub const PASSWORD_ALGORITHM: Self = Self(0x001d);
    /// RFC 8489 §14.4.
    pub const USERHASH: Self = Self(0x001e);
    /// RFC 8489 §14.2.
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    /// RFC 8656 §18.10.
    pub const RESERVATION_TOKEN: Self = Self(0x0022);
    /// RFC 8445 §16.1.
    pub const PRIORITY: Self = Self(0x0024);
    /// RFC 8445 §16.1.
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// RFC 8656 §18.11.
    pub const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// RFC 8656 §18.12.
    pub const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    /// RFC 8489 §14.11.
    pub const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    /// RFC 8489 §14.14.
    pub const SOFTWARE: Self = Self(0x8022);
    /// RFC 8489 §14.7.
    pub const FINGERPRINT: Self = Self(0x8028);
    /// RFC 8445 §16.1.
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    /// RFC 8445 §16.1.
    pub const ICE_CONTROLLING: Self = Self(0x802a);

    /// Whether this module knows the kind.
    #[must_use]
    pub fn known(self) -> bool {
        matches!(
            self,
            Self::MAPPED_ADDRESS
                | Self::USERNAME
                | Self::MESSAGE_INTEGRITY
                | Self::ERROR_CODE
                | Self::UNKNOWN_ATTRIBUTES
                | Self::CHANNEL_NUMBER
                | Self::LIFETIME
                | Self::XOR_PEER_ADDRESS
                | Self::DATA
                | Self::REALM
                | Self::NONCE
                | Self::XOR_RELAYED_ADDRESS
                | Self::REQUESTED_ADDRESS_FAMILY
                | Self::EVEN_PORT
                | Self::REQUESTED_TRANSPORT
                | Self::DONT_FRAGMENT
                | Self::MESSAGE_INTEGRITY_SHA256
                | Self::PASSWORD_ALGORITHM
                | Self::USERHASH
                | Self::XOR_MAPPED_ADDRESS
                | Self::RESERVATION_TOKEN
                | Self::PRIORITY
                | Self::USE_CANDIDATE
                | Self::ADDITIONAL_ADDRESS_FAMILY
                | Self::ADDRESS_ERROR_CODE
                | Self::PASSWORD_ALGORITHMS
                | Self::SOFTWARE
                | Self::FINGERPRINT
                | Self::ICE_CONTROLLED
                | Self::ICE_CONTROLLING
        )
    }
}

/// Address family of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4, 0x01.
    V4,
    /// IPv6, 0x02.
    V6,
    /// Anything else.
    Other(u8),
}

impl Family {
    fn of(byte: u8) -> Self {
        match byte {
            1 => Self::V4,
            2 => Self::V6,
            other => Self::Other(other),
        }
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300 to 699.
    pub code: u16,
    /// For people.
    pub reason: &'a str,
}

/// Longest user name, in bytes (RFC 8489 §14.3: fewer than 509).
const USERNAME_BYTES_MAX: usize = 508;
/// Longest realm, nonce and reason, in bytes (RFC 8489 §14.8–10: fewer than 128 characters, 763 bytes).
const TEXT_BYTES_MAX: usize = 763;

/// Typed values. Each is `Ok(None)` when the attribute is absent and [`Error::Malformed`] when its value cannot be.
#[allow(clippy::missing_errors_doc, reason = "one sentence above says it for all")]
impl<'a> Message<'a> {
    fn value<T>(&self, kind: Kind, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>, Error> {
        match self.find(kind) {
            None => Ok(None),
            Some(attribute) => read(attribute.value).map(Some).ok_or(Error::Malformed(kind)),
        }
    }

    fn text(&self, kind: Kind, bytes_max: usize) -> Result<Option<&'a str>, Error> {
        self.value(kind, |value| std::str::from_utf8(value).ok().filter(|text| text.len() <= bytes_max))
    }

    fn u32(&self, kind: Kind) -> Result<Option<u32>, Error> {
        self.value(kind, |value| value.try_into().ok().map(u32::from_be_bytes))
    }

    fn u64(&self, kind: Kind) -> Result<Option<u64>, Error> {
        self.value(kind, |value| value.try_into().ok().map(u64::from_be_bytes))
    }

    /// USERNAME. In ICE `{their ufrag}:{our ufrag}`, read from the receiver's side: its own comes first.
    pub fn username(&self) -> Result<Option<&'a str>, Error> {
        self.text(Kind::USERNAME, USERNAME_BYTES_MAX)
    }

    /// REALM.
    pub fn realm(&self) -> Result<Option<&'a str>, Error> {
        self.text(Kind::REALM, TEXT_BYTES_MAX)
    }

    /// NONCE.
    pub fn nonce(&self) -> Result<Option<&'a str>, Error> {
        self.text(Kind::NONCE, TEXT_BYTES_MAX)
    }

    /// SOFTWARE.
    pub fn software(&self) -> Result<Option<&'a str>, Error> {
        self.text(Kind::SOFTWARE, TEXT_BYTES_MAX)
    }

    /// PRIORITY.
    pub fn priority(&self) -> Result<Option<u32>, Error> {
        self.u32(Kind::PRIORITY)
    }

    /// USE-CANDIDATE: the controlling side nominates this pair.
    pub fn use_candidate(&self) -> bool {
        self.find(Kind::USE_CANDIDATE).is_some()
    }

    /// ICE-CONTROLLING: its tie-breaker.
    pub fn ice_controlling(&self) -> Result<Option<u64>, Error> {
        self.u64(Kind::ICE_CONTROLLING)
    }

    /// ICE-CONTROLLED: its tie-breaker.
    pub fn ice_controlled(&self) -> Result<Option<u64>, Error> {
        self.u64(Kind::ICE_CONTROLLED)
    }

    /// XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS from an old server.
    pub fn mapped_address(&self) -> Result<Option<SocketAddr>, Error> {
        match self.xor_address(Kind::XOR_MAPPED_ADDRESS)? {
            Some(address) => Ok(Some(address)),
            None => self.value(Kind::MAPPED_ADDRESS, |value| address(value, None)),
        }
    }

    /// An XORed address of the given kind.
    pub fn xor_address(&self, kind: Kind) -> Result<Option<SocketAddr>, Error> {
        self.value(kind, |value| address(value, Some(self.transaction)))
    }

    /// All XOR-PEER-ADDRESSes, each checked.
    pub fn peer_addresses(&self) -> impl Iterator<Item = Result<SocketAddr, Error>> + use<'a> {
        let transaction = self.transaction;
        let malformed = Error::Malformed(Kind::XOR_PEER_ADDRESS);
        self.find_all(Kind::XOR_PEER_ADDRESS).map(move |a| address(a.value, Some(transaction)).ok_or(malformed))
    }

    /// ERROR-CODE.
    pub fn error_code(&self) -> Result<Option<ErrorCode<'a>>, Error> {
        self.value(Kind::ERROR_CODE, |value| {
            let mut reader = Reader::new(value);
            let [_, _, class, number] = reader.array()?;
            let class = class & 7;
            let reason = std::str::from_utf8(reader.rest()).ok()?;
            if !(3..=6).contains(&class) || number > 99 || reason.len() > TEXT_BYTES_MAX {
                return None;
            }
            Some(ErrorCode { code: u16::from(class).checked_mul(100)?.checked_add(u16::from(number))?, reason })
        })
    }

    /// LIFETIME, in seconds.
    pub fn lifetime(&self) -> Result<Option<u32>, Error> {
        self.u32(Kind::LIFETIME)
    }

    /// CHANNEL-NUMBER, in its allowed range, see [`crate::turn::is_channel`].
    pub fn channel_number(&self) -> Result<Option<u16>, Error> {
        self.value(Kind::CHANNEL_NUMBER, |value| match *value {
            [a, b, _, _] => Some(u16::from_be_bytes([a, b])).filter(|n| crate::turn::is_channel(*n)),
            _ => None,
        })
    }

    /// DATA.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.find(Kind::DATA).map(|attribute| attribute.value)
    }

    /// REQUESTED-TRANSPORT: a protocol number, 17 for UDP.
    pub fn requested_transport(&self) -> Result<Option<u8>, Error> {
        self.value(Kind::REQUESTED_TRANSPORT, |value| match *value {
            [protocol, _, _, _] => Some(protocol),
            _ => None,
        })
    }

    /// REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY.
    pub fn address_family(&self, kind: Kind) -> Result<Option<Family>, Error> {
        self.value(kind, |value| match *value {
            [family, _, _, _] => Some(Family::of(family)),
            _ => None,
        })
    }

    /// EVEN-PORT: whether the next higher port should be reserved, too.
    pub fn even_port(&self) -> Result<Option<bool>, Error> {
        self.value(Kind::EVEN_PORT, |value| match *value {
            [bits] => Some(bits & 0x80 != 0),
            // RFC 8656 says one byte, its predecessor's clients pad it to four.
            [bits, _, _, _] => Some(bits & 0x80 != 0),
            _ => None,
        })
    }

    /// RESERVATION-TOKEN.
    pub fn reservation_token(&self) -> Result<Option<u64>, Error> {
        self.u64(Kind::RESERVATION_TOKEN)
    }

    /// UNKNOWN-ATTRIBUTES of an error 420.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = Kind> + use<'a> {
        let value = self.find(Kind::UNKNOWN_ATTRIBUTES).map_or(&[][..], |attribute| attribute.value);
        value.as_chunks::<2>().0.iter().map(|pair| Kind(u16::from_be_bytes(*pair)))
    }
}

/// `| 0 | family | port | address |`, port and address XORed with the cookie and the transaction (RFC 8489 §14.2).
fn address(value: &[u8], xor: Option<Transaction>) -> Option<SocketAddr> {
    let mut reader = Reader::new(value);
    let [_, family] = reader.array()?;
    let port = reader.u16()?;
    let mask = mask(xor);
    let port = port ^ port_mask(xor);
    let ip = match Family::of(family) {
        Family::V4 => {
            let [m0, m1, m2, m3, ..] = mask.to_be_bytes();
            let address = reader.u32()? ^ u32::from_be_bytes([m0, m1, m2, m3]);
            IpAddr::V4(Ipv4Addr::from(address))
        }
        Family::V6 => IpAddr::V6(Ipv6Addr::from(u128::from_be_bytes(reader.array()?) ^ mask)),
        Family::Other(_) => return None,
    };
    reader.is_empty().then(|| SocketAddr::new(ip, port))
}

fn mask(xor: Option<Transaction>) -> u128 {
    match xor {
        None => 0,
        Some(Transaction([a, b, c, d, e, f, g, h, i, j, k, l])) => {
            let [m0, m1, m2, m3] = MAGIC_COOKIE.to_be_bytes();
            u128::from_be_bytes([m0, m1, m2, m3, a, b, c, d, e, f, g, h, i, j, k, l])
        }
    }
}

fn port_mask(xor: Option<Transaction>) -> u16 {
    if xor.is_some() { 0x2112 } else { 0 }
}

/// The value of an address attribute, in a buffer that holds both families, and its length.
pub(super) fn address_bytes(address: SocketAddr, xor: Option<Transaction>) -> ([u8; 20], usize) {
    let mut bytes = [0; 20];
    let mut cursor = crate::cursor::Cursor::new(&mut bytes);
    let port = address.port() ^ port_mask(xor);
    let mask = mask(xor);
    let [m0, m1, m2, m3, ..] = mask.to_be_bytes();
    let wrote = match address.ip() {
        IpAddr::V4(ip) => cursor
            .put(&[0, 1])
            .and_then(|()| cursor.u16(port))
            .and_then(|()| cursor.u32(u32::from(ip) ^ u32::from_be_bytes([m0, m1, m2, m3]))),
        IpAddr::V6(ip) => cursor
            .put(&[0, 2])
            .and_then(|()| cursor.u16(port))
            .and_then(|()| cursor.put(&(u128::from(ip) ^ mask).to_be_bytes())),
    };
    let len = if wrote.is_ok() { cursor.at() } else { 0 };
    (bytes, len)
}
