//! SRTP profiles and keys (RFC 5764 §4.1.2 and §4.2, RFC 7714 §14.2).

use std::fmt;

/// How SRTP is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SrtpProfile {
    /// `AEAD_AES_128_GCM` (RFC 7714): what everybody should end with, six times cheaper than the last one.
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
    /// `AES128_CM_HMAC_SHA1_80` (RFC 3711): the one everybody must have (RFC 8827 §6.5).
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// All of them, in the order an edge prefers them.
    pub const PREFERRED: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::Aes128CmSha1_80];

    /// Length of a master key, in bytes.
    #[must_use]
    pub fn key_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of a master salt, in bytes.
    #[must_use]
    pub fn salt_bytes(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => 14,
        }
    }
}

/// One direction's master key and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    /// Master key, [`SrtpProfile::key_bytes`] long.
    pub key: Vec<u8>,
    /// Master salt, [`SrtpProfile::salt_bytes`] long.
    pub salt: Vec<u8>,
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpKey(secret)")
    }
}

/// What SRTP needs of a finished handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// How packets are protected.
    pub profile: SrtpProfile,
    /// What this side seals with.
    pub local: SrtpKey,
    /// What the peer seals with.
    pub remote: SrtpKey,
}

impl SrtpKeys {
    /// How much keying material `profile` takes, in bytes: two keys, two salts.
    pub(crate) fn material_bytes(profile: SrtpProfile) -> usize {
        2 * (profile.key_bytes() + profile.salt_bytes())
    }

    /// Cuts exported keying material (RFC 5764 §4.2): client key, server key, client salt, server salt.
    pub(crate) fn cut(profile: SrtpProfile, material: &[u8], we_are_client: bool) -> Option<Self> {
        if material.len() != Self::material_bytes(profile) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * profile.key_bytes());
        let (client_key, server_key) = keys.split_at(profile.key_bytes());
        let (client_salt, server_salt) = salts.split_at(profile.salt_bytes());
        let client = SrtpKey { key: client_key.into(), salt: client_salt.into() };
        let server = SrtpKey { key: server_key.into(), salt: server_salt.into() };
        Some(match we_are_client {
            true => Self { profile, local: client, remote: server },
            false => Self { profile, local: server, remote: client },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn material_is_cut_keys_first_client_first() {
        let material: Vec<u8> = (0..60).collect();
        let keys = SrtpKeys::cut(SrtpProfile::Aes128CmSha1_80, &material, false).unwrap();
        assert_eq!(keys.remote.key, (0..16).collect::<Vec<u8>>());
        assert_eq!(keys.local.key, (16..32).collect::<Vec<u8>>());
        assert_eq!(keys.remote.salt, (32..46).collect::<Vec<u8>>());
        assert_eq!(keys.local.salt, (46..60).collect::<Vec<u8>>());
        let other = SrtpKeys::cut(SrtpProfile::Aes128CmSha1_80, &material, true).unwrap();
        assert_eq!((other.local, other.remote), (keys.remote, keys.local));
        assert_eq!(SrtpKeys::cut(SrtpProfile::AeadAes256Gcm, &material, true), None);
    }

    #[test]
    fn keys_never_show_in_debug_output() {
        let key = SrtpKey { key: vec![0xab; 16], salt: vec![0xcd; 12] };
        assert_eq!(format!("{key:?}"), "SrtpKey(secret)");
    }
}
