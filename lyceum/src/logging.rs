//! Logs go to standard error; standard output belongs to what was asked for.

use anyhow::{Context, Result};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Says what is logged.
const VARIABLE: &str = "LYCEUM_LOG";
/// People that came, edges that appeared, and what somebody should look at. Libraries only when something is wrong.
const DEFAULT: &str = "warn,lyceum=info,lyceum_edge=info,lyceum_edge_core=info,lyceum_control=info,lyceum_relay=info";

/// Starts logging.
pub(crate) fn start(json: bool) -> Result<()> {
    let said = std::env::var(VARIABLE).unwrap_or_default();
    let filter = if said.is_empty() { DEFAULT } else { &said };
    let filter = EnvFilter::try_new(filter).with_context(|| format!("{VARIABLE}={said:?}"))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        log.json().flatten_event(true).try_init()
    } else {
        log.with_ansi(std::io::stderr().is_terminal()).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}
