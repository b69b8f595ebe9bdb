//! What an operator may say about a control plane.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A control plane's configuration. Every field has a default but [`Config::node_secret`]: there is no safe one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the API listens; port 0 takes any free one.
    #[serde(default = "defaults::listen")]
    pub listen: SocketAddr,
    /// Where the mesh's memory is.
    #[serde(default)]
    pub store: StoreConfig,
    /// Anyone may mint tokens and look at rooms and nodes: for a mesh on one's own machine. Otherwise [`Config::api_secret`] is needed for both.
    #[serde(default)]
    pub open: bool,
    /// Bearer secret of applications that mint tokens. At least [`SECRET_BYTES_MIN`] bytes. Without it, and not open, nobody mints.
    #[serde(default)]
    pub api_secret: Option<String>,
    /// Bearer secret of nodes. At least [`SECRET_BYTES_MIN`] bytes.
    pub node_secret: String,
    /// A node is gone when it was silent for this long; 2 s to 5 min. It is told to report three times as often.
    #[serde(default = "defaults::lease", with = "crate::duration")]
    pub lease: Duration,
    /// Ed25519 key that signs tokens, PKCS#8 PEM. Absent: made at the first start and kept in the store.
    #[serde(default)]
    pub token_key_file: Option<PathBuf>,
    /// The mesh's certificate authority. Absent: made at the first start and kept in the store.
    #[serde(default)]
    pub ca: Option<CaFiles>,
    /// Requests per second that one address may make without a node's secret.
    #[serde(default = "defaults::rate")]
    pub rate_per_second: u32,
    /// Requests that one address may make at once before that rate holds: a class behind one router joins together.
    #[serde(default = "defaults::burst")]
    pub rate_burst: u32,
}

/// Shortest secret accepted, in bytes: 128 bits of hexadecimal are 32 characters, of base64 22; below 16 even random ones are guessed.
pub const SECRET_BYTES_MIN: usize = 16;

impl Config {
    /// A closed control plane on a free loopback port, in memory.
    #[must_use]
    pub fn new(node_secret: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: StoreConfig::default(),
            open: false,
            api_secret: None,
            node_secret: node_secret.into(),
            lease: defaults::lease(),
            token_key_file: None,
            ca: None,
            rate_per_second: defaults::rate(),
            rate_burst: defaults::burst(),
        }
    }

    /// Says what is wrong with it, if anything.
    pub fn check(&self) -> anyhow::Result<()> {
        let secret = |what: &str, secret: &str| {
            anyhow::ensure!(
                secret.len() >= SECRET_BYTES_MIN,
                "{what} is too short: it needs at least {SECRET_BYTES_MIN} bytes"
            );
            Ok(())
        };
        secret("node_secret", &self.node_secret)?;
        if let Some(api) = &self.api_secret {
            secret("api_secret", api)?;
            anyhow::ensure!(*api != self.node_secret, "api_secret and node_secret must differ");
        }
        anyhow::ensure!(
            (Duration::from_secs(2)..=Duration::from_secs(300)).contains(&self.lease),
            "lease must be between 2 s and 5 min"
        );
        anyhow::ensure!(
            self.rate_per_second > 0 && self.rate_burst > 0,
            "rate_per_second and rate_burst must not be 0"
        );
        if let StoreConfig::Etcd(etcd) = &self.store {
            anyhow::ensure!(!etcd.endpoints.is_empty(), "store.endpoints must name at least one etcd");
            let tls = etcd.endpoints.iter().any(|url| url.starts_with("https:"));
            anyhow::ensure!(
                !tls || etcd.ca_file.is_some(),
                "an https etcd needs store.ca_file, the authority it is proved by"
            );
            anyhow::ensure!(
                etcd.certificate_file.is_some() == etcd.key_file.is_some(),
                "store.certificate_file and store.key_file go together"
            );
        }
        Ok(())
    }
}

/// Where the mesh's memory is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreConfig {
    /// In this process: gone when it ends. Nodes say again what they host; keys not given by file are made anew.
    #[default]
    Memory,
    /// In etcd, shared by any number of control planes.
    Etcd(EtcdConfig),
}

/// How to reach etcd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdConfig {
    /// Base URLs, such as `http://127.0.0.1:2379`.
    pub endpoints: Vec<String>,
    /// All keys begin with this, so that meshes can share an etcd.
    #[serde(default = "defaults::prefix")]
    pub prefix: String,
    /// User name, when etcd asks for one.
    #[serde(default)]
    pub user: Option<String>,
    /// That user's password.
    #[serde(default)]
    pub password: Option<String>,
    /// Authority that signed etcd's certificate, PEM.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Own certificate, PEM; needs [`EtcdConfig::key_file`].
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Own key, PEM.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            prefix: defaults::prefix(),
            user: None,
            password: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

/// A certificate authority given by file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaFiles {
    /// Its certificate, PEM.
    pub certificate_file: PathBuf,
    /// Its key, PKCS#8 PEM.
    pub key_file: PathBuf,
}

mod defaults {
    use super::{Duration, SocketAddr};

    pub(super) fn listen() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 8080))
    }
    /// Ten seconds: three reports may be lost before a node counts as dead.
    pub(super) fn lease() -> Duration {
        Duration::from_secs(10)
    }
    pub(super) fn prefix() -> String {
        "lyceum/".into()
    }
    pub(super) fn rate() -> u32 {
        200
    }
    pub(super) fn burst() -> u32 {
        2_000
    }
}
