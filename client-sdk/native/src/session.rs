//! A session: one task that owns the socket, the numbers and the engine. Applications' wishes come in by a channel, what
//! happens goes out by another.

use crate::Error;
use crate::engine::{Engine, LocalTrack, MediaState, Offered, Plan as EnginePlan, Shared};
use crate::media_file::MediaFile;
use crate::numbers::{Heard, Numbers};
use crate::options::ConnectOptions;
use crate::room::{Ended, Event, Known, Me};
use crate::socket::{OPEN_MAX, Socket};
use lyceum_wire::api::Placement;
use lyceum_wire::id::{ParticipantId, RoomId, Source};
use lyceum_wire::signal::{
    ClientSays, EdgeSays, RESUME_MS, Refusal, Resume, RoomMessage, Tile, ToClient, ToEdge, VERSION,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info};

/// A ping goes out this often.
const PING_EVERY: Duration = Duration::from_secs(5);
/// A socket that says nothing for this long is broken: two pings and a half.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// What was heard is acknowledged this often.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// First wait before a broken socket is opened again; doubled up to [`RETRY_MAX`], with up to half of it added by chance.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest wait before that.
const RETRY_MAX: Duration = Duration::from_secs(4);
/// ICE is restarted this seldom.
const RESTART_EVERY: Duration = Duration::from_secs(5);

/// What a session begins with.
pub(crate) struct Plan {
    pub(crate) options: ConnectOptions,
    pub(crate) placement: Placement,
    pub(crate) token: String,
    pub(crate) bind: Vec<SocketAddr>,
}

type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What an application wishes.
pub(crate) enum Wish {
    Publish { source: Source, file: MediaFile, reply: Reply<Arc<LocalTrack>> },
    Unpublish { source: Source, reply: Reply<()> },
    Mute { source: Source, muted: bool, reply: Reply<()> },
    View { tiles: Vec<Tile>, reply: Reply<()> },
    Message { id: String, kind: String, body: serde_json::Value, reply: Reply<RoomMessage> },
    Cut,
    Leave { reply: Reply<()> },
}

struct Session {
    edge: String,
    room: RoomId,
    secret: String,
    me: ParticipantId,
    numbers: Numbers,
    acknowledged: u64,
    engine: Engine,
    shared: Arc<Shared>,
    known: Arc<Known>,
    events: mpsc::Sender<Event>,
    states: mpsc::Receiver<MediaState>,
    media: watch::Sender<MediaState>,
    /// The offer that waits for its answer.
    offered: Option<Outstanding>,
    /// What the next offer is for.
    next: VecDeque<Change>,
    /// Messages that wait for their place in the order.
    messages: BTreeMap<String, (u64, Reply<RoomMessage>)>,
    restarted: Option<Instant>,
}

struct Outstanding {
    seq: u64,
    changes: Vec<Change>,
}

/// One reason for an offer.
enum Change {
    First,
    Publish { source: Source, track: Arc<LocalTrack>, reply: Reply<Arc<LocalTrack>> },
    Unpublish { reply: Reply<()> },
    Restart,
}

/// Why a socket is no longer served.
enum Stop {
    Cut,
    Ended(Ended),
}

/// Opens a session, waits for the answer to its first offer, and lets it run.
pub(crate) async fn start(
    plan: Plan,
    known: Arc<Known>,
    events: mpsc::Sender<Event>,
    wishes: mpsc::Receiver<Wish>,
    media: watch::Sender<MediaState>,
) -> Result<(), Error> {
    let Plan { options, placement, token, bind } = plan;
    let mut socket = Socket::open(&placement.edge.url).await?;
    let welcome = hello(&mut socket, &token, None).await?;
    let plan = EnginePlan {
        // The edge's TURN server has the address of its media: an engine that allocates there takes answers to its direct
        // checks for TURN's and never finds the direct way.
        ice_servers: if options.relay_only { &placement.ice_servers } else { &[] },
        bind,
        relay_only: options.relay_only,
        slots: options.slots,
        on_frame: options.on_frame.clone(),
    };
    let (engine, states) = Engine::new(plan).await?;
    let shared = engine.shared();
    {
        let mut learned = known.learned();
        learned.engine = Some(shared.clone());
        learned.me = Some(welcome.me.clone());
    }
    info!(room = %options.room, edge = %welcome.me.edge, "joined");
    let mut session = Session {
        edge: placement.edge.url,
        room: options.room,
        secret: welcome.secret,
        me: welcome.me.participant,
        numbers: Numbers::default(),
        acknowledged: 0,
        engine,
        shared,
        known,
        events,
        states,
        media,
        offered: None,
        next: VecDeque::from([Change::First]),
        messages: BTreeMap::new(),
        restarted: None,
    };
    let (answered, first) = oneshot::channel();
    tokio::spawn(async move {
        let ended = session.run(socket, wishes, answered).await;
        session.engine.close().await;
        debug!(?ended, room = %session.room, "the session is over");
        session.emit(Event::Ended(ended));
    });
    first.await.map_err(|_| Error::Over)?
}

