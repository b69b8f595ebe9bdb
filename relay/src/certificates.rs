//! Certificates of the links: one authority per mesh, one certificate per node whose single DNS name is
//! `{node}.lyceum.internal`.
//!
//! A node makes its key itself and never shows it: it sends a [`Request`] to the control plane, which answers with a
//! certificate. [`Authority::issue`] does both in one step, for development and tests.

use lyceum_wire::id::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};

/// What node ids are extended by to make a DNS name. `internal` is reserved for private use.
pub const DOMAIN: &str = "lyceum.internal";

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node id cannot be a DNS name: capital letters, an empty label, or one above 63 bytes.
    #[error(
        "{0} cannot be part of a DNS name: use lower-case letters, digits, '-' and '.', labels of at most 63 bytes"
    )]
    NotADnsName(NodeId),
    /// Text that is not what it should be, or a signature that is wrong.
    #[error("the certificate, request or key is not valid: {0}")]
    Invalid(#[from] rcgen::Error),
}

/// A node's DNS name. Capital letters are refused, as certificates do not tell `A` from `a`.
pub fn dns_name(node: &NodeId) -> Result<String, Error> {
    let text = node.as_str();
    let label_is_fine = |label: &str| !label.is_empty() && label.len() <= 63 && !label.ends_with('-');
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) || !text.split('.').all(label_is_fine) {
        return Err(Error::NotADnsName(node.clone()));
    }
    Ok(format!("{text}.{DOMAIN}"))
}

/// What a node needs for its links, all PEM.
#[derive(Clone)]
pub struct Identity {
    /// The mesh's authority.
    pub ca_pem: String,
    /// The node's certificate.
    pub certificate_pem: String,
    /// The node's private key (PKCS#8).
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// A node's own key and the request to have it certified.
#[derive(Clone)]
pub struct Request {
    /// PKCS#10, PEM: goes to the control plane.
    pub csr_pem: String,
    /// PKCS#8, PEM: stays here.
    pub key_pem: String,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request(…)")
    }
}

impl Request {
    /// Makes a key (ECDSA P-256) and the request for it.
    pub fn new(node: &NodeId) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let csr = CertificateParams::new(vec![dns_name(node)?])?.serialize_request(&key)?;
        Ok(Self { csr_pem: csr.pem()?, key_pem: key.serialize_pem() })
    }

    /// With the authority's answer it is an identity.
    #[must_use]
    pub fn answered(self, certificate_pem: String, ca_pem: String) -> Identity {
        Identity { ca_pem, certificate_pem, key_pem: self.key_pem }
    }
}

/// The mesh's certificate authority.
pub struct Authority {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

impl Authority {
    /// Makes a new one.
    pub fn generate() -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "Lyceum mesh authority");
        // Path length 0: it signs nodes, never another authority.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self { ca_pem, issuer: Issuer::new(params, key) })
    }

    /// Takes up one that was kept as PEM.
    pub fn from_pem(ca_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let issuer = Issuer::from_ca_cert_pem(ca_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { ca_pem: ca_pem.to_owned(), issuer })
    }

    /// Its certificate, which every node trusts.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Its private key, to be kept.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Certifies the key of a request for this node, whatever names the request itself asks for.
    pub fn sign(&self, node: &NodeId, csr_pem: &str) -> Result<String, Error> {
        let request = CertificateSigningRequestParams::from_pem(csr_pem)?;
        self.certify(node, &request.public_key)
    }

    /// Makes a key and certifies it, in one step.
    pub fn issue(&self, node: &NodeId) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let certificate_pem = self.certify(node, &key)?;
        Ok(Identity { ca_pem: self.ca_pem.clone(), certificate_pem, key_pem: key.serialize_pem() })
    }

    fn certify(&self, node: &NodeId, key: &impl PublicKeyData) -> Result<String, Error> {
        let mut params = CertificateParams::new(vec![dns_name(node)?])?;
        params.distinguished_name.push(DnType::CommonName, node.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_that_cannot_be_dns_names_are_refused() {
        let node = |name: &str| NodeId::parse(name).unwrap();
        assert_eq!(dns_name(&node("eu-1")).unwrap(), "eu-1.lyceum.internal");
        assert_eq!(dns_name(&node("edge_1.eu")).unwrap(), "edge_1.eu.lyceum.internal");
        for bad in ["EU-1", "a..b", ".a", "a.", "a-", &"x".repeat(64)] {
            assert!(dns_name(&node(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_authority_kept_as_pem_signs_as_before() {
        let first = Authority::generate().unwrap();
        let again = Authority::from_pem(first.ca_pem(), &first.key_pem()).unwrap();
        let node = NodeId::parse("eu-1").unwrap();
        let request = Request::new(&node).unwrap();
        let certificate = again.sign(&node, &request.csr_pem).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(
            again.sign(&node, "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----").is_err()
        );
    }
}
