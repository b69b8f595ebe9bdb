//! Plays about one room, told in words. `script.rs` says which words there are.
#![allow(clippy::unwrap_used)]

mod plays;
mod script;
mod world;