/// What `welcome` says.
struct Welcome {
    secret: String,
    me: Me,
    seen: u64,
}

/// Says `hello` and waits for the `welcome`.
async fn hello(socket: &mut Socket, token: &str, resume: Option<Resume>) -> Result<Welcome, Error> {
    let body = ClientSays::Hello { version: VERSION, token: token.to_owned(), resume };
    let broken = || Error::Timeout("the edge closed the socket before its welcome");
    if !socket.say(&ToEdge { seq: 0, body }).await {
        return Err(broken());
    }
    let heard = tokio::time::timeout(OPEN_MAX, socket.hear()).await.map_err(|_| Error::Timeout("no welcome"))?;
    match heard.ok_or_else(broken)?.body {
        EdgeSays::Welcome { session, participant, grants, edge, region, seen, .. } => {
            Ok(Welcome { secret: session, me: Me { participant, edge, region, grants }, seen })
        }
        EdgeSays::Refused { code, message, .. } => Err(Error::Refused { code, message }),
        other => Err(Error::Engine(format!("the edge does not welcome but says {other:?}"))),
    }
}

impl Session {
    async fn run(
        &mut self,
        mut socket: Socket,
        mut wishes: mpsc::Receiver<Wish>,
        answered: oneshot::Sender<Result<(), Error>>,
    ) -> Ended {
        let mut answered = Some(answered);
        loop {
            let stop = self.serve(&mut socket, &mut wishes, &mut answered).await;
            let ended = match stop {
                Stop::Ended(ended) => ended,
                Stop::Cut => {
                    self.emit(Event::Reconnecting);
                    match self.resume().await {
                        Ok(again) => {
                            socket = again;
                            self.known.reconnections.fetch_add(1, Relaxed);
                            self.emit(Event::Resumed);
                            continue;
                        }
                        Err(ended) => ended,
                    }
                }
            };
            if let Some(answered) = answered.take() {
                let _ = answered.send(Err(match &ended {
                    Ended::Refused { code, message } => Error::Refused { code: *code, message: message.clone() },
                    _ => Error::Over,
                }));
            }
            socket.close().await;
            return ended;
        }
    }

