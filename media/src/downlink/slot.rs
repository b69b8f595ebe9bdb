//! One receiving m-line of one peer: what it carries, and how a packet gets its name and its seal.

use super::outbox::Outbox;
use super::template::{Holes, Template};
use super::way::Way;
use super::{SlotCodec, SlotSpec};
use crate::drop::Drop;
use crate::feedback::rtx::Repairs;
use crate::fetch::fetch;
use crate::packet::{Codec, Packet, Ssrc, TrackId};
use crate::sink::select::{Select, Step, TEMPORAL_ALL, TileSize};
use crate::sink::{Begin, Offer, Placed, Stream};
use crate::srtp::Outbound;
use crate::track::Meaning;
use lyceum_wire::dd::{self, Active};
use lyceum_wire::ext::{self, AudioLevel};
use lyceum_wire::link::Layer;
use lyceum_wire::red::Redundant;
use lyceum_wire::signal::SlotKind;
use std::time::{Duration, Instant};

/// A slot and everything it remembers.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) spec: SlotSpec,
    pub(crate) select: Select,
    pub(crate) stream: Stream,
    pub(crate) track: Option<TrackId>,
    /// What it may have of the track, and why not more.
    pub(crate) portion: Portion,
    codec: Option<SlotCodec>,
    header: Template,
    repair_header: Option<Template>,
    /// What the stream's decode targets are, from the last structure sent.
    targets: Vec<Layer>,
    /// The layer that the last descriptor with active targets was for.
    told: Option<Layer>,
    repair_next: u64,
    repairs: Repairs,
    pub(super) packets: u32,
    pub(super) octets: u32,
}

/// A slot's portion of what the way to the subscriber carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portion {
    /// How large its tile is.
    pub(crate) tile: TileSize,
    /// Its place in what the subscriber says it shows.
    pub(crate) place: Option<u16>,
    /// The subscriber pinned it.
    pub(crate) pinned: bool,
    /// Up to this layer; none: nothing fits.
    pub(crate) layer: Option<Layer>,
    /// It was lowered: not up again before.
    pub(crate) held_until: Option<Instant>,
    /// Since when there is a picture at all, and how often in a row it was taken away soon.
    pub(crate) came: Option<Instant>,
    pub(crate) fell: u8,
}

impl Default for Portion {
    fn default() -> Self {
        let layer = Some(Layer { spatial: TEMPORAL_ALL, temporal: TEMPORAL_ALL });
        let tile = TileSize { width: 0, height: 0 };
        Self { tile, place: None, pinned: false, layer, held_until: None, came: None, fell: 0 }
    }
}

/// What all slots of a peer share while a packet is written.
pub(super) struct Wire<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) outbox: &'a mut Outbox,
    pub(super) transport: &'a mut u16,
    pub(super) send_time: u32,
    pub(super) way: &'a mut Way,
    /// What IP and UDP add to a datagram, in bytes.
    pub(super) overhead: usize,
    pub(super) now: Instant,
    /// Where a descriptor is written in the subscriber's terms.
    pub(super) scratch: &'a mut [u8; dd::BYTES_MAX],
}

