//! The one way in which samples of one series from several places become one sequence: queries and
//! compaction use it alike, so that they can never disagree about a repeated timestamp.

use crate::model::SeriesData;

/// Appends `later` to `earlier`, which keeps its samples where both have the same timestamp: what was
/// accepted first stays. Returns how many different values were dropped for that; equal ones don't count.
pub(crate) fn merge(earlier: &mut SeriesData, later: &SeriesData) -> u64 {
    let (floats, histograms) = (!later.ts.is_empty(), !later.histograms.is_empty());
    let mixed =
        (floats && !earlier.histograms.is_empty()) || (histograms && !earlier.ts.is_empty());
    let Some(fitting) = mixed.then(|| without_other_kind(earlier, later)).flatten() else {
        return merge_floats(earlier, later) + merge_histograms(earlier, later);
    };
    let dropped = later.len() - fitting.len();
    let dropped = dropped as u64 + merge_floats(earlier, &fitting);
    dropped + merge_histograms(earlier, &fitting)
}

/// `later` without the samples at whose time `earlier` has one of the other kind; `None` when there is none.
fn without_other_kind(earlier: &SeriesData, later: &SeriesData) -> Option<SeriesData> {
    let histogram_at = |ts: &i64| earlier.histograms.binary_search_by_key(ts, |(t, _)| *t).is_ok();
    let float_at = |ts: &i64| earlier.ts.binary_search(ts).is_ok();
    if !later.ts.iter().any(histogram_at) && !later.histograms.iter().any(|(ts, _)| float_at(ts)) {
        return None;
    }
    let mut fitting = SeriesData::default();
    for (i, ts) in later.ts.iter().enumerate().filter(|(_, ts)| !histogram_at(ts)) {
        fitting.ts.push(*ts);
        fitting.values.extend(later.values.get(i));
        fitting.start_ts.extend(later.start_ts.get(i));
    }
    let histograms = later.histograms.iter().filter(|(ts, _)| !float_at(ts));
    fitting.histograms.extend(histograms.cloned());
    Some(fitting)
}

fn merge_floats(earlier: &mut SeriesData, later: &SeriesData) -> u64 {
    let Some(first) = later.ts.first() else { return 0 };
    let with_starts = !earlier.start_ts.is_empty() || !later.start_ts.is_empty();
    if with_starts {
        earlier.start_ts.resize(earlier.ts.len(), 0);
    }
    if earlier.ts.last().is_none_or(|last| last < first) {
        earlier.ts.extend_from_slice(&later.ts);
        earlier.values.extend_from_slice(&later.values);
        if with_starts {
            earlier.start_ts.extend_from_slice(&later.start_ts);
            earlier.start_ts.resize(earlier.ts.len(), 0);
        }
        return 0;
    }
    // Only what lies behind the first new timestamp has to move.
    let from = earlier.ts.partition_point(|ts| ts < first);
    let old = SeriesData {
        ts: earlier.ts.split_off(from),
        values: earlier.values.split_off(from),
        start_ts: if with_starts { earlier.start_ts.split_off(from) } else { Vec::new() },
        histograms: Vec::new(),
    };
    let mut dropped = 0;
    let (mut i, mut j) = (0, 0);
    loop {
        let (a, b) = (old.ts.get(i), later.ts.get(j));
        let (source, at) = match (a, b) {
            (None, None) => return dropped,
            (Some(x), Some(y)) if x == y => {
                let same = match (old.values.get(i), later.values.get(j)) {
                    (Some(v), Some(w)) => v.to_bits() == w.to_bits(),
                    _ => false,
                };
                dropped += u64::from(!same);
                j += 1;
                i += 1;
                (&old, i - 1)
            }
            (Some(x), y) if y.is_none_or(|y| x < y) => {
                i += 1;
                (&old, i - 1)
            }
            _ => {
                j += 1;
                (later, j - 1)
            }
        };
        earlier.ts.extend(source.ts.get(at));
        earlier.values.extend(source.values.get(at));
        if with_starts {
            earlier.start_ts.push(source.start_ts.get(at).copied().unwrap_or(0));
        }
    }
}

fn merge_histograms(earlier: &mut SeriesData, later: &SeriesData) -> u64 {
    let Some((first, _)) = later.histograms.first() else { return 0 };
    if earlier.histograms.last().is_none_or(|(last, _)| last < first) {
        earlier.histograms.extend_from_slice(&later.histograms);
        return 0;
    }
    let mut dropped = 0;
    for (ts, histogram) in &later.histograms {
        match earlier.histograms.binary_search_by_key(ts, |(t, _)| *t) {
            Ok(i) => {
                dropped += u64::from(earlier.histograms.get(i).is_some_and(|(_, h)| h != histogram))
            }
            Err(i) => earlier.histograms.insert(i, (*ts, histogram.clone())),
        }
    }
    dropped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn data(samples: &BTreeMap<i64, i8>, with_starts: bool) -> SeriesData {
        SeriesData {
            ts: samples.keys().copied().collect(),
            values: samples.values().map(|v| f64::from(*v)).collect(),
            start_ts: if with_starts {
                samples.keys().map(|ts| ts - 1).collect()
            } else {
                Vec::new()
            },
            histograms: Vec::new(),
        }
    }

    #[test]
    fn a_float_and_a_histogram_of_one_time_are_one_sample_too_many() {
        let histogram = Arc::new(crate::model::Histogram {
            schema: 0,
            zero_threshold: 0.0,
            sum: 0.0,
            reset_hint: crate::model::ResetHint::Unknown,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts: crate::model::Counts::Integer {
                count: 0,
                zero_count: 0,
                positive: Vec::new(),
                negative: Vec::new(),
            },
            start_ts: 0,
        });
        let of = |floats: &[i64], histograms: &[i64]| {
            let mut d = data(&floats.iter().map(|ts| (*ts, 1)).collect(), false);
            d.histograms = histograms.iter().map(|ts| (*ts, Arc::clone(&histogram))).collect();
            d
        };
        let mut merged = of(&[1, 5], &[3]);
        assert_eq!(merge(&mut merged, &of(&[2, 3], &[4, 5])), 2);
        assert_eq!(merged.ts, [1, 2, 5]);
        assert_eq!(merged.histograms.iter().map(|(ts, _)| *ts).collect::<Vec<_>>(), [3, 4]);
    }

    proptest! {
        #[test]
        fn the_first_accepted_stays(
            a in prop::collection::btree_map(0i64..40, 0i8..3, 0..20),
            b in prop::collection::btree_map(0i64..40, 0i8..3, 0..20),
            a_starts in any::<bool>(),
            b_starts in any::<bool>(),
        ) {
            let mut merged = data(&a, a_starts);
            let dropped = merge(&mut merged, &data(&b, b_starts));
            let mut expected = b.clone();
            expected.extend(a.iter().map(|(ts, v)| (*ts, *v)));
            prop_assert_eq!(&merged.ts, &expected.keys().copied().collect::<Vec<_>>());
            let values: Vec<f64> = expected.values().map(|v| f64::from(*v)).collect();
            prop_assert_eq!(&merged.values, &values);
            let conflicts = a.iter().filter(|(ts, v)| b.get(ts).is_some_and(|w| w != *v)).count();
            prop_assert_eq!(dropped, conflicts as u64);
            if !merged.start_ts.is_empty() {
                let starts: Vec<i64> = merged.ts.iter().map(|ts| {
                    let known = if a.contains_key(ts) { a_starts } else { b_starts };
                    if known { ts - 1 } else { 0 }
                }).collect();
                prop_assert_eq!(&merged.start_ts, &starts);
            }
        }
    }
}
