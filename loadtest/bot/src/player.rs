//! One encoding that a bot sends: a clip cut into RTP packets, kept for repairs, played in real time.

use crate::clip::Clip;
use crate::plan::RIDS;
use crate::stamp::{self, STAMP_BYTES, Stamp};
use lyceum_wire::{ext, rtp, vp8};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Media bytes per packet: with headers, tag and the link's header it fits a QUIC datagram of 1,200 bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1_100;
/// Packets kept for repairs: two seconds of 2 Mbit/s.
const KEPT_PACKETS_MAX: usize = 512;
/// A packet is not repaired twice within this time.
const REPAIR_PAUSE: Duration = Duration::from_millis(30);
/// 20 ms of digital silence, as libopus writes them.
const OPUS_SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];
/// A bot that slept longer than this skips what it missed instead of sending it in one burst.
const LATE_MAX: Duration = Duration::from_millis(500);

/// What one encoding is sent as.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What it plays.
    pub clip: Arc<Clip>,
    /// RTP clock, ticks per second: 90,000 for pictures, 48,000 for sound.
    pub clock_hz: u32,
    /// Payload type.
    pub pt: u8,
    /// Payload type of repairs (RFC 4588).
    pub rtx_pt: Option<u8>,
    /// Source.
    pub ssrc: u32,
    /// Source of repairs.
    pub rtx_ssrc: u32,
    /// mid of its m-line.
    pub mid: String,
    /// rid, for simulcast.
    pub rid: Option<String>,
    /// Ids of header extensions.
    pub extensions: ext::Map,
    /// Who sends, for stamps; sound carries none.
    pub origin: Option<u64>,
    /// Zero of the run: stamps count from here.
    pub zero: Instant,
}

#[derive(Debug)]
struct Kept {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    repaired: Option<Instant>,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets, repairs included.
    pub packets: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// Frames.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Repairs.
    pub repairs: u64,
    /// Key frames asked for.
    pub key_frames_asked: u64,
}

/// One encoding under way.
#[derive(Debug)]
pub struct Player {
    spec: Spec,
    /// When position 0 of the endless loop was due.
    started: Option<Instant>,
    position: u64,
    sequence: u16,
    rtx_sequence: u16,
    timestamp_base: u32,
    picture_id: u16,
    tl0_picture: u8,
    kept: VecDeque<Kept>,
    key_wanted: bool,
    sent: Sent,
}

/// Writes a plain packet into a buffer that the bot then seals: fields, extensions with the bot's transport-wide
/// number, payload in up to two pieces.
pub trait Outlet {
    /// A packet to seal and send.
    fn packet(&mut self, header: Header<'_>, payload: [&[u8]; 2]);
}

/// What the header of an outgoing packet says.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Fixed part.
    pub fields: rtp::Fields,
    /// Spec of the encoding.
    pub spec: &'a Spec,
    /// A repair: the rid goes out as repaired-rid (RFC 8852 §3).
    pub repair: bool,
    /// Loudness, for sound.
    pub level: Option<ext::AudioLevel>,
}

impl Player {
    /// An encoding that has not begun. `seed` makes its starting numbers.
    #[must_use]
    pub fn new(spec: Spec, seed: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = seed.to_be_bytes();
        Self {
            spec,
            started: None,
            position: 0,
            sequence: u16::from_be_bytes([a, b]),
            rtx_sequence: u16::from_be_bytes([c, d]),
            timestamp_base: u32::from_be_bytes([e, f, g, h]),
            picture_id: u16::from_be_bytes([b, d]) & 0x7fff,
            tl0_picture: h,
            kept: VecDeque::new(),
            key_wanted: false,
            sent: Sent::default(),
        }
    }

    /// What it is sent as.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What was sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// The current RTP timestamp at `now`, for a sender report.
    #[must_use]
    pub fn timestamp_at(&self, now: Instant) -> u32 {
        let since = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        self.timestamp(since)
    }

    /// Begins to play.
    pub fn start(&mut self, now: Instant) {
        self.started.get_or_insert(now);
    }

