//! Somebody who sends one picture.

use crate::call::Call;
use crate::knock::payload_types;
use crate::ledger::Ledger;
use bytes::Bytes;
use lyceum_bot::clip::{Clip, Frame};
use lyceum_bot::outgoing::Outgoing;
use lyceum_bot::player::{Header, Outlet, PAYLOAD_BYTES_MAX, Player, Sent, Spec};
use lyceum_bot::stamp::STAMP_BYTES;
use lyceum_session::sdp::MediaLine;
use lyceum_wire::demux::Class;
use lyceum_wire::{ext, rtcp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of one packet on the wire above UDP, as a viewer of an edge has it: payload, VP8 descriptor, header with its
/// extensions, tag. Used to turn a bitrate into frames; what is reported is counted.
const PACKET_BYTES: u32 = 1_160;
/// A key frame comes this often even if nobody asks.
const KEY_FRAME_EVERY: Duration = Duration::from_secs(10);
/// Seconds of picture before it begins again.
const CLIP_SECONDS: u32 = 20;

/// What the picture looks like on the wire: frames of equal packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bits per second at a viewer.
    pub bitrate_bps: u32,
    /// Packets of one frame, which leave in one burst.
    pub packets_per_frame: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self { bitrate_bps: 1_500_000, packets_per_frame: 5 }
    }
}

impl Shape {
    /// Time between two frames.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let bits = u64::from(PACKET_BYTES) * 8 * u64::from(self.packets_per_frame.max(1));
        Duration::from_nanos(bits * 1_000_000_000 / u64::from(self.bitrate_bps.max(1)))
    }

    /// Full packets with noise in them that begin as VP8 does. Key frames are as large as the others: a measurement
    /// wants an even load.
    #[must_use]
    pub fn clip(&self) -> Clip {
        let noise = Clip::made_up(7, 1280, 720, self.bitrate_bps, 30, 1);
        let noise: Vec<u8> = (0..noise.frames() as u64).flat_map(|n| noise.at(n).0.bytes.to_vec()).collect();
        let bytes = self.packets_per_frame.max(1) as usize * PAYLOAD_BYTES_MAX - STAMP_BYTES;
        let interval = self.interval();
        let count = (Duration::from_secs(CLIP_SECONDS.into()).as_nanos() / interval.as_nanos().max(1)).max(1) as u32;
        let keys = (KEY_FRAME_EVERY.as_nanos() / interval.as_nanos().max(1)).max(1) as u32;
        let frame = |n: u32| {
            let mut picture: Vec<u8> = noise.iter().copied().cycle().skip(n as usize * 97).take(bytes).collect();
            let key = n.is_multiple_of(keys);
            // RFC 6386 §9.1: the tag's lowest bit says delta frame; a key frame goes on with start code and size.
            picture[0] = picture[0] & !1 | u8::from(!key);
            if key {
                picture[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
            }
            Frame { due: interval * n, key, bytes: picture.into() }
        };
        let frames: Vec<Frame> = (0..count).map(frame).collect();
        // The first frame is a key frame and all are due before the end: there is nothing that could be refused.
        Clip::from_frames(frames, interval * count, 1280, 720).unwrap_or_else(|_| Clip::made_up(7, 1280, 720, 0, 30, 1))
    }
}

/// A member who publishes.
pub struct Publisher {
    call: Call,
    player: Player,
    ledger: Ledger,
    playing: bool,
}

impl Publisher {
    pub(crate) fn new(
        call: Call,
        line: &MediaLine,
        extensions: ext::Map,
        shape: Shape,
        seed: u64,
        zero: Instant,
    ) -> Self {
        let (pt, rtx_pt) = payload_types(line);
        let spec = Spec {
            clip: Arc::new(shape.clip()),
            clock_hz: 90_000,
            pt,
            rtx_pt,
            ssrc: 0x1000_0000 | seed as u32,
            rtx_ssrc: 0x2000_0000 | seed as u32,
            mid: line.mid.clone(),
            rid: None,
            extensions,
            origin: Some(seed),
            zero,
        };
        Self { call, player: Player::new(spec, seed), ledger: Ledger::default(), playing: false }
    }

    /// Its connection.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.player.sent()
    }

    /// Begins to play at this moment.
    pub fn play_from(&mut self, at: Instant) {
        self.player.start(at);
        self.playing = true;
    }

    /// Sends nothing more.
    pub fn stop(&mut self) {
        self.playing = false;
    }

    /// What it sent and when.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.player.deadline().filter(|_| self.playing && self.call.is_up())
    }

    /// A datagram came.
    pub(crate) fn datagram(&mut self, from: SocketAddr, datagram: &mut [u8], now: Instant) {
        match Class::of(datagram) {
            Some(Class::Stun | Class::Dtls) => self.call.handle(from, datagram, now),
            Some(Class::Rtcp) => self.feedback(datagram, now),
            Some(Class::Rtp | Class::Channel) | None => {}
        }
    }

    /// Time passed, at least a few times a second.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.call.tick(now);
    }

    /// Sends the frames that are due.
    pub(crate) fn play(&mut self, now: Instant) {
        let Some(outgoing) = &mut self.call.outgoing else { return };
        outgoing.at(now);
        self.player.play(now, None, &mut Book { outgoing, ledger: &mut self.ledger, now });
    }

    /// The next datagram, and where it goes.
    pub(crate) fn poll(&mut self) -> Option<(SocketAddr, Bytes)> {
        self.call.poll()
    }

    fn feedback(&mut self, datagram: &mut [u8], now: Instant) {
        let (Some(inbound), Some(outgoing)) = (&mut self.call.inbound, &mut self.call.outgoing) else { return };
        let Ok(compound) = inbound.unprotect_rtcp(datagram) else { return };
        outgoing.at(now);
        for packet in rtcp::Compound::new(compound).flatten() {
            match packet {
                rtcp::Packet::Nack { lost, .. } => {
                    lost.for_each(|sequence| self.player.repair(sequence, now, outgoing));
                }
                rtcp::Packet::PictureLoss { .. } | rtcp::Packet::FullIntra { .. } => self.player.key_frame(),
                _ => {}
            }
        }
    }
}

/// Notes what is sent on its way out.
struct Book<'a> {
    outgoing: &'a mut Outgoing,
    ledger: &'a mut Ledger,
    now: Instant,
}

impl Outlet for Book<'_> {
    fn packet(&mut self, header: Header<'_>, payload: [&[u8]; 2]) {
        if !header.repair {
            self.ledger.sends(header.fields.sequence, &payload.concat(), self.now);
        }
        self.outgoing.packet(header, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_frames_of_full_packets_at_the_rate_asked_for() {
        for packets_per_frame in [1, 2, 5] {
            let shape = Shape { bitrate_bps: 1_500_000, packets_per_frame };
            let clip = shape.clip();
            assert!(clip.at(0).0.key && !clip.at(1).0.key);
            let sizes = (0..clip.frames() as u64).map(|n| clip.at(n).0.bytes.len() + STAMP_BYTES);
            assert!(sizes.into_iter().all(|size| size == packets_per_frame as usize * PAYLOAD_BYTES_MAX));
            let per_second = f64::from(packets_per_frame) / shape.interval().as_secs_f64();
            assert!((161.0..162.0).contains(&per_second), "{per_second}");
        }
    }
}
