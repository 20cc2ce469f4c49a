//! Runs tests of definitions: puts their samples into a store, asks the one evaluator, compares.
//!
//! Counts are compared exactly, other numbers to a relative difference of 1e-12.

use nines_storage::Db;
use nines_storage::query::Budget;
use serde::Serialize;
use serde_json::Value;

use super::define::{Asking, Expected, Question, Step, Trial, TrialSeries, Want, nearest};
use super::definition::Exclusion;
use super::desk::{Desk, is_of_group};
use super::diagnostic::Diagnostic;
use super::error::{Result, SloError};
use super::evaluate::Asked;
use super::report::{Count, Report};
use crate::promql::SampleValue;
use crate::promql::notation::Run;

/// How far ratios may be from what is expected, relative to that.
const RATIO_TOLERANCE: f64 = 1e-12;
/// Samples that are appended at once.
const BATCH: usize = 10_000;
/// Fields that are counts, although they need not be whole numbers.
const COUNTS: [&str; 4] = ["good", "bad", "total", "firstValues"];

/// An expectation that was not met.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Where it stands, and in words what is wrong.
    #[serde(flatten)]
    pub diagnostic: Diagnostic,
    /// What the answer says; nothing where it has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub got: Option<Value>,
    /// What was expected, as it was written; nothing where the question has no answer to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub want: Option<String>,
}

/// Runs a test over a database that has no samples yet. Answers what is not as expected.
///
/// # Errors
/// When the samples cannot be stored, or an SLO cannot be evaluated.
pub fn run(trial: &Trial, db: &Db) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for series in &trial.series {
        if let Some(refused) = store(trial, series, db)? {
            let told = Diagnostic::error(&series.place, &series.path, "bad-series", refused);
            findings.push(Finding { diagnostic: told, got: None, want: None });
        }
    }
    for question in &trial.questions {
        findings.extend(match reports(trial, question, db) {
            Ok(reports) => compare(question, &reports),
            Err(SloError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                vec![finding(question, "no-answer", format!("it cannot be evaluated: {error}"))]
            }
        });
    }
    Ok(findings)
}

/// Why a question has no answer to compare.
fn finding(question: &Question, code: &'static str, message: String) -> Finding {
    let told = Diagnostic::error(&question.place, &question.path, code, message);
    Finding { diagnostic: told, got: None, want: None }
}

/// Stores a series; says why something of it was refused.
fn store(trial: &Trial, series: &TrialSeries, db: &Db) -> Result<Option<String>> {
    let n: u64 = series.runs.iter().map(Run::n).sum();
    let end = i64::try_from(n).ok().and_then(|n| n.checked_mul(trial.interval_ms));
    let Some(end) = end.and_then(|length| trial.start_ms.checked_add(length)) else {
        return Ok(Some("its last sample is beyond all time".to_owned()));
    };
    let mut samples = series.runs.iter().flat_map(|run| run.values());
    let mut ts = trial.start_ms;
    loop {
        let mut appender = db.appender();
        let key = db.series_key(series.labels.as_bytes());
        let handle = match appender.resolve(key, &series.labels) {
            Ok(handle) => handle,
            Err(reason) => return Ok(Some(format!("it is refused: {}", reason.as_str()))),
        };
        let mut taken = 0;
        for value in samples.by_ref().take(BATCH) {
            match value {
                Some(SampleValue::Float(value)) => appender.sample(handle, ts, value, 0),
                Some(SampleValue::Histogram(histogram)) => {
                    appender.histogram(handle, ts, (*histogram).clone());
                }
                None => {}
            }
            ts += trial.interval_ms;
            taken += 1;
        }
        let outcome = appender.commit(end)?;
        if let Some(rejection) = outcome.rejections.first() {
            let reason = rejection.reason.as_str();
            return Ok(Some(format!("samples are refused ({reason}): {}", rejection.detail)));
        }
        if taken < BATCH {
            return Ok(None);
        }
    }
}

/// What the SLO says, of the groups that are asked for.
fn reports(trial: &Trial, question: &Question, db: &Db) -> Result<Vec<Report>> {
    let budget = Budget::unlimited();
    let exclusions: Vec<&Exclusion> = trial.definitions.exclusions.values().collect();
    let desk = |now_ms| Desk {
        data: db,
        budget: &budget,
        definitions: &trial.definitions,
        exclusions: &exclusions,
        now_ms,
        owner: None,
    };
    match question.time {
        Asking::At(at_ms) => {
            let desk = desk(at_ms);
            desk.status(desk.slo(&question.slo)?, at_ms)
        }
        Asking::Span { from_ms, to_ms } => {
            let desk = desk(to_ms);
            let asked = Asked { from_ms, to_ms, label: String::new() };
            desk.evaluator(desk.slo(&question.slo)?).evaluate(&asked)
        }
    }
}

