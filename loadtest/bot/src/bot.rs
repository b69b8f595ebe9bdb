//! The machine: a participant from `hello` to `leave`.

use crate::numbering::Numbering;
use crate::outgoing::{Outgoing, keys};
use crate::plan::{self, Plan};
use crate::player::{Player, Sent, Spec};
use crate::watch::{Seen, Shown, Watch};
use bytes::Bytes;
use lyceum_media::uplink::{self, Encoding, KeyFrameAsk, PayloadType, Publication};
use lyceum_media::{Codec, Received, Ssrc, TrackId, Uplink};
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{Answer, LineKind, MediaLine, Offer, Origin};
use lyceum_session::{Config as SessionConfig, Failure, Session, SrtpKeys};
use lyceum_wire::demux::Class;
use lyceum_wire::id::{ParticipantId, Source, TrackName};
use lyceum_wire::signal::{ClientSays, EdgeSays, Participant, RoomMessage, SlotKind, Tile, ToClient, ToEdge};
use lyceum_wire::{ext, rtcp};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A bot looks after holes, acknowledgements and its view this often.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Sender reports per encoding (RFC 3550 §6.2 asks for about this at these rates).
const SENDER_REPORT_EVERY: Duration = Duration::from_secs(1);
/// A viewer who sees nothing asks for a key frame this often.
const KEY_FRAME_ASK_EVERY: Duration = Duration::from_millis(1_000);
/// Latency samples and room messages kept until somebody takes them.
const SAMPLES_MAX: usize = 8_192;
/// Loudness of a bot that speaks, in −dBov.
const VOICE_LEVEL: u8 = 30;
/// NTP time of the run's zero, as good as any: 2026-01-01 in seconds since 1900.
const NTP_AT_ZERO: u64 = 3_976_214_400 << 32;

/// What a bot is told at its birth.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its join token.
    pub token: String,
    /// What it shows and wants to see.
    pub plan: Plan,
    /// Its own address, as its socket has it.
    pub local: SocketAddr,
    /// Makes its credentials and numbers.
    pub seed: u64,
    /// Its number in the run, for stamps.
    pub origin: u64,
    /// Zero of the run.
    pub zero: Instant,
}

/// How far a bot came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Waits for `welcome`.
    Knocking,
    /// Has offered, waits for the answer.
    Offering,
    /// ICE and DTLS are under way.
    Connecting,
    /// Media flow.
    Connected,
    /// Refused, failed, or left.
    Over,
}

/// What a bot wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Say this on the socket.
    Say(Box<ToEdge>),
    /// Send this datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// The datagram.
        bytes: Bytes,
    },
}

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
    /// Datagrams that could not be opened, sealed or understood.
    pub faults: u64,
    /// Why it is over, if it ended otherwise than by `leave`.
    pub ended: Option<String>,
}

#[derive(Debug)]
struct Slot {
    kind: SlotKind,
    track: Option<TrackName>,
    watch: Watch,
    asked: Option<Instant>,
}

/// A light participant.
pub struct Bot {
    config: Config,
    born: Instant,
    session_config: SessionConfig,
    ice: Credentials,
    stage: Stage,
    numbers: Numbering,
    session: Option<Session>,
    uplink: Uplink,
    outgoing: Option<Outgoing>,
    extensions: ext::Map,
    slots: Vec<Slot>,
    mids: BTreeMap<String, usize>,
    players: Vec<Player>,
    me: Option<ParticipantId>,
    others: BTreeMap<ParticipantId, Participant>,
    shown: Vec<Tile>,
    speaking: bool,
    /// The socket that stands has been welcomed: before that nothing but `hello` may be said on it.
    welcomed: bool,
    remote: Option<SocketAddr>,
    outputs: VecDeque<Output>,
    housekeeping: Instant,
    sender_report: Option<Instant>,
    latencies_us: Vec<u32>,
    messages: Vec<RoomMessage>,
    report: Report,
    chat: u64,
    compound: Vec<u8>,
}

