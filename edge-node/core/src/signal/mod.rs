//! One client's conversation over a WebSocket that may be cut and come back.
//!
//! What comes in is numbered, rated and answered; what goes out is numbered and kept until acknowledged. What the
//! messages mean for room and media is decided in [`crate::peer`] and [`crate::room`].

pub mod numbering;
pub mod post;
pub mod rate;
pub mod roster;
pub mod saying;

use crate::door::{Event, SocketId};
use lyceum_wire::signal::{ClientSays, EdgeSays, RESUME_MS, Refusal, ToEdge};
use numbering::{Numbering, Place};
use post::Posted;
use rate::Bucket;
use saying::{Body, Saying};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An acknowledgement waits this long for further messages to acknowledge with it.
pub const ACK_AFTER: Duration = Duration::from_millis(200);

/// What to do with a message that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Do what it says.
    Do,
    /// Nothing: it was done before the cut, or it was dealt with here.
    Ignore,
    /// Refuse it and go on.
    Refuse(Refusal, &'static str),
    /// Refuse it and end the session.
    End(Refusal, &'static str),
}

/// The conversation with one client.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: Option<SocketId>,
    cut_at: Option<Instant>,
    ack_at: Option<Instant>,
    numbering: Numbering,
    pub(crate) posted: Posted,
    messages: Bucket,
    posts: Bucket,
    offers: Bucket,
    offences: Bucket,
}

impl Conversation {
    pub(crate) fn new(socket: SocketId, now: Instant) -> Self {
        Self {
            socket: Some(socket),
            cut_at: None,
            ack_at: None,
            numbering: Numbering::default(),
            posted: Posted::default(),
            messages: Bucket::new(rate::MESSAGES_PER_SECOND, rate::MESSAGES_BURST, now),
            posts: Bucket::new(rate::POSTS_PER_SECOND, rate::POSTS_BURST, now),
            offers: Bucket::new(rate::OFFERS_PER_SECOND, rate::OFFERS_BURST, now),
            offences: Bucket::new(rate::OFFENCES_FORGIVEN_PER_SECOND, rate::OFFENCES_MAX, now),
        }
    }

    /// A message came: is it to be done?
    pub(crate) fn take(&mut self, message: &ToEdge, now: Instant) -> Verdict {
        let place = self.numbering.take(message);
        if message.seq != 0 {
            self.ack_at.get_or_insert(now + ACK_AFTER);
        }
        if place == Place::OutOfTurn {
            // Nothing after a hole could be trusted to be whole.
            return Verdict::End(Refusal::Malformed, "the number of the message is out of turn");
        }
        if !self.messages.take(now) {
            return self.offence(Refusal::TooMany, "too many messages", now);
        }
        if place == Place::Repeat {
            return Verdict::Ignore;
        }
        match &message.body {
            ClientSays::Hello { .. } => self.offence(Refusal::Malformed, "hello was said already", now),
            ClientSays::Message { .. } if !self.posts.take(now) => {
                self.offence(Refusal::TooMany, "too many messages to the room", now)
            }
            ClientSays::Offer { .. } if !self.offers.take(now) => {
                self.offence(Refusal::TooMany, "too many offers", now)
            }
            ClientSays::Ack { seen } if !self.numbering.acknowledged(*seen) => {
                self.offence(Refusal::Malformed, "the acknowledged message was never sent", now)
            }
            ClientSays::Ack { .. } => Verdict::Ignore,
            _ => Verdict::Do,
        }
    }

    /// Something came that could not be read.
    pub(crate) fn take_garbled(&mut self, code: Refusal, now: Instant) -> Verdict {
        self.numbering.take_garbled();
        if code == Refusal::TooMany {
            return Verdict::End(code, "too many messages");
        }
        self.offence(code, "the message could not be read", now)
    }

    fn offence(&mut self, code: Refusal, sentence: &'static str, now: Instant) -> Verdict {
        if self.offences.take(now) { Verdict::Refuse(code, sentence) } else { Verdict::End(Refusal::TooMany, sentence) }
    }

    /// Says something that must arrive: now, or when the socket is back.
    pub(crate) fn say(&mut self, says: EdgeSays, events: &mut VecDeque<Event>) {
        self.say_shared(Body::new(says), events);
    }

    /// The same with words that others are told, too.
    pub(crate) fn say_shared(&mut self, body: Arc<Body>, events: &mut VecDeque<Event>) {
        let message = self.numbering.number(body);
        if let Some(socket) = self.socket {
            events.push_back(Event::Say { socket, message });
        }
    }

    /// Says something that matters at this moment only.
    pub(crate) fn say_once(&mut self, says: EdgeSays, events: &mut VecDeque<Event>) {
        if let Some(socket) = self.socket {
            events.push_back(Event::Say { socket, message: Saying::new(0, says) });
        }
    }

    /// The socket is gone.
    pub(crate) fn cut(&mut self, now: Instant) {
        self.socket = None;
        self.ack_at = None;
        self.cut_at = Some(now);
    }

    /// Another socket came. Gives what has to be said again on it, `None` when the client is too far behind.
    pub(crate) fn resume(&mut self, socket: SocketId, seen: u64) -> Option<Vec<Saying>> {
        let missed = self.numbering.resume(seen)?;
        self.socket = Some(socket);
        self.cut_at = None;
        self.ack_at = None;
        Some(missed)
    }

    /// Time passed. True: nobody came back in time, the session is over.
    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut VecDeque<Event>) -> bool {
        if self.ack_at.is_some_and(|at| at <= now) {
            self.ack_at = None;
            if let Some(seen) = self.numbering.ack() {
                self.say_once(EdgeSays::Ack { seen }, events);
            }
        }
        self.gives_up_at().is_some_and(|at| at <= now)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.ack_at, self.gives_up_at()].into_iter().flatten().min()
    }

    fn gives_up_at(&self) -> Option<Instant> {
        self.cut_at.map(|at| at + Duration::from_millis(RESUME_MS))
    }

    /// The socket, when there is one.
    pub(crate) fn socket(&self) -> Option<SocketId> {
        self.socket
    }

    /// Highest client message taken.
    pub(crate) fn seen(&self) -> u64 {
        self.numbering.seen()
    }
}
