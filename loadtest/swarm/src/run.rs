//! The run: bots started over the ramp, media held, reports gathered.

use crate::drive::{Harvest, Task};
use crate::media::Media;
use crate::outcome::{Cores, Outcome};
use crate::place::Door;
use crate::plan::{Plan, Scenario};
use anyhow::{Context, Result, anyhow};
use lyceum_session::Config as SessionConfig;
use std::time::{Duration, Instant};
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
    let cpu_before = cpu_seconds("self");
    let mesh_before = mesh_seconds(&plan.mesh_pids);
    let crowd = plan.scenario == Scenario::Crowd;
    let pause = plan.ramp / if crowd { plan.viewers * plan.rooms } else { bots }.max(1);

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
                        camera: match plan.scenario {
                            _ if !publishing => Vec::new(),
                            Scenario::Class { .. } => vec![media.small.clone()],
                            Scenario::Lecture | Scenario::Crowd => media.camera.clone(),
                        },
                        audio_slots: slots.min(3),
                        video_slots: slots,
                        tile: plan.tile,
                        page_every: plan.page_every(),
                        turn: publishing.then(|| plan.turn_of(n)).flatten(),
                    },
                    session: session.clone(),
                    seed: rand::random(),
                    origin,
                    zero,
                    stop: stopped.clone(),
                };
                let watches = slots > 0;
                tasks.spawn(async move { (watches, task.run().await) });
                if !(crowd && publishing) {
                    sleep(pause).await;
                }
            }
        }
        if crowd && publishing {
            sleep(UNDER_WAY).await;
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
    let share = |after: Option<f64>, before: Option<f64>| Some((after? - before?) / wall.as_secs_f64());
    let cores = Cores {
        generator: share(cpu_seconds("self"), cpu_before),
        mesh: share(mesh_seconds(&plan.mesh_pids), mesh_before),
    };
    stop.send_replace(true);
    while let Some(task) = tasks.join_next().await {
        harvest.push(task.context("a bot's task panicked")?);
    }
    Ok(Outcome::of(&harvest, wall, cores, &plan.limits))
}

/// Seconds of processor time a process has used, where the system says so.
fn cpu_seconds(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    // USER_HZ is 100 on every Linux there is.
    Some(ticks / 100.0)
}

/// The same for all processes of the mesh that run here; none: unknown.
fn mesh_seconds(pids: &[u32]) -> Option<f64> {
    let sum = pids.iter().map(|pid| cpu_seconds(&pid.to_string())).sum::<Option<f64>>()?;
    (!pids.is_empty()).then_some(sum)
}

/// Publishers of a crowd's lecture have so long before the crowd comes: a room under way is what they come to.
const UNDER_WAY: Duration = Duration::from_secs(3);
