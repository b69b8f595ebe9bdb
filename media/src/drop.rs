//! Every way a media packet can end early: a closed list, counted.

macro_rules! drops {
    ($( $(#[$doc:meta])* $variant:ident => $name:literal, )*) => {
        /// Why a packet went no further.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Drop {
            $( $(#[$doc])* $variant, )*
        }

        impl Drop {
            /// All reasons, in the order of their counts.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// Its name in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }
    };
}

drops! {
    // At the publisher's door.
    /// Not an RTP or RTCP packet, or shorter than its own lengths say.
    Malformed => "malformed",
    /// SRTP keys are not there yet.
    NoKeys => "no_keys",
    /// The authentication tag is wrong.
    BadTag => "bad_tag",
    /// The same SRTP packet again, or one older than the replay window (RFC 3711 §3.3.2).
    Replayed => "replayed",
    /// More sources than one peer may have.
    TooManySources => "too_many_sources",
    /// No publication of this peer has this SSRC, and mid and rid do not say where it belongs.
    UnknownSource => "unknown_source",
    /// The payload type was not negotiated for this publication.
    UnknownPayloadType => "unknown_payload_type",
    /// A repair packet with nothing in it: padding that probes for bandwidth.
    ProbePadding => "probe_padding",
    /// A payload larger than any sink could send on.
    TooLarge => "too_large",
    // In the room.
    /// The room has no such track any more.
    UnknownTrack => "unknown_track",
    /// The track has no such spatial layer.
    UnknownLayer => "unknown_layer",
    /// It names a template of a dependency structure whose packet has not come: kept for repairs, but nobody can choose by it.
    UnknownTemplate => "unknown_template",
    /// The track is muted.
    Muted => "muted",
    /// Digital silence, of a voice that has had nothing to say for a while.
    Silent => "silent",
    /// The track already had this packet (sent again, or both original and repair came).
    Duplicate => "duplicate",
    /// Older than anything kept: no sink could still place it.
    TooOld => "too_old",
    // At a sink.
    /// The sink shows another spatial layer.
    OtherLayer => "other_layer",
    /// The sink waits for a key frame to begin or to change layers.
    AwaitingKeyframe => "awaiting_keyframe",
    /// A temporal layer above the one chosen.
    AboveTemporal => "above_temporal",
    /// A frame of a layer that the one chosen does not need.
    NotNeeded => "not_needed",
    /// A voice that is not among the loudest of its node, and that nobody pins: it does not cross a link.
    NotLoud => "not_loud",
    /// The tile is not shown: width or height zero.
    Paused => "paused",
    /// From before this sink's stream began; nothing refers to it any more.
    BeforeSwitch => "before_switch",
    /// Padding holds a place in the publisher's sequence only.
    Padding => "padding",
    /// The subscriber's transport is not ready: no keys or no address yet.
    NotConnected => "not_connected",
    /// The subscriber went away in the middle of the batch.
    SubscriberGone => "subscriber_gone",
    /// The subscriber's batch for this turn is full.
    OutboxFull => "outbox_full",
    /// The way to the subscriber carries less than comes, and it had waited too long.
    PacerFull => "pacer_full",
    /// The slot shows another track by the time the packet might leave.
    SlotChanged => "slot_changed",
    /// The subscriber's slot has no payload type for the track's codec.
    CodecNotNegotiated => "codec_not_negotiated",
    // Repairs.
    /// Asked for again, but no longer in the cache.
    NotInCache => "not_in_cache",
    /// Asked for again, but no repair format was negotiated for the slot.
    NoRepairFormat => "no_repair_format",
    /// Asked for again within one round trip of its last repair.
    RepairedAlready => "repaired_already",
    /// More repairs asked for in one compound than a loss that can be repaired has.
    TooManyRepairs => "too_many_repairs",
    /// Asked for, but the number was never given out or lies too far back.
    UnknownRepair => "unknown_repair",
}

/// How often each reason struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; Drop::ALL.len()],
}

impl Default for Drops {
    fn default() -> Self {
        Self { counts: [0; Drop::ALL.len()] }
    }
}

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: Drop) {
        self.add(reason, 1);
    }

    /// Counts `n` at once.
    pub fn add(&mut self, reason: Drop, n: u64) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count += n;
        }
    }

    /// How often this one struck.
    #[must_use]
    pub fn of(&self, reason: Drop) -> u64 {
        self.counts.get(reason as usize).copied().unwrap_or(0)
    }

    /// Adds another's counts to these.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// All reasons with their counts, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.iter().map(|reason| (*reason, self.of(*reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_name_and_count() {
        let mut drops = Drops::default();
        for (n, reason) in Drop::ALL.iter().enumerate() {
            drops.add(*reason, n as u64);
        }
        assert!(drops.iter().enumerate().all(|(n, (_, count))| count == n as u64));
        let mut names: Vec<_> = Drop::ALL.iter().map(|r| r.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Drop::ALL.len());
    }
}
