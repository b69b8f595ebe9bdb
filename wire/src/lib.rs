//! Bytes and meaning, with no state and no time: every format that crosses a wire in Lyceum.
//!
//! Decoders never panic and never allocate in proportion to a length field they have not checked.
//! The normative descriptions are `docs/protocol/{signal,link,api}.md` and the RFCs named in each module.
//!
//! | module | bytes | who speaks it |
//! |---|---|---|
//! | [`demux`] | the first bytes of any datagram on a media port | RFC 7983, RFC 5761 |
//! | [`rtp`], [`ext`], [`vp8`] | media packets, their header extensions, the VP8 payload descriptor | RFC 3550, 8285, 7741 |
//! | [`dd`] | the dependency descriptor: layers of any codec without a look at the payload | AV1 RTP specification, appendix A |
//! | [`vp9`], [`av1`], [`h264`], [`red`] | the other payloads, as far as forwarding asks | RFC 9628, AV1 RTP specification, RFC 6184, RFC 2198 |
//! | [`rtcp`] | reports and feedback | RFC 3550, 4585, 5104, transport-wide congestion control |
//! | [`stun`], [`turn`] | connectivity checks and relaying | RFC 8489, 8445, 8656 |
//! | [`link`] | node ↔ node: messages and datagrams | `docs/protocol/link.md` |
//! | [`signal`] | client ↔ edge | `docs/protocol/signal.md` |
//! | [`api`], [`token`] | everybody ↔ control plane | `docs/protocol/api.md` |
//!
//! Beside them stands [`splitmix`], the one stream of numbers that every core and every test draws from.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod api;
pub mod av1;
mod cursor;
pub mod dd;
pub mod demux;
pub mod ext;
#[cfg(test)]
mod golden;
pub mod h264;
pub mod id;
pub mod link;
pub mod red;
pub mod rtcp;
pub mod rtp;
pub mod signal;
pub mod splitmix;
pub mod stun;
pub mod token;
pub mod turn;
pub mod vp8;
pub mod vp9;
