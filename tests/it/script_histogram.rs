//! Native histograms as the test scripts write them: `{{schema:1 sum:-3 count:22 buckets:[5 10 7]}}`.

use std::collections::BTreeMap;

use nines_storage::model::{Counts, Histogram, ResetHint, Span};

/// A histogram as it is written: offsets and runs of buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Written {
    schema: i32,
    sum: f64,
    count: f64,
    zero_count: f64,
    zero_width: f64,
    offset: i32,
    buckets: Vec<f64>,
    n_offset: i32,
    n_buckets: Vec<f64>,
    custom_values: Vec<f64>,
    hint: ResetHint,
}

impl Written {
    /// Reads what stands between the double braces.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut out = Self { zero_width: 0.0, ..Self::default() };
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':')?;
            let (value, next) = match after.strip_prefix('[') {
                Some(list) => list.split_once(']')?,
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            let list = || value.split_whitespace().map(number).collect::<Option<Vec<f64>>>();
            match key.trim() {
                "schema" => out.schema = value.parse().ok()?,
                "sum" => out.sum = number(value)?,
                "count" => out.count = number(value)?,
                "z_bucket" => out.zero_count = number(value)?,
                "z_bucket_w" => out.zero_width = number(value)?,
                "offset" => out.offset = value.parse().ok()?,
                "buckets" => out.buckets = list()?,
                "n_offset" => out.n_offset = value.parse().ok()?,
                "n_buckets" => out.n_buckets = list()?,
                "custom_values" => out.custom_values = list()?,
                "counter_reset_hint" => {
                    out.hint = match value {
                        "reset" => ResetHint::Yes,
                        "not_reset" => ResetHint::No,
                        "gauge" => ResetHint::Gauge,
                        _ => ResetHint::Unknown,
                    }
                }
                _ => return None,
            }
            rest = next.trim_start();
        }
        Some(out)
    }

    /// `self` and `times` times `step`, as in `a+bxn`.
    pub(crate) fn plus(&self, step: &Self, times: f64) -> Self {
        let mut out = self.clone();
        out.sum += step.sum * times;
        out.count += step.count * times;
        out.zero_count += step.zero_count * times;
        (out.offset, out.buckets) =
            merged(self.offset, &self.buckets, step.offset, &step.buckets, times);
        (out.n_offset, out.n_buckets) =
            merged(self.n_offset, &self.n_buckets, step.n_offset, &step.n_buckets, times);
        out
    }

    pub(crate) fn histogram(&self) -> Histogram {
        let spans = |offset: i32, n: usize| {
            if n == 0 {
                Vec::new()
            } else {
                vec![Span { offset, length: u32::try_from(n).unwrap() }]
            }
        };
        Histogram {
            schema: self.schema,
            zero_threshold: self.zero_width,
            sum: self.sum,
            reset_hint: self.hint,
            positive_spans: spans(self.offset, self.buckets.len()),
            negative_spans: spans(self.n_offset, self.n_buckets.len()),
            custom_values: self.custom_values.clone(),
            counts: Counts::Float {
                count: self.count,
                zero_count: self.zero_count,
                positive: self.buckets.clone(),
                negative: self.n_buckets.clone(),
            },
            start_ts: 0,
        }
    }
}

fn merged(offset: i32, a: &[f64], offset_b: i32, b: &[f64], times: f64) -> (i32, Vec<f64>) {
    let mut counts: BTreeMap<i32, f64> = BTreeMap::new();
    for (i, v) in (offset..).zip(a) {
        *counts.entry(i).or_default() += v;
    }
    for (i, v) in (offset_b..).zip(b) {
        *counts.entry(i).or_default() += v * times;
    }
    let (Some(first), Some(last)) = (counts.keys().next().copied(), counts.keys().last().copied())
    else {
        return (offset, Vec::new());
    };
    (first, (first..=last).map(|i| counts.get(&i).copied().unwrap_or_default()).collect())
}

/// A float as the scripts write it.
pub(crate) fn number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match digits.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" => Some(sign * f64::INFINITY),
        other if other.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Some(sign * other.parse::<f64>().ok()?)
        }
        _ => None,
    }
}

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
