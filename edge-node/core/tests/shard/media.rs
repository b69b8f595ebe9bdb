//! Media between two browsers' worth of client in one shard.

use crate::client::{Frame, Line, VP8, credentials, sends, simulcast, vp8_delta, vp8_key};
use crate::world::World;
use lyceum_wire::ext::AudioLevel;
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::signal::{ClientSays, EdgeSays, SlotKind, Tile};

const LOUD: AudioLevel = AudioLevel { below_full: 20, voice: true };

pub(crate) fn track(name: &str, source: Source) -> TrackName {
    TrackName { participant: ParticipantId::parse(&format!("p-{name}")).unwrap(), source }
}

/// FNV-1a, low 32 bits: what `wire/src/signal.rs` promises of CSRCs.
fn csrc(participant: &str) -> u32 {
    participant
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
        as u32
}

/// Frames of 33 ms: a key frame first and whenever it is asked for, as an encoder does.
pub(crate) fn film(world: &mut World, client: usize, line: usize, frames: u32) {
    for n in 0..frames {
        let asked = wants_key_frame(world, client);
        let payload = if n == 0 || asked { vp8_key(n as u16, 640, 360) } else { vp8_delta(n as u16) };
        let frame = Frame { timestamp: 90_000 + n * 3_000, end: true, payload: &payload };
        world.clients[client].send_rtp(line, None, None, &frame);
        world.run(33);
    }
}

/// Takes the PLI and FIR the client got.
pub(crate) fn wants_key_frame(world: &mut World, client: usize) -> bool {
    use lyceum_wire::rtcp::{Compound, Packet};
    let compounds = std::mem::take(&mut world.clients[client].rtcp);
    compounds
        .iter()
        .flat_map(|bytes| Compound::new(bytes).flatten().collect::<Vec<_>>())
        .any(|packet| matches!(packet, Packet::PictureLoss { .. } | Packet::FullIntra { .. }))
}

pub(crate) fn talk(world: &mut World, client: usize, line: usize, packets: u32) {
    for n in 0..packets {
        let payload = [0x78, n as u8, 3, 4, 5, 6, 7, 8];
        let frame = Frame { timestamp: 48_000 + n * 960, end: false, payload: &payload };
        world.clients[client].send_rtp(line, None, Some(LOUD), &frame);
        world.run(20);
    }
}

#[test]
fn two_clients_see_and_hear_each_other() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    let slots = [Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)];
    let lines = |sources: [Line; 2]| sources.into_iter().chain(slots.clone()).collect::<Vec<_>>();
    world.connect(ana, lines([sends(Source::Microphone), sends(Source::Camera)]));
    world.connect(ben, lines([sends(Source::Microphone), sends(Source::Camera)]));
    assert_eq!(world.roster(ana), ["ana Microphone Camera", "ben Microphone Camera"]);
    for client in [ana, ben] {
        let other = if client == ana { "ben" } else { "ana" };
        let tiles = vec![Tile { track: track(other, Source::Camera), width: 640, height: 360, pinned: false }];
        world.say(client, ClientSays::View { tiles, listen: Vec::new() });
    }
    talk(&mut world, ana, 0, 50);
    film(&mut world, ana, 1, 60);

    let heard = &world.clients[ben].rtp;
    let pictures: Vec<_> = heard.iter().filter(|p| p.payload_type == VP8).collect();
    assert!(pictures.len() >= 58, "{} pictures", pictures.len());
    assert!(pictures.iter().all(|p| p.csrcs == [csrc("p-ana")]), "the publisher travels as CSRC");
    assert!(pictures.iter().all(|p| p.mid.as_deref() == Some("3") || p.mid.is_none()));
    let first = pictures[0];
    assert_eq!(&first.payload[first.payload.len() - 100..], [0xaa; 100], "it begins with the key frame");
    let unbroken = |window: &[&crate::client::Heard]| {
        window[0].sequence.wrapping_add(1) == window[1].sequence && window[0].ssrc == window[1].ssrc
    };
    assert!(pictures.windows(2).all(unbroken), "one source, numbers without a gap");
    let sounds: Vec<_> = heard.iter().filter(|p| p.payload_type == crate::client::OPUS).collect();
    assert!(sounds.len() >= 30, "{} sounds", sounds.len());
    assert!(world.clients[ana].rtp.is_empty(), "nobody gets back what he sent");
    let speaking = |b: &EdgeSays| matches!(b, EdgeSays::Speakers { active } if active == &[track("ana", Source::Camera).participant]);
    assert!(world.clients[ben].said(speaking) >= 1);
    let assigned = |b: &EdgeSays| match b {
        EdgeSays::Slots { assigned } => {
            assigned.iter().any(|a| a.mid == "3" && a.track == Some(track("ana", Source::Camera)))
        }
        _ => false,
    };
    assert!(world.clients[ben].said(assigned) >= 1);
    let stats = world.nodes[0].shard.stats();
    assert_eq!((stats.connected, stats.published, stats.slots), (2, 4, 4));
    assert!(stats.packets_forwarded >= 88, "{}", stats.packets_forwarded);
}

