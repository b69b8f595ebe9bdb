//! One peer: ICE, DTLS, SCTP joined.

use crate::channel::{ChannelId, ChannelOptions, MessageKind, SendError};
use crate::config::{Config, Fingerprint};
use crate::drops::{DropReason, Drops};
use crate::dtls::{self, Dtls};
use crate::ice::{Agent, Credentials, Lite};
use crate::keys::SrtpKeys;
use crate::sctp::Sctp;
use bytes::Bytes;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// One peer's connection. See the crate's page.
pub struct Session {
    config: Config,
    ice: Ice,
    dtls: Option<Dtls>,
    /// Where DTLS last came from. Chromium nominates seconds after its handshake; until then everything goes there.
    dtls_pair: Option<Pair>,
    /// The last [`Output::Selected`].
    selected: Option<Pair>,
    sctp: Option<Box<Sctp>>,
    expected: Fingerprint,
    state: State,
    outputs: VecDeque<Output>,
    drops: Drops,
}

enum Ice {
    Lite(Lite),
    Agent(Agent),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Over,
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
    /// Media goes to this pair from now on: the one ICE nominated, or before there is one the checked pair on which DTLS runs.
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
    pub const CONSENT: Duration = Duration::from_secs(30);

    /// The edge's side: ICE-lite, DTLS server. `local` goes into the answer.
    #[must_use]
    pub fn server(config: &Config, local: Credentials, remote: Remote, now: Instant) -> Self {
        let sctp = remote.sctp.map(|sctp| Box::new(Sctp::new(sctp, false)));
        Self::new(config, Ice::Lite(Lite::new(local, &remote.ice, now)), remote.fingerprint, sctp)
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
        let sctp = remote.sctp.map(|sctp| Box::new(Sctp::new(sctp, true)));
        let mut agent = Agent::new(local, remote.ice, seed, now);
        agent.add_local(from, now);
        for candidate in candidates {
            agent.add_remote(*candidate, now);
        }
        let mut this = Self::new(config, Ice::Agent(agent), remote.fingerprint, sctp);
        this.handle_timeout(now);
        this
    }

    fn new(config: &Config, ice: Ice, expected: Fingerprint, sctp: Option<Box<Sctp>>) -> Self {
        Self {
            config: config.clone(),
            ice,
            dtls: None,
            dtls_pair: None,
            selected: None,
            sctp,
            expected,
            state: State::Connecting,
            outputs: VecDeque::new(),
            drops: Drops::default(),
        }
    }

