//! Folds over the samples of one window as they lie in memory: what a query over raw samples runs.
//! Same arithmetic and same bits as [`WindowSummary`](super::WindowSummary), but each touches only what it
//! needs. `ts` and `values` are parallel, ascending in time, **without stale markers**.

use super::extrapolate::{
    Edges, Outcome, count_as_f64, extrapolate, instant_delta, instant_rate, is_change,
    millis_as_f64,
};
use super::{RangeWindow, compensated_add};

/// Values looked at at once when searching for a reset.
const STRIDE: usize = 64;

/// `rate`: extrapolated change of a counter per second. `None` for fewer than two samples.
#[must_use]
pub fn rate(ts: &[i64], values: &[f64], window: &RangeWindow) -> Option<f64> {
    over_edges(ts, values, window, Outcome::Rate)
}

/// `increase`: extrapolated change of a counter. `None` for fewer than two samples.
#[must_use]
pub fn increase(ts: &[i64], values: &[f64], window: &RangeWindow) -> Option<f64> {
    over_edges(ts, values, window, Outcome::Increase)
}

/// `delta`: extrapolated change of a gauge. `None` for fewer than two samples.
#[must_use]
pub fn delta(ts: &[i64], values: &[f64], window: &RangeWindow) -> Option<f64> {
    over_edges(ts, values, window, Outcome::Delta)
}

fn over_edges(ts: &[i64], values: &[f64], window: &RangeWindow, outcome: Outcome) -> Option<f64> {
    let (&[first_ts, .., last_ts], &[first, .., last]) = (ts, values) else { return None };
    let mut change = last - first;
    if outcome != Outcome::Delta {
        change = add_pre_resets(values, change);
    }
    extrapolate(
        change,
        &Edges { count: ts.len() as u64, first_ts, first, last_ts },
        window,
        outcome,
    )
}

/// Adds the value before each reset to `change`, in time order. Looks at a whole stride for a sign of a
/// reset first, which compiles to vector compares.
fn add_pre_resets(values: &[f64], mut change: f64) -> f64 {
    for_resets(values, |before| change += before);
    change
}

fn for_resets(values: &[f64], mut found: impl FnMut(f64)) {
    let Some((_, later)) = values.split_first() else { return };
    for (before, after) in values.chunks(STRIDE).zip(later.chunks(STRIDE)) {
        let any = before.iter().zip(after).fold(false, |any, (b, a)| any | (a < b));
        if any {
            for (b, a) in before.iter().zip(after) {
                if a < b {
                    found(*b);
                }
            }
        }
    }
}

/// Change between the edges of a window as the modifiers `anchored` and `smoothed` define it
/// (`promql/functions.go`, `extendedRate`); not extrapolated.
///
/// The slices hold the newest sample at or before the window's beginning, those inside, and (for `smoothed`)
/// the oldest at or after its end. Anchored: from the sample before the beginning to the last one.
/// Smoothed: both edges are interpolated. `None` when no sample lies behind the beginning.
#[must_use]
pub fn edge_change(
    ts: &[i64],
    values: &[f64],
    window: &RangeWindow,
    smoothed: bool,
    is_counter: bool,
) -> Option<f64> {
    let mut last = ts.len().min(values.len()).checked_sub(1)?;
    let first = ts[..last].partition_point(|&ts| ts <= window.start_ms).saturating_sub(1);
    if smoothed {
        last = ts[..last].partition_point(|&ts| ts < window.end_ms);
    }
    let at = |index: usize| Some((*ts.get(index)?, *values.get(index)?));
    let (first_sample, last_sample) = (at(first)?, at(last)?);
    if last_sample.0 <= window.start_ms || (smoothed && first_sample.0 > window.end_ms) {
        return None;
    }
    let left = match at(first + 1) {
        Some(next) if smoothed && first_sample.0 < window.start_ms => {
            interpolate(first_sample, next, window.start_ms, is_counter)
        }
        _ => first_sample.1,
    };
    let right = match last.checked_sub(1).and_then(at) {
        Some(before) if smoothed && last_sample.0 > window.end_ms => {
            interpolate(before, last_sample, window.end_ms, is_counter)
        }
        _ => last_sample.1,
    };
    let mut change = right - left;
    if is_counter {
        let from = first + usize::from(first_sample.0 <= window.start_ms);
        let to = last + usize::from(last_sample.0 < window.end_ms);
        let (mut before, mut correction) = (left, 0.0);
        for &value in values.get(from..to).into_iter().flatten().chain([&right]) {
            if value < before {
                correction += before;
            }
            before = value;
        }
        change += correction;
    }
    Some(change)
}

/// Value at `at_ms` on the line through two samples; a counter that was reset between them rises from 0.
#[must_use]
pub fn interpolate(before: (i64, f64), after: (i64, f64), at_ms: i64, is_counter: bool) -> f64 {
    let from = if is_counter && after.1 < before.1 { 0.0 } else { before.1 };
    let passed = millis_as_f64(at_ms.wrapping_sub(before.0));
    from + (after.1 - from) * passed / millis_as_f64(after.0.wrapping_sub(before.0))
}