#[test]
fn a_third_ones_coming_and_going_renegotiates_nothing() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    world.connect(ana, vec![sends(Source::Camera), Line::Slot(SlotKind::Video)]);
    let before = world.clients[ana].version;
    let ben = world.join(0, "ben", "physics");
    world.connect(ben, vec![sends(Source::Camera)]);
    film(&mut world, ben, 0, 10);
    assert!(world.clients[ana].rtp.len() >= 9, "without a view, slots fill in order of publication");
    let ssrc = world.clients[ana].rtp[0].ssrc;
    world.say(ben, ClientSays::Leave);
    world.run(1_000);
    let emptied = |b: &EdgeSays| matches!(b, EdgeSays::Slots { assigned } if assigned.iter().any(|a| a.mid == "1" && a.track.is_none()));
    assert_eq!(world.clients[ana].said(emptied), 1);
    let cem = world.join(0, "cem", "physics");
    world.connect(cem, vec![sends(Source::Camera)]);
    film(&mut world, cem, 0, 10);
    assert!(world.clients[ana].rtp.iter().all(|p| p.ssrc == ssrc), "the slot's source never changes");
    assert_eq!(world.clients[ana].version, before);
    assert_eq!(world.clients[ana].said(|b| matches!(b, EdgeSays::Answer { .. })), 1);
}

#[test]
fn a_larger_tile_gets_a_larger_layer_and_the_publisher_hears_of_demand() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![simulcast(Source::Camera, &["q", "h", "f"])]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    let view = |width, height| {
        let tile = Tile { track: track("ana", Source::Camera), width, height, pinned: false };
        ClientSays::View { tiles: vec![tile], listen: Vec::new() }
    };
    let sizes = [("q", 320, 180), ("h", 640, 360), ("f", 1280, 720)];
    let mut n = 0;
    let mut film = |world: &mut World, frames: u16| {
        for _ in 0..frames {
            let asked = wants_key_frame(world, ana);
            for (rid, width, height) in sizes {
                let payload = if n % 30 == 0 || asked { vp8_key(n, width, height) } else { vp8_delta(n) };
                let frame = Frame { timestamp: u32::from(n) * 3_000, end: true, payload: &payload };
                world.clients[ana].send_rtp(0, Some(rid), None, &frame);
            }
            n += 1;
            world.run(33);
        }
    };
    let width = |world: &World| {
        let mut keys = world.clients[ben].rtp.iter().filter(|p| p.payload.len() > 100);
        keys.next_back()
            .map(|p| u16::from_le_bytes([p.payload[p.payload.len() - 104], p.payload[p.payload.len() - 103]]))
    };
    world.say(ben, view(320, 180));
    film(&mut world, 240);
    assert_eq!(width(&world), Some(320));
    let watched = |b: &EdgeSays| match b {
        EdgeSays::Demand { source: Source::Camera, watched } => {
            watched.iter().map(|w| (w.rid.as_str(), w.watched)).eq([("q", true), ("h", false), ("f", false)])
        }
        _ => false,
    };
    assert!(world.clients[ana].said(watched) >= 1, "only the small one is watched");
    world.say(ben, view(1280, 720));
    film(&mut world, 60);
    assert_eq!(width(&world), Some(1280));
    let sequences: Vec<u16> = world.clients[ben].rtp.iter().map(|p| p.sequence).collect();
    assert!(sequences.windows(2).all(|w| w[0].wrapping_add(1) == w[1]), "the switch leaves no gap");
}

