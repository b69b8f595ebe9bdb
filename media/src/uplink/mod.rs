//! One peer's receiving side: from its SRTP datagrams to [`Packet`]s, and the feedback it gets for them.
//!
//! ```text
//!   datagram ─▶ unprotect ─▶ whose? ─▶ media ──────────────▶ 64-bit number ─▶ Packet
//!                             │        repair ─ unwrap ────▶ (the layer's own)
//!                             │ declared SSRC, else mid + rid (RFC 8843, RFC 8852), repairs by rrid or FID group, else payload type
//!   feedback ◀─ NACK, PLI or FIR per layer · receiver reports per source · arrival times of everything
//! ```

mod feedback;
mod layer;
mod source;

use crate::drop::{Drop, Drops};
use crate::feedback::twcc;
use crate::packet::{AudioLevel, Codec, Flags, PAYLOAD_BYTES_MAX, Packet, Ssrc, TrackId};
use crate::srtp::{Inbound, Keys, SrtpError};
use layer::{Content, Layers};
use lyceum_wire::link::Layer;
use lyceum_wire::{av1, ext, h264, red, rtp, vp8, vp9};
use source::{Role, Sources};
use std::time::{Duration, Instant};

/// One payload type of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadType {
    /// The number of the media.
    pub pt: u8,
    /// The number of its repairs (RFC 4588), if negotiated.
    pub rtx_pt: Option<u8>,
    /// Codec.
    pub codec: Codec,
    /// RTP clock, ticks per second.
    pub clock_hz: u32,
}

/// One encoding (spatial layer) of a publication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Its spatial layer in the track, 0 the smallest.
    pub spatial: u8,
    /// Its rid (RFC 8851), if it has one.
    pub rid: Option<String>,
    /// Its SSRC, if the SDP says so.
    pub ssrc: Option<Ssrc>,
    /// The SSRC of its repairs, if the SDP says so (FID group, RFC 5576 §4.2).
    pub rtx_ssrc: Option<Ssrc>,
}

/// How a publisher can be asked for a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFrameAsk {
    /// Not at all (audio).
    Never,
    /// RFC 4585 §6.3.1.
    Pli,
    /// RFC 5104 §4.3.1.
    Fir,
}

/// One sending m-line of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Its mid.
    pub mid: String,
    /// The track it feeds.
    pub track: TrackId,
    /// Payload types negotiated.
    pub payload_types: Vec<PayloadType>,
    /// Its encodings, at least one.
    pub encodings: Vec<Encoding>,
    /// NACK negotiated (`a=rtcp-fb … nack`).
    pub nack: bool,
    /// How key frames are asked for.
    pub keyframe: KeyFrameAsk,
}

/// What a new uplink is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Header extensions the peer sends. BUNDLE makes them one set (RFC 8843 §9.2).
    pub extensions: ext::Map,
    /// The source feedback is sent from. The peer's own first slot, or any number not used elsewhere in the session.
    pub feedback_ssrc: Ssrc,
}

/// What became of a datagram.
#[derive(Debug)]
pub enum Received<'a> {
    /// Media: hand it to [`crate::Room::forward`].
    Packet(Packet<'a>),
    /// A plain RTCP compound; sender reports in it are already taken in. Hand it to [`crate::Room::receive_rtcp`].
    Rtcp(&'a [u8]),
    /// Nothing to forward; counted.
    Dropped(Drop),
}

/// Where a media timestamp stands on this node's clock, from a publisher's sender report: hand it to [`crate::Room::sender_clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderClock {
    /// Which track.
    pub track: TrackId,
    /// Which layer.
    pub spatial: u8,
    /// This RTP timestamp …
    pub timestamp: u32,
    /// … was taken at this moment, up to an offset common to all of the peer's tracks.
    pub at: Instant,
}

/// What arrived so far, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Heard {
    /// RTP packets opened, repairs and padding included.
    pub packets: u64,
    /// Their bytes as they came.
    pub bytes: u64,
    /// Packets asked for again, repeats included.
    pub nacked: u64,
    /// Packets that came as repairs.
    pub repaired: u64,
    /// Packets given up.
    pub given_up: u64,
    /// Key frames asked for.
    pub key_frames_asked: u64,
}

