//! A participant on this shard: its way in, and its session joined to the room by an uplink and a downlink.

pub(crate) mod grants;
pub mod http;
pub mod negotiate;
pub(crate) mod offer;
pub mod publish;
pub mod said;
pub(crate) mod subscribe;
pub(crate) mod transport;

use crate::door::Secret;
use crate::draw::Draw;
use crate::signal::Conversation;
use lyceum_media::downlink::SlotSpec;
use lyceum_media::uplink::Encoding;
use lyceum_media::{DownlinkId, TrackId, Uplink};
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::Origin;
use lyceum_session::{Fingerprint, Pair, Session};
use lyceum_wire::id::ParticipantId;
use lyceum_wire::link::LayerInfo;
use lyceum_wire::signal::{Participant, Tile};
use lyceum_wire::token::Grants;
use negotiate::{Memory, Publishing};
use std::time::Instant;

/// How a participant came in.
#[derive(Debug)]
pub(crate) enum Way {
    /// By a WebSocket.
    Socket(Box<Conversation>),
    /// By WHIP: publishes, is seen in the roster.
    Whip,
    /// By WHEP: receives what the edge chooses for it, is not seen in the roster.
    Whep,
}

impl Way {
    /// Its name in logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }
}

/// One participant.
pub(crate) struct Peer {
    /// What others see of it.
    pub(crate) participant: Participant,
    pub(crate) grants: Grants,
    /// Its room's place.
    pub(crate) room: u32,
    pub(crate) secret: Secret,
    pub(crate) way: Way,
    pub(crate) draw: Draw,
    /// From the first offer on.
    pub(crate) media: Option<Box<Media>>,
    /// The last `view`, kept for the first offer.
    pub(crate) view: Option<Vec<Tile>>,
    /// Whose voices it hears in any case, by that `view`.
    pub(crate) listen: Vec<ParticipantId>,
    /// Waits to be looked at in this turn.
    pub(crate) dirty: bool,
}

/// A participant's media.
pub(crate) struct Media {
    pub(crate) session: Session,
    pub(crate) uplink: Uplink,
    pub(crate) downlink: DownlinkId,
    /// What the client said last.
    pub(crate) remote_ice: Credentials,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) lines: usize,
    /// `a=mid` of the bundle's first line.
    pub(crate) first_mid: String,
    /// What we said last.
    pub(crate) local_ice: Credentials,
    pub(crate) origin: Origin,
    pub(crate) memory: Memory,
    pub(crate) published: Vec<Published>,
    pub(crate) slots: Vec<SlotSpec>,
    /// 5-tuples that passed a check, for the demultiplexer.
    pub(crate) pairs: Vec<Pair>,
    pub(crate) connected: bool,
}

/// One source being published.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) track: TrackId,
    pub(crate) plan: Publishing,
    /// Encodings as they are mapped now, from the smallest.
    pub(crate) encodings: Vec<Encoding>,
    /// What was measured of each.
    pub(crate) layers: Vec<LayerInfo>,
    /// The order was corrected once by measuring.
    pub(crate) reordered: bool,
    /// Whether each encoding is watched by anybody …
    pub(crate) watched: Vec<bool>,
    /// … what the client was told of that …
    pub(crate) told: Vec<bool>,
    /// … and when it is to be told that something is no longer watched.
    pub(crate) tell_at: Option<Instant>,
}

impl Peer {
    pub(crate) fn conversation(&mut self) -> Option<&mut Conversation> {
        match &mut self.way {
            Way::Socket(conversation) => Some(conversation),
            Way::Whip | Way::Whep => None,
        }
    }

    /// Whether others see it in the roster.
    pub(crate) fn is_seen(&self) -> bool {
        !matches!(self.way, Way::Whep)
    }

    /// Whether it waits for its socket to come back.
    pub(crate) fn is_waiting(&self) -> bool {
        match &self.way {
            Way::Socket(conversation) => conversation.socket().is_none(),
            Way::Whip | Way::Whep => false,
        }
    }

    /// When it wants to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let conversation = match &self.way {
            Way::Socket(conversation) => conversation.deadline(),
            Way::Whip | Way::Whep => None,
        };
        let media = self.media.as_ref().map(|media| {
            let demand = media.published.iter().filter_map(|p| p.tell_at).min();
            let feedback = media.uplink.deadline().filter(|_| media.connected);
            [media.session.deadline(), feedback, demand].into_iter().flatten().min()
        });
        [conversation, media.flatten()].into_iter().flatten().min()
    }
}