    /// Serves one socket until it breaks or the session ends.
    async fn serve(
        &mut self,
        socket: &mut Socket,
        wishes: &mut mpsc::Receiver<Wish>,
        answered: &mut Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Stop {
        let mut tick = tokio::time::interval(ACK_EVERY);
        let (mut pinged, mut heard) = (Instant::now(), Instant::now());
        loop {
            if let Err(stop) = self.negotiate(socket).await {
                return stop;
            }
            let done = tokio::select! {
                message = socket.hear() => match message {
                    Some(message) => {
                        heard = Instant::now();
                        self.heard(message, answered).await
                    }
                    None => Err(Stop::Cut),
                },
                wish = wishes.recv() => match wish {
                    Some(wish) => self.wished(wish, socket).await,
                    // The application dropped the room.
                    None => self.leave(socket).await,
                },
                Some(state) = self.states.recv() => {
                    self.media_changed(state);
                    Ok(())
                }
                _ = tick.tick() => {
                    let mut alive = heard.elapsed() < SILENCE_MAX;
                    if alive && self.numbers.seen() > self.acknowledged {
                        self.acknowledged = self.numbers.seen();
                        alive = socket.say(&ToEdge { seq: 0, body: ClientSays::Ack { seen: self.acknowledged } }).await;
                    }
                    if alive && pinged.elapsed() >= PING_EVERY {
                        pinged = Instant::now();
                        alive = socket.say(&ToEdge { seq: 0, body: ClientSays::Ping { t: 0.0 } }).await;
                    }
                    if alive { Ok(()) } else { Err(Stop::Cut) }
                }
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    /// Opens sockets until one resumes the session, or the edge has forgotten it.
    async fn resume(&mut self) -> Result<Socket, Ended> {
        let until = Instant::now() + Duration::from_millis(RESUME_MS);
        let mut retry = RETRY_FIRST;
        loop {
            match self.resume_once().await {
                Ok(socket) => return Ok(socket),
                Err(Error::Refused { code, message }) => return Err(Ended::Refused { code, message }),
                Err(error) => debug!(%error, "the session is not resumed yet"),
            }
            if Instant::now() + retry >= until {
                return Err(Ended::Lost);
            }
            tokio::time::sleep(retry + retry.mul_f64(rand::random::<f64>() / 2.0)).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    async fn resume_once(&mut self) -> Result<Socket, Error> {
        let mut socket = Socket::open(&self.edge).await?;
        let resume = Resume { session: self.secret.clone(), seen: self.numbers.seen() };
        let welcome = hello(&mut socket, "", Some(resume)).await?;
        for message in self.numbers.again(welcome.seen) {
            if !socket.say(&message).await {
                return Err(Error::Timeout("the new socket broke at once"));
            }
        }
        Ok(socket)
    }

    /// The edge said something.
    async fn heard(
        &mut self,
        message: ToClient,
        answered: &mut Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Stop> {
        match self.numbers.heard(message.seq) {
            Heard::New => {}
            Heard::Again => return Ok(()),
            // The edge lost something: a new socket has it said again.
            Heard::Gap => return Err(Stop::Cut),
        }
        match message.body {
            EdgeSays::Answer { sdp } => self.answered(sdp, answered).await,
            EdgeSays::Roster { present, gone, total, .. } => {
                {
                    let mut learned = self.known.learned();
                    for id in &gone {
                        learned.roster.remove(id);
                    }
                    learned.roster.extend(present.iter().map(|person| (person.id.clone(), person.clone())));
                    let publishers = learned.roster.keys().map(|id| (id.csrc(), id.clone())).collect();
                    self.shared.looked().publishers = publishers;
                }
                self.emit(Event::Roster { present, gone, total });
            }
            EdgeSays::Slots { assigned } => {
                for slot in assigned {
                    let mut looked = self.shared.looked();
                    match &slot.track {
                        Some(track) => looked.assigned.insert(slot.mid.clone(), track.clone()),
                        None => looked.assigned.remove(&slot.mid),
                    };
                    drop(looked);
                    self.emit(Event::Slot { mid: slot.mid, track: slot.track, paused: slot.paused });
                }
            }
            EdgeSays::Speakers { active } => self.emit(Event::Speakers(active)),
            EdgeSays::Message { message } => {
                if message.from == self.me
                    && let Some((_, reply)) = self.messages.remove(&message.id)
                {
                    let _ = reply.send(Ok(message.clone()));
                }
                self.emit(Event::Message(message));
            }
            EdgeSays::Paths { paths } => self.emit(Event::Paths(paths)),
            EdgeSays::Demand { source, watched, .. } => {
                // One encoding is sent; it is watched when anything of it is.
                let any = watched.iter().any(|rid| rid.watched);
                self.engine.tracks().filter(|track| track.source() == source).for_each(|track| track.watch(any));
                self.emit(Event::Demand { source, watched });
            }
            EdgeSays::Grants { grants, .. } => self.emit(Event::Grants(grants)),
            EdgeSays::Ack { seen } => self.numbers.acknowledged(seen),
            EdgeSays::Pong { .. } | EdgeSays::Welcome { .. } | EdgeSays::Granted { .. } => {}
            EdgeSays::Refused { code, message, of, fatal } => {
                if fatal {
                    return Err(Stop::Ended(Ended::Refused { code, message }));
                }
                self.refused(code, message, of, answered).await;
            }
            EdgeSays::Bye { message, rejoin } => return Err(Stop::Ended(Ended::Bye { message, rejoin })),
        }
        Ok(())
    }

    /// The application wishes something.
    async fn wished(&mut self, wish: Wish, socket: &mut Socket) -> Result<(), Stop> {
        match wish {
            Wish::Publish { source, file, reply } => match self.engine.publish(source, &file).await {
                Ok(track) => self.next.push_back(Change::Publish { source, track, reply }),
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Wish::Unpublish { source, reply } => match self.engine.unpublish(source).await {
                Ok(()) => {
                    self.known.learned().tracks.remove(&source);
                    self.next.push_back(Change::Unpublish { reply });
                }
                Err(error) => {
                    let _ = reply.send(Err(error));
                }
            },
            Wish::Mute { source, muted, reply } => {
                if !self.engine.publications().contains(&source) {
                    let _ = reply.send(Err(Error::Option(format!("{source:?} is not published"))));
                    return Ok(());
                }
                self.engine.tracks().filter(|track| track.source() == source).for_each(|track| track.mute(muted));
                let said = self.say(ClientSays::Mute { source, muted }, socket).await;
                let _ = reply.send(Ok(()));
                said?;
            }
            Wish::View { tiles, reply } => {
                let said = self.say(ClientSays::View { tiles, listen: Vec::new() }, socket).await;
                let _ = reply.send(Ok(()));
                said?;
            }
            Wish::Message { id, kind, body, reply } => {
                let said = self.say(ClientSays::Message { id: id.clone(), kind, body }, socket).await;
                self.messages.insert(id, (self.said(), reply));
                said?;
            }
            Wish::Cut => return Err(Stop::Cut),
            Wish::Leave { reply } => {
                let left = self.leave(socket).await;
                let _ = reply.send(Ok(()));
                return left;
            }
        }
        Ok(())
    }

    async fn leave(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        let _ = self.say(ClientSays::Leave, socket).await;
        Err(Stop::Ended(Ended::Left))
    }

    /// Makes an offer when there is a reason and none is outstanding.
    async fn negotiate(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        if self.offered.is_some() || self.next.is_empty() {
            return Ok(());
        }
        let changes: Vec<Change> = self.next.drain(..).collect();
        let restart = changes.iter().any(|change| matches!(change, Change::Restart));
        match self.engine.offer(restart).await {
            Ok(Offered { sdp, publish, slots }) => {
                let said = self.say(ClientSays::Offer { sdp, publish, slots }, socket).await;
                self.offered = Some(Outstanding { seq: self.said(), changes });
                said
            }
            Err(error) => {
                changes.into_iter().for_each(|change| change.fail(&error));
                Ok(())
            }
        }
    }

    async fn answered(&mut self, sdp: String, first: &mut Option<oneshot::Sender<Result<(), Error>>>) {
        let Some(outstanding) = self.offered.take() else { return };
        let taken = self.engine.answer(sdp).await;
        for change in outstanding.changes {
            match (&taken, change) {
                (Ok(()), Change::First) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                }
                (Ok(()), Change::Publish { track, reply, .. }) => {
                    let _ = reply.send(Ok(track));
                }
                (Ok(()), Change::Unpublish { reply }) => {
                    let _ = reply.send(Ok(()));
                }
                (Ok(()), Change::Restart) => {}
                (Err(error), Change::First) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(error.clone()));
                    }
                }
                (Err(error), change) => change.fail(error),
            }
        }
    }

    /// Something was refused, and the session goes on.
    async fn refused(
        &mut self,
        code: Refusal,
        message: String,
        of: Option<u64>,
        first: &mut Option<oneshot::Sender<Result<(), Error>>>,
    ) {
        let error = Error::Refused { code, message: message.clone() };
        if let Some(outstanding) = self.offered.take_if(|outstanding| of == Some(outstanding.seq)) {
            let source = |change: &Change| match change {
                Change::Publish { source, .. } => Some(*source),
                _ => None,
            };
            let new: Vec<Source> = outstanding.changes.iter().filter_map(source).collect();
            if let Err(error) = self.engine.refused(&new).await {
                debug!(%error, "a refused offer could not be taken back");
            }
            for change in outstanding.changes {
                match (change, first.take()) {
                    (Change::First, Some(first)) => {
                        let _ = first.send(Err(error.clone()));
                    }
                    (change, waiting) => {
                        *first = waiting;
                        change.fail(&error);
                    }
                }
            }
            return;
        }
        let id = self.messages.iter().find(|(_, (seq, _))| of == Some(*seq)).map(|(id, _)| id.clone());
        if let Some((_, reply)) = id.and_then(|id| self.messages.remove(&id)) {
            let _ = reply.send(Err(error));
            return;
        }
        self.emit(Event::Refused { code, message });
    }

    fn media_changed(&mut self, state: MediaState) {
        self.media.send_replace(state);
        self.emit(Event::Media(state));
        let due = self.restarted.is_none_or(|at| at.elapsed() >= RESTART_EVERY);
        if matches!(state, MediaState::Interrupted | MediaState::Failed) && due {
            self.restarted = Some(Instant::now());
            self.next.push_back(Change::Restart);
        }
    }

    async fn say(&mut self, body: ClientSays, socket: &mut Socket) -> Result<(), Stop> {
        match self.numbers.say(body) {
            // What a broken socket did not take is said again on the next one.
            Ok(message) if socket.say(&message).await => Ok(()),
            Ok(_) => Err(Stop::Cut),
            Err(_) => Err(Stop::Ended(Ended::Lost)),
        }
    }

    fn said(&self) -> u64 {
        self.numbers.said()
    }

    fn emit(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.known.events_missed.fetch_add(1, Relaxed);
        }
    }
}

impl Change {
    fn fail(self, error: &Error) {
        match self {
            Self::Publish { track, reply, .. } => {
                track.stop();
                let _ = reply.send(Err(error.clone()));
            }
            Self::Unpublish { reply } => {
                let _ = reply.send(Err(error.clone()));
            }
            Self::First | Self::Restart => {}
        }
    }
}
