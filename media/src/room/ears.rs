//! Who of this node listens at all, and whose voice somebody wants in any case: together they say which sound is wanted here.
//!
//! Counted as people come and go, so that nobody has to be asked when a track is looked at.

use lyceum_wire::id::ParticipantId;
use std::collections::BTreeMap;

/// How much of a voice this node wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ear {
    /// Nothing: nobody else here has slots for sound.
    Nobody,
    /// While it is among the loudest of its own node.
    WhenLoud,
    /// All of it: somebody pinned it.
    Always,
}

/// The listeners of one room on this node.
#[derive(Debug, Default)]
pub(super) struct Ears {
    /// Receiving sides with slots for sound, by participant.
    listening: BTreeMap<ParticipantId, u32>,
    /// How many listeners pin somebody's voice.
    pinned: BTreeMap<ParticipantId, u32>,
}

impl Ears {
    /// A receiving side has slots for sound from now on, or has none any more.
    pub(super) fn listens(&mut self, who: &ParticipantId, listens: bool) {
        count(&mut self.listening, who, listens);
    }

    /// A listener pins somebody's voice, or no longer does.
    pub(super) fn pins(&mut self, whose: &ParticipantId, pins: bool) {
        count(&mut self.pinned, whose, pins);
    }

    /// How much of somebody's voice is wanted here. Nobody listens to itself.
    pub(super) fn of(&self, owner: &ParticipantId) -> Ear {
        let others = self.listening.len() - usize::from(self.listening.contains_key(owner));
        if others == 0 {
            Ear::Nobody
        } else if self.pinned.contains_key(owner) {
            Ear::Always
        } else {
            Ear::WhenLoud
        }
    }

    /// Whether one listener more or less decides about voices: with two or more, every voice has somebody else to hear it.
    pub(super) fn few(&self) -> bool {
        self.listening.len() < 2
    }

    /// Whether anybody pins this voice.
    pub(super) fn is_pinned(&self, owner: &ParticipantId) -> bool {
        self.pinned.contains_key(owner)
    }
}

fn count(counts: &mut BTreeMap<ParticipantId, u32>, who: &ParticipantId, more: bool) {
    match (counts.get_mut(who), more) {
        (Some(known), true) => *known += 1,
        (Some(known), false) if *known > 1 => *known -= 1,
        (Some(_), false) => {
            counts.remove(who);
        }
        (None, true) => {
            counts.insert(who.clone(), 1);
        }
        (None, false) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_wanted_by_others_than_its_owner() {
        let id = |name: &str| ParticipantId::parse(name).unwrap();
        let (ana, ben) = (id("ana"), id("ben"));
        let mut ears = Ears::default();
        assert_eq!(ears.of(&ana), Ear::Nobody);
        ears.listens(&ana, true);
        assert_eq!((ears.of(&ana), ears.of(&ben), ears.few()), (Ear::Nobody, Ear::WhenLoud, true));
        ears.listens(&ana, true);
        ears.listens(&ben, true);
        assert_eq!((ears.of(&ana), ears.few()), (Ear::WhenLoud, false));
        ears.pins(&ana, true);
        assert_eq!((ears.of(&ana), ears.of(&ben)), (Ear::Always, Ear::WhenLoud));
        ears.listens(&ana, false);
        assert!(!ears.few(), "one of ana's two receiving sides is left");
        ears.listens(&ana, false);
        ears.listens(&ben, false);
        assert_eq!(ears.of(&ana), Ear::Nobody, "a pin without ears is nothing");
        ears.pins(&ana, false);
        assert!(!ears.is_pinned(&ana));
    }
}
