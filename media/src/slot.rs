//! Who goes into which slot: pure functions over lists, stable so that what stays in view stays where it is.

/// Puts `wanted` (most important first) into slots. Whoever is wanted and has a slot keeps it; the others take free ones in
/// order. What finds no slot is left out.
///
/// ```text
///   slots    ana  ben  —        wanted   cleo ben dana eva
///   becomes  cleo ben  dana                              ✗ no fourth slot
/// ```
#[must_use]
pub fn settle<T: Copy + PartialEq>(slots: &[Option<T>], wanted: &[T]) -> Vec<Option<T>> {
    let mut distinct: Vec<T> = Vec::with_capacity(slots.len());
    for track in wanted {
        if distinct.len() == slots.len() {
            break;
        }
        if !distinct.contains(track) {
            distinct.push(*track);
        }
    }
    let mut settled: Vec<Option<T>> = slots.iter().map(|s| s.filter(|track| distinct.contains(track))).collect();
    let mut newcomers =
        distinct.into_iter().filter(|track| !slots.contains(&Some(*track))).collect::<Vec<_>>().into_iter();
    for slot in settled.iter_mut().filter(|slot| slot.is_none()) {
        *slot = newcomers.next();
    }
    settled
}

/// One who may be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voice<T> {
    /// Whose sound.
    pub track: T,
    /// Speaks now.
    pub active: bool,
    /// Smoothed loudness, larger is louder.
    pub loudness: u8,
}

/// Who of `voices` (best first: active before silent, the latest speaker before earlier ones) is heard in the slots.
/// `pinned`, most important first, are heard in any case, as far as there are slots. Of the others, somebody who is heard is
/// replaced only by one who speaks: the longest silent first, then a speaker that is quieter by [`MARGIN_DB`].
#[must_use]
pub fn voices<T: Copy + PartialEq>(slots: &[Option<T>], voices: &[Voice<T>], pinned: &[T]) -> Vec<Option<T>> {
    let pinned = &pinned[..pinned.len().min(slots.len())];
    let find = |track: T| voices.iter().position(|voice| voice.track == track);
    let stays = |track: &T| find(*track).is_some() || pinned.contains(track);
    let mut heard: Vec<Option<T>> = slots.iter().map(|slot| slot.filter(stays)).collect();
    // The worst of those heard who may go; voices are ordered best first.
    let worst = |heard: &[Option<T>]| {
        let may_go = |(at, slot): (usize, &Option<T>)| Some((at, find(slot.filter(|track| !pinned.contains(track))?)?));
        let order = |rank: usize| (!voices[rank].active, u8::MAX - voices[rank].loudness_if_active(), rank);
        heard.iter().enumerate().filter_map(may_go).max_by_key(|(_, rank)| order(*rank))
    };
    for track in pinned {
        if heard.contains(&Some(*track)) {
            continue;
        }
        let free = heard.iter().position(Option::is_none);
        if let Some(at) = free.or_else(|| worst(&heard).map(|(at, _)| at)) {
            heard[at] = Some(*track);
        }
    }
    for voice in voices {
        if heard.contains(&Some(voice.track)) {
            continue;
        }
        if let Some(free) = heard.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(voice.track);
            continue;
        }
        if !voice.active {
            continue;
        }
        let Some((at, rank)) = worst(&heard) else { continue };
        let other = voices[rank];
        if !other.active || voice.loudness > other.loudness.saturating_add(MARGIN_DB) {
            heard[at] = Some(voice.track);
        }
    }
    heard
}

impl<T> Voice<T> {
    fn loudness_if_active(&self) -> u8 {
        if self.active { self.loudness } else { 0 }
    }
}

