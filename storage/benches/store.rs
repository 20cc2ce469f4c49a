//! What the store does for its users, each as a rate: appending, looking up label matchers, selecting and reading,
//! replaying the log. Absolute figures mean little on shared machines: compare runs of one sitting by criterion's
//! baselines (`-- --save-baseline`, `-- --baseline`), and servers with each other by `README.md`, "Figures".
//! Run with `cargo bench -p nines-storage --bench store`; a name behind `--` runs only what contains it.
#![allow(clippy::unwrap_used, reason = "a program for people")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use nines_storage::index::MemIndex;
use nines_storage::model::{Labels, MatchOp, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{Db, Store, StoreOptions, TARGET_LABELS};

const N_SERIES: u32 = 20_000;
const SERIES_PER_TARGET: u32 = 500;
const N_SCRAPES: i64 = 60;
const NOW_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 15_000;

fn labels(i: u32) -> Labels {
    let instance = format!("host{}:9100", i / SERIES_PER_TARGET);
    let (metric, id) = (format!("metric_{}_total", i % 100), (i % SERIES_PER_TARGET).to_string());
    Labels::from_pairs([
        ("__name__", metric.as_str()),
        ("job", "node"),
        ("instance", &instance),
        ("id", &id),
    ])
}

fn scrape(db: &Db, scrape: i64) {
    let mut appender = db.appender();
    for i in 0..N_SERIES {
        let key = db.series_key(&i.to_le_bytes());
        let series =
            appender.find(key).unwrap_or_else(|| appender.resolve(key, &labels(i)).unwrap());
        let value = (scrape * i64::from(i % 100)) as f64;
        appender.sample(series, NOW_MS + scrape * INTERVAL_MS, value, 0);
    }
    appender.commit(NOW_MS + scrape * INTERVAL_MS).unwrap();
}

fn filled(dir: &tempfile::TempDir) -> Store {
    let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    (0..N_SCRAPES).for_each(|n| scrape(&db, n));
    store
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

/// New series, and samples of known ones, log and sync included.
fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(u64::from(N_SERIES)));
    group.sample_size(20);
    group.bench_function("new series", |b| {
        let fresh = || {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
            (store.db("anonymous").unwrap(), store, dir)
        };
        b.iter_batched_ref(fresh, |(db, ..)| scrape(db, 0), BatchSize::PerIteration);
    });
    group.bench_function("known series", |b| {
        let dir = tempfile::tempdir().unwrap();
        let store = filled(&dir);
        let db = store.db("anonymous").unwrap();
        let mut n = N_SCRAPES;
        b.iter(|| {
            scrape(&db, n);
            n += 1;
        });
    });
    group.finish();
}

/// The series of matchers.
fn postings(c: &mut Criterion) {
    let targets = TARGET_LABELS.map(str::to_owned);
    let mut index = MemIndex::new(&targets);
    for i in 0..10 * N_SERIES {
        index.insert(&labels(i)).unwrap();
    }
    index.optimize();
    let mut group = c.benchmark_group("postings");
    for (name, matchers) in [
        ("metric", vec![matcher("__name__", MatchOp::Equal, "metric_7_total")]),
        (
            "metric and target",
            vec![
                matcher("__name__", MatchOp::Equal, "metric_7_total"),
                matcher("instance", MatchOp::Equal, "host3:9100"),
            ],
        ),
        (
            "pattern of targets",
            vec![
                matcher("__name__", MatchOp::Regex, "metric_.*_total"),
                matcher("instance", MatchOp::Regex, "host1.*"),
            ],
        ),
        (
            "all but a target",
            vec![
                matcher("job", MatchOp::Equal, "node"),
                matcher("instance", MatchOp::NotEqual, "host3:9100"),
            ],
        ),
    ] {
        group.bench_function(name, |b| b.iter(|| index.resolve(black_box(&matchers)).unwrap()));
    }
    group.finish();
}

fn read_all(db: &Db, matchers: &[Matcher], data: &mut SeriesData) -> usize {
    let budget = Budget::unlimited();
    let hints = SelectHints { any_order: true, ..SelectHints::default() };
    let set = db.select(matchers, TimeRange::ALL, &hints, &budget).unwrap();
    let mut samples = 0;
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, data).unwrap();
        samples += data.ts.len();
    }
    samples
}

/// Selecting the series of a metric and reading all of their samples.
fn select(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir);
    let db = store.db("anonymous").unwrap();
    let matchers = [matcher("__name__", MatchOp::Regex, "metric_.7_total")];
    let mut data = SeriesData::default();
    let mut group = c.benchmark_group("select");
    group.throughput(Throughput::Elements(read_all(&db, &matchers, &mut data) as u64));
    group.bench_function("head", |b| b.iter(|| read_all(&db, &matchers, &mut data)));
    // The first round notes the time; the second one, an hour later, flushes.
    for now_ms in [NOW_MS, NOW_MS + 3_600_000] {
        store.maintain(now_ms).unwrap();
    }
    assert_ne!(db.stats().blocks, 0, "not flushed");
    group.bench_function("block", |b| b.iter(|| read_all(&db, &matchers, &mut data)));
    group.finish();
}

/// Opening a store whose samples are all in its log.
fn replay(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir).close().unwrap();
    let mut group = c.benchmark_group("replay");
    group.throughput(Throughput::Elements(u64::from(N_SERIES) * N_SCRAPES.cast_unsigned()));
    group.sample_size(20);
    group.bench_function("log", |b| {
        b.iter(|| {
            let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
            store.close().unwrap();
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for group in [append, postings, select, replay] {
        group(&mut criterion);
    }
    criterion.final_summary();
}
