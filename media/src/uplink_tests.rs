//! Tests of [`super`].

use super::*;
use crate::srtp::{Outbound, Profile};
use lyceum_wire::ext::{Form, Kind, Map};
use lyceum_wire::rtcp;

fn keys() -> Keys {
    Keys { profile: Profile::AeadAes128Gcm, key: vec![1; 16], salt: vec![2; 12] }
}

fn map() -> Map {
    let mut map = Map::new();
    for (id, kind) in
        [(1, Kind::AudioLevel), (3, Kind::TransportSequence), (4, Kind::Mid), (10, Kind::Rid), (11, Kind::RepairedRid)]
    {
        map.set(id, kind);
    }
    map
}

struct Peer {
    uplink: Uplink,
    seal: Outbound,
    now: Instant,
}

/// What a packet says of itself.
#[derive(Clone, Copy, Default)]
struct Said {
    pt: u8,
    ssrc: u32,
    sequence: u16,
    mid: &'static str,
    rid: &'static str,
    repaired: &'static str,
}

impl Peer {
    fn new(lines: Vec<Publication>) -> Self {
        let now = Instant::now();
        let mut uplink = Uplink::new(Config { extensions: map(), feedback_ssrc: Ssrc(42) }, now);
        uplink.set_keys(&keys()).unwrap();
        lines.into_iter().for_each(|line| uplink.publish(line, now));
        Self { uplink, seal: Outbound::new(&keys()).unwrap(), now }
    }

    /// Sends a packet; what came of it as (track, spatial, number).
    fn send(&mut self, said: Said, payload: &[u8]) -> Result<(u32, u8, u64), Drop> {
        let mut out = vec![0; 64];
        let fields = rtp::Fields {
            marker: true,
            payload_type: said.pt,
            sequence: said.sequence,
            timestamp: u32::from(said.sequence) * 3_000,
            ssrc: said.ssrc,
        };
        let mut writer = rtp::Writer::start(&mut out, fields, &[], Form::OneByte).unwrap();
        for (kind, text) in [(Kind::Mid, said.mid), (Kind::Rid, said.rid), (Kind::RepairedRid, said.repaired)] {
            if !text.is_empty() {
                writer.extension(map().id(kind).unwrap(), text.as_bytes()).unwrap();
            }
        }
        let len = writer.finish().unwrap();
        out.truncate(len);
        out.extend_from_slice(payload);
        self.seal.protect(&mut out).unwrap();
        match self.uplink.receive(&mut out, self.now) {
            Received::Packet(p) => Ok((p.track.0, p.layer.spatial, p.seq.0)),
            Received::Dropped(reason) => Err(reason),
            Received::Rtcp(_) => panic!("not RTCP"),
        }
    }

    /// Everything due, as (kind, media ssrc, numbers).
    fn feedback(&mut self) -> Vec<(&'static str, u32, Vec<u16>)> {
        let (mut buffer, mut all) = (Vec::new(), Vec::new());
        while self.uplink.poll_rtcp(&mut buffer, self.now) {
            for packet in rtcp::Compound::new(&buffer) {
                match packet.unwrap() {
                    rtcp::Packet::Nack { media, lost, sender } => {
                        assert_eq!(sender, 42);
                        all.push(("nack", media, lost.collect()));
                    }
                    rtcp::Packet::PictureLoss { media, .. } => all.push(("pli", media, Vec::new())),
                    rtcp::Packet::FullIntra { entries, .. } => {
                        entries.for_each(|e| all.push(("fir", e.ssrc, vec![u16::from(e.sequence)])));
                    }
                    rtcp::Packet::ReceiverReport { reports, .. } => {
                        reports.for_each(|r| all.push(("report", r.ssrc, vec![u16::from(r.fraction_lost)])));
                    }
                    _ => {}
                }
            }
        }
        all
    }
}

fn vp8_line(mid: &str, track: u32, encodings: Vec<Encoding>) -> Publication {
    Publication {
        mid: mid.into(),
        track: TrackId(track),
        payload_types: vec![PayloadType { pt: 96, rtx_pt: Some(97), codec: Codec::Vp8, clock_hz: 90_000 }],
        encodings,
        nack: true,
        keyframe: KeyFrameAsk::Pli,
    }
}

fn rids(names: &[&str]) -> Vec<Encoding> {
    (0u8..)
        .zip(names)
        .map(|(spatial, rid)| Encoding { spatial, rid: Some((*rid).into()), ..Encoding::default() })
        .collect()
}

/// A VP8 delta frame in one packet.
const DELTA: &[u8] = &[0x10, 1, 0, 0, 0];
const KEY: &[u8] = &[0x10, 0, 0, 0, 0];

fn repair(of: u16) -> Vec<u8> {
    [&of.to_be_bytes(), DELTA].concat()
}

