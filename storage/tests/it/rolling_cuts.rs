//! The power is cut after every operation of a round that rolls up late samples.

use std::collections::BTreeSet;

use nines_storage::disk::sim::{Fault, SimDisk, SimRng};
use nines_storage::history::Day;
use nines_storage::model::TimeRange;

use crate::history::{check, check_days, open};
use crate::model::{self, Model, NOW_MS, Write};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const DAYS: i64 = 4;
/// Midnight, some days before all of it is written.
const START_MS: i64 = NOW_MS / DAY_MS * DAY_MS - DAYS * DAY_MS;

/// Samples of some days of some series, the late ones of the second and the last day.
fn samples() -> (Vec<Write>, Vec<Write>) {
    let mut rng = SimRng::new(77);
    let (mut known, mut late) = (Vec::new(), Vec::new());
    for n in 0..DAYS * 24 {
        for series in 1..4 {
            let ts = START_MS + n * HOUR_MS + 1 + rng.below(HOUR_MS as u64) as i64;
            let write =
                Write { series: "s".repeat(series), ts, bits: model::value(&mut rng), start_ts: 0 };
            let may_be_late = [1, DAYS - 1].contains(&((ts - START_MS) / DAY_MS));
            let list = if may_be_late && rng.chance(20) { &mut late } else { &mut known };
            list.push(write);
        }
    }
    (known, late)
}

/// Days that a sample of `late` changes: its own, and the next one's increases.
fn changed(late: &[Write]) -> BTreeSet<Day> {
    late.iter().map(|write| Day::of(write.ts)).flat_map(|day| [day, Day(day.0 + 1)]).collect()
}

/// A disk with the known samples rolled up, and the late ones in the log.
fn before() -> (SimDisk, Model, BTreeSet<Day>) {
    let (known, late) = samples();
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    let mut expected = Model::new();
    for part in known.chunks(200) {
        model::append(&db, part).unwrap();
        model::apply(&mut expected, part);
    }
    db.roll_all(NOW_MS).unwrap();
    check(&db, NOW_MS, "before");
    model::append(&db, &late).unwrap();
    model::apply(&mut expected, &late);
    (disk.kill(), expected, changed(&late))
}

/// What is found after each cut: all samples, right rows of the days that were not touched or are done, and after
/// the next round all rows.
#[test]
fn a_cut_anywhere_in_a_roll_up_of_late_samples() {
    let (before, expected, changed) = before();
    let mut states = BTreeSet::new();
    for op in 1.. {
        let disk = before.kill();
        let store = open(&disk);
        let db = model::db_of(&store);
        disk.fail_from_op(disk.ops() + op, Fault::Eio, true);
        let done = db.roll_all(NOW_MS).is_ok();
        drop((db, store));
        let disk = disk.crash(op);
        let context = format!("cut at {op}");
        let store = open(&disk);
        let db = model::db_of(&store);
        assert!(model::read(&db, TimeRange::ALL) == expected, "{context}");
        let state = db.history().unwrap().state();
        check_days(&db, NOW_MS, &context, &|day| {
            let built = state.days.get(&day.0);
            let known = |day: &Day| !changed.contains(day);
            built.is_some_and(|built| !built.outdated && (built.revision > 1 || known(&day)))
        });
        let built = state.days.values().map(|built| (built.revision, built.outdated));
        states.insert(built.collect::<Vec<_>>());
        db.roll_all(NOW_MS).unwrap();
        drop((db, store));
        // What the round after the cut made is there to stay.
        let store = open(&disk.crash(op));
        check(&model::db_of(&store), NOW_MS, &context);
        if done {
            // Nothing told, told, and one day after the other built anew.
            assert!(op > 60 && states.len() > changed.len(), "{op} operations, {states:?}");
            return;
        }
    }
}
