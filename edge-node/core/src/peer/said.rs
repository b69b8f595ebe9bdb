//! What a client says over its WebSocket, and what comes of it.

use super::Way;
use super::grants;
use super::negotiate::Intents;
use super::offer::parse;
use crate::door::{Entry, Event, Secret, SocketId};
use crate::drops::Departure;
use crate::shard::Shard;
use crate::signal::saying::Saying;
use crate::signal::{Conversation, Verdict, post};
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::signal::{ClientSays, EdgeSays, LISTEN_MAX, Refusal, RoomMessage, Tile, ToEdge};
use lyceum_wire::token::GrantChange;
use std::time::Instant;

/// Tiles of one `view` at most: far more than a screen shows.
pub const TILES_MAX: usize = 256;
/// Longest candidate line looked at, in bytes: IPv6 with every attribute known stays under it.
pub const CANDIDATE_BYTES_MAX: usize = 512;

/// What a message that was done comes to.
enum Done {
    Well,
    Refused(Refusal, String),
}

impl Shard {
    /// `hello` without `resume`.
    pub(crate) fn open(&mut self, socket: SocketId, entry: Entry, now: Instant) {
        if self.by_socket.contains_key(&socket) {
            tracing::error!(?socket, "a socket was opened twice");
            return;
        }
        let way = Way::Socket(Box::new(Conversation::new(socket, now)));
        let index = match self.enter(entry, way, now) {
            Ok(index) => index,
            Err(sentence) => return self.turn_away(socket, Refusal::Full, sentence),
        };
        self.by_socket.insert(socket, index);
        self.greet(index);
    }

