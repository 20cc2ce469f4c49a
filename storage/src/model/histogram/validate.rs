//! Which histograms are accepted, and the reasons against the others: the rules of Prometheus's
//! `Histogram.Validate` and `FloatHistogram.Validate`.

use std::ops::RangeInclusive;

use super::{Counts, Histogram, Span, buckets::indexed};

/// Exponential schemas that are stored.
const EXPONENTIAL: RangeInclusive<i32> = -4..=8;
/// Finer schemas: reduced to the finest that is stored.
const REDUCIBLE: RangeInclusive<i32> = 9..=52;

/// Why a histogram is not valid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says what its fields are")]
pub enum HistogramError {
    #[error(
        "schema {0} is not supported: it must be -4 to 8 (up to 52 is reduced to 8) or -53 for custom buckets"
    )]
    Schema(i32),
    #[error(
        "{side} side: span {span} has the negative offset {offset}, which only the first may have"
    )]
    SpanOffset { side: &'static str, span: usize, offset: i32 },
    #[error("{side} side: the spans need {needed} buckets, but there are {found}")]
    SpanBuckets { side: &'static str, needed: u64, found: usize },
    #[error("{side} side: bucket indexes exceed 32 bits")]
    IndexRange { side: &'static str },
    #[error("{side} side: bucket {bucket} has the negative observation count {count}")]
    NegativeBucket { side: &'static str, bucket: usize, count: f64 },
    #[error("the zero bucket has the negative observation count {0}")]
    NegativeZeroCount(f64),
    #[error("the observation count {0} is negative")]
    NegativeCount(f64),
    #[error("the buckets hold {found} observations, but the count is {count}")]
    CountMismatch { found: u64, count: u64 },
    #[error("the buckets hold {found} observations, but the count is only {count}")]
    CountTooSmall { found: u64, count: u64 },
    #[error("the observation counts exceed 64 bits")]
    CountRange,
    #[error("custom buckets: a bound is NaN")]
    CustomNan,
    #[error("custom buckets: bounds must increase, but {bound} follows {before}")]
    CustomOrder { before: f64, bound: f64 },
    #[error("custom buckets: the last bound +Inf must not be written out")]
    CustomInfinite,
    #[error(
        "custom buckets: {bounds} bounds do not cover the spans, which reach to bucket {needed}"
    )]
    CustomTooFew { bounds: usize, needed: u64 },
    #[error("custom buckets: the zero count must be 0")]
    CustomZeroCount,
    #[error("custom buckets: the zero threshold must be 0")]
    CustomZeroThreshold,
    #[error("custom buckets: there must be no negative buckets and spans")]
    CustomNegative,
    #[error("exponential buckets: there must be no custom bounds")]
    ExponentialCustom,
}

use HistogramError as E;

const POSITIVE: &str = "positive";
const NEGATIVE: &str = "negative";

impl Histogram {
    /// Whether it can be stored as it is.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let (n_positive, n_negative) = self.n_buckets();
        if self.has_custom_buckets() {
            self.validate_custom(n_positive, n_negative)?;
        } else if EXPONENTIAL.contains(&self.schema) {
            check_spans(POSITIVE, &self.positive_spans, n_positive)?;
            check_spans(NEGATIVE, &self.negative_spans, n_negative)?;
            if !self.custom_values.is_empty() {
                return Err(E::ExponentialCustom);
            }
        } else {
            return Err(E::Schema(self.schema));
        }
        match &self.counts {
            Counts::Integer { count, zero_count, positive, negative } => {
                let in_buckets = sum_of_deltas(NEGATIVE, negative)?
                    .checked_add(sum_of_deltas(POSITIVE, positive)?)
                    .and_then(|sum| sum.checked_add(*zero_count))
                    .ok_or(E::CountRange)?;
                // Observations of NaN are in the count, but in no bucket; the sum tells that there were any.
                match (self.sum.is_nan(), *count) {
                    (true, count) if in_buckets > count => {
                        Err(E::CountTooSmall { found: in_buckets, count })
                    }
                    (false, count) if in_buckets != count => {
                        Err(E::CountMismatch { found: in_buckets, count })
                    }
                    _ => Ok(()),
                }
            }
            // The count of a float histogram is not compared: sums of floats need not be exact.
            Counts::Float { count, zero_count, positive, negative } => {
                check_counts(NEGATIVE, negative)?;
                check_counts(POSITIVE, positive)?;
                match (*zero_count, *count) {
                    (zero_count, _) if zero_count < 0.0 => Err(E::NegativeZeroCount(zero_count)),
                    (_, count) if count < 0.0 => Err(E::NegativeCount(count)),
                    _ => Ok(()),
                }
            }
        }
    }

    /// The histogram as it can be stored: valid, and one of a schema from 9 to 52 with its buckets merged
    /// to those of schema 8.
    pub fn into_valid(mut self) -> Result<Self, HistogramError> {
        if !REDUCIBLE.contains(&self.schema) {
            return self.validate().map(|()| self);
        }
        let shift = self.schema - EXPONENTIAL.end();
        self.schema = *EXPONENTIAL.end();
        self.validate()?;
        match &mut self.counts {
            Counts::Integer { positive, negative, .. } => {
                merge_deltas(&mut self.positive_spans, positive, shift)?;
                merge_deltas(&mut self.negative_spans, negative, shift)?;
            }
            Counts::Float { positive, negative, .. } => {
                *positive = merge(&mut self.positive_spans, positive, shift, |a, b| Ok(a + b))?;
                *negative = merge(&mut self.negative_spans, negative, shift, |a, b| Ok(a + b))?;
            }
        }
        Ok(self)
    }

    const fn n_buckets(&self) -> (usize, usize) {
        match &self.counts {
            Counts::Integer { positive, negative, .. } => (positive.len(), negative.len()),
            Counts::Float { positive, negative, .. } => (positive.len(), negative.len()),
        }
    }

    fn validate_custom(&self, n_positive: usize, n_negative: usize) -> Result<(), HistogramError> {
        let mut before = f64::NEG_INFINITY;
        for (i, &bound) in self.custom_values.iter().enumerate() {
            if bound.is_nan() {
                return Err(E::CustomNan);
            }
            if i > 0 && bound <= before {
                return Err(E::CustomOrder { before, bound });
            }
            before = bound;
        }
        if before == f64::INFINITY {
            return Err(E::CustomInfinite);
        }
        if let Some(span) = self.positive_spans.first().filter(|span| span.offset < 0) {
            return Err(E::SpanOffset { side: POSITIVE, span: 1, offset: span.offset });
        }
        check_spans(POSITIVE, &self.positive_spans, n_positive)?;
        let spans = self.positive_spans.iter();
        let needed: u64 =
            spans.map(|s| u64::from(s.length) + u64::from(s.offset.unsigned_abs())).sum();
        if needed > self.custom_values.len() as u64 + 1 {
            return Err(E::CustomTooFew { bounds: self.custom_values.len(), needed });
        }
        let zero_count_is_zero = match self.counts {
            Counts::Integer { zero_count, .. } => zero_count == 0,
            Counts::Float { zero_count, .. } => zero_count == 0.0,
        };
        if !zero_count_is_zero {
            return Err(E::CustomZeroCount);
        }
        if self.zero_threshold != 0.0 {
            return Err(E::CustomZeroThreshold);
        }
        if n_negative > 0 || !self.negative_spans.is_empty() {
            return Err(E::CustomNegative);
        }
        Ok(())
    }
}

