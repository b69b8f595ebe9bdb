//! The run: bots started over the ramp, media held, reports gathered.

use crate::drive::{Harvest, Task};
use crate::media::Media;
use crate::outcome::Outcome;
use crate::place::Door;
use crate::plan::Plan;
use anyhow::{Context, Result, anyhow};
use lyceum_session::Config as SessionConfig;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Runs the plan. `told` is called with a line of progress now and then.
///
/// # Errors
/// When nothing could be started at all; what single bots met with is in the outcome.
pub async fn run(plan: &Plan, media: &Media, mut told: impl FnMut(String)) -> Result<Outcome> {
    plan.check().map_err(|error| anyhow!(error))?;
    let door = Door::new(&plan.url, plan.api_secret.clone())?;
    let session = SessionConfig::new().context("DTLS cannot be set up")?;
    let zero = Instant::now();
    let (stop, stopped) = watch::channel(false);
    let mut tasks: JoinSet<(bool, Harvest)> = JoinSet::new();
    let bots = plan.bots();
    let pause = plan.ramp / bots.max(1);
    let cpu_before = cpu_seconds();

    let mut origin = 0;
    // Publishers of all rooms come first, so that every viewer has something to see.
    for publishing in [true, false] {
        let count = if publishing { plan.publishers } else { plan.viewers };
        for n in 0..count {
            for room in 0..plan.rooms {
                origin += 1;
                let slots = plan.slots_of(publishing);
                let task = Task {
                    door: door.clone(),
                    room: plan.room_of(room).context("the room's name")?,
                    name: format!("{} {n}", if publishing { "publisher" } else { "viewer" }),
                    region: plan.region_of(n),
                    plan: lyceum_bot::Plan {
                        microphone: publishing.then(|| media.voice.clone()),
                        camera: if publishing { media.camera.clone() } else { Vec::new() },
                        audio_slots: slots.min(3),
                        video_slots: slots,
                        tile: plan.tile,
                    },
                    session: session.clone(),
                    seed: rand::random(),
                    origin,
                    zero,
                    stop: stopped.clone(),
                };
                let watches = slots > 0;
                tasks.spawn(async move { (watches, task.run().await) });
                sleep(pause).await;
            }
        }
    }
    told(format!(
        "{bots} bots started in {:.1} s, holding {:.0} s",
        zero.elapsed().as_secs_f64(),
        plan.hold.as_secs_f64()
    ));
    let held = Instant::now();
    let mut harvest = Vec::new();
    while held.elapsed() < plan.hold {
        let left = plan.hold.saturating_sub(held.elapsed());
        tokio::select! {
            () = sleep(left) => {}
            early = tasks.join_next(), if !tasks.is_empty() => {
                let early = early.context("no task")?.context("a bot's task panicked")?;
                if let Some(why) = &early.1.report.ended {
                    told(format!("a bot ended early: {why}"));
                }
                harvest.push(early);
            }
        }
    }
    let wall = zero.elapsed();
    let cpu = cpu_seconds().zip(cpu_before).map(|(after, before)| (after - before) / wall.as_secs_f64());
    stop.send_replace(true);
    while let Some(task) = tasks.join_next().await {
        harvest.push(task.context("a bot's task panicked")?);
    }
    Ok(Outcome::of(&harvest, wall, cpu))
}

/// Seconds of processor time this process has used, where the system says so.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    // USER_HZ is 100 on every Linux there is.
    Some(ticks / 100.0)
}
