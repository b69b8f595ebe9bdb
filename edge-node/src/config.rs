//! What an operator may decide about an edge: a TOML file, then `LYCEUM_*` variables, then the command line.
//!
//! ```text
//!   defaults ◄── file (unknown keys are refused) ◄── LYCEUM_HTTP_LISTEN=… ◄── --listen …
//! ```
//!
//! A variable's name is the key's path in capitals: `[http] listen` is `LYCEUM_HTTP_LISTEN`; a list is written with
//! commas. Variables that name no key are left alone: Kubernetes puts its own `LYCEUM_…` ones beside ours.
//! `edge.example.toml` says every key with its default; a test compares the two.

use crate::units::Span;
use anyhow::{Context, Result, bail, ensure};
use lyceum_edge_core::turn;
use lyceum_wire::id::{NodeId, Region};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Everything about one edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The node's id, unique in the mesh and stable over restarts. Empty: `{region}-{host}-{port of http.listen}`.
    pub node: String,
    /// The region the node stands in.
    pub region: String,
    /// The doors for clients: WebSocket, WHIP, WHEP, metrics.
    pub http: Http,
    /// The doors for media.
    pub media: Media,
    /// The door for other nodes.
    pub link: Link,
    /// Where the control plane is.
    pub control: Control,
    /// Bounds of what one process takes.
    pub limits: Limits,
}

/// The doors for clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The base URL by which clients reach this edge, such as `https://edge1.eu.example.org`. Empty: made from `listen`.
    pub url: String,
}

/// The doors for media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Media {
    /// The address the media sockets are bound to.
    pub listen: IpAddr,
    /// The UDP port of shard 0; shard n takes the n-th after it. 0 takes any free ones.
    pub port: u16,
    /// The addresses announced to clients as ICE candidates and in TURN URLs. Empty: `listen`.
    pub announce: Vec<IpAddr>,
    /// Data-plane threads; a room lives on one of them, until it outgrows it. 0: one per core.
    pub shards: usize,
    /// A shard takes this many participants of one room before the next shard is filled, however busy they are. 0, as it
    /// should be unless you know better: by measured load.
    pub split_viewers: u32,
    /// Binds each shard's thread to a core of its own.
    pub pin: bool,
    /// Speaks TURN on the media ports.
    pub turn: bool,
    /// Networks outside that TURN clients may reach through this node, such as `["10.1.0.0/16"]`. Empty, as it should be
    /// unless clients talk to something beside this node: only the node itself. Loopback, link-local and the node's own
    /// addresses are opened only by an entry of their own.
    pub turn_allowed: Vec<String>,
    /// Ports of TURN's relayed addresses, shared out among the shards. Sockets are bound to them only for peers that
    /// `turn_allowed` lists. At least 1,000.
    pub turn_ports: String,
}

/// The door for other nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Where the QUIC endpoint listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The `host:port` by which other nodes reach it. Empty: made from `listen`.
    pub announce: String,
}

/// Where the control plane is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Its base URL.
    pub url: String,
    /// The secret that nodes show it.
    pub node_secret: String,
    /// A file with that secret, for those who do not put secrets into variables. Wins over `node_secret`.
    pub node_secret_file: Option<PathBuf>,
    /// One call may take this long.
    pub timeout: Span,
}

/// Bounds of what one process takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// WebSockets at a time.
    pub sockets: usize,
    /// WebSockets at a time from one address. A school shows one address to the world.
    pub sockets_per_address: usize,
    /// WebSockets that have not said `hello` yet: they cost memory before anybody knows who they are.
    pub sockets_before_hello: usize,
    /// A socket has this long to say `hello`.
    pub hello: Span,
    /// A socket that was silent this long (pings are answered by browsers) is closed; its session waits for another.
    pub silence: Span,
    /// Signaling messages per second from one socket, on average.
    pub messages_per_second: u32,
    /// Signaling messages at once from one socket.
    pub messages_burst: u32,
    /// Messages waiting to be written to one socket; a slower reader is closed and may resume.
    pub socket_queue: usize,
    /// WHIP and WHEP requests that wait for a shard's answer.
    pub http_waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: String::new(),
            region: "local".into(),
            http: Http::default(),
            media: Media::default(),
            link: Link::default(),
            control: Control::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)), url: String::new() }
    }
}

