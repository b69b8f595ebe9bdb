//! A small honest client: one session, SRTP both ways, and a memory of everything it heard.

use crate::turn::Relayed;
use lyceum_edge_core::door::{Secret, SocketId};
use lyceum_media::srtp;
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{Answer, Codec, Direction, Extension, LineKind, Offer, OfferLine, Origin};
use lyceum_session::{Config, Output, Pair, Remote, Session, SrtpKey, SrtpKeys, SrtpProfile};
use lyceum_wire::ext::{self, AudioLevel, Kind};
use lyceum_wire::id::Source;
use lyceum_wire::rtp;
use lyceum_wire::signal::{EdgeSays, PublishLine, SlotKind, SlotLine, ToClient};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Instant;

pub(crate) static CERTIFICATE: LazyLock<Config> = LazyLock::new(|| Config::new().unwrap());

pub(crate) const OPUS: u8 = 111;
pub(crate) const VP8: u8 = 96;
pub(crate) const VP8_RTX: u8 = 97;

pub(crate) fn extensions() -> [(u8, Kind); 5] {
    [(1, Kind::Mid), (2, Kind::AbsSendTime), (4, Kind::AudioLevel), (5, Kind::Rid), (6, Kind::RepairedRid)]
}

fn map() -> ext::Map {
    let mut map = ext::Map::new();
    extensions().into_iter().for_each(|(id, kind)| map.set(id, kind));
    map
}

/// One RTP packet as the client opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) mid: Option<String>,
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) csrcs: Vec<u32>,
    pub(crate) payload: Vec<u8>,
}

/// One line of the client's next offer.
#[derive(Debug, Clone)]
pub(crate) enum Line {
    Send { source: Source, rids: Vec<&'static str>, active: bool },
    Slot(SlotKind),
    Data,
}

pub(crate) fn sends(source: Source) -> Line {
    Line::Send { source, rids: Vec::new(), active: true }
}

pub(crate) fn simulcast(source: Source, rids: &[&'static str]) -> Line {
    Line::Send { source, rids: rids.to_vec(), active: true }
}

pub(crate) struct Client {
    pub(crate) name: String,
    /// The shard it is at.
    pub(crate) node: usize,
    pub(crate) address: SocketAddr,
    pub(crate) socket: Option<SocketId>,
    pub(crate) secret: Secret,
    /// Everything said to it, repeats of a resumed session included.
    pub(crate) heard: Vec<ToClient>,
    /// The socket was closed by the edge.
    pub(crate) closed: bool,
    pub(crate) seq: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) version: u64,
    pub(crate) ice: Credentials,
    pub(crate) session: Option<Session>,
    pub(crate) session_said: Vec<Output>,
    pub(crate) inbound: Option<srtp::Inbound>,
    pub(crate) outbound: Option<srtp::Outbound>,
    pub(crate) rtp: Vec<Heard>,
    pub(crate) rtcp: Vec<Vec<u8>>,
    /// Nothing comes and goes.
    pub(crate) cut_off: bool,
    pub(crate) outbox: Vec<(Pair, Vec<u8>)>,
    pub(crate) sequences: BTreeMap<u32, u16>,
    /// It reaches the edge only through its TURN server; `address` is the relayed one then.
    pub(crate) relayed: Option<Relayed>,
}

impl Client {
    pub(crate) fn new(name: &str, node: usize, number: u16) -> Self {
        Self {
            name: name.to_owned(),
            node,
            address: format!("198.51.100.{}:{}", number % 250 + 1, 40_000 + number).parse().unwrap(),
            socket: None,
            secret: Secret(String::new()),
            heard: Vec::new(),
            closed: false,
            seq: 0,
            lines: Vec::new(),
            version: 0,
            ice: credentials(number, 0),
            session: None,
            session_said: Vec::new(),
            inbound: None,
            outbound: None,
            rtp: Vec::new(),
            rtcp: Vec::new(),
            cut_off: false,
            outbox: Vec::new(),
            sequences: BTreeMap::new(),
            relayed: None,
        }
    }

