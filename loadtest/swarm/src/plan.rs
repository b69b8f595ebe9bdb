//! What a load run shall do.

use lyceum_bot::Turn;
use lyceum_wire::id::{NameError, Region, RoomId};
use std::str::FromStr;
use std::time::Duration;

/// Bots at most in one process: beyond it the generator, not the mesh, would be measured.
pub(crate) const BOTS_MAX: u32 = 5_000;
/// Slots for cameras a bot negotiates at most: a wall of 49 pictures is the largest any client shows.
pub(crate) const VIDEO_SLOTS_MAX: u16 = 49;
/// In a class so many speak at the same time, on average.
const SPEAKING: u32 = 2;
/// … for this long each.
const SPEAKS_FOR: Duration = Duration::from_secs(4);
/// Slots for cameras when the plan does not say: what a small window shows.
const VIDEO_SLOTS: u16 = 4;

/// A region's share of the viewers, such as `eu=25`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The region.
    pub region: Region,
    /// Its weight.
    pub weight: u32,
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (region, weight) = text.split_once('=').unwrap_or((text, "1"));
        let region = region.parse().map_err(|error| format!("region {region:?}: {error}"))?;
        let weight = weight.parse().map_err(|_| format!("weight {weight:?} of region {region} is not a number"))?;
        Ok(Self { region, weight })
    }
}

/// What bots do in their rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// A few publish in full quality, the others watch them.
    Lecture,
    /// All publish voice and a small camera, a few speak by turns, and everybody turns pages of as many tiles as there are slots.
    Class {
        /// A page is looked at for this long.
        page: Duration,
    },
    /// A lecture under way to which all viewers come at once.
    Crowd,
}

/// What a run must keep to; it fails otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// 95th percentile of the time from the first request to connected media.
    pub join_p95: Option<Duration>,
    /// 95th percentile of the time from connected media to the first picture.
    pub picture_p95: Option<Duration>,
    /// Slots that show nothing of what was put into them.
    pub frozen: Option<u64>,
}

/// A load run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What bots do.
    pub scenario: Scenario,
    /// What the run must keep to.
    pub limits: Limits,
    /// Processes of the mesh on this machine, whose processor time is reported.
    pub mesh_pids: Vec<u32>,
    /// Base URL of the control plane.
    pub url: String,
    /// Secret for tokens, when the control plane is not open.
    pub api_secret: Option<String>,
    /// Rooms at once.
    pub rooms: u32,
    /// Publishers in each room: voice and a camera in three encodings.
    pub publishers: u32,
    /// Viewers in each room.
    pub viewers: u32,
    /// Where bots go; empty: wherever the control plane puts them.
    pub regions: Vec<Share>,
    /// How long media flow after the last bot was started.
    pub hold: Duration,
    /// All bots are started within this time.
    pub ramp: Duration,
    /// Size of a viewer's tiles in pixels, which decides the layer it gets.
    pub tile: (u16, u16),
    /// Prefix of the rooms' names.
    pub room_prefix: String,
    /// The one room to go to, by name, instead of rooms of the prefix. Others may publish there.
    pub room: Option<RoomId>,
    /// Slots for cameras per bot; as many as there are other publishers when absent.
    pub slots: Option<u16>,
}

impl Plan {
    /// How many bots there are.
    #[must_use]
    pub fn bots(&self) -> u32 {
        self.rooms.saturating_mul(self.publishers.saturating_add(self.viewers))
    }

    /// Slots for cameras of a bot that publishes, or only watches.
    #[must_use]
    pub fn slots_of(&self, publishing: bool) -> u16 {
        let others = self.publishers.saturating_sub(u32::from(publishing));
        self.slots.unwrap_or_else(|| u16::try_from(others).unwrap_or(u16::MAX).min(VIDEO_SLOTS))
    }

    /// When the `n`-th publisher of a room speaks.
    #[must_use]
    pub fn turn_of(&self, n: u32) -> Option<Turn> {
        let Scenario::Class { .. } = self.scenario else { return None };
        let people = self.publishers.max(SPEAKING);
        let each = SPEAKS_FOR / SPEAKING;
        Some(Turn { every: each * people, lasts: SPEAKS_FOR, offset: each * n })
    }

    /// How long a bot stays on a page.
    #[must_use]
    pub fn page_every(&self) -> Option<Duration> {
        match self.scenario {
            Scenario::Class { page } => Some(page),
            Scenario::Lecture | Scenario::Crowd => None,
        }
    }

    /// The name of the `n`-th room.
    ///
    /// # Errors
    /// When the prefix is none of a room's name.
    pub fn room_of(&self, n: u32) -> Result<RoomId, NameError> {
        self.room.clone().map_or_else(|| RoomId::parse(&format!("{}-{n}", self.room_prefix)), Ok)
    }

