//! Which packets of its track a sink wants, and which layer it should show.
//!
//! Simulcast encodings are separate streams: another one begins with its key frame. Layers that refer to each other (SVC) share
//! one sequence. There a sink is *at* a layer, and goes to another at a frame that says so ([`Frame::switch_to`]) and that it
//! can decode, because everything the frame refers to was taken. What a frame is to the layer decides about its packets:
//!
//! ```text
//!   at S1 T2, wants S2        S0 S1 S2   S0 S1 S2 key
//!   full SVC                  ✓  ✓  ✗    ✓  ✓  ✓          up: at a key frame; down: at the next base frame
//!   k-SVC                     ✗  ✓  ✗    ✓  ✓  ✓          layers meet at key frames only, so both ways there
//! ```

use super::frames::{Fate, Frames};
use crate::drop::Drop;
use crate::frame::{Frame, Grid};
use crate::packet::Packet;
use crate::track::Meaning;
use lyceum_wire::link::{Layer, LayerInfo};

/// What a sink shows now and what it would like to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Select {
    /// Spatial layer wanted; none: paused.
    target: Option<u8>,
    /// Spatial layer shown; none: nothing yet.
    current: Option<u8>,
    /// Highest temporal layer wanted.
    temporal: u8,
    /// Highest temporal layer shown: steps up only where the codec allows.
    temporal_now: u8,
    /// The track's spatial layers share one sequence.
    shared: bool,
    /// Lower layers are taken with the one shown, between key frames too: it can go down without a key frame.
    nested: bool,
    /// What became of the last frames, where they are numbered.
    frames: Frames,
}

/// What a wanted packet is to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The next one of what it shows.
    Continue,
    /// The first one of something else: a segment begins.
    Begin,
}

