//! The history against what the database answers: every row is the summary of its window, whatever was written
//! late, deleted, merged, cut off or reopened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use nines_storage::disk::Disk;
use nines_storage::disk::sim::{Fault, SimDisk, SimRng};
use nines_storage::history::{Day, Policies, Policy, Row, Tier};
use nines_storage::model::{Labels, Matcher, TimeRange, WindowSummary};
use nines_storage::{Db, Store, StoreOptions};

use crate::model::{self, NOW_MS, Write};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

pub fn open(disk: &SimDisk) -> Store {
    open_with(disk, model::options())
}

pub fn open_with(disk: &SimDisk, options: StoreOptions) -> Store {
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), options, &|_| {}).unwrap()
}

/// Some scrapes, a quarter of an hour apart, now and then something late.
fn batch(rng: &mut SimRng, clock_ms: &mut i64) -> Vec<Write> {
    *clock_ms += 900_000;
    let mut writes = Vec::new();
    for _ in 0..=rng.below(10) {
        let series = "s".repeat(1 + rng.below(6) as usize);
        let ts = match rng.below(12) {
            0 => *clock_ms - rng.below(3 * DAY_MS as u64) as i64,
            1 => *clock_ms / HOUR_MS * HOUR_MS,
            2 => *clock_ms / DAY_MS * DAY_MS,
            _ => *clock_ms,
        };
        writes.push(Write { series, ts, bits: model::value(rng), start_ts: 0 });
    }
    writes
}

pub type Rows = BTreeMap<(Tier, String, i64), Row>;

/// All rows; fails where one is there twice.
pub fn rows(db: &Db) -> Rows {
    let history = db.history().unwrap();
    let state = history.state();
    let mut all = Rows::new();
    let rollup = |tier| Tier::OF_ALL_SERIES.contains(&tier);
    for (part, revision, file) in state.files().filter(|(.., file)| rollup(file.tier)) {
        let opened = history.read_part(part, revision, file).unwrap();
        for group in 0..opened.n_groups() {
            for series in opened.read_group(group).unwrap() {
                let name = series.labels.get("series").to_owned();
                assert_eq!(series.labels, model::labels(&name));
                for row in series.rows {
                    let key = (file.tier, name.clone(), row.end_ms);
                    assert!(all.insert(key, row).is_none(), "a row is there twice");
                }
            }
        }
    }
    all
}

/// What the rows should be: of all samples on days that are over an hour before `now_ms`.
fn expected(db: &Db, now_ms: i64) -> Rows {
    let mut all = Rows::new();
    for (name, samples) in model::read(db, TimeRange::ALL) {
        for tier in Tier::OF_ALL_SERIES {
            for (ts, (bits, _)) in &samples {
                let day = Day::of(*ts);
                if day.end_ms() + HOUR_MS > now_ms {
                    continue;
                }
                let end_ms = tier.end_of(*ts);
                let key = (tier, name.clone(), end_ms);
                let row = all.entry(key).or_insert_with(|| {
                    let oldest = day.start_ms() - DAY_MS;
                    let before = samples.range(oldest + 1..=end_ms - tier.window_ms());
                    let stale = nines_storage::model::STALE_NAN_BITS;
                    let last = before.rev().map(|(_, (bits, _))| *bits).find(|bits| *bits != stale);
                    Row { inc: last.map(f64::from_bits), ..Row::empty(end_ms) }
                });
                let value = f64::from_bits(*bits);
                row.summary.push(*ts, value);
                let stale = nines_storage::model::is_stale(value);
                row.whole &= stale || (value.is_finite() && value == value.trunc());
            }
        }
    }
    for row in all.values_mut() {
        row.inc = row.summary.anchored_increase(row.inc);
        row.close();
    }
    all
}

/// Whether the rows are what they should be; the sums of a day are those of its hours, merged.
pub fn check(db: &Db, now_ms: i64, context: &str) {
    check_days(db, now_ms, context, &|_| true);
}

