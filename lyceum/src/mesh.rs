//! `lyceum mesh`: everything in one process, speaking to each other exactly as separate processes would.

use crate::cli::MeshArgs;
use crate::page::page;
use crate::say;
use crate::stop::Stop;
use anyhow::{Context, Result, ensure};
use axum::Router;
use lyceum_edge::config::Config;
use lyceum_edge::edge::{self, Edge};
use lyceum_wire::id::Region;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::TcpListener;

/// Everything on one machine stands within this, or never.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// Runs until a signal.
pub(crate) async fn run(args: MeshArgs) -> Result<()> {
    let mut stop = Stop::listen()?;
    let regions: BTreeSet<&Region> = args.regions.iter().collect();
    ensure!(!regions.is_empty(), "--regions must name at least one region");
    ensure!(regions.len() == args.regions.len(), "--regions must not name a region twice");

    let listener = TcpListener::bind(args.listen).await.with_context(|| match args.listen.port() {
        0 => format!("cannot listen on {}", args.listen),
        _ => format!("cannot listen on {} (another --listen may be free, port 0 always is)", args.listen),
    })?;
    let address = listener.local_addr()?;
    let reached = reached_at(&args, address.ip())?;
    let secret = format!("{:032x}", rand::random::<u128>());
    let mut config = lyceum_control::Config::new(secret.clone());
    config.open = true;
    let extend = |api: Router| api.fallback(page);
    let control = lyceum_control::serve_on(config, listener, extend).await.context("the control plane")?;

    let mut edges = Vec::new();
    let own = SocketAddr::new(
        if address.ip().is_unspecified() { loopback(address.ip()) } else { address.ip() },
        address.port(),
    );
    for region in &args.regions {
        let config = edge_config(&args, region, reached, format!("http://{own}"), secret.clone());
        edges.push(edge::start(config).await.with_context(|| format!("the edge in {region}"))?);
    }
    let all_ready = async {
        for edge in &mut edges {
            edge.ready().await;
        }
    };
    tokio::select! {
        ready = tokio::time::timeout(START_TIME_MAX, all_ready) => {
            ready.map_err(|_| anyhow::anyhow!("the edges were not ready within {} s", START_TIME_MAX.as_secs()))?;
        }
        () = stop.wait() => return Ok(()),
    }

    describe(SocketAddr::new(reached, address.port()), &edges);
    let fault = tokio::select! {
        () = stop.wait() => None,
        fault = first_fault(&mut edges) => Some(fault),
    };
    tracing::info!("stopping");
    let clean_up = async {
        let stopped = futures_util::future::join_all(edges.into_iter().map(Edge::stop)).await;
        let control = control.stop().await;
        stopped.into_iter().collect::<Result<Vec<()>>>()?;
        control
    };
    stop.while_stopping(clean_up).await?;
    match fault {
        Some(fault) => anyhow::bail!(fault),
        None => Ok(()),
    }
}

fn describe(address: SocketAddr, edges: &[Edge]) {
    say(format_args!("ready http://{address}"));
    for edge in edges {
        let media: Vec<String> = edge.media.iter().map(ToString::to_string).collect();
        say(format_args!(
            "  {:8} {:12} {}   media udp {}   link udp {}",
            edge.region().as_str(),
            edge.node.as_str(),
            edge.url,
            media.join(" "),
            edge.link
        ));
    }
    if !address.ip().is_loopback() {
        say("  Browsers give camera and microphone to https pages and to localhost only: put a TLS proxy in front.");
    }
}

async fn first_fault(edges: &mut [Edge]) -> String {
    let faults = edges.iter_mut().map(|edge| Box::pin(edge.fault()));
    futures_util::future::select_all(faults).await.0
}

fn edge_config(args: &MeshArgs, region: &Region, reached: IpAddr, control: String, secret: String) -> Config {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut config = Config { node: format!("{region}-1"), region: region.to_string(), ..Config::default() };
    config.http.listen = SocketAddr::new(reached, 0);
    config.media.listen = reached;
    config.media.shards = if args.shards == 0 { (cores / args.regions.len()).max(1) } else { args.shards };
    config.media.split_viewers = args.split_viewers;
    config.link.listen = SocketAddr::new(loopback(reached), 0);
    config.control.url = control;
    config.control.node_secret = secret;
    config
}

/// The address by which clients reach this machine.
fn reached_at(args: &MeshArgs, listening: IpAddr) -> Result<IpAddr> {
    if let Some(announce) = args.announce {
        return Ok(announce);
    }
    if !listening.is_unspecified() {
        return Ok(listening);
    }
    // No packet is sent: connecting a UDP socket only asks the routing table which of our addresses faces the world.
    let (any, world): (SocketAddr, SocketAddr) = if listening.is_ipv4() {
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (Ipv4Addr::new(192, 0, 2, 1), 9).into())
    } else {
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into())
    };
    let facing = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(world)?;
        socket.local_addr()
    });
    Ok(facing.context("cannot tell which address others reach this machine by: say --announce")?.ip())
}

fn loopback(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}
