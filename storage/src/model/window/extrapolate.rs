//! From what happened between the first and the last sample of a window to what happened in the window.
//! The only place with this arithmetic; the order of its operations is that of Prometheus, bit for bit
//! (`promql/functions.go`, `extrapolatedRate`, `instantValue`).

/// A window as a query writes it: `(start_ms, end_ms]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeWindow {
    /// Beginning in milliseconds, itself outside.
    pub start_ms: i64,
    /// End in milliseconds, itself inside.
    pub end_ms: i64,
    /// Length of the range as written; the divisor of `rate`.
    pub range_ms: i64,
}

impl RangeWindow {
    /// The window of `range_ms` that ends at `end_ms`.
    #[must_use]
    pub const fn ending_at(end_ms: i64, range_ms: i64) -> Self {
        Self { start_ms: end_ms.wrapping_sub(range_ms), end_ms, range_ms }
    }

    /// Length in seconds, rounded as Go's `Duration.Seconds` does it: whole seconds and the rest apart.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        millis_as_f64(self.range_ms / 1000) + millis_as_f64(self.range_ms % 1000 * 1_000_000) / 1e9
    }
}

/// What becomes of the extrapolated change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A counter's change per second.
    Rate,
    /// A counter's change.
    Increase,
    /// A gauge's change.
    Delta,
}

/// The samples of a window as far as extrapolation looks at them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges {
    /// Samples.
    pub(super) count: u64,
    /// Time of the first sample.
    pub(super) first_ts: i64,
    /// The first sample.
    pub(super) first: f64,
    /// Time of the last sample.
    pub(super) last_ts: i64,
}

/// Stretches `change` (last minus first sample, plus the values before resets) over the window.
///
/// Towards an edge that is less than 1.1 average distances away the change goes on to the edge, otherwise
/// half a distance; a counter never reaches back beyond its zero. `None` for fewer than two samples.
pub(super) fn extrapolate(
    change: f64,
    edges: &Edges,
    window: &RangeWindow,
    outcome: Outcome,
) -> Option<f64> {
    if edges.count < 2 {
        return None;
    }
    let mut to_start_s = seconds_between(window.start_ms, edges.first_ts);
    let mut to_end_s = seconds_between(edges.last_ts, window.end_ms);
    let sampled_s = seconds_between(edges.first_ts, edges.last_ts);
    let average_s = sampled_s / count_as_f64(edges.count - 1);
    let threshold_s = average_s * 1.1;

    if to_start_s >= threshold_s {
        to_start_s = average_s / 2.0;
    }
    if outcome != Outcome::Delta && change > 0.0 && edges.first >= 0.0 {
        let to_zero_s = sampled_s * (edges.first / change);
        if to_zero_s < to_start_s {
            to_start_s = to_zero_s;
        }
    }
    if to_end_s >= threshold_s {
        to_end_s = average_s / 2.0;
    }
    let mut factor = 1.0;
    if sampled_s != 0.0 {
        factor = (sampled_s + to_start_s + to_end_s) / sampled_s;
    }
    if outcome == Outcome::Rate {
        factor /= window.seconds();
    }
    Some(change * factor)
}

/// Change per second between two neighbouring samples of a counter; a reset counts from 0.
pub(super) fn instant_rate(prev: (i64, f64), last: (i64, f64)) -> Option<f64> {
    let between_ms = last.0.wrapping_sub(prev.0);
    if between_ms == 0 {
        return None;
    }
    let change = if last.1 < prev.1 { last.1 } else { last.1 - prev.1 };
    Some(change / (millis_as_f64(between_ms) / 1000.0))
}

/// Change between two neighbouring samples of a gauge.
pub(super) fn instant_delta(prev: (i64, f64), last: (i64, f64)) -> Option<f64> {
    (last.0 != prev.0).then_some(last.1 - prev.1)
}

/// Whether `now` counts as a change after `before`: NaN after NaN does not.
pub(super) fn is_change(before: f64, now: f64) -> bool {
    now != before && !(now.is_nan() && before.is_nan())
}

/// One step of a compensated sum (Neumaier's variant of Kahan's; `util/kahansum`): the new sum and the new
/// compensation. An infinite sum drops the compensation.
#[must_use]
pub fn compensated_add(value: f64, sum: f64, compensation: f64) -> (f64, f64) {
    let total = sum + value;
    let compensation = if total.is_infinite() {
        0.0
    } else if sum.abs() >= value.abs() {
        compensation + ((sum - total) + value)
    } else {
        compensation + ((value - total) + sum)
    };
    (total, compensation)
}

fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    millis_as_f64(to_ms.wrapping_sub(from_ms)) / 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
pub(super) const fn millis_as_f64(ms: i64) -> f64 {
    ms as f64
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
pub(super) const fn count_as_f64(n: u64) -> f64 {
    n as f64
}
