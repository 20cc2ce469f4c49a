//! What happened to a series in a window: [`WindowSummary`], a fold over its floats whose state can be
//! merged in time order. The one implementation of `increase`, `rate` and their relatives; used by PromQL,
//! the rollup writer and the SLO ledger.
//!
//! Invariants
//! - `of(a ++ b)` equals `of(a)` merged with `of(b)`, bit for bit in every field but the pair
//!   `(sum, sum_c)`; merging is associative in the same sense, an empty summary is neutral.
//! - [`Sliding`] and [`Overlapping`] give for many windows at once the bits that [`slices`] gives for each.
//! - [`Pieces`] gives for many windows at once what merging summaries gives for each.
//! - [`slices`] gives the same bits as a summary for every function that both have.
//! - A counter reset, a change, a minimum are what Prometheus 3.x takes for them (`promql/functions.go`).
//!
//! Exactness against Prometheus over the raw samples, when the summary was merged from pieces:
//! - bit for bit: `rate`, `increase`, `delta`, `irate`, `idelta`, `resets`, `changes`, count, first, last,
//!   min, max and their times;
//! - `sum`, `avg`: bit for bit while all values are integers and sums stay below 2^53, otherwise within 1 ulp of
//!   the compensated sum unless values cancel: the compensation of each piece is rounded, so that the last bits of a
//!   small sum of large values differ, and one that overflows on the way may be infinite or NaN in pieces alone;
//! - a summary filled by `push` alone gives `sum` and `avg` bit for bit;
//! - not mergeable, hence only in [`slices`]: `stdvar`, `stddev`, and `avg` once the sum overflows.

mod bounds;
mod extrapolate;
mod overlapping;
mod pieces;
mod pre_resets;
pub mod slices;
mod sliding;
#[cfg(test)]
mod tests;

pub use extrapolate::{RangeWindow, compensated_add};
pub use overlapping::{Fold, Overlapping};
pub use pieces::{Need, PieceCursor, Pieces};
pub use pre_resets::PreResets;
pub use sliding::{Change, Sliding, Spaced};

use super::is_stale;
use extrapolate::{Edges, Outcome, extrapolate, instant_delta, instant_rate, is_change};

/// Summary of the floats of one series in one window. With `count` 0 only `stale_ts` says something.
#[derive(Debug, Clone, Default)]
pub struct WindowSummary {
    /// Samples; NaN counts, stale markers do not.
    pub count: u64,
    /// Time of the first sample in milliseconds.
    pub first_ts: i64,
    /// The first sample.
    pub first: f64,
    /// Time of the last sample in milliseconds.
    pub last_ts: i64,
    /// The last sample.
    pub last: f64,
    /// Time of the sample before the last one; says something from two samples on.
    pub prev_ts: i64,
    /// The sample before the last one; says something from two samples on.
    pub prev: f64,
    /// Smallest value, the first of equal ones; NaN only when all are.
    pub min: f64,
    /// Time of the smallest value, the latest of equal ones.
    pub min_ts: i64,
    /// Largest value, the first of equal ones; NaN only when all are.
    pub max: f64,
    /// Time of the largest value, the latest of equal ones.
    pub max_ts: i64,
    /// Sum; to be read together with `sum_c`, see [`WindowSummary::sum`].
    pub sum: f64,
    /// Compensation of the sum.
    pub sum_c: f64,
    /// Samples that differ from the one before.
    pub changes: u64,
    /// The values before counter resets in time order; as many as there are resets.
    pub pre_resets: PreResets,
    /// Time of the stale marker when the newest point of the window is one.
    pub stale_ts: Option<i64>,
}

impl WindowSummary {
    /// Summary of samples in columns; stale markers may be among them.
    #[must_use]
    pub fn of(ts: &[i64], values: &[f64]) -> Self {
        let mut summary = Self::default();
        for (&ts, &value) in ts.iter().zip(values) {
            summary.push(ts, value);
        }
        summary
    }