#[test]
fn a_picture_that_is_watched_from_the_start_is_never_said_to_be_unwatched() {
    let mut world = World::new(1);
    let ben = world.join(0, "ben", "physics");
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    let ana = world.join(0, "ana", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    film(&mut world, ana, 0, 250);
    assert_eq!(world.clients[ana].said(|b| matches!(b, EdgeSays::Demand { .. })), 0);
    assert!(world.clients[ben].rtp.len() >= 249);
    // Its last viewer goes: then it is said, once.
    world.say(ben, ClientSays::Leave);
    world.run(10_000);
    let unwatched = |b: &EdgeSays| matches!(b, EdgeSays::Demand { watched, .. } if watched.iter().all(|w| !w.watched));
    assert_eq!(world.clients[ana].said(unwatched), 1);
}

#[test]
fn muting_and_stopping_and_starting_again() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Microphone), sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Audio), Line::Slot(SlotKind::Video)]);
    world.say(ana, ClientSays::Mute { source: Source::Microphone, muted: true });
    world.run(500);
    assert_eq!(world.roster(ben), ["ana Microphone(muted) Camera", "ben"]);
    world.say(ana, ClientSays::Mute { source: Source::Microphone, muted: false });
    let stopped = |active| Line::Send { source: Source::Camera, rids: Vec::new(), active };
    world.clients[ana].lines[1] = stopped(false);
    world.offer(ana);
    world.run(500);
    assert_eq!(world.roster(ben), ["ana Microphone", "ben"]);
    world.clients[ana].lines[1] = stopped(true);
    world.clients[ana].lines.push(sends(Source::Screen));
    world.offer(ana);
    world.run(500);
    assert_eq!(world.roster(ben), ["ana Microphone Camera Screen", "ben"]);
    film(&mut world, ana, 1, 10);
    assert!(world.clients[ben].rtp.len() >= 9, "the line that was stopped publishes again");
    assert_eq!(world.refusals(ana), Vec::<String>::new());
}

#[test]
fn ice_restarts_while_media_go_on() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 10);
    let before = world.clients[ben].rtp.len();
    // Ana's network changes: another address, new credentials.
    world.clients[ana].ice = credentials(77, 1);
    world.offer(ana);
    let moved = "192.0.2.77:50000".parse().unwrap();
    let old = world.clients[ana].address;
    world.clients[ana].address = moved;
    let now = world.now;
    let session = world.clients[ana].session.as_mut().unwrap();
    session.add_local(moved, now);
    session.remove_local(old, now);
    world.run(3_000);
    let pair = world.clients[ana].session.as_ref().unwrap().selected().unwrap();
    assert_eq!(pair.local, moved);
    film(&mut world, ana, 0, 20);
    assert!(world.clients[ben].rtp.len() >= before + 19, "media come from the new address");
    assert_eq!(world.refusals(ana), Vec::<String>::new());
    world.run(40_000);
    assert!(world.clients[ana].socket.is_some(), "and stay");
}

#[test]
fn lost_packets_are_asked_again_and_repaired_from_the_cache() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let ben = world.join(0, "ben", "physics");
    world.connect(ana, vec![sends(Source::Camera)]);
    world.connect(ben, vec![Line::Slot(SlotKind::Video)]);
    film(&mut world, ana, 0, 20);
    // Ben asks for two packets again.
    let (ssrc, first) = (world.clients[ben].rtp[3].ssrc, world.clients[ben].rtp[3].sequence);
    let mut nack = vec![0; 64];
    let mut writer = lyceum_wire::rtcp::Writer::new(&mut nack);
    writer.receiver_report(9, &[]).unwrap();
    writer.nack(9, ssrc, &[first, first.wrapping_add(2)]).unwrap();
    let len = writer.len();
    nack.truncate(len);
    world.clients[ben].outbound.as_mut().unwrap().protect_rtcp(&mut nack).unwrap();
    let pair = world.clients[ben].session.as_ref().unwrap().selected().unwrap();
    world.clients[ben].outbox.push((pair, nack));
    world.run(100);
    let repairs: Vec<_> = world.clients[ben].rtp.iter().filter(|p| p.payload_type == crate::client::VP8_RTX).collect();
    let numbers: Vec<u16> = repairs.iter().map(|p| u16::from_be_bytes([p.payload[0], p.payload[1]])).collect();
    assert_eq!(numbers, [first, first.wrapping_add(2)]);
    assert_eq!(world.nodes[0].shard.stats().nacks_received, 2);
    // And the shard asks Ana for what it misses.
    let skipped = world.clients[ana].sequences.values_mut().next().unwrap();
    *skipped = skipped.wrapping_add(1);
    film_on(&mut world, ana, 3);
    assert!(world.nodes[0].shard.stats().nacks_sent >= 1);
}