/// Spans can claim 4 billion buckets each: nothing here counts up to that.
fn check_spans(side: &'static str, spans: &[Span], n_buckets: usize) -> Result<(), HistogramError> {
    let (mut needed, mut index, mut in_range) = (0u64, 0i64, true);
    for (i, span) in spans.iter().enumerate() {
        if i > 0 && span.offset < 0 {
            return Err(E::SpanOffset { side, span: i + 1, offset: span.offset });
        }
        needed = needed.saturating_add(u64::from(span.length));
        index = index.saturating_add(i64::from(span.offset)).saturating_add(i64::from(span.length));
        in_range &= i32::try_from(index).is_ok();
    }
    if needed != n_buckets as u64 {
        return Err(E::SpanBuckets { side, needed, found: n_buckets });
    }
    if in_range { Ok(()) } else { Err(E::IndexRange { side }) }
}

fn sum_of_deltas(side: &'static str, deltas: &[i64]) -> Result<u64, HistogramError> {
    let (mut count, mut sum) = (0i64, 0u64);
    for (i, delta) in deltas.iter().enumerate() {
        count = count.checked_add(*delta).ok_or(E::CountRange)?;
        let Ok(observations) = u64::try_from(count) else {
            return Err(E::NegativeBucket { side, bucket: i + 1, count: count as f64 });
        };
        sum = sum.checked_add(observations).ok_or(E::CountRange)?;
    }
    Ok(sum)
}

fn check_counts(side: &'static str, counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(i) => {
            let count = counts.get(i).copied().unwrap_or_default();
            Err(E::NegativeBucket { side, bucket: i + 1, count })
        }
        None => Ok(()),
    }
}

fn merge_deltas(
    spans: &mut Vec<Span>,
    deltas: &mut Vec<i64>,
    shift: i32,
) -> Result<(), HistogramError> {
    let mut last = 0i64;
    let counts: Vec<i64> = deltas
        .iter()
        .map(|delta| {
            last = last.wrapping_add(*delta);
            last
        })
        .collect();
    last = 0;
    *deltas = merge(spans, &counts, shift, |a: i64, b| a.checked_add(b).ok_or(E::CountRange))?
        .into_iter()
        .map(|count| count - std::mem::replace(&mut last, count))
        .collect();
    Ok(())
}

/// Merges `counts` to a schema that is coarser by `shift`: each bucket ends where one of the coarser schema
/// ends or lies inside it.
fn merge<T: Copy>(
    spans: &mut Vec<Span>,
    counts: &[T],
    shift: i32,
    add: impl Fn(T, T) -> Result<T, HistogramError>,
) -> Result<Vec<T>, HistogramError> {
    let (mut out, mut merged_spans): (Vec<T>, Vec<Span>) = (Vec::new(), Vec::new());
    let mut before = None;
    for (index, count) in indexed(spans, counts.iter().copied()) {
        let index = ((i64::from(index) - 1) >> shift) + 1;
        match (before, out.last_mut(), merged_spans.last_mut()) {
            (Some(before), Some(last), _) if before == index => *last = add(*last, count)?,
            (Some(before), _, Some(span)) if before + 1 == index => {
                span.length += 1;
                out.push(count);
            }
            _ => {
                let offset = index - before.map_or(0, |before| before + 1);
                let side = "merged";
                let offset = i32::try_from(offset).map_err(|_| E::IndexRange { side })?;
                merged_spans.push(Span { offset, length: 1 });
                out.push(count);
            }
        }
        before = Some(index);
    }
    *spans = merged_spans;
    Ok(out)
}
