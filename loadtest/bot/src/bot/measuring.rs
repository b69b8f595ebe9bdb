//! What a bot measures: frames, freezes, how soon a slot shows what was put into it, and whether it ever does.

use super::{Bot, SAMPLES_MAX, Stage};
use crate::outgoing::Outgoing;
use crate::player::{Player, Sent};
use crate::stamp::Stamp;
use crate::watch::{Seen, Shown, Watch};
use lyceum_media::{Packet, TrackId};
use lyceum_wire::id::TrackName;
use lyceum_wire::signal::{RoomMessage, SlotKind};
use std::time::{Duration, Instant};

/// A viewer who sees nothing asks for a key frame this often.
const KEY_FRAME_ASK_EVERY: Duration = Duration::from_millis(1_000);
/// A slot that carries a camera and shows no frame of it for this long is frozen: a viewer would say that it hangs.
const FROZEN_AFTER: Duration = Duration::from_secs(3);

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// From birth to connected media.
    pub joined_after: Option<Duration>,
    /// From birth to the first whole key frame of somebody else.
    pub first_frame_after: Option<Duration>,
    /// Video seen, all slots taken together.
    pub seen: Seen,
    /// Packets of sound received.
    pub audio_packets: u64,
    /// Everything sent, all encodings taken together.
    pub sent: Sent,
    /// Packets asked again.
    pub nacked: u64,
    /// Key frames asked for.
    pub key_frames_asked: u64,
    /// Times a camera was put into a slot.
    pub assigned: u64,
    /// Times a slot showed nothing of its camera for [`FROZEN_AFTER`].
    pub frozen: u64,
    /// The first few of them: whose camera, how long after the run's zero, and packets that had come in that slot by then.
    pub hung: Vec<Hung>,
    /// Packets that only try the way: padding, and repeats of what was here already.
    pub probes: u64,
    /// Datagrams that could not be opened, sealed or understood.
    pub faults: u64,
    /// Why it is over, if it ended otherwise than by `leave`.
    pub ended: Option<String>,
}

/// A slot that showed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hung {
    /// Whose camera was in it.
    pub track: TrackName,
    /// When it was counted, since the run's zero.
    pub at: Duration,
    /// It showed something of it before.
    pub shown: bool,
    /// Video packets that had come in the slot by then, from whomever.
    pub packets: u64,
}

/// Slots that showed nothing, kept in words; more are only counted.
const HUNG_MAX: usize = 4;

/// One slot and what was seen in it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: SlotKind,
    pub(super) track: Option<TrackName>,
    pub(super) watch: Watch,
    asked: Option<Instant>,
    tenure: Tenure,
}

/// The time of one track in a slot.
#[derive(Debug, Clone, Copy, Default)]
struct Tenure {
    /// When it was put into it, if something was.
    since: Option<Instant>,
    /// It has been seen.
    shown: bool,
    /// It is counted as frozen when nothing is shown by then.
    frozen_at: Option<Instant>,
}

impl Slot {
    pub(super) fn new(kind: SlotKind) -> Self {
        Self { kind, track: None, watch: Watch::new(), asked: None, tenure: Tenure::default() }
    }

    /// Something else is in it from now on, or nothing of it comes (`paused`), or it comes again.
    pub(super) fn assign(&mut self, track: Option<TrackName>, paused: bool, now: Instant) {
        self.watch.forgive();
        let carries = track.is_some() && !paused && self.kind != SlotKind::Audio;
        self.tenure =
            Tenure { since: carries.then_some(now), shown: false, frozen_at: carries.then(|| now + FROZEN_AFTER) };
        self.track = track;
    }
}

