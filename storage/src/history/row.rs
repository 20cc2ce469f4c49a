//! One row of a rollup: a persisted [`WindowSummary`], and what outside engines want beside it.

use xxhash_rust::xxh3::xxh3_64;

use super::schema::RESETS_TOLD_MAX;
use crate::model::window::PreResets;
use crate::model::{Labels, WindowSummary, is_stale};

/// What happened to a series in one window of a tier.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// End of the window in milliseconds, itself inside.
    pub end_ms: i64,
    /// The floats of the window.
    pub summary: WindowSummary,
    /// Increase since the last float before the window, that of the day before at the earliest; without one,
    /// since the first float of the window. Sums over neighbouring windows. Absent without floats.
    pub inc: Option<f64>,
    /// Sum of the floats before resets, in the order of time; absent without a reset.
    pub reset_sum: Option<f64>,
    /// Whether all floats are whole numbers: their sums are then exact below 2^53, in whatever order.
    pub whole: bool,
    /// Native histograms in the window, of which a row says nothing else.
    pub n_histograms: u64,
}

impl Row {
    /// A row without samples.
    #[must_use]
    pub fn empty(end_ms: i64) -> Self {
        Self { end_ms, whole: true, ..Self::default() }
    }

    /// Whether the window held nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.summary.is_empty() && self.n_histograms == 0
    }

    /// Takes in the next float or stale marker of the window.
    pub fn push(&mut self, ts: i64, value: f64) {
        self.summary.push(ts, value);
        self.whole &= is_stale(value) || (value.is_finite() && value.trunc() == value);
    }

    /// Takes in the next native histogram of the window, or a stale marker among them.
    pub fn push_histogram(&mut self, ts: i64, is_stale: bool) {
        self.summary.stale_ts = is_stale.then_some(ts);
        self.n_histograms += u64::from(!is_stale);
    }

    /// Makes the row what a file tells of it, after which it is not merged any more: the values before many resets
    /// become their sum. Without that a day of noisy gauges would be held in memory as all of its samples.
    pub fn close(&mut self) {
        let before = &mut self.summary.pre_resets;
        // Begins with the first value, not with 0: -0 stays what it is.
        self.reset_sum = before.iter().reduce(|sum, value| sum + value);
        if before.len() > RESETS_TOLD_MAX {
            *before = PreResets::untold(u32::try_from(before.len()).unwrap_or(u32::MAX));
        }
    }

    /// Takes in the row of a window that follows; the increase is left as it is.
    pub fn merge(&mut self, later: &Self) {
        self.summary.merge(&later.summary);
        self.whole &= later.whole;
        self.n_histograms += later.n_histograms;
    }

    /// Whether both hold the same bits; any NaN equals any other.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        let more = |row: &Self| {
            let sums = (row.inc.map(bits), row.reset_sum.map(bits));
            (row.end_ms, sums, row.whole, row.n_histograms)
        };
        let sums = |row: &Self| {
            (row.summary.count > 0).then(|| [row.summary.sum, row.summary.sum_c].map(bits))
        };
        self.summary.same_but_sum(&other.summary)
            && sums(self) == sums(other)
            && more(self) == more(other)
    }
}

/// The rows of one series, ascending in time.
#[derive(Debug, Clone)]
pub struct SeriesRows {
    /// Its label set.
    pub labels: Labels,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// Names a series in the tables. A hash of its labels: the same in every file, for ever; two series of one
/// metric have the same only by an accident of one in 2^64 for each pair.
#[must_use]
pub fn series_id(labels: &Labels) -> i64 {
    xxh3_64(labels.as_bytes()).cast_signed()
}

/// The order of series in a file: by metric, id and labels.
#[must_use]
pub fn series_order(labels: &Labels) -> (&str, i64, &Labels) {
    (labels.metric_name(), series_id(labels), labels)
}