    /// Takes in the next sample or stale marker; `ts` is later than all before.
    pub fn push(&mut self, ts: i64, value: f64) {
        if is_stale(value) {
            self.stale_ts = Some(ts);
            return;
        }
        self.stale_ts = None;
        if self.count == 0 {
            (self.first_ts, self.first) = (ts, value);
            (self.min_ts, self.min, self.max_ts, self.max) = (ts, value, ts, value);
        } else {
            self.step_to(value);
            self.take_extremes((ts, value), (ts, value));
            (self.prev_ts, self.prev) = (self.last_ts, self.last);
        }
        (self.last_ts, self.last) = (ts, value);
        (self.sum, self.sum_c) = compensated_add(value, self.sum, self.sum_c);
        self.count += 1;
    }

    /// Takes in the summary of a window that follows this one.
    pub fn merge(&mut self, later: &Self) {
        if later.count == 0 {
            self.stale_ts = later.stale_ts.or(self.stale_ts);
            return;
        }
        if self.count == 0 {
            self.clone_from(later);
            return;
        }
        self.step_to(later.first);
        self.pre_resets.append(&later.pre_resets);
        self.changes += later.changes;
        self.take_extremes((later.min_ts, later.min), (later.max_ts, later.max));
        (self.prev_ts, self.prev) =
            if later.count > 1 { (later.prev_ts, later.prev) } else { (self.last_ts, self.last) };
        (self.last_ts, self.last) = (later.last_ts, later.last);
        self.take_sum((later.sum, later.sum_c));
        self.count += later.count;
        self.stale_ts = later.stale_ts;
    }

    /// Adds the sum of samples that follow and its compensation.
    fn take_sum(&mut self, (sum, sum_c): (f64, f64)) {
        (self.sum, self.sum_c) = compensated_add(sum, self.sum, self.sum_c);
        if !self.sum.is_infinite() {
            (self.sum, self.sum_c) = compensated_add(sum_c, self.sum, self.sum_c);
        }
    }

    /// The step from the last sample to the one that follows.
    fn step_to(&mut self, next: f64) {
        if next < self.last {
            self.pre_resets.push(self.last);
        }
        self.changes += u64::from(is_change(self.last, next));
    }

    fn take_extremes(&mut self, min: (i64, f64), max: (i64, f64)) {
        if min.1 <= self.min || self.min.is_nan() {
            self.min_ts = min.0;
        }
        if min.1 < self.min || self.min.is_nan() {
            self.min = min.1;
        }
        if max.1 >= self.max || self.max.is_nan() {
            self.max_ts = max.0;
        }
        if max.1 > self.max || self.max.is_nan() {
            self.max = max.1;
        }
    }

