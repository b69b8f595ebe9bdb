//! A room, as an application holds it.

use crate::engine::{LocalTrack, MediaState, Shared};
use crate::frames::Received;
use crate::media_file::MediaFile;
use crate::options::ConnectOptions;
use crate::session::{self, Wish};
use crate::{ControlPlane, Error, local};
use lyceum_wire::api::{JoinRequest, Placement, TokenRequest};
use lyceum_wire::id::{NodeId, ParticipantId, Region, Source, TrackName};
use lyceum_wire::signal::{Participant, Path, Refusal, RidDemand, RoomMessage, Tile};
use lyceum_wire::token::Grants;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Events that wait for the application. One that reads none of a thousand misses the next ones, which is counted.
const EVENTS_MAX: usize = 1_024;
/// Wishes that wait for the session: more than anybody makes in the time of a reconnection.
const WISHES_MAX: usize = 256;
/// Longest wait for an answer to a wish: a reconnection may lie between.
const WISH_MAX: Duration = Duration::from_secs(40);

/// A joined room. Dropping it leaves.
pub struct Room {
    wishes: mpsc::Sender<Wish>,
    known: Arc<Known>,
    media: watch::Receiver<MediaState>,
    placement: Placement,
    message_next: AtomicU64,
}

/// What the session learned and anybody may look at.
#[derive(Default)]
pub(crate) struct Known {
    inner: Mutex<Learned>,
    pub(crate) events_missed: AtomicU64,
    pub(crate) reconnections: AtomicU64,
}

/// See [`Known`].
#[derive(Default)]
pub(crate) struct Learned {
    pub(crate) me: Option<Me>,
    pub(crate) roster: BTreeMap<ParticipantId, Participant>,
    pub(crate) engine: Option<Arc<Shared>>,
    pub(crate) tracks: BTreeMap<Source, Arc<LocalTrack>>,
}

/// Who one is in the room.
#[derive(Debug, Clone)]
pub(crate) struct Me {
    pub(crate) participant: ParticipantId,
    pub(crate) edge: NodeId,
    pub(crate) region: Region,
    pub(crate) grants: Grants,
}

impl Known {
    pub(crate) fn learned(&self) -> std::sync::MutexGuard<'_, Learned> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What happens in a room.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// People came, changed or left; [`Room::roster`] has everybody.
    Roster {
        /// Came or changed.
        present: Vec<Participant>,
        /// Left.
        gone: Vec<ParticipantId>,
        /// In the room now.
        total: u32,
    },
    /// A slot carries another track from now on, or is paused or no longer so.
    Slot {
        /// The slot's m-line.
        mid: String,
        /// The track, or none.
        track: Option<TrackName>,
        /// Nothing of it is sent now: the downlink does not carry it.
        paused: bool,
    },
    /// Who speaks, loudest first.
    Speakers(Vec<ParticipantId>),
    /// A message of the room, in the one order everybody sees.
    Message(RoomMessage),
    /// The way tracks come here.
    Paths(Vec<Path>),
    /// Which encodings of an own track anybody watches.
    Demand {
        /// The track.
        source: Source,
        /// Its encodings.
        watched: Vec<RidDemand>,
    },
    /// What this participant may do from now on: a moderator changed it. What may not be published any more has ended.
    Grants(Grants),
    /// Media.
    Media(MediaState),
    /// The signaling socket broke; the session is being resumed. Media go on.
    Reconnecting,
    /// The session was resumed: nothing was lost.
    Resumed,
    /// Something was refused that nobody waits for.
    Refused {
        /// For machines.
        code: Refusal,
        /// For people.
        message: String,
    },
    /// It is over. The last event.
    Ended(Ended),
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By [`Room::leave`].
    Left,
    /// The edge ended it.
    Refused {
        /// For machines.
        code: Refusal,
        /// For people.
        message: String,
    },
    /// The edge stops, or somebody put us out.
    Bye {
        /// Why.
        message: String,
        /// Joining again is welcome.
        rejoin: bool,
    },
    /// The edge could not be reached for as long as it keeps a session. Joining again is welcome.
    Lost,
}

/// What was sent of one own track.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// RTP packets, repairs not counted.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Frames.
    pub frames: u64,
    /// Key frames that subscribers asked for.
    pub key_frame_requests: u64,
}

/// Figures of a session.
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    /// What came, by slot.
    pub received: BTreeMap<String, Received>,
    /// What was sent, by source.
    pub sent: BTreeMap<Source, Sent>,
    /// Key frames asked for.
    pub key_frame_requests: u64,
    /// Times the socket broke and the session was resumed.
    pub reconnections: u64,
    /// Events dropped because the application did not read them.
    pub events_missed: u64,
}

