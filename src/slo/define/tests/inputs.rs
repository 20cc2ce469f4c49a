//! What SLOs are counted from.

use nines_storage::history::Tier;
use nines_storage::model::Matcher;

use super::*;
use crate::config::PolicyTable;
use crate::slo::define::inputs_policy;

/// The sets of matchers, as texts.
fn selectors(text: &str) -> Vec<String> {
    let (definitions, diagnostics) = load_texts(&[("f.yaml", text)]);
    assert!(diagnostics.iter().all(|told| told.severity != Severity::Error), "{diagnostics:?}");
    let policy = inputs_policy(&definitions, &[PolicyTable::FiveMinutes]).unwrap();
    assert_eq!(policy.tables, [Tier::FiveMinutes]);
    let told = |one: &Matcher| format!("{}{}{}", one.name, one.op.as_str(), one.value);
    policy.series.iter().map(|set| set.iter().map(told).collect::<Vec<_>>().join(" ")).collect()
}

/// The SLO with another `spec` of its indicator, and more in its objective.
fn other(spec: &str, objective: &str) -> String {
    let (head, tail) = RATIO.split_once("      ratioMetric:").unwrap();
    let (_, tail) = tail.split_once("  objectives").unwrap();
    let text = format!("{head}      {spec}\n  objectives{tail}");
    text.replace("target: 0.999", &format!("target: 0.999{objective}"))
}

#[test]
fn every_selector_of_an_slo_is_an_input() {
    assert_eq!(selectors(RATIO), ["__name__=http_total", "__name__=http_total code=~5.."]);
    let sum = with(RATIO, "{query: http_total}", "{query: 'http_total + b{x!=\"1\"} - c'}");
    let wanted =
        ["__name__=b x!=1", "__name__=c", "__name__=http_total", "__name__=http_total code=~5.."];
    assert_eq!(selectors(&sum), wanted);
    let gauge = |source: &str| {
        format!("thresholdMetric: {{metricSource: {{type: nines, spec: {{{source}}}}}}}")
    };
    let compared = ", op: gte, value: 1";
    assert_eq!(selectors(&other(&gauge("query: up"), compared)), ["__name__=up"]);
    let states =
        "query: vstate, states: {good: [1], bad: [0], ignore: []}, existence: 'info{job=\"v\"}'";
    let text = other(&gauge(states), ", timeSliceWindow: 5m, timeSliceTarget: 1.0")
        .replace("budgetingMethod: Occurrences", "budgetingMethod: Timeslices");
    assert_eq!(selectors(&text), ["__name__=info job=v", "__name__=vstate"]);
    let raw = "ratioMetric: {rawType: failure, raw: {metricSource: {spec: {query: share}}}}";
    assert_eq!(selectors(&other(raw, "")), ["__name__=share"]);
    // A bucket of a latency.
    let bucket = with(RATIO, "http_total}}", "'sum(rate(l_bucket{le=\"0.3\"}[5m]))'}}");
    assert_eq!(selectors(&bucket), ["__name__=http_total code=~5..", "__name__=l_bucket le=0.3"]);
}

#[test]
fn selectors_inside_expressions_are_inputs() {
    let expression = "topk(scalar(k), max_over_time(rate(a[{{.window}}])[10m:1m])) / -(b offset 1h) + on() group_left() clamp_min(avg by (x) ({y=~\"z\"} @ 7), 1)";
    let text = with(RATIO, "query: http_total", &format!("query: '{expression}'"));
    let wanted =
        ["__name__=a", "__name__=b", "__name__=http_total code=~5..", "__name__=k", "y=~z"];
    assert_eq!(selectors(&text), wanted);
}

#[test]
fn nothing_is_named_without_tables_or_slos() {
    let definitions = good(RATIO);
    assert!(inputs_policy(&definitions, &[]).is_none());
    assert!(inputs_policy(&Definitions::default(), &[PolicyTable::Raw]).is_none());
    let tables = [PolicyTable::FiveMinutes, PolicyTable::Raw];
    let both = inputs_policy(&definitions, &tables).unwrap();
    assert_eq!(both.tables, [Tier::FiveMinutes, Tier::Raw]);
    // The same inputs of another SLO are named once.
    let two = format!("{RATIO}---\n{}", RATIO.replace("name: requests", "name: again"));
    assert_eq!(inputs_policy(&good(&two), &tables).unwrap(), both);
}