impl Media {
    /// How many shards there will be.
    #[must_use]
    pub fn shard_count(&self) -> usize {
        match self.shards {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX),
            shards => shards,
        }
    }

    /// The networks of `turn_allowed`.
    pub fn allowed(&self) -> Result<Vec<turn::Network>> {
        let network = |text: &String| text.parse().with_context(|| format!("media.turn_allowed {text:?}"));
        self.turn_allowed.iter().map(network).collect()
    }

    /// The ports of `turn_ports`.
    pub fn ports(&self) -> Result<RangeInclusive<u16>> {
        let text = &self.turn_ports;
        let wrong = || format!("media.turn_ports {text:?} is not of the form 61000-65535");
        let (first, last) = text.split_once('-').with_context(wrong)?;
        let ports: RangeInclusive<u16> = first.parse().with_context(wrong)?..=last.parse().with_context(wrong)?;
        let enough = *ports.start() >= 1_024 && ports.len() >= TURN_PORTS_MIN;
        ensure!(enough, "media.turn_ports {text:?} must be at least {TURN_PORTS_MIN} ports above 1023");
        Ok(ports)
    }
}

/// Fewest ports for relayed addresses: every shard of the largest node gets some.
const TURN_PORTS_MIN: usize = 1_000;

impl Default for Media {
    fn default() -> Self {
        Self {
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            announce: Vec::new(),
            shards: 0,
            split_viewers: 0,
            pin: false,
            turn: true,
            turn_allowed: Vec::new(),
            turn_ports: format!("{}-{}", turn::PORTS.start(), turn::PORTS.end()),
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), announce: String::new() }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080".into(),
            node_secret: String::new(),
            node_secret_file: None,
            timeout: Span::ms(5_000),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sockets: 20_000,
            sockets_per_address: 2_000,
            sockets_before_hello: 1_000,
            hello: Span::ms(5_000),
            silence: Span::ms(45_000),
            messages_per_second: 50,
            messages_burst: 200,
            socket_queue: 1_024,
            http_waiting: 256,
        }
    }
}

/// Most shards of one node: the top byte of a link alias names the receiver's shard.
pub const SHARDS_MAX: usize = 256;

