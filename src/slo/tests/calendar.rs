//! Months, exclusions and what is missing.

use super::*;
use crate::slo::report::Count;
use crate::slo::series::{Metric, lines};

/// March 2026 in Amsterdam.
const MARCH: (i64, i64) = (1_772_319_600_000, 1_774_994_400_000);

/// A probe every five minutes that fails for an hour on the day of the change of the clock.
fn probed() -> Bench {
    let bench = Bench::new();
    let failed = (1_774_746_000_000, 1_774_749_600_000);
    let n = (MARCH.1 - MARCH.0) / (5 * MINUTE);
    let samples = (1..=n).map(|i| {
        let at = MARCH.0 + i * 5 * MINUTE;
        (at, if at > failed.0 && at <= failed.1 { 0.0 } else { 1.0 })
    });
    bench.push("probe_success", samples);
    bench
}

fn exclusion(mode: &str, more: &str) -> String {
    format!(
        "---
apiVersion: nines.dev/v1
kind: Exclusion
metadata: {{name: works}}
spec: {{class: scheduled-maintenance, from: 2026-03-29T01:30:00+00:00, to: 2026-03-29T02:30:00+00:00, match: {{services: [tests]{more}}}, mode: {mode}, note: announced, author: ada}}
"
    )
}

fn definition() -> String {
    gauge("probe_success", "", &month("Europe/Amsterdam"), "0.999")
}

#[test]
fn a_month_with_a_change_of_the_clock() {
    let report = probed().report(&definition(), MARCH.0, MARCH.1);
    let slices = report.slices.as_ref().unwrap();
    assert_eq!((slices.counted_slices, slices.bad_slices), (8916, 12));
    near(report.sli, 742.0 / 743.0);
    near(slices.allowed_minutes, 44.58);
    near(report.budget_remaining, -257.0 / 743.0);
    assert_eq!((report.met, report.bad), (Some(false), Count(12.0)));
}

#[test]
fn the_window_of_the_calendar_is_found() {
    probed().with(&definition(), NOW, |desk| {
        let slo = &desk.definitions.slos["case"];
        let window = desk.window_at(slo, MARCH.0 + 1).unwrap();
        assert_eq!(
            (window.from_ms, window.to_ms, window.label.as_str()),
            (MARCH.0, MARCH.1, "2026-03")
        );
    });
}

#[test]
fn an_exclusion_takes_slices_away_or_makes_them_good() {
    let bench = probed();
    let excluded = definition() + &exclusion("exclude", "");
    let report = bench.report(&excluded, MARCH.0, MARCH.1);
    let slices = report.slices.as_ref().unwrap();
    assert_eq!((slices.counted_slices, slices.bad_slices), (8904, 6));
    near(report.sli, 1483.0 / 1484.0);
    near(report.budget_remaining, 121.0 / 371.0);
    assert_eq!((report.excluded.slices, report.excluded.bad), (12, 6.0));
    assert_eq!(report.excluded.ids, ["works"]);
    assert_eq!(
        (report.raw.bad, report.raw.total, report.raw.met),
        (Count(12.0), Count(8916.0), Some(false))
    );
    let good = definition() + &exclusion("good", "");
    let report = bench.report(&good, MARCH.0, MARCH.1);
    let slices = report.slices.as_ref().unwrap();
    assert_eq!((slices.counted_slices, slices.bad_slices), (8916, 6));
    near(report.sli, 1485.0 / 1486.0);
    near(report.budget_remaining, 243.0 / 743.0);
}

#[test]
fn an_exclusion_of_others_changes_nothing() {
    let bench = probed();
    let other = definition() + &exclusion("exclude", ", labels: {instance: other}");
    let mut report = bench.report(&other, MARCH.0, MARCH.1);
    let plain = bench.report(&definition(), MARCH.0, MARCH.1);
    report.excluded = plain.excluded.clone();
    assert_eq!(report, plain);
}