/// The same of some days.
pub fn check_days(db: &Db, now_ms: i64, context: &str, days: &dyn Fn(Day) -> bool) {
    let (mut seen, mut expected) = (rows(db), expected(db, now_ms));
    for rows in [&mut seen, &mut expected] {
        rows.retain(|(_, _, end_ms), _| days(Day::of(*end_ms)));
    }
    let keys = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&seen), keys(&expected), "{context}");
    for (key, row) in &seen {
        let mut wanted = expected[key].clone();
        if key.0 == Tier::Day {
            let hours = key.2 - DAY_MS + 1..=key.2;
            let mut merged = WindowSummary::default();
            for hour in seen.range((Tier::Hour, key.1.clone(), *hours.start())..) {
                if hour.0.0 != Tier::Hour || hour.0.1 != key.1 || hour.0.2 > *hours.end() {
                    break;
                }
                merged.merge(&hour.1.summary);
            }
            (wanted.summary.sum, wanted.summary.sum_c) = (merged.sum, merged.sum_c);
        }
        assert!(row.same(&wanted), "{context}: {key:?}\n{row:?}\n{wanted:?}");
    }
}

#[test]
fn rows_are_the_summaries_of_what_is_there() {
    let (mut rolled, mut n_rows, mut together) = (0, 0, 0);
    for seed in 0..25 {
        let mut rng = SimRng::new(seed * 13 + 1);
        let disk = SimDisk::new();
        let mut store = open(&disk);
        let mut clock_ms = NOW_MS - 20 * DAY_MS;
        let mut ahead_ms = 0;
        for step in 0..60 {
            let db = model::db_of(&store);
            match rng.below(14) {
                0 => db.compact_all(clock_ms).unwrap(),
                1 => {
                    let to = clock_ms - rng.below(2 * DAY_MS as u64) as i64;
                    let range = TimeRange::new(to - rng.below(DAY_MS as u64) as i64, to);
                    db.delete(&[vec![Matcher::equal("series", "sss")]], range).unwrap();
                }
                2 => db.clean_tombstones().unwrap(),
                3 => {
                    drop(db);
                    store.close().unwrap();
                    drop(store);
                    store = open(&disk);
                }
                4 | 5 => {
                    // From some time on so late that all months are put together.
                    if rng.chance(30) {
                        ahead_ms = 40 * DAY_MS;
                    }
                    let now_ms = clock_ms + ahead_ms;
                    db.roll_all(now_ms).unwrap();
                    check(&db, now_ms, &format!("seed {seed} step {step}"));
                    rolled += 1;
                    n_rows += rows(&db).len();
                    let state = db.history().unwrap().state();
                    together +=
                        state.months.values().map(|month| u64::from(month.revision)).sum::<u64>();
                }
                _ => {
                    for _ in 0..rng.below(20) {
                        let writes = batch(&mut rng, &mut clock_ms);
                        model::append(&db, &writes).unwrap();
                    }
                }
            }
        }
    }
    assert!(rolled > 100 && n_rows > 10_000, "{rolled} times rolled up, {n_rows} rows");
    assert!(together > 100, "{together} months put together or written anew");
}

/// What comes late or is deleted changes its day and the next one, and no other.
#[test]
fn late_samples_change_their_day_and_the_next() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |hour: i64, value: f64| {
        let (series, ts) = ("s".to_owned(), start + hour * HOUR_MS + 1);
        Write { series, ts, bits: value.to_bits(), start_ts: 0 }
    };
    let all: Vec<Write> = (0..96).filter(|h| *h != 30).map(|h| write(h, h as f64)).collect();
    model::append(&db, &all).unwrap();
    let now = start + 98 * HOUR_MS;
    db.roll_all(now).unwrap();
    let revisions = |db: &Db| {
        let state = db.history().unwrap().state();
        state.days.values().map(|built| (built.revision, built.outdated)).collect::<Vec<_>>()
    };
    assert_eq!(revisions(&db), [(1, false); 4]);
    db.roll_all(now).unwrap();
    assert_eq!(revisions(&db), [(1, false); 4], "nothing to do");
    model::append(&db, &[write(30, 5.0)]).unwrap();
    db.compact_all(now).unwrap();
    assert_eq!(revisions(&db), [(1, false), (1, true), (1, true), (1, false)]);
    db.roll_all(now).unwrap();
    assert_eq!(revisions(&db), [(1, false), (2, false), (2, false), (1, false)]);
    check(&db, now, "late");
    let day = TimeRange::new(start + 72 * HOUR_MS + 1, start + 96 * HOUR_MS);
    db.delete(&[vec![Matcher::equal("series", "s")]], day).unwrap();
    db.roll_all(now).unwrap();
    assert_eq!(revisions(&db), [(1, false), (2, false), (2, false), (2, false)]);
    check(&db, now, "deleted");
    let state = db.history().unwrap().state();
    assert_eq!(
        state.days.values().next_back().unwrap().files,
        [],
        "nothing is left of the last day"
    );
}

