//! A native histogram of the wire as one of the store.

use nines_proto::v2;
use nines_storage::model::{Counts, Histogram, HistogramError, ResetHint, Span};

/// What is wrong with a histogram.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum HistogramFault {
    #[error("histogram has {bytes} bytes, limit {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("histogram: count is of {expected}, but {field} is not")]
    Mixed { expected: &'static str, field: &'static str },
    #[error("histogram: {0}")]
    Invalid(#[from] HistogramError),
}

/// Turns a decoded message into a histogram that can be stored. `created_ts` holds where the message has no
/// start of its own.
pub(super) fn convert(wire: v2::Histogram, created_ts: i64) -> Result<Histogram, HistogramFault> {
    let float = matches!(wire.count, Some(v2::Count::Float(_)));
    let counts = if float { float_counts(&wire)? } else { integer_counts(&wire)? };
    // The bucket lists move out of the message.
    let counts = match counts {
        Counts::Integer { count, zero_count, .. } => Counts::Integer {
            count,
            zero_count,
            positive: wire.positive_deltas,
            negative: wire.negative_deltas,
        },
        Counts::Float { count, zero_count, .. } => Counts::Float {
            count,
            zero_count,
            positive: wire.positive_counts,
            negative: wire.negative_counts,
        },
    };
    let histogram = Histogram {
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        sum: wire.sum,
        reset_hint: match wire.reset_hint {
            1 => ResetHint::Yes,
            2 => ResetHint::No,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        },
        positive_spans: spans(&wire.positive_spans),
        negative_spans: spans(&wire.negative_spans),
        custom_values: wire.custom_values,
        counts,
        start_ts: if wire.start_timestamp == 0 { created_ts } else { wire.start_timestamp },
    };
    Ok(histogram.into_valid()?)
}

fn integer_counts(wire: &v2::Histogram) -> Result<Counts, HistogramFault> {
    let mixed = |field| HistogramFault::Mixed { expected: "integers", field };
    let count = match wire.count {
        Some(v2::Count::Int(count)) => count,
        _ => 0,
    };
    let zero_count = match wire.zero_count {
        Some(v2::ZeroCount::Int(count)) => count,
        Some(v2::ZeroCount::Float(count)) if count != 0.0 => return Err(mixed("zero_count")),
        _ => 0,
    };
    if !wire.positive_counts.is_empty() {
        return Err(mixed("positive_counts"));
    }
    if !wire.negative_counts.is_empty() {
        return Err(mixed("negative_counts"));
    }
    Ok(Counts::Integer { count, zero_count, positive: Vec::new(), negative: Vec::new() })
}

fn float_counts(wire: &v2::Histogram) -> Result<Counts, HistogramFault> {
    let mixed = |field| HistogramFault::Mixed { expected: "floats", field };
    let count = match wire.count {
        Some(v2::Count::Float(count)) => count,
        _ => 0.0,
    };
    let zero_count = match wire.zero_count {
        Some(v2::ZeroCount::Float(count)) => count,
        Some(v2::ZeroCount::Int(count)) if count != 0 => return Err(mixed("zero_count")),
        _ => 0.0,
    };
    if !wire.positive_deltas.is_empty() {
        return Err(mixed("positive_deltas"));
    }
    if !wire.negative_deltas.is_empty() {
        return Err(mixed("negative_deltas"));
    }
    Ok(Counts::Float { count, zero_count, positive: Vec::new(), negative: Vec::new() })
}

fn spans(wire: &[v2::BucketSpan]) -> Vec<Span> {
    wire.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
}
