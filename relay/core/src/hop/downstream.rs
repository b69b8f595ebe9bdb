//! What other nodes have subscribed to here: taps of the room, and answers to their requests for repair.

use super::peer::{Peer, PeerIndex};
use super::{Hop, Loss, Stats};
use crate::queue::Refused;
use lyceum_media::{Downlinks, Packet, SeqNo, TapId, TrackId};
use lyceum_wire::id::{Kind, TrackName};
use lyceum_wire::link::datagram::{AUDIO_LEVEL_NONE, Body, Flags, Nack, RtpHeader};
use lyceum_wire::link::{Alias, Layer, Message, VERSION_DESCRIPTORS};
use lyceum_wire::red::Redundant;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A packet older than this is of no use to anybody downstream: playout does not wait that long.
pub const TOO_LATE: Duration = Duration::from_millis(1_500);
/// Packets of a voice that came up which say so: a third of a second. When all are lost, a few packets are asked for in vain.
const RESUMED_TOLD: u64 = 16;
/// The highest temporal layer there is (three bits on the wire): who subscribes to it leaves nothing out.
const TEMPORAL_MAX: u8 = 7;
/// Subscriptions one room serves at the same time at most: 32 nodes that each see 500 layers.
pub const SERVED_MAX: usize = 16_384;

/// One layer that another node gets from here.
#[derive(Debug, Clone, Copy)]
struct Served {
    peer: PeerIndex,
    alias: Alias,
    track: TrackId,
    layer: Layer,
    /// The track's spatial layers share one sequence: all up to `layer.spatial` are sent.
    shared: bool,
    /// A voice, or the sound of a screen: left out in pauses, not by temporal layers.
    sound: bool,
    /// The newest packet sent, and how many after it were left out in a row because of their temporal layer.
    newest: Option<u64>,
    omitted: u64,
    /// Where the voice came back after it was left out, for its first packets since.
    resumed: Option<u64>,
}

/// All that other nodes have subscribed to.
#[derive(Debug, Default)]
pub(super) struct Downstream {
    /// By tap.
    served: Vec<Option<Served>>,
    free: Vec<u32>,
    by_alias: BTreeMap<(PeerIndex, Alias), u32>,
    /// One subscription per node and sequence: a new one takes the old one's place.
    by_layer: BTreeMap<(TrackId, u8, PeerIndex), u32>,
    /// How many leave temporal layers out.
    partial: usize,
}

/// Whether a packet is on its way for the first time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// As it came.
    Live,
    /// From the cache, to begin a subscription.
    Begin,
    /// From the cache, asked for again.
    Repair,
}

impl Downstream {
    pub(super) fn len(&self) -> usize {
        self.by_alias.len()
    }

