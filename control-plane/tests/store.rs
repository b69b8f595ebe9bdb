//! One contract, two stores: every case runs against the store in memory and against a real etcd.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{EtcdProcess, PATIENCE};
use futures_util::StreamExt;
use lyceum_control::store::{Etcd, Memory, Store, StoreError, Watch};
use lyceum_control_core::kv::{Change, Commit, Expect, LeaseId, Outcome, Write};
use std::sync::Arc;
use std::time::Duration;

type Shared = Arc<dyn Store>;

/// A fresh, empty store for each case.
trait Shop {
    async fn fresh(&mut self) -> Shared;
}

struct InMemory;

impl Shop for InMemory {
    async fn fresh(&mut self) -> Shared {
        Arc::new(Memory::new())
    }
}

struct InEtcd(EtcdProcess, u32);

impl Shop for InEtcd {
    async fn fresh(&mut self) -> Shared {
        self.1 += 1;
        Arc::new(Etcd::connect(&self.0.config(&format!("case-{}/", self.1))).await.unwrap())
    }
}

async fn keeps_the_contract(shop: &mut impl Shop) {
    an_entry_carries_the_revision_of_its_last_commit(shop.fresh().await).await;
    a_listing_is_by_prefix_and_in_order(shop.fresh().await).await;
    a_commit_is_all_or_nothing_and_has_one_revision(shop.fresh().await).await;
    expectations_tell_absent_from_changed(shop.fresh().await).await;
    of_many_who_swap_at_once_none_is_lost(shop.fresh().await).await;
    a_key_that_comes_back_has_a_greater_revision(shop.fresh().await).await;
    a_watch_tells_everything_after_its_revision_once_and_in_order(shop.fresh().await).await;
    a_lease_takes_its_entries_with_it_unless_kept_alive(shop.fresh().await).await;
    a_lease_that_is_gone_is_said_to_be(shop.fresh().await).await;
    values_are_bytes_and_may_be_large(shop.fresh().await).await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(&mut InMemory).await;
}

#[tokio::test]
async fn etcd_keeps_the_contract() {
    keeps_the_contract(&mut InEtcd(EtcdProcess::start().await, 0)).await;
}

#[tokio::test]
async fn etcd_keeps_the_contract_over_tls_and_lets_no_stranger_in() {
    let etcd = EtcdProcess::start_tls().await;
    let mut stranger = etcd.config("case-1/");
    (stranger.certificate_file, stranger.key_file) = (None, None);
    let refused = Etcd::connect(&stranger).await.unwrap().list("").await;
    assert!(refused.is_err(), "without a certificate");
    keeps_the_contract(&mut InEtcd(etcd, 0)).await;
}

#[tokio::test]
async fn a_store_that_went_away_says_so_and_is_used_again_when_it_is_back() {
    let mut etcd = EtcdProcess::start().await;
    let store = Etcd::connect(&etcd.config("a/")).await.unwrap();
    let revision = done(store.commit(Commit { expect: vec![], write: vec![put("k", "1")] }).await);
    let mut watch = store.watch("", revision).await.unwrap();
    etcd.kill();
    assert!(matches!(next(&mut watch).await, Err(StoreError::Away(_))), "the watch ends with the reason");
    assert!(watch.next().await.is_none());
    assert!(matches!(store.list("").await, Err(StoreError::Away(_))));
    assert!(matches!(store.lease(Duration::from_secs(5)).await, Err(StoreError::Away(_))));
    etcd.resume().await;
    common::eventually("the same client lists again", async || store.list("").await.ok()).await;
    let listing = store.list("").await.unwrap();
    assert_eq!(listing.entries[0].revision, revision, "what was said to be written is there");
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_is_told_to_list_again() {
    let etcd = EtcdProcess::start().await;
    let store = Etcd::connect(&etcd.config("a/")).await.unwrap();
    let first = done(store.commit(Commit { expect: vec![], write: vec![put("k", "1")] }).await);
    for i in 0..5 {
        done(store.commit(Commit { expect: vec![], write: vec![put("k", &i.to_string())] }).await);
    }
    let mut raw = etcd_client::Client::connect([etcd.url()], None).await.unwrap();
    raw.compact(i64::try_from(first).unwrap() + 4, None).await.unwrap();
    let behind = match store.watch("", first).await {
        Ok(mut watch) => next(&mut watch).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(behind, StoreError::Behind(_)), "{behind}");
}

async fn an_entry_carries_the_revision_of_its_last_commit(store: Shared) {
    let empty = store.list("").await.unwrap();
    assert!(empty.entries.is_empty());
    let first = done(store.commit(Commit { expect: vec![], write: vec![put("a", "1")] }).await);
    assert!(first > empty.revision);
    let second = done(store.commit(Commit { expect: vec![], write: vec![put("b", "1")] }).await);
    assert!(second > first);
    let listing = store.list("").await.unwrap();
    assert_eq!(listing.revision, second);
    let revisions: Vec<u64> = listing.entries.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [first, second]);
    assert_eq!(listing.entries[0].lease, None);
}

