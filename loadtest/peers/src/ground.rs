//! Where servers are compared: a network namespace for them, joined to this one by a cable.
//!
//! ```text
//!   this namespace                            the servers' namespace
//!   crowd at 10.98.0.0/16 ── 10.97.0.1 ═══ veth ═══ 10.97.0.2 ── Janus, Lyceum
//! ```
//!
//! Janus skips `lo`, so loopback is no ground for it; both servers stand on the same one.

use anyhow::{Context, Result, bail};
use std::net::Ipv4Addr;
use std::process::Command;

/// The servers' address.
pub(crate) const SERVERS: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 2);
/// This side of the cable.
const HERE: Ipv4Addr = Ipv4Addr::new(10, 97, 0, 1);
/// The network of the crowds; all of it is this machine's.
const CROWDS: &str = "10.98.0.0/16";
/// Addresses of one crowd.
const CROWD_ADDRESSES: u32 = 1 << 13;

/// The namespace and the cable; both go when this goes.
#[derive(Debug)]
pub(crate) struct Ground {
    namespace: String,
}

impl Ground {
    /// Lays the cable. Needs root.
    pub(crate) fn lay() -> Result<Self> {
        let id = std::process::id();
        let ground = Self { namespace: format!("peers{id}") };
        let (near, far) = (format!("pn{id}"), format!("pf{id}"));
        let ns = ground.namespace.as_str();
        ip(&["netns", "add", ns]).context("network namespaces need root and iproute2")?;
        ip(&["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", ns])?;
        ip(&["addr", "add", &format!("{HERE}/24"), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        ip(&["-n", ns, "addr", "add", &format!("{SERVERS}/24"), "dev", &far])?;
        ip(&["-n", ns, "link", "set", &far, "up"])?;
        ip(&["-n", ns, "link", "set", "lo", "up"])?;
        ip(&["route", "add", "local", CROWDS, "dev", &near])?;
        ip(&["-n", ns, "route", "add", CROWDS, "via", &HERE.to_string()])?;
        Ok(ground)
    }

    /// A command that will run among the servers, on this core.
    pub(crate) fn command(&self, program: &std::path::Path, core: usize) -> Command {
        let mut command = Command::new("ip");
        // `exec`: both step aside, so that the child's id is the program's.
        command.args(["netns", "exec", &self.namespace, "taskset", "-c", &core.to_string()]).arg(program);
        command
    }

    /// The first address of a crowd.
    pub(crate) fn crowd(&self, n: usize) -> Ipv4Addr {
        Ipv4Addr::from_bits(Ipv4Addr::new(10, 98, 0, 1).to_bits() + n as u32 * CROWD_ADDRESSES)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The cable goes with the namespace, the route with the cable.
        let _ = ip(&["netns", "del", &self.namespace]);
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("`ip` (iproute2) does not run")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
