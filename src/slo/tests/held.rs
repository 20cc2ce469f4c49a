//! Gauges of which time is counted instead of samples.

use super::*;
use crate::slo::contributors::contributors;
use crate::slo::definition::Weighting;
use crate::slo::explain::explain;
use crate::slo::report::Count;

fn probe(source: &str, method: &str) -> String {
    let text = gauge("probe", source, "{duration: 1h, isRolling: true}", "0.9");
    match method {
        "Occurrences" => text
            .replace("Timeslices", "Occurrences")
            .replace(", timeSliceWindow: 5m, timeSliceTarget: 1.0", ""),
        _ => text,
    }
}

const TIME: &str = ", weighting: time";

/// Up, down from minute 7 on, up from minute 10 on; the last sample is of minute 12.
fn bench() -> Bench {
    let bench = Bench::new();
    let samples = [(-2, 1.0), (1, 1.0), (5, 1.0), (7, 0.0), (10, 1.0), (12, 1.0)];
    bench.push(
        r#"probe{instance="a"}"#,
        samples.map(|(minute, value)| (T0 + minute * MINUTE, value)),
    );
    bench
}

#[test]
fn time_is_counted_until_the_next_sample() {
    let bench = bench();
    let documents = probe(TIME, "Occurrences");
    let report = bench.report(&documents, T0, T0 + HOUR);
    let minutes = |n: i64| Count((n * MINUTE) as f64);
    // Until five minutes behind the last sample.
    assert_eq!((report.bad, report.total), (minutes(3), minutes(17)));
    assert_eq!((report.unit, report.exact), (Some("milliseconds"), true));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["unit"], &json["bad"]), (&"milliseconds".into(), &180_000.into()));
    near(report.sli, 14.0 / 17.0);
    let samples = bench.report(&probe("", "Occurrences"), T0, T0 + HOUR);
    assert_eq!((samples.bad, samples.total, samples.unit), (Count(1.0), Count(5.0), None));
    // Cut anywhere, in the middle of what a sample holds as well.
    let (from, to) = (T0 + 8 * MINUTE + 1, T0 + 11 * MINUTE);
    let part = bench.report(&documents, from, to);
    assert_eq!((part.bad, part.total), (Count(119_999.0), Count(179_999.0)));
    let short = bench.report(&probe(", weighting: time, staleAfter: 1m", "Occurrences"), T0, to);
    assert_eq!((short.bad, short.total), (minutes(1), minutes(4)));
}

#[test]
fn a_late_sample_holds_into_a_day_that_is_kept() {
    let bench = Bench::new();
    bench.push("probe", [(T0 + DAY + HOUR, 1.0)]);
    let documents = probe(TIME, "Occurrences");
    let day = || bench.report(&documents, T0 + DAY, T0 + 2 * DAY).total;
    assert_eq!(day(), Count(300_000.0));
    bench.push("probe", [(T0 + DAY - MINUTE, 0.0)]);
    assert_eq!(day(), Count(540_000.0));
}

#[test]
fn slices_are_judged_by_their_time() {
    let bench = bench();
    let half = probe(TIME, "Timeslices").replace("timeSliceTarget: 1.0", "timeSliceTarget: 0.5");
    let report = bench.report(&half, T0, T0 + HOUR);
    let slices = report.slices.as_ref().unwrap();
    // Two minutes of the second slice were good, and three bad; the fourth one has two minutes.
    assert_eq!((slices.good_slices, slices.bad_slices, slices.no_data_slices), (3, 1, 8));
    assert_eq!(report.unit, None);
}

#[test]
fn exclusions_contributors_and_proofs_count_time_as_well() {
    let bench = bench();
    bench.push(r#"probe{instance="b"}"#, [(T0, 0.0), (T0 + MINUTE, 1.0)]);
    let works = "---
apiVersion: nines.dev/v1
kind: Exclusion
metadata: {name: works}
spec: {class: works, from: 2026-01-01T00:08:00+00:00, to: 2026-01-01T00:09:30+00:00, match: {labels: {instance: a}}, mode: exclude, note: works, author: ada}
";
    let report = bench.report(&(probe(TIME, "Occurrences") + works), T0, T0 + HOUR);
    assert_eq!((report.bad, report.total), (Count(150_000.0), Count(1_290_000.0)));
    assert_eq!((report.raw.bad, report.excluded.bad), (Count(240_000.0), 90_000.0));
    bench.with(&probe(TIME, "Occurrences"), NOW, |desk| {
        let slo = desk.slo("case").unwrap();
        let asked = Asked { from_ms: T0, to_ms: T0 + HOUR, label: String::new() };
        let found = contributors(desk, slo, (&["instance".to_owned()], 5), &asked).unwrap();
        let told: Vec<_> = found.items.iter().map(|one| (one.bad.0, one.total.0)).collect();
        assert_eq!(told, [(180_000.0, 1_020_000.0), (60_000.0, 360_000.0)]);
        assert_eq!(found.unit, Some("milliseconds"));
        let told = explain(desk, slo, (&[], 5), &asked).unwrap();
        assert!(told.rule.contains("milliseconds are counted"), "{}", told.rule);
    });
}

#[test]
fn what_has_no_time_is_refused() {
    let told = |documents: &str| -> Vec<(&'static str, String)> {
        let (_, found) = load_texts(&[("test.yaml", documents)]);
        found.into_iter().map(|one| (one.code, one.message)).collect()
    };
    let of = |source: &str| told(&probe(source, "Occurrences"));
    assert_eq!(of(", weighting: time, staleAfter: 1d"), []);
    let one = |code, text: &str| [(code, text.to_owned())];
    assert_eq!(
        of(", staleAfter: 5m"),
        one("stale-after-needs-time", "staleAfter is used with weighting: time only")
    );
    for long in ["2d", "0m"] {
        assert_eq!(of(&format!("{TIME}, staleAfter: {long}"))[0].0, "bad-duration", "{long}");
    }
    assert_eq!(of(", weighting: events")[0].0, "bad-value");
    let expression = probe(TIME, "Occurrences").replace("'probe'", "'max(probe)'");
    assert!(
        told(&expression).contains(&(
            "not-a-selector",
            "weighting: time is about the samples of series".to_owned()
        )),
        "{:?}",
        told(&expression)
    );
    let of_ratio = Ratio { source: TIME, ..Ratio::default() }.to_string();
    assert!(told(&of_ratio).iter().all(|one| one.0 == "unknown-field"), "{:?}", told(&of_ratio));
    assert_eq!(told(&of_ratio).len(), 2);
    // What is counted otherwise is told apart.
    let hash = |source: &str| {
        let definitions = load(&probe(source, "Occurrences"));
        let slo = &definitions.slos["case"];
        (slo.counts_hash, slo.objectives[0].weighting)
    };
    assert_eq!(hash("").1, Weighting::Samples);
    assert_eq!(hash(TIME).1, Weighting::Time { stale_after_ms: 300_000 });
    assert_ne!(hash("").0, hash(TIME).0);
    assert_ne!(hash(", weighting: time, staleAfter: 6m").0, hash(TIME).0);
}
