//! Hops joined by a network that delays, loses, repeats and reorders, in virtual time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a play picks a moment to begin at")]

mod faults;
mod grants;
mod parts;
mod plays;
mod voices;
mod world;
