//! Which shard takes who comes in: the room's own, until that is too busy.
//!
//! ```text
//!   busy   ──────────────── BUSY ─────  above: nobody new, when another shard is calm
//!               the band between: stays what it was
//!          ──────────────── CALM ─────  below: takes whoever comes, and new parts of rooms
//! ```
//!
//! A room stays whole while its shard is not hot. When it is, who comes next goes to the calmest of the room's other shards, and,
//! if all of these are hot, to a calm shard that has no part of the room yet: the room is split. Load is measured and comes
//! late, so that everybody who joined since the last measurements counts as load that is still to come. Nobody is moved
//! when the load falls; parts end when their last participant leaves.

use lyceum_wire::id::RoomId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A shard above this share of its core takes nobody new: the rest is for key frames and repairs that come in bursts.
pub const BUSY: f64 = 0.70;
/// A shard below this share takes whoever comes, and new parts of rooms.
pub const CALM: f64 = 0.50;
/// What a newcomer is expected to cost at least, as a share of a core: a viewer of 1.5 Mbit/s costs about half of it.
pub const NEWCOMER_MIN: f64 = 0.000_5;
/// … and at most, when few people keep a shard busy.
pub const NEWCOMER_MAX: f64 = 0.02;
/// A measurement covers this long. A joiner's load shows in full in the second one after it came.
pub const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// A room that no shard has confirmed is forgotten after this: whoever was sent there did not get in.
const UNCONFIRMED: Duration = Duration::from_secs(10);

/// What an operator may decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// A shard takes at most this many participants of one room before the next shard is filled, whatever the load is;
    /// 0: by load alone.
    pub split_viewers: u32,
}

/// Who is where on one node, and how busy its shards are.
#[derive(Debug)]
pub struct Spread {
    policy: Policy,
    shards: Vec<Load>,
    rooms: BTreeMap<RoomId, Spot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    busy: f64,
    /// Joins since the last measurement, and since the one before it.
    fresh: [u32; 2],
    people: u32,
    /// It was above [`BUSY`] and has not been below [`CALM`] since.
    hot: bool,
}

/// One room on the node's shards.
#[derive(Debug)]
struct Spot {
    /// Participants by shard, those under way included.
    people: BTreeMap<usize, u32>,
    /// Since when it waits for a shard's word that anybody is in it.
    unconfirmed: Option<Instant>,
}

impl Load {
    /// Measured load, and what is still to come of those who just joined.
    fn expected(&self) -> f64 {
        let known = self.people.saturating_sub(self.fresh.iter().sum()).max(1);
        let newcomer = (self.busy / f64::from(known)).clamp(NEWCOMER_MIN, NEWCOMER_MAX);
        let [newest, before] = self.fresh.map(f64::from);
        self.busy + newcomer * (newest + before / 2.0)
    }

    fn judge(&mut self) {
        let expected = self.expected();
        self.hot = expected > BUSY || self.hot && expected > CALM;
    }
}

impl Spread {
    /// A node of so many shards with nobody on it.
    #[must_use]
    pub fn new(shards: usize, policy: Policy) -> Self {
        Self { policy, shards: vec![Load::default(); shards.max(1)], rooms: BTreeMap::new() }
    }

    /// The shard a room is at home on.
    #[must_use]
    pub fn root(&self, room: &RoomId) -> usize {
        usize::try_from(room.key() % self.shards.len() as u64).unwrap_or(0)
    }

    /// Somebody comes in: to this shard.
    pub fn join(&mut self, room: &RoomId, now: Instant) -> usize {
        let root = self.root(room);
        let shard = match self.policy.split_viewers {
            0 => self.by_load(room, root),
            most => self.by_count(room, root, most),
        };
        if let Some(load) = self.shards.get_mut(shard) {
            load.fresh[0] = load.fresh[0].saturating_add(1);
            load.people = load.people.saturating_add(1);
            load.judge();
        }
        let fresh = || Spot { people: BTreeMap::new(), unconfirmed: Some(now) };
        let spot = self.rooms.entry(room.clone()).or_insert_with(fresh);
        *spot.people.entry(shard).or_default() += 1;
        shard
    }

    /// A shard says how many of a room it has.
    pub fn counted(&mut self, room: &RoomId, shard: usize, participants: u32) {
        let spot =
            self.rooms.entry(room.clone()).or_insert_with(|| Spot { people: BTreeMap::new(), unconfirmed: None });
        spot.unconfirmed = None;
        match participants {
            0 => drop(spot.people.remove(&shard)),
            some => drop(spot.people.insert(shard, some)),
        }
        if spot.people.is_empty() {
            self.rooms.remove(room);
        }
    }

    /// How busy a shard was since the last time, 0 to 1.
    pub fn measured(&mut self, shard: usize, busy: f64) {
        let people = self.rooms.values().filter_map(|spot| spot.people.get(&shard)).sum();
        if let Some(load) = self.shards.get_mut(shard) {
            load.busy = busy.clamp(0.0, 1.0);
            load.fresh = [0, load.fresh[0]];
            load.people = people;
            load.judge();
        }
    }

    /// Time passed: what nobody confirmed is forgotten.
    pub fn sweep(&mut self, now: Instant) {
        let stale = |at: Instant| now.saturating_duration_since(at) >= UNCONFIRMED;
        self.rooms.retain(|_, spot| !spot.unconfirmed.is_some_and(stale));
    }

