//! Counts that are added up in any order: integers stay integers, others lose nothing that a reader would see.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

/// The largest integer up to which all are floats.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// A sum of floats with what its roundings lost (Neumaier 1974). Sums of integers below 2^53 are exact, in any order
/// and over any partition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sum {
    value: f64,
    rest: f64,
}

impl Sum {
    /// One number.
    #[must_use]
    pub const fn of(value: f64) -> Self {
        Self { value, rest: 0.0 }
    }

    /// Adds a number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        let sum = self.value + x;
        self.rest += if self.value.abs() >= x.abs() {
            (self.value - sum) + x
        } else {
            (x - sum) + self.value
        };
        self.value = sum;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.add(other.value);
        self.rest += other.rest;
    }

    /// The sum less another.
    #[must_use]
    pub fn less(mut self, other: &Self) -> Self {
        self.add(-other.value);
        self.rest -= other.rest;
        self
    }

    /// As one number.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.value + self.rest
    }

    /// Whether nothing was added, or what cancels out.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.get() == 0.0
    }

    /// The integer it is, if it is one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let value = self.get();
        // Within the bounds, so that nothing is cut off.
        (self.rest.fract() == 0.0 && value.fract() == 0.0 && value.abs() <= INTEGER_MAX)
            .then_some(value as i64)
    }

    /// The exact value of what it holds.
    #[must_use]
    pub fn rational(&self) -> BigRational {
        match self.integer() {
            Some(n) => BigRational::from_integer(BigInt::from(n)),
            None => float(self.value) + float(self.rest),
        }
    }
}

/// The fraction that a float is; 0 for what is no number.
#[must_use]
pub fn float(value: f64) -> BigRational {
    BigRational::from_float(value).unwrap_or_else(BigRational::zero)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn integers_are_exact_in_any_order() {
        let numbers = [9e15, 1.0, -9e15, 3.0, 7.0, 1e15, -1e15];
        let mut forward = Sum::default();
        numbers.iter().for_each(|n| forward.add(*n));
        let mut halves = [Sum::default(), Sum::default()];
        numbers.iter().rev().enumerate().for_each(|(i, n)| halves[i % 2].add(*n));
        let [mut all, other] = halves;
        all.merge(&other);
        assert_eq!((forward.get(), all.get()), (11.0, 11.0));
        assert_eq!(forward.integer(), Some(11));
        assert_eq!(forward.less(&Sum::of(4.0)).integer(), Some(7));
    }

    #[test]
    fn other_numbers_keep_what_rounding_takes() {
        let mut sum = Sum::default();
        (0..10).for_each(|_| sum.add(0.1));
        assert_eq!(sum.get(), 1.0);
        assert_eq!(sum.integer(), None);
        assert_eq!(Sum::of(0.5).rational(), BigRational::new(1.into(), 2.into()));
    }
}
