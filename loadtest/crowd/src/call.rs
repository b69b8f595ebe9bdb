//! What viewers and publishers have in common: a session, and SRTP once it stands.

use bytes::Bytes;
use lyceum_bot::outgoing::{Outgoing, keys};
use lyceum_media::srtp::Inbound;
use lyceum_session::{Output, Session, SrtpProfile};
use std::net::SocketAddr;
use std::time::Instant;

/// One member's connection.
pub struct Call {
    session: Session,
    local: SocketAddr,
    remote: Option<SocketAddr>,
    zero: Instant,
    profile: Option<SrtpProfile>,
    pub(crate) inbound: Option<Inbound>,
    pub(crate) outgoing: Option<Outgoing>,
    /// STUN and DTLS to send.
    ready: std::collections::VecDeque<(SocketAddr, Bytes)>,
    ended: Option<String>,
}

impl Call {
    /// Around a session that has yet to connect. abs-send-time counts from `zero`.
    pub(crate) fn new(session: Session, local: SocketAddr, zero: Instant) -> Self {
        Self {
            session,
            local,
            remote: None,
            zero,
            profile: None,
            inbound: None,
            outgoing: None,
            ready: std::collections::VecDeque::new(),
            ended: None,
        }
    }

    /// STUN or DTLS came.
    pub(crate) fn handle(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.session.handle(from, self.local, datagram, now);
        self.drain();
    }

    /// Time passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.session.deadline().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        self.drain();
    }

    /// The next datagram, and where it goes.
    pub(crate) fn poll(&mut self) -> Option<(SocketAddr, Bytes)> {
        if let Some(ready) = self.ready.pop_front() {
            return Some(ready);
        }
        let bytes = self.outgoing.as_mut()?.poll()?;
        Some((self.remote?, bytes))
    }

    /// Media can flow.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.outgoing.is_some() && self.ended.is_none()
    }

    /// How media is protected, once agreed.
    #[must_use]
    pub fn profile(&self) -> Option<SrtpProfile> {
        self.profile
    }

    /// Why it is over.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// The member's own address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Transmit { pair, bytes } => self.ready.push_back((pair.remote, bytes)),
                Output::Selected { pair } => self.remote = Some(pair.remote),
                Output::Connected { srtp } => {
                    let Some(srtp) = srtp else { return self.end("no SRTP profile was agreed") };
                    self.profile = Some(srtp.profile);
                    self.inbound = Inbound::new(&keys(srtp.profile, &srtp.remote)).ok();
                    self.outgoing = Outgoing::new(&keys(srtp.profile, &srtp.local), self.zero).ok();
                }
                Output::Failed { why } => self.end(&why.to_string()),
                Output::ChannelOpen { .. } | Output::ChannelMessage { .. } | Output::ChannelClosed { .. } => {}
            }
        }
    }

    fn end(&mut self, why: &str) {
        self.ended.get_or_insert_with(|| why.to_owned());
    }
}
