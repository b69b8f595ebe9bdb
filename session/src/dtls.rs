//! DTLS 1.2 (RFC 6347, RFC 8827 §6.5) on `rtc-dtls`, with three things of our own around it.
//!
//! - **SRTP profile by our order.** The library takes the client's order, and Chromium's begins with the dearest profile. So the
//!   server first tries with our most wanted profile alone and, when the client has not offered it, plays the ClientHello again
//!   to the next one.
//! - **Retransmission.** The library forgets its timer when half a flight arrives (two lost datagrams and both sides wait for ever)
//!   and has no backoff. So its timers are never turned; the last flight is kept here and sent again, its plaintext
//!   records under fresh numbers (RFC 6347 §4.2.4), at 200 ms, 400 ms … 1.6 s.
//! - **Bounds** on what an unproven peer may make us keep.

use crate::config::{Config, Fingerprint};
use crate::drops::{DropReason, Drops};
use crate::keys::{SrtpKeys, SrtpProfile};
use crate::session::Failure;
use bytes::{Bytes, BytesMut};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// A handshake that has not finished after this time never will: ten tries at the longest distance.
const HANDSHAKE: Duration = Duration::from_secs(20);
/// First retransmission: above the round trip of two continents, so that a good path sees none.
const RESEND_FIRST: Duration = Duration::from_millis(200);
/// Longest pause between retransmissions.
const RESEND_MAX: Duration = Duration::from_millis(1600);
/// Bytes taken before the peer has proven itself: a handshake has 3 kB; with ten retransmissions and a chain of certificates this.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of ClientHello kept to play it again: with post-quantum key shares it has 2 kB.
const HELLO_BYTES_MAX: usize = 8 * 1024;
/// Handshake datagrams taken after the handshake: the peer repeats its last flight when ours was lost.
const LATE_HANDSHAKES_MAX: u32 = 16;
/// Handshake messages are cut to datagrams of this many bytes: fits through a TURN channel over IPv6.
pub(crate) const MTU_BYTES: usize = 1150;
/// Label of the exporter (RFC 5764 §4.2).
const EXPORTER: &str = "EXTRACTOR-dtls_srtp";
/// The library keeps associations by address; ours has one and moves with ICE, so it is always called this.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One DTLS association.
pub(crate) struct Dtls {
    config: Config,
    endpoint: Endpoint,
    we_are_client: bool,
    expected: Fingerprint,
    state: State,
    /// Number of the next plaintext record.
    sequence: u64,
    handshake: Option<Box<Handshake>>,
    late_handshakes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Handshake,
    Up,
    Over,
}

/// What is needed only until the handshake is done.
struct Handshake {
    give_up: Instant,
    /// Which of our profiles is being tried (server).
    profile: usize,
    /// The ClientHello until it is answered (server).
    hello: Vec<Bytes>,
    /// The last flight, and when to send it again.
    flight: Vec<Bytes>,
    resend: Option<Instant>,
    pause: Duration,
    bytes: usize,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The handshake is done, and the certificate is the expected one.
    Up { srtp: Option<SrtpKeys> },
    /// Application data: an SCTP packet.
    Data(BytesMut),
    /// It is over.
    Failed(Failure),
}

impl Dtls {
    pub(crate) fn server(config: &Config, expected: Fingerprint, now: Instant) -> Self {
        Self::new(config, expected, false, now)
    }

    /// Begins the handshake; the ClientHello is in `out`.
    pub(crate) fn client(config: &Config, expected: Fingerprint, now: Instant, out: &mut Vec<Bytes>) -> Self {
        let mut this = Self::new(config, expected, true, now);
        // Fails only for an address without a port.
        let _ = this.endpoint.connect(now, PEER, config.shared.dtls_client.clone(), None);
        this.flush(now, out);
        this
    }

    fn new(config: &Config, expected: Fingerprint, we_are_client: bool, now: Instant) -> Self {
        let handshake = Handshake {
            give_up: now + HANDSHAKE,
            profile: 0,
            hello: Vec::new(),
            flight: Vec::new(),
            resend: None,
            pause: RESEND_FIRST,
            bytes: 0,
        };
        Self {
            endpoint: endpoint(config, 0, we_are_client),
            config: config.clone(),
            we_are_client,
            expected,
            state: State::Handshake,
            sequence: 0,
            handshake: Some(Box::new(handshake)),
            late_handshakes: 0,
        }
    }

