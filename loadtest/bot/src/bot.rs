//! The machine: a participant from `hello` to `leave`.
//!
//! - [`joining`]: offer, answer, keys, grants.
//! - [`showing`]: roster, pages, pins.
//! - [`measuring`]: what was seen, and when.

mod joining;
mod measuring;
mod showing;

pub use measuring::{Hung, Report};

use crate::numbering::Numbering;
use crate::outgoing::Outgoing;
use crate::plan::Plan;
use crate::player::Player;
use bytes::Bytes;
use lyceum_media::{Drop, Received, Ssrc, Uplink, uplink};
use lyceum_session::ice::Credentials;
use lyceum_session::{Config as SessionConfig, Failure, Session};
use lyceum_wire::demux::Class;
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, Participant, RoomMessage, SlotAssignment, Tile, ToClient, ToEdge};
use lyceum_wire::splitmix::next;
use lyceum_wire::token::GrantChange;
use lyceum_wire::{ext, rtcp};
use measuring::{Notes, Slot};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A bot looks after holes, acknowledgements and its view this often.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Sender reports per encoding (RFC 3550 §6.2 asks for about this at these rates).
const SENDER_REPORT_EVERY: Duration = Duration::from_secs(1);
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
    /// … in the order in which they came, and whether they show a camera.
    came: Vec<(ParticipantId, bool)>,
    page: showing::Page,
    /// What the edge was told of the view.
    shown: (Vec<Tile>, Vec<ParticipantId>),
    pins: Vec<ParticipantId>,
    /// What it may publish.
    may: Vec<Source>,
    /// Of its offers.
    version: u64,
    speaking: bool,
    /// The socket that stands has been welcomed: before that nothing but `hello` may be said on it.
    welcomed: bool,
    remote: Option<SocketAddr>,
    outputs: VecDeque<Output>,
    housekeeping: Instant,
    sender_report: Option<Instant>,
    latencies_us: Vec<u32>,
    fills_us: Vec<u32>,
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
            came: Vec::new(),
            page: showing::Page::default(),
            shown: Default::default(),
            pins: Vec::new(),
            may: Vec::new(),
            version: 0,
            speaking: true,
            welcomed: false,
            remote: None,
            outputs: VecDeque::new(),
            housekeeping: now,
            sender_report: None,
            latencies_us: Vec::new(),
            fills_us: Vec::new(),
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
            EdgeSays::Welcome { participant, grants, resumed, .. } => self.welcome(participant, &grants, resumed),
            EdgeSays::Answer { sdp } => self.answer(&sdp, now),
            EdgeSays::Roster { present, gone, .. } => {
                self.roster(present, &gone);
                // As a page does: what is shown is known before the media stand.
                if self.stage >= Stage::Offering {
                    self.look(now);
                }
            }
            EdgeSays::Slots { assigned } => {
                for assignment in assigned {
                    if let Some(slot) = self.mids.get(&assignment.mid).and_then(|&index| self.slots.get_mut(index)) {
                        let SlotAssignment { track, paused, .. } = assignment;
                        self.report.assigned += u64::from(track.is_some() && !paused);
                        slot.assign(track, paused, now);
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
            EdgeSays::Grants { grants, .. } => self.regranted(&grants),
            EdgeSays::Speakers { .. }
            | EdgeSays::Paths { .. }
            | EdgeSays::Demand { .. }
            | EdgeSays::Granted { .. }
            | EdgeSays::Ack { .. }
            | EdgeSays::Pong { .. } => {}
        }
        self.drain(now);
    }

    /// A datagram came to this bot's socket. It is opened in place. After the last one of a batch, [`Self::settle`].
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
    }

    /// All datagrams that were there are in.
    pub fn settle(&mut self, now: Instant) {
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

    /// Changes what somebody may do; for a bot that moderates.
    pub fn grant(&mut self, participant: ParticipantId, change: GrantChange) {
        self.say(ClientSays::Grant { participant, change });
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

    fn media(&mut self, datagram: &mut [u8], now: Instant) {
        match self.uplink.receive(datagram, now) {
            Received::Packet(packet) => {
                let mut notes = Notes {
                    born: self.born,
                    zero: self.config.zero,
                    report: &mut self.report,
                    latencies_us: &mut self.latencies_us,
                    fills_us: &mut self.fills_us,
                };
                measuring::watch(&packet, &mut self.slots, &mut notes, now);
            }
            Received::Rtcp(compound) => {
                let compound = compound.to_vec();
                self.feedback(&compound, now);
            }
            // So an edge tries what its way to us carries.
            Received::Dropped(Drop::ProbePadding | Drop::Duplicate) => self.report.probes += 1,
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
        let below_full = if self.speaking { VOICE_LEVEL } else { ext::AudioLevel::SILENT };
        let level = ext::AudioLevel { below_full, voice: self.speaking };
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
        if let Some(turn) = self.config.plan.turn {
            self.speaking = turn.is_on(now.saturating_duration_since(self.config.zero));
        }
        if self.stage >= Stage::Offering {
            self.look(now);
        }
        self.look_after_slots(now);
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
}

fn ask(players: &mut [Player], ssrc: u32) {
    if let Some(player) = players.iter_mut().find(|player| player.spec().ssrc == ssrc) {
        player.key_frame();
    }
}
