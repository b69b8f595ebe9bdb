//! The WebSocket door: one task per socket between a client and its room's shard. `docs/protocol/signal.md`.
//!
//! ```text
//!   text ──► size, rate ──► first message: hello, token verified ──► Open | Resume
//!                          later: ToEdge ──────────────────────────► Said (or Garbled)
//!   text ◄── Saying ◄───────────────── queue of the seat ◄────────── Say, CloseSocket
//! ```
//!
//! Nothing of a client is parsed but one small `hello` before its token was found good. Reading stops while the
//! shard's queue or the client's own socket is full: who floods waits for itself.

use crate::counters::Counters;
use crate::doors::Doors;
use crate::keys::Rejected;
use crate::problem::Problem;
use crate::rate::Bucket;
use crate::sockets::{Admission, NoSeat, Seat, ToSocket};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::SinkExt;
use lyceum_edge_core::door::{Command, Secret};
use lyceum_edge_core::signal::saying::Saying;
use lyceum_wire::id::RoomId;
use lyceum_wire::signal::{ClientSays, EdgeSays, MESSAGE_BYTES_MAX, Refusal, ToEdge, VERSION};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// Longest `hello` looked at, in bytes: a token with every grant and a little around it.
const HELLO_BYTES_MAX: usize = 8 * 1024;
/// One write may take this long; a peer whose window stays shut is as good as gone.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Messages written with one flush at most, so that a long queue does not become one huge buffer.
const WRITE_BATCH: usize = 64;
/// A ping is sent this often: three fit into the default silence, and proxies cut silent sockets at a minute.
const PING_EVERY: Duration = Duration::from_secs(15);
/// After a message that could not be read, what the shard has to say about it is waited for this long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What may stand in the URL.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Wish {
    /// The room the client means to enter; compared with its token, so that a mix-up is told apart from a bad token.
    room: Option<RoomId>,
}

/// `GET /v1/signal`.
pub(crate) async fn signal(
    State(doors): State<Arc<Doors>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Query(wish): Query<Wish>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let refused = if doors.stopping.load(Ordering::Relaxed) {
        Some((Refusal::Full, "this edge is about to stop: join again"))
    } else {
        None
    };
    let admitted = match refused {
        Some(refused) => Err(refused),
        None => doors.sockets.admit(from.ip()).map_err(|why| match why {
            NoSeat::Full => (Refusal::Full, "this edge takes no more sockets: join again to be sent to another"),
            NoSeat::Address => (Refusal::TooMany, "too many sockets from your address"),
            NoSeat::Silent => (Refusal::TooMany, "too many sockets that have not said hello: try again"),
        }),
    };
    let admission = match admitted {
        Ok(admission) => admission,
        Err((code, message)) => {
            doors.counters.refused(code);
            return Problem::refused(code, message).into_response();
        }
    };
    tracing::debug!(%from, "socket");
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BYTES)
        .on_upgrade(move |socket| Connection { doors, socket, room: wish.room }.run(admission))
}

/// What a socket keeps for reading: usual messages fit. The library's own 128 KiB, cleared at every look at the socket, would be
/// more than all the rest of a participant.
const READ_BYTES: usize = 4 * 1024;

struct Connection {
    doors: Arc<Doors>,
    socket: WebSocket,
    room: Option<RoomId>,
}

/// Why a socket ended; counted.
type Closed = &'static str;

/// What came from a client.
enum Heard {
    Text(axum::extract::ws::Utf8Bytes),
    /// Alive, nothing said.
    Beat,
    Binary,
    TooLarge,
    Gone,
}

impl Connection {
    async fn run(mut self, mut admission: Admission) {
        let hello = tokio::time::timeout(self.doors.limits.hello.0, self.hello()).await;
        let closed = match hello {
            Err(_) => self.refuse(Refusal::Malformed, "no hello came in time").await,
            Ok(Err(Refused::Gone)) => "gone_before_hello",
            Ok(Err(Refused::Because(code, message))) => self.refuse(code, &message).await,
            Ok(Ok(hello)) => {
                let seat = admission.seat();
                let span = match &hello {
                    Hello::Open { entry, .. } => {
                        tracing::info_span!("session", socket = seat.id.0, participant = %entry.participant)
                    }
                    Hello::Resume { .. } => tracing::info_span!("session", socket = seat.id.0),
                };
                self.serve(hello, seat).instrument(span).await
            }
        };
        self.doors.counters.closed(closed);
    }

