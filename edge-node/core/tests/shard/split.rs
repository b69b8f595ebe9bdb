//! A room on two shards of one node: its people notice nothing, and another node sees one node.

use crate::client::{Line, VP8, sends};
use crate::media::{film, talk, track};
use crate::world::{World, room, secret_of};
use lyceum_edge_core::door::{Command, Event, HttpOutcome};
use lyceum_edge_core::stats::Live;
use lyceum_wire::id::{ParticipantId, RoomId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, Path, SlotKind, Tile};
use lyceum_wire::token::Grants;

/// A room whose own shard is this one.
pub(crate) fn rooted(name: &str, shards: u64, shard: u64) -> RoomId {
    (0..).map(|n| room(&format!("{name}-{n}"))).find(|room| room.key() % shards == shard).unwrap()
}

/// A node with two shards and another with one; the room's own shard on the first is 0. Its people: two, two and one.
struct Lecture {
    world: World,
    room: RoomId,
    /// At the root.
    ana: usize,
    /// On the branch.
    ben: usize,
    /// On the other node.
    cem: usize,
}

impl Lecture {
    fn begin() -> Self {
        let mut world = World::of_shards(&[2, 1], |_| {});
        world.link_all();
        let room = rooted("physics", 2, 0);
        let ana = world.join(0, "ana", room.as_str());
        let ben = world.join(1, "ben", room.as_str());
        let cem = world.join(2, "cem", room.as_str());
        world.run(1_000);
        Self { world, room, ana, ben, cem }
    }

    fn everybody(&self) -> [usize; 3] {
        [self.ana, self.ben, self.cem]
    }

    fn connect_all(&mut self) {
        for client in self.everybody() {
            let slots = vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)];
            let lines = [sends(Source::Microphone), sends(Source::Camera)].into_iter().chain(slots);
            self.world.connect(client, lines.collect());
        }
    }

    /// The last path each client was told of somebody.
    fn path(&self, client: usize, who: &str) -> Option<Path> {
        let wanted = track(who, Source::Camera).participant;
        let mut told = self.world.clients[client].heard.iter().filter_map(|message| match &message.body {
            EdgeSays::Paths { paths } => paths.iter().find(|path| path.participant == wanted).cloned(),
            _ => None,
        });
        told.next_back()
    }
}

#[test]
fn everybody_sees_hears_and_reads_everybody_whatever_shard_they_are_on() {
    let mut lecture = Lecture::begin();
    for client in lecture.everybody() {
        assert_eq!(lecture.world.roster(client), ["ana", "ben", "cem"]);
    }
    lecture.connect_all();
    for (speaker, name) in [(lecture.ana, "ana"), (lecture.ben, "ben"), (lecture.cem, "cem")] {
        for client in lecture.everybody() {
            lecture.world.clients[client].rtp.clear();
            let tiles = vec![Tile { track: track(name, Source::Camera), width: 640, height: 360, pinned: false }];
            lecture.world.say(client, ClientSays::View { tiles, listen: Vec::new() });
        }
        lecture.world.run(500);
        film(&mut lecture.world, speaker, 1, 45);
        talk(&mut lecture.world, speaker, 0, 60);
        for viewer in lecture.everybody().into_iter().filter(|viewer| *viewer != speaker) {
            let client = &lecture.world.clients[viewer];
            let pictures: Vec<_> = client.rtp.iter().filter(|p| p.payload_type == VP8).collect();
            assert!(pictures.len() >= 38, "{name} to {}: {} pictures", client.name, pictures.len());
            assert!(pictures.windows(2).all(|w| w[0].sequence.wrapping_add(1) == w[1].sequence));
            let sounds = client.rtp.iter().filter(|p| p.payload_type != VP8).count();
            assert!(sounds >= 40, "{name} to {}: {sounds} sounds", client.name);
            let speaks = |body: &EdgeSays| match body {
                EdgeSays::Speakers { active } => *active == [track(name, Source::Camera).participant],
                _ => false,
            };
            assert!(client.said(speaks) >= 1, "{} is told that {name} speaks", client.name);
        }
    }
    for n in 0..10 {
        for client in lecture.everybody() {
            lecture.world.chat(client, &format!("{n}"));
            lecture.world.run(120);
        }
    }
    lecture.world.run(1_000);
    let wanted = lecture.world.chats(lecture.ana);
    assert_eq!(wanted.len(), 30);
    for client in lecture.everybody() {
        assert_eq!(lecture.world.chats(client), wanted);
    }
    let late = lecture.world.join(1, "di", lecture.room.as_str());
    assert_eq!(lecture.world.chats(late), wanted, "who comes later reads the same");
}

