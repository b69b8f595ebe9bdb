//! The sending sides of all peers of one shard.
//!
//! ```text
//!   Room ─▶ offer ─▶ slot: wanted? which numbers? ─▶ header │ payload, copied once │ seal in place ─▶ outbox ─▶ flush
//! ```

mod ahead;
mod outbox;
mod report;
mod slot;
mod template;
mod way;

use crate::drop::{Drop, Drops};
use crate::feedback::report::NtpClock;
use crate::pace::Waiting;
use crate::packet::{Codec, Packet, Ssrc};
use crate::sink::{Begin, Offer, Origin};
use crate::srtp::{Keys, Outbound, SrtpError};
use crate::timer::Timers;
use crate::track::Meaning;
use lyceum_wire::signal::SlotKind;
use lyceum_wire::{dd, ext, rtcp, splitmix};
use outbox::Outbox;
use slot::Wire;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use way::Budget;
use way::Way;
pub use way::WayStats;

pub(crate) use ahead::Reach;
pub use outbox::{BATCH_BYTES_MAX, OUTBOX_BYTES_MAX, SEGMENTS_MAX};
pub(crate) use slot::{Portion, Slot};
pub use template::MID_BYTES_MAX;

/// One peer's sending side in the arena. Never names another one later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownlinkId(pub u64);

/// Which slot of a downlink: its place in the list given to [`Downlinks::set_slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotIndex(pub u16);

/// What a slot may send one codec as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCodec {
    /// Codec.
    pub codec: Codec,
    /// Its payload type on this m-line.
    pub pt: u8,
    /// Payload type of its repairs, if negotiated.
    pub rtx_pt: Option<u8>,
    /// RTP clock, ticks per second.
    pub clock_hz: u32,
}

/// One receiving m-line of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSpec {
    /// Its mid.
    pub mid: String,
    /// What may be put into it.
    pub kind: SlotKind,
    /// Codecs negotiated.
    pub codecs: Vec<SlotCodec>,
    /// The source we send from, for the life of the slot.
    pub ssrc: Ssrc,
    /// The source repairs come from.
    pub rtx_ssrc: Option<Ssrc>,
}

/// What a new downlink is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Header extensions the peer takes: mid, transport-cc, abs-send-time and audio level are written where it does.
    pub extensions: ext::Map,
    /// Our name in sender descriptions (RFC 3550 §6.5.1); the same for all slots, so that sound and picture are one person's.
    pub cname: Arc<str>,
    /// This moment …
    pub epoch: Instant,
    /// … is this NTP time (RFC 3550 §4), the same for all downlinks of a node.
    pub epoch_ntp: u64,
    /// Where numbering of new slots begins (sequence, timestamp, picture id): any number, should not be guessable.
    pub seed: u64,
}

/// The addresses of a peer's datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Ours, as the peer knows it.
    pub local: SocketAddr,
    /// The peer's.
    pub remote: SocketAddr,
}

/// One send call: `bytes` cut into `segment_size` pieces (the last may be shorter), all to one address.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Whose.
    pub downlink: DownlinkId,
    /// From where to where.
    pub route: Route,
    /// One or more datagrams.
    pub bytes: &'a [u8],
    /// Length of each datagram but the last.
    pub segment_size: usize,
}

/// Where media leave while a turn still goes on.
pub trait Outlet {
    /// Sends.
    fn send(&mut self, transmit: Transmit<'_>);

    /// The time by now: a crowd's turn takes milliseconds, which must not look like the network's delay.
    fn now(&mut self) -> Instant;
}

/// What a subscriber reports of what it receives, for the bandwidth estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reception {
    /// Round-trip time by sender and receiver reports.
    pub rtt: Option<Duration>,
    /// Worst fraction lost over its slots in the last receiver report, 0 to 1.
    pub loss: f32,
    /// Last REMB, bits per second.
    pub remb_bps: Option<u64>,
    /// Packets its transport-cc feedback said arrived.
    pub transport_received: u64,
    /// Packets its transport-cc feedback said did not (yet) arrive.
    pub transport_missing: u64,
}