    /// Waits for the first message and judges it.
    async fn hello(&mut self) -> Result<Hello, Refused> {
        let text = loop {
            match hear(&mut self.socket).await {
                Heard::Text(text) => break text,
                Heard::Beat => {}
                Heard::Gone => return Err(Refused::Gone),
                Heard::TooLarge => return Err(too_large()),
                Heard::Binary => return Err(Refused::because(Refusal::Malformed, "hello is a text message")),
            }
        };
        Counters::add(&self.doors.counters.messages_in);
        if text.len() > HELLO_BYTES_MAX {
            return Err(too_large());
        }
        let message: ToEdge = serde_json::from_str(&text)
            .map_err(|error| Refused::because(Refusal::Malformed, format!("this is not a hello: {error}")))?;
        let ClientSays::Hello { version, token, resume } = message.body else {
            return Err(Refused::because(Refusal::Malformed, "the first message must be hello"));
        };
        if version != VERSION {
            let says = format!("this edge speaks version {VERSION} of the protocol, not {version}");
            return Err(Refused::because(Refusal::Version, says));
        }
        if let Some(resume) = resume {
            let gone = || Refused::because(Refusal::SessionGone, "this session is gone: join again");
            let shard = self.doors.shard_of_secret(&resume.session).ok_or_else(gone)?;
            return Ok(Hello::Resume { shard, secret: Secret(resume.session), seen: resume.seen });
        }
        let claims = self.doors.keys.verify(&token)?;
        if self.room.as_ref().is_some_and(|room| *room != claims.room) {
            return Err(Refused::because(Refusal::WrongRoom, "the token opens another room"));
        }
        let (shard, entry) = self.doors.entry(claims);
        Ok(Hello::Open { shard, entry })
    }

    /// Everything after a good hello.
    async fn serve(&mut self, hello: Hello, mut seat: Seat) -> Closed {
        let socket = seat.id;
        let (shard, command) = match hello {
            Hello::Open { shard, entry } => (shard, Command::Open { socket, entry }),
            Hello::Resume { shard, secret, seen } => (shard, Command::Resume { socket, secret, seen }),
        };
        if !self.doors.command(shard, command).await {
            return self.refuse(Refusal::Internal, "this part of the edge has stopped: join again").await;
        }
        let closed = self.pass_on(shard, &mut seat).await;
        tracing::debug!(closed, "socket ended");
        self.doors.command(shard, Command::SocketLost { socket }).await;
        closed
    }

    async fn pass_on(&mut self, shard: usize, seat: &mut Seat) -> Closed {
        let socket = seat.id;
        let limits = &self.doors.limits;
        let mut bucket = Bucket::new(limits.messages_per_second, limits.messages_burst, Instant::now());
        let mut heard_last = Instant::now();
        let mut ping = tokio::time::interval(PING_EVERY.min(limits.silence.0 / 3));
        ping.tick().await;
        loop {
            let command = tokio::select! {
                told = seat.queue.recv() => match self.write(told, &mut seat.queue).await {
                    Ok(()) => continue,
                    Err(closed) => return closed,
                },
                _ = ping.tick() => {
                    if heard_last.elapsed() > self.doors.limits.silence.0 {
                        return "silent";
                    }
                    match within(self.socket.send(Message::Ping(Default::default()))).await {
                        Ok(()) => continue,
                        Err(closed) => return closed,
                    }
                }
                heard = hear(&mut self.socket) => {
                    heard_last = Instant::now();
                    let garbled = |code, message: String| Command::Garbled { socket, code, message };
                    match heard {
                        Heard::Beat => continue,
                        Heard::Gone => return "gone",
                        Heard::TooLarge => {
                            let says = format!("a message may have {MESSAGE_BYTES_MAX} bytes");
                            self.doors.command(shard, garbled(Refusal::TooLarge, says)).await;
                            return self.last_words(seat).await;
                        }
                        _ if !bucket.take(heard_last) => {
                            let says = "more messages in a second than this protocol allows".to_owned();
                            self.doors.command(shard, garbled(Refusal::TooMany, says)).await;
                            return self.last_words(seat).await;
                        }
                        Heard::Binary => garbled(Refusal::Malformed, "messages are text".to_owned()),
                        Heard::Text(text) => {
                            Counters::add(&self.doors.counters.messages_in);
                            match serde_json::from_str::<ToEdge>(&text) {
                                Ok(ToEdge { body: ClientSays::Hello { .. }, .. }) => {
                                    garbled(Refusal::Malformed, "hello is said once".to_owned())
                                }
                                Ok(message) => Command::Said { socket, message: Box::new(message) },
                                Err(error) => garbled(Refusal::Malformed, format!("not a message: {error}")),
                            }
                        }
                    }
                }
            };
            if !self.doors.command(shard, command).await {
                return self.refuse(Refusal::Internal, "this part of the edge has stopped: join again").await;
            }
        }
    }