impl Config {
    /// Reads the file, if one is given, then the variables.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration {}", path.display()))?,
            None => String::new(),
        };
        Self::from_text(&text, environment)
            .with_context(|| file.map_or_else(|| "configuration".into(), |path| path.display().to_string()))
    }

    /// The same from a text.
    pub fn from_text(text: &str, environment: impl Iterator<Item = (String, String)>) -> Result<Self> {
        let mut config: Self = toml::from_str(text)?;
        config.overlay(environment)?;
        Ok(config)
    }

    /// The configuration as a file, the secret left out: what `--check` prints.
    pub fn effective(&self) -> Result<String> {
        let mut shown = self.clone();
        if !shown.control.node_secret.is_empty() {
            shown.control.node_secret = "(set)".into();
        }
        Ok(toml::to_string(&shown)?)
    }

    /// Says what cannot work, before anything is started.
    pub fn check(&self) -> Result<()> {
        Region::parse(&self.region).with_context(|| format!("region {:?}", self.region))?;
        if !self.node.is_empty() {
            NodeId::parse(&self.node).with_context(|| format!("node {:?}", self.node))?;
        }
        ensure!(self.media.shards <= SHARDS_MAX, "media.shards must not be above {SHARDS_MAX}");
        self.media.allowed()?;
        self.media.ports()?;
        ensure!(
            !self.media.listen.is_unspecified() || !self.media.announce.is_empty(),
            "media.listen {} is every address: media.announce must say which ones clients reach",
            self.media.listen
        );
        ensure!(
            !self.link.listen.ip().is_unspecified() || !self.link.announce.is_empty(),
            "link.listen {} is every address: link.announce must say how other nodes reach it",
            self.link.listen
        );
        ensure!(
            !self.http.listen.ip().is_unspecified() || !self.http.url.is_empty(),
            "http.listen {} is every address: http.url must say how clients reach it",
            self.http.listen
        );
        for (key, url) in [("control.url", &self.control.url), ("http.url", &self.http.url)] {
            let empty_is_fine = key == "http.url" && url.is_empty();
            ensure!(
                empty_is_fine || url.starts_with("http://") || url.starts_with("https://"),
                "{key} {url:?} must begin with http:// or https://"
            );
        }
        let limits = &self.limits;
        let counts = [
            ("sockets", limits.sockets),
            ("sockets_per_address", limits.sockets_per_address),
            ("sockets_before_hello", limits.sockets_before_hello),
            ("messages_per_second", limits.messages_per_second as usize),
            ("messages_burst", limits.messages_burst as usize),
            ("socket_queue", limits.socket_queue),
            ("http_waiting", limits.http_waiting),
        ];
        for (key, value) in counts {
            ensure!(value > 0, "limits.{key} must not be 0");
        }
        Ok(())
    }

    /// The node secret, from the file if one is named.
    pub fn node_secret(&self) -> Result<String> {
        match &self.control.node_secret_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read control.node_secret_file {}", path.display()))?;
                Ok(text.trim().to_owned())
            }
            None => Ok(self.control.node_secret.clone()),
        }
    }

    fn overlay(&mut self, environment: impl Iterator<Item = (String, String)>) -> Result<()> {
        let mut tree = toml::Table::try_from(&*self)?;
        // Absent options do not show in the tree, so their kind is said here.
        if let Some(control) = tree.get_mut("control").and_then(toml::Value::as_table_mut) {
            control.entry("node_secret_file").or_insert_with(|| toml::Value::String(String::new()));
        }
        for (name, text) in environment {
            let Some(path) = name.strip_prefix(ENVIRONMENT) else { continue };
            if let Some(value) = find(&mut tree, &path.to_ascii_lowercase()) {
                *value = same_kind(value, &text).with_context(|| format!("variable {name}={text:?}"))?;
            }
        }
        let control = tree.get_mut("control").and_then(toml::Value::as_table_mut);
        if let Some(control) = control
            && control.get("node_secret_file").and_then(toml::Value::as_str) == Some("")
        {
            control.remove("node_secret_file");
        }
        *self = tree.try_into()?;
        Ok(())
    }
}

/// Variables of ours begin with this.
const ENVIRONMENT: &str = "LYCEUM_";

/// The value behind `http_listen`: `listen` in the table `http`. No key of ours has the name of a table.
fn find<'a>(tree: &'a mut toml::Table, path: &str) -> Option<&'a mut toml::Value> {
    if tree.get(path).is_some_and(|value| !value.is_table()) {
        return tree.get_mut(path);
    }
    let (section, key) = path.split_once('_')?;
    tree.get_mut(section)?.as_table_mut()?.get_mut(key)
}

