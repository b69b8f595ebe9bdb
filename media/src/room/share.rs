//! What the way to each subscriber carries, shared out among what it shows; and what had to wait for it.
//!
//! ```text
//!   feedback ─▶ estimate ─▶ budget ─ sound ─▶ allocate::share ─▶ portion of each slot ─▶ aim
//!   queue ──(pace)──▶ cache ─▶ slot          probes ─▶ repeats of what was sent, padding
//! ```

use super::state::Track;
use super::{Room, find_mut};
use crate::allocate::{self, Class, Step, Want};
use crate::downlink::{Budget, DownlinkId, Downlinks, Portion, SlotIndex, Terms, Turn, Why};
use crate::drop::Drop;
use crate::packet::TrackId;
use crate::seq::SeqNo;
use crate::sink::select::{TEMPORAL_ALL, choose, size_of_layer};
use crate::sink::{Begin, Offer};
use crate::track::Meaning;
use arrayvec::ArrayVec;
use lyceum_wire::id::{Kind, Source};
use lyceum_wire::link::{Layer, LayerInfo};
use std::time::{Duration, Instant};

/// What a member's budget was shared out as.
#[derive(Debug, Default)]
pub(super) struct Shared {
    at: Option<Instant>,
    budget_bps: u64,
    /// What was given away of it.
    given_bps: u64,
    /// Somebody could do with more.
    short: bool,
}

/// Where budgets are shared out. It is kept, so that sharing takes nothing from the heap.
#[derive(Debug, Default)]
pub(super) struct Desk {
    due: Vec<DownlinkId>,
    wants: Vec<Want>,
    given: Vec<Option<usize>>,
    changed: Vec<TrackId>,
}

impl Room {
    /// A peer's queue or probe goes on: see [`Downlinks::poll_paced`].
    pub fn pace(&mut self, id: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        // What came in this turn stands behind what waits.
        self.deliver(downlinks, now);
        let mut changed: Vec<(TrackId, u8, bool)> = Vec::new();
        while let Some(waiting) = downlinks.release(id, now) {
            let Some(track) = find_mut(&mut self.tracks, waiting.track) else {
                self.drops.count(Drop::UnknownTrack);
                continue;
            };
            let Some(offer) = offer_again(track, waiting.spatial, waiting.seq) else {
                self.drops.count(Drop::NotInCache);
                continue;
            };
            let terms = Terms { layers: u8::MAX, turn: Turn::Waited };
            let taken = downlinks.offer(id, waiting.slot, &[offer], terms, &mut self.drops, now);
            let awaits = taken.awaits != 0 && track.layers[track.line(waiting.spatial)].stalls(now);
            if taken.began != 0 || awaits {
                changed.push((waiting.track, waiting.spatial, awaits));
            }
        }
        self.probe(id, downlinks, now);
        downlinks.schedule(id, now);
        for (track, spatial, awaits) in changed {
            self.streams_changed(track, spatial, awaits, downlinks, now);
        }
    }

    /// Fills a probe with what was sent lately, else with padding.
    fn probe(&mut self, id: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        for back in 0..PROBE_PACKETS_MAX {
            if !downlinks.lacks(id, now) {
                return;
            }
            let Some((slot, newest)) = downlinks.busiest(id) else { return downlinks.give_up(id) };
            let repeated = self.repeat_number(id, slot, newest.wrapping_sub(back % REPEATS), downlinks, now);
            if !repeated && downlinks.pad(id, slot, now).is_err() {
                return downlinks.give_up(id);
            }
        }
    }

    fn repeat_number(
        &self,
        id: DownlinkId,
        slot: SlotIndex,
        number: u16,
        downlinks: &mut Downlinks,
        now: Instant,
    ) -> bool {
        let origin = downlinks.find(id).and_then(|d| d.slots.get(usize::from(slot.0))?.stream.locate(number));
        let Some(origin) = origin else { return false };
        let Some(track) = self.find(origin.track) else { return false };
        let Some(offer) = offer_again(track, origin.spatial, origin.seq) else { return false };
        downlinks.repair(id, slot, number, &offer.packet, &offer.meaning, Why::Probe, now).is_ok()
    }

    /// The peer said what arrives: less may fit at once; more is looked for at the next tick.
    pub(super) fn heard_of(&mut self, id: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        let less = match (downlinks.budget(id), self.members.get(&id)) {
            (Some(Budget::Measured(bps)), Some(member)) => bps < member.shared.given_bps,
            _ => false,
        };
        if less {
            self.share_again(id, downlinks, now);
        }
        downlinks.schedule(id, now);
    }

    /// Time passed: estimates move, and with them what is given.
    pub(super) fn share_on_time(&mut self, downlinks: &mut Downlinks, now: Instant) {
        let mut due = std::mem::take(&mut self.desk.due);
        for (id, member) in &self.members {
            downlinks.tick_way(*id, now);
            let Some(budget) = downlinks.budget(*id) else { continue };
            let (Budget::Measured(bps) | Budget::Assumed(bps)) = budget else { continue };
            let shared = &member.shared;
            let age = shared.at.map_or(Duration::MAX, |at| now.saturating_duration_since(at));
            let more = shared.short && bps > shared.budget_bps + shared.budget_bps / NOTABLE;
            if bps < shared.given_bps || more || age >= if shared.short { SHORT_EVERY } else { ANYWAY_EVERY } {
                due.push(*id);
            }
        }
        for id in due.drain(..) {
            self.share_again(id, downlinks, now);
        }
        self.desk.due = due;
    }

