//! One encoding of one publication as it arrives: its numbers, its gaps, its key frames.

use super::*;
use crate::feedback::nack;
use crate::frame::{self, Frame, SPATIAL_MAX, TEMPORAL_MAX};
use crate::seq::{Extend, SeqNo, nearest_u16};
use crate::track::keyframe::Wish;
use lyceum_wire::dd::Templates;

/// All layers of one peer; a handful, so a list.
#[derive(Debug, Default)]
pub(super) struct Layers {
    all: Vec<LayerState>,
}

/// What is known of one layer.
#[derive(Debug)]
pub(super) struct LayerState {
    pub(super) track: TrackId,
    pub(super) spatial: u8,
    pub(super) payload_types: Vec<PayloadType>,
    pub(super) wants_nack: bool,
    pub(super) keyframe: KeyFrameAsk,
    /// The SSRC that carries its media now.
    pub(super) ssrc: Option<u32>,
    extend: Extend,
    /// Added to the extended number, so that another SSRC goes on where the last one ended.
    offset: u64,
    highest: Option<SeqNo>,
    pub(super) nack: nack::Generator,
    pub(super) wish: Wish,
    /// Sequence of full intra requests (RFC 5104 §4.3.1.1).
    pub(super) intra: u8,
    /// Timestamp of the key frame that is arriving.
    key_timestamp: Option<u32>,
    /// Timestamp of the newest picture, for codecs that do not say where one begins.
    last_timestamp: Option<u32>,
    /// What its dependency descriptors have said.
    templates: Templates,
    /// It is one of several encodings: layers above it are encodings of their own.
    simulcast: bool,
}

impl Layers {
    /// Adds a layer, or tells it what was negotiated anew.
    pub(super) fn add(&mut self, line: &Publication, spatial: u8) {
        match self.find_mut(line.track, spatial) {
            Some(layer) => {
                layer.payload_types.clone_from(&line.payload_types);
                layer.wants_nack = line.nack;
                layer.keyframe = line.keyframe;
                layer.simulcast = line.encodings.len() > 1;
            }
            None => self.all.push(LayerState {
                track: line.track,
                spatial,
                payload_types: line.payload_types.clone(),
                wants_nack: line.nack,
                keyframe: line.keyframe,
                ssrc: None,
                extend: Extend::default(),
                offset: 0,
                highest: None,
                nack: nack::Generator::default(),
                wish: Wish::default(),
                intra: 0,
                key_timestamp: None,
                last_timestamp: None,
                templates: Templates::default(),
                simulcast: line.encodings.len() > 1,
            }),
        }
    }

    pub(super) fn remove(&mut self, track: TrackId) {
        self.all.retain(|layer| layer.track != track);
    }

    #[inline]
    pub(super) fn find_mut(&mut self, track: TrackId, spatial: u8) -> Option<&mut LayerState> {
        self.all.iter_mut().find(|layer| layer.track == track && layer.spatial == spatial)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LayerState> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LayerState> {
        self.all.iter_mut()
    }
}

impl LayerState {
    /// The number of a media packet.
    #[inline]
    pub(super) fn number(&mut self, ssrc: u32, wire: u16) -> SeqNo {
        if self.ssrc != Some(ssrc) {
            if let Some(highest) = self.highest {
                // Another source of the same layer: its numbers follow, with a gap that nobody tries to repair.
                self.extend = Extend::default();
                let first = self.extend.extend(wire);
                self.offset = (highest.0 + SOURCE_GAP).wrapping_sub(first.0);
                self.nack = nack::Generator::default();
                self.templates = Templates::default();
            }
            self.ssrc = Some(ssrc);
        }
        let seq = SeqNo(self.extend.extend(wire).0.wrapping_add(self.offset));
        self.highest = self.highest.max(Some(seq));
        seq
    }

    /// The number of a packet that came as a repair. `None`: nothing of this layer has come yet.
    pub(super) fn number_of_repair(&self, wire: u16) -> Option<SeqNo> {
        let highest = self.highest?.0.wrapping_sub(self.offset);
        Some(SeqNo(nearest_u16(highest, wire).wrapping_add(self.offset)))
    }

    /// The number as its source wrote it.
    pub(super) fn wire(&self, seq: SeqNo) -> u16 {
        SeqNo(seq.0.wrapping_sub(self.offset)).wire()
    }

    /// A media packet came. Returns a round-trip sample, if its arrival is one.
    #[inline]
    pub(super) fn received(&mut self, seq: SeqNo, now: Instant) -> Option<Duration> {
        if !self.wants_nack {
            return None;
        }
        match self.nack.received(seq, now) {
            nack::Arrival::Outage => {
                self.wish_after_loss(now);
                None
            }
            // An original that came late says nothing of the round trip.
            _ => None,
        }
    }

