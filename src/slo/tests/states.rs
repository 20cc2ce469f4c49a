//! States of machines, one by one.

use super::*;
use crate::slo::report::Count;

/// February 2026, UTC.
pub(super) const FEBRUARY: (i64, i64) = (1_769_904_000_000, 1_772_323_200_000);
const FIVE: i64 = 5 * MINUTE;

/// Three virtual machines: one is off for a quarter of an hour, one is there for half of the month, paused for a while
/// and once gone, one is well.
pub(super) fn machines(inventory: bool) -> Bench {
    let bench = Bench::new();
    let slices =
        |from: i64| (from..).step_by(FIVE as usize).skip(1).take_while(|at| *at <= FEBRUARY.1);
    let mid = FEBRUARY.0 + 14 * DAY;
    let d1 = slices(FEBRUARY.0)
        .enumerate()
        .map(|(i, at)| (at, if (100..103).contains(&i) { 6.0 } else { 1.0 }));
    bench.push(r#"vstate{droplet="d1",hypervisor="hv1"}"#, d1);
    let d2 = slices(mid).enumerate().map(|(i, at)| {
        (
            at,
            if i < 100 {
                5.0
            } else if i == 500 {
                0.0
            } else {
                2.0
            },
        )
    });
    bench.push(r#"vstate{droplet="d2",hypervisor="hv1"}"#, d2);
    bench.push(r#"vstate{droplet="d3",hypervisor="hv2"}"#, slices(FEBRUARY.0).map(|at| (at, 1.0)));
    if inventory {
        for (droplet, from) in [("d1", FEBRUARY.0), ("d2", mid), ("d3", FEBRUARY.0)] {
            bench.push(
                &format!(r#"droplet_info{{droplet="{droplet}"}}"#),
                slices(from).map(|at| (at, 1.0)),
            );
        }
    }
    bench
}

pub(super) fn definition(more: &str) -> String {
    let source = format!(
        ", states: {{good: [1, 2], bad: [0, 6], ignore: [3, 4, 5, 7]}}, groupBy: [droplet]{more}"
    );
    gauge("vstate", &source, &month("UTC"), "0.9999")
}

fn check(bench: &Bench, documents: &str) {
    let reports = bench.reports(documents, FEBRUARY.0, FEBRUARY.1);
    let told: Vec<_> = reports
        .iter()
        .map(|report| {
            let slices = report.slices.as_ref().unwrap();
            (report.group["droplet"].as_str(), slices.counted_slices, slices.bad_slices, report.met)
        })
        .collect();
    let mid = (14 * DAY / FIVE) as u32;
    assert_eq!(
        told,
        [
            ("d1", 8064, 3, Some(false)),
            ("d2", mid - 100, 1, Some(false)),
            ("d3", 8064, 0, Some(true))
        ]
    );
    near(reports[0].sli, 2687.0 / 2688.0);
    near(reports[1].sli, 3931.0 / 3932.0);
    assert_eq!(reports[2].sli, Some(1.0));
}

#[test]
fn machines_are_judged_one_by_one() {
    check(&machines(false), &definition(", noData: ignore"));
    check(&machines(false), &definition(", noData: bad"));
}

#[test]
fn an_inventory_tells_what_should_be_there() {
    let bench = machines(true);
    check(&bench, &definition(", noData: bad, existence: droplet_info"));
}

#[test]
fn a_machine_that_vanishes_is_bad_where_the_inventory_has_it() {
    let bench = machines(true);
    let more = FEBRUARY.1 - 2 * HOUR;
    bench.push(r#"droplet_info{droplet="d4"}"#, (0..=24).map(|i| (more + i * FIVE, 1.0)));
    bench.push(r#"vstate{droplet="d4"}"#, (0..=12).map(|i| (more + i * FIVE, 1.0)));
    let reports = bench.reports(
        &definition(", noData: bad, existence: droplet_info"),
        FEBRUARY.0,
        FEBRUARY.1,
    );
    let slices = reports[3].slices.as_ref().unwrap();
    assert_eq!((slices.counted_slices, slices.bad_slices), (25, 12));
}

#[test]
fn an_exclusion_of_a_hypervisor_is_one_of_its_machines() {
    let bench = machines(false);
    let works = "---
apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: firmware}
spec: {class: scheduled-maintenance, from: 2026-02-01T00:00:00+00:00, to: 2026-02-02T00:00:00+00:00, match: {services: [tests], labels: {hypervisor: hv1}}, mode: exclude, note: firmware, author: ada}
";
    let reports = bench.reports(&(definition("") + works), FEBRUARY.0, FEBRUARY.1);
    let told: Vec<_> = reports
        .iter()
        .map(|report| {
            let slices = report.slices.as_ref().unwrap();
            (slices.counted_slices, slices.bad_slices, report.excluded.slices)
        })
        .collect();
    assert_eq!(told, [(8064 - 288, 0, 288), (3932, 1, 0), (8064, 0, 0)]);
}

#[test]
fn an_exclusion_takes_nothing_from_a_machine_that_was_gone_before() {
    for mode in ["exclude", "good"] {
        let bench = Bench::new();
        let early = || (1..=10).map(|i| (FEBRUARY.0 + i * FIVE, 1.0));
        bench.push(r#"vstate{droplet="d4",hypervisor="hv1"}"#, early());
        bench.push(r#"droplet_info{droplet="d4"}"#, early());
        // Where only later samples are, nobody knows of its series.
        bench.db.flush_before_import(NOW).unwrap();
        let all = || (1..=28 * 288).map(|i| (FEBRUARY.0 + i * FIVE, 1.0));
        bench.push(r#"vstate{droplet="d1",hypervisor="hv1"}"#, all());
        bench.push(r#"droplet_info{droplet="d1"}"#, all());
        let works = format!("---
apiVersion: nines.dev/v1
kind: Exclusion
metadata: {{name: firmware}}
spec: {{class: scheduled-maintenance, from: 2026-02-20T00:00:00+00:00, to: 2026-02-20T01:00:00+00:00, match: {{services: [tests], labels: {{hypervisor: hv1}}}}, mode: {mode}, note: firmware, author: ada}}
");
        let documents = definition(", noData: bad, existence: droplet_info") + &works;
        let reports = bench.reports(&documents, FEBRUARY.0, FEBRUARY.1);
        let slices = reports[1].slices.as_ref().unwrap();
        assert_eq!((slices.counted_slices, slices.bad_slices), (10, 0), "{mode}");
        assert_eq!((reports[1].excluded.slices, reports[1].raw.total.0), (0, 10.0), "{mode}");
    }
}

#[test]
fn an_exclusion_of_a_hypervisor_is_not_one_of_machines_that_have_left_it() {
    for inventory in [true, false] {
        let bench = machines(inventory);
        let slices = |from: i64, to: i64| (from..=to).step_by(FIVE as usize).skip(1);
        // In January already, and in the month itself; down while the hypervisor is out of use.
        let works = (FEBRUARY.0 + 19 * DAY, FEBRUARY.0 + 19 * DAY + HOUR);
        let state = |at: i64| if at > works.0 && at <= works.1 { 6.0 } else { 1.0 };
        for (droplet, moved) in [("d4", FEBRUARY.0 - 3 * HOUR), ("d5", FEBRUARY.0 + 5 * DAY)] {
            let series =
                |host: &str| format!(r#"vstate{{droplet="{droplet}",hypervisor="{host}"}}"#);
            let stay = slices(FEBRUARY.0 - DAY, moved).map(|at| (at, 1.0));
            bench.push(&series("hv1"), stay);
            bench.push(&series("hv2"), slices(moved, FEBRUARY.1).map(|at| (at, state(at))));
            if inventory {
                let there = slices(FEBRUARY.0, FEBRUARY.1).map(|at| (at, 1.0));
                bench.push(&format!(r#"droplet_info{{droplet="{droplet}"}}"#), there);
            }
        }
        bench.db.compact_all(NOW).unwrap();
        let exclusion = "---
apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: firmware}
spec: {class: scheduled-maintenance, from: 2026-02-20T00:00:00+00:00, to: 2026-02-20T01:00:00+00:00, match: {services: [tests], labels: {hypervisor: hv1}}, mode: exclude, note: firmware, author: ada}
";
        let more = if inventory { ", noData: bad, existence: droplet_info" } else { "" };
        let reports = bench.reports(&(definition(more) + exclusion), FEBRUARY.0, FEBRUARY.1);
        let told: Vec<_> = reports
            .iter()
            .map(|report| (report.total.0, report.bad.0, report.excluded.slices))
            .collect();
        let d2 = (14.0 * 288.0) - 100.0 - 12.0;
        assert_eq!(
            told,
            [
                (8052.0, 3.0, 12),
                (d2, 1.0, 12),
                (8064.0, 0.0, 0),
                (8064.0, 12.0, 0),
                (8064.0, 12.0, 0)
            ],
            "{inventory}"
        );
    }
}

#[test]
fn a_machine_that_is_silent_for_days_is_bad_for_a_slice_each_time() {
    let bench = Bench::new();
    let slices = |from: i64, n: i64| (1..=n).map(move |i| (from + i * FIVE, 1.0));
    let from = FEBRUARY.0 + 3 * DAY + 7 * HOUR;
    bench.push(r#"vstate{droplet="d1"}"#, slices(from, 100).collect::<Vec<_>>());
    bench.push(r#"vstate{droplet="d1"}"#, slices(from + 5 * DAY, 100).collect::<Vec<_>>());
    bench.push(r#"vstate{droplet="d2"}"#, slices(FEBRUARY.0, 28 * 288).collect::<Vec<_>>());
    let reports = bench.reports(&definition(", noData: bad"), FEBRUARY.0, FEBRUARY.1);
    let slices = reports[0].slices.as_ref().unwrap();
    // Both runs, and a slice behind each: wherever a window begins and ends.
    assert_eq!((slices.counted_slices, slices.bad_slices), (202, 2));
    let cuts = [FEBRUARY.0, from + 100 * FIVE, from + 101 * FIVE, from + 3 * DAY, FEBRUARY.1];
    let parts: u32 = cuts
        .windows(2)
        .flat_map(|cut| bench.reports(&definition(", noData: bad"), cut[0], cut[1]))
        .filter(|report| report.group.get("droplet").is_some_and(|droplet| droplet == "d1"))
        .map(|report| report.slices.unwrap().bad_slices)
        .sum();
    assert_eq!(parts, 2);
    assert_eq!(reports[0].coverage.slices, 8064);
}

#[test]
fn months_asked_again_are_the_same() {
    let bench = machines(false);
    let documents = definition(", noData: bad");
    let first = bench.reports(&documents, FEBRUARY.0, FEBRUARY.1);
    // Odd ends, hours of days that were asked for in part.
    let odd = (FEBRUARY.0 + 5 * HOUR + FIVE, FEBRUARY.1 - 3 * DAY - 25 * MINUTE);
    let parts = [(FEBRUARY.0, odd.0), odd, (odd.1, FEBRUARY.1)];
    let bad: u32 = parts
        .iter()
        .flat_map(|(from, to)| bench.reports(&documents, *from, *to))
        .filter(|report| report.group["droplet"] == "d1")
        .map(|report| report.slices.unwrap().bad_slices)
        .sum();
    assert_eq!(bad, first[0].slices.as_ref().unwrap().bad_slices);
    assert_eq!(bench.reports(&documents, FEBRUARY.0, FEBRUARY.1), first);
}

/// A composite of two probes by slices of five minutes.
fn probes(targets: [&str; 2], more: &str) -> String {
    let member = |(name, target): (&str, &str)| {
        format!(
            "    - {{displayName: {name}, op: gte, value: 1, target: {target}, compositeWeight: 1, timeSliceWindow: 5m, timeSliceTarget: 1.0, indicator: {{metadata: {{name: {name}-sli}}, spec: {{thresholdMetric: {{metricSource: {{type: nines, spec: {{query: probe_{name}{more}}}}}}}}}}}}}\n"
        )
    };
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{name: case}}\nspec:\n  service: tests\n  budgetingMethod: Timeslices\n  timeWindow: [{{duration: 1d, isRolling: true}}]\n  objectives:\n{}{}",
        member(("a", targets[0])),
        member(("b", targets[1]))
    )
}

#[test]
fn a_slice_that_is_bad_in_any_objective_is_bad() {
    let bench = Bench::new();
    // Slices of an hour, from 0: `a` is bad in 1 and 2, `b` in 2 and 7; `b` says nothing in 5, and nobody in 9.
    let value = |bad: [i64; 2]| move |slice: i64| if bad.contains(&slice) { 0.0 } else { 1.0 };
    let samples = |bad: [i64; 2], silent: [i64; 2]| {
        let all = (0..12).filter(move |slice| !silent.contains(slice));
        all.map(move |slice| (T0 + slice * 5 * MINUTE + MINUTE, value(bad)(slice)))
    };
    bench.push("probe_a", samples([1, 2], [9, 9]));
    bench.push("probe_b", samples([2, 7], [5, 9]));
    let report = |documents: &str| bench.report(documents, T0, T0 + HOUR);
    let found = report(&probes(["0.9", "0.9"], ""));
    assert_eq!((found.bad, found.total, found.exact), (Count(3.0), Count(11.0), true));
    assert_eq!((found.met, found.allowed_bad), (Some(false), Some(1.1)));
    let slices = found.slices.unwrap();
    assert_eq!((slices.bad_slices, slices.good_slices, slices.no_data_slices), (3, 8, 1));
    assert_eq!((found.coverage.slices, found.coverage.with_data), (12, 11));
    // What is missing in one of them is bad, and what is missing in both.
    let found = report(&probes(["0.9", "0.9"], ", noData: bad"));
    assert_eq!((found.bad, found.total), (Count(5.0), Count(12.0)));

    let excluded = |mode: &str| {
        let exclusion = format!(
            "---\napiVersion: nines.dev/v1\nkind: Exclusion\nmetadata: {{name: e}}\nspec: {{class: c, from: 2026-01-01T00:10:00Z, to: 2026-01-01T00:15:00Z, match: {{slos: [case]}}, mode: {mode}, note: n, author: a}}\n"
        );
        report(&(probes(["0.9", "0.9"], "") + &exclusion))
    };
    let found = excluded("exclude");
    assert_eq!((found.bad, found.total), (Count(2.0), Count(10.0)));
    assert_eq!((found.raw.bad, found.raw.total), (Count(3.0), Count(11.0)));
    assert_eq!((found.excluded.slices, &found.excluded.ids[..]), (1, &["e".to_owned()][..]));
    let found = excluded("good");
    assert_eq!((found.bad, found.total), (Count(2.0), Count(11.0)));

    // With targets of their own there is no budget of all: the worst is told, and that it is.
    let found = report(&probes(["0.9", "0.5"], ""));
    assert_eq!((found.bad, found.total, found.exact), (Count(2.0), Count(11.0), false));
}
