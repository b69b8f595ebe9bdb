//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use lyceum_swarm::Share;
use lyceum_wire::id::{NodeId, Region, RoomId};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An edge-deployed, cascaded SFU mesh.
#[derive(Debug, Parser)]
#[command(name = "lyceum", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    /// Logs as JSON lines. What is logged: LYCEUM_LOG, such as `info` or `lyceum_edge=debug`.
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process: a control plane, an edge per region, real links between them, TURN, the page.
    Mesh(MeshArgs),
    /// A control plane.
    Control(ControlArgs),
    /// An edge.
    Edge(EdgeArgs),
    /// Asks a control plane for a join token and prints it.
    Token(TokenArgs),
    /// Looks at rooms.
    Room(RoomArgs),
    /// Fills rooms with bots over real sockets, and says what they saw. Ends with 1 when somebody could not join or saw nothing.
    Load(LoadArgs),
}

/// `lyceum mesh`.
#[derive(Debug, Args)]
pub(crate) struct MeshArgs {
    /// Where the page and the control plane listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The regions, one edge each.
    #[arg(long, value_delimiter = ',', default_value = "eu,us")]
    pub(crate) regions: Vec<Region>,
    /// Data-plane threads per edge; 0 shares the cores among the edges.
    #[arg(long, default_value_t = 0)]
    pub(crate) shards: usize,
    /// A shard takes this many participants of one room before the next is filled; 0: by measured load.
    #[arg(long, default_value_t = 0)]
    pub(crate) split_viewers: u32,
    /// The address by which others reach this machine, when --listen is every address.
    #[arg(long)]
    pub(crate) announce: Option<IpAddr>,
}

/// `lyceum control`.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// A TOML file. Options win over it.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Where the API listens; port 0 takes any free one.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// etcd's base URL; may be given several times. Without any, the mesh's memory is in this process.
    #[arg(long, value_delimiter = ',')]
    pub(crate) etcd: Vec<String>,
    /// All keys in etcd begin with this.
    #[arg(long)]
    pub(crate) etcd_prefix: Option<String>,
    /// The secret that nodes show. Better given by variable or file: everybody on a machine sees its command lines.
    #[arg(long, env = "LYCEUM_NODE_SECRET", hide_env_values = true)]
    pub(crate) node_secret: Option<String>,
    /// A file with that secret.
    #[arg(long, conflicts_with = "node_secret")]
    pub(crate) node_secret_file: Option<PathBuf>,
    /// The secret of applications that mint tokens.
    #[arg(long, env = "LYCEUM_API_SECRET", hide_env_values = true)]
    pub(crate) api_secret: Option<String>,
    /// A file with that secret.
    #[arg(long, conflicts_with = "api_secret")]
    pub(crate) api_secret_file: Option<PathBuf>,
    /// Anybody may mint tokens: for a mesh on one's own machine.
    #[arg(long)]
    pub(crate) open: bool,
    /// Serves the page at `/`, too.
    #[arg(long)]
    pub(crate) page: bool,
}

/// `lyceum edge`.
#[derive(Debug, Args)]
pub(crate) struct EdgeArgs {
    /// A TOML file; edge-node/edge.example.toml says all it may hold. Variables win over it, options over both.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Prints the configuration that would be in force, and ends.
    #[arg(long)]
    pub(crate) check: bool,
    /// The node's id.
    #[arg(long)]
    pub(crate) node: Option<NodeId>,
    /// The region the node stands in.
    #[arg(long)]
    pub(crate) region: Option<Region>,
    /// The control plane's base URL.
    #[arg(long)]
    pub(crate) control: Option<String>,
    /// The secret that nodes show it. Better given by variable or file.
    #[arg(long, env = "LYCEUM_NODE_SECRET", hide_env_values = true)]
    pub(crate) node_secret: Option<String>,
    /// A file with that secret.
    #[arg(long, conflicts_with = "node_secret")]
    pub(crate) node_secret_file: Option<PathBuf>,
    /// Where the doors for clients listen; port 0 takes any free one.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
    /// The base URL by which clients reach them.
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The address that media sockets are bound to.
    #[arg(long)]
    pub(crate) media_listen: Option<IpAddr>,
    /// An address announced to clients for media; may be given several times.
    #[arg(long, value_delimiter = ',')]
    pub(crate) media_announce: Vec<IpAddr>,
    /// The UDP port of the first shard.
    #[arg(long)]
    pub(crate) media_port: Option<u16>,
    /// Data-plane threads; 0: one per core.
    #[arg(long)]
    pub(crate) shards: Option<usize>,
    /// Where the QUIC endpoint for other nodes listens.
    #[arg(long)]
    pub(crate) link_listen: Option<SocketAddr>,
    /// The host:port by which other nodes reach it.
    #[arg(long)]
    pub(crate) link_announce: Option<String>,
}

