//! AV1 in RTP (AV1 RTP specification §4.4): the aggregation header in front of each packet.
//!
//! ```text
//!  |Z|Y| W |N|− − −|     Z first element goes on from the packet before, Y last one goes on in the next
//! ```
//!
//! Layers are told by the dependency descriptor ([`crate::dd`]); without one this byte is all that can be seen cheaply.

/// What an aggregation header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aggregation {
    /// The first element goes on from the packet before.
    pub continues: bool,
    /// The last element goes on in the next packet.
    pub continued: bool,
    /// How many elements there are, 0: each has its length.
    pub elements: u8,
    /// First packet of a coded video sequence: a key frame that needs nothing before.
    pub new_sequence: bool,
}

impl Aggregation {
    /// Reads the header of a payload; `None` for an empty one.
    #[inline]
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let byte = *payload.first()?;
        Some(Self {
            continues: byte & 0x80 != 0,
            continued: byte & 0x40 != 0,
            elements: byte >> 4 & 3,
            new_sequence: byte & 0x08 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_its_meaning() {
        let said = |continues, continued, elements, new_sequence| {
            Some(Aggregation { continues, continued, elements, new_sequence })
        };
        assert_eq!(Aggregation::parse(&[]), None);
        assert_eq!(Aggregation::parse(&[0x18, 9]), said(false, false, 1, true));
        assert_eq!(Aggregation::parse(&[0x80]), said(true, false, 0, false));
        assert_eq!(Aggregation::parse(&[0x67]), said(false, true, 2, false));
    }
}
