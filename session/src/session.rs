//! One peer: ICE, DTLS, SCTP joined.

use crate::channel::{ChannelId, ChannelOptions, MessageKind, SendError};
use crate::config::{Config, Fingerprint};
use crate::drops::Drops;
use crate::ice::Credentials;
use crate::keys::SrtpKeys;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// One peer's connection. See the crate's page.
pub struct Session {
    outputs: VecDeque<Output>,
    drops: Drops,
}

/// What the peer said about itself in its SDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its ICE user fragment and password.
    pub ice: Credentials,
    /// Its certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its SCTP end, when data channels were negotiated.
    pub sctp: Option<SctpRemote>,
}

/// What the peer said about SCTP (RFC 8841).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SctpRemote {
    /// `a=sctp-port`, always 5000 in WebRTC.
    pub port: u16,
    /// `a=max-message-size` in bytes; 0 means any.
    pub max_message_bytes: u32,
}

/// A pair of addresses between which packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Ours: the one datagrams arrive `to`.
    pub local: SocketAddr,
    /// The peer's: the one datagrams come `from`.
    pub remote: SocketAddr,
}

/// What a session wants done or known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this datagram.
    Transmit {
        /// From this own address, to that one.
        pair: Pair,
        /// The datagram.
        bytes: Bytes,
    },
    /// ICE nominated a pair, the first or another one: media goes there from now on.
    Selected {
        /// The pair.
        pair: Pair,
    },
    /// DTLS is done and the certificate is the one from the SDP.
    Connected {
        /// SRTP keys; none when the peer negotiated no SRTP (data channels only).
        srtp: Option<SrtpKeys>,
    },
    /// A channel can be used: the peer opened it, or confirmed ours.
    ChannelOpen {
        /// Which.
        channel: ChannelId,
        /// As it was opened.
        options: ChannelOptions,
    },
    /// A message arrived.
    ChannelMessage {
        /// On this channel.
        channel: ChannelId,
        /// Text or bytes.
        kind: MessageKind,
        /// The message.
        data: Bytes,
    },
    /// A channel is closed, by either side.
    ChannelClosed {
        /// Which.
        channel: ChannelId,
    },
    /// The session is over. Nothing else follows but the last datagrams.
    Failed {
        /// Why.
        why: Failure,
    },
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Failure {
    /// No pair of addresses passed a check in time. A firewall, or a client that went away at once.
    #[error("no path to the peer was found")]
    NoPath,
    /// The peer was not heard for [`Session::CONSENT`] (RFC 7675). It vanished.
    #[error("the peer was not heard for too long")]
    ConsentLost,
    /// DTLS did not finish in time.
    #[error("the DTLS handshake did not finish")]
    HandshakeTimeout,
    /// DTLS failed: no common cipher, SRTP profile or version, or a fatal alert.
    #[error("the DTLS handshake failed")]
    Handshake,
    /// The certificate is not the one announced. Somebody is in between, or the SDP is of another connection.
    #[error("the peer's certificate does not match its fingerprint")]
    Fingerprint,
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
}

impl Session {
    /// Data channels at once in one session: a client has one, an application on top may have some more.
    pub const CHANNELS_MAX: usize = 32;
    /// Longest data-channel message taken or sent, in bytes. Announced in the SDP.
    pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
    /// Bytes waiting in all channels together before [`SendError::Full`].
    pub const BUFFERED_BYTES_MAX: usize = 256 * 1024;
    /// A peer not heard for this long has gone (RFC 7675 §5.1).
    pub const CONSENT: std::time::Duration = std::time::Duration::from_secs(30);

    /// The edge's side: ICE-lite, DTLS server. `local` goes into the answer.
    #[must_use]
    pub fn server(config: &Config, local: Credentials, remote: Remote, now: Instant) -> Self {
        let _ = (config, local, remote, now);
        Self { outputs: VecDeque::new(), drops: Drops::default() }
    }

    /// The client's side: controlling full ICE agent on the address `from`, DTLS client.
    /// `candidates` are the edge's; `seed` makes transaction ids and the tie-breaker.
    #[must_use]
    pub fn client(
        config: &Config,
        local: Credentials,
        remote: Remote,
        from: SocketAddr,
        candidates: &[SocketAddr],
        seed: u64,
        now: Instant,
    ) -> Self {
        let _ = (config, local, remote, from, candidates, seed, now);
        Self { outputs: VecDeque::new(), drops: Drops::default() }
    }

    /// A STUN or DTLS datagram came.
    pub fn handle(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8], now: Instant) {
        let _ = (from, to, datagram, now);
    }

    /// The time [`Session::deadline`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// What to do next; `None`: nothing for now.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Sends a message on a channel.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, channel: ChannelId, kind: MessageKind, data: Bytes, now: Instant) -> Result<(), SendError> {
        let _ = (channel, kind, data, now);
        Err(SendError::NotOpen)
    }

    /// Opens a channel. It may be used when [`Output::ChannelOpen`] names it. May be called before the session is connected.
    ///
    /// # Errors
    /// [`SendError::NoChannel`] when no stream is left.
    pub fn open_channel(&mut self, options: ChannelOptions, now: Instant) -> Result<ChannelId, SendError> {
        let _ = (options, now);
        Err(SendError::NoChannel)
    }

    /// Closes a channel.
    pub fn close_channel(&mut self, channel: ChannelId, now: Instant) {
        let _ = (channel, now);
    }

    /// Bytes of a channel that wait for acknowledgement.
    #[must_use]
    pub fn buffered(&mut self, channel: ChannelId) -> usize {
        let _ = channel;
        0
    }

    /// ICE restart (RFC 8445 §9): new credentials on both sides. The old pair goes on working until a new one is nominated.
    pub fn restart_ice(&mut self, local: Credentials, remote: Credentials, now: Instant) {
        let _ = (local, remote, now);
    }

    /// The SDP of a later offer negotiated data channels.
    pub fn negotiate_sctp(&mut self, sctp: SctpRemote, now: Instant) {
        let _ = (sctp, now);
    }

    /// A client's new own address: checks go out from it too, and when one works it is nominated.
    pub fn add_local(&mut self, local: SocketAddr, now: Instant) {
        let _ = (local, now);
    }

    /// A client's address is gone (network change).
    pub fn remove_local(&mut self, local: SocketAddr, now: Instant) {
        let _ = (local, now);
    }

    /// One more of the edge's addresses (client's side; the edge itself needs none).
    pub fn add_remote(&mut self, candidate: SocketAddr, now: Instant) {
        let _ = (candidate, now);
    }

    /// Says goodbye (DTLS close_notify). The last datagrams wait in [`Session::poll`].
    pub fn close(&mut self, now: Instant) {
        let _ = now;
    }

    /// The nominated pair.
    #[must_use]
    pub fn selected(&self) -> Option<Pair> {
        None
    }

    /// DTLS is up and the fingerprint proven.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        false
    }

    /// The session has failed or was closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        false
    }

    /// Whether a datagram from there would be taken: the address has passed a check.
    #[must_use]
    pub fn is_checked(&self, pair: Pair) -> bool {
        let _ = pair;
        false
    }

    /// The user fragments a binding request for this session may name: the present one, and the one before an ICE restart.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// What was thrown away, and why.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }
}
