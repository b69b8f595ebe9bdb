//! The links to other nodes: which are wanted, and with which certificate they are made.
//!
//! ```text
//!   keeper ── want(room, nodes) ──► Links ──► relay::mesh (QUIC) ── FromLink ──► shards
//!   shards ── messages, datagrams ──► Links ──┘
//!   control plane ── certificate ──► Links      (asked for at the start, now and then, and when its keys have changed)
//! ```

use crate::control::ControlPlane;
use crate::doors::{Doors, stopped};
use anyhow::{Context, Result};
use bytes::Bytes;
use lyceum_edge_core::door::Command;
use lyceum_relay::certificates::{Identity, Request};
use lyceum_relay::mesh::{Config, LinkState, Mesh};
use lyceum_wire::api::NodeAddress;
use lyceum_wire::id::{NodeId, RoomId};
use lyceum_wire::link::Message;
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// The certificate is asked for again this often: a fraction of the shortest life a control plane gives it.
const RENEW_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// Pause after a call for a certificate that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Longest of these pauses.
const RETRY_LONGEST: Duration = Duration::from_secs(5);

/// The links of this node. Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Links(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    doors: Arc<Doors>,
    /// Set once the node has its first certificate.
    mesh: OnceLock<Mesh<Command>>,
    /// What rooms wanted before that.
    early: Mutex<BTreeMap<RoomId, Vec<NodeAddress>>>,
    renewal: Notify,
}

impl Links {
    pub(crate) fn new(doors: Arc<Doors>) -> Self {
        Self(Arc::new(Shared { doors, mesh: OnceLock::new(), early: Mutex::default(), renewal: Notify::new() }))
    }

    /// The nodes that host this room with us. None: the room wants no links any more.
    pub(crate) fn want(&self, room: &RoomId, nodes: &[NodeAddress]) {
        // Held over both branches, so that no wish falls between the start's hand-over and the mesh.
        let mut early = self.0.early.lock().unwrap_or_else(PoisonError::into_inner);
        match self.0.mesh.get() {
            Some(mesh) => mesh.want(room, nodes),
            None if nodes.is_empty() => drop(early.remove(room)),
            None => drop(early.insert(room.clone(), nodes.to_vec())),
        }
    }

    /// Writes a message to a node. Without a link it goes nowhere: both sides start anew when there is one.
    pub(crate) fn send(&self, node: &NodeId, message: &Message) {
        if let Some(mesh) = self.0.mesh.get() {
            mesh.send(node, message);
        }
    }

    /// Sends datagrams to a node.
    pub(crate) fn send_datagrams(&self, node: &NodeId, datagrams: Vec<Bytes>) {
        if let Some(mesh) = self.0.mesh.get() {
            mesh.send_datagrams(node, datagrams);
        }
    }

    /// Every link as it stands.
    pub(crate) fn states(&self) -> Vec<LinkState> {
        self.0.mesh.get().map(Mesh::links).unwrap_or_default()
    }

    /// The control plane's keys have changed: its certificate authority may have, too.
    pub(crate) fn renew(&self) {
        self.0.renewal.notify_one();
    }

    /// Gets the certificate, starts the mesh and renews the certificate, until `stop` turns true. `linked` turns true
    /// when links may stand; `fault` is told when they never will.
    pub(crate) async fn run(
        self,
        socket: UdpSocket,
        control: ControlPlane,
        linked: watch::Sender<bool>,
        fault: tokio::sync::mpsc::Sender<String>,
        mut stop: watch::Receiver<bool>,
    ) {
        tokio::select! {
            () = stopped(&mut stop) => {}
            failed = self.work(socket, control, linked) => if let Err(error) = failed {
                // The receiver lives as long as the edge.
                let _ = fault.send(format!("links: {error:#}")).await;
            }
        }
        if let Some(mesh) = self.0.mesh.get() {
            mesh.close().await;
        }
    }

    async fn work(&self, socket: UdpSocket, control: ControlPlane, linked: watch::Sender<bool>) -> Result<()> {
        let doors = &self.0.doors;
        let identity = certified(&doors.node, &control).await?;
        let shards = doors.shards.iter().map(|shard| shard.commands.clone()).collect();
        let config = Config { node: doors.node.clone(), region: doors.region.clone(), socket, identity };
        let mesh = Mesh::start(config, shards).context("cannot start")?;
        {
            let mut early = self.0.early.lock().unwrap_or_else(PoisonError::into_inner);
            for (room, nodes) in std::mem::take(&mut *early) {
                mesh.want(&room, &nodes);
            }
            // It was empty: this is the only place that sets it.
            let _ = self.0.mesh.set(mesh.clone());
        }
        linked.send_replace(true);
        loop {
            let _ = tokio::time::timeout(RENEW_EVERY, self.0.renewal.notified()).await;
            let identity = certified(&doors.node, &control).await?;
            match mesh.renew(&identity) {
                Ok(()) => tracing::debug!("the links' certificate is renewed"),
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the new certificate cannot be used"),
            }
        }
    }
}

/// Asks until there is one. An error: this node's id can never have one.
async fn certified(node: &NodeId, control: &ControlPlane) -> Result<Identity> {
    let mut pause = RETRY;
    loop {
        let request = Request::new(node)?;
        match control.certificate(request.csr_pem.clone()).await {
            Ok(answer) => return Ok(request.answered(answer.certificate_pem, answer.ca_pem)),
            Err(error) if pause == RETRY => {
                tracing::warn!(error = format!("{error:#}"), "no certificate for links yet; trying on");
            }
            Err(error) => tracing::debug!(error = format!("{error:#}"), "still no certificate for links"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_LONGEST);
    }
}
