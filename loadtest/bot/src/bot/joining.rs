//! How a bot comes in and what it may do: offer, answer, keys, and offers anew when a moderator changes its grants.

use super::measuring::Slot;
use super::{Bot, Output, Stage, next};
use crate::outgoing::{Outgoing, keys};
use crate::plan;
use crate::player::{Player, Spec};
use lyceum_media::uplink::{self, Encoding, KeyFrameAsk, PayloadType, Publication};
use lyceum_media::{Codec, Ssrc, TrackId};
use lyceum_session::sdp::{Answer, LineKind, MediaLine, Offer, Origin};
use lyceum_session::{Session, SrtpKeys};
use lyceum_wire::id::{ParticipantId, Source};
use lyceum_wire::signal::{ClientSays, PublishLine};
use lyceum_wire::token::Grants;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

impl Bot {
    pub(super) fn welcome(&mut self, participant: ParticipantId, grants: &Grants, resumed: bool) {
        self.me = Some(participant);
        self.welcomed = true;
        self.may.clone_from(&grants.publish);
        if resumed {
            let again = self.numbers.unseen().cloned().map(|message| Output::Say(Box::new(message)));
            self.outputs.extend(again.collect::<Vec<_>>());
            return;
        }
        let slots = self.config.plan.lines().slots;
        self.slots = slots.iter().map(|line| Slot::new(line.kind)).collect();
        self.mids = slots.iter().enumerate().map(|(index, line)| (line.mid.clone(), index)).collect();
        self.stage = Stage::Offering;
        self.offer();
    }

    /// Offers all lines; published are those that the grants allow.
    fn offer(&mut self) {
        self.version += 1;
        let lines = self.config.plan.lines();
        let origin = Origin { id: self.config.seed >> 1, version: self.version };
        let offer = Offer::new(origin, self.ice.clone(), self.session_config.fingerprint(), &lines.offer);
        let publish = self.allowed(lines.publish);
        self.say(ClientSays::Offer { sdp: offer.write(), publish, slots: lines.slots });
    }

    fn allowed(&self, lines: Vec<PublishLine>) -> Vec<PublishLine> {
        lines.into_iter().filter(|line| self.may.contains(&line.source)).collect()
    }

    /// A moderator changed what it may do: what is not allowed any more stops, what is begins with the next answer.
    pub(super) fn regranted(&mut self, grants: &Grants) {
        if self.may == grants.publish {
            return;
        }
        self.may.clone_from(&grants.publish);
        let kept = self.allowed(self.config.plan.lines().publish);
        self.players.retain(|player| kept.iter().any(|line| line.mid == player.spec().mid));
        if self.stage == Stage::Connected {
            self.offer();
        }
    }

    pub(super) fn answer(&mut self, sdp: &str, now: Instant) {
        if self.stage != Stage::Offering && self.stage != Stage::Connected {
            return;
        }
        let answer = match Answer::parse(sdp) {
            Ok(answer) => answer,
            Err(error) => return self.end(format!("the answer cannot be read: {error}")),
        };
        if self.stage == Stage::Connected {
            return self.publish(&answer, Some(now));
        }
        self.extensions = plan::agreed_extensions(&answer);
        self.receive(&answer, now);
        self.publish(&answer, None);
        let candidates: Vec<SocketAddr> = answer.candidates.iter().map(|candidate| candidate.address).collect();
        let mut session = Session::client(
            &self.session_config,
            self.ice.clone(),
            answer.remote(),
            self.config.local,
            &candidates,
            self.config.seed,
            now,
        );
        session.handle_timeout(now);
        self.session = Some(session);
        self.stage = Stage::Connecting;
    }

    /// Slots become publications of our own receiving side: the edge is the publisher.
    fn receive(&mut self, answer: &Answer, now: Instant) {
        let feedback_ssrc = Ssrc((self.config.seed as u32) | 1);
        self.uplink.configure(uplink::Config { extensions: self.extensions.clone(), feedback_ssrc });
        for (mid, &index) in &self.mids {
            let Some(line) = answer.line(mid).filter(|line| !line.rejected) else { continue };
            self.uplink.publish(slot_publication(line, TrackId(index as u32)), now);
        }
    }

