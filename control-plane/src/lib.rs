//! The control plane: an HTTP API over a store. It places participants on edges, keeps who hosts which room, mints
//! join tokens and signs the nodes' certificates. Normative: `docs/protocol/api.md`.
//!
//! ```text
//!   clients, applications, nodes ──HTTP──▶ api ──▶ Directory (pure, in memory: answers joins)
//!                                           │          ▲ changes
//!                                           ▼          │
//!                                         Store (memory | etcd)
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod config;
mod duration;
mod keys;
mod metrics;
mod state;
pub mod store;

pub use api::router;
pub use config::{CaFiles, Config, EtcdConfig, SECRET_BYTES_MIN, StoreConfig};
pub use state::State;

use anyhow::Context;
use axum::Router;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::{info, warn};

/// How long requests under way may take to finish when the control plane stops.
pub const STOP_MAX: Duration = Duration::from_secs(5);

/// A running control plane.
pub struct Handle {
    /// The address it listens on.
    pub address: SocketAddr,
    /// Its state.
    pub state: State,
    stop: tokio::sync::watch::Sender<bool>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Handle {
    /// The API's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes no new requests, gives those under way [`STOP_MAX`] to finish, ends the background work.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.state.stop();
        self.stop.send_replace(true);
        match tokio::time::timeout(STOP_MAX, &mut self.server).await {
            Ok(ended) => ended.context("the API's task")?.context("the API's server"),
            Err(_) => {
                warn!("requests were still under way when the control plane stopped");
                self.server.abort();
                Ok(())
            }
        }
    }
}

/// Starts a control plane on [`Config::listen`].
pub async fn serve(config: Config) -> anyhow::Result<Handle> {
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    serve_on(config, listener, |api| api).await
}

/// Starts a control plane on a socket that is bound already, with something beside the API, such as a page:
/// `serve_on(config, listener, |api| api.fallback_service(page))`. Paths below `/v1/` never reach that fallback.
pub async fn serve_on(
    config: Config,
    listener: TcpListener,
    extend: impl FnOnce(Router) -> Router,
) -> anyhow::Result<Handle> {
    let address = listener.local_addr()?;
    let state = State::start(&config).await?;
    let app = extend(router(state.clone())).into_make_service_with_connect_info::<SocketAddr>();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(async move {
        let ended = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        axum::serve(listener, app).with_graceful_shutdown(ended).await
    });
    info!(%address, open = config.open, "the control plane listens");
    Ok(Handle { address, state, stop, server })
}