/// What a downlink sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets, repairs included.
    pub packets: u64,
    /// Their bytes on the wire above UDP.
    pub bytes: u64,
    /// Repairs among them.
    pub repairs: u64,
    /// Packets sent only to see what the way carries: repeats and padding.
    pub probes: u64,
    /// NACKed numbers received.
    pub nacked: u64,
    /// PLI and FIR received.
    pub key_frame_requests: u64,
}

/// What became of the packets offered to a slot, by spatial layer, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Its stream began anew with one of these, or went to another layer: what it needs is another thing now.
    pub(crate) began: u8,
    /// It waits for a key frame of these.
    pub(crate) awaits: u8,
}

/// Whether packets come now, or had to wait and may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// They come.
    Comes,
    /// They have waited.
    Waited,
}

/// On which terms packets are offered to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Of these spatial layers the slot takes any, a bit each.
    pub(crate) layers: u8,
    /// They come, or have waited.
    pub(crate) turn: Turn,
}

/// Why a packet is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was asked for.
    Asked,
    /// To see what the way carries.
    Probe,
}

/// Media of one turn leaves in portions of about so many bytes: a part of a core's own cache.
const FLUSH_BYTES: usize = 128 * 1024;

/// All sending sides of one shard.
pub struct Downlinks {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Who has something to send in this turn.
    dirty: Vec<DownlinkId>,
    /// Bytes of media written since the last flush.
    written: usize,
    /// Outboxes of former turns, to be used again.
    spare: Vec<Outbox>,
    /// When whose sender reports are due.
    reports: Timers<DownlinkId>,
    /// When whose queue or probe goes on.
    paced: Timers<DownlinkId>,
    /// Where reports are gathered.
    infos: Vec<rtcp::SenderInfo>,
    /// Where descriptors are written before their packets.
    scratch: [u8; dd::BYTES_MAX],
}

impl Default for Downlinks {
    fn default() -> Self {
        Self::new()
    }
}

struct Entry {
    generation: u32,
    downlink: Option<Box<Downlink>>,
}

/// One peer's sending side.
pub(crate) struct Downlink {
    config: Config,
    clock: NtpClock,
    outbound: Option<Outbound>,
    route: Option<Route>,
    pub(crate) slots: Vec<Slot>,
    /// Numbers used by sources whose slots are gone: under the same keys none may be used twice.
    retired: Vec<Retired>,
    outbox: Option<Outbox>,
    way: Way,
    /// Next transport-wide number.
    transport: u16,
    reception: Reception,
    sent: Sent,
    report_due: Option<Instant>,
    slots_made: u64,
    /// The peer takes abs-send-time.
    tells_send_time: bool,
}

struct Retired {
    ssrc: Ssrc,
    media: u64,
    repair: u64,
}

