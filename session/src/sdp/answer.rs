//! Answers: written by the edge line by line out of an offer, read by a client.

use super::read::{self, SdpError};
use super::{
    Candidate, Codec, Description, Direction, Extension, Form, LineKind, MediaLine, Msid, Offer, Origin, Rid, Setup,
    Ssrc, SsrcGroup, write,
};
use crate::config::Fingerprint;
use crate::ice::Credentials;
use crate::session::{SctpRemote, Session};
use std::ops::Deref;

/// An answer: checked when read, being filled when written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(Description);

impl Deref for Answer {
    type Target = Description;
    fn deref(&self) -> &Description {
        &self.0
    }
}

/// The edge's side of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Session id, and a version that rises with every answer.
    pub origin: Origin,
    /// The edge's ICE credentials: the ones given to [`Session::server`].
    pub ice: Credentials,
    /// [`crate::Config::fingerprint`].
    pub fingerprint: Fingerprint,
    /// The shard's addresses.
    pub candidates: Vec<Candidate>,
}

/// How one line of sound or picture is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// Seen by the edge: `RecvOnly` for what a client publishes, `SendOnly` for a slot. Cut down to what the offer allows.
    pub direction: Direction,
    /// Payload types out of the offer, most wanted first.
    pub codecs: Vec<AcceptCodec>,
    /// Extension ids out of the offer.
    pub extensions: Vec<u8>,
    /// rids out of the offer that the edge receives, in the offer's order.
    pub rids: Vec<String>,
    /// What the edge sends, where it sends.
    pub sending: Option<Sending>,
}

/// One format out of the offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptCodec {
    /// Its payload type in the offer.
    pub pt: u8,
    /// Feedback kept, out of the offer's.
    pub feedback: Vec<String>,
    /// `fmtp` of the answer; `None`: the offer's.
    pub fmtp: Option<String>,
}

/// What the edge sends on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    /// Stream and track name.
    pub msid: Msid,
    /// Canonical name, the same for all lines of one clock.
    pub cname: String,
    /// SSRC of the media.
    pub ssrc: u32,
    /// SSRC of its RTX.
    pub rtx_ssrc: Option<u32>,
}

/// Why a line was not accepted. A fault of the caller: the offer does not have what it chose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no such line.
    #[error("the offer has no m-line {0}")]
    NoLine(usize),
    /// The line is of another kind, or the offer rejected it.
    #[error("m-line {0} cannot be accepted this way")]
    WrongLine(usize),
    /// The line does not have this payload type.
    #[error("m-line {line} does not offer payload type {pt}")]
    NoCodec {
        /// Index of the line.
        line: usize,
        /// The payload type.
        pt: u8,
    },
    /// The line does not have this extension id.
    #[error("m-line {line} does not offer header extension {id}")]
    NoExtension {
        /// Index of the line.
        line: usize,
        /// The id.
        id: u8,
    },
    /// The line does not send this rid.
    #[error("m-line {line} does not offer rid {rid}")]
    NoRid {
        /// Index of the line.
        line: usize,
        /// The rid.
        rid: String,
    },
}

impl Answer {
    /// Begins the answer to `offer`: every line rejected until it is accepted.
    #[must_use]
    pub fn to(offer: &Offer, transport: Transport) -> Self {
        let rejected = |line: &MediaLine| MediaLine {
            mid: line.mid.clone(),
            kind: line.kind,
            form: line.form.clone(),
            rejected: true,
            direction: Direction::Inactive,
            codecs: Vec::new(),
            extensions: Vec::new(),
            rids: Vec::new(),
            msid: None,
            ssrcs: Vec::new(),
            groups: Vec::new(),
            rtcp_mux: line.rtcp_mux,
            rtcp_rsize: false,
            sctp: line.sctp,
        };
        Self(Description {
            origin: transport.origin,
            ice: transport.ice,
            ice_lite: true,
            fingerprint: transport.fingerprint,
            setup: Setup::Passive,
            bundle: Vec::new(),
            extmap_allow_mixed: offer.extmap_allow_mixed,
            candidates: transport.candidates,
            end_of_candidates: true,
            lines: offer.lines.iter().map(rejected).collect(),
        })
    }