impl Select {
    /// Shows nothing and wants nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { temporal: TEMPORAL_ALL, temporal_now: TEMPORAL_ALL, ..Self::default() }
    }

    /// The track's spatial layers share one sequence, or each has its own.
    pub fn share(&mut self, shared: bool) {
        self.shared = shared;
    }

    /// Whether they share one.
    #[must_use]
    pub fn shares(&self) -> bool {
        self.shared
    }

    /// Wants this spatial layer as soon as it can be shown; none: pause.
    pub fn aim(&mut self, target: Option<u8>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// Wants temporal layers up to this one.
    pub fn aim_temporal(&mut self, temporal: u8) {
        self.temporal = temporal;
        self.temporal_now = self.temporal_now.min(temporal);
    }

    /// Begins anew: the next packet must be one that a stream can begin with.
    pub fn restart(&mut self) {
        self.current = None;
    }

    /// What it wants.
    #[must_use]
    pub fn target(&self) -> Option<u8> {
        self.target
    }

    /// What it shows.
    #[must_use]
    pub fn current(&self) -> Option<u8> {
        self.current
    }

    /// The layer it shows up to, where layers share a sequence or frames say what they are.
    #[must_use]
    pub fn at(&self) -> Option<Layer> {
        self.current.map(|spatial| Layer { spatial, temporal: self.temporal_now })
    }

    /// Whether a packet ends a picture for this sink: the last one of its highest frame.
    #[inline]
    #[must_use]
    pub fn ends_picture(&self, packet: &Packet<'_>) -> bool {
        self.shared && packet.flags.end && self.current == Some(packet.layer.spatial)
    }

    /// Whether a key frame of the target is needed.
    #[must_use]
    pub fn awaits(&self) -> Option<u8> {
        let goes_down = self.shared && self.nested && self.target < self.current;
        self.target.filter(|_| self.current != self.target && !goes_down)
    }

    /// Spatial layers of interest, a bit each.
    #[must_use]
    pub fn mask(&self) -> u8 {
        let bit = |layer: Option<u8>| layer.map_or(0, |layer| 1u8 << (layer & 7));
        match (self.shared, self.target) {
            // What is left out must close up: it sees everything that passes.
            (true, Some(_)) => u8::MAX,
            _ => bit(self.target) | bit(self.current),
        }
    }

    /// Spatial layers that it could not do without, a bit each.
    #[must_use]
    pub fn needs(&self) -> u8 {
        let up_to = |layer: Option<u8>| layer.map_or(0, |layer| u8::MAX >> (7 - (layer & 7)));
        if self.shared { up_to(self.target) | up_to(self.current) } else { self.mask() }
    }

    /// Whether the sink wants this packet.
    #[inline]
    pub fn wants(&self, packet: &Packet<'_>, meaning: &Meaning) -> Result<Step, Drop> {
        let Some(target) = self.target else { return Err(Drop::Paused) };
        let spatial = packet.layer.spatial;
        if !self.shared {
            if spatial == target && Some(spatial) != self.current {
                return if meaning.begins { Ok(Step::Begin) } else { Err(Drop::AwaitingKeyframe) };
            }
            if Some(spatial) != self.current {
                return Err(Drop::OtherLayer);
            }
        } else if self.current.is_none() {
            // A key frame of another layer than the one it would be at is of no use where layers are independent.
            let useful = packet.frame.is_some_and(|frame| self.goal(&frame).is_some_and(|at| frame.switch_to.has(at)));
            return if meaning.begins && useful { Ok(Step::Begin) } else { Err(Drop::AwaitingKeyframe) };
        }
        if packet.payload.is_empty() {
            return Ok(Step::Continue);
        }
        match &packet.frame {
            Some(frame) => self.wants_frame(packet, frame),
            // Its place in the sequence stays open for when it can be read.
            None if !packet.descriptor.is_empty() => Err(Drop::UnknownTemplate),
            None if packet.layer.temporal > self.temporal_now && !self.may_step_up(packet, meaning) => {
                Err(Drop::AboveTemporal)
            }
            None => Ok(Step::Continue),
        }
    }

    /// The packet was taken.
    #[inline]
    pub fn taken(&mut self, packet: &Packet<'_>, step: Step) {
        if step == Step::Begin {
            self.current = Some(packet.layer.spatial);
            self.temporal_now = self.temporal;
            self.frames.clear();
            self.nested = false;
        }
        match &packet.frame {
            Some(frame) => {
                if self.fate(frame) == Fate::Unknown {
                    self.go(packet, frame, step);
                    self.decide(frame, true);
                }
                self.nested |= !packet.flags.keyframe && Some(packet.layer.spatial) < self.current;
            }
            None if packet.layer.temporal > self.temporal_now => self.temporal_now = packet.layer.temporal,
            None => {}
        }
    }

    /// Whether what follows closes up over a packet that was refused for this reason.
    #[inline]
    #[must_use]
    pub fn closes_over(&self, reason: Drop) -> bool {
        match reason {
            Drop::AboveTemporal | Drop::NotNeeded => true,
            Drop::AwaitingKeyframe => self.shared && self.current.is_some(),
            _ => false,
        }
    }

    /// The packet was left out.
    #[inline]
    pub fn left(&mut self, packet: &Packet<'_>) {
        if let Some(frame) = &packet.frame
            && self.fate(frame) == Fate::Unknown
        {
            self.decide(frame, false);
            let base = packet.layer.temporal == 0 && !packet.flags.keyframe;
            self.nested &= !base || Some(packet.layer.spatial) >= self.current;
        }
    }

    /// By what the frame is to the layer the sink is at, or goes to with it. All packets of a frame have one fate.
    #[inline]
    fn wants_frame(&self, packet: &Packet<'_>, frame: &Frame) -> Result<Step, Drop> {
        match self.fate(frame) {
            Fate::Taken => return Ok(Step::Continue),
            Fate::Left => return Err(self.reason(packet)),
            Fate::Unknown => {}
        }
        let at = self.switch(packet, frame).or_else(|| self.at_of(frame));
        if at.is_some_and(|at| frame.part_of.has(at)) { Ok(Step::Continue) } else { Err(self.reason(packet)) }
    }

    fn reason(&self, packet: &Packet<'_>) -> Drop {
        match Some(packet.layer.spatial) {
            spatial if spatial == self.current => Drop::AboveTemporal,
            spatial if self.awaits().is_some() && spatial == self.target => Drop::AwaitingKeyframe,
            _ => Drop::NotNeeded,
        }
    }

    /// Goes to another layer with this frame, if it is the place.
    fn go(&mut self, packet: &Packet<'_>, frame: &Frame, step: Step) {
        let to = if step == Step::Begin { self.goal(frame) } else { self.switch(packet, frame) };
        if let Some(to) = to {
            if self.shared {
                self.current = Some(to.spatial);
            }
            // "All of them" stays so when an encoder makes more of them later.
            let all = self.temporal >= TEMPORAL_ALL && frame.active.row(self.row(to.spatial)) >> to.temporal == 1;
            self.temporal_now = if all { TEMPORAL_ALL } else { to.temporal };
        }
    }

    /// The layer to go to with this frame, when it is a better one than the sink is at.
    fn switch(&self, packet: &Packet<'_>, frame: &Frame) -> Option<Layer> {
        let goal = self.goal(frame)?;
        let here = self.at_of(frame);
        let columns = frame.switch_to.and(frame.active).and(Grid::up_to(goal)).row(goal.spatial);
        let to = Layer { spatial: goal.spatial, temporal: u8::try_from(columns.checked_ilog2()?).ok()? };
        let changes = here.is_none_or(|here| here.spatial != to.spatial || here.temporal < to.temporal);
        // A late frame is no place to switch: what came after it was judged from where the sink was.
        let ahead = frame.number.is_none_or(|number| self.frames.is_ahead(number));
        (changes && ahead && self.can_decode(packet, frame)).then_some(to)
    }

    /// Where the sink would like to be among the layers there are: as high as wanted, spatial first.
    fn goal(&self, frame: &Frame) -> Option<Layer> {
        let spatial = self.row(self.target?);
        frame.active.and(Grid::up_to(Layer { spatial, temporal: self.temporal })).best()
    }

    /// Where it is, among the layers there are.
    fn at_of(&self, frame: &Frame) -> Option<Layer> {
        let spatial = self.row(self.current?);
        let up_to = Grid::up_to(Layer { spatial, temporal: self.temporal_now });
        let columns = frame.active.and(up_to).row(spatial);
        match columns.checked_ilog2() {
            Some(temporal) => Some(Layer { spatial, temporal: u8::try_from(temporal).ok()? }),
            // The publisher makes this layer no more: the next lower one goes on as far as it was taken with it.
            None => frame.active.and(up_to).best(),
        }
    }

    /// A simulcast encoding's layers are all in the lowest row.
    fn row(&self, spatial: u8) -> u8 {
        if self.shared { spatial } else { 0 }
    }

    fn fate(&self, frame: &Frame) -> Fate {
        frame.number.map_or(Fate::Unknown, |number| self.frames.fate(number))
    }

    fn decide(&mut self, frame: &Frame, taken: bool) {
        if let Some(number) = frame.number {
            self.frames.decide(number, taken);
        }
    }

    /// Everything the frame refers to was taken. Where frames have no numbers: it is of the layer shown.
    fn can_decode(&self, packet: &Packet<'_>, frame: &Frame) -> bool {
        let Some(number) = frame.number else { return frame.key || self.current == Some(packet.layer.spatial) };
        let taken = |back: &u16| self.frames.fate(number.wrapping_sub(*back)) == Fate::Taken;
        frame.references().is_some_and(|references| references.iter().all(taken))
    }

    /// A picture that refers to nothing above the base is a place to step up.
    fn may_step_up(&self, packet: &Packet<'_>, meaning: &Meaning) -> bool {
        packet.layer.temporal <= self.temporal && meaning.steps_up()
    }
}