impl Bot {
    /// A bot that has yet to get a socket: call [`Bot::socket_opened`].
    #[must_use]
    pub fn new(config: Config, session_config: &SessionConfig, now: Instant) -> Self {
        let mut random = config.seed;
        let bytes: [u8; 24] = std::array::from_fn(|_| (next(&mut random) >> 32) as u8);
        let feedback_ssrc = Ssrc(next(&mut random) as u32 | 1);
        let uplink = Uplink::new(uplink::Config { extensions: ext::Map::new(), feedback_ssrc }, now);
        Self {
            born: now,
            session_config: session_config.clone(),
            ice: Credentials::from_random(bytes),
            stage: Stage::Knocking,
            numbers: Numbering::new(config.token.clone()),
            session: None,
            uplink,
            outgoing: None,
            extensions: ext::Map::new(),
            slots: Vec::new(),
            mids: BTreeMap::new(),
            players: Vec::new(),
            me: None,
            others: BTreeMap::new(),
            shown: Vec::new(),
            speaking: true,
            welcomed: false,
            remote: None,
            outputs: VecDeque::new(),
            housekeeping: now,
            sender_report: None,
            latencies_us: Vec::new(),
            messages: Vec::new(),
            report: Report::default(),
            chat: 0,
            compound: Vec::new(),
            config,
        }
    }

    /// A socket stands, the first one or one after a cut.
    pub fn socket_opened(&mut self) {
        self.welcomed = false;
        let hello = self.numbers.hello();
        self.outputs.push_back(Output::Say(Box::new(hello)));
    }

    /// The edge said something.
    pub fn hear(&mut self, message: ToClient, now: Instant) {
        let Some(body) = self.numbers.hear(message) else { return };
        match body {
            EdgeSays::Welcome { participant, resumed, .. } => self.welcome(participant, resumed),
            EdgeSays::Answer { sdp } => self.answer(&sdp, now),
            EdgeSays::Roster { present, gone, .. } => self.roster(present, &gone),
            EdgeSays::Slots { assigned } => {
                for assignment in assigned {
                    if let Some(slot) = self.mids.get(&assignment.mid).and_then(|&index| self.slots.get_mut(index)) {
                        slot.watch.forgive();
                        slot.track = assignment.track;
                    }
                }
            }
            EdgeSays::Message { message } => {
                if self.messages.len() < SAMPLES_MAX {
                    self.messages.push(message);
                }
            }
            EdgeSays::Refused { code, message, fatal, .. } => {
                if fatal {
                    self.end(format!("refused ({code:?}): {message}"));
                }
            }
            EdgeSays::Bye { message, .. } => self.end(format!("bye: {message}")),
            EdgeSays::Speakers { .. }
            | EdgeSays::Paths { .. }
            | EdgeSays::Demand { .. }
            | EdgeSays::Ack { .. }
            | EdgeSays::Pong { .. } => {}
        }
        self.drain(now);
    }

    /// A datagram came to this bot's socket. It is opened in place.
    pub fn datagram(&mut self, from: SocketAddr, datagram: &mut [u8], now: Instant) {
        match Class::of(datagram) {
            Some(Class::Stun | Class::Dtls) => {
                if let Some(session) = &mut self.session {
                    session.handle(from, self.config.local, datagram, now);
                }
            }
            Some(Class::Rtp | Class::Rtcp) => self.media(datagram, now),
            Some(Class::Channel) | None => self.report.faults += 1,
        }
        self.drain(now);
    }

    /// The time [`Bot::deadline`] named has come.
    pub fn tick(&mut self, now: Instant) {
        if let Some(session) = self.session.as_mut().filter(|session| session.deadline().is_some_and(|at| at <= now)) {
            session.handle_timeout(now);
        }
        self.drain_session(now);
        if self.stage == Stage::Connected {
            self.play(now);
            self.sender_reports(now);
        }
        if self.housekeeping <= now {
            self.housekeeping = now + HOUSEKEEPING;
            self.keep_house(now);
        }
        self.drain(now);
    }

