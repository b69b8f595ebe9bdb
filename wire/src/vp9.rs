//! VP9 in RTP (RFC 9628): the payload descriptor in front of each packet, read and renumbered in place.
//!
//! ```text
//!  |I|P|L|F|B|E|V|Z|     P inter-picture predicted, B E start and end of frame, Z not for upper spatial layers
//!  |M| PICTURE ID  |     if I: 7 bits, or 15 with M
//!  | TID |U| SID |D|     if L: U place to step up, D depends on the spatial layer below
//!  |   TL0PICIDX   |     if L and not F
//!  |   P_DIFF    |N|     if F and P, up to three times
//!  | scalability structure …   if V
//! ```

use crate::cursor::Reader;
use crate::link::Layer;
use crate::vp8::{PictureId, Size};

/// Why bytes are not a VP9 payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// It ends inside the descriptor.
    #[error("the payload ends inside its descriptor")]
    Truncated,
}

/// What a payload descriptor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes before the VP9 payload.
    pub len: usize,
    /// Running number of the picture, over all its spatial layers.
    pub picture_id: Option<PictureId>,
    /// Depends on earlier pictures.
    pub predicted: bool,
    /// First packet of its frame.
    pub start: bool,
    /// Last packet of its frame.
    pub end: bool,
    /// No frame of a higher spatial layer of this picture refers to it.
    pub not_for_upper: bool,
    /// Its layer, if told.
    pub layer: Option<Layer>,
    /// From here on higher temporal layers refer to nothing before.
    pub step_up: bool,
    /// Depends on the next lower spatial layer of the same picture.
    pub inter_layer: bool,
    /// Running number of base-layer pictures.
    pub tl0_picture: Option<u8>,
    /// How many spatial layers there are, where the structure comes.
    pub spatial_layers: Option<u8>,
    /// Size of the picture, where the structure says so: of its own layer.
    pub size: Option<Size>,
}

impl Descriptor {
    /// Reads the descriptor.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    #[inline]
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        Self::read(payload).ok_or(Error::Truncated)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8()?;
        let mut picture_id = None;
        if first & 0x80 != 0 {
            let high = reader.u8()?;
            picture_id = Some(if high & 0x80 != 0 {
                PictureId { value: u16::from_be_bytes([high & 0x7f, reader.u8()?]), long: true }
            } else {
                PictureId { value: u16::from(high), long: false }
            });
        }
        let (predicted, flexible) = (first & 0x40 != 0, first & 0x10 != 0);
        let (mut layer, mut step_up, mut inter_layer, mut tl0_picture) = (None, false, false, None);
        if first & 0x20 != 0 {
            let byte = reader.u8()?;
            layer = Some(Layer { spatial: byte >> 1 & 7, temporal: byte >> 5 });
            step_up = byte & 0x10 != 0;
            inter_layer = byte & 0x01 != 0;
            if !flexible {
                tl0_picture = Some(reader.u8()?);
            }
        }
        if flexible && predicted {
            // At most three, whatever the last bit says (RFC 9628 §4.2).
            for _ in 0..3 {
                if reader.u8()? & 1 == 0 {
                    break;
                }
            }
        }
        let (mut spatial_layers, mut size) = (None, None);
        if first & 0x02 != 0 {
            let own = layer.map_or(0, |layer| layer.spatial);
            (spatial_layers, size) = structure(&mut reader, own)?;
        }
        Some(Self {
            len: payload.len().saturating_sub(reader.rest().len()),
            picture_id,
            predicted,
            start: first & 0x08 != 0,
            end: first & 0x04 != 0,
            not_for_upper: first & 0x01 != 0,
            layer,
            step_up,
            inter_layer,
            tl0_picture,
            spatial_layers,
            size,
        })
    }

    /// Its spatial layer.
    #[inline]
    #[must_use]
    pub fn spatial(&self) -> u8 {
        self.layer.map_or(0, |layer| layer.spatial)
    }

    /// First packet of a key frame: nothing before is needed, in time or below.
    #[inline]
    #[must_use]
    pub fn key_frame(&self) -> bool {
        self.start && !self.predicted && !self.inter_layer && self.spatial() == 0
    }

    /// Puts other running numbers into `payload`, which must be the one this descriptor was read from, or a copy.
    /// Widths stay: a 7-bit picture id keeps the low 7 bits. Numbers the descriptor does not have are left out.
    #[inline]
    pub fn renumber(&self, payload: &mut [u8], picture_id: u16, tl0_picture: u8) {
        let mut at = 1;
        if let Some(PictureId { long, .. }) = self.picture_id {
            let [high, low] = picture_id.to_be_bytes();
            match (payload.get_mut(at..), long) {
                (Some([first, second, ..]), true) => (*first, *second) = (0x80 | high & 0x7f, low),
                (Some([first, ..]), false) => *first = low & 0x7f,
                _ => {}
            }
            at = if long { 3 } else { 2 };
        }
        if self.tl0_picture.is_some()
            && let Some(byte) = payload.get_mut(at.saturating_add(1))
        {
            *byte = tl0_picture;
        }
    }
}

