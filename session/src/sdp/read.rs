//! The reader: one pass over the lines, every one bounded, every complaint with its number.

use super::*;
use crate::session::SctpRemote;
use std::net::IpAddr;

/// Whether an offer or an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Offer,
    Answer,
}

/// What is wrong with an SDP, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}: {fault}")]
pub struct SdpError {
    /// Number of the line, from 1; the last one for what is missing.
    pub line: usize,
    /// What is wrong with it.
    pub fault: SdpFault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpFault {
    /// Larger than a bound.
    #[error("too many or too long: {0}")]
    TooMuch(&'static str),
    /// Not of the form `x=…`, or a value that cannot be read.
    #[error("{0} cannot be read")]
    Malformed(&'static str),
    /// Something that has to be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Readable, but not what can be used here.
    #[error("{0}")]
    Unusable(&'static str),
}

use SdpFault::{Malformed, Missing, TooMuch, Unusable};

pub(super) fn description(text: &str, role: Role) -> Result<Description, SdpError> {
    if text.len() > SDP_BYTES_MAX {
        return Err(SdpError { line: 1, fault: TooMuch("bytes") });
    }
    let mut reader = Reader::default();
    let mut number = 0;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        number += 1;
        reader.line(number, line).map_err(|fault| SdpError { line: number, fault })?;
    }
    reader.finish(role).map_err(|fault| SdpError { line: number.max(1), fault })
}

/// What is known so far.
#[derive(Default)]
struct Reader {
    origin: Option<Origin>,
    bundle: Option<Vec<String>>,
    ice_lite: bool,
    extmap_allow_mixed: bool,
    candidates: Vec<Candidate>,
    end_of_candidates: bool,
    direction: Option<Direction>,
    session: Peer,
    lines: Vec<Open>,
}

/// Transport attributes, which stand at the session or at a line.
#[derive(Default)]
struct Peer {
    ufrag: Option<String>,
    pwd: Option<String>,
    fingerprint: Option<Fingerprint>,
    other_fingerprint: bool,
    setup: Option<Setup>,
}

/// An m-line while it is read.
struct Open {
    media: MediaLine,
    peer: Peer,
    has_direction: bool,
    port_zero: bool,
    bundle_only: bool,
    sctp_port: Option<u16>,
    max_message_bytes: Option<u32>,
    feedback_for_all: Vec<String>,
    simulcast: Option<String>,
    /// Payload types that an `a=rtpmap` or RFC 3551 explained.
    known: [u64; 2],
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), SdpFault> {
        if number > LINES_MAX {
            return Err(TooMuch("lines"));
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(TooMuch("bytes in a line"));
        }
        if line.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(Malformed("a control character"));
        }
        let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1) else {
            return Err(Malformed("a line without `x=`"));
        };
        match kind {
            "v" if number == 1 && value == "0" => Ok(()),
            "v" => Err(Malformed("v=")),
            _ if number == 1 => Err(Missing("v=0 at the top")),
            "o" if self.lines.is_empty() => self.origin(value),
            "m" => self.media(value),
            "a" => self.attribute(value),
            // s=, t=, c=, b= and what else there may be says nothing that ICE and WebRTC need.
            _ => Ok(()),
        }
    }

    fn origin(&mut self, value: &str) -> Result<(), SdpFault> {
        let mut words = value.split(' ').skip(1);
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or(Malformed("o="));
        self.origin = Some(Origin { id: number()?, version: number()? });
        Ok(())
    }