/// All temporal layers: codecs have at most eight.
pub const TEMPORAL_ALL: u8 = 7;

/// Size of a tile, in device pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileSize {
    /// Pixels; 0: not shown.
    pub width: u16,
    /// Pixels; 0: not shown.
    pub height: u16,
}

/// The one place where a layer is chosen: the smallest that fills the tile without being stretched by more than a quarter,
/// else the largest there is. `usable` says which layers may be chosen at all (they flow, or might when asked for); when
/// none is, all are. None: the tile is not shown.
#[must_use]
pub fn choose(tile: TileSize, layers: &[LayerInfo], usable: impl Fn(u8) -> bool) -> Option<u8> {
    if tile.width == 0 || tile.height == 0 || layers.is_empty() {
        return None;
    }
    let any = (0..layers.len()).any(|layer| usable(layer as u8));
    let mut best = None;
    for layer in (0..layers.len()).filter(|layer| !any || usable(*layer as u8)) {
        best = Some(layer as u8);
        let (width, height) = size_of_layer(layers, layer);
        // The picture is shown whole: the tighter side decides how far it is stretched.
        let across = u32::from(tile.width) * STRETCH.1 <= u32::from(width) * STRETCH.0;
        let down = u32::from(tile.height) * STRETCH.1 <= u32::from(height) * STRETCH.0;
        if across || down {
            break;
        }
    }
    best
}

