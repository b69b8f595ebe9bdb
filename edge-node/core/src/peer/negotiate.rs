//! From an offer, and what its lines are for, to an answer and a plan of what the peer sends and receives.
//!
//! ```text
//!   offer  ┐                       ┌─▶ answer      payload types, extension ids and mids are the offer's
//!   publish├─▶ negotiate(memory) ──┼─▶ publishing  one per source: payload types, encodings, feedback
//!   slots  ┘                       └─▶ slots       one per receiving line, with SSRCs that never change
//! ```
//!
//! Nothing is changed but the memory of SSRCs, so that an offer that is refused leaves the peer as it was.

use crate::draw::Draw;
use lyceum_media::downlink::{SlotCodec, SlotSpec};
use lyceum_media::uplink::{Encoding, KeyFrameAsk, PayloadType};
use lyceum_media::{Codec, Ssrc};
use lyceum_session::sdp::{
    Accept, AcceptCodec, Answer, Direction, Extension, LineKind, MediaLine, Msid, Offer, Sending, Transport,
};
use lyceum_wire::ext::{self, Kind};
use lyceum_wire::id::{self, Source};
use lyceum_wire::signal::{PublishLine, Refusal, SlotKind, SlotLine};
use lyceum_wire::token::Grants;
use std::collections::{BTreeMap, BTreeSet};

/// Slots of one subscriber at most: more tiles than a screen shows.
pub const SLOTS_MAX: usize = 64;
/// Simulcast encodings of one track at most.
pub const ENCODINGS_MAX: usize = 4;

/// What every Opus sender is told: forward error correction in band, frames of 10 ms and more (RFC 7587 §6.1).
const OPUS_FMTP: &str = "minptime=10;useinbandfec=1";
/// Feedback wanted on a picture's line: repairs, key frames two ways, transport-wide arrival times.
const VIDEO_FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", "transport-cc"];
/// Feedback wanted on a sound's line.
const AUDIO_FEEDBACK: [&str; 2] = ["nack", "transport-cc"];
/// Where a client has no transport-cc: RFC 8888, else the receiver's own estimate.
const FALLBACK_FEEDBACK: [&str; 2] = ["ack ccfb", "goog-remb"];
/// constraint_set1_flag: baseline that is constrained baseline.
const CONSTRAINED: u32 = 0x40;

/// Header extensions the edge understands; all others are left out of answers.
const EXTENSIONS: [Kind; 7] = [
    Kind::Mid,
    Kind::Rid,
    Kind::RepairedRid,
    Kind::AbsSendTime,
    Kind::TransportSequence,
    Kind::AudioLevel,
    Kind::DependencyDescriptor,
];

/// Why an offer was refused: code and sentence of `refused`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    pub(crate) code: Refusal,
    pub(crate) message: String,
}

fn bad<T>(message: String) -> Result<T, Refused> {
    Err(Refused { code: Refusal::BadOffer, message })
}

/// The SSRCs of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SlotSources {
    media: u32,
    rtx: u32,
}

/// What outlives one negotiation: which SSRCs a slot has, and its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    slots: BTreeMap<String, SlotSources>,
    used: BTreeSet<u32>,
    /// The source of feedback about what the peer publishes.
    pub(crate) feedback_ssrc: u32,
    /// `cname` of everything the edge sends to this peer.
    pub(crate) cname: String,
}

impl Memory {
    pub(crate) fn new(draw: &mut Draw) -> Self {
        let mut memory = Self { cname: format!("{:016x}", draw.number()), ..Self::default() };
        memory.feedback_ssrc = memory.fresh(draw);
        memory
    }

    fn fresh(&mut self, draw: &mut Draw) -> u32 {
        loop {
            let ssrc = draw.ssrc();
            if self.used.insert(ssrc) {
                return ssrc;
            }
        }
    }

    fn slot(&mut self, mid: &str, draw: &mut Draw) -> SlotSources {
        if let Some(sources) = self.slots.get(mid) {
            return *sources;
        }
        let sources = SlotSources { media: self.fresh(draw), rtx: self.fresh(draw) };
        self.slots.insert(mid.to_owned(), sources);
        sources
    }
}

