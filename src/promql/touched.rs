//! How many samples an evaluation touches, as Prometheus counts them (`totalQueryableSamples`,
//! `util/stats/query_stats.go`): every step counts as if it were a query of its own.
//!
//! The samples below a subquery do not count, its results do where a function takes them in; what does not depend on
//! the step counts at every step.

use std::sync::atomic::{AtomicU64, Ordering};

use nines_storage::model::{Counts, Histogram};

use super::row::{Row, is_absent};

/// Samples touched, in all and, where that was asked for, step by step.
#[derive(Debug, Default)]
pub(super) struct Touched {
    total: AtomicU64,
    by_step: Option<Vec<AtomicU64>>,
}

impl Touched {
    /// Counts every one of `n` steps apart.
    pub(super) fn step_by_step(n: usize) -> Self {
        Self {
            total: AtomicU64::new(0),
            by_step: Some((0..n).map(|_| AtomicU64::new(0)).collect()),
        }
    }

    /// Whether steps are counted apart.
    pub(super) const fn has_steps(&self) -> bool {
        self.by_step.is_some()
    }

    /// Samples touched in all steps.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts samples whose steps do not matter.
    pub(super) fn add(&self, n: u64) {
        self.total.fetch_add(n, Ordering::Relaxed);
    }

    /// Attributes samples that [`Self::add`] has counted to their step.
    pub(super) fn attribute(&self, step: usize, n: u64) {
        if let Some(place) = self.by_step.as_ref().and_then(|steps| steps.get(step)) {
            place.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts samples of one step.
    pub(super) fn add_at(&self, step: usize, n: u64) {
        self.add(n);
        self.attribute(step, n);
    }

    /// Counts `n` samples at each of `n_steps` steps.
    pub(super) fn add_everywhere(&self, n: u64, n_steps: usize) {
        self.add(n.saturating_mul(n_steps as u64));
        for step in self.by_step.iter().flatten() {
            step.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts the samples of a row of an instant selector, of which `n_floats` are floats.
    pub(super) fn add_row(&self, row: &Row, n_floats: usize) {
        self.add(n_floats as u64);
        if self.has_steps() {
            for (step, value) in row.values.iter().enumerate() {
                self.attribute(step, u64::from(!is_absent(*value)));
            }
        }
        for (step, histogram) in &row.histograms {
            self.add_at(*step, weight(histogram));
        }
    }

    /// The counts of the steps.
    pub(super) fn steps(&self) -> Option<Vec<u64>> {
        let steps = self.by_step.as_ref()?;
        Some(steps.iter().map(|n| n.load(Ordering::Relaxed)).collect())
    }
}

/// What a native histogram counts for: its size in floats of 16 bytes (`HPoint.size`).
pub(super) fn weight(histogram: &Histogram) -> u64 {
    /// `FloatHistogram` without what its slices point to.
    const STRUCT_BYTES: usize = 168;
    let n_buckets = match &histogram.counts {
        Counts::Integer { positive, negative, .. } => positive.len() + negative.len(),
        Counts::Float { positive, negative, .. } => positive.len() + negative.len(),
    };
    let n_spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    let n = n_buckets + n_spans + histogram.custom_values.len();
    ((STRUCT_BYTES + 8 * n + 8) / 16) as u64
}
