//! Sequence numbers for one subscriber.
//!
//! ```text
//!   publisher    100  101  102  103  104
//!   forwarded     ✓    ✗    ✓    ?    ✓      ✗ left out on purpose, ? lost
//!   subscriber   100       101       103     real losses stay gaps (RFC 4585 §6.2.1)
//! ```
//!
//! The map is a line with a few dents: one offset, and one bit for each of the last [`WINDOW`] numbers left out.
//! It works both ways: a NACK names the outgoing number.

use crate::drop::Drop;

/// Numbers remembered behind the newest: two seconds at 500 packets/s, as the cache holds.
pub const WINDOW: u64 = 1_024;

/// Turns one run of numbers into another, closing up over what is left out.
#[derive(Debug, Clone)]
pub struct Numbers {
    first_in: u64,
    first_out: u64,
    /// One past the newest number in …
    next_in: u64,
    /// … and what it would become.
    next_out: u64,
    /// One past the newest number left out; 0: none.
    skipped_until: u64,
    skipped: [u64; (WINDOW / 64) as usize],
}

impl Numbers {
    /// `first_in` becomes `first_out`.
    #[must_use]
    pub fn new(first_in: u64, first_out: u64) -> Self {
        Self {
            first_in,
            first_out,
            next_in: first_in,
            next_out: first_out,
            skipped_until: 0,
            skipped: [0; (WINDOW / 64) as usize],
        }
    }

    /// What `number` becomes. The same number becomes the same again.
    #[inline]
    pub fn place(&mut self, number: u64) -> Result<u64, Drop> {
        if number >= self.next_in {
            let out = self.next_out + (number - self.next_in);
            self.move_to(number + 1);
            self.next_out = out + 1;
            return Ok(out);
        }
        if number < self.first_in {
            return Err(Drop::BeforeSwitch);
        }
        self.peek(number).ok_or(Drop::TooOld)
    }

    /// What `number` became, or would have become had it come. `None`: it was left out, or is forgotten.
    #[must_use]
    pub fn peek(&self, number: u64) -> Option<u64> {
        if number < self.first_in || number + WINDOW < self.next_in {
            return None;
        }
        if number >= self.next_in {
            return Some(self.next_out + (number - self.next_in));
        }
        if number >= self.skipped_until {
            return Some(self.next_out - (self.next_in - number));
        }
        if self.is_skipped(number) {
            return None;
        }
        let skipped = self.count_skipped(number, self.next_in.min(self.skipped_until));
        Some(self.next_out - (self.next_in - number - skipped))
    }

    /// Leaves `number` out. One that comes late has its place already and stays a gap.
    pub fn skip(&mut self, number: u64) {
        if number < self.next_in {
            return;
        }
        let out = self.next_out + (number - self.next_in);
        self.move_to(number + 1);
        self.next_out = out;
        self.skipped_until = number + 1;
        self.skipped[word(number)] |= bit(number);
    }

    /// Which number became `out`.
    #[must_use]
    pub fn locate(&self, out: u64) -> Option<u64> {
        if out < self.first_out || out >= self.next_out {
            return None;
        }
        // Walk back: each number left out on the way pushes the answer further back.
        let distance = self.next_out - out;
        let mut number = self.next_in.checked_sub(distance)?;
        if self.skipped_until > number {
            loop {
                let skipped = self.count_skipped(number, self.next_in.min(self.skipped_until));
                let candidate = self.next_in.checked_sub(distance + skipped)?;
                if candidate == number {
                    break;
                }
                number = candidate;
                if number + WINDOW < self.next_in {
                    return None;
                }
            }
        }
        (number >= self.first_in && number + WINDOW >= self.next_in).then_some(number)
    }

    /// What the first number became.
    #[must_use]
    pub fn first_out(&self) -> u64 {
        self.first_out
    }

    /// One past the newest number that came.
    #[must_use]
    pub fn next_in(&self) -> u64 {
        self.next_in
    }

