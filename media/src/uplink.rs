//! One peer's receiving side: from its SRTP datagrams to [`Packet`]s, and the feedback it gets for them.

use crate::drop::{Drop, Drops};
use crate::packet::{Codec, Packet, Ssrc, TrackId};
use crate::srtp::{Keys, SrtpError};
use lyceum_wire::ext;
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

/// One peer's receiving side.
pub struct Uplink {
    drops: Drops,
}

impl Uplink {
    /// A side that knows no keys and no publications yet.
    #[must_use]
    pub fn new(_config: Config, _now: Instant) -> Self {
        Self { drops: Drops::default() }
    }

    /// Changes what was negotiated. Known sources stay.
    pub fn configure(&mut self, _config: Config) {}

    /// The remote side's SRTP keys, from DTLS.
    pub fn set_keys(&mut self, _keys: &Keys) -> Result<(), SrtpError> {
        Ok(())
    }

    /// Round-trip time to the peer, when somebody knows better than this side (which measures repairs).
    pub fn set_rtt(&mut self, _rtt: Duration) {}

    /// Adds a publication or changes the one with the same mid.
    pub fn publish(&mut self, _publication: Publication, _now: Instant) {}

    /// Removes a track's publication and everything known of its sources.
    pub fn unpublish(&mut self, _track: TrackId) {}

    /// Takes an SRTP or SRTCP datagram, told apart by its second byte (RFC 5761). Opens it in place.
    pub fn receive<'a>(&mut self, _datagram: &'a mut [u8], _now: Instant) -> Received<'a> {
        self.drops.count(Drop::NoKeys);
        Received::Dropped(Drop::NoKeys)
    }

    /// The publisher's clock, when a sender report brought news of it.
    pub fn poll_clock(&mut self) -> Option<SenderClock> {
        None
    }

    /// Somebody needs a key frame of this layer. Merged with what is asked already, and rate-limited.
    pub fn request_key_frame(&mut self, _track: TrackId, _spatial: u8, _now: Instant) {}

    /// Writes the next plain RTCP compound that is due (reports, NACK, PLI, FIR, transport-cc) into `rtcp`, cleared first.
    /// Hand it to [`crate::Downlinks::send_rtcp`] of the same peer, and call again until `false`.
    pub fn poll_rtcp(&mut self, _rtcp: &mut Vec<u8>, _now: Instant) -> bool {
        false
    }

    /// When to call [`Self::poll_rtcp`] next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// What was dropped here.
    #[must_use]
    pub fn drops(&self) -> &Drops {
        &self.drops
    }
}
