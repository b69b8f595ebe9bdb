use super::*;
use lyceum_wire::splitmix;
use std::collections::BTreeSet;

fn node(name: &str) -> NodeId {
    NodeId::parse(name).unwrap()
}

fn said(from: &str, id: &str) -> RoomMessage {
    RoomMessage {
        number: 0,
        id: id.into(),
        from: ParticipantId::parse(from).unwrap(),
        name: from.into(),
        kind: "chat".into(),
        body: serde_json::Value::Null,
        sent_at_ms: 0,
    }
}

/// A few nodes with links that carry messages in order, or are cut.
struct Mesh {
    nodes: BTreeMap<NodeId, Order>,
    /// What every node's people were shown: number and id.
    shown: BTreeMap<NodeId, Vec<(u64, String)>>,
    links: BTreeSet<(NodeId, NodeId)>,
    under_way: VecDeque<(NodeId, NodeId, Message)>,
    now: Instant,
    epoch: u64,
}

impl Mesh {
    fn new(names: &[&str]) -> Self {
        let room = RoomId::parse("r").unwrap();
        let nodes: BTreeMap<_, _> =
            names.iter().map(|name| (node(name), Order::new(room.clone(), node(name)))).collect();
        let shown = nodes.keys().map(|name| (name.clone(), Vec::new())).collect();
        Self { nodes, shown, links: BTreeSet::new(), under_way: VecDeque::new(), now: Instant::now(), epoch: 0 }
    }

    fn at(&mut self, name: &str) -> &mut Order {
        self.nodes.get_mut(&node(name)).unwrap()
    }

    /// Collects what the nodes want sent, without delivering it.
    fn gather(&mut self) {
        let names: Vec<NodeId> = self.nodes.keys().cloned().collect();
        for name in names {
            while let Some(out) = self.nodes.get_mut(&name).unwrap().poll() {
                match out {
                    Out::Send { node: to, message } => {
                        if self.links.contains(&(name.clone(), to.clone())) {
                            self.under_way.push_back((name.clone(), to, message));
                        }
                    }
                    Out::Branch { .. } => unreachable!("no node here is split"),
                    Out::Deliver(message) => {
                        self.shown.get_mut(&name).unwrap().push((message.number, message.id));
                    }
                }
            }
        }
    }

    fn deliver_one(&mut self) -> bool {
        self.gather();
        let Some((from, to, message)) = self.under_way.pop_front() else { return false };
        let (now, order) = (self.now, self.nodes.get_mut(&to).unwrap());
        match message {
            Message::RoomOpen { epoch, messages_seen, .. } => order.opened(&from, epoch, messages_seen, now),
            Message::Post { message, .. } => order.post_from(&from, message),
            Message::Posted { after, chain, messages, .. } => order.posted(&from, after, chain, messages, now),
            other => panic!("{other:?}"),
        }
        true
    }

    fn run(&mut self) {
        let mut steps = 0;
        while self.deliver_one() {
            steps += 1;
            assert!(steps < 10_000, "it does not come to rest");
        }
    }

    fn link(&mut self, a: &str, b: &str) {
        for (x, y) in [(a, b), (b, a)] {
            self.links.insert((node(x), node(y)));
            let (epoch, seen) = (self.at(x).epoch(), self.at(x).seen());
            let room = RoomId::parse("r").unwrap();
            let open = Message::RoomOpen { room, epoch, messages_seen: seen, heard: false };
            self.under_way.push_back((node(x), node(y), open));
        }
    }

    /// What was under way is lost.
    fn cut(&mut self, a: &str, b: &str) {
        self.gather();
        for (x, y) in [(a, b), (b, a)] {
            self.links.remove(&(node(x), node(y)));
            self.under_way.retain(|(from, to, _)| !(*from == node(x) && *to == node(y)));
            let now = self.now;
            self.at(x).closed(&node(y), now);
        }
    }

    fn map_for(&mut self, who: &[&str], home: &str, nodes: &[&str]) {
        self.epoch += 1;
        for name in who {
            let others = nodes.iter().filter(|other| other != &name).map(|other| node(other)).collect();
            let (epoch, now) = (self.epoch, self.now);
            self.at(name).map(epoch, &node(home), others, now);
        }
    }

    fn map(&mut self, home: &str, nodes: &[&str]) {
        self.map_for(nodes, home, nodes);
    }

    fn wait(&mut self, duration: Duration) {
        self.now += duration;
        let now = self.now;
        for order in self.nodes.values_mut() {
            if order.deadline().is_some_and(|at| at <= now) {
                order.handle_timeout(now);
            }
        }
    }

    fn shown(&self, name: &str) -> Vec<(u64, &str)> {
        self.shown[&node(name)].iter().map(|(number, id)| (*number, id.as_str())).collect()
    }

    fn log(&self, name: &str) -> Vec<(u64, &str)> {
        let log = &self.nodes[&node(name)].log;
        log.iter().map(|entry| (entry.message.number, entry.message.id.as_str())).collect()
    }
}

