//! The media engine: one peer connection of the `webrtc` crate, its slots and its publications.
//!
//! The client offers. Which track a received stream belongs to is read from the answer: every slot has its SSRC there.

mod keyframe;
mod publication;
mod slot;

pub(crate) use publication::LocalTrack;

use crate::frames::Received;
use crate::media_file::Codec;
use crate::options::{OnFrame, Slots};
use crate::{Error, media_file::MediaFile};
use lyceum_wire::api::IceServer;
use lyceum_wire::id::{Kind, ParticipantId, Source, TrackName};
use lyceum_wire::signal::{PublishLine, SlotKind, SlotLine};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sdp::extmap::AUDIO_LEVEL_URI;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::TrackRemote;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceServer, RTCIceTransportPolicy, RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    SrtpProtectionProfile, configure_nack, configure_rtcp_reports, configure_simulcast_extension_headers,
    configure_twcc,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RtpTransceiver};

/// Payload types offered; the answer keeps them.
const OPUS: u8 = 111;
const VP8: u8 = 96;
const VP8_RTX: u8 = 97;
/// States that wait for the session to read them.
const STATES_MAX: usize = 64;

/// A peer connection.
pub(crate) struct Engine {
    pc: Arc<dyn PeerConnection>,
    lines: Vec<Line>,
    shared: Arc<Shared>,
}

/// One m-line.
struct Line {
    transceiver: Arc<dyn RtpTransceiver>,
    what: What,
}

enum What {
    Slot(SlotKind),
    Publication(Arc<LocalTrack>),
    /// Was a publication.
    Idle,
}

/// What the engine's tasks and the session both look at.
#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<Looked>,
    on_frame: Option<OnFrame>,
}

/// What is known of the slots.
#[derive(Default)]
pub(crate) struct Looked {
    /// Which slot a stream belongs to, by SSRC; from the answer.
    mids: BTreeMap<u32, String>,
    /// What each slot carries, from `slots`.
    pub(crate) assigned: BTreeMap<String, TrackName>,
    /// Participants by CSRC.
    pub(crate) publishers: BTreeMap<u32, ParticipantId>,
    /// What came, by slot.
    pub(crate) received: BTreeMap<String, Received>,
    /// Key frames asked for.
    pub(crate) key_frame_requests: u64,
}

impl Shared {
    pub(crate) fn looked(&self) -> MutexGuard<'_, Looked> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How media are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaState {
    /// Not yet.
    Connecting,
    /// Packets can flow.
    Connected,
    /// Nothing comes from the edge at the moment.
    Interrupted,
    /// Given up.
    Failed,
}

/// What an offer says.
pub(crate) struct Offered {
    pub(crate) sdp: String,
    pub(crate) publish: Vec<PublishLine>,
    pub(crate) slots: Vec<SlotLine>,
}

struct Handler {
    states: mpsc::Sender<MediaState>,
    shared: Arc<Shared>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => MediaState::Connected,
            RTCPeerConnectionState::Disconnected => MediaState::Interrupted,
            RTCPeerConnectionState::Failed => MediaState::Failed,
            _ => return,
        };
        // Only the newest matters; a session that reads none of 64 has ended.
        let _ = self.states.try_send(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        // At once: the engine drops packets that nobody reads.
        tokio::spawn(slot::receive(track, self.shared.clone()));
    }
}

/// How to make an engine.
pub(crate) struct Plan<'a> {
    pub(crate) ice_servers: &'a [IceServer],
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) relay_only: bool,
    pub(crate) slots: Slots,
    pub(crate) on_frame: Option<OnFrame>,
}