impl Room {
    /// Joins: a token, a place, a session, media. Returns once the edge has answered the offer; media connect meanwhile
    /// ([`Room::media_connected`]). The events have to be read.
    pub async fn connect(options: ConnectOptions) -> Result<(Self, mpsc::Receiver<Event>), Error> {
        let control = ControlPlane::new(&options.url)?;
        let token = match &options.token {
            Some(token) => token.clone(),
            None => {
                let request = TokenRequest {
                    room: options.room.clone(),
                    name: options.name.clone(),
                    identity: None,
                    grants: None,
                    ttl_seconds: None,
                };
                control.token(&request, None).await?.token
            }
        };
        // A wish needs no measurement.
        let rtt_ms = match options.region {
            Some(_) => BTreeMap::new(),
            None => control.measure().await.unwrap_or_default(),
        };
        let join = JoinRequest { region: options.region.clone(), rtt_ms, avoid: Vec::new() };
        let placement = control.join(&options.room, &token, &join).await?;
        let bind = match options.bind.is_empty() {
            true => vec![local::towards(&placement.edge.url).await?],
            false => options.bind.clone(),
        };
        let known = Arc::new(Known::default());
        let (events, events_rx) = mpsc::channel(EVENTS_MAX);
        let (wishes, wishes_rx) = mpsc::channel(WISHES_MAX);
        let (media, media_rx) = watch::channel(MediaState::Connecting);
        let plan = session::Plan { options, placement: placement.clone(), token, bind };
        session::start(plan, known.clone(), events, wishes_rx, media).await?;
        let room = Self { wishes, known, media: media_rx, placement, message_next: AtomicU64::new(1) };
        Ok((room, events_rx))
    }

    /// Where the control plane put us, and why.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Who we are in the room.
    #[must_use]
    pub fn participant(&self) -> Option<ParticipantId> {
        self.known.learned().me.as_ref().map(|me| me.participant.clone())
    }

    /// The edge that took us in, and its region.
    #[must_use]
    pub fn edge(&self) -> Option<(NodeId, Region)> {
        self.known.learned().me.as_ref().map(|me| (me.edge.clone(), me.region.clone()))
    }

    /// What we may do.
    #[must_use]
    pub fn grants(&self) -> Option<Grants> {
        self.known.learned().me.as_ref().map(|me| me.grants.clone())
    }

    /// Everybody in the room, as last told.
    #[must_use]
    pub fn roster(&self) -> Vec<Participant> {
        self.known.learned().roster.values().cloned().collect()
    }

    /// Waits until media packets can flow.
    pub async fn media_connected(&self, at_most: Duration) -> Result<(), Error> {
        let mut media = self.media.clone();
        let settled = media.wait_for(|state| matches!(state, MediaState::Connected | MediaState::Failed));
        match tokio::time::timeout(at_most, settled).await {
            Ok(Ok(state)) if *state == MediaState::Connected => Ok(()),
            Ok(Ok(_)) => Err(Error::Engine("ICE or DTLS failed".into())),
            Ok(Err(_)) => Err(Error::Over),
            Err(_) => Err(Error::Timeout("media do not connect")),
        }
    }

    /// Publishes a file. Video begins with a key frame whenever it begins; requests for key frames jump to the file's next one.
    pub async fn publish(&self, source: Source, file: MediaFile, repeat: bool) -> Result<(), Error> {
        let track = self.wish(|reply| Wish::Publish { source, file: file.clone(), reply }).await?;
        self.known.learned().tracks.insert(source, track.clone());
        tokio::spawn(track.play(file, repeat));
        Ok(())
    }

    /// Ends a publication.
    pub async fn unpublish(&self, source: Source) -> Result<(), Error> {
        self.wish(|reply| Wish::Unpublish { source, reply }).await
    }

    /// Mutes or unmutes an own track: nothing is sent, and everybody sees it.
    pub async fn mute(&self, source: Source, muted: bool) -> Result<(), Error> {
        self.wish(|reply| Wish::Mute { source, muted, reply }).await
    }

    /// Says what is shown and how large, most important first.
    pub async fn view(&self, tiles: Vec<Tile>) -> Result<(), Error> {
        self.wish(|reply| Wish::View { tiles, reply }).await
    }

    /// Sends a message to the room, and returns it as everybody gets it, with its place in the order.
    pub async fn send(&self, kind: &str, body: serde_json::Value) -> Result<RoomMessage, Error> {
        let id = format!("m{}", self.message_next.fetch_add(1, Relaxed));
        let kind = kind.to_owned();
        self.wish(|reply| Wish::Message { id, kind, body, reply }).await
    }

    /// Breaks the signaling socket, as a network would. The session is resumed. For tests of applications.
    pub async fn cut(&self) -> Result<(), Error> {
        self.wishes.send(Wish::Cut).await.map_err(|_| Error::Over)
    }

    /// Leaves for good.
    pub async fn leave(self) -> Result<(), Error> {
        self.wish(|reply| Wish::Leave { reply }).await
    }

    /// Figures.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let learned = self.known.learned();
        let (received, key_frame_requests) = learned.engine.as_ref().map_or_else(Default::default, |engine| {
            let looked = engine.looked();
            (looked.received.clone(), looked.key_frame_requests)
        });
        let sent = |track: &LocalTrack| Sent {
            packets: track.packets.load(Relaxed),
            bytes: track.bytes.load(Relaxed),
            frames: track.frames.load(Relaxed),
            key_frame_requests: track.key_frame_requests.load(Relaxed),
        };
        Statistics {
            received,
            sent: learned.tracks.iter().map(|(source, track)| (*source, sent(track))).collect(),
            key_frame_requests,
            reconnections: self.known.reconnections.load(Relaxed),
            events_missed: self.known.events_missed.load(Relaxed),
        }
    }

    async fn wish<T>(&self, wish: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Wish) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.wishes.send(wish(reply)).await.map_err(|_| Error::Over)?;
        match tokio::time::timeout(WISH_MAX, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Over),
            Err(_) => Err(Error::Timeout("the edge does not answer")),
        }
    }
}