async fn a_listing_is_by_prefix_and_in_order(store: Shared) {
    let keys = ["rooms/b", "nodes/x", "rooms/a", "rooms", "rooms0", "roomsy/z"];
    let write = keys.iter().map(|key| put(key, "v")).collect();
    done(store.commit(Commit { expect: vec![], write }).await);
    let listing = store.list("rooms/").await.unwrap();
    let there: Vec<&str> = listing.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(there, ["rooms/a", "rooms/b"]);
    assert!(store.list("nobody/").await.unwrap().entries.is_empty());
    assert_eq!(store.list("").await.unwrap().entries.len(), keys.len());
}

async fn a_commit_is_all_or_nothing_and_has_one_revision(store: Shared) {
    let revision = done(store.commit(Commit { expect: vec![], write: vec![put("a", "1"), put("b", "1")] }).await);
    let revisions: Vec<u64> = store.list("").await.unwrap().entries.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [revision, revision]);
    let expect = vec![is("a", revision), is("b", revision - 1)];
    let outcome = store.commit(Commit { expect, write: vec![put("a", "2"), delete("b")] }).await.unwrap();
    assert_eq!(outcome, Outcome::Conflict);
    assert_eq!(store.list("").await.unwrap().revision, revision, "nothing was written");
    let expect = vec![is("a", revision), is("b", revision), is("c", 0)];
    done(store.commit(Commit { expect, write: vec![put("a", "2"), delete("b")] }).await);
    let entries = store.list("").await.unwrap().entries;
    assert_eq!((entries.len(), entries[0].value.as_slice()), (1, b"2".as_slice()));
}

async fn expectations_tell_absent_from_changed(store: Shared) {
    let new = || Commit { expect: vec![is("k", 0)], write: vec![put("k", "mine")] };
    done(store.commit(new()).await);
    assert_eq!(store.commit(new()).await.unwrap(), Outcome::Conflict, "there is one already");
    done(store.commit(Commit { expect: vec![], write: vec![delete("k")] }).await);
    done(store.commit(new()).await);
    let nothing = store.commit(Commit { expect: vec![], write: vec![delete("nobody")] }).await;
    assert!(nothing.is_ok(), "removing what is not there is no fault");
}

