//! The WebSocket door: who is let in, who is not, and what a rude client costs the others.

use crate::client::Client;
use crate::plane::Plane;
use crate::{edge, edge_with};
use lyceum_edge::units::Span;
use lyceum_wire::signal::{ClientSays, EdgeSays, MESSAGE_BYTES_MAX, Refusal, Resume};
use tokio_tungstenite::tungstenite;

#[tokio::test]
async fn a_good_token_opens_its_room() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, who) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    assert!(!who.resumed);
    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let (mut eve, _) = Client::join(&edge, &plane.token("another", "Eve")).await;
    let name = ben
        .until("Ana in the roster", |says| match says {
            EdgeSays::Roster { present, .. } => {
                present.iter().find(|p| p.id.as_str() == who.participant).map(|p| p.name.clone())
            }
            _ => None,
        })
        .await;
    assert_eq!(name, "Ana");
    ana.chat("hello").await;
    assert_eq!(ben.read(1).await, ["hello"]);
    assert_eq!(ana.read(1).await, ["hello"]);
    eve.ping().await;
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_else_comes_in() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let hello = |token: &str, resume: Option<Resume>, version: u16| {
        let body = serde_json::json!({"seq": 0, "type": "hello", "version": version, "token": token, "resume": resume});
        body.to_string()
    };
    let resume = |session: String| Some(Resume { session, seen: 0 });
    let good = plane.token("physics", "Ana");
    // Another signature: whatever its last character is, this one is not it.
    let last = if good.ends_with('A') { 'Q' } else { 'A' };
    let altered = format!("{}{last}", &good[..good.len() - 1]);
    let table = [
        ("not json", String::from("{"), "", Refusal::Malformed),
        ("not hello", r#"{"seq":1,"type":"leave"}"#.into(), "", Refusal::Malformed),
        ("unknown type", r#"{"seq":1,"type":"sing"}"#.into(), "", Refusal::Malformed),
        ("too long", format!("{{\"x\":\"{}\"}}", "a".repeat(10_000)), "", Refusal::TooLarge),
        ("nested deep", "[".repeat(8_000), "", Refusal::Malformed),
        ("version", hello(&good, None, 99), "", Refusal::Version),
        ("no token", hello("", None, 1), "", Refusal::BadToken),
        ("garbage token", hello("a.b.c", None, 1), "", Refusal::BadToken),
        ("altered token", hello(&altered, None, 1), "", Refusal::BadToken),
        ("foreign token", hello(&plane.foreign("physics"), None, 1), "", Refusal::BadToken),
        ("expired token", hello(&plane.expired("physics"), None, 1), "", Refusal::ExpiredToken),
        ("wrong room", hello(&good, None, 1), "?room=chemistry", Refusal::WrongRoom),
        ("no such session", hello("", resume(format!("00{}", "0".repeat(40))), 1), "", Refusal::SessionGone),
        ("no such shard", hello("", resume(format!("ff{}", "0".repeat(40))), 1), "", Refusal::SessionGone),
        ("no session at all", hello("", resume("é".into()), 1), "", Refusal::SessionGone),
    ];
    for (what, text, query, wanted) in table {
        let mut client = Client::connect(&edge, query).await;
        client.send(&text).await;
        assert_eq!(client.refused().await, (wanted, true), "{what}");
        client.closed().await;
    }
    let mut client = Client::connect(&edge, "").await;
    client.send_binary(vec![0; 100]).await;
    assert_eq!(client.refused().await, (Refusal::Malformed, true), "binary");
    let mut client = Client::connect(&edge, "?room=physics").await;
    client.hello(&good, None).await;
    client.welcome().await;
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let plane = Plane::start().await;
    let edge = edge_with(&plane, |config| config.limits.hello = Span::ms(100)).await;
    let mut client = Client::connect(&edge, "").await;
    assert_eq!(client.refused().await, (Refusal::Malformed, true));
    client.closed().await;
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn sockets_are_counted_before_they_cost_anything() {
    let plane = Plane::start().await;
    let edge = edge_with(&plane, |config| config.limits.sockets_before_hello = 2).await;
    let _first = Client::connect(&edge, "").await;
    let second = Client::connect(&edge, "").await;
    match Client::try_connect(&edge, "").await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("the third socket: {:?}", other.err()),
    }
    drop(second);
    let mut third = loop {
        // The edge notices the end of the second one in its own time.
        match Client::try_connect(&edge, "").await {
            Ok(client) => break client,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    third.hello(&plane.token("physics", "Ana"), None).await;
    third.welcome().await;
    let _fourth = Client::connect(&edge, "").await;
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn nonsense_is_refused_and_the_session_goes_on() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    for nonsense in ["", "null", "{\"seq\":1}", r#"{"seq":"one","type":"leave"}"#] {
        ana.send(nonsense).await;
        assert_eq!(ana.refused().await, (Refusal::Malformed, false), "{nonsense:?}");
    }
    ana.chat("still here").await;
    assert_eq!(ana.read(1).await, ["still here"]);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_nobody_else_notices() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let (mut ana, who) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let sdp = "a".repeat(10 << 20);
    ana.say(ClientSays::Offer { sdp, publish: Vec::new(), slots: Vec::new() }).await;
    // The edge stops reading at the header of so long a message: its last words may be lost with the connection.
    ana.closed().await;
    ben.ping().await;
    let mut again = Client::resume(&edge, &who.session, 0).await;
    assert!(again.welcome().await.resumed, "the session is still there for a client that behaves");
    again.chat("sorry").await;
    assert_eq!(ben.read(1).await, ["sorry"]);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_just_over_the_bound_is_refused_in_words() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    ana.send(&"a".repeat(MESSAGE_BYTES_MAX + 1)).await;
    assert_eq!(ana.refused().await.0, Refusal::TooLarge);
    ana.closed().await;
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_flood_ends_the_flooder_and_nobody_else() {
    let plane = Plane::start().await;
    let edge = edge_with(&plane, |config| {
        config.limits.messages_per_second = 5;
        config.limits.messages_burst = 20;
    })
    .await;
    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    let (mut ana, who) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    for n in 0..60 {
        ana.send(&format!(r#"{{"seq":0,"type":"ping","t":{n}}}"#)).await;
    }
    assert_eq!(ana.refused().await, (Refusal::TooMany, true));
    ana.closed().await;
    ben.until("Ana gone", |says| match says {
        EdgeSays::Roster { gone, .. } => gone.iter().any(|id| id.as_str() == who.participant).then_some(()),
        _ => None,
    })
    .await;
    ben.ping().await;
    let mut again = Client::resume(&edge, &who.session, 0).await;
    assert_eq!(again.refused().await, (Refusal::SessionGone, true));
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_outlives_its_socket_and_misses_nothing() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, who) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let (mut ben, _) = Client::join(&edge, &plane.token("physics", "Ben")).await;
    ben.chat("one").await;
    let mut seen = 0;
    loop {
        let message = ana.hear().await.unwrap();
        seen = seen.max(message.seq);
        if matches!(message.body, EdgeSays::Message { .. }) {
            break;
        }
    }
    drop(ana);
    for text in ["two", "three"] {
        ben.chat(text).await;
    }
    assert_eq!(ben.read(3).await, ["one", "two", "three"]);
    let mut ana = Client::resume(&edge, &who.session, seen).await;
    let welcome = ana.welcome().await;
    assert!(welcome.resumed);
    assert_eq!(welcome.participant, who.participant);
    assert_eq!(ana.read(2).await, ["two", "three"]);
    edge.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_is_said_to_everybody() {
    let plane = Plane::start().await;
    let edge = edge(&plane).await;
    let (mut ana, _) = Client::join(&edge, &plane.token("physics", "Ana")).await;
    let stopped = tokio::spawn(edge.stop());
    let rejoin = ana.until("bye", |says| if let EdgeSays::Bye { rejoin, .. } = says { Some(*rejoin) } else { None });
    assert!(rejoin.await, "another edge may take her");
    ana.closed().await;
    stopped.await.unwrap().unwrap();
    plane.until("the node is forgotten", |memory| memory.forgotten).await;
}
