//! Quantiles and fractions over the buckets of classic histograms (`promql/quantile.go`).

use std::cmp::Ordering;

/// Relative difference of neighbouring bucket counts that is taken for rounding.
const SMALL_DELTA_TOLERANCE: f64 = 1e-12;

/// Where counts of buckets sank with rising bounds and had to be lifted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForcedMonotonicity {
    /// Smallest upper bound among the lifted buckets.
    pub bucket_min: f64,
    /// Largest upper bound among them.
    pub bucket_max: f64,
    /// Largest amount by which one was lifted.
    pub diff_max: f64,
}

/// Outcome of [`bucket_quantile`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketQuantile {
    /// The quantile; NaN where there is none.
    pub value: f64,
    /// Set when counts had to be lifted by more than rounding.
    pub forced: Option<ForcedMonotonicity>,
    /// Whether differences within rounding were levelled.
    pub fixed_precision: bool,
}

/// The value of an `le` label as a bound; `None` when it is not a decimal float that fits, or `Inf` or `NaN`
/// in any case with a sign.
#[must_use]
pub fn parse_bucket_bound(le: &str) -> Option<f64> {
    let bound: f64 = le.parse().ok()?;
    let overflowed = bound.is_infinite() && le.bytes().any(|b| b.is_ascii_digit());
    (!overflowed).then_some(bound)
}

/// The `q`-quantile over cumulative buckets `(upper bound, count)` in any order; sorts, coalesces equal
/// bounds and lifts sinking counts in place. NaN when there are fewer than two buckets, no observations or
/// the highest bound is not +Inf; -Inf for `q` < 0, +Inf for `q` > 1.
/// Linear within a bucket; the lowest one begins at 0 when its bound is positive.
pub fn bucket_quantile(q: f64, buckets: &mut Vec<(f64, f64)>) -> BucketQuantile {
    let plain = |value| BucketQuantile { value, forced: None, fixed_precision: false };
    if q.is_nan() {
        return plain(f64::NAN);
    }
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if !sort_and_coalesce(buckets) {
        return plain(f64::NAN);
    }
    let (forced, fixed_precision) = ensure_monotonic(buckets);
    BucketQuantile { value: interpolate(q, buckets), forced, fixed_precision }
}

fn interpolate(q: f64, buckets: &[(f64, f64)]) -> f64 {
    let [below @ .., (_, observations)] = buckets else { return f64::NAN };
    let (Some(&(second_highest, _)), Some(&(lowest, _))) = (below.last(), below.first()) else {
        return f64::NAN;
    };
    if *observations == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * observations;
    let at = below.partition_point(|(_, count)| {
        !matches!(count.partial_cmp(&rank), Some(Ordering::Equal | Ordering::Greater))
    });
    let Some(&(end, mut count)) = below.get(at) else { return second_highest };
    if at == 0 && lowest <= 0.0 {
        return lowest;
    }
    let mut start = 0.0;
    if let Some(&(bound, count_below)) = at.checked_sub(1).and_then(|i| below.get(i)) {
        start = bound;
        count -= count_below;
        rank -= count_below;
    }
    start + (end - start) * (rank / count)
}

/// The share of observations between `lower` and `upper`, over cumulative buckets as in [`bucket_quantile`]
/// (counts are taken as they are). NaN when the highest bound is not +Inf, there are no observations or a
/// limit is NaN; 0 when `lower >= upper`. No observation is placed inside a bucket of infinite width.
pub fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<(f64, f64)>) -> f64 {
    if !sort_and_coalesce(buckets) {
        return f64::NAN;
    }
    let count = buckets.last().map_or(0.0, |&(_, count)| count);
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, count) - rank_of(lower, buckets, count)) / count
}

/// Observations below `limit`, at most `total`.
fn rank_of(limit: f64, buckets: &[(f64, f64)], total: f64) -> f64 {
    let mut start = if buckets.first().is_some_and(|&(bound, _)| bound <= 0.0) {
        f64::NEG_INFINITY
    } else {
        0.0
    };
    let mut rank = 0.0;
    for &(end, count) in buckets {
        let found = if start >= limit {
            Some(rank)
        } else if end > limit {
            Some(if start == f64::NEG_INFINITY {
                count
            } else {
                rank + (count - rank) * (limit - start) / (end - start)
            })
        } else {
            None
        };
        if let Some(found) = found {
            return if found > total { total } else { found };
        }
        rank = count;
        start = end;
    }
    total
}

/// Whether the highest bound is +Inf.
fn sort_and_coalesce(buckets: &mut Vec<(f64, f64)>) -> bool {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    if buckets.last().is_none_or(|&(bound, _)| bound != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let equal = next.0 == kept.0;
        if equal {
            kept.1 += next.1;
        }
        equal
    });
    true
}

fn ensure_monotonic(buckets: &mut [(f64, f64)]) -> (Option<ForcedMonotonicity>, bool) {
    let mut forced: Option<ForcedMonotonicity> = None;
    let mut fixed_precision = false;
    let mut below = buckets.first().map_or(0.0, |&(_, count)| count);
    for (bound, count) in buckets.iter_mut().skip(1) {
        if *count == below {
            continue;
        }
        if almost_equal(below, *count) {
            *count = below;
            fixed_precision = true;
        } else if *count < below {
            let known = forced.get_or_insert(ForcedMonotonicity {
                bucket_min: f64::INFINITY,
                bucket_max: f64::NEG_INFINITY,
                diff_max: 0.0,
            });
            known.bucket_min = known.bucket_min.min(*bound);
            known.bucket_max = known.bucket_max.max(*bound);
            known.diff_max = known.diff_max.max(below - *count);
            *count = below;
        } else {
            below = *count;
        }
    }
    (forced, fixed_precision)
}

/// `util/almost`: relative to the sum of the magnitudes; absolute next to zero.
fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    let diff = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < SMALL_DELTA_TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < SMALL_DELTA_TOLERANCE
}