impl Downlinks {
    /// An empty arena.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            written: 0,
            spare: Vec::new(),
            reports: Timers::new(),
            paced: Timers::new(),
            infos: Vec::new(),
            scratch: [0; dd::BYTES_MAX],
        }
    }

    /// Adds a peer's sending side: no keys, no address, no slots yet.
    pub fn insert(&mut self, config: Config, now: Instant) -> DownlinkId {
        let clock = NtpClock { epoch: config.epoch, ntp: config.epoch_ntp };
        let downlink = Box::new(Downlink {
            transport: (config.seed >> 8) as u16,
            tells_send_time: config.extensions.id(ext::Kind::AbsSendTime).is_some(),
            way: Way::new(config.extensions.id(ext::Kind::TransportSequence).is_some(), now),
            config,
            clock,
            outbound: None,
            route: None,
            slots: Vec::new(),
            retired: Vec::new(),
            outbox: None,
            reception: Reception::default(),
            sent: Sent::default(),
            report_due: None,
            slots_made: 0,
        });
        let index = self.free.pop().unwrap_or(self.entries.len() as u32);
        if index as usize == self.entries.len() {
            self.entries.push(Entry { generation: 0, downlink: None });
        }
        let entry = &mut self.entries[index as usize];
        entry.downlink = Some(downlink);
        DownlinkId::new(index, entry.generation)
    }

    /// Removes it. Take it out of its room first ([`crate::Room::leave`]).
    pub fn remove(&mut self, id: DownlinkId) {
        let Some(entry) = self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation()) else { return };
        let Some(downlink) = entry.downlink.take() else { return };
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.index() as u32);
        self.reports.set(id, None);
        self.paced.set(id, None);
        if let Some(mut outbox) = downlink.outbox {
            outbox.clear();
            self.spare.push(outbox);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes what was negotiated for header extensions.
    pub fn set_extensions(&mut self, id: DownlinkId, extensions: &ext::Map) {
        if let Some(downlink) = self.find_mut(id) {
            downlink.config.extensions = extensions.clone();
            downlink.tells_send_time = extensions.id(ext::Kind::AbsSendTime).is_some();
            downlink.way.answers = extensions.id(ext::Kind::TransportSequence).is_some();
            for slot in &mut downlink.slots {
                slot.renew(extensions);
            }
        }
    }

    /// This side's SRTP keys, from DTLS.
    pub fn set_keys(&mut self, id: DownlinkId, keys: &Keys) -> Result<(), SrtpError> {
        let outbound = Outbound::new(keys)?;
        if let Some(downlink) = self.find_mut(id) {
            downlink.outbound = Some(outbound);
        }
        Ok(())
    }

    /// Which way datagrams go; changes when ICE selects another pair.
    pub fn set_route(&mut self, id: DownlinkId, route: Route) {
        if let Some(downlink) = self.find_mut(id) {
            downlink.route = Some(route);
        }
    }

    /// The receiving m-lines in order, at most [`SLOTS_MAX`]. A slot with the same mid and SSRC as before goes on; call
    /// [`crate::Room::slots_changed`] after it.
    pub fn set_slots(&mut self, id: DownlinkId, slots: Vec<SlotSpec>) {
        let Some(downlink) = self.find_mut(id) else { return };
        let mut old = std::mem::take(&mut downlink.slots);
        for spec in slots.into_iter().take(SLOTS_MAX) {
            let same = |slot: &Slot| slot.spec.mid == spec.mid && slot.spec.ssrc == spec.ssrc;
            let slot = match old.iter().position(same) {
                Some(at) => {
                    let mut slot = old.swap_remove(at);
                    slot.renegotiate(spec, &downlink.config.extensions);
                    slot
                }
                None => downlink.new_slot(spec),
            };
            downlink.slots.push(slot);
        }
        for gone in old {
            let (media, repair) = gone.numbers_used();
            downlink.retired.retain(|r| r.ssrc != gone.spec.ssrc);
            if downlink.retired.len() == RETIRED_MAX {
                downlink.retired.remove(0);
            }
            downlink.retired.push(Retired { ssrc: gone.spec.ssrc, media, repair });
        }
    }

    /// Seals a plain RTCP compound and puts it into the batch.
    pub fn send_rtcp(&mut self, id: DownlinkId, compound: &[u8]) {
        let Some(mut ready) = self.ready(id) else { return };
        let outbox = ready.outbox();
        let Ok(start) = outbox.open() else { return };
        outbox.bytes().extend_from_slice(compound);
        ready.seal_rtcp(start);
    }

    /// What the peer reports.
    #[must_use]
    pub fn reception(&self, id: DownlinkId) -> Option<Reception> {
        self.find(id).map(|downlink| downlink.reception)
    }

    /// What was sent to it.
    #[must_use]
    pub fn sent(&self, id: DownlinkId) -> Option<Sent> {
        self.find(id).map(|downlink| downlink.sent)
    }

    /// Sender reports that are due. Whose queue is due is said by [`Self::poll_paced`].
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.reports.pop(now) {
            self.send_reports(id, now);
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.reports.next(), self.paced.next()].into_iter().flatten().min()
    }

    /// So much is written that it should leave before more is: what is sent soon after it was written is still in the processor's cache.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.written >= FLUSH_BYTES
    }

    /// Hands out everything written since the last flush, at most one send call per size change and peer. Call at the end of each turn.
    pub fn flush(&mut self, mut send: impl FnMut(Transmit<'_>)) {
        self.written = 0;
        // Last in, first out: the outbox that lay on top of the spare ones lies on top again, and few of them ever grow large.
        while let Some(id) = self.dirty.pop() {
            let Some(entry) = self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation()) else {
                continue;
            };
            let Some(downlink) = entry.downlink.as_mut() else { continue };
            let Some(mut outbox) = downlink.outbox.take() else { continue };
            if let Some(route) = downlink.route {
                for (bytes, segment_size) in outbox.batches() {
                    send(Transmit { downlink: id, route, bytes, segment_size });
                }
            }
            outbox.clear();
            self.spare.push(outbox);
        }
    }

    /// Packets of one track for one slot, in order: the hot path. What the way does not carry yet waits, unless it has waited.
    #[inline]
    pub(crate) fn offer(
        &mut self,
        id: DownlinkId,
        slot: SlotIndex,
        offers: &[Offer<'_>],
        terms: Terms,
        drops: &mut Drops,
        now: Instant,
    ) -> Taken {
        let Terms { layers, turn } = terms;
        let mut taken = Taken::default();
        let entry = self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation());
        let Some(downlink) = entry.and_then(|e| e.downlink.as_deref_mut()) else {
            drops.add(Drop::SubscriberGone, offers.len() as u64);
            return taken;
        };
        let Some(outbound) = downlink.outbound.as_ref().filter(|_| downlink.route.is_some()) else {
            drops.add(Drop::NotConnected, offers.len() as u64);
            return taken;
        };
        let at = slot;
        let Some(slot) = downlink.slots.get_mut(usize::from(at.0)) else {
            drops.add(Drop::SubscriberGone, offers.len() as u64);
            return taken;
        };
        if slot.track != offers.first().map(|offer| offer.packet.track) {
            drops.add(Drop::SlotChanged, offers.len() as u64);
            return taken;
        }
        let way = &mut downlink.way;
        let queues = turn == Turn::Comes && slot.spec.kind != SlotKind::Audio;
        let mut waits = queues && !way.pace.is_idle();
        let outbox = outbox_of(&mut downlink.outbox, &mut self.spare, &mut self.dirty, id);
        let send_time = if downlink.tells_send_time { send_time(&downlink.config, now) } else { 0 };
        let overhead = way::overhead(downlink.route);
        let before = outbox.bytes().len();
        for offer in offers {
            let bit = 1u8 << (offer.packet.layer.spatial & 7);
            if layers & bit == 0 {
                drops.count(Drop::OtherLayer);
                continue;
            }
            let replayed = matches!(offer.begin, Begin::Replay { .. });
            waits |= queues && !replayed && !way.may_send(now);
            if waits && !replayed {
                let Packet { track, layer, seq, payload, .. } = offer.packet;
                let waiting = Waiting { track, slot: at, spatial: layer.spatial, seq, len: payload.len() as u16 };
                if !way.pace.wait(waiting, way.pace_bps()) {
                    // Late is worse than gone: it goes on with a key frame of what fits.
                    drops.add(Drop::PacerFull, way.pace.forget(at) as u64 + 1);
                    slot.select.restart();
                    taken.awaits |= bit;
                }
                continue;
            }
            let transport = &mut downlink.transport;
            let scratch = &mut self.scratch;
            let wire = Wire { outbound, outbox, transport, send_time, scratch, way, overhead, now };
            match slot.take(offer, wire, now) {
                Ok(began) => {
                    taken.began |= if began { bit } else { 0 };
                    downlink.sent.packets += 1;
                }
                Err(reason) => {
                    taken.awaits |= if reason == Drop::AwaitingKeyframe { bit } else { 0 };
                    drops.count(reason);
                }
            }
        }
        let written = outbox.bytes().len() - before;
        downlink.sent.bytes += written as u64;
        self.written += written;
        if downlink.report_due.is_none() && written != 0 {
            // The first report comes soon, so that sound and picture agree from the start.
            let due = now + report::FIRST_AFTER;
            downlink.report_due = Some(due);
            self.reports.set(id, Some(due));
        }
        if waits {
            self.schedule(id, now);
        }
        taken
    }

    /// A slot.
    pub(crate) fn slot_mut(&mut self, id: DownlinkId, slot: SlotIndex) -> Option<&mut Slot> {
        self.find_mut(id)?.slots.get_mut(usize::from(slot.0))
    }

    /// The slot that sends from this source.
    pub(crate) fn slot_of(&self, id: DownlinkId, ssrc: u32) -> Option<SlotIndex> {
        let slots = &self.find(id)?.slots;
        slots.iter().position(|slot| slot.spec.ssrc == Ssrc(ssrc)).map(|at| SlotIndex(at as u16))
    }

    /// What a NACKed number was, if it may be repaired now.
    pub(crate) fn asked_again(
        &mut self,
        id: DownlinkId,
        slot: SlotIndex,
        number: u16,
        now: Instant,
    ) -> Result<Origin, Drop> {
        let downlink = self.find_mut(id).ok_or(Drop::SubscriberGone)?;
        downlink.sent.nacked += 1;
        let rtt = downlink.reception.rtt.unwrap_or(RTT_UNKNOWN);
        let slot = downlink.slots.get_mut(usize::from(slot.0)).ok_or(Drop::SubscriberGone)?;
        let origin = slot.stream.locate(number).ok_or(Drop::UnknownRepair)?;
        if slot.may_repair(number, now, rtt) { Ok(origin) } else { Err(Drop::RepairedAlready) }
    }

    /// Sends the packet behind a NACKed number again, or that of any number to see what the way carries.
    #[allow(clippy::too_many_arguments, reason = "which packet, to whom, why, when")]
    pub(crate) fn repair(
        &mut self,
        id: DownlinkId,
        slot: SlotIndex,
        number: u16,
        packet: &Packet<'_>,
        meaning: &Meaning,
        why: Why,
        now: Instant,
    ) -> Result<(), Drop> {
        self.with_wire(id, slot, now, |slot, wire| slot.repair(number, packet, meaning, wire))?;
        if let Some(downlink) = self.find_mut(id) {
            match why {
                Why::Asked => downlink.sent.repairs += 1,
                Why::Probe => downlink.sent.probes += 1,
            }
        }
        Ok(())
    }

    /// Lets a slot write one packet beside its stream.
    fn with_wire(
        &mut self,
        id: DownlinkId,
        slot: SlotIndex,
        now: Instant,
        write: impl FnOnce(&mut Slot, Wire<'_>) -> Result<(), Drop>,
    ) -> Result<(), Drop> {
        let entry = self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation());
        let downlink = entry.and_then(|e| e.downlink.as_deref_mut()).ok_or(Drop::SubscriberGone)?;
        let outbound = downlink.outbound.as_ref().filter(|_| downlink.route.is_some()).ok_or(Drop::NotConnected)?;
        let slot = downlink.slots.get_mut(usize::from(slot.0)).ok_or(Drop::SubscriberGone)?;
        let outbox = outbox_of(&mut downlink.outbox, &mut self.spare, &mut self.dirty, id);
        let send_time = if downlink.tells_send_time { send_time(&downlink.config, now) } else { 0 };
        let before = outbox.bytes().len();
        let overhead = way::overhead(downlink.route);
        let (transport, scratch, way) = (&mut downlink.transport, &mut self.scratch, &mut downlink.way);
        write(slot, Wire { outbound, outbox, transport, send_time, scratch, way, overhead, now })?;
        downlink.sent.packets += 1;
        downlink.sent.bytes += (downlink.outbox.as_mut().map_or(0, |o| o.bytes().len()) - before) as u64;
        Ok(())
    }

    #[inline]
    pub(crate) fn find(&self, id: DownlinkId) -> Option<&Downlink> {
        self.entries.get(id.index()).filter(|e| e.generation == id.generation())?.downlink.as_deref()
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, id: DownlinkId) -> Option<&mut Downlink> {
        self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation())?.downlink.as_deref_mut()
    }

    /// Keys and address are there: what is needed to write.
    fn ready(&mut self, id: DownlinkId) -> Option<Ready<'_>> {
        let entry = self.entries.get_mut(id.index()).filter(|e| e.generation == id.generation())?;
        let downlink = entry.downlink.as_deref_mut()?;
        if !downlink.is_ready() {
            return None;
        }
        outbox_of(&mut downlink.outbox, &mut self.spare, &mut self.dirty, id);
        Some(Ready { downlink })
    }
}