    /// Tells a newcomer everything: who it is, who is there, what was said, which way tracks come.
    fn greet(&mut self, index: u32) {
        let Self { peers, rooms, events, config, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let own = peer.participant.clone();
        let welcome = EdgeSays::Welcome {
            session: peer.secret.0.clone(),
            participant: own.id.clone(),
            room: room.id.clone(),
            grants: peer.grants.clone(),
            edge: config.node.clone(),
            region: config.region.clone(),
            resumed: false,
            seen: 0,
        };
        let Some(conversation) = peer.conversation() else { return };
        conversation.say_once(welcome, events);
        for body in room.introduce(&own) {
            conversation.say_shared(body, events);
        }
        for message in room.hop.history() {
            conversation.say(EdgeSays::Message { message: message.clone() }, events);
        }
        for body in room.all_paths() {
            conversation.say_shared(body, events);
        }
    }

    /// `hello` with `resume`.
    pub(crate) fn resume(&mut self, socket: SocketId, secret: &Secret, seen: u64, now: Instant) {
        let gone = "the session is gone; join again";
        let Some(index) = self.by_secret.get(secret).copied() else {
            return self.turn_away(socket, Refusal::SessionGone, gone);
        };
        let Self { peers, rooms, events, config, by_socket, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get(peer.room) else { return };
        let (participant, grants) = (peer.participant.id.clone(), peer.grants.clone());
        let Some(conversation) = peer.conversation() else {
            return self.turn_away(socket, Refusal::SessionGone, gone);
        };
        if let Some(old) = conversation.socket() {
            by_socket.remove(&old);
            events.push_back(Event::CloseSocket { socket: old });
        }
        let Some(missed) = conversation.resume(socket, seen) else {
            conversation.cut(now);
            self.turn_away(socket, Refusal::SessionGone, "the session is too far behind; join again");
            return self.remove(index, Departure::SocketGone, now);
        };
        let welcome = EdgeSays::Welcome {
            session: secret.0.clone(),
            participant,
            room: room.id.clone(),
            grants,
            edge: config.node.clone(),
            region: config.region.clone(),
            resumed: true,
            seen: conversation.seen(),
        };
        conversation.say_once(welcome, events);
        events.extend(missed.into_iter().map(|message| Event::Say { socket, message }));
        by_socket.insert(socket, index);
        self.touch_peer(index);
    }

    /// Refuses a `hello`.
    fn turn_away(&mut self, socket: SocketId, code: Refusal, sentence: &str) {
        self.refusals.count(code);
        let body = EdgeSays::Refused { code, message: sentence.into(), of: None, fatal: true };
        self.events.push_back(Event::Say { socket, message: Saying::new(0, body) });
        self.events.push_back(Event::CloseSocket { socket });
    }

    /// The socket is gone.
    pub(crate) fn socket_lost(&mut self, socket: SocketId, now: Instant) {
        let Some(index) = self.by_socket.remove(&socket) else { return };
        if let Some(conversation) = self.peers.get_mut(index).and_then(|peer| peer.conversation()) {
            conversation.cut(now);
            self.touch_peer(index);
        }
    }

    /// Something came that nobody could read.
    pub(crate) fn garbled(&mut self, socket: SocketId, code: Refusal, sentence: String, now: Instant) {
        let Some(index) = self.by_socket.get(&socket).copied() else { return };
        let Some(conversation) = self.peers.get_mut(index).and_then(|peer| peer.conversation()) else { return };
        match conversation.take_garbled(code, now) {
            Verdict::End(code, end) => {
                let sentence = if sentence.is_empty() { end.into() } else { sentence };
                self.end(index, code, sentence, None, Departure::Offended, now);
            }
            _ => self.refuse(index, code, sentence, None),
        }
        self.touch_peer(index);
    }

    /// A client said something.
    pub(crate) fn said(&mut self, socket: SocketId, message: ToEdge, now: Instant) {
        let Some(index) = self.by_socket.get(&socket).copied() else { return };
        let Some(conversation) = self.peers.get_mut(index).and_then(|peer| peer.conversation()) else { return };
        let of = (message.seq != 0).then_some(message.seq);
        match conversation.take(&message, now) {
            Verdict::Ignore => {}
            Verdict::Refuse(code, sentence) => self.refuse(index, code, sentence.into(), of),
            Verdict::End(code, sentence) => self.end(index, code, sentence.into(), of, Departure::Offended, now),
            Verdict::Do => {
                if let Done::Refused(code, sentence) = self.act(index, message.body, message.seq, now) {
                    self.refuse(index, code, sentence, of);
                }
            }
        }
        self.touch_peer(index);
    }

    fn act(&mut self, index: u32, body: ClientSays, of: u64, now: Instant) -> Done {
        match body {
            ClientSays::Offer { sdp, publish, slots } => {
                let intents = Intents { publish: &publish, slots: &slots };
                match parse(&sdp).and_then(|offer| self.offer(index, &offer, intents, now)) {
                    Ok(sdp) => self.say(index, EdgeSays::Answer { sdp }),
                    Err(refused) => return Done::Refused(refused.code, refused.message),
                }
            }
            // An ICE-lite edge learns the client's addresses from its checks.
            ClientSays::Candidate { candidate } => {
                if candidate.is_some_and(|line| line.len() > CANDIDATE_BYTES_MAX) {
                    return Done::Refused(Refusal::TooLarge, "the candidate is longer than 512 bytes".into());
                }
            }
            ClientSays::View { tiles, listen } => return self.viewed(index, tiles, listen, now),
            ClientSays::Mute { source, muted } => return self.muted(index, source, muted, now),
            ClientSays::Message { id, kind, body } => return self.posted(index, id, kind, body, now),
            ClientSays::Grant { participant, change } => return self.grant_said(index, participant, change, of, now),
            ClientSays::Ping { t } => self.say_once(index, EdgeSays::Pong { t }),
            ClientSays::Leave => self.leave(index, now),
            ClientSays::Hello { .. } | ClientSays::Ack { .. } => {}
        }
        Done::Well
    }

    fn viewed(&mut self, index: u32, tiles: Vec<Tile>, listen: Vec<ParticipantId>, now: Instant) -> Done {
        if listen.len() > LISTEN_MAX {
            return Done::Refused(Refusal::TooLarge, format!("a view pins at most {LISTEN_MAX} voices"));
        }
        if tiles.len() > TILES_MAX {
            return Done::Refused(Refusal::TooLarge, format!("a view has at most {TILES_MAX} tiles"));
        }
        let Some(peer) = self.peers.get_mut(index) else { return Done::Well };
        if !peer.grants.subscribe {
            return Done::Refused(Refusal::NotAllowed, "the token does not allow to receive".into());
        }
        peer.view = Some(tiles);
        peer.listen = listen;
        self.apply_view(index, now);
        Done::Well
    }

    fn grant_said(
        &mut self,
        index: u32,
        participant: ParticipantId,
        change: GrantChange,
        of: u64,
        now: Instant,
    ) -> Done {
        match self.ask_grant(index, participant, change, of, now) {
            Ok(()) => Done::Well,
            Err(code) => Done::Refused(code, grants::sentence(code).into()),
        }
    }

    fn muted(&mut self, index: u32, source: Source, muted: bool, now: Instant) -> Done {
        if self.mute(index, source, muted, now) {
            return Done::Well;
        }
        let name = super::negotiate::source_name(source);
        Done::Refused(Refusal::NotAllowed, format!("you do not publish {name}"))
    }

    fn posted(&mut self, index: u32, id: String, kind: String, body: serde_json::Value, now: Instant) -> Done {
        let sent_at_ms = self.unix_ms(now);
        let Some(peer) = self.peers.get_mut(index) else { return Done::Well };
        if !peer.grants.message {
            return Done::Refused(Refusal::NotAllowed, "the token does not allow to send messages".into());
        }
        if let Err((code, sentence)) = post::check(&id, &kind, &body) {
            return Done::Refused(code, sentence.into());
        }
        let (from, name, place) = (peer.participant.id.clone(), peer.participant.name.clone(), peer.room);
        let Some(conversation) = peer.conversation() else { return Done::Well };
        let Some(room) = self.rooms.get_mut(place) else { return Done::Well };
        if conversation.posted.has(&id) {
            return Done::Well;
        }
        conversation.posted.note(&id);
        let message = RoomMessage { number: 0, id: id.clone(), from, name, kind, body, sent_at_ms };
        if let Err(refused) = room.hop.post(message) {
            conversation.posted.forget(&id);
            return Done::Refused(Refusal::TooMany, refused.to_string());
        }
        self.touch_room(place);
        Done::Well
    }

    /// `leave`.
    fn leave(&mut self, index: u32, now: Instant) {
        self.remove(index, Departure::Left, now);
    }

    /// Says something to a client that must arrive.
    pub(crate) fn say(&mut self, index: u32, body: EdgeSays) {
        if let Some(conversation) = self.peers.get_mut(index).and_then(|peer| peer.conversation()) {
            conversation.say(body, &mut self.events);
        }
    }

    /// Says something to a client that matters only now.
    pub(crate) fn say_once(&mut self, index: u32, body: EdgeSays) {
        if let Some(conversation) = self.peers.get_mut(index).and_then(|peer| peer.conversation()) {
            conversation.say_once(body, &mut self.events);
        }
    }

    /// Refuses one message; the session goes on.
    pub(crate) fn refuse(&mut self, index: u32, code: Refusal, message: String, of: Option<u64>) {
        self.refusals.count(code);
        self.say(index, EdgeSays::Refused { code, message, of, fatal: false });
    }

    /// Refuses and ends the session.
    pub(crate) fn end(
        &mut self,
        index: u32,
        code: Refusal,
        message: String,
        of: Option<u64>,
        departure: Departure,
        now: Instant,
    ) {
        self.refusals.count(code);
        self.say_once(index, EdgeSays::Refused { code, message, of, fatal: true });
        self.remove(index, departure, now);
    }

    /// Ends the session without blame.
    pub(crate) fn bid_farewell(
        &mut self,
        index: u32,
        message: String,
        rejoin: bool,
        departure: Departure,
        now: Instant,
    ) {
        self.say_once(index, EdgeSays::Bye { message, rejoin });
        self.remove(index, departure, now);
    }
}
