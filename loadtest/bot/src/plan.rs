//! What a bot offers: which m-lines it has, what they are for, and what the edge's answer made of them.

use crate::clip::Clip;
use lyceum_session::sdp::{Answer, Codec, Direction, Extension, LineKind, OfferLine};
use lyceum_wire::ext;
use lyceum_wire::id::Source;
use lyceum_wire::signal::{PublishLine, SlotKind, SlotLine};
use std::sync::Arc;
use std::time::Duration;

/// Payload type of Opus in a bot's offer.
pub const OPUS_PT: u8 = 111;
/// Payload type of VP8 in a bot's offer.
pub const VP8_PT: u8 = 96;
/// Payload type of VP8's repairs in a bot's offer.
pub const RTX_PT: u8 = 97;
/// rids of the camera, smallest first.
pub const RIDS: [&str; 3] = ["q", "h", "f"];

/// What a bot shows and how much it wants to see.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Plays this as its voice.
    pub microphone: Option<Arc<Clip>>,
    /// Plays these as its camera, smallest first: none, one, or up to three simulcast encodings.
    pub camera: Vec<Arc<Clip>>,
    /// Slots for voices.
    pub audio_slots: u16,
    /// Slots for cameras.
    pub video_slots: u16,
    /// Size of its tiles in pixels.
    pub tile: (u16, u16),
    /// Shows other cameras this often, a page of as many as it has slots, when there are more.
    pub page_every: Option<Duration>,
    /// Speaks by turns; all the time when absent. Sound flows in both cases.
    pub turn: Option<Turn>,
}

/// When a bot speaks: for a while, once in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// A round takes this long.
    pub every: Duration,
    /// It speaks for this long …
    pub lasts: Duration,
    /// … from this moment of the round on.
    pub offset: Duration,
}

impl Turn {
    /// Whether it is its turn, so long after the run's zero.
    #[must_use]
    pub fn is_on(&self, since_zero: Duration) -> bool {
        let round = self.every.as_millis().max(1);
        let into = (since_zero.as_millis() + round - self.offset.as_millis() % round) % round;
        into < self.lasts.as_millis()
    }
}

/// Header extensions of a bot's offer.
const EXTENSIONS: [(u8, ext::Kind); 6] = [
    (1, ext::Kind::AudioLevel),
    (2, ext::Kind::AbsSendTime),
    (3, ext::Kind::TransportSequence),
    (4, ext::Kind::Mid),
    (10, ext::Kind::Rid),
    (11, ext::Kind::RepairedRid),
];

fn feedback(of: &[&str]) -> Vec<String> {
    of.iter().map(|&name| name.to_owned()).collect()
}

fn extensions(kind: LineKind) -> Vec<Extension> {
    let wanted = |kind_of: &ext::Kind| match kind {
        LineKind::Audio => !matches!(kind_of, ext::Kind::Rid | ext::Kind::RepairedRid),
        _ => *kind_of != ext::Kind::AudioLevel,
    };
    let all = EXTENSIONS.iter().filter(|(_, of)| wanted(of));
    all.map(|(id, of)| Extension { id: *id, uri: of.uri().to_owned(), direction: None }).collect()
}

fn line(kind: LineKind, direction: Direction, rids: usize) -> OfferLine {
    let codecs = match kind {
        LineKind::Audio => vec![Codec {
            pt: OPUS_PT,
            name: "opus".into(),
            clock: 48_000,
            channels: 2,
            fmtp: "minptime=10;useinbandfec=1".into(),
            feedback: feedback(&["transport-cc"]),
        }],
        _ => vec![
            Codec {
                pt: VP8_PT,
                name: "VP8".into(),
                clock: 90_000,
                channels: 1,
                fmtp: String::new(),
                feedback: feedback(&["transport-cc", "ccm fir", "nack", "nack pli"]),
            },
            Codec {
                pt: RTX_PT,
                name: "rtx".into(),
                clock: 90_000,
                channels: 1,
                fmtp: format!("apt={VP8_PT}"),
                feedback: Vec::new(),
            },
        ],
    };
    let rids = if rids > 1 { RIDS.iter().take(rids).map(|&rid| rid.to_owned()).collect() } else { Vec::new() };
    OfferLine::Media { kind, direction, codecs, extensions: extensions(kind), rids }
}

/// The m-lines of a plan, with what each is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// For the SDP, mids `0`, `1`, … in this order.
    pub offer: Vec<OfferLine>,
    /// For `offer.publish`.
    pub publish: Vec<PublishLine>,
    /// For `offer.slots`.
    pub slots: Vec<SlotLine>,
}

impl Plan {
    /// The lines of this plan: what is published first, then slots for voices, then for cameras.
    #[must_use]
    pub fn lines(&self) -> Lines {
        let mut lines = Lines { offer: Vec::new(), publish: Vec::new(), slots: Vec::new() };
        if self.microphone.is_some() {
            lines.publishing(Source::Microphone, line(LineKind::Audio, Direction::SendOnly, 0));
        }
        if !self.camera.is_empty() {
            lines.publishing(Source::Camera, line(LineKind::Video, Direction::SendOnly, self.camera.len()));
        }
        for _ in 0..self.audio_slots {
            lines.slot(SlotKind::Audio, line(LineKind::Audio, Direction::RecvOnly, 0));
        }
        for _ in 0..self.video_slots {
            lines.slot(SlotKind::Video, line(LineKind::Video, Direction::RecvOnly, 0));
        }
        lines
    }
}

impl Lines {
    fn publishing(&mut self, source: Source, line: OfferLine) {
        self.publish.push(PublishLine { mid: self.offer.len().to_string(), source, muted: false });
        self.offer.push(line);
    }

    fn slot(&mut self, kind: SlotKind, line: OfferLine) {
        self.slots.push(SlotLine { mid: self.offer.len().to_string(), kind });
        self.offer.push(line);
    }
}

/// The extension ids that an answer kept, over all its lines (BUNDLE makes them one set, RFC 8843 §9.2).
#[must_use]
pub fn agreed_extensions(answer: &Answer) -> ext::Map {
    let mut map = ext::Map::new();
    for extension in answer.lines.iter().flat_map(|line| &line.extensions) {
        if let Some(kind) = ext::Kind::of_uri(&extension.uri) {
            map.set(extension.id, kind);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_once_a_round() {
        let seconds = Duration::from_secs;
        let turn = Turn { every: seconds(60), lasts: seconds(5), offset: seconds(58) };
        let on: Vec<u64> = (0..120).filter(|second| turn.is_on(seconds(*second))).collect();
        assert_eq!(on, [0, 1, 2, 58, 59, 60, 61, 62, 118, 119]);
    }

    #[test]
    fn lines_are_numbered_in_order_and_named_for_their_use() {
        let clip = Arc::new(Clip::made_up(1, 320, 180, 100_000, 10, 1));
        let plan = Plan {
            microphone: Some(Arc::new(Clip::made_up_sound(1))),
            camera: vec![clip.clone(), clip.clone(), clip],
            audio_slots: 1,
            video_slots: 2,
            tile: (640, 360),
            ..Plan::default()
        };
        let lines = plan.lines();
        assert_eq!(lines.offer.len(), 5);
        assert_eq!(lines.publish.iter().map(|line| line.mid.as_str()).collect::<Vec<_>>(), ["0", "1"]);
        assert_eq!(lines.slots.iter().map(|line| line.mid.as_str()).collect::<Vec<_>>(), ["2", "3", "4"]);
        let OfferLine::Media { rids, .. } = &lines.offer[1] else { panic!() };
        assert_eq!(rids, &RIDS);
    }
}
