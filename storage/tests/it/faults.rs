//! Flushes and compactions that fail midway, damaged blocks, batches beyond a segment of the log.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nines_storage::disk::Disk;
use nines_storage::disk::sim::{Fault, SimDisk};
use nines_storage::model::{Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{Metadata, RejectReason, Store, StoreOptions};

use crate::model::{self, Model, NOW_MS, Write};

const DAY_MS: i64 = 86_400_000;

fn open(disk: &SimDisk, options: StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), options, &|_| {}).unwrap()
}

/// Every round flushes.
fn eager() -> StoreOptions {
    StoreOptions { flush_interval: Duration::ZERO, ..model::options() }
}

fn write(series: &str, ts: i64, value: f64) -> Write {
    Write { series: series.to_owned(), ts, bits: value.to_bits(), start_ts: 0 }
}

fn blocks_dir() -> PathBuf {
    PathBuf::from("/data/tenants/anonymous/blocks")
}

fn all() -> Vec<Vec<Matcher>> {
    vec![vec![Matcher::equal("__name__", "metric")]]
}

/// Three days of samples.
fn three_days() -> (Vec<Write>, Model) {
    let writes: Vec<Write> =
        (0..30).map(|i| write("s", NOW_MS - i * DAY_MS / 10, i as f64)).collect();
    let mut expected = Model::new();
    model::apply(&mut expected, &writes);
    (writes, expected)
}

/// Each changing operation of a flush and merge fails in turn, it and all that follow.
fn fail_everywhere(after: impl Fn(&SimDisk, Store, &Model)) {
    let (writes, expected) = three_days();
    for op in 1.. {
        let disk = SimDisk::new();
        let store = open(&disk, model::options());
        let db = model::db_of(&store);
        model::append(&db, &writes[10..]).unwrap();
        db.compact_all(NOW_MS).unwrap();
        model::append(&db, &writes).unwrap();
        disk.fail_from_op(disk.ops() + op, Fault::Enospc, true);
        let done = db.compact_all(NOW_MS).is_ok();
        assert!(model::read(&db, TimeRange::ALL) == expected, "op {op}");
        disk.stop_failing();
        drop(db);
        after(&disk, store, &expected);
        if done {
            assert!(op > 20, "{op}");
            return;
        }
    }
}

#[test]
fn a_flush_that_fails_anywhere_loses_nothing_and_leaves_nothing() {
    fail_everywhere(|disk, store, expected| {
        let killed = open(&disk.kill(), model::options());
        assert!(model::read(&model::db_of(&killed), TimeRange::ALL) == *expected);
        let db = model::db_of(&store);
        db.compact_all(NOW_MS).unwrap();
        assert!(model::read(&db, TimeRange::ALL) == *expected);
        let dirs = disk.list_dir(&blocks_dir()).unwrap();
        assert_eq!(dirs.len() as u64, db.stats().blocks, "{dirs:?}");
    });
}

#[test]
fn what_is_deleted_after_a_failed_flush_stays_deleted() {
    fail_everywhere(|disk, store, _| {
        let db = model::db_of(&store);
        db.delete(&all(), TimeRange::ALL).unwrap();
        assert!(model::read(&db, TimeRange::ALL).is_empty());
        let killed = open(&disk.kill(), model::options());
        assert_eq!(model::read(&model::db_of(&killed), TimeRange::ALL), Model::new());
        model::db_of(&killed).compact_all(NOW_MS).unwrap();
        assert_eq!(model::read(&model::db_of(&killed), TimeRange::ALL), Model::new());
    });
}

#[test]
fn a_deleted_last_sample_may_come_again() {
    for between in [1000, 2000] {
        let disk = SimDisk::new();
        let store = open(&disk, model::options());
        let db = model::db_of(&store);
        let writes = [write("s", 1000, 1.0), write("s", 2000, 2.0)];
        model::append(&db, &writes).unwrap();
        db.compact_all(NOW_MS).unwrap();
        db.delete(&all(), TimeRange::new(between, 3000)).unwrap();
        let again = [write("s", 2000, 2.5)];
        assert_eq!(model::append(&db, &again).unwrap().samples, 1);
        let mut expected = Model::new();
        model::apply(&mut expected, &again);
        if between == 2000 {
            model::apply(&mut expected, &writes[..1]);
        }
        assert_eq!(model::read(&db, TimeRange::ALL), expected);
        let killed = open(&disk.kill(), model::options());
        assert_eq!(model::read(&model::db_of(&killed), TimeRange::ALL), expected);
    }
}

