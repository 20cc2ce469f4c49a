//! What other definitions would change.

use super::*;
use crate::slo::diff::{Changed, Diff, Fate, Said, diff};

fn compare(bench: &Bench, before: &str, after: &str, now: i64) -> Diff {
    bench.with(before, now, |old| bench.with(after, now, |new| diff(old, new).unwrap()))
}

fn named(name: &str, document: &str) -> String {
    document.replace("name: case\n", &format!("name: {name}\n"))
}

/// `window before -> after`, each side as `bad/total at target`.
fn lines(changed: &Changed<Said>) -> Vec<String> {
    let said = |said: &Option<Said>| match said {
        Some(said) => {
            let target = said.effective_target.map_or("-".to_owned(), |target| target.to_string());
            format!("{}/{} at {target}", said.bad.0, said.total.0)
        }
        None => "nothing".to_owned(),
    };
    let line = |period: &crate::slo::diff::Period<Said>| {
        let side = period.after.as_ref().or(period.before.as_ref()).unwrap();
        let group: Vec<&str> = period.group.values().map(String::as_str).collect();
        let name = format!("{} {}", side.window.label, group.join(","));
        format!("{}: {} -> {}", name.trim(), said(&period.before), said(&period.after))
    };
    changed.periods.iter().map(line).collect()
}

/// A counter of all that grows by 100 a day, and one of bad ones by 1, at noon of each day.
fn year(bench: &Bench, labels: &str) {
    let days = |each: f64| every(T0 - DAY / 2, DAY, (0..400).map(move |day| f64::from(day) * each));
    bench.push(&format!("all_total{labels}"), days(100.0));
    bench.push(&format!("bad_total{labels}"), days(1.0));
}

fn of(window: &str, target: &str, source: &str) -> String {
    Ratio { window, target, source, ..Ratio::default() }.to_string()
}

#[test]
fn what_is_defined_alike_says_the_same() {
    let bench = Bench::new();
    year(&bench, "");
    let one = of(&month("UTC"), "0.99", "");
    let told = compare(&bench, &one, &format!("# another remark\n{one}"), NOW);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!((told.compared_slos, told.compared_slas), (1, 0));
}

#[test]
fn new_ones_and_gone_ones_are_told() {
    let bench = Bench::new();
    year(&bench, "");
    let month = month("UTC");
    let (a, b) = (named("a", &of(&month, "0.99", "")), named("b", &of(&month, "0.99", "")));
    let told = compare(&bench, &a, &b, T0 + 59 * DAY);
    let fates: Vec<(&str, Fate, usize)> =
        told.slos.iter().map(|one| (one.name.as_str(), one.change, one.periods.len())).collect();
    assert_eq!(fates, [("a", Fate::Removed, 0), ("b", Fate::Added, 12)]);
    let lines = lines(&told.slos[1]);
    assert_eq!(lines[9], "2025-12: nothing -> 0/0 at -");
    assert_eq!(lines[10], "2026-01: nothing -> 31/3100 at 0.99");
    assert_eq!(lines[11], "2026-02: nothing -> 28/2800 at 0.99");
}

#[test]
fn a_target_is_a_difference_where_nothing_was_bad_too() {
    let bench = Bench::new();
    let days = (0..90).map(|day| f64::from(day) * 10.0);
    bench.push("all_total", every(T0, DAY, days));
    bench.push("bad_total", every(T0, DAY, (0..90).map(|_| 0.0)));
    let month = month("UTC");
    let told = compare(&bench, &of(&month, "0.99", ""), &of(&month, "0.999", ""), T0 + 59 * DAY);
    assert_eq!(
        lines(&told.slos[0]),
        ["2026-01: 0/310 at 0.99 -> 0/310 at 0.999", "2026-02: 0/280 at 0.99 -> 0/280 at 0.999"]
    );
}

#[test]
fn twelve_periods_are_compared_whatever_groups_and_windows_are() {
    let bench = Bench::new();
    for n in 0..15 {
        year(&bench, &format!("{{pod=\"p{n:02}\"}}"));
    }
    let by_pod = |target: &str| of(&month("UTC"), target, ", groupBy: [pod]");
    // All of 2026, so that every month has samples.
    let told = compare(&bench, &by_pod("0.99"), &by_pod("0.5"), T0 + 365 * DAY);
    assert_eq!(told.slos[0].periods.len(), 12 * 15);
    for (window, n) in [
        ("{duration: 1h, isRolling: true}", 12),
        ("{duration: 1d, isRolling: true}", 12),
        ("{duration: 1w, calendar: {startTime: \"2024-01-01 00:00:00\", timeZone: UTC}}", 12),
        // Of these twelve, two have samples, and five.
        ("{duration: 1Y, calendar: {startTime: \"2024-01-01 00:00:00\", timeZone: UTC}}", 2),
        ("{duration: 1Q, calendar: {startTime: \"2024-01-01 00:00:00\", timeZone: UTC}}", 5),
    ] {
        let at = T0 + 365 * DAY + 12 * HOUR;
        let told = compare(&bench, &of(window, "0.99", ""), &of(window, "0.5", ""), at);
        let with_samples = |one: &Diff| one.slos.first().map_or(0, |slo| slo.periods.len());
        match window.contains("1h") {
            // Samples come once a day: of the others there is nothing to judge.
            true => assert_eq!(with_samples(&told), 1, "{window}"),
            false => assert_eq!(with_samples(&told), n, "{window}: {told:?}"),
        }
    }
}