#[test]
fn everybody_sees_one_order_without_a_hole() {
    let mut mesh = Mesh::new(&["a", "b", "c"]);
    mesh.map("a", &["a", "b", "c"]);
    for (x, y) in [("a", "b"), ("a", "c"), ("b", "c")] {
        mesh.link(x, y);
    }
    mesh.run();
    for n in 0..20 {
        for name in ["a", "b", "c"] {
            assert!(mesh.at(name).post(said(&format!("p-{name}"), &format!("{name}{n}"))));
        }
        mesh.deliver_one();
    }
    mesh.run();
    assert_eq!(mesh.shown("a").len(), 60);
    assert_eq!(mesh.shown("a"), mesh.shown("b"));
    assert_eq!(mesh.shown("a"), mesh.shown("c"));
    assert!(mesh.shown("a").iter().enumerate().all(|(at, (number, _))| *number == at as u64 + 1));
}

#[test]
fn posts_wait_while_the_home_cannot_be_reached_and_come_once() {
    let mut mesh = Mesh::new(&["a", "b"]);
    mesh.map("a", &["a", "b"]);
    assert!(mesh.at("b").post(said("p", "before")));
    mesh.link("a", "b");
    mesh.run();
    assert!(mesh.at("b").post(said("p", "under-way")));
    mesh.deliver_one();
    // Numbered by the home, but its word to `b` is lost with the link.
    mesh.cut("a", "b");
    assert!(mesh.at("b").post(said("p", "meanwhile")));
    assert!(mesh.at("a").post(said("q", "at-home")));
    mesh.run();
    mesh.link("a", "b");
    mesh.run();
    let expected = vec![(1, "before"), (2, "under-way"), (3, "at-home"), (4, "meanwhile")];
    assert_eq!(mesh.shown("a"), expected);
    assert_eq!(mesh.shown("b"), expected);
    assert_eq!(mesh.at("b").waiting(), 0);
}

#[test]
fn a_late_joiner_gets_the_newest_history() {
    let mut mesh = Mesh::new(&["a", "b"]);
    mesh.map("a", &["a", "b"]);
    mesh.wait(COLLECT_MAX);
    for n in 0..300 {
        assert!(mesh.at("a").post(said("p", &n.to_string())));
    }
    mesh.link("a", "b");
    mesh.run();
    assert_eq!(mesh.shown("b").len(), HISTORY_MESSAGES);
    assert_eq!(mesh.shown("b")[0].0, 101);
    assert_eq!(mesh.nodes[&node("b")].history().count(), HISTORY_MESSAGES);
    assert!(mesh.at("b").post(said("q", "hello")));
    mesh.run();
    assert_eq!(mesh.shown("b").last(), Some(&(301, "hello")));
    assert_eq!(mesh.at("b").take_counts(), Counts::default());
}

#[test]
fn a_new_home_goes_on_where_the_old_one_stopped_even_if_it_knew_less() {
    let mut mesh = Mesh::new(&["a", "b", "c"]);
    mesh.map("a", &["a", "b", "c"]);
    for (x, y) in [("a", "b"), ("a", "c"), ("b", "c")] {
        mesh.link(x, y);
    }
    mesh.run();
    assert!(mesh.at("a").post(said("p", "one")));
    mesh.run();
    // `c` hears the second, `b` does not; then `a` dies.
    mesh.cut("a", "b");
    assert!(mesh.at("a").post(said("p", "two")));
    assert!(mesh.at("b").post(said("q", "three")));
    mesh.run();
    mesh.cut("a", "c");
    assert_eq!(mesh.shown("c").len(), 2);
    mesh.map_for(&["b", "c"], "b", &["b", "c"]);
    mesh.run();
    assert_eq!(mesh.shown("b"), vec![(1, "one"), (2, "two"), (3, "three")]);
    assert_eq!(mesh.shown("c"), mesh.shown("b"));
}

#[test]
fn a_new_home_does_not_wait_for_ever_for_a_silent_node() {
    let mut mesh = Mesh::new(&["a", "b"]);
    mesh.map_for(&["a"], "a", &["a", "b"]);
    assert!(mesh.at("a").post(said("p", "one")));
    mesh.run();
    assert_eq!(mesh.shown("a"), vec![]);
    mesh.wait(COLLECT_MAX);
    mesh.run();
    assert_eq!(mesh.shown("a"), vec![(1, "one")]);
}

