//! Samples, time ranges, the stale marker.

use std::sync::Arc;

use super::Histogram;

/// Bits of the NaN by which Prometheus marks the end of a series
/// (`model/value/value.go`, `StaleNaN`). Kept bit for bit.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float.
#[must_use]
pub const fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// Whether `value` is the stale marker (and not any other NaN).
#[must_use]
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// Oldest timestamp that is taken: 285,000 years before the epoch, so that no difference overflows.
pub(crate) const TS_MIN: i64 = -(1 << 53);

/// A span of time in milliseconds since the epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeRange {
    /// First millisecond.
    pub min: i64,
    /// Last millisecond.
    pub max: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { min: i64::MIN, max: i64::MAX };

    /// From `min` to `max`, both included; empty when `max < min`.
    #[must_use]
    pub const fn new(min: i64, max: i64) -> Self {
        Self { min, max }
    }

    /// Whether `ts` lies inside.
    #[must_use]
    pub const fn contains(&self, ts: i64) -> bool {
        self.min <= ts && ts <= self.max
    }

    /// Whether the two share a millisecond.
    #[must_use]
    pub const fn overlaps(&self, other: &Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn hull(&self, other: &Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The samples of one series in columns, each column ascending in time without equal timestamps.
/// Floats and histograms lie side by side; at one timestamp there is only one of them.
/// A buffer to be reused: `clear` keeps the memory.
#[derive(Debug, Clone, Default)]
pub struct SeriesData {
    /// Timestamps of the floats, in milliseconds.
    pub ts: Vec<i64>,
    /// The floats, parallel to `ts`; stale markers included.
    pub values: Vec<f64>,
    /// Start timestamps of the floats in milliseconds, parallel to `ts`, 0 where unset; empty when none is set.
    pub start_ts: Vec<i64>,
    /// Native histograms; a stale marker is a histogram whose sum has its bits.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

impl SeriesData {
    /// Forgets the samples and keeps the memory.
    pub fn clear(&mut self) {
        self.ts.clear();
        self.values.clear();
        self.start_ts.clear();
        self.histograms.clear();
    }

    /// Whether there is no sample of either kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ts.is_empty() && self.histograms.is_empty()
    }

    /// Samples of both kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ts.len() + self.histograms.len()
    }
}
