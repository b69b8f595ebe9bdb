//! The join token: a JWT (RFC 7519) signed with Ed25519 (`EdDSA`, RFC 8037), verified offline by every edge.
//!
//! The control plane holds the private key; edges hold only public keys, by key id, and so cannot mint tokens.

use crate::id::{RoomId, Source};
use crate::signal::Refusal;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The `aud` of every Lyceum token.
pub const AUDIENCE: &str = "lyceum";
/// Longest token looked at, in bytes: a token with every grant stays under 1 KiB.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Clocks of control plane and edge may differ by this much, in seconds.
pub const LEEWAY_SECONDS: u64 = 5;
/// Longest `sub` and `name`, in bytes: they are shown to everybody in the room.
pub const TEXT_BYTES_MAX: usize = 128;
/// Longest key id, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 64;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// The application's own id of the person (free text, at most 128 bytes).
    pub sub: String,
    /// The display name (free text, at most 128 bytes).
    pub name: String,
    /// The one room this token opens.
    pub room: RoomId,
    /// What the person may do there.
    pub grants: Grants,
    /// Not before, seconds since the Unix epoch.
    pub nbf: u64,
    /// Expiry, seconds since the Unix epoch. A session that has started outlives its token.
    pub exp: u64,
}

/// What a participant may do in the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Grants {
    /// The sources the person may publish.
    pub publish: Vec<Source>,
    /// May receive others' tracks.
    pub subscribe: bool,
    /// May send room messages (chat).
    pub message: bool,
    /// May change what others in the room may do.
    #[serde(default)]
    pub moderate: bool,
}

/// A change of [`Grants`]; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct GrantChange {
    /// The sources the person may publish from now on. Empty: in the audience.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub publish: Option<Vec<Source>>,
    /// May receive others' tracks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub subscribe: Option<bool>,
    /// May send room messages (chat).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub message: Option<bool>,
    /// May change what others in the room may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub moderate: Option<bool>,
}

impl Grants {
    /// Everything a participant in a class may do.
    #[must_use]
    pub fn participant() -> Self {
        Self {
            publish: vec![Source::Microphone, Source::Camera, Source::Screen, Source::ScreenAudio],
            subscribe: true,
            message: true,
            moderate: false,
        }
    }

    /// What a host may do: everything, and change what others may.
    #[must_use]
    pub fn moderator() -> Self {
        Self { moderate: true, ..Self::participant() }
    }

    /// Looks and writes, shows nothing.
    #[must_use]
    pub fn viewer() -> Self {
        Self { publish: Vec::new(), subscribe: true, message: true, moderate: false }
    }

    /// Takes a change in. Says whether anything is another now. Each source is named once, in order.
    pub fn change(&mut self, change: &GrantChange) -> bool {
        let before = self.clone();
        if let Some(publish) = &change.publish {
            self.publish.clone_from(publish);
            self.publish.sort_unstable();
            self.publish.dedup();
        }
        self.subscribe = change.subscribe.unwrap_or(self.subscribe);
        self.message = change.message.unwrap_or(self.message);
        self.moderate = change.moderate.unwrap_or(self.moderate);
        *self != before
    }
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// Not a JWT, or its claims are not those of a join token.
    #[error("this is not a join token")]
    Malformed,
    /// Another algorithm than `EdDSA`.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// No key id, or one that nobody has announced.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// Signed by somebody else, or changed.
    #[error("the token's signature is wrong")]
    Signature,
    /// Made for somebody else than Lyceum.
    #[error("the token has another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It opens another room.
    #[error("the token opens another room")]
    WrongRoom,
}

impl Error {
    /// What a client is told.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Expired | Self::NotYet => Refusal::ExpiredToken,
            Self::WrongRoom => Refusal::WrongRoom,
            Self::TooLong | Self::Malformed | Self::Algorithm | Self::UnknownKey | Self::Signature | Self::Audience => {
                Refusal::BadToken
            }
        }
    }
}