    /// The next number to be given out.
    #[must_use]
    pub fn next_out(&self) -> u64 {
        self.next_out
    }

    /// Forgets the bits of numbers that come into the window.
    #[inline]
    fn move_to(&mut self, next_in: u64) {
        if self.skipped_until != 0 {
            if next_in - self.next_in >= WINDOW {
                self.skipped.fill(0);
            } else {
                for number in self.next_in..next_in {
                    self.skipped[word(number)] &= !bit(number);
                }
            }
        }
        self.next_in = next_in;
    }

    fn is_skipped(&self, number: u64) -> bool {
        self.skipped[word(number)] & bit(number) != 0
    }

    /// How many of `from..to` were left out; all within the window.
    fn count_skipped(&self, from: u64, to: u64) -> u64 {
        let mut count = 0;
        let mut number = from;
        while number < to {
            let in_word = (64 - number % 64).min(to - number);
            let mask = if in_word == 64 { u64::MAX } else { ((1u64 << in_word) - 1) << (number % 64) };
            count += u64::from((self.skipped[word(number)] & mask).count_ones());
            number += in_word;
        }
        count
    }
}

fn word(number: u64) -> usize {
    (number % WINDOW / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_left_out_closes_and_what_is_lost_stays_a_gap() {
        let mut numbers = Numbers::new(100, 5);
        assert_eq!(numbers.place(100), Ok(5));
        numbers.skip(101);
        assert_eq!(numbers.place(102), Ok(6));
        assert_eq!(numbers.place(104), Ok(8));
        assert_eq!(numbers.place(103), Ok(7), "the late one has its place");
        numbers.skip(105);
        assert_eq!(numbers.place(106), Ok(9));
        assert_eq!(numbers.place(99), Err(Drop::BeforeSwitch));
        let found: Vec<_> = (4..=10).map(|out| numbers.locate(out)).collect();
        assert_eq!(found, [None, Some(100), Some(102), Some(103), Some(104), Some(106), None]);
        assert_eq!(numbers.peek(101), None);
    }

    #[derive(Debug, Clone, Copy)]
    enum Fate {
        Sent,
        LeftOut,
        Lost,
        Late,
    }

    proptest! {
        /// Whatever is left out, lost or late: the numbers rise without repeats, gaps are exactly the losses, and the way back is right.
        #[test]
        fn gaps_are_losses(fates in prop::collection::vec(
            prop_oneof![6 => Just(Fate::Sent), 3 => Just(Fate::LeftOut), 1 => Just(Fate::Lost), 1 => Just(Fate::Late)], 1..900)) {
            let (first_in, first_out) = (70_000, 300);
            let mut numbers = Numbers::new(first_in, first_out);
            numbers.place(first_in).unwrap();
            let mut expected = first_out;
            let mut late = Vec::new();
            for (n, fate) in (first_in + 1..).zip(&fates) {
                match fate {
                    Fate::Sent => {
                        expected += 1;
                        prop_assert_eq!(numbers.place(n), Ok(expected));
                        prop_assert_eq!(numbers.place(n), Ok(expected));
                    }
                    Fate::LeftOut => numbers.skip(n),
                    Fate::Lost => expected += 1,
                    Fate::Late => {
                        expected += 1;
                        late.push((n, expected));
                    }
                }
            }
            // Anything that should come after the late ones makes them late.
            numbers.place(first_in + 1 + fates.len() as u64).unwrap();
            for (n, out) in late {
                prop_assert_eq!(numbers.place(n), Ok(out));
            }
            for (n, fate) in (first_in + 1..).zip(&fates) {
                if let (Fate::Sent | Fate::Late, Some(out)) = (fate, numbers.peek(n)) {
                    prop_assert_eq!(numbers.locate(out), Some(n));
                }
                if let Fate::LeftOut = fate {
                    prop_assert_eq!(numbers.peek(n), None);
                }
            }
        }
    }
}
