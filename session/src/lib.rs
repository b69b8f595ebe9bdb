//! One participant's ICE, DTLS, SCTP and SDP behind one seam.
//!
//! ```text
//!   SDP offer ──▶ sdp::Offer ──(the owner decides)──▶ sdp::Answer ──▶ SDP answer
//!
//!   STUN ┐                     ┌─▶ Transmit{local, remote, bytes}
//!   DTLS ┼─▶ Session::handle ──┼─▶ Selected{pair}   ICE nominated a pair
//!   time ┘   Session::poll     ├─▶ Connected{srtp}  DTLS done, fingerprint proven, SRTP keys
//!                              ├─▶ ChannelOpen / ChannelMessage / ChannelClosed
//!                              └─▶ Failed{why}      the session is over
//! ```
//!
//! The edge is an ICE-lite agent (RFC 8445 §2.5) and DTLS server; a bot is a controlling full agent and DTLS client.
//! RTP and RTCP never enter: the owner tells them apart by their first byte (RFC 7983) and uses the keys from
//! [`Output::Connected`].
//!
//! A session is a machine: it has no socket and no clock. Change it once ([`Session::handle`],
//! [`Session::handle_timeout`], [`Session::send`] …), drain [`Session::poll`], read [`Session::deadline`], and only then change
//! it again. Everything it decides follows from what it was told; the secrets of DTLS and SCTP alone come from the
//! cryptographic random source of their libraries, so datagrams differ between runs but decisions do not.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod channel;
mod config;
mod dcep;
mod drops;
mod dtls;
pub mod ice;
mod keys;
mod sctp;
pub mod sdp;
mod session;

pub use channel::{ChannelId, ChannelOptions, MessageKind, Reliability, SendError};
pub use config::{Config, ConfigError, Fingerprint};
pub use drops::{DropReason, Drops};
pub use keys::{SrtpKey, SrtpKeys, SrtpProfile};
pub use session::{Failure, Output, Pair, Remote, SctpRemote, Session};
