//! `lyceum control` and `lyceum edge`: the roles as processes of their own.

use crate::cli::{ControlArgs, EdgeArgs};
use crate::page::page;
use crate::say;
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use lyceum_control::StoreConfig;
use lyceum_edge::config::Config;
use lyceum_edge::edge;
use std::path::Path;
use tokio::net::TcpListener;

/// `lyceum control`.
pub(crate) async fn control(args: ControlArgs) -> Result<()> {
    let mut stop = Stop::listen()?;
    let with_page = args.page;
    let config = control_config(args)?;
    let listener =
        TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let extend = move |api: axum::Router| if with_page { api.fallback(page) } else { api };
    let control = lyceum_control::serve_on(config, listener, extend).await?;
    say(format_args!("ready http://{}", control.address));
    stop.wait().await;
    tracing::info!("stopping");
    stop.while_stopping(control.stop()).await
}

fn control_config(args: ControlArgs) -> Result<lyceum_control::Config> {
    let node_secret = secret(args.node_secret, args.node_secret_file.as_deref())?;
    let api_secret = secret(args.api_secret, args.api_secret_file.as_deref())?;
    let mut config = match (&args.config, node_secret) {
        (Some(path), node_secret) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut table: toml::Table =
                toml::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
            if let Some(secret) = node_secret {
                table.insert("node_secret".into(), secret.into());
            }
            table.try_into().with_context(|| format!("cannot understand {}", path.display()))?
        }
        (None, Some(secret)) => {
            let mut config = lyceum_control::Config::new(secret);
            config.listen = ([127, 0, 0, 1], 8080).into();
            config
        }
        (None, None) => bail!("a node secret is wanted: LYCEUM_NODE_SECRET, --node-secret-file, or in --config"),
    };
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(secret) = api_secret {
        config.api_secret = Some(secret);
    }
    config.open |= args.open;
    if !args.etcd.is_empty() {
        let mut etcd = match std::mem::take(&mut config.store) {
            StoreConfig::Etcd(etcd) => etcd,
            StoreConfig::Memory => lyceum_control::EtcdConfig::default(),
        };
        etcd.endpoints = args.etcd;
        config.store = StoreConfig::Etcd(etcd);
    }
    if let (StoreConfig::Etcd(etcd), Some(prefix)) = (&mut config.store, args.etcd_prefix) {
        etcd.prefix = prefix;
    }
    config.check()?;
    Ok(config)
}

/// `lyceum edge`.
pub(crate) async fn edge(args: EdgeArgs) -> Result<()> {
    let mut stop = Stop::listen()?;
    let check = args.check;
    let config = edge_config(args)?;
    if check {
        config.check()?;
        say(config.effective()?.trim_end());
        return Ok(());
    }
    let mut edge = edge::start(config).await?;
    tokio::select! {
        () = edge.ready() => {}
        () = stop.wait() => return stop.while_stopping(edge.stop()).await,
    }
    say(format_args!("ready {}", edge.url));
    let fault = tokio::select! {
        () = stop.wait() => None,
        fault = edge.fault() => Some(fault),
    };
    tracing::info!("stopping");
    stop.while_stopping(edge.stop()).await?;
    match fault {
        Some(fault) => bail!(fault),
        None => Ok(()),
    }
}

fn edge_config(args: EdgeArgs) -> Result<Config> {
    let mut config = Config::load(args.config.as_deref(), std::env::vars())?;
    let set = |key: &mut String, said: Option<String>| {
        if let Some(said) = said {
            *key = said;
        }
    };
    set(&mut config.node, args.node.map(Into::into));
    set(&mut config.region, args.region.map(Into::into));
    set(&mut config.control.url, args.control);
    set(&mut config.http.url, args.url);
    set(&mut config.link.announce, args.link_announce);
    if let Some(secret) = args.node_secret {
        config.control.node_secret = secret;
        config.control.node_secret_file = None;
    }
    if args.node_secret_file.is_some() {
        config.control.node_secret_file = args.node_secret_file;
    }
    if let Some(listen) = args.listen {
        config.http.listen = listen;
    }
    if let Some(listen) = args.media_listen {
        config.media.listen = listen;
    }
    if !args.media_announce.is_empty() {
        config.media.announce = args.media_announce;
    }
    if let Some(port) = args.media_port {
        config.media.port = port;
    }
    if let Some(shards) = args.shards {
        config.media.shards = shards;
    }
    if let Some(listen) = args.link_listen {
        config.link.listen = listen;
    }
    Ok(config)
}

fn secret(said: Option<String>, file: Option<&Path>) -> Result<Option<String>> {
    match file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        None => Ok(said),
    }
}
