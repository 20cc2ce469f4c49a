//! Flushes in parts while series come and samples with them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Db;
use crate::disk::sim::SimDisk;
use crate::model::{Labels, Matcher, SeriesData, TimeRange};
use crate::query::{Budget, Queryable, SelectHints};
use crate::{Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;
const ROUNDS: i64 = 60;

/// Writes a sample at `ts` to each of the first `n` series.
fn append(db: &Db, n: usize, ts: i64) {
    let mut appender = db.appender();
    for i in 0..n {
        let (metric, instance) = (format!("m{}", i % 7), format!("host-{}", i / 7));
        let pairs = [("__name__", metric.as_str()), ("instance", instance.as_str())];
        let key = db.series_key(format!("{metric} {instance}").as_bytes());
        let series = match appender.find(key) {
            Some(series) => series,
            None => appender.resolve(key, &Labels::from_pairs(pairs)).unwrap(),
        };
        appender.sample(series, ts, i as f64, 0);
    }
    appender.commit(NOW_MS).unwrap();
}

/// How many samples each series has, by its value.
fn counts(db: &Db) -> BTreeMap<u64, usize> {
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("none", "")];
    let set = db.select(&matchers, TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    let (mut all, mut data) = (BTreeMap::new(), SeriesData::default());
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, &mut data).unwrap();
        assert!(data.values.iter().all(|value| *value == data.values[0]));
        *all.entry(data.values[0] as u64).or_default() += data.len();
    }
    all
}

#[test]
fn series_that_come_between_two_parts_keep_their_samples() {
    let options = StoreOptions {
        wal_segment_bytes: 256 << 10,
        flush_interval: Duration::ZERO,
        ..StoreOptions::default()
    };
    let disk = Arc::new(SimDisk::new());
    let store = Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    // Enough for as many parts as there can be.
    let first = 200;
    append(&db, first, NOW_MS - 1000);
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                append(&db, first + 5 * round as usize, NOW_MS - 900 + round);
            }
            written.store(true, Ordering::Release);
        });
        while !written.load(Ordering::Acquire) {
            store.maintain(NOW_MS).unwrap();
        }
    });
    let last = first + 5 * (ROUNDS as usize - 1);
    let expected: BTreeMap<u64, usize> = (0..last)
        .map(|i| {
            let rounds = (0..ROUNDS as usize).filter(|round| i < first + 5 * round).count();
            (i as u64, rounds + usize::from(i < first))
        })
        .collect();
    assert_eq!(counts(&db), expected);
    store.maintain(NOW_MS).unwrap();
    assert_eq!(counts(&db), expected, "all of it is in blocks");
    assert!(db.stats().flushes > 1 && db.stats().blocks > 8);
}
