//! Merges while other things happen to their sources.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Db;
use super::merging::Merged;
use crate::block::Block;
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::model::{DAY_MS, Labels, Matcher, SeriesData, TimeRange};
use crate::query::{Budget, Queryable, SelectHints};
use crate::{Error, Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;
const N_SERIES: usize = 6;

type Samples = BTreeMap<(String, i64), u64>;

/// Every round flushes.
fn options() -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 64 << 10,
        flush_interval: Duration::ZERO,
        ..StoreOptions::default()
    }
}

fn open(disk: &SimDisk, options: StoreOptions) -> (Store, Arc<Db>) {
    let disk = Arc::new(disk.clone());
    let store = Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    (store, db)
}

fn name(i: usize) -> String {
    format!("m{i}")
}

/// Gives every series a sample at `ts`, and flushes.
fn write(store: &Store, db: &Db, ts: i64, expected: &mut Samples) {
    append(db, ts, expected);
    store.maintain(NOW_MS).unwrap();
}

fn append(db: &Db, ts: i64, expected: &mut Samples) {
    let mut appender = db.appender();
    for i in 0..N_SERIES {
        let (metric, instance) = (name(i), format!("host-{}", i % 2));
        let labels = Labels::from_pairs([
            ("__name__", metric.as_str()),
            ("instance", instance.as_str()),
            ("job", "test"),
        ]);
        let key = db.series_key(metric.as_bytes());
        let series = match appender.find(key) {
            Some(series) => series,
            None => appender.resolve(key, &labels).unwrap(),
        };
        let value = (ts % 1000) as f64 + i as f64;
        appender.sample(series, ts, value, 0);
        expected.entry((metric, ts)).or_insert(value.to_bits());
    }
    appender.commit(NOW_MS).unwrap();
}

fn read(db: &Db) -> Samples {
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("job", "test")];
    let set = db.select(&matchers, TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    assert_eq!(set.warnings(), [] as [String; 0]);
    let (mut all, mut data) = (Samples::new(), SeriesData::default());
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, &mut data).unwrap();
        let metric = set.labels(i).metric_name();
        let metric = metric.to_owned();
        for (ts, value) in data.ts.iter().zip(&data.values) {
            assert!(all.insert((metric.clone(), *ts), value.to_bits()).is_none());
        }
    }
    all
}

fn sources(db: &Db) -> Vec<Arc<Block>> {
    db.snapshot().blocks.clone()
}

/// Three blocks of one day.
fn three_blocks(disk: &SimDisk, options: StoreOptions) -> (Store, Arc<Db>, Samples) {
    let (store, db) = open(disk, options);
    let mut expected = Samples::new();
    for i in 0..3 {
        write(&store, &db, NOW_MS - 20 * DAY_MS + i * 15_000, &mut expected);
    }
    assert_eq!(sources(&db).len(), 3);
    (store, db, expected)
}

/// Runs `then` before the `at`-th series of a merge of all blocks.
fn merge_and(db: &Db, at: usize, mut then: impl FnMut()) -> Merged {
    let mut n = 0;
    let mut step = || {
        if n == at {
            then();
        }
        n += 1;
        Ok(())
    };
    let merged = db.merge_stepping(&sources(db), &mut step).unwrap();
    assert!(n > at);
    merged
}

fn unfinished(disk: &SimDisk) -> usize {
    let blocks = Path::new("/data/tenants/anonymous/blocks");
    disk.list_dir(blocks).unwrap().iter().filter(|entry| entry.name.ends_with(".tmp")).count()
}

#[test]
fn a_deletion_during_a_merge_holds() {
    for at in [0, 3, N_SERIES] {
        let disk = SimDisk::new();
        let (store, db, mut expected) = three_blocks(&disk, options());
        let gone = TimeRange::new(NOW_MS - 20 * DAY_MS, NOW_MS - 20 * DAY_MS + 15_000);
        let matchers = vec![vec![Matcher::equal("__name__", "m0")]];
        let merged = merge_and(&db, at, || assert_eq!(db.delete(&matchers, gone).unwrap(), 2));
        assert_eq!(merged, Merged::Outrun);
        expected.retain(|(metric, ts), _| metric != "m0" || !gone.contains(*ts));
        assert_eq!(read(&db), expected, "after {at} series");
        assert_eq!((sources(&db).len(), unfinished(&disk)), (3, 0));
        // A power cut now: what was made in vain must not take the place of its sources.
        let (_cut, after) = open(&disk.crash(at as u64), options());
        assert_eq!(read(&after), expected, "after {at} series and a power cut");
        store.merge(NOW_MS).unwrap();
        assert_eq!((sources(&db).len(), read(&db)), (1, expected.clone()));
        assert!(sources(&db)[0].tombstones().is_empty());
        let (_cut, after) = open(&disk.crash(7), options());
        assert_eq!((sources(&after).len(), read(&after)), (1, expected));
    }
}

