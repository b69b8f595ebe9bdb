//! What all sessions of a process share: one certificate, its fingerprint, DTLS settings built once.

use crate::dtls;
use crate::keys::SrtpProfile;
use aws_lc_rs::digest;
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_shared::error::Error;
use std::fmt;
use std::sync::Arc;

/// What browsers and the `webrtc` crate offer and a P-256 certificate can sign for. The client's order decides.
const CIPHER_SUITES: [CipherSuiteId; 2] = [
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
    CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
];

/// Settings every session shares. A clone is a reference count.
#[derive(Clone)]
pub struct Config {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) profiles: Vec<SrtpProfile>,
    /// One per profile, in our order: see [`crate::dtls`].
    pub(crate) dtls_server: Vec<Arc<HandshakeConfig>>,
    pub(crate) dtls_client: Arc<HandshakeConfig>,
}

impl Config {
    /// Makes an ECDSA P-256 certificate and the settings around it, with [`SrtpProfile::PREFERRED`].
    ///
    /// # Errors
    /// When the cryptographic library refuses.
    pub fn new() -> Result<Self, ConfigError> {
        Self::with_profiles(&SrtpProfile::PREFERRED)
    }

    /// The same with SRTP profiles chosen, most wanted first.
    ///
    /// # Errors
    /// When the cryptographic library refuses, or `profiles` is empty.
    pub fn with_profiles(profiles: &[SrtpProfile]) -> Result<Self, ConfigError> {
        if profiles.is_empty() {
            return Err(ConfigError::NoProfile);
        }
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
        let certificate = Certificate::generate_self_signed(vec!["lyceum".to_owned()], provider.crypto())?;
        let der = certificate.certificate.first().ok_or_else(|| ConfigError::Dtls("no certificate was made".into()))?;
        let fingerprint = Fingerprint::of(der);
        let build = |is_client: bool, profiles: &[SrtpProfile]| -> Result<Arc<HandshakeConfig>, Error> {
            let config = ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![certificate.clone()])
                .with_cipher_suites(CIPHER_SUITES.to_vec())
                .with_srtp_protection_profiles(profiles.iter().copied().map(dtls::theirs).collect())
                // Certificates are self-signed: what is proven is the fingerprint, after the handshake.
                .with_insecure_skip_verify(true)
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                .with_mtu(dtls::MTU_BYTES)
                .build(is_client, None)?;
            Ok(Arc::new(config))
        };
        let dtls_server = profiles.iter().map(|profile| build(false, &[*profile])).collect::<Result<_, _>>()?;
        let dtls_client = build(true, profiles)?;
        Ok(Self { shared: Arc::new(Shared { fingerprint, profiles: profiles.to_vec(), dtls_server, dtls_client }) })
    }

    /// The SHA-256 fingerprint of the certificate, for the SDP.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.fingerprint
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("fingerprint", &self.shared.fingerprint)
            .field("profiles", &self.shared.profiles)
            .finish()
    }
}

/// Why no [`Config`] could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The certificate or the DTLS settings could not be made. A fault of the build or the machine.
    #[error("DTLS cannot be set up: {0}")]
    Dtls(String),
    /// The owner asked for no SRTP profile at all.
    #[error("at least one SRTP profile is needed")]
    NoProfile,
}

impl From<Error> for ConfigError {
    fn from(error: Error) -> Self {
        Self::Dtls(error.to_string())
    }
}

/// A certificate's SHA-256 fingerprint (RFC 8122 §5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut octets = [0; 32];
        octets.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(octets)
    }

    /// Reads `AB:CD:…`, 32 octets in hexadecimal of either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 32];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *octet = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02X}", if i == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_round_trip_and_nonsense_is_refused() {
        let print = Fingerprint(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(Fingerprint::parse(&print.to_string()), Some(print));
        assert_eq!(Fingerprint::parse(&print.to_string().to_lowercase()), Some(print));
        let text = print.to_string();
        for bad in [
            "",
            "00",
            &text[..text.len() - 3],
            &format!("{text}:00"),
            &text.replace("07", "+7"),
            &text.replace(':', ""),
        ] {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }
}
