//! What one says to get into a room.

use crate::frames::Frame;
use lyceum_wire::id::{Region, RoomId};
use std::net::SocketAddr;
use std::sync::Arc;

/// Where to go, as whom, and what to receive.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The control plane's base URL.
    pub url: String,
    /// The room.
    pub room: RoomId,
    /// Display name, used when a token has to be asked for.
    pub name: String,
    /// A join token. Without one the control plane is asked for it, which works when it is open.
    pub token: Option<String>,
    /// The region wished for. Without one the way to all regions is measured.
    pub region: Option<Region>,
    /// What to receive.
    pub slots: Slots,
    /// Local addresses for media. Without any, the one that leads to the edge.
    pub bind: Vec<SocketAddr>,
    /// Media only through the edge's TURN server, for networks that let nothing else through. Otherwise only directly: when
    /// [`crate::Room::media_connected`] fails, join again with this.
    pub relay_only: bool,
    /// Gets every frame received. Called on the task that receives it: hand it on, do not work in it.
    pub on_frame: Option<OnFrame>,
}

/// Takes frames.
pub type OnFrame = Arc<dyn Fn(&Frame) + Send + Sync>;

/// Receiving m-lines: how many tracks of each kind can be received at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Voices.
    pub audio: u8,
    /// Cameras.
    pub video: u8,
    /// Screens.
    pub screen: u8,
}

impl Default for Slots {
    /// Three voices, four cameras, one screen.
    fn default() -> Self {
        Self { audio: 3, video: 4, screen: 1 }
    }
}

impl ConnectOptions {
    /// The plainest join: any region, the usual slots.
    #[must_use]
    pub fn new(url: impl Into<String>, room: RoomId, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            room,
            name: name.into(),
            token: None,
            region: None,
            slots: Slots::default(),
            bind: Vec::new(),
            relay_only: false,
            on_frame: None,
        }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { url, room, name, region, slots, bind, relay_only, .. } = self;
        let plain = (url, room, name, region, slots, bind, relay_only);
        f.debug_tuple("ConnectOptions").field(&plain).finish()
    }
}
