//! CPU per forwarded packet, without sockets, against the limit: copying and sealing the same packets and nothing else.
//!
//! ```text
//!   cargo bench -p lyceum-media --bench forward
//! ```
//!
//! One publisher sends frames of eight packets of 1,200 bytes of payload (VP8), a turn of the wheel per frame: `Room::forward`
//! for each packet, then `Downlinks::flush`. The limit does, for the same subscribers in the same order, one copy of header
//! and payload into one buffer per subscriber and one AES-128-GCM seal in place, with the same library. Both are measured
//! turn by turn in alternation; medians are shown, so that a noisy neighbour hits both alike.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a measuring program"
)]

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lyceum_media::downlink::{Config, Route, SlotCodec, SlotSpec};
use lyceum_media::room::Origin;
use lyceum_media::seq::SeqNo;
use lyceum_media::srtp::{Keys, Profile};
use lyceum_media::{Codec, Downlinks, Flags, Packet, Room, Ssrc};
use lyceum_wire::ext::{Kind, Map};
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::link::{Layer, LayerInfo, TrackInfo};
use lyceum_wire::signal::SlotKind;
use lyceum_wire::vp8;
use std::hint::black_box;
use std::time::{Duration, Instant};

const PAYLOAD_BYTES: usize = 1_200;
const HEADER_BYTES: usize = 28;
const FRAME_PACKETS: u64 = 8;

fn main() {
    println!(
        "payload {PAYLOAD_BYTES} B, {FRAME_PACKETS} packets per turn, AES-128-GCM; medians of one turn, ns per forwarded packet"
    );
    println!("{:>12} {:>10} {:>10} {:>8} {:>14}", "subscribers", "forward", "limit", "ratio", "Gbit/s a core");
    for subscribers in [1usize, 50, 500] {
        let mut bench = Bench::new(subscribers);
        let turns = (200_000 / (subscribers * FRAME_PACKETS as usize)).clamp(50, 5_000);
        let (mut forward, mut limit) = (Vec::new(), Vec::new());
        for turn in 0..turns + turns / 10 {
            let (f, l) = (bench.forward_turn(), bench.limit_turn());
            // The first tenth warms caches and buffers up.
            if turn >= turns / 10 {
                forward.push(f);
                limit.push(l);
            }
        }
        let per_packet = |mut all: Vec<Duration>| {
            all.sort_unstable();
            all[all.len() / 2].as_nanos() as f64 / (subscribers as f64 * FRAME_PACKETS as f64)
        };
        let (forward, limit) = (per_packet(forward), per_packet(limit));
        let gbits = (PAYLOAD_BYTES * 8) as f64 / forward;
        println!("{subscribers:>12} {forward:>10.0} {limit:>10.0} {:>8.2} {gbits:>14.1}", forward / limit);
    }
}

struct Bench {
    now: Instant,
    room: Room,
    downlinks: Downlinks,
    track: lyceum_media::TrackId,
    seq: u64,
    payload: Vec<u8>,
    keys: Vec<LessSafeKey>,
    buffers: Vec<Vec<u8>>,
    sent: u64,
}

