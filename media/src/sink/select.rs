//! Which packets of its track a sink wants, and which layer it should show.

use crate::drop::Drop;
use crate::packet::Packet;
use crate::track::Meaning;
use lyceum_wire::link::LayerInfo;

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

    /// Wants this spatial layer from its next key frame on; none: pause.
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

    /// Whether a key frame of the target is needed.
    #[must_use]
    pub fn awaits(&self) -> Option<u8> {
        self.target.filter(|_| self.current != self.target)
    }

    /// Spatial layers of interest, a bit each.
    #[must_use]
    pub fn mask(&self) -> u8 {
        let bit = |layer: Option<u8>| layer.map_or(0, |layer| 1u8 << (layer & 7));
        bit(self.target) | bit(self.current)
    }

    /// Whether it wants the packet.
    #[inline]
    pub fn wants(&self, packet: &Packet<'_>, meaning: &Meaning) -> Result<Step, Drop> {
        let Some(target) = self.target else { return Err(Drop::Paused) };
        let spatial = packet.layer.spatial;
        if spatial == target && Some(spatial) != self.current {
            return if meaning.begins { Ok(Step::Begin) } else { Err(Drop::AwaitingKeyframe) };
        }
        if Some(spatial) != self.current {
            return Err(Drop::OtherLayer);
        }
        if packet.layer.temporal > self.temporal_now && !self.may_step_up(packet, meaning) {
            return Err(Drop::AboveTemporal);
        }
        Ok(Step::Continue)
    }

    /// The packet was taken.
    #[inline]
    pub fn taken(&mut self, packet: &Packet<'_>, step: Step) {
        if step == Step::Begin {
            self.current = Some(packet.layer.spatial);
            self.temporal_now = self.temporal;
        } else if packet.layer.temporal > self.temporal_now {
            self.temporal_now = packet.layer.temporal;
        }
    }

    /// A picture that refers to nothing above the base is a place to step up (RFC 7741 §4.2, Y).
    fn may_step_up(&self, packet: &Packet<'_>, meaning: &Meaning) -> bool {
        packet.layer.temporal <= self.temporal
            && meaning.vp8.is_some_and(|vp8| vp8.frame_start() && (vp8.layer_sync || meaning.begins))
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
/// none is, all are. None: the tile is not shown. A later bandwidth limit takes its seat here.
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
fn size_of_layer(layers: &[LayerInfo], layer: usize) -> (u16, u16) {
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
        sizes.iter().map(|(width, height)| LayerInfo { width: *width, height: *height, bitrate_bps: 0 }).collect()
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
