//! What Prometheus reads.

use crate::client::Client;
use crate::edge;
use crate::plane::Plane;
use lyceum_edge::edge::Edge;
use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels, as they stand on the page. Panics where Prometheus would refuse the page.
pub(crate) async fn scrape(edge: &Edge) -> BTreeMap<String, f64> {
    let answer = reqwest::get(format!("{}/metrics", edge.url)).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut family = (String::new(), String::new());
    for line in answer.text().await.unwrap().lines() {
        if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, kind) = said.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} stands there twice");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family = (name.to_owned(), kind.to_owned());
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert_eq!(name, family.0, "{line} stands in another family");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} stands there twice");
        }
    }
    samples
}

#[tokio::test]
async fn everything_that_happens_is_counted() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let before = scrape(&edge).await;
    assert_eq!(before["lyceum_participants"], 0.0);
    assert_eq!(before["lyceum_shard_answers{shard=\"1\"}"], 1.0);
    assert_eq!(before["lyceum_info{node=\"eu-1\",region=\"eu\"}"], 1.0);

    let (_ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let (mut ben, _) = Client::join(&edge, &plane.token("chemistry", "Ben")).await;
    let mut eve = Client::connect(&edge, "").await;
    eve.hello(&plane.expired("physics"), None).await;
    eve.refused().await;
    eve.closed().await;
    ben.send("nonsense").await;
    ben.refused().await;
    let garbage = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..10 {
        garbage.send_to(&[0xff; 200], edge.media[0]).await.unwrap();
    }

    let after = loop {
        let after = scrape(&edge).await;
        // Datagrams take their own way: they are there soon.
        if after["lyceum_media_datagrams_in_total"] >= 10.0 {
            break after;
        }
    };
    assert_eq!(after["lyceum_participants"], 2.0);
    assert_eq!(after["lyceum_rooms"], 2.0);
    assert_eq!(after["lyceum_refusals_total{code=\"expired_token\"}"], 1.0);
    assert_eq!(after["lyceum_refusals_total{code=\"malformed\"}"], 1.0);
    assert_eq!(after["lyceum_sockets{state=\"open\"}"], 2.0);
    assert!(after["lyceum_signal_messages_total{direction=\"in\"}"] >= 3.0);
    let dropped_at_the_door: f64 = after
        .iter()
        .filter(|(series, _)| series.starts_with("lyceum_drops_total") && series.contains("stage=\"door\""))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(dropped_at_the_door, 10.0, "every garbage datagram has a reason");
    for (series, value) in &before {
        let name = series.split('{').next().unwrap();
        assert!(!name.ends_with("_total") || after[series] >= *value, "{series} fell");
    }
    edge.stop().await.unwrap();
}