    /// Puts a packet into the queue of the tap's link.
    pub(super) fn send(
        &mut self,
        peers: &mut [Peer],
        stats: &mut Stats,
        tap: TapId,
        packet: &Packet<'_>,
        way: Way,
        now: Instant,
    ) {
        let Some(served) = self.served.get_mut(tap.0 as usize).and_then(Option::as_mut) else { return };
        let Some(peer) = peers.get_mut(served.peer.0) else { return };
        let Some(link) = peer.link else { return };
        // What is sent to begin with is old on purpose: its age is what it was when it came here.
        let waited = if way == Way::Begin { Duration::ZERO } else { now.saturating_duration_since(packet.arrived) };
        let age = packet.age + waited;
        if age > TOO_LATE {
            return stats.lose(Loss::TooLate, 1);
        }
        let told = link.version >= VERSION_DESCRIPTORS;
        // An older node knows nothing of copies: it gets the new sound alone.
        let alone = packet.flags.redundant && !told;
        let payload = if alone { new_sound(packet.payload) } else { packet.payload };
        let descriptor = if told { packet.descriptor } else { &[] };
        let (start, back) = match way {
            Way::Repair => (packet.flags.start, 0),
            _ if served.sound => served.speak(packet),
            _ => (packet.flags.start, served.step(packet.seq.0)),
        };
        let header = RtpHeader {
            alias: served.alias,
            layer: packet.layer,
            sequence: packet.seq.0,
            timestamp: packet.timestamp,
            age_eighths_ms: u16::try_from(age.as_micros() / 125).unwrap_or(u16::MAX),
            audio_level: packet
                .level
                .map_or(AUDIO_LEVEL_NONE, |level| u8::from(level.voice) << 7 | level.minus_dbov & 0x7f),
            back,
            flags: Flags {
                key_frame: packet.flags.keyframe,
                start,
                end: packet.flags.end,
                marker: packet.marker,
                discardable: packet.flags.discardable,
                repair: way != Way::Live,
                redundant: packet.flags.redundant && !alone,
                descriptor: !descriptor.is_empty(),
            },
        };
        match peer.queue.packet(&header, Body { descriptor, payload }, link.datagram_bytes_max) {
            Ok(bytes) => {
                if peer.part.is_some() {
                    stats.part_datagrams_out += 1;
                } else {
                    stats.datagrams_out += 1;
                    stats.bytes_out += bytes as u64;
                }
                stats.repairs_sent += u64::from(way == Way::Repair);
            }
            Err(Refused::Full) => stats.lose(Loss::QueueFull, 1),
            Err(Refused::TooLarge) => stats.lose(Loss::TooLarge, 1),
        }
    }

    /// A packet of a layer that some leave out passes: it will not be missing there.
    pub(super) fn pass(&mut self, packet: &Packet<'_>, shared: bool) {
        if self.partial == 0 {
            return;
        }
        let one = (packet.track, line(shared, packet.layer.spatial));
        let all = (one.0, one.1, PeerIndex(0))..=(one.0, one.1, PeerIndex(usize::MAX));
        for (_, tap) in self.by_layer.range(all) {
            if let Some(served) = self.served.get_mut(*tap as usize).and_then(Option::as_mut)
                && served.leaves_out(packet)
                && served.newest.map(|newest| newest + served.omitted + 1) == Some(packet.seq.0)
            {
                served.omitted += 1;
            }
        }
    }

    fn free_tap(&mut self) -> Option<u32> {
        if let Some(tap) = self.free.pop() {
            return Some(tap);
        }
        let tap = u32::try_from(self.served.len()).ok().filter(|_| self.served.len() < SERVED_MAX)?;
        self.served.push(None);
        Some(tap)
    }

    fn put(&mut self, tap: u32, served: Served) {
        self.by_alias.insert((served.peer, served.alias), tap);
        self.by_layer.insert((served.track, served.line(), served.peer), tap);
        self.partial += usize::from(served.is_partial());
        if let Some(place) = self.served.get_mut(tap as usize) {
            *place = Some(served);
        }
    }

    fn take(&mut self, tap: u32) -> Option<Served> {
        let served = self.served.get_mut(tap as usize)?.take()?;
        self.by_alias.remove(&(served.peer, served.alias));
        self.by_layer.remove(&(served.track, served.line(), served.peer));
        self.partial -= usize::from(served.is_partial());
        self.free.push(tap);
        Some(served)
    }

    /// The aliases under which a layer leaves.
    fn aliases(&self, track: TrackId, spatial: u8) -> impl Iterator<Item = (PeerIndex, Alias)> + '_ {
        let all = (track, spatial, PeerIndex(0))..=(track, spatial, PeerIndex(usize::MAX));
        self.by_layer.range(all).filter_map(|(_, tap)| {
            let served = self.served.get(*tap as usize)?.as_ref()?;
            Some((served.peer, served.alias))
        })
    }
}

impl Served {
    fn is_partial(&self) -> bool {
        !self.sound && (self.layer.temporal < TEMPORAL_MAX || self.shared)
    }

    /// The layer whose sequence it is.
    fn line(&self) -> u8 {
        line(self.shared, self.layer.spatial)
    }