    /// A datagram from an address that passed a check.
    pub(crate) fn handle(
        &mut self,
        datagram: &[u8],
        now: Instant,
        drops: &mut Drops,
        events: &mut Vec<Event>,
        out: &mut Vec<Bytes>,
    ) {
        if let Err(reason) = self.admit(datagram) {
            drops.count(reason);
            return;
        }
        let mut result = self.endpoint.read(now, PEER, None, BytesMut::from(datagram));
        while let Err(Error::ErrServerNoMatchingSrtpProfile) = result {
            let Some(next) = self.next_profile() else { break };
            self.endpoint = endpoint(&self.config, next, false);
            result = Ok(Vec::new());
            for hello in self.handshake.iter().flat_map(|handshake| handshake.hello.clone()) {
                result = self.endpoint.read(now, PEER, None, BytesMut::from(&hello[..]));
            }
        }
        match result {
            Ok(happened) => {
                self.flush(now, out);
                for event in happened {
                    self.take(event, now, events, out);
                }
            }
            Err(_) if self.state == State::Over => {}
            Err(_) => {
                // The alerts that say why.
                self.drain(out);
                let why = if self.state == State::Up { Failure::Closed } else { Failure::Handshake };
                self.end(why, events);
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, events: &mut Vec<Event>, out: &mut Vec<Bytes>) {
        let Some(handshake) = &mut self.handshake else { return };
        if now >= handshake.give_up {
            self.end(Failure::HandshakeTimeout, events);
            return;
        }
        if handshake.resend.is_some_and(|at| now >= at) {
            handshake.pause = (handshake.pause * 2).min(RESEND_MAX);
            handshake.resend = Some(now + handshake.pause);
            for datagram in &handshake.flight {
                out.push(renumber(datagram, &mut self.sequence));
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let handshake = self.handshake.as_ref()?;
        Some(handshake.resend.map_or(handshake.give_up, |at| at.min(handshake.give_up)))
    }

    /// Seals an SCTP packet.
    pub(crate) fn send(&mut self, packet: &[u8], now: Instant, out: &mut Vec<Bytes>) {
        if self.state == State::Up && self.endpoint.write(now, PEER, packet).is_ok() {
            self.drain(out);
        }
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        if self.state != State::Over {
            let _ = self.endpoint.stop(now, PEER);
            self.drain(out);
            self.state = State::Over;
            self.handshake = None;
        }
    }

    /// Whether the library may see a datagram.
    fn admit(&mut self, datagram: &[u8]) -> Result<(), DropReason> {
        let mut records = Records(datagram);
        let first = records.next().flatten().ok_or(DropReason::DtlsMalformed)?;
        if records.any(|record| record.is_none()) {
            return Err(DropReason::DtlsMalformed);
        }
        match self.state {
            State::Over => Err(DropReason::AfterEnd),
            State::Up if matches!(first.content, CHANGE_CIPHER_SPEC | HANDSHAKE_RECORD) => {
                // Only who sent the last flight has to send it again, and that is the server (RFC 6347 §4.2.4).
                self.late_handshakes += 1;
                match self.we_are_client || self.late_handshakes > LATE_HANDSHAKES_MAX {
                    true => Err(DropReason::DtlsTooMuch),
                    false => Ok(()),
                }
            }
            State::Up => Ok(()),
            State::Handshake => {
                let Some(handshake) = &mut self.handshake else { return Err(DropReason::AfterEnd) };
                handshake.bytes += datagram.len();
                if handshake.bytes > HANDSHAKE_BYTES_MAX {
                    return Err(DropReason::DtlsTooMuch);
                }
                let kept: usize = handshake.hello.iter().map(Bytes::len).sum();
                if !self.we_are_client && handshake.flight.is_empty() && kept + datagram.len() <= HELLO_BYTES_MAX {
                    handshake.hello.push(Bytes::copy_from_slice(datagram));
                }
                Ok(())
            }
        }
    }

    fn next_profile(&mut self) -> Option<usize> {
        let handshake = self.handshake.as_mut()?;
        handshake.profile += 1;
        (handshake.profile < self.config.shared.dtls_server.len()).then_some(handshake.profile)
    }

    /// Sends what the library has; while the handshake runs that is the next flight.
    fn flush(&mut self, now: Instant, out: &mut Vec<Bytes>) {
        let before = out.len();
        self.drain(out);
        let Some(handshake) = &mut self.handshake else { return };
        if let Some(flight) = out.get(before..).filter(|flight| !flight.is_empty()) {
            handshake.flight = flight.to_vec();
            handshake.hello = Vec::new();
            handshake.pause = RESEND_FIRST;
            handshake.resend = Some(now + RESEND_FIRST);
        }
    }

    fn drain(&mut self, out: &mut Vec<Bytes>) {
        while let Some(transmit) = self.endpoint.poll_transmit() {
            out.push(renumber(&transmit.message, &mut self.sequence));
        }
    }

    fn take(&mut self, event: EndpointEvent, now: Instant, events: &mut Vec<Event>, out: &mut Vec<Bytes>) {
        match event {
            EndpointEvent::HandshakeComplete => match self.proven() {
                Ok(srtp) => {
                    self.state = State::Up;
                    self.handshake = None;
                    events.push(Event::Up { srtp });
                }
                Err(why) => {
                    let _ = self.endpoint.stop(now, PEER);
                    self.drain(out);
                    self.end(why, events);
                }
            },
            EndpointEvent::ApplicationData(data) if self.state == State::Up => events.push(Event::Data(data)),
            EndpointEvent::PeerClosed => self.end(Failure::Closed, events),
            _ => {}
        }
    }

    /// Compares the certificate with the fingerprint (RFC 8122 §5) and takes the keys.
    fn proven(&self) -> Result<Option<SrtpKeys>, Failure> {
        let state = self.endpoint.get_connection_state(PEER).ok_or(Failure::Handshake)?;
        let certificate = state.peer_certificates.first().ok_or(Failure::Fingerprint)?;
        if Fingerprint::of(certificate) != self.expected {
            return Err(Failure::Fingerprint);
        }
        let Some(profile) = ours(state.srtp_protection_profile()) else { return Ok(None) };
        let material = state
            .export_keying_material(EXPORTER, &[], SrtpKeys::material_bytes(profile))
            .map_err(|_| Failure::Handshake)?;
        let keys = SrtpKeys::cut(profile, material.as_ref(), self.we_are_client);
        keys.map(Some).ok_or(Failure::Handshake)
    }

    fn end(&mut self, why: Failure, events: &mut Vec<Event>) {
        if self.state != State::Over {
            self.state = State::Over;
            self.handshake = None;
            events.push(Event::Failed(why));
        }
    }
}

fn endpoint(config: &Config, profile: usize, we_are_client: bool) -> Endpoint {
    let server = config.shared.dtls_server.get(profile).filter(|_| !we_are_client).cloned();
    Endpoint::new(PEER, TransportProtocol::UDP, server)
}

/// The library's name of a profile.
pub(crate) fn theirs(profile: SrtpProfile) -> SrtpProtectionProfile {
    match profile {
        SrtpProfile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        SrtpProfile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        SrtpProfile::Aes128CmSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

fn ours(profile: SrtpProtectionProfile) -> Option<SrtpProfile> {
    SrtpProfile::PREFERRED.into_iter().find(|ours| theirs(*ours) == profile)
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE_RECORD: u8 = 22;
/// Content type, version, epoch, sequence number, length (RFC 6347 §4.1).
const RECORD_HEADER_BYTES: usize = 13;

/// One record of a datagram.
#[derive(Debug, Clone, Copy)]
struct Record {
    content: u8,
    plain: bool,
    bytes: usize,
}

/// The records of a datagram; `None` in it: what follows cannot be read.
struct Records<'a>(&'a [u8]);

impl Iterator for Records<'_> {
    type Item = Option<Record>;

    fn next(&mut self) -> Option<Option<Record>> {
        if self.0.is_empty() {
            return None;
        }
        let record = (|| {
            let header = self.0.get(..RECORD_HEADER_BYTES)?;
            let bytes = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([header[11], header[12]]));
            let known = (20..=23).contains(&header[0]) && header[1] == 0xfe && self.0.len() >= bytes;
            known.then_some(Record { content: header[0], plain: header[3] == 0 && header[4] == 0, bytes })
        })();
        self.0 = record.and_then(|record| self.0.get(record.bytes..)).unwrap_or_default();
        Some(record)
    }
}

/// Gives plaintext records their numbers. A repeated record under its old number would be taken for a replay.
fn renumber(datagram: &[u8], sequence: &mut u64) -> Bytes {
    let mut copy = BytesMut::from(datagram);
    let mut at = 0;
    for record in Records(datagram) {
        let Some(record) = record else { break };
        if record.plain {
            copy[at + 5..at + 11].copy_from_slice(&sequence.to_be_bytes()[2..]);
            *sequence += 1;
        }
        at += record.bytes;
    }
    copy.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: u8, epoch: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![content, 0xfe, 0xfd];
        bytes.extend(epoch.to_be_bytes());
        bytes.extend([0; 6]);
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn only_plaintext_records_get_new_numbers() {
        let datagram = [record(22, 0, b"ab"), record(22, 1, b"cd"), record(20, 0, b"e")].concat();
        let mut sequence = 0x0102;
        let sent = renumber(&datagram, &mut sequence);
        assert_eq!(sequence, 0x0104);
        let numbers: Vec<&[u8]> = [0, 15, 30].iter().map(|at| &sent[at + 5..at + 11]).collect();
        assert_eq!(numbers, [&[0, 0, 0, 0, 1, 2][..], &[0; 6], &[0, 0, 0, 0, 1, 3]]);
        assert_eq!(sent.len(), datagram.len());
    }

    #[test]
    fn records_that_do_not_fill_the_datagram_are_malformed() {
        let fine = record(22, 0, b"ab");
        for (name, bytes) in [
            ("cut", fine[..fine.len() - 1].to_vec()),
            ("a byte too many", [&fine[..], &[22]].concat()),
            ("no record of DTLS 1.2", record(63, 0, b"ab")),
            ("another version", {
                let mut bad = fine.clone();
                bad[1] = 3;
                bad
            }),
        ] {
            assert!(Records(&bytes).any(|record| record.is_none()), "{name}");
        }
        assert!(Records(&fine).all(|record| record.is_some()));
    }
}
