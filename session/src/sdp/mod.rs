//! Session descriptions (RFC 8866) as WebRTC writes them (RFC 8829), read strictly and with bounds.
//!
//! An [`Offer`] and an [`Answer`] have the same body, a [`Description`]. [`Offer::parse`] and [`Answer::parse`] read what the
//! peer wrote; [`Answer::to`] makes an answer line by line out of an offer, so that payload types, extension ids and mids are the
//! offer's by construction; [`Offer::new`] writes a client's offer. What nobody here understands is skipped, what is understood
//! and wrong is refused with the number of its line.

mod answer;
mod offer;
mod read;
mod write;

pub use answer::{Accept, AcceptCodec, Answer, AnswerError, Sending, Transport};
pub use offer::{Offer, OfferLine};
pub use read::{SdpError, SdpFault};

use crate::config::Fingerprint;
use crate::ice::Credentials;
use std::net::SocketAddr;

/// Longest SDP read, in bytes: the bound of a signaling message. An offer of Chromium with 60 m-lines has about 200 kB.
pub const SDP_BYTES_MAX: usize = 256 * 1024;
/// Longest line read, in bytes: the longest seen is an AV1 or H264 `fmtp` of 200 bytes, and a BUNDLE group of [`MEDIA_LINES_MAX`] mids.
pub const LINE_BYTES_MAX: usize = 4096;
/// Lines read at most: 60 m-lines of 200 lines each.
pub const LINES_MAX: usize = 16_384;
/// m-lines read at most: eight times what a class's page shows at once.
pub const MEDIA_LINES_MAX: usize = 128;
/// Payload types in one m-line at most: there are 128 (RFC 3550 §5.1).
pub const CODECS_MAX: usize = 128;
/// `rtcp-fb` lines per payload type at most: Chromium has five.
pub const FEEDBACK_MAX: usize = 16;
/// Header extensions in one m-line at most: Chromium offers eleven.
pub const EXTENSIONS_MAX: usize = 32;
/// Restriction ids in one m-line at most: simulcast has three, RFC 8853 no bound.
pub const RIDS_MAX: usize = 16;
/// SSRCs in one m-line at most: three layers with RTX and FEC are nine.
pub const SSRCS_MAX: usize = 32;
/// Candidates in one m-line at most.
pub const CANDIDATES_MAX: usize = 64;
/// Longest mid, rid or stream name read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 256;

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `o=` session id and version: the version rises with every description of a session (RFC 8829 §5.2.2).
    pub origin: Origin,
    /// ICE user fragment and password: those of the bundle's first line (RFC 8843 §7), or of the session.
    pub ice: Credentials,
    /// The peer is an ICE-lite agent.
    pub ice_lite: bool,
    /// Fingerprint of the certificate.
    pub fingerprint: Fingerprint,
    /// Who opens DTLS.
    pub setup: Setup,
    /// mids of the BUNDLE group, in order. The first one's transport carries all.
    pub bundle: Vec<String>,
    /// One- and two-byte header extensions may be mixed (RFC 8285 §4.1.2).
    pub extmap_allow_mixed: bool,
    /// Candidates, taken together from all lines.
    pub candidates: Vec<Candidate>,
    /// No more candidates will follow.
    pub end_of_candidates: bool,
    /// m-lines, in order.
    pub lines: Vec<MediaLine>,
}

/// `o=` (RFC 8866 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Session id.
    pub id: u64,
    /// Session version.
    pub version: u64,
}

/// `a=setup` (RFC 4145 §4, RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// Either way: what an offer should say.
    ActPass,
    /// I send the ClientHello.
    Active,
    /// You send the ClientHello.
    Passive,
}

/// One m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaLine {
    /// `a=mid`.
    pub mid: String,
    /// Sound, picture or data.
    pub kind: LineKind,
    /// Media, protocol and formats as written: an answer says them again.
    pub form: Form,
    /// Port 0 without `bundle-only`: the line is rejected or no longer used.
    pub rejected: bool,
    /// Who sends.
    pub direction: Direction,
    /// Payload formats, most wanted first. RTX is one of them: see [`Codec::rtx_for`].
    pub codecs: Vec<Codec>,
    /// RTP header extensions.
    pub extensions: Vec<Extension>,
    /// Simulcast layers or other restrictions, in the order of the simulcast line where there is one.
    pub rids: Vec<Rid>,
    /// Stream and track name of what the writer sends.
    pub msid: Option<Msid>,
    /// Source SSRCs of what the writer sends.
    pub ssrcs: Vec<Ssrc>,
    /// Groups of SSRCs, such as FID (RFC 5576 §4.2).
    pub groups: Vec<SsrcGroup>,
    /// RTP and RTCP share the port.
    pub rtcp_mux: bool,
    /// Reduced-size RTCP (RFC 5506).
    pub rtcp_rsize: bool,
    /// Of a data line: `a=sctp-port` and `a=max-message-size`.
    pub sctp: Option<crate::session::SctpRemote>,
}

