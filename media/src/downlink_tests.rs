//! Tests of [`super`].

use super::*;
use crate::packet::{Flags, TrackId};
use crate::seq::SeqNo;
use crate::sink::Begin;
use crate::srtp::{Inbound, Profile};
use lyceum_wire::link::Layer;
use lyceum_wire::rtcp;

fn keys() -> Keys {
    Keys { profile: Profile::AeadAes256Gcm, key: vec![3; 32], salt: vec![4; 12] }
}

fn spec(mid: &str, ssrc: u32) -> SlotSpec {
    SlotSpec {
        mid: mid.into(),
        kind: SlotKind::Audio,
        codecs: vec![SlotCodec { codec: Codec::Opus, pt: 111, rtx_pt: None, clock_hz: 48_000 }],
        ssrc: Ssrc(ssrc),
        rtx_ssrc: None,
    }
}

fn config(now: Instant) -> Config {
    Config { extensions: ext::Map::new(), cname: "edge".into(), epoch: now, epoch_ntp: 9 << 32, seed: 0xffff_ffff_ffff }
}

fn voice(seq: u64, now: Instant, payload: &[u8]) -> Packet<'_> {
    Packet {
        track: TrackId(1),
        layer: Layer::default(),
        seq: SeqNo(seq),
        timestamp: seq as u32 * 960,
        marker: false,
        flags: Flags::default(),
        frame: None,
        descriptor: &[],
        level: None,
        arrived: now,
        age: Duration::ZERO,
        payload,
    }
}

fn offer(downlinks: &mut Downlinks, id: DownlinkId, slot: u16, seq: u64, now: Instant) -> Result<bool, Drop> {
    offer_this(downlinks, id, slot, voice(seq, now, b"hello"), now)
}

fn offer_this(
    downlinks: &mut Downlinks,
    id: DownlinkId,
    slot: u16,
    packet: Packet<'_>,
    now: Instant,
) -> Result<bool, Drop> {
    let meaning = Meaning::of(Codec::Opus, &packet).unwrap();
    let mut drops = Drops::default();
    let offers = [Offer { packet, meaning, begin: Begin::Live { at: now } }];
    let taken = downlinks.offer(id, SlotIndex(slot), &offers, Terms { layers: 1, turn: Turn::Comes }, &mut drops, now);
    match drops.iter().find(|(_, count)| *count != 0) {
        Some((reason, _)) => Err(reason),
        None => Ok(taken.began != 0),
    }
}

fn assign(downlinks: &mut Downlinks, id: DownlinkId, slot: u16) {
    let slot = downlinks.slot_mut(id, SlotIndex(slot)).unwrap();
    slot.assign(Some((TrackId(1), Codec::Opus)), 99);
    slot.select.aim(Some(0));
}

fn connect(downlinks: &mut Downlinks, id: DownlinkId) {
    downlinks.set_keys(id, &keys()).unwrap();
    let route = Route { local: "198.51.100.1:4000".parse().unwrap(), remote: "192.0.2.1:9".parse().unwrap() };
    downlinks.set_route(id, route);
}

/// Flushes and opens everything: (ssrc, sequence) of media, compounds of control.
fn flush(downlinks: &mut Downlinks, inbound: &mut Inbound) -> (Vec<(u32, u16)>, Vec<Vec<u8>>) {
    let (mut media, mut control) = (Vec::new(), Vec::new());
    downlinks.flush(|transmit| {
        for datagram in transmit.bytes.chunks(transmit.segment_size) {
            let mut datagram = datagram.to_vec();
            if (192..=223).contains(&datagram[1]) {
                control.push(inbound.unprotect_rtcp(&mut datagram).unwrap().to_vec());
            } else {
                let opened = inbound.unprotect(&mut datagram).expect("no number is ever sealed twice");
                media.push((opened.header.ssrc, opened.header.sequence));
            }
        }
    });
    (media, control)
}

#[test]
fn nothing_leaves_before_there_are_keys_and_an_address() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let id = downlinks.insert(config(now), now);
    downlinks.set_slots(id, vec![spec("a", 10)]);
    assign(&mut downlinks, id, 0);
    assert_eq!(offer(&mut downlinks, id, 0, 1, now), Err(Drop::NotConnected));
    downlinks.set_keys(id, &keys()).unwrap();
    assert_eq!(offer(&mut downlinks, id, 0, 2, now), Err(Drop::NotConnected));
    connect(&mut downlinks, id);
    assert_eq!(offer(&mut downlinks, id, 0, 3, now), Ok(true));
    assert_eq!(offer(&mut downlinks, id, 0, 4, now), Ok(false));
    assert_eq!(offer(&mut downlinks, id, 1, 4, now), Err(Drop::SubscriberGone), "no such slot");
    let (media, _) = flush(&mut downlinks, &mut Inbound::new(&keys()).unwrap());
    assert_eq!(media.len(), 2);
    assert_eq!(media[1].1, media[0].1 + 1);
}

