//! The replay window of RFC 3711 §3.3.2.

use crate::fetch::fetch;

/// Packets remembered behind the newest: covers a second of 1,000 packets/s, 128 bytes per source.
pub(super) const WINDOW_PACKETS: u64 = 1_024;

/// Which of the last [`WINDOW_PACKETS`] indices were seen.
#[derive(Debug, Clone)]
pub struct Window {
    seen: [u64; (WINDOW_PACKETS / 64) as usize],
    /// One past the highest index seen; 0: none yet.
    next: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { seen: [0; (WINDOW_PACKETS / 64) as usize], next: 0 }
    }
}

impl Window {
    /// Asks for where the next index has its place.
    #[inline]
    pub(crate) fn fetch(&self) {
        fetch(&self.next);
        fetch(&self.seen[slot(self.next)]);
    }

    /// Whether `index` is new. Ask before the tag is checked.
    #[must_use]
    pub fn is_new(&self, index: u64) -> bool {
        if index >= self.next {
            return true;
        }
        self.next - index <= WINDOW_PACKETS && self.seen[slot(index)] & bit(index) == 0
    }

    /// Remembers `index`. Call after the tag has been checked.
    pub fn mark(&mut self, index: u64) {
        if index >= self.next {
            if index - self.next >= WINDOW_PACKETS {
                self.seen.fill(0);
            } else {
                for skipped in self.next..=index {
                    self.seen[slot(skipped)] &= !bit(skipped);
                }
            }
            self.next = index + 1;
        }
        self.seen[slot(index)] |= bit(index);
    }
}

fn slot(index: u64) -> usize {
    (index % WINDOW_PACKETS / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_seen_is_not_new_and_what_is_too_old_neither() {
        let mut window = Window::default();
        window.mark(5_000);
        assert!(!window.is_new(5_000));
        assert!(window.is_new(4_999));
        assert!(window.is_new(5_001 - WINDOW_PACKETS));
        assert!(!window.is_new(5_000 - WINDOW_PACKETS));
        window.mark(9_000_000);
        assert!(window.is_new(8_999_999), "a jump forgets everything between");
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(steps in prop::collection::vec(0u64..3_000, 1..400)) {
            let mut window = Window::default();
            let mut set = std::collections::BTreeSet::new();
            for index in steps {
                let newest = set.last().copied();
                let fresh = newest.is_none_or(|n| index + WINDOW_PACKETS > n) && !set.contains(&index);
                prop_assert_eq!(window.is_new(index), fresh);
                if fresh {
                    window.mark(index);
                    set.insert(index);
                }
            }
        }
    }
}
