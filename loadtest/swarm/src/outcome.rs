//! What came of a run: numbers, a table for people, JSON for machines, and whether one may believe it.

use crate::drive::Harvest;
use crate::plan::Limits;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A generator woken later than this at the 99th percentile was itself the bottleneck.
const LATE_P99_MAX: Duration = Duration::from_millis(20);

/// A distribution of times in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The largest.
    pub max_ms: f64,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Trouble {
    /// Bots could not join, or were thrown out.
    Ended {
        /// How many.
        bots: u64,
        /// Why.
        why: String,
    },
    /// Bots joined and never saw a picture although they had slots.
    SawNothing {
        /// How many.
        bots: u64,
    },
    /// Joining took longer than the run may.
    SlowJoin {
        /// 95th percentile of what it took.
        p95_ms: f64,
        /// What it may take.
        limit_ms: f64,
    },
    /// The first picture came later after the media stood than the run may.
    SlowPicture {
        /// 95th percentile of how late it came.
        p95_ms: f64,
        /// How late it may come.
        limit_ms: f64,
    },
    /// Slots carried a camera and showed nothing of it.
    Frozen {
        /// How many times.
        slots: u64,
        /// How many the run may have.
        limit: u64,
    },
    /// The generator was late: the run measures the generator.
    GeneratorLate {
        /// 99th percentile of its lateness.
        p99_ms: f64,
    },
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Bots started.
    pub bots: u64,
    /// Bots whose media were connected.
    pub joined: u64,
    /// By region they were placed in.
    pub regions: BTreeMap<String, u64>,
    /// How long the run took, ramp included.
    pub seconds: f64,
    /// From the first HTTP request to connected media.
    pub join: Latency,
    /// From the first HTTP request to the first whole picture.
    pub first_frame: Latency,
    /// From connected media to the first whole picture.
    pub picture: Latency,
    /// From a camera's coming into a slot (a page was turned) to its first whole picture there.
    pub slot_filled: Latency,
    /// Cameras put into slots.
    pub slots_assigned: u64,
    /// Slots that carried a camera and showed nothing of it for three seconds.
    pub slots_frozen: u64,
    /// From the publisher's encoder to the whole frame at the viewer, of frames sent since the viewer shows the track.
    pub end_to_end: Latency,
    /// Video packets received.
    pub packets: u64,
    /// Video packets lost for good.
    pub lost: u64,
    /// Their share in percent.
    pub loss_percent: f64,
    /// Video packets that came twice.
    pub duplicates: u64,
    /// Video received, megabits per second over the whole run.
    pub received_mbps: f64,
    /// Packets of sound received.
    pub audio_packets: u64,
    /// Frames whose bytes were changed on the way.
    pub corrupt: u64,
    /// Frames shown.
    pub frames: u64,
    /// Pauses a viewer would notice.
    pub freezes: u64,
    /// Packets viewers asked again.
    pub nacks: u64,
    /// Packets publishers sent again.
    pub repairs: u64,
    /// Key frames viewers asked for.
    pub key_frame_requests: u64,
    /// Key frames publishers were asked for.
    pub key_frames_asked_of_publishers: u64,
    /// Datagrams that could not be opened, sealed or understood.
    pub faults: u64,
    /// Packets by which edges tried their ways to the bots: padding, and repeats.
    pub probes: u64,
    /// How late the generator's tasks were woken.
    pub generator_late: Latency,
    /// Cores the generator used, where the system says so.
    pub generator_cores: Option<f64>,
    /// Cores the mesh used, when its processes run here and were named.
    pub mesh_cores: Option<f64>,
    /// What failed; empty: the run passed.
    pub troubles: Vec<Trouble>,
}

/// Cores used on average, where that is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cores {
    pub(crate) generator: Option<f64>,
    pub(crate) mesh: Option<f64>,
}