/// A key that checks tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Keys by key id, as the control plane announces them.
pub type Keys = BTreeMap<String, PublicKey>;

/// A text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public key is 32 bytes in base64url")]
pub struct NotAKey;

impl PublicKey {
    /// Reads base64url of 32 bytes, as in [`crate::api::NodeLease::token_keys`].
    ///
    /// # Errors
    /// [`NotAKey`].
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAKey)?;
        bytes.try_into().map(Self).map_err(|_| NotAKey)
    }

    /// The key as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Reads the keys of a lease; entries that are no keys are left out.
#[must_use]
pub fn keys(announced: &BTreeMap<String, String>) -> Keys {
    announced.iter().filter_map(|(id, text)| Some((id.clone(), PublicKey::parse(text).ok()?))).collect()
}

/// The private half: makes tokens. Only the control plane has one.
#[derive(Clone)]
pub struct Signer {
    id: String,
    key: EncodingKey,
    public: PublicKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A signer could not be made, or could not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing key cannot be used")]
pub struct NoSigner;

impl Signer {
    /// Makes the key pair that 32 secret random bytes stand for. Its id is derived from the public key.
    ///
    /// # Errors
    /// [`NoSigner`] when the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, NoSigner> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoSigner)?;
        let public = PublicKey(pair.public_key().as_ref().try_into().map_err(|_| NoSigner)?);
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| NoSigner)?;
        let id = public.to_text().get(..KEY_ID_CHARS).ok_or(NoSigner)?.to_owned();
        Ok(Self { id, key: EncodingKey::from_ed_der(der.as_ref()), public })
    }

    /// The key id that goes into tokens.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The half that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Makes a token.
    ///
    /// # Errors
    /// [`NoSigner`] when the library cannot sign.
    pub fn mint(&self, claims: &Claims) -> Result<String, NoSigner> {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_| NoSigner)
    }
}

/// Checks a token: its size, algorithm, key, signature, audience and time, in this order.
///
/// # Errors
/// See [`Error`]; [`Error::refusal`] is what the client hears.
pub fn verify(keys: &Keys, token: &str, now_unix: u64) -> Result<Claims, Error> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Error::Malformed)?;
    // Pinned: the token never chooses how it is checked (RFC 8725 §3.1).
    if header.alg != Algorithm::EdDSA {
        return Err(Error::Algorithm);
    }
    let id = header.kid.filter(|id| id.len() <= KEY_ID_BYTES_MAX).ok_or(Error::UnknownKey)?;
    let key = keys.get(&id).ok_or(Error::UnknownKey)?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["aud", "exp", "nbf"]);
    // The library would ask the system's clock; time is told here.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let decoded = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.0), &validation);
    let claims = decoded.map_err(|error| reason(&error))?.claims;
    if claims.sub.len() > TEXT_BYTES_MAX || claims.name.len() > TEXT_BYTES_MAX {
        return Err(Error::Malformed);
    }
    if now_unix >= claims.exp.saturating_add(LEEWAY_SECONDS) {
        return Err(Error::Expired);
    }
    if now_unix.saturating_add(LEEWAY_SECONDS) < claims.nbf {
        return Err(Error::NotYet);
    }
    Ok(claims)
}

/// [`verify`], and the token must open this room.
///
/// # Errors
/// See [`Error`].
pub fn verify_for(keys: &Keys, token: &str, room: &RoomId, now_unix: u64) -> Result<Claims, Error> {
    let claims = verify(keys, token, now_unix)?;
    if claims.room == *room { Ok(claims) } else { Err(Error::WrongRoom) }
}

fn reason(error: &jsonwebtoken::errors::Error) -> Error {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => Error::Signature,
        ErrorKind::InvalidAudience => Error::Audience,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Error::Algorithm,
        _ => Error::Malformed,
    }
}

/// Characters of the public key that make its id: 72 bits, no two keys of a mesh share them.
const KEY_ID_CHARS: usize = 12;

#[cfg(test)]
mod tests;
