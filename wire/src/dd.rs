//! The dependency descriptor (AV1 RTP specification, appendix A): what each frame is in its stream, in a header extension,
//! for any codec. Whoever forwards chooses layers by it and does not look at the payload.
//!
//! ```text
//!  |S|E| template  |          frame number         |     always: start and end of frame
//!  |T|A|D|F|C| template structure … (if T)               in more than 3 bytes
//!  | active decode targets (if A) | custom indications (D), frame differences (F), chains (C) |
//! ```
//!
//! A *decode target* is a set of frames that can be decoded by itself, in practice one per (spatial, temporal) layer. A frame
//! says for each target whether it is needed ([`Indication`]) and, by differences of frame numbers, which frames it refers to.
//! Most of that is said once, by *templates* that come with a key frame in a [`Structure`]; a packet then names its template.
//! [`Templates`] keeps the structure of one stream and turns its packets' descriptors into [`Frame`]s.

mod bits;

use crate::link::Layer;
use crate::vp8::Size;
use bits::{Bits, BitsOut};

pub use crate::cursor::Full;

/// Decode targets of a stream at most: what five bits can count.
pub const TARGETS_MAX: usize = 32;
/// Templates of a stream at most: what six bits can name.
pub const TEMPLATES_MAX: usize = 64;
/// Frames that one frame refers to at most: a decoder of AV1 or VP9 has eight places for references.
pub const DIFFS_MAX: usize = 8;
/// Bytes of the largest descriptor an element of a header extension can hold.
pub const BYTES_MAX: usize = 255;
/// Bytes that every descriptor has.
const MANDATORY_BYTES: usize = 3;

/// Why bytes are not a descriptor that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Error {
    /// It ends too early.
    #[error("the descriptor ends inside a field")]
    Truncated,
    /// It names a template of a structure that has not come (yet): its packet was lost or is on its way.
    #[error("the template is not known")]
    UnknownTemplate,
    /// A structure with more layers, templates or references than there can be.
    #[error("the structure cannot be")]
    Structure,
}

/// What a frame is to a decode target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Indication {
    /// No part of it.
    NotPresent,
    /// A part that no later frame of the target refers to.
    Discardable,
    /// Who can decode this frame can decode the target from here on.
    Switch,
    /// A part that later frames refer to.
    Required,
}

/// What a frame is to each decode target, two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    /// What it is to one target; beyond the last one: no part of it.
    #[inline]
    #[must_use]
    pub fn of(self, target: usize) -> Indication {
        let shift = u32::try_from(target).ok().and_then(|target| target.checked_mul(2));
        match shift.and_then(|shift| self.0.checked_shr(shift)).unwrap_or(0) & 3 {
            0 => Indication::NotPresent,
            1 => Indication::Discardable,
            2 => Indication::Switch,
            _ => Indication::Required,
        }
    }

    /// In the order of the targets.
    #[must_use]
    pub fn new(each: &[Indication]) -> Self {
        let mut all = Self::default();
        for (target, indication) in each.iter().enumerate().take(TARGETS_MAX) {
            all.set(target, *indication as u32);
        }
        all
    }

    fn set(&mut self, target: usize, value: u32) {
        let shift = u32::try_from(target).unwrap_or(u32::MAX).saturating_mul(2);
        self.0 |= u64::from(value & 3).checked_shl(shift).unwrap_or(0);
    }
}

/// How far back the frames lie that a frame refers to, in frame numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Diffs {
    values: [u16; DIFFS_MAX],
    count: u8,
}

impl Diffs {
    /// From 1 to 4,096 each, at most [`DIFFS_MAX`]; what is more is left out.
    #[must_use]
    pub fn new(diffs: &[u16]) -> Self {
        let mut all = Self::default();
        for diff in diffs {
            all.push(*diff);
        }
        all
    }

    /// All of them.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        self.values.get(..usize::from(self.count)).unwrap_or(&[])
    }

    fn push(&mut self, diff: u16) -> bool {
        let Some(place) = self.values.get_mut(usize::from(self.count)) else { return false };
        *place = diff;
        self.count = self.count.saturating_add(1);
        true
    }
}

/// How far back each chain's last frame lies, in frame numbers; 0: the chain begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chains {
    values: [u8; TARGETS_MAX],
    count: u8,
}

