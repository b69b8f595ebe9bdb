//! The native client, whose media engine is another one than the edge's, in a real mesh: one process, two regions, a real link.
#![allow(missing_docs, clippy::unwrap_used)]

use lyceum_client::{
    ConnectOptions, ControlPlane, Ended, Error, Event, Frame, Http, HttpOptions, MediaFile, Room, Slots,
};
use lyceum_wire::api::{JoinRequest, TokenRequest};
use lyceum_wire::id::{ParticipantId, Region, RoomId, Source};
use lyceum_wire::signal::{Refusal, Tile};
use lyceum_wire::token::Grants;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Longest wait for anything; never reached unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `lyceum mesh`.
struct Mesh {
    child: Child,
    url: String,
}

impl Mesh {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lyceum"))
            .args(["mesh", "--listen", "127.0.0.1:0"])
            .env("LYCEUM_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !line.contains("ready ") {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "the mesh ended before it was ready");
        }
        let url = line.split("ready ").nth(1).unwrap().trim().to_owned();
        Self { child, url }
    }

    async fn token(&self, room: &str, name: &str, grants: Option<Grants>) -> String {
        let room = RoomId::parse(room).unwrap();
        let request = TokenRequest { room, name: name.into(), identity: None, grants, ttl_seconds: None };
        ControlPlane::new(&self.url).unwrap().token(&request, None).await.unwrap().token
    }

    async fn join(&self, room: &str, name: &str, region: &str) -> Person {
        self.join_with(room, name, region, |_| {}).await
    }

    async fn join_with(
        &self,
        room: &str,
        name: &str,
        region: &str,
        change: impl FnOnce(&mut ConnectOptions),
    ) -> Person {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let mut options = ConnectOptions::new(&self.url, RoomId::parse(room).unwrap(), name);
        options.region = Some(Region::parse(region).unwrap());
        let seen = frames.clone();
        options.on_frame = Some(Arc::new(move |frame: &Frame| seen.lock().unwrap().push(frame.clone())));
        change(&mut options);
        let (room, mut receiver) = Room::connect(options).await.unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let noted = events.clone();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                noted.lock().unwrap().push(event);
            }
        });
        room.media_connected(PATIENCE).await.unwrap();
        Person { room, events, frames }
    }

    async fn edge(&self, room: &str, token: &str, region: &str) -> HttpOptions {
        let wish = JoinRequest { region: Some(Region::parse(region).unwrap()), ..JoinRequest::default() };
        let room = RoomId::parse(room).unwrap();
        let placed = ControlPlane::new(&self.url).unwrap().join(&room, token, &wish).await.unwrap();
        assert_eq!(placed.edge.region.as_str(), region);
        HttpOptions { edge: placed.edge.url, room, token: token.to_owned(), bind: Vec::new() }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Somebody in a room, and all that happened to them.
struct Person {
    room: Room,
    events: Arc<Mutex<Vec<Event>>>,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Person {
    fn id(&self) -> ParticipantId {
        self.room.participant().unwrap()
    }

    /// How many frames of this track came, how many of them key frames.
    fn frames_of(&self, who: &ParticipantId, source: Source) -> (usize, usize) {
        let frames = self.frames.lock().unwrap();
        let of = |frame: &&Frame| frame.track.as_ref().is_some_and(|t| t.participant == *who && t.source == source);
        let mine: Vec<&Frame> = frames.iter().filter(of).collect();
        (mine.len(), mine.iter().filter(|frame| frame.key_frame).count())
    }

    async fn sees(&self, who: &Self, source: Source, frames: usize) {
        self.sees_id(&who.id(), source, frames).await;
    }

    async fn sees_id(&self, who: &ParticipantId, source: Source, frames: usize) {
        let before = self.frames_of(who, source).0;
        until(&format!("{frames} more frames of {source:?}"), || self.frames_of(who, source).0 >= before + frames)
            .await;
    }

    /// The texts of all chat lines, in the order they came.
    fn chat(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let text = |event: &Event| match event {
            Event::Message(message) => Some(format!("{}: {}", message.name, message.body.as_str().unwrap())),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }

    fn happened(&self, what: impl Fn(&Event) -> bool) -> bool {
        self.events.lock().unwrap().iter().any(what)
    }

    async fn say(&self, text: &str) {
        self.room.send("chat", text.into()).await.unwrap();
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Files made by ffmpeg, once.
fn lesson() -> (MediaFile, MediaFile) {
    static FILES: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    let (picture, sound) = FILES.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("lesson-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (picture, sound) = (folder.join("lesson.ivf"), folder.join("lesson.ogg"));
        let video =
            "-f lavfi -i testsrc2=size=320x180:rate=25 -t 4 -c:v libvpx -g 50 -b:v 250k -deadline realtime -cpu-used 8";
        let audio = "-f lavfi -i sine=440 -t 4 -c:a libopus -b:a 32k";
        for (options, file) in [(video, &picture), (audio, &sound)] {
            let made =
                Command::new("ffmpeg").args(["-loglevel", "error", "-y"]).args(options.split(' ')).arg(file).status();
            assert!(made.expect("ffmpeg must be installed (Debian: apt-get install ffmpeg)").success());
        }
        (picture, sound)
    });
    (MediaFile::open(picture).unwrap(), MediaFile::open(sound).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_in_two_regions_see_hear_and_read_each_other() {
    let mesh = Mesh::start();
    let (picture, sound) = lesson();
    let (ana, ben) = tokio::join!(mesh.join("physics", "Ana", "eu"), mesh.join("physics", "Ben", "us"));
    assert_eq!(ana.room.edge().unwrap().1.as_str(), "eu");
    assert_eq!(ben.room.edge().unwrap().1.as_str(), "us");
    ana.room.publish(Source::Camera, picture.clone(), true).await.unwrap();
    ana.room.publish(Source::Microphone, sound.clone(), true).await.unwrap();
    ben.room.publish(Source::Camera, picture, true).await.unwrap();

    // Longer than any pause that an edge might wrongly order.
    tokio::join!(
        ben.sees(&ana, Source::Camera, 200),
        ben.sees(&ana, Source::Microphone, 300),
        ana.sees(&ben, Source::Camera, 200)
    );
    let camera = |frame: &&Frame| frame.track.as_ref().is_some_and(|t| t.source == Source::Camera);
    let first = ben.frames.lock().unwrap().iter().find(camera).cloned().unwrap();
    assert_eq!((first.key_frame, first.size), (true, Some((320, 180))), "a picture begins with a key frame");
    let own = ana
        .frames
        .lock()
        .unwrap()
        .iter()
        .filter(|f| f.track.as_ref().is_some_and(|t| t.participant == ana.id()))
        .count();
    assert_eq!(own, 0, "nobody gets the own picture back");

    for i in 0..5 {
        tokio::join!(ana.say("hello"), ben.say(if i % 2 == 0 { "yes" } else { "no" }));
    }
    until("ten lines each", || ana.chat().len() == 10 && ben.chat().len() == 10).await;
    assert_eq!(ana.chat(), ben.chat(), "one order for everybody");
    let late = mesh.join("physics", "Eve", "us").await;
    until("the late one has read it all", || late.chat().len() == 10).await;
    assert_eq!(late.chat(), ana.chat());
    late.sees(&ana, Source::Camera, 25).await;

    until("everybody is in the roster with what they show", || {
        let people = ben.room.roster();
        let shows = |name: &str| people.iter().find(|p| p.name == name).map(|p| p.publishes.len());
        (shows("Ana"), shows("Ben"), shows("Eve")) == (Some(2), Some(1), Some(0))
    })
    .await;
    let crossed = |event: &Event| match event {
        Event::Paths(paths) => paths.iter().any(|path| {
            let regions: Vec<&str> = path.hops.iter().map(|hop| hop.region.as_str()).collect();
            path.participant == ana.id() && regions == ["eu", "us"]
        }),
        _ => false,
    };
    until("Ben is told the way of Ana's picture", || ben.happened(crossed)).await;
    until("Ana speaks", || ben.happened(|e| matches!(e, Event::Speakers(who) if who.first() == Some(&ana.id())))).await;

    let id = late.id();
    late.room.leave().await.unwrap();
    until("she is gone", || ana.room.roster().iter().all(|person| person.id != id)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_socket_loses_nothing_and_stops_no_picture() {
    let mesh = Mesh::start();
    let (picture, _) = lesson();
    let (ana, ben) = tokio::join!(mesh.join("r", "Ana", "eu"), mesh.join("r", "Ben", "us"));
    ana.room.publish(Source::Camera, picture, true).await.unwrap();
    ben.sees(&ana, Source::Camera, 10).await;
    for round in 1..=3 {
        ben.room.cut().await.unwrap();
        // Said by both while the socket is down or coming back.
        tokio::join!(ana.say("ana"), ana.say("ana"), ben.say("ben"), ben.say("ben"));
        let resumed = || ben.events.lock().unwrap().iter().filter(|e| matches!(e, Event::Resumed)).count() >= round;
        until("resumed", resumed).await;
        until("all lines", || ben.chat().len() == round * 4 && ana.chat().len() == round * 4).await;
        assert_eq!(ben.chat(), ana.chat());
        ben.sees(&ana, Source::Camera, 25).await;
    }
    assert_eq!(ben.room.statistics().reconnections, 3);
    assert_eq!(ana.room.roster().len(), 2, "he never left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_muted_hidden_or_ended_stops_and_comes_back_with_a_key_frame() {
    let mesh = Mesh::start();
    let (picture, _) = lesson();
    let (ana, ben) = tokio::join!(mesh.join("r", "Ana", "eu"), mesh.join("r", "Ben", "us"));
    ana.room.publish(Source::Camera, picture.clone(), true).await.unwrap();
    ben.sees(&ana, Source::Camera, 10).await;
    let muted = |wanted: bool| {
        let ana = ana.id();
        let people = ben.room.roster();
        people.iter().any(|p| p.id == ana && p.publishes.iter().any(|track| track.muted == wanted))
    };
    ana.room.mute(Source::Camera, true).await.unwrap();
    until("everybody sees that it is muted", || muted(true)).await;
    let sent = ana.room.statistics().sent[&Source::Camera].frames;
    ana.room.mute(Source::Camera, false).await.unwrap();
    until("and unmuted", || muted(false)).await;
    ben.sees(&ana, Source::Camera, 25).await;
    assert!(ana.room.statistics().sent[&Source::Camera].frames > sent);

    // Nobody shows it: the publisher is told, and pauses by itself.
    let track = lyceum_wire::id::TrackName { participant: ana.id(), source: Source::Camera };
    let tile = |width, height| vec![Tile { track: track.clone(), width, height, pinned: false }];
    ben.room.view(tile(0, 0)).await.unwrap();
    let unwatched = |e: &Event| matches!(e, Event::Demand { watched, .. } if watched.iter().all(|rid| !rid.watched));
    until("nobody watches", || ana.happened(unwatched)).await;
    let keys = ben.frames_of(&ana.id(), Source::Camera).1;
    ben.room.view(tile(320, 180)).await.unwrap();
    ben.sees(&ana, Source::Camera, 25).await;
    assert!(ben.frames_of(&ana.id(), Source::Camera).1 > keys, "it began again with a key frame");

    ana.room.unpublish(Source::Camera).await.unwrap();
    until("it is no longer in the roster", || ben.room.roster().iter().all(|person| person.publishes.is_empty())).await;
    ana.room.publish(Source::Camera, picture, true).await.unwrap();
    ben.sees(&ana, Source::Camera, 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whip_publisher_is_seen_by_a_whep_player_and_by_everybody() {
    let mesh = Mesh::start();
    let (picture, sound) = lesson();
    let ben = mesh.join("show", "Ben", "eu").await;
    let encoder = mesh.token("show", "Encoder", None).await;
    let files = vec![(Source::Camera, picture), (Source::Microphone, sound)];
    let mut whip = Http::publish(mesh.edge("show", &encoder, "eu").await, files, true).await.unwrap();
    let player = mesh.token("show", "Player", Some(Grants::viewer())).await;
    let slots = Slots { audio: 1, video: 1, screen: 0 };
    let mut whep = Http::play(mesh.edge("show", &player, "us").await, slots, None).await.unwrap();
    tokio::try_join!(whip.connected(PATIENCE), whep.connected(PATIENCE)).unwrap();
    until("the player gets 100 pictures and sounds", || {
        let received = whep.received();
        received.len() == 2 && received.values().all(|slot| slot.frames >= 100)
    })
    .await;
    let encoder = ben.room.roster().into_iter().find(|person| person.name == "Encoder").unwrap();
    assert!(ben.room.roster().iter().all(|person| person.name != "Player"), "a player is nobody in the roster");
    ben.sees_id(&encoder.id, Source::Camera, 25).await;
    whep.close().await.unwrap();
    whip.close().await.unwrap();
    until("the encoder has left", || ben.room.roster().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bots_and_the_native_client_see_each_other() {
    let mesh = Mesh::start();
    let (picture, sound) = lesson();
    let ana = mesh.join("r", "Ana", "eu").await;
    ana.room.publish(Source::Camera, picture, true).await.unwrap();
    ana.room.publish(Source::Microphone, sound, true).await.unwrap();
    let media = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bots-{}", std::process::id()));
    let load =
        ["load", "--room", "r", "--publishers", "1", "--viewers", "3", "--region", "eu=2,us=2", "--seconds", "10"];
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_lyceum"));
    command.args(load).args(["--url", &mesh.url, "--media"]).arg(&media).env("LYCEUM_LOG", "warn");
    let bots = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&bots.stdout);
    assert!(bots.status.success(), "somebody could not join or saw nothing:\n{told}");
    let publishers: BTreeSet<ParticipantId> = {
        let frames = ana.frames.lock().unwrap();
        let bots = frames.iter().filter(|frame| frame.key_frame).filter_map(|frame| frame.track.clone());
        bots.filter(|track| track.source == Source::Camera).map(|track| track.participant).collect()
    };
    assert_eq!(publishers.len(), 1, "one bot shows its camera");
    let bot = publishers.first().unwrap();
    assert!(ana.frames_of(bot, Source::Camera).0 >= 100, "{:?}", ana.frames_of(bot, Source::Camera));
    assert!(ana.frames_of(bot, Source::Microphone).0 >= 100, "{:?}", ana.frames_of(bot, Source::Microphone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_go_through_turn_where_nothing_else_passes() {
    let mesh = Mesh::start();
    let (picture, _) = lesson();
    let ana = mesh.join("r", "Ana", "eu").await;
    let ben = mesh.join_with("r", "Ben", "us", |options| options.relay_only = true).await;
    ana.room.publish(Source::Camera, picture.clone(), true).await.unwrap();
    ben.room.publish(Source::Camera, picture, true).await.unwrap();
    tokio::join!(ben.sees(&ana, Source::Camera, 100), ana.sees(&ben, Source::Camera, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_is_wrong_and_hurt_nobody_else() {
    let mesh = Mesh::start();
    let (picture, sound) = lesson();
    let options = |token: &str| {
        let mut options = ConnectOptions::new(&mesh.url, RoomId::parse("r").unwrap(), "Eve");
        options.token = Some(token.to_owned());
        options
    };
    let code = |error: Option<Error>| match error {
        Some(Error::Http { status, problem }) => format!("{status} {}", problem.code),
        other => format!("{other:?}"),
    };
    assert_eq!(code(Room::connect(options("x.y.z")).await.err()), "401 bad_token");
    let elsewhere = mesh.token("other", "Eve", None).await;
    assert_eq!(code(Room::connect(options(&elsewhere)).await.err()), "403 wrong_room");

    let ana = mesh.join("r", "Ana", "eu").await;
    let viewer = mesh.token("r", "Vic", Some(Grants::viewer())).await;
    let vic = mesh.join_with("r", "Vic", "eu", |options| options.token = Some(viewer)).await;
    let refused = vic.room.publish(Source::Camera, picture.clone(), true).await;
    assert!(matches!(refused, Err(Error::Refused { code: Refusal::NotAllowed, .. })), "{refused:?}");
    let wrong = ana.room.publish(Source::Camera, sound, true).await;
    assert!(matches!(wrong, Err(Error::Option(_))), "{wrong:?}");
    let large = ana.room.send("chat", "x".repeat(20_000).into()).await;
    assert!(matches!(large, Err(Error::Refused { code: Refusal::TooLarge, .. })), "{large:?}");
    // All goes on.
    ana.room.publish(Source::Camera, picture, true).await.unwrap();
    vic.sees(&ana, Source::Camera, 25).await;
    vic.say("I only look").await;
    until("she reads it", || ana.chat() == ["Vic: I only look"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_mesh_stops_everybody_is_told() {
    let mesh = Mesh::start();
    let ana = mesh.join("r", "Ana", "eu").await;
    let stopped = Command::new("kill").args(["-TERM", &mesh.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let told = |event: &Event| matches!(event, Event::Ended(Ended::Bye { .. }));
    until("a farewell", || ana.happened(told)).await;
    assert!(ana.room.send("chat", "anybody?".into()).await.is_err());
    let last: BTreeSet<bool> = ana.events.lock().unwrap().iter().rev().take(1).map(told).collect();
    assert_eq!(last, BTreeSet::from([true]), "the last event");
}