fn distribution(micros: impl Iterator<Item = u64>) -> Latency {
    // 1 µs to 10 minutes, three significant digits.
    let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3) else { return Latency::default() };
    micros.for_each(|us| histogram.saturating_record(us.max(1)));
    if histogram.is_empty() {
        return Latency::default();
    }
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    Latency {
        count: histogram.len(),
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: histogram.max() as f64 / 1_000.0,
    }
}

impl Outcome {
    /// Adds up what all bots brought home; the flag says whether the bot had slots to see something in.
    pub(crate) fn of(harvest: &[(bool, Harvest)], wall: Duration, cores: Cores, limits: &Limits) -> Self {
        let all = || harvest.iter().map(|(_, bot)| bot);
        let sum = |of: fn(&Harvest) -> u64| all().map(of).sum::<u64>();
        let times =
            |of: fn(&Harvest) -> Option<Duration>| distribution(all().filter_map(of).map(|t| t.as_micros() as u64));
        let (packets, lost) = (sum(|bot| bot.report.seen.packets), sum(|bot| bot.report.seen.lost));
        let mut regions = BTreeMap::new();
        for region in all().filter_map(|bot| bot.region.as_ref()) {
            *regions.entry(region.to_string()).or_default() += 1;
        }
        let generator_late = distribution(all().flat_map(|bot| bot.late_us.iter().map(|&us| u64::from(us))));
        let join = times(|bot| bot.joined_after);
        let picture = times(|bot| Some(bot.first_frame_after?.saturating_sub(bot.joined_after?)));
        let slots_frozen = sum(|bot| bot.report.frozen);
        let mut troubles = troubles(harvest, generator_late);
        troubles.extend(beyond(limits, join, picture, slots_frozen));
        Self {
            bots: harvest.len() as u64,
            joined: sum(|bot| u64::from(bot.joined_after.is_some())),
            regions,
            seconds: wall.as_secs_f64(),
            join,
            first_frame: times(|bot| bot.first_frame_after),
            picture,
            slot_filled: distribution(all().flat_map(|bot| bot.fills_us.iter().map(|&us| u64::from(us)))),
            slots_assigned: sum(|bot| bot.report.assigned),
            slots_frozen,
            end_to_end: distribution(all().flat_map(|bot| bot.latencies_us.iter().map(|&us| u64::from(us)))),
            packets,
            lost,
            loss_percent: 100.0 * lost as f64 / ((packets + lost) as f64).max(1.0),
            duplicates: sum(|bot| bot.report.seen.duplicates),
            received_mbps: sum(|bot| bot.report.seen.bytes) as f64 * 8.0 / 1e6 / wall.as_secs_f64().max(0.001),
            audio_packets: sum(|bot| bot.report.audio_packets),
            corrupt: sum(|bot| bot.report.seen.corrupt),
            frames: sum(|bot| bot.report.seen.frames),
            freezes: sum(|bot| bot.report.seen.freezes),
            nacks: sum(|bot| bot.report.nacked),
            repairs: sum(|bot| bot.report.sent.repairs),
            key_frame_requests: sum(|bot| bot.report.key_frames_asked),
            key_frames_asked_of_publishers: sum(|bot| bot.report.sent.key_frames_asked),
            faults: sum(|bot| bot.report.faults),
            probes: sum(|bot| bot.report.probes),
            generator_late,
            generator_cores: cores.generator,
            mesh_cores: cores.mesh,
            troubles,
        }
    }

    /// Everybody joined, everybody saw something, and the generator was in time.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.troubles.is_empty()
    }
}

