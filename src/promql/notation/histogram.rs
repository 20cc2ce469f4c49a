//! Native histograms as test files write them: `{{schema:1 sum:-3 count:22 buckets:[5 10 7]}}`.

use std::collections::BTreeMap;

use nines_storage::model::{Counts, Histogram, ResetHint, Span};

use super::number;

/// Buckets of one side at most, those between the first and the last one that are empty included.
const BUCKETS_MAX: usize = 10_000;

/// A histogram as it is written: offsets and runs of buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Written {
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
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = rest.split_once(':')?;
            let (value, next) = match after.strip_prefix('[') {
                Some(list) => list.split_once(']')?,
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            let list = || {
                let list = value.split_whitespace().map(number).collect::<Option<Vec<f64>>>()?;
                (list.len() <= BUCKETS_MAX).then_some(list)
            };
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
        out.fits(&out).then_some(out)
    }

    /// Whether the buckets of both together are not too many.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let fits = |sides: [(i32, &[f64]); 2]| {
            let used = || sides.iter().filter(|(_, buckets)| !buckets.is_empty());
            let begin = used().map(|(offset, _)| i64::from(*offset)).min();
            let end = used().map(|(offset, buckets)| i64::from(*offset) + buckets.len() as i64);
            let end = end.max().filter(|end| *end <= i64::from(i32::MAX));
            match (begin, end) {
                (Some(begin), Some(end)) => end - begin <= BUCKETS_MAX as i64,
                (begin, _) => begin.is_none(),
            }
        };
        fits([(self.offset, &self.buckets), (other.offset, &other.buckets)])
            && fits([(self.n_offset, &self.n_buckets), (other.n_offset, &other.n_buckets)])
    }

    /// `self` and `times` times `step`, as in `a+bxn`. The buckets of both together [fit](Self::fits).
    pub(super) fn plus(&self, step: &Self, times: f64) -> Self {
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

    pub(super) fn histogram(&self) -> Histogram {
        let spans = |offset: i32, n: usize| match u32::try_from(n) {
            Ok(length) if length > 0 => vec![Span { offset, length }],
            _ => Vec::new(),
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