#[test]
fn groups_of_one_side_are_told() {
    let bench = Bench::new();
    year(&bench, "{pod=\"a\"}");
    year(&bench, "{pod=\"b\"}");
    let window = "{duration: 400d, isRolling: true}";
    let told = compare(
        &bench,
        &of(window, "0.99", ""),
        &of(window, "0.99", ", groupBy: [pod]"),
        T0 + 10 * DAY,
    );
    let lines = lines(&told.slos[0]);
    let last: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.contains("0/0")).collect();
    assert_eq!(last.len(), 3, "{lines:?}");
    assert!(last[0].ends_with(": 20/2000 at 0.99 -> nothing"), "{last:?}");
    assert!(last[1].ends_with(" a: nothing -> 10/1000 at 0.99"), "{last:?}");
    assert!(last[2].ends_with(" b: nothing -> 10/1000 at 0.99"), "{last:?}");
}

#[test]
fn months_of_another_zone_are_compared_with_the_months() {
    let bench = Bench::new();
    // A bad event at 23:30 UTC of the last of January, which is February in Amsterdam.
    let bad = T0 + 31 * DAY - HOUR / 2;
    bench.push("all_total", [(T0, 0.0), (bad, 5.0), (T0 + 40 * DAY, 9.0)]);
    bench.push("bad_total", [(T0, 0.0), (bad, 1.0), (T0 + 40 * DAY, 1.0)]);
    let told = compare(
        &bench,
        &of(&month("UTC"), "0.99", ""),
        &of(&month("Europe/Amsterdam"), "0.99", ""),
        T0 + 50 * DAY,
    );
    let all = lines(&told.slos[0]);
    assert_eq!(all.len(), 12, "each has other ends: {all:?}");
    assert_eq!(all[10], "2026-01: 1/5 at 0.99 -> 0/0 at -");
    assert_eq!(all[11], "2026-02: 0/4 at 0.99 -> 1/9 at 0.99");
    let january = &told.slos[0].periods[10];
    let windows = [&january.before, &january.after].map(|side| side.as_ref().unwrap().window.to);
    assert_eq!(windows[0].0 - windows[1].0, HOUR);
    assert!(told.slos[0].notes.is_empty());
}

#[test]
fn windows_of_another_kind_have_no_counterparts() {
    let bench = Bench::new();
    year(&bench, "");
    let rolling = of("{duration: 28d, isRolling: true}", "0.99", "");
    let told = compare(&bench, &rolling, &of(&month("UTC"), "0.99", ""), T0 + 59 * DAY);
    let slo = &told.slos[0];
    assert_eq!(slo.periods.len(), 24);
    assert!(slo.periods.iter().all(|one| one.before.is_some() != one.after.is_some()));
    assert!(slo.notes[0].contains("no period has a counterpart"), "{:?}", slo.notes);
}

#[test]
fn exclusions_change_what_an_slo_says_that_is_defined_alike() {
    let bench = Bench::new();
    year(&bench, "");
    let services = ["tests", "others"].map(|name| {
        format!(
            "apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{}}\n---\n"
        )
    });
    let one = services.concat() + &of(&month("UTC"), "0.99", "");
    let exclusion = "apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: firmware}
spec:
  class: maintenance
  from: 2026-01-10T00:00:00Z
  to: 2026-01-12T00:00:00Z
  match: {services: [tests]}
  mode: exclude
  note: announced
  author: ada
";
    let both = format!("{one}---\n{exclusion}");
    let told = compare(&bench, &one, &both, T0 + 59 * DAY);
    assert_eq!(lines(&told.slos[0]), ["2026-01: 31/3100 at 0.99 -> 29/2900 at 0.99"]);
    // Its service is another one, so the exclusion is not about it any more.
    let moved = both.replace("service: tests", "service: others");
    let told = compare(&bench, &both, &moved, T0 + 59 * DAY);
    assert_eq!(lines(&told.slos[0]), ["2026-01: 29/2900 at 0.99 -> 31/3100 at 0.99"]);
}

#[test]
fn agreements_are_compared_as_well() {
    let bench = Bench::new();
    year(&bench, "");
    let one = of(&month("UTC"), "0.99", "");
    let sla = "---
apiVersion: nines.dev/v1
kind: SLA
metadata: {name: promise}
spec: {slo: case, scope: pooled, target: 0.99, window: {duration: 1M, timeZone: UTC}}
";
    let before = format!("{one}{sla}");
    let told =
        compare(&bench, &before, &before.replace("target: 0.99,", "target: 0.999,"), T0 + 59 * DAY);
    assert!(told.slos.is_empty(), "{told:?}");
    let verdicts: Vec<_> = told.slas[0]
        .periods
        .iter()
        .map(|one| [&one.before, &one.after].map(|side| side.as_ref().unwrap().pooled.met))
        .filter(|both| both[0].is_some())
        .collect();
    assert_eq!(verdicts, [[Some(true), Some(false)], [Some(true), Some(false)]]);
    let told = compare(&bench, &before, &one, T0 + 59 * DAY);
    assert_eq!((told.slas[0].change, told.compared_slas), (Fate::Removed, 1));
}