#[test]
fn a_slot_that_goes_and_comes_back_never_repeats_a_number() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let mut inbound = Inbound::new(&keys()).unwrap();
    let id = downlinks.insert(config(now), now);
    connect(&mut downlinks, id);
    let mut all = Vec::new();
    for round in 0..5 {
        let slots = if round % 2 == 0 { vec![spec("a", 10), spec("b", 11)] } else { vec![spec("b", 11)] };
        downlinks.set_slots(id, slots);
        for seq in 0..3 {
            if round % 2 == 0 {
                assign(&mut downlinks, id, 0);
                offer(&mut downlinks, id, 0, seq + round * 10, now).unwrap();
            }
        }
        all.extend(flush(&mut downlinks, &mut inbound).0);
    }
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!((all.len(), count), (9, 9));
    assert!(all.windows(2).all(|w| w[1].1 == w[0].1 + 1), "one unbroken line over all its lives: {all:?}");
}

#[test]
fn a_jump_of_the_publishers_numbers_is_not_passed_on() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let mut inbound = Inbound::new(&keys()).unwrap();
    let id = downlinks.insert(config(now), now);
    connect(&mut downlinks, id);
    downlinks.set_slots(id, vec![spec("a", 10)]);
    assign(&mut downlinks, id, 0);
    for (seq, begins) in [(1, true), (2, false), (400, false), (80_000, true), (200_000, true), (200_001, false)] {
        assert_eq!(offer(&mut downlinks, id, 0, seq, now), Ok(begins), "{seq}");
    }
    // The receiver opens all of it: its roll-over counter was never led astray.
    let (media, _) = flush(&mut downlinks, &mut inbound);
    let first = media[0].1;
    let steps: Vec<_> = media.iter().map(|(_, seq)| seq - first).collect();
    assert_eq!(steps, [0, 1, 399, 400, 401, 402]);
}

#[test]
fn renegotiation_leaves_a_running_slot_alone() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let mut inbound = Inbound::new(&keys()).unwrap();
    let id = downlinks.insert(config(now), now);
    connect(&mut downlinks, id);
    downlinks.set_slots(id, vec![spec("a", 10)]);
    assign(&mut downlinks, id, 0);
    offer(&mut downlinks, id, 0, 1, now).unwrap();
    downlinks.set_slots(id, vec![spec("new", 20), spec("a", 10)]);
    assert_eq!(offer(&mut downlinks, id, 1, 2, now), Ok(false), "the same stream goes on in its new place");
    let (media, _) = flush(&mut downlinks, &mut inbound);
    assert_eq!(media[1], (10, media[0].1 + 1));
}

#[test]
fn somebody_who_left_is_not_mistaken_for_who_came() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let old = downlinks.insert(config(now), now);
    downlinks.remove(old);
    let new = downlinks.insert(config(now), now);
    assert_ne!(old, new);
    downlinks.set_slots(new, vec![spec("a", 10)]);
    connect(&mut downlinks, new);
    assign(&mut downlinks, new, 0);
    assert_eq!(offer(&mut downlinks, old, 0, 1, now), Err(Drop::SubscriberGone));
    offer(&mut downlinks, new, 0, 1, now).unwrap();
    // Gone in the middle of a turn, with packets in its batch.
    downlinks.remove(new);
    downlinks.flush(|_| panic!("nobody is there"));
    assert!(downlinks.is_empty());
    assert_eq!(downlinks.deadline(), None);
}

