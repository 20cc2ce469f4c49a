//! A database against the model: appends, flushes, compactions, deletions, reopenings in any order.

use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::{SimDisk, SimRng};
use nines_storage::model::{Counts, Span};
use nines_storage::model::{Histogram, Labels, Matcher, ResetHint, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{Exemplar, Metadata, RejectReason, Store};

use crate::model::{self, Model, NOW_MS, Write};

const SEEDS: u64 = 60;
const STEPS: u64 = 60;

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), model::options(), &|_| {}).unwrap()
}

#[test]
fn a_database_answers_as_the_model_does() {
    for seed in 0..SEEDS {
        let mut rng = SimRng::new(seed);
        let disk = SimDisk::new();
        let mut store = open(&disk);
        let mut expected = Model::new();
        let mut clock_ms = NOW_MS - 10_000_000;
        for step in 0..STEPS {
            let db = model::db_of(&store);
            match rng.below(20) {
                0 => db.compact_all(NOW_MS).unwrap(),
                1 => {
                    let range = TimeRange::new(clock_ms - 200_000, clock_ms - 100_000);
                    db.delete(&[vec![Matcher::equal("series", "sss")]], range).unwrap();
                    if let Some(samples) = expected.get_mut("sss") {
                        samples.retain(|ts, _| !range.contains(*ts));
                    }
                }
                2 => db.clean_tombstones().unwrap(),
                3 => {
                    drop(db);
                    store.close().unwrap();
                    drop(store);
                    store = open(&disk);
                }
                _ => {
                    let writes = model::batch(&mut rng, &mut clock_ms);
                    model::append(&db, &writes).unwrap();
                    model::apply(&mut expected, &writes);
                }
            }
            let db = model::db_of(&store);
            let range = match rng.below(3) {
                0 => TimeRange::new(clock_ms - 300_000, clock_ms - 60_000),
                _ => TimeRange::ALL,
            };
            let seen = model::read(&db, range);
            assert_eq!(seen, model::cut(&expected, range), "seed {seed} step {step}");
        }
    }
}

#[test]
fn outcomes_say_what_was_written_and_what_refused() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    let write =
        |ts, value: f64| Write { series: "s".into(), ts, bits: value.to_bits(), start_ts: 0 };
    let first = model::append(&db, &[write(1000, 1.0), write(500, 2.0), write(0, 3.0)]).unwrap();
    assert_eq!((first.samples, first.rejected_total()), (3, 0));
    let again = model::append(&db, &[write(1000, 1.0), write(500, 2.5), write(500, 2.0)]).unwrap();
    assert_eq!(again.samples, 2);
    assert_eq!(again.rejected.get(&RejectReason::DuplicateTimestamp), Some(&1));
    assert!(
        again.rejections[0].detail.contains("existing 2, new value 2.5"),
        "{}",
        again.rejections[0].detail
    );
    let future =
        model::append(&db, &[write(NOW_MS + 600_001, 1.0), write(NOW_MS + 600_000, 1.0)]).unwrap();
    assert_eq!(future.samples, 1);
    assert_eq!(future.rejected.get(&RejectReason::FutureTimestamp), Some(&1));
    assert_eq!(db.stats().out_of_order_samples, 2);
}

fn histogram(sum: f64) -> Histogram {
    Histogram {
        schema: 0,
        zero_threshold: 0.001,
        sum,
        reset_hint: ResetHint::No,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        custom_values: vec![],
        counts: Counts::Integer { count: 4, zero_count: 1, positive: vec![1, 1], negative: vec![] },
        start_ts: 7,
    }
}

fn histograms_of(store: &Store) -> Vec<(i64, Histogram)> {
    let db = model::db_of(store);
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("__name__", "metric")];
    let set = db.select(&matchers, TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    let mut data = SeriesData::default();
    set.read(0, TimeRange::ALL, &budget, &mut data).unwrap();
    data.histograms.iter().map(|(ts, h)| (*ts, h.as_ref().clone())).collect()
}

