//! An edge with everything real but the control plane: sockets, shards, HTTP, WebSocket. The control plane is played,
//! so that it can go away, forget and lie.
#![allow(missing_docs, clippy::unwrap_used)]

mod client;
mod grants;
mod keeper;
mod metrics;
mod plane;
mod signal;
mod split;
mod whip;

use lyceum_edge::config::Config;
use lyceum_edge::edge::{self, Edge};
use lyceum_edge::units::Span;
use plane::Plane;

/// An edge that the played control plane has taken in.
async fn edge(plane: &Plane) -> Edge {
    edge_with(plane, |_| {}).await
}

async fn edge_with(plane: &Plane, change: impl FnOnce(&mut Config)) -> Edge {
    let mut config = Config { node: "eu-1".into(), region: "eu".into(), ..Config::default() };
    config.http.listen.set_port(0);
    config.media.shards = 2;
    config.control.url = plane.url.clone();
    config.control.node_secret = plane::NODE_SECRET.into();
    config.control.timeout = Span::ms(2_000);
    change(&mut config);
    let mut edge = edge::start(config).await.unwrap();
    tokio::time::timeout(plane::PATIENCE, edge.ready()).await.expect("the edge was not ready");
    edge
}
