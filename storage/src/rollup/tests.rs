#![allow(clippy::unwrap_used, reason = "tests")]
//! Rows from samples against a summary of the samples.

use proptest::prelude::*;

use super::build::rows_of;
use crate::history::{Day, FIVE_MINUTES_MS, Tables, Tier};
use crate::model::{DAY_MS, Labels, STALE_NAN_BITS, SeriesData, WindowSummary};

const DAY: Day = Day(20_000);
const ALL_TABLES: Tables = Tables { five_minutes: true, raw: true };

fn samples() -> impl Strategy<Value = SeriesData> {
    let value = prop_oneof![
        6 => (0u32..30).prop_map(f64::from),
        2 => -3.0..3.0f64,
        1 => Just(f64::NAN),
        1 => Just(f64::from_bits(STALE_NAN_BITS)),
    ];
    // Two days before to one behind; some exactly on the hour.
    let ts = prop_oneof![
        3 => DAY.start_ms() - 2 * DAY_MS..DAY.end_ms() + DAY_MS,
        2 => (-40i64..40).prop_map(|hour| DAY.start_ms() + hour * 3_600_000),
    ];
    prop::collection::btree_map(ts, value, 0..80).prop_map(|all| SeriesData {
        ts: all.keys().copied().collect(),
        values: all.values().copied().collect(),
        ..SeriesData::default()
    })
}

proptest! {
    #[test]
    fn rows_are_the_summaries_of_their_windows(data in samples()) {
        let labels = Labels::from_pairs([("__name__", "m")]);
        let within = |from: i64, to: i64| {
            let mut summary = WindowSummary::default();
            for (ts, value) in data.ts.iter().zip(&data.values) {
                if from < *ts && *ts <= to {
                    summary.push(*ts, *value);
                }
            }
            summary
        };
        let before = within(DAY.start_ms() - DAY_MS, DAY.start_ms());
        let whole = within(DAY.start_ms(), DAY.end_ms());
        let Some(rows) = rows_of(&labels, &data, DAY, ALL_TABLES) else {
            prop_assert!(whole.is_empty());
            return Ok(());
        };
        prop_assert!(!whole.is_empty());
        let day = &rows.day.rows[0];
        prop_assert!(day.summary.same_but_sum(&whole));
        prop_assert_eq!(day.end_ms, DAY.end_ms());
        let hours = rows.hours.rows.iter();
        let ends: Vec<i64> = hours.clone().map(|row| row.end_ms).collect();
        let mut expected: Vec<i64> = data.ts.iter().filter(|ts| DAY.range().contains(**ts))
            .map(|ts| Tier::Hour.end_of(*ts)).collect();
        expected.dedup();
        prop_assert_eq!(ends, expected);
        let mut last = (before.count > 0).then_some(before.last);
        for row in hours {
            let summary = within(row.end_ms - 3_600_000, row.end_ms);
            prop_assert!(row.summary.same_but_sum(&summary));
            let bits = |inc: Option<f64>| inc.map(f64::to_bits);
            prop_assert_eq!(bits(row.inc), bits(summary.anchored_increase(last)));
            if summary.count > 0 {
                last = Some(summary.last);
            }
        }
        let mut seen = WindowSummary::default();
        for row in rows.five_minutes.iter().flat_map(|series| &series.rows) {
            let summary = within(row.end_ms - FIVE_MINUTES_MS, row.end_ms);
            prop_assert!(!summary.is_empty() && row.summary.same_but_sum(&summary));
            seen.merge(&summary);
        }
        prop_assert!(seen.same_but_sum(&whole), "all windows have a row");
        let bits = |(ts, value): (i64, f64)| (ts, value.to_bits());
        let samples: Vec<_> = rows.samples.iter().copied().map(bits).collect();
        let all = data.ts.iter().copied().zip(data.values.iter().copied());
        let expected: Vec<_> =
            all.filter(|(ts, _)| DAY.range().contains(*ts)).map(bits).collect();
        prop_assert_eq!(samples, expected);
        prop_assert_eq!(rows.seen, (whole.count > 0).then_some((whole.first_ts, whole.last_ts)));
    }

    /// Increases of hours sum to that of the day, whatever resets there were.
    #[test]
    fn increases_sum_up(values in prop::collection::vec(0u32..1000, 1..200), step in 1i64..40) {
        let ts: Vec<i64> = (0..values.len() as i64)
            .map(|i| DAY.start_ms() - 7_200_000 + i * step * 60_000).collect();
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let data = SeriesData { ts, values, ..SeriesData::default() };
        let Some(rows) = rows_of(&Labels::empty(), &data, DAY, ALL_TABLES) else { return Ok(()) };
        let sum: f64 = rows.hours.rows.iter().filter_map(|row| row.inc).sum();
        prop_assert_eq!(Some(sum), rows.day.rows[0].inc);
        let five_minutes = rows.five_minutes.iter().flat_map(|series| &series.rows);
        prop_assert_eq!(sum, five_minutes.filter_map(|row| row.inc).sum::<f64>());
        let inside = data.ts.iter().zip(&data.values).filter(|(ts, _)| **ts <= DAY.end_ms());
        let all: Vec<(i64, f64)> = inside.map(|(ts, value)| (*ts, *value)).collect();
        let from = all.iter().rposition(|(ts, _)| *ts <= DAY.start_ms()).unwrap_or(0);
        let counted: f64 = all[from..].windows(2).map(|pair| {
            if pair[1].1 < pair[0].1 { pair[1].1 } else { pair[1].1 - pair[0].1 }
        }).sum();
        prop_assert_eq!(sum, counted);
    }
}
