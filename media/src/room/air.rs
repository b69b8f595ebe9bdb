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
use crate::packet::{Packet, TrackId};
use crate::seq::SeqNo;
use crate::slot;
use crate::speaker::Speakers;
use crate::track::cache::Cache;
use lyceum_wire::link::VOICE_ALWAYS;
use std::time::Duration;

/// Voices that leave a node at the same time: one more than a listener usually has slots, so that the second stage has a choice.
/// What crosses a link is nodes × this, however many people there are.
pub(super) const AIRED: usize = 5;
/// What was said before a voice was noticed is sent after it, up to this much: a syllable. Loudness rises above the threshold
/// within two or three packets of 20 ms, and the room looks at most [`super::HEAR_EVERY`] later.
pub(super) const PREROLL: Duration = Duration::from_millis(120);
/// … and at most as many packets: 20 ms each is usual.
pub(super) const PREROLL_PACKETS: u64 = 6;

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
