//! Durations as Prometheus writes them: `1h30m`, `250ms`, `0`.
//!
//! Rules of `model.ParseDuration` and `model.Duration.String` (prometheus/common, `model/time.go`):
//! units in descending order, each at most once; a day has 24 hours, a week 7 days, a year 365 days.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units in descending order with their length in milliseconds. Years and weeks are only printed when they
/// divide the duration.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration that is read and printed in Prometheus's form, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PromDuration(pub Duration);

/// A text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid duration: {0:?}; write for example 30s, 5m, 1h30m or 2d")]
pub struct InvalidDuration(pub String);

impl PromDuration {
    /// A duration of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// In milliseconds, saturated.
    #[must_use]
    pub fn as_ms(self) -> i64 {
        i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX)
    }
}

impl FromStr for PromDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidDuration(text.to_owned());
        if text == "0" {
            return Ok(Self(Duration::ZERO));
        }
        let mut rest = text;
        let mut total_ms: u64 = 0;
        let mut units = UNITS.iter();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, tail) = tail.split_at(letters);
            // `units` is not rewound: a unit may only follow a larger one.
            let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
            total_ms = number
                .parse::<u64>()
                .ok()
                .and_then(|n| n.checked_mul(*unit_ms))
                .and_then(|ms| total_ms.checked_add(ms))
                .ok_or_else(invalid)?;
            rest = tail;
        }
        if text.is_empty()
            || i64::try_from(total_ms).map_or(true, |ms| ms.checked_mul(1_000_000).is_none())
        {
            return Err(invalid());
        }
        Ok(Self(Duration::from_millis(total_ms)))
    }
}

impl fmt::Display for PromDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            let exact_only = matches!(unit, "y" | "w");
            if rest < unit_ms || (exact_only && !rest.is_multiple_of(unit_ms)) {
                continue;
            }
            write!(f, "{}{unit}", rest / unit_ms)?;
            rest %= unit_ms;
        }
        Ok(())
    }
}

impl Serialize for PromDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PromDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ms(text: &str) -> Option<u128> {
        text.parse::<PromDuration>().ok().map(|d| d.0.as_millis())
    }

    #[test]
    fn reads_units_in_descending_order() {
        assert_eq!(ms("1h30m"), Some(5_400_000));
        assert_eq!(ms("250ms"), Some(250));
        assert_eq!(
            ms("1y1w1d1h1m1s1ms"),
            Some(31_536_000_000 + 604_800_000 + 86_400_000 + 3_661_001)
        );
        assert_eq!(ms("0"), Some(0));
        assert_eq!(ms("0s"), Some(0));
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "5",
            "m",
            "1m1h",
            "1m1m",
            "1.5h",
            "-1s",
            "1 h",
            "1hh",
            "300000y",
            "99999999999999999999s",
            "1é",
        ] {
            assert_eq!(ms(text), None, "{text:?}");
        }
    }

    #[test]
    fn prints_as_prometheus_does() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (300_000, "5m"),
            (5_400_000, "1h30m"),
            (86_400_000 * 15, "15d"),
            (86_400_000 * 14, "2w"),
            (86_400_000 * 365, "1y"),
            (86_400_000 * 366, "366d"),
        ] {
            assert_eq!(PromDuration(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