/// What went beyond the run's limits.
fn beyond(limits: &Limits, join: Latency, picture: Latency, frozen: u64) -> Vec<Trouble> {
    let ms = |limit: Duration| limit.as_secs_f64() * 1_000.0;
    let mut beyond = Vec::new();
    if let Some(limit_ms) = limits.join_p95.map(ms).filter(|limit| join.p95_ms > *limit) {
        beyond.push(Trouble::SlowJoin { p95_ms: join.p95_ms, limit_ms });
    }
    if let Some(limit_ms) = limits.picture_p95.map(ms).filter(|limit| picture.p95_ms > *limit) {
        beyond.push(Trouble::SlowPicture { p95_ms: picture.p95_ms, limit_ms });
    }
    if let Some(limit) = limits.frozen.filter(|limit| frozen > *limit) {
        beyond.push(Trouble::Frozen { slots: frozen, limit });
    }
    beyond
}

fn troubles(harvest: &[(bool, Harvest)], late: Latency) -> Vec<Trouble> {
    let mut ended: BTreeMap<String, u64> = BTreeMap::new();
    for (_, bot) in harvest {
        let why = bot.report.ended.clone();
        let never = || bot.joined_after.is_none().then(|| "media were not connected when the run ended".to_owned());
        if let Some(why) = why.or_else(never) {
            *ended.entry(why).or_default() += 1;
        }
    }
    let mut troubles: Vec<_> = ended.into_iter().map(|(why, bots)| Trouble::Ended { bots, why }).collect();
    let blind =
        harvest.iter().filter(|(watches, bot)| *watches && bot.joined_after.is_some() && bot.report.seen.frames == 0);
    let blind = blind.count() as u64;
    if blind > 0 {
        troubles.push(Trouble::SawNothing { bots: blind });
    }
    if late.p99_ms > LATE_P99_MAX.as_secs_f64() * 1_000.0 {
        troubles.push(Trouble::GeneratorLate { p99_ms: late.p99_ms });
    }
    troubles
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("nothing measured");
        }
        let Self { p50_ms, p95_ms, p99_ms, max_ms, .. } = self;
        write!(f, "p50 {p50_ms:.1}  p95 {p95_ms:.1}  p99 {p99_ms:.1}  max {max_ms:.1} ms")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { bots, why } => write!(f, "{bots} × {why}"),
            Self::SawNothing { bots } => write!(f, "{bots} bots had slots and never saw a picture"),
            Self::SlowJoin { p95_ms, limit_ms } => {
                write!(f, "joining took {p95_ms:.1} ms (p95), more than {limit_ms:.0} ms")
            }
            Self::SlowPicture { p95_ms, limit_ms } => {
                write!(
                    f,
                    "the first picture came {p95_ms:.1} ms (p95) after the media stood, more than {limit_ms:.0} ms"
                )
            }
            Self::Frozen { slots, limit } => write!(f, "{slots} slots were frozen, more than {limit}"),
            Self::GeneratorLate { p99_ms } => {
                write!(f, "the generator was woken {p99_ms:.1} ms late (p99): it, not the mesh, was measured")
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions: Vec<_> = self.regions.iter().map(|(region, count)| format!("{region} {count}")).collect();
        writeln!(f, "joined            {} of {}   {}", self.joined, self.bots, regions.join(", "))?;
        writeln!(f, "join time         {}", self.join)?;
        writeln!(f, "first frame       {}", self.first_frame)?;
        writeln!(f, "… after media     {}", self.picture)?;
        writeln!(f, "slot filled       {}", self.slot_filled)?;
        writeln!(f, "slots             {} filled, {} frozen", self.slots_assigned, self.slots_frozen)?;
        writeln!(f, "end to end        {}", self.end_to_end)?;
        writeln!(
            f,
            "video             {} packets, {} lost ({:.3} %), {} twice, {:.1} Mbit/s",
            self.packets, self.lost, self.loss_percent, self.duplicates, self.received_mbps
        )?;
        writeln!(
            f,
            "frames            {} shown, {} freezes, {} changed on the way",
            self.frames, self.freezes, self.corrupt
        )?;
        writeln!(f, "sound             {} packets", self.audio_packets)?;
        writeln!(f, "repair            {} NACKed by viewers, {} sent again by publishers", self.nacks, self.repairs)?;
        writeln!(
            f,
            "key frames        {} asked for by viewers, {} asked of publishers",
            self.key_frame_requests, self.key_frames_asked_of_publishers
        )?;
        writeln!(f, "faults            {}   {} packets only tried the way", self.faults, self.probes)?;
        let cores = self.generator_cores.map_or(String::new(), |cores| format!("   {cores:.2} cores"));
        writeln!(f, "generator late    {}{cores}", self.generator_late)?;
        if let Some(cores) = self.mesh_cores {
            writeln!(f, "mesh              {cores:.2} cores")?;
        }
        if self.troubles.is_empty() {
            return write!(f, "passed");
        }
        write!(f, "FAILED")?;
        self.troubles.iter().try_for_each(|trouble| write!(f, "\n  - {trouble}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(joined: bool, frames: u64, ended: Option<&str>) -> Harvest {
        let mut harvest = Harvest { joined_after: joined.then_some(Duration::from_millis(100)), ..Harvest::default() };
        harvest.report.seen.frames = frames;
        harvest.report.ended = ended.map(str::to_owned);
        harvest
    }

    fn of(harvest: &[(bool, Harvest)]) -> Outcome {
        Outcome::of(harvest, Duration::from_secs(1), Cores::default(), &Limits::default())
    }

    #[test]
    fn a_run_fails_when_it_goes_beyond_its_limits() {
        let mut slow = bot(true, 10, None);
        slow.first_frame_after = Some(Duration::from_millis(400));
        slow.report.frozen = 2;
        let ms = Duration::from_millis;
        let limits = |join, picture, frozen| Limits {
            join_p95: Some(ms(join)),
            picture_p95: Some(ms(picture)),
            frozen: Some(frozen),
        };
        let outcome = |limits: Limits| {
            let harvest = [(true, Harvest { report: slow.report.clone(), ..harvest_of(&slow) })];
            Outcome::of(&harvest, Duration::from_secs(1), Cores::default(), &limits)
        };
        assert!(outcome(limits(101, 301, 2)).passed());
        for (beyond, words) in [
            (limits(90, 301, 2), "joining took 100"),
            (limits(101, 290, 2), "the first picture came 300"),
            (limits(101, 301, 1), "2 slots were frozen"),
        ] {
            let outcome = outcome(beyond);
            assert!(outcome.troubles.len() == 1 && outcome.to_string().contains(words), "{outcome}");
        }
    }

    fn harvest_of(bot: &Harvest) -> Harvest {
        Harvest { joined_after: bot.joined_after, first_frame_after: bot.first_frame_after, ..Harvest::default() }
    }

    #[test]
    fn a_run_fails_when_somebody_could_not_join_or_saw_nothing() {
        let fine = of(&[(true, bot(true, 10, None)), (false, bot(true, 0, None))]);
        assert!(fine.passed(), "{fine}");
        let table = [
            (bot(false, 0, Some("refused")), "1 × refused"),
            (bot(false, 0, None), "not connected"),
            (bot(true, 0, None), "never saw a picture"),
        ];
        for (harvest, words) in table {
            let outcome = of(&[(true, harvest)]);
            assert!(!outcome.passed() && outcome.to_string().contains(words), "{outcome}");
        }
    }

    #[test]
    fn a_late_generator_is_not_believed() {
        let mut late = bot(true, 10, None);
        late.late_us = vec![50_000; 100];
        let outcome = of(&[(true, late)]);
        assert!(matches!(outcome.troubles[..], [Trouble::GeneratorLate { .. }]));
    }

    #[test]
    fn percentiles_are_those_of_the_samples() {
        let latency = distribution((1..=1_000).map(|ms| ms * 1_000));
        assert_eq!(latency.count, 1_000);
        assert!((latency.p50_ms - 500.0).abs() < 1.0 && (latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
    }
}