#[test]
fn simulcast_is_told_apart_by_rid_and_its_repairs_by_repaired_rid() {
    let mut peer = Peer::new(vec![vp8_line("v", 7, rids(&["q", "h", "f"]))]);
    let media = |rid, ssrc, sequence| Said { pt: 96, ssrc, sequence, mid: "v", rid, ..Said::default() };
    let (track, spatial, low) = peer.send(media("q", 100, 10), DELTA).unwrap();
    assert_eq!((track, spatial), (7, 0));
    assert_eq!(peer.send(media("f", 300, 20), DELTA).unwrap().1, 2);
    // Known by now: no extension needed any more, and another layer's repair is not this layer's.
    assert_eq!(peer.send(Said { pt: 96, ssrc: 100, sequence: 13, ..Said::default() }, DELTA).unwrap(), (7, 0, low + 3));
    let rtx = |repaired, ssrc, sequence| Said { pt: 97, ssrc, sequence, mid: "v", repaired, ..Said::default() };
    assert_eq!(peer.send(rtx("q", 101, 1), &repair(11)).unwrap(), (7, 0, low + 1));
    assert_eq!(peer.send(rtx("q", 101, 2), &repair(11)), Err(Drop::Duplicate), "a probe with an old packet");
    assert_eq!(peer.send(rtx("q", 101, 3), &[]), Err(Drop::ProbePadding));
    assert_eq!(peer.send(rtx("h", 201, 1), &repair(5)), Err(Drop::UnknownSource), "nothing of that layer yet");
    peer.now += Duration::from_millis(20);
    assert_eq!(peer.feedback(), [("nack", 100, vec![12])], "11 was repaired: never asked for");
}

#[test]
fn without_extensions_the_sdp_or_a_unique_payload_type_says_whose_it_is() {
    let declared = Encoding { ssrc: Some(Ssrc(5)), rtx_ssrc: Some(Ssrc(6)), ..Encoding::default() };
    let mut audio = vp8_line("a", 2, vec![Encoding::default()]);
    audio.payload_types = vec![PayloadType { pt: 111, rtx_pt: None, codec: Codec::Opus, clock_hz: 48_000 }];
    let mut peer = Peer::new(vec![vp8_line("v", 1, vec![declared]), audio]);
    let said = |pt, ssrc, sequence| Said { pt, ssrc, sequence, ..Said::default() };
    let (track, _, first) = peer.send(said(96, 5, 1), DELTA).unwrap();
    assert_eq!(track, 1);
    peer.send(said(96, 5, 3), DELTA).unwrap();
    assert_eq!(peer.send(said(97, 6, 1), &repair(2)).unwrap(), (1, 0, first + 1), "by FID group");
    assert_eq!(peer.send(said(111, 9, 1), b"voice").unwrap().0, 2, "only one line has 111");
    assert_eq!(peer.send(said(100, 10, 1), DELTA), Err(Drop::UnknownSource));
    assert_eq!(peer.send(said(97, 5, 4), DELTA), Err(Drop::UnknownPayloadType), "repairs do not come from 5");
    assert_eq!(peer.send(Said { mid: "x", ..said(96, 11, 1) }, DELTA), Err(Drop::UnknownSource));
    assert_eq!(peer.send(Said { mid: "v", ..said(99, 12, 1) }, DELTA), Err(Drop::UnknownPayloadType));
    for reason in [Drop::UnknownSource, Drop::UnknownPayloadType] {
        assert_eq!(peer.uplink.drops().of(reason), 2, "{reason:?}");
    }
}

#[test]
fn padding_holds_its_place_and_nothing_else() {
    let mut peer = Peer::new(vec![vp8_line("v", 1, vec![Encoding::default()])]);
    let said = |sequence| Said { pt: 96, ssrc: 5, sequence, mid: "v", ..Said::default() };
    let (_, _, first) = peer.send(said(1), DELTA).unwrap();
    assert_eq!(peer.send(said(2), &[]).unwrap(), (1, 0, first + 1));
    peer.now += Duration::from_millis(50);
    assert!(peer.feedback().iter().all(|f| f.0 != "nack"));
}

#[test]
fn what_cannot_be_repaired_becomes_one_wish_for_a_key_frame() {
    let mut peer = Peer::new(vec![vp8_line("v", 1, vec![Encoding::default()])]);
    let said = |sequence| Said { pt: 96, ssrc: 5, sequence, mid: "v", ..Said::default() };
    peer.send(said(1), DELTA).unwrap();
    peer.send(said(3), DELTA).unwrap();
    let (mut nacks, mut plis) = (0, 0);
    for sequence in 4..204 {
        peer.now += Duration::from_millis(10);
        peer.send(said(sequence), DELTA).unwrap();
        for (kind, media, numbers) in peer.feedback() {
            assert_eq!(media, 5);
            match kind {
                "nack" => {
                    assert_eq!(numbers, [2]);
                    nacks += 1;
                }
                "pli" => plis += 1,
                _ => {}
            }
        }
    }
    assert!((4..=10).contains(&nacks), "{nacks}");
    assert!((1..=3).contains(&plis), "asked {plis} times in half a second");
    peer.send(said(204), KEY).unwrap();
    peer.now += Duration::from_secs(1);
    assert!(peer.feedback().iter().all(|f| f.0 == "report"), "answered");
}