/// `irate`: change per second between the last two samples of a counter.
#[must_use]
pub fn irate(ts: &[i64], values: &[f64]) -> Option<f64> {
    let (&[.., prev_ts, last_ts], &[.., prev, last]) = (ts, values) else { return None };
    instant_rate((prev_ts, prev), (last_ts, last))
}

/// `idelta`: change between the last two samples of a gauge.
#[must_use]
pub fn idelta(ts: &[i64], values: &[f64]) -> Option<f64> {
    let (&[.., prev_ts, last_ts], &[.., prev, last]) = (ts, values) else { return None };
    instant_delta((prev_ts, prev), (last_ts, last))
}

/// Counter resets: samples smaller than the one before.
#[must_use]
pub fn resets(values: &[f64]) -> u64 {
    values.windows(2).map(|pair| u64::from(matches!(pair, [before, now] if now < before))).sum()
}

/// Samples that differ from the one before; NaN after NaN does not.
#[must_use]
pub fn changes(values: &[f64]) -> u64 {
    values
        .windows(2)
        .map(|pair| u64::from(matches!(pair, [before, now] if is_change(*before, *now))))
        .sum()
}

/// Compensated sum; 0 for no values.
#[must_use]
pub fn sum(values: &[f64]) -> f64 {
    let (sum, compensation) =
        values.iter().fold((0.0, 0.0), |(sum, c), &value| compensated_add(value, sum, c));
    if sum.is_infinite() { sum } else { sum + compensation }
}

/// Mean from the compensated sum; once the sum overflows, incremental mean from there on
/// (`funcAvgOverTime`). `None` for no values.
#[must_use]
pub fn avg(values: &[f64]) -> Option<f64> {
    let (&first, later) = values.split_first()?;
    let (mut sum, mut compensation, mut count) = (first, 0.0, 1.0);
    let mut mean = None;
    for &value in later {
        count += 1.0;
        if mean.is_none() {
            let (new_sum, new_compensation) = compensated_add(value, sum, compensation);
            if !new_sum.is_infinite() {
                (sum, compensation) = (new_sum, new_compensation);
                continue;
            }
            compensation /= count - 1.0;
        }
        let so_far = mean.unwrap_or(sum / (count - 1.0));
        let share = (count - 1.0) / count;
        let (new_mean, new_compensation) =
            compensated_add(value / count, share * so_far, share * compensation);
        mean = Some(new_mean);
        compensation = new_compensation;
    }
    Some(match mean {
        Some(mean) => mean + compensation,
        None => sum / count + compensation / count,
    })
}

/// Population variance, Welford's algorithm with compensated sums (`varianceOverTime`). `None` for no values.
#[must_use]
pub fn stdvar(values: &[f64]) -> Option<f64> {
    let mut deviation = Deviation::default();
    values.iter().for_each(|value| deviation.add(*value));
    (!values.is_empty()).then(|| deviation.variance())
}

/// A variance that grows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deviation {
    count: f64,
    mean: f64,
    mean_c: f64,
    squares: f64,
    squares_c: f64,
}

impl Deviation {
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let deviation = value - (self.mean + self.mean_c);
        (self.mean, self.mean_c) = compensated_add(deviation / self.count, self.mean, self.mean_c);
        let share = deviation * (value - (self.mean + self.mean_c));
        (self.squares, self.squares_c) = compensated_add(share, self.squares, self.squares_c);
    }

    pub(super) fn variance(self) -> f64 {
        (self.squares + self.squares_c) / self.count
    }
}

/// Population standard deviation; as [`stdvar`].
#[must_use]
pub fn stddev(values: &[f64]) -> Option<f64> {
    stdvar(values).map(f64::sqrt)
}

/// The smallest value that is not NaN, the first of equal ones; NaN when all are.
#[must_use]
pub fn min(values: &[f64]) -> Option<f64> {
    let (&first, later) = values.split_first()?;
    Some(
        later
            .iter()
            .fold(first, |min, &value| if value < min || min.is_nan() { value } else { min }),
    )
}

/// The largest value that is not NaN, the first of equal ones; NaN when all are.
#[must_use]
pub fn max(values: &[f64]) -> Option<f64> {
    let (&first, later) = values.split_first()?;
    Some(
        later
            .iter()
            .fold(first, |max, &value| if value > max || max.is_nan() { value } else { max }),
    )
}

/// Index of the smallest value, the latest of equal ones.
#[must_use]
pub fn last_min_index(values: &[f64]) -> Option<usize> {
    extreme_index(values, |value, extreme| value <= extreme)
}

/// Index of the largest value, the latest of equal ones.
#[must_use]
pub fn last_max_index(values: &[f64]) -> Option<usize> {
    extreme_index(values, |value, extreme| value >= extreme)
}

fn extreme_index(values: &[f64], beats: impl Fn(f64, f64) -> bool) -> Option<usize> {
    let (mut index, mut extreme) = (0, *values.first()?);
    for (at, &value) in values.iter().enumerate() {
        if beats(value, extreme) || extreme.is_nan() {
            (index, extreme) = (at, value);
        }
    }
    Some(index)
}

/// Mean of a number of values whose compensated sum is known.
pub(super) fn mean_of_sum(sum: f64, compensation: f64, count: u64) -> f64 {
    let count = count_as_f64(count);
    sum / count + compensation / count
}
