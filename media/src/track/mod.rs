//! What a room keeps of each track: recent packets, sizes and rates, clocks, key-frame wishes.

pub mod cache;
pub mod keyframe;
pub mod observe;

use crate::frame;
use crate::packet::{Codec, Packet};
use lyceum_wire::{av1, h264, vp8, vp9};

/// What a packet says of itself to forwarding; read once, used by every sink.
///
/// By its dependency descriptor where one came: then the payload may be sealed by the participants themselves, and only the
/// running numbers of its plain payload descriptor are touched. Else by the codec's own header.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meaning {
    /// The payload descriptor whose running numbers are the subscriber's own.
    pub numbers: Numbered,
    /// A stream may begin with this packet: first packet of a key frame, or any packet of sound.
    pub begins: bool,
    /// Picture size, where a key frame says so.
    pub size: Option<vp8::Size>,
}

/// A payload descriptor with running numbers.
#[derive(Debug, Clone, Copy, Default)]
pub enum Numbered {
    /// The codec has none.
    #[default]
    Nothing,
    /// Pictures left out close up: a decoder of VP8 takes a gap for a loss.
    Vp8(vp8::Descriptor),
    /// Pictures refer to each other by distances: gaps stay.
    Vp9(vp9::Descriptor),
}

impl Meaning {
    /// Reads the descriptor or the payload's header. `None`: it is not of this codec.
    #[inline]
    #[must_use]
    pub fn of(codec: Codec, packet: &Packet<'_>) -> Option<Self> {
        if packet.payload.is_empty() {
            return Some(Self::default());
        }
        let mut meaning = Self::default();
        match codec {
            Codec::Vp8 => {
                let descriptor = vp8::Descriptor::parse(packet.payload).ok()?;
                meaning.numbers = Numbered::Vp8(descriptor);
                if packet.descriptor.is_empty() {
                    (meaning.begins, meaning.size) = (descriptor.key_frame, descriptor.size(packet.payload));
                }
            }
            Codec::Vp9 => {
                let descriptor = vp9::Descriptor::parse(packet.payload).ok()?;
                meaning.numbers = Numbered::Vp9(descriptor);
                if packet.descriptor.is_empty() {
                    (meaning.begins, meaning.size) = (descriptor.key_frame(), descriptor.size);
                }
            }
            Codec::H264 if packet.descriptor.is_empty() => {
                let said = h264::Payload::parse(packet.payload).ok()?;
                // Without its parameters a decoder cannot begin with an IDR picture.
                (meaning.begins, meaning.size) = (said.parameters, said.size);
            }
            Codec::Av1 if packet.descriptor.is_empty() => {
                meaning.begins = av1::Aggregation::parse(packet.payload)?.new_sequence;
            }
            Codec::H264 | Codec::Av1 => {}
            Codec::Opus | Codec::Red | Codec::Other => meaning.begins = true,
        }
        if let Some(frame) = &packet.frame
            && codec.is_video()
            && !packet.descriptor.is_empty()
        {
            meaning.begins = frame::begins(packet.descriptor, frame);
        }
        Some(meaning)
    }

    /// A VP8 picture at which a higher temporal layer may begin (RFC 7741 §4.2, Y).
    #[inline]
    #[must_use]
    pub fn steps_up(&self) -> bool {
        match &self.numbers {
            Numbered::Vp8(vp8) => vp8.frame_start() && (vp8.layer_sync || self.begins),
            Numbered::Vp9(_) | Numbered::Nothing => false,
        }
    }
}

impl Numbered {
    /// The picture's number, and whether it has 15 bits.
    #[inline]
    #[must_use]
    pub fn picture_id(&self) -> Option<vp8::PictureId> {
        match self {
            Self::Nothing => None,
            Self::Vp8(vp8) => vp8.picture_id,
            Self::Vp9(vp9) => vp9.picture_id,
        }
    }

    /// The number of its base-layer picture.
    #[inline]
    #[must_use]
    pub fn tl0_picture(&self) -> Option<u8> {
        match self {
            Self::Nothing => None,
            Self::Vp8(vp8) => vp8.tl0_picture,
            Self::Vp9(vp9) => vp9.tl0_picture,
        }
    }

    /// It is of the base layer, as far as it says.
    #[inline]
    #[must_use]
    pub fn is_base(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Vp8(vp8) => vp8.temporal.unwrap_or(0) == 0,
            Self::Vp9(vp9) => vp9.layer.is_none_or(|layer| layer.temporal == 0),
        }
    }

    /// Whether pictures left out close up.
    #[inline]
    #[must_use]
    pub fn closes_up(&self) -> bool {
        matches!(self, Self::Vp8(_))
    }

    /// Puts other numbers into a payload of which this was read.
    #[inline]
    pub fn renumber(&self, payload: &mut [u8], picture_id: u16, tl0_picture: u8) {
        match self {
            Self::Nothing => {}
            Self::Vp8(vp8) => vp8.renumber(payload, picture_id, tl0_picture),
            Self::Vp9(vp9) => vp9.renumber(payload, picture_id, tl0_picture),
        }
    }
}