    /// Players for the lines that were answered and have none; `begin`: media flow already.
    fn publish(&mut self, answer: &Answer, begin: Option<Instant>) {
        let mut random = self.config.seed.rotate_left(17) ^ (self.version << 40) | 1;
        for line in self.allowed(self.config.plan.lines().publish) {
            let there = self.players.iter().any(|player| player.spec().mid == line.mid);
            if there || answer.line(&line.mid).is_none_or(|answered| answered.rejected) {
                continue;
            }
            let clips = match line.source {
                Source::Microphone => self.config.plan.microphone.iter().cloned().collect(),
                _ => self.config.plan.camera.clone(),
            };
            let sound = line.source == Source::Microphone;
            let simulcast = clips.len() > 1;
            for (clip, rid) in clips.into_iter().zip(plan::RIDS) {
                let spec = Spec {
                    clip: Arc::clone(&clip),
                    clock_hz: if sound { 48_000 } else { 90_000 },
                    pt: if sound { plan::OPUS_PT } else { plan::VP8_PT },
                    rtx_pt: (!sound).then_some(plan::RTX_PT),
                    ssrc: next(&mut random) as u32,
                    rtx_ssrc: next(&mut random) as u32,
                    mid: line.mid.clone(),
                    rid: simulcast.then(|| rid.to_owned()),
                    extensions: self.extensions.clone(),
                    origin: (!sound).then_some(self.config.origin),
                    zero: self.config.zero,
                };
                let mut player = Player::new(spec, next(&mut random));
                if let Some(now) = begin {
                    player.start(now);
                }
                self.players.push(player);
            }
        }
    }

    pub(super) fn connected(&mut self, srtp: Option<SrtpKeys>, now: Instant) {
        let Some(srtp) = srtp else { return self.end("no SRTP profile was agreed".into()) };
        let outgoing = Outgoing::new(&keys(srtp.profile, &srtp.local), self.config.zero);
        let incoming = self.uplink.set_keys(&keys(srtp.profile, &srtp.remote));
        match (outgoing, incoming) {
            (Ok(outgoing), Ok(())) => self.outgoing = Some(outgoing),
            _ => return self.end("the SRTP keys have the wrong length".into()),
        }
        self.stage = Stage::Connected;
        self.report.joined_after = Some(now.saturating_duration_since(self.born));
        self.sender_report = Some(now);
        for player in &mut self.players {
            player.start(now);
        }
        // What was granted while the handshake was under way.
        let wished = self.allowed(self.config.plan.lines().publish);
        if wished.iter().any(|line| !self.players.iter().any(|player| player.spec().mid == line.mid)) {
            self.offer();
        }
    }
}

fn slot_publication(line: &MediaLine, track: TrackId) -> Publication {
    let fid = line.groups.iter().find(|group| group.semantics == "FID");
    let ssrc = line.ssrcs.first().map(|source| Ssrc(source.ssrc));
    let rtx_ssrc = fid.and_then(|group| group.ssrcs.get(1)).map(|&ssrc| Ssrc(ssrc));
    let media = line.codecs.iter().filter(|codec| codec.rtx_for().is_none());
    let payload_types = media.map(|codec| PayloadType {
        pt: codec.pt,
        rtx_pt: line.rtx_of(codec.pt),
        codec: Codec::of(&codec.name),
        clock_hz: codec.clock,
    });
    let video = line.kind == LineKind::Video;
    Publication {
        mid: line.mid.clone(),
        track,
        payload_types: payload_types.collect(),
        encodings: vec![Encoding { spatial: 0, rid: None, ssrc, rtx_ssrc }],
        nack: video,
        keyframe: if video { KeyFrameAsk::Pli } else { KeyFrameAsk::Never },
    }
}
