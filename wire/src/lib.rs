//! Bytes and meaning, with no state and no time: every format that crosses a wire in Lyceum.
//!
//! Decoders never panic and never allocate in proportion to a length field they have not checked.
//! The normative descriptions are `docs/protocol/{signal,link,api}.md` and the RFCs named in each module.
//!
//! | module | bytes | who speaks it |
//! |---|---|---|
//! | [`demux`] | the first bytes of any datagram on a media port | RFC 7983, RFC 5761 |
//! | [`rtp`], [`ext`], [`vp8`] | media packets, their header extensions, the VP8 payload descriptor | RFC 3550, 8285, 7741 |
//! | [`rtcp`] | reports and feedback | RFC 3550, 4585, 5104, transport-wide congestion control |
//! | [`stun`], [`turn`] | connectivity checks and relaying | RFC 8489, 8445, 8656 |
//! | [`link`] | node ↔ node: messages and datagrams | `docs/protocol/link.md` |
//! | [`signal`] | client ↔ edge | `docs/protocol/signal.md` |
//! | [`api`], [`token`] | everybody ↔ control plane | `docs/protocol/api.md` |
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod api;
mod cursor;
pub mod demux;
pub mod ext;
#[cfg(test)]
mod golden;
pub mod id;
pub mod link;
pub mod rtcp;
pub mod rtp;
pub mod signal;
pub mod stun;
pub mod token;
pub mod turn;
pub mod vp8;
