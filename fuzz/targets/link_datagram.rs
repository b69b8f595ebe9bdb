//! Datagrams between nodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::link::datagram::{
    Body, Datagram, FRAGMENT_HEADER_BYTES, FRAGMENTS_MAX, NACK_PACKETS_MAX, Nack, RTP_HEADER_BYTES, fragments, shard,
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(shard) = shard(bytes, 3) {
        assert!(shard < 3);
    }
    match Datagram::parse(bytes) {
        Ok(Datagram::Rtp { header, payload }) => {
            let mut out = vec![0; RTP_HEADER_BYTES];
            header.write(&mut out).expect("room");
            out.extend_from_slice(payload);
            let Ok(Datagram::Rtp { header: again, .. }) = Datagram::parse(&out) else { panic!() };
            assert_eq!(again, header);
            if let Ok(body) = Body::parse(header.flags, payload) {
                let length = usize::from(header.flags.descriptor) + body.descriptor.len() + body.payload.len();
                assert_eq!(length, payload.len());
            }
            let cuts = fragments(payload.len(), usize::from(header.age_eighths_ms));
            assert!(cuts.take(FRAGMENTS_MAX + 1).count() <= FRAGMENTS_MAX);
        }
        Ok(Datagram::Fragment { header, part, payload }) => {
            let mut out = vec![0; FRAGMENT_HEADER_BYTES];
            header.write_fragment(part, &mut out).expect("room");
            out.extend_from_slice(payload);
            let Ok(Datagram::Fragment { header: again, part: same, .. }) = Datagram::parse(&out) else { panic!() };
            assert_eq!((again, same), (header, part));
        }
        Ok(Datagram::Nack(nack)) => {
            let sequences: Vec<u64> = nack.sequences().collect();
            assert!(!sequences.is_empty() && sequences.len() <= NACK_PACKETS_MAX as usize);
            let mut out = vec![0; 600];
            let written = Nack::write(&mut out, nack.room_key, nack.alias, &sequences).expect("room");
            let Ok(Datagram::Nack(again)) = Datagram::parse(&out[..written.bytes]) else { panic!() };
            assert!(again.sequences().eq(sequences.into_iter().take(written.sequences)));
        }
        Err(_) => {}
    }
});
