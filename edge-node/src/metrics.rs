//! `GET /metrics`: what every shard, its wheel and the doors have counted, summed at the moment of the scrape.
//!
//! Nothing is shared on the packet path: a shard answers a scrape with a snapshot of its own plain numbers.

use crate::counters::Counters;
use crate::doors::Doors;
use crate::exposition::{CONTENT_TYPE, Kind, Page};
use crate::http::At;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lyceum_edge_core::door::Command;
use lyceum_edge_core::stats::Stats;
use lyceum_relay::driver::Snapshot;
use lyceum_relay::mesh::{LinkState, LinkStats};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A shard answers a scrape within microseconds; what is missing after this is shown as a shard that does not answer.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(1);

/// `GET /metrics`.
pub(crate) async fn metrics(State(At { doors, links }): State<At>) -> Response {
    let asked = doors.shards.iter().enumerate().map(|(shard, _)| snapshot(&doors, shard));
    let snapshots = futures_util::future::join_all(asked).await;
    let wheels: Vec<Snapshot> = doors.shards.iter().map(|shard| shard.wheel.snapshot()).collect();
    let page = write(&doors, &snapshots, &wheels, &links.states());
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

async fn snapshot(doors: &Doors, shard: usize) -> Option<Box<Stats>> {
    let mut question = doors.snapshots.ask()?;
    let asked = async {
        let sent = doors.command(shard, Command::Stats { request: question.id }).await;
        if sent { (&mut question.answer).await.ok() } else { None }
    };
    tokio::time::timeout(SNAPSHOT_TIME_MAX, asked).await.ok().flatten()
}

type Read = fn(&Stats) -> f64;

/// Plain numbers of a shard: name, kind, help, and where to read it.
const PLAIN: [(&str, Kind, &str, Read); 35] = [
    ("lyceum_rooms", Kind::Gauge, "Rooms hosted.", |s| s.rooms.into()),
    ("lyceum_room_branches", Kind::Gauge, "Parts of rooms on other shards than their own.", |s| s.branches.into()),
    ("lyceum_participants", Kind::Gauge, "Participants, all ways in taken together.", |s| s.participants.into()),
    ("lyceum_published_tracks", Kind::Gauge, "Tracks published here.", |s| s.published.into()),
    ("lyceum_slots", Kind::Gauge, "Receive slots of subscribers.", |s| s.slots.into()),
    ("lyceum_slots_paused", Kind::Gauge, "Slots whose pictures the way to their subscriber does not carry.", |s| {
        s.slots_paused.into()
    }),
    ("lyceum_subscribers_estimated", Kind::Gauge, "Subscribers who have told what arrives.", |s| s.estimated.into()),
    (
        "lyceum_subscribers_estimate_bits_per_second",
        Kind::Gauge,
        "What the ways to these subscribers are taken to carry, summed.",
        |s| s.estimate_bps as f64,
    ),
    ("lyceum_paced_bytes", Kind::Gauge, "Media that wait to leave at the pace of their way.", |s| s.paced_bytes as f64),
    ("lyceum_turn_allocations", Kind::Gauge, "TURN allocations that stand.", |s| s.allocations.into()),
    ("lyceum_media_datagrams_in_total", Kind::Counter, "Datagrams received.", |s| s.datagrams_in as f64),
    ("lyceum_media_bytes_in_total", Kind::Counter, "Bytes received.", |s| s.bytes_in as f64),
    ("lyceum_media_datagrams_out_total", Kind::Counter, "Datagrams sent.", |s| s.datagrams_out as f64),
    ("lyceum_media_bytes_out_total", Kind::Counter, "Bytes sent.", |s| s.bytes_out as f64),
    ("lyceum_forwarded_packets_total", Kind::Counter, "RTP packets sent to subscribers, repairs included.", |s| {
        s.packets_forwarded as f64
    }),
    ("lyceum_probes_total", Kind::Counter, "Packets sent only to see what a way carries.", |s| s.probes as f64),
    ("lyceum_retransmissions_total", Kind::Counter, "Packets sent again.", |s| s.retransmissions as f64),
    ("lyceum_nacks_sent_total", Kind::Counter, "Packets asked again of publishers.", |s| s.nacks_sent as f64),
    ("lyceum_nacks_received_total", Kind::Counter, "Packets subscribers asked again.", |s| s.nacks_received as f64),
    ("lyceum_keyframe_requests_total", Kind::Counter, "Key frames asked of publishers here, merged.", |s| {
        s.keyframe_requests as f64
    }),
    ("lyceum_keyframe_requests_links_total", Kind::Counter, "Key frames asked for over links, merged.", |s| {
        s.keyframe_requests_links as f64
    }),
    ("lyceum_keyframe_requests_received_total", Kind::Counter, "Key frames subscribers asked for.", |s| {
        s.keyframe_requests_received as f64
    }),
    ("lyceum_link_media_in_total", Kind::Counter, "Media datagrams from links.", |s| s.link_datagrams_in as f64),
    ("lyceum_link_media_out_total", Kind::Counter, "Media datagrams to links.", |s| s.link_datagrams_out as f64),
    ("lyceum_part_media_in_total", Kind::Counter, "Media datagrams from other shards of this node.", |s| {
        s.part_datagrams_in as f64
    }),
    ("lyceum_part_media_out_total", Kind::Counter, "Media datagrams to other shards of this node.", |s| {
        s.part_datagrams_out as f64
    }),
    ("lyceum_link_asked_total", Kind::Counter, "Packets asked again of other nodes.", |s| s.link_asked as f64),
    ("lyceum_link_repaired_total", Kind::Counter, "Packets missing on links that came after all.", |s| {
        s.link_repaired as f64
    }),
    ("lyceum_link_repairs_sent_total", Kind::Counter, "Packets sent again to other nodes.", |s| {
        s.link_repairs_sent as f64
    }),
    (
        "lyceum_roster_written_total",
        Kind::Counter,
        "Roster entries written for clients, each once however many are told.",
        |s| s.roster_written as f64,
    ),
    ("lyceum_roster_messages_total", Kind::Counter, "Roster messages said to clients.", |s| s.roster_messages as f64),
    ("lyceum_roster_entries_total", Kind::Counter, "Roster entries in messages to clients.", |s| {
        s.roster_entries as f64
    }),
    ("lyceum_link_roster_messages_total", Kind::Counter, "Pages of the roster said to other nodes.", |s| {
        s.link_roster_messages as f64
    }),
    ("lyceum_link_roster_entries_total", Kind::Counter, "Roster entries said to other nodes.", |s| {
        s.link_roster_entries as f64
    }),
    ("lyceum_evictions_total", Kind::Counter, "Peers removed because of a fault of ours.", |s| s.evictions as f64),
];

fn write(doors: &Doors, snapshots: &[Option<Box<Stats>>], wheels: &[Snapshot], links: &[LinkState]) -> String {
    let mut page = Page::default();
    let known: Vec<&Stats> = snapshots.iter().flatten().map(Box::as_ref).collect();
    let labels = [("node", doors.node.as_str()), ("region", doors.region.as_str())];
    page.family("lyceum_info", Kind::Gauge, "Who this is.").value(&labels, 1.0);

    let mut answering = page.family("lyceum_shard_answers", Kind::Gauge, "1 while the shard answers.");
    for (shard, snapshot) in snapshots.iter().enumerate() {
        answering.value(&[("shard", &shard.to_string())], if snapshot.is_some() { 1.0 } else { 0.0 });
    }
    for (name, kind, help, read) in PLAIN {
        page.single(name, kind, help, known.iter().map(|stats| read(stats)).sum());
    }
    let mut sessions = page.family("lyceum_sessions", Kind::Gauge, "Sessions by state.");
    let sum = |read: fn(&Stats) -> u32| known.iter().map(|stats| f64::from(read(stats))).sum::<f64>();
    sessions.value(&[("state", "media_connected")], sum(|s| s.connected));
    sessions.value(&[("state", "waiting_for_socket")], sum(|s| s.waiting));

    let mut drops: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (kind, count) in known.iter().flat_map(|stats| &stats.drops) {
        *drops.entry((kind.stage, kind.reason)).or_default() += count;
    }
    for (name, count) in wheels.iter().flat_map(Snapshot::named) {
        if let Some(reason) = name.strip_prefix("dropped_") {
            *drops.entry(("wheel", reason)).or_default() += count;
        }
    }
    let help = "Things that ended early, by the stage that ended them and the reason.";
    let mut family = page.family("lyceum_drops_total", Kind::Counter, help);
    for ((stage, reason), count) in drops {
        family.value(&[("stage", stage), ("reason", reason)], count as f64);
    }
    let mut refusals = sums(known.iter().map(|stats| &stats.refusals));
    for (code, count) in doors.counters.refusals() {
        *refusals.entry(code).or_default() += count;
    }
    by_label(&mut page, "lyceum_refusals_total", "Refusals said to clients, by code.", "code", &refusals);
    let departures = sums(known.iter().map(|stats| &stats.departures));
    by_label(&mut page, "lyceum_departures_total", "Participants that left, by reason.", "reason", &departures);

    write_links(&mut page, links);
    write_wheels(&mut page, wheels);
    write_doors(&mut page, doors);
    page.finish()
}

fn write_links(page: &mut Page, links: &[LinkState]) {
    let mut up = page.family("lyceum_link_up", Kind::Gauge, "1 while the link to the node stands.");
    for link in links {
        up.value(&[("peer", link.node.as_str())], if link.stats.is_some() { 1.0 } else { 0.0 });
    }
    let mut failures = page.family("lyceum_link_dial_failures_total", Kind::Counter, "Dials that failed.");
    for link in links {
        failures.value(&[("peer", link.node.as_str())], link.failures as f64);
    }
    type Field = fn(&LinkStats) -> f64;
    let fields: [(&str, Kind, &str, Field); 8] = [
        ("lyceum_link_rtt_seconds", Kind::Gauge, "Smoothed round-trip time.", |s| s.rtt.as_secs_f64()),
        ("lyceum_link_window_bytes", Kind::Gauge, "Bytes that may be under way.", |s| s.window_bytes as f64),
        ("lyceum_link_packets_out_total", Kind::Counter, "QUIC packets sent.", |s| s.packets_out as f64),
        ("lyceum_link_packets_lost_total", Kind::Counter, "QUIC packets lost.", |s| s.packets_lost as f64),
        ("lyceum_link_datagrams_out_total", Kind::Counter, "Media datagrams sent.", |s| s.datagrams_out as f64),
        ("lyceum_link_datagrams_in_total", Kind::Counter, "Media datagrams received.", |s| s.datagrams_in as f64),
        ("lyceum_link_messages_out_total", Kind::Counter, "Messages sent.", |s| s.messages_out as f64),
        ("lyceum_link_messages_in_total", Kind::Counter, "Messages received.", |s| s.messages_in as f64),
    ];
    let standing = || links.iter().filter_map(|link| Some((link.node.as_str(), link.stats.as_ref()?)));
    for (name, kind, help, read) in fields {
        let mut family = page.family(name, kind, help);
        standing().for_each(|(peer, stats)| family.value(&[("peer", peer)], read(stats)));
    }
    let mut drops = page.family("lyceum_link_drops_total", Kind::Counter, "Datagrams dropped at a link, by reason.");
    for (peer, stats) in standing() {
        let reasons = [
            ("send_queue_full", stats.dropped_send_queue_full),
            ("too_large", stats.dropped_too_large),
            ("shard_full", stats.dropped_shard_full),
            ("unknown", stats.dropped_unknown),
        ];
        for (reason, count) in reasons {
            drops.value(&[("peer", peer), ("reason", reason)], count as f64);
        }
    }
}

fn write_wheels(page: &mut Page, wheels: &[Snapshot]) {
    type Field = fn(&Snapshot) -> f64;
    let fields: [(&str, &str, Field); 9] = [
        ("lyceum_shard_busy_seconds_total", "Time a shard's thread worked; its rate is its share of a core.", |w| {
            w.busy_ns as f64 / 1e9
        }),
        ("lyceum_shard_idle_seconds_total", "Time a shard's thread slept.", |w| w.idle_ns as f64 / 1e9),
        ("lyceum_shard_turns_total", "Turns of a shard's wheel in which everything left.", |w| w.turns as f64),
        ("lyceum_shard_gathered_total", "Turns in which a busy shard let things gather.", |w| w.gathered as f64),
        ("lyceum_shard_sends_total", "Send calls to the kernel.", |w| w.sends as f64),
        ("lyceum_shard_commands_total", "Commands a shard took.", |w| w.commands as f64),
        ("lyceum_shard_events_total", "Events a shard said.", |w| w.events as f64),
        ("lyceum_shard_asides_total", "Commands other shards took from a shard.", |w| w.asides as f64),
        ("lyceum_shard_panics_total", "Panics contained.", |w| w.panics as f64),
    ];
    for (name, help, read) in fields {
        let mut family = page.family(name, Kind::Counter, help);
        for (shard, wheel) in wheels.iter().enumerate() {
            family.value(&[("shard", &shard.to_string())], read(wheel));
        }
    }
}

fn write_doors(page: &mut Page, doors: &Doors) {
    let (standing, before_hello) = doors.sockets.standing();
    let mut sockets = page.family("lyceum_sockets", Kind::Gauge, "WebSockets by state.");
    sockets.value(&[("state", "open")], standing.saturating_sub(before_hello) as f64);
    sockets.value(&[("state", "before_hello")], before_hello as f64);
    let closed = doors.counters.closings();
    by_label(page, "lyceum_sockets_closed_total", "WebSockets that ended, by reason.", "reason", &closed);
    let mut messages = page.family("lyceum_signal_messages_total", Kind::Counter, "Signaling messages.");
    messages.value(&[("direction", "in")], read(&doors.counters.messages_in));
    messages.value(&[("direction", "out")], read(&doors.counters.messages_out));
    let Counters { http_requests, control_failures, relay_bind_failures, relay_drops, .. } = &doors.counters;
    let counter = Kind::Counter;
    page.single("lyceum_http_media_requests_total", counter, "WHIP and WHEP requests.", read(http_requests));
    let help = "Calls to the control plane that failed.";
    page.single("lyceum_control_failures_total", counter, help, read(control_failures));
    let help = "TURN relay sockets that could not be bound.";
    page.single("lyceum_turn_relay_bind_failures_total", counter, help, read(relay_bind_failures));
    let help = "Relayed datagrams to peers outside that were not sent.";
    page.single("lyceum_turn_relay_drops_total", counter, help, read(relay_drops));
}

fn read(counter: &AtomicU64) -> f64 {
    counter.load(Ordering::Relaxed) as f64
}

fn sums<'a>(maps: impl Iterator<Item = &'a BTreeMap<&'static str, u64>>) -> BTreeMap<&'static str, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in maps.flatten() {
        *sums.entry(*name).or_default() += count;
    }
    sums
}

fn by_label(page: &mut Page, name: &'static str, help: &str, label: &str, values: &BTreeMap<&'static str, u64>) {
    let mut family = page.family(name, Kind::Counter, help);
    for (said, count) in values {
        family.value(&[(label, said)], *count as f64);
    }
}
