//! What Prometheus sees of a control plane.

use crate::store::StoreError;
use lyceum_control_core::directory::Count;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

/// One control plane's figures. Each has its own registry, so that several can live in one process.
pub(crate) struct Metrics {
    registry: Registry,
    /// Requests by route and status.
    pub(crate) requests: IntCounterVec,
    /// Time to an answer, all routes.
    pub(crate) seconds: Histogram,
    /// Joins by how they ended.
    pub(crate) joins: IntCounterVec,
    /// Calls of the store that failed, by what was asked and how it failed.
    store_failures: IntCounterVec,
    /// Times the store was listed anew.
    pub(crate) listings: prometheus::IntCounter,
    store_up: IntGauge,
    nodes: IntGauge,
    nodes_ready: IntGauge,
    rooms: IntGauge,
    participants: IntGauge,
    unreadable: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("lyceum_control".into()), None)?;
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0];
        let seconds =
            Histogram::with_opts(HistogramOpts::new("request_seconds", "Time to an answer.").buckets(buckets))?;
        registry.register(Box::new(seconds.clone()))?;
        let listings = prometheus::IntCounter::new("store_listings_total", "Times the store was listed anew.")?;
        registry.register(Box::new(listings.clone()))?;
        Ok(Self {
            requests: counters("requests_total", "Requests by route and status.", &["route", "status"])?,
            seconds,
            joins: counters("joins_total", "Joins by how they ended.", &["result"])?,
            store_failures: counters("store_failures_total", "Failed calls of the store.", &["call", "why"])?,
            listings,
            store_up: gauge("store_up", "1 while the store is followed.")?,
            nodes: gauge("nodes", "Registered nodes.")?,
            nodes_ready: gauge("nodes_ready", "Nodes that take participants.")?,
            rooms: gauge("rooms", "Rooms that somebody hosts.")?,
            participants: gauge("participants", "Participants, as nodes last reported.")?,
            unreadable: gauge("store_unreadable", "Entries of the store that could not be read since the start.")?,
            registry,
        })
    }

    /// Counts a failed call of the store.
    pub(crate) fn store_failed(&self, call: &str, error: &StoreError) {
        self.store_failures.with_label_values(&[call, error.word()]).inc();
    }

    /// All figures in Prometheus' text format.
    pub(crate) fn text(&self, count: Count, store_up: bool) -> String {
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.store_up, u64::from(store_up));
        set(&self.nodes, count.nodes as u64);
        set(&self.nodes_ready, count.ready as u64);
        set(&self.rooms, count.rooms as u64);
        set(&self.participants, count.participants);
        set(&self.unreadable, count.unreadable);
        let mut text = String::new();
        // Writing into a string does not fail, and the families were checked when they were registered.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }
}
