//! Many threads at once: what a batch was acknowledged for is in every answer from then on, whatever is
//! flushed, compacted or deleted meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use nines_storage::Store;
use nines_storage::disk::sim::SimDisk;
use nines_storage::model::{Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};

use crate::model::{self, NOW_MS, Write};

const WRITERS: usize = 4;
const BATCHES: i64 = 400;
const STEP_MS: i64 = 700_000;

/// Counts on so that a flush meets several days.
fn ts_of(batch: i64) -> i64 {
    NOW_MS - (BATCHES - batch) * STEP_MS
}

#[test]
fn acknowledged_samples_are_in_every_answer() {
    let disk = SimDisk::new();
    let store =
        Store::open_on(Arc::new(disk.clone()), Path::new("/data"), model::options(), &|_| {})
            .unwrap();
    let db = model::db_of(&store);
    let acked: Vec<AtomicI64> = (0..WRITERS).map(|_| AtomicI64::new(0)).collect();
    let moves = &AtomicI64::new(0);
    let (done, victims) = (AtomicBool::new(false), [vec![Matcher::equal("series", "victim")]]);
    std::thread::scope(|scope| {
        let writers: Vec<_> = acked
            .iter()
            .enumerate()
            .map(|(writer, acked)| {
                let db = &db;
                scope.spawn(move || {
                    for batch in 0..BATCHES {
                        let write = |series: &str, ts| {
                            let bits = (batch as f64).to_bits();
                            Write { series: series.to_owned(), ts, bits, start_ts: 0 }
                        };
                        let series = "w".repeat(writer + 1);
                        let (ts, victim) = (ts_of(batch), format!("victim{writer}"));
                        let writes = [
                            write(&series, ts),
                            write("victim", ts + writer as i64),
                            write(&victim, ts),
                            // A pod that lives for five scrapes.
                            write(&format!("pod{writer}-{}", batch / 5), ts),
                        ];
                        model::append(db, &writes).unwrap();
                        acked.store(batch + 1, Ordering::Release);
                        if batch % 40 == 39 {
                            wait_for_next(moves);
                        }
                    }
                })
            })
            .collect();
        for reader in 0..2 {
            let (db, acked, done) = (&db, &acked, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    for (writer, acked) in acked.iter().enumerate() {
                        let n = acked.load(Ordering::Acquire);
                        let name = "w".repeat(writer + 1);
                        let seen = read_one(db, &name);
                        let expected: Vec<i64> = (0..n).map(ts_of).collect();
                        assert!(
                            seen.ts.starts_with(&expected),
                            "reader {reader}: {n} acknowledged, {} seen",
                            seen.ts.len()
                        );
                        assert!((0..).zip(&seen.values).all(|(i, v)| *v == f64::from(i)));
                    }
                }
            });
        }
        let (db, done) = (&db, &done);
        let mover = scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                db.compact_all(NOW_MS).unwrap();
                db.delete(&victims, TimeRange::ALL).unwrap();
                db.clean_tombstones().unwrap();
                moves.fetch_add(1, Ordering::Relaxed);
            }
        });
        let joined: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        joined.into_iter().for_each(|writer| writer.unwrap());
        mover.join().unwrap();
    });
    db.delete(&[vec![Matcher::equal("series", "victim")]], TimeRange::ALL).unwrap();
    let live = model::read(&db, TimeRange::ALL);
    assert!(!live.contains_key("victim"));
    let pods = live.iter().filter(|(name, _)| name.starts_with("pod"));
    assert_eq!(pods.clone().count(), WRITERS * BATCHES as usize / 5);
    assert!(pods.clone().all(|(_, samples)| samples.len() == 5));
    let others = live.iter().filter(|(name, _)| !name.starts_with("pod"));
    assert!(others.clone().all(|(_, samples)| samples.len() == BATCHES as usize));
    assert!(db.stats().series_evicted > 0);
    drop((db, store));
    let disk = disk.crash(1);
    let store =
        Store::open_on(Arc::new(disk), Path::new("/data"), model::options(), &|_| {}).unwrap();
    assert!(model::read(&model::db_of(&store), TimeRange::ALL) == live, "as before the power cut");
}

/// Lets the mover come by, so that writing takes many flushes.
fn wait_for_next(moves: &AtomicI64) {
    let before = moves.load(Ordering::Relaxed);
    for _ in 0..10_000 {
        if moves.load(Ordering::Relaxed) > before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("the mover stands still");
}

fn read_one(db: &nines_storage::Db, series: &str) -> SeriesData {
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("series", series)];
    let set = db.select(&matchers, TimeRange::ALL, &SelectHints::default(), &budget).unwrap();
    let mut data = SeriesData::default();
    if !set.is_empty() {
        set.read(0, TimeRange::ALL, &budget, &mut data).unwrap();
    }
    data
}
