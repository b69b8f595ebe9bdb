//! WHIP publishers (RFC 9725) and WHEP players: an offer, an answer, and a resource that ends them.

use super::negotiate::{Intents, Refused};
use super::offer::{candidates, parse};
use super::{Media, Peer, Way};
use crate::door::{Entry, Event, HttpOutcome, RequestId, Secret};
use crate::drops::Departure;
use crate::shard::Shard;
use lyceum_session::ice::Credentials;
use lyceum_session::sdp::{LineKind, Offer};
use lyceum_wire::id::Source;
use lyceum_wire::signal::{PublishLine, Refusal, SlotKind, SlotLine};
use std::fmt::Write as _;
use std::time::Instant;

/// Longest fragment looked at, in bytes: forty candidates stay under it.
pub const FRAGMENT_BYTES_MAX: usize = 8 * 1024;

/// Longest and shortest ICE user fragment and password (RFC 8839 §5.4), in characters.
const UFRAG_CHARS: std::ops::RangeInclusive<usize> = 4..=256;
const PWD_CHARS: std::ops::RangeInclusive<usize> = 22..=256;

impl Shard {
    /// A publisher's offer.
    pub(crate) fn whip(&mut self, request: RequestId, entry: Entry, sdp: &str, now: Instant) {
        let outcome = parse(sdp).and_then(|offer| {
            let publish = publish_lines(&offer);
            if publish.is_empty() {
                return Err(Refused { code: Refusal::BadOffer, message: "no line of the offer sends".into() });
            }
            self.enter_by_http(entry, Way::Whip, &offer, Intents { publish: &publish, slots: &[] }, now)
        });
        self.answer_http(request, outcome);
    }

    /// A player's offer.
    pub(crate) fn whep(&mut self, request: RequestId, entry: Entry, sdp: &str, now: Instant) {
        let outcome = parse(sdp).and_then(|offer| {
            let slots = slot_lines(&offer);
            if slots.is_empty() {
                return Err(Refused { code: Refusal::BadOffer, message: "no line of the offer receives".into() });
            }
            self.enter_by_http(entry, Way::Whep, &offer, Intents { publish: &[], slots: &slots }, now)
        });
        self.answer_http(request, outcome);
    }

    fn enter_by_http(
        &mut self,
        entry: Entry,
        way: Way,
        offer: &Offer,
        intents: Intents<'_>,
        now: Instant,
    ) -> Result<HttpOutcome, Refused> {
        let full = |sentence: &str| Refused { code: Refusal::Full, message: sentence.into() };
        let index = self.enter(entry, way, now).map_err(full)?;
        match self.offer(index, offer, intents, now) {
            Ok(sdp) => {
                let media = self.peers.get(index).and_then(|peer| peer.media.as_ref());
                let etag = media.map(|media| media.local_ice.ufrag.clone()).unwrap_or_default();
                Ok(HttpOutcome::Created { sdp, etag })
            }
            Err(refused) => {
                self.remove(index, Departure::Offended, now);
                Err(refused)
            }
        }
    }

    /// `PATCH`: candidates, which an ICE-lite edge does not need, or an ICE restart.
    pub(crate) fn http_patch(&mut self, request: RequestId, resource: &Secret, fragment: &str, now: Instant) {
        let outcome = self.patch(resource, fragment, now);
        self.answer_http(request, outcome);
    }

    fn patch(&mut self, resource: &Secret, fragment: &str, now: Instant) -> Result<HttpOutcome, Refused> {
        if fragment.len() > FRAGMENT_BYTES_MAX {
            let message = format!("the fragment is longer than {FRAGMENT_BYTES_MAX} bytes");
            return Err(Refused { code: Refusal::TooLarge, message });
        }
        let Some(index) = self.http_peer(resource) else { return Ok(HttpOutcome::NotFound) };
        let addresses = candidates(&self.config.candidates);
        let Some(Peer { media: Some(media), draw, .. }) = self.peers.get_mut(index) else {
            return Ok(HttpOutcome::NotFound);
        };
        let remote = credentials(fragment)?;
        let Some(remote) = remote.filter(|remote| *remote != media.remote_ice) else {
            return Ok(HttpOutcome::NoContent);
        };
        let local = draw.credentials(index);
        media.session.restart_ice(local.clone(), remote.clone(), now);
        media.remote_ice = remote;
        media.local_ice = local;
        let fragment = media.fragment(&addresses);
        let etag = media.local_ice.ufrag.clone();
        self.touch_peer(index);
        Ok(HttpOutcome::Restarted { fragment, etag })
    }