#[test]
fn histograms_exemplars_and_metadata_survive_flush_and_reopening() {
    let disk = SimDisk::new();
    let mut store = open(&disk);
    {
        let db = model::db_of(&store);
        let mut appender = db.appender();
        let series = appender.resolve(db.series_key(b"h"), &model::labels("h")).unwrap();
        appender.histogram(series, 2000, histogram(2.0));
        appender.histogram(series, 1000, histogram(1.0));
        let labels = Labels::from_pairs([("trace_id", "abc")]);
        appender.exemplar(series, Exemplar { labels, value: 0.5, ts: 1500 });
        let metadata =
            Metadata { metric_type: "histogram".into(), help: "h".into(), unit: "s".into() };
        assert!(!appender.knows_metadata(1));
        appender.metadata(1, "metric", metadata);
        let outcome = appender.commit(NOW_MS).unwrap();
        assert_eq!((outcome.histograms, outcome.exemplars, outcome.rejected_total()), (2, 1, 0));
        let mut appender = db.appender();
        assert!(appender.knows_metadata(1) && !appender.knows_metadata(2));
        let series = appender.find(db.series_key(b"h")).unwrap();
        appender.histogram(series, 1000, histogram(1.0));
        appender.histogram(series, 2000, histogram(9.0));
        appender.sample(series, 1000, 1.0, 0);
        let outcome = appender.commit(NOW_MS).unwrap();
        assert_eq!((outcome.samples, outcome.histograms, outcome.rejected_total()), (0, 1, 2));
    }
    let expected = vec![(1000, histogram(1.0)), (2000, histogram(2.0))];
    for round in 0..3 {
        assert_eq!(histograms_of(&store), expected, "round {round}");
        let db = model::db_of(&store);
        assert_eq!(db.metadata()["metric"][0].metric_type, "histogram");
        let exemplars =
            db.exemplars(&[vec![Matcher::equal("series", "h")]], TimeRange::ALL).unwrap();
        assert_eq!(exemplars.len(), 1);
        assert_eq!(exemplars[0].1[0].labels.get("trace_id"), "abc");
        if round == 1 {
            db.compact_all(NOW_MS).unwrap();
        }
        drop(db);
        store.close().unwrap();
        drop(store);
        store = open(&disk);
    }
}

#[test]
fn series_and_labels_are_found_in_head_and_blocks() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    let write = |series: &str, ts| Write { series: series.into(), ts, bits: 0, start_ts: 0 };
    model::append(&db, &[write("s", 1000), write("ss", 1000)]).unwrap();
    db.compact_all(NOW_MS).unwrap();
    model::append(&db, &[write("sss", NOW_MS)]).unwrap();
    let budget = Budget::unlimited();
    let all = [vec![Matcher::equal("job", "test")]];
    let names =
        |sets: &[Vec<Matcher>], range| db.label_values("series", sets, range, &budget).unwrap();
    assert_eq!(names(&[], TimeRange::ALL), ["s", "ss", "sss"]);
    assert_eq!(names(&all, TimeRange::ALL), ["s", "ss", "sss"]);
    assert_eq!(names(&all, TimeRange::new(0, 2000)), ["s", "ss"]);
    assert_eq!(names(&all, TimeRange::new(NOW_MS - 1, NOW_MS)), ["sss"]);
    let label_names = db.label_names(&[], TimeRange::ALL, &budget).unwrap();
    assert_eq!(label_names, ["__name__", "instance", "job", "series"]);
    assert_eq!(db.series(&all, TimeRange::ALL, &budget).unwrap().len(), 3);
}

/// Series that are not written any more leave the memory; what blocks hold of them stays, and they may
/// come back.
#[test]
fn churned_series_leave_the_head_and_may_come_back() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    let mut expected = Model::new();
    let name = |generation: i64, i: i64| format!("pod-{generation:03}-{i:02}");
    let mut write = |series: String, ts: i64, value: i64| {
        let bits = (value as f64).to_bits();
        let writes = [Write { series, ts, bits, start_ts: 0 }];
        model::append(&db, &writes).unwrap();
        model::apply(&mut expected, &writes);
    };
    let mut largest = 0;
    for generation in 0..40i64 {
        let ts = NOW_MS - 5_000_000 + generation * 15_000;
        (0..50).for_each(|i| write(name(generation, i), ts, i));
        write("always".to_owned(), ts, generation);
        if generation % 7 == 6 {
            // Back for one sample, and for a second value at a time that a block has: the first one stays.
            write(name(generation - 6, 3), ts, 77);
            write(name(generation - 6, 3), NOW_MS - 5_000_000 + (generation - 6) * 15_000, 78);
        }
        db.compact_all(NOW_MS).unwrap();
        largest = largest.max(db.stats().head_series);
    }
    assert!(largest <= 160, "{largest} series in memory");
    assert!(db.stats().series_evicted >= 1800, "{}", db.stats().series_evicted);
    assert!(model::read(&db, TimeRange::ALL) == expected);
    drop((db, store));
    let store = open(&disk.crash(1));
    assert!(model::read(&model::db_of(&store), TimeRange::ALL) == expected);
}
