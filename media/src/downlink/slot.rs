//! One receiving m-line of one peer: what it carries, and how a packet gets its name and its seal.

use super::outbox::Outbox;
use super::template::{Holes, Template};
use super::{SlotCodec, SlotSpec};
use crate::drop::Drop;
use crate::feedback::rtx::Repairs;
use crate::packet::{Codec, Packet, TrackId};
use crate::sink::select::{Select, Step};
use crate::sink::{Begin, Placed, Stream};
use crate::srtp::Outbound;
use crate::track::Meaning;
use lyceum_wire::ext::{self, AudioLevel};
use lyceum_wire::signal::SlotKind;
use std::time::{Duration, Instant};

/// A slot and everything it remembers.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) spec: SlotSpec,
    pub(crate) select: Select,
    pub(crate) stream: Stream,
    pub(crate) track: Option<TrackId>,
    codec: Option<SlotCodec>,
    header: Template,
    repair_header: Option<Template>,
    repair_next: u64,
    repairs: Repairs,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// What all slots of a peer share while a packet is written.
pub(super) struct Wire<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) outbox: &'a mut Outbox,
    pub(super) transport: &'a mut u16,
    pub(super) send_time: u32,
}

impl Slot {
    pub(super) fn new(spec: SlotSpec, extensions: &ext::Map, seed: u64) -> Self {
        let mut slot = Self {
            header: Template::new(spec.ssrc.0, &spec.mid, extensions, spec.kind == SlotKind::Audio),
            repair_header: None,
            select: Select::new(),
            stream: Stream::new(seed),
            track: None,
            codec: None,
            repair_next: 1 + (seed >> 48 & 0x3fff),
            repairs: Repairs::default(),
            packets: 0,
            octets: 0,
            spec,
        };
        slot.renew(extensions);
        slot
    }

    /// What was negotiated changed: codecs or extensions.
    pub(super) fn renegotiate(&mut self, spec: SlotSpec, extensions: &ext::Map) {
        self.spec = spec;
        if let Some(codec) = self.codec {
            self.codec = self.spec.codecs.iter().find(|c| c.codec == codec.codec).copied();
        }
        self.renew(extensions);
    }

    /// Writes the header templates anew.
    pub(super) fn renew(&mut self, extensions: &ext::Map) {
        let spec = &self.spec;
        self.header = Template::new(spec.ssrc.0, &spec.mid, extensions, spec.kind == SlotKind::Audio);
        self.repair_header = spec.rtx_ssrc.map(|rtx| Template::new(rtx.0, &spec.mid, extensions, false));
    }

    /// Another track from now on, or none. `csrc` tells the client whose it is.
    pub(crate) fn assign(&mut self, track: Option<(TrackId, Codec)>, csrc: u32) {
        self.track = track.map(|(id, _)| id);
        self.codec = track.and_then(|(_, codec)| self.spec.codecs.iter().find(|c| c.codec == codec).copied());
        self.select = Select::new();
        self.header.set_contributor(csrc);
        if let Some(header) = &mut self.repair_header {
            header.set_contributor(csrc);
        }
    }

    /// Whether it could carry this codec.
    pub(crate) fn takes(&self, codec: Codec) -> bool {
        self.spec.codecs.iter().any(|c| c.codec == codec)
    }

    pub(super) fn numbers_used(&self) -> (u64, u64) {
        (self.stream.next_seq().0, self.repair_next)
    }

    pub(super) fn continue_at(&mut self, media: u64, repair: u64) {
        self.stream.continue_at(crate::seq::SeqNo(media));
        self.repair_next = repair;
    }