impl Slot {
    pub(super) fn new(spec: SlotSpec, extensions: &ext::Map, seed: u64) -> Self {
        let mut slot = Self {
            header: Template::new(spec.ssrc.0, &spec.mid, extensions, spec.kind == SlotKind::Audio),
            repair_header: None,
            targets: Vec::new(),
            told: None,
            select: Select::new(),
            stream: Stream::new(seed),
            track: None,
            portion: Portion::default(),
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
        self.portion = Portion::default();
        (self.targets, self.told) = (Vec::new(), None);
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

    /// Selects, names and seals one packet. Says whether a segment began, or the slot went to another layer with it.
    #[inline]
    pub(super) fn take(&mut self, offer: &Offer<'_>, wire: Wire<'_>, now: Instant) -> Result<bool, Drop> {
        let Offer { packet, meaning, begin } = offer;
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
            Err(reason) => {
                if self.select.closes_over(reason) {
                    self.stream.skip(packet, meaning);
                    self.select.left(packet);
                }
                return Err(reason);
            }
        };
        let begins = step == Step::Begin;
        if begins {
            self.stream.begin(packet, meaning, *begin, codec.clock_hz, now);
        }
        let at = match begin {
            Begin::Live { at } => Some(*at),
            Begin::Replay { .. } => None,
        };
        let placed = self.stream.place(packet, meaning, at, now)?;
        let before = self.select.current();
        self.select.taken(packet, step);
        let moved = self.select.current() != before;
        if placed.seq.plus(1) < self.stream.next_seq() {
            // It closes a gap that the subscriber has seen and may be asking about.
            self.repairs.sent(u64::from(placed.seq.wire()), now);
        }
        // A voice that comes into the slot begins a talk spurt (RFC 3551 §4.1).
        let spurt = begins && self.spec.kind == SlotKind::Audio;
        let marker = packet.marker || spurt || self.select.ends_picture(packet);
        let content = self.content(packet, placed, codec, wire.scratch)?;
        let payload_len = content.payload.len();
        let holes = Holes {
            padded: false,
            marker,
            pt: content.pt,
            sequence: placed.seq.wire(),
            timestamp: placed.timestamp,
            transport: *wire.transport,
            send_time: wire.send_time,
            level: packet.level.map(|l| AudioLevel { below_full: l.minus_dbov, voice: l.voice }),
        };
        write(wire, &mut self.header, holes, self.spec.ssrc.0, placed.seq.0, None, content, meaning, placed)?;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        Ok(begins || moved)
    }

    /// Asks for what [`Self::take`] needs.
    #[inline]
    pub(super) fn fetch(&self) {
        fetch(&self.spec);
        fetch(&self.select);
        fetch(&self.stream);
        if let Some(clock) = self.stream.clock() {
            fetch(clock);
        }
        fetch(&self.track);
        fetch(&self.codec);
        fetch(&self.header);
        fetch(&self.told);
        fetch(&self.repairs);
        fetch(&self.packets);
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
        let (Some(pt), Some(ssrc)) = (codec.rtx_pt, self.spec.rtx_ssrc) else { return Err(Drop::NoRepairFormat) };
        let placed = self.stream.placed_before(number, packet, meaning).ok_or(Drop::UnknownRepair)?;
        let content = self.content(packet, placed, codec, wire.scratch)?;
        let Some(header) = &mut self.repair_header else { return Err(Drop::NoRepairFormat) };
        let index = self.repair_next;
        let holes = Holes {
            padded: false,
            marker: packet.marker || self.select.ends_picture(packet),
            pt,
            sequence: index as u16,
            timestamp: placed.timestamp,
            transport: *wire.transport,
            send_time: wire.send_time,
            level: None,
        };
        write(wire, header, holes, ssrc.0, index, Some(number), content, meaning, placed)?;
        self.repair_next += 1;
        Ok(())
    }

    /// It has sent pictures, and can send repairs of them.
    pub(super) fn repairs_pictures(&self) -> bool {
        self.spec.kind != SlotKind::Audio
            && self.repair_header.is_some()
            && self.codec.is_some_and(|c| c.rtx_pt.is_some())
    }

    /// A packet of the repair source with padding only: it counts for the receiver's feedback and for nothing else.
    pub(super) fn pad(&mut self, wire: Wire<'_>) -> Result<(), Drop> {
        let pt = self.codec.and_then(|codec| codec.rtx_pt).ok_or(Drop::NoRepairFormat)?;
        let (Some(ssrc), Some(header)) = (self.spec.rtx_ssrc, &mut self.repair_header) else {
            return Err(Drop::NoRepairFormat);
        };
        let index = self.repair_next;
        let start = wire.outbox.open()?;
        let holes = Holes {
            padded: true,
            marker: false,
            pt,
            sequence: index as u16,
            timestamp: self.stream.clock().map_or(0, |clock| clock.timestamp),
            transport: *wire.transport,
            send_time: wire.send_time,
            level: None,
        };
        let header_len = header.len(0);
        let bytes = wire.outbox.bytes();
        header.write(holes, &[], bytes);
        bytes.resize(bytes.len() + usize::from(PADDING_BYTES) - 1, 0);
        bytes.push(PADDING_BYTES);
        if let Err(error) = wire.outbound.seal(bytes, start, header_len, ssrc.0, index) {
            wire.outbox.cancel(start);
            return Err(error.into());
        }
        leave(wire, start, ssrc.0, index as u16);
        self.repair_next += 1;
        Ok(())
    }

    /// What of a packet goes to this subscriber, in its own terms.
    #[inline]
    fn content<'a>(
        &mut self,
        packet: &Packet<'a>,
        placed: Placed,
        codec: SlotCodec,
        scratch: &mut [u8; dd::BYTES_MAX],
    ) -> Result<Content<'a>, Drop> {
        let mut content = Content { pt: codec.pt, payload: packet.payload, renamed: None, descriptor_len: 0 };
        if packet.flags.redundant {
            let blocks = Redundant::parse(packet.payload).map_err(|_| Drop::Malformed)?;
            match self.spec.codecs.iter().find(|c| c.codec == Codec::Red) {
                // The blocks name the sound's payload type, which is the subscriber's own.
                Some(red) => (content.pt, content.renamed) = (red.pt, Some((blocks, codec.pt))),
                None => content.payload = packet.payload.get(blocks.primary_at..).ok_or(Drop::Malformed)?,
            }
        }
        if !packet.descriptor.is_empty() && self.header.takes_descriptors() {
            let active = self.active(packet);
            content.descriptor_len =
                dd::rewrite(packet.descriptor, placed.frame, active, scratch).map_err(|_| Drop::Malformed)?;
        }
        Ok(content)
    }

    /// The targets that a descriptor shall call active: with a structure, with a mask, and where the layer shown changed. What
    /// the subscriber does not get it must not wait for.
    #[inline]
    fn active(&mut self, packet: &Packet<'_>) -> Option<Active> {
        let at = self.select.at()?;
        let frame = packet.frame?;
        let flags = packet.descriptor.get(3).copied().unwrap_or(0);
        let (has_structure, has_mask) = (flags & 0x80 != 0, flags & 0x40 != 0);
        if !has_structure && !has_mask && (self.told == Some(at) || !packet.flags.start) {
            return None;
        }
        if has_structure {
            let alone = crate::frame::alone(packet.descriptor)?;
            self.targets = alone.structure()?.targets.iter().map(|target| target.layer).collect();
        }
        if self.targets.is_empty() {
            return None;
        }
        self.told = Some(at);
        let spatial = if self.select.shares() { at.spatial } else { 0 };
        let shown =
            |layer: &Layer| layer.spatial <= spatial && layer.temporal <= at.temporal && frame.active.has(*layer);
        let mask =
            self.targets.iter().enumerate().filter(|(_, layer)| shown(layer)).fold(0, |mask, (n, _)| mask | 1 << n);
        Some(Active { mask, targets: self.targets.len() as u8 })
    }
}

