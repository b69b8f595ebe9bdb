//! What a frame is among the layers of its sequence: all that choosing layers asks, in thirty bytes that fit into a cache.
//!
//! ```text
//!            T0  T1  T2  T3
//!      S0     0   1   2   3        a bit per layer: "up to here" is one decode target
//!      S1     4   5   6   7
//!      S2     8   9  10  11        the frame is a part of some, and a place to switch to some
//! ```
//!
//! It is read from the dependency descriptor, for any codec, or from VP9's payload descriptor where none comes.

use crate::packet::{Codec, Flags};
use lyceum_wire::dd::{self, Indication, Templates};
use lyceum_wire::link::Layer;
use lyceum_wire::vp9;

/// Spatial layers told apart; encoders of browsers make three.
pub const SPATIAL_MAX: u8 = 4;
/// Temporal layers told apart; encoders of browsers make three.
pub const TEMPORAL_MAX: u8 = 4;
/// Frames one frame refers to at most that are kept: encoders of browsers refer to two. With more it is no place to switch.
const REFERENCES_MAX: usize = 4;

/// A set of layers, each meaning itself and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Grid(u16);

impl Grid {
    /// One layer; nothing for one that is not told apart.
    #[inline]
    #[must_use]
    pub fn of(layer: Layer) -> Self {
        if layer.spatial >= SPATIAL_MAX || layer.temporal >= TEMPORAL_MAX {
            return Self::default();
        }
        Self(1 << (layer.spatial * TEMPORAL_MAX + layer.temporal))
    }

    /// All temporal layers of spatial ones up to here, temporal up to `layer.temporal`.
    #[inline]
    #[must_use]
    pub fn up_to(layer: Layer) -> Self {
        let columns = (1_u16 << (layer.temporal.min(TEMPORAL_MAX - 1) + 1)) - 1;
        (0..=layer.spatial.min(SPATIAL_MAX - 1)).fold(Self::default(), |all, row| Self(all.0 | columns << (4 * row)))
    }

    /// Whether the layer is one of them.
    #[inline]
    #[must_use]
    pub fn has(self, layer: Layer) -> bool {
        self.0 & Self::of(layer).0 != 0
    }

    /// Those that are in both.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either.
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The highest one: spatial before temporal.
    #[inline]
    #[must_use]
    pub fn best(self) -> Option<Layer> {
        let bit = u8::try_from(self.0.checked_ilog2()?).ok()?;
        Some(Layer { spatial: bit / TEMPORAL_MAX, temporal: bit % TEMPORAL_MAX })
    }

    /// The temporal layers of one spatial layer, a bit each.
    #[inline]
    #[must_use]
    pub fn row(self, spatial: u8) -> u8 {
        if spatial >= SPATIAL_MAX { 0 } else { (self.0 >> (spatial * TEMPORAL_MAX)) as u8 & 0x0f }
    }

    /// Only the lowest row: what a simulcast encoding has.
    fn lowest(self) -> Self {
        Self(self.0 & 0x0f)
    }
}

/// A frame among the layers of its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Frame {
    /// Number in coding order over all layers, wrapping, where frames are numbered.
    pub number: Option<u16>,
    /// Layers of which it is a part.
    pub part_of: Grid,
    /// Layers that can be decoded from here on by whoever can decode this frame.
    pub switch_to: Grid,
    /// Layers that the publisher produces at present.
    pub active: Grid,
    references: [u16; REFERENCES_MAX],
    /// How many; [`UNCOUNTED`]: more than are kept.
    references_count: u8,
    /// It refers to nothing: a key frame, of its lowest spatial layer.
    pub key: bool,
}

impl Frame {
    /// How far back the frames lie it refers to; `None`: it refers to more than are kept.
    #[inline]
    #[must_use]
    pub fn references(&self) -> Option<&[u16]> {
        self.references.get(..usize::from(self.references_count))
    }

    /// From a descriptor that was read with its structure. A simulcast encoding's layers are all in the lowest row.
    fn of(said: &dd::Frame, structure: &dd::Structure, simulcast: bool) -> Self {
        let mut frame = Self { number: Some(said.number), key: said.diffs.as_slice().is_empty(), ..Self::default() };
        for (at, target) in structure.targets.iter().enumerate() {
            let here = Grid::of(target.layer);
            if said.active & 1 << at != 0 {
                frame.active = frame.active.or(here);
            }
            match said.indications.of(at) {
                Indication::NotPresent => {}
                Indication::Switch => {
                    frame.part_of = frame.part_of.or(here);
                    frame.switch_to = frame.switch_to.or(here);
                }
                Indication::Discardable | Indication::Required => frame.part_of = frame.part_of.or(here),
            }
        }
        if simulcast {
            frame.active = frame.active.lowest();
            frame.part_of = frame.part_of.lowest();
            frame.switch_to = frame.switch_to.lowest();
        }
        let references = said.diffs.as_slice();
        match frame.references.get_mut(..references.len()) {
            Some(place) => {
                place.copy_from_slice(references);
                frame.references_count = references.len() as u8;
            }
            None => frame.references_count = UNCOUNTED,
        }
        frame
    }