/// Samples that keep coming late do not have their day built anew with every flush.
#[test]
fn a_day_is_built_anew_in_the_background_after_a_pause() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let late = |i: i64| {
        let bits = (i as f64).to_bits();
        let write = Write { series: "s".to_owned(), ts: start + 1 + i, bits, start_ts: 0 };
        model::append(&db, &[write]).unwrap();
        // Too early for a day to be due: a flush.
        db.roll_all(start).unwrap();
    };
    let revision = || db.history().unwrap().state().days.values().map(|d| d.revision).max();
    late(0);
    store.roll(start + 26 * HOUR_MS).unwrap();
    assert_eq!(revision(), Some(1));
    late(1);
    store.roll(start + 27 * HOUR_MS).unwrap();
    assert_eq!(revision(), Some(1));
    store.roll(start + 32 * HOUR_MS).unwrap();
    assert_eq!(revision(), Some(2));
    late(2);
    db.roll_all(start + 32 * HOUR_MS).unwrap();
    assert_eq!(revision(), Some(3), "who asks for it need not wait");
}

#[test]
fn age_removes_no_sample_that_is_not_rolled_up() {
    let disk = SimDisk::new();
    let retention = Some(std::time::Duration::from_secs(5 * 86_400));
    let store = open_with(&disk, StoreOptions { retention, ..model::options() });
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |hour: i64| Write {
        series: "s".to_owned(),
        ts: start + hour * HOUR_MS + 1,
        bits: (hour as f64).to_bits(),
        start_ts: 0,
    };
    model::append(&db, &(0..240).map(write).collect::<Vec<_>>()).unwrap();
    let now = start + 240 * HOUR_MS;
    // Too early for a day to be due: a flush.
    db.roll_all(start).unwrap();
    store.maintain(now).unwrap();
    let samples = |db: &Db| model::read(db, TimeRange::ALL)["s"].len();
    assert_eq!(samples(&db), 240);
    db.roll_all(now).unwrap();
    let before = rows(&db);
    store.maintain(now).unwrap();
    let left = samples(&db);
    assert!(left < 240, "{left}");
    // What comes now for a day that is gone is kept, and its row stays what it was.
    let late = Write { ts: start + 7, ..write(0) };
    model::append(&db, &[late]).unwrap();
    db.roll_all(now).unwrap();
    let after = rows(&db);
    assert_eq!(after.len(), before.len());
    assert!(before.iter().all(|(key, row)| after[key].same(row)));
    drop((db, store));
    let db = model::db_of(&open(&disk.kill()));
    assert_eq!(rows(&db).len(), before.len());
}

