//! One receiving slot: packets to frames, frames to whoever wants them, key frames asked for when a picture broke.

use super::Shared;
use crate::frames::{Assembler, Frame, Packet};
use crate::media_file::Codec;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};

/// Key frames are asked for this seldom; the edge merges requests anyway.
const REQUEST_EVERY: Duration = Duration::from_millis(500);
/// Without packets the time is told this often, so that a hole is given up.
const TICK: Duration = Duration::from_millis(100);

/// Receives until the track ends.
pub(super) async fn receive(track: Arc<dyn TrackRemote>, shared: Arc<Shared>) {
    let codec = if track.kind().await == RtpCodecKind::Audio { Codec::Opus } else { Codec::Vp8 };
    let Some(ssrc) = track.ssrcs().await.first().copied() else { return };
    let Some(mid) = shared.looked().mids.get(&ssrc).cloned() else {
        tracing::warn!(ssrc, "a stream came that the answer does not name");
        return;
    };
    let mut assembler = Assembler::new(codec);
    let mut requested: Option<Instant> = None;
    loop {
        match tokio::time::timeout(TICK, track.poll()).await {
            Ok(Some(TrackRemoteEvent::OnRtpPacket(packet))) => {
                let header = packet.header;
                let packet = Packet {
                    sequence: header.sequence_number,
                    timestamp: header.timestamp,
                    marker: header.marker,
                    csrc: header.csrc.first().copied(),
                    payload: packet.payload,
                };
                assembler.handle(packet, Instant::now());
            }
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(_) => assembler.handle_time(Instant::now()),
        }
        while let Some(whole) = assembler.poll() {
            let frame = {
                let looked = shared.looked();
                let assigned = looked.assigned.get(&mid);
                // At the moment of a switch the CSRC is newer or older than the assignment.
                let publisher = whole.csrc.and_then(|csrc| looked.publishers.get(&csrc));
                let agrees = |track: &&lyceum_wire::id::TrackName| publisher.is_none_or(|p| *p == track.participant);
                Frame {
                    mid: mid.clone(),
                    track: assigned.filter(agrees).cloned(),
                    codec,
                    timestamp: whole.timestamp,
                    key_frame: whole.key_frame,
                    size: whole.size,
                    csrc: whole.csrc,
                    data: whole.data,
                }
            };
            if let Some(on_frame) = &shared.on_frame {
                on_frame(&frame);
            }
        }
        shared.looked().received.insert(mid.clone(), assembler.received());
        let due = requested.is_none_or(|at| at.elapsed() >= REQUEST_EVERY);
        if assembler.wants_key_frame() && due {
            requested = Some(Instant::now());
            shared.looked().key_frame_requests += 1;
            let request = PictureLossIndication { sender_ssrc: 0, media_ssrc: ssrc };
            if track.write_rtcp(vec![Box::new(request)]).await.is_err() {
                return;
            }
        }
    }
}
