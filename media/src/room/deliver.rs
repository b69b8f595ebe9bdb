//! From the cache to the slots: what a turn brought, one viewer after the other.
//!
//! ```text
//!   forward   packet ─▶ cache, pending                 as they come
//!   deliver   for each viewer { for each packet }      once per turn
//! ```
//!
//! What is written leaves in portions while the rest is still being offered, as long as somebody sends it (`deliver_to`).
//!
//! A viewer's keys, numbers and batch are several kilobytes, and a thousand viewers' are more than a processor's caches hold.
//! Going through them once per turn instead of once per packet makes most of that cost vanish, and what one viewer gets, the pieces
//! of a picture or the pictures of a class, lies side by side in its batch.

use super::state::{LayerState, PENDING_MAX, Pending, Track};
use super::{Room, find, find_mut};
use crate::downlink::{DownlinkId, Downlinks, Outlet, Reach, SlotIndex, Terms, Turn};
use crate::drop::{Drop, Drops};
use crate::packet::TrackId;
use crate::sink::{Begin, Offer};
use crate::track::Meaning;
use arrayvec::ArrayVec;
use std::cmp::Reverse;
use std::time::Instant;

/// Packets of all tracks that are offered together: what a class of small pictures brings in a long turn, and few enough that they
/// stay in the processor's own cache while viewer after viewer gets them.
const OFFERS_MAX: usize = 8 * PENDING_MAX;

/// How many parts before its turn what of a viewer's state is asked for: one part takes longer than memory does.
const AHEAD: [(usize, Reach); 3] = [(3, Reach::Downlink), (2, Reach::Slot), (1, Reach::Stream)];

/// One track's part of what is delivered together.
#[derive(Debug)]
struct Lot {
    track: TrackId,
    /// Its packets are these of the offers.
    first: u16,
    end: u16,
    awaits: u8,
    began: u8,
}

/// Whose slot gets which lot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    downlink: DownlinkId,
    slot: SlotIndex,
    layers: u8,
    lot: u16,
    /// Bytes of the lot's first packet.
    size: u16,
}

impl Room {
    /// Offers what came since the last time to all slots. Call at the end of each turn, before [`Downlinks::flush`].
    pub fn deliver(&mut self, downlinks: &mut Downlinks, now: Instant) {
        self.deliver_with(None, downlinks, now);
    }

    /// As [`Self::deliver`], and hands out what is written whenever it is much (`Downlinks::is_full`). What is left is for the flush.
    pub fn deliver_to(&mut self, outlet: &mut dyn Outlet, downlinks: &mut Downlinks, now: Instant) {
        self.deliver_with(Some(outlet), downlinks, now);
    }

