//! Rooms by chance: where people are, how they are connected, what happens to them and to the mesh, all out of one seed.
//! Whatever happens, what must hold holds ([`lyceum_sim::Findings`]); and when the network is calm again, everybody sees,
//! reads and knows everybody. A replay of one seed (`LYCEUM_SEED=17`) tells what happens when.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod play;

use lyceum_bot::Stage;
use lyceum_sim::{BotId, Conditions, EdgeId, Mesh, Random, Setup};
use lyceum_wire::token::Grants;
use play::{on_seeds, seconds, speaker, viewer};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ROOM: &str = "physics";
const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const TILES: [(u16, u16); 3] = [(320, 180), (640, 360), (1280, 720)];

struct Person {
    bot: BotId,
    speaks: bool,
    said: u64,
    gone: bool,
}

struct Chance {
    mesh: Mesh,
    random: Random,
    people: Vec<Person>,
    edges: u64,
    lossless: bool,
    severed: BTreeSet<(usize, usize)>,
    /// One seed is replayed: it tells what happens.
    loud: bool,
}

impl Chance {
    fn begin(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xc4a9_ce00);
        let edges = 1 + random.below(3);
        let lossless = random.one_in(4);
        let regions = REGIONS[..edges as usize].to_vec();
        let mut setup = Setup::new(seed, regions, Conditions::clean(Duration::ZERO), Conditions::clean(Duration::ZERO));
        setup.backbone = Self::way(&mut random, lossless, Duration::from_millis(120));
        setup.shards = 1 + random.below(3) as u8;
        setup.split_viewers = random.below(3) as u32;
        setup.shed_per_million = if lossless || random.one_in(2) { 0 } else { random.below(50_000) as u32 };
        // Every third mesh is a busy one.
        setup.rest = if seed % 3 == 1 { Duration::from_millis(10) } else { Duration::ZERO };
        let loud = std::env::var_os("LYCEUM_SEED").is_some();
        if loud {
            eprintln!("{setup:#?}");
        }
        let mesh = Mesh::new(setup, Instant::now());
        Self { mesh, random, people: Vec::new(), edges, lossless, severed: BTreeSet::new(), loud }
    }

    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.loud {
            eprintln!("{:>9.3} s  {what}", self.mesh.elapsed().as_secs_f64());
        }
    }

    fn way(random: &mut Random, lossless: bool, longest: Duration) -> Conditions {
        let way = Conditions::drawn(random, longest);
        // What loses nothing changes no order either: there, not one number may be missing.
        if lossless { Conditions::clean(way.delay) } else { way }
    }

    fn join(&mut self) {
        let Self { random, mesh, people, lossless, edges, .. } = self;
        let longest = Duration::from_millis(60);
        let (mut up, mut down) = (Self::way(random, *lossless, longest), Self::way(random, *lossless, longest));
        if !*lossless && random.one_in(6) {
            up = up.behind(500_000 + random.below(1_000_000), Duration::from_millis(50 + random.below(300)));
        }
        // What is lost on the way down leaves no gap in what leaves the edge.
        if random.one_in(5) {
            down = down.behind(200_000 + random.below(1_500_000), Duration::from_millis(50 + random.below(300)));
        }
        let speaks = people.is_empty() || random.one_in(3);
        let tile = TILES[random.below(3) as usize];
        let plan = if speaks { speaker(tile) } else { viewer(tile) };
        let edge = EdgeId(random.below(*edges) as usize);
        let bot = mesh.join_by(edge, ROOM, plan, Grants::participant(), [up, down]);
        people.push(Person { bot, speaks, said: 0, gone: false });
        let does = if speaks { "speaks" } else { "looks" };
        self.tell(format_args!("{bot:?} comes to {edge:?} and {does}; up {up:?}, down {down:?}"));
    }

    fn somebody(&mut self) -> Option<usize> {
        let there: Vec<usize> = (0..self.people.len()).filter(|index| !self.people[*index].gone).collect();
        (!there.is_empty()).then(|| there[self.random.below(there.len() as u64) as usize])
    }

    fn happens(&mut self) {
        let Some(who) = self.somebody() else { return self.join() };
        let bot = self.people[who].bot;
        let connected = self.mesh.bot(bot).stage() == Stage::Connected;
        match self.random.below(12) {
            0..=3 if connected => {
                self.tell(format_args!("{bot:?} says something"));
                self.mesh.bot(bot).chat("hello");
                self.people[who].said += 1;
            }
            4 | 5 if self.people.len() < 8 => self.join(),
            6 | 7 if connected && self.mesh.has_socket(bot) => {
                let pause = Duration::from_millis(100 + self.random.below(3_000));
                self.tell(format_args!("{bot:?} is cut off its socket for {pause:?}"));
                self.mesh.cut_socket_for(bot, pause);
            }
            8 if self.people.len() > 3 && connected && self.mesh.has_socket(bot) => {
                self.tell(format_args!("{bot:?} leaves"));
                self.mesh.leave(bot);
                self.people[who].gone = true;
            }
            9 if self.people.len() > 4 => {
                self.tell(format_args!("{bot:?} vanishes"));
                self.mesh.vanish(bot);
                self.people[who].gone = true;
            }
            10 | 11 if self.edges > 1 => {
                let (one, other) = (0, 1 + self.random.below(self.edges - 1) as usize);
                self.tell(format_args!("the link {one}-{other} is cut, or mended"));
                if self.severed.remove(&(one, other)) {
                    self.mesh.mend(EdgeId(one), EdgeId(other));
                } else {
                    self.severed.insert((one, other));
                    self.mesh.sever(EdgeId(one), EdgeId(other));
                }
            }
            _ => {
                let speaking = self.random.one_in(2);
                self.mesh.bot(bot).speak(speaking);
            }
        }
    }

    fn calm(&mut self) {
        self.tell(format_args!("all is calm"));
        for (one, other) in std::mem::take(&mut self.severed) {
            self.mesh.mend(EdgeId(one), EdgeId(other));
        }
        self.mesh.calm(Conditions::clean(Duration::from_millis(10)), Conditions::clean(Duration::from_millis(30)));
        let there: Vec<BotId> = self.people.iter().filter(|one| !one.gone).map(|one| one.bot).collect();
        let gone: Vec<BotId> = self.people.iter().filter(|one| one.gone).map(|one| one.bot).collect();
        let all = there.clone();
        let connected = self.mesh.run_until(seconds(12), |mesh| {
            all.iter().all(|bot| mesh.bot(*bot).stage() == Stage::Connected && mesh.has_socket(*bot))
        });
        let stages: Vec<_> = there.iter().map(|bot| self.mesh.bot(*bot).report().ended).collect();
        assert!(connected, "not everybody is connected 12 s after the network is calm: {stages:?}");

        // Who vanished is missed later.
        let ids = |mesh: &Mesh, bots: &[BotId]| -> BTreeSet<_> {
            bots.iter().map(|bot| mesh.participant(*bot).clone()).collect()
        };
        let (present, absent) = (ids(&self.mesh, &there), ids(&self.mesh, &gone));
        let knows_all = |mesh: &mut Mesh, bot: BotId| {
            let me = mesh.participant(bot).clone();
            let known: BTreeSet<_> = mesh.bot(bot).others().keys().cloned().collect();
            present.iter().all(|who| *who == me || known.contains(who))
                && known.iter().all(|who| present.contains(who) || absent.contains(who))
        };
        let known = self.mesh.run_until(seconds(8), |mesh| there.iter().all(|bot| knows_all(mesh, *bot)));
        assert!(known, "not everybody knows everybody 8 s after the network is calm");

        let speakers = self.people.iter().filter(|one| !one.gone && one.speaks).count();
        // Who vanished is shown until it is given up, and fills one of the two slots meanwhile.
        let ghosts = self.people.iter().filter(|one| one.gone && one.speaks).count();
        for person in self.people.iter().filter(|one| !one.gone) {
            if speakers > usize::from(person.speaks) && ghosts < 2 {
                let before = self.mesh.bot(person.bot).report().seen.frames;
                let sees =
                    self.mesh.run_until(seconds(8), |mesh| mesh.bot(person.bot).report().seen.frames >= before + 10);
                let slots: Vec<_> = self.mesh.bot(person.bot).video_slots().collect();
                assert!(sees, "{:?} sees nothing 8 s after the network is calm: {slots:?}, gone {gone:?}", person.bot);
            }
        }
        let heard = self.mesh.run_until(seconds(12), |mesh| {
            let last = mesh.findings.messages(ROOM);
            there.iter().all(|bot| mesh.heard_up_to(*bot) == last)
                && self
                    .people
                    .iter()
                    .filter(|one| !one.gone)
                    .all(|one| mesh.findings.messages_of(ROOM, mesh.participant(one.bot)) == one.said)
        });
        assert!(heard, "not every message has reached everybody 12 s after the network is calm");
    }

    fn end(mut self) {
        for person in self.people.iter().filter(|one| !one.gone) {
            self.mesh.leave(person.bot);
        }
        // Those who vanished are given up after their silence.
        self.mesh.run(seconds(75));
        self.mesh.look_at_the_end();
        assert!(self.mesh.findings.list().is_empty(), "{:#?}", self.mesh.findings.list());
    }
}

fn any_room(seed: u64) {
    let mut chance = Chance::begin(seed);
    chance.join();
    for _ in 0..1 + chance.random.below(4) {
        let pause = chance.random.up_to(Duration::from_millis(400));
        chance.mesh.run(pause);
        chance.join();
    }
    for _ in 0..4 + chance.random.below(10) {
        let pause = chance.random.up_to(Duration::from_millis(700));
        chance.mesh.run(pause);
        chance.happens();
    }
    chance.calm();
    chance.end();
}

#[test]
fn whatever_happens_what_must_hold_holds() {
    on_seeds(830, any_room);
}
