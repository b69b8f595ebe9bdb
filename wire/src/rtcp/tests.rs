//! Compounds by hand, broken ones, round trips of everything that is written.

use super::*;
use crate::golden::hex;
use proptest::prelude::*;

fn one(bytes: &[u8]) -> Packet<'_> {
    let mut compound = Compound::new(bytes);
    let packet = compound.next().unwrap().unwrap();
    assert!(compound.next().is_none());
    packet
}

#[test]
fn a_compound_as_a_browser_sends_it() {
    let bytes = hex("81 c8 000c 11111111 e5a1b2c3d4e5f607 00000100 00000064 00001000
            22222222 40 fffffe 00010203 00000007 b2c3d4e5 00010000
         81 ca 0004 11111111 01 06 616263646566 00 000000
         81 cd 0003 11111111 22222222 0064 8001
         81 ce 0002 11111111 22222222
         80 d0 0001 deadbeef");
    let packets: Vec<_> = Compound::new(&bytes).map(Result::unwrap).collect();
    assert_eq!(packets.len(), 5);
    let Packet::SenderReport(report) = &packets[0] else { panic!("{:?}", packets[0]) };
    assert_eq!((report.sender, report.ntp, report.rtp_timestamp), (0x1111_1111, 0xe5a1_b2c3_d4e5_f607, 0x100));
    assert_eq!((report.packets, report.octets), (100, 4096));
    assert_eq!(ntp_middle(report.ntp), 0xb2c3_d4e5);
    let expected = Report {
        ssrc: 0x2222_2222,
        fraction_lost: 64,
        lost: -2,
        highest_sequence: 0x0001_0203,
        jitter: 7,
        last_sender_report: 0xb2c3_d4e5,
        delay: 65_536,
    };
    assert_eq!(report.reports.clone().collect::<Vec<_>>(), [expected]);
    let Packet::Description(described) = &packets[1] else { panic!() };
    let described: Vec<_> = described.clone().collect();
    assert_eq!(described, [Described { ssrc: 0x1111_1111, cname: Some(b"abcdef") }]);
    let Packet::Nack { sender, media, lost } = &packets[2] else { panic!() };
    assert_eq!((*sender, *media), (0x1111_1111, 0x2222_2222));
    assert_eq!(lost.clone().collect::<Vec<_>>(), [100, 101, 116]);
    assert!(matches!(packets[3], Packet::PictureLoss { sender: 0x1111_1111, media: 0x2222_2222 }));
    assert!(matches!(packets[4], Packet::Other { packet_type: 208, format: 0 }));
}

#[test]
fn bandwidth_and_full_intra_and_bye() {
    // REMB of 2^18 − 1 << 2.
    let bytes = hex("8f ce 0005 00000001 00000000 52454d42 01 0bffff 00000002");
    let Packet::Bandwidth { sender, bitrate_bps, sources } = one(&bytes) else { panic!() };
    assert_eq!((sender, bitrate_bps), (1, 0x3_ffff << 2));
    assert_eq!(sources.collect::<Vec<_>>(), [2]);
    // The largest exponent does not overflow.
    let bytes = hex("8f ce 0004 00000001 00000000 52454d42 00 ffffff");
    assert!(matches!(one(&bytes), Packet::Bandwidth { bitrate_bps: u64::MAX, .. }));
    // Another application's feedback.
    let bytes = hex("8f ce 0003 00000001 00000000 41424344");
    assert!(matches!(one(&bytes), Packet::Other { packet_type: 206, format: 15 }));
    let bytes = hex("84 ce 0004 00000001 00000000 00000002 05 000000");
    let Packet::FullIntra { sender: 1, entries } = one(&bytes) else { panic!() };
    assert_eq!(entries.collect::<Vec<_>>(), [IntraRequest { ssrc: 2, sequence: 5 }]);
    let bytes = hex("82 cb 0003 00000001 00000002 03 627965");
    assert!(matches!(one(&bytes), Packet::Bye(_)));
}

#[test]
fn broken_compounds_end_where_they_break() {
    let good = "81 ce 0002 11111111 22222222";
    let table = [
        ("81", Error::Truncated),
        ("81 ce 00", Error::Truncated),
        ("81 ce 0003 11111111 22222222", Error::Truncated),
        ("41 ce 0002 11111111 22222222", Error::Version),
        ("81 ce 0001 11111111", Error::Truncated),
        ("81 c9 0001 11111111", Error::Truncated),
        ("82 c9 0007 11111111 000000000000000000000000000000000000000000000000", Error::Truncated),
        ("80 c8 0001 11111111", Error::Truncated),
        ("a1 ce 0000", Error::Padding),
        ("a1 ce 0002 11111111 22222200", Error::Padding),
        ("a1 ce 0002 11111111 222222ff", Error::Padding),
        ("81 cb 0000", Error::Truncated),
        ("8f cd 0003 11111111 22222222 00000000", Error::Truncated),
        // Feedback that speaks of more packets than anybody sends.
        ("8f cd 0004 11111111 22222222 0000 ffff 00000000", Error::Truncated),
    ];
    for (bytes, error) in table {
        let bytes = hex(&format!("{good} {bytes}"));
        let results: Vec<_> = Compound::new(&bytes).map(|packet| packet.map(|_| ())).collect();
        assert_eq!(results, [Ok(()), Err(error)], "{bytes:x?}");
    }
    // What follows a broken packet is not looked at.
    let bytes = hex(&format!("{good} 41 ce 0002 11111111 22222222 {good}"));
    assert_eq!(Compound::new(&bytes).count(), 2);
}

#[test]
fn padding_is_cut_off() {
    let bytes = hex("a1 cd 0004 11111111 22222222 0064 0000 00000004");
    let Packet::Nack { lost, .. } = one(&bytes) else { panic!() };
    assert_eq!(lost.collect::<Vec<_>>(), [100]);
}

#[test]
fn descriptions_with_other_items_and_cut_short() {
    let bytes = hex("82 ca 0007 00000001 02 02 6162 01 01 63 00 00000002 01 03 646566 00 0000 00000000");
    let Packet::Description(described) = one(&bytes) else { panic!() };
    let described: Vec<_> = described.collect();
    assert_eq!(described[0], Described { ssrc: 1, cname: Some(b"c") });
    assert_eq!(described[1], Described { ssrc: 2, cname: Some(b"def") });
    let bytes = hex("82 ca 0002 00000001 01 ff 6162");
    let Packet::Description(described) = one(&bytes) else { panic!() };
    assert_eq!(described.count(), 0);
}

#[test]
fn transport_feedback_by_hand() {
    let bytes = hex("8f cd 0007 00000001 00000002 000a 0006 000002 07 2003 d840 04 08 0c 7d 00ff fe00");
    // Run: 3 × small. Vector of two-bit symbols d840 = 11 01 10 00 01 00 00 00: small, large, lost, then padding.
    let Packet::Transport(feedback) = one(&bytes) else { panic!() };
    assert_eq!((feedback.base, feedback.count, feedback.feedback), (10, 6, 7));
    let ticks: Vec<_> = feedback.arrivals().map(|a| (a.sequence, a.ticks)).collect();
    assert_eq!(
        ticks,
        [(10, Some(516)), (11, Some(524)), (12, Some(536)), (13, Some(661)), (14, Some(661 + 255)), (15, None),]
    );
}

#[test]
fn transport_feedback_of_one_bit_symbols() {
    // 0xb000: 1 0 1 1 0 …: packets 0 and 2 … lost is zero. Reference −1.
    let bytes = hex("8f cd 0006 00000001 00000002 ffff 0004 ffffff 00 b000 01 02 03 000000");
    let Packet::Transport(feedback) = one(&bytes) else { panic!() };
    let ticks: Vec<_> = feedback.arrivals().map(|a| (a.sequence, a.ticks)).collect();
    assert_eq!(ticks, [(0xffff, Some(-255)), (0, Some(-253)), (1, None), (2, None)]);
}

#[test]
fn chunks_that_say_nothing_do_not_hang() {
    let bytes = hex("8f cd 0006 00000001 00000002 0000 0004 000000 00 0000 0000 0000 0000");
    let Packet::Transport(feedback) = one(&bytes) else { panic!() };
    assert_eq!(feedback.arrivals().count(), 0);
}

#[test]
fn congestion_feedback_by_hand() {
    // Two streams; the first with an odd count and so with padding behind it.
    let bytes = hex("8b cd 000b 00000001 00000002 fffe 0003 8400 0000 e001 0000
         00000003 0007 0002 9ffe 9fff 00000000 0000 0000 b2c3d4e5");
    let Packet::Congestion(feedback) = one(&bytes) else { panic!() };
    assert_eq!((feedback.sender, feedback.timestamp), (1, 0xb2c3_d4e5));
    let streams: Vec<_> = feedback.streams().collect();
    assert_eq!(streams.len(), 3);
    let arrived = |offset, ecn| Fate::Arrived { offset, ecn };
    let fates: Vec<_> = streams[0].fates().collect();
    assert_eq!(fates, [(0xfffe, arrived(Some(1024), 0)), (0xffff, Fate::Missing), (0, arrived(Some(1), 3))]);
    assert_eq!((streams[0].ssrc, streams[0].fate(0)), (2, Some(arrived(Some(1), 3))));
    assert_eq!((streams[0].fate(0xfffd), streams[0].fate(1)), (None, None));
    let fates: Vec<_> = streams[1].fates().collect();
    assert_eq!(fates, [(7, arrived(None, 0)), (8, arrived(None, 0))], "too long ago, and not known");
    assert!(streams[2].is_empty());
    // Written again it is the same.
    let of = |stream: &Stream<'_>| stream.fates().map(|(_, fate)| fate).collect::<Vec<_>>();
    let fates: Vec<_> = streams.iter().map(of).collect();
    let again: Vec<_> = streams
        .iter()
        .zip(&fates)
        .map(|(stream, fates)| StreamFates { ssrc: stream.ssrc, begin: stream.begin, fates })
        .collect();
    let mut out = [0; 64];
    let mut writer = Writer::new(&mut out);
    writer.congestion_feedback(1, 0xb2c3_d4e5, &again).unwrap();
    // "Not known" has two spellings; we write one.
    let expected = hex("8b cd 000b 00000001 00000002 fffe 0003 8400 0000 e001 0000
         00000003 0007 0002 9ffe 9ffe 00000000 0000 0000 b2c3d4e5");
    assert_eq!(writer.written(), expected);
}

#[test]
fn congestion_feedback_that_promises_too_much() {
    // A stream that claims more packets than there are bytes, and one that claims more than the standard allows.
    for count in ["0009", "4001", "ffff"] {
        let bytes = hex(&format!("8b cd 0005 00000001 00000002 0000 {count} 8400 8400 b2c3d4e5"));
        let Packet::Congestion(feedback) = one(&bytes) else { panic!() };
        assert_eq!(feedback.streams().count(), 0);
    }
    let bytes = hex("8b cd 0001 00000001");
    assert_eq!(Compound::new(&bytes).next().unwrap().unwrap_err(), Error::Truncated);
    let bytes = hex("8b cd 0002 00000001 b2c3d4e5");
    assert!(matches!(one(&bytes), Packet::Congestion(feedback) if feedback.streams().count() == 0));
}

#[test]
fn golden_packets_are_written() {
    let mut out = [0; 256];
    let mut writer = Writer::new(&mut out);
    writer.picture_loss(1, 2).unwrap();
    writer.nack(1, 2, &[100, 101, 116, 117, 65_535, 0]).unwrap();
    writer.description(1, "abc").unwrap();
    writer.bandwidth(1, 1_000_000, &[2]).unwrap();
    writer.full_intra(1, &[IntraRequest { ssrc: 2, sequence: 3 }]).unwrap();
    writer.bye(&[1]).unwrap();
    let expected = hex("81 ce 0002 00000001 00000002
         81 cd 0005 00000001 00000002 0064 8001 0075 0000 ffff 0001
         81 ca 0003 00000001 01 03 616263 00 0000
         8f ce 0005 00000001 00000000 52454d42 01 0bd090 00000002
         84 ce 0004 00000001 00000000 00000002 03 000000
         81 cb 0001 00000001");
    assert_eq!(writer.written(), expected);
    assert_eq!(writer.len(), expected.len());
}

#[test]
fn what_does_not_fit_leaves_the_buffer_as_it_was() {
    let mut out = [0; 20];
    let mut writer = Writer::new(&mut out);
    writer.picture_loss(1, 2).unwrap();
    assert_eq!(writer.sender_report(&SenderInfo::default(), &[]), Err(Full));
    assert_eq!(writer.len(), 12);
    assert!(matches!(one(writer.written()), Packet::PictureLoss { .. }));
}

fn arrivals() -> impl Strategy<Value = Vec<Option<i64>>> {
    let step = prop_oneof![3 => Just(None), 6 => (0_i64..300).prop_map(Some), 1 => (-2000_i64..40_000).prop_map(Some)];
    (0_i64..1 << 28, proptest::collection::vec(step, 1..300)).prop_map(|(start, steps)| {
        let mut at = start;
        steps
            .into_iter()
            .map(|step| {
                step.map(|delta| {
                    at += delta;
                    at
                })
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn transport_feedback_comes_back(base: u16, feedback: u8, arrivals in arrivals(), size in 40_usize..1200) {
        let mut rest = &arrivals[..];
        let mut next = base;
        let mut turns = 0;
        while !rest.is_empty() {
            let mut out = vec![0; size];
            let mut writer = Writer::new(&mut out);
            let taken = writer.transport_feedback(1, 2, next, feedback, rest).unwrap();
            prop_assert!(taken > 0, "progress");
            let Packet::Transport(read) = one(writer.written()) else { panic!() };
            prop_assert_eq!((read.base, usize::from(read.count)), (next, taken));
            let read: Vec<_> = read.arrivals().map(|a| a.ticks).collect();
            prop_assert_eq!(&read[..], &rest[..taken]);
            rest = &rest[taken..];
            next = next.wrapping_add(u16::try_from(taken).unwrap());
            turns += 1;
            prop_assert!(turns <= arrivals.len());
        }
    }

    #[test]
    fn congestion_feedback_comes_back(timestamp: u32, streams in proptest::collection::vec((any::<u32>(), any::<u16>(),
        proptest::collection::vec(proptest::option::of((proptest::option::of(0_u16..0x1ffe), 0_u8..4)), 0..90)), 0..6))
    {
        let fates: Vec<Vec<Fate>> = streams.iter().map(|(_, _, fates)| fates.iter().map(|fate| match fate {
            None => Fate::Missing,
            Some((offset, ecn)) => Fate::Arrived { offset: *offset, ecn: *ecn },
        }).collect()).collect();
        let told: Vec<_> = streams.iter().zip(&fates)
            .map(|((ssrc, begin, _), fates)| StreamFates { ssrc: *ssrc, begin: *begin, fates }).collect();
        let mut out = [0; 1400];
        let mut writer = Writer::new(&mut out);
        writer.congestion_feedback(9, timestamp, &told).unwrap();
        let Packet::Congestion(read) = one(writer.written()) else { panic!() };
        prop_assert_eq!((read.sender, read.timestamp), (9, timestamp));
        prop_assert_eq!(read.streams().count(), told.len());
        for (stream, told) in read.streams().zip(&told) {
            prop_assert_eq!((stream.ssrc, stream.begin), (told.ssrc, told.begin));
            prop_assert_eq!(stream.fates().map(|(_, fate)| fate).collect::<Vec<_>>(), told.fates);
        }
    }

    #[test]
    fn nacks_come_back(start: u16, gaps in proptest::collection::vec(1_u16..40, 1..60)) {
        let mut lost = vec![start];
        for gap in gaps {
            lost.push(lost.last().unwrap().wrapping_add(gap));
        }
        let mut out = [0; 512];
        let mut writer = Writer::new(&mut out);
        writer.nack(1, 2, &lost).unwrap();
        let Packet::Nack { lost: read, .. } = one(writer.written()) else { panic!() };
        prop_assert_eq!(read.collect::<Vec<_>>(), lost);
    }

    #[test]
    fn reports_come_back(
        numbers in proptest::collection::vec((any::<[u32; 5]>(), any::<u8>(), -0x80_0000_i32..0x80_0000), 0..31),
        ntp: u64,
    ) {
        let reports: Vec<_> = numbers.iter().map(|([a, b, c, d, e], fraction_lost, lost)| Report {
            ssrc: *a, fraction_lost: *fraction_lost, lost: *lost, highest_sequence: *b, jitter: *c,
            last_sender_report: *d, delay: *e,
        }).collect();
        let info = SenderInfo { sender: 9, ntp, rtp_timestamp: 8, packets: 7, octets: 6 };
        let mut out = [0; 1800];
        let mut writer = Writer::new(&mut out);
        writer.sender_report(&info, &reports).unwrap();
        writer.receiver_report(9, &reports).unwrap();
        let packets: Vec<_> = Compound::new(writer.written()).map(Result::unwrap).collect();
        let [Packet::SenderReport(sr), Packet::ReceiverReport { sender: 9, reports: rr }] = &packets[..] else { panic!() };
        prop_assert_eq!((sr.sender, sr.ntp, sr.rtp_timestamp, sr.packets, sr.octets), (9, ntp, 8, 7, 6));
        prop_assert_eq!(sr.reports.clone().collect::<Vec<_>>(), reports.clone());
        prop_assert_eq!(rr.clone().collect::<Vec<_>>(), reports);
    }

    #[test]
    fn bandwidth_comes_back_within_its_precision(bitrate: u64) {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out);
        writer.bandwidth(1, bitrate, &[]).unwrap();
        let Packet::Bandwidth { bitrate_bps, .. } = one(writer.written()) else { panic!() };
        prop_assert!(bitrate_bps <= bitrate && bitrate - bitrate_bps <= bitrate >> 17);
    }

    #[test]
    fn noise_is_read_without_harm(noise in proptest::collection::vec(any::<u8>(), 0..200), kind in 200_u8..208) {
        let mut noise = noise;
        if noise.len() > 4 {
            noise[0] = noise[0] & 0x3f | 0x80;
            noise[1] = kind;
            (noise[2], noise[3]) = (0, u8::try_from(noise.len() / 4 - 1).unwrap());
        }
        for packet in Compound::new(&noise) {
            match packet {
                Ok(Packet::SenderReport(report)) => drop(report.reports.count()),
                Ok(Packet::ReceiverReport { reports, .. }) => drop(reports.count()),
                Ok(Packet::Description(described)) => drop(described.count()),
                Ok(Packet::Nack { lost, .. }) => prop_assert!(lost.count() <= noise.len() / 4 * 17),
                Ok(Packet::Transport(feedback)) => prop_assert!(feedback.arrivals().count() <= usize::from(STATUSES_MAX)),
                Ok(Packet::Congestion(feedback)) => {
                    prop_assert!(feedback.streams().map(|stream| stream.fates().count()).sum::<usize>() <= noise.len() / 2);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}
