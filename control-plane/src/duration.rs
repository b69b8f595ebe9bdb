//! Durations in configuration carry their unit: `"500 ms"`, `"10 s"`, `"5 min"`.

use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// For `#[serde(with = …)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!("'{text}' is not a duration such as \"500 ms\", \"10 s\" or \"5 min\""))
    })
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let number: u64 = digits.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        for (text, wanted) in [
            ("500 ms", Some(Duration::from_millis(500))),
            ("10s", Some(Duration::from_secs(10))),
            ("5 min", Some(Duration::from_secs(300))),
            ("24 h", Some(Duration::from_secs(86_400))),
            ("10", None),
            ("", None),
            ("-1 s", None),
            ("1 fortnight", None),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
    }
}
