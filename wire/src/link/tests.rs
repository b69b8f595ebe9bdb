use super::*;
use crate::id::Source;

/// The JSON and what it means, both ways.
fn same(json: &str, meaning: &Message) {
    assert_eq!(serde_json::from_str::<Message>(json).unwrap(), *meaning, "{json}");
    assert_eq!(serde_json::to_string(meaning).unwrap(), json);
}

#[test]
fn a_grant_crosses_a_link_and_is_answered() {
    let room = RoomId::parse("physics").unwrap();
    let change = GrantChange { publish: Some(vec![Source::Microphone]), message: Some(true), ..GrantChange::default() };
    same(
        r#"{"type":"grant","room":"physics","request":7,"by":"p-1","participant":"p-2","change":{"publish":["microphone"],"message":true}}"#,
        &Message::Grant {
            room: room.clone(),
            request: 7,
            by: Some(ParticipantId::parse("p-1").unwrap()),
            participant: ParticipantId::parse("p-2").unwrap(),
            change,
        },
    );
    same(
        r#"{"type":"granted","room":"physics","request":7,"refused":"not_allowed"}"#,
        &Message::Granted { room, request: 7, refused: Some(Refusal::NotAllowed) },
    );
}

#[test]
fn a_roster_of_an_older_node_is_its_last_page() {
    let old = r#"{"type":"roster","room":"physics","snapshot":true,"present":[],"gone":[]}"#;
    let Message::Roster { more, .. } = serde_json::from_str(old).unwrap() else { panic!("a roster") };
    assert!(!more);
}
