//! What holds for any samples.

use super::*;
use crate::slo::report::Count;
use proptest::prelude::*;

/// A counter with resets, gaps and odd intervals: values with their times.
fn counter() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step = (1i64..900_000, 0u32..50, 0u32..40);
    proptest::collection::vec(step, 1..200).prop_map(|steps| {
        let (mut at, mut value) = (T0 - HOUR, 1000u32);
        steps
            .into_iter()
            .map(|(gap, grown, chance)| {
                at += gap;
                value = if chance == 0 { grown } else { value + grown };
                (at, f64::from(value))
            })
            .collect()
    })
}

/// What the definition says, sample by sample.
fn oracle(samples: &[(i64, f64)], from: i64, to: i64) -> f64 {
    let steps = samples.windows(2).filter(|pair| pair[1].0 > from && pair[1].0 <= to);
    steps.map(|pair| if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 }).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any partition of any window adds up to the whole, over days that are kept and days that are not.
    #[test]
    fn every_partition_adds_up(
        series in proptest::collection::vec(counter(), 1..4),
        cuts in proptest::collection::btree_set(0i64..30 * HOUR, 1..8),
    ) {
        let bench = Bench::new();
        for (i, samples) in series.iter().enumerate() {
            bench.push(&format!(r#"all_total{{i="{i}"}}"#), samples.iter().copied());
        }
        let documents = ratio("none_total", "all_total", "0.5");
        let cuts: Vec<i64> = cuts.into_iter().map(|cut| T0 + cut).collect();
        let total = |from, to| bench.report(&documents, from, to).total.0;
        let (first, last) = (cuts[0], cuts[cuts.len() - 1]);
        if first < last {
            let parts: f64 = cuts.windows(2).map(|pair| total(pair[0], pair[1])).sum();
            let whole = total(first, last);
            prop_assert_eq!(parts, whole);
            let wanted: f64 = series.iter().map(|one| oracle(one, first, last)).sum();
            prop_assert_eq!(whole, wanted);
        }
    }

    /// A sample that comes late gives what there would be had it come in time.
    #[test]
    fn late_samples_change_what_they_must(samples in counter(), late in proptest::collection::vec(any::<bool>(), 200)) {
        let documents = ratio("none_total", "all_total", "0.5");
        let (from, to) = (T0, T0 + 3 * DAY);
        let bench = Bench::new();
        let of = |is_late: bool| {
            samples.iter().zip(&late).filter(move |(_, late)| **late == is_late).map(|(sample, _)| *sample)
        };
        bench.push("all_total", of(false).collect::<Vec<_>>());
        let before = bench.report(&documents, from, to);
        bench.push("all_total", of(true).collect::<Vec<_>>());
        let after = bench.report(&documents, from, to);
        let in_order = Bench::new();
        in_order.push("all_total", samples.iter().copied());
        prop_assert_eq!(after.total, in_order.report(&documents, from, to).total);
        prop_assert_eq!(after.total, Count(oracle(&samples, from, to)));
        prop_assert!(after.revision >= before.revision);
    }
}