/// The layer's size, or a guess: each layer is half as wide as the next, the largest is HD.
pub(crate) fn size_of_layer(layers: &[LayerInfo], layer: usize) -> (u16, u16) {
    let known = |info: &LayerInfo| info.width != 0 && info.height != 0;
    if known(&layers[layer]) {
        return (layers[layer].width, layers[layer].height);
    }
    let scale = |value: u16, up: i32| {
        let value = u32::from(value);
        let scaled = if up >= 0 { value << up.min(8) } else { value >> (-up).min(8) };
        scaled.clamp(1, u32::from(u16::MAX)) as u16
    };
    match layers.iter().position(known) {
        Some(at) => {
            let up = layer as i32 - at as i32;
            (scale(layers[at].width, up), scale(layers[at].height, up))
        }
        None => {
            let up = layer as i32 - (layers.len() as i32 - 1);
            (scale(1_280, up), scale(720, up))
        }
    }
}

/// A picture may be stretched by 5/4 before the next layer is worth its bits.
const STRETCH: (u32, u32) = (5, 4);

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(sizes: &[(u16, u16)]) -> Vec<LayerInfo> {
        sizes
            .iter()
            .map(|(width, height)| LayerInfo { width: *width, height: *height, bitrate_bps: 0, ..LayerInfo::default() })
            .collect()
    }

    #[test]
    fn the_smallest_layer_that_fills_the_tile() {
        let three = layers(&[(320, 180), (640, 360), (1_280, 720)]);
        let unknown = layers(&[(0, 0), (0, 0), (0, 0)]);
        let half_known = layers(&[(0, 0), (320, 240), (0, 0)]);
        let portrait = layers(&[(180, 320), (360, 640)]);
        let all = |_| true;
        for (tile, set, chosen) in [
            ((0, 100), &three, None),
            ((160, 90), &three, Some(0)),
            ((320, 180), &three, Some(0)),
            ((400, 225), &three, Some(0)),
            ((401, 226), &three, Some(1)),
            ((640, 360), &three, Some(1)),
            ((1_920, 1_080), &three, Some(2)),
            // A square tile shows the whole wide picture: width decides.
            ((640, 640), &three, Some(1)),
            ((160, 90), &unknown, Some(0)),
            ((1_280, 720), &unknown, Some(2)),
            ((160, 120), &half_known, Some(0)),
            ((640, 480), &half_known, Some(2)),
            ((320, 320), &portrait, Some(0)),
            ((640, 640), &portrait, Some(1)),
        ] {
            let tile = TileSize { width: tile.0, height: tile.1 };
            assert_eq!(choose(tile, set, all), chosen, "{tile:?} of {set:?}");
        }
        assert_eq!(choose(TileSize { width: 9, height: 9 }, &[], all), None);
    }

    #[test]
    fn a_layer_that_does_not_flow_is_not_chosen_unless_none_does() {
        let three = layers(&[(320, 180), (640, 360), (1_280, 720)]);
        let tile = TileSize { width: 1_280, height: 720 };
        assert_eq!(choose(tile, &three, |layer| layer < 2), Some(1));
        assert_eq!(choose(tile, &three, |layer| layer == 0), Some(0));
        assert_eq!(choose(TileSize { width: 100, height: 100 }, &three, |layer| layer > 0), Some(1));
        assert_eq!(choose(tile, &three, |_| false), Some(2));
    }
}