    /// Rooms that are known to be somewhere.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    fn by_load(&self, room: &RoomId, root: usize) -> usize {
        let of = |shard: usize| self.shards.get(shard).copied().unwrap_or_default();
        let calmest = |shards: &mut dyn Iterator<Item = usize>| {
            shards.min_by(|a, b| of(*a).expected().total_cmp(&of(*b).expected()).then(a.cmp(b)))
        };
        let parts: Vec<usize> = self.parts(room, root);
        if parts.len() == 1 && !of(root).hot {
            return root;
        }
        let has_room = calmest(&mut parts.iter().copied().filter(|shard| !of(*shard).hot));
        let others = (0..self.shards.len()).filter(|shard| !parts.contains(shard));
        let calm = || calmest(&mut others.filter(|shard| of(*shard).expected() < CALM));
        has_room.or_else(calm).or_else(|| calmest(&mut parts.iter().copied())).unwrap_or(root)
    }

    fn by_count(&self, room: &RoomId, root: usize, most: u32) -> usize {
        let shards = self.shards.len();
        let here = |shard: usize| self.rooms.get(room).and_then(|spot| spot.people.get(&shard)).copied().unwrap_or(0);
        let order = || (0..shards).map(|step| (root + step) % shards);
        let emptiest = || order().min_by_key(|shard| here(*shard));
        order().find(|shard| here(*shard) < most).or_else(emptiest).unwrap_or(root)
    }

    /// Shards with a part of the room; the root counts as one, as all parts meet there.
    fn parts(&self, room: &RoomId, root: usize) -> Vec<usize> {
        let others = self.rooms.get(room).into_iter().flat_map(|spot| spot.people.keys().copied());
        std::iter::once(root).chain(others.filter(|shard| *shard != root)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomId {
        RoomId::parse(name).unwrap()
    }

    /// A room whose root is this shard.
    fn rooted(spread: &Spread, shard: usize) -> RoomId {
        (0..).map(|n| room(&format!("room-{n}"))).find(|room| spread.root(room) == shard).unwrap()
    }

    struct Play {
        spread: Spread,
        room: RoomId,
        now: Instant,
    }

    fn play(shards: usize, split_viewers: u32) -> Play {
        let spread = Spread::new(shards, Policy { split_viewers });
        let room = rooted(&spread, 0);
        Play { spread, room, now: Instant::now() }
    }

    impl Play {
        fn busy(&mut self, shares: &[f64]) {
            // Twice, as what joined before has shown by then.
            for _ in 0..2 {
                for (shard, busy) in shares.iter().enumerate() {
                    self.spread.measured(shard, *busy);
                }
            }
        }

        fn join(&mut self) -> usize {
            self.spread.join(&self.room, self.now)
        }
    }

    #[test]
    fn a_room_stays_whole_until_its_shard_is_hot_and_others_are_calm() {
        let check = |shares: &[f64], wanted: usize| {
            let mut play = play(shares.len(), 0);
            play.busy(shares);
            assert_eq!(play.join(), wanted, "{shares:?}");
        };
        check(&[0.0, 0.0], 0);
        check(&[0.65, 0.0], 0);
        check(&[0.75, 0.1], 1);
        check(&[0.75, 0.3, 0.1], 2);
        check(&[0.75, 0.6], 0);
        check(&[0.95, 0.99], 0);
        check(&[0.95], 0);
    }

    #[test]
    fn once_split_it_fills_its_parts_and_does_not_jump_back_and_forth() {
        let mut play = play(3, 0);
        play.busy(&[0.75, 0.3, 0.2]);
        assert_eq!(play.join(), 2);
        play.busy(&[0.65, 0.3, 0.22]);
        assert_eq!(play.join(), 2, "the root has cooled, but not enough");
        play.busy(&[0.45, 0.3, 0.55]);
        assert_eq!(play.join(), 0, "the calmer of the two parts that take people");
        play.busy(&[0.75, 0.3, 0.75]);
        assert_eq!(play.join(), 1, "a third part, as the two are hot");
        play.busy(&[0.75, 0.75, 0.72]);
        assert_eq!(play.join(), 2, "all are hot: the least of them");
    }

    #[test]
    fn a_storm_of_joins_is_load_before_it_can_be_measured() {
        let mut play = play(2, 0);
        play.busy(&[0.5, 0.0]);
        for _ in 0..100 {
            let shard = play.join();
            if shard == 1 {
                break;
            }
        }
        assert!(play.join() == 1, "half a core and a hundred newcomers are more than a shard should take");
        let at_root = play.spread.rooms[&play.room].people[&0];
        assert!((5..60).contains(&at_root), "{at_root} went to the root first");
        // They turn out to cost little: the root takes people again.
        play.busy(&[0.45, 0.4]);
        play.busy(&[0.3, 0.4]);
        assert_eq!(play.join(), 0);
    }

    #[test]
    fn by_number_the_shards_fill_one_after_the_other() {
        let mut play = play(3, 2);
        let shards: Vec<usize> = (0..8).map(|_| play.join()).collect();
        assert_eq!(shards, [0, 0, 1, 1, 2, 2, 0, 1]);
        let room = play.room.clone();
        play.spread.counted(&room, 1, 0);
        assert_eq!(play.join(), 1, "its people have left");
    }

    #[test]
    fn nothing_is_kept_of_rooms_that_are_gone_or_never_were() {
        let mut play = play(2, 1);
        play.join();
        play.join();
        let room = play.room.clone();
        play.spread.counted(&room, 0, 1);
        play.spread.counted(&room, 1, 1);
        play.spread.sweep(play.now + UNCONFIRMED);
        assert_eq!(play.spread.rooms(), 1);
        play.spread.counted(&room, 0, 0);
        play.spread.counted(&room, 1, 0);
        assert_eq!(play.spread.rooms(), 0);
        play.join();
        play.spread.sweep(play.now + UNCONFIRMED);
        assert_eq!(play.spread.rooms(), 0, "whoever was sent there was refused");
    }
}
