//! Settings with a word for a special case.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::PromDuration;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Once it is on the disk.
    Always,
    /// At once; the disk follows after this time at the latest.
    Interval(PromDuration),
}

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "always" {
            return Ok(Self::Always);
        }
        match text.parse::<PromDuration>() {
            Ok(interval) if !interval.0.is_zero() => Ok(Self::Interval(interval)),
            _ => Err(format!(
                "not a sync mode: {text:?}; write 'always' or an interval such as 200ms"
            )),
        }
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(interval) => interval.fmt(f),
        }
    }
}

/// Age at which samples are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Never.
    Unlimited,
    /// After this time.
    After(PromDuration),
}

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if matches!(text, "unlimited" | "0" | "0s") {
            return Ok(Self::Unlimited);
        }
        text.parse().map(Self::After).map_err(|_| {
            format!("not a retention: {text:?}; write 'unlimited' or a duration such as 90d")
        })
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::After(age) => age.fmt(f),
        }
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}
serde_as_text!(Sync);
serde_as_text!(Retention);