    /// `DELETE`.
    pub(crate) fn http_delete(&mut self, request: RequestId, resource: &Secret, now: Instant) {
        let outcome = match self.http_peer(resource) {
            Some(index) => {
                self.remove(index, Departure::Left, now);
                HttpOutcome::Deleted
            }
            None => HttpOutcome::NotFound,
        };
        self.answer_http(request, Ok(outcome));
    }

    fn http_peer(&self, resource: &Secret) -> Option<u32> {
        let index = *self.by_secret.get(resource)?;
        let by_http = matches!(self.peers.get(index)?.way, Way::Whip | Way::Whep);
        by_http.then_some(index)
    }

    fn answer_http(&mut self, request: RequestId, outcome: Result<HttpOutcome, Refused>) {
        let outcome = outcome.unwrap_or_else(|Refused { code, message }| {
            self.refusals.count(code);
            HttpOutcome::Refused { code, message }
        });
        self.events.push_back(Event::HttpAnswer { request, outcome });
    }
}

impl Media {
    /// The edge's side of a restarted ICE session (RFC 8840 §9, RFC 9725 §4.3.3).
    fn fragment(&self, candidates: &[lyceum_session::sdp::Candidate]) -> String {
        let Credentials { ufrag, pwd } = &self.local_ice;
        let mut text = format!(
            "a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n",
            self.first_mid
        );
        for (n, candidate) in candidates.iter().enumerate() {
            let (ip, port) = (candidate.address.ip(), candidate.address.port());
            // Writing to a string does not fail.
            let _ = write!(text, "a=candidate:{} 1 udp {} {ip} {port} typ host\r\n", n + 1, candidate.priority);
        }
        text.push_str("a=end-of-candidates\r\n");
        text
    }
}

/// The ICE credentials a fragment names, if any.
fn credentials(fragment: &str) -> Result<Option<Credentials>, Refused> {
    let value = |name: &str| fragment.lines().find_map(|line| line.trim_end().strip_prefix(name));
    let (ufrag, pwd) = match (value("a=ice-ufrag:"), value("a=ice-pwd:")) {
        (None, None) => return Ok(None),
        (Some(ufrag), Some(pwd)) => (ufrag, pwd),
        _ => return Err(malformed("the fragment has one of ice-ufrag and ice-pwd without the other")),
    };
    let fine = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    if !UFRAG_CHARS.contains(&ufrag.len()) || !PWD_CHARS.contains(&pwd.len()) || !fine(ufrag) || !fine(pwd) {
        return Err(malformed("the fragment's ICE credentials are not of RFC 8839's form"));
    }
    Ok(Some(Credentials { ufrag: ufrag.to_owned(), pwd: pwd.to_owned() }))
}

fn malformed(message: &str) -> Refused {
    Refused { code: Refusal::Malformed, message: message.into() }
}

/// What the lines of a WHIP offer are taken for: microphone and camera, then a screen and its sound.
fn publish_lines(offer: &Offer) -> Vec<PublishLine> {
    let mut sounds = [Source::Microphone, Source::ScreenAudio].into_iter();
    let mut pictures = [Source::Camera, Source::Screen].into_iter();
    let sending = offer.lines.iter().filter(|line| !line.rejected && line.direction.sends());
    let source = |kind| match kind {
        LineKind::Audio => sounds.next(),
        LineKind::Video => pictures.next(),
        LineKind::Data | LineKind::Other => None,
    };
    let mut source = source;
    sending
        .filter_map(|line| Some(PublishLine { source: source(line.kind)?, mid: line.mid.clone(), muted: false }))
        .collect()
}

/// What the lines of a WHEP offer are taken for.
fn slot_lines(offer: &Offer) -> Vec<SlotLine> {
    let kind = |kind| match kind {
        LineKind::Audio => Some(SlotKind::Audio),
        LineKind::Video => Some(SlotKind::Video),
        LineKind::Data | LineKind::Other => None,
    };
    let receiving = offer.lines.iter().filter(|line| !line.rejected && line.direction.receives());
    receiving.filter_map(|line| Some(SlotLine { kind: kind(line.kind)?, mid: line.mid.clone() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_names_both_credentials_or_none() {
        let table = [
            ("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", Ok(None)),
            ("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n", Ok(Some("abcd"))),
            ("a=ice-ufrag:abcd\r\n", Err(())),
            ("a=ice-ufrag:abcd\na=ice-pwd:short\n", Err(())),
            ("a=ice-ufrag:ab d\na=ice-pwd:0123456789012345678901\n", Err(())),
        ];
        for (fragment, expected) in table {
            let found = credentials(fragment).map(|c| c.map(|c| c.ufrag)).map_err(|_| ());
            assert_eq!(found, expected.map(|u| u.map(str::to_owned)), "{fragment}");
        }
    }
}
