//! Quantile over plain values.

use std::cmp::Ordering;

/// The `q`-quantile of `values`, which get reordered (NaN counts as the smallest), with linear interpolation between the two
/// neighbours of the rank. NaN for no values or a NaN `q`; -Inf for `q` < 0; +Inf for `q` > 1
/// (`promql/quantile.go`, `quantile`).
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "indices within the slice"
)]
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let top = (values.len() - 1) as f64;
    let rank = q * top;
    let weight = rank - rank.floor();
    let lower = rank.floor().max(0.0) as usize;
    // Only the two neighbours of the rank have to stand in their place.
    let (_, &mut below, above) = values.select_nth_unstable_by(lower, nan_first);
    let above = above.iter().copied().min_by(nan_first).unwrap_or(below);
    below * (1.0 - weight) + above * weight
}

fn nan_first(a: &f64, b: &f64) -> Ordering {
    a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}