#[test]
fn an_exclusion_of_events_takes_their_increments() {
    let bench = Bench::new();
    bench.push("all_total", every(T0, MINUTE, (0..=60).map(|i| f64::from(10 * i))));
    bench.push("bad_total", every(T0, MINUTE, (0..=60).map(f64::from)));
    let works = |mode: &str| {
        ratio("bad_total", "all_total", "0.9")
            + &exclusion(mode, "")
                .replace("2026-03-29T01:30:00", "2026-01-01T00:10:30")
                .replace("2026-03-29T02:30:00", "2026-01-01T00:20:30")
    };
    let report = bench.report(&works("exclude"), T0, T0 + HOUR);
    assert_eq!((report.bad, report.total), (Count(50.0), Count(500.0)));
    assert_eq!((report.excluded.bad, report.excluded.total), (10.0, 100.0));
    assert_eq!((report.raw.bad, report.raw.total), (Count(60.0), Count(600.0)));
    let report = bench.report(&works("good"), T0, T0 + HOUR);
    assert_eq!((report.bad, report.total), (Count(50.0), Count(600.0)));
}

#[test]
fn what_is_missing_is_judged_by_the_policy() {
    let bench = Bench::new();
    // A probe a minute; down for two slices, silent for three.
    let samples = (1..=1440)
        .filter(|i| !(601..=615).contains(i))
        .map(|i| (T0 + i * MINUTE, if (301..=310).contains(&i) { 0.0 } else { 1.0 }));
    bench.push("probe_success", samples);
    let of = |policy: &str| {
        let source = format!(", noData: {policy}");
        let window = "{duration: 1d, isRolling: true}";
        let report = bench.report(&gauge("probe_success", &source, window, "0.9"), T0, T0 + DAY);
        assert_eq!((report.coverage.slices, report.coverage.with_data), (288, 285));
        report.sli
    };
    near(of("ignore"), 283.0 / 285.0);
    near(of("good"), 286.0 / 288.0);
    near(of("bad"), 283.0 / 288.0);
}

