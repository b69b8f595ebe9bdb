//! RTP header extensions (RFC 8285) and the ones we know: what the elements are called, and what their bytes mean.
//!
//! ```text
//! one byte:  | ID 4 bits | len−1 4 bits | data 1–16 |     profile 0xBEDE, id 0 = padding, 15 = stop
//! two bytes: | ID 8 bits | len 8 bits   | data 0–255 |    profile 0x100x, id 0 = padding
//! ```

/// The two ways of writing elements down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Form {
    /// Ids 1–14, 1–16 bytes each.
    #[default]
    OneByte,
    /// Ids 1–255, 0–255 bytes each. Only where `extmap-allow-mixed` was agreed.
    TwoByte,
}

impl Form {
    /// Whether this form can express an element.
    #[inline]
    #[must_use]
    pub fn fits(self, id: u8, len: usize) -> bool {
        match self {
            Self::OneByte => (1..=14).contains(&id) && (1..=16).contains(&len),
            Self::TwoByte => id != 0 && len <= 255,
        }
    }

    /// The profile in front of a block.
    #[must_use]
    pub fn profile(self) -> u16 {
        match self {
            Self::OneByte => PROFILE_ONE_BYTE,
            Self::TwoByte => PROFILE_TWO_BYTE,
        }
    }
}

/// One element of an extension block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// The negotiated id.
    pub id: u8,
    /// Its bytes.
    pub data: &'a [u8],
}

/// The elements of one block, in order. A broken block ends early (RFC 8285 §4.1.2: stop, keep what was read).
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of a block's body; none for an unknown profile.
    #[inline]
    #[must_use]
    pub fn new(profile: u16, body: &'a [u8]) -> Self {
        match profile {
            PROFILE_ONE_BYTE => Self { form: Form::OneByte, rest: body },
            _ if profile & 0xfff0 == PROFILE_TWO_BYTE => Self { form: Form::TwoByte, rest: body },
            _ => Self { form: Form::OneByte, rest: &[] },
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let (&first, rest) = self.rest.split_first()?;
            self.rest = rest;
            if first == 0 {
                continue;
            }
            let (id, len) = match self.form {
                Form::OneByte => (first >> 4, usize::from(first & 0x0f).saturating_add(1)),
                Form::TwoByte => {
                    let (&len, rest) = rest.split_first()?;
                    self.rest = rest;
                    (first, usize::from(len))
                }
            };
            // 15 is reserved; 0 with a length must not be: both end the block (RFC 8285 §4.2).
            if self.form == Form::OneByte && matches!(id, 0 | 15) {
                self.rest = &[];
                return None;
            }
            let Some((data, rest)) = self.rest.split_at_checked(len) else {
                self.rest = &[];
                return None;
            };
            self.rest = rest;
            return Some(Element { id, data });
        }
    }
}

/// The extensions Lyceum understands or carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Identification of the m-line (RFC 9143).
    Mid,
    /// Identification of the encoding (RFC 8852).
    Rid,
    /// Identification of the encoding that a retransmission repairs (RFC 8852).
    RepairedRid,
    /// Loudness of the voice in the packet (RFC 6464).
    AudioLevel,
    /// Departure time at the sender, 24 bits of seconds in 6.18 fixed point.
    AbsSendTime,
    /// Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions).
    TransportSequence,
    /// AV1's dependency descriptor, carried as it is.
    DependencyDescriptor,
    /// How the picture is turned (3GPP TS 26.114), carried as it is.
    VideoOrientation,
    /// Bounds of the playout delay, carried as it is.
    PlayoutDelay,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::AbsSendTime,
        Self::TransportSequence,
        Self::DependencyDescriptor,
        Self::VideoOrientation,
        Self::PlayoutDelay,
    ];

    /// Its name in SDP's `a=extmap`.
    #[must_use]
    pub fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSequence => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
        }
    }

    /// The extension of this name.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which id means what, as negotiated for one m-line or one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Map {
    /// Index: id − 1.
    kinds: [Option<Kind>; IDS_MAX],
}

impl Map {
    /// A map that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds `id` to `kind`; 0 and 15, which no element can have in both forms, are ignored (RFC 8285 §4.2).
    pub fn set(&mut self, id: u8, kind: Kind) {
        if id == 15 {
            return;
        }
        if let Some(place) = usize::from(id).checked_sub(1).and_then(|index| self.kinds.get_mut(index)) {
            *place = Some(kind);
        }
    }

