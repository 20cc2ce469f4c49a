//! Tests of definitions, by subject.
#![allow(clippy::unwrap_used, reason = "tests")]

mod accepted;
mod diagnosed;
mod edited;
mod imported;
mod inputs;
mod live;
mod registry;

use crate::slo::define::load_texts;
use crate::slo::definition::{Definitions, Slo};
use crate::slo::diagnostic::{Diagnostic, Severity};

/// What is wrong, one line each: `line:column severity code path: message | hint`.
fn told(text: &str) -> Vec<String> {
    lines(&load_texts(&[("f.yaml", text)]).1)
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    let line = |told: &Diagnostic| {
        let severity = if told.severity == Severity::Error { "error" } else { "warning" };
        let hint = if told.hint.is_empty() { String::new() } else { format!(" | {}", told.hint) };
        format!(
            "{}:{} {severity} {} {}: {}{hint}",
            told.line, told.column, told.code, told.path, told.message
        )
    };
    diagnostics.iter().map(line).collect()
}

/// The definitions of a text that nothing is wrong with.
fn good(text: &str) -> Definitions {
    let (definitions, diagnostics) = load_texts(&[("f.yaml", text)]);
    assert_eq!(lines(&diagnostics), [""; 0], "{text}");
    definitions
}

/// The only SLO of a text that nothing is wrong with.
fn slo(text: &str) -> Slo {
    let definitions = good(text);
    assert_eq!(definitions.slos.len(), 1);
    definitions.slos.into_values().next().unwrap()
}

/// An SLO over two counters, with lines in place of some of its own.
const RATIO: &str = "apiVersion: openslo/v1
kind: SLO
metadata:
  name: requests
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 30d, isRolling: true}]
  indicator:
    metadata: {name: errors}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: nines, spec: {query: 'http_total{code=~\"5..\"}'}}}
        total: {metricSource: {type: nines, spec: {query: http_total}}}
  objectives: [{target: 0.999}]
";

/// A text with one part replaced; the part must be there once.
fn with(text: &str, part: &str, other: &str) -> String {
    assert_eq!(text.matches(part).count(), 1, "{part}");
    text.replace(part, other)
}

/// A text indented by so many spaces.
fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}
