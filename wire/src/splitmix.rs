//! SplitMix64 (Steele, Lea, Flood 2014): numbers out of a seed, the same on every machine and in every replay.
//!
//! For whatever only has to differ or to be spread. Who knows one number knows them all: nothing that somebody must not
//! guess comes from here.

/// How far the state moves for each number: 2⁶⁴ divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The next number of the stream that `state` stands for. A stream begins with any seed.
#[inline]
pub const fn next(state: &mut u64) -> u64 {
    let number = spread(*state);
    *state = state.wrapping_add(STEP);
    number
}

/// Spreads a number over 64 bits: neighbours come out unrelated, and no two come out alike.
#[inline]
#[must_use]
pub const fn spread(number: u64) -> u64 {
    let mixed = number.wrapping_add(STEP);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published reference's first numbers for the seed 1234567.
    #[test]
    fn the_numbers_are_those_of_the_reference() {
        let mut state = 1_234_567;
        let numbers: Vec<u64> = (0..5).map(|_| next(&mut state)).collect();
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(numbers, reference);
    }
}
