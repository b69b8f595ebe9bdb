//! The store in etcd: its revisions, transactions, leases and watches, below one prefix.

use super::{Store, StoreError, Watch};
use crate::config::EtcdConfig;
use anyhow::Context;
use async_trait::async_trait;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions, Identity, KeyValue,
    PutOptions, TlsOptions, Txn, TxnOp, WatchOptions, WatchStream,
};
use futures_util::stream::{self, StreamExt};
use lyceum_control_core::kv::{Change, Commit, Entry, LeaseId, Listing, Outcome, Write};
use std::time::Duration;

/// Longest wait for one answer. A leader's election takes one to two seconds; who waits longer holds up a join for nothing.
const CALL_MAX: Duration = Duration::from_secs(3);
/// A connection that says nothing is asked this often whether it lives, and given [`CALL_MAX`] to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Largest listing taken, in bytes: 100,000 rooms of 300 bytes and their keys.
const LISTING_BYTES_MAX: usize = 64 << 20;

/// A store in etcd.
pub struct Etcd {
    client: Client,
    prefix: String,
}

impl Etcd {
    /// Prepares the connections. Unless there is a user to log in, etcd need not be there yet.
    pub async fn connect(config: &EtcdConfig) -> anyhow::Result<Self> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CALL_MAX)
            .with_keep_alive(KEEP_ALIVE, CALL_MAX)
            .with_keep_alive_while_idle(true)
            // A member cut off from its leader must not serve old listings or sit on dead watches.
            .with_require_leader(true);
        if let Some(user) = &config.user {
            options = options.with_user(user, config.password.clone().unwrap_or_default());
        }
        if let Some(tls) = tls(config)? {
            options = options.with_tls(tls);
        }
        let connect = Client::connect(&config.endpoints, Some(options));
        let client = tokio::time::timeout(CALL_MAX, connect).await.context("etcd does not answer")?.context("etcd")?;
        Ok(Self { client, prefix: config.prefix.clone() })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn tls(config: &EtcdConfig) -> anyhow::Result<Option<TlsOptions>> {
    let read = |path| std::fs::read(path).with_context(|| format!("cannot read {}", std::path::Path::display(path)));
    let Some(ca) = &config.ca_file else { return Ok(None) };
    let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?));
    if let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(Some(tls))
}

#[async_trait]
impl Store for Etcd {
    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        let mut kv = self.client.kv_client().max_decoding_message_size(LISTING_BYTES_MAX);
        let answer = within(kv.get(self.key(prefix), Some(GetOptions::new().with_prefix()))).await?;
        let revision = revision(answer.header());
        let entries = answer.kvs().iter().filter_map(|kv| entry(&self.prefix, kv)).collect();
        Ok(Listing { revision, entries })
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let expect = |expect: &lyceum_control_core::kv::Expect| {
            Compare::mod_revision(
                self.key(&expect.key),
                CompareOp::Equal,
                i64::try_from(expect.revision).unwrap_or(i64::MAX),
            )
        };
        let write = |write: Write| match write {
            Write::Put { key, value, lease } => {
                let bound = lease.map(|lease| PutOptions::new().with_lease(lease.0));
                TxnOp::put(self.key(&key), value, bound)
            }
            Write::Delete { key } => TxnOp::delete(self.key(&key), None),
        };
        let when: Vec<Compare> = commit.expect.iter().map(expect).collect();
        let then: Vec<TxnOp> = commit.write.into_iter().map(write).collect();
        let answer = within(self.client.kv_client().txn(Txn::new().when(when).and_then(then))).await?;
        let revision = revision(answer.header());
        Ok(if answer.succeeded() { Outcome::Done { revision } } else { Outcome::Conflict })
    }

    async fn lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = i64::try_from(ttl.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
        let answer = within(self.client.lease_client().grant(seconds, None)).await?;
        Ok(LeaseId(answer.id()))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        within(self.client.lease_client().keep_alive(lease.0)).await?;
        Ok(())
    }

    async fn watch(&self, prefix: &str, after: u64) -> Result<Watch, StoreError> {
        let from = i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX);
        let options = WatchOptions::new().with_prefix().with_start_revision(from);
        let watch = within(self.client.watch_client().watch(self.key(prefix), Some(options))).await?;
        let state = Some((watch, self.prefix.clone()));
        let news = stream::unfold(state, |state| async move {
            let (mut watch, prefix) = state?;
            match next(&mut watch, &prefix).await {
                Ok(changes) => Some((Ok(changes), Some((watch, prefix)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(news.boxed())
    }
}

/// The next commit's changes.
async fn next(watch: &mut WatchStream, prefix: &str) -> Result<Vec<Change>, StoreError> {
    loop {
        let message = watch.message().await.map_err(fault)?;
        let message = message.ok_or_else(|| StoreError::Away("the watch ended".into()))?;
        if message.compact_revision() > 0 {
            return Err(StoreError::Behind("the revision was compacted".into()));
        }
        if message.canceled() {
            return Err(StoreError::Behind(message.cancel_reason().to_owned()));
        }
        let change = |event: &etcd_client::Event| {
            let kv = event.kv()?;
            Some(match event.event_type() {
                EventType::Put => Change::Put(entry(prefix, kv)?),
                EventType::Delete => {
                    let key = kv.key_str().ok()?.strip_prefix(prefix)?.to_owned();
                    Change::Gone { key, revision: u64::try_from(kv.mod_revision()).ok()? }
                }
            })
        };
        let changes: Vec<Change> = message.events().iter().filter_map(change).collect();
        if !changes.is_empty() {
            return Ok(changes);
        }
    }
}

fn entry(prefix: &str, kv: &KeyValue) -> Option<Entry> {
    Some(Entry {
        key: kv.key_str().ok()?.strip_prefix(prefix)?.to_owned(),
        value: kv.value().to_vec(),
        revision: u64::try_from(kv.mod_revision()).ok()?,
        lease: (kv.lease() != 0).then_some(LeaseId(kv.lease())),
    })
}

fn revision(header: Option<&etcd_client::ResponseHeader>) -> u64 {
    header.and_then(|header| u64::try_from(header.revision()).ok()).unwrap_or(0)
}

async fn within<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(CALL_MAX, call).await {
        Ok(answer) => answer.map_err(fault),
        Err(_) => Err(StoreError::Away(format!("no answer within {} s", CALL_MAX.as_secs()))),
    }
}

/// gRPC codes by whose fault they are (as etcd uses them).
fn fault(error: Error) -> StoreError {
    const INVALID_ARGUMENT: i32 = 3;
    const NOT_FOUND: i32 = 5;
    const PERMISSION_DENIED: i32 = 7;
    const UNAUTHENTICATED: i32 = 16;
    match &error {
        Error::LeaseKeepAliveError(_) => StoreError::LeaseGone,
        // "requested lease not found": nothing else we ask for by name can be missing.
        Error::GRpcStatus(status) if status.code() as i32 == NOT_FOUND => StoreError::LeaseGone,
        Error::GRpcStatus(status)
            if [INVALID_ARGUMENT, PERMISSION_DENIED, UNAUTHENTICATED].contains(&(status.code() as i32)) =>
        {
            StoreError::Refused(status.message().to_owned())
        }
        Error::GRpcStatus(status) => StoreError::Away(status.message().to_owned()),
        _ => StoreError::Away(error.to_string()),
    }
}