impl Chains {
    /// One per chain, at most [`TARGETS_MAX`]; what is more is left out.
    #[must_use]
    pub fn new(diffs: &[u8]) -> Self {
        let mut all = Self::default();
        for diff in diffs {
            all.push(*diff);
        }
        all
    }

    /// All of them.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.values.get(..usize::from(self.count)).unwrap_or(&[])
    }

    fn push(&mut self, diff: u8) {
        if let Some(place) = self.values.get_mut(usize::from(self.count)) {
            *place = diff;
            self.count = self.count.saturating_add(1);
        }
    }
}

/// What many frames have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Template {
    /// Their layer.
    pub layer: Layer,
    /// What they are to each target.
    pub indications: Indications,
    /// Which frames they refer to.
    pub diffs: Diffs,
    /// Where the last frames of the chains are, at most 15 back.
    pub chains: Chains,
}

/// A set of frames that can be decoded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// The highest layer among its frames.
    pub layer: Layer,
    /// The chain that protects it: who has all its frames can decode the target. None in a structure without chains.
    pub chain: Option<u8>,
}

/// The layers of a stream from a key frame on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Structure {
    /// Id of the first template, modulo 64.
    pub id_offset: u8,
    /// At least one, layers rising: same, next temporal, or the base of the next spatial one.
    pub templates: Vec<Template>,
    /// At least one.
    pub targets: Vec<Target>,
    /// How many chains there are.
    pub chains: u8,
    /// Largest picture of each spatial layer, if told.
    pub sizes: Vec<Size>,
}

impl Structure {
    /// The template of this id.
    #[inline]
    #[must_use]
    pub fn template(&self, id: u8) -> Option<&Template> {
        self.templates.get(usize::from(id.wrapping_sub(self.id_offset) & 63))
    }

    /// How many spatial layers there are.
    #[must_use]
    pub fn spatial_layers(&self) -> u8 {
        self.templates.iter().map(|template| template.layer.spatial).max().unwrap_or(0).saturating_add(1)
    }

    /// How many targets there are, and thus bits in a mask of them.
    #[must_use]
    pub fn target_count(&self) -> u8 {
        u8::try_from(self.targets.len()).unwrap_or(0)
    }

    /// A mask of all targets.
    #[must_use]
    pub fn all_targets(&self) -> u32 {
        u32::try_from(1_u64.checked_shl(u32::from(self.target_count())).unwrap_or(0).saturating_sub(1)).unwrap_or(0)
    }

    fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let id_offset = narrow(bits.take(6))?;
        let targets = usize::from(narrow::<u8>(bits.take(5))?).saturating_add(1);
        let mut templates = read_layers(bits)?;
        for template in &mut templates {
            for target in 0..targets {
                template.indications.set(target, bits.take(2).ok_or(Error::Truncated)?);
            }
        }
        for template in &mut templates {
            while bits.flag().ok_or(Error::Truncated)? {
                let diff = narrow::<u16>(bits.take(4))?.saturating_add(1);
                if !template.diffs.push(diff) {
                    return Err(Error::Structure);
                }
            }
        }
        let below = u32::try_from(targets).unwrap_or(0).saturating_add(1);
        let chains: u8 = narrow(bits.below(below))?;
        let mut protected = vec![None; targets];
        if chains > 0 {
            for chain in &mut protected {
                *chain = Some(narrow(bits.below(u32::from(chains)))?);
            }
            for template in &mut templates {
                for _ in 0..chains {
                    template.chains.push(narrow(bits.take(4))?);
                }
            }
        }
        let highest = |target: usize| {
            let parts = templates.iter().filter(|t| t.indications.of(target) != Indication::NotPresent);
            parts.fold(Layer::default(), |layer, part| Layer {
                spatial: layer.spatial.max(part.layer.spatial),
                temporal: layer.temporal.max(part.layer.temporal),
            })
        };
        let targets = protected.into_iter().enumerate().map(|(n, chain)| Target { layer: highest(n), chain }).collect();
        let mut structure = Self { id_offset, templates, targets, chains, sizes: Vec::new() };
        if bits.flag().ok_or(Error::Truncated)? {
            for _ in 0..structure.spatial_layers() {
                let mut side = || Ok(narrow::<u16>(bits.take(16))?.saturating_add(1));
                structure.sizes.push(Size { width: side()?, height: side()? });
            }
        }
        Ok(structure)
    }

    fn write(&self, bits: &mut BitsOut<'_>) -> Result<(), Full> {
        let count = u32::from(self.target_count());
        bits.put(u32::from(self.id_offset), 6)?;
        bits.put(count.saturating_sub(1), 5)?;
        let nexts = self.templates.iter().skip(1).map(Some).chain([None]);
        for (template, next) in self.templates.iter().zip(nexts) {
            bits.put(
                match next {
                    None => LAYER_LAST,
                    Some(next) if next.layer.spatial > template.layer.spatial => LAYER_NEXT_SPATIAL,
                    Some(next) if next.layer.temporal > template.layer.temporal => LAYER_NEXT_TEMPORAL,
                    Some(_) => LAYER_SAME,
                },
                2,
            )?;
        }
        for template in &self.templates {
            put_indications(bits, template.indications, self.targets.len())?;
        }
        for template in &self.templates {
            for diff in template.diffs.as_slice() {
                bits.flag(true)?;
                bits.put(u32::from(diff.saturating_sub(1)), 4)?;
            }
            bits.flag(false)?;
        }
        bits.below(u32::from(self.chains), count.saturating_add(1))?;
        if self.chains > 0 {
            for target in &self.targets {
                bits.below(u32::from(target.chain.unwrap_or(0)), u32::from(self.chains))?;
            }
            for template in &self.templates {
                for chain in template.chains.as_slice() {
                    bits.put(u32::from(*chain), 4)?;
                }
            }
        }
        bits.flag(!self.sizes.is_empty())?;
        for size in &self.sizes {
            bits.put(u32::from(size.width.saturating_sub(1)), 16)?;
            bits.put(u32::from(size.height.saturating_sub(1)), 16)?;
        }
        Ok(())
    }
}

