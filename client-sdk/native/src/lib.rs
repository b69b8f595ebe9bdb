//! A native client of Lyceum: join a room, publish files, receive what others publish, chat.
//!
//! The media engine is the `webrtc` crate: another one than the edge's and the browsers', so that all three prove each other.
//!
//! ```no_run
//! # async fn example() -> Result<(), lyceum_client::Error> {
//! use lyceum_client::{ConnectOptions, Event, MediaFile, Room};
//! use lyceum_wire::id::{RoomId, Source};
//!
//! let room = RoomId::parse("physics").expect("a name");
//! let (room, mut events) = Room::connect(ConnectOptions::new("http://127.0.0.1:8080", room, "Ana")).await?;
//! room.publish(Source::Camera, MediaFile::open("lesson.ivf".as_ref())?, true).await?;
//! room.send("chat", serde_json::json!({ "text": "Good morning" })).await?;
//! while let Some(event) = events.recv().await {
//!     if let Event::Message(message) = event {
//!         tracing::info!(from = message.name, "{}", message.body);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod control;
mod engine;
mod error;
mod frames;
mod local;
mod media_file;
mod numbers;
mod options;
mod room;
mod session;
mod socket;
mod whip;

pub use control::{ANSWER_MAX, ControlPlane, PROBE_MAX};
pub use engine::MediaState;
pub use error::Error;
pub use frames::{FRAME_PACKETS_MAX, Frame, HOLE_MAX, Received, WAITING_MAX};
pub use media_file::{BadFile, Codec, FILE_BYTES_MAX, MediaFile};
pub use options::{ConnectOptions, OnFrame, Slots};
pub use room::{Ended, Event, Room, Sent, Statistics};
pub use whip::{Http, HttpOptions};