    fn media(&mut self, value: &str) -> Result<(), SdpFault> {
        if self.lines.len() >= MEDIA_LINES_MAX {
            return Err(TooMuch("m-lines"));
        }
        let mut words = value.splitn(4, ' ');
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or(Malformed("m="));
        let (media, port, protocol, formats) = (word()?, word()?, word()?, word()?);
        let port =
            port.split('/').next().and_then(|port| port.parse::<u16>().ok()).ok_or(Malformed("the port of m="))?;
        let secure = protocol.ends_with("TLS/RTP/SAVPF") || protocol == "RTP/SAVPF";
        let kind = match media {
            "audio" if secure => LineKind::Audio,
            "video" if secure => LineKind::Video,
            "application" if protocol.ends_with("DTLS/SCTP") && formats == "webrtc-datachannel" => LineKind::Data,
            _ => LineKind::Other,
        };
        let mut open = Open {
            media: MediaLine {
                mid: String::new(),
                kind,
                form: Form { media: media.into(), protocol: protocol.into(), formats: formats.into() },
                rejected: false,
                direction: self.direction.unwrap_or(Direction::SendRecv),
                codecs: Vec::new(),
                extensions: Vec::new(),
                rids: Vec::new(),
                msid: None,
                ssrcs: Vec::new(),
                groups: Vec::new(),
                rtcp_mux: false,
                rtcp_rsize: false,
                sctp: None,
            },
            peer: Peer::default(),
            has_direction: false,
            port_zero: port == 0,
            bundle_only: false,
            sctp_port: None,
            max_message_bytes: None,
            feedback_for_all: Vec::new(),
            simulcast: None,
            known: [0; 2],
        };
        if matches!(kind, LineKind::Audio | LineKind::Video) {
            open.formats(formats)?;
        }
        self.lines.push(open);
        Ok(())
    }

    fn attribute(&mut self, text: &str) -> Result<(), SdpFault> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "candidate" => {
                if let Some(candidate) = candidate(text) {
                    push(&mut self.candidates, candidate, CANDIDATES_MAX, "candidates")?;
                }
                return Ok(());
            }
            "end-of-candidates" => self.end_of_candidates = true,
            _ => {}
        }
        match self.lines.last_mut() {
            Some(open) => match open.peer.attribute(name, value)? {
                true => Ok(()),
                false => open.attribute(name, value),
            },
            None => match self.session.attribute(name, value)? {
                true => Ok(()),
                false => self.session_attribute(name, value),
            },
        }
    }

    fn session_attribute(&mut self, name: &str, value: &str) -> Result<(), SdpFault> {
        match name {
            "group" => {
                let mut words = value.split(' ').filter(|word| !word.is_empty());
                if words.next() == Some("BUNDLE") {
                    if self.bundle.is_some() {
                        return Err(Unusable("there is more than one BUNDLE group"));
                    }
                    self.bundle = Some(words.map(token).collect::<Option<_>>().ok_or(Malformed("a=group"))?);
                }
            }
            "ice-lite" => self.ice_lite = true,
            "extmap-allow-mixed" => self.extmap_allow_mixed = true,
            _ => self.direction = direction(name).or(self.direction),
        }
        Ok(())
    }

    fn finish(mut self, role: Role) -> Result<Description, SdpFault> {
        let origin = self.origin.ok_or(Missing("o="))?;
        for open in &mut self.lines {
            open.finish()?;
        }
        self.check_mids()?;
        let bundle = self.bundle.take().unwrap_or_default();
        self.check_bundle(&bundle)?;
        let has_line = |mid: &String| self.lines.iter().any(|open| open.media.mid == *mid);
        if !bundle.iter().all(has_line) {
            return Err(Unusable("the BUNDLE group names a mid that no m-line has"));
        }
        let tagged = tagged(&bundle, self.lines.iter().map(|open| &open.media)).unwrap_or(0);
        let blank = Peer::default();
        let at_line = self.lines.get(tagged).map_or(&blank, |open| &open.peer);
        let peer = at_line.over(&self.session);
        if peer.fingerprint.is_none() && peer.other_fingerprint {
            return Err(Unusable("a sha-256 fingerprint is needed"));
        }
        let setup = peer.setup.ok_or(Missing("a=setup"))?;
        match (role, setup) {
            (Role::Offer, Setup::Passive) => {
                return Err(Unusable("the offerer has to be ready to be DTLS client: a=setup:actpass"));
            }
            (Role::Answer, Setup::ActPass | Setup::Active) => {
                return Err(Unusable("the answerer has to be DTLS server: a=setup:passive"));
            }
            _ => {}
        }
        Ok(Description {
            origin,
            ice: Credentials {
                ufrag: peer.ufrag.ok_or(Missing("a=ice-ufrag"))?,
                pwd: peer.pwd.ok_or(Missing("a=ice-pwd"))?,
            },
            ice_lite: self.ice_lite,
            fingerprint: peer.fingerprint.ok_or(Missing("a=fingerprint"))?,
            setup,
            bundle,
            extmap_allow_mixed: self.extmap_allow_mixed,
            candidates: self.candidates,
            end_of_candidates: self.end_of_candidates,
            lines: self.lines.into_iter().map(|open| open.media).collect(),
        })
    }

    /// Every usable line has a mid, and no two have the same.
    fn check_mids(&self) -> Result<(), SdpFault> {
        for (i, open) in self.lines.iter().enumerate() {
            let mid = &open.media.mid;
            if mid.is_empty() {
                if open.media.rejected {
                    continue;
                }
                return Err(Missing("a=mid"));
            }
            if self.lines[..i].iter().any(|earlier| earlier.media.mid == *mid) {
                return Err(Unusable("two m-lines have the same mid"));
            }
        }
        Ok(())
    }

    /// One transport carries everything: every live line is in the one BUNDLE group (or is alone), has rtcp-mux, and means the
    /// same by an extension id as the others (RFC 8843 §9.1).
    fn check_bundle(&self, bundle: &[String]) -> Result<(), SdpFault> {
        let live = || {
            self.lines.iter().map(|open| &open.media).filter(|media| !media.rejected && media.kind != LineKind::Other)
        };
        if bundle.is_empty() && live().count() > 1 {
            return Err(Missing("a=group:BUNDLE"));
        }
        let mut meaning: [Option<&str>; 256] = [None; 256];
        for media in live() {
            if !bundle.is_empty() && !bundle.contains(&media.mid) {
                return Err(Unusable("an m-line is outside the BUNDLE group"));
            }
            if !media.rtcp_mux && media.kind != LineKind::Data {
                return Err(Unusable("every m-line needs a=rtcp-mux"));
            }
            for extension in &media.extensions {
                let slot = &mut meaning[usize::from(extension.id)];
                match slot {
                    Some(uri) if *uri != extension.uri => {
                        return Err(Unusable("one header extension id has two meanings in a bundle"));
                    }
                    _ => *slot = Some(&extension.uri),
                }
            }
        }
        Ok(())
    }
}