/// The scalability structure: |N_S 3|Y|G|− − −|, sizes if Y, a picture group if G. How many layers, and how large `own` is.
fn structure(reader: &mut Reader<'_>, own: u8) -> Option<(Option<u8>, Option<Size>)> {
    let flags = reader.u8()?;
    let layers = (flags >> 5).saturating_add(1);
    let mut size = None;
    if flags & 0x10 != 0 {
        for layer in 0..layers {
            let (width, height) = (reader.u16()?, reader.u16()?);
            if layer == own {
                size = Some(Size { width, height });
            }
        }
    }
    if flags & 0x08 != 0 {
        for _ in 0..reader.u8()? {
            let references = reader.u8()? >> 2 & 3;
            reader.take(usize::from(references))?;
        }
    }
    Some((Some(layers), size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::hex;
    use proptest::prelude::*;

    #[test]
    fn descriptors_of_every_shape() {
        // bytes, length, picture id, layer, tl0, key frame
        type Row = (&'static str, usize, Option<(u16, bool)>, Option<(u8, u8)>, Option<u8>, bool);
        let table: &[Row] = &[
            ("08 aa", 1, None, None, None, true),
            ("48 aa", 1, None, None, None, false),
            ("88 05 aa", 2, Some((5, false)), None, None, true),
            ("8c 8123 aa", 3, Some((0x123, true)), None, None, true),
            // Non-flexible, layer 0/0 with structure: two layers with sizes, no group.
            ("ab 8123 00 07 30 0140 00b4 0280 0168 aa", 14, Some((0x123, true)), Some((0, 0)), Some(7), true),
            // The upper layer of the same picture depends on the lower one.
            ("ac 8123 03 07 aa", 5, Some((0x123, true)), Some((1, 0)), Some(7), false),
            ("ec 8124 54 08 aa", 5, Some((0x124, true)), Some((2, 2)), Some(8), false),
            // Flexible, two references.
            ("f8 8124 20 03 04 aa", 6, Some((0x124, true)), Some((0, 1)), None, false),
            // A group of two pictures with one and two references.
            ("0a 08 02 04 01 48 01 02 aa", 8, None, None, None, true),
        ];
        for (bytes, len, picture, layer, tl0, key) in table {
            let payload = hex(bytes);
            let said = Descriptor::parse(&payload).unwrap();
            assert_eq!(said.len, *len, "{bytes}");
            assert_eq!(said.picture_id.map(|id| (id.value, id.long)), *picture, "{bytes}");
            assert_eq!(said.layer.map(|l| (l.spatial, l.temporal)), *layer, "{bytes}");
            assert_eq!((said.tl0_picture, said.key_frame()), (*tl0, *key), "{bytes}");
        }
        let said = Descriptor::parse(&hex("ab 8123 00 07 30 0140 00b4 0280 0168 aa")).unwrap();
        assert_eq!((said.spatial_layers, said.size), (Some(2), Some(Size { width: 320, height: 180 })));
        assert!(said.not_for_upper);
        let said = Descriptor::parse(&hex("ec 8124 54 08 aa")).unwrap();
        assert!(said.step_up && said.predicted && !said.inter_layer && said.start && said.end);
    }

    #[test]
    fn a_payload_that_ends_early_is_told() {
        for bytes in [
            "",
            "88",
            "88 81",
            "28",
            "28 00",
            "d8 05",
            "f8 8124 20 03",
            "0a",
            "0a 30 0140",
            "0a 08 01",
            "0a 08 01 08 01",
        ] {
            assert_eq!(Descriptor::parse(&hex(bytes)), Err(Error::Truncated), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn only_the_numbers_change(mut payload in prop::collection::vec(any::<u8>(), 0..40), picture in 0u16..0x8000, tl0 in any::<u8>()) {
            let Ok(before) = Descriptor::parse(&payload) else { return Ok(()) };
            before.renumber(&mut payload, picture, tl0);
            let after = Descriptor::parse(&payload).unwrap();
            let id = before.picture_id.map(|id| PictureId { value: if id.long { picture } else { picture & 0x7f }, ..id });
            prop_assert_eq!(after, Descriptor { picture_id: id, tl0_picture: before.tl0_picture.map(|_| tl0), ..before });
        }
    }
}
