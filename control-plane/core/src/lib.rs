//! What a control plane decides, with no socket, no clock and no store of its own: where a participant goes
//! ([`place`]), who hosts a room ([`map`]), what is known of the mesh ([`Directory`]), how often one may ask ([`rate`]).
//! [`kv`] is the small language it speaks with its store, and [`Table`] that language spoken in memory.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::disallowed_methods))]

pub mod directory;
pub mod kv;
pub mod map;
pub mod place;
pub mod rate;
pub mod table;

pub use directory::Directory;
pub use table::Table;
