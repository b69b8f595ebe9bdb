//! RTCP compounds, and feedback written again from what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::rtcp::{Compound, Fate, Packet, STATUSES_MAX, StreamFates, Writer};

fuzz_target!(|datagram: &[u8]| {
    let mut packets = 0;
    for packet in Compound::new(datagram) {
        packets += 1;
        let Ok(packet) = packet else { continue };
        match packet {
            Packet::SenderReport(report) => assert!(report.reports.count() <= 31),
            Packet::ReceiverReport { reports, .. } => assert!(reports.count() <= 31),
            Packet::Description(described) => assert!(described.count() <= 31),
            Packet::Bye(sources) => assert!(sources.count() <= 31),
            Packet::Nack { sender, media, lost } => {
                let lost: Vec<u16> = lost.collect();
                assert!(lost.len() <= datagram.len() / 4 * 17);
                let mut out = vec![0; lost.len() * 4 + 16];
                let mut writer = Writer::new(&mut out);
                writer.nack(sender, media, &lost).expect("room");
                if lost.is_sorted_by(|a, b| a < b) && !lost.is_empty() {
                    let Some(Ok(Packet::Nack { lost: again, .. })) = Compound::new(writer.written()).next() else {
                        panic!("what was written can be read");
                    };
                    assert!(again.eq(lost));
                }
            }
            Packet::FullIntra { entries, .. } => drop(entries.count()),
            Packet::Bandwidth { sender, bitrate_bps, sources } => {
                let sources: Vec<u32> = sources.collect();
                let mut out = vec![0; 1100];
                Writer::new(&mut out).bandwidth(sender, bitrate_bps, &sources).expect("room");
            }
            Packet::Transport(feedback) => {
                let arrivals: Vec<_> = feedback.arrivals().map(|arrival| arrival.ticks).collect();
                assert!(arrivals.len() <= usize::from(STATUSES_MAX));
                let mut out = vec![0; 1200];
                let mut writer = Writer::new(&mut out);
                let taken = writer.transport_feedback(1, 2, feedback.base, 3, &arrivals).expect("room");
                let Some(Ok(Packet::Transport(again))) = Compound::new(writer.written()).next() else {
                    panic!("what was written can be read");
                };
                // The reference time is 24 bits wide, so times come back modulo 2^32 ticks.
                let low = |ticks: Option<i64>| ticks.map(|ticks| ticks & 0xffff_ffff);
                let times = again.arrivals().map(|arrival| low(arrival.ticks));
                assert!(times.eq(arrivals.into_iter().map(low).take(taken)));
            }
            Packet::Congestion(feedback) => {
                let streams: Vec<_> = feedback.streams().collect();
                let fates: Vec<Vec<Fate>> =
                    streams.iter().map(|stream| stream.fates().map(|(_, fate)| fate).collect()).collect();
                for (stream, fates) in streams.iter().zip(&fates) {
                    assert_eq!(stream.len(), fates.len());
                    assert_eq!(stream.fate(stream.begin), fates.first().copied());
                }
                let told: Vec<_> = streams
                    .iter()
                    .zip(&fates)
                    .map(|(stream, fates)| StreamFates { ssrc: stream.ssrc, begin: stream.begin, fates })
                    .collect();
                let mut out = vec![0; datagram.len() + 16];
                let mut writer = Writer::new(&mut out);
                writer.congestion_feedback(feedback.sender, feedback.timestamp, &told).expect("room");
                let Some(Ok(Packet::Congestion(again))) = Compound::new(writer.written()).next() else {
                    panic!("what was written can be read");
                };
                assert_eq!(again.timestamp, feedback.timestamp);
                assert!(again.streams().zip(&fates).all(|(stream, fates)| {
                    stream.fates().map(|(_, fate)| fate).eq(fates.iter().copied())
                }));
                assert_eq!(again.streams().count(), streams.len());
            }
            Packet::PictureLoss { .. } | Packet::Other { .. } => {}
        }
    }
    assert!(packets <= datagram.len() / 4 + 1);
});