/// What goes to one subscriber in place of a publisher's packet.
struct Content<'a> {
    pt: u8,
    payload: &'a [u8],
    /// Redundant sound, and what its blocks are called here.
    renamed: Option<(Redundant, u8)>,
    /// Length of the descriptor, which is in the wire's scratch.
    descriptor_len: usize,
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
    content: Content<'_>,
    meaning: &Meaning,
    placed: Placed,
) -> Result<(), Drop> {
    let start = wire.outbox.open()?;
    let wrapping = if original.is_some() { 2 } else { 0 };
    let header_len = header.len(content.descriptor_len);
    let len = header_len + wrapping + content.payload.len() + wire.outbound.tag_len();
    let padding = wire.outbox.padding(len);
    holes.padded = padding != 0;
    let bytes = wire.outbox.bytes();
    header.write(holes, &wire.scratch[..content.descriptor_len], bytes);
    if let Some(number) = original {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    let payload_at = bytes.len();
    bytes.extend_from_slice(content.payload);
    meaning.numbers.renumber(&mut bytes[payload_at..], placed.picture_id, placed.tl0);
    if let Some((blocks, pt)) = content.renamed {
        blocks.rename(&mut bytes[payload_at..], pt);
    }
    if padding != 0 {
        bytes.resize(bytes.len() + padding - 1, 0);
        bytes.push(padding as u8);
    }
    if let Err(error) = wire.outbound.seal(bytes, start, header_len, ssrc, index) {
        wire.outbox.cancel(start);
        return Err(error.into());
    }
    leave(wire, start, ssrc, holes.sequence);
    Ok(())
}

/// The datagram that began at `start` is whole and leaves.
#[inline]
fn leave(wire: Wire<'_>, start: usize, ssrc: u32, sequence: u16) {
    wire.outbox.close(start);
    let bytes = wire.outbox.bytes().len() - start + wire.overhead;
    wire.way.sent(*wire.transport, bytes, Ssrc(ssrc), sequence, wire.now);
    *wire.transport = wire.transport.wrapping_add(1);
}

/// Padding in a packet that has nothing else, in bytes: all that one can count (RFC 3550 §5.1).
const PADDING_BYTES: u8 = 255;
