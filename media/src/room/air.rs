//! Which of this node's own voices leave it: the first of two stages of loudest-N.
//!
//! ```text
//!   150 microphones ─▶ the AIRED loudest here ─▶ links ─▶ the loudest of all nodes' ─▶ slots
//!                      stage one, at the origin          stage two, at each listener's node
//! ```
//!
//! Other nodes subscribe to every voice; that costs nothing while it is silent. A voice that comes up is sent from its next packet
//! on, with the little that was said before it was noticed: the decision falls where the packets are, so no round trip is lost.

use super::TapId;
use super::state::Track;
use crate::packet::{AudioLevel, Packet, TrackId};
use crate::seq::SeqNo;
use crate::slot;
use crate::speaker::Speakers;
use crate::track::cache::Cache;
use lyceum_wire::ext;
use lyceum_wire::link::VOICE_ALWAYS;
use std::time::{Duration, Instant};

/// Voices that leave a node at the same time: one more than a listener usually has slots, so that the second stage has a choice.
/// What crosses a link is nodes × this, however many people there are.
pub(super) const AIRED: usize = 5;
/// What was said before a voice was noticed is sent after it, up to this much: a syllable. Loudness rises above the threshold
/// within two or three packets of 20 ms, and the room looks at most [`super::HEAR_EVERY`] later.
pub(super) const PREROLL: Duration = Duration::from_millis(120);
/// … and at most as many packets: 20 ms each is usual.
pub(super) const PREROLL_PACKETS: u64 = 6;

/// A voice may be digitally silent for this long before it rests: longer than pauses in speech, and than a player needs to fade what
/// it plays into silence.
pub(super) const RESTS_AFTER: Duration = Duration::from_millis(2_000);
/// A packet of sound no longer than this has nothing in it: Opus writes digital silence into 3 to 10 bytes.
const NOTHING_BYTES_MAX: usize = 16;

/// Whether a voice has anything to say: a microphone that is switched off in software, or in a quiet room behind a noise
/// suppressor, sends fifty packets of digital silence a second, and nobody misses them.
#[derive(Debug, Default)]
pub(super) struct Hush {
    /// It was heard once: its levels mean something. Else the packets' lengths have to say the same.
    sounded: bool,
    /// Silent since.
    since: Option<Instant>,
    /// Its packets are left out.
    pub(super) rests: bool,
}

impl Hush {
    /// A packet of this level and length. Says whether it is the first after a rest.
    #[inline]
    pub(super) fn hear(&mut self, level: Option<AudioLevel>, bytes: usize, now: Instant) -> bool {
        let silent = level.is_some_and(|level| level.minus_dbov >= ext::AudioLevel::SILENT);
        if silent && (self.sounded || bytes <= NOTHING_BYTES_MAX) {
            let since = *self.since.get_or_insert(now);
            self.rests = now.saturating_duration_since(since) >= RESTS_AFTER;
            return false;
        }
        self.sounded |= level.is_some() && !silent;
        self.since = None;
        std::mem::take(&mut self.rests)
    }
}

/// The voices that leave this node now.
#[derive(Debug, Default)]
pub(super) struct Air {
    voices: [Option<TrackId>; AIRED],
}

impl Air {
    /// Looks who is loudest now. Returns those who go off the air and those who come on.
    pub(super) fn look(&mut self, speakers: &Speakers) -> (Vec<TrackId>, Vec<TrackId>) {
        let after = slot::voices(&self.voices, speakers.local_ranking().voices(), &[]);
        let before = self.voices.iter().flatten().filter(|track| !after.contains(&Some(**track)));
        let off = before.copied().collect();
        let on = after.iter().flatten().filter(|track| !self.voices.contains(&Some(**track))).copied().collect();
        for (voice, after) in self.voices.iter_mut().zip(after) {
            *voice = after;
        }
        (off, on)
    }
}

impl Track {
    /// A packet of sound to all taps that shall have it: those of a voice on the air, and those that want it in any case.
    /// A tap that was left out gets first what was said a moment ago. Says how many are left out.
    #[inline]
    pub(super) fn air(&mut self, packet: &Packet<'_>, taps: &mut dyn FnMut(TapId, &Packet<'_>)) -> u64 {
        let mut left_out = 0;
        for tap in &mut self.taps {
            if !self.on_air && tap.layer.temporal < VOICE_ALWAYS {
                tap.begun = false;
                left_out += 1;
            } else if tap.begun {
                tap.newest = tap.newest.max(Some(packet.seq));
                taps(tap.id, packet);
            } else {
                tap.begun = true;
                let newest = tap.newest.replace(packet.seq);
                let said_before = preroll(&self.layers[0].cache, packet).filter(|packet| Some(packet.seq) > newest);
                for (n, mut packet) in said_before.chain([*packet]).enumerate() {
                    packet.flags.start |= n == 0;
                    taps(tap.id, &packet);
                }
            }
        }
        left_out
    }
}

/// The packets right before this one, oldest first: what was said a moment ago.
pub(super) fn preroll<'a>(cache: &'a Cache, packet: &Packet<'a>) -> impl Iterator<Item = Packet<'a>> + use<'a> {
    let (track, seq, now) = (packet.track, packet.seq.0, packet.arrived);
    let packets = (seq.saturating_sub(PREROLL_PACKETS)..seq).filter_map(move |seq| cache.packet(track, SeqNo(seq)));
    packets.filter(move |packet| now.saturating_duration_since(packet.arrived) <= PREROLL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_rests_after_a_while_of_digital_silence_and_resumes_with_its_first_sound() {
        let (mut hush, start) = (Hush::default(), Instant::now());
        let mut hear = |ms, level: Option<u8>| {
            let level = level.map(|minus_dbov| AudioLevel { minus_dbov, voice: false });
            let resumes = hush.hear(level, 60, start + Duration::from_millis(ms));
            (hush.rests, resumes)
        };
        assert_eq!(hear(0, Some(127)), (false, false));
        assert_eq!(hear(9_000, Some(127)), (false, false), "who never sounded may have a meter that is broken");
        assert_eq!(hear(9_020, Some(90)), (false, false));
        assert_eq!(hear(9_040, Some(127)), (false, false));
        assert_eq!(hear(11_039, Some(127)), (false, false));
        assert_eq!(hear(11_040, Some(127)), (true, false));
        assert_eq!(hear(11_060, Some(126)), (false, true), "the faintest sound is one");
        assert_eq!(hear(11_080, Some(127)), (false, false), "the two seconds begin anew");
        assert_eq!(hear(13_080, Some(127)), (true, false));
        assert_eq!(hear(13_100, None), (false, true), "nothing is known of it");
    }

    #[test]
    fn who_never_sounded_rests_when_the_packets_are_empty() {
        let start = Instant::now();
        let rests = |bytes| {
            let mut hush = Hush::default();
            let silence = Some(AudioLevel { minus_dbov: 127, voice: false });
            for ms in [0, 2_000] {
                hush.hear(silence, bytes, start + Duration::from_millis(ms));
            }
            hush.rests
        };
        assert_eq!([3, 16, 17].map(rests), [true, true, false]);
    }
}