/// After a power cut at any time the next round makes the history what the samples are.
#[test]
fn the_history_survives_power_cuts() {
    let (mut cut, mut checked) = (0, 0);
    for seed in 0..40 {
        let mut rng = SimRng::new(seed * 7919 + 3);
        let mut disk = SimDisk::new();
        let mut clock_ms = NOW_MS - 20 * DAY_MS;
        for life in 0..4 {
            let context = format!("seed {seed} life {life}");
            let store = open(&disk);
            let db = model::db_of(&store);
            let now_ms = clock_ms + 40 * DAY_MS;
            db.roll_all(now_ms).unwrap();
            check(&db, now_ms, &context);
            checked += rows(&db).len();
            let fault = if rng.chance(50) { Fault::Eio } else { Fault::Enospc };
            disk.fail_from_op(disk.ops() + rng.below(600), fault, rng.chance(80));
            let mut cut_short = false;
            for _ in 0..rng.below(30) {
                if cut_short {
                    break;
                }
                let done = match rng.below(8) {
                    0 => db.compact_all(clock_ms),
                    1 | 2 => db.roll_all(clock_ms + i64::from(rng.chance(40)) * 40 * DAY_MS),
                    3 => {
                        let range = TimeRange::new(clock_ms - 2 * DAY_MS, clock_ms - DAY_MS);
                        db.delete(&[vec![Matcher::equal("series", "sss")]], range).map(drop)
                    }
                    _ => {
                        let write =
                            |_| model::append(&db, &batch(&mut rng, &mut clock_ms)).map(drop);
                        let done = (0..15).try_for_each(write);
                        // From then on the log takes nothing more.
                        cut_short = done.is_err();
                        done
                    }
                };
                cut += u64::from(done.is_err());
            }
            drop((db, store));
            disk = if rng.chance(30) { disk.kill() } else { disk.crash(rng.next_u64()) };
            disk.stop_failing();
        }
    }
    assert!(cut > 200 && checked > 2_000, "{cut} failures, {checked} rows");
}

/// Metrics are read in groups: none is taken for another, whatever its name.
#[test]
fn metrics_of_any_name_have_rows() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    let sets = [
        Labels::from_pairs([("__name__", "a.b")]),
        Labels::from_pairs([("__name__", "axb")]),
        Labels::from_pairs([("__name__", "a-b|c&~#"), ("job", "x")]),
        Labels::from_pairs([("__name__", "c"), ("instance", "1")]),
        Labels::from_pairs([("__name__", "h\u{f6}he \\d+")]),
        Labels::from_pairs([("job", "x")]),
    ];
    let mut appender = db.appender();
    for (i, labels) in sets.iter().enumerate() {
        let key = db.series_key(&[i as u8]);
        let series = appender.resolve(key, labels).unwrap();
        appender.sample(series, NOW_MS - 3 * DAY_MS, i as f64, 0);
    }
    appender.commit(NOW_MS).unwrap();
    db.roll_all(NOW_MS).unwrap();
    let history = db.history().unwrap();
    let state = history.state();
    let (day, built) = state.days.first_key_value().unwrap();
    for file in built.files.iter().filter(|file| Tier::OF_ALL_SERIES.contains(&file.tier)) {
        let read = history.read(Day(*day), built, file).unwrap().read_group(0).unwrap();
        let names = read.iter().map(|series| series.labels.metric_name());
        assert!(names.is_sorted());
        for (i, labels) in sets.iter().enumerate() {
            let rows = &read.iter().find(|series| series.labels == *labels).unwrap().rows;
            assert_eq!((rows.len(), rows[0].summary.last), (1, i as f64));
        }
        assert_eq!(read.len(), sets.len());
    }
}

/// Rows that lack samples would look like any other: there are none of a day with a damaged block.
/// More series than are held at once, each in one block or in two.
#[test]
fn a_metric_of_very_many_series_is_rolled_up_in_parts() {
    let store = open(&SimDisk::new());
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    for (hour, every) in [(1, 1), (2, 2)] {
        let of = |i: i64| Write {
            series: format!("s{i}"),
            ts: start + hour * HOUR_MS + i % 60_000,
            bits: (i as f64).to_bits(),
            start_ts: 0,
        };
        let all: Vec<Write> = (0..24_000).step_by(every).map(of).collect();
        for some in all.chunks(4_000) {
            model::append(&db, some).unwrap();
        }
        // Too early for a day to be due: a flush.
        db.roll_all(start).unwrap();
    }
    let now = start + DAY_MS + HOUR_MS;
    db.roll_all(now).unwrap();
    assert_eq!(rows(&db).len(), 24_000 + 12_000 + 24_000);
    check(&db, now, "parts");
}