    /// A repair came: only one that was missing is of use. Returns a round-trip sample, if it is one.
    pub(super) fn repaired(&mut self, seq: SeqNo, now: Instant) -> Result<Option<Duration>, Drop> {
        match self.nack.received(seq, now) {
            nack::Arrival::Repaired { asked } => Ok(asked.map(|asked| now.saturating_duration_since(asked))),
            nack::Arrival::NotMissing => Err(Drop::Duplicate),
            nack::Arrival::Newest | nack::Arrival::Outage => {
                self.highest = self.highest.max(Some(seq));
                Ok(None)
            }
        }
    }

    /// Loss that is not repaired needs a new key frame.
    pub(super) fn wish_after_loss(&mut self, now: Instant) {
        if self.keyframe != KeyFrameAsk::Never {
            self.wish.wish(now);
        }
    }

    /// The packet with its meaning.
    #[inline]
    pub(super) fn packet<'a>(
        &mut self,
        codec: Codec,
        header: &rtp::Header,
        seq: SeqNo,
        content: Content<'a>,
        now: Instant,
    ) -> Result<Packet<'a>, Drop> {
        let Content { payload, descriptor, level } = content;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Drop::TooLarge);
        }
        let mut packet = Packet {
            track: self.track,
            layer: Layer { spatial: self.spatial, temporal: 0 },
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            flags: Flags { end: header.marker, ..Flags::default() },
            frame: None,
            descriptor: &[],
            level,
            arrived: now,
            age: Duration::ZERO,
            payload,
        };
        if payload.is_empty() {
            return Ok(packet);
        }
        if codec == Codec::Red {
            red::Redundant::parse(payload).map_err(|_| Drop::Malformed)?;
            packet.flags.redundant = true;
        }
        if !codec.is_video() {
            return Ok(packet);
        }
        let begins = match descriptor {
            Some(descriptor) => {
                let reading = frame::read(&mut self.templates, descriptor, self.simulcast).ok_or(Drop::Malformed)?;
                (packet.descriptor, packet.frame, packet.flags) = (descriptor, reading.frame, reading.flags);
                self.place(&mut packet, reading.layer)?;
                reading.begins
            }
            None => self.look(codec, &mut packet)?,
        };
        self.last_timestamp = Some(header.timestamp);
        if begins {
            self.key_timestamp = Some(header.timestamp);
            self.wish.arrived();
            self.nack.forget_before(seq);
        }
        packet.flags.keyframe = self.key_timestamp == Some(header.timestamp);
        Ok(packet)
    }

    /// Without a descriptor the payload's own header says what there is to know. Returns whether a key frame begins.
    #[inline]
    fn look(&self, codec: Codec, packet: &mut Packet<'_>) -> Result<bool, Drop> {
        let new_picture = self.last_timestamp != Some(packet.timestamp);
        match codec {
            Codec::Vp8 => {
                let said = vp8::Descriptor::parse(packet.payload).map_err(|_| Drop::Malformed)?;
                packet.flags.start = said.frame_start();
                packet.flags.discardable = said.non_reference;
                packet.layer.temporal = said.temporal.unwrap_or(0);
                Ok(said.key_frame)
            }
            Codec::Vp9 => {
                let said = vp9::Descriptor::parse(packet.payload).map_err(|_| Drop::Malformed)?;
                (packet.flags.start, packet.flags.end) = (said.start, said.end);
                packet.frame = Frame::of_vp9(&said);
                self.place(packet, said.layer.unwrap_or_default())?;
                Ok(said.key_frame())
            }
            Codec::H264 => {
                let said = h264::Payload::parse(packet.payload).map_err(|_| Drop::Malformed)?;
                packet.flags.start = new_picture;
                packet.flags.discardable = said.non_reference;
                Ok(said.parameters)
            }
            Codec::Av1 => {
                packet.flags.start = new_picture;
                Ok(av1::Aggregation::parse(packet.payload).is_some_and(|said| said.new_sequence))
            }
            Codec::Opus | Codec::Red | Codec::Other => Ok(false),
        }
    }

    /// Where a layer within the sequence is in the track.
    fn place(&self, packet: &mut Packet<'_>, layer: Layer) -> Result<(), Drop> {
        if layer.spatial >= SPATIAL_MAX || layer.temporal >= TEMPORAL_MAX || (self.simulcast && layer.spatial > 0) {
            return Err(Drop::UnknownLayer);
        }
        packet.layer = Layer { spatial: self.spatial + layer.spatial, temporal: layer.temporal };
        Ok(())
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content<'a> {
    pub(super) payload: &'a [u8],
    /// Its dependency descriptor.
    pub(super) descriptor: Option<&'a [u8]>,
    pub(super) level: Option<AudioLevel>,
}

/// Numbers between the last packet of one source and the first of the next: more than any window, so that nothing old is mistaken for new.
const SOURCE_GAP: u64 = 1 << 16;
