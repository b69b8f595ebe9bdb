//! The life of a session, played on a seeded network in virtual time.
#![allow(clippy::unwrap_used, missing_docs)]

mod play;

use bytes::Bytes;
use lyceum_session::{
    ChannelOptions, Config, DropReason, Failure, Fingerprint, MessageKind, Pair, Reliability, SendError, Session,
    SrtpProfile,
};
use play::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn on_a_fine_network_they_connect_in_seven_round_trips_and_agree_on_keys() {
    let mut play = Play::new(1, FINE);
    play.connect();
    // Check, nomination, hello, cookie, three flights: with 40 ms round trip.
    assert!(play.now - play.start <= Duration::from_millis(300), "{:?}", play.now - play.start);
    let (edge, client) = (keys(&play.edge_said).unwrap(), keys(&play.client_said).unwrap());
    assert_eq!(edge.profile, SrtpProfile::AeadAes128Gcm);
    assert_eq!((edge.profile, &edge.local, &edge.remote), (client.profile, &client.remote, &client.local));
    assert_ne!(edge.local, edge.remote);
    let pair = Pair { local: edge_address(), remote: client_address() };
    assert_eq!(selections(&play.edge_said), [pair]);
    assert_eq!(selections(&play.client_said), [Pair { local: pair.remote, remote: pair.local }]);
    assert_eq!(play.edge.drops().iter().count(), 0);
    assert_eq!(play.client.drops().iter().count(), 0);
}

#[test]
fn over_a_lossy_reordering_network_everybody_connects_and_every_message_arrives_once_in_order() {
    for seed in 0..60 {
        let mut play = Play::new(seed, ROUGH);
        let channel = play
            .client
            .open_channel(ChannelOptions { label: "room".into(), ..ChannelOptions::default() }, play.now)
            .unwrap();
        play.connect();
        let (edge, client) = (keys(&play.edge_said).unwrap(), keys(&play.client_said).unwrap());
        assert_eq!((&edge.local, &edge.remote), (&client.remote, &client.local), "seed {seed}");
        let both = |play: &mut Play| opened(&play.edge_said).len() == 1 && opened(&play.client_said).len() == 1;
        assert!(play.until(60 * SECOND, both), "seed {seed}: the channel opens at both ends");
        let text = |i: usize| Bytes::from(format!("{i}:{}", "x".repeat(i * 37 % 3000)));
        for i in 0..40 {
            play.client.send(channel, MessageKind::Text, &text(i), play.now).unwrap();
            play.edge.send(channel, MessageKind::Binary, &text(i), play.now).unwrap();
        }
        let all = |play: &mut Play| messages(&play.edge_said).len() >= 40 && messages(&play.client_said).len() >= 40;
        assert!(play.until(600 * SECOND, all), "seed {seed}: all messages arrive");
        play.run(5 * SECOND);
        let expected = |kind| (0..40).map(|i| (channel, kind, text(i))).collect::<Vec<_>>();
        assert_eq!(messages(&play.edge_said), expected(MessageKind::Text), "seed {seed}");
        assert_eq!(messages(&play.client_said), expected(MessageKind::Binary), "seed {seed}");
        assert_eq!(failure(&play.edge_said).or(failure(&play.client_said)), None, "seed {seed}");
    }
}