fn same_kind(old: &toml::Value, text: &str) -> Result<toml::Value> {
    Ok(match old {
        toml::Value::Integer(_) => toml::Value::Integer(text.trim().parse().context("a whole number is wanted")?),
        toml::Value::Boolean(_) => toml::Value::Boolean(text.trim().parse().context("true or false is wanted")?),
        toml::Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            toml::Value::Array(parts.map(|part| toml::Value::String(part.to_owned())).collect())
        }
        toml::Value::String(_) => toml::Value::String(text.to_owned()),
        _ => bail!("this key cannot be set by a variable"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../edge.example.toml");

    fn with(variables: &[(&str, &str)], text: &str) -> Result<Config> {
        Config::from_text(text, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_shipped_example_says_every_key_with_its_default() {
        assert_eq!(with(&[], EXAMPLE).unwrap(), Config::default());
        let said: toml::Table = toml::from_str(EXAMPLE).unwrap();
        let all = toml::Table::try_from(Config::default()).unwrap();
        for (key, value) in &all {
            match value.as_table() {
                Some(section) => section.keys().for_each(|inner| {
                    assert!(said[key].as_table().unwrap().contains_key(inner), "the example lacks {key}.{inner}");
                }),
                None => assert!(said.contains_key(key), "the example lacks {key}"),
            }
        }
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn unknown_keys_and_bare_numbers_are_refused() {
        let table = [
            ("colour = \"red\"", "colour"),
            ("[http]\nport = 80", "port"),
            ("[limits]\nhello = 5", "invalid type"),
            ("[limits]\nhello = \"5\"", "not a time"),
            ("[http]\nlisten = \"localhost\"", "listen"),
        ];
        for (text, says) in table {
            let error = with(&[], text).unwrap_err().to_string();
            let said = error.contains(says) || error.replace(" is not ", " not ").contains(says);
            assert!(said, "{text:?} → {error}");
        }
    }

    #[test]
    fn variables_win_over_the_file_and_keep_its_kinds() {
        let config = with(
            &[
                ("LYCEUM_REGION", "us"),
                ("LYCEUM_HTTP_LISTEN", "127.0.0.1:9"),
                ("LYCEUM_MEDIA_SHARDS", "3"),
                ("LYCEUM_MEDIA_TURN", "false"),
                ("LYCEUM_MEDIA_ANNOUNCE", "203.0.113.7, 2001:db8::7"),
                ("LYCEUM_LIMITS_HELLO", "2 s"),
                ("LYCEUM_CONTROL_NODE_SECRET", "s3cret"),
                ("LYCEUM_CONTROL_NODE_SECRET_FILE", "/run/secrets/node"),
                ("LYCEUM_EDGE_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ],
            "region = \"eu\"\nnode = \"a\"",
        )
        .unwrap();
        assert_eq!(config.region, "us");
        assert_eq!(config.node, "a");
        assert_eq!(config.http.listen.port(), 9);
        assert_eq!(config.media.shards, 3);
        assert!(!config.media.turn);
        assert_eq!(config.media.announce.len(), 2);
        assert_eq!(config.limits.hello, Span::ms(2_000));
        assert_eq!(config.control.node_secret, "s3cret");
        assert_eq!(config.control.node_secret_file, Some(PathBuf::from("/run/secrets/node")));
        assert!(!config.effective().unwrap().contains("s3cret"));
        let wrong = with(&[("LYCEUM_MEDIA_SHARDS", "many")], "").unwrap_err();
        assert!(format!("{wrong:#}").contains("LYCEUM_MEDIA_SHARDS"), "{wrong:#}");
    }

    #[test]
    fn what_cannot_work_is_said_before_the_start() {
        let table = [
            ("region = \"a b\"", "region"),
            ("[media]\nlisten = \"0.0.0.0\"", "media.announce"),
            ("[link]\nlisten = \"0.0.0.0:1\"", "link.announce"),
            ("[http]\nlisten = \"0.0.0.0:1\"", "http.url"),
            ("[media]\nshards = 257", "media.shards"),
            ("[control]\nurl = \"control:8080\"", "control.url"),
            ("[limits]\nsocket_queue = 0", "limits.socket_queue"),
        ];
        for (text, says) in table {
            let error = format!("{:#}", with(&[], text).unwrap().check().unwrap_err());
            assert!(error.contains(says), "{text:?} → {error}");
        }
    }

    #[test]
    fn the_secret_may_stand_in_a_file() {
        let path = std::env::temp_dir().join(format!("lyceum-secret-{}", std::process::id()));
        std::fs::write(&path, "from-file\n").unwrap();
        let mut config = Config::default();
        config.control.node_secret = "from-key".into();
        assert_eq!(config.node_secret().unwrap(), "from-key");
        config.control.node_secret_file = Some(path.clone());
        assert_eq!(config.node_secret().unwrap(), "from-file");
        std::fs::remove_file(path).unwrap();
        assert!(config.node_secret().unwrap_err().to_string().contains("node_secret_file"));
    }
}
