//! One row of a rollup: a persisted [`WindowSummary`], and what outside engines want beside it.

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Labels, WindowSummary};

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
        let more = |row: &Self| (row.end_ms, row.inc.map(bits), row.whole, row.n_histograms);
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