#[test]
fn the_servers_order_of_srtp_profiles_wins_over_the_clients() {
    use SrtpProfile::*;
    let table: [(&[SrtpProfile], &[SrtpProfile], Option<SrtpProfile>); 5] = [
        (
            &[AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80],
            &[Aes128CmSha1_80, AeadAes256Gcm, AeadAes128Gcm],
            Some(AeadAes128Gcm),
        ),
        (&[AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80], &[Aes128CmSha1_80, AeadAes256Gcm], Some(AeadAes256Gcm)),
        (&[AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80], &[Aes128CmSha1_80], Some(Aes128CmSha1_80)),
        (&[Aes128CmSha1_80, AeadAes128Gcm], &[AeadAes128Gcm, Aes128CmSha1_80], Some(Aes128CmSha1_80)),
        (&[AeadAes128Gcm], &[Aes128CmSha1_80], None),
    ];
    for (edge, client, expected) in table {
        let (edge, client) = (Config::with_profiles(edge).unwrap(), Config::with_profiles(client).unwrap());
        let mut play = Play::with(3, FINE, &edge, &client, |_, _| {});
        play.until(10 * SECOND, |play| play.client.is_connected() || play.client.is_over());
        assert_eq!(keys(&play.edge_said).map(|keys| keys.profile), expected);
        assert_eq!(keys(&play.client_said).map(|keys| keys.profile), expected);
        if expected.is_none() {
            assert_eq!(failure(&play.edge_said), Some(Failure::Handshake));
            assert_eq!(failure(&play.client_said), Some(Failure::Handshake));
        }
    }
}

#[test]
fn a_certificate_that_is_not_the_announced_one_ends_the_session_without_keys() {
    let wrong = Fingerprint([7; 32]);
    let mut play =
        Play::with(4, FINE, &EDGE_CONFIG, &CLIENT_CONFIG, |seen_by_edge, _| seen_by_edge.fingerprint = wrong);
    play.run(5 * SECOND);
    assert_eq!(failure(&play.edge_said), Some(Failure::Fingerprint));
    assert_eq!(keys(&play.edge_said), None);
    assert_eq!(failure(&play.client_said), Some(Failure::Closed));

    let mut play =
        Play::with(5, FINE, &EDGE_CONFIG, &CLIENT_CONFIG, |_, seen_by_client| seen_by_client.fingerprint = wrong);
    play.run(5 * SECOND);
    assert_eq!(failure(&play.client_said), Some(Failure::Fingerprint));
    assert_eq!(keys(&play.client_said), None);
}

#[test]
fn a_client_that_vanishes_is_noticed_after_thirty_seconds() {
    let mut play = Play::new(6, FINE);
    play.connect();
    play.run(60 * SECOND);
    assert!(play.edge.is_connected() && play.client.is_connected(), "checks keep consent");
    play.dead = vec![client_address()];
    play.run(20 * SECOND);
    assert!(!play.edge.is_over());
    play.run(15 * SECOND);
    assert_eq!(failure(&play.edge_said), Some(Failure::ConsentLost));
    assert_eq!(failure(&play.client_said), Some(Failure::ConsentLost));
    assert_eq!((play.edge.deadline(), play.client.deadline()), (None, None));
}

#[test]
fn a_client_that_never_comes_is_given_up() {
    let mut play = Play::new(7, FINE);
    play.dead = vec![client_address()];
    play.run(31 * SECOND);
    assert_eq!(failure(&play.edge_said), Some(Failure::NoPath));
    assert_eq!(failure(&play.client_said), Some(Failure::NoPath));
}

#[test]
fn a_goodbye_ends_the_other_side_at_once() {
    let mut play = Play::new(8, FINE);
    play.connect();
    play.client.close(play.now);
    play.run(SECOND);
    assert_eq!(failure(&play.edge_said), Some(Failure::Closed));
    assert!(play.client.is_over());
    assert_eq!(failure(&play.client_said), None, "who says goodbye has not failed");
}

#[test]
fn an_ice_restart_keeps_the_old_pair_until_the_new_one_is_nominated() {
    for weather in [FINE, ROUGH] {
        let mut play = Play::new(9, weather);
        play.connect();
        let before = play.edge.selected();
        play.edge.restart_ice(credentials(3), credentials(4), play.now);
        // The answer takes its time; the client goes on with the old credentials.
        play.run(8 * SECOND);
        assert_eq!(play.edge.selected(), before);
        assert_eq!(play.edge.local_ufrags().len(), 2);
        play.client.restart_ice(credentials(4), credentials(3), play.now);
        let done = |play: &mut Play| play.edge.local_ufrags() == [credentials(3).ufrag];
        assert!(play.until(20 * SECOND, done), "the new generation is nominated and the old one forgotten");
        assert_eq!(play.edge.selected(), before, "over the same addresses");
        play.run(60 * SECOND);
        assert!(play.edge.is_connected() && play.client.is_connected());
        assert_eq!(failure(&play.edge_said), None);
    }
}

