//! Series of PromQL.

use super::*;
use crate::promql::{Engine, EngineOptions, QueryOptions, SampleValue, Value, parse};
use crate::slo::published::{Published, is_published};

/// Values of an instant query, by their labels.
fn asked(bench: &Bench, documents: &str, query: &str, at: i64) -> Vec<(String, f64)> {
    bench.with(documents, NOW, |desk| {
        let published = Published { desk: *desk };
        let expr = parse(query).unwrap();
        let engine = Engine::new(EngineOptions::default());
        let budget = Budget::unlimited();
        let answer = engine
            .instant(&published, &expr, query, at, &QueryOptions::default(), &budget)
            .unwrap();
        match answer.value {
            Value::Vector(samples) => {
                let shown = |labels: &Labels| {
                    let own = ["outcome", "window"].map(|name| labels.get(name).to_owned());
                    own.concat()
                };
                let float = |value: &SampleValue| match value {
                    SampleValue::Float(value) => *value,
                    SampleValue::Histogram(_) => f64::NAN,
                };
                samples.iter().map(|one| (shown(&one.labels), float(&one.value))).collect()
            }
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn what_slos_say_is_asked_by_promql() {
    let bench = Bench::new();
    bench.push("all_total", every(T0, MINUTE, (0..=180).map(|i| f64::from(100 * i))));
    bench.push("bad_total", every(T0, MINUTE, (0..=180).map(f64::from)));
    let documents = ratio("bad_total", "all_total", "0.98");
    let at = T0 + 2 * HOUR;
    let of = |query: &str| asked(&bench, &documents, query, at);
    assert_eq!(of(r#"nines_slo_sli_ratio{slo="case"}"#), [("1h".to_owned(), 0.99)]);
    assert_eq!(of("nines_slo_target_ratio"), [(String::new(), 0.98)]);
    assert_eq!(of("nines_slo_error_budget_remaining_ratio"), [("1h".to_owned(), 0.5)]);
    assert_eq!(of(r#"nines_slo_burn_rate{window="30m"}"#), [("30m".to_owned(), 0.5)]);
    assert_eq!(of(r#"nines_slo_info{service="others"}"#), []);
    assert_eq!(of("nines_slo_info").len(), 1);
    // Events add up as those of any counter.
    let grown = of("nines_slo_events_total - (nines_slo_events_total offset 1h)");
    assert_eq!(grown, [("bad".to_owned(), 60.0), ("good".to_owned(), 5940.0)]);
    let increase = of(
        "last_over_time(nines_slo_events_total[1h]) - first_over_time(nines_slo_events_total[1h])",
    );
    // From the first point behind the left end.
    assert_eq!(increase, [("bad".to_owned(), 55.0), ("good".to_owned(), 5445.0)]);
    // Other series are what they were.
    assert_eq!(of("all_total"), [(String::new(), 12_000.0)]);
}

#[test]
fn who_selects_no_series_of_slos_asks_for_samples_alone() {
    let is = |text: &str| is_published(&parse(text).unwrap());
    for text in [
        "nines_slo_info",
        "sum(rate({__name__=\"nines_slo_events_total\"}[5m]))",
        "up or -(topk(scalar(nines_slo_info), up))",
        "max_over_time(nines_slo_burn_rate[1h:5m])",
    ] {
        assert!(is(text), "{text}");
    }
    for text in [
        "label_replace(up, \"a\", \"nines_slo_info\", \"b\", \"\")",
        "up{slo=\"nines_slo_info\"}",
        "nines_slo_other",
        "{__name__=~\"nines_slo_.*\"}",
        "1",
    ] {
        assert!(!is(text), "{text}");
    }
}
