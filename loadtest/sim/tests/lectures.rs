//! Scenarios in virtual time, each on many seeds.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod play;

use lyceum_bot::Stage;
use lyceum_sim::{BotId, Conditions, EdgeId, Mesh, Random, Setup};
use play::{on_seeds, seconds, speaker, viewer};
use std::time::{Duration, Instant};

const EU: EdgeId = EdgeId(0);
const US: EdgeId = EdgeId(1);
const ROOM: &str = "physics";

struct Lecture {
    mesh: Mesh,
    teacher: BotId,
    guest: BotId,
    viewers: [BotId; 2],
    said: u64,
    vanished: Vec<BotId>,
}

impl Lecture {
    /// A teacher in one region, a guest who speaks in the other, a viewer in each; all connected.
    fn begin(seed: u64, worst_loss_percent: u64) -> Self {
        Self::begin_on(seed, worst_loss_percent, |_| {})
    }

    fn begin_on(seed: u64, worst_loss_percent: u64, change: impl Fn(&mut Setup)) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let mut way = |shortest_ms: u64, longest_ms: u64| {
            let delay = Duration::from_millis(shortest_ms + random.below(longest_ms - shortest_ms));
            Conditions::rough(delay, random.below(worst_loss_percent + 1) as u32)
        };
        let mut setup = Setup::new(seed, vec!["eu", "us"], way(2, 30), way(5, 90));
        change(&mut setup);
        let mut mesh = Mesh::new(setup, Instant::now());
        let teacher = mesh.join(EU, ROOM, speaker((640, 360)));
        mesh.run(Duration::from_millis(50));
        let guest = mesh.join(US, ROOM, speaker((320, 180)));
        let viewers = [mesh.join(EU, ROOM, viewer((1280, 720))), mesh.join(US, ROOM, viewer((320, 180)))];
        assert!(mesh.run_until(seconds(8), |mesh| mesh.all_connected()), "not everybody is connected after 8 s");
        Self { mesh, teacher, guest, viewers, said: 0, vanished: Vec::new() }
    }

    fn everybody(&self) -> [BotId; 4] {
        [self.teacher, self.guest, self.viewers[0], self.viewers[1]]
    }

    /// Everybody says something.
    fn chat(&mut self) {
        for bot in self.everybody() {
            if self.mesh.bot(bot).stage() == Stage::Connected {
                self.mesh.bot(bot).chat("hello");
                self.said += 1;
            }
        }
    }

    fn frames(&mut self, bot: BotId) -> u64 {
        self.mesh.bot(bot).report().seen.frames
    }

    /// Each of them sees moving pictures in all the slots that somebody can fill.
    fn sees(&mut self, bots: &[BotId], frames: u64, within: Duration) {
        for &bot in bots {
            let before = self.frames(bot);
            let reached = self.mesh.run_until(within, |mesh| mesh.bot(bot).report().seen.frames >= before + frames);
            let seen = self.mesh.bot(bot).report();
            assert!(
                reached,
                "{bot:?} saw {} of {frames} more frames within {within:?}: {seen:?}",
                seen.seen.frames - before
            );
        }
    }

    /// What must hold at the end of every lecture, and what must be left when all have gone: nothing.
    fn end(mut self) {
        let said = self.said;
        let heard = self.mesh.run_until(seconds(15), |mesh| {
            mesh.run(Duration::ZERO);
            mesh.findings.messages(ROOM) == said
        });
        assert!(heard, "{} of {said} messages found their place", self.mesh.findings.messages(ROOM));
        self.mesh.run(seconds(3));
        for bot in self.everybody() {
            if self.mesh.bot(bot).stage() == Stage::Connected && !self.vanished.contains(&bot) {
                assert_eq!(self.mesh.heard_up_to(bot), said, "{bot:?} has not heard every message");
            }
        }
        for bot in self.everybody() {
            self.mesh.leave(bot);
        }
        self.mesh.run(seconds(40));
        self.mesh.look_at_the_end();
        assert!(self.mesh.findings.list().is_empty(), "{:#?}", self.mesh.findings.list());
    }
}

#[test]
fn a_room_on_one_edge_needs_no_link() {
    on_seeds(10, |seed| {
        let way = Conditions::rough(Duration::from_millis(5 + seed), (seed % 4) as u32);
        let setup = Setup::new(seed, vec!["eu"], way, way);
        let mut mesh = Mesh::new(setup, Instant::now());
        let bots = [mesh.join(EU, ROOM, speaker((640, 360))), mesh.join(EU, ROOM, viewer((320, 180)))];
        assert!(mesh.run_until(seconds(8), |mesh| mesh.all_connected()), "not everybody is connected after 8 s");
        mesh.bot(bots[0]).chat("hello");
        assert!(mesh.run_until(seconds(8), |mesh| mesh.bot(bots[1]).report().seen.frames > 30), "no picture");
        assert!(mesh.bot(bots[1]).report().audio_packets > 50, "no sound");
        assert_eq!((mesh.findings.messages(ROOM), mesh.findings.link_media), (1, 0));
        bots.into_iter().for_each(|bot| mesh.leave(bot));
        mesh.run(seconds(40));
        mesh.look_at_the_end();
        assert!(mesh.findings.list().is_empty(), "{:#?}", mesh.findings.list());
    });
}