    fn leaves_out(&self, packet: &Packet<'_>) -> bool {
        packet.layer.temporal > self.layer.temporal || (self.shared && packet.layer.spatial > self.layer.spatial)
    }

    /// The same as [`Served::step`] for sound, and whether it is one of the first packets after a pause: those say how far back the
    /// voice came up, so that what was not sent before is not asked for, whichever of them arrive.
    fn speak(&mut self, packet: &Packet<'_>) -> (bool, u8) {
        let sequence = packet.seq.0;
        if packet.flags.start {
            self.resumed = Some(sequence);
        }
        match self.resumed.and_then(|first| sequence.checked_sub(first)).filter(|since| *since < RESUMED_TOLD) {
            Some(since) => {
                (self.newest, self.omitted) = (self.newest.max(Some(sequence)), 0);
                (true, since as u8)
            }
            None => (false, self.step(sequence)),
        }
    }

    /// Notes a packet as sent and says how far behind it the one before was: what was left out on purpose counts, what
    /// this node misses itself does not.
    fn step(&mut self, sequence: u64) -> u8 {
        let back = match self.newest {
            Some(newest) if newest + self.omitted + 1 == sequence => u8::try_from(self.omitted + 1).unwrap_or(1),
            Some(newest) if sequence <= newest => return 0,
            Some(_) => 1,
            None => 0,
        };
        (self.newest, self.omitted) = (Some(sequence), 0);
        back
    }
}

/// The layer whose sequence a layer has: its own, or the lowest's.
fn line(shared: bool, spatial: u8) -> u8 {
    if shared { 0 } else { spatial }
}

/// What is behind the copies of redundant sound; nothing, when it cannot be found.
fn new_sound(payload: &[u8]) -> &[u8] {
    Redundant::parse(payload).ok().and_then(|blocks| payload.get(blocks.primary_at..)).unwrap_or_default()
}

impl Hop {
    /// A node wants a layer of a track. It is served exactly what it would be announced.
    pub(super) fn subscribed(&mut self, from: PeerIndex, name: &TrackName, layer: Layer, alias: Alias, now: Instant) {
        let track = self.room.track(name).filter(|track| self.announces(*track, from));
        let Some(track) = track.filter(|_| layer.spatial < 8 && layer.temporal < 8) else {
            return self.stats.lose(Loss::NotServed, 1);
        };
        let shared = self.room.info(track).is_some_and(|info| info.shared);
        let line = line(shared, layer.spatial);
        let before = self.downstream.by_layer.get(&(track, line, from)).copied();
        let same_alias = self.downstream.by_alias.get(&(from, alias)).copied();
        let newest = match (before, same_alias) {
            // Another temporal layer of the same subscription: the stream goes on.
            (Some(tap), Some(same)) if tap == same => self.downstream.take(tap).and_then(|served| served.newest),
            _ => {
                for old in [before, same_alias].into_iter().flatten() {
                    self.downstream.take(old);
                    self.room.untap(TapId(old), now);
                }
                None
            }
        };
        // `take` gave the place back: it is the next one to be given out.
        let Some(tap) = self.downstream.free_tap() else {
            return self.stats.lose(Loss::TooMany, 1);
        };
        let sound = self.room.info(track).is_some_and(|info| info.kind == Kind::Audio);
        let served = Served { peer: from, alias, track, layer, shared, sound, newest, omitted: 0, resumed: None };
        self.downstream.put(tap, served);
        let Self { room, downstream, peers, stats, .. } = self;
        room.tap(
            TapId(tap),
            track,
            layer,
            &mut |tap, packet| downstream.send(peers, stats, tap, packet, Way::Begin, now),
            now,
        );
        if let Some(clock) = self.clocks.get(&(track, line)).copied() {
            self.say_clock(from, alias, clock);
        }
    }