#[test]
fn another_ssrc_of_the_same_layer_goes_on_without_a_flood_of_nacks() {
    let mut peer = Peer::new(vec![vp8_line("v", 1, vec![Encoding::default()])]);
    let said = |ssrc, sequence| Said { pt: 96, ssrc, sequence, mid: "v", ..Said::default() };
    let (_, _, before) = peer.send(said(5, 60_000), DELTA).unwrap();
    let (_, _, after) = peer.send(said(6, 3), DELTA).unwrap();
    assert!(after > before);
    assert_eq!(peer.send(said(6, 5), DELTA).unwrap().2, after + 2);
    peer.now += Duration::from_millis(20);
    assert_eq!(peer.feedback(), [("nack", 6, vec![4])], "by the number its source knows");
}

#[test]
fn a_full_intra_request_is_asked_by_number() {
    let mut line = vp8_line("v", 1, vec![Encoding::default()]);
    line.keyframe = KeyFrameAsk::Fir;
    let mut peer = Peer::new(vec![line]);
    peer.uplink.request_key_frame(TrackId(1), 0, peer.now);
    assert_eq!(peer.feedback(), [], "nobody to ask yet");
    peer.send(Said { pt: 96, ssrc: 5, sequence: 1, mid: "v", ..Said::default() }, DELTA).unwrap();
    assert_eq!(peer.feedback(), [("fir", 5, vec![1])]);
    peer.uplink.request_key_frame(TrackId(1), 0, peer.now);
    assert_eq!(peer.feedback(), []);
    peer.now += Duration::from_millis(250);
    assert_eq!(peer.feedback(), [("fir", 5, vec![2])]);
}

#[test]
fn sender_reports_give_all_tracks_of_a_peer_one_clock() {
    let mut audio = vp8_line("a", 2, vec![Encoding { ssrc: Some(Ssrc(9)), ..Encoding::default() }]);
    audio.payload_types = vec![PayloadType { pt: 111, rtx_pt: None, codec: Codec::Opus, clock_hz: 48_000 }];
    let mut peer =
        Peer::new(vec![vp8_line("v", 1, vec![Encoding { ssrc: Some(Ssrc(5)), ..Encoding::default() }]), audio]);
    let start = peer.now;
    let report = |peer: &mut Peer, ssrc, ntp: u64, at_ms: u64| {
        let mut buffer = [0; 64];
        let mut writer = rtcp::Writer::new(&mut buffer);
        let info = rtcp::SenderInfo { sender: ssrc, ntp, rtp_timestamp: 77, ..rtcp::SenderInfo::default() };
        writer.sender_report(&info, &[]).unwrap();
        let mut bytes = writer.written().to_vec();
        peer.seal.protect_rtcp(&mut bytes).unwrap();
        assert!(matches!(peer.uplink.receive(&mut bytes, start + Duration::from_millis(at_ms)), Received::Rtcp(_)));
        peer.uplink.poll_clock().unwrap()
    };
    let second = 1u64 << 32;
    // The first way took 30 ms, the next one 10 ms, and then one 80 ms: the fastest says it best.
    let a = report(&mut peer, 5, 1_000 * second, 30);
    assert_eq!((a.track, a.timestamp, a.at), (TrackId(1), 77, start + Duration::from_millis(30)));
    let b = report(&mut peer, 9, 1_001 * second, 1_010);
    assert_eq!((b.track, b.at), (TrackId(2), start + Duration::from_millis(1_010)));
    let c = report(&mut peer, 5, 1_002 * second, 2_080);
    assert!(c.at - start < Duration::from_millis(2_013), "{:?}", c.at - start);
}

#[test]
fn garbage_is_counted_and_harmless() {
    let mut peer = Peer::new(vec![vp8_line("v", 1, vec![Encoding::default()])]);
    for len in 0..200usize {
        for first in [0x80, 0x90, 0xff] {
            let mut bytes: Vec<u8> = (0..len).map(|n| (n * 37) as u8).collect();
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            assert!(matches!(peer.uplink.receive(&mut bytes, peer.now), Received::Dropped(_)));
        }
    }
    let bad: u64 = [Drop::Malformed, Drop::BadTag].iter().map(|r| peer.uplink.drops().of(*r)).sum();
    assert_eq!(bad, 600);
    // A sealed packet whose VP8 descriptor ends too soon.
    let said = Said { pt: 96, ssrc: 5, sequence: 1, mid: "v", ..Said::default() };
    assert_eq!(peer.send(said, &[0x90]), Err(Drop::Malformed));
    assert_eq!(peer.uplink.drops().of(Drop::NoKeys), 0);
}
