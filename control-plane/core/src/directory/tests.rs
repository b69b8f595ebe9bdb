use super::*;
use lyceum_wire::api::Load;

const LEASE: Duration = Duration::from_secs(10);

/// A directory and its hours: every line of a play happens at `self.now`.
struct Play {
    directory: Directory,
    start: Instant,
    now: Instant,
    revision: u64,
}

fn id(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn status(name: &str, people: u32, rooms: &[(&str, u32)]) -> NodeStatus {
    NodeStatus {
        region: Region::parse(name.split('-').next().unwrap()).unwrap(),
        url: format!("http://{name}.test"),
        link_addr: format!("{name}.test:4433"),
        turn_urls: vec![format!("turn:{name}.test:1"), format!("turn:{name}.test:2")],
        version: "1".into(),
        ready: true,
        load: Load { participants: people, rooms: 0, cpu: 0.0 },
        rooms: rooms.iter().map(|(name, people)| (room(name), *people)).collect(),
    }
}

impl Play {
    fn new() -> Self {
        let start = Instant::now();
        Self { directory: Directory::new(LEASE), start, now: start, revision: 0 }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.start + Duration::from_secs(seconds);
        self.directory.handle_time(self.now);
        self
    }

    fn reports(&mut self, name: &str, people: u32, rooms: &[(&str, u32)]) -> Healing {
        self.directory.reported(&id(name), status(name, people, rooms), self.now);
        self.directory.healing(&id(name))
    }

    fn entry(&mut self, key: String, value: Vec<u8>) -> Entry {
        self.revision += 1;
        Entry { key, value, revision: self.revision, lease: Some(LeaseId(7)) }
    }

    fn node_entry(&mut self, name: &str) -> Entry {
        self.entry(format!("{NODES}{name}"), serde_json::to_vec(&status(name, 0, &[])).unwrap())
    }

    fn room_entry(&mut self, name: &str, nodes: &[&str]) -> Entry {
        let nodes = nodes.iter().map(|n| address(&id(n), &status(n, 0, &[]))).collect();
        self.entry(format!("{ROOMS}{name}"), serde_json::to_vec(&Record { nodes }).unwrap())
    }

    fn store_says_node(&mut self, name: &str) {
        let entry = self.node_entry(name);
        self.directory.changed(&Change::Put(entry), self.now);
    }

    fn store_says_room(&mut self, name: &str, nodes: &[&str]) -> u64 {
        let entry = self.room_entry(name, nodes);
        self.directory.changed(&Change::Put(entry), self.now);
        self.revision
    }

    fn store_says_gone(&mut self, key: &str) {
        self.revision += 1;
        self.directory.changed(&Change::Gone { key: key.into(), revision: self.revision }, self.now);
    }

    fn placed(&mut self, name: &str) -> Result<String, NoEdge> {
        let choice = self.directory.place(&room(name), &JoinRequest::default(), self.now)?;
        Ok(choice.edge.node.to_string())
    }

    fn home(&self, name: &str) -> Option<String> {
        self.directory.room(&room(name)).map(|info| info.home.to_string())
    }
}

#[test]
fn a_node_that_falls_silent_is_not_chosen_and_one_that_speaks_again_is() {
    let mut play = Play::new();
    assert_eq!(play.placed("r").unwrap_err().0, "No edge has registered.");
    play.store_says_node("eu-1");
    play.at(5).reports("eu-1", 0, &[]);
    assert_eq!(play.at(14).placed("r").unwrap(), "eu-1");
    let refused = play.at(15).placed("r").unwrap_err();
    assert_eq!(refused.0, "None of the 1 known edges can take anybody: 0 not ready, 1 silent.");
    assert!(play.directory.regions(play.now).is_empty());
    play.reports("eu-1", 0, &[]);
    assert_eq!(play.placed("r").unwrap(), "eu-1");
}

#[test]
fn a_lease_that_runs_out_takes_the_node_and_leaves_its_rooms_as_orphans() {
    let mut play = Play::new();
    play.store_says_node("eu-1");
    play.store_says_node("us-1");
    play.store_says_room("r", &["eu-1", "us-1"]);
    assert_eq!(play.directory.orphans(), vec![]);
    play.at(12).store_says_gone("nodes/eu-1");
    assert_eq!(play.directory.orphans(), vec![(room("r"), id("eu-1"))]);
    assert_eq!(play.home("r").unwrap(), "eu-1", "until the detachment is written");
    play.store_says_room("r", &["us-1"]);
    assert_eq!(play.home("r").unwrap(), "us-1");
    assert_eq!(play.directory.orphans(), vec![]);
}

#[test]
fn a_node_that_still_speaks_to_us_survives_the_loss_of_its_entry() {
    let mut play = Play::new();
    play.store_says_node("eu-1");
    play.store_says_room("r", &["eu-1"]);
    play.at(11).reports("eu-1", 0, &[("r", 1)]);
    play.store_says_gone("nodes/eu-1");
    assert_eq!(play.directory.orphans(), vec![], "it lives");
    assert_eq!(play.placed("r").unwrap(), "eu-1");
    let again = play.directory.reported(&id("eu-1"), status("eu-1", 0, &[]), play.now);
    assert_eq!(again, None, "it needs a new lease");
    play.at(30);
    assert_eq!(play.directory.orphans(), vec![(room("r"), id("eu-1"))]);
}

#[test]
fn with_the_store_away_the_last_good_state_answers() {
    let mut play = Play::new();
    play.store_says_node("eu-1");
    play.store_says_node("us-1");
    play.store_says_room("r", &["gone-1"]);
    play.at(2);
    play.directory.store_lost(play.now);
    play.at(3).reports("us-1", 0, &[]);
    play.at(300);
    assert_eq!(play.placed("r").unwrap(), "eu-1", "known only through the store, it keeps its age");
    let us = play.directory.nodes(play.now).into_iter().find(|n| n.node == id("us-1")).unwrap();
    assert_eq!(us.age_ms, 297_000, "one that spoke to us and stopped is silent");
    assert_eq!(play.directory.orphans(), vec![], "nobody is buried while the store is away");
    let listing = Listing { revision: play.revision, entries: vec![play.node_entry("eu-1")] };
    play.directory.listed(&listing, play.now);
    assert_eq!(play.directory.nodes(play.now).len(), 1);
    assert!(play.directory.room(&room("r")).is_none());
}

#[test]
fn old_news_does_not_undo_newer() {
    let mut play = Play::new();
    let old = play.room_entry("r", &["eu-1"]);
    let gone = Change::Gone { key: "rooms/r".into(), revision: old.revision };
    let new = play.room_entry("r", &["us-1", "eu-1"]);
    play.directory.changed(&Change::Put(new), play.now);
    play.directory.changed(&Change::Put(old), play.now);
    play.directory.changed(&gone, play.now);
    assert_eq!(play.home("r").unwrap(), "us-1");
}

#[test]
fn entries_nobody_can_read_are_counted_and_passed_over() {
    let mut play = Play::new();
    for key in ["nodes/eu-1", "nodes/no way", "rooms/r", "rooms/a b"] {
        let entry = play.entry(key.into(), b"{}".to_vec());
        play.directory.changed(&Change::Put(entry), play.now);
    }
    let secret = play.entry("secrets/x".into(), b"?".to_vec());
    play.directory.changed(&Change::Put(secret), play.now);
    let count = play.directory.count(play.now);
    assert_eq!((count.nodes, count.rooms, count.unreadable), (0, 0, 4));
}

#[test]
fn people_on_the_way_are_expected_until_a_report_shows_them_or_they_do_not_come() {
    let mut play = Play::new();
    play.reports("eu-1", 2, &[]);
    for _ in 0..5 {
        play.placed("r").unwrap();
    }
    let expected = |play: &Play| play.directory.nodes(play.now)[0].expected;
    assert_eq!(expected(&play), 5);
    play.at(3).reports("eu-1", 5, &[]);
    assert_eq!(expected(&play), 2, "three came");
    play.at(4).reports("eu-1", 4, &[]);
    assert_eq!(expected(&play), 2, "one left");
    play.at(13).reports("eu-1", 4, &[]);
    assert_eq!(expected(&play), 2);
    play.at(15);
    assert_eq!(expected(&play), 0, "who has not come after 15 s does not come");
}

#[test]
fn a_storm_of_joins_spreads_over_a_region_before_any_report() {
    let mut play = Play::new();
    for node in ["eu-1", "eu-2", "eu-3"] {
        play.reports(node, 0, &[]);
    }
    let mut there: BTreeMap<String, u32> = BTreeMap::new();
    for i in 0..300 {
        *there.entry(play.placed(&format!("room-{i}")).unwrap()).or_default() += 1;
    }
    assert!(there.values().all(|people| *people == 100), "{there:?}");
}

#[test]
fn maps_are_healed_from_what_nodes_say() {
    let mut play = Play::new();
    let healing = play.reports("eu-1", 1, &[("r", 1)]);
    assert_eq!(healing, Healing { attach: vec![room("r")], detach: vec![] }, "forgotten by us");
    play.store_says_room("r", &["eu-1"]);
    assert_eq!(play.reports("eu-1", 1, &[("r", 1)]), Healing::default());
    for _ in 1..MISSING_REPORTS {
        assert_eq!(play.reports("eu-1", 0, &[]), Healing::default(), "it may have crossed the attachment");
    }
    assert_eq!(play.reports("eu-1", 0, &[]), Healing { attach: vec![], detach: vec![room("r")] });
    assert_eq!(play.reports("eu-1", 0, &[("r", 0)]), Healing::default(), "there again");
    assert_eq!(play.reports("eu-1", 0, &[]), Healing::default(), "and counted anew");
}

#[test]
fn a_node_that_came_back_on_another_port_is_attached_again_under_it() {
    let mut play = Play::new();
    play.store_says_room("r", &["eu-1"]);
    let mut moved = status("eu-1", 0, &[("r", 1)]);
    moved.link_addr = "eu-1.test:9".into();
    play.directory.reported(&id("eu-1"), moved, play.now);
    assert_eq!(play.directory.healing(&id("eu-1")).attach, vec![room("r")]);
}

#[test]
fn the_turn_url_is_that_of_the_rooms_shard() {
    let mut play = Play::new();
    play.reports("eu-1", 0, &[]);
    for name in ["a", "b", "c", "d"] {
        let choice = play.directory.place(&room(name), &JoinRequest::default(), play.now).unwrap();
        let shard = room(name).key() % 2 + 1;
        assert_eq!(choice.turn_url.unwrap(), format!("turn:eu-1.test:{shard}"));
    }
    let mut no_turn = status("eu-1", 0, &[]);
    no_turn.turn_urls.clear();
    play.directory.reported(&id("eu-1"), no_turn, play.now);
    let choice = play.directory.place(&room("a"), &JoinRequest::default(), play.now).unwrap();
    assert_eq!(choice.turn_url, None);
}

#[test]
fn rooms_are_listed_page_by_page() {
    let mut play = Play::new();
    for name in ["a", "b", "c"] {
        play.store_says_room(name, &["eu-1"]);
    }
    let names = |rooms: &Rooms| rooms.rooms.iter().map(|r| r.room.to_string()).collect::<Vec<_>>().join(" ");
    let first = play.directory.rooms(None, 2);
    assert_eq!((names(&first).as_str(), first.next.clone()), ("a b", Some(room("b"))));
    let second = play.directory.rooms(first.next.as_ref(), 2);
    assert_eq!((names(&second).as_str(), second.next), ("c", None));
}

#[test]
fn an_explanation_tells_of_the_last_placements_in_this_room_only() {
    let mut play = Play::new();
    play.reports("eu-1", 0, &[]);
    play.placed("r").unwrap();
    play.at(2).placed("other").unwrap();
    play.at(3).placed("r").unwrap();
    let told = play.directory.explain(&room("r"), &JoinRequest::default(), play.now);
    assert_eq!(told.recent.iter().map(|p| p.age_ms).collect::<Vec<_>>(), vec![0, 3_000]);
    assert_eq!(told.chosen, Some(id("eu-1")));
    let asked_twice = play.directory.explain(&room("r"), &JoinRequest::default(), play.now);
    assert_eq!(told, asked_twice, "asking changes nothing");
}
