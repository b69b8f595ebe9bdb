//! What only control planes know: the key that signs join tokens, the certificate authority of the links, the secret of
//! TURN credentials. Made at the first start of a mesh and kept in its store, so that all its control planes share them;
//! an operator may give the first two by file instead.

use crate::config::{CaFiles, Config};
use crate::store::{Store, StoreError};
use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lyceum_control_core::kv::{Commit, Expect, Outcome, SECRETS, Write};
use lyceum_wire::id::NodeId;
use lyceum_wire::token::{Keys as PublicKeys, Signer};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// What only control planes know.
pub(crate) struct Keys {
    /// Signs join tokens.
    pub(crate) signer: Signer,
    /// Checks them.
    pub(crate) public: PublicKeys,
    /// Signs nodes' certificates.
    pub(crate) ca: Ca,
    /// Shared with the nodes: proves TURN credentials.
    pub(crate) turn_secret: String,
}

/// A certificate lives this long: a node that was stolen is out after a day, one that restarts asks anew.
pub(crate) const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Certificates are valid from this long ago: nodes' clocks may be slow.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5 * 60);
/// The authority of a mesh lives ten years; giving every node another one is an operator's work.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// All nodes' DNS names end with this.
const DOMAIN: &str = "lyceum.internal";
/// Longest label of a DNS name, in bytes (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

impl Keys {
    /// Reads what the operator gave, and reads or makes the rest in the store.
    pub(crate) async fn load(config: &Config, store: &dyn Store, now_unix: u64) -> anyhow::Result<Self> {
        let signer = match &config.token_key_file {
            Some(file) => signer_from_file(file)?,
            None => {
                let seed = read_or_make(store, "token-key", || Ok(STANDARD.encode(rand::random::<[u8; 32]>()))).await?;
                let seed = STANDARD.decode(seed).ok().and_then(|seed| <[u8; 32]>::try_from(seed).ok());
                Signer::from_seed(&seed.context("the store's token key cannot be read")?)?
            }
        };
        let ca = match &config.ca {
            Some(files) => Ca::from_files(files)?,
            None => Ca::from_text(&read_or_make(store, "ca", || Ca::make(now_unix)).await?)?,
        };
        let turn_secret =
            read_or_make(store, "turn", || Ok(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))).await?;
        let public = PublicKeys::from([(signer.id().to_owned(), signer.public())]);
        Ok(Self { signer, public, ca, turn_secret })
    }
}

/// The entry's text; made and written when there is none. Of several control planes that start at once one writes, all read.
async fn read_or_make(
    store: &dyn Store,
    name: &str,
    make: impl Fn() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let key = format!("{SECRETS}{name}");
    let read = async || -> Result<Option<String>, StoreError> {
        let listing = store.list(&key).await?;
        let entry = listing.entries.into_iter().find(|entry| entry.key == key);
        Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    };
    if let Some(text) = read().await? {
        return Ok(text);
    }
    let text = make()?;
    let expect = vec![Expect { key: key.clone(), revision: 0 }];
    let write = vec![Write::Put { key: key.clone(), value: text.clone().into_bytes(), lease: None }];
    match store.commit(Commit { expect, write }).await? {
        Outcome::Done { .. } => Ok(text),
        Outcome::Conflict => read().await?.with_context(|| format!("{key} came and went")),
    }
}

fn signer_from_file(file: &Path) -> anyhow::Result<Signer> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let pair = STANDARD.decode(body).ok().and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok());
    let pair = pair.with_context(|| format!("{} is not an Ed25519 key (PKCS#8, PEM)", file.display()))?;
    let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| anyhow!("the key has no seed"))?;
    let seed: [u8; 32] = seed.as_ref().try_into().context("an Ed25519 seed has 32 bytes")?;
    Ok(Signer::from_seed(&seed)?)
}

/// The mesh's certificate authority.
pub(crate) struct Ca {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A [`Ca`] in the store.
#[derive(Serialize, Deserialize)]
struct CaText {
    certificate_pem: String,
    key_pem: String,
}

impl Ca {
    fn make(now_unix: u64) -> anyhow::Result<String> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("Lyceum mesh");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now_unix);
        params.not_before = now - CLOCK_LEEWAY;
        params.not_after = now + CA_LIFE;
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(serde_json::to_string(&CaText { certificate_pem, key_pem: key.serialize_pem() })?)
    }

    fn from_text(text: &str) -> anyhow::Result<Self> {
        let CaText { certificate_pem, key_pem } = serde_json::from_str(text).context("the store's authority")?;
        Self::new(certificate_pem, &key_pem)
    }

    fn from_files(files: &CaFiles) -> anyhow::Result<Self> {
        let read =
            |path: &Path| std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let (certificate, key) = (read(&files.certificate_file)?, read(&files.key_file)?);
        Self::new(certificate, &key).with_context(|| format!("the authority in {}", files.certificate_file.display()))
    }

    fn new(certificate_pem: String, key_pem: &str) -> anyhow::Result<Self> {
        let key = KeyPair::from_pem(key_pem).context("its key cannot be read")?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).context("its certificate cannot be read")?;
        Ok(Self { certificate_pem, issuer })
    }

    /// The authority's certificate, PEM.
    pub(crate) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Signs a node's certificate. Of the request only the key is used, and that the requester has its private half.
    pub(crate) fn sign(&self, node: &NodeId, csr_pem: &str, now_unix: u64) -> anyhow::Result<String> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).context("the request cannot be read")?;
        let mut params = CertificateParams::new(vec![dns_name(node)?])?;
        params.distinguished_name = common_name(node.as_str());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now_unix);
        params.not_before = now - CLOCK_LEEWAY;
        params.not_after = now + CERTIFICATE_LIFE;
        params.use_authority_key_identifier_extension = true;
        // Positive and at most 20 bytes (RFC 5280 §4.1.2.2).
        let mut serial = rand::random::<[u8; 16]>();
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        Ok(params.signed_by(&request.public_key, &self.issuer)?.pem())
    }
}

