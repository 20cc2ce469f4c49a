//! SLOs over the time before they were written, and longer periods as sums of shorter ones.

use super::*;
use crate::promql::{Engine, EngineOptions, QueryOptions, Value, parse};
use crate::slo::definition::Unit;
use crate::slo::desk::Periods;
use crate::slo::portfolio::{By, portfolio};
use crate::slo::published::Published;
use crate::slo::report::Status;

const YEAR: (i64, i64) = (T0, T0 + 365 * DAY);
const MARCH: i64 = T0 + 59 * DAY;

/// Every hour of a year in which it is asked for: requests and failures, of two regions, with a restart every nine days.
fn hours(bench: &Bench, from: i64, to: i64) {
    for (region, pace) in [("ams", 7i64), ("nyc", 11)] {
        let hours = from.div_euclid(HOUR)..to.div_euclid(HOUR);
        let grown = |hour: i64| (hour - T0 / HOUR).rem_euclid(9 * 24) * pace;
        let at = |hour: i64| hour * HOUR + 17_000;
        let series = |name: &str| format!(r#"{name}{{region="{region}"}}"#);
        bench.push(
            &series("all_total"),
            hours.clone().map(|hour| (at(hour), (10 * grown(hour)) as f64)),
        );
        bench.push(
            &series("bad_total"),
            hours.clone().map(|hour| (at(hour), (grown(hour) / 13) as f64)),
        );
    }
}

fn documents() -> String {
    let window = month("Europe/Amsterdam");
    let annotations = "    nines.dev/target-history: |\n      2024-01-01T00:00:00+00:00 0.99\n      2026-04-16T00:00:00+00:00 0.995";
    let source = ", groupBy: [region]";
    let one = Ratio { target: "0.995", window: &window, annotations, source, ..Ratio::default() };
    let sliced = Ratio {
        method: "Timeslices",
        objective: ", timeSliceWindow: 1h, timeSliceTarget: 0.99",
        annotations: "",
        source: "",
        ..one
    };
    let sliced = sliced.to_string().replace("name: case", "name: sliced");
    // Nothing was ever counted for this one.
    let silent = Ratio { bad: "x", total: "y", ..Ratio::default() };
    format!("{one}---\n{sliced}---\n{}", silent.to_string().replace("name: case", "name: silent"))
}

/// All that is told of the months of an SLO, but for when it was counted.
fn months(bench: &Bench, ledger: &Ledger, documents: &str, now: i64) -> String {
    bench.with(documents, now, |desk| {
        let owner = desk.owner.map(|owner| Owner { ledger, ..owner });
        let desk = Desk { owner, ..*desk };
        let mut all = String::new();
        for slo in desk.definitions.slos.values() {
            let asked = desk.periods(slo, Periods::Calendar(Unit::Month), YEAR, None).unwrap();
            for asked in asked.iter().filter(|asked| asked.from_ms < now) {
                for report in desk.evaluator(slo).evaluate(asked).unwrap() {
                    let mut told = serde_json::to_value(&report).unwrap();
                    told.as_object_mut().unwrap().remove("computedAt").unwrap();
                    all += &format!("{told}\n");
                }
            }
        }
        all
    })
}

/// One is asked from before the first sample came; the other one was written when all of them were there.
#[test]
fn one_that_is_written_later_tells_the_same() {
    let (bench, documents) = (Bench::new(), documents());
    let before = Ledger::new(64 << 20);
    months(&bench, &before, &documents, T0);
    for (from, to) in [(0, 40), (80, 120), (40, 80), (120, 365)] {
        hours(&bench, T0 + from * DAY, T0 + to * DAY);
        months(&bench, &before, &documents, T0 + to * DAY + HOUR);
    }
    let after = Ledger::new(64 << 20);
    let told = months(&bench, &after, &documents, NOW);
    assert_eq!(months(&bench, &before, &documents, NOW), told);
    // Two regions and one that is whole for thirteen months of Amsterdam, of which the first begins in 2025.
    assert!(told.contains(r#""label":"2026-07""#) && told.contains(r#""met":false"#), "{told}");

    // Series of PromQL reach back as far as samples do; they begin anew with every month.
    bench.with(&documents, NOW, |desk| {
        let published = Published { desk: *desk };
        let query = r#"sum(nines_slo_events_total{slo="case"}) > 0"#;
        let answer = Engine::new(EngineOptions::default())
            .range(
                &published,
                &parse(query).unwrap(),
                query,
                MARCH + DAY,
                MARCH + 28 * DAY,
                DAY,
                &QueryOptions::default(),
                &Budget::unlimited(),
            )
            .unwrap();
        let Value::Matrix(series) = answer.value else { panic!("no series") };
        assert_eq!(series[0].floats.len(), 28);
        for (at, value) in &series[0].floats {
            let asked = Asked { from_ms: MARCH, to_ms: *at, label: String::new() };
            let reports = desk.evaluator(desk.slo("case").unwrap()).evaluate(&asked).unwrap();
            assert_eq!(reports.iter().map(|report| report.total.0).sum::<f64>(), *value);
        }
    });
}

#[test]
fn longer_periods_are_the_sums_of_shorter_ones() {
    let (bench, documents) = (Bench::new(), documents());
    hours(&bench, T0 - 40 * DAY, T0 + 380 * DAY);
    bench.with(&documents, NOW, |desk| {
        for name in ["case", "sliced"] {
            let slo = desk.slo(name).unwrap();
            // Good, bad, all and what is allowed, by region.
            let of = |unit, (from, to): (i64, i64)| -> Vec<(Asked, Vec<[f64; 4]>)> {
                let asked = desk.periods(slo, Periods::Calendar(unit), (from, to), None).unwrap();
                let told = |asked: Asked| {
                    let reports = desk.evaluator(slo).evaluate(&asked).unwrap();
                    let figures = reports.iter().map(|report| {
                        [report.good.0, report.bad.0, report.total.0, report.allowed_bad.unwrap()]
                    });
                    (asked, figures.collect())
                };
                asked.into_iter().map(told).collect()
            };
            let mut parents = of(Unit::Year, YEAR);
            // The end of the year in Amsterdam comes before that in UTC.
            parents.retain(|(asked, _)| asked.label == "2026");
            assert_eq!(parents.len(), 1);
            for (unit, n) in [(Unit::Quarter, 4), (Unit::Month, 3), (Unit::Day, 28)] {
                let mut children = Vec::new();
                for (parent, figures) in &parents {
                    let parts = of(unit, (parent.from_ms, parent.to_ms));
                    assert!(parts.len() >= n && !figures.is_empty(), "{unit:?} {}", parts.len());
                    for (group, whole) in figures.iter().enumerate() {
                        let sum = |i: usize| parts.iter().map(|part| part.1[group][i]).sum::<f64>();
                        assert_eq!([sum(0), sum(1), sum(2)], whole[..3], "{name} {}", parent.label);
                        assert!(whole[2] > 0.0 && (sum(3) - whole[3]).abs() < 1e-6);
                    }
                    children.extend(parts);
                }
                parents = children;
            }
        }
    });
}

#[test]
fn the_portfolio_counts_what_the_list_has() {
    let (bench, documents) = (Bench::new(), documents());
    hours(&bench, T0 - 40 * DAY, T0 + 380 * DAY);
    bench.with(&documents, NOW, |desk| {
        let periods = Periods::Calendar(Unit::Month);
        let told = portfolio(desk, (By::Service, periods), YEAR, None, &|_| true).unwrap();
        assert_eq!(told.rows.len(), 1);
        let mut all = [0; 3];
        for (column, cell) in told.columns.iter().zip(&told.total) {
            let mut listed = [0; 3];
            for slo in desk.definitions.slos.values() {
                let same = |asked: &Asked| asked.label == column.label;
                let asked = desk.periods(slo, periods, YEAR, None).unwrap();
                let Some(asked) = asked.into_iter().find(same) else { continue };
                for report in desk.evaluator(slo).evaluate(&asked).unwrap() {
                    match report.status {
                        Status::NoData => listed[2] += 1,
                        _ => listed[0] += 1,
                    }
                    listed[1] += u32::from(report.met == Some(true));
                }
            }
            assert_eq!([cell.total, cell.met, cell.no_data], listed, "{}", column.label);
            all.iter_mut().zip(listed).for_each(|(all, more)| *all += more);
        }
        assert!(all[1] > 0 && all[1] < all[0] && all[2] >= 12, "{all:?}");
    });
}