fn film_on(world: &mut World, client: usize, frames: u16) {
    for n in 0..frames {
        let payload = vp8_delta(100 + n);
        let frame = Frame { timestamp: 900_000 + u32::from(n) * 3_000, end: true, payload: &payload };
        world.clients[client].send_rtp(0, None, None, &frame);
        world.run(33);
    }
}

#[test]
fn an_answer_takes_what_the_edge_speaks_and_says_why_otherwise() {
    let mut world = World::new(1);
    let ana = world.join(0, "ana", "physics");
    let good = |world: &mut World| {
        world.clients[ana].lines =
            vec![simulcast(Source::Camera, &["q", "h", "f"]), Line::Slot(SlotKind::Video), Line::Data];
        world.clients[ana].offer()
    };
    let (sdp, publish, slots) = good(&mut world);
    let without_vp8 = sdp.replace("VP8/90000", "AV1/90000");
    world.say(ana, ClientSays::Offer { sdp: without_vp8, publish: publish.clone(), slots: slots.clone() });
    let twice = vec![publish[0].clone(), publish[0].clone()];
    world.say(ana, ClientSays::Offer { sdp: sdp.clone(), publish: twice, slots: slots.clone() });
    let mut nowhere = publish.clone();
    nowhere[0].mid = "9".into();
    world.say(ana, ClientSays::Offer { sdp: sdp.clone(), publish: nowhere, slots: slots.clone() });
    let mut sound = publish.clone();
    sound[0].source = Source::Microphone;
    world.say(ana, ClientSays::Offer { sdp: sdp.clone(), publish: sound, slots: slots.clone() });
    assert_eq!(world.refusals(ana), ["BadOffer"; 4]);
    let sentence = world.clients[ana].heard.iter().find_map(|m| match &m.body {
        EdgeSays::Refused { message, .. } => Some(message.clone()),
        _ => None,
    });
    assert_eq!(sentence.as_deref(), Some("m-line 0 must offer VP8; it offers H264, AV1, rtx"));
    world.say(ana, ClientSays::Offer { sdp, publish, slots });
    let answer = world.clients[ana].heard.iter().find_map(|m| match &m.body {
        EdgeSays::Answer { sdp } => Some(sdp.clone()),
        _ => None,
    });
    let answer = lyceum_session::sdp::Answer::parse(&answer.unwrap()).unwrap();
    let names = |line: usize| answer.lines[line].codecs.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(0), names(1)), (vec!["VP8".to_owned(), "rtx".into()], vec!["VP8".to_owned(), "rtx".into()]));
    let rids: Vec<_> = answer.lines[0].rids.iter().map(|r| (r.id.as_str(), r.send)).collect();
    assert_eq!(rids, [("q", false), ("h", false), ("f", false)]);
    assert_eq!(answer.lines[1].ssrcs.len(), 2);
    assert!(answer.lines[1].msid.is_some() && answer.lines[0].msid.is_none());
    assert!(answer.ice_lite && answer.lines[2].sctp.is_some());
    assert_eq!(answer.candidates[0].address, world.nodes[0].address);
    let vp8 = &answer.lines[0].codecs[0];
    assert_eq!(vp8.feedback, ["transport-cc", "ccm fir", "nack", "nack pli"]);
}
