//! Counters: ratios, resets, first values, late samples.

use super::*;
use crate::slo::contributors::contributors;
use crate::slo::report::{Count, Status};

#[test]
fn a_ratio_of_counters() {
    let bench = Bench::new();
    bench.push(r#"req_total{code="200"}"#, every(T0, MINUTE, (0..=60).map(|i| f64::from(10 * i))));
    let failed = (0..=60).map(|i| if i < 30 { 0.0 } else { 3.0 });
    bench.push(r#"req_total{code="500"}"#, every(T0, MINUTE, failed));
    let report =
        bench.report(&ratio(r#"req_total{code="500"}"#, "req_total", "0.995"), T0, T0 + HOUR);
    assert_eq!((report.bad, report.total), (Count(3.0), Count(603.0)));
    near(report.sli, 200.0 / 201.0);
    near(report.allowed_bad, 3.015);
    near(report.budget_remaining, 1.0 / 201.0);
    assert_eq!((report.met, report.status, report.exact), (Some(true), Status::AtRisk, true));
    assert_eq!((report.coverage.slices, report.coverage.with_data), (12, 12));
}

#[test]
fn resets_of_counters() {
    let bench = Bench::new();
    bench.push("all_total", every(T0, MINUTE, [100.0, 130.0, 150.0, 20.0, 50.0]));
    bench.push("bad_total", every(T0, MINUTE, [5.0, 5.0, 7.0, 1.0, 1.0]));
    let report = bench.report(&ratio("bad_total", "all_total", "0.95"), T0, T0 + 4 * MINUTE);
    assert_eq!((report.bad, report.total), (Count(3.0), Count(100.0)));
    near(report.sli, 0.97);
    near(report.budget_remaining, 0.4);
}

#[test]
fn days_add_up() {
    let bench = Bench::new();
    let values = (0..2 * 1440 + 2).map(|i| f64::from(1000 + 7 * i));
    bench.push("all_total", every(T0 - 30_000, MINUTE, values));
    bench.push(
        "bad_total",
        [(T0 - 30_000, 50.0), (T0 + 30_000, 50.0), (T0 + 2 * HOUR + 30_000, 80.0)],
    );
    let documents = ratio("bad_total", "all_total", "0.5");
    let of = |from, to| {
        let report = bench.report(&documents, from, to);
        (report.bad.0, report.total.0)
    };
    assert_eq!(of(T0, T0 + DAY).1, 10_080.0);
    assert_eq!(of(T0 + DAY, T0 + 2 * DAY).1, 10_080.0);
    assert_eq!(of(T0, T0 + 2 * DAY).1, 20_160.0);
    let hours: Vec<f64> = (0..3).map(|h| of(T0 + h * HOUR, T0 + (h + 1) * HOUR).0).collect();
    assert_eq!(hours, [0.0, 0.0, 30.0]);
}

#[test]
fn a_gap_of_weeks_is_booked_behind_it() {
    let bench = Bench::new();
    bench.push("all_total", [(T0, 100.0), (T0 + 40 * DAY + 1, 160.0)]);
    let documents = ratio("bad_total", "all_total", "0.5");
    assert_eq!(bench.report(&documents, T0 + 40 * DAY, T0 + 41 * DAY).total, Count(60.0));
    assert_eq!(bench.report(&documents, T0, T0 + 40 * DAY).total, Count(0.0));
    let report = bench.report(&documents, T0 + 40 * DAY, T0 + 41 * DAY);
    assert_eq!(report.uncounted.series, 0);
}

#[test]
fn the_target_changes_in_the_middle() {
    let bench = Bench::new();
    // April 2026, UTC.
    let (april, mid, may) = (1_775_001_600_000, 1_776_297_600_000, 1_777_593_600_000);
    let line = |total: f64, bad: f64, from: i64, to: i64, base: (f64, f64)| {
        let n = 100;
        (1..=n).map(move |i| {
            let at = from + (to - from) / n * i;
            let share = i as f64 / n as f64;
            (at, (base.0 + total * share).round(), (base.1 + bad * share).round())
        })
    };
    let first = line(1_000_000.0, 600.0, april, mid, (0.0, 0.0));
    let second = line(1_200_000.0, 700.0, mid, may, (1_000_000.0, 600.0));
    let all: Vec<_> = std::iter::once((april, 0.0, 0.0)).chain(first).chain(second).collect();
    bench.push("all_total", all.iter().map(|(at, total, _)| (*at, *total)));
    bench.push("bad_total", all.iter().map(|(at, _, bad)| (*at, *bad)));
    let annotations = "    nines.dev/target-history: |\n      2024-01-01T00:00:00+00:00 0.999\n      2026-04-16T00:00:00+00:00 0.9995";
    let window = month("UTC");
    let documents =
        Ratio { target: "0.9995", annotations, window: &window, ..Ratio::default() }.to_string();
    let report = bench.report(&documents, april, may);
    assert_eq!((report.bad, report.total), (Count(1300.0), Count(2_200_000.0)));
    near(report.sli, 21_987.0 / 22_000.0);
    assert_eq!(report.allowed_bad, Some(1600.0));
    near(report.budget_remaining, 0.1875);
    near(report.effective_target, 1374.0 / 1375.0);
    assert_eq!(report.met, Some(true));
    let segments: Vec<_> =
        report.targets.iter().map(|s| (s.bad.0, s.total.0, s.allowed_bad, s.met)).collect();
    assert_eq!(segments, [(600.0, 1e6, 1000.0, Some(true)), (700.0, 1.2e6, 600.0, Some(false))]);
    near(report.targets[0].budget_remaining, 0.4);
    near(report.targets[1].budget_remaining, -1.0 / 6.0);
    // What was before the change does not know of it.
    let before = Ratio { target: "0.999", window: &window, ..Ratio::default() }.to_string();
    let march = (april - 31 * DAY, april);
    let json = |report: &Report| serde_json::to_string(report).unwrap();
    let old = bench.report(&before, march.0, march.1);
    assert_eq!(json(&bench.report(&documents, march.0, march.1)), json(&old));
}

/// Ten slices of a minute: one without traffic, one of a single bad event, one all bad.
fn slices(method: &str, zero_traffic: &str) -> Report {
    let bench = Bench::new();
    let totals = [0, 100, 100, 0, 100, 1, 100, 100, 100, 100, 100];
    let bads = [0, 0, 6, 0, 5, 1, 0, 0, 0, 100, 0];
    let running = |of: [i32; 11]| {
        let mut sum = 0;
        of.map(|n| {
            sum += n;
            f64::from(sum)
        })
    };
    bench.push("all_total", every(T0, MINUTE, running(totals)));
    bench.push("bad_total", every(T0, MINUTE, running(bads)));
    let documents = Ratio {
        target: "0.7",
        method,
        source: zero_traffic,
        objective: ", timeSliceWindow: 1m, timeSliceTarget: 0.95",
        ..Ratio::default()
    };
    let documents = match method {
        "Occurrences" => Ratio { objective: "", ..documents }.to_string(),
        "RatioTimeslices" => Ratio { objective: ", timeSliceWindow: 1m", ..documents }.to_string(),
        _ => documents.to_string(),
    };
    bench.report(&documents, T0, T0 + 10 * MINUTE)
}

#[test]
fn methods_of_budgeting() {
    near(slices("Occurrences", "").sli, 689.0 / 801.0);
    let good = slices("Timeslices", "");
    near(good.sli, 0.7);
    assert_eq!((good.met, good.budget_remaining), (Some(true), Some(0.0)));
    let told = good.slices.unwrap();
    assert_eq!((told.good_slices, told.bad_slices, told.zero_traffic_slices), (7, 3, 1));
    near(slices("Timeslices", ", zeroTraffic: ignore").sli, 2.0 / 3.0);
    near(slices("RatioTimeslices", "").sli, 0.789);
    near(slices("RatioTimeslices", ", zeroTraffic: ignore").sli, 689.0 / 900.0);
}

#[test]
fn a_latency_at_a_bound_of_a_bucket() {
    let bench = Bench::new();
    for (le, n) in [("0.1", 7000.0), ("0.25", 9910.0), ("0.5", 9990.0), ("+Inf", 10_000.0)] {
        bench.push(&format!(r#"lat_bucket{{le="{le}"}}"#), [(T0, 0.0), (T0 + 9 * MINUTE, n)]);
    }
    bench.push("lat_count", [(T0, 0.0), (T0 + 9 * MINUTE, 10_000.0)]);
    let documents = ratio("x", "lat_count", "0.99")
        .replace("bad: {", "good: {")
        .replace("'x'", r#"'lat_bucket{le="0.25"}'"#);
    let report = bench.report(&documents, T0, T0 + 10 * MINUTE);
    assert_eq!((report.bad, report.total), (Count(90.0), Count(10_000.0)));
    near(report.sli, 0.991);
    near(report.budget_remaining, 0.1);
}

#[test]
fn a_sample_that_comes_late_changes_the_verdict() {
    let bench = Bench::new();
    // The sender was cut off in minutes 21 to 30 and began anew at minute 25.
    let value = |minute: i64| if minute < 25 { 100 * minute } else { 100 * (minute - 25) };
    let at = |minute: i64| (T0 + minute * MINUTE, value(minute) as f64);
    bench.push("all_total", (0..=20).chain(31..=60).map(at));
    bench.push("bad_total", [(T0, 0.0), (T0 + 10 * MINUTE, 6.0), (T0 + HOUR, 6.0)]);
    let documents = ratio("bad_total", "all_total", "0.999");
    let before = bench.report(&documents, T0, T0 + HOUR);
    bench.push("all_total", (21..=30).map(at));
    let after = bench.report(&documents, T0, T0 + HOUR);
    let told = |report: &Report| (report.bad.0, report.total.0, report.met);
    assert_eq!(told(&before), (6.0, 5500.0 - 0.0, Some(false)));
    assert_eq!(told(&after).2, Some(after.bad.0 * 1000.0 <= after.total.0));
    assert!(after.total.0 > before.total.0);
    assert!(after.revision > before.revision, "{} {}", after.revision, before.revision);
}

#[test]
fn exactly_all_of_the_budget_is_met() {
    let bench = Bench::new();
    bench.push("all_total", [(T0, 0.0), (T0 + MINUTE, 1e6)]);
    bench.push("bad_total", [(T0, 0.0), (T0 + MINUTE, 1000.0)]);
    let documents = ratio("bad_total", "all_total", "0.999");
    let report = bench.report(&documents, T0, T0 + HOUR);
    assert_eq!((report.budget_remaining, report.met), (Some(0.0), Some(true)));
    bench.push("bad_total", [(T0 + 2 * MINUTE, 1001.0)]);
    let report = bench.report(&documents, T0, T0 + HOUR);
    assert_eq!((report.budget_remaining, report.met), (Some(-0.001), Some(false)));
    let empty = bench.report(&documents, T0 + DAY, T0 + DAY + HOUR);
    assert_eq!((empty.sli, empty.met, empty.status), (None, None, Status::NoData));
    assert_eq!((empty.budget_remaining, empty.allowed_bad, empty.total), (None, None, Count(0.0)));
}

#[test]
fn first_values_are_told_or_counted() {
    let bench = Bench::new();
    bench.push(r#"req_total{code="200"}"#, every(T0, MINUTE, (0..=60).map(|i| f64::from(10 * i))));
    let newborn = every(T0 + 30 * MINUTE, MINUTE, (0..=30).map(|_| 1.0));
    bench.push(r#"req_total{code="500"}"#, newborn);
    let bad = r#"req_total{code="500"}"#;
    let ignored = bench.report(&ratio(bad, "req_total", "0.99"), T0, T0 + HOUR);
    assert_eq!((ignored.bad, ignored.total), (Count(0.0), Count(600.0)));
    assert_eq!((ignored.uncounted.first_values, ignored.uncounted.series), (Count(1.0), 1));
    let source = ", counterStart: zero";
    let zero = Ratio { bad, total: "req_total", source, ..Ratio::default() }.to_string();
    let counted = bench.report(&zero, T0, T0 + HOUR);
    assert_eq!((counted.bad, counted.total), (Count(1.0), Count(601.0)));
    assert_eq!(counted.uncounted.series, 0);
}

#[test]
fn who_is_to_blame() {
    let bench = Bench::new();
    for (instance, bad) in [("i1", 3.0), ("i2", 90.0), ("i3", 7.0)] {
        let series = |code: &str| format!(r#"req_total{{instance="{instance}",code="{code}"}}"#);
        bench.push(&series("200"), [(T0, 0.0), (T0 + MINUTE, 10_000.0 - bad)]);
        bench.push(&series("500"), [(T0, 0.0), (T0 + MINUTE, bad)]);
    }
    let documents = ratio(r#"req_total{code="500"}"#, "req_total", "0.99");
    let found = bench.with(&documents, NOW, |desk| {
        let slo = desk.definitions.slos.values().next().unwrap();
        let asked = Asked { from_ms: T0, to_ms: T0 + HOUR, label: String::new() };
        contributors(desk, slo, (&["instance".to_owned()], 2), &asked).unwrap()
    });
    let told: Vec<_> = found.items.iter().map(|one| one.labels["instance"].as_str()).collect();
    assert_eq!(told, ["i2", "i3"]);
    near(found.items[0].share, 0.9);
    near(found.items[0].sli, 0.991);
    near(found.items[0].sli_without, 0.9995);
    near(found.items[1].sli_without, 0.995_35);
    assert_eq!((found.other.items, found.other.bad), (1, Count(3.0)));
}

#[test]
fn good_events_that_exceed_all_are_told() {
    let bench = Bench::new();
    bench.push("all_total", [(T0, 0.0), (T0 + MINUTE, 10.0)]);
    bench.push("good_total", [(T0, 0.0), (T0 + MINUTE, 12.0)]);
    let documents = ratio("good_total", "all_total", "0.99").replace("bad: {", "good: {");
    let report = bench.report(&documents, T0, T0 + HOUR);
    assert_eq!((report.good, report.bad), (Count(12.0), Count(-2.0)));
    assert_eq!(report.anomalies[0].kind, "goodExceedsTotal");
}

#[test]
fn objectives_together() {
    let bench = Bench::new();
    for (name, all, bad) in [("a", 1e6, 500.0), ("b", 2e4, 30.0)] {
        bench.push(&format!("{name}_total"), [(T0, 0.0), (T0 + MINUTE, all)]);
        bench.push(&format!("{name}_bad_total"), [(T0, 0.0), (T0 + MINUTE, bad)]);
    }
    let of = |method: &str| {
        let member = |name: &str| {
            format!(
                "    - displayName: {name}
      target: 0.999
      compositeWeight: 1
      indicator:
        metadata: {{name: {name}-sli}}
        spec:
          ratioMetric:
            counter: true
            bad: {{metricSource: {{type: nines, spec: {{query: '{name}_bad_total'}}}}}}
            total: {{metricSource: {{type: nines, spec: {{query: '{name}_total'}}}}}}
"
            )
        };
        let documents = format!(
            "apiVersion: openslo/v1
kind: SLO
metadata: {{name: case, annotations: {{nines.dev/composite: {method}}}}}
spec:
  service: tests
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 1h, isRolling: true}}]
  objectives:
{}{}",
            member("a"),
            member("b")
        );
        bench.report(&documents, T0, T0 + HOUR)
    };
    let weighted = of("weighted");
    assert_eq!((weighted.budget_remaining, weighted.met), (Some(0.0), Some(true)));
    let worst = of("worst");
    assert_eq!((worst.budget_remaining, worst.met), (Some(-0.5), Some(false)));
    let pooled = of("pooled");
    near(pooled.budget_remaining, 49.0 / 102.0);
    assert_eq!((pooled.raw.bad, pooled.raw.total), (Count(530.0), Count(1_020_000.0)));
    assert_eq!(
        (pooled.raw.budget_remaining, pooled.raw.met),
        (pooled.budget_remaining, Some(true))
    );
    assert_eq!((pooled.coverage.slices, pooled.coverage.with_data), (24, 2));
}

#[test]
fn a_sample_that_comes_late_changes_the_step_behind_it() {
    let bench = Bench::new();
    bench.push("all_total", [(T0, 100.0), (T0 + 5 * DAY + MINUTE, 160.0)]);
    let documents = ratio("bad_total", "all_total", "0.5");
    let days = || {
        (0..6)
            .map(|d| bench.report(&documents, T0 + d * DAY, T0 + (d + 1) * DAY).total.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(days(), [0.0, 0.0, 0.0, 0.0, 0.0, 60.0]);
    assert_eq!(bench.report(&documents, T0, T0 + 6 * DAY).total, Count(60.0));
    bench.push("all_total", [(T0 + 2 * DAY + MINUTE, 130.0)]);
    assert_eq!(days(), [0.0, 0.0, 30.0, 0.0, 0.0, 30.0]);
    assert_eq!(bench.report(&documents, T0, T0 + 6 * DAY).total, Count(60.0));
}

#[test]
fn a_period_that_runs_is_counted_until_now() {
    let bench = Bench::new();
    bench.push("all_total", every(T0, MINUTE, (0..=120).map(f64::from)));
    let window = month("UTC");
    let documents = Ratio { window: &window, ..Ratio::default() }.to_string();
    let (total, slices) = bench.with(&documents, T0 + HOUR, |desk| {
        let slo = &desk.definitions.slos["case"];
        let report = desk.status(slo, T0 + HOUR).unwrap().remove(0);
        assert!(!report.window.complete);
        (report.total, report.coverage.slices)
    });
    assert_eq!((total, slices), (Count(60.0), 12));
}
