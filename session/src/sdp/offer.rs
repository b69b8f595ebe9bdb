//! Offers: read by the edge, written by a client.

use super::read::{self, SdpError};
use super::{Codec, Description, Direction, Extension, Form, LineKind, MediaLine, Origin, Rid, Setup, write};
use crate::config::Fingerprint;
use crate::ice::Credentials;
use crate::session::{SctpRemote, Session};
use std::ops::Deref;

/// A checked offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer(Description);

impl Deref for Offer {
    type Target = Description;
    fn deref(&self) -> &Description {
        &self.0
    }
}

impl Offer {
    /// Reads an offer an edge can answer: one BUNDLE group, rtcp-mux, a SHA-256 fingerprint, the offerer ready to be DTLS client.
    ///
    /// # Errors
    /// See [`SdpError`]: the line and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        read::description(text, read::Role::Offer).map(Self)
    }

    /// Writes a client's offer: `a=setup:actpass`, every line in one bundle with mids `0`, `1`, … and bound to one transport.
    #[must_use]
    pub fn new(origin: Origin, ice: Credentials, fingerprint: Fingerprint, lines: &[OfferLine]) -> Self {
        let lines: Vec<MediaLine> = lines.iter().enumerate().map(|(i, line)| line.written(i.to_string())).collect();
        Self(Description {
            origin,
            ice,
            ice_lite: false,
            fingerprint,
            setup: Setup::ActPass,
            bundle: lines.iter().map(|line| line.mid.clone()).collect(),
            extmap_allow_mixed: true,
            candidates: Vec::new(),
            end_of_candidates: false,
            lines,
        })
    }

    /// The text.
    #[must_use]
    pub fn write(&self) -> String {
        write::description(&self.0)
    }
}

/// One line of a client's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferLine {
    /// Sound or picture.
    Media {
        /// Audio or video.
        kind: LineKind,
        /// Who sends.
        direction: Direction,
        /// Formats, most wanted first.
        codecs: Vec<Codec>,
        /// Header extensions.
        extensions: Vec<Extension>,
        /// Simulcast layers that are sent, lowest first; empty for none.
        rids: Vec<String>,
    },
    /// Data channels.
    Data,
}

impl OfferLine {
    fn written(&self, mid: String) -> MediaLine {
        let empty = MediaLine {
            mid,
            kind: LineKind::Data,
            form: Form::data(),
            rejected: false,
            direction: Direction::SendRecv,
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            msid: None,
            ssrcs: Vec::new(),
            groups: Vec::new(),
            rtcp_mux: false,
            rtcp_rsize: false,
            sctp: None,
        };
        match self {
            Self::Data => MediaLine {
                sctp: Some(SctpRemote { port: 5000, max_message_bytes: Session::MESSAGE_BYTES_MAX as u32 }),
                ..empty
            },
            Self::Media { kind, direction, codecs, extensions, rids } => MediaLine {
                kind: *kind,
                form: Form::media(*kind, codecs),
                direction: *direction,
                codecs: codecs.clone(),
                extensions: extensions.clone(),
                rids: rids.iter().map(|id| Rid { id: id.clone(), send: true, paused: false }).collect(),
                rtcp_mux: true,
                rtcp_rsize: true,
                ..empty
            },
        }
    }
}

impl Form {
    fn data() -> Self {
        Self { media: "application".into(), protocol: "UDP/DTLS/SCTP".into(), formats: "webrtc-datachannel".into() }
    }

    fn media(kind: LineKind, codecs: &[Codec]) -> Self {
        let media = if kind == LineKind::Audio { "audio" } else { "video" };
        Self { media: media.into(), protocol: "UDP/TLS/RTP/SAVPF".into(), formats: write::formats(codecs) }
    }
}