    /// Selects, names and seals one packet. Says whether a segment began.
    #[inline]
    pub(super) fn take(
        &mut self,
        packet: &Packet<'_>,
        meaning: &Meaning,
        begin: Begin,
        wire: Wire<'_>,
        now: Instant,
    ) -> Result<bool, Drop> {
        let codec = self.codec.ok_or(Drop::CodecNotNegotiated)?;
        let resumes = packet.flags.start && self.spec.kind == SlotKind::Audio;
        if self.select.current() == Some(packet.layer.spatial) && (resumes || self.stream.jumps(packet)) {
            self.select.restart();
        }
        let step = match self.select.wants(packet, meaning) {
            Ok(Step::Continue) if packet.payload.is_empty() => {
                self.stream.skip(packet, meaning);
                return Err(Drop::Padding);
            }
            Ok(step) => step,
            Err(Drop::AboveTemporal) => {
                self.stream.skip(packet, meaning);
                return Err(Drop::AboveTemporal);
            }
            Err(reason) => return Err(reason),
        };
        let begins = step == Step::Begin;
        if begins {
            self.stream.begin(packet, meaning, begin, codec.clock_hz, now);
        }
        let at = match begin {
            Begin::Live { at } => Some(at),
            Begin::Replay { .. } => None,
        };
        let placed = self.stream.place(packet, meaning, at, now)?;
        self.select.taken(packet, step);
        if placed.seq.plus(1) < self.stream.next_seq() {
            // It closes a gap that the subscriber has seen and may be asking about.
            self.repairs.sent(u64::from(placed.seq.wire()), now);
        }
        // A voice that comes into the slot begins a talk spurt (RFC 3551 §4.1).
        let marker = packet.marker || (begins && self.spec.kind == SlotKind::Audio);
        let holes = Holes {
            padded: false,
            marker,
            pt: codec.pt,
            sequence: placed.seq.wire(),
            timestamp: placed.timestamp,
            transport: *wire.transport,
            send_time: wire.send_time,
            level: packet.level.map(|l| AudioLevel { below_full: l.minus_dbov, voice: l.voice }),
        };
        write(wire, &mut self.header, holes, self.spec.ssrc.0, placed.seq.0, None, packet, meaning, placed)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        Ok(begins)
    }

    /// Whether a repair of this number may be sent now: not twice within a round trip.
    pub(super) fn may_repair(&mut self, number: u16, now: Instant, rtt: Duration) -> bool {
        self.repairs.allow(u64::from(number), now, rtt)
    }

    /// Sends a packet again, wrapped (RFC 4588 §4), with the numbers it had.
    pub(super) fn repair(
        &mut self,
        number: u16,
        packet: &Packet<'_>,
        meaning: &Meaning,
        wire: Wire<'_>,
    ) -> Result<(), Drop> {
        let codec = self.codec.ok_or(Drop::CodecNotNegotiated)?;
        let (Some(pt), Some(header), Some(ssrc)) = (codec.rtx_pt, &mut self.repair_header, self.spec.rtx_ssrc) else {
            return Err(Drop::NoRepairFormat);
        };
        let placed = self.stream.placed_before(number, packet, meaning).ok_or(Drop::UnknownRepair)?;
        let index = self.repair_next;
        let holes = Holes {
            padded: false,
            marker: packet.marker,
            pt,
            sequence: index as u16,
            timestamp: placed.timestamp,
            transport: *wire.transport,
            send_time: wire.send_time,
            level: None,
        };
        write(wire, header, holes, ssrc.0, index, Some(number), packet, meaning, placed)?;
        self.repair_next += 1;
        Ok(())
    }
}

/// Header, payload with its numbers, seal: the packet is copied once.
#[allow(clippy::too_many_arguments, reason = "one call, inlined; a struct would be built and taken apart on the spot")]
#[inline]
fn write(
    wire: Wire<'_>,
    header: &mut Template,
    mut holes: Holes,
    ssrc: u32,
    index: u64,
    original: Option<u16>,
    packet: &Packet<'_>,
    meaning: &Meaning,
    placed: Placed,
) -> Result<(), Drop> {
    let start = wire.outbox.open()?;
    let wrapping = if original.is_some() { 2 } else { 0 };
    let len = header.len() + wrapping + packet.payload.len() + wire.outbound.tag_len();
    let padding = wire.outbox.padding(len);
    holes.padded = padding != 0;
    let bytes = wire.outbox.bytes();
    header.write(holes, bytes);
    if let Some(number) = original {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    let payload_at = bytes.len();
    bytes.extend_from_slice(packet.payload);
    if let Some(vp8) = &meaning.vp8 {
        vp8.renumber(&mut bytes[payload_at..], placed.picture_id, placed.tl0);
    }
    if padding != 0 {
        bytes.resize(bytes.len() + padding - 1, 0);
        bytes.push(padding as u8);
    }
    if let Err(error) = wire.outbound.seal(bytes, start, header.len(), ssrc, index) {
        wire.outbox.cancel(start);
        return Err(error.into());
    }
    wire.outbox.close(start);
    *wire.transport = wire.transport.wrapping_add(1);
    Ok(())
}
