//! Joins a room, publishes files if told to, and says what happens there.
//!
//! ```text
//! cargo run -p lyceum-client --example room -- --room physics --name Ana --camera lesson.ivf --microphone lesson.ogg
//! ```
//!
//! Files come from ffmpeg, for example: `ffmpeg -f lavfi -i testsrc2=size=640x360:rate=25 -t 10 -c:v libvpx -g 25 -b:v 600k
//! lesson.ivf` and `ffmpeg -f lavfi -i sine -t 10 -c:a libopus -b:a 32k lesson.ogg`.

use clap::Parser;
use lyceum_client::{ConnectOptions, Event, MediaFile, Room};
use lyceum_wire::id::{Region, RoomId, Source};
use std::path::PathBuf;
use std::time::Duration;
use tracing::info;

/// Joins a room.
#[derive(Parser)]
struct Arguments {
    /// The control plane.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The room.
    #[arg(long)]
    room: RoomId,
    /// Your name.
    #[arg(long, default_value = "Somebody")]
    name: String,
    /// A join token; asked for when absent.
    #[arg(long)]
    token: Option<String>,
    /// The region; the nearest when absent.
    #[arg(long)]
    region: Option<Region>,
    /// VP8 in IVF, published again and again as camera.
    #[arg(long)]
    camera: Option<PathBuf>,
    /// Opus in Ogg, published again and again as microphone.
    #[arg(long)]
    microphone: Option<PathBuf>,
    /// Says this to everybody.
    #[arg(long)]
    say: Option<String>,
    /// Media only through TURN.
    #[arg(long)]
    relay: bool,
    /// Leaves after this many seconds.
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let arguments = Arguments::parse();
    let options = ConnectOptions {
        token: arguments.token,
        region: arguments.region,
        relay_only: arguments.relay,
        ..ConnectOptions::new(arguments.url, arguments.room, arguments.name)
    };
    let (room, mut events) = Room::connect(options).await?;
    info!("{}", room.placement().reason);
    room.media_connected(Duration::from_secs(15)).await?;
    for (source, path) in [(Source::Camera, arguments.camera), (Source::Microphone, arguments.microphone)] {
        if let Some(path) = path {
            room.publish(source, MediaFile::open(&path)?, true).await?;
            info!("publishing {} as {source:?}", path.display());
        }
    }
    if let Some(text) = arguments.say {
        room.send("chat", serde_json::json!({ "text": text })).await?;
    }
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let end = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Ended(ended)) => {
                    info!("{ended:?}");
                    return Ok(());
                }
                Some(Event::Message(message)) => info!("{}: {}", message.name, message.body),
                Some(Event::Roster { total, .. }) => info!("{total} in the room"),
                Some(event) => info!("{event:?}"),
                None => return Ok(()),
            },
            _ = every_second.tick() => {
                let statistics = room.statistics();
                for (mid, received) in statistics.received {
                    let (frames, keys, lost, size) = (received.frames, received.key_frames, received.lost, received.size);
                    info!("slot {mid}: {frames} frames, {keys} key frames, {lost} packets lost, size {size:?}");
                }
                for (source, sent) in statistics.sent {
                    info!("{source:?}: {} frames sent, {} key frames asked for", sent.frames, sent.key_frame_requests);
                }
            }
            () = &mut end => {
                room.leave().await?;
                return Ok(());
            }
        }
    }
}