async fn of_many_who_swap_at_once_none_is_lost(store: Shared) {
    const WRITERS: usize = 24;
    let swap = |store: Shared| async move {
        loop {
            let entry = store.list("n").await.unwrap().entries.into_iter().next();
            let (seen, count) =
                entry.map_or((0, 0), |e| (e.revision, String::from_utf8(e.value).unwrap().parse().unwrap()));
            let count: usize = count + 1;
            let commit = Commit { expect: vec![is("n", seen)], write: vec![put("n", &count.to_string())] };
            if let Outcome::Done { .. } = store.commit(commit).await.unwrap() {
                return;
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|_| tokio::spawn(swap(store.clone()))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(store.list("n").await.unwrap().entries[0].value, WRITERS.to_string().into_bytes());
}

async fn a_key_that_comes_back_has_a_greater_revision(store: Shared) {
    let first = done(store.commit(Commit { expect: vec![], write: vec![put("k", "1")] }).await);
    let gone = done(store.commit(Commit { expect: vec![], write: vec![delete("k")] }).await);
    let again = done(store.commit(Commit { expect: vec![is("k", 0)], write: vec![put("k", "1")] }).await);
    assert!(first < gone && gone < again, "room maps' epochs lean on this");
}

async fn a_watch_tells_everything_after_its_revision_once_and_in_order(store: Shared) {
    done(store.commit(Commit { expect: vec![], write: vec![put("rooms/old", "1")] }).await);
    let listing = store.list("rooms/").await.unwrap();
    // Between listing and watching.
    done(store.commit(Commit { expect: vec![], write: vec![put("rooms/a", "1")] }).await);
    let mut watch = store.watch("rooms/", listing.revision).await.unwrap();
    done(store.commit(Commit { expect: vec![], write: vec![put("nodes/x", "1")] }).await);
    done(store.commit(Commit { expect: vec![], write: vec![put("rooms/a", "2"), delete("rooms/old")] }).await);
    done(store.commit(Commit { expect: vec![], write: vec![put("rooms/end", "1")] }).await);
    let mut told = Vec::new();
    let mut last = listing.revision;
    while !told.iter().any(|line| line == "rooms/end=1") {
        for change in next(&mut watch).await.unwrap() {
            assert!(change.revision() >= last, "in order");
            last = change.revision();
            told.push(match change {
                Change::Put(entry) => format!("{}={}", entry.key, String::from_utf8(entry.value).unwrap()),
                Change::Gone { key, .. } => format!("{key} gone"),
            });
        }
    }
    told[1..3].sort();
    assert_eq!(told, ["rooms/a=1", "rooms/a=2", "rooms/old gone", "rooms/end=1"]);
}

async fn a_lease_takes_its_entries_with_it_unless_kept_alive(store: Shared) {
    let ttl = Duration::from_secs(2);
    let (dies, lives) = (store.lease(ttl).await.unwrap(), store.lease(ttl).await.unwrap());
    let bound = |key: &str, lease| Write::Put { key: key.into(), value: b"1".into(), lease: Some(lease) };
    let write = vec![bound("dies", dies), bound("lives", lives), put("free", "1")];
    let revision = done(store.commit(Commit { expect: vec![], write }).await);
    assert_eq!(store.list("dies").await.unwrap().entries[0].lease, Some(dies));
    let mut watch = store.watch("", revision).await.unwrap();
    let keeper = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                store.keep_alive(lives).await.unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    });
    let changes = next(&mut watch).await.unwrap();
    keeper.abort();
    assert!(matches!(&changes[..], [Change::Gone { key, .. }] if key == "dies"), "{changes:?}");
    let there: Vec<String> = store.list("").await.unwrap().entries.into_iter().map(|entry| entry.key).collect();
    assert_eq!(there, ["free", "lives"]);
    assert!(matches!(store.keep_alive(dies).await, Err(StoreError::LeaseGone)));
}

async fn a_lease_that_is_gone_is_said_to_be(store: Shared) {
    let nobodys = LeaseId(0x1234_5678);
    assert!(matches!(store.keep_alive(nobodys).await, Err(StoreError::LeaseGone)));
    let write = vec![Write::Put { key: "k".into(), value: b"1".into(), lease: Some(nobodys) }];
    assert!(matches!(store.commit(Commit { expect: vec![], write }).await, Err(StoreError::LeaseGone)));
    assert!(store.list("").await.unwrap().entries.is_empty());
}

async fn values_are_bytes_and_may_be_large(store: Shared) {
    let value: Vec<u8> = (0..=255).cycle().take(512 << 10).collect();
    let write = vec![Write::Put { key: "k".into(), value: value.clone(), lease: None }];
    done(store.commit(Commit { expect: vec![], write }).await);
    assert!(store.list("k").await.unwrap().entries[0].value == value);
}

fn put(key: &str, value: &str) -> Write {
    Write::Put { key: key.into(), value: value.into(), lease: None }
}

fn delete(key: &str) -> Write {
    Write::Delete { key: key.into() }
}

fn is(key: &str, revision: u64) -> Expect {
    Expect { key: key.into(), revision }
}

fn done(outcome: Result<Outcome, StoreError>) -> u64 {
    match outcome.unwrap() {
        Outcome::Done { revision } => revision,
        Outcome::Conflict => panic!("an unconditional commit does not conflict"),
    }
}

async fn next(watch: &mut Watch) -> Result<Vec<Change>, StoreError> {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("nothing happens").expect("the watch ended silently")
}
