//! Profiles, master keys and the key derivation of RFC 3711 §4.3.

use super::SrtpError;
use aws_lc_rs::aead::{self, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;

/// Protection profiles offered in DTLS (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// AEAD_AES_128_GCM: our first choice, 0.18 µs per packet.
    AeadAes128Gcm,
    /// AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// AES128_CM_HMAC_SHA1_80: six times dearer, spoken by everybody.
    Aes128CmSha1_80,
}

impl Profile {
    /// By its number in DTLS's `use_srtp`.
    #[must_use]
    pub fn from_dtls(id: u16) -> Option<Self> {
        Some(match id {
            0x0001 => Self::Aes128CmSha1_80,
            0x0007 => Self::AeadAes128Gcm,
            0x0008 => Self::AeadAes256Gcm,
            _ => return None,
        })
    }

    /// Master key length in bytes.
    #[must_use]
    pub fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Master salt length in bytes.
    #[must_use]
    pub fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }

    /// What RTP grows by, in bytes.
    #[must_use]
    pub fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }
}

/// Master key and salt of one direction.
#[derive(Clone)]
pub struct Keys {
    /// How to use them.
    pub profile: Profile,
    /// [`Profile::key_len`] bytes.
    pub key: Vec<u8>,
    /// [`Profile::salt_len`] bytes.
    pub salt: Vec<u8>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// What a packet is, for the derivation: RTP and RTCP never share a session key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Rtp,
    Rtcp,
}

/// Session keys of one stream in one direction, ready to use.
pub(super) enum Session {
    Gcm {
        key: LessSafeKey,
        salt: [u8; 12],
    },
    /// Boxed: its key schedules are fifty times the size of the other.
    CmSha1(Box<CmSha1>),
}

/// AES counter mode with HMAC-SHA1.
pub(super) struct CmSha1 {
    pub(super) cipher: EncryptingKey,
    pub(super) mac: hmac::Key,
    pub(super) salt: [u8; 14],
}

impl Keys {
    /// Session keys (RFC 3711 §4.3, key derivation rate 0; RFC 7714 §11 for GCM).
    pub(super) fn session(&self, stream: Stream) -> Result<Session, SrtpError> {
        let profile = self.profile;
        if self.key.len() != profile.key_len() || self.salt.len() != profile.salt_len() {
            return Err(SrtpError::BadKey);
        }
        let (encryption, authentication, salting) = match stream {
            Stream::Rtp => (0, 1, 2),
            Stream::Rtcp => (3, 4, 5),
        };
        let mut key = [0; 32];
        let key = &mut key[..profile.key_len()];
        self.derive(encryption, key)?;
        match profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let algorithm = if key.len() == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
                let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::BadKey)?;
                let mut salt = [0; 12];
                self.derive(salting, &mut salt)?;
                Ok(Session::Gcm { key: LessSafeKey::new(key), salt })
            }
            Profile::Aes128CmSha1_80 => {
                let cipher = counter_mode(key)?;
                let (mut mac, mut salt) = ([0; 20], [0; 14]);
                self.derive(authentication, &mut mac)?;
                self.derive(salting, &mut salt)?;
                let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac);
                Ok(Session::CmSha1(Box::new(CmSha1 { cipher, mac, salt })))
            }
        }
    }

    /// The pseudo-random function: AES in counter mode over zeros, its counter block made of label and master salt.
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        let mut block = [0; 16];
        // A 96-bit salt is padded with zeros on the right (RFC 7714 §11).
        block[..self.salt.len()].copy_from_slice(&self.salt);
        block[7] ^= label;
        out.fill(0);
        counter_mode(&self.key)?
            .less_safe_encrypt(out, EncryptionContext::Iv128(block.into()))
            .map(|_| ())
            .map_err(|_| SrtpError::BadKey)
    }
}

fn counter_mode(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if key.len() == 16 { &cipher::AES_128 } else { &cipher::AES_256 };
    UnboundCipherKey::new(algorithm, key).and_then(EncryptingKey::ctr).map_err(|_| SrtpError::BadKey)
}

/// The nonce of RFC 7714 §8.1 and §9.1: `count` is roll-over counter ‖ sequence number, or the SRTCP index.
#[inline]
pub(super) fn gcm_nonce(salt: &[u8; 12], ssrc: u32, count: u64) -> Nonce {
    let mut nonce = *salt;
    for (byte, x) in nonce[2..6].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= x;
    }
    for (byte, x) in nonce[6..12].iter_mut().zip(&count.to_be_bytes()[2..]) {
        *byte ^= x;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Encrypts or decrypts in AES counter mode (RFC 3711 §4.1.1).
pub(super) fn cm_apply(
    cipher: &EncryptingKey,
    salt: &[u8; 14],
    ssrc: u32,
    count: u64,
    data: &mut [u8],
) -> Result<(), SrtpError> {
    let mut block = [0; 16];
    block[..14].copy_from_slice(salt);
    for (byte, x) in block[4..8].iter_mut().zip(ssrc.to_be_bytes()) {
        *byte ^= x;
    }
    for (byte, x) in block[8..14].iter_mut().zip(&count.to_be_bytes()[2..]) {
        *byte ^= x;
    }
    cipher.less_safe_encrypt(data, EncryptionContext::Iv128(block.into())).map(|_| ()).map_err(|_| SrtpError::Malformed)
}

/// HMAC-SHA1 of `parts`, cut to 80 bits.
pub(super) fn mac_of(key: &hmac::Key, parts: [&[u8]; 2]) -> [u8; MAC_LEN] {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let tag = context.sign();
    let mut cut = [0; MAC_LEN];
    cut.copy_from_slice(&tag.as_ref()[..MAC_LEN]);
    cut
}

/// Length of a GCM tag, in bytes.
pub(super) const GCM_TAG_LEN: usize = 16;
/// Length of the cut HMAC, in bytes (RFC 3711 §5.2).
pub(super) const MAC_LEN: usize = 10;
/// The bit that says an SRTCP packet is encrypted (RFC 3711 §3.4).
pub(super) const E_BIT: u32 = 1 << 31;
