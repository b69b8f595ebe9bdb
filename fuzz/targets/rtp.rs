//! RTP headers, their extensions, and a header written again from what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lyceum_wire::ext::{Form, Kind, Map};
use lyceum_wire::rtp::{Fields, Header, Writer, retransmitted};

fuzz_target!(|packet: &[u8]| {
    let Ok(header) = Header::parse(packet) else { return };
    assert!(header.len <= packet.len());
    let mut map = Map::new();
    for (id, kind) in (1..).zip(Kind::ALL) {
        map.set(id, kind);
    }
    let known = map.read(header.extensions(packet));
    assert!(known.mid.is_none_or(|mid| mid.is_ascii() && !mid.is_empty()));
    if let Ok(payload) = header.payload(packet) {
        assert!(header.len + payload.len() <= packet.len());
        let _ = retransmitted(payload);
    }

    // What fits a form comes back as it was.
    let csrcs: Vec<u32> = header.csrcs(packet).collect();
    let fields = Fields {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    for form in [Form::OneByte, Form::TwoByte] {
        let elements: Vec<_> = header.extensions(packet).filter(|e| form.fits(e.id, e.data.len())).collect();
        let mut out = vec![0; packet.len() * 3 + 64];
        let mut writer = Writer::start(&mut out, fields, &csrcs, form).expect("room");
        for element in &elements {
            writer.extension(element.id, element.data).expect("room");
        }
        let len = writer.finish().expect("room");
        let again = Header::parse(&out[..len]).expect("what was written can be read");
        assert_eq!((again.sequence, again.timestamp, again.ssrc), (header.sequence, header.timestamp, header.ssrc));
        assert!(again.csrcs(&out).eq(csrcs.iter().copied()));
        assert!(again.extensions(&out).eq(elements.iter().copied()));
    }
});
