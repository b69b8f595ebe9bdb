//! How a member gets in: its half of the SDP.

use crate::call::Call;
use crate::publisher::{Publisher, Shape};
use crate::viewer::Viewer;
use lyceum_bot::Plan;
use lyceum_bot::plan;
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{Codec, Description, LineKind, MediaLine, Offer, OfferLine, Origin};
use lyceum_session::{Config, Fingerprint, Session};
use lyceum_wire::{ext, splitmix};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// What somebody comes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To publish one picture, in one encoding.
    Publish,
    /// To see one picture.
    View,
}

/// Somebody at the door.
#[derive(Debug, Clone)]
pub struct Knock {
    config: Config,
    seed: u64,
    ice: Credentials,
    zero: Instant,
}

/// Why somebody could not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPicture;

impl std::fmt::Display for NoPicture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side's description has no usable VP8 line")
    }
}

impl std::error::Error for NoPicture {}

impl Knock {
    /// `seed` must be another one for each member of a run; `zero` the same one.
    #[must_use]
    pub fn new(config: &Config, seed: u64, zero: Instant) -> Self {
        let mut state = seed;
        let random = std::array::from_fn(|_| splitmix::next(&mut state) as u8);
        Self { config: config.clone(), seed, ice: Credentials::from_random(random), zero }
    }

    /// The offer to send.
    #[must_use]
    pub fn offer(&self, way: Way) -> String {
        let origin = Origin { id: self.seed + 1, version: 1 };
        Offer::new(origin, self.ice.clone(), self.config.fingerprint(), &lines(way)).write()
    }

    /// This side's ICE credentials, for whoever writes an answer with them.
    #[must_use]
    pub fn ice(&self) -> &Credentials {
        &self.ice
    }

    /// This side's certificate, for the same.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.config.fingerprint()
    }

    /// The other side spoke: a viewer comes of it.
    ///
    /// # Errors
    /// When there is nothing to see.
    pub fn view(self, theirs: &Description, local: SocketAddr, now: Instant) -> Result<Viewer, NoPicture> {
        let line = picture(theirs).ok_or(NoPicture)?;
        let seed = self.seed;
        Ok(Viewer::new(self.call(theirs, local, now), line, seed, now))
    }

    /// The other side spoke: a publisher comes of it, which plays pictures of this shape.
    ///
    /// # Errors
    /// When nobody wants to see it.
    pub fn publish(
        self,
        theirs: &Description,
        local: SocketAddr,
        shape: Shape,
        now: Instant,
    ) -> Result<Publisher, NoPicture> {
        let line = picture(theirs).ok_or(NoPicture)?;
        let (seed, zero) = (self.seed, self.zero);
        Ok(Publisher::new(self.call(theirs, local, now), &line.media, line.extensions, shape, seed, zero))
    }

    fn call(self, theirs: &Description, local: SocketAddr, now: Instant) -> Call {
        let candidates: Vec<SocketAddr> = theirs.candidates.iter().map(|candidate| candidate.address).collect();
        let session =
            Session::client(&self.config, self.ice, theirs.remote(), local, &candidates, self.seed | 1 << 63, now);
        Call::new(session, local, self.zero)
    }
}

/// What was agreed for the picture.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) media: MediaLine,
    pub(crate) vp8: Codec,
    pub(crate) extensions: ext::Map,
}

fn picture(theirs: &Description) -> Option<Line> {
    let media = theirs.lines.iter().find(|line| line.kind == LineKind::Video && !line.rejected)?;
    let vp8 = media.codecs.iter().find(|codec| codec.is("VP8"))?.clone();
    let mut extensions = ext::Map::new();
    for extension in theirs.lines.iter().flat_map(|line| &line.extensions) {
        if let Some(kind) = ext::Kind::of_uri(&extension.uri) {
            extensions.set(extension.id, kind);
        }
    }
    Some(Line { media: media.clone(), vp8, extensions })
}

fn lines(way: Way) -> Vec<OfferLine> {
    let plan = match way {
        // The clip says only that there is one encoding.
        Way::Publish => Plan { camera: vec![Arc::new(Shape::default().clip())], ..Plan::default() },
        Way::View => Plan { video_slots: 1, tile: (1280, 720), ..Plan::default() },
    };
    plan.lines().offer
}

/// The payload type a publisher sends, as agreed.
pub(crate) fn payload_types(line: &MediaLine) -> (u8, Option<u8>) {
    let vp8 = line.codecs.iter().find(|codec| codec.is("VP8")).map_or(plan::VP8_PT, |codec| codec.pt);
    (vp8, line.rtx_of(vp8))
}