#[test]
fn shards_show_to_nobody() {
    let mut lecture = Lecture::begin();
    lecture.connect_all();
    film(&mut lecture.world, lecture.ben, 1, 60);
    let nodes =
        |path: Option<Path>| -> Vec<String> { path.unwrap().hops.iter().map(|hop| hop.node.to_string()).collect() };
    assert_eq!(nodes(lecture.path(lecture.ana, "ben")), ["node-0"]);
    assert_eq!(lecture.path(lecture.ana, "ben").unwrap().latency_ms, 0.0);
    assert_eq!(nodes(lecture.path(lecture.ben, "ben")), ["node-0"]);
    assert_eq!(nodes(lecture.path(lecture.cem, "ben")), ["node-0", "node-1"]);
    film(&mut lecture.world, lecture.cem, 1, 60);
    let path = lecture.path(lecture.ben, "cem").unwrap();
    assert_eq!(path.hops.iter().map(|hop| hop.region.as_str()).collect::<Vec<_>>(), ["us", "eu"]);
    // Who comes later is told each way once.
    let late = lecture.world.join(1, "di", lecture.room.as_str());
    for message in &lecture.world.clients[late].heard {
        if let EdgeSays::Paths { paths } = &message.body {
            let mut people: Vec<&ParticipantId> = paths.iter().map(|path| &path.participant).collect();
            assert_eq!(people.len(), 3);
            people.dedup();
            assert_eq!(people.len(), 3, "{paths:?}");
        }
    }
    let stats: Vec<_> = lecture.world.nodes.iter().map(|node| node.shard.stats()).collect();
    assert_eq!(stats.iter().map(|s| (s.rooms, s.branches)).collect::<Vec<_>>(), [(1, 0), (0, 1), (1, 0)]);
    assert_eq!(stats.iter().map(|s| s.participants).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(stats[1].link_datagrams_out + stats[1].link_datagrams_in, 0, "a branch has no links");
    assert!(stats[1].part_datagrams_out > 50 && stats[0].part_datagrams_in > 50);
    for shard in 0..3 {
        for reason in ["would_loop", "bad_hops", "not_their_edge", "not_served", "duplicate"] {
            assert_eq!(lecture.world.drops(shard, "link", reason), 0, "{reason} on {shard}");
        }
    }
}

#[test]
fn a_layer_passes_between_shards_once_and_only_while_somebody_watches() {
    let mut lecture = Lecture::begin();
    lecture.world.connect(lecture.ana, vec![sends(Source::Camera)]);
    film(&mut lecture.world, lecture.ana, 0, 30);
    assert_eq!(lecture.world.nodes[1].shard.stats().part_datagrams_in, 0, "nobody watches there");
    for n in 0..4 {
        let viewer = lecture.world.join(1, &format!("viewer-{n}"), lecture.room.as_str());
        lecture.world.connect(viewer, vec![Line::Slot(SlotKind::Video)]);
    }
    film(&mut lecture.world, lecture.ana, 0, 5);
    let before = lecture.world.nodes[1].shard.stats().part_datagrams_in;
    film(&mut lecture.world, lecture.ana, 0, 30);
    assert_eq!(lecture.world.nodes[1].shard.stats().part_datagrams_in - before, 30, "four viewers, each packet once");
}

#[test]
fn what_a_full_queue_sheds_is_repaired() {
    let mut lecture = Lecture::begin();
    lecture.connect_all();
    lecture.world.shed = Some(6);
    film(&mut lecture.world, lecture.ana, 1, 150);
    let repaired = lecture.world.nodes[1].shard.stats().link_repaired;
    assert!(repaired >= 10, "{repaired}");
    let pictures = lecture.world.clients[lecture.ben].rtp.iter().filter(|p| p.payload_type == VP8).count();
    assert!(pictures >= 140, "{pictures}");
}

#[test]
fn a_room_may_have_all_its_people_on_a_branch() {
    let mut world = World::of_shards(&[2, 1], |_| {});
    world.link_all();
    let physics = rooted("physics", 2, 0);
    let ben = world.join(1, "ben", physics.as_str());
    let cem = world.join(2, "cem", physics.as_str());
    world.connect(ben, vec![sends(Source::Camera)]);
    world.connect(cem, vec![Line::Slot(SlotKind::Video)]);
    film(&mut world, ben, 0, 30);
    assert!(world.clients[cem].rtp.len() >= 25, "{}", world.clients[cem].rtp.len());
    world.run(20_000);
    assert_eq!(world.nodes[0].shard.live().rooms, 1, "its root stays as long as it has a branch");
    assert_eq!(world.roster(cem), ["ben Camera", "cem"]);
    world.say(ben, ClientSays::Leave);
    world.run(20_000);
    assert_eq!(world.roster(cem), ["cem"]);
    for shard in [0, 1] {
        assert_eq!(world.nodes[shard].shard.live(), Live::default(), "{shard}");
    }
    let counts = |shard: usize| -> Vec<u32> {
        let count = |event: &Event| match event {
            Event::RoomCount { participants, .. } => Some(*participants),
            _ => None,
        };
        world.nodes[shard].wanted.iter().filter_map(count).collect()
    };
    assert_eq!(counts(1).first(), Some(&1));
    assert_eq!(counts(1).last(), Some(&0));
}

#[test]
fn a_part_ends_by_itself_and_the_others_go_on() {
    let mut lecture = Lecture::begin();
    lecture.connect_all();
    lecture.world.say(lecture.ben, ClientSays::Leave);
    lecture.world.run(10_000);
    assert_eq!(lecture.world.nodes[1].shard.live(), Live::default());
    assert_eq!(lecture.world.roster(lecture.ana), ["ana Microphone Camera", "cem Microphone Camera"]);
    film(&mut lecture.world, lecture.ana, 1, 30);
    // It comes again, and finds everything.
    let di = lecture.world.join(1, "di", lecture.room.as_str());
    lecture.world.connect(di, vec![Line::Slot(SlotKind::Video)]);
    film(&mut lecture.world, lecture.ana, 1, 30);
    assert!(lecture.world.clients[di].rtp.len() >= 25);
    for client in [lecture.ana, lecture.cem, di] {
        lecture.world.say(client, ClientSays::Leave);
    }
    lecture.world.run(10_000);
    for shard in 0..3 {
        assert_eq!(lecture.world.nodes[shard].shard.live(), Live::default(), "{shard}");
    }
}

#[test]
fn sessions_of_a_branch_resume_are_kicked_and_come_by_http_as_anywhere() {
    let mut lecture = Lecture::begin();
    lecture.connect_all();
    let seen = lecture.world.seen(lecture.ben);
    lecture.world.cut(lecture.ben);
    lecture.world.chat(lecture.ana, "are you there?");
    lecture.world.run(1_000);
    lecture.world.resume(lecture.ben, seen);
    assert_eq!(lecture.world.chats(lecture.ben), ["1 ana: are you there?"]);

    let client = lecture.world.add(1, "player");
    lecture.world.clients[client].lines = vec![Line::Slot(SlotKind::Video)];
    let (sdp, ..) = lecture.world.clients[client].offer();
    let entry = lecture.world.entry("player", lecture.room.as_str(), Grants::participant());
    let request = lecture.world.request();
    lecture.world.command(1, Command::Whep { request, entry, sdp });
    let HttpOutcome::Created { sdp, .. } = lecture.world.http(1, request) else { panic!("not created") };
    let now = lecture.world.now;
    lecture.world.clients[client].take_answer(&sdp, now);
    lecture.world.run(2_000);
    // A player is shown who speaks, and she is on the other shard.
    talk(&mut lecture.world, lecture.ana, 0, 60);
    film(&mut lecture.world, lecture.ana, 1, 30);
    assert!(lecture.world.clients[client].rtp.len() >= 25);
    let request = lecture.world.request();
    lecture.world.command(1, Command::HttpDelete { request, resource: secret_of("player") });
    assert_eq!(lecture.world.http(1, request), HttpOutcome::Deleted);

    let participant = ParticipantId::parse("p-ben").unwrap();
    let kick = Command::Kick { room: lecture.room.clone(), participant, message: "out".into() };
    for shard in [0, 1] {
        lecture.world.command(shard, kick.clone());
    }
    assert!(lecture.world.clients[lecture.ben].closed);
    lecture.world.run(500);
    assert_eq!(lecture.world.roster(lecture.cem), ["ana Microphone Camera", "cem Microphone Camera"]);
}

#[test]
fn a_stop_leaves_nothing_behind() {
    let mut lecture = Lecture::begin();
    lecture.connect_all();
    for shard in [0, 1] {
        lecture.world.command(shard, Command::Shutdown { message: "stop".into() });
    }
    lecture.world.run(10_000);
    for shard in [0, 1] {
        assert_eq!(lecture.world.nodes[shard].shard.live(), Live::default(), "{shard}");
    }
    assert_eq!(lecture.world.roster(lecture.cem), ["cem Microphone Camera"]);
}
