//! `lyceum load`: bots in rooms of a running mesh.

use crate::cli::LoadArgs;
use crate::say;
use anyhow::Result;
use lyceum_swarm::Plan;
use lyceum_swarm::media::{self, Media};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the plan and prints its outcome.
pub(crate) async fn run(args: LoadArgs) -> Result<ExitCode> {
    let plan = Plan {
        url: args.url.trim_end_matches('/').to_owned(),
        api_secret: args.api_secret,
        rooms: args.rooms,
        publishers: args.publishers,
        viewers: args.viewers,
        regions: args.region,
        hold: Duration::from_secs(args.seconds),
        ramp: Duration::from_millis(args.ramp_ms),
        tile: (args.tile.width, args.tile.height),
        room_prefix: args.room_prefix,
        room: args.room,
        slots: args.slots,
    };
    plan.check().map_err(anyhow::Error::msg)?;
    let media = Media::open(&args.media.unwrap_or_else(media::default_folder)).await?;
    let outcome = lyceum_swarm::run(&plan, &media, progress).await?;
    if args.json {
        say(serde_json::to_string(&outcome)?);
    } else {
        say(&outcome);
    }
    Ok(if outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Beside the outcome, not in it.
fn progress(line: impl std::fmt::Display) {
    // Nobody may be looking.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
