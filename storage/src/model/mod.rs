//! The words of the store: what a series, a sample and a matcher are. No I/O, no locks, no clock.

mod calendar;
mod histogram;
mod ids;
mod labels;
mod matcher;
mod sample;
pub mod window;

pub use calendar::{DAY_MS, civil_date, days_to_date};
pub use histogram::{
    Bucket, CUSTOM_BUCKETS_SCHEMA, Counts, Histogram, HistogramError, ResetHint, Span,
};
pub use ids::{SeriesOrd, SeriesRef};
pub(crate) use labels::split_pair;
pub use labels::{Labels, LabelsBuilder, METRIC_NAME};
pub use matcher::{MatchOp, Matcher};
pub(crate) use sample::TS_MIN;
pub use sample::{STALE_NAN_BITS, SeriesData, TimeRange, is_stale, stale_nan};
pub use window::{RangeWindow, WindowSummary};