/// `lyceum token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The control plane.
    #[command(flatten)]
    pub(crate) control: ControlUrl,
    /// The room it opens.
    #[arg(long)]
    pub(crate) room: RoomId,
    /// The display name.
    #[arg(long)]
    pub(crate) name: String,
    /// The application's own id of the person; made up when absent.
    #[arg(long)]
    pub(crate) identity: Option<String>,
    /// May look, listen and write, but show nothing.
    #[arg(long)]
    pub(crate) viewer: bool,
    /// How long it opens doors, in seconds.
    #[arg(long)]
    pub(crate) ttl_seconds: Option<u64>,
}

/// `lyceum room`.
#[derive(Debug, Args)]
pub(crate) struct RoomArgs {
    /// What to look at.
    #[command(subcommand)]
    pub(crate) command: RoomCommand,
}

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Where the next participant of a room would be placed, and why.
    Explain {
        /// The control plane.
        #[command(flatten)]
        control: ControlUrl,
        /// The room.
        room: RoomId,
        /// The region wished for.
        #[arg(long)]
        region: Option<Region>,
        /// Prints the answer as it came.
        #[arg(long)]
        json: bool,
    },
}

/// `lyceum load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The mesh: its control plane's base URL.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The secret of applications, unless the mesh is open.
    #[arg(long, env = "LYCEUM_API_SECRET", hide_env_values = true)]
    pub(crate) api_secret: Option<String>,
    /// What bots do: `lecture`, `class` (all publish a small camera and a voice, a few speak, everybody turns pages) or `crowd`
    /// (a lecture under way to which all viewers come at once).
    #[arg(long, value_enum, default_value_t = Scenario::Lecture)]
    pub(crate) scenario: Scenario,
    /// People of a class.
    #[arg(long, default_value_t = 300)]
    pub(crate) people: u32,
    /// Tiles of a page in a class.
    #[arg(long, default_value_t = 25)]
    pub(crate) tiles: u16,
    /// Seconds a page of a class is looked at.
    #[arg(long, default_value_t = 10)]
    pub(crate) page_seconds: u64,
    /// A class or crowd has come within this many seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) within: u64,
    /// The run fails when joining takes longer than this many milliseconds (p95); 400 for a class unless said otherwise.
    #[arg(long)]
    pub(crate) join_p95_ms: Option<u64>,
    /// The run fails when the first picture comes later than this many milliseconds after the media stood (p95); 250 for a crowd
    /// unless said otherwise.
    #[arg(long)]
    pub(crate) picture_p95_ms: Option<u64>,
    /// The run fails when more slots than this show nothing of what was put into them; 0 for a class and a crowd unless said otherwise.
    #[arg(long)]
    pub(crate) frozen_max: Option<u64>,
    /// A process of the mesh on this machine, whose processor time is reported; may be given several times.
    #[arg(long, value_delimiter = ',')]
    pub(crate) mesh_pid: Vec<u32>,
    /// Rooms at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) rooms: u32,
    /// Publishers in each room, with voice and a camera in three encodings.
    #[arg(long, default_value_t = 2)]
    pub(crate) publishers: u32,
    /// Viewers in each room.
    #[arg(long, default_value_t = 10)]
    pub(crate) viewers: u32,
    /// Where they go, such as `eu=25,us=25`; without it, wherever the control plane puts them.
    #[arg(long, value_delimiter = ',')]
    pub(crate) region: Vec<Share>,
    /// How long media flow after the last bot was started.
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    /// All bots are started within this many milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub(crate) ramp_ms: u64,
    /// Size of a viewer's tiles in pixels, which decides the layer it gets.
    #[arg(long, default_value = "640x360")]
    pub(crate) tile: TileSize,
    /// What the rooms' names begin with.
    #[arg(long, default_value = "load")]
    pub(crate) room_prefix: String,
    /// The one room to go to, by name; with `--publishers 0` bots watch what others publish there.
    #[arg(long, conflicts_with = "room_prefix")]
    pub(crate) room: Option<RoomId>,
    /// Slots for cameras per bot; without it, as many as there are other publishers, at most 4.
    #[arg(long)]
    pub(crate) slots: Option<u16>,
    /// Where the encoded media are kept; made there by ffmpeg when they are missing.
    #[arg(long)]
    pub(crate) media: Option<PathBuf>,
    /// Prints the outcome as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What bots do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// A few publish, the others watch.
    Lecture,
    /// All publish, show pages of tiles, and take turns to speak.
    Class,
    /// All viewers come at once.
    Crowd,
}

/// A size in pixels, such as `640x360`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileSize {
    /// Width.
    pub(crate) width: u16,
    /// Height.
    pub(crate) height: u16,
}

impl FromStr for TileSize {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a size such as 640x360");
        let (width, height) = text.split_once('x').ok_or_else(wrong)?;
        let side = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self { width: side(width)?, height: side(height)? })
    }
}

/// How to reach a control plane.
#[derive(Debug, Args)]
pub(crate) struct ControlUrl {
    /// The control plane's base URL.
    #[arg(long = "control", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// The secret of applications, unless it is open.
    #[arg(long, env = "LYCEUM_API_SECRET", hide_env_values = true)]
    pub(crate) api_secret: Option<String>,
}
