//! Values with their unit written beside them: `"500 ms"`, `"2 min"`.
//!
//! A bare number in a configuration file makes somebody guess; this type refuses it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a text is not a value with a unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time such as \"500 ms\", \"5 s\", \"2 min\" or \"1 h\"")]
pub struct UnitError {
    /// What stood there.
    text: String,
}

/// A length of time, such as `"500 ms"`, `"5 s"`, `"2 min"` or `"1 h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// From milliseconds.
    #[must_use]
    pub const fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }
}

/// Longest unit first, so that what is written back is the shortest text that says the same.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl TryFrom<String> for Span {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Self, UnitError> {
        let wrong = || UnitError { text: text.clone() };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = trimmed.split_at(split);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Self::ms).ok_or_else(wrong)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let fits = |factor: u64| ms != 0 && ms.is_multiple_of(factor.into());
        let (name, factor) = TIMES.into_iter().find(|(_, factor)| fits(*factor)).unwrap_or(("ms", 1));
        write!(f, "{} {name}", ms / u128::from(factor))
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
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
    }

    #[test]
    fn written_back_it_says_the_same() {
        for ms in [0, 1, 500, 1_000, 1_500, 60_000, 90_000, 3_600_000] {
            let text = Span::ms(ms).to_string();
            assert_eq!(Span::try_from(text.clone()), Ok(Span::ms(ms)), "{text}");
        }
        assert_eq!(Span::ms(5_000).to_string(), "5 s");
    }
}