    /// What it wants done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Bot::tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.stage == Stage::Over {
            return None;
        }
        let mut deadline = self.housekeeping;
        let mut at_most = |at: Option<Instant>| deadline = at.map_or(deadline, |at| at.min(deadline));
        at_most(self.session.as_ref().and_then(Session::deadline));
        if self.stage == Stage::Connected {
            at_most(self.uplink.deadline());
            at_most(self.sender_report);
            at_most(self.players.iter().filter_map(Player::deadline).min());
        }
        Some(deadline)
    }

    /// Says something to the room; returns the id it was given.
    pub fn chat(&mut self, text: &str) -> String {
        self.chat += 1;
        let id = format!("{}-{}", self.config.origin, self.chat);
        let body = serde_json::json!({ "text": text });
        self.say(ClientSays::Message { id: id.clone(), kind: "chat".into(), body });
        id
    }

    /// Speaks from now on, or is silent (sound flows in both cases).
    pub fn speak(&mut self, speaking: bool) {
        self.speaking = speaking;
    }

    /// Leaves for good.
    pub fn leave(&mut self, now: Instant) {
        self.say(ClientSays::Leave);
        if let Some(session) = &mut self.session {
            session.close(now);
        }
        self.drain_session(now);
        self.stage = Stage::Over;
    }

    /// How far it came.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Who it is in the room, once welcomed.
    #[must_use]
    pub fn participant(&self) -> Option<&ParticipantId> {
        self.me.as_ref()
    }

    /// Everybody else it knows of.
    #[must_use]
    pub fn others(&self) -> &BTreeMap<ParticipantId, Participant> {
        &self.others
    }

    /// Latencies of shown frames since the last call, in microseconds.
    pub fn take_latencies_us(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.latencies_us)
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

    fn say(&mut self, body: ClientSays) {
        // What is said before the welcome is said again after it, with all that the edge has not seen.
        let message = self.numbers.say(body);
        if self.welcomed {
            self.outputs.push_back(Output::Say(Box::new(message)));
        }
    }

    fn end(&mut self, why: String) {
        self.report.ended.get_or_insert(why);
        self.stage = Stage::Over;
    }

    fn welcome(&mut self, participant: ParticipantId, resumed: bool) {
        self.me = Some(participant);
        self.welcomed = true;
        if resumed {
            let again = self.numbers.unseen().cloned().map(|message| Output::Say(Box::new(message)));
            self.outputs.extend(again.collect::<Vec<_>>());
            return;
        }
        let lines = self.config.plan.lines();
        let origin = Origin { id: self.config.seed >> 1, version: 1 };
        let offer = Offer::new(origin, self.ice.clone(), self.session_config.fingerprint(), &lines.offer);
        self.slots = lines.slots.iter().map(|line| Slot::new(line.kind)).collect();
        self.mids = lines.slots.iter().enumerate().map(|(index, line)| (line.mid.clone(), index)).collect();
        self.stage = Stage::Offering;
        self.say(ClientSays::Offer { sdp: offer.write(), publish: lines.publish, slots: lines.slots });
    }

    fn answer(&mut self, sdp: &str, now: Instant) {
        if self.stage != Stage::Offering {
            return;
        }
        let answer = match Answer::parse(sdp) {
            Ok(answer) => answer,
            Err(error) => return self.end(format!("the answer cannot be read: {error}")),
        };
        self.extensions = plan::agreed_extensions(&answer);
        self.receive(&answer, now);
        self.publish(&answer);
        let candidates: Vec<SocketAddr> = answer.candidates.iter().map(|candidate| candidate.address).collect();
        let mut session = Session::client(
            &self.session_config,
            self.ice.clone(),
            answer.remote(),
            self.config.local,
            &candidates,
            self.config.seed,
            now,
        );
        session.handle_timeout(now);
        self.session = Some(session);
        self.stage = Stage::Connecting;
    }

    /// Slots become publications of our own receiving side: the edge is the publisher.
    fn receive(&mut self, answer: &Answer, now: Instant) {
        let feedback_ssrc = Ssrc((self.config.seed as u32) | 1);
        self.uplink.configure(uplink::Config { extensions: self.extensions.clone(), feedback_ssrc });
        for (mid, &index) in &self.mids {
            let Some(line) = answer.line(mid).filter(|line| !line.rejected) else { continue };
            self.uplink.publish(slot_publication(line, TrackId(index as u32)), now);
        }
    }

    fn publish(&mut self, answer: &Answer) {
        let mut random = self.config.seed.rotate_left(17) | 1;
        let lines = self.config.plan.lines();
        for line in lines.publish {
            if answer.line(&line.mid).is_none_or(|answered| answered.rejected) {
                continue;
            }
            let clips = match line.source {
                Source::Microphone => self.config.plan.microphone.iter().cloned().collect(),
                _ => self.config.plan.camera.clone(),
            };
            let sound = line.source == Source::Microphone;
            let simulcast = clips.len() > 1;
            for (clip, rid) in clips.into_iter().zip(plan::RIDS) {
                let spec = Spec {
                    clip: Arc::clone(&clip),
                    clock_hz: if sound { 48_000 } else { 90_000 },
                    pt: if sound { plan::OPUS_PT } else { plan::VP8_PT },
                    rtx_pt: (!sound).then_some(plan::RTX_PT),
                    ssrc: next(&mut random) as u32,
                    rtx_ssrc: next(&mut random) as u32,
                    mid: line.mid.clone(),
                    rid: simulcast.then(|| rid.to_owned()),
                    extensions: self.extensions.clone(),
                    origin: (!sound).then_some(self.config.origin),
                    zero: self.config.zero,
                };
                self.players.push(Player::new(spec, next(&mut random)));
            }
        }
    }

    fn roster(&mut self, present: Vec<Participant>, gone: &[ParticipantId]) {
        for participant in present {
            self.others.insert(participant.id.clone(), participant);
        }
        for id in gone {
            self.others.remove(id);
        }
        if let Some(me) = &self.me {
            self.others.remove(me);
        }
    }

    /// Shows as many cameras as it has slots for.
    fn look(&mut self) {
        let (width, height) = self.config.plan.tile;
        let shows = |person: &&Participant| person.publishes.iter().any(|track| track.source == Source::Camera);
        let tiles = self.others.values().filter(shows).take(usize::from(self.config.plan.video_slots));
        let track = |person: &Participant| TrackName { participant: person.id.clone(), source: Source::Camera };
        let tiles: Vec<Tile> = tiles.map(|person| Tile { track: track(person), width, height }).collect();
        if tiles != self.shown && self.stage != Stage::Over {
            self.shown.clone_from(&tiles);
            self.say(ClientSays::View { tiles });
        }
    }

    fn media(&mut self, datagram: &mut [u8], now: Instant) {
        match self.uplink.receive(datagram, now) {
            Received::Packet(packet) => {
                let Some(slot) = self.slots.get_mut(packet.track.0 as usize) else { return };
                if slot.kind == SlotKind::Audio {
                    self.report.audio_packets += 1;
                    return;
                }
                let (born, zero) = (self.born, self.config.zero);
                let (report, latencies) = (&mut self.report, &mut self.latencies_us);
                slot.watch.take(&packet, now, |shown| note(shown, born, zero, report, latencies));
            }
            Received::Rtcp(compound) => {
                let compound = compound.to_vec();
                self.feedback(&compound, now);
            }
            Received::Dropped(_) => self.report.faults += 1,
        }
    }

    /// What the edge says of what we send.
    fn feedback(&mut self, compound: &[u8], now: Instant) {
        let Some(outgoing) = &mut self.outgoing else { return };
        outgoing.at(now);
        for packet in rtcp::Compound::new(compound).flatten() {
            match packet {
                rtcp::Packet::Nack { media, lost, .. } => {
                    if let Some(player) = self.players.iter_mut().find(|player| player.spec().ssrc == media) {
                        lost.for_each(|sequence| player.repair(sequence, now, outgoing));
                    }
                }
                rtcp::Packet::PictureLoss { media, .. } => ask(&mut self.players, media),
                rtcp::Packet::FullIntra { entries, .. } => {
                    entries.for_each(|entry| ask(&mut self.players, entry.ssrc));
                }
                _ => {}
            }
        }
    }

    fn play(&mut self, now: Instant) {
        let Some(outgoing) = &mut self.outgoing else { return };
        outgoing.at(now);
        let level = ext::AudioLevel { below_full: if self.speaking { VOICE_LEVEL } else { 127 }, voice: self.speaking };
        for player in &mut self.players {
            player.play(now, Some(level), outgoing);
        }
    }

    fn sender_reports(&mut self, now: Instant) {
        let Some(outgoing) = &mut self.outgoing else { return };
        if self.sender_report.is_none_or(|at| at > now) {
            return;
        }
        self.sender_report = Some(now + SENDER_REPORT_EVERY);
        let since = now.saturating_duration_since(self.config.zero);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        for player in &self.players {
            let sent = player.sent();
            let info = rtcp::SenderInfo {
                sender: player.spec().ssrc,
                ntp: NTP_AT_ZERO.wrapping_add(since.as_secs() << 32).wrapping_add(fraction),
                rtp_timestamp: player.timestamp_at(now),
                packets: sent.packets as u32,
                octets: sent.bytes as u32,
            };
            let mut buffer = [0; 256];
            let mut writer = rtcp::Writer::new(&mut buffer);
            let cname = "bot";
            if writer.sender_report(&info, &[]).is_ok() && writer.description(info.sender, cname).is_ok() {
                outgoing.rtcp(writer.written());
            }
        }
    }

    fn keep_house(&mut self, now: Instant) {
        if self.welcomed
            && let Some(ack) = self.numbers.ack()
        {
            self.outputs.push_back(Output::Say(Box::new(ack)));
        }
        if self.stage >= Stage::Offering {
            self.look();
        }
        let (born, zero) = (self.born, self.config.zero);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.kind == SlotKind::Audio {
                continue;
            }
            let (report, latencies) = (&mut self.report, &mut self.latencies_us);
            slot.watch.tick(now, |shown| note(shown, born, zero, report, latencies));
            let waits = slot.track.is_some() && slot.watch.needs_key_frame() && self.stage == Stage::Connected;
            if waits && slot.asked.is_none_or(|at| now.saturating_duration_since(at) >= KEY_FRAME_ASK_EVERY) {
                slot.asked = Some(now);
                self.report.key_frames_asked += 1;
                self.uplink.request_key_frame(TrackId(index as u32), 0, now);
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        self.drain_session(now);
        let (Some(outgoing), Some(to)) = (&mut self.outgoing, self.remote) else { return };
        outgoing.at(now);
        while self.uplink.poll_rtcp(&mut self.compound, now) {
            for packet in rtcp::Compound::new(&self.compound).flatten() {
                if let rtcp::Packet::Nack { lost, .. } = packet {
                    self.report.nacked += lost.count() as u64;
                }
            }
            outgoing.rtcp(&self.compound);
        }
        while let Some(bytes) = outgoing.poll() {
            self.outputs.push_back(Output::Transmit { to, bytes });
        }
    }

    fn drain_session(&mut self, now: Instant) {
        while let Some(output) = self.session.as_mut().and_then(Session::poll) {
            match output {
                lyceum_session::Output::Transmit { pair, bytes } => {
                    self.outputs.push_back(Output::Transmit { to: pair.remote, bytes });
                }
                lyceum_session::Output::Selected { pair } => self.remote = Some(pair.remote),
                lyceum_session::Output::Connected { srtp } => self.connected(srtp, now),
                lyceum_session::Output::Failed { why: Failure::Closed } if self.stage == Stage::Over => {}
                lyceum_session::Output::Failed { why } => self.end(format!("media failed: {why}")),
                lyceum_session::Output::ChannelOpen { .. }
                | lyceum_session::Output::ChannelMessage { .. }
                | lyceum_session::Output::ChannelClosed { .. } => {}
            }
        }
    }

    fn connected(&mut self, srtp: Option<SrtpKeys>, now: Instant) {
        let Some(srtp) = srtp else { return self.end("no SRTP profile was agreed".into()) };
        let outgoing = Outgoing::new(&keys(srtp.profile, &srtp.local), self.config.zero);
        let incoming = self.uplink.set_keys(&keys(srtp.profile, &srtp.remote));
        match (outgoing, incoming) {
            (Ok(outgoing), Ok(())) => self.outgoing = Some(outgoing),
            _ => return self.end("the SRTP keys have the wrong length".into()),
        }
        self.stage = Stage::Connected;
        self.report.joined_after = Some(now.saturating_duration_since(self.born));
        self.sender_report = Some(now);
        for player in &mut self.players {
            player.start(now);
        }
    }
}