/// The layers of the templates: each says by two bits what the next one is.
fn read_layers(bits: &mut Bits<'_>) -> Result<Vec<Template>, Error> {
    let (mut templates, mut layer) = (Vec::new(), Layer::default());
    loop {
        if templates.len() == TEMPLATES_MAX {
            return Err(Error::Structure);
        }
        templates.push(Template { layer, ..Template::default() });
        match bits.take(2).ok_or(Error::Truncated)? {
            LAYER_SAME => {}
            LAYER_NEXT_TEMPORAL => layer.temporal = layer.temporal.saturating_add(1),
            LAYER_NEXT_SPATIAL => layer = Layer { spatial: layer.spatial.saturating_add(1), temporal: 0 },
            _ => return Ok(templates),
        }
        if layer.spatial >= LAYERS_MAX || layer.temporal >= LAYERS_MAX {
            return Err(Error::Structure);
        }
    }
}

/// The part of a descriptor that can be read without knowing anything of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mandatory {
    /// First packet of its frame.
    pub start: bool,
    /// Last packet of its frame.
    pub end: bool,
    /// Id of its template.
    pub template: u8,
    /// Number of its frame in coding order, over all layers.
    pub number: u16,
    /// A structure follows.
    pub has_structure: bool,
}

impl Mandatory {
    /// Reads the front of a descriptor.
    ///
    /// # Errors
    /// [`Error::Truncated`].
    #[inline]
    pub fn parse(descriptor: &[u8]) -> Result<Self, Error> {
        let (&[first, high, low], rest) = descriptor.split_first_chunk().ok_or(Error::Truncated)?;
        Ok(Self {
            start: first & 0x80 != 0,
            end: first & 0x40 != 0,
            template: first & 0x3f,
            number: u16::from_be_bytes([high, low]),
            has_structure: rest.first().is_some_and(|flags| flags & 0x80 != 0),
        })
    }
}

/// What one packet's descriptor says of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Number in coding order, over all layers.
    pub number: u16,
    /// Its layer.
    pub layer: Layer,
    /// What it is to each target.
    pub indications: Indications,
    /// Which frames it refers to; none: it can be decoded by itself.
    pub diffs: Diffs,
    /// Where the last frames of the chains are.
    pub chains: Chains,
    /// Targets that the publisher produces at present, a bit each.
    pub active: u32,
    /// The packet carries a structure.
    pub has_structure: bool,
    /// Size of the picture, where the structure says so.
    pub size: Option<Size>,
}

/// The structure of one stream, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    structure: Option<Box<Structure>>,
    /// Frame that brought it.
    since: u16,
    active: u32,
    /// Frame that said which targets are active.
    active_since: u16,
}