#[test]
fn a_damaged_block_keeps_its_day_from_being_rolled_up() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |day: i64| Write {
        series: "s".to_owned(),
        ts: start + day * DAY_MS + HOUR_MS,
        bits: 1f64.to_bits(),
        start_ts: 0,
    };
    model::append(&db, &[write(0), write(3)]).unwrap();
    // Too early for a day to be due: a flush.
    db.roll_all(start).unwrap();
    let blocks = Path::new("/data/tenants/anonymous/blocks");
    let first = disk.list_dir(blocks).unwrap()[0].name.clone();
    let chunks = blocks.join(first).join("chunks");
    drop((db, store));
    let middle = disk.file_len(&chunks).unwrap() as usize / 2;
    assert!(disk.flip(&chunks, middle, 4));
    let store = open(&disk);
    let db = model::db_of(&store);
    db.roll_all(NOW_MS).unwrap();
    let day = Day::of(start + HOUR_MS);
    assert_eq!(db.days_not_rolled_up(), [day]);
    let built: Vec<i64> = db.history().unwrap().state().days.keys().copied().collect();
    assert_eq!(built, [day.0 + 3], "the others are");
    drop((db, store));
    assert!(disk.flip(&chunks, middle, 4));
    let db = model::db_of(&open(&disk));
    db.roll_all(NOW_MS).unwrap();
    assert_eq!(rows(&db).len(), 4, "once it is repaired");
}

/// A block that cannot be opened keeps the days back that it has samples for, and those behind them.
#[test]
fn a_block_that_cannot_be_opened_keeps_its_days_from_being_rolled_up() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |day: i64| Write {
        series: "s".to_owned(),
        ts: start + day * DAY_MS + HOUR_MS,
        bits: 1f64.to_bits(),
        start_ts: 0,
    };
    model::append(&db, &[write(0), write(1), write(3)]).unwrap();
    db.roll_all(start).unwrap();
    let blocks = Path::new("/data/tenants/anonymous/blocks");
    let first = blocks.join(disk.list_dir(blocks).unwrap()[0].name.clone());
    drop((db, store));
    let days = |db: &Db| {
        let day = Day::of(start + HOUR_MS).0;
        let state = db.history().unwrap().state();
        state.days.keys().map(|built| built - day).collect::<Vec<_>>()
    };
    assert!(disk.flip(&first.join("index"), 0, 4));
    {
        let store = open(&disk);
        let db = model::db_of(&store);
        assert_eq!(db.stats().quarantined_blocks, 1);
        db.roll_all(NOW_MS).unwrap();
        let left: Vec<i64> =
            db.days_not_rolled_up().iter().map(|day| day.0 - Day::of(start + 1).0).collect();
        assert_eq!((left, days(&db)), (vec![1], vec![3]), "of day 0 there is nothing else");
    }
    // Of which days its samples are is told by nothing any more.
    assert!(disk.flip(&first.join("meta.json"), 30, 1));
    {
        let store = open(&disk);
        let db = model::db_of(&store);
        db.history().unwrap().outdate_all().unwrap();
        assert!(db.roll_all(NOW_MS).is_err());
        assert_eq!(days(&db), [3]);
    }
    assert!(disk.flip(&first.join("meta.json"), 30, 1) && disk.flip(&first.join("index"), 0, 4));
    let store = open(&disk);
    let db = model::db_of(&store);
    db.roll_all(NOW_MS).unwrap();
    assert_eq!(days(&db), [0, 1, 3], "once it is repaired");
}