/// A downlink with keys, address and an outbox.
struct Ready<'a> {
    downlink: &'a mut Downlink,
}

impl Ready<'_> {
    fn outbox(&mut self) -> &mut Outbox {
        self.downlink.outbox.get_or_insert_default()
    }

    fn seal_rtcp(&mut self, start: usize) {
        let (Some(outbound), Some(outbox)) = (&mut self.downlink.outbound, &mut self.downlink.outbox) else { return };
        match outbound.seal_rtcp(outbox.bytes(), start) {
            Ok(()) => outbox.close(start),
            Err(_) => outbox.cancel(start),
        }
    }
}

impl Downlink {
    /// Keys and address are there.
    pub(crate) fn is_ready(&self) -> bool {
        self.outbound.is_some() && self.route.is_some()
    }

    fn new_slot(&mut self, spec: SlotSpec) -> Slot {
        self.slots_made += 1;
        // Slots of one peer begin at unrelated numbers.
        let seed = splitmix::spread(self.config.seed ^ splitmix::spread(self.slots_made));
        let ssrc = spec.ssrc;
        let mut slot = Slot::new(spec, &self.config.extensions, seed);
        if let Some(at) = self.retired.iter().position(|r| r.ssrc == ssrc) {
            let retired = self.retired.swap_remove(at);
            slot.continue_at(retired.media, retired.repair);
        }
        slot
    }
}

impl DownlinkId {
    fn new(index: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    #[inline]
    fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    #[inline]
    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The peer's outbox of this turn; taken from the spare ones when it is the first packet.
#[inline]
fn outbox_of<'a>(
    outbox: &'a mut Option<Outbox>,
    spare: &mut Vec<Outbox>,
    dirty: &mut Vec<DownlinkId>,
    id: DownlinkId,
) -> &'a mut Outbox {
    outbox.get_or_insert_with(|| {
        dirty.push(id);
        spare.pop().unwrap_or_default()
    })
}

/// The turn's time as abs-send-time.
#[inline]
fn send_time(config: &Config, now: Instant) -> u32 {
    ext::abs_send_time(now.saturating_duration_since(config.epoch).as_micros() as u64)
}

/// Slots of one peer: a wall of 49 pictures with voices and screens, and room to grow.
pub const SLOTS_MAX: usize = 128;
/// Sources remembered after their slots are gone: many renegotiations' worth, 24 bytes each.
const RETIRED_MAX: usize = 512;
/// Assumed until measured: shorter than most, so that a repeat is answered rather than swallowed.
const RTT_UNKNOWN: Duration = Duration::from_millis(50);

#[cfg(test)]
#[path = "../downlink_tests.rs"]
mod tests;