impl Templates {
    /// What is known.
    #[must_use]
    pub fn structure(&self) -> Option<&Structure> {
        self.structure.as_deref()
    }

    /// Reads the descriptor of one packet, in whatever order they come; keeps a structure that it carries.
    ///
    /// # Errors
    /// See [`Error`]. [`Error::UnknownTemplate`] may be no fault of anybody: the packet with the structure is still to come.
    pub fn read(&mut self, descriptor: &[u8]) -> Result<Frame, Error> {
        let mandatory = Mandatory::parse(descriptor)?;
        let number = mandatory.number;
        let mut bits = Bits::new(descriptor);
        bits.take(24).ok_or(Error::Truncated)?;
        let flags = if descriptor.len() > MANDATORY_BYTES { Flags::read(&mut bits)? } else { Flags::default() };
        let brought = if flags.structure { Some(Box::new(Structure::read(&mut bits)?)) } else { None };
        let mut active = brought.as_ref().map(|structure| structure.all_targets());
        // A late packet of an older key frame is read by what it brings, and changes nothing.
        let newer = |since: u16| self.structure.is_none() || number.wrapping_sub(since) < 1 << 15;
        let keeps = brought.is_some() && newer(self.since);
        let structure = brought.as_deref().or(self.structure.as_deref()).ok_or(Error::UnknownTemplate)?;
        if flags.active {
            active = Some(bits.take(u32::from(structure.target_count())).ok_or(Error::Truncated)?);
        }
        let template = *structure.template(mandatory.template).ok_or(Error::UnknownTemplate)?;
        let mut frame = Frame {
            start: mandatory.start,
            end: mandatory.end,
            number,
            layer: template.layer,
            indications: template.indications,
            diffs: template.diffs,
            chains: template.chains,
            active: active.unwrap_or(self.active),
            has_structure: flags.structure,
            size: structure.sizes.get(usize::from(template.layer.spatial)).copied(),
        };
        if flags.indications {
            frame.indications = Indications::default();
            for target in 0..structure.targets.len() {
                frame.indications.set(target, bits.take(2).ok_or(Error::Truncated)?);
            }
        }
        if flags.diffs {
            frame.diffs = read_diffs(&mut bits)?;
        }
        if flags.chains {
            frame.chains = Chains::default();
            for _ in 0..structure.chains {
                frame.chains.push(narrow(bits.take(8))?);
            }
        }
        if let Some(active) = active
            && (keeps || newer(self.active_since))
        {
            (self.active, self.active_since) = (active, number);
        }
        if keeps {
            (self.structure, self.since) = (brought, number);
        }
        Ok(frame)
    }
}

fn read_diffs(bits: &mut Bits<'_>) -> Result<Diffs, Error> {
    let mut diffs = Diffs::default();
    loop {
        let size = bits.take(2).ok_or(Error::Truncated)?;
        if size == 0 {
            return Ok(diffs);
        }
        let diff = narrow::<u16>(bits.take(size.saturating_mul(4)))?.saturating_add(1);
        if !diffs.push(diff) {
            return Err(Error::Structure);
        }
    }
}

/// The five flags of a descriptor of more than three bytes.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    structure: bool,
    active: bool,
    indications: bool,
    diffs: bool,
    chains: bool,
}

impl Flags {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let mut flag = || bits.flag().ok_or(Error::Truncated);
        Ok(Self { structure: flag()?, active: flag()?, indications: flag()?, diffs: flag()?, chains: flag()? })
    }

    fn write(self, bits: &mut BitsOut<'_>) -> Result<(), Full> {
        [self.structure, self.active, self.indications, self.diffs, self.chains]
            .into_iter()
            .try_for_each(|f| bits.flag(f))
    }
}

/// The values of a descriptor that is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// First packet of the frame.
    pub start: bool,
    /// Last packet of the frame.
    pub end: bool,
    /// Id of its template.
    pub template: u8,
    /// Number of the frame.
    pub number: u16,
    /// The stream's structure: it says how long a mask and what follows it are.
    pub structure: &'a Structure,
    /// The structure goes with it: first packet of a key frame.
    pub attach: bool,
    /// Active targets, where they change.
    pub active: Option<u32>,
    /// In place of the template's.
    pub indications: Option<Indications>,
    /// In place of the template's.
    pub diffs: Option<Diffs>,
    /// In place of the template's.
    pub chains: Option<Chains>,
}

