//! A peer's session, uplink and timers, turned: what they want done is done here.

use super::{Media, Peer, Way};
use crate::drops::{Departure, DoorDrop};
use crate::shard::{Alarm, Shard};
use lyceum_media::downlink::Route;
use lyceum_media::srtp;
use lyceum_session::ice::PAIRS_MAX;
use lyceum_session::{Failure, Output, Pair, SrtpKey, SrtpKeys, SrtpProfile};
use lyceum_wire::demux::Class;
use lyceum_wire::rtcp::{Compound, Packet};
use lyceum_wire::signal::Refusal;
use std::time::Instant;

impl Shard {
    /// STUN or DTLS for a peer.
    pub(crate) fn session_datagram(&mut self, index: u32, pair: Pair, bytes: &[u8], now: Instant) {
        let Some(media) = self.peers.get_mut(index).and_then(|peer| peer.media.as_mut()) else { return };
        media.session.handle(pair.remote, pair.local, bytes, now);
        if media.session.is_checked(pair) && self.pairs.peer(pair) != Some(index) {
            if media.pairs.len() >= PAIRS_MAX {
                let (kept, stale) = media.pairs.drain(..).partition(|known| media.session.is_checked(*known));
                media.pairs = kept;
                let stale: Vec<Pair> = stale;
                stale.iter().for_each(|known| self.pairs.forget(*known, index));
            }
            media.pairs.push(pair);
            if let Some(old) = self.pairs.learn(pair, index)
                && let Some(old) = self.peers.get_mut(old).and_then(|peer| peer.media.as_mut())
            {
                old.pairs.retain(|known| *known != pair);
            }
        }
        self.touch_peer(index);
    }

    /// SRTP or SRTCP for a peer: the hot path.
    pub(crate) fn media_datagram(&mut self, index: u32, class: Class, bytes: &mut [u8], now: Instant) {
        let Self { peers, rooms, downlinks, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        let (Some(media), Some(room)) = (&mut peer.media, rooms.get_mut(peer.room)) else { return };
        if class == Class::Rtcp {
            downlinks.fetch_for_report(media.downlink);
        }
        match media.uplink.receive(bytes, now) {
            lyceum_media::Received::Packet(packet) => room.hop.forward(&packet, downlinks, now),
            lyceum_media::Received::Rtcp(compound) => {
                room.hop.room.receive_rtcp(media.downlink, compound, downlinks, now);
                while let Some(clock) = media.uplink.poll_clock() {
                    room.hop.sender_clock(clock);
                }
            }
            lyceum_media::Received::Dropped(_) => {}
        }
        let place = peer.room;
        self.touch_peer(index);
        self.touch_room(place);
    }

    /// Does what the peer's parts want done, and sets its alarm.
    pub(crate) fn settle_peer(&mut self, index: u32, now: Instant) {
        while let Some(output) = self.session_output(index) {
            if let Some(failure) = self.session_says(index, output) {
                return self.session_failed(index, failure, now);
            }
        }
        self.send_feedback(index, now);
        self.tell_demand(index, now);
        let deadline = self.peers.get(index).and_then(Peer::deadline);
        self.timers.set(Alarm::Peer(index), deadline);
    }

    fn session_output(&mut self, index: u32) -> Option<Output> {
        self.peers.get_mut(index)?.media.as_mut()?.session.poll()
    }

    fn session_says(&mut self, index: u32, output: Output) -> Option<Failure> {
        let media = self.peers.get_mut(index)?.media.as_mut()?;
        match output {
            Output::Transmit { pair, bytes } => self.outbox.push((pair, bytes)),
            Output::Selected { pair } => {
                let route = Route { local: pair.local, remote: pair.remote };
                self.downlinks.set_route(media.downlink, route);
            }
            Output::Connected { srtp: Some(keys) } => {
                let (local, remote) = media_keys(keys);
                let set = media.uplink.set_keys(&remote).and(self.downlinks.set_keys(media.downlink, &local));
                media.connected = set.is_ok();
                if let Err(error) = set {
                    tracing::error!(%error, "SRTP keys out of DTLS do not fit");
                    return Some(Failure::Handshake);
                }
            }
            Output::Connected { srtp: None } => media.connected = true,
            Output::ChannelMessage { .. } => self.drops.count(DoorDrop::ChannelMessage),
            Output::ChannelOpen { .. } | Output::ChannelClosed { .. } => {}
            Output::Failed { why } => return Some(why),
        }
        None
    }

    fn session_failed(&mut self, index: u32, failure: Failure, now: Instant) {
        let Some(peer) = self.peers.get(index) else { return };
        let was_up = peer.media.as_ref().is_some_and(|media| media.connected);
        let departure = if was_up { Departure::MediaLost } else { Departure::MediaFailed };
        if matches!(peer.way, Way::Socket(_)) {
            self.end(index, Refusal::MediaLost, failure.to_string(), None, departure, now);
        } else {
            self.remove(index, departure, now);
        }
    }

    /// Sends what the uplink has to say to the publisher: reports, NACKs, key-frame requests, arrival times.
    fn send_feedback(&mut self, index: u32, now: Instant) {
        let Self { peers, downlinks, rtcp, nacks_sent, .. } = self;
        let Some(media) = peers.get_mut(index).and_then(|peer| peer.media.as_mut()) else { return };
        if media.connected && media.uplink.deadline().is_some_and(|at| at <= now) {
            while media.uplink.poll_rtcp(rtcp, now) {
                *nacks_sent += asked_for(rtcp);
                downlinks.send_rtcp(media.downlink, rtcp);
            }
        }
    }

    /// Timers of a peer.
    pub(crate) fn peer_timeout(&mut self, index: u32, now: Instant) {
        let Self { peers, events, .. } = self;
        let Some(peer) = peers.get_mut(index) else { return };
        if let Some(media) = &mut peer.media
            && media.session.deadline().is_some_and(|at| at <= now)
        {
            media.session.handle_timeout(now);
        }
        let over = peer.conversation().is_some_and(|conversation| conversation.handle_timeout(now, events));
        if over {
            return self.remove(index, Departure::SocketGone, now);
        }
        self.touch_peer(index);
    }
}

impl Media {
    /// Says goodbye to the client's DTLS.
    pub(crate) fn close(&mut self, outbox: &mut Vec<(Pair, bytes::Bytes)>, now: Instant) {
        self.session.close(now);
        while let Some(output) = self.session.poll() {
            if let Output::Transmit { pair, bytes } = output {
                outbox.push((pair, bytes));
            }
        }
    }
}

/// Packets a compound asks for again.
fn asked_for(compound: &[u8]) -> u64 {
    let asks = Compound::new(compound).flatten().map(|packet| match packet {
        Packet::Nack { lost, .. } => lost.count() as u64,
        _ => 0,
    });
    asks.sum()
}

/// DTLS's keys as the media plane takes them: ours, theirs.
fn media_keys(keys: SrtpKeys) -> (srtp::Keys, srtp::Keys) {
    let profile = match keys.profile {
        SrtpProfile::AeadAes128Gcm => srtp::Profile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => srtp::Profile::AeadAes256Gcm,
        SrtpProfile::Aes128CmSha1_80 => srtp::Profile::Aes128CmSha1_80,
    };
    let side = |SrtpKey { key, salt }| srtp::Keys { profile, key, salt };
    (side(keys.local), side(keys.remote))
}