/// One source the peer publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publishing {
    pub(crate) source: Source,
    pub(crate) mid: String,
    pub(crate) muted: bool,
    /// Encoding name in SDP's spelling.
    pub(crate) codec: String,
    pub(crate) clock_hz: u32,
    pub(crate) payload_types: Vec<PayloadType>,
    /// From the smallest.
    pub(crate) encodings: Vec<Encoding>,
    pub(crate) nack: bool,
    pub(crate) keyframe: KeyFrameAsk,
}

/// What an offer comes to.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) answer: Answer,
    /// Extensions the peer sends and takes: one set for the bundle (RFC 8843 §9.2).
    pub(crate) extensions: ext::Map,
    pub(crate) publishing: Vec<Publishing>,
    pub(crate) slots: Vec<SlotSpec>,
}

/// What the lines of an offer are said to be for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intents<'a> {
    pub(crate) publish: &'a [PublishLine],
    pub(crate) slots: &'a [SlotLine],
}

/// Answers an offer.
pub(crate) fn negotiate(
    offer: &Offer,
    intents: Intents<'_>,
    grants: &Grants,
    transport: Transport,
    memory: &mut Memory,
    draw: &mut Draw,
) -> Result<Plan, Refused> {
    let Intents { publish, slots } = intents;
    check_intents(offer, publish, slots, grants)?;
    for line in &offer.lines {
        memory.used.extend(line.ssrcs.iter().map(|s| s.ssrc));
    }
    let mut plan = Plan {
        answer: Answer::to(offer, transport),
        extensions: extensions_of(offer),
        publishing: Vec::new(),
        slots: Vec::new(),
    };
    for (index, line) in offer.lines.iter().enumerate() {
        if line.rejected {
            continue;
        }
        if line.kind == LineKind::Data {
            accepted(plan.answer.accept_data(offer, index))?;
            continue;
        }
        if line.kind == LineKind::Other {
            continue;
        }
        let intent = publish.iter().find(|p| p.mid == line.mid);
        let slot = slots.iter().find(|s| s.mid == line.mid);
        let formats = Format::all(line);
        if formats.is_empty() {
            if intent.is_some() || slot.is_some() {
                return bad(no_codec(line));
            }
            // Kept open rather than rejected: the bundle's transport may be its (RFC 8843 §7.3).
            let codecs = line.codecs.first().map(|c| AcceptCodec { pt: c.pt, feedback: Vec::new(), fmtp: None });
            let codecs: Vec<_> = codecs.into_iter().collect();
            let direction = Direction::Inactive;
            let idle = Accept { direction, codecs, extensions: Vec::new(), rids: Vec::new(), sending: None };
            accepted(plan.answer.accept(offer, index, idle))?;
            continue;
        }
        let taken = if slot.is_some() { &formats[..] } else { Format::published(&formats) };
        let mut accept = Accept {
            direction: direction(intent.is_some(), slot.is_some()),
            codecs: taken.iter().flat_map(Format::accepted).collect(),
            extensions: accepted_extensions(line, &plan.extensions),
            rids: Vec::new(),
            sending: None,
        };
        if let Some(intent) = intent {
            let publishing = publishing(line, intent, Format::published(&formats))?;
            accept.rids = publishing.encodings.iter().filter_map(|e| e.rid.clone()).collect();
            // In the offer's order, not from the smallest.
            accept.rids.sort_by_key(|rid| line.rids.iter().position(|r| r.id == *rid));
            plan.publishing.push(publishing);
        }
        if let Some(slot) = slot {
            let sources = memory.slot(&line.mid, draw);
            let repaired = formats.iter().any(|format| format.rtx_pt.is_some());
            accept.sending = Some(Sending {
                msid: Msid { stream: format!("slot-{}", line.mid), track: format!("slot-{}", line.mid) },
                cname: memory.cname.clone(),
                ssrc: sources.media,
                rtx_ssrc: repaired.then_some(sources.rtx),
            });
            plan.slots.push(SlotSpec {
                mid: line.mid.clone(),
                kind: slot.kind,
                codecs: formats.iter().map(Format::slot_codec).collect(),
                ssrc: Ssrc(sources.media),
                rtx_ssrc: repaired.then_some(Ssrc(sources.rtx)),
            });
        }
        accepted(plan.answer.accept(offer, index, accept))?;
    }
    Ok(plan)
}

