//! Names that travel: nodes, regions, rooms, participants, tracks.
//!
//! All are short printable ASCII-safe strings, checked once at the door by [`Name::parse`] rules:
//! 1 to 64 bytes out of `A–Z a–z 0–9 . _ -`. Display names of people are free text and are not names.

use serde::{Deserialize, Serialize};

/// Longest name accepted, in bytes: fits a URL path segment, a TURN user name and a certificate's SAN.
pub const NAME_BYTES_MAX: usize = 64;

/// Why a string is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The string is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The string is longer than [`NAME_BYTES_MAX`].
    #[error("a name must not be longer than 64 bytes")]
    TooLong,
    /// The string has a character outside `A–Z a–z 0–9 . _ -`.
    #[error("a name may only have letters, digits, '.', '_' and '-'")]
    BadCharacter,
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.bytes().all(fine) { Ok(()) } else { Err(NameError::BadCharacter) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $type(Box<str>);

        impl $type {
            /// Checks and takes the name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.into()
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
    };
}

name!(
    /// One process of the mesh. Unique in the mesh, stable over restarts; loop rules speak of node ids.
    NodeId
);
name!(
    /// A region, such as `eu`.
    Region
);
name!(
    /// A room, as the host named it.
    RoomId
);
name!(
    /// One session of one person in one room. Made by the edge that took the person in, unique in the mesh.
    ParticipantId
);

impl RoomId {
    /// The 64-bit key that stands for the room in datagrams and picks its shard (`key % shards`):
    /// FNV-1a of the name, so that every node and every version computes the same one.
    #[must_use]
    pub fn key(&self) -> u64 {
        fnv1a(self.as_str())
    }
}

impl ParticipantId {
    /// What names a publisher in the CSRC list of RTP packets: the low 32 bits of the FNV-1a of its id.
    #[must_use]
    pub fn csrc(&self) -> u32 {
        let [.., a, b, c, d] = fnv1a(self.as_str()).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// FNV-1a, 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What a track is a picture or a sound of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Source {
    /// A person's voice.
    Microphone,
    /// A person's picture.
    Camera,
    /// A shared screen.
    Screen,
    /// The sound of a shared screen.
    ScreenAudio,
}

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl Source {
    /// Whether the source is heard or seen.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Microphone | Self::ScreenAudio => Kind::Audio,
            Self::Camera | Self::Screen => Kind::Video,
        }
    }
}

/// A track's name in the mesh: whose, and of what. One participant has at most one track per source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TrackName {
    /// Whose track.
    pub participant: ParticipantId,
    /// Of what.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once_at_the_door() {
        assert!(RoomId::parse("physics-101").is_ok());
        assert_eq!(RoomId::parse(""), Err(NameError::Empty));
        assert_eq!(RoomId::parse("a/b"), Err(NameError::BadCharacter));
        assert_eq!(RoomId::parse(&"a".repeat(65)), Err(NameError::TooLong));
        assert!(serde_json::from_str::<RoomId>("\"../etc\"").is_err());
    }

    #[test]
    fn room_key_and_csrc_are_fnv1a_and_never_change() {
        assert_eq!(RoomId::parse("a").map(|r| r.key()), Ok(0xaf63_dc4c_8601_ec8c));
        assert_eq!(ParticipantId::parse("a").map(|p| p.csrc()), Ok(0x8601_ec8c));
    }
}