    /// A track's layers are other ones: whoever shows it is looked at at the next tick.
    pub(super) fn share_anew(&mut self, id: TrackId) {
        let Self { tracks, members, .. } = self;
        for sink in find_mut(tracks, id).into_iter().flat_map(|track| &track.sinks) {
            if let Some(member) = members.get_mut(&sink.downlink) {
                member.shared.at = None;
            }
        }
    }

    fn share_again(&mut self, id: DownlinkId, downlinks: &mut Downlinks, now: Instant) {
        let mut changed = std::mem::take(&mut self.desk.changed);
        self.share(id, &mut changed, downlinks, now);
        for track in changed.drain(..) {
            self.aim_member(track, id, downlinks, now);
        }
        self.desk.changed = changed;
        self.tell(id, downlinks);
    }

    /// Shares a member's budget out among its slots. Adds the tracks whose portion changed to `changed`.
    pub(super) fn share(
        &mut self,
        id: DownlinkId,
        changed: &mut Vec<TrackId>,
        downlinks: &mut Downlinks,
        now: Instant,
    ) {
        let Some(budget) = downlinks.budget(id) else { return };
        let mut desk = std::mem::take(&mut self.desk);
        let Desk { wants, given, .. } = &mut desk;
        let sound_bps = self.wants(id, wants, downlinks, now);
        let best = |want: &Want| want.steps.last().map_or(0, |step| step.bps);
        let wanted_bps = sound_bps + wants.iter().map(best).sum::<u64>();
        let budget_bps = match budget {
            Budget::Unlimited => u64::MAX,
            Budget::Assumed(bps) | Budget::Measured(bps) => bps,
        };
        allocate::share(budget_bps.saturating_sub(sound_bps), wants, given);
        if let (Budget::Assumed(_), Some(first)) = (budget, given.first_mut()) {
            // Something must be sent for anything to be known, and it goes on until something speaks against it.
            *first = first.or(Some(0)).filter(|_| !wants[0].steps.is_empty());
        }
        let price = |(want, given): (&Want, &Option<usize>)| given.map_or(0, |at| want.steps[at].bps);
        let given_bps = sound_bps + wants.iter().zip(given.iter()).map(price).sum::<u64>();
        let short = wants.iter().zip(given.iter()).any(|(want, given)| given.map_or(0, |at| at + 1) < want.steps.len());
        if let Some(member) = self.members.get_mut(&id) {
            member.shared = Shared { at: Some(now), budget_bps, given_bps, short };
        }
        downlinks.wanted(id, wanted_bps, now);
        for (want, given) in wants.iter().zip(given.iter()) {
            let Some(slot) = downlinks.slot_mut(id, SlotIndex(want.slot)) else { continue };
            let layer = match given.and_then(|at| want.steps.get(at)) {
                Some(_) if budget == Budget::Unlimited => Some(EVERYTHING),
                Some(step) => Some(step.layer),
                // No step at all: there is nothing to show, or nobody looks.
                None if want.steps.is_empty() => slot.portion.layer,
                None => None,
            };
            match (slot.portion.layer, layer) {
                (None, Some(_)) => slot.portion.comes(now),
                (Some(_), None) => slot.portion.goes(now),
                _ if *given < want.has => slot.portion.held_until = Some(now + HOLD),
                _ => {}
            }
            if slot.portion.layer != layer {
                slot.portion.layer = layer;
                changed.extend(slot.track);
            }
        }
        self.desk = desk;
    }

    /// What a member's slots could be given, the most important first. Returns what its sound takes, in bits per second.
    fn wants(&self, id: DownlinkId, wants: &mut Vec<Want>, downlinks: &Downlinks, now: Instant) -> u64 {
        wants.clear();
        let (Some(state), Some(member)) = (downlinks.find(id), self.members.get(&id)) else { return 0 };
        let in_view = member.view.as_deref().map_or(0, <[_]>::len);
        let mut sound_bps = 0;
        for (at, slot) in state.slots.iter().enumerate() {
            let Some(track) = slot.track.and_then(|track| self.find(track)) else { continue };
            if track.info.kind == Kind::Audio {
                sound_bps += VOICE_OVERHEAD_BPS
                    + u64::from(track.layers.first().map_or(0, |layer| layer.observe.known().bitrate_bps));
                continue;
            }
            let portion = &slot.portion;
            let steps = steps(track, portion.tile, now);
            // Where it is on the ladder: the highest step within its portion, if it is shown at all.
            let has = portion.layer.filter(|_| slot.select.current().is_some()).and_then(|layer| {
                steps
                    .iter()
                    .rposition(|step| (step.layer.spatial, step.layer.temporal) <= (layer.spatial, layer.temporal))
            });
            let class = match track.info.name.source {
                _ if portion.pinned => Class::Pinned,
                Source::Screen => Class::Screen,
                _ if self.speaking.as_ref() == Some(&track.info.name.participant) => Class::Speaker,
                _ => Class::Tile,
            };
            let held = portion.held_until.is_some_and(|until| until > now);
            let place = portion.place.map_or(in_view + at, usize::from);
            wants.push(Want { slot: at as u16, class, place, steps, has, held });
        }
        // No two are alike: nothing is lost by a sort that takes no memory.
        wants.sort_unstable_by_key(|want| (want.class, want.place, want.slot));
        sound_bps
    }
}

