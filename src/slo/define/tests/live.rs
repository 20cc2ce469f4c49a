//! Definitions against the series of a store.

use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::SimDisk;
use nines_storage::model::Labels;
use nines_storage::query::Budget;
use nines_storage::{Db, Store, StoreOptions};

use super::*;
use crate::promql::parse_selector;
use crate::slo::define::check_live;

const NOW: i64 = 1_767_225_600_000;
const MINUTE: i64 = 60_000;

fn store() -> (Store, Arc<Db>) {
    let disk = Arc::new(SimDisk::new());
    let store = Store::open_on(disk, Path::new("/data"), StoreOptions::default(), &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    (store, db)
}

/// Adds samples, one a minute up to now.
fn push(db: &Db, series: &str, values: &[f64]) {
    let matchers = parse_selector(series).unwrap();
    let labels = Labels::from_pairs(matchers.iter().map(|m| (m.name.as_str(), m.value.as_str())));
    let mut appender = db.appender();
    let handle = appender.resolve(db.series_key(labels.as_bytes()), &labels).unwrap();
    let begin = NOW - MINUTE * values.len() as i64;
    for (ts, value) in (0..).zip(values) {
        appender.sample(handle, begin + ts * MINUTE, *value, 0);
    }
    assert_eq!(appender.commit(NOW).unwrap().rejected_total(), 0);
}

/// What is told of texts that are good by themselves.
fn live(db: &Db, texts: &[(&str, &str)]) -> Vec<String> {
    let (definitions, diagnostics) = load_texts(texts);
    assert_eq!(lines(&diagnostics), [""; 0]);
    lines(&check_live(&definitions, db, NOW, &Budget::unlimited()).unwrap())
}

#[test]
fn series_that_are_not_there_are_told_at_their_query() {
    let (_store, db) = store();
    push(&db, "http_total{code=\"200\"}", &[1.0, 2.0]);
    let text = format!(
        "# first\nkind: Team\napiVersion: nines.dev/v1\nmetadata: {{name: t}}\n---\n{RATIO}"
    );
    assert_eq!(
        live(&db, &[("f.yaml", &text)]),
        [
            "19:57 warning no-series spec.indicator.spec.ratioMetric.bad.metricSource.spec.query: no series matches"
        ]
    );
    push(&db, "http_total{code=\"500\"}", &[1.0, 2.0]);
    assert_eq!(live(&db, &[("f.yaml", &text)]), [""; 0]);
}

#[test]
fn a_bucket_that_is_not_there_names_its_neighbours() {
    let (_store, db) = store();
    for le in ["0.1", "0.25", "0.5", "1", "+Inf"] {
        push(&db, &format!("h_bucket{{le=\"{le}\"}}"), &[1.0]);
    }
    push(&db, "h_count", &[1.0]);
    let latency = |le: &str| {
        let text = with(RATIO, "bad:", "good:");
        let text = with(
            &text,
            "'http_total{code=~\"5..\"}'",
            &format!("'sum(rate(h_bucket{{le=\"{le}\"}}[5m]))'"),
        );
        with(&text, "query: http_total}", "query: 'sum(rate(h_count[5m]))'}")
    };
    assert_eq!(live(&db, &[("f", &latency("0.25"))]), [""; 0]);
    for (le, have) in
        [("0.3", "0.25, 0.5"), ("0.01", "0.1"), ("2", "1, +Inf"), ("x", "0.1, 0.25, 0.5, 1, +Inf")]
    {
        assert_eq!(
            live(&db, &[("f", &latency(le))]),
            [format!(
                "14:58 error bucket-bound-missing spec.indicator.spec.ratioMetric.good.metricSource.spec.query: le={le} does not exist; have {have} | latencies are exact at bounds of buckets only"
            )]
        );
    }
}

#[test]
fn labels_to_group_by_and_counters_that_are_none() {
    let (_store, db) = store();
    let counter: Vec<f64> = (0..60).map(|i| f64::from(i % 20) * 100.0).collect();
    push(&db, "http_total{code=\"500\",region=\"a\"}", &counter);
    let text = with(RATIO, "query: http_total}", "query: http_total, groupBy: [regoin]}");
    let at = "spec.indicator.spec.ratioMetric";
    assert_eq!(
        live(&db, &[("f", &text)]),
        [
            format!(
                "14:57 warning group-label-absent {at}.bad.metricSource.spec.query: no series has the label \"regoin\" of groupBy | did you mean region?"
            ),
            format!(
                "15:59 warning group-label-absent {at}.total.metricSource.spec.query: no series has the label \"regoin\" of groupBy | did you mean region?"
            ),
        ]
    );
    let saw: Vec<f64> = (0..60).map(|i| 1000.0 + f64::from(i % 2)).collect();
    push(&db, "http_total{code=\"501\",region=\"a\"}", &saw);
    let told = live(&db, &[("f", RATIO)]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("14:57 warning not-a-counter "), "{told:?}");
    assert!(
        told[0].contains("code=\"501\"")
            && told[0].contains("is no counter: it fell 29 times in a day without a reset"),
        "{told:?}"
    );
}

#[test]
fn indicators_elsewhere_are_told_at_the_slo() {
    let (_store, db) = store();
    let (head, tail) = RATIO.split_once("  indicator:").unwrap();
    let (_, tail) = tail.split_once("  objectives").unwrap();
    let text = format!("{head}  indicatorRef: errors\n  objectives{tail}");
    let sli = "apiVersion: openslo/v1\nkind: SLI\nmetadata: {name: errors}\nspec:\n  ratioMetric:\n    bad: {metricSource: {spec: {query: a}}}\n    total: {metricSource: {spec: {query: a}}}\n";
    assert_eq!(
        live(&db, &[("f", &text), ("g", sli)]),
        ["4:9 warning no-series spec: no series matches"]
    );
}
