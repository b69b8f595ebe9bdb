//! The storeys of the house prove themselves: a core reaches no runtime and no socket, and cores depend in one line.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const CORES: [&str; 8] = [
    "lyceum-wire",
    "lyceum-session",
    "lyceum-media",
    "lyceum-relay-core",
    "lyceum-edge-core",
    "lyceum-control-core",
    "lyceum-bot",
    "lyceum-sim",
];

/// What no core may reach, however far down.
const WORLD: [&str; 7] = ["tokio", "mio", "socket2", "hyper", "quinn", "rustix", "polling"];

/// Which of ours each core may name directly.
const LINE: [(&str, &[&str]); 8] = [
    ("lyceum-wire", &[]),
    ("lyceum-session", &["lyceum-wire"]),
    ("lyceum-media", &["lyceum-wire"]),
    ("lyceum-relay-core", &["lyceum-wire", "lyceum-media"]),
    ("lyceum-edge-core", &["lyceum-wire", "lyceum-session", "lyceum-media", "lyceum-relay-core"]),
    ("lyceum-control-core", &["lyceum-wire"]),
    ("lyceum-bot", &["lyceum-wire", "lyceum-session", "lyceum-media"]),
    (
        "lyceum-sim",
        &[
            "lyceum-wire",
            "lyceum-session",
            "lyceum-media",
            "lyceum-relay-core",
            "lyceum-edge-core",
            "lyceum-control-core",
            "lyceum-bot",
        ],
    ),
];

struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    /// Normal (not dev, not build) dependencies as cargo resolves them for this workspace.
    fn read() -> Self {
        // For this machine only: packages of other systems need not be here, and are not on a new one.
        let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
        let rustc = String::from_utf8(rustc.expect("rustc runs").stdout).expect("rustc speaks UTF-8");
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc says its host");
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
        let names = metadata["packages"].as_array().expect("packages");
        let names = names.iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut edges = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
            let normal = node["deps"].as_array().expect("deps").iter().filter(|dependency| {
                dependency["dep_kinds"].as_array().expect("kinds").iter().any(|kind| kind["kind"].is_null())
            });
            edges.insert(text(&node["id"]), normal.map(|dependency| text(&dependency["pkg"])).collect());
        }
        Self { names, edges }
    }

    fn id(&self, name: &str) -> &String {
        self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| id).expect("a package of this workspace")
    }

    fn reachable(&self, name: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut next = vec![self.id(name)];
        while let Some(id) = next.pop() {
            if seen.insert(id) {
                next.extend(&self.edges[id]);
            }
        }
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

#[test]
fn no_core_reaches_the_world() {
    let graph = Graph::read();
    for core in CORES {
        let reachable = graph.reachable(core);
        let found: Vec<_> = WORLD.iter().filter(|name| reachable.contains(**name)).collect();
        assert!(found.is_empty(), "{core} reaches {found:?}");
    }
    // The check itself can see: a shell does reach the world.
    assert!(graph.reachable("lyceum-edge").contains("tokio"));
}

#[test]
fn cores_depend_in_one_line() {
    let graph = Graph::read();
    for (core, allowed) in LINE {
        let direct = graph.edges[graph.id(core)].iter().map(|id| graph.names[id].as_str());
        let strangers: Vec<_> = direct.filter(|name| name.starts_with("lyceum-") && !allowed.contains(name)).collect();
        assert!(strangers.is_empty(), "{core} depends on {strangers:?}");
    }
}

#[test]
fn nothing_but_its_shell_the_simulator_the_command_and_its_measure_depends_on_the_edge() {
    let graph = Graph::read();
    for (id, dependencies) in &graph.edges {
        let name = graph.names[id].as_str();
        let edges = dependencies.iter().map(|id| graph.names[id].as_str());
        let edges: Vec<_> = edges.filter(|name| ["lyceum-edge", "lyceum-edge-core"].contains(name)).collect();
        assert!(
            edges.is_empty() || ["lyceum", "lyceum-sim", "lyceum-edge", "lyceum-fanout"].contains(&name),
            "{name} depends on {edges:?}"
        );
    }
}