#[test]
fn exclusions_of_both_modes_at_one_time_have_their_own_series() {
    let bench = Bench::new();
    for hypervisor in ["hv1", "hv2", "hv3"] {
        let series = |name: &str| format!(r#"{name}{{hypervisor="{hypervisor}"}}"#);
        bench.push(&series("all_total"), every(T0, MINUTE, (0..=60).map(|i| f64::from(10 * i))));
        bench.push(&series("bad_total"), every(T0, MINUTE, (0..=60).map(f64::from)));
    }
    let works = |name: &str, mode: &str, labels: &str| {
        exclusion(mode, labels)
            .replace("name: works", &format!("name: {name}"))
            .replace("2026-03-29T01:30:00", "2026-01-01T00:10:00")
            .replace("2026-03-29T02:30:00", "2026-01-01T00:20:00")
    };
    let documents = ratio("bad_total", "all_total", "0.9")
        + &works("out", "exclude", ", labels: {hypervisor: hv1}")
        + &works("fine", "good", ", labels: {hypervisor: hv2}");
    let report = bench.report(&documents, T0, T0 + HOUR);
    // 10 bad of 100 are gone of the first, 10 bad ones are good of the second.
    assert_eq!((report.bad, report.total), (Count(160.0), Count(1700.0)));
    assert_eq!((report.excluded.bad, report.excluded.total), (10.0, 100.0));
    assert_eq!(report.excluded.ids, ["fine", "out"]);
    // One that is about all leaves nothing to be good.
    let all = ratio("bad_total", "all_total", "0.9")
        + &works("out", "exclude", "")
        + &works("fine", "good", ", labels: {hypervisor: hv2}");
    let report = bench.report(&all, T0, T0 + HOUR);
    assert_eq!((report.bad, report.total), (Count(150.0), Count(1500.0)));
}

#[test]
fn slices_of_a_minute_for_many_days_are_counted_run_by_run() {
    let bench = Bench::new();
    // A sample an hour, of which every tenth is bad.
    let hours = 100 * 24;
    let value = |i: i64| if i % 10 == 0 { 0.0 } else { 1.0 };
    bench.push("probe_success", (1..=hours).map(|i| (T0 + i * HOUR, value(i))));
    let window = "{duration: 100d, isRolling: true}";
    let documents = gauge("probe_success", ", noData: ignore", window, "0.9").replace("5m", "1m");
    let report = bench.report(&documents, T0, T0 + 100 * DAY);
    assert_eq!((report.bad, report.total), (Count(240.0), Count(2400.0)));
    assert_eq!((report.coverage.slices, report.coverage.with_data), (144_000, 2400));
}

#[test]
fn the_end_of_a_rule_is_an_instant() {
    let start =
        chrono::NaiveDate::from_ymd_opt(2026, 3, 27).unwrap().and_hms_opt(2, 30, 0).unwrap();
    let mut definitions = load(&(definition() + &exclusion("exclude", "")));
    let mut works = definitions.exclusions.pop_first().unwrap().1;
    let mut days = |until: &str| {
        let rrule = format!("FREQ=DAILY;UNTIL={until}");
        let zone = chrono_tz::Europe::Amsterdam;
        works.when = crate::slo::definition::When::Repeated { start, zone, rrule, length_ms: HOUR };
        crate::slo::exclusions::occurrences(&works, MARCH.0, MARCH.1).unwrap().len()
    };
    // Half past two is half past one in UTC.
    assert_eq!((days("20260328T013000Z"), days("20260328T012959Z")), (2, 1));
}

#[test]
fn an_exclusion_of_labels_is_one_of_an_expression_that_keeps_them() {
    let bench = Bench::new();
    for hypervisor in ["hv1", "hv2"] {
        let name = format!(r#"load{{hypervisor="{hypervisor}"}}"#);
        bench.push(&name, (0..=12).map(|i| (T0 + i * 5 * MINUTE, 1.0)));
    }
    let documents = format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{name: case}}
spec:
  service: tests
  budgetingMethod: Timeslices
  timeWindow: [{{duration: 1h, isRolling: true}}]
  indicator:
    metadata: {{name: case-sli}}
    spec:
      ratioMetric:
        counter: false
        good: {{metricSource: {{type: nines, spec: {{query: 'max by (hypervisor) (load) * 0.5', groupBy: [hypervisor]}}}}}}
        total: {{metricSource: {{type: nines, spec: {{query: 'max by (hypervisor) (load)', groupBy: [hypervisor]}}}}}}
  objectives: [{{displayName: case, target: 0.9, timeSliceWindow: 5m, timeSliceTarget: 0.9}}]
{}",
        exclusion("exclude", ", labels: {hypervisor: hv1}")
            .replace("2026-03-29T01:30:00", "2026-01-01T00:10:00")
            .replace("2026-03-29T02:30:00", "2026-01-01T00:20:00")
    );
    let reports = bench.reports(&documents, T0, T0 + HOUR);
    let counted: Vec<_> =
        reports.iter().map(|report| (report.total, report.excluded.slices)).collect();
    assert_eq!(counted, [(Count(10.0), 2), (Count(12.0), 0)]);
    assert!(reports.iter().all(|report| !report.exact));
}

#[test]
fn a_window_of_ages_is_refused() {
    let bench = Bench::new();
    let documents = Ratio::default().to_string();
    for (from, to) in
        [(i64::MIN, T0), (T0, i64::MAX), (i64::MIN, i64::MAX), (-62_135_596_801_000, T0)]
    {
        let refused = bench.with(&documents, NOW, |desk| {
            let asked = Asked { from_ms: from, to_ms: to, label: String::new() };
            desk.evaluator(&desk.definitions.slos["case"]).evaluate(&asked).unwrap_err().to_string()
        });
        assert_eq!(refused, "the interval has more than 16777216 slices: ask for a shorter one");
    }
    let drawn = |span: (i64, i64), step: i64| {
        bench.with(&documents, NOW, |desk| {
            lines(desk, &desk.definitions.slos["case"], Metric::Sli, span, (step, HOUR))
                .map(|lines| lines.iter().map(|line| line.points.len()).sum::<usize>())
                .map_err(|error| error.to_string())
        })
    };
    let too_many = "more than 11000 points: ask for a shorter time or a longer step".to_owned();
    assert_eq!(drawn((i64::MIN, i64::MAX), HOUR), Err(too_many));
    assert_eq!(drawn((T0, i64::MIN), HOUR), Ok(0));
    assert_eq!(drawn((T0, T0 + HOUR), i64::MAX), Ok(1));
    let century = bench.report(&documents, T0 - 100 * 366 * DAY, T0);
    assert_eq!(century.total, Count(0.0));
}
