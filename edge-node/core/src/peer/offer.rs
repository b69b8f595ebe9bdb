//! An offer of a peer, the first or a later one: checked whole, then applied whole.

use super::Media;
use super::negotiate::{self, Intents, Memory, Plan, Refused};
use crate::shard::Shard;
use lyceum_media::{Ssrc, Uplink, downlink, uplink};
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{Candidate, Offer, Origin, SdpError, SdpFault, Transport};
use lyceum_session::{Remote, SctpRemote, Session};
use lyceum_wire::ext;
use lyceum_wire::signal::Refusal;
use std::time::Instant;

/// Seconds from NTP's epoch, 1900, to Unix's, 1970 (RFC 5905 §6).
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// What was settled with the peer before its lines are looked at.
struct Settled {
    origin: Origin,
    local_ice: Credentials,
    memory: Memory,
    /// The offer comes with other ICE credentials than the last one.
    restart: bool,
}

impl Shard {
    /// Answers an offer of the peer, and does what it says.
    pub(crate) fn offer(
        &mut self,
        index: u32,
        offer: &Offer,
        intents: Intents<'_>,
        now: Instant,
    ) -> Result<String, Refused> {
        let Some(peer) = self.peers.get_mut(index) else { return Err(internal()) };
        let mut settled = match &peer.media {
            Some(media) => {
                check_continuation(media, offer)?;
                let restart = media.remote_ice != offer.ice;
                let local_ice = if restart { peer.draw.credentials(index) } else { media.local_ice.clone() };
                let origin = Origin { version: media.origin.version + 1, ..media.origin };
                Settled { origin, local_ice, memory: media.memory.clone(), restart }
            }
            None => Settled {
                // The highest bit stays clear: it is read as a signed number (RFC 8829 §5.2.1).
                origin: Origin { id: peer.draw.number() >> 1, version: 1 },
                local_ice: peer.draw.credentials(index),
                memory: Memory::new(&mut peer.draw),
                restart: false,
            },
        };
        let transport = Transport {
            origin: settled.origin,
            ice: settled.local_ice.clone(),
            fingerprint: self.config.session.fingerprint(),
            candidates: candidates(&self.config.candidates),
        };
        let plan = negotiate::negotiate(offer, intents, &peer.grants, transport, &mut settled.memory, &mut peer.draw)?;
        let answer = plan.answer.write();
        if peer.media.is_none() {
            self.first_offer(index, offer, settled, plan.extensions, now);
        } else {
            self.later_offer(index, offer, settled, plan.extensions, now);
        }
        let Plan { publishing, slots, .. } = plan;
        self.apply_publishing(index, publishing, now);
        self.apply_slots(index, slots, now);
        self.touch_peer(index);
        Ok(answer)
    }

    fn first_offer(&mut self, index: u32, offer: &Offer, settled: Settled, extensions: ext::Map, now: Instant) {
        let Self { peers, rooms, downlinks, peer_by_downlink, config, born, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let Some(room) = rooms.get_mut(peer.room) else { return };
        let remote = Remote { ice: offer.ice.clone(), fingerprint: offer.fingerprint, sctp: sctp(offer) };
        let feedback_ssrc = Ssrc(settled.memory.feedback_ssrc);
        let downlink = downlinks.insert(
            downlink::Config {
                extensions: extensions.clone(),
                cname: settled.memory.cname.as_str().into(),
                epoch: *born,
                epoch_ntp: ntp(config.unix_ms),
                seed: peer.draw.number(),
            },
            now,
        );
        peer_by_downlink.insert(downlink, index);
        room.hop.room.enter(peer.participant.id.clone(), downlink, downlinks, now);
        peer.media = Some(Box::new(Media {
            session: Session::server(&config.session, settled.local_ice.clone(), remote, now),
            uplink: Uplink::new(uplink::Config { extensions, feedback_ssrc }, now),
            downlink,
            remote_ice: offer.ice.clone(),
            fingerprint: offer.fingerprint,
            lines: offer.lines.len(),
            first_mid: offer.bundle.first().cloned().unwrap_or_default(),
            local_ice: settled.local_ice,
            origin: settled.origin,
            memory: settled.memory,
            published: Vec::new(),
            slots: Vec::new(),
            pairs: Vec::new(),
            connected: false,
        }));
    }

    fn later_offer(&mut self, index: u32, offer: &Offer, settled: Settled, extensions: ext::Map, now: Instant) {
        let Some(media) = self.peers.get_mut(index).and_then(|peer| peer.media.as_mut()) else { return };
        if settled.restart {
            media.session.restart_ice(settled.local_ice.clone(), offer.ice.clone(), now);
        }
        if let Some(sctp) = sctp(offer) {
            media.session.negotiate_sctp(sctp, now);
        }
        let feedback_ssrc = Ssrc(settled.memory.feedback_ssrc);
        media.uplink.configure(uplink::Config { extensions: extensions.clone(), feedback_ssrc });
        self.downlinks.set_extensions(media.downlink, &extensions);
        media.remote_ice = offer.ice.clone();
        media.local_ice = settled.local_ice;
        media.origin = settled.origin;
        media.memory = settled.memory;
        media.lines = offer.lines.len();
    }
}

/// Whether an offer can follow what was negotiated before.
fn check_continuation(media: &Media, offer: &Offer) -> Result<(), Refused> {
    let bad = |message: &str| Err(Refused { code: Refusal::BadOffer, message: message.into() });
    if offer.fingerprint != media.fingerprint {
        return bad("the certificate changed; a new one needs a new session");
    }
    if offer.lines.len() < media.lines {
        return bad("m-lines of an earlier offer are missing; they are rejected or inactive, but never left out");
    }
    Ok(())
}

fn sctp(offer: &Offer) -> Option<SctpRemote> {
    offer.lines.iter().filter(|line| !line.rejected).find_map(|line| line.sctp)
}

/// The shard's addresses, the first one preferred.
pub(crate) fn candidates(addresses: &[std::net::SocketAddr]) -> Vec<Candidate> {
    let preferences = (0..=u16::MAX).rev();
    addresses.iter().zip(preferences).map(|(address, preference)| Candidate::host(*address, preference)).collect()
}

/// The NTP timestamp (RFC 5905 §6) of a Unix time.
fn ntp(unix_ms: u64) -> u64 {
    let seconds = unix_ms / 1_000 + NTP_UNIX_SECONDS;
    (seconds << 32) | (((unix_ms % 1_000) << 32) / 1_000)
}

/// Reads an offer.
pub(crate) fn parse(sdp: &str) -> Result<Offer, Refused> {
    Offer::parse(sdp).map_err(unreadable)
}

fn unreadable(error: SdpError) -> Refused {
    let code = match error.fault {
        SdpFault::TooMuch(_) => Refusal::TooLarge,
        _ => Refusal::BadOffer,
    };
    Refused { code, message: error.to_string() }
}

fn internal() -> Refused {
    Refused { code: Refusal::Internal, message: "the session is not in a state to be negotiated".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_counts_from_1900_in_32_bit_fractions() {
        assert_eq!(ntp(0), 2_208_988_800 << 32);
        assert_eq!(ntp(1_500), (2_208_988_801 << 32) | 0x8000_0000);
    }
}