fn compare(question: &Question, reports: &[Report]) -> Vec<Finding> {
    let found: Vec<&Report> =
        reports.iter().filter(|report| is_of_group(report, &question.group)).collect();
    let [report] = found.as_slice() else {
        return vec![no_single_answer(question, reports, found.len())];
    };
    let answer = match serde_json::to_value(report) {
        Ok(answer) => answer,
        Err(error) => {
            let message = format!("the answer cannot be told: {error}");
            return vec![finding(question, "no-answer", message)];
        }
    };
    let mut findings: Vec<Finding> =
        question.expect.iter().filter_map(|expected| differs(expected, &answer)).collect();
    // Once, beside the first number: others are wrong for the same reason.
    if let Some(first) = findings.first_mut().filter(|first| first.diagnostic.hint.is_empty()) {
        first.diagnostic.hint = why(report);
    }
    findings
}

fn no_single_answer(question: &Question, reports: &[Report], n: usize) -> Finding {
    let group = |report: &Report| {
        let pairs = report.group.iter().map(|(name, value)| format!("{name}: {value}"));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
    };
    let there: Vec<String> = reports.iter().map(group).collect();
    let message = match n {
        0 => format!("no group of {} has these labels", question.slo),
        _ => format!("{n} groups of {} have these labels: name one by group", question.slo),
    };
    let mut told = finding(question, "no-single-group", message);
    told.diagnostic.hint = format!("groups are {}", there.join(" "));
    told
}

/// What may explain numbers that are not those expected.
fn why(report: &Report) -> String {
    let mut told = Vec::new();
    if report.coverage.with_data == 0 {
        told.push("no series of the SLO has a sample in this time".to_owned());
    }
    if report.uncounted.series > 0 {
        let Count(sum) = report.uncounted.first_values;
        told.push(format!(
            "first values of {} series, {sum} together, are not counted: counterStart says so",
            report.uncounted.series
        ));
    }
    told.extend(report.notes.iter().cloned());
    told.extend(report.anomalies.iter().map(|anomaly| anomaly.text.clone()));
    told.join("; ")
}

fn differs(expected: &Expected, answer: &Value) -> Option<Finding> {
    let finding = |code, message, got, want| {
        let diagnostic = Diagnostic::error(&expected.place, &expected.path, code, message);
        Some(Finding { diagnostic, got, want })
    };
    let mut at = answer;
    for step in &expected.steps {
        let next = match step {
            Step::Name(name) => at.get(name),
            Step::Item(place) => at.get(place),
        };
        let Some(next) = next else {
            // That a list has another length is told where the list stands.
            let Step::Name(name) = step else { return None };
            let Some(known) = at.as_object() else {
                let message = format!("{at} has no field {name}");
                return finding("not-as-expected", message, Some(at.clone()), None);
            };
            let meant = nearest(name, known.keys().map(String::as_str));
            let told =
                finding("unknown-field", format!("the answer has no field {name}"), None, None);
            return told.map(|mut told| {
                told.diagnostic.hint = match meant {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!(
                        "fields are {}",
                        known.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                    ),
                };
                told
            });
        };
        at = next;
    }
    let is_count =
        matches!(expected.steps.last(), Some(Step::Name(name)) if COUNTS.contains(&name.as_str()));
    if is_as_expected(&expected.want, at, is_count) {
        return None;
    }
    let want = text_of(&expected.want);
    let message = match (&expected.want, at) {
        (Want::Items(_), Value::Array(items)) => format!("got {} items, want {want}", items.len()),
        _ => format!("got {at}, want {want}"),
    };
    finding("not-as-expected", message, Some(at.clone()), Some(want))
}

fn text_of(want: &Want) -> String {
    match want {
        Want::Null => "null".to_owned(),
        Want::Truth(truth) => truth.to_string(),
        Want::Number { text, .. } | Want::Text(text) => text.clone(),
        Want::Items(n) => n.to_string(),
    }
}

fn is_as_expected(want: &Want, got: &Value, is_count: bool) -> bool {
    match (want, got) {
        (Want::Null, got) => got.is_null(),
        (Want::Truth(want), Value::Bool(got)) => want == got,
        (Want::Items(want), Value::Array(got)) => got.len() == *want,
        (Want::Text(want), Value::String(got)) => {
            want == got || instant_of(want).is_some_and(|want| instant_of(got) == Some(want))
        }
        (Want::Number { value: want, .. }, Value::Number(got)) => {
            let is_whole = got.is_i64() || got.is_u64();
            let got = got.as_f64().unwrap_or(f64::NAN);
            let allowed = if is_count || is_whole { 0.0 } else { RATIO_TOLERANCE * want.abs() };
            (got - want).abs() <= allowed
        }
        // A version may look like a number.
        (Want::Number { text, .. }, Value::String(got)) => text == got,
        _ => false,
    }
}

fn instant_of(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis())
}