    /// What `id` means.
    #[inline]
    #[must_use]
    pub fn kind(&self, id: u8) -> Option<Kind> {
        *self.kinds.get(usize::from(id).checked_sub(1)?)?
    }

    /// The id of `kind`, if it was negotiated.
    #[must_use]
    pub fn id(&self, kind: Kind) -> Option<u8> {
        let index = self.kinds.iter().position(|k| *k == Some(kind))?;
        u8::try_from(index).ok()?.checked_add(1)
    }

    /// Reads all known extensions of one packet. What cannot be read is absent.
    #[inline]
    #[must_use]
    pub fn read<'a>(&self, elements: Elements<'a>) -> Known<'a> {
        let mut known = Known::default();
        for Element { id, data } in elements {
            match self.kind(id) {
                Some(Kind::Mid) => known.mid = token(data),
                Some(Kind::Rid) => known.rid = token(data),
                Some(Kind::RepairedRid) => known.repaired_rid = token(data),
                Some(Kind::AudioLevel) => known.audio_level = data.first().map(|byte| AudioLevel::from_byte(*byte)),
                Some(Kind::AbsSendTime) => {
                    known.abs_send_time = match *data {
                        [a, b, c] => Some(u32::from_be_bytes([0, a, b, c])),
                        _ => None,
                    };
                }
                Some(Kind::TransportSequence) => {
                    known.transport_sequence = data.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
                }
                Some(Kind::DependencyDescriptor) => known.dependency_descriptor = Some(data),
                Some(Kind::VideoOrientation) => known.video_orientation = data.first().copied(),
                Some(Kind::PlayoutDelay) | None => {}
            }
        }
        known
    }
}

/// The known extensions of one packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known<'a> {
    /// The m-line.
    pub mid: Option<&'a str>,
    /// The encoding.
    pub rid: Option<&'a str>,
    /// The encoding this retransmission repairs.
    pub repaired_rid: Option<&'a str>,
    /// How loud.
    pub audio_level: Option<AudioLevel>,
    /// Seconds modulo 64, 18 bits of fraction.
    pub abs_send_time: Option<u32>,
    /// Transport-wide sequence number.
    pub transport_sequence: Option<u16>,
    /// AV1's dependency descriptor, unread.
    pub dependency_descriptor: Option<&'a [u8]>,
    /// Camera, flip and rotation bits.
    pub video_orientation: Option<u8>,
}

/// A mid or rid: printable ASCII without spaces (RFC 8866 token, RFC 8851 §10). Chromium pads rids with zero bytes.
#[inline]
fn token(data: &[u8]) -> Option<&str> {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let text = data.get(..end)?;
    if text.is_empty() || !text.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    std::str::from_utf8(text).ok()
}

/// Loudness of the sound in one packet (RFC 6464): |V| level |, level in −dBov, 0 loudest, 127 silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioLevel {
    /// −dBov: 0 is the loudest, 127 is silence.
    pub below_full: u8,
    /// The sender believes that somebody speaks.
    pub voice: bool,
}

impl AudioLevel {
    /// The level of digital silence, in −dBov.
    pub const SILENT: u8 = 127;

    /// From the byte on the wire.
    #[inline]
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self { below_full: byte & 0x7f, voice: byte & 0x80 != 0 }
    }

    /// The byte on the wire.
    #[inline]
    #[must_use]
    pub fn to_byte(self) -> u8 {
        u8::from(self.voice) << 7 | self.below_full & 0x7f
    }
}

/// The 24-bit value of [`Kind::AbsSendTime`] for a moment given in microseconds since any fixed one.
#[inline]
#[must_use]
pub fn abs_send_time(micros: u64) -> u32 {
    // 2^18 / 10^6, in steps that cannot overflow: whole seconds modulo 64, then the fraction.
    let seconds = (micros / 1_000_000) & 63;
    let fraction = ((micros % 1_000_000) << 18) / 1_000_000;
    u32::try_from(seconds << 18 | fraction).unwrap_or(0)
}

const PROFILE_ONE_BYTE: u16 = 0xbede;
const PROFILE_TWO_BYTE: u16 = 0x1000;
/// Ids a [`Map`] can hold: browsers go on above those of the one-byte form when they offer many extensions; 32 are twice
/// what Chromium has.
const IDS_MAX: usize = 32;

#[cfg(test)]
mod tests;