#[test]
fn a_client_on_another_network_takes_its_media_along() {
    for seed in 0..10 {
        let mut play = Play::new(seed, ROUGH);
        play.connect();
        play.client.add_local(other_client_address(), play.now);
        play.run(3 * SECOND);
        assert_eq!(play.edge.selected().unwrap().remote, client_address(), "nobody moves without need");
        play.dead = vec![client_address()];
        play.client.remove_local(client_address(), play.now);
        let moved = |play: &mut Play| play.edge.selected().is_some_and(|pair| pair.remote == other_client_address());
        assert!(play.until(10 * SECOND, moved), "seed {seed}");
        play.run(60 * SECOND);
        assert!(play.edge.is_connected() && play.client.is_connected(), "seed {seed}");
        assert_eq!(play.client.selected().unwrap().local, other_client_address());
    }
}

#[test]
fn a_client_whose_first_way_goes_silent_finds_the_other_by_itself() {
    let mut play = Play::new(11, FINE);
    play.connect();
    play.client.add_local(other_client_address(), play.now);
    play.run(7 * SECOND);
    play.dead = vec![client_address()];
    let moved = |play: &mut Play| play.edge.selected().is_some_and(|pair| pair.remote == other_client_address());
    assert!(play.until(20 * SECOND, moved));
    play.run(60 * SECOND);
    assert!(play.edge.is_connected() && play.client.is_connected());
}

#[test]
fn dtls_from_an_address_that_passed_no_check_is_dropped() {
    let mut play = Play::new(12, FINE);
    play.connect();
    let (_, hello) = play.seen.iter().find(|(_, bytes)| bytes[0] == 22).cloned().unwrap();
    let mut fresh = Play::new(12, FINE);
    let stranger = "192.0.2.66:9".parse().unwrap();
    fresh.edge.handle(stranger, edge_address(), &hello, fresh.now);
    assert_eq!(fresh.edge.drops().of(DropReason::DtlsUnchecked), 1);
    assert_eq!(fresh.edge.poll(), None, "nothing is sent to an address that proved nothing");
    play.edge.handle(stranger, edge_address(), &hello, play.now);
    assert_eq!(play.edge.drops().of(DropReason::DtlsUnchecked), 1);
}