    /// Whether the window has no sample and no stale marker.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0 && self.stale_ts.is_none()
    }

    /// Counter resets.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.pre_resets.len() as u64
    }

    /// `rate`: extrapolated change of a counter per second. `None` for fewer than two samples.
    #[must_use]
    pub fn rate(&self, window: &RangeWindow) -> Option<f64> {
        extrapolate(self.raw_increase()?, &self.edges(), window, Outcome::Rate)
    }

    /// `increase`: extrapolated change of a counter. `None` for fewer than two samples.
    #[must_use]
    pub fn increase(&self, window: &RangeWindow) -> Option<f64> {
        extrapolate(self.raw_increase()?, &self.edges(), window, Outcome::Increase)
    }

    /// `delta`: extrapolated change of a gauge. `None` for fewer than two samples.
    #[must_use]
    pub fn delta(&self, window: &RangeWindow) -> Option<f64> {
        extrapolate(self.last - self.first, &self.edges(), window, Outcome::Delta)
    }

    /// Change of a counter from the first to the last sample, resets undone, not extrapolated. Not additive
    /// over neighbouring windows: the step between them is missing, see [`WindowSummary::anchored_increase`].
    /// `None` without samples, and where the values before resets are not told.
    #[must_use]
    pub fn raw_increase(&self) -> Option<f64> {
        (self.count > 0 && self.pre_resets.are_told()).then(|| {
            self.pre_resets.iter().fold(self.last - self.first, |change, before| change + before)
        })
    }

    /// Change of a counter since `before`, the last sample ahead of the window (without one: since the first
    /// sample of the window). Additive over neighbouring windows; `increase` with `anchored`. `None` as in
    /// [`WindowSummary::raw_increase`].
    #[must_use]
    pub fn anchored_increase(&self, before: Option<f64>) -> Option<f64> {
        if self.count == 0 || !self.pre_resets.are_told() {
            return None;
        }
        let before = before.unwrap_or(self.first);
        let mut correction = 0.0;
        if self.first < before {
            correction += before;
        }
        Some(
            (self.last - before)
                + self.pre_resets.iter().fold(correction, |sum, value| sum + value),
        )
    }

    /// `irate`: change per second between the last two samples of a counter.
    #[must_use]
    pub fn irate(&self) -> Option<f64> {
        (self.count > 1)
            .then(|| instant_rate((self.prev_ts, self.prev), (self.last_ts, self.last)))
            .flatten()
    }

    /// `idelta`: change between the last two samples of a gauge.
    #[must_use]
    pub fn idelta(&self) -> Option<f64> {
        (self.count > 1)
            .then(|| instant_delta((self.prev_ts, self.prev), (self.last_ts, self.last)))
            .flatten()
    }

    /// Sum of the samples. `None` without samples.
    #[must_use]
    pub fn sum(&self) -> Option<f64> {
        (self.count > 0)
            .then(|| if self.sum.is_infinite() { self.sum } else { self.sum + self.sum_c })
    }

    /// Mean of the samples. `None` without samples, and when the sum of finite samples overflowed (or may
    /// have): then only the raw samples tell ([`slices::avg`]).
    #[must_use]
    pub fn avg(&self) -> Option<f64> {
        let infinities = u8::from(self.min.is_infinite()) + u8::from(self.max.is_infinite());
        let overflowed =
            (self.sum.is_infinite() && infinities == 0) || (self.sum.is_nan() && infinities == 1);
        (self.count > 0 && !overflowed)
            .then(|| slices::mean_of_sum(self.sum, self.sum_c, self.count))
    }

    /// What an instant selector at `at_ms` sees when this summary ends at or before it: time and value of
    /// the newest sample, unless a stale marker follows it or it is `lookback_ms` old or older.
    #[must_use]
    pub const fn instant(&self, at_ms: i64, lookback_ms: i64) -> Option<(i64, f64)> {
        if self.count == 0
            || self.stale_ts.is_some()
            || self.last_ts <= at_ms.saturating_sub(lookback_ms)
        {
            return None;
        }
        Some((self.last_ts, self.last))
    }

    const fn edges(&self) -> Edges {
        Edges {
            count: self.count,
            first_ts: self.first_ts,
            first: self.first,
            last_ts: self.last_ts,
        }
    }

    /// Whether both hold the same bits, any NaN equal to any other; without the sum's pair.
    #[must_use]
    pub fn same_but_sum(&self, other: &Self) -> bool {
        let floats = |s: &Self| {
            let two = s.count > 1;
            [s.first, s.last, s.min, s.max, if two { s.prev } else { 0.0 }].map(bits)
        };
        let whole = |s: &Self| {
            let two = s.count > 1;
            [s.first_ts, s.last_ts, s.min_ts, s.max_ts, if two { s.prev_ts } else { 0 }]
        };
        self.count == other.count
            && self.changes == other.changes
            && self.stale_ts == other.stale_ts
            && floats(self) == floats(other)
            && whole(self) == whole(other)
            && self.pre_resets.are_told() == other.pre_resets.are_told()
            && self.resets() == other.resets()
            && self.pre_resets.iter().map(bits).eq(other.pre_resets.iter().map(bits))
    }
}

/// Bits of a float, the same for every NaN.
const fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}