impl Fields<'_> {
    /// Writes the descriptor and returns its length.
    ///
    /// # Errors
    /// [`Full`].
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Full> {
        let mut bits = BitsOut::new(out);
        bits.flag(self.start)?;
        bits.flag(self.end)?;
        bits.put(u32::from(self.template), 6)?;
        bits.put(u32::from(self.number), 16)?;
        let flags = Flags {
            structure: self.attach,
            active: self.active.is_some(),
            indications: self.indications.is_some(),
            diffs: self.diffs.is_some(),
            chains: self.chains.is_some(),
        };
        if !(flags.structure || flags.active || flags.indications || flags.diffs || flags.chains) {
            return Ok(bits.bytes());
        }
        flags.write(&mut bits)?;
        if self.attach {
            self.structure.write(&mut bits)?;
        }
        if let Some(active) = self.active {
            bits.put(active, u32::from(self.structure.target_count()))?;
        }
        if let Some(indications) = self.indications {
            put_indications(&mut bits, indications, self.structure.targets.len())?;
        }
        if let Some(diffs) = self.diffs {
            for diff in diffs.as_slice() {
                let value = u32::from(diff.saturating_sub(1));
                let size = 32_u32.saturating_sub(value.leading_zeros()).div_ceil(4).clamp(1, 3);
                bits.put(size, 2)?;
                bits.put(value, size.saturating_mul(4))?;
            }
            bits.put(0, 2)?;
        }
        if let Some(chains) = self.chains {
            for chain in chains.as_slice() {
                bits.put(u32::from(*chain), 8)?;
            }
        }
        Ok(bits.bytes())
    }
}

fn put_indications(bits: &mut BitsOut<'_>, indications: Indications, targets: usize) -> Result<(), Full> {
    (0..targets).try_for_each(|target| bits.put(indications.of(target) as u32, 2))
}

/// Which targets a copy of a descriptor shall call active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// A bit each.
    pub mask: u32,
    /// How many targets the stream has.
    pub targets: u8,
}

/// Writes a descriptor again with another frame number, and with other active targets if `active` says so. Returns its length.
///
/// # Errors
/// [`Error::Truncated`] also when `out` is too small, [`Error::Structure`]; nothing useful was written then.
pub fn rewrite(descriptor: &[u8], number: u16, active: Option<Active>, out: &mut [u8]) -> Result<usize, Error> {
    let mut from = Bits::new(descriptor);
    let first = from.take(8).ok_or(Error::Truncated)?;
    from.take(16).ok_or(Error::Truncated)?;
    let Some(active) = active else {
        let place = out.get_mut(..descriptor.len()).ok_or(Error::Truncated)?;
        place.copy_from_slice(descriptor);
        if let [_, high, low, ..] = place {
            [*high, *low] = number.to_be_bytes();
        }
        return Ok(descriptor.len());
    };
    let flags = if descriptor.len() > MANDATORY_BYTES { Flags::read(&mut from)? } else { Flags::default() };
    let mut structure = from.clone();
    let before = from.at();
    let count = if flags.structure { Structure::read(&mut from)?.target_count() } else { active.targets };
    let structure_bits = from.at().saturating_sub(before);
    if flags.active {
        from.take(u32::from(count)).ok_or(Error::Truncated)?;
    }
    let mut bits = BitsOut::new(out);
    let mut copy = || -> Result<(), Full> {
        bits.put(first, 8)?;
        bits.put(u32::from(number), 16)?;
        Flags { active: true, ..flags }.write(&mut bits)?;
        bits.copy(&mut structure, structure_bits)?;
        bits.put(active.mask, u32::from(count))?;
        let left = from.left();
        bits.copy(&mut from, left)
    };
    copy().map_err(|Full| Error::Truncated)?;
    Ok(bits.bytes())
}

fn narrow<T: TryFrom<u32>>(value: Option<u32>) -> Result<T, Error> {
    T::try_from(value.ok_or(Error::Truncated)?).map_err(|_| Error::Structure)
}

const LAYER_SAME: u32 = 0;
const LAYER_NEXT_TEMPORAL: u32 = 1;
const LAYER_NEXT_SPATIAL: u32 = 2;
const LAYER_LAST: u32 = 3;
/// Spatial or temporal layers at most: three bits name them everywhere else.
const LAYERS_MAX: u8 = 8;

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