    /// From VP9's payload descriptor, which does not number frames nor say what upper layers will refer to: a place to switch
    /// spatial layers is a key picture only.
    #[must_use]
    pub fn of_vp9(said: &vp9::Descriptor) -> Option<Self> {
        let layer = said.layer?;
        let columns_from = |temporal: u8| (0x0f_u16 << temporal) & 0x0f;
        let row = |spatial: u8, columns: u16| Grid(columns << (4 * spatial));
        if layer.spatial >= SPATIAL_MAX || layer.temporal >= TEMPORAL_MAX {
            return None;
        }
        let mut frame = Self { active: Grid(u16::MAX), key: said.key_frame(), ..Self::default() };
        let above = if said.not_for_upper { layer.spatial } else { SPATIAL_MAX - 1 };
        for spatial in layer.spatial..=above {
            frame.part_of = frame.part_of.or(row(spatial, columns_from(layer.temporal)));
        }
        if let Some(layers) = said.spatial_layers {
            let highest = Layer { spatial: layers.saturating_sub(1), temporal: TEMPORAL_MAX - 1 };
            frame.active = Grid::up_to(highest);
        }
        if !said.predicted && !said.inter_layer {
            frame.switch_to = frame.part_of;
        } else if said.step_up {
            frame.switch_to = row(layer.spatial, columns_from(layer.temporal));
        }
        Some(frame)
    }
}

/// What one packet's descriptor says, as far as it can be understood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The frame; none while its structure has not come.
    pub frame: Option<Frame>,
    /// Layer within its sequence; the lowest while unknown.
    pub layer: Layer,
    /// Start, end and discardable; whether it belongs to a key frame is the caller's to find.
    pub flags: Flags,
    /// A stream can begin here: first packet of a key frame, with its structure.
    pub begins: bool,
}

/// Reads a packet's descriptor with what its sequence's `templates` know. `None`: it cannot be one.
#[inline]
#[must_use]
pub fn read(templates: &mut Templates, descriptor: &[u8], simulcast: bool) -> Option<Reading> {
    let mandatory = dd::Mandatory::parse(descriptor).ok()?;
    let flags = Flags { start: mandatory.start, end: mandatory.end, ..Flags::default() };
    match templates.read(descriptor) {
        Ok(said) => {
            // A packet that brought an older structure late is read by the one it brought.
            let own = said.has_structure.then(|| alone(descriptor)).flatten();
            let structure = own.as_ref().and_then(Templates::structure).or(templates.structure())?;
            let frame = Frame::of(&said, structure, simulcast);
            let at = structure.targets.iter().position(|target| target.layer == said.layer);
            let discardable = at.is_some_and(|at| said.indications.of(at) == Indication::Discardable);
            Some(Reading {
                frame: Some(frame),
                layer: said.layer,
                flags: Flags { discardable, ..flags },
                begins: begins(descriptor, &frame),
            })
        }
        Err(dd::Error::UnknownTemplate) => Some(Reading { flags, ..Reading::default() }),
        Err(_) => None,
    }
}

/// What a packet without a descriptor says of its frame: only VP9's payload does.
#[inline]
#[must_use]
pub fn of_payload(codec: Codec, payload: &[u8]) -> Option<Frame> {
    if codec != Codec::Vp9 || payload.is_empty() {
        return None;
    }
    Frame::of_vp9(&vp9::Descriptor::parse(payload).ok()?)
}

/// Whether a stream can begin with a packet: the first of a key frame, with its structure.
#[inline]
#[must_use]
pub fn begins(descriptor: &[u8], frame: &Frame) -> bool {
    frame.key && dd::Mandatory::parse(descriptor).is_ok_and(|said| said.start && said.has_structure)
}

/// The structure that a packet carries.
#[must_use]
pub fn alone(descriptor: &[u8]) -> Option<Templates> {
    let mut templates = Templates::default();
    templates.read(descriptor).ok().map(|_| templates)
}

const UNCOUNTED: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(spatial: u8, temporal: u8) -> Layer {
        Layer { spatial, temporal }
    }

    #[test]
    fn grids_are_sets_of_layers() {
        let some = Grid::of(layer(0, 2)).or(Grid::of(layer(1, 1)));
        assert!(some.has(layer(1, 1)) && !some.has(layer(1, 2)) && !some.has(layer(4, 0)));
        assert_eq!(some.best(), Some(layer(1, 1)));
        assert_eq!(Grid::default().best(), None);
        assert_eq!((some.row(0), some.row(1), some.row(9)), (0b100, 0b010, 0));
        assert_eq!(
            Grid::up_to(layer(1, 1)),
            [(0, 0), (0, 1), (1, 0), (1, 1)]
                .iter()
                .fold(Grid::default(), |all, at| { all.or(Grid::of(layer(at.0, at.1))) })
        );
        assert_eq!(Grid::up_to(layer(7, 7)), Grid(u16::MAX));
        assert_eq!(some.and(Grid::up_to(layer(0, 7))).best(), Some(layer(0, 2)));
    }
}
