//! `*_over_time`: aggregations over the samples of a window.

use nines_storage::model::window::slices;

use super::rates::floats_alone;
use super::{Note, Notes, Window, quantile::quantile as quantile_of};

/// Whether there are floats; notes histograms beside them, which are ignored.
pub(super) fn floats_of(window: &Window<'_>, notes: &mut Notes) -> bool {
    if window.values.is_empty() {
        return false;
    }
    if !window.histograms.is_empty() {
        notes.add(Note::HistogramIgnoredInMixedRange { metric: window.metric.to_owned() });
    }
    true
}

#[allow(clippy::cast_precision_loss, reason = "times and counts far below 2^53")]
const fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

pub(super) fn sum(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    (floats_alone(window, notes) && !window.values.is_empty()).then(|| slices::sum(window.values))
}

pub(super) fn avg(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_alone(window, notes).then(|| slices::avg(window.values)).flatten()
}

#[allow(clippy::cast_precision_loss, reason = "counts of samples in memory")]
pub(super) fn count(window: &Window<'_>, _: &mut Notes) -> Option<f64> {
    Some((window.values.len() + window.histograms.len()) as f64)
}

pub(super) fn present(_: &Window<'_>, _: &mut Notes) -> Option<f64> {
    Some(1.0)
}

pub(super) fn min(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes).then(|| slices::min(window.values)).flatten()
}

pub(super) fn max(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes).then(|| slices::max(window.values)).flatten()
}

pub(super) fn stddev(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes).then(|| slices::stddev(window.values)).flatten()
}

pub(super) fn stdvar(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes).then(|| slices::stdvar(window.values)).flatten()
}

pub(super) fn quantile(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    let q = *window.params.first()?;
    if window.values.is_empty() {
        return None;
    }
    if !(0.0..=1.0).contains(&q) {
        notes.add(Note::InvalidQuantile { q });
    }
    floats_of(window, notes);
    Some(quantile_of(q, &mut window.values.to_vec()))
}

/// Median absolute deviation; NaN as soon as one sample is.
pub(super) fn mad(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    if !floats_of(window, notes) {
        return None;
    }
    if window.values.iter().any(|value| value.is_nan()) {
        return Some(f64::NAN);
    }
    let mut values = window.values.to_vec();
    let median = quantile_of(0.5, &mut values);
    for value in &mut values {
        *value = (*value - median).abs();
    }
    Some(quantile_of(0.5, &mut values))
}

pub(super) fn ts_of_first(window: &Window<'_>, _: &mut Notes) -> Option<f64> {
    let histogram = window.histograms.first().map(|(ts, _)| *ts);
    window.ts.first().copied().into_iter().chain(histogram).min().map(seconds)
}

pub(super) fn ts_of_last(window: &Window<'_>, _: &mut Notes) -> Option<f64> {
    let histogram = window.histograms.last().map(|(ts, _)| *ts);
    window.ts.last().copied().into_iter().chain(histogram).max().map(seconds)
}

pub(super) fn ts_of_min(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes);
    window.ts.get(slices::last_min_index(window.values)?).copied().map(seconds)
}

pub(super) fn ts_of_max(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    floats_of(window, notes);
    window.ts.get(slices::last_max_index(window.values)?).copied().map(seconds)
}