#[test]
fn compaction_keeps_the_order_of_acceptance() {
    let disk = SimDisk::new();
    let store = open(&disk, eager());
    let db = model::db_of(&store);
    let noon = NOW_MS - NOW_MS % DAY_MS - DAY_MS / 2;
    let mut expected = Model::new();
    let mut flush = |writes: &[Write], blocks: u64| {
        model::append(&db, writes).unwrap();
        model::apply(&mut expected, writes);
        store.maintain(noon).unwrap();
        assert_eq!(db.stats().blocks, blocks);
        assert_eq!(model::read(&db, TimeRange::ALL), expected);
    };
    flush(&[write("s", noon - 1000, 1.0)], 1);
    for i in 1..8 {
        flush(&[write("s", noon - 2000 - 1000 * i, 1.0)], 1 + i as u64);
    }
    let mut many: Vec<Write> = (0..100).map(|i| write("ss", noon - 100 + i, 0.0)).collect();
    many.push(write("s", noon - 1000, 9.0));
    flush(&many, 9);
    store.merge(noon + 2 * DAY_MS).unwrap();
    assert_eq!(db.stats().blocks, 2, "the small ones became one");
    assert_eq!(model::read(&db, TimeRange::ALL), expected, "the first accepted value stays");
    drop(db);
    let killed = open(&disk.kill(), eager());
    let db = model::db_of(&killed);
    assert_eq!(model::read(&db, TimeRange::ALL), expected, "after a restart as well");
    db.compact_all(NOW_MS).unwrap();
    assert_eq!((db.stats().blocks, model::read(&db, TimeRange::ALL)), (1, expected));
}

#[test]
fn retention_goes_on_on_a_full_disk() {
    let disk = SimDisk::new();
    let retention = Some(Duration::from_secs(10 * 86_400));
    let store = open(&disk, StoreOptions { retention, ..eager() });
    let db = model::db_of(&store);
    model::append(&db, &[write("s", NOW_MS - 20 * DAY_MS, 1.0)]).unwrap();
    store.maintain(NOW_MS - 20 * DAY_MS).unwrap();
    model::append(&db, &[write("s", NOW_MS, 1.0)]).unwrap();
    assert_eq!(db.stats().blocks, 1);
    disk.set_capacity(Some(disk.used_bytes()));
    assert!(store.maintain(NOW_MS).is_err(), "no room for all of a flush");
    let left = model::read(&db, TimeRange::ALL);
    assert_eq!(left["s"].keys().copied().collect::<Vec<_>>(), [NOW_MS]);
    disk.set_capacity(None);
    store.maintain(NOW_MS).unwrap();
    assert_eq!(disk.list_dir(&blocks_dir()).unwrap().len(), 1);
}

#[test]
fn a_damaged_block_is_told_and_the_others_answer() {
    let disk = SimDisk::new();
    let store = open(&disk, eager());
    let db = model::db_of(&store);
    let days = [NOW_MS - 3 * DAY_MS, NOW_MS];
    for ts in days {
        model::append(&db, &[write("s", ts, 1.0), write("ss", ts, 2.0)]).unwrap();
        store.maintain(NOW_MS).unwrap();
    }
    assert_eq!(db.stats().blocks, 2);
    drop((db, store));
    let first = disk.list_dir(&blocks_dir()).unwrap()[0].name.clone();
    let budget = Budget::unlimited();
    let (mut told, mut wrong) = (0, 0);
    for file in ["index", "chunks"] {
        let path = blocks_dir().join(&first).join(file);
        let len = disk.file_len(&path).unwrap() as usize;
        for offset in (0..len).step_by(7) {
            let copy = disk.kill();
            assert!(copy.flip(&path, offset, 0x10));
            let store = open(&copy, eager());
            let db = model::db_of(&store);
            let hints = SelectHints::default();
            let set = db.select(&all()[0], TimeRange::ALL, &hints, &budget).unwrap();
            let mut n = 0;
            for i in 0..set.len() {
                let mut data = SeriesData::default();
                set.read(i, TimeRange::ALL, &budget, &mut data).unwrap();
                assert!(data.ts.ends_with(&days[1..]), "{file} {offset}: the other block answers");
                n += data.len();
            }
            told += u32::from(!set.warnings().is_empty());
            wrong += u32::from(n != 4 && set.warnings().is_empty());
            db.label_values("series", &[], TimeRange::ALL, &budget).unwrap();
            db.series(&all(), TimeRange::ALL, &budget).unwrap();
        }
    }
    assert!(told > 20, "{told}");
    assert_eq!(wrong, 0, "samples are missing without a word");
}

#[test]
fn a_batch_longer_than_a_segment_is_taken_in_parts() {
    let disk = SimDisk::new();
    let store = open(&disk, model::options());
    let db = model::db_of(&store);
    let writes: Vec<Write> =
        (0..20_000).map(|i| write("s", NOW_MS - 20_000 + i, i as f64 + 0.1)).collect();
    assert_eq!(model::append(&db, &writes).unwrap().samples, 20_000);
    let mut appender = db.appender();
    let of = |help: String| Metadata { metric_type: "gauge".into(), help, unit: String::new() };
    appender.metadata(0, "long", of("x".repeat(100_000)));
    for i in 0..100 {
        appender.metadata(i, &format!("m{i}"), of("x".repeat(2000)));
    }
    let outcome = appender.commit(NOW_MS).unwrap();
    assert_eq!(outcome.rejected.get(&RejectReason::InvalidMetadata), Some(&1));
    drop((db, store));
    let store = open(&disk.crash(3), model::options());
    let db = model::db_of(&store);
    assert_eq!(model::read(&db, TimeRange::ALL)["s"].len(), 20_000);
    assert_eq!(db.metadata().len(), 100);
}