/// The node's DNS name, if its id can be part of one.
pub(crate) fn dns_name(node: &NodeId) -> anyhow::Result<String> {
    for label in node.as_str().split('.') {
        ensure!(
            !label.is_empty() && label.len() <= LABEL_BYTES_MAX && !label.starts_with('-') && !label.ends_with('-'),
            "'{node}' cannot be part of a DNS name, as a node's id must"
        );
    }
    if node.as_str().bytes().any(|b| b.is_ascii_uppercase()) {
        bail!("'{node}' has capital letters; DNS names do not tell them apart");
    }
    Ok(format!("{node}.{DOMAIN}"))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Memory;

    const NOW: u64 = 1_790_000_000;

    async fn keys(store: &Memory) -> Keys {
        Keys::load(&Config::new("0123456789abcdef"), store, NOW).await.unwrap()
    }

    fn csr(key: &KeyPair) -> String {
        let mut params = CertificateParams::new(vec!["somebody.else".to_owned()]).unwrap();
        params.distinguished_name = common_name("somebody else");
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[tokio::test]
    async fn two_control_planes_on_one_store_share_their_keys() {
        let store = Memory::new();
        let (one, two) = tokio::join!(keys(&store), keys(&store));
        assert_eq!(one.signer.id(), two.signer.id());
        assert_eq!(one.turn_secret, two.turn_secret);
        assert_eq!(one.ca.certificate_pem(), two.ca.certificate_pem());
        assert_ne!(keys(&Memory::new()).await.signer.id(), one.signer.id(), "another mesh has its own");
    }

    /// Asks as a node that dials another would.
    fn trusts(ca_pem: &str, pem: &str, name: &str, unix: u64) -> Result<(), String> {
        use rustls::client::danger::ServerCertVerifier;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der(ca_pem)).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(Duration::from_secs(unix));
        let verdict = verifier.verify_server_cert(&der(pem), &[], &name, &[], at);
        verdict.map(|_| ()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_node_gets_a_certificate_for_its_own_name_whatever_it_asks_for() {
        let ca = keys(&Memory::new()).await.ca;
        let request = csr(&KeyPair::generate().unwrap());
        let pem = ca.sign(&NodeId::parse("eu-1").unwrap(), &request, NOW).unwrap();
        let trusted = |name, unix| trusts(ca.certificate_pem(), &pem, name, unix);
        assert_eq!(trusted("eu-1.lyceum.internal", NOW), Ok(()));
        assert_eq!(trusted("eu-1.lyceum.internal", NOW - 60), Ok(()), "on a slow clock");
        assert!(trusted("somebody.else", NOW).is_err());
        assert!(trusted("eu-2.lyceum.internal", NOW).is_err());
        assert!(trusted("eu-1.lyceum.internal", NOW + 25 * 3600).is_err(), "after a day");
        let other = keys(&Memory::new()).await.ca;
        assert!(trusts(other.certificate_pem(), &pem, "eu-1.lyceum.internal", NOW).is_err());
    }

    #[tokio::test]
    async fn requests_that_prove_nothing_are_refused() {
        let ca = keys(&Memory::new()).await.ca;
        let node = NodeId::parse("eu-1").unwrap();
        let good = csr(&KeyPair::generate().unwrap());
        // A request whose signature was made over something else.
        let mut lines: Vec<String> = good.lines().map(str::to_owned).collect();
        let last = lines.len() - 2;
        let flipped = if lines[last].starts_with('A') { "B" } else { "A" };
        lines[last].replace_range(..1, flipped);
        assert!(ca.sign(&node, &lines.join("\n"), NOW).is_err());
        assert!(ca.sign(&node, "", NOW).is_err());
        for name in ["a..b", "-a", "a-", "Upper", &"n".repeat(64)] {
            assert!(ca.sign(&NodeId::parse(name).unwrap(), &good, NOW).is_err(), "{name}");
        }
        assert!(ca.sign(&node, &good, NOW).is_ok());
    }
}
