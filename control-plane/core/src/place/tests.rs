use super::*;
use proptest::prelude::*;

struct Given {
    nodes: Vec<(NodeId, Region, String)>,
}

/// Reads one node per line: `eu-1 cpu 0.3 people 12 expected 4 hosts 9 silent draining`; the region is what stands before `-`.
fn given(text: &str) -> Given {
    let nodes = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let name = line.split_whitespace().next().unwrap();
        let region = name.split('-').next().unwrap();
        (NodeId::parse(name).unwrap(), Region::parse(region).unwrap(), line.to_owned())
    });
    Given { nodes: nodes.collect() }
}

impl Given {
    fn offers(&self) -> Vec<Offer<'_>> {
        self.nodes
            .iter()
            .map(|(node, region, line)| {
                let word = |what: &str| line.split_whitespace().skip_while(move |w| *w != what).nth(1);
                let number = |what: &str| word(what).map_or(0, |n| n.parse().unwrap());
                let load = Load {
                    participants: number("people"),
                    rooms: 0,
                    cpu: word("cpu").map_or(0.0, |n| n.parse().unwrap()),
                };
                Offer {
                    node,
                    region,
                    ready: !line.contains("draining"),
                    silent: line.contains("silent"),
                    load,
                    expected: number("expected"),
                    hosts: word("hosts").map(|n| n.parse().unwrap()),
                }
            })
            .collect()
    }
}

/// Reads `wish eu`, `rtt us 80`, `avoid eu-1`, in any number.
fn decide(nodes: &str, wishes: &str) -> Verdict {
    let (mut region, mut rtt_ms, mut avoid) = (None, BTreeMap::new(), Vec::new());
    let words: Vec<&str> = wishes.split_whitespace().collect();
    let mut rest = words.as_slice();
    while let [what, name, tail @ ..] = rest {
        rest = tail;
        match *what {
            "wish" => region = Some(Region::parse(name).unwrap()),
            "avoid" => avoid.push(NodeId::parse(name).unwrap()),
            _ => {
                rtt_ms.insert(Region::parse(name).unwrap(), tail[0].parse().unwrap());
                rest = &tail[1..];
            }
        }
    }
    let room = RoomId::parse("physics").unwrap();
    let wish = Wish { room: &room, region: region.as_ref(), rtt_ms: &rtt_ms, avoid: &avoid };
    choose(&wish, &given(nodes).offers())
}

fn check(nodes: &str, wishes: &str, node: &str, because: &str) {
    let verdict = decide(nodes, wishes);
    assert_eq!(verdict.chosen.as_ref().map(NodeId::as_str), Some(node), "{nodes} / {wishes}: {}", verdict.reason);
    assert!(verdict.reason.contains(because), "«{}» should say «{because}»", verdict.reason);
    assert_eq!(verdict.candidates[0].node.as_str(), node, "the chosen one stands first");
}

const TWO: &str = "eu-1 cpu 0.5\n us-1 cpu 0.1";

#[test]
fn the_region_wished_for_wins_over_all_else() {
    check(TWO, "wish eu rtt us 5 rtt eu 200", "eu-1", "region eu was wished for; eu-1 is the only edge");
}

#[test]
fn without_a_wish_the_nearest_region_wins() {
    check(TWO, "rtt us 80 rtt eu 12", "eu-1", "region eu answered fastest (12 ms)");
    check(TWO, "rtt us 80 rtt mars 1", "us-1", "region us answered fastest (80 ms)");
}

#[test]
fn nonsense_measurements_are_not_believed() {
    check(TWO, "rtt us NaN rtt eu 300", "eu-1", "region eu");
    check(TWO, "rtt us -5 rtt eu 300", "eu-1", "region eu");
    check(TWO, "rtt us inf rtt eu 300", "eu-1", "region eu");
}

#[test]
fn without_wish_or_measurement_one_goes_where_the_room_is() {
    let nodes = "eu-1 cpu 0.1 hosts 12 \n us-1 cpu 0.4 hosts 25 \n us-2 cpu 0.5 hosts 15";
    check(nodes, "", "us-1", "40 of the 52 people in the room are in region us");
}

#[test]
fn of_regions_with_equally_many_people_the_first_by_name_wins() {
    check("us-1 hosts 3\n eu-1 hosts 3", "", "eu-1", "3 of the 6 people");
}

#[test]
fn an_empty_room_goes_to_the_least_busy_edge_anywhere() {
    check(TWO, "", "us-1", "the room is empty; us-1 is the least busy of 2 edges");
}

#[test]
fn a_wished_region_that_cannot_take_anybody_is_passed_over_and_it_says_so() {
    let nodes = "eu-1 draining \n us-1 \n asia-1";
    check(
        nodes,
        "wish eu rtt us 90 rtt asia 190",
        "us-1",
        "region eu was wished for but has no edge to offer, so region us",
    );
    check(TWO, "wish mars", "us-1", "region mars was wished for but");
}

#[test]
fn in_a_region_the_least_busy_edge_wins() {
    check("eu-1 cpu 0.5\n eu-2 cpu 0.2\n eu-3 cpu 0.3", "wish eu", "eu-2", "eu-2 is the least busy of 3 edges");
}

