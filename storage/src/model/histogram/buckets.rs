//! The buckets of a histogram with their bounds, ascending, as Prometheus's `AllBucketIterator` yields them.

use super::{Bucket, Counts, Histogram, Span, bounds};

impl Histogram {
    /// Its buckets in ascending order of their bounds: the negative ones, the zero bucket if it counts
    /// anything, the positive ones; empty buckets inside a span included, each with its own count. A histogram
    /// whose spans need more buckets than there are ends where the counts end.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        match &self.counts {
            Counts::Integer { zero_count, positive, negative, .. } => self.ascending(
                absolute(negative),
                *zero_count as f64,
                absolute(positive),
                negative.len() + positive.len() + 1,
            ),
            Counts::Float { zero_count, positive, negative, .. } => self.ascending(
                negative.iter().copied(),
                *zero_count,
                positive.iter().copied(),
                negative.len() + positive.len() + 1,
            ),
        }
    }

    fn ascending(
        &self,
        negative: impl Iterator<Item = f64>,
        zero_count: f64,
        positive: impl Iterator<Item = f64>,
        n: usize,
    ) -> Vec<Bucket> {
        let mut out = Vec::with_capacity(n);
        for (index, count) in indexed(&self.negative_spans, negative) {
            let (lower, upper) = (-self.bound(index), -self.bound(index.saturating_sub(1)));
            out.push(self.bucket(index, lower, upper, count));
        }
        out.reverse();
        if zero_count > 0.0 {
            out.push(Bucket {
                lower: -self.zero_threshold,
                upper: self.zero_threshold,
                lower_inclusive: true,
                upper_inclusive: true,
                count: zero_count,
            });
        }
        for (index, count) in indexed(&self.positive_spans, positive) {
            let (lower, upper) = (self.bound(index.saturating_sub(1)), self.bound(index));
            out.push(self.bucket(index, lower, upper, count));
        }
        out
    }

    fn bucket(&self, index: i32, lower: f64, upper: f64, count: f64) -> Bucket {
        let custom = self.has_custom_buckets();
        let lower_inclusive = if custom { index == 0 } else { lower < 0.0 };
        let upper_inclusive = custom || upper > 0.0;
        // A zero bucket that reaches into another one takes that part from it.
        let width = self.zero_threshold;
        let (mut lower, mut upper) = (lower, upper);
        if lower > 0.0 && lower < width {
            lower = width;
        } else if upper < 0.0 && upper > -width {
            upper = -width;
        }
        Bucket { lower, upper, lower_inclusive, upper_inclusive, count }
    }

    /// Upper bound of the positive bucket `index`.
    fn bound(&self, index: i32) -> f64 {
        if !self.has_custom_buckets() {
            return bounds::exponential(index, self.schema);
        }
        match usize::try_from(index) {
            Ok(index) => self.custom_values.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }
}

/// Deltas as counts, summed as floats because Prometheus does so.
fn absolute(deltas: &[i64]) -> impl Iterator<Item = f64> {
    deltas.iter().scan(0.0, |count, delta| {
        *count += *delta as f64;
        Some(*count)
    })
}

/// The counts with the indexes that the spans give them.
pub(super) fn indexed<T>(
    spans: &[Span],
    counts: impl Iterator<Item = T>,
) -> impl Iterator<Item = (i32, T)> {
    let mut next = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add_unsigned(span.length);
        (0..span.length).map(move |i| first.wrapping_add_unsigned(i))
    });
    indexes.zip(counts)
}
