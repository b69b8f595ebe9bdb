//! Plays about one room, told in words. `script.rs` says which words there are.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a play picks a moment to begin at")]

mod narrow;
mod plays;
mod script;
mod world;