impl Peer {
    /// Takes a transport attribute; false: it is none.
    fn attribute(&mut self, name: &str, value: &str) -> Result<bool, SdpFault> {
        match name {
            "ice-ufrag" => self.ufrag = Some(ice_chars(value, 4).ok_or(Malformed("a=ice-ufrag"))?),
            "ice-pwd" => self.pwd = Some(ice_chars(value, 22).ok_or(Malformed("a=ice-pwd"))?),
            "setup" => {
                self.setup = Some(match value {
                    "actpass" => Setup::ActPass,
                    "active" => Setup::Active,
                    "passive" => Setup::Passive,
                    _ => return Err(Malformed("a=setup")),
                });
            }
            "fingerprint" => {
                let (hash, octets) = value.split_once(' ').ok_or(Malformed("a=fingerprint"))?;
                if hash.eq_ignore_ascii_case("sha-256") {
                    self.fingerprint = Some(Fingerprint::parse(octets.trim()).ok_or(Malformed("a=fingerprint"))?);
                } else {
                    self.other_fingerprint = true;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What stands at the line, and where nothing does, at the session.
    fn over(&self, session: &Self) -> Self {
        Self {
            ufrag: self.ufrag.clone().or_else(|| session.ufrag.clone()),
            pwd: self.pwd.clone().or_else(|| session.pwd.clone()),
            fingerprint: self.fingerprint.or(session.fingerprint),
            other_fingerprint: self.other_fingerprint || session.other_fingerprint,
            setup: self.setup.or(session.setup),
        }
    }
}

impl Open {
    fn formats(&mut self, formats: &str) -> Result<(), SdpFault> {
        for word in formats.split(' ').filter(|word| !word.is_empty()) {
            let pt: u8 = word.parse().ok().filter(|pt| *pt < 128).ok_or(Malformed("a payload type of m="))?;
            if self.media.codec(pt).is_some() {
                return Err(Unusable("a payload type stands twice in m="));
            }
            let (name, clock) = match pt {
                0 => ("PCMU", 8000),
                8 => ("PCMA", 8000),
                9 => ("G722", 8000),
                13 => ("CN", 8000),
                _ => ("", 0),
            };
            if clock != 0 {
                self.explain(pt);
            }
            let codec = Codec { pt, name: name.into(), clock, channels: 1, fmtp: String::new(), feedback: Vec::new() };
            push(&mut self.media.codecs, codec, CODECS_MAX, "payload types")?;
        }
        Ok(())
    }

    fn explain(&mut self, pt: u8) {
        self.known[usize::from(pt >> 6) & 1] |= 1 << (pt & 63);
    }

    fn is_explained(&self, pt: u8) -> bool {
        self.known[usize::from(pt >> 6) & 1] & (1 << (pt & 63)) != 0
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), SdpFault> {
        match name {
            "mid" => {
                if !self.media.mid.is_empty() {
                    return Err(Unusable("an m-line has two mids"));
                }
                self.media.mid = token(value).ok_or(Malformed("a=mid"))?;
                Ok(())
            }
            "bundle-only" => {
                self.bundle_only = true;
                Ok(())
            }
            "sctp-port" => {
                self.sctp_port = Some(value.trim().parse().ok().ok_or(Malformed("a=sctp-port"))?);
                Ok(())
            }
            "max-message-size" => {
                // A 64-bit number is allowed (RFC 8841 §6.1); more than we count in is as good as any.
                let bytes: u64 = value.trim().parse().ok().ok_or(Malformed("a=max-message-size"))?;
                self.max_message_bytes = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
                Ok(())
            }
            _ => match self.media.kind {
                LineKind::Audio | LineKind::Video => self.rtp_attribute(name, value),
                LineKind::Data | LineKind::Other => Ok(()),
            },
        }
    }

    fn rtp_attribute(&mut self, name: &str, value: &str) -> Result<(), SdpFault> {
        match name {
            "rtpmap" => return self.rtpmap(value),
            "fmtp" => {
                let (codec, rest) = self.codec(value).ok_or(Malformed("a=fmtp"))?;
                if let Some(codec) = codec {
                    codec.fmtp = rest.into();
                }
            }
            "rtcp-fb" => return self.feedback(value),
            "extmap" => return self.extmap(value),
            "rid" => return self.rid(value),
            "simulcast" => {
                if self.simulcast.replace(value.into()).is_some() {
                    return Err(Unusable("an m-line has two simulcast lines"));
                }
            }
            "msid" => {
                let (stream, track) = value.split_once(' ').unwrap_or((value, ""));
                self.media.msid = Some(msid(stream, track).ok_or(Malformed("a=msid"))?);
            }
            "ssrc" => return self.ssrc(value),
            "ssrc-group" => return self.ssrc_group(value),
            "rtcp-mux" => self.media.rtcp_mux = true,
            "rtcp-rsize" => self.media.rtcp_rsize = true,
            _ => {
                if let Some(direction) = direction(name) {
                    if std::mem::replace(&mut self.has_direction, true) {
                        return Err(Unusable("an m-line has two directions"));
                    }
                    self.media.direction = direction;
                }
            }
        }
        Ok(())
    }

    /// Splits `<payload type> <rest>`; the codec is `None` when `m=` does not list the payload type.
    fn codec<'t>(&mut self, value: &'t str) -> Option<(Option<&mut Codec>, &'t str)> {
        let (pt, rest) = value.split_once(' ')?;
        let pt: u8 = pt.parse().ok()?;
        Some((self.media.codecs.iter_mut().find(|codec| codec.pt == pt), rest.trim()))
    }

    fn rtpmap(&mut self, value: &str) -> Result<(), SdpFault> {
        let (codec, rest) = self.codec(value).ok_or(Malformed("a=rtpmap"))?;
        let Some(codec) = codec else { return Ok(()) };
        let mut parts = rest.split('/');
        let name = parts.next().and_then(token).ok_or(Malformed("a=rtpmap"))?;
        codec.name = name;
        codec.clock = parts
            .next()
            .and_then(|clock| clock.parse().ok())
            .filter(|c| *c > 0)
            .ok_or(Malformed("the clock of a=rtpmap"))?;
        codec.channels = match parts.next() {
            Some(channels) => channels.parse().ok().filter(|c| *c > 0).ok_or(Malformed("the channels of a=rtpmap"))?,
            None => 1,
        };
        let pt = codec.pt;
        self.explain(pt);
        Ok(())
    }

    fn feedback(&mut self, value: &str) -> Result<(), SdpFault> {
        if let Some(rest) = value.strip_prefix("* ") {
            return push(&mut self.feedback_for_all, rest.trim().to_owned(), FEEDBACK_MAX, "rtcp-fb lines");
        }
        let (codec, rest) = self.codec(value).ok_or(Malformed("a=rtcp-fb"))?;
        match codec {
            Some(codec) => push(&mut codec.feedback, rest.to_owned(), FEEDBACK_MAX, "rtcp-fb lines"),
            None => Ok(()),
        }
    }

    fn extmap(&mut self, value: &str) -> Result<(), SdpFault> {
        let mut words = value.split(' ');
        let id = words.next().unwrap_or_default();
        let uri = words.next().filter(|uri| !uri.is_empty()).ok_or(Malformed("a=extmap"))?;
        let (id, way) = match id.split_once('/') {
            Some((id, way)) => (id, Some(direction(way).ok_or(Malformed("the direction of a=extmap"))?)),
            None => (id, None),
        };
        let id: u16 = id.parse().ok().filter(|id| *id != 0).ok_or(Malformed("the id of a=extmap"))?;
        // 4096 to 4351 are offers to be renumbered (RFC 8285 §5); nobody does that here, so they are not accepted.
        let Ok(id) = u8::try_from(id) else { return Ok(()) };
        if self.media.extensions.iter().any(|have| have.id == id) {
            return Err(Unusable("a header extension id stands twice in an m-line"));
        }
        push(
            &mut self.media.extensions,
            Extension { id, uri: uri.into(), direction: way },
            EXTENSIONS_MAX,
            "header extensions",
        )
    }

    fn rid(&mut self, value: &str) -> Result<(), SdpFault> {
        let mut words = value.split(' ');
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let id = words.next().filter(|id| id.bytes().all(fine)).and_then(token).ok_or(Malformed("a=rid"))?;
        let send = match words.next() {
            Some("send") => true,
            Some("recv") => false,
            _ => return Err(Malformed("the direction of a=rid")),
        };
        if self.media.rids.iter().any(|have| have.id == id) {
            return Err(Unusable("a rid stands twice in an m-line"));
        }
        push(&mut self.media.rids, Rid { id, send, paused: false }, RIDS_MAX, "rids")
    }

    fn ssrc(&mut self, value: &str) -> Result<(), SdpFault> {
        let (ssrc, rest) = value.split_once(' ').ok_or(Malformed("a=ssrc"))?;
        let ssrc: u32 = ssrc.parse().ok().ok_or(Malformed("a=ssrc"))?;
        let at = match self.media.ssrcs.iter().position(|have| have.ssrc == ssrc) {
            Some(at) => at,
            None => {
                push(&mut self.media.ssrcs, Ssrc { ssrc, cname: String::new() }, SSRCS_MAX, "ssrcs")?;
                self.media.ssrcs.len() - 1
            }
        };
        match rest.split_once(':') {
            Some(("cname", cname)) => {
                self.media.ssrcs[at].cname =
                    Some(cname).filter(|c| c.len() <= TOKEN_BYTES_MAX).ok_or(TooMuch("bytes in a cname"))?.into();
            }
            Some(("msid", both)) if self.media.msid.is_none() => {
                let (stream, track) = both.split_once(' ').unwrap_or((both, ""));
                self.media.msid = Some(msid(stream, track).ok_or(Malformed("the msid of a=ssrc"))?);
            }
            _ => {}
        }
        Ok(())
    }

    fn ssrc_group(&mut self, value: &str) -> Result<(), SdpFault> {
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let semantics = words.next().and_then(token).ok_or(Malformed("a=ssrc-group"))?;
        let ssrcs: Vec<u32> =
            words.map(|ssrc| ssrc.parse().ok()).collect::<Option<_>>().ok_or(Malformed("a=ssrc-group"))?;
        if ssrcs.len() > SSRCS_MAX {
            return Err(TooMuch("ssrcs"));
        }
        push(&mut self.media.groups, SsrcGroup { semantics, ssrcs }, SSRCS_MAX, "ssrc groups")
    }

    fn finish(&mut self) -> Result<(), SdpFault> {
        self.media.rejected = self.port_zero && !self.bundle_only;
        let unknown: Vec<u8> =
            self.media.codecs.iter().map(|codec| codec.pt).filter(|pt| !self.is_explained(*pt)).collect();
        self.media.codecs.retain(|codec| !unknown.contains(&codec.pt));
        for codec in &mut self.media.codecs {
            for feedback in &self.feedback_for_all {
                if !codec.feedback.contains(feedback) && codec.feedback.len() < FEEDBACK_MAX {
                    codec.feedback.push(feedback.clone());
                }
            }
        }
        if let Some(simulcast) = self.simulcast.take() {
            self.order_rids(&simulcast)?;
        }
        self.media.rids.sort_by_key(|rid| !rid.send);
        if self.media.kind == LineKind::Data && !self.media.rejected {
            // RFC 8841 §6.1: 64 kB where nothing is said. 0 means any.
            self.media.sctp = Some(SctpRemote {
                port: self.sctp_port.ok_or(Missing("a=sctp-port"))?,
                max_message_bytes: self.max_message_bytes.unwrap_or(65_536),
            });
        }
        Ok(())
    }

    /// `send a;b,c;~d recv e` (RFC 8853 §5.1): the order of the layers, and which start paused.
    fn order_rids(&mut self, simulcast: &str) -> Result<(), SdpFault> {
        let mut ordered = Vec::new();
        let mut words = simulcast.split(' ').filter(|word| !word.is_empty());
        while let Some(way) = words.next() {
            let send = match way {
                "send" => true,
                "recv" => false,
                _ => return Err(Malformed("a=simulcast")),
            };
            let list = words.next().ok_or(Malformed("a=simulcast"))?;
            for name in list.split([';', ',']) {
                let (paused, id) = name.strip_prefix('~').map_or((false, name), |id| (true, id));
                let of = |rid: &Rid| rid.send == send && rid.id == id;
                let Some(at) = self.media.rids.iter().position(of) else {
                    return Err(Unusable("a=simulcast names a rid that the m-line does not have"));
                };
                ordered.push(Rid { paused, ..self.media.rids.remove(at) });
            }
        }
        ordered.append(&mut self.media.rids);
        self.media.rids = ordered;
        Ok(())
    }
}

/// The line whose transport carries all: the first live one of the bundle (RFC 8843 §7.2), or the first live one.
pub(super) fn tagged<'l>(bundle: &[String], lines: impl Iterator<Item = &'l MediaLine> + Clone) -> Option<usize> {
    let live = |mid: &String| lines.clone().position(|line| !line.rejected && line.mid == *mid);
    bundle.iter().find_map(live).or_else(|| lines.clone().position(|line| !line.rejected))
}

/// `candidate:<foundation> 1 udp <priority> <address> <port> typ <type> …` (RFC 8839 §5.1).
pub(super) fn candidate(text: &str) -> Option<Candidate> {
    let text = text.strip_prefix("a=").unwrap_or(text).strip_prefix("candidate:")?;
    let mut words = text.split(' ').filter(|word| !word.is_empty()).skip(1);
    let (component, transport) = (words.next()?, words.next()?);
    let priority = words.next()?.parse().ok()?;
    let ip: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let usable = component == "1" && transport.eq_ignore_ascii_case("udp") && port != 0 && words.next()? == "typ";
    usable.then_some(Candidate { address: SocketAddr::new(ip, port), priority })
}

fn push<T>(list: &mut Vec<T>, item: T, max: usize, what: &'static str) -> Result<(), SdpFault> {
    if list.len() >= max {
        return Err(TooMuch(what));
    }
    list.push(item);
    Ok(())
}

fn direction(name: &str) -> Option<Direction> {
    Some(match name {
        "sendrecv" => Direction::SendRecv,
        "sendonly" => Direction::SendOnly,
        "recvonly" => Direction::RecvOnly,
        "inactive" => Direction::Inactive,
        _ => return None,
    })
}

/// A token (RFC 8866 §9) that is not too long.
fn token(text: &str) -> Option<String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte);
    (!text.is_empty() && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(fine)).then(|| text.to_owned())
}

fn msid(stream: &str, track: &str) -> Option<Msid> {
    let fine = |text: &str| text.len() <= TOKEN_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    let track = track.split(' ').next().unwrap_or_default();
    (!stream.is_empty() && fine(stream) && fine(track)).then(|| Msid { stream: stream.into(), track: track.into() })
}

fn ice_chars(text: &str, shortest: usize) -> Option<String> {
    // RFC 8839 §5.4 allows letters, digits, `+` and `/`; some write base64url or `=`, which harms nobody.
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    ((shortest..=256).contains(&text.len()) && text.bytes().all(fine)).then(|| text.to_owned())
}