#[test]
fn a_hello_before_nomination_is_answered_to_where_it_came_from() {
    let mut play = Play::new(13, FINE);
    play.connect();
    let check = play.seen.iter().find(|(_, bytes)| bytes[0] == 0).cloned().unwrap().1;
    let hello = play.seen.iter().find(|(_, bytes)| bytes[0] == 22).cloned().unwrap().1;
    let mut fresh = Play::new(13, FINE);
    fresh.edge.handle(client_address(), edge_address(), &check, fresh.now);
    assert_eq!(fresh.edge.selected(), None, "checked but not nominated");
    fresh.edge.handle(client_address(), edge_address(), &hello, fresh.now);
    let out: Vec<_> = std::iter::from_fn(|| fresh.edge.poll()).collect();
    let pair = Pair { local: edge_address(), remote: client_address() };
    let answers: Vec<u8> = out
        .iter()
        .filter_map(|output| match output {
            lyceum_session::Output::Transmit { pair: to, bytes } if *to == pair => Some(bytes[0]),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [1, 22], "the check's answer and the cookie");
    assert_eq!(fresh.edge.selected(), Some(pair), "media need not wait for the nomination");
}

#[test]
fn channels_are_what_they_were_opened_as_and_bounded() {
    let mut play = Play::new(14, FINE);
    play.connect();
    let options = ChannelOptions {
        label: "cursor".into(),
        protocol: "v1".into(),
        unordered: true,
        reliability: Reliability::Retransmits(0),
    };
    let channel = play.client.open_channel(options.clone(), play.now).unwrap();
    let early = play.client.send(channel, MessageKind::Text, &Bytes::from_static(b"early"), play.now);
    assert_eq!(early, Err(SendError::NotOpen));
    play.run(SECOND);
    for said in [&play.edge_said, &play.client_said] {
        assert!(said.contains(&lyceum_session::Output::ChannelOpen { channel, options: options.clone() }));
    }
    let long = Bytes::from(vec![1; Session::MESSAGE_BYTES_MAX + 1]);
    assert_eq!(play.client.send(channel, MessageKind::Binary, &long, play.now), Err(SendError::TooLong));
    let longest = long.slice(1..);
    for _ in 0..4 {
        assert_eq!(play.client.send(channel, MessageKind::Binary, &longest, play.now), Ok(()));
    }
    assert_eq!(play.client.send(channel, MessageKind::Binary, &longest, play.now), Err(SendError::Full));
    assert_eq!(play.client.buffered(channel), 4 * Session::MESSAGE_BYTES_MAX);
    play.run(5 * SECOND);
    assert_eq!(play.client.buffered(channel), 0);
    assert_eq!(messages(&play.edge_said).len(), 4);
    play.edge.send(channel, MessageKind::Text, &Bytes::new(), play.now).unwrap();
    play.run(SECOND);
    assert_eq!(messages(&play.client_said), [(channel, MessageKind::Text, Bytes::new())], "empty messages exist");
    play.client.close_channel(channel, play.now);
    play.run(SECOND);
    for said in [&play.edge_said, &play.client_said] {
        assert_eq!(said.last(), Some(&lyceum_session::Output::ChannelClosed { channel }));
    }
    let opened: Vec<_> =
        (0..40).map(|_| play.client.open_channel(ChannelOptions::default(), play.now).is_ok()).collect();
    assert_eq!(opened.iter().filter(|fine| **fine).count(), Session::CHANNELS_MAX);
    play.run(5 * SECOND);
    assert!(play.edge.is_connected());
}

#[test]
fn unreliable_messages_are_not_sent_again() {
    let weather = Weather { loss_percent: 20, ..FINE };
    let mut play = Play::new(15, FINE);
    let reliability = Reliability::Retransmits(0);
    let channel = play
        .client
        .open_channel(ChannelOptions { unordered: true, reliability, ..ChannelOptions::default() }, play.now)
        .unwrap();
    play.connect();
    play.run(2 * SECOND);
    play.weather = weather;
    for i in 0..100u8 {
        let _ = play.client.send(channel, MessageKind::Binary, &Bytes::from(vec![i; 900]), play.now);
        play.run(Duration::from_millis(200));
    }
    assert!(play.until(600 * SECOND, |play| play.client.buffered(channel) == 0), "all were sent or given up");
    play.run(SECOND);
    let arrived = messages(&play.edge_said).len();
    assert!((60..=95).contains(&arrived), "{arrived} of 100 arrived over a network that loses every fifth");
}

#[test]
fn garbled_datagrams_end_nobody_else_than_the_session_and_mostly_not_even_that() {
    let mut connected = 0;
    for seed in 0..200 {
        let mut play = Play::new(seed, Weather { garble_percent: 10, ..FINE });
        let channel = play.client.open_channel(ChannelOptions::default(), play.now).unwrap();
        play.until(30 * SECOND, |play| play.edge.is_connected() && play.client.is_connected());
        play.run(10 * SECOND);
        connected += usize::from(play.edge.is_connected() && play.client.is_connected());
        for _ in 0..20 {
            let _ = play.client.send(channel, MessageKind::Text, &Bytes::from_static(b"hello"), play.now);
            play.run(SECOND);
        }
    }
    // A plaintext handshake message that is changed but whole cannot be told from a faulty peer's: it fails (RFC 6347 §4.1.2.7).
    assert!(connected > 100, "{connected} of 200");
}
