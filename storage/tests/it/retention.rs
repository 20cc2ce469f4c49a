//! Rows of the history that go by their age: of all series or some, of days and of months, whatever comes late and
//! whenever the power is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nines_storage::disk::sim::{Fault, SimDisk};
use nines_storage::history::{Day, Keep, Month, Policies, Policy, Tier};
use nines_storage::model::{Matcher, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{Db, Store, StoreOptions};

use crate::history::{Rows, open_with, rows};
use crate::model::{self, NOW_MS, Write};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn named(series: &str) -> Option<Vec<Vec<Matcher>>> {
    Some(vec![vec![Matcher::equal("series", series)]])
}

/// Tables with ages in days; 0: for ever.
fn keep(series: Option<Vec<Vec<Matcher>>>, tables: &[(Tier, i64)]) -> Keep {
    let age = |days: i64| (days > 0).then_some(days * DAY_MS);
    Keep { series, ages: tables.iter().map(|(tier, days)| (*tier, age(*days))).collect() }
}

/// A sample every `step` hours of two series.
fn writes(start_ms: i64, days: i64, step: i64) -> Vec<Write> {
    let hours = (0..days * 24).step_by(step as usize);
    let of = |hour: i64| {
        ["s", "ss"].map(|series| Write {
            series: series.to_owned(),
            ts: start_ms + hour * HOUR_MS + 1,
            bits: (hour as f64).to_bits(),
            start_ts: 0,
        })
    };
    hours.flat_map(of).collect()
}

fn options(keeps: &[Keep]) -> StoreOptions {
    let series = vec![vec![Matcher::equal("__name__", "metric")]];
    let policy = Policy { series, tables: Tier::BY_POLICY.to_vec() };
    let history_keeps = keeps.to_vec();
    StoreOptions {
        history_policies: Policies::new(vec![policy]),
        history_keeps,
        ..model::options()
    }
}

fn open(disk: &SimDisk, keeps: &[Keep]) -> Store {
    open_with(disk, options(keeps))
}

/// Rows and series of each table on each day after `first`; files of months are left out. All must be in order.
fn tables(db: &Db, first: Day) -> BTreeMap<(i64, Tier), (u64, u64)> {
    let history = db.history().unwrap();
    let mut found: BTreeMap<(i64, Tier), (u64, u64)> = BTreeMap::new();
    for (day, built) in &history.state().days {
        for file in &built.files {
            let sum = found.entry((*day - first.0, file.tier)).or_default();
            *sum = (sum.0 + file.rows, sum.1.max(file.series));
        }
    }
    assert_whole(db);
    found
}

fn assert_whole(db: &Db) {
    let mut problems = Vec::new();
    db.history().unwrap().verify(&mut |verified| problems.extend(verified.rows.err()));
    assert!(problems.is_empty(), "{problems:?}");
}

/// What answers about a time say of rows that went.
fn warnings(db: &Db, range: TimeRange) -> usize {
    let (budget, hints) = (Budget::unlimited(), SelectHints::default());
    let set = db.select(&[Matcher::equal("series", "s")], range, &hints, &budget).unwrap();
    set.warnings().iter().filter(|text| text.contains("history.retention")).count()
}

#[test]
fn rows_go_by_their_age() {
    let disk = SimDisk::new();
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let (first, now) = (Day::of(start + 1), start + 4 * DAY_MS + HOUR_MS);
    {
        let store = open(&disk, &[]);
        let db = model::db_of(&store);
        model::append(&db, &writes(start, 4, 1)).unwrap();
        db.roll_all(now).unwrap();
        assert_eq!(tables(&db, first).len(), 4 * Tier::ALL.len());
        store.close().unwrap();
    }
    let keeps = [
        keep(named("ss"), &[(Tier::FiveMinutes, 3), (Tier::Hour, 3), (Tier::Series, 3)]),
        keep(None, &[(Tier::Raw, 2), (Tier::Hour, 0)]),
    ];
    let mut number = 0;
    for life in 0..2 {
        let store = open(&disk, &keeps);
        let db = model::db_of(&store);
        let before = rows(&db);
        for round in 0..2 {
            db.roll_all(now).unwrap();
            let context = format!("life {life}, round {round}");
            let found = tables(&db, first);
            for day in 0..4 {
                assert_eq!(found.contains_key(&(day, Tier::Raw)), day >= 2, "{context}, {day}");
                let series = if day == 0 { 1 } else { 2 };
                for tier in [Tier::Hour, Tier::FiveMinutes] {
                    assert_eq!(found[&(day, tier)], (24 * series, series), "{context}, {day}");
                }
                assert_eq!(found[&(day, Tier::Series)], (series, series), "{context}, {day}");
                assert_eq!(found[&(day, Tier::Day)], (2, 2), "{context}, {day}");
            }
            let after = rows(&db);
            assert!(after.iter().all(|(key, row)| before[key].same(row)), "{context}");
            let state = db.history().unwrap().state();
            let days = state.days.values();
            let told: Vec<_> = days.map(|built| (built.revision, built.cut.clone())).collect();
            let cut = vec![Tier::Raw, Tier::FiveMinutes, Tier::Hour, Tier::Series];
            let whole = (1, Vec::new());
            assert_eq!(told, [(2, cut), (2, vec![Tier::Raw]), whole.clone(), whole], "{context}");
            assert!(number == 0 || number == state.number, "{context}: nothing is done twice");
            number = state.number;
        }
        store.close().unwrap();
    }
    // Age moves on.
    let store = open(&disk, &keeps);
    let db = model::db_of(&store);
    db.roll_all(now + DAY_MS).unwrap();
    let found = tables(&db, first);
    assert!(!found.contains_key(&(2, Tier::Raw)) && found.contains_key(&(3, Tier::Raw)));
    assert_eq!((found[&(1, Tier::Hour)], found[&(2, Tier::Hour)]), ((24, 1), (48, 2)));
    let samples = model::read(&db, TimeRange::ALL);
    assert_eq!(samples.values().map(BTreeMap::len).sum::<usize>(), 192, "samples stay");
}

/// Days that are built late, or anew, lack what is too old already; samples come and go as before.
#[test]
fn what_is_too_old_is_not_built() {
    let disk = SimDisk::new();
    let start = NOW_MS / DAY_MS * DAY_MS - 90 * DAY_MS;
    let keeps = [keep(None, &Tier::ALL.map(|tier| (tier, 40)))];
    let now = start + 85 * DAY_MS + HOUR_MS;
    let retention = Some(Duration::from_secs(86_400 * 80));
    let store = open_with(&disk, StoreOptions { retention, ..options(&keeps) });
    let db = model::db_of(&store);
    let all = writes(start, 85, 6);
    for some in all.chunks(300) {
        model::append(&db, some).unwrap();
        // Too early for a day to be due: a flush, of a block a day.
        db.roll_all(start).unwrap();
    }
    db.roll_all(now).unwrap();
    let state = db.history().unwrap().state();
    assert_eq!(state.days.len(), 85);
    let day = |n: i64| Day(Day::of(start + 1).0 + n);
    let stays = |n: i64, tier: Tier| {
        // Rows of days go with their month.
        let end = if tier == Tier::Day { Month::of(day(n)).last() } else { day(n) };
        now - end.end_ms() < 40 * DAY_MS
    };
    for tier in [Tier::Hour, Tier::Day] {
        let found: BTreeSet<i64> = rows(&db)
            .keys()
            .filter(|key| key.0 == tier)
            .map(|key| Day::of(key.2).0 - day(0).0)
            .collect();
        let wanted: BTreeSet<i64> = (0..85).filter(|n| stays(*n, tier)).collect();
        assert!(found == wanted && wanted.len() >= 40 && wanted.len() < 85, "{tier}: {found:?}");
    }
    assert_whole(&db);
    // What comes late is answered from samples, and its day is done once and for all.
    let late = [Write { ts: start + 20 * DAY_MS + 7, ..all[0].clone() }];
    model::append(&db, &late).unwrap();
    let mut begun = Vec::new();
    db.roll_all_telling(now, &mut |day, _| begun.push(day), &mut |_| {}).unwrap();
    assert_eq!(begun, [day(20), day(21)]);
    begun.clear();
    db.roll_all_telling(now, &mut |day, _| begun.push(day), &mut |_| {}).unwrap();
    assert_eq!(begun, []);
    let whole = TimeRange::new(start + 20 * DAY_MS + 1, start + 21 * DAY_MS);
    assert_eq!(model::read(&db, whole)["s"].len(), 5);
    // Age takes samples of days without rows as it takes others, and answers say so.
    assert_eq!(warnings(&db, whole), 0);
    store.maintain(now).unwrap();
    let gone = db.history().unwrap().state().raw_gone.unwrap();
    let range = |n: i64| TimeRange::new(day(n).start_ms() + 1, day(n).end_ms());
    let told: Vec<usize> = (0..85).map(|n| warnings(&db, range(n))).collect();
    let wanted: Vec<usize> = (0..85).map(|n| usize::from(day(n) <= gone)).collect();
    assert_eq!(told, wanted);
    assert!(wanted.iter().sum::<usize>() > 3, "{gone}");
    // What comes even later is all there is.
    model::append(&db, &[Write { ts: start + 7, ..all[0].clone() }]).unwrap();
    db.roll_all(now).unwrap();
    let (budget, hints) = (Budget::unlimited(), SelectHints::default());
    let set = db.select(&[Matcher::equal("series", "s")], range(0), &hints, &budget).unwrap();
    assert_eq!((set.len(), set.warnings().len()), (1, 1));
}

/// What rules leave of rows that were there.
fn left(all: &Rows, keeps_day: impl Fn(Tier, &str, Day) -> bool) -> Rows {
    let stays =
        |(tier, series, end_ms): &(Tier, String, i64)| keeps_day(*tier, series, Day::of(*end_ms));
    all.iter().filter(|(key, _)| stays(key)).map(|(key, row)| (key.clone(), row.clone())).collect()
}

fn same(a: &Rows, b: &Rows) -> bool {
    a.len() == b.len() && a.iter().all(|(key, row)| b.get(key).is_some_and(|b| b.same(row)))
}

/// Two months and some days rolled up, months together; and rules that cut both.
fn months() -> (SimDisk, Rows, i64, [Keep; 2]) {
    let disk = SimDisk::new();
    // 2023-08-01.
    let start = NOW_MS / DAY_MS * DAY_MS - 105 * DAY_MS;
    let now = start + 75 * DAY_MS;
    let store = open(&disk, &[]);
    let db = model::db_of(&store);
    model::append(&db, &writes(start, 75, 8)).unwrap();
    db.roll_all(now).unwrap();
    let state = db.history().unwrap().state();
    assert_eq!(state.months.values().filter(|told| !told.files.is_empty()).count(), 2);
    let all = rows(&db);
    store.close().unwrap();
    let keeps = [
        keep(named("ss"), &[(Tier::Day, 0), (Tier::Hour, 30)]),
        keep(None, &[(Tier::Hour, 60), (Tier::Day, 30)]),
    ];
    (disk, all, now, keeps)
}

/// What those rules leave.
fn left_of_months(all: &Rows, now: i64) -> Rows {
    left(all, |tier, series, day| {
        let days = |end: Day| (now - end.end_ms()) / DAY_MS;
        let month = days(Month::of(day).last());
        match (tier, series) {
            (Tier::Day, "ss") => true,
            (Tier::Day, _) => month < 30,
            (_, "ss") => days(day) < 30,
            // With their days at the latest.
            _ => days(day) < 60 && month < 30,
        }
    })
}

#[test]
fn rows_in_the_file_of_a_month_go_with_the_month() {
    let (disk, all, now, keeps) = months();
    let wanted = left_of_months(&all, now);
    let store = open(&disk, &keeps);
    let db = model::db_of(&store);
    db.roll_all(now).unwrap();
    assert!(same(&rows(&db), &wanted));
    assert_whole(&db);
    let number = db.history().unwrap().state().number;
    db.roll_all(now).unwrap();
    assert_eq!(db.history().unwrap().state().number, number, "once");
    drop((db, store));
    let store = open(&disk.kill(), &keeps);
    let db = model::db_of(&store);
    assert!(same(&rows(&db), &wanted));
    // A day of such a month that changes lacks what is too old, and the others of its month stay.
    let late = Day::of(now).0 - 60;
    let write = Write { ts: Day(late).start_ms() + 7, ..writes(0, 1, 8)[1].clone() };
    model::append(&db, &[write]).unwrap();
    db.roll_all(now).unwrap();
    let after = rows(&db);
    assert!(after.keys().eq(wanted.keys()));
    assert_eq!(after[&(Tier::Day, "ss".to_owned(), Day(late).end_ms())].summary.count, 4);
    assert_whole(&db);
}

/// After a cut at any moment each table of each day is what it was or what it is to be, the state says which, and the
/// next round makes it right.
#[test]
fn a_cut_anywhere_while_rows_go() {
    let (before, all, now, keeps) = months();
    let wanted = left_of_months(&all, now);
    let mut states = BTreeSet::new();
    // Every operation at first, then some of them: there are many days.
    for op in (1..).map(|n: u64| if n < 40 { n } else { 40 + (n - 40) * 37 }) {
        let disk = before.kill();
        let store = open(&disk, &keeps);
        let db = model::db_of(&store);
        disk.fail_from_op(disk.ops() + op, Fault::Eio, true);
        let done = db.roll_all(now).is_ok();
        drop((db, store));
        let disk = disk.crash(op);
        let store = open(&disk, &[]);
        let db = model::db_of(&store);
        assert_whole(&db);
        let (state, found) = (db.history().unwrap().state(), rows(&db));
        for (day, built) in &state.days {
            for tier in Tier::OF_ALL_SERIES {
                let of = |rows: &Rows| left(rows, |t, _, d| (t, d) == (tier, Day(*day)));
                let is = if built.is_cut(tier) { of(&wanted) } else { of(&all) };
                assert!(same(&of(&found), &is), "cut at {op}: {tier} of {}", Day(*day));
            }
        }
        states.insert(state.number);
        drop((db, store));
        let store = open(&disk.kill(), &keeps);
        let db = model::db_of(&store);
        db.roll_all(now).unwrap();
        assert!(same(&rows(&db), &wanted), "cut at {op}");
        if done {
            assert!(op > 100 && states.len() > 10, "{op} operations, {states:?}");
            return;
        }
    }
}