impl Portion {
    /// There is a picture. However long the next try would have had to wait, more of it waits no longer than after any fall.
    fn comes(&mut self, now: Instant) {
        self.came = Some(now);
        self.held_until = self.held_until.map(|until| until.min(now + HOLD));
    }

    /// There is none any more, shown or still on its way.
    fn goes(&mut self, now: Instant) {
        let lasted = self.came.take().is_none_or(|came| now.saturating_duration_since(came) >= LASTS);
        self.fell = if lasted { 0 } else { (self.fell + 1).min(FALLS_MAX) };
        self.held_until = Some(now + HOLD * (1 << self.fell));
    }
}

/// The packet as it would be offered now.
fn offer_again(track: &Track, spatial: u8, seq: SeqNo) -> Option<Offer<'_>> {
    let layer = track.layers.get(track.line(spatial))?;
    let packet = layer.cache.packet(track.id, seq)?;
    let meaning = Meaning::of(track.codec, &packet)?;
    let at = layer.observe.clock().at(packet.timestamp).unwrap_or(packet.arrived);
    Some(Offer { packet, meaning, begin: Begin::Live { at } })
}

/// The steps of a track up to what a tile shows, with their prices.
fn steps(track: &Track, tile: crate::sink::select::TileSize, now: Instant) -> ArrayVec<Step, { allocate::STEPS_MAX }> {
    let mut steps = ArrayVec::new();
    let infos: ArrayVec<LayerInfo, { super::state::LAYERS_MAX }> =
        track.layers.iter().take(super::state::LAYERS_MAX).map(|layer| *layer.observe.known()).collect();
    let usable = track.usable(now);
    let Some(ideal) = choose(tile, &infos, |layer| usable & 1 << layer != 0) else { return steps };
    for spatial in (0..=ideal).filter(|spatial| usable == 0 || usable & 1 << spatial != 0) {
        let info = &infos[usize::from(spatial)];
        let whole = price(&infos, usize::from(spatial));
        let base = u64::from(info.temporal_bps[0]) * WIRE.0 / WIRE.1;
        if steps.is_empty() && base > 0 && base * WORTH.1 < whole * WORTH.0 {
            steps.push(Step { layer: Layer { spatial, temporal: 0 }, bps: base });
        }
        if steps.last().is_none_or(|last: &Step| last.bps < whole) && !steps.is_full() {
            steps.push(Step { layer: Layer { spatial, temporal: TEMPORAL_ALL }, bps: whole });
        }
    }
    steps
}

/// What a layer takes on the wire: as measured, else by its size.
fn price(infos: &[LayerInfo], spatial: usize) -> u64 {
    let measured = u64::from(infos[spatial].bitrate_bps);
    if measured > 0 {
        return measured * WIRE.0 / WIRE.1;
    }
    let (width, height) = size_of_layer(infos, spatial);
    u64::from(width) * u64::from(height) * BITS_PER_PIXEL_SECOND
}

/// All layers there are and may come to be.
const EVERYTHING: Layer = Layer { spatial: TEMPORAL_ALL, temporal: TEMPORAL_ALL };
/// Headers, tags and now and then a repair add this to a payload.
const WIRE: (u64, u64) = (108, 100);
/// A voice's headers: 50 packets a second of 74 bytes.
const VOICE_OVERHEAD_BPS: u64 = 30_000;
/// What a second of an unknown picture's pixel takes: 0.07 bits a pixel at 30 pictures a second, as browsers encode.
const BITS_PER_PIXEL_SECOND: u64 = 2;
/// The lowest temporal layer is a step of its own if it takes less than this of the whole.
const WORTH: (u64, u64) = (4, 5);
/// An estimate that rose by this part is looked at before its time.
const NOTABLE: u64 = 20;
/// Who could do with more is looked at this often.
const SHORT_EVERY: Duration = Duration::from_millis(1_000);
/// Who has everything is looked at this often: publishers' rates move.
const ANYWAY_EVERY: Duration = Duration::from_millis(2_000);
/// Who was lowered is not raised for this long: two layers must not take turns.
const HOLD: Duration = Duration::from_millis(3_000);
/// A picture that was there for so long was not tried in vain.
const LASTS: Duration = Duration::from_secs(20);
/// Each further try in vain makes the next one wait twice as long, up to 16 times.
const FALLS_MAX: u8 = 4;
/// Packets of one probe sent in one turn.
const PROBE_PACKETS_MAX: u16 = 64;
/// The newest packets, repeated in turn.
const REPEATS: u16 = 16;
