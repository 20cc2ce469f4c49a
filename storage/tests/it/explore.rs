//! Where the series of a database come from, and since when.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nines_storage::disk::sim::SimDisk;
use nines_storage::model::{Labels, MatchOp, Matcher};
use nines_storage::query::{Budget, BudgetLimits};
use nines_storage::{Db, Error, Explore, Exploring, Rank, SeriesCount, Store};

use crate::model::{self, NOW_MS};

const MINUTE_MS: i64 = 60_000;

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), model::options(), &|_| {}).unwrap()
}

fn add(db: &Db, metric: &str, job: &str, ids: std::ops::Range<u32>) {
    let mut appender = db.appender();
    for id in ids {
        let id = format!("id-{id:03}");
        let pairs = [("__name__", metric), ("job", job), ("id", &id)];
        let key = db.series_key(format!("{metric}/{job}/{id}").as_bytes());
        let series = appender.resolve(key, &Labels::from_pairs(pairs)).unwrap();
        appender.sample(series, NOW_MS, 1.0, 0);
    }
    appender.commit(NOW_MS).unwrap();
}

fn count(series: u64, young: u64) -> SeriesCount {
    SeriesCount { series, young }
}

fn explore(db: &Db, sets: &[Vec<Matcher>], since_ms: i64, now_ms: i64) -> Exploring {
    let values_of = ["job".to_owned()];
    let (rank, limit) = (Rank::Growth, 2);
    let wanted = Explore { sets, since_ms, values_of: &values_of, rank, bytes: true, limit };
    db.explore(&wanted, now_ms, &Budget::unlimited()).unwrap()
}

#[test]
fn series_are_new_that_came_after_a_time() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    add(&db, "up", "a", 0..10);
    let minute = |n: i64| NOW_MS + n * MINUTE_MS;
    // A database that is new knows nothing of before.
    let seen = explore(&db, &[], minute(-60), minute(0));
    assert_eq!((seen.since_ms, seen.since_start), (minute(0), true));
    assert_eq!(seen.counts.total, count(10, 10));

    store.maintain(minute(10)).unwrap();
    add(&db, "up", "a", 0..10);
    add(&db, "requests_total", "b", 0..30);
    store.maintain(minute(20)).unwrap();
    add(&db, "up", "c", 30..32);

    let seen = explore(&db, &[], minute(12), minute(72));
    assert_eq!((seen.since_ms, seen.since_start), (minute(10), false));
    let counts = &seen.counts;
    assert_eq!((counts.total, counts.pairs_total, counts.pairs_new), (count(42, 32), 37, 25));
    assert_eq!(counts.labels_total, 3 * 42);
    let named = |list: &[(&str, SeriesCount)]| -> Vec<(String, SeriesCount)> {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(counts.metrics, named(&[("requests_total", count(30, 30)), ("up", count(12, 2))]));
    let jobs = named(&[("b", count(30, 30)), ("c", count(2, 2))]);
    assert_eq!(counts.values, [("job".to_owned(), jobs)]);
    let label = &counts.labels_by_values[0];
    assert_eq!((label.name.as_str(), label.values, label.values_new), ("id", 32, 22));
    let bytes: Vec<_> = counts.labels_by_bytes.iter().map(|l| (l.name.as_str(), l.bytes)).collect();
    assert_eq!(bytes, [("__name__", 12 * 2 + 30 * 14), ("id", 42 * 6)]);

    assert_eq!(explore(&db, &[], minute(20), minute(72)).counts.total, count(42, 2));
    assert_eq!(explore(&db, &[], minute(72), minute(72)).counts.total, count(42, 0));

    let up = vec![Matcher::equal("__name__", "up")];
    let not_a = vec![Matcher::new("job", MatchOp::NotEqual, "a").unwrap()];
    let within = |sets: &[Vec<Matcher>]| explore(&db, sets, minute(12), minute(72)).counts.total;
    assert_eq!(within(std::slice::from_ref(&up)), count(12, 2));
    assert_eq!(within(&[up, not_a]), count(42, 32));
    assert_eq!(within(&[vec![Matcher::equal("job", "none")]]), count(0, 0));
}

#[test]
fn after_a_restart_what_was_there_is_not_new() {
    let disk = SimDisk::new();
    let store = open(&disk);
    add(&model::db_of(&store), "up", "a", 0..10);
    store.close().unwrap();
    drop(store);
    let store = open(&disk);
    let db = model::db_of(&store);
    add(&db, "up", "a", 5..13);
    let seen = explore(&db, &[], NOW_MS - 60 * MINUTE_MS, NOW_MS);
    assert_eq!((seen.since_ms, seen.since_start), (NOW_MS, true));
    assert_eq!(seen.counts.total, count(13, 3));
}

#[test]
fn exploring_keeps_within_its_budget() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    add(&db, "up", "a", 0..100);
    let ask = |bytes_max: u64, timeout: Duration| {
        let limits =
            BudgetLimits { samples_max: u64::MAX, series_max: u64::MAX, bytes_max, timeout };
        let budget = Budget::new(limits, Arc::new(AtomicBool::new(false)));
        let wanted = Explore { limit: 10, ..Explore::default() };
        db.explore(&wanted, NOW_MS, &budget).map(|seen| {
            assert!(budget.usage().bytes_peak >= 1000, "{:?}", budget.usage());
            assert_eq!(budget.usage().bytes, 0);
            seen.counts.total.series
        })
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(ask(1 << 20, hour).unwrap(), 100);
    assert!(matches!(ask(500, hour), Err(Error::Limit { limit: "query.max_bytes", .. })));
    assert!(matches!(ask(1 << 20, Duration::ZERO), Err(Error::Deadline)));
}