/// A speaker must be louder than another by this to take the place, in dB: about half as loud again to the ear.
pub const MARGIN_DB: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_stays_keeps_the_slot() {
        for (slots, wanted, settled) in [
            (vec![None, None], vec![1, 2, 3], vec![Some(1), Some(2)]),
            (vec![Some(1), Some(2)], vec![2, 1], vec![Some(1), Some(2)]),
            (vec![Some(1), Some(2)], vec![3, 2], vec![Some(3), Some(2)]),
            (vec![Some(1), Some(2)], vec![3, 4, 1], vec![Some(3), Some(4)]),
            (vec![Some(1), Some(2), None], vec![2], vec![None, Some(2), None]),
            (vec![Some(1)], vec![], vec![None]),
            (vec![None, None], vec![5, 5, 6], vec![Some(5), Some(6)]),
            (vec![], vec![1], vec![]),
        ] {
            assert_eq!(settle(&slots, &wanted), settled, "{slots:?} {wanted:?}");
        }
    }

    fn v(track: u32, active: bool, loudness: u8) -> Voice<u32> {
        Voice { track, active, loudness }
    }

    #[test]
    fn a_speaker_takes_the_place_of_the_longest_silent() {
        // Best first: 3 speaks, then 1 and 2 spoke before.
        let ranked = [v(3, true, 90), v(1, false, 10), v(2, false, 80)];
        assert_eq!(voices(&[Some(1), Some(2)], &ranked, &[]), [Some(1), Some(3)]);
        let ranked = [v(1, true, 83), v(2, true, 85), v(3, true, 88)];
        assert_eq!(voices(&[Some(1), Some(2)], &ranked, &[]), [Some(1), Some(2)], "not louder by enough");
        let ranked = [v(1, true, 80), v(2, true, 85), v(3, true, 88)];
        assert_eq!(voices(&[Some(1), Some(2)], &ranked, &[]), [Some(3), Some(2)]);
    }

    #[test]
    fn a_pinned_voice_is_heard_though_others_shout() {
        let ranked = [v(3, true, 90), v(4, true, 85), v(1, false, 10), v(2, false, 0)];
        assert_eq!(voices(&[Some(1), Some(2)], &ranked, &[2]), [Some(3), Some(2)]);
        assert_eq!(voices(&[Some(3), Some(4)], &ranked, &[1]), [Some(3), Some(1)], "the quieter one goes");
        assert_eq!(voices(&[Some(3), None], &ranked, &[9]), [Some(3), Some(9)], "also one that nobody ranks");
        assert_eq!(voices(&[Some(3)], &ranked, &[1, 2]), [Some(1)], "as far as there are slots");
        assert_eq!(voices(&[], &ranked, &[1]), []);
    }

    #[test]
    fn silence_changes_nothing() {
        let ranked = [v(9, false, 50), v(8, false, 40), v(1, false, 0), v(2, false, 0)];
        assert_eq!(voices(&[Some(2), Some(1)], &ranked, &[]), [Some(2), Some(1)]);
        assert_eq!(voices(&[Some(7), None], &ranked, &[]), [Some(9), Some(8)], "who left makes room");
    }

    proptest! {
        #[test]
        fn never_twice_and_never_more_than_slots(
            slots in prop::collection::vec(prop::option::of(0u32..8), 0..6), wanted in prop::collection::vec(0u32..12, 0..12)) {
            // Slots hold distinct tracks.
            let mut seen = Vec::new();
            let slots: Vec<_> = slots.into_iter().map(|s| s.filter(|t| !seen.contains(t) && { seen.push(*t); true })).collect();
            let settled = settle(&slots, &wanted);
            prop_assert_eq!(settled.len(), slots.len());
            let mut filled: Vec<_> = settled.iter().flatten().collect();
            let count = filled.len();
            filled.sort_unstable();
            filled.dedup();
            prop_assert_eq!(filled.len(), count);
            for (before, after) in slots.iter().zip(&settled) {
                if let Some(track) = before && settled.contains(&Some(*track)) {
                    prop_assert_eq!(before, after);
                }
            }
        }
    }
}