    /// What is wrong with the plan, in one sentence.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.bots() == 0 {
            return Err("a run needs at least one room and one bot in it".into());
        }
        if self.publishers == 0 && self.room.is_none() {
            return Err("without publishers there is nothing to see: name a --room in which others publish".into());
        }
        if self.room.is_some() && self.rooms != 1 {
            return Err("a room by name is one room".into());
        }
        if self.slots.is_some_and(|slots| slots > VIDEO_SLOTS_MAX) {
            return Err(format!("a bot has at most {VIDEO_SLOTS_MAX} slots for cameras"));
        }
        if self.bots() > BOTS_MAX {
            return Err(format!("{} bots are more than one process takes ({BOTS_MAX})", self.bots()));
        }
        if !self.regions.is_empty() && self.regions.iter().all(|share| share.weight == 0) {
            return Err("all regions have weight 0".into());
        }
        if self.hold.is_zero() {
            return Err("a run needs at least a second to see anything".into());
        }
        Ok(())
    }

    /// The region of the `n`-th of a kind: shares are met as evenly as whole bots allow, at every moment of the ramp.
    #[must_use]
    pub fn region_of(&self, n: u32) -> Option<Region> {
        let total: u64 = self.regions.iter().map(|share| u64::from(share.weight)).sum();
        if total == 0 {
            return None;
        }
        let mut given = vec![0u64; self.regions.len()];
        let mut chosen = 0;
        for step in 0..=u64::from(n) {
            // The one that is furthest behind its share.
            let behind = |index: usize| {
                let weight = u64::from(self.regions[index].weight);
                (weight * (step + 1)) as i64 - (given[index] * total) as i64
            };
            chosen = (0..given.len()).max_by_key(|&index| (behind(index), std::cmp::Reverse(index))).unwrap_or(0);
            given[chosen] += 1;
        }
        self.regions.get(chosen).map(|share| share.region.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(regions: &[&str]) -> Plan {
        Plan {
            scenario: Scenario::Lecture,
            limits: Limits::default(),
            mesh_pids: Vec::new(),
            url: "http://localhost".into(),
            api_secret: None,
            rooms: 1,
            publishers: 2,
            viewers: 50,
            regions: regions.iter().map(|share| share.parse().expect("a share")).collect(),
            hold: Duration::from_secs(1),
            ramp: Duration::ZERO,
            tile: (640, 360),
            room_prefix: "load".into(),
            room: None,
            slots: None,
        }
    }

    #[test]
    fn shares_are_met_and_mixed() {
        let plan = plan(&["eu=25", "us=25"]);
        let names: Vec<_> = (0..50).map(|n| plan.region_of(n).map(String::from).unwrap_or_default()).collect();
        assert_eq!(names.iter().filter(|name| *name == "eu").count(), 25);
        assert_eq!(names[..4], ["eu", "us", "eu", "us"]);
        let uneven = self::plan(&["eu=3", "us=1", "ap=0"]);
        let names: Vec<_> = (0..8).map(|n| uneven.region_of(n).map(String::from).unwrap_or_default()).collect();
        assert_eq!(names.iter().filter(|name| *name == "eu").count(), 6);
        assert!(!names.contains(&"ap".into()));
        assert_eq!(self::plan(&[]).region_of(3), None);
    }

    #[test]
    fn slots_are_as_many_as_there_are_others_to_see() {
        let mut plan = plan(&[]);
        assert_eq!((plan.slots_of(true), plan.slots_of(false)), (1, 2));
        plan.publishers = 9;
        assert_eq!((plan.slots_of(true), plan.slots_of(false)), (4, 4));
        plan.slots = Some(9);
        assert_eq!(plan.slots_of(false), 9);
    }

    #[test]
    fn in_a_class_two_speak_at_a_time() {
        let class = Plan { publishers: 60, scenario: Scenario::Class { page: Duration::from_secs(4) }, ..plan(&[]) };
        for second in 0..120 {
            let now = Duration::from_secs(second);
            let speaking = (0..60).filter(|n| class.turn_of(*n).is_some_and(|turn| turn.is_on(now))).count();
            assert_eq!(speaking, 2, "in second {second}");
        }
        assert_eq!(plan(&[]).turn_of(0), None, "a lecturer speaks all the time");
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        assert!("eu=x".parse::<Share>().is_err_and(|error| error.contains("not a number")));
        assert!("e u=1".parse::<Share>().is_err());
        let mut wrong = plan(&["eu=0"]);
        assert!(wrong.check().is_err_and(|error| error.contains("weight 0")));
        wrong = plan(&[]);
        wrong.viewers = 10_000;
        assert!(wrong.check().is_err_and(|error| error.contains("5000")));
        wrong = plan(&[]);
        wrong.publishers = 0;
        assert!(wrong.check().is_err_and(|error| error.contains("--room")));
        wrong.room = RoomId::parse("physics").ok();
        assert_eq!(wrong.check(), Ok(()));
        wrong.slots = Some(50);
        assert!(wrong.check().is_err_and(|error| error.contains("49")));
    }
}