#[test]
fn a_lecture_crosses_two_regions() {
    on_seeds(40, |seed| {
        let mut lecture = Lecture::begin(seed, 3);
        lecture.chat();
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 25, seconds(8));
        lecture.chat();
        lecture.mesh.run(seconds(2));

        // A viewer of a large tile is not given the smallest layer, a viewer of a small one not the largest.
        let teacher: Vec<_> = {
            let t = lecture.teacher;
            lecture.mesh.bot(t).encodings().collect()
        };
        assert_eq!(teacher.len(), 3);
        let asked: u64 = teacher.iter().map(|sent| sent.key_frames_asked).sum();
        assert!(asked <= 3 * 2 * 14, "the teacher was asked for {asked} key frames");
        assert!(lecture.mesh.findings.link_media > 50, "nothing crossed the link");
        lecture.end();
    });
}

#[test]
fn a_room_over_two_shards_of_each_edge_is_one_room() {
    on_seeds(40, |seed| {
        let mut lecture = Lecture::begin_on(seed, 2, |setup| {
            (setup.shards, setup.split_viewers) = (2, 1);
            setup.shed_per_million = if seed % 3 == 0 { 20_000 } else { 0 };
        });
        for edge in [EU, US] {
            assert_eq!(lecture.mesh.shards_in_use(edge), 2, "{edge:?} did not split the room");
        }
        lecture.chat();
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 25, seconds(8));
        lecture.chat();
        let cut = lecture.viewers[0];
        lecture.mesh.cut_socket_for(cut, seconds(1));
        lecture.mesh.run(seconds(2));
        for bot in lecture.everybody() {
            assert_eq!(lecture.mesh.bot(bot).others().len(), 3, "{bot:?} does not know everybody, or somebody twice");
        }
        assert!(lecture.mesh.findings.part_media > 50, "nothing passed between shards");
        lecture.end();
    });
}

#[test]
fn a_cut_socket_loses_no_message_and_stops_no_picture() {
    on_seeds(30, |seed| {
        let mut lecture = Lecture::begin(seed, 2);
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 5, seconds(8));
        let cut = lecture.viewers[1];
        lecture.chat();
        lecture.mesh.run(Duration::from_millis(seed % 7 * 13));
        lecture.mesh.cut_socket_for(cut, seconds(5));
        let before = lecture.frames(cut);
        for _ in 0..4 {
            lecture.mesh.run(seconds(1));
            lecture.chat();
        }
        assert!(lecture.frames(cut) > before + 20, "the picture stopped with the socket");
        lecture.mesh.run(seconds(4));
        let participants = lecture.mesh.bot(lecture.teacher).others().len();
        assert_eq!(participants, 3, "somebody took the cut for a departure");
        lecture.end();
    });
}

#[test]
fn who_writes_before_the_new_socket_is_welcomed_loses_no_word_and_no_session() {
    on_seeds(10, |seed| {
        let mut lecture = Lecture::begin(seed, 0);
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 5, seconds(8));
        let cut = lecture.viewers[1];
        lecture.mesh.cut_socket_for(cut, seconds(1));
        lecture.chat();
        // The socket stands, its hello is on its way.
        lecture.mesh.run(seconds(1) + Duration::from_millis(1));
        lecture.chat();
        lecture.end();
    });
}

#[test]
fn a_severed_link_heals_and_chat_goes_on_in_one_order() {
    on_seeds(30, |seed| {
        let mut lecture = Lecture::begin(seed, 2);
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 5, seconds(8));
        lecture.chat();
        lecture.mesh.run(Duration::from_millis(seed % 11 * 7));
        lecture.mesh.sever(EU, US);
        lecture.mesh.run(seconds(1));
        lecture.chat();
        lecture.mesh.run(seconds(2));
        lecture.mesh.mend(EU, US);
        lecture.mesh.run(seconds(4));
        lecture.chat();
        let far = lecture.viewers[1];
        lecture.sees(&[far], 20, seconds(6));
        assert_eq!(lecture.mesh.bot(far).others().len(), 3, "not everybody is back in the roster");
        lecture.end();
    });
}

#[test]
fn a_vanished_speaker_is_missed_and_nobody_else_notices() {
    on_seeds(20, |seed| {
        let mut lecture = Lecture::begin(seed, 2);
        let everybody = lecture.everybody();
        lecture.sees(&everybody, 5, seconds(8));
        let guest = lecture.guest;
        lecture.mesh.vanish(guest);
        lecture.vanished.push(guest);
        let viewer = lecture.viewers[0];
        lecture.sees(&[viewer], 60, seconds(20));
        let gone = lecture.mesh.run_until(seconds(60), |mesh| mesh.bot(viewer).others().len() == 2);
        assert!(gone, "the roster still has who vanished a minute ago");
        lecture.end();
    });
}