impl Bot {
    /// Latencies of shown frames since the last call, in microseconds.
    pub fn take_latencies_us(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.latencies_us)
    }

    /// How long slots took to show what was put into them, since the last call, in microseconds.
    pub fn take_fills_us(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.fills_us)
    }

    /// Room messages since the last call, in the order they came.
    pub fn take_messages(&mut self) -> Vec<RoomMessage> {
        std::mem::take(&mut self.messages)
    }

    /// What each video slot carries, and what was seen in it.
    pub fn video_slots(&self) -> impl Iterator<Item = (Option<&TrackName>, Seen)> {
        let video = self.slots.iter().filter(|slot| slot.kind == SlotKind::Video);
        video.map(|slot| (slot.track.as_ref(), slot.watch.seen()))
    }

    /// Whose voices are in its slots.
    pub fn voices(&self) -> impl Iterator<Item = &TrackName> {
        self.slots.iter().filter(|slot| slot.kind == SlotKind::Audio).filter_map(|slot| slot.track.as_ref())
    }

    /// What each encoding of the camera sent, smallest first.
    pub fn encodings(&self) -> impl Iterator<Item = Sent> {
        self.players.iter().filter(|player| player.spec().origin.is_some()).map(Player::sent)
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        for slot in &self.slots {
            let seen = slot.watch.seen();
            report.seen.packets += seen.packets;
            report.seen.bytes += seen.bytes;
            report.seen.duplicates += seen.duplicates;
            report.seen.lost += seen.lost;
            report.seen.frames += seen.frames;
            report.seen.key_frames += seen.key_frames;
            report.seen.undecodable += seen.undecodable;
            report.seen.freezes += seen.freezes;
            report.seen.astray += seen.astray;
            report.seen.corrupt += seen.corrupt;
        }
        for sent in self.players.iter().map(Player::sent) {
            report.sent.packets += sent.packets;
            report.sent.bytes += sent.bytes;
            report.sent.frames += sent.frames;
            report.sent.key_frames += sent.key_frames;
            report.sent.repairs += sent.repairs;
            report.sent.key_frames_asked += sent.key_frames_asked;
        }
        report.faults += self.outgoing.as_ref().map_or(0, Outgoing::failed);
        report
    }

    /// Looks after slots that show nothing.
    pub(super) fn look_after_slots(&mut self, now: Instant) {
        let connected = self.stage == Stage::Connected;
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.kind == SlotKind::Audio {
                continue;
            }
            let mut notes = Notes {
                born: self.born,
                zero: self.config.zero,
                report: &mut self.report,
                latencies_us: &mut self.latencies_us,
                fills_us: &mut self.fills_us,
            };
            let Slot { watch, track, tenure, .. } = slot;
            let carries = track.is_some();
            watch.tick(now, |shown| notes.note(shown, carries, tenure));
            if slot.tenure.frozen_at.is_some_and(|at| at <= now) && connected {
                self.report.frozen += 1;
                slot.tenure.frozen_at = None;
                if let Some(track) = slot.track.clone().filter(|_| self.report.hung.len() < HUNG_MAX) {
                    let (at, shown) = (now.saturating_duration_since(self.config.zero), slot.tenure.shown);
                    self.report.hung.push(Hung { track, at, shown, packets: slot.watch.seen().packets });
                }
            }
            let waits = slot.track.is_some() && slot.watch.needs_key_frame() && connected;
            if waits && slot.asked.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_ASK_EVERY) {
                slot.asked = Some(now);
                self.report.key_frames_asked += 1;
                self.uplink.request_key_frame(TrackId(index as u32), 0, now);
            }
        }
    }
}

/// A packet of a slot came.
pub(super) fn watch(packet: &Packet<'_>, slots: &mut [Slot], notes: &mut Notes<'_>, now: Instant) {
    let Some(slot) = slots.get_mut(packet.track.0 as usize) else { return };
    if slot.kind == SlotKind::Audio {
        notes.report.audio_packets += 1;
        return;
    }
    let Slot { watch, track, tenure, .. } = slot;
    let carries = track.is_some();
    watch.take(packet, now, |shown| notes.note(shown, carries, tenure));
}

/// Where it is written down that a frame was shown.
pub(super) struct Notes<'a> {
    pub(super) born: Instant,
    pub(super) zero: Instant,
    pub(super) report: &'a mut Report,
    pub(super) latencies_us: &'a mut Vec<u32>,
    pub(super) fills_us: &'a mut Vec<u32>,
}

impl Notes<'_> {
    fn note(&mut self, shown: Shown, carries: bool, tenure: &mut Tenure) {
        self.report.first_frame_after.get_or_insert(shown.at.saturating_duration_since(self.born));
        let sample = |us: u64| us.min(u64::from(u32::MAX)) as u32;
        if let Some(since) = tenure.since
            && !std::mem::replace(&mut tenure.shown, true)
            && self.fills_us.len() < SAMPLES_MAX
        {
            self.fills_us.push(sample(shown.at.saturating_duration_since(since).as_micros() as u64));
        }
        // A late frame of what is no longer in the slot promises nothing.
        tenure.frozen_at = carries.then(|| shown.at + FROZEN_AFTER);
        // What was sent before the track came into the slot is history that a viewer catches up with, as old as it is.
        let zero = self.zero;
        let is_live =
            |stamp: &Stamp| tenure.since.is_none_or(|since| zero + Duration::from_micros(stamp.sent_us) >= since);
        if let Some(stamp) = shown.stamp.filter(is_live)
            && self.latencies_us.len() < SAMPLES_MAX
        {
            let at_us = shown.at.saturating_duration_since(self.zero).as_micros() as u64;
            self.latencies_us.push(sample(at_us.saturating_sub(stamp.sent_us)));
        }
    }
}