/// One peer's receiving side.
pub struct Uplink {
    config: Config,
    inbound: Option<Inbound>,
    lines: Vec<Publication>,
    sources: Sources,
    layers: Layers,
    twcc: twcc::Recorder,
    feedback: feedback::Schedule,
    heard: Heard,
    drops: Drops,
}

impl Uplink {
    /// A side that knows no keys and no publications yet.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            inbound: None,
            lines: Vec::new(),
            sources: Sources::default(),
            layers: Layers::default(),
            twcc: twcc::Recorder::new(now),
            feedback: feedback::Schedule::new(now),
            heard: Heard::default(),
            drops: Drops::default(),
        }
    }

    /// Changes what was negotiated. Known sources stay.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
    }

    /// The remote side's SRTP keys, from DTLS.
    pub fn set_keys(&mut self, keys: &Keys) -> Result<(), SrtpError> {
        self.inbound = Some(Inbound::new(keys)?);
        Ok(())
    }

    /// Round-trip time to the peer, when somebody knows better than this side (which measures repairs).
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.feedback.rtt = rtt;
    }

    /// Adds a publication or changes the one with the same mid.
    pub fn publish(&mut self, publication: Publication, now: Instant) {
        match self.lines.iter().position(|line| line.mid == publication.mid) {
            Some(at) if self.lines[at] == publication => return,
            Some(at) => {
                let old = self.lines[at].track;
                if old != publication.track {
                    self.layers.remove(old);
                }
                // What an SSRC was before may not be so any more; the next packet says.
                self.sources.remove(old);
                self.sources.remove(publication.track);
                self.lines[at] = publication.clone();
            }
            None => self.lines.push(publication.clone()),
        }
        for encoding in &publication.encodings {
            self.layers.add(&publication, encoding.spatial);
            if let Some(Ssrc(ssrc)) = encoding.ssrc {
                self.sources.bind(ssrc, publication.track, encoding.spatial, Role::Media);
            }
            if let Some(Ssrc(ssrc)) = encoding.rtx_ssrc {
                self.sources.bind(ssrc, publication.track, encoding.spatial, Role::Repair);
            }
        }
        self.feedback.begin(now);
    }

    /// Removes a track's publication and everything known of its sources.
    pub fn unpublish(&mut self, track: TrackId) {
        self.lines.retain(|line| line.track != track);
        self.sources.remove(track);
        self.layers.remove(track);
        self.feedback.forget(track);
    }

    /// Takes an SRTP or SRTCP datagram, told apart by its second byte (RFC 5761). Opens it in place.
    pub fn receive<'a>(&mut self, datagram: &'a mut [u8], now: Instant) -> Received<'a> {
        let received = match datagram.get(1) {
            None => Err(Drop::Malformed),
            Some(192..=223) => self.receive_rtcp(datagram, now).map(Received::Rtcp),
            Some(_) => self.receive_rtp(datagram, now).map(Received::Packet),
        };
        received.unwrap_or_else(|reason| {
            self.drops.count(reason);
            Received::Dropped(reason)
        })
    }

    /// The publisher's clock, when a sender report brought news of it.
    pub fn poll_clock(&mut self) -> Option<SenderClock> {
        self.feedback.clocks.pop()
    }

    /// Somebody needs a key frame of this layer. Merged with what is asked already, and rate-limited.
    pub fn request_key_frame(&mut self, track: TrackId, spatial: u8, now: Instant) {
        if let Some(layer) = self.layers.find_mut(track, spatial) {
            layer.wish.wish(now);
        }
    }

    /// Writes the next plain RTCP compound that is due (reports, NACK, PLI, FIR, transport-cc) into `rtcp`, cleared first.
    /// Hand it to [`crate::Downlinks::send_rtcp`] of the same peer, and call again until `false`.
    pub fn poll_rtcp(&mut self, rtcp: &mut Vec<u8>, now: Instant) -> bool {
        self.write_feedback(rtcp, now)
    }

    /// When to call [`Self::poll_rtcp`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.feedback_due()
    }

    /// What was dropped here.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// What arrived so far.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let mut heard = self.heard;
        for layer in self.layers.iter() {
            heard.nacked += layer.nack.asked();
            heard.given_up += layer.nack.given_up();
        }
        heard
    }

    fn receive_rtp<'a>(&mut self, datagram: &'a mut [u8], now: Instant) -> Result<Packet<'a>, Drop> {
        let inbound = self.inbound.as_mut().ok_or(Drop::NoKeys)?;
        let bytes = datagram.len();
        let opened = inbound.unprotect(datagram)?;
        self.heard.packets += 1;
        self.heard.bytes += bytes as u64;
        let packet: &'a [u8] = &datagram[..opened.len];
        let header = opened.header;
        let known = self.config.extensions.read(header.extensions(packet));
        if let Some(number) = known.transport_sequence {
            self.twcc.received(number, now);
        }
        let payload = header.payload(packet).map_err(|_| Drop::Malformed)?;
        let level = known.audio_level.map(|l| AudioLevel { minus_dbov: l.below_full, voice: l.voice });
        let content = Content { payload, descriptor: known.dependency_descriptor.filter(|d| !d.is_empty()), level };
        let source = self.sources.resolve(&header, &known, &self.lines)?;
        self.feedback.heard_of(header.ssrc);
        match source.role {
            Role::Media => self.media(source, &header, content, now),
            Role::Repair => self.repair(source, &header, content, now),
        }
    }

    fn media<'a>(
        &mut self,
        source: source::Source,
        header: &rtp::Header,
        content: Content<'a>,
        now: Instant,
    ) -> Result<Packet<'a>, Drop> {
        let layer = self.layers.find_mut(source.track, source.spatial).ok_or(Drop::UnknownSource)?;
        let pt = *layer.payload_types.iter().find(|p| p.pt == header.payload_type).ok_or(Drop::UnknownPayloadType)?;
        let seq = layer.number(header.ssrc, header.sequence);
        self.sources
            .reception(header.ssrc, |r| r.received(seq, header.timestamp, pt.clock_hz, self.feedback.epoch, now));
        let arrival = layer.received(seq, now);
        if let Some(rtt) = arrival {
            self.feedback.measured(rtt);
        }
        layer.packet(pt.codec, header, seq, content, now)
    }

    fn repair<'a>(
        &mut self,
        source: source::Source,
        header: &rtp::Header,
        content: Content<'a>,
        now: Instant,
    ) -> Result<Packet<'a>, Drop> {
        let (number, original) = rtp::retransmitted(content.payload).ok_or(Drop::ProbePadding)?;
        let layer = self.layers.find_mut(source.track, source.spatial).ok_or(Drop::UnknownSource)?;
        let is_repair = |p: &&PayloadType| p.rtx_pt == Some(header.payload_type);
        let pt = *layer.payload_types.iter().find(is_repair).ok_or(Drop::UnknownPayloadType)?;
        let seq = layer.number_of_repair(number).ok_or(Drop::UnknownSource)?;
        // Chromium probes with repairs of packets that arrived long ago: only what is missing goes on.
        let rtt = layer.repaired(seq, now)?;
        if let Some(rtt) = rtt {
            self.feedback.measured(rtt);
        }
        self.heard.repaired += 1;
        layer.packet(pt.codec, header, seq, Content { payload: original, level: None, ..content }, now)
    }
}

impl From<SrtpError> for Drop {
    fn from(error: SrtpError) -> Self {
        match error {
            SrtpError::Malformed => Self::Malformed,
            SrtpError::BadTag => Self::BadTag,
            SrtpError::Replayed => Self::Replayed,
            SrtpError::TooManySources => Self::TooManySources,
            SrtpError::BadKey => Self::NoKeys,
        }
    }
}

#[cfg(test)]
#[path = "../uplink_tests.rs"]
mod tests;
