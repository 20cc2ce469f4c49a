//! Linear regression and double exponential smoothing over a window (`promql/functions.go`,
//! `linearRegression`, `funcDoubleExponentialSmoothing`). Not mergeable: they need the samples themselves.

use nines_storage::model::window::compensated_add;

use super::{Note, Notes, Window};

/// Whether there are two floats; notes ignored histograms beside at least one float.
fn two_floats(window: &Window<'_>, notes: &mut Notes) -> bool {
    if !window.values.is_empty() && !window.histograms.is_empty() {
        notes.add(Note::HistogramIgnoredInMixedRange { metric: window.metric.to_owned() });
    }
    window.values.len() >= 2
}

pub(super) fn deriv(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    if !two_floats(window, notes) {
        return None;
    }
    // Times relative to the first sample keep the products small.
    let (slope, _) = linear_regression(window.ts, window.values, *window.ts.first()?)?;
    Some(slope)
}

pub(super) fn predict_linear(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    let ahead_s = *window.params.first()?;
    if !two_floats(window, notes) {
        return None;
    }
    let (slope, intercept) = linear_regression(window.ts, window.values, window.eval_ms)?;
    Some(slope * ahead_s + intercept)
}

/// Slope per second and value at `at_ms` of the least-squares line. A constant has slope 0, whatever
/// rounding would say; an infinite constant has neither (NaN).
fn linear_regression(ts: &[i64], values: &[f64], at_ms: i64) -> Option<(f64, f64)> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Compensated::default(); 4];
    let mut n = 0.0;
    for (&ts, &y) in ts.iter().zip(values) {
        n += 1.0;
        let x = millis(ts.wrapping_sub(at_ms)) / 1e3;
        x_sum.add(x);
        y_sum.add(y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let (x_sum, y_sum, xy_sum, xx_sum) =
        (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let covariance = xy_sum - x_sum * y_sum / n;
    let variance = xx_sum - x_sum * x_sum / n;
    let slope = covariance / variance;
    Some((slope, y_sum / n - slope * x_sum / n))
}

#[derive(Clone, Copy, Default)]
struct Compensated {
    sum: f64,
    compensation: f64,
}

impl Compensated {
    fn add(&mut self, value: f64) {
        (self.sum, self.compensation) = compensated_add(value, self.sum, self.compensation);
    }

    fn total(self) -> f64 {
        self.sum + self.compensation
    }
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
const fn millis(ms: i64) -> f64 {
    ms as f64
}

/// Level and trend, each a weighted mean of what was seen and what was expected. The factors are checked by
/// [`check_factors`] before.
pub(super) fn double_exponential(window: &Window<'_>, notes: &mut Notes) -> Option<f64> {
    let &[smoothing, trend_factor, ..] = window.params else { return None };
    if !two_floats(window, notes) {
        return None;
    }
    let &[first, second, ..] = window.values else { return None };
    let (mut level_before, mut level, mut trend) = (0.0, first, second - first);
    for (index, value) in window.values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - level_before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (level_before, level) = (level, next);
    }
    Some(level)
}

/// Both factors lie in (0, 1), or the text with which Prometheus aborts the query.
pub(super) fn check_factors(smoothing: f64, trend: f64) -> Result<(), String> {
    for (name, factor, symbol) in [("smoothing", smoothing, "sf"), ("trend", trend, "tf")] {
        if factor <= 0.0 || factor >= 1.0 {
            return Err(format!(
                "invalid {name} factor. Expected: 0 < {symbol} < 1, got: {}",
                go_fixed(factor)
            ));
        }
    }
    Ok(())
}

/// Go's `%f`.
fn go_fixed(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value:.6}")
}