/// A choice of ours that the offer does not have would be a fault of ours; it is refused rather than trusted.
fn accepted(result: Result<(), lyceum_session::sdp::AnswerError>) -> Result<(), Refused> {
    result.map_err(|error| Refused {
        code: Refusal::Internal,
        message: format!("the offer could not be answered: {error}"),
    })
}

/// Whether what the lines are said to be for fits the offer and the grants.
fn check_intents(offer: &Offer, publish: &[PublishLine], slots: &[SlotLine], grants: &Grants) -> Result<(), Refused> {
    if slots.len() > SLOTS_MAX {
        return Err(Refused { code: Refusal::TooLarge, message: format!("more than {SLOTS_MAX} slots") });
    }
    if !slots.is_empty() && !grants.subscribe {
        return Err(Refused { code: Refusal::NotAllowed, message: "the token does not allow to receive".into() });
    }
    let mut sources = BTreeSet::new();
    let mut mids = BTreeSet::new();
    for PublishLine { mid, source, .. } in publish {
        if !grants.publish.contains(source) {
            let message = format!("the token does not allow to publish {}", source_name(*source));
            return Err(Refused { code: Refusal::NotAllowed, message });
        }
        if !sources.insert(*source) || !mids.insert(mid) {
            return bad(format!("{} is published twice, or one line publishes twice", source_name(*source)));
        }
        let line = line_of(offer, mid, source.kind())?;
        if !line.direction.sends() {
            return bad(format!("m-line {mid} is to publish {} but does not send", source_name(*source)));
        }
    }
    let mut mids = BTreeSet::new();
    for SlotLine { mid, kind } in slots {
        if !mids.insert(mid) {
            return bad(format!("m-line {mid} is named as a slot twice"));
        }
        let line = line_of(offer, mid, slot_kind(*kind))?;
        if !line.direction.receives() {
            return bad(format!("m-line {mid} is to be a slot but does not receive"));
        }
    }
    Ok(())
}

fn line_of<'a>(offer: &'a Offer, mid: &str, kind: id::Kind) -> Result<&'a MediaLine, Refused> {
    let Some(line) = offer.lines.iter().find(|line| line.mid == mid) else {
        return bad(format!("the offer has no m-line with mid {mid}"));
    };
    let fits = match kind {
        id::Kind::Audio => line.kind == LineKind::Audio,
        id::Kind::Video => line.kind == LineKind::Video,
    };
    if line.rejected || !fits {
        return bad(format!("m-line {mid} is rejected or of another kind"));
    }
    Ok(line)
}

pub(crate) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Microphone => "microphone",
        Source::Camera => "camera",
        Source::Screen => "screen",
        Source::ScreenAudio => "screen_audio",
    }
}

fn slot_kind(kind: SlotKind) -> id::Kind {
    match kind {
        SlotKind::Audio => id::Kind::Audio,
        SlotKind::Video | SlotKind::Screen => id::Kind::Video,
    }
}

