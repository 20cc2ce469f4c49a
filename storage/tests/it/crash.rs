//! Power cuts: whatever was acknowledged is there afterwards, once, with its value; what was not may be
//! there or not, but with no other value. The simulated disk loses un-synced writes and names.

use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::sim::{Fault, SimDisk, SimRng};
use nines_storage::model::{Matcher, TimeRange};
use nines_storage::{ErrorKind, Store};

use crate::model::{self, Model, NOW_MS, Write};

const SEEDS: u64 = 150;
const LIVES: u64 = 4;

fn open(disk: &SimDisk) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), model::options(), &|_| {}).unwrap()
}

/// Compares what is there with what was acknowledged and with what was ever tried.
fn check(seen: &Model, acked: &Model, tried: &Model, context: &str) {
    for (series, samples) in acked {
        for (ts, value) in samples {
            let there = seen.get(series).and_then(|s| s.get(ts));
            assert_eq!(there, Some(value), "{context}: series {series} at {ts}");
        }
    }
    for (series, samples) in seen {
        for (ts, value) in samples {
            let there = tried.get(series).and_then(|s| s.get(ts));
            assert_eq!(there, Some(value), "{context}: invented in {series} at {ts}");
        }
    }
}

#[test]
fn what_was_acknowledged_survives_power_cuts() {
    for seed in 0..SEEDS {
        let mut rng = SimRng::new(seed * 7919 + 1);
        let mut disk = SimDisk::new();
        let mut acked = Model::new();
        let mut clock_ms = NOW_MS - 10_000_000;
        for life in 0..LIVES {
            let context = format!("seed {seed} life {life}");
            let store = open(&disk);
            let db = model::db_of(&store);
            // What is there now is what every later life must keep.
            let mut tried = model::read(&db, TimeRange::ALL);
            check(&tried, &acked, &tried, &context);
            acked = tried.clone();
            let fault = if rng.chance(50) { Fault::Eio } else { Fault::Enospc };
            disk.fail_from_op(disk.ops() + rng.below(400), fault, true);
            for _ in 0..rng.below(40) {
                if rng.chance(8) {
                    let _cut_in_between = db.compact_all(NOW_MS);
                    continue;
                }
                if rng.chance(8) {
                    let range =
                        TimeRange::new(clock_ms - 300_000, clock_ms - rng.below(200_000) as i64);
                    let deleted = db.delete(&[vec![Matcher::equal("series", "sss")]], range);
                    let forget = |model: &mut Model| {
                        if let Some(samples) = model.get_mut("sss") {
                            samples.retain(|ts, _| !range.contains(*ts));
                        }
                    };
                    // A deletion that failed may have begun; one that is acknowledged holds.
                    forget(&mut acked);
                    if deleted.is_err() {
                        break;
                    }
                    forget(&mut tried);
                    continue;
                }
                let writes = model::batch(&mut rng, &mut clock_ms);
                let mut next = acked.clone();
                model::apply(&mut tried, &writes);
                if model::append(&db, &writes).is_err() {
                    break;
                }
                model::apply(&mut next, &writes);
                acked = next;
            }
            drop((db, store));
            disk = disk.crash(rng.next_u64());
            disk.stop_failing();
            let store = open(&disk);
            check(&model::read(&model::db_of(&store), TimeRange::ALL), &acked, &tried, &context);
        }
    }
}

/// On a full disk writes are refused as a whole and everything stays readable; when there is room again it
/// all goes on, without a restart.
#[test]
fn a_full_disk_refuses_and_goes_on() {
    let (mut refused, mut flushed) = (0, 0);
    for seed in 0..40 {
        let mut rng = SimRng::new(seed * 31 + 5);
        let disk = SimDisk::new();
        let store = open(&disk);
        let db = model::db_of(&store);
        let mut expected = Model::new();
        let mut clock_ms = NOW_MS - 10_000_000;
        for phase in 0..3 {
            let context = format!("seed {seed} phase {phase}");
            disk.set_capacity(Some(disk.used_bytes() + rng.below(150 << 10)));
            for _ in 0..rng.below(60) {
                if rng.chance(10) {
                    flushed += u32::from(db.compact_all(NOW_MS).is_ok());
                }
                let mut writes = model::batch(&mut rng, &mut clock_ms);
                for i in 0..rng.below(300) as i64 {
                    let (series, bits) = ("s".repeat(8), rng.next_u64());
                    writes.push(Write { series, ts: clock_ms - 14_000 + i, bits, start_ts: 0 });
                }
                match model::append(&db, &writes) {
                    Ok(_) => drop(model::apply(&mut expected, &writes)),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unavailable, "{context}: {error}");
                        refused += 1;
                    }
                }
            }
            assert!(model::read(&db, TimeRange::ALL) == expected, "{context}");
            disk.set_capacity(None);
            db.compact_all(NOW_MS).unwrap();
            let writes = model::batch(&mut rng, &mut clock_ms);
            model::append(&db, &writes).unwrap();
            model::apply(&mut expected, &writes);
            assert!(model::read(&db, TimeRange::ALL) == expected, "{context}");
        }
        drop((db, store));
        let store = open(&disk.crash(seed));
        assert!(model::read(&model::db_of(&store), TimeRange::ALL) == expected, "seed {seed}");
    }
    assert!(refused > 20 && flushed > 5, "refused {refused}, flushed {flushed}");
}