#[test]
fn flushes_go_on_during_a_merge() {
    let disk = SimDisk::new();
    let (store, db, mut expected) = three_blocks(&disk, options());
    let merged = merge_and(&db, 2, || {
        write(&store, &db, NOW_MS - 20 * DAY_MS + 60_000, &mut expected);
        assert_eq!(read(&db), expected);
    });
    assert_eq!(merged, Merged::Done);
    assert_eq!(
        (sources(&db).len(), read(&db)),
        (2, expected.clone()),
        "the merged and the new one"
    );
    let (_cut, after) = open(&disk.crash(3), options());
    assert_eq!(read(&after), expected);
}

#[test]
fn a_power_cut_during_a_merge_leaves_its_sources() {
    for at in 0..=N_SERIES {
        let disk = SimDisk::new();
        let (_store, db, expected) = three_blocks(&disk, options());
        merge_and(&db, at, || {
            for seed in 0..4 {
                let (_cut, after) = open(&disk.crash(seed), options());
                assert_eq!((sources(&after).len(), read(&after)), (3, expected.clone()));
            }
        });
        assert_eq!((sources(&db).len(), read(&db)), (1, expected));
    }
}

#[test]
fn what_expires_during_a_merge_does_not_come_back() {
    let disk = SimDisk::new();
    let retention = Some(Duration::from_secs(10 * 86_400));
    let (store, db, mut expected) = three_blocks(&disk, StoreOptions { retention, ..options() });
    let merged = merge_and(&db, 1, || {
        expected.clear();
        write(&store, &db, NOW_MS, &mut expected);
        store.roll(NOW_MS).unwrap();
        store.maintain(NOW_MS).unwrap();
    });
    assert_eq!(merged, Merged::Outrun);
    assert_eq!(read(&db), expected);
    let (_cut, after) = open(&disk.crash(1), options());
    assert_eq!(read(&after), expected);
}

#[test]
fn a_merge_is_broken_off_when_the_store_closes() {
    let disk = SimDisk::new();
    let (store, db, expected) = three_blocks(&disk, options());
    store.stop_moving();
    assert!(matches!(store.merge(NOW_MS), Err(Error::Canceled)));
    assert!(matches!(db.compact_all(NOW_MS), Err(Error::Canceled)));
    assert_eq!((sources(&db).len(), unfinished(&disk), read(&db)), (3, 0, expected));
}

#[test]
fn a_flush_is_broken_off_when_the_store_closes() {
    let disk = SimDisk::new();
    let (store, db, mut expected) = three_blocks(&disk, options());
    append(&db, NOW_MS, &mut expected);
    let before = sources(&db).len();
    store.stop_moving();
    assert!(matches!(db.compact_all(NOW_MS), Err(Error::Canceled)));
    assert_eq!((sources(&db).len(), unfinished(&disk)), (before, 0));
    assert_eq!(read(&db), expected, "what was set aside is still read");
    let (_cut, after) = open(&disk.crash(1), options());
    assert_eq!(read(&after), expected);
}

#[test]
fn blocks_of_other_target_labels_are_merged() {
    let disk = SimDisk::new();
    let (store, db, mut expected) = three_blocks(&disk, options());
    drop((store, db));
    for (i, target) in [vec!["__name__"], vec!["job"], vec![]].into_iter().enumerate() {
        let target_labels = target.into_iter().map(str::to_owned).collect();
        let (store, db) = open(&disk, StoreOptions { target_labels, ..options() });
        write(&store, &db, NOW_MS - 20 * DAY_MS + 100_000 + i as i64, &mut expected);
        let sources = sources(&db);
        let as_now = |block: &Arc<Block>| {
            block.index().is_ordered_by(&store.options().target_labels).unwrap()
        };
        assert!(!sources.iter().all(as_now) && sources.iter().any(as_now));
        store.merge(NOW_MS).unwrap();
        assert_eq!(db.snapshot().blocks.len(), 1);
        assert_eq!(read(&db), expected);
    }
}