impl Bench {
    fn new(subscribers: usize) -> Self {
        let now = Instant::now();
        let (mut room, mut downlinks) = (Room::new(now), Downlinks::new());
        let name = |n: usize| ParticipantId::parse(&format!("p{n}")).unwrap();
        let info = TrackInfo {
            name: TrackName { participant: name(0), source: Source::Camera },
            kind: Source::Camera.kind(),
            codec: "VP8".into(),
            clock_hz: 90_000,
            layers: vec![LayerInfo::default()],
            shared: false,
            muted: false,
        };
        let track = room.publish(&info, Origin::Local, &mut downlinks, now);
        let mut extensions = Map::new();
        extensions.set(4, Kind::Mid);
        extensions.set(3, Kind::TransportSequence);
        let mut keys = Vec::new();
        for n in 1..=subscribers {
            let config = Config {
                extensions: extensions.clone(),
                cname: "edge".into(),
                epoch: now,
                epoch_ntp: 0,
                seed: n as u64,
            };
            let id = downlinks.insert(config, now);
            let codec = SlotCodec { codec: Codec::Vp8, pt: 96, rtx_pt: Some(97), clock_hz: 90_000 };
            let spec = SlotSpec {
                mid: "1".into(),
                kind: SlotKind::Video,
                codecs: vec![codec],
                ssrc: Ssrc(n as u32),
                rtx_ssrc: Some(Ssrc(n as u32 | 1 << 31)),
            };
            downlinks.set_slots(id, vec![spec]);
            let key: Vec<u8> = (0..16).map(|byte| (n * 31 + byte) as u8).collect();
            let profile = Profile::AeadAes128Gcm;
            downlinks.set_keys(id, &Keys { profile, key: key.clone(), salt: vec![7; 12] }).unwrap();
            let route = Route {
                local: "198.51.100.1:4000".parse().unwrap(),
                remote: format!("10.0.{}.{}:4000", n / 250, n % 250).parse().unwrap(),
            };
            downlinks.set_route(id, route);
            room.enter(name(n), id, &mut downlinks, now);
            keys.push(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()));
        }
        let buffers = (0..subscribers).map(|_| Vec::with_capacity(64 * 1024)).collect();
        let payload = vec![0x5a; PAYLOAD_BYTES];
        Self { now, room, downlinks, track, seq: 100, payload, keys, buffers, sent: 0 }
    }

    /// One frame through room and downlinks, flushed.
    fn forward_turn(&mut self) -> Duration {
        self.now += Duration::from_millis(33);
        let frame = self.seq / FRAME_PACKETS;
        let key = self.seq == 100;
        let before = Instant::now();
        for part in 0..FRAME_PACKETS {
            let fields = vp8::Fields {
                frame_start: part == 0,
                non_reference: false,
                picture_id: (frame & 0x7fff) as u16,
                tl0_picture: frame as u8,
                temporal: 0,
                layer_sync: false,
            };
            self.payload[..6].copy_from_slice(&fields.to_bytes());
            self.payload[6] = u8::from(!(key && part == 0));
            let packet = Packet {
                track: self.track,
                layer: Layer::default(),
                seq: SeqNo(self.seq),
                timestamp: (frame * 3_000) as u32,
                marker: part + 1 == FRAME_PACKETS,
                flags: Flags {
                    keyframe: key,
                    start: part == 0,
                    end: part + 1 == FRAME_PACKETS,
                    discardable: false,
                    ..Flags::default()
                },
                frame: None,
                descriptor: &[],
                level: None,
                arrived: self.now,
                age: Duration::ZERO,
                payload: &self.payload,
            };
            self.room.forward(&packet, &mut self.downlinks, &mut |_, _| {}, self.now);
            self.seq += 1;
        }
        self.room.deliver(&mut self.downlinks, self.now);
        let sent = &mut self.sent;
        self.downlinks.flush(|transmit| {
            *sent += transmit.bytes.len().div_ceil(transmit.segment_size) as u64;
            black_box(transmit.bytes);
        });
        let took = before.elapsed();
        self.room.handle_timeout(&mut self.downlinks, self.now);
        self.downlinks.handle_timeout(self.now);
        self.downlinks.flush(|_| {});
        while self.room.poll().is_some() {}
        assert!(self.sent >= (self.seq - 100) * self.keys.len() as u64, "everybody got everything");
        took
    }

    /// The same packets to the same peers: copied and sealed.
    fn limit_turn(&mut self) -> Duration {
        let before = Instant::now();
        for part in 0..FRAME_PACKETS {
            for (key, buffer) in self.keys.iter().zip(&mut self.buffers) {
                let start = buffer.len();
                buffer.extend_from_slice(&[0x90; HEADER_BYTES]);
                buffer.extend_from_slice(&self.payload);
                let (head, body) = buffer[start..].split_at_mut(HEADER_BYTES);
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&(self.seq + part).to_be_bytes());
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body).unwrap();
                buffer.extend_from_slice(tag.as_ref());
            }
        }
        for buffer in &mut self.buffers {
            black_box(&*buffer);
            buffer.clear();
        }
        before.elapsed()
    }
}
