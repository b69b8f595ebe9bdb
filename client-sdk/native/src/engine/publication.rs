//! One own track: frames of a file, sent when they are due.

use crate::media_file::{FileFrame, MediaFile};
use lyceum_wire::id::{Kind, Source};
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::codec::vp8::Vp8Payloader;
use rtc::rtp::extension::HeaderExtension;
use rtc::rtp::extension::audio_level_extension::AudioLevelExtension;
use rtc::rtp::packetizer::Payloader;
use rtc::rtp::{Header, Packet};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::{TrackLocal, TrackLocalEvent};

/// Largest RTP payload, in bytes: with header, extensions and SRTP tag it stays below 1,280 (IPv6's smallest MTU) less IP and UDP.
const PAYLOAD_BYTES_MAX: usize = 1_150;
/// A file's sound is said to be this loud, in −dBov: a voice at normal distance. What is in a packet is not decoded.
const VOICE_LEVEL: u8 = 30;
/// Opus packets up to this long are silence (discontinuous transmission sends at most 2 bytes).
const SILENCE_BYTES_MAX: usize = 3;
/// No payload type negotiated yet.
const NONE: u32 = u32::MAX;

/// One own track.
pub(crate) struct LocalTrack {
    source: Source,
    ssrc: u32,
    clock_hz: u32,
    rtp: Arc<TrackLocalStaticRTP>,
    payload_type: AtomicU32,
    muted: AtomicBool,
    watched: AtomicBool,
    stopped: AtomicBool,
    key_frame_asked: AtomicBool,
    pub(crate) packets: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) frames: AtomicU64,
    pub(crate) key_frame_requests: AtomicU64,
}

