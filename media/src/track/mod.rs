//! What a room keeps of each track: recent packets, sizes and rates, clocks, key-frame wishes.

pub mod cache;
pub mod keyframe;
pub mod observe;

use crate::packet::{Codec, Packet};
use lyceum_wire::vp8;

/// What the codec's own header says of a packet; read once, used by every sink.
#[derive(Debug, Clone, Copy, Default)]
pub struct Meaning {
    /// The VP8 payload descriptor.
    pub vp8: Option<vp8::Descriptor>,
    /// A stream may begin with this packet: first packet of a key frame, or any packet of sound.
    pub begins: bool,
    /// Picture size, where a key frame says so.
    pub size: Option<vp8::Size>,
}

impl Meaning {
    /// Reads the payload's header. `None`: it is not of this codec.
    #[inline]
    #[must_use]
    pub fn of(codec: Codec, packet: &Packet<'_>) -> Option<Self> {
        if packet.payload.is_empty() {
            return Some(Self::default());
        }
        match codec {
            Codec::Vp8 => {
                let descriptor = vp8::Descriptor::parse(packet.payload).ok()?;
                let size = descriptor.size(packet.payload);
                Some(Self { vp8: Some(descriptor), begins: descriptor.key_frame, size })
            }
            Codec::Opus | Codec::Other => Some(Self { vp8: None, begins: true, size: None }),
        }
    }
}