    /// The offer of the present lines, and what they are for.
    pub(crate) fn offer(&mut self) -> (String, Vec<PublishLine>, Vec<SlotLine>) {
        self.version += 1;
        let (mut publish, mut slots) = (Vec::new(), Vec::new());
        for (n, line) in self.lines.iter().enumerate() {
            let mid = n.to_string();
            match line {
                Line::Send { source, active: true, .. } => {
                    publish.push(PublishLine { mid, source: *source, muted: false });
                }
                Line::Slot(kind) => slots.push(SlotLine { mid, kind: *kind }),
                Line::Send { .. } | Line::Data => {}
            }
        }
        let lines: Vec<OfferLine> = self.lines.iter().map(Line::offered).collect();
        let origin = Origin { id: 7, version: self.version };
        let offer = Offer::new(origin, self.ice.clone(), CERTIFICATE.fingerprint(), &lines);
        (offer.write(), publish, slots)
    }

    /// Takes an answer: starts the session, or restarts its ICE.
    pub(crate) fn take_answer(&mut self, text: &str, now: Instant) {
        let answer = Answer::parse(text).unwrap();
        let candidates: Vec<SocketAddr> = answer.candidates.iter().map(|c| c.address).collect();
        match &mut self.session {
            None => {
                let sctp = answer.lines.iter().filter(|l| !l.rejected).find_map(|l| l.sctp);
                let remote = Remote { ice: answer.ice.clone(), fingerprint: answer.fingerprint, sctp };
                let (ice, seed) = (self.ice.clone(), u64::from(self.address.port()));
                let session = Session::client(&CERTIFICATE, ice, remote, self.address, &candidates, seed, now);
                self.session = Some(session);
            }
            Some(session) => session.restart_ice(self.ice.clone(), answer.ice.clone(), now),
        }
    }

    /// A datagram from the edge.
    pub(crate) fn receive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &mut [u8], now: Instant) {
        match lyceum_wire::demux::Class::of(bytes) {
            Some(lyceum_wire::demux::Class::Rtp) => {
                let opened = self.inbound.as_mut().unwrap().unprotect(bytes).expect("a good tag");
                let packet = &bytes[..opened.len];
                let header = rtp::Header::parse(packet).unwrap();
                let known = map();
                let known = known.read(header.extensions(packet));
                self.rtp.push(Heard {
                    mid: known.mid.map(str::to_owned),
                    ssrc: header.ssrc,
                    payload_type: header.payload_type,
                    sequence: header.sequence,
                    csrcs: header.csrcs(packet).collect(),
                    payload: header.payload(packet).unwrap().to_vec(),
                });
            }
            Some(lyceum_wire::demux::Class::Rtcp) => {
                let plain = self.inbound.as_mut().unwrap().unprotect_rtcp(bytes).expect("a good tag");
                self.rtcp.push(plain.to_vec());
            }
            _ => {
                if let Some(session) = &mut self.session {
                    session.handle(from, to, bytes, now);
                }
            }
        }
    }

    /// Drains the session.
    pub(crate) fn settle(&mut self) {
        let Some(session) = &mut self.session else { return };
        while let Some(output) = session.poll() {
            match &output {
                Output::Transmit { pair, bytes } => self.outbox.push((*pair, bytes.to_vec())),
                Output::Connected { srtp: Some(SrtpKeys { profile, local, remote }) } => {
                    self.outbound = Some(srtp::Outbound::new(&keys(*profile, local)).unwrap());
                    self.inbound = Some(srtp::Inbound::new(&keys(*profile, remote)).unwrap());
                }
                _ => {}
            }
            if !matches!(output, Output::Transmit { .. }) {
                self.session_said.push(output);
            }
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.outbound.is_some()
    }

    /// One packet of a sending line.
    pub(crate) fn send_rtp(&mut self, line: usize, rid: Option<&str>, level: Option<AudioLevel>, frame: &Frame<'_>) {
        let video =
            matches!(&self.lines[line], Line::Send { source, .. } if source.kind() == lyceum_wire::id::Kind::Video);
        let ssrc = 0x1000 + line as u32 * 16 + rid.map_or(0, |rid| u32::from(rid.as_bytes()[0] & 15));
        let sequence = self.sequences.entry(ssrc).or_insert(65_530);
        let fields = rtp::Fields {
            marker: frame.end,
            payload_type: if video { VP8 } else { OPUS },
            sequence: *sequence,
            timestamp: frame.timestamp,
            ssrc,
        };
        *sequence = sequence.wrapping_add(1);
        let mut packet = vec![0; 128];
        let mut writer = rtp::Writer::start(&mut packet, fields, &[], ext::Form::OneByte).unwrap();
        writer.extension(1, line.to_string().as_bytes()).unwrap();
        if let Some(rid) = rid {
            writer.extension(5, rid.as_bytes()).unwrap();
        }
        if let Some(level) = level {
            writer.extension(4, &[level.to_byte()]).unwrap();
        }
        let len = writer.finish().unwrap();
        packet.truncate(len);
        packet.extend_from_slice(frame.payload);
        self.outbound.as_mut().expect("connected").protect(&mut packet).unwrap();
        let pair = self.session.as_ref().unwrap().selected().unwrap();
        self.outbox.push((pair, packet));
    }

    pub(crate) fn said(&self, pick: impl Fn(&EdgeSays) -> bool) -> usize {
        self.heard.iter().filter(|message| pick(&message.body)).count()
    }
}

/// What one packet carries.
pub(crate) struct Frame<'a> {
    pub(crate) timestamp: u32,
    pub(crate) end: bool,
    pub(crate) payload: &'a [u8],
}

