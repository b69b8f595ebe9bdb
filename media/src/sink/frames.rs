//! Which of the last frames a sink took: what a frame refers to must be among them for a switch.
//!
//! ```text
//!   number    … 97  98  99 100 101        newest 101
//!   fate         ✓   ✗   ✓   ?   ✓        taken, left out, not seen
//! ```

/// Frames remembered: more than a second of three spatial layers at 30 per second.
pub const WINDOW: u16 = 128;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing of it was seen.
    Unknown,
    /// Its packets are sent on.
    Taken,
    /// Its packets are left out.
    Left,
}

/// Fates of the last frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Frames {
    newest: Option<u16>,
    /// Bit n: the frame n before the newest.
    taken: u128,
    left: u128,
}

impl Frames {
    /// Forgets everything: a stream begins.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What became of a frame.
    #[inline]
    #[must_use]
    pub fn fate(&self, number: u16) -> Fate {
        let Some(newest) = self.newest else { return Fate::Unknown };
        let back = newest.wrapping_sub(number);
        if back >= WINDOW {
            return Fate::Unknown;
        }
        match (self.taken >> back & 1, self.left >> back & 1) {
            (1, _) => Fate::Taken,
            (_, 1) => Fate::Left,
            _ => Fate::Unknown,
        }
    }

    /// Whether a frame comes after all that were decided about.
    #[inline]
    #[must_use]
    pub fn is_ahead(&self, number: u16) -> bool {
        self.newest.is_none_or(|newest| (1..1 << 15).contains(&number.wrapping_sub(newest)))
    }

    /// Decides about a frame, once. One from before the window is forgotten already.
    #[inline]
    pub fn decide(&mut self, number: u16, taken: bool) {
        let newest = *self.newest.get_or_insert(number);
        let ahead = number.wrapping_sub(newest);
        if ahead < 1 << 15 {
            self.newest = Some(number);
            let shift = u32::from(ahead);
            self.taken = self.taken.checked_shl(shift).unwrap_or(0);
            self.left = self.left.checked_shl(shift).unwrap_or(0);
        }
        let back = self.newest.map_or(0, |newest| newest.wrapping_sub(number));
        if back < WINDOW {
            let place = if taken { &mut self.taken } else { &mut self.left };
            *place |= 1 << back;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frames_are_remembered_over_the_wrap() {
        let mut frames = Frames::default();
        assert_eq!(frames.fate(5), Fate::Unknown);
        frames.decide(65_534, true);
        frames.decide(0, false);
        assert_eq!(
            [65_533, 65_534, 65_535, 0, 1].map(|n| frames.fate(n)),
            [Fate::Unknown, Fate::Taken, Fate::Unknown, Fate::Left, Fate::Unknown]
        );
        frames.decide(65_535, true);
        assert_eq!((frames.fate(65_535), frames.fate(0)), (Fate::Taken, Fate::Left), "a late one has its place");
        frames.decide(127, true);
        assert_eq!((frames.fate(65_535), frames.fate(0), frames.fate(127)), (Fate::Unknown, Fate::Left, Fate::Taken));
        frames.decide(1_000, true);
        assert_eq!(frames.fate(127), Fate::Unknown, "a jump forgets all");
        frames.decide(500, true);
        assert_eq!(frames.fate(500), Fate::Unknown);
    }
}