    /// Accepts line `index` of `offer`.
    ///
    /// # Errors
    /// When `accept` names what the offer does not have.
    pub fn accept(&mut self, offer: &Offer, index: usize, accept: Accept) -> Result<(), AnswerError> {
        let theirs = offer.lines.get(index).ok_or(AnswerError::NoLine(index))?;
        if theirs.rejected || !matches!(theirs.kind, LineKind::Audio | LineKind::Video) {
            return Err(AnswerError::WrongLine(index));
        }
        let codecs = accept.codecs.iter().map(|chosen| chosen.of(theirs, index)).collect::<Result<Vec<_>, _>>()?;
        if codecs.is_empty() {
            return Err(AnswerError::WrongLine(index));
        }
        let extension = |&id: &u8| -> Result<Extension, AnswerError> {
            let found = theirs.extensions.iter().find(|offered| offered.id == id);
            let found = found.ok_or(AnswerError::NoExtension { line: index, id })?;
            // RFC 8285 §6: what the offerer only sends, the answerer only receives.
            Ok(Extension { direction: found.direction.map(Direction::seen_from_the_other_side), ..found.clone() })
        };
        let rid = |id: &String| -> Result<Rid, AnswerError> {
            let found = theirs.rids.iter().find(|offered| offered.send && offered.id == *id);
            let found = found.ok_or_else(|| AnswerError::NoRid { line: index, rid: id.clone() })?;
            Ok(Rid { id: found.id.clone(), send: false, paused: false })
        };
        let extensions = accept.extensions.iter().map(extension).collect::<Result<Vec<_>, _>>()?;
        let rids = accept.rids.iter().map(rid).collect::<Result<Vec<_>, _>>()?;
        let direction = accept.direction.within(theirs.direction);
        let sending = accept.sending.filter(|_| direction.sends());
        let (msid, ssrcs, groups) = sending.map(Sending::written).unwrap_or_default();
        let Some(line) = self.0.lines.get_mut(index) else { return Err(AnswerError::NoLine(index)) };
        *line = MediaLine {
            mid: theirs.mid.clone(),
            kind: theirs.kind,
            form: Form { formats: write::formats(&codecs), ..theirs.form.clone() },
            rejected: false,
            direction,
            codecs,
            extensions,
            rids,
            msid,
            ssrcs,
            groups,
            rtcp_mux: true,
            rtcp_rsize: theirs.rtcp_rsize,
            sctp: None,
        };
        self.0.bundle = self.0.lines.iter().filter(|l| !l.rejected).map(|l| l.mid.clone()).collect();
        Ok(())
    }

    /// Accepts data channels on line `index`.
    ///
    /// # Errors
    /// When that is no data line.
    pub fn accept_data(&mut self, offer: &Offer, index: usize) -> Result<(), AnswerError> {
        let theirs = offer.lines.get(index).ok_or(AnswerError::NoLine(index))?;
        let line = self.0.lines.get_mut(index).ok_or(AnswerError::NoLine(index))?;
        if theirs.rejected || theirs.kind != LineKind::Data {
            return Err(AnswerError::WrongLine(index));
        }
        line.rejected = false;
        line.direction = Direction::SendRecv;
        line.sctp = Some(SctpRemote { port: 5000, max_message_bytes: Session::MESSAGE_BYTES_MAX as u32 });
        self.0.bundle = self.0.lines.iter().filter(|l| !l.rejected).map(|l| l.mid.clone()).collect();
        Ok(())
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// See [`SdpError`].
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        read::description(text, read::Role::Answer).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn write(&self) -> String {
        write::description(&self.0)
    }
}

impl AcceptCodec {
    fn of(&self, line: &MediaLine, index: usize) -> Result<Codec, AnswerError> {
        let offered = line.codec(self.pt).ok_or(AnswerError::NoCodec { line: index, pt: self.pt })?;
        Ok(Codec {
            fmtp: self.fmtp.clone().unwrap_or_else(|| offered.fmtp.clone()),
            feedback: offered.feedback.iter().filter(|have| self.feedback.contains(have)).cloned().collect(),
            ..offered.clone()
        })
    }
}

impl Sending {
    fn written(self) -> (Option<Msid>, Vec<Ssrc>, Vec<SsrcGroup>) {
        let mut ssrcs = vec![Ssrc { ssrc: self.ssrc, cname: self.cname.clone() }];
        let mut groups = Vec::new();
        if let Some(rtx) = self.rtx_ssrc {
            ssrcs.push(Ssrc { ssrc: rtx, cname: self.cname });
            groups.push(SsrcGroup { semantics: "FID".into(), ssrcs: vec![self.ssrc, rtx] });
        }
        (Some(self.msid), ssrcs, groups)
    }
}

impl Direction {
    fn seen_from_the_other_side(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }

    /// This direction of an answerer, cut down to what an offer of `theirs` allows (RFC 3264 §6.1).
    #[must_use]
    pub fn within(self, theirs: Self) -> Self {
        match (self.sends() && theirs.receives(), self.receives() && theirs.sends()) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }
}