/// Retention goes in the order of time: it waits for a day that is not rolled up, however old the others are.
#[test]
fn age_waits_for_a_day_that_could_not_be_rolled_up() {
    let retention = Some(std::time::Duration::from_secs(86_400));
    let options = || StoreOptions { retention, ..model::options() };
    let disk = SimDisk::new();
    let store = open_with(&disk, options());
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |day: i64| Write {
        series: "s".to_owned(),
        ts: start + day * DAY_MS + HOUR_MS,
        bits: (day as f64).to_bits(),
        start_ts: 0,
    };
    model::append(&db, &[0, 2, 4, 9].map(write)).unwrap();
    // Too early for a day to be due: a flush, a block a day.
    db.roll_all(start).unwrap();
    let blocks = Path::new("/data/tenants/anonymous/blocks");
    let second = disk.list_dir(blocks).unwrap()[1].name.clone();
    let chunks = blocks.join(second).join("chunks");
    let middle = disk.file_len(&chunks).unwrap() as usize / 2;
    drop((db, store));
    assert!(disk.flip(&chunks, middle, 4));
    let store = open_with(&disk, options());
    let db = model::db_of(&store);
    db.roll_all(NOW_MS).unwrap();
    for _ in 0..3 {
        store.maintain(NOW_MS).unwrap();
    }
    assert_eq!(disk.list_dir(blocks).unwrap().len(), 3, "day 0 went, day 4 waits for day 2");
    drop((db, store));
    assert!(disk.flip(&chunks, middle, 4));
    let store = open_with(&disk, options());
    let db = model::db_of(&store);
    db.roll_all(NOW_MS).unwrap();
    store.maintain(NOW_MS).unwrap();
    assert_eq!(disk.list_dir(blocks).unwrap().len(), 1, "once it is repaired");
    assert_eq!(rows(&db).len(), 8);
}

/// The increase of a day begins with the last row of a day whose samples are gone, also when it is built anew.
#[test]
fn increases_go_on_where_samples_are_gone() {
    let retention = Some(std::time::Duration::from_secs(86_400));
    let disk = SimDisk::new();
    let store = open_with(&disk, StoreOptions { retention, ..model::options() });
    let db = model::db_of(&store);
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let write = |hour: i64, value: f64| Write {
        series: "s".to_owned(),
        ts: start + hour * HOUR_MS + 1,
        bits: value.to_bits(),
        start_ts: 0,
    };
    let all: Vec<Write> = (0..72).map(|hour| write(hour, 10.0 * hour as f64)).collect();
    model::append(&db, &all).unwrap();
    db.roll_all(start).unwrap();
    let now = start + 74 * HOUR_MS;
    db.roll_all(now).unwrap();
    let inc_of =
        |db: &Db, hour: i64| rows(db)[&(Tier::Hour, "s".to_owned(), start + hour * HOUR_MS)].inc;
    assert_eq!((inc_of(&db, 25), inc_of(&db, 49)), (Some(10.0), Some(10.0)));
    // Its age takes the first day alone.
    store.maintain(start + 48 * HOUR_MS + 1).unwrap();
    assert_eq!(model::read(&db, TimeRange::ALL)["s"].len(), 48);
    // The second one is built anew without a sample of it.
    model::append(&db, &[Write { ts: start + 25 * HOUR_MS + 7, ..write(25, 250.0) }]).unwrap();
    db.roll_all(now).unwrap();
    assert_eq!(inc_of(&db, 25), Some(10.0), "since the last row of the day before");
    let day = rows(&db)[&(Tier::Day, "s".to_owned(), start + 48 * HOUR_MS)].clone();
    assert_eq!((day.summary.count, day.inc), (25, Some(240.0)));
}