impl Slot {
    fn new(kind: SlotKind) -> Self {
        Self { kind, track: None, watch: Watch::new(), asked: None }
    }
}

fn ask(players: &mut [Player], ssrc: u32) {
    if let Some(player) = players.iter_mut().find(|player| player.spec().ssrc == ssrc) {
        player.key_frame();
    }
}

fn note(shown: Shown, born: Instant, zero: Instant, report: &mut Report, latencies_us: &mut Vec<u32>) {
    report.first_frame_after.get_or_insert(shown.at.saturating_duration_since(born));
    if let Some(stamp) = shown.stamp {
        let at_us = shown.at.saturating_duration_since(zero).as_micros() as u64;
        if latencies_us.len() < SAMPLES_MAX {
            latencies_us.push(at_us.saturating_sub(stamp.sent_us).min(u64::from(u32::MAX)) as u32);
        }
    }
}

fn slot_publication(line: &MediaLine, track: TrackId) -> Publication {
    let fid = line.groups.iter().find(|group| group.semantics == "FID");
    let ssrc = line.ssrcs.first().map(|source| Ssrc(source.ssrc));
    let rtx_ssrc = fid.and_then(|group| group.ssrcs.get(1)).map(|&ssrc| Ssrc(ssrc));
    let media = line.codecs.iter().filter(|codec| codec.rtx_for().is_none());
    let payload_types = media.map(|codec| PayloadType {
        pt: codec.pt,
        rtx_pt: line.rtx_of(codec.pt),
        codec: Codec::of(&codec.name),
        clock_hz: codec.clock,
    });
    let video = line.kind == LineKind::Video;
    Publication {
        mid: line.mid.clone(),
        track,
        payload_types: payload_types.collect(),
        encodings: vec![Encoding { spatial: 0, rid: None, ssrc, rtx_ssrc }],
        nack: video,
        keyframe: if video { KeyFrameAsk::Pli } else { KeyFrameAsk::Never },
    }
}

/// SplitMix64: each call a new number.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
