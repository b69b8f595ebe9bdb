//! Who may speak on a link: mutual TLS 1.3 under the mesh's own authority, and what QUIC is told for live media.

use super::congestion;
use crate::certificates::{Identity, dns_name};
use anyhow::{Context, anyhow, bail};
use lyceum_wire::id::NodeId;
use lyceum_wire::link::ALPN;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt};
use rustls::RootCertStore;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use std::sync::Arc;
use std::time::Duration;

/// A link without a sign of life for this long is gone. Five missed keep-alives: fast enough that a class notices
/// seconds, not the half minute that is usual, and slow enough for a path that re-converges.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// A sign of life at least this often.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Datagrams waiting to be sent on one link, in bytes: 40 ms of 200 Mbit/s. QUIC drops the oldest beyond that, and
/// what is older than that is of little use.
pub const DATAGRAM_SEND_BYTES: usize = 1 << 20;
/// Datagrams received and not yet read, in bytes: 160 ms of 200 Mbit/s, longer than the runtime is ever busy elsewhere.
pub const DATAGRAM_RECEIVE_BYTES: usize = 4 << 20;
/// Control messages under way in one direction of one link, in bytes: four of the longest.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// UDP payload every path of today's Internet carries (RFC 9000 §14): where QUIC starts before it has looked for more.
const MTU_INITIAL: u16 = 1200;
/// UDP payload of a 1,500-byte Ethernet frame over IPv6, where the search for more ends.
const MTU_MAX: u16 = 1452;

pub(super) struct Configs {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

pub(super) fn configs(identity: &Identity) -> anyhow::Result<Configs> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(identity.ca_pem.as_bytes()) {
        roots.add(certificate.context("the authority's PEM")?).context("the authority's certificate")?;
    }
    if roots.is_empty() {
        bail!("the authority's PEM holds no certificate");
    }
    let roots = Arc::new(roots);
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .context("the node's certificate PEM")?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).context("the node's key PEM")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls13 = &[&rustls::version::TLS13];

    let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let mut server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(tls13)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .context("the node's certificate and key do not belong together")?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would skip the certificates' check against a changed authority; links are few and long.
    server.send_tls13_tickets = 0;

    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(tls13)?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = rustls::client::Resumption::disabled();

    let transport = Arc::new(transport()?);
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    server.transport_config(transport.clone());
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    client.transport_config(transport);
    Ok(Configs { server, client })
}

fn transport() -> anyhow::Result<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(MTU_MAX);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT)?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // Each side opens one stream and writes its messages on it.
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .send_window(u64::from(STREAM_WINDOW_BYTES))
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
        .datagram_send_buffer_size(DATAGRAM_SEND_BYTES)
        .initial_mtu(MTU_INITIAL)
        .min_mtu(MTU_INITIAL)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(congestion::Factory));
    Ok(transport)
}

/// The name to dial a node by.
pub(super) fn server_name(node: &NodeId) -> anyhow::Result<String> {
    Ok(dns_name(node)?)
}

/// Whether the certificate the other side showed is this node's. TLS has already found it signed by our authority.
pub(super) fn check_identity(connection: &Connection, node: &NodeId) -> anyhow::Result<()> {
    let identity = connection.peer_identity().ok_or_else(|| anyhow!("the other side showed no certificate"))?;
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| anyhow!("the other side's identity is not a certificate"))?;
    let leaf = chain.first().ok_or_else(|| anyhow!("the other side's certificate chain is empty"))?;
    let certificate = ParsedCertificate::try_from(leaf)?;
    let name = ServerName::try_from(dns_name(node)?)?;
    verify_server_name(&certificate, &name).with_context(|| format!("the certificate is not {node}'s"))
}