#[test]
fn people_on_the_way_count_before_a_report_shows_them() {
    check("eu-1 cpu 0.10 expected 30\n eu-2 cpu 0.2", "wish eu", "eu-2", "least busy");
    check("eu-1 cpu 0.10 expected 10\n eu-2 cpu 0.2", "wish eu", "eu-1", "least busy");
}

#[test]
fn idle_edges_fill_evenly() {
    check("eu-1 people 3\n eu-2 people 2\n eu-3 people 4", "wish eu", "eu-2", "least busy");
}

#[test]
fn an_edge_that_hosts_the_room_is_preferred_unless_clearly_busier() {
    check("eu-1 cpu 0.3 hosts 5\n eu-2 cpu 0.15", "wish eu", "eu-1", "eu-1 hosts the room already");
    check("eu-1 cpu 0.4 hosts 5\n eu-2 cpu 0.15", "wish eu", "eu-2", "least busy");
    check("eu-1 cpu 0.86 hosts 5\n eu-2 cpu 0.8", "wish eu", "eu-2", "least busy");
}

#[test]
fn draining_and_silent_edges_are_never_chosen() {
    let verdict = decide("eu-1 draining\n eu-2 silent draining\n us-1 silent", "wish eu");
    assert_eq!(verdict.chosen, None);
    assert_eq!(verdict.reason, "None of the 3 known edges can take anybody: 1 not ready, 2 silent.");
    assert_eq!(decide("", "").reason, "No edge has registered.");
}

#[test]
fn an_unreachable_edge_is_avoided_while_there_is_another_anywhere() {
    check("eu-1 cpu 0.1\n eu-2 cpu 0.7", "wish eu avoid eu-1", "eu-2", "only edge");
    check(TWO, "wish eu avoid eu-1", "us-1", "region eu was wished for but");
    check(TWO, "wish eu avoid eu-1 avoid us-1", "eu-1", "wished for");
}

#[test]
fn the_explanation_names_what_kept_each_other_node_out() {
    let verdict = decide("eu-1\n eu-2 draining\n eu-3 silent\n us-1\n eu-4", "wish eu avoid eu-4");
    let say: Vec<String> = verdict.candidates.iter().map(|c| format!("{} {:?}", c.node, c.excluded)).collect();
    let wanted =
        ["eu-1 None", "eu-2 Some(NotReady)", "eu-3 Some(Silent)", "eu-4 Some(Avoided)", "us-1 Some(OtherRegion)"];
    assert_eq!(say, wanted);
}

#[test]
fn equal_edges_share_rooms_and_every_order_of_asking_decides_alike() {
    let (a, b) = (given("eu-1\n eu-2\n eu-3"), given("eu-3\n eu-1\n eu-2"));
    let mut first = BTreeMap::new();
    for i in 0..300 {
        let room = RoomId::parse(&format!("room-{i}")).unwrap();
        let wish = Wish { room: &room, region: None, rtt_ms: &BTreeMap::new(), avoid: &[] };
        let (one, two) = (choose(&wish, &a.offers()), choose(&wish, &b.offers()));
        assert_eq!(one, two);
        *first.entry(one.chosen).or_insert(0) += 1;
    }
    assert!(first.values().all(|rooms| *rooms > 60), "{first:?}");
}

proptest! {
    /// Whatever nodes say: only an edge that can take people is chosen, one is chosen whenever there is one, and the
    /// parts of every score add up.
    #[test]
    fn a_choice_is_always_a_living_ready_edge(
        nodes in prop::collection::vec((0u8..3, any::<bool>(), any::<bool>(), any::<f64>(), 0u32..500, prop::option::of(0u32..50)), 0..12),
        wished in prop::option::of(0u8..4),
        avoid in prop::collection::vec(0usize..12, 0..4),
    ) {
        let region = |n: u8| Region::parse(&format!("r{n}")).unwrap();
        let name = |i: usize| NodeId::parse(&format!("n{i}")).unwrap();
        let names: Vec<(NodeId, Region)> = nodes.iter().enumerate().map(|(i, n)| (name(i), region(n.0))).collect();
        let offers: Vec<Offer<'_>> = nodes.iter().zip(&names).map(|(n, (node, region))| Offer {
            node, region, ready: n.1, silent: n.2,
            load: Load { participants: n.4, rooms: 0, cpu: n.3 }, expected: n.4 / 7, hosts: n.5,
        }).collect();
        let room = RoomId::parse("r").unwrap();
        let wished = wished.map(region);
        let avoid: Vec<NodeId> = avoid.into_iter().map(name).collect();
        let wish = Wish { room: &room, region: wished.as_ref(), rtt_ms: &BTreeMap::new(), avoid: &avoid };
        let verdict = choose(&wish, &offers);
        let can = |o: &&Offer<'_>| o.ready && !o.silent;
        prop_assert_eq!(verdict.chosen.is_some(), offers.iter().any(|o| can(&o)));
        if let Some(chosen) = &verdict.chosen {
            let offer = offers.iter().find(|o| o.node == chosen).unwrap();
            prop_assert!(can(&offer));
            let other = offers.iter().filter(can).any(|o| !avoid.contains(o.node));
            prop_assert!(!avoid.contains(chosen) || !other);
        }
        for c in &verdict.candidates {
            let s = c.score;
            prop_assert!((s.cpu + s.expected + s.crowd + s.hosting - s.total).abs() < 1e-9);
        }
    }
}
