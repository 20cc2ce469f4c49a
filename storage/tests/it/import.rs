//! Samples from elsewhere, with the power cut at every operation.

use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::{Fault, SimDisk};
use nines_storage::history::Day;
use nines_storage::model::{DAY_MS, Labels, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable as _, SelectHints};
use nines_storage::{Db, ImportState, Result, Store};

use crate::model;

const NOW_MS: i64 = 1_700_000_000_000;
/// A day that is over.
const DAY: i64 = NOW_MS / DAY_MS - 3;
/// Inside of it: its first millisecond belongs to the day before.
const START_MS: i64 = DAY * DAY_MS + 1000;
const SAMPLES: i64 = 50;

fn open(disk: &SimDisk) -> (Store, Arc<Db>) {
    let disk = Arc::new(disk.clone());
    let store = Store::open_on(disk, Path::new("/data"), model::options(), &|_| {}).unwrap();
    let db = store.db("t").unwrap();
    (store, db)
}

/// Two series, of which `first` is the first value.
fn import(db: &Db, first: f64) -> Result<()> {
    let mut importing = db.import(NOW_MS, 0)?;
    for name in ["a", "b"] {
        let mut data = SeriesData::default();
        for i in 0..SAMPLES {
            data.ts.push(START_MS + i * 60_000);
            data.values.push(first + i as f64);
        }
        // From the future: refused.
        data.ts.push(NOW_MS + DAY_MS);
        data.values.push(0.0);
        importing.add(&Labels::from_pairs([("__name__", name), ("job", "j")]), &mut data)?;
    }
    assert_eq!(importing.refused(), 2);
    importing.finish()?;
    db.imports()?.set("source", ImportState { next_day: DAY + 1, whole: true })
}

fn values(db: &Db) -> Vec<f64> {
    let budget = Budget::unlimited();
    let any = [Matcher::equal("job", "j")];
    let set = db.select(&any, TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    let (mut all, mut data) = (Vec::new(), SeriesData::default());
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, &mut data).unwrap();
        all.extend_from_slice(&data.values);
    }
    all
}

fn is_outdated(db: &Db) -> bool {
    let state = db.history().unwrap().state();
    state.days.get(&DAY).is_some_and(|built| built.outdated)
}

#[test]
fn an_import_is_whole_or_nothing_wherever_the_power_is_cut() {
    let mut cut = 0;
    let mut seen = [0; 2];
    loop {
        let disk = SimDisk::new();
        let (store, db) = open(&disk);
        // What is in memory was accepted before, and its day is rolled up.
        let labels = Labels::from_pairs([("__name__", "a"), ("job", "j")]);
        let mut appender = db.appender();
        let series = appender.resolve(1, &labels).unwrap();
        appender.sample(series, START_MS, -7.0, 0);
        appender.commit(NOW_MS).unwrap();
        db.flush_before_import(NOW_MS).unwrap();
        db.roll_all(NOW_MS).unwrap();
        assert!(!is_outdated(&db) && db.history().unwrap().state().has_raw(Day(DAY)));

        disk.fail_from_op(disk.ops() + cut, Fault::Eio, true);
        let done = import(&db, 100.0).is_ok();
        drop((db, store));
        let disk = disk.crash(cut);
        disk.stop_failing();
        let (store, db) = open(&disk);
        let held = values(&db);
        let expected = 2 * SAMPLES as usize;
        assert!(held.len() == 1 || held.len() == expected, "cut {cut}: {} samples", held.len());
        assert_eq!(held[0], -7.0, "cut {cut}: what was stored stays");
        let there = held.len() == expected;
        assert!(there || !done, "cut {cut}");
        assert!(
            !there || is_outdated(&db),
            "cut {cut}: rows without the samples are taken for whole"
        );
        let known = db.imports().unwrap().of("source");
        assert!(known.is_none() || there, "cut {cut}");
        seen[usize::from(there)] += 1;

        // Again, with other values: nothing is overwritten once it is there.
        import(&db, if there { 500.0 } else { 100.0 }).unwrap();
        let first = held[0];
        let again = values(&db);
        assert_eq!((again.len(), again[0], again[1]), (expected, first, 101.0), "cut {cut}");
        db.compact_all(NOW_MS).unwrap();
        assert_eq!(values(&db), again, "cut {cut}");
        db.roll_all(NOW_MS).unwrap();
        assert!(!is_outdated(&db), "cut {cut}");
        drop((db, store));
        if done {
            break;
        }
        cut += 1;
    }
    assert!(cut > 10 && seen.iter().all(|n| *n > 1), "{cut} cuts, {seen:?}");
}