#[test]
fn two_homes_at_the_same_time_end_in_one_order_and_nothing_is_lost() {
    let mut mesh = Mesh::new(&["a", "b", "c"]);
    mesh.map("a", &["a", "b", "c"]);
    for (x, y) in [("a", "b"), ("a", "c"), ("b", "c")] {
        mesh.link(x, y);
    }
    mesh.run();
    assert!(mesh.at("b").post(said("p", "one")));
    mesh.run();
    // `a` is cut off and does not hear that `b` has become home; both number on.
    mesh.cut("a", "b");
    mesh.cut("a", "c");
    mesh.map_for(&["b", "c"], "b", &["b", "c"]);
    mesh.run();
    for n in 0..3 {
        assert!(mesh.at("a").post(said("pa", &format!("a{n}"))));
    }
    for n in 0..2 {
        assert!(mesh.at("c").post(said("pc", &format!("c{n}"))));
        mesh.run();
    }
    assert_eq!(mesh.log("a").len(), 4);
    assert_eq!(mesh.log("b").len(), 3);
    // `a` comes back and hears of the new home, first by its links, then by the map.
    mesh.link("a", "b");
    mesh.link("a", "c");
    mesh.run();
    assert!(mesh.at("a").post(said("pa", "held")));
    mesh.run();
    mesh.epoch -= 1;
    mesh.map_for(&["a"], "b", &["a", "b", "c"]);
    mesh.run();
    mesh.map("b", &["a", "b", "c"]);
    mesh.run();
    assert_eq!(mesh.log("a"), mesh.log("b"));
    assert_eq!(mesh.log("c"), mesh.log("b"));
    let mut ids: Vec<&str> = mesh.log("b").iter().map(|(_, id)| *id).collect();
    assert_eq!(ids[..3], ["one", "c0", "c1"]);
    ids.sort_unstable();
    assert_eq!(ids, ["a0", "a1", "a2", "c0", "c1", "held", "one"]);
    // Whoever only ever saw the new home's order saw it without a change.
    assert_eq!(mesh.shown("c"), mesh.log("c"));
}

#[test]
fn what_waits_for_the_home_is_bounded_and_refused_with_a_word() {
    let mut mesh = Mesh::new(&["a", "b"]);
    mesh.map("a", &["a", "b"]);
    for n in 0..WAITING_MAX {
        assert!(mesh.at("b").post(said("p", &n.to_string())));
    }
    assert!(!mesh.at("b").post(said("p", "one too many")));
}

#[test]
fn only_the_home_has_a_say() {
    let mut mesh = Mesh::new(&["a", "b", "c"]);
    mesh.map("a", &["a", "b", "c"]);
    mesh.link("b", "c");
    mesh.run();
    let mut forged = said("p", "forged");
    forged.number = 1;
    let now = mesh.now;
    mesh.at("c").posted(&node("b"), 0, None, vec![forged], now);
    mesh.at("c").post_from(&node("b"), said("p", "astray"));
    mesh.run();
    assert_eq!(mesh.shown("c"), vec![]);
    assert_eq!(mesh.at("c").take_counts(), Counts { not_from_home: 1, not_home: 1, ..Counts::default() });
}

/// Cuts and joins links, moves the home, posts from everywhere, in any order a seed makes up; then heals everything.
#[test]
fn whatever_happens_the_order_is_one_in_the_end() {
    for seed in 0..300u64 {
        let names = ["a", "b", "c"];
        let mut random = seed;
        let mut pick = |n: usize| (splitmix::next(&mut random) >> 33) as usize % n;
        let mut mesh = Mesh::new(&names);
        mesh.map("a", &names);
        let mut posted = BTreeSet::new();
        for step in 0..120 {
            let (x, y) = (pick(3), pick(3));
            match pick(10) {
                0 if x != y && !mesh.links.contains(&(node(names[x]), node(names[y]))) => mesh.link(names[x], names[y]),
                1 if x != y && mesh.links.contains(&(node(names[x]), node(names[y]))) => mesh.cut(names[x], names[y]),
                2 if pick(4) == 0 => {
                    // The news of the move reaches only some of them.
                    let told: Vec<&str> = names.iter().copied().filter(|_| pick(3) > 0).collect();
                    mesh.map_for(&told, names[x], &names);
                }
                3 => mesh.wait(Duration::from_millis(700)),
                4..=6 => {
                    let id = format!("m{step}");
                    if mesh.at(names[x]).post(said(&format!("p-{}", names[x]), &id)) {
                        posted.insert(id);
                    }
                }
                _ => {
                    mesh.deliver_one();
                }
            }
        }
        let home = names[pick(3)];
        mesh.map(home, &names);
        for (x, y) in [("a", "b"), ("a", "c"), ("b", "c")] {
            if !mesh.links.contains(&(node(x), node(y))) {
                mesh.link(x, y);
            }
        }
        mesh.run();
        mesh.wait(COLLECT_MAX);
        mesh.run();
        for name in ["a", "b", "c"] {
            assert_eq!(mesh.log(name), mesh.log(home), "seed {seed}: {name} against {home}");
            assert_eq!(mesh.at(name).waiting(), 0, "seed {seed}: something still waits at {name}");
        }
        let ids: BTreeSet<String> = mesh.log(home).iter().map(|(_, id)| (*id).to_owned()).collect();
        assert_eq!(ids.len(), mesh.log(home).len(), "seed {seed}: something came twice");
        assert_eq!(ids, posted, "seed {seed}: something is missing");
    }
}
