//! Exact fractions of whole numbers of any length. They are not reduced: what a verdict needs is short, and the
//! greatest common divisor of long ones would cost more than everything else.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::decimal::Decimal;
use super::sum::Sum;

/// See the module. The denominator is above zero.
#[derive(Debug, Clone)]
pub struct Fraction {
    n: BigInt,
    d: BigInt,
}

impl Fraction {
    /// 0.
    #[must_use]
    pub fn zero() -> Self {
        Self { n: BigInt::zero(), d: BigInt::one() }
    }

    /// `n / d`; `None` when `d` is 0.
    #[must_use]
    pub fn new(n: BigInt, d: BigInt) -> Option<Self> {
        match d.sign() {
            Sign::Plus => Some(Self { n, d }),
            Sign::Minus => Some(Self { n: -n, d: -d }),
            Sign::NoSign => None,
        }
    }

    /// A whole number.
    #[must_use]
    pub fn whole(n: i64) -> Self {
        Self { n: BigInt::from(n), d: BigInt::one() }
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.n.is_zero()
    }

    /// Whether it is above 0.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.n.is_positive()
    }

    /// `self + other`
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        if self.d == other.d {
            return Self { n: &self.n + &other.n, d: self.d.clone() };
        }
        Self { n: &self.n * &other.d + &other.n * &self.d, d: &self.d * &other.d }
    }

    /// `self - other`
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.plus(&Self { n: -other.n.clone(), d: other.d.clone() })
    }

    /// `self * other`
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self { n: &self.n * &other.n, d: &self.d * &other.d }
    }

    /// `self / other`; `None` when that is 0.
    #[must_use]
    pub fn over(&self, other: &Self) -> Option<Self> {
        Self::new(&self.n * &other.d, &self.d * &other.n)
    }

    /// `1 - self`
    #[must_use]
    pub fn rest(&self) -> Self {
        Self { n: &self.d - &self.n, d: self.d.clone() }
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        BigRational::new_raw(self.n.clone(), self.d.clone()).to_f64().unwrap_or_default()
    }
}

impl From<Decimal> for Fraction {
    fn from(decimal: Decimal) -> Self {
        let (n, d) = decimal.fraction();
        Self { n: BigInt::from(n), d: BigInt::from(d) }
    }
}

impl From<&Sum> for Fraction {
    fn from(sum: &Sum) -> Self {
        let (n, d) = sum.rational().into();
        Self { n, d }
    }
}

impl PartialEq for Fraction {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Fraction {}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fraction {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.n * &other.d).cmp(&(&other.n * &self.d))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn of(n: i64, d: i64) -> Fraction {
        Fraction::new(n.into(), d.into()).unwrap()
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(of(1, 3).plus(&of(1, 6)), of(1, 2));
        assert_eq!(of(1, 2).minus(&of(2, 3)), of(-1, 6));
        assert_eq!(of(2, 3).times(&of(3, 4)), of(1, 2));
        assert_eq!(of(1, 2).over(&of(-3, 4)).unwrap(), of(-2, 3));
        assert_eq!(of(1, 2).over(&Fraction::zero()), None);
        assert_eq!(of(1, 201).rest(), of(200, 201));
        assert!(of(-1, 6) < Fraction::zero());
    }

    #[test]
    fn floats_are_the_nearest() {
        assert_eq!(of(200, 201).to_f64(), 200.0 / 201.0);
        assert_eq!(of(-257, 743).to_f64(), -257.0 / 743.0);
        let long = num_bigint::BigInt::from(10).pow(5000);
        let third = Fraction::new(long.clone(), &long * 3).unwrap();
        assert_eq!(third.to_f64(), 1.0 / 3.0);
    }
}