/// A VP8 key frame that fits one packet, 15-bit picture ids.
pub(crate) fn vp8_key(picture: u16, width: u16, height: u16) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture >> 8) as u8, picture as u8];
    payload.extend_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a]);
    payload.extend_from_slice(&width.to_le_bytes());
    payload.extend_from_slice(&height.to_le_bytes());
    payload.extend_from_slice(&[0xaa; 100]);
    payload
}

/// A VP8 frame that refers to the one before.
pub(crate) fn vp8_delta(picture: u16) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture >> 8) as u8, picture as u8];
    payload.extend_from_slice(&[0x11, 0, 0]);
    payload.extend_from_slice(&[0xbb; 60]);
    payload
}

impl Line {
    fn offered(&self) -> OfferLine {
        let (kind, direction, rids) = match self {
            Self::Data => return OfferLine::Data,
            Self::Send { source, rids, active } => {
                let kind =
                    if source.kind() == lyceum_wire::id::Kind::Audio { LineKind::Audio } else { LineKind::Video };
                let direction = if *active { Direction::SendOnly } else { Direction::Inactive };
                (kind, direction, rids.iter().map(|rid| (*rid).to_owned()).collect())
            }
            Self::Slot(SlotKind::Audio) => (LineKind::Audio, Direction::RecvOnly, Vec::new()),
            Self::Slot(_) => (LineKind::Video, Direction::RecvOnly, Vec::new()),
        };
        let codec = |pt, name: &str, clock, channels, fmtp: &str, feedback: &[&str]| Codec {
            pt,
            name: name.into(),
            clock,
            channels,
            fmtp: fmtp.into(),
            feedback: feedback.iter().map(|f| (*f).into()).collect(),
        };
        let codecs = match kind {
            LineKind::Audio => vec![
                codec(OPUS, "opus", 48_000, 2, "minptime=10;useinbandfec=1", &["transport-cc"]),
                codec(0, "PCMU", 8_000, 1, "", &[]),
            ],
            _ => vec![
                codec(102, "H264", 90_000, 1, "profile-level-id=42e01f", &["nack"]),
                codec(VP8, "VP8", 90_000, 1, "", &["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"]),
                codec(VP8_RTX, "rtx", 90_000, 1, "apt=96", &[]),
            ],
        };
        let extensions =
            extensions().map(|(id, kind)| Extension { id, uri: kind.uri().into(), direction: None }).to_vec();
        OfferLine::Media { kind, direction, codecs, extensions, rids }
    }
}

pub(crate) fn credentials(number: u16, restart: u8) -> Credentials {
    let [high, low] = number.to_be_bytes();
    Credentials::from_random(std::array::from_fn(|n| high ^ low.wrapping_mul(7) ^ (n as u8 * 11) ^ restart))
}

fn keys(profile: SrtpProfile, key: &SrtpKey) -> srtp::Keys {
    let profile = match profile {
        SrtpProfile::AeadAes128Gcm => srtp::Profile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => srtp::Profile::AeadAes256Gcm,
        SrtpProfile::Aes128CmSha1_80 => srtp::Profile::Aes128CmSha1_80,
    };
    srtp::Keys { profile, key: key.key.clone(), salt: key.salt.clone() }
}