    /// Writes what the seat was told, as much as waits, and flushes once.
    async fn write(
        &mut self,
        told: Option<ToSocket>,
        queue: &mut tokio::sync::mpsc::Receiver<ToSocket>,
    ) -> Result<(), Closed> {
        let Some(mut told) = told else { return Err("too_slow") };
        for _ in 0..WRITE_BATCH {
            match told {
                ToSocket::Say(message) => {
                    Counters::add(&self.doors.counters.messages_out);
                    within(self.socket.feed(Message::Text(message.text().into()))).await?;
                }
                ToSocket::Close => {
                    self.close(CLOSE_NORMAL, "").await;
                    return Err("by_edge");
                }
            }
            match queue.try_recv() {
                Ok(next) => told = next,
                Err(_) => break,
            }
        }
        within(self.socket.flush()).await
    }

    /// Nothing more is read; the shard's refusal still goes out.
    async fn last_words(&mut self, seat: &mut Seat) -> Closed {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while let Ok(told) = tokio::time::timeout_at(until, seat.queue.recv()).await {
            if self.write(told, &mut seat.queue).await.is_err() {
                return "unreadable";
            }
        }
        self.close(CLOSE_POLICY, "").await;
        "unreadable"
    }

    /// Says why not, and closes.
    async fn refuse(&mut self, code: Refusal, message: &str) -> Closed {
        self.doors.counters.refused(code);
        tracing::debug!(?code, message, "socket refused");
        let body = EdgeSays::Refused { code, message: message.to_owned(), of: None, fatal: true };
        let text = Saying::new(0, body).text();
        if within(self.socket.feed(Message::Text(text.into()))).await.is_ok() {
            self.close(CLOSE_POLICY, message).await;
        }
        "refused"
    }

    async fn close(&mut self, code: u16, reason: &str) {
        // RFC 6455 §5.5: a control frame's payload has at most 125 bytes, two of them the code.
        let reason = reason.char_indices().take_while(|(at, c)| at + c.len_utf8() <= 123).map(|(_, c)| c);
        let frame = CloseFrame { code, reason: reason.collect::<String>().into() };
        if within(self.socket.send(Message::Close(Some(frame)))).await.is_ok() {
            // The peer's own close frame ends the connection in good order (RFC 6455 §7.1.1), if it comes soon.
            let answered = async { while !matches!(hear(&mut self.socket).await, Heard::Gone | Heard::TooLarge) {} };
            let _ = tokio::time::timeout(LAST_WORDS, answered).await;
        }
    }
}

/// What a good first message asks for.
enum Hello {
    Open { shard: usize, entry: Box<lyceum_edge_core::door::Entry> },
    Resume { shard: usize, secret: Secret, seen: u64 },
}

/// Why the first message was not good.
enum Refused {
    Gone,
    Because(Refusal, String),
}

impl Refused {
    fn because(code: Refusal, message: impl Into<String>) -> Self {
        Self::Because(code, message.into())
    }
}

impl From<Rejected> for Refused {
    fn from(rejected: Rejected) -> Self {
        Self::Because(rejected.code, rejected.message)
    }
}

/// RFC 6455 §7.4.1.
const CLOSE_NORMAL: u16 = 1000;
const CLOSE_POLICY: u16 = 1008;

fn too_large() -> Refused {
    Refused::because(Refusal::TooLarge, format!("hello may have {HELLO_BYTES_MAX} bytes"))
}

async fn hear(socket: &mut WebSocket) -> Heard {
    match socket.recv().await {
        Some(Ok(Message::Text(text))) => Heard::Text(text),
        Some(Ok(Message::Binary(_))) => Heard::Binary,
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heard::Beat,
        Some(Ok(Message::Close(_))) | None => Heard::Gone,
        // The library has no public type for it through axum; a test holds these words in place.
        Some(Err(error)) if error.to_string().contains("too long") => Heard::TooLarge,
        Some(Err(_)) => Heard::Gone,
    }
}

async fn within(write: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Closed> {
    match tokio::time::timeout(WRITE_TIME_MAX, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("gone"),
        Err(_) => Err("too_slow"),
    }
}
