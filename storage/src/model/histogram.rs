//! Native histograms as they are stored: lossless, an opaque column value; what they mean in `buckets`,
//! which ones are accepted in `validate`, how many bytes they take in `codec`.

mod bounds;
mod buckets;
mod codec;
#[cfg(test)]
mod tests;
mod validate;

pub use validate::HistogramError;

/// Schema of histograms with custom buckets.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of buckets: `offset` from the end of the run before (from bucket 0 for the first), `length` buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Gap before the run; may be negative for the first only.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// What the sender said about a counter reset before this histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHint {
    /// Nothing.
    #[default]
    Unknown,
    /// There was one.
    Yes,
    /// There was none.
    No,
    /// A gauge histogram: resets have no meaning.
    Gauge,
}

/// Counts of a histogram exactly as they were sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Counts {
    /// Integer counts; buckets as deltas, each to the bucket before.
    Integer {
        /// Observations.
        count: u64,
        /// Observations in the zero bucket.
        zero_count: u64,
        /// Positive buckets.
        positive: Vec<i64>,
        /// Negative buckets.
        negative: Vec<i64>,
    },
    /// Float counts; buckets absolute.
    Float {
        /// Observations.
        count: f64,
        /// Observations in the zero bucket.
        zero_count: f64,
        /// Positive buckets.
        positive: Vec<f64>,
        /// Negative buckets.
        negative: Vec<f64>,
    },
}

/// A native histogram, lossless: exponential schemas -4 to 8 and custom buckets (schema -53).
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Resolution, or -53 for custom buckets.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Sum of the observations; the stale marker's bits mark the end of the series.
    pub sum: f64,
    /// Counter reset hint.
    pub reset_hint: ResetHint,
    /// Runs of positive buckets.
    pub positive_spans: Vec<Span>,
    /// Runs of negative buckets.
    pub negative_spans: Vec<Span>,
    /// Upper bounds of custom buckets, ascending; empty for exponential schemas.
    pub custom_values: Vec<f64>,
    /// The counts.
    pub counts: Counts,
    /// Start timestamp in milliseconds, 0 where unset.
    pub start_ts: i64,
}

/// A bucket with its bounds and its own (not cumulative) count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
}

impl Histogram {
    /// Whether this is the stale marker of a histogram series.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        super::is_stale(self.sum)
    }

    /// Whether its buckets are custom ones.
    #[must_use]
    pub const fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> f64 {
        match self.counts {
            Counts::Integer { count, .. } => count as f64,
            Counts::Float { count, .. } => count,
        }
    }
}
