//! The shard with real clients, in virtual time: ICE, DTLS and SRTP are the real ones, only the network is a queue.
#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]
#![allow(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]

mod class;
mod client;
mod hostile;
mod life;
mod media;
mod mesh;
mod signaling;
mod split;
mod turn;
mod whip;
mod world;
