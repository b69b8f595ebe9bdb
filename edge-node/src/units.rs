//! Values with their unit written beside them: `"500 ms"`, `"4 MiB"`.
//!
//! A bare number in a configuration file makes somebody guess; these types refuse it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a text is not a value with a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {wanted}")]
pub struct UnitError {
    /// What stood there.
    text: String,
    /// What should stand there.
    wanted: &'static str,
}

/// A length of time, such as `"500 ms"`, `"5 s"`, `"2 min"` or `"1 h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A number of bytes, such as `"256 KiB"` or `"4 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

impl Span {
    /// From milliseconds.
    #[must_use]
    pub const fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

/// Longest unit first, so that what is written back is the shortest text that says the same.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

fn parse(text: &str, units: &[(&str, u64)], wanted: &'static str) -> Result<u64, UnitError> {
    let wrong = || UnitError { text: text.to_owned(), wanted };
    let trimmed = text.trim();
    let split = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = trimmed.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
}

fn write(value: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let fits = |factor: u64| value != 0 && value.is_multiple_of(factor);
    match units.iter().find(|(_, factor)| fits(*factor)) {
        Some((name, factor)) => format!("{} {name}", value / factor),
        None => format!("{value} {smallest}"),
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        parse(&text, &TIMES, "a time such as \"500 ms\", \"5 s\", \"2 min\" or \"1 h\"").map(Self::ms)
    }
}

impl TryFrom<String> for Size {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        parse(&text, &SIZES, "a size such as \"512 B\", \"256 KiB\" or \"4 MiB\"").map(Self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), &TIMES, "ms"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(self.0, &SIZES, "B"))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_needs_its_unit() {
        let span = |text: &str| Span::try_from(text.to_owned()).map(|s| s.0.as_millis());
        assert_eq!(span("500 ms"), Ok(500));
        assert_eq!(span("5s"), Ok(5_000));
        assert_eq!(span(" 2 min "), Ok(120_000));
        assert_eq!(span("1 h"), Ok(3_600_000));
        for wrong in ["", "5", "ms", "-5 s", "5 days", "1.5 s", "99999999999999999999 s", "18446744073709551 h"] {
            assert!(span(wrong).is_err(), "{wrong:?} was taken");
        }
        let size = |text: &str| Size::try_from(text.to_owned()).map(|s| s.0);
        assert_eq!(size("256 KiB"), Ok(262_144));
        assert!(size("256 KB").is_err(), "KB could mean two things");
    }

    #[test]
    fn written_back_it_says_the_same() {
        for ms in [0, 1, 500, 1_000, 1_500, 60_000, 90_000, 3_600_000] {
            let text = Span::ms(ms).to_string();
            assert_eq!(Span::try_from(text.clone()), Ok(Span::ms(ms)), "{text}");
        }
        assert_eq!(Span::ms(5_000).to_string(), "5 s");
        assert_eq!(Size(4 << 20).to_string(), "4 MiB");
    }
}