    pub(super) fn unsubscribed(&mut self, from: PeerIndex, alias: Alias, now: Instant) {
        if let Some(tap) = self.downstream.by_alias.get(&(from, alias)).copied() {
            self.downstream.take(tap);
            self.room.untap(TapId(tap), now);
        }
    }

    /// Nobody downstream gets anything of this node any more.
    pub(super) fn unserve_peer(&mut self, peer: PeerIndex, now: Instant) {
        let taps: Vec<u32> =
            self.downstream.by_alias.iter().filter(|((of, _), _)| *of == peer).map(|(_, tap)| *tap).collect();
        for tap in taps {
            self.downstream.take(tap);
            self.room.untap(TapId(tap), now);
        }
    }

    /// The track is gone; its taps ended with it.
    pub(super) fn unserve_track(&mut self, track: TrackId) {
        let all = (track, 0, PeerIndex(0))..=(track, u8::MAX, PeerIndex(usize::MAX));
        let taps: Vec<u32> = self.downstream.by_layer.range(all).map(|(_, tap)| *tap).collect();
        for tap in taps {
            self.downstream.take(tap);
        }
        self.clocks.retain(|(of, _), _| *of != track);
    }

    pub(super) fn key_frame_wanted(&mut self, from: PeerIndex, alias: Alias, now: Instant) {
        if let Some(served) = self.served(from, alias) {
            self.room.key_frame(served.track, served.layer.spatial, now);
        }
    }

    fn served(&self, from: PeerIndex, alias: Alias) -> Option<Served> {
        let tap = self.downstream.by_alias.get(&(from, alias))?;
        *self.downstream.served.get(*tap as usize)?
    }

    /// Answers a request for repair from the cache.
    pub(super) fn asked_again(&mut self, from: PeerIndex, nack: &Nack<'_>, now: Instant) {
        let Some(tap) = self.downstream.by_alias.get(&(from, nack.alias)).copied() else {
            return self.stats.lose(Loss::UnknownAlias, 1);
        };
        let Some(served) = self.served(from, nack.alias) else { return };
        for sequence in nack.sequences() {
            let Some(packet) = self.room.cached(served.track, served.layer.spatial, SeqNo(sequence), now) else {
                self.stats.lose(Loss::NotInCache, 1);
                continue;
            };
            if served.leaves_out(&packet) {
                self.stats.lose(Loss::NotSubscribed, 1);
                continue;
            }
            let Self { downstream, peers, stats, .. } = self;
            downstream.send(peers, stats, TapId(tap), &packet, Way::Repair, now);
        }
    }

    /// One packet to everybody who wants it, here and downstream.
    pub(super) fn spread(&mut self, packet: &Packet<'_>, downlinks: &mut Downlinks, now: Instant) {
        let shared = self.room.info(packet.track).is_some_and(|info| info.shared);
        self.downstream.pass(packet, shared);
        let Self { room, downstream, peers, stats, .. } = self;
        room.forward(
            packet,
            downlinks,
            &mut |tap, packet| downstream.send(peers, stats, tap, packet, Way::Live, now),
            now,
        );
    }

    /// Tells downstream where a layer's timestamps stand.
    pub(super) fn spread_clock(&mut self, clock: lyceum_media::uplink::SenderClock) {
        self.clocks.insert((clock.track, clock.spatial), clock);
        let told: Vec<(PeerIndex, Alias)> = self.downstream.aliases(clock.track, clock.spatial).collect();
        for (peer, alias) in told {
            self.say_clock(peer, alias, clock);
        }
    }

    fn say_clock(&mut self, peer: PeerIndex, alias: Alias, clock: lyceum_media::uplink::SenderClock) {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        let sampled_us = match clock.at.checked_duration_since(self.zero) {
            Some(after) => micros(after),
            None => -micros(self.zero.duration_since(clock.at)),
        };
        let room = self.config.room.clone();
        self.say(peer, Message::Clock { room, alias, timestamp: clock.timestamp, sampled_us });
    }
}