impl Engine {
    /// A peer connection with its slots; [`Engine::offer`] comes next.
    pub(crate) async fn new(plan: Plan<'_>) -> Result<(Self, mpsc::Receiver<MediaState>), Error> {
        let mut media = media_engine()?;
        let registry = configure_nack(Registry::new(), &mut media);
        configure_simulcast_extension_headers(&mut media)?;
        let registry = configure_rtcp_reports(configure_twcc(registry, &mut media)?);
        let registry = registry.with(keyframe::POSITION.into(), keyframe::KeyFrameRequests::default());
        let loopback = plan.bind.iter().all(|address| address.ip().is_loopback());
        // By the server's order in any case; ours says the same.
        let profiles = vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ];
        let settings = SettingEngineBuilder::new()
            .with_srtp_protection_profiles(profiles)
            .with_include_loopback_candidate(loopback)
            .build();
        let servers = plan.ice_servers.iter().map(|server| RTCIceServer {
            urls: server.urls.clone(),
            username: server.username.clone().unwrap_or_default(),
            credential: server.credential.clone().unwrap_or_default(),
        });
        let policy = if plan.relay_only { RTCIceTransportPolicy::Relay } else { RTCIceTransportPolicy::All };
        let configuration = RTCConfigurationBuilder::new()
            .with_ice_servers(servers.collect())
            .with_ice_transport_policy(policy)
            .build();
        let (states, states_rx) = mpsc::channel(STATES_MAX);
        let shared = Arc::new(Shared { on_frame: plan.on_frame, ..Shared::default() });
        let pc = PeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler { states, shared: shared.clone() }))
            .with_udp_addrs(plan.bind)
            .build()
            .await?;
        let mut engine = Self { pc: Arc::new(pc), lines: Vec::new(), shared };
        let Slots { audio, video, screen } = plan.slots;
        for (kind, count) in [(SlotKind::Audio, audio), (SlotKind::Video, video), (SlotKind::Screen, screen)] {
            for _ in 0..count {
                engine.add_slot(kind).await?;
            }
        }
        Ok((engine, states_rx))
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    async fn add_slot(&mut self, kind: SlotKind) -> Result<(), Error> {
        let codec_kind = if kind == SlotKind::Audio { RtpCodecKind::Audio } else { RtpCodecKind::Video };
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let transceiver = self.pc.add_transceiver_from_kind(codec_kind, Some(init)).await?;
        self.lines.push(Line { transceiver, what: What::Slot(kind) });
        Ok(())
    }

    /// Adds a sending line. Nothing is sent before the next offer is answered.
    pub(crate) async fn publish(&mut self, source: Source, file: &MediaFile) -> Result<Arc<LocalTrack>, Error> {
        let fits = match file.codec {
            Codec::Opus => source.kind() == Kind::Audio,
            Codec::Vp8 => source.kind() == Kind::Video,
        };
        if !fits {
            return Err(Error::Option(format!("{source:?} cannot be published from a file of {:?}", file.codec)));
        }
        let there = |line: &Line| matches!(&line.what, What::Publication(track) if track.source() == source);
        if self.lines.iter().any(there) {
            return Err(Error::Option(format!("{source:?} is published already")));
        }
        let codec = if file.codec == Codec::Opus { opus() } else { vp8() };
        let track = Arc::new(LocalTrack::new(source, codec));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let transceiver = self.pc.add_transceiver_from_track(track.rtp(), Some(init)).await?;
        self.lines.push(Line { transceiver, what: What::Publication(track.clone()) });
        Ok(track)
    }

    /// Ends a publication; the next offer says so.
    pub(crate) async fn unpublish(&mut self, source: Source) -> Result<(), Error> {
        for line in &mut self.lines {
            if let What::Publication(track) = &line.what
                && track.source() == source
            {
                track.stop();
                line.what = What::Idle;
                line.transceiver.set_direction(RTCRtpTransceiverDirection::Inactive).await?;
            }
        }
        Ok(())
    }

    /// Makes an offer and takes it as the local description.
    pub(crate) async fn offer(&mut self, restart_ice: bool) -> Result<Offered, Error> {
        if restart_ice {
            self.pc.restart_ice().await?;
        }
        let offer = self.pc.create_offer(None).await?;
        let sdp = offer.sdp.clone();
        self.pc.set_local_description(offer).await?;
        let (mut publish, mut slots) = (Vec::new(), Vec::new());
        for line in &self.lines {
            let mid = line.transceiver.mid().await?.ok_or_else(|| Error::Engine("an m-line has no mid".into()))?;
            match &line.what {
                What::Slot(kind) => slots.push(SlotLine { mid, kind: *kind }),
                What::Publication(track) => {
                    publish.push(PublishLine { mid, source: track.source(), muted: track.muted() })
                }
                What::Idle => {}
            }
        }
        Ok(Offered { sdp, publish, slots })
    }

    /// Takes the answer; publications begin to flow.
    pub(crate) async fn answer(&mut self, sdp: String) -> Result<(), Error> {
        self.shared.looked().mids.extend(ssrcs(&sdp));
        self.pc.set_remote_description(RTCSessionDescription::answer(sdp)?).await?;
        for line in &self.lines {
            if let What::Publication(track) = &line.what
                && let Some(sender) = line.transceiver.sender().await?
            {
                let codecs = sender.get_parameters().await?.rtp_parameters.codecs;
                track.negotiated(codecs.first().map(|codec| codec.payload_type));
            }
        }
        Ok(())
    }

    /// The offer was refused: everything is as before it.
    pub(crate) async fn refused(&mut self, new: &[Source]) -> Result<(), Error> {
        self.pc.set_local_description(RTCSessionDescription::rollback(None)?).await?;
        for source in new {
            self.unpublish(*source).await?;
        }
        Ok(())
    }

    /// Own sources.
    pub(crate) fn publications(&self) -> BTreeSet<Source> {
        self.tracks().map(|track| track.source()).collect()
    }

    /// Own tracks.
    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Arc<LocalTrack>> {
        self.lines.iter().filter_map(|line| match &line.what {
            What::Publication(track) => Some(track),
            _ => None,
        })
    }

    /// Ends everything.
    pub(crate) async fn close(&self) {
        for track in self.tracks() {
            track.stop();
        }
        if let Err(error) = self.pc.close().await {
            tracing::debug!(%error, "closing the peer connection");
        }
    }
}

