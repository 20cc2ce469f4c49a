//! SLOs against figures that were worked out by hand: samples into a store, a definition, an answer.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]

mod additive;
mod calendar;
mod counters;
mod diff;
mod held;
mod inputs;
mod past;
mod properties;
mod published;
mod statements;
mod states;

use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::SimDisk;
use nines_storage::model::Labels;
use nines_storage::query::Budget;
use nines_storage::{Db, Store, StoreOptions};

use super::define::load_texts;
use super::definition::{Definitions, Exclusion};
use super::desk::Desk;
use super::evaluate::Asked;
use super::ledger::{Ledger, Owner};
use super::report::Report;

/// 2026-01-01T00:00:00Z
pub(super) const T0: i64 = 1_767_225_600_000;
pub(super) const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// Later than all samples.
pub(super) const NOW: i64 = T0 + 400 * DAY;

/// A store with samples, and a ledger.
pub(super) struct Bench {
    store: Store,
    db: Arc<Db>,
    ledger: Ledger,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with_options(StoreOptions::default())
    }

    fn with_options(options: StoreOptions) -> Self {
        let disk = Arc::new(SimDisk::new());
        let store = Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap();
        let db = store.db("anonymous").unwrap();
        Self { store, db, ledger: Ledger::new(64 << 20) }
    }

    /// Adds samples to a series that is written `name{label="value",...}`.
    pub(super) fn push(&self, series: &str, samples: impl IntoIterator<Item = (i64, f64)>) {
        let matchers = crate::promql::parse_selector(series).unwrap();
        let pairs = matchers.iter().map(|matcher| (matcher.name.as_str(), matcher.value.as_str()));
        let labels = Labels::from_pairs(pairs);
        let mut appender = self.db.appender();
        let handle = appender.resolve(self.db.series_key(labels.as_bytes()), &labels).unwrap();
        for (ts, value) in samples {
            appender.sample(handle, ts, value, 0);
        }
        let outcome = appender.commit(NOW).unwrap();
        assert_eq!(outcome.rejected_total(), 0, "{:?}", outcome.rejections);
    }

    pub(super) fn with<T>(
        &self,
        documents: &str,
        now_ms: i64,
        ask: impl FnOnce(&Desk<'_>) -> T,
    ) -> T {
        let definitions = load(documents);
        let exclusions: Vec<&Exclusion> = definitions.exclusions.values().collect();
        let owner = Owner { ledger: &self.ledger, tenant: "anonymous", changes: self.db.changes() };
        ask(&Desk {
            data: &*self.db,
            budget: &Budget::unlimited(),
            definitions: &definitions,
            exclusions: &exclusions,
            now_ms,
            owner: Some(owner),
        })
    }

    /// The reports of the only SLO over (`from`, `to`], with the ledger and without it.
    fn reports(&self, documents: &str, from: i64, to: i64) -> Vec<Report> {
        self.with(documents, NOW, |desk| {
            let slo = desk.definitions.slos.values().next().unwrap();
            let asked = Asked { from_ms: from, to_ms: to, label: String::new() };
            let kept = desk.evaluator(slo).evaluate(&asked).unwrap();
            let anew = Desk { owner: None, ..*desk };
            let mut anew = anew.evaluator(slo).evaluate(&asked).unwrap();
            for (one, other) in anew.iter_mut().zip(&kept) {
                one.revision = other.revision;
                one.computed_at = other.computed_at;
            }
            assert_eq!(kept, anew);
            kept
        })
    }

    /// The reports of one of several SLOs.
    pub(super) fn reports_of(
        &self,
        documents: &str,
        name: &str,
        from: i64,
        to: i64,
    ) -> Vec<Report> {
        self.with(documents, NOW, |desk| {
            let asked = Asked { from_ms: from, to_ms: to, label: String::new() };
            desk.evaluator(desk.slo(name).unwrap()).evaluate(&asked).unwrap()
        })
    }

    fn report(&self, documents: &str, from: i64, to: i64) -> Report {
        let mut reports = self.reports(documents, from, to);
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }
}

pub(super) fn load(documents: &str) -> Definitions {
    let (definitions, mut diagnostics) = load_texts(&[("test.yaml", documents)]);
    // Some are about expressions, which are just that.
    diagnostics.retain(|one| one.code != "not-exact");
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    definitions
}

/// A ratio of bad events to all, with more text behind the sources.
fn ratio(bad: &str, total: &str, target: &str) -> String {
    Ratio { bad, total, target, ..Ratio::default() }.to_string()
}

/// A definition of a ratio.
struct Ratio<'a> {
    bad: &'a str,
    total: &'a str,
    target: &'a str,
    method: &'a str,
    window: &'a str,
    /// More of the source of the total: `, counterStart: zero`.
    source: &'a str,
    /// More of the objective: `, timeSliceWindow: 1m`.
    objective: &'a str,
    /// Lines below `annotations:`, each with four spaces.
    annotations: &'a str,
}

impl Default for Ratio<'_> {
    fn default() -> Self {
        Self {
            bad: "bad_total",
            total: "all_total",
            target: "0.99",
            method: "Occurrences",
            window: "{duration: 1h, isRolling: true}",
            source: "",
            objective: "",
            annotations: "",
        }
    }
}

impl std::fmt::Display for Ratio<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bad, total, target, method, window, source, objective, annotations } = self;
        let annotations = match annotations.is_empty() {
            true => String::new(),
            false => format!("\n  annotations:\n{annotations}"),
        };
        write!(
            f,
            "apiVersion: openslo/v1
kind: SLO
metadata:
  name: case{annotations}
spec:
  service: tests
  budgetingMethod: {method}
  timeWindow: [{window}]
  indicator:
    metadata: {{name: case-sli}}
    spec:
      ratioMetric:
        counter: true
        bad: {{metricSource: {{type: nines, spec: {{query: '{bad}'{source}}}}}}}
        total: {{metricSource: {{type: nines, spec: {{query: '{total}'{source}}}}}}}
  objectives: [{{displayName: case, target: {target}{objective}}}]
"
        )
    }
}

/// A definition of a gauge.
fn gauge(query: &str, source: &str, window: &str, target: &str) -> String {
    format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{name: case}}
spec:
  service: tests
  budgetingMethod: Timeslices
  timeWindow: [{window}]
  indicator:
    metadata: {{name: case-sli}}
    spec:
      thresholdMetric:
        metricSource: {{type: nines, spec: {{query: '{query}'{source}}}}}
  objectives: [{{op: gte, value: 1, target: {target}, timeSliceWindow: 5m, timeSliceTarget: 1.0}}]
"
    )
}

fn month(zone: &str) -> String {
    format!("{{duration: 1M, calendar: {{startTime: \"2024-01-01 00:00:00\", timeZone: {zone}}}}}")
}

/// Values at every `step` behind `from`, the first at `from`.
fn every(from: i64, step: i64, values: impl IntoIterator<Item = f64>) -> Vec<(i64, f64)> {
    values.into_iter().enumerate().map(|(i, value)| (from + step * i as i64, value)).collect()
}

fn near(value: Option<f64>, wanted: f64) {
    let value = value.unwrap();
    assert!((value - wanted).abs() <= 1e-12 * wanted.abs().max(1.0), "{value} is not {wanted}");
}
