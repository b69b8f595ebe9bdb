//! `lyceum load`: bots in rooms of a running mesh.

use crate::cli::{LoadArgs, Scenario};
use crate::say;
use anyhow::Result;
use lyceum_swarm::media::{self, Media};
use lyceum_swarm::{Limits, Plan};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Runs the plan and prints its outcome.
pub(crate) async fn run(args: LoadArgs) -> Result<ExitCode> {
    let media_folder = args.media.clone().unwrap_or_else(media::default_folder);
    let (json, plan) = (args.json, plan_of(args));
    plan.check().map_err(anyhow::Error::msg)?;
    let media = Media::open(&media_folder).await?;
    let outcome = lyceum_swarm::run(&plan, &media, progress).await?;
    if json {
        say(serde_json::to_string(&outcome)?);
    } else {
        say(&outcome);
    }
    Ok(if outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plan_of(args: LoadArgs) -> Plan {
    let lecture = args.scenario == Scenario::Lecture;
    let ms = |given: Option<u64>, usual: Option<u64>| given.or(usual).map(Duration::from_millis);
    let limits = Limits {
        join_p95: ms(args.join_p95_ms, (args.scenario == Scenario::Class).then_some(400)),
        picture_p95: ms(args.picture_p95_ms, (args.scenario == Scenario::Crowd).then_some(250)),
        frozen: args.frozen_max.or((!lecture).then_some(0)),
    };
    let plan = Plan {
        scenario: lyceum_swarm::Scenario::Lecture,
        limits,
        mesh_pids: args.mesh_pid,
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
    let within = Duration::from_secs(args.within);
    match args.scenario {
        Scenario::Lecture => plan,
        Scenario::Class => Plan {
            scenario: lyceum_swarm::Scenario::Class { page: Duration::from_secs(args.page_seconds) },
            publishers: args.people,
            viewers: 0,
            slots: Some(args.slots.unwrap_or(args.tiles)),
            ramp: within,
            ..plan
        },
        Scenario::Crowd => Plan { scenario: lyceum_swarm::Scenario::Crowd, ramp: within, ..plan },
    }
}

/// Beside the outcome, not in it.
fn progress(line: impl std::fmt::Display) {
    // Nobody may be looking.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
