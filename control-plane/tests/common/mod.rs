//! A real etcd for a test: on free loopback ports, in a folder of its own, gone with the value.
#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use lyceum_control::EtcdConfig;
use lyceum_control::store::{Etcd, Store};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything in a test; never reached unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct EtcdProcess {
    child: Option<Child>,
    folder: PathBuf,
    client_port: u16,
    peer_port: u16,
    /// Clients prove themselves, and etcd to them, by certificates in the folder.
    tls: bool,
}

impl EtcdProcess {
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    pub(crate) async fn start_tls() -> Self {
        Self::start_with(true).await
    }

    async fn start_with(tls: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("etcd-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        if tls {
            certificates(&folder);
        }
        let mut etcd = Self { child: None, folder, client_port: free_port(), peer_port: free_port(), tls };
        etcd.resume().await;
        etcd
    }

    /// Starts it (again) on its ports and its data, and waits until it answers.
    pub(crate) async fn resume(&mut self) {
        let (client, peer) = (self.url(), format!("http://127.0.0.1:{}", self.peer_port));
        let child = Command::new("etcd")
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args([
                "--name",
                "test",
                "--logger",
                "zap",
                "--log-level",
                "error",
                "--initial-cluster",
                &format!("test={peer}"),
            ])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            // A quick leader: this machine's only member has nobody to wait for.
            .args(["--heartbeat-interval", "50", "--election-timeout", "250"])
            .args(
                self.tls
                    .then(|| {
                        let file = |name: &str| self.folder.join(name).display().to_string();
                        let (ca, certificate, key) = (file("ca.pem"), file("etcd.pem"), file("etcd.key"));
                        format!(
                            "--client-cert-auth=true --trusted-ca-file={ca} --cert-file={certificate} --key-file={key}"
                        )
                    })
                    .iter()
                    .flat_map(|options| options.split(' ')),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd must be installed (Debian: apt-get install etcd-server)");
        self.child = Some(child);
        let store = Etcd::connect(&self.config("probe/")).await.unwrap();
        let begin = Instant::now();
        while store.list("").await.is_err() {
            assert!(begin.elapsed() < PATIENCE, "etcd does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it; its data stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.client_port)
    }

    pub(crate) fn config(&self, prefix: &str) -> EtcdConfig {
        let file = |name: &str| self.tls.then(|| self.folder.join(name));
        EtcdConfig {
            endpoints: vec![self.url()],
            prefix: prefix.into(),
            ca_file: file("ca.pem"),
            certificate_file: file("client.pem"),
            key_file: file("client.key"),
            ..EtcdConfig::default()
        }
    }
}

impl Drop for EtcdProcess {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// An authority, and a certificate for etcd and for a client of it.
fn certificates(folder: &std::path::Path) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    write("ca.pem", params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    for name in ["etcd", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again until it is so.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