fn media_engine() -> Result<MediaEngine, Error> {
    let mut media = MediaEngine::default();
    let with = |codec: RTCRtpCodec, payload_type: u8| RTCRtpCodecParameters { rtp_codec: codec, payload_type };
    let rtx = RTCRtpCodec {
        mime_type: "video/rtx".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: format!("apt={VP8}"),
        rtcp_feedback: Vec::new(),
    };
    media.register_codec(with(opus(), OPUS), RtpCodecKind::Audio)?;
    media.register_codec(with(vp8(), VP8), RtpCodecKind::Video)?;
    media.register_codec(with(rtx, VP8_RTX), RtpCodecKind::Video)?;
    let level = RTCRtpHeaderExtensionCapability { uri: AUDIO_LEVEL_URI.to_owned() };
    media.register_header_extension(level, RtpCodecKind::Audio, None)?;
    Ok(media)
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".into(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".into(),
        rtcp_feedback: Vec::new(),
    }
}

fn vp8() -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.into(), parameter: parameter.into() };
    RTCRtpCodec {
        mime_type: "video/VP8".into(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: String::new(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
    }
}

/// The mid of every SSRC in an SDP (RFC 5576, RFC 5888).
fn ssrcs(sdp: &str) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    for section in sdp.split("\nm=").skip(1) {
        let lines = || section.lines().map(str::trim);
        let Some(mid) = lines().find_map(|line| line.strip_prefix("a=mid:")) else { continue };
        let ssrc = |line: &str| line.strip_prefix("a=ssrc:")?.split_whitespace().next()?.parse().ok();
        found.extend(lines().filter_map(ssrc).map(|ssrc| (ssrc, mid.to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_which_stream_is_whose() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=ssrc:7 cname:x\r\nm=video 9 X 96\r\na=mid:v1\r\na=ssrc-group:FID 8 9\r\na=ssrc:8 cname:x\r\na=ssrc:9 cname:x\r\nm=video 0 X 96\r\na=inactive\r\n";
        let wanted = [(7, "0"), (8, "v1"), (9, "v1")].map(|(ssrc, mid)| (ssrc, mid.to_owned()));
        assert_eq!(ssrcs(sdp), BTreeMap::from(wanted));
    }
}
