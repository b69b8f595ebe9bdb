//! One encoding of one publication as it arrives: its numbers, its gaps, its key frames.

use super::*;
use crate::feedback::nack;
use crate::seq::{Extend, SeqNo, nearest_u16};
use crate::track::keyframe::Wish;

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
}

impl Layers {
    /// Adds a layer, or tells it what was negotiated anew.
    pub(super) fn add(&mut self, line: &Publication, spatial: u8) {
        match self.find_mut(line.track, spatial) {
            Some(layer) => {
                layer.payload_types.clone_from(&line.payload_types);
                layer.wants_nack = line.nack;
                layer.keyframe = line.keyframe;
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
        payload: &'a [u8],
        level: Option<AudioLevel>,
        now: Instant,
    ) -> Result<Packet<'a>, Drop> {
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Drop::TooLarge);
        }
        let (mut flags, mut temporal) = (Flags { end: header.marker, ..Flags::default() }, 0);
        if codec == Codec::Vp8 && !payload.is_empty() {
            let descriptor = vp8::Descriptor::parse(payload).map_err(|_| Drop::Malformed)?;
            flags.start = descriptor.frame_start();
            flags.discardable = descriptor.non_reference;
            temporal = descriptor.temporal.unwrap_or(0);
            if descriptor.key_frame {
                self.key_timestamp = Some(header.timestamp);
                self.wish.arrived();
                self.nack.forget_before(seq);
            }
            flags.keyframe = self.key_timestamp == Some(header.timestamp);
        }
        Ok(Packet {
            track: self.track,
            layer: Layer { spatial: self.spatial, temporal },
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            flags,
            level,
            arrived: now,
            age: Duration::ZERO,
            payload,
        })
    }
}

/// Numbers between the last packet of one source and the first of the next: more than any window, so that nothing old is mistaken for new.
const SOURCE_GAP: u64 = 1 << 16;
