//! Figures are read back from the journal as they were written.

use chrono::DateTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::slo::decimal::Decimal;
use crate::slo::report::{Count, Instant};

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from).map(Self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let at = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(Self(at.timestamp_millis()))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // The shortest text of a float is that of the decimal it was.
        f64::deserialize(from)?.to_string().parse().map_err(D::Error::custom)
    }
}
