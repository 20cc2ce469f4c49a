//! Power cuts: whatever was acknowledged is there afterwards, once, with its value; what was not may be
//! there or not, but with no other value. The simulated disk loses un-synced writes and names.

use std::path::Path;
use std::sync::Arc;

use nines_storage::Store;
use nines_storage::disk::sim::{Fault, SimDisk, SimRng};
use nines_storage::model::TimeRange;

use crate::model::{self, Model, NOW_MS};

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
            disk.fail_from_op(disk.ops() + rng.below(400), Fault::Eio, true);
            for _ in 0..rng.below(40) {
                if rng.chance(8) {
                    let _cut_in_between = db.compact_all(NOW_MS);
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