    /// A STUN or DTLS datagram came.
    pub fn handle(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8], now: Instant) {
        let pair = Pair { local: to, remote: from };
        match datagram.first() {
            _ if self.state == State::Over => self.drops.count(DropReason::AfterEnd),
            // RFC 7983 §7.
            Some(0..=3) => self.handle_stun(pair, datagram, now),
            Some(20..=63) => self.handle_dtls(pair, datagram, now),
            _ => self.drops.count(DropReason::NotOurs),
        }
    }

    /// The time [`Session::deadline`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.state == State::Over {
            return;
        }
        let alive = match &mut self.ice {
            Ice::Lite(lite) => lite.handle_timeout(now),
            Ice::Agent(agent) => {
                let mut checks = Vec::new();
                let alive = agent.handle_timeout(now, &mut checks);
                let transmits = checks.into_iter().map(|(pair, bytes)| Output::Transmit { pair, bytes });
                self.outputs.extend(transmits);
                alive
            }
        };
        if let Err(why) = alive {
            self.fail(why);
            return;
        }
        self.after_ice(now);
        if let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.deadline().is_some_and(|at| now >= at)) {
            let (mut events, mut out) = (Vec::new(), Vec::new());
            dtls.handle_timeout(now, &mut events, &mut out);
            self.after_dtls(events, out, now);
        }
        if self.is_connected()
            && let Some(sctp) = self.sctp.as_mut().filter(|sctp| sctp.deadline().is_some_and(|at| now >= at))
        {
            sctp.handle_timeout(now, &mut self.drops, &mut self.outputs);
            self.flush_sctp(now);
        }
    }

    /// What to do next; `None`: nothing for now.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Session::handle_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.state == State::Over {
            return None;
        }
        let ice = match &self.ice {
            Ice::Lite(lite) => lite.deadline(),
            Ice::Agent(agent) => agent.deadline(),
        };
        let dtls = self.dtls.as_ref().and_then(Dtls::deadline);
        let sctp = self.sctp.as_ref().filter(|_| self.is_connected()).and_then(|sctp| sctp.deadline());
        [Some(ice), dtls, sctp].into_iter().flatten().min()
    }

    /// Sends a message on a channel.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, channel: ChannelId, kind: MessageKind, data: &Bytes, now: Instant) -> Result<(), SendError> {
        let sctp = self.sctp.as_mut().filter(|_| self.state == State::Connected).ok_or(SendError::NotOpen)?;
        sctp.send(channel, kind, data, now)?;
        self.flush_sctp(now);
        Ok(())
    }

    /// Opens a channel. It may be used when [`Output::ChannelOpen`] names it. May be called before the session is connected.
    ///
    /// # Errors
    /// [`SendError::NoChannel`] when no stream is left.
    pub fn open_channel(&mut self, options: ChannelOptions, now: Instant) -> Result<ChannelId, SendError> {
        let sctp = self.sctp.as_mut().filter(|_| self.state != State::Over).ok_or(SendError::NoChannel)?;
        let channel = sctp.open(options, now)?;
        self.flush_sctp(now);
        Ok(channel)
    }

    /// Closes a channel. [`Output::ChannelClosed`] follows.
    pub fn close_channel(&mut self, channel: ChannelId, now: Instant) {
        if let Some(sctp) = self.sctp.as_mut().filter(|_| self.state != State::Over) {
            sctp.close_channel(channel, now, &mut self.outputs);
            self.flush_sctp(now);
        }
    }

    /// Bytes of a channel that wait for acknowledgement.
    #[must_use]
    pub fn buffered(&mut self, channel: ChannelId) -> usize {
        self.sctp.as_mut().map_or(0, |sctp| sctp.buffered(channel))
    }

    /// ICE restart (RFC 8445 §9): new credentials on both sides. The old pair goes on working until a new one is nominated.
    pub fn restart_ice(&mut self, local: Credentials, remote: Credentials, now: Instant) {
        match &mut self.ice {
            Ice::Lite(lite) => lite.restart(local, &remote, now),
            Ice::Agent(agent) => agent.restart(local, remote, now),
        }
        self.handle_timeout(now);
    }

    /// The SDP of a later offer negotiated data channels. Nothing happens when they were before.
    pub fn negotiate_sctp(&mut self, remote: SctpRemote, now: Instant) {
        if self.sctp.is_none() && self.state != State::Over {
            let mut sctp = Box::new(Sctp::new(remote, matches!(self.ice, Ice::Agent(_))));
            if self.is_connected() {
                sctp.start(now);
            }
            self.sctp = Some(sctp);
            self.flush_sctp(now);
        }
    }

    /// A client's new own address: checks go out from it too, and when it is needed it is nominated.
    pub fn add_local(&mut self, local: SocketAddr, now: Instant) {
        if let Ice::Agent(agent) = &mut self.ice {
            agent.add_local(local, now);
            self.handle_timeout(now);
        }
    }

    /// A client's address is gone (network change): another one that works is nominated.
    pub fn remove_local(&mut self, local: SocketAddr, now: Instant) {
        if let Ice::Agent(agent) = &mut self.ice {
            agent.remove_local(local, now);
            self.handle_timeout(now);
        }
    }

    /// One more of the edge's addresses (client's side; the edge itself needs none).
    pub fn add_remote(&mut self, candidate: SocketAddr, now: Instant) {
        if let Ice::Agent(agent) = &mut self.ice {
            agent.add_remote(candidate, now);
            self.handle_timeout(now);
        }
    }

    /// Says goodbye (DTLS close_notify) and is over. The last datagrams wait in [`Session::poll`].
    pub fn close(&mut self, now: Instant) {
        let pair = self.path();
        if let Some(dtls) = self.dtls.as_mut().filter(|_| self.state != State::Over) {
            let mut out = Vec::new();
            dtls.close(now, &mut out);
            let transmits = out.into_iter().filter_map(|bytes| Some(Output::Transmit { pair: pair?, bytes }));
            self.outputs.extend(transmits);
        }
        self.state = State::Over;
    }

    /// Where media goes: see [`Output::Selected`].
    #[must_use]
    pub fn selected(&self) -> Option<Pair> {
        self.selected
    }

    /// DTLS is up and the fingerprint proven.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    /// The session has failed or was closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// Whether the pair has passed a check: DTLS and media are taken from there.
    #[must_use]
    pub fn is_checked(&self, pair: Pair) -> bool {
        match &self.ice {
            Ice::Lite(lite) => lite.is_checked(pair),
            Ice::Agent(agent) => agent.is_checked(pair),
        }
    }

    /// The user fragments a binding request for this session may name: the present one, and the one before an ICE restart.
    pub fn local_ufrags(&self) -> Vec<&str> {
        match &self.ice {
            Ice::Lite(lite) => lite.local_ufrags().collect(),
            Ice::Agent(agent) => vec![agent.local_ufrag()],
        }
    }

    /// What was thrown away, and why.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    fn handle_stun(&mut self, pair: Pair, datagram: &[u8], now: Instant) {
        let reply = match &mut self.ice {
            Ice::Lite(lite) => lite.handle(datagram, pair, now, &mut self.drops),
            Ice::Agent(agent) => agent.handle(datagram, pair, now, &mut self.drops),
        };
        if let Some(bytes) = reply {
            self.outputs.push_back(Output::Transmit { pair, bytes });
        }
        self.after_ice(now);
    }

    fn handle_dtls(&mut self, pair: Pair, datagram: &[u8], now: Instant) {
        if !self.is_checked(pair) {
            self.drops.count(DropReason::DtlsUnchecked);
            return;
        }
        if self.dtls.is_none() && matches!(self.ice, Ice::Agent(_)) {
            // Nothing was asked yet.
            self.drops.count(DropReason::DtlsUnchecked);
            return;
        }
        self.dtls_pair = Some(pair);
        self.after_ice(now);
        let dtls = self.dtls.get_or_insert_with(|| Dtls::server(&self.config, self.expected, now));
        let (mut events, mut out) = (Vec::new(), Vec::new());
        dtls.handle(datagram, now, &mut self.drops, &mut events, &mut out);
        self.after_dtls(events, out, now);
    }

    /// Says where media goes when that has changed; a client begins DTLS with its first pair.
    fn after_ice(&mut self, now: Instant) {
        let path = self.path();
        let Some(pair) = path.filter(|_| path != self.selected) else { return };
        self.selected = path;
        self.outputs.push_back(Output::Selected { pair });
        if self.dtls.is_none() && matches!(self.ice, Ice::Agent(_)) {
            let mut out = Vec::new();
            self.dtls = Some(Dtls::client(&self.config, self.expected, now, &mut out));
            self.after_dtls(Vec::new(), out, now);
        }
    }

    fn after_dtls(&mut self, events: Vec<dtls::Event>, out: Vec<Bytes>, now: Instant) {
        self.transmit(out);
        for event in events {
            match event {
                dtls::Event::Up { srtp } => {
                    self.state = State::Connected;
                    self.outputs.push_back(Output::Connected { srtp });
                    if let Some(sctp) = &mut self.sctp {
                        sctp.start(now);
                    }
                }
                dtls::Event::Data(packet) => match &mut self.sctp {
                    Some(sctp) => sctp.handle(packet, now, &mut self.drops, &mut self.outputs),
                    None => self.drops.count(DropReason::DataUnasked),
                },
                dtls::Event::Failed(why) => {
                    self.fail(why);
                    return;
                }
            }
        }
        self.flush_sctp(now);
    }

    fn flush_sctp(&mut self, now: Instant) {
        let (Some(sctp), Some(dtls)) = (&mut self.sctp, &mut self.dtls) else { return };
        if self.state != State::Connected {
            return;
        }
        let mut out = Vec::new();
        while let Some(packets) = sctp.transmit(now) {
            for packet in packets {
                dtls.send(&packet, now, &mut out);
            }
        }
        self.transmit(out);
    }

    fn path(&self) -> Option<Pair> {
        let nominated = match &self.ice {
            Ice::Lite(lite) => lite.selected(),
            Ice::Agent(agent) => agent.selected(),
        };
        nominated.or(self.dtls_pair)
    }

    fn transmit(&mut self, datagrams: Vec<Bytes>) {
        if let Some(pair) = self.path() {
            self.outputs.extend(datagrams.into_iter().map(|bytes| Output::Transmit { pair, bytes }));
        }
    }

    fn fail(&mut self, why: Failure) {
        if self.state != State::Over {
            self.state = State::Over;
            self.outputs.push_back(Output::Failed { why });
        }
    }
}