#[test]
fn reports_tell_the_time_and_measure_the_way() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let mut inbound = Inbound::new(&keys()).unwrap();
    let id = downlinks.insert(config(now), now);
    connect(&mut downlinks, id);
    downlinks.set_slots(id, vec![spec("a", 10), spec("b", 11)]);
    assign(&mut downlinks, id, 0);
    for seq in 0..3u64 {
        offer(&mut downlinks, id, 0, seq, now + Duration::from_millis(20 * seq)).unwrap();
    }
    let due = downlinks.deadline().unwrap();
    assert!(due <= now + Duration::from_millis(200), "the first one comes soon");
    downlinks.handle_timeout(due);
    let (media, control) = flush(&mut downlinks, &mut inbound);
    let mut packets = rtcp::Compound::new(&control[0]);
    let Some(Ok(rtcp::Packet::SenderReport(report))) = packets.next() else { panic!("a sender report") };
    assert_eq!((report.sender, report.packets, report.octets), (10, 3, 15));
    let Some(Ok(rtcp::Packet::Description(mut names))) = packets.next() else { panic!("a name") };
    assert_eq!(names.next().unwrap().cname, Some(&b"edge"[..]));
    assert!(packets.next().is_none(), "slot b sent nothing");
    assert_eq!(media.len(), 3);

    // The answer comes 60 ms later, of which the peer kept 20 ms.
    let block = rtcp::Report {
        ssrc: 10,
        fraction_lost: 64,
        last_sender_report: rtcp::ntp_middle(report.ntp),
        delay: 65_536 / 50,
        ..rtcp::Report::default()
    };
    let mut buffer = [0; 64];
    let mut writer = rtcp::Writer::new(&mut buffer);
    writer.receiver_report(1, &[block]).unwrap();
    for packet in rtcp::Compound::new(writer.written()) {
        downlinks.take_report(id, &packet.unwrap(), due + Duration::from_millis(60));
    }
    let reception = downlinks.reception(id).unwrap();
    assert!(reception.rtt.unwrap().abs_diff(Duration::from_millis(40)) < Duration::from_millis(1));
    assert!((reception.loss - 0.25).abs() < 0.001);

    // Silence ends the reports.
    downlinks.handle_timeout(due + Duration::from_secs(5));
    assert_eq!(downlinks.deadline(), None);
}

#[test]
fn copies_of_sound_go_to_who_takes_them_and_the_sound_alone_to_the_others() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let red = SlotCodec { codec: Codec::Red, pt: 63, rtx_pt: None, clock_hz: 48_000 };
    let opus = SlotCodec { codec: Codec::Opus, pt: 109, rtx_pt: None, clock_hz: 48_000 };
    // One copy of three bytes, by the publisher's name for Opus (111), then two new bytes.
    let redundant = [0xef, 0x0f, 0x00, 0x03, 0x6f, 1, 2, 3, 8, 9];
    for (codecs, pt, expected) in
        [(vec![opus, red], 63, vec![0xed, 0x0f, 0x00, 0x03, 0x6d, 1, 2, 3, 8, 9]), (vec![opus], 109, vec![8, 9])]
    {
        let id = downlinks.insert(config(now), now);
        connect(&mut downlinks, id);
        downlinks.set_slots(id, vec![SlotSpec { codecs, ..spec("a", 10) }]);
        assign(&mut downlinks, id, 0);
        let mut first = None;
        for (seq, payload) in [(1, &redundant[..]), (2, b"plain")] {
            let mut packet = voice(seq, now, payload);
            packet.flags.redundant = seq == 1;
            offer_this(&mut downlinks, id, 0, packet, now).unwrap();
            let mut inbound = Inbound::new(&keys()).unwrap();
            downlinks.flush(|transmit| {
                let mut datagram = transmit.bytes.to_vec();
                let opened = inbound.unprotect(&mut datagram).unwrap();
                let said = lyceum_wire::rtp::Header::payload(&opened.header, &datagram[..opened.len]).unwrap();
                if seq == 1 {
                    assert_eq!((opened.header.payload_type, said), (pt, &expected[..]));
                    first = Some(opened.header.sequence);
                } else {
                    assert_eq!((opened.header.payload_type, said), (109, &b"plain"[..]));
                    assert_eq!(Some(opened.header.sequence), first.map(|first| first + 1), "one sequence");
                }
            });
        }
        assert!(first.is_some());
        let mut broken = voice(3, now, &redundant[..6]);
        broken.flags.redundant = true;
        assert_eq!(offer_this(&mut downlinks, id, 0, broken, now), Err(Drop::Malformed));
        downlinks.remove(id);
    }
}

#[test]
fn control_of_the_uplink_shares_the_seal() {
    let now = Instant::now();
    let mut downlinks = Downlinks::new();
    let id = downlinks.insert(config(now), now);
    downlinks.send_rtcp(id, &[0x80, 201, 0, 1, 0, 0, 0, 42]);
    downlinks.flush(|_| panic!("not connected"));
    connect(&mut downlinks, id);
    downlinks.send_rtcp(id, &[0x80, 201, 0, 1, 0, 0, 0, 42]);
    let (_, control) = flush(&mut downlinks, &mut Inbound::new(&keys()).unwrap());
    assert_eq!(control, [[0x80, 201, 0, 1, 0, 0, 0, 42]]);
}
