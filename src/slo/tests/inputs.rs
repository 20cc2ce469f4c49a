//! Figures are the same, however many of their days have rows of five minutes or of samples.

use std::time::Duration;

use nines_storage::history::{Day, Policies, Policy, Tier};

use super::*;
use crate::promql::{Engine, EngineOptions, QueryOptions, parse};
use crate::slo::define::inputs_policy;

const DAYS: i64 = 9;
const END: i64 = T0 + DAYS * DAY;

/// Which days have rows of what SLOs are counted from.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    Never,
    From(i64),
}

fn documents() -> Vec<String> {
    let states = ", states: {good: [1], bad: [0, 2], ignore: [3]}, groupBy: [droplet], noData: bad, existence: info";
    vec![
        ratio("bad_total", "all_total", "0.99"),
        Ratio {
            method: "Timeslices",
            objective: ", timeSliceWindow: 5m, timeSliceTarget: 0.9",
            ..Ratio::default()
        }
        .to_string(),
        gauge("state", states, "{duration: 7d, isRolling: true}", "0.9"),
        gauge("avg(state)", "", "{duration: 7d, isRolling: true}", "0.9"),
    ]
}

/// Days of the series of all definitions, rolled up one by one; then samples are let go of where they are not kept.
fn bench(named: Named, retention: Option<Duration>) -> Bench {
    let history_policies = Policies::new(Vec::new());
    let options = StoreOptions {
        retention,
        history_policies: history_policies.clone(),
        wal_segment_bytes: 1 << 20,
        ..StoreOptions::default()
    };
    let bench = Bench::with_options(options);
    let tables = [crate::config::PolicyTable::FiveMinutes, crate::config::PolicyTable::Raw];
    let policies: Vec<Policy> =
        documents().iter().filter_map(|text| inputs_policy(&load(text), &tables)).collect();
    for day in 0..DAYS {
        if named == Named::From(day) {
            history_policies.follow(&policies);
        }
        let from = T0 + day * DAY;
        let steps = (1..=720i64).filter(|n| !(300..330).contains(n));
        let times: Vec<i64> = steps.map(|n| from + n * 2 * MINUTE + n % 7 * 11).collect();
        let times = || times.iter().copied().filter(|ts| *ts <= from + DAY);
        let total = |ts: i64| ((ts - T0) / 1000 % 400_000) as f64 / 3.0;
        bench.push("all_total", times().map(|ts| (ts, total(ts))));
        bench.push("bad_total", times().map(|ts| (ts, (total(ts) / 97.0).floor())));
        for droplet in ["a", "b"] {
            let state = |ts: i64| if ts / MINUTE % 811 < 9 { 0.0 } else { 1.0 };
            bench.push(
                &format!("state{{droplet=\"{droplet}\"}}"),
                times().map(|ts| (ts, state(ts))),
            );
            bench.push(&format!("info{{droplet=\"{droplet}\"}}"), times().map(|ts| (ts, 1.0)));
        }
        bench.db.roll_all(from + DAY + HOUR + MINUTE).unwrap();
    }
    // One day more, late, and built anew.
    bench.push("all_total", [(T0 + 2 * DAY + 11 * HOUR, 3.0)]);
    bench.db.roll_all(END + 2 * HOUR).unwrap();
    bench.store.maintain(END + 2 * HOUR).unwrap();
    bench.db.roll_all(END + 3 * HOUR).unwrap();
    bench
}

/// Days with rows in a table.
fn days(bench: &Bench, tier: Tier) -> Vec<i64> {
    let state = bench.db.history().unwrap().state();
    let has = |day: &i64| state.days[day].files.iter().any(|file| file.tier == tier);
    state.days.keys().copied().filter(has).map(|day| day - Day::of(T0 + 1).0).collect()
}

/// Every figure that is asked for, as a text each.
fn figures(bench: &Bench) -> Vec<String> {
    let mut told = Vec::new();
    for text in documents() {
        let spans =
            [(0, 9 * 24), (0, 24), (24, 7 * 24), (2 * 24 + 5, 6 * 24 + 7), (8 * 24, 9 * 24)];
        for (from, to) in spans {
            told.push(bench.with(&text, END + 3 * HOUR, |desk| {
                let slo = desk.definitions.slos.values().next().unwrap();
                let (from_ms, to_ms) = (T0 + from * HOUR, T0 + to * HOUR);
                let asked = Asked { from_ms, to_ms, label: String::new() };
                let mut reports = desk.evaluator(slo).evaluate(&asked).unwrap();
                // It tells when the ledger began.
                reports.iter_mut().for_each(|report| report.revision = 0);
                format!("{from} {to} {reports:?}")
            }));
        }
    }
    let (engine, options) = (Engine::new(EngineOptions::default()), QueryOptions::default());
    for function in ["increase", "rate", "avg_over_time", "resets", "changes", "max_over_time"] {
        for (range, at) in
            [("5m", 8 * DAY), ("2d", 4 * DAY), ("8d", 9 * DAY), ("31h", 7 * DAY + 77)]
        {
            for metric in ["all_total", "bad_total", "state"] {
                let text = format!("{function}({metric}[{range}])");
                let tree = parse(&text).unwrap();
                let budget = Budget::unlimited();
                let result = engine.instant(&*bench.db, &tree, &text, T0 + at, &options, &budget);
                let result = result.unwrap();
                told.push(format!(
                    "{text} {at} {:?} {:?} {:?}",
                    result.value, result.infos, result.warnings
                ));
            }
        }
    }
    told
}

#[test]
fn rows_of_some_days_change_no_figure() {
    for retention in [None, Some(Duration::from_secs(4 * 86_400))] {
        let plain = bench(Named::Never, retention);
        assert_eq!(days(&plain, Tier::FiveMinutes), [0i64; 0]);
        let wanted = figures(&plain);
        assert_eq!(plain.db.history().unwrap().state().raw_gone.is_some(), retention.is_some());
        for (named, first) in [(Named::From(0), 0), (Named::From(5), 5)] {
            let other = bench(named, retention);
            for tier in Tier::BY_POLICY {
                // The third day was built anew, for a late sample.
                let known: Vec<i64> =
                    (0..DAYS).filter(|day| *day >= first || [2, 3].contains(day)).collect();
                assert_eq!(days(&other, tier), known, "{tier}");
            }
            for (seen, wanted) in figures(&other).iter().zip(&wanted) {
                assert_eq!(seen, wanted);
            }
        }
    }
}