impl LocalTrack {
    pub(super) fn new(source: Source, codec: RTCRtpCodec) -> Self {
        let (kind, rtx) = match source.kind() {
            Kind::Audio => (RtpCodecKind::Audio, None),
            Kind::Video => (RtpCodecKind::Video, Some(RTCRtpRtxParameters { ssrc: rand::random() })),
        };
        let (ssrc, clock_hz) = (rand::random(), codec.clock_rate);
        let coding = RTCRtpCodingParameters { ssrc: Some(ssrc), rtx, ..RTCRtpCodingParameters::default() };
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: coding,
            active: true,
            codec,
            ..RTCRtpEncodingParameters::default()
        };
        let name = format!("{source:?}").to_lowercase();
        let track = MediaStreamTrack::new("lyceum".to_owned(), name.clone(), name, kind, vec![encoding]);
        Self {
            source,
            ssrc,
            clock_hz,
            rtp: Arc::new(TrackLocalStaticRTP::new(track)),
            payload_type: AtomicU32::new(NONE),
            muted: AtomicBool::new(false),
            watched: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            key_frame_asked: AtomicBool::new(false),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            frames: AtomicU64::new(0),
            key_frame_requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn rtp(&self) -> Arc<dyn TrackLocal> {
        self.rtp.clone()
    }

    pub(super) fn negotiated(&self, payload_type: Option<u8>) {
        self.payload_type.store(payload_type.map_or(NONE, u32::from), Relaxed);
    }

    pub(crate) fn muted(&self) -> bool {
        self.muted.load(Relaxed)
    }

    pub(crate) fn mute(&self, muted: bool) {
        self.muted.store(muted, Relaxed);
    }

    /// Whether anybody watches it, from the edge's `demand`.
    pub(crate) fn watch(&self, watched: bool) {
        self.watched.store(watched, Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Plays a file into the track until it is stopped, or the file ends when it is not repeated.
    pub(crate) async fn play(self: Arc<Self>, file: MediaFile, repeat: bool) {
        let requests = tokio::spawn(self.clone().hear_requests());
        let mut sending = Sending::new();
        let begin = Instant::now();
        // Media time that has been played, or jumped over; real time runs with it.
        let mut round = Duration::ZERO;
        loop {
            let mut i = 0;
            let mut jumped = Duration::ZERO;
            while let Some(frame) = file.frames.get(i) {
                let due = round + frame.at - jumped;
                tokio::time::sleep_until(begin + due).await;
                if self.stopped.load(Relaxed) {
                    requests.abort();
                    return;
                }
                if self.key_frame_asked.swap(false, Relaxed)
                    && let Some(key) = file.frames.iter().skip(i).position(|frame| frame.key_frame)
                {
                    // A file cannot make a key frame: it jumps to its next one.
                    let to = file.frames.get(i + key).map_or(frame.at, |key| key.at);
                    jumped += to - frame.at;
                    i += key;
                }
                if let Some(frame) = file.frames.get(i)
                    && sending.passes(&self, frame)
                {
                    self.send(&mut sending, frame, due).await;
                }
                i += 1;
            }
            round += file.duration - jumped;
            if !repeat {
                requests.abort();
                return;
            }
        }
    }

    async fn send(&self, sending: &mut Sending, frame: &FileFrame, due: Duration) {
        let Ok(payload_type) = u8::try_from(self.payload_type.load(Relaxed)) else { return };
        let payloads = match self.source.kind() {
            Kind::Audio => vec![frame.data.clone()],
            Kind::Video => sending.vp8.payload(PAYLOAD_BYTES_MAX, &frame.data).unwrap_or_default(),
        };
        let ticks = (due.as_secs_f64() * f64::from(self.clock_hz)) as u64;
        let timestamp = sending.timestamp.wrapping_add(ticks as u32);
        let last = payloads.len().saturating_sub(1);
        for (i, payload) in payloads.into_iter().enumerate() {
            sending.sequence = sending.sequence.wrapping_add(1);
            let header = Header {
                version: 2,
                marker: i == last && self.source.kind() == Kind::Video,
                payload_type,
                sequence_number: sending.sequence,
                timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            };
            self.packets.fetch_add(1, Relaxed);
            self.bytes.fetch_add(payload.len() as u64, Relaxed);
            if let Err(error) = self.write(Packet { header, payload }).await {
                tracing::trace!(%error, "a packet was not sent");
                return;
            }
        }
        self.frames.fetch_add(1, Relaxed);
    }

    async fn write(&self, packet: Packet) -> webrtc::error::Result<()> {
        if self.source.kind() == Kind::Video {
            return self.rtp.write_rtp(packet).await;
        }
        let voice = packet.payload.len() > SILENCE_BYTES_MAX;
        let level = AudioLevelExtension { level: if voice { VOICE_LEVEL } else { 127 }, voice };
        self.rtp.write_rtp_with_extensions(packet, &[HeaderExtension::AudioLevel(level)]).await
    }

    /// Key frames that subscribers ask for.
    async fn hear_requests(self: Arc<Self>) {
        // Until it is bound by the first answer the track has nothing to tell.
        while !self.stopped.load(Relaxed) {
            match self.rtp.poll().await {
                Some(TrackLocalEvent::OnRtcpPacket(_)) => {
                    self.key_frame_requests.fetch_add(1, Relaxed);
                    self.key_frame_asked.store(true, Relaxed);
                }
                Some(_) => {}
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

/// Where the stream stands.
struct Sending {
    sequence: u16,
    timestamp: u32,
    vp8: Vp8Payloader,
    /// Something was left out: only a key frame goes on.
    broken: bool,
}

impl Sending {
    fn new() -> Self {
        let mut vp8 = Vp8Payloader::default();
        vp8.enable_picture_id = true;
        // A first number in the lower half: the receivers' replay windows begin without a wrap (RFC 3711 §3.3.1).
        Self { sequence: rand::random::<u16>() >> 1, timestamp: rand::random(), vp8, broken: true }
    }

    /// Whether a frame is sent now. What nobody may see or watches is left out, and begins again with a key frame.
    fn passes(&mut self, track: &LocalTrack, frame: &FileFrame) -> bool {
        let negotiated = track.payload_type.load(Relaxed) != NONE;
        if track.muted() || !track.watched.load(Relaxed) || !negotiated {
            self.broken = true;
            return false;
        }
        if self.broken && !frame.key_frame {
            return false;
        }
        self.broken = false;
        true
    }
}
