//! Sequence numbers, extended once at the door.
//!
//! On the wire a sequence number has 16 bits and wraps; inside it has 64 and never does (RFC 3711 appendix A speaks of
//! the same thing as roll-over counter and sequence number).

/// A packet's place in one encoding of one track. Rises by one per packet sent by the publisher, never wraps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeqNo(pub u64);

impl SeqNo {
    /// The number `n` places later.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0 + n)
    }

    /// The 16 bits that travel in RTP.
    #[must_use]
    pub fn wire(self) -> u16 {
        self.0 as u16
    }
}

/// Extends 16-bit numbers of one stream to [`SeqNo`], tolerating reordering by up to 32,767 places.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extend {
    highest: Option<u64>,
}

impl Extend {
    /// The number whose low bits are `wire`, nearest to the highest one seen. Remembers the highest.
    ///
    /// The first number lands in the second cycle, so that an earlier packet arriving late still has a place.
    pub fn extend(&mut self, wire: u16) -> SeqNo {
        let Some(highest) = self.highest else {
            let first = (1 << 16) | u64::from(wire);
            self.highest = Some(first);
            return SeqNo(first);
        };
        let seq = nearest_u16(highest, wire);
        self.highest = Some(highest.max(seq));
        SeqNo(seq)
    }

    /// The highest number seen.
    #[must_use]
    pub fn highest(&self) -> Option<SeqNo> {
        self.highest.map(SeqNo)
    }
}

/// The 64-bit number with these low 16 bits that lies nearest to `reference`.
#[must_use]
pub fn nearest_u16(reference: u64, wire: u16) -> u64 {
    let ahead = i64::from(wire.wrapping_sub(reference as u16) as i16);
    let seq = reference.wrapping_add_signed(ahead);
    // Nothing lies before zero: take the same place one cycle later.
    if ahead < 0 && seq > reference { reference + u64::from(wire.wrapping_sub(reference as u16)) } else { seq }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_forward_and_looks_back() {
        let mut extend = Extend::default();
        let first = extend.extend(65_534);
        assert_eq!(extend.extend(65_535), first.plus(1));
        assert_eq!(extend.extend(1), first.plus(3));
        assert_eq!(extend.extend(0), first.plus(2), "reordered over the wrap");
        assert_eq!(extend.highest(), Some(first.plus(3)));
    }

    #[test]
    fn a_packet_before_the_first_has_a_place() {
        let mut extend = Extend::default();
        let first = extend.extend(0);
        assert_eq!(extend.extend(65_535).plus(1), first);
    }

    #[test]
    fn nearest_never_goes_below_zero() {
        assert_eq!(nearest_u16(2, 65_535), 65_535);
        assert_eq!(nearest_u16(70_000, 70_000u32 as u16), 70_000);
    }
}