/// What a policy names has rows of five minutes and of samples, the others have not; days that are built already
/// follow when they are asked to.
#[test]
fn a_policy_adds_tables_for_its_series() {
    let disk = SimDisk::new();
    let start = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
    let stale = nines_storage::model::STALE_NAN_BITS;
    let write = |series: &str, ts: i64, bits: u64| Write {
        series: series.to_owned(),
        ts,
        bits,
        start_ts: 0,
    };
    // Midnights, their neighbours, a stale marker, a NaN of its own.
    let mut all = Vec::new();
    for series in ["s", "ss"] {
        for i in 0..200 {
            all.push(write(series, start + 7 + i * 900_000, (i as f64).to_bits()));
        }
        all.push(write(series, start + DAY_MS, 5f64.to_bits()));
        all.push(write(series, start + DAY_MS - 1, 6f64.to_bits()));
        all.push(write(series, start + DAY_MS + 1, stale));
        all.push(write(series, start + DAY_MS + 2, 0x7ff8_0000_dead_beef));
    }
    all.sort_by_key(|write| write.ts);
    let now = start + 4 * DAY_MS;
    {
        let store = open(&disk);
        let db = model::db_of(&store);
        model::append(&db, &all).unwrap();
        db.roll_all(now).unwrap();
        store.close().unwrap();
    }
    let policy = Policy {
        series: vec![vec![Matcher::equal("series", "ss")]],
        tables: Tier::BY_POLICY.to_vec(),
    };
    let store = open_with(
        &disk,
        StoreOptions { history_policies: Policies::new(vec![policy]), ..model::options() },
    );
    let db = model::db_of(&store);
    let tables = |db: &Db| {
        let state = db.history().unwrap().state();
        let files = state.files().map(|(part, _, file)| file.path(part).display().to_string());
        files.collect::<Vec<_>>()
    };
    db.roll_all(now).unwrap();
    assert!(tables(&db).iter().all(|path| !path.starts_with("raw")), "nothing changed of its own");
    db.history().unwrap().outdate_all().unwrap();
    db.roll_all(now).unwrap();
    let named = |tier: Tier, end_ms: i64, day: i64| {
        format!("{tier}/{}/part-{}.parquet", tier.partition(end_ms), Day::of(start + day * DAY_MS))
    };
    let paths = tables(&db);
    for tier in Tier::BY_POLICY {
        for (end_ms, day) in [(start + 1, 1), (start + DAY_MS, 1), (start + DAY_MS, 2)] {
            let path = named(tier, end_ms, day);
            assert!(paths.contains(&path), "{path} is not in {paths:?}");
        }
    }
    let history = db.history().unwrap();
    let (state, mut samples, mut five) = (history.state(), BTreeMap::new(), Vec::new());
    for (day, built) in &state.days {
        for file in &built.files {
            let opened = history.read(Day(*day), built, file).unwrap();
            let folder = |ms: i64| file.tier.partition(ms) == file.tier.partition(file.min_ts);
            if file.tier == Tier::Raw {
                let mut show = |group: Vec<nines_storage::history::SeriesSamples>| {
                    for series in group {
                        assert_eq!(series.labels, model::labels("ss"));
                        for (ts, value) in series.samples {
                            assert!(folder(ts), "lies in the folder of its date");
                            assert!(samples.insert(ts, value.to_bits()).is_none(), "twice");
                        }
                    }
                };
                opened.read_samples(&mut show).unwrap();
            } else if file.tier == Tier::FiveMinutes {
                for series in (0..opened.n_groups()).flat_map(|g| opened.read_group(g).unwrap()) {
                    assert_eq!(series.labels, model::labels("ss"));
                    assert!(series.rows.iter().all(|row| folder(row.end_ms)));
                    five.extend(series.rows);
                }
            }
        }
    }
    let mut known = Vec::new();
    for (day, built) in &state.days {
        for file in built.files.iter().filter(|file| file.tier == Tier::Series) {
            assert_eq!(file.min_ts, Day(*day).end_ms());
            known.extend(history.read(Day(*day), built, file).unwrap().read_known().unwrap());
        }
    }
    known.retain(|series| series.labels == model::labels("ss"));
    let seen: Vec<(i64, i64)> = known.iter().map(|s| (s.first_seen, s.last_seen)).collect();
    let last = start + 7 + 199 * 900_000;
    assert_eq!(
        seen,
        [
            (start + 7, start + DAY_MS),
            (start + DAY_MS + 2, start + 7 + 191 * 900_000),
            (start + 2 * DAY_MS + 7, last),
        ],
        "a stale marker is not seen"
    );
    let written: BTreeMap<i64, u64> =
        all.iter().filter(|w| w.series == "ss").map(|w| (w.ts, w.bits)).collect();
    assert_eq!(samples, written, "bit for bit");
    let mut ends: Vec<i64> = written.keys().map(|ts| Tier::FiveMinutes.end_of(*ts)).collect();
    ends.dedup();
    five.sort_by_key(|row| row.end_ms);
    assert_eq!(five.iter().map(|row| row.end_ms).collect::<Vec<_>>(), ends);
    assert_eq!(five.iter().map(|row| row.summary.count).sum::<u64>(), written.len() as u64 - 1);
    let mut found = Vec::new();
    history.verify(&mut |verified| found.push(verified.rows.unwrap()));
    assert_eq!(found.len(), tables(&db).len());
}