/// The words of an `m=` line (RFC 8866 §5.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// `audio`, `video`, `application` …
    pub media: String,
    /// `UDP/TLS/RTP/SAVPF`, `UDP/DTLS/SCTP` …
    pub protocol: String,
    /// The formats, separated by one space. What can be used of them is in [`MediaLine::codecs`].
    pub formats: String,
}

/// What an m-line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// `m=audio`.
    Audio,
    /// `m=video`.
    Video,
    /// `m=application … webrtc-datachannel`.
    Data,
    /// Anything else: it can only be rejected.
    Other,
}

/// Who sends, seen by the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// The writer.
    SendOnly,
    /// The reader.
    RecvOnly,
    /// Nobody for now.
    Inactive,
}

impl Direction {
    /// The writer sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The writer receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// One payload format of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Payload type.
    pub pt: u8,
    /// Encoding name as written, such as `VP8`, `opus`, `rtx`. Compare with [`Codec::is`].
    pub name: String,
    /// Clock rate in Hz.
    pub clock: u32,
    /// Channels of sound; 1 where not written.
    pub channels: u8,
    /// `a=fmtp` as written, without the payload type.
    pub fmtp: String,
    /// `a=rtcp-fb` as written, such as `nack pli`, those of `*` included.
    pub feedback: Vec<String>,
}

impl Codec {
    /// Whether this is the encoding `name`; case does not matter (RFC 4855).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// A parameter of `fmtp`, such as `profile-level-id`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.split(';').find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The payload type whose packets this RTX format repeats (RFC 4588 §8.6).
    #[must_use]
    pub fn rtx_for(&self) -> Option<u8> {
        if self.is("rtx") { self.parameter("apt")?.parse().ok() } else { None }
    }

    /// Whether the line has this feedback, such as `nack` or `nack pli`.
    #[must_use]
    pub fn has_feedback(&self, what: &str) -> bool {
        self.feedback.iter().any(|have| have == what)
    }
}

/// One RTP header extension (RFC 8285 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Local identifier, 1 to 14 for the one-byte form, to 255 for the two-byte form.
    pub id: u8,
    /// What it is.
    pub uri: String,
    /// Direction, where written.
    pub direction: Option<Direction>,
}

/// One `a=rid` (RFC 8851).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    /// Its name.
    pub id: String,
    /// The writer sends (true) or receives it.
    pub send: bool,
    /// Paused from the start (`~` in the simulcast line, RFC 8853 §5.1).
    pub paused: bool,
}

/// Stream and track (RFC 8830).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// Stream name; `-` for none.
    pub stream: String,
    /// Track name, may be empty.
    pub track: String,
}

/// One SSRC (RFC 5576).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssrc {
    /// The number.
    pub ssrc: u32,
    /// Its canonical name.
    pub cname: String,
}

/// SSRCs that belong together (RFC 5576 §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID`, `SIM` …
    pub semantics: String,
    /// The members.
    pub ssrcs: Vec<u32>,
}

/// An ICE candidate (RFC 8839 §5.1) of component 1 over UDP with an address of numbers. Others are skipped while reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Address and port.
    pub address: SocketAddr,
    /// Priority.
    pub priority: u32,
}

impl Candidate {
    /// A host candidate; `preference` orders several, highest first (RFC 8445 §5.1.2.1).
    #[must_use]
    pub fn host(address: SocketAddr, preference: u16) -> Self {
        Self { address, priority: (126 << 24) | (u32::from(preference) << 8) | 255 }
    }

    /// Reads `candidate:…`, with or without `a=` before it. `None`: not one of ours (TCP, mDNS, component 2), or malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        read::candidate(text)
    }
}

impl Description {
    /// The line with this mid.
    #[must_use]
    pub fn line(&self, mid: &str) -> Option<&MediaLine> {
        self.lines.iter().find(|line| line.mid == mid)
    }

    /// What a [`crate::Session`] needs to know of the writer.
    #[must_use]
    pub fn remote(&self) -> crate::session::Remote {
        let live = |line: &&MediaLine| line.kind == LineKind::Data && !line.rejected;
        crate::session::Remote {
            ice: self.ice.clone(),
            fingerprint: self.fingerprint,
            sctp: self.lines.iter().find(live).and_then(|line| line.sctp),
        }
    }
}

impl MediaLine {
    /// The codec with this payload type.
    #[must_use]
    pub fn codec(&self, pt: u8) -> Option<&Codec> {
        self.codecs.iter().find(|codec| codec.pt == pt)
    }

    /// The RTX payload type that repeats `pt`.
    #[must_use]
    pub fn rtx_of(&self, pt: u8) -> Option<u8> {
        self.codecs.iter().find(|codec| codec.rtx_for() == Some(pt)).map(|codec| codec.pt)
    }

    /// The identifier of the extension `uri`.
    #[must_use]
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|extension| extension.uri == uri).map(|extension| extension.id)
    }
}