/// The edge's direction on a line.
fn direction(receives: bool, sends: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// A media format of a line that the edge speaks, with its repairs.
#[derive(Debug, Clone)]
struct Format {
    codec: Codec,
    name: &'static str,
    pt: u8,
    /// Of pictures: repairs.
    rtx_pt: Option<u8>,
    clock_hz: u32,
    feedback: Vec<String>,
}

/// Codecs the edge forwards, by kind, in SDP's spelling.
const SOUNDS: [&str; 2] = ["opus", "red"];
const PICTURES: [&str; 4] = ["VP8", "VP9", "H264", "AV1"];

impl Format {
    /// The formats of a line that the edge speaks, most wanted by the client first; of H264 the one variant that all decode.
    fn all(line: &MediaLine) -> Vec<Self> {
        let (names, wanted): (&[&'static str], &[&str]) = match line.kind {
            LineKind::Audio => (&SOUNDS, &AUDIO_FEEDBACK),
            LineKind::Video => (&PICTURES, &VIDEO_FEEDBACK),
            LineKind::Data | LineKind::Other => return Vec::new(),
        };
        let opus = line.codecs.iter().find(|codec| codec.is("opus")).map(|codec| codec.pt);
        let mut formats: Vec<(u8, Self)> = Vec::new();
        for media in &line.codecs {
            let Some(name) = names.iter().copied().find(|name| media.is(name)) else { continue };
            let codec = Codec::of(name);
            let Some(rank) = variant(codec, &media.fmtp, opus) else { continue };
            let rtx = line.codecs.iter().find(|codec| codec.rtx_for() == Some(media.pt));
            let has = |what: &str| media.has_feedback(what);
            let mut feedback: Vec<_> = wanted.iter().filter(|what| has(what)).map(|what| (*what).to_owned()).collect();
            if !has("transport-cc") {
                // Second and third best ways to hear how the way down does; nobody needs two.
                feedback.extend(FALLBACK_FEEDBACK.iter().find(|what| has(what)).map(|what| (*what).to_owned()));
            }
            let rtx_pt = rtx.map(|codec| codec.pt).filter(|_| codec.is_video());
            let format = Self { codec, name, pt: media.pt, rtx_pt, clock_hz: media.clock, feedback };
            match formats.iter_mut().find(|(_, known)| known.codec == codec) {
                Some(known) if rank < known.0 => *known = (rank, format),
                Some(_) => {}
                None => formats.push((rank, format)),
            }
        }
        let formats: Vec<Self> = formats.into_iter().map(|(_, format)| format).collect();
        // Copies of sound without the sound itself are of no use.
        if formats.iter().all(|format| format.codec == Codec::Red) { Vec::new() } else { formats }
    }

    /// Those of a line that publishes: one for pictures, so that the track is what the answer says; sound may come with copies.
    fn published(formats: &[Self]) -> &[Self] {
        let pictures = formats.first().is_some_and(|format| format.codec.is_video());
        if pictures { formats.get(..1).unwrap_or(formats) } else { formats }
    }

    fn has(&self, feedback: &str) -> bool {
        self.feedback.iter().any(|have| have == feedback)
    }

    fn accepted(&self) -> Vec<AcceptCodec> {
        let fmtp = (self.codec == Codec::Opus).then(|| OPUS_FMTP.to_owned());
        let media = AcceptCodec { pt: self.pt, feedback: self.feedback.clone(), fmtp };
        let rtx = self.rtx_pt.map(|pt| AcceptCodec { pt, feedback: Vec::new(), fmtp: None });
        std::iter::once(media).chain(rtx).collect()
    }

    fn payload_type(&self) -> PayloadType {
        PayloadType { pt: self.pt, rtx_pt: self.rtx_pt, codec: self.codec, clock_hz: self.clock_hz }
    }

    fn slot_codec(&self) -> SlotCodec {
        SlotCodec { codec: self.codec, pt: self.pt, rtx_pt: self.rtx_pt, clock_hz: self.clock_hz }
    }
}

/// Whether this variant of a codec can be forwarded to everybody who takes the codec, and how good it is (0 best).
fn variant(codec: Codec, fmtp: &str, opus: Option<u8>) -> Option<u8> {
    let value = |key: &str| {
        let pairs = fmtp.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.trim())
    };
    match codec {
        // RFC 9628 §7; AV1 RTP specification §7.2: without the parameter it is the main profile.
        Codec::Vp9 => matches!(value("profile-id"), None | Some("0")).then_some(0),
        Codec::Av1 => matches!(value("profile"), None | Some("0")).then_some(0),
        Codec::H264 => {
            if value("packetization-mode") != Some("1") {
                return None;
            }
            // RFC 6184 §8.1: profile_idc and constraint flags; baseline without the parameter. Levels are the encoder's matter.
            let profile = u32::from_str_radix(value("profile-level-id").unwrap_or("42000a"), 16).ok()? >> 8;
            match profile {
                0x4200..=0x42ff => Some(u8::from(profile & CONSTRAINED == 0)),
                _ => None,
            }
        }
        // RFC 2198 §5: all blocks are Opus.
        Codec::Red => {
            let opus = opus?;
            let mut blocks = fmtp.split('/').map(|pt| pt.trim().parse::<u8>().ok());
            blocks.all(|pt| pt == Some(opus)).then_some(0)
        }
        _ => Some(0),
    }
}

fn no_codec(line: &MediaLine) -> String {
    let wanted = if line.kind == LineKind::Audio { "opus" } else { "VP8, VP9, H264 (constrained baseline) or AV1" };
    let mut offered: Vec<&str> = line.codecs.iter().map(|codec| codec.name.as_str()).collect();
    offered.dedup();
    format!("m-line {} must offer {wanted}; it offers {}", line.mid, offered.join(", "))
}

fn publishing(line: &MediaLine, intent: &PublishLine, formats: &[Format]) -> Result<Publishing, Refused> {
    let encodings = encodings(line);
    if encodings.len() > ENCODINGS_MAX {
        return bad(format!("m-line {} has more than {ENCODINGS_MAX} simulcast layers", line.mid));
    }
    // Copies travel beside the sound: the track is the sound's.
    let Some(format) = formats.iter().find(|format| format.codec != Codec::Red) else { return bad(no_codec(line)) };
    let keyframe = match format.codec.kind() {
        id::Kind::Audio => KeyFrameAsk::Never,
        id::Kind::Video if format.has("nack pli") => KeyFrameAsk::Pli,
        id::Kind::Video if format.has("ccm fir") => KeyFrameAsk::Fir,
        id::Kind::Video => return bad(format!("m-line {} takes neither `nack pli` nor `ccm fir`", line.mid)),
    };
    Ok(Publishing {
        source: intent.source,
        mid: line.mid.clone(),
        muted: intent.muted,
        codec: format.name.to_owned(),
        clock_hz: format.clock_hz,
        payload_types: formats.iter().map(Format::payload_type).collect(),
        encodings,
        nack: format.has("nack"),
        keyframe,
    })
}

/// The encodings of a sending line, from the smallest: by rid, by a SIM group, or one.
fn encodings(line: &MediaLine) -> Vec<Encoding> {
    let repairs = |ssrc: u32| {
        let pair = line.groups.iter().find(|g| g.semantics == "FID" && g.ssrcs.first() == Some(&ssrc));
        pair.and_then(|g| g.ssrcs.get(1)).copied().map(Ssrc)
    };
    let mut rids: Vec<&str> = line.rids.iter().filter(|rid| rid.send).map(|rid| rid.id.as_str()).collect();
    if !rids.is_empty() {
        let all = rids.clone();
        rids.sort_by_key(|rid| usual_place(rid, &all));
        let encoding = |(n, rid): (usize, &&str)| Encoding {
            spatial: n as u8,
            rid: Some((*rid).to_owned()),
            ssrc: None,
            rtx_ssrc: None,
        };
        return rids.iter().enumerate().map(encoding).collect();
    }
    let simulcast = line.groups.iter().find(|g| g.semantics == "SIM").map(|g| g.ssrcs.clone());
    let grouped = line.groups.iter().find(|g| g.semantics == "FID").and_then(|g| g.ssrcs.first());
    let first = grouped.copied().or_else(|| line.ssrcs.first().map(|s| s.ssrc));
    let ssrcs = simulcast.unwrap_or_else(|| first.into_iter().collect());
    if ssrcs.is_empty() {
        return vec![Encoding::default()];
    }
    let encoding = |(n, ssrc): (usize, &u32)| Encoding {
        spatial: n as u8,
        rid: None,
        ssrc: Some(Ssrc(*ssrc)),
        rtx_ssrc: repairs(*ssrc),
    };
    ssrcs.iter().enumerate().map(encoding).collect()
}

/// Where a rid of the usual names stands among its like: quarter < half < full, or low < medium < high. Others keep
/// the offer's order. What is measured later has the last word.
fn usual_place(rid: &str, all: &[&str]) -> usize {
    let quarters = all.contains(&"q") || all.contains(&"f");
    match rid {
        "h" if !quarters => 2,
        "h" | "m" | "mid" => 1,
        "f" | "hi" | "high" => 2,
        _ => 0,
    }
}

/// Ids of the extensions the edge understands, over all lines: the first line that names one decides (RFC 8843 §9.2).
fn extensions_of(offer: &Offer) -> ext::Map {
    let mut map = ext::Map::new();
    let lines = || offer.lines.iter().filter(|line| !line.rejected);
    for kind in EXTENSIONS {
        // Its structure needs the two-byte form (RFC 8285 §4.3).
        if kind == Kind::DependencyDescriptor && !offer.extmap_allow_mixed {
            continue;
        }
        if let Some(extension) = lines().flat_map(|line| &line.extensions).find(|e| Kind::of_uri(&e.uri) == Some(kind))
        {
            map.set(extension.id, kind);
        }
    }
    map
}

/// Extensions of one line that are accepted: those we understand, under the id the whole bundle uses.
fn accepted_extensions(line: &MediaLine, chosen: &ext::Map) -> Vec<u8> {
    let fits = |e: &&Extension| chosen.kind(e.id).is_some() && chosen.kind(e.id) == Kind::of_uri(&e.uri);
    line.extensions.iter().filter(fits).map(|e| e.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::Seed;
    use lyceum_session::Fingerprint;
    use lyceum_session::sdp::{Candidate, Origin};

    /// What real engines offered.
    const CHROMIUM: &str = include_str!("../../../../session/tests/golden/chromium-156-class-all-extensions.sdp");
    const FIREFOX: &str = include_str!("../../../../session/tests/golden/firefox-153-class.sdp");
    const GSTREAMER: &str = include_str!("../../../../session/tests/golden/gstreamer-whip.sdp");
    const OBS: &str = include_str!("../../../../session/tests/golden/obs-whip.sdp");

    fn transport(draw: &mut Draw) -> Transport {
        Transport {
            origin: Origin { id: 1, version: 1 },
            ice: draw.credentials(0),
            fingerprint: Fingerprint([7; 32]),
            candidates: vec![Candidate::host("203.0.113.1:5000".parse().unwrap(), 1)],
        }
    }

    /// Every sending line publishes, every line that only receives is a slot.
    fn answered(sdp: &str, memory: &mut Memory) -> Result<Plan, Refused> {
        let offer = Offer::parse(sdp).unwrap();
        let mut sounds = [Source::Microphone, Source::ScreenAudio].into_iter();
        let mut pictures = [Source::Camera, Source::Screen].into_iter();
        let (mut publish, mut slots) = (Vec::new(), Vec::new());
        for line in offer.lines.iter().filter(|line| !line.rejected) {
            let mid = line.mid.clone();
            match (line.kind, line.direction.sends()) {
                (LineKind::Audio, true) => {
                    publish.push(PublishLine { mid, source: sounds.next().unwrap(), muted: false });
                }
                (LineKind::Video, true) => {
                    publish.push(PublishLine { mid, source: pictures.next().unwrap(), muted: false });
                }
                (LineKind::Audio, false) => slots.push(SlotLine { mid, kind: SlotKind::Audio }),
                (LineKind::Video, false) => slots.push(SlotLine { mid, kind: SlotKind::Video }),
                _ => {}
            }
        }
        let mut draw = Draw::new(Seed([3; 32]));
        let transport = transport(&mut draw);
        let intents = Intents { publish: &publish, slots: &slots };
        negotiate(&offer, intents, &Grants::participant(), transport, memory, &mut draw)
    }

    #[test]
    fn what_browsers_and_gstreamer_offer_is_answered_with_what_the_edge_speaks() {
        for sdp in [CHROMIUM, FIREFOX, GSTREAMER] {
            let plan = answered(sdp, &mut Memory::default()).unwrap();
            let answer = Answer::parse(&plan.answer.write()).unwrap();
            let offer = Offer::parse(sdp).unwrap();
            assert_eq!(answer.lines.len(), offer.lines.len());
            for (line, offered) in answer.lines.iter().zip(&offer.lines) {
                assert_eq!((&line.mid, line.kind), (&offered.mid, offered.kind));
                let names: Vec<String> = line.codecs.iter().map(|c| c.name.to_lowercase()).collect();
                match line.kind {
                    LineKind::Audio => assert_eq!(names[0], "opus"),
                    LineKind::Video if line.direction.sends() => {
                        let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
                        let offered = |name: &str| offered.codecs.iter().any(|c| c.is(name));
                        for name in PICTURES.into_iter().filter(|name| offered(name)) {
                            assert!(all.contains(name.to_lowercase().as_str()), "a slot takes {name}: {names:?}");
                        }
                    }
                    // A camera is of one codec: the one its browser wants most.
                    LineKind::Video => {
                        assert_eq!(names[0], "vp8");
                        assert!(names.iter().all(|name| ["vp8", "rtx"].contains(&name.as_str())), "{names:?}");
                    }
                    _ => assert!(!line.rejected, "data channels are taken"),
                }
                assert!(line.extensions.iter().all(|e| Kind::of_uri(&e.uri).is_some()));
                if line.kind != LineKind::Data && line.direction.sends() {
                    assert!(line.msid.is_some() && !line.ssrcs.is_empty(), "a slot says what it sends");
                }
            }
            assert!(plan.extensions.id(Kind::TransportSequence).is_some());
            assert!(!plan.publishing.is_empty());
        }
    }

    #[test]
    fn chromiums_simulcast_is_taken_from_the_smallest() {
        let plan = answered(CHROMIUM, &mut Memory::default()).unwrap();
        let camera = plan.publishing.iter().find(|p| p.source == Source::Camera).unwrap();
        let rids: Vec<_> = camera.encodings.iter().map(|e| (e.spatial, e.rid.as_deref().unwrap())).collect();
        assert_eq!(rids, [(0, "l"), (1, "m"), (2, "h")]);
        assert_eq!((camera.keyframe, camera.nack), (KeyFrameAsk::Pli, true));
        let microphone = plan.publishing.iter().find(|p| p.source == Source::Microphone).unwrap();
        assert_eq!(microphone.encodings[0].ssrc, Some(Ssrc(409_550_976)));
        for (kind, id) in [(Kind::AudioLevel, 1), (Kind::TransportSequence, 3), (Kind::Mid, 4), (Kind::Rid, 10)] {
            assert_eq!(plan.extensions.id(kind), Some(id));
        }
        let ssrcs: BTreeSet<u32> =
            plan.slots.iter().flat_map(|s| [Some(s.ssrc), s.rtx_ssrc]).flatten().map(|ssrc| ssrc.0).collect();
        let videos = plan.slots.iter().filter(|s| s.kind == SlotKind::Video).count();
        assert_eq!(ssrcs.len(), plan.slots.len() + videos, "no two alike");
        assert!(!ssrcs.contains(&409_550_976), "nor like one of the client's");
    }

    #[test]
    fn a_slot_keeps_its_sources_in_later_answers() {
        let mut memory = Memory::default();
        let first = answered(CHROMIUM, &mut memory).unwrap();
        let second = answered(CHROMIUM, &mut memory).unwrap();
        assert_eq!(first.slots, second.slots);
    }

    #[test]
    fn obs_publishes_h264() {
        let plan = answered(OBS, &mut Memory::default()).unwrap();
        assert_eq!(plan.publishing.iter().map(|p| p.codec.as_str()).collect::<Vec<_>>(), ["opus", "H264"]);
    }

    #[test]
    fn a_publisher_without_a_known_codec_is_told_so() {
        let refused = answered(&OBS.replace("H264/", "H265/"), &mut Memory::default()).unwrap_err();
        assert_eq!(refused.code, Refusal::BadOffer);
        assert!(refused.message.ends_with("or AV1; it offers H265"), "{}", refused.message);
    }

    #[test]
    fn only_variants_that_all_decode_are_taken() {
        let table = [
            (Codec::Vp8, "", Some(0)),
            (Codec::Vp9, "", Some(0)),
            (Codec::Vp9, "profile-id=0", Some(0)),
            (Codec::Vp9, "profile-id=2", None),
            (Codec::Av1, "level-idx=5;profile=0;tier=0", Some(0)),
            (Codec::Av1, "level-idx=5;profile=1;tier=0", None),
            (Codec::H264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", Some(0)),
            (Codec::H264, "packetization-mode=1; profile-level-id=42C02A", Some(0)),
            (Codec::H264, "packetization-mode=1;profile-level-id=42001f", Some(1)),
            (Codec::H264, "packetization-mode=0;profile-level-id=42e01f", None),
            (Codec::H264, "profile-level-id=42e01f", None),
            (Codec::H264, "packetization-mode=1;profile-level-id=640c1f", None),
            (Codec::H264, "packetization-mode=1;profile-level-id=nonsense", None),
            (Codec::Red, "111/111", Some(0)),
            (Codec::Red, "111/0", None),
            (Codec::Red, "", None),
        ];
        for (codec, fmtp, rank) in table {
            assert_eq!(variant(codec, fmtp, Some(111)), rank, "{codec:?} {fmtp}");
        }
        assert_eq!(variant(Codec::Red, "111/111", None), None, "copies of nothing");
    }

    #[test]
    fn chromium_gets_layers_copies_and_every_codec_in_its_slots() {
        let plan = answered(CHROMIUM, &mut Memory::default()).unwrap();
        // Above 14: an id of the two-byte form, which Chromium hands out when it offers many extensions.
        assert_eq!(plan.extensions.id(Kind::DependencyDescriptor), Some(17));
        let codecs = |kind| {
            let slot = plan.slots.iter().find(|slot| slot.kind == kind).unwrap();
            slot.codecs.iter().map(|c| (c.codec, c.pt, c.rtx_pt)).collect::<Vec<_>>()
        };
        // 108 is constrained baseline, 102, which stands before it, baseline.
        assert_eq!(
            codecs(SlotKind::Video),
            [
                (Codec::Vp8, 96, Some(97)),
                (Codec::Vp9, 98, Some(99)),
                (Codec::H264, 108, Some(109)),
                (Codec::Av1, 45, Some(46))
            ]
        );
        assert_eq!(codecs(SlotKind::Audio), [(Codec::Opus, 111, None), (Codec::Red, 63, None)]);
        let microphone = plan.publishing.iter().find(|p| p.source == Source::Microphone).unwrap();
        assert_eq!(microphone.codec, "opus");
        assert_eq!(microphone.payload_types.iter().map(|p| p.codec).collect::<Vec<_>>(), [Codec::Opus, Codec::Red]);
        let old = answered(&CHROMIUM.replace("a=extmap-allow-mixed\r\n", ""), &mut Memory::default()).unwrap();
        assert_eq!(old.extensions.id(Kind::DependencyDescriptor), None, "its structure could not be sent");
    }

    #[test]
    fn usual_names_of_layers_are_understood() {
        let table: [(&[&str], [&str; 3]); 5] = [
            (&["q", "h", "f"], ["q", "h", "f"]),
            (&["f", "h", "q"], ["q", "h", "f"]),
            (&["h", "m", "l"], ["l", "m", "h"]),
            (&["hi", "mid", "lo"], ["lo", "mid", "hi"]),
            (&["1", "2", "3"], ["1", "2", "3"]),
        ];
        for (offered, expected) in table {
            let mut rids = offered.to_vec();
            rids.sort_by_key(|rid| usual_place(rid, offered));
            assert_eq!(rids, expected);
        }
    }
}
