//! Targets as they were written: decimals, never floats.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::fraction::Fraction;

/// Digits of a decimal behind its point at most.
pub const SCALE_MAX: u32 = 18;
/// Digits of a decimal in all at most.
const DIGITS_MAX: usize = 30;

/// A decimal number: `digits / 10^scale`, without zeros at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// 1.
    pub const ONE: Self = Self { digits: 1, scale: 0 };
    /// 0.
    pub const ZERO: Self = Self { digits: 0, scale: 0 };

    fn new(mut digits: i128, mut scale: u32) -> Self {
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        Self { digits, scale }
    }

    /// Numerator and denominator, the latter a power of ten.
    #[must_use]
    pub const fn fraction(self) -> (i128, i128) {
        (self.digits, 10i128.pow(self.scale))
    }

    /// The number divided by 100; `None` where that has too many digits.
    #[must_use]
    pub fn percent(self) -> Option<Self> {
        let scale = self.scale.checked_add(2).filter(|scale| *scale <= SCALE_MAX)?;
        Some(Self::new(self.digits, scale))
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        // Both are exact for all that a target is written with; the text is rounded correctly for the rest.
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Fraction::from(*self).cmp(&Fraction::from(*other))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits < 0 {
            f.write_str("-")?;
        }
        let digits = self.digits.unsigned_abs();
        let one = 10u128.pow(self.scale);
        write!(f, "{}", digits / one)?;
        if self.scale > 0 {
            write!(f, ".{:0width$}", digits % one, width = self.scale as usize)?;
        }
        Ok(())
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.to_f64())
    }
}

/// A text is no decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a decimal number like 0.999, with at most {SCALE_MAX} digits behind the point"
)]
pub struct InvalidDecimal(String);

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    /// Reads `0.999`, `1`, `-5.25`, `1e-3`.
    fn from_str(text: &str) -> Result<Self, InvalidDecimal> {
        let invalid = || InvalidDecimal(text.chars().take(40).collect());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                let exponent: i32 = exponent.parse().map_err(|_| invalid())?;
                (mantissa, exponent)
            }
            None => (text, 0),
        };
        let (negative, plain) = match mantissa.as_bytes().first() {
            Some(b'-') => (true, &mantissa[1..]),
            Some(b'+') => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let part = part.trim_end_matches('0');
        let n_digits = whole.len() + part.len();
        let none = whole.is_empty() && plain.len() < 2;
        if none || !all_digits(whole) || !all_digits(part) || n_digits > DIGITS_MAX {
            return Err(invalid());
        }
        let mut digits: i128 = 0;
        for b in whole.bytes().chain(part.bytes()) {
            digits = digits * 10 + i128::from(b - b'0');
        }
        let scale = i64::try_from(part.len()).map_err(|_| invalid())? - i64::from(exponent);
        let (digits, scale) = if scale < 0 {
            let grown = u32::try_from(-scale).ok().and_then(|by| 10i128.checked_pow(by));
            (grown.and_then(|by| digits.checked_mul(by)).ok_or_else(invalid)?, 0)
        } else {
            (digits, u32::try_from(scale).map_err(|_| invalid())?)
        };
        if scale > SCALE_MAX + DIGITS_MAX as u32 {
            return Err(invalid());
        }
        let found = Self::new(if negative { -digits } else { digits }, scale);
        if found.scale > SCALE_MAX || found.digits.unsigned_abs() >= 10u128.pow(DIGITS_MAX as u32) {
            return Err(invalid());
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn texts_keep_their_digits() {
        for (text, shown) in [
            ("0.9995", "0.9995"),
            ("1", "1"),
            ("1.0", "1"),
            ("-5.250", "-5.25"),
            (".5", "0.5"),
            ("1e-3", "0.001"),
            ("25e2", "2500"),
            ("0", "0"),
        ] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), shown, "{text}");
        }
        for wrong in ["", ".", "-", "1.2.3", "0x1", "NaN", "1e", "1e99", "0.1234567890123456789"] {
            assert!(wrong.parse::<Decimal>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_of_percent_is_a_hundredth() {
        let percent: Decimal = "99.95".parse().unwrap();
        assert_eq!(percent.percent().unwrap(), "0.9995".parse().unwrap());
        assert_eq!("0.9995".parse::<Decimal>().unwrap().to_f64(), 0.9995);
    }

    #[test]
    fn decimals_are_ordered_by_value() {
        let of = |text: &str| text.parse::<Decimal>().unwrap();
        assert!(of("0.9995") > of("0.999"));
        assert!(of("0.5") < of("1"));
        assert_eq!(of("1.50"), of("1.5"));
    }
}
