//! Whether native histograms say the same.

use std::collections::BTreeMap;

use nines_storage::model::{Counts, Histogram, Span};

/// Whether two histograms say the same (reset hints aside).
pub(crate) fn same(a: &Histogram, b: &Histogram) -> bool {
    let floats = |h: &Histogram| match &h.counts {
        Counts::Float { count, zero_count, positive, negative } => Some((
            *count,
            *zero_count,
            indexed(&h.positive_spans, positive),
            indexed(&h.negative_spans, negative),
        )),
        Counts::Integer { .. } => None,
    };
    a.schema == b.schema
        && (a.sum == b.sum || (a.sum.is_nan() && b.sum.is_nan()))
        && a.custom_values == b.custom_values
        && floats(a).is_some()
        && floats(a) == floats(b)
}

fn indexed(spans: &[Span], counts: &[f64]) -> BTreeMap<i32, u64> {
    let mut out = BTreeMap::new();
    let (mut index, mut counts) = (0, counts.iter());
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            if let Some(count) = counts.next().filter(|c| **c != 0.0) {
                out.insert(index, count.to_bits());
            }
            index += 1;
        }
    }
    out
}
