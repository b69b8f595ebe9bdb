use super::*;

/// The JSON and what it means, both ways.
fn same<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(json: &str, meaning: &T) {
    assert_eq!(serde_json::from_str::<T>(json).unwrap(), *meaning, "{json}");
    assert_eq!(serde_json::to_string(meaning).unwrap(), json);
}

fn id(text: &str) -> ParticipantId {
    ParticipantId::parse(text).unwrap()
}

#[test]
fn a_view_names_pinned_tiles_and_voices() {
    let track = TrackName { participant: id("p-1"), source: Source::Camera };
    let tile = Tile { track, width: 320, height: 180, pinned: true };
    same(
        r#"{"seq":2,"type":"view","tiles":[{"track":{"participant":"p-1","source":"camera"},"width":320,"height":180,"pinned":true}],"listen":["p-2"]}"#,
        &ToEdge { seq: 2, body: ClientSays::View { tiles: vec![tile], listen: vec![id("p-2")] } },
    );
    let old =
        r#"{"seq":2,"type":"view","tiles":[{"track":{"participant":"p-1","source":"camera"},"width":1,"height":1}]}"#;
    let ClientSays::View { tiles, listen } = serde_json::from_str::<ToEdge>(old).unwrap().body else {
        panic!("a view")
    };
    assert!(!tiles[0].pinned && listen.is_empty(), "an older client pins nothing");
}

#[test]
fn a_slot_may_be_paused() {
    let track = Some(TrackName { participant: id("p-1"), source: Source::Camera });
    let assigned = vec![SlotAssignment { mid: "5".into(), track, paused: true }];
    same(
        r#"{"seq":5,"type":"slots","assigned":[{"mid":"5","track":{"participant":"p-1","source":"camera"},"paused":true}]}"#,
        &ToClient { seq: 5, body: EdgeSays::Slots { assigned } },
    );
    let old = r#"{"seq":5,"type":"slots","assigned":[{"mid":"5","track":null}]}"#;
    let EdgeSays::Slots { assigned } = serde_json::from_str::<ToClient>(old).unwrap().body else { panic!("slots") };
    assert!(!assigned[0].paused, "an older edge says nothing of it");
}

#[test]
fn grants_are_changed_and_told() {
    let change = GrantChange { publish: Some(vec![Source::Camera]), ..GrantChange::default() };
    same(
        r#"{"seq":3,"type":"grant","participant":"p-2","change":{"publish":["camera"]}}"#,
        &ToEdge { seq: 3, body: ClientSays::Grant { participant: id("p-2"), change } },
    );
    same(
        r#"{"seq":4,"type":"granted","participant":"p-2","of":3}"#,
        &ToClient { seq: 4, body: EdgeSays::Granted { participant: id("p-2"), of: 3 } },
    );
    same(
        r#"{"seq":5,"type":"grants","grants":{"publish":[],"subscribe":true,"message":true,"moderate":false},"by":"p-1"}"#,
        &ToClient { seq: 5, body: EdgeSays::Grants { grants: Grants::viewer(), by: Some(id("p-1")) } },
    );
}

#[test]
fn a_page_of_the_roster_says_whether_more_follow() {
    same(
        r#"{"seq":1,"type":"roster","present":[{"id":"p-1","identity":"u1","name":"Ana","edge":"eu-1","region":"eu","publishes":[],"on_stage":true,"moderates":false}],"gone":["p-9"],"total":300,"more":true}"#,
        &ToClient {
            seq: 1,
            body: EdgeSays::Roster {
                present: vec![Participant {
                    id: id("p-1"),
                    identity: "u1".into(),
                    name: "Ana".into(),
                    edge: NodeId::parse("eu-1").unwrap(),
                    region: Region::parse("eu").unwrap(),
                    publishes: Vec::new(),
                    on_stage: true,
                    moderates: false,
                }],
                gone: vec![id("p-9")],
                total: 300,
                more: true,
            },
        },
    );
}