    /// When the next frame is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.started.map(|started| started + self.spec.clip.at(self.position).1)
    }

    /// Somebody cannot decode: the loop jumps to its next key frame.
    pub fn key_frame(&mut self) {
        self.sent.key_frames_asked += 1;
        self.key_wanted = true;
    }

    /// Sends what is due.
    pub fn play(&mut self, now: Instant, level: Option<ext::AudioLevel>, out: &mut impl Outlet) {
        while let Some(due) = self.deadline().filter(|due| *due <= now) {
            if now - due > LATE_MAX {
                self.skip_to(now);
                continue;
            }
            if std::mem::take(&mut self.key_wanted) {
                self.jump_to_key();
            }
            self.frame(now, level, out);
            self.position += 1;
        }
    }

    /// Repairs a packet, if it is still kept.
    pub fn repair(&mut self, sequence: u16, now: Instant, out: &mut impl Outlet) {
        let Some(rtx_pt) = self.spec.rtx_pt else { return };
        let Some(kept) = self.kept.iter_mut().find(|kept| kept.sequence == sequence) else { return };
        if kept.repaired.is_some_and(|at| now.saturating_duration_since(at) < REPAIR_PAUSE) {
            return;
        }
        kept.repaired = Some(now);
        // RFC 4588 §4: the original sequence number goes before the original payload.
        let fields = rtp::Fields {
            marker: kept.marker,
            payload_type: rtx_pt,
            sequence: self.rtx_sequence,
            timestamp: kept.timestamp,
            ssrc: self.spec.rtx_ssrc,
        };
        let header = Header { fields, spec: &self.spec, repair: true, level: None };
        out.packet(header, [&sequence.to_be_bytes(), &kept.payload]);
        self.rtx_sequence = self.rtx_sequence.wrapping_add(1);
        self.sent.packets += 1;
        self.sent.repairs += 1;
    }

    /// The frame shown next becomes a key frame: the loop's clock is moved so that it is due when this one was.
    fn jump_to_key(&mut self) {
        let ahead = self.spec.clip.to_key(self.position);
        let (here, there) = (self.spec.clip.at(self.position).1, self.spec.clip.at(self.position + ahead).1);
        self.position += ahead;
        self.started = self.started.and_then(|started| started.checked_sub(there - here)).or(self.started);
        // RTP time must not jump with it.
        let ticks = self.ticks(there - here);
        self.timestamp_base = self.timestamp_base.wrapping_sub(ticks);
    }

    /// Too late for a while: go on with the key frame that follows, at the present time.
    fn skip_to(&mut self, now: Instant) {
        while self.deadline().is_some_and(|due| due < now) {
            self.position += 1;
        }
        self.key_wanted = true;
    }

    fn ticks(&self, since: Duration) -> u32 {
        let ticks = since.as_nanos() * u128::from(self.spec.clock_hz) / 1_000_000_000;
        (ticks & u128::from(u32::MAX)) as u32
    }

    fn timestamp(&self, since: Duration) -> u32 {
        self.timestamp_base.wrapping_add(self.ticks(since))
    }

    fn frame(&mut self, now: Instant, level: Option<ext::AudioLevel>, out: &mut impl Outlet) {
        let clip = Arc::clone(&self.spec.clip);
        let (frame, since) = clip.at(self.position);
        let timestamp = self.timestamp(since);
        let Some(origin) = self.spec.origin else {
            let silent = level.is_some_and(|level| level.below_full == ext::AudioLevel::SILENT);
            let sound = if silent { OPUS_SILENCE } else { &frame.bytes };
            self.packet(timestamp, self.sent.frames == 0, &[], sound, level, out);
            self.sent.frames += 1;
            return;
        };
        let sent_us = now.saturating_duration_since(self.spec.zero).as_micros() as u64;
        let rid = self.spec.rid.as_deref();
        let encoding = RIDS.iter().position(|known| Some(*known) == rid).unwrap_or(0) as u8;
        let mut stamp = Stamp { origin, sent_us, frame: self.sent.frames as u32, encoding, check: 0 };
        let mut rest: &[u8] = &frame.bytes;
        let mut tail = Vec::with_capacity(PAYLOAD_BYTES_MAX);
        let mut start = true;
        loop {
            let last = rest.len() + STAMP_BYTES <= PAYLOAD_BYTES_MAX;
            // The stamp is never cut in two: a frame that ends just short of the bound gives its last bytes to one packet more.
            let take = if last { rest.len() } else { rest.len().min(PAYLOAD_BYTES_MAX).min(rest.len() - 1) };
            let (piece, more) = rest.split_at(take);
            tail.clear();
            tail.extend_from_slice(piece);
            stamp.check = stamp.check.wrapping_add(stamp::check(piece));
            if last {
                tail.extend_from_slice(&stamp.bytes());
            }
            let descriptor = vp8::Fields {
                frame_start: start,
                non_reference: false,
                picture_id: self.picture_id,
                tl0_picture: self.tl0_picture,
                temporal: 0,
                layer_sync: false,
            };
            self.packet(timestamp, last, &descriptor.to_bytes(), &tail, None, out);
            start = false;
            rest = more;
            if last {
                break;
            }
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0_picture = self.tl0_picture.wrapping_add(1);
        self.sent.frames += 1;
        self.sent.key_frames += u64::from(frame.key);
    }

    fn packet(
        &mut self,
        timestamp: u32,
        marker: bool,
        descriptor: &[u8],
        media: &[u8],
        level: Option<ext::AudioLevel>,
        out: &mut impl Outlet,
    ) {
        let fields = rtp::Fields {
            marker,
            payload_type: self.spec.pt,
            sequence: self.sequence,
            timestamp,
            ssrc: self.spec.ssrc,
        };
        out.packet(Header { fields, spec: &self.spec, repair: false, level }, [descriptor, media]);
        if self.spec.rtx_pt.is_some() {
            let payload = [descriptor, media].concat();
            self.kept.push_back(Kept { sequence: self.sequence, timestamp, marker, payload, repaired: None });
            if self.kept.len() > KEPT_PACKETS_MAX {
                self.kept.pop_front();
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.sent.packets += 1;
        self.sent.bytes += (descriptor.len() + media.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Tape(Vec<(rtp::Fields, Vec<u8>, bool)>);

    impl Outlet for Tape {
        fn packet(&mut self, header: Header<'_>, payload: [&[u8]; 2]) {
            self.0.push((header.fields, payload.concat(), header.repair));
        }
    }

    fn player(zero: Instant) -> Player {
        let clip = Arc::new(Clip::made_up(1, 320, 180, 800_000, 30, 4));
        let spec = Spec {
            clip,
            clock_hz: 90_000,
            pt: 96,
            rtx_pt: Some(97),
            ssrc: 1,
            rtx_ssrc: 2,
            mid: "1".into(),
            rid: None,
            extensions: ext::Map::new(),
            origin: Some(5),
            zero,
        };
        let mut player = Player::new(spec, 0xffff_ffff_ffff_fff0);
        player.start(zero);
        player
    }

    fn play_for(player: &mut Player, zero: Instant, from_ms: u64, to_ms: u64, tape: &mut Tape) {
        for ms in from_ms..to_ms {
            player.play(zero + Duration::from_millis(ms), None, tape);
        }
    }

    #[test]
    fn a_second_of_video_is_thirty_frames_cut_into_packets_with_a_stamp_behind_each() {
        let zero = Instant::now();
        let (mut player, mut tape) = (player(zero), Tape::default());
        play_for(&mut player, zero, 0, 1_000, &mut tape);
        assert_eq!(player.sent().frames, 30);
        let ends: Vec<_> = tape.0.iter().filter(|(fields, ..)| fields.marker).collect();
        assert_eq!(ends.len(), 30);
        for (n, (_, payload, _)) in ends.iter().enumerate() {
            let stamp = Stamp::read(payload).unwrap();
            assert_eq!((stamp.origin, stamp.frame), (5, n as u32));
        }
        let mut expected = 0xffff;
        for (fields, payload, _) in &tape.0 {
            assert_eq!(fields.sequence, expected);
            expected = expected.wrapping_add(1);
            assert!(payload.len() <= PAYLOAD_BYTES_MAX + vp8::WRITTEN_BYTES);
        }
    }

    #[test]
    fn a_wish_for_a_key_frame_is_met_by_the_next_frame_and_time_goes_on_evenly() {
        let zero = Instant::now();
        let (mut player, mut tape) = (player(zero), Tape::default());
        play_for(&mut player, zero, 0, 500, &mut tape);
        let before = player.sent();
        player.key_frame();
        play_for(&mut player, zero, 500, 540, &mut tape);
        assert_eq!(player.sent().key_frames, before.key_frames + 1);
        play_for(&mut player, zero, 540, 1_000, &mut tape);
        let mut times: Vec<_> = tape.0.iter().map(|(fields, ..)| fields.timestamp).collect();
        times.dedup();
        assert!(times.windows(2).all(|pair| (2_990..=3_010).contains(&pair[1].wrapping_sub(pair[0]))), "{times:?}");
    }

    #[test]
    fn a_repair_carries_the_old_number_and_is_not_sent_twice_at_once() {
        let zero = Instant::now();
        let (mut player, mut tape) = (player(zero), Tape::default());
        play_for(&mut player, zero, 0, 100, &mut tape);
        let (original, payload, _) = tape.0[1].clone();
        tape.0.clear();
        let now = zero + Duration::from_millis(100);
        player.repair(original.sequence, now, &mut tape);
        player.repair(original.sequence, now, &mut tape);
        player.repair(original.sequence.wrapping_sub(100), now, &mut tape);
        let [(fields, repaired, true)] = tape.0.as_slice() else { panic!("{:?}", tape.0.len()) };
        assert_eq!((fields.payload_type, fields.ssrc, fields.timestamp), (97, 2, original.timestamp));
        assert_eq!(rtp::retransmitted(repaired), Some((original.sequence, payload.as_slice())));
    }

    #[test]
    fn a_bot_that_slept_skips_instead_of_bursting() {
        let zero = Instant::now();
        let (mut player, mut tape) = (player(zero), Tape::default());
        play_for(&mut player, zero, 0, 100, &mut tape);
        let before = player.sent().frames;
        player.play(zero + Duration::from_secs(3), None, &mut tape);
        player.play(zero + Duration::from_millis(3_040), None, &mut tape);
        assert!(player.sent().frames - before <= 2);
    }
}