    fn deliver_with(&mut self, mut outlet: Option<&mut dyn Outlet>, downlinks: &mut Downlinks, now: Instant) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while !rest.is_empty() {
            let done = self.deliver_some(rest, &mut outlet, downlinks, now);
            rest = rest.get(done..).unwrap_or_default();
        }
        waiting.clear();
        self.waiting = waiting;
    }

    /// A packet in the cache waits for the end of the turn, or until there are enough of its track.
    #[inline]
    pub(super) fn wait(&mut self, id: TrackId, pending: Pending, downlinks: &mut Downlinks, now: Instant) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        if track.sinks.is_empty() {
            return;
        }
        if track.pending.is_empty() {
            self.waiting.push(id);
        }
        track.pending.push(pending);
        if track.pending.len() == PENDING_MAX {
            self.deliver_some(&[id], &mut None, downlinks, now);
            self.waiting.retain(|waiting| *waiting != id);
        }
    }

    /// Offers what waits of as many of these tracks as fit. Says of how many.
    fn deliver_some(
        &mut self,
        ids: &[TrackId],
        outlet: &mut Option<&mut dyn Outlet>,
        downlinks: &mut Downlinks,
        told: Instant,
    ) -> usize {
        let mut now = outlet.as_mut().map_or(told, |outlet| outlet.now().max(told));
        let Self { tracks, drops, parts, .. } = self;
        let mut offers = ArrayVec::<_, OFFERS_MAX>::new();
        let mut lots = ArrayVec::<_, OFFERS_MAX>::new();
        parts.clear();
        let mut done = 0;
        for id in ids {
            let track = find(tracks, *id);
            if track.is_some_and(|track| track.pending.len() > offers.remaining_capacity()) {
                break;
            }
            done += 1;
            if let Some(track) = track {
                lots.extend(track.prepare(&mut offers, lots.len(), parts, drops));
            }
        }
        if lots.len() > 1 {
            // A viewer's packets by their size: a send call takes equal ones and a shorter one behind them.
            parts.sort_unstable_by_key(|part| (part.downlink, Reverse(part.size)));
        }
        for (n, part) in parts.iter().enumerate() {
            for (ahead, reach) in AHEAD {
                if let Some(next) = parts.get(n + ahead) {
                    downlinks.fetch(next.downlink, next.slot, reach);
                }
            }
            let Some(lot) = lots.get_mut(usize::from(part.lot)) else { continue };
            let offers = offers.get(usize::from(lot.first)..usize::from(lot.end)).unwrap_or_default();
            let terms = Terms { layers: part.layers, turn: Turn::Comes };
            let taken = downlinks.offer(part.downlink, part.slot, offers, terms, drops, now);
            lot.awaits |= taken.awaits;
            lot.began |= taken.began;
            if let Some(outlet) = outlet.as_mut().filter(|_| downlinks.is_full()) {
                downlinks.flush(|transmit| outlet.send(transmit));
                now = outlet.now().max(now);
            }
        }
        drop(offers);
        for id in ids.iter().take(done) {
            if let Some(track) = find_mut(tracks, *id) {
                track.pending.clear();
            }
        }
        for lot in lots {
            self.delivered(&lot, downlinks, now);
        }
        done
    }

    /// What a lot's viewers need next.
    fn delivered(&mut self, lot: &Lot, downlinks: &mut Downlinks, now: Instant) {
        let layers = find(&self.tracks, lot.track).map_or(0, |track| track.layers.len());
        for spatial in 0..layers {
            let bit = 1u8 << spatial;
            let Some(track) = find(&self.tracks, lot.track) else { return };
            let waits = lot.awaits & bit != 0;
            if lot.began & bit != 0 || (waits && track.layers[track.line(spatial as u8)].stalls(now)) {
                self.streams_changed(lot.track, spatial as u8, waits, downlinks, now);
            }
        }
    }
}

impl Track {
    /// Reads what waits, once for all, and notes whom it concerns.
    fn prepare<'a>(
        &'a self,
        offers: &mut ArrayVec<Offer<'a>, OFFERS_MAX>,
        lot: usize,
        parts: &mut Vec<Part>,
        drops: &mut Drops,
    ) -> Option<Lot> {
        let first = offers.len();
        let mut layers_here = 0;
        for Pending { spatial, seq, at } in self.pending.iter().copied() {
            let packet = self.layers.get(self.line(spatial)).and_then(|layer| layer.cache.packet(self.id, seq));
            let offer = packet.and_then(|packet| {
                let meaning = Meaning::of(self.codec, &packet)?;
                Some(Offer { packet, meaning, begin: Begin::Live { at } })
            });
            match offer {
                Some(offer) => offers.push(offer),
                None => drops.count(Drop::NotInCache),
            }
            layers_here |= 1u8 << (spatial & 7);
        }
        let mine = offers.get(first..)?;
        let size = mine.first()?.packet.payload.len() as u16;
        let mut other_layer = 0;
        for sink in &self.sinks {
            if sink.mask & layers_here == 0 {
                other_layer += mine.len() as u64;
                continue;
            }
            parts.push(Part { downlink: sink.downlink, slot: sink.slot, layers: sink.mask, lot: lot as u16, size });
        }
        drops.add(Drop::OtherLayer, other_layer);
        Some(Lot { track: self.id, first: first as u16, end: offers.len() as u16, awaits: 0, began: 0 })
    }
}

impl LayerState {
    /// Whoever waits for a key frame of this layer can be helped: nobody has asked for one yet, or the cache has one.
    pub(super) fn stalls(&self, now: Instant) -> bool {
        !self.wish.pending() || self.cache.replay(now).is_some()
    }
}
