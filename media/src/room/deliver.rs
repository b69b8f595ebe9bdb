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
//! Going through them once per picture instead of once per packet makes most of that cost vanish, and the pieces of a picture
//! lie side by side in the viewer's batch.

use super::state::{LayerState, PENDING_MAX, Pending, Track};
use super::{Room, find_mut};
use crate::downlink::{Downlinks, Outlet, Terms, Turn};
use crate::drop::Drop;
use crate::packet::TrackId;
use crate::sink::{Begin, Offer};
use crate::track::Meaning;
use arrayvec::ArrayVec;
use std::time::Instant;

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
        for at in 0..self.waiting.len() {
            let id = self.waiting[at];
            self.deliver_track(id, &mut outlet, downlinks, now);
        }
        self.waiting.clear();
    }

    /// A packet in the cache waits for the end of the turn, or until there are enough of its track.
    #[inline]
    pub(super) fn wait(&mut self, id: TrackId, pending: Pending, downlinks: &mut Downlinks, now: Instant) {
        let Some(track) = find_mut(&mut self.tracks, id) else { return };
        if track.pending.is_empty() {
            self.waiting.push(id);
        }
        track.pending.push(pending);
        if track.pending.len() == PENDING_MAX {
            self.deliver_track(id, &mut None, downlinks, now);
            self.waiting.retain(|waiting| *waiting != id);
        }
    }

    fn deliver_track(
        &mut self,
        id: TrackId,
        outlet: &mut Option<&mut dyn Outlet>,
        downlinks: &mut Downlinks,
        told: Instant,
    ) {
        let mut now = outlet.as_mut().map_or(told, |outlet| outlet.now().max(told));
        let Self { tracks, drops, .. } = self;
        let Some(track) = find_mut(tracks, id) else { return };
        let shared = track.shared;
        let Track { layers, sinks, pending, codec, .. } = track;
        let mut offers = ArrayVec::<_, PENDING_MAX>::new();
        let mut layers_here = 0;
        for Pending { spatial, seq, at } in pending.iter().copied() {
            let line = if shared { 0 } else { usize::from(spatial) };
            let packet = layers.get(line).and_then(|layer| layer.cache.packet(id, seq));
            let offer = packet.and_then(|packet| {
                let meaning = Meaning::of(*codec, &packet)?;
                Some(Offer { packet, meaning, begin: Begin::Live { at } })
            });
            match offer {
                Some(offer) => offers.push(offer),
                None => drops.count(Drop::NotInCache),
            }
            layers_here |= 1u8 << (spatial & 7);
        }
        let (mut other_layer, mut awaits, mut began) = (0, 0, 0);
        for sink in sinks.iter() {
            if sink.mask & layers_here == 0 {
                other_layer += offers.len() as u64;
                continue;
            }
            let terms = Terms { layers: sink.mask, turn: Turn::Comes };
            let taken = downlinks.offer(sink.downlink, sink.slot, &offers, terms, drops, now);
            awaits |= taken.awaits;
            began |= taken.began;
            if let Some(outlet) = outlet.as_mut().filter(|_| downlinks.is_full()) {
                downlinks.flush(|transmit| outlet.send(transmit));
                now = outlet.now().max(now);
            }
        }
        drops.add(Drop::OtherLayer, other_layer);
        drop(offers);
        pending.clear();
        for spatial in 0..layers.len() {
            let bit = 1u8 << spatial;
            let Some(track) = find_mut(&mut self.tracks, id) else { return };
            let waits = awaits & bit != 0;
            if began & bit != 0 || (waits && track.layers[track.line(spatial as u8)].stalls(now)) {
                self.streams_changed(id, spatial as u8, waits, downlinks, now);
            }
        }
    }
}

impl LayerState {
    /// Whoever waits for a key frame of this layer can be helped: nobody has asked for one yet, or the cache has one.
    pub(super) fn stalls(&self, now: Instant) -> bool {
        !self.wish.pending() || self.cache.replay(now).is_some()
    }
}
