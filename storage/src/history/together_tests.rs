#![allow(clippy::unwrap_used, reason = "tests")]
//! Months whose days lie together: no row is lost or seen twice, whatever fails when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::disk::sim::{Fault, SimDisk, SimRng};
use crate::model::window::Need;
use crate::model::{Labels, WindowSummary};

const DAY: Day = Day(20_422); // 2025-11-30: its window ends in December.

fn month() -> Month {
    Month::of(DAY)
}

fn open(disk: &SimDisk) -> History {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    History::open(&disk, Path::new("/history"), "anonymous").unwrap()
}

fn labels(series: u64) -> Labels {
    let name = format!("s{series}");
    Labels::from_pairs([("__name__", ["a", "b"][series as usize % 2]), ("series", &name)])
}

/// The row of a series on a day, from some samples; each day has other series.
fn row(day: Day, series: u64, version: u64) -> Option<Row> {
    let mut rng = SimRng::new(day.0 as u64 * 1000 + series * 10 + version);
    let mut row = Row::empty(day.end_ms());
    for ts in 0..rng.below(6) as i64 {
        row.push(day.start_ms() + 1 + ts * HOUR_MS, rng.below(40) as f64);
    }
    row.close();
    (!row.is_empty()).then_some(row)
}

fn build(history: &History, day: Day, version: u64) -> Result<Building> {
    let mut all: Vec<SeriesRows> = (0..12)
        .filter_map(|series| {
            Some(SeriesRows { labels: labels(series), rows: vec![row(day, series, version)?] })
        })
        .collect();
    all.sort_by(|a, b| series_order(&a.labels).cmp(&series_order(&b.labels)));
    let mut build = history.build(day);
    build.expect_series(12);
    for one in &all {
        build.add(Tier::Hour, one)?;
        build.add(Tier::Day, one)?;
    }
    build.finish()?.commit(day.0)
}

/// Days of the month, some of which have no samples; one is of the next.
fn days() -> Vec<Day> {
    let month = month();
    let days = (month.first().0..=month.last().next().0).filter(|day| day % 7 != 3);
    days.map(Day).collect()
}

fn build_all(history: &History) {
    days().iter().for_each(|day| assert_eq!(build(history, *day, 0).unwrap(), Building::Done));
}

fn put_together(history: &History) -> Result<Option<FileEntry>> {
    history.put_together(month(), 9, &mut || Ok(()))
}

type Rows = BTreeMap<(Labels, i64), Row>;

fn collect(all: &mut Rows, read: Vec<SeriesRows>) {
    for series in read {
        for row in series.rows {
            let key = (series.labels.clone(), row.end_ms);
            assert!(all.insert(key, row).is_none(), "a row is there twice");
        }
    }
}

/// All rows of days that nines reads.
fn rows(history: &History) -> Rows {
    let state = history.state();
    let mut all = Rows::new();
    for (part, revision, file) in state.files().filter(|(.., file)| file.tier == Tier::Day) {
        let opened = history.read_part(part, revision, file).unwrap();
        (0..opened.n_groups())
            .for_each(|group| collect(&mut all, opened.read_group(group).unwrap()));
    }
    all
}

fn names(disk: &SimDisk) -> Vec<PathBuf> {
    let tier = Path::new("/history/rollup_1d");
    let mut found = Vec::new();
    for folder in disk.list_dir(tier).unwrap_or_default() {
        let folder = tier.join(folder.name);
        found.extend(disk.list_dir(&folder).unwrap().iter().map(|file| folder.join(&file.name)));
    }
    found
}

/// What a glob over the folders reads; fails where it sees a row twice.
fn globbed(disk: &SimDisk) -> Rows {
    let mut all = Rows::new();
    for path in names(disk) {
        let bytes = disk.read(&path).unwrap();
        let file = FileEntry {
            tier: Tier::Day,
            bytes: bytes.len() as u64,
            crc32: crate::codec::crc32(&bytes),
            rows: 0,
            series: 0,
            min_ts: 0,
            max_ts: 0,
        };
        let opened = RowFile::open(disk.map(&path).unwrap(), &path, &file).unwrap();
        (0..opened.n_groups())
            .for_each(|group| collect(&mut all, opened.read_group(group).unwrap()));
    }
    all
}

/// What the rows should be, of days in these versions.
fn expected(version: impl Fn(Day) -> u64) -> Rows {
    let mut all = Rows::new();
    for day in days() {
        for series in 0..12 {
            if let Some(row) = row(day, series, version(day)) {
                all.insert((labels(series), day.end_ms()), row);
            }
        }
    }
    all
}

fn same(a: &Rows, b: &Rows) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.same(b.1))
}

#[test]
fn days_are_put_together_and_taken_from_there() {
    let disk = SimDisk::new();
    let history = open(&disk);
    build_all(&history);
    let before = rows(&history);
    assert!(same(&before, &expected(|_| 0)));
    let file = put_together(&history).unwrap().unwrap();
    assert!(same(&rows(&history), &before) && same(&globbed(&disk), &before));
    let december = Path::new("/history/rollup_1d/year=2025/part-2025-12.parquet");
    assert_eq!(names(&disk).iter().filter(|path| *path == december).count(), 1);
    assert_eq!(names(&disk).len(), 2, "the month and the day behind it");
    assert!(
        history.state().days.values().all(|built| (built.revision, built.outdated) == (1, false))
    );
    assert_eq!(put_together(&history).unwrap(), None, "nothing is left to do");
    // Series by series, each ascending in time.
    let state = history.state();
    let opened = history.read_part(Part::Month(month()), 1, &file).unwrap();
    let read = opened.read_group(0).unwrap();
    assert!(read.is_sorted_by(|a, b| series_order(&a.labels) < series_order(&b.labels)));
    assert!(read.iter().all(|series| series.rows.is_sorted_by_key(|row| row.end_ms)));
    assert_eq!(read.len() as u64, file.series);
    // As queries read them.
    let free = &|_: u64| Ok(());
    let kept = history.month_rows(DAY, &state, free).unwrap().unwrap();
    let (mut seen, mut series) = (Rows::new(), Vec::new());
    let mut known = |labels: &Labels| {
        series.push(labels.clone());
        Ok(())
    };
    kept.labels(&Metrics::All, free, &mut known).unwrap();
    for labels in &series {
        let days = month().first()..=month().last();
        let show = &mut |day: Day, summary: &WindowSummary, facts: RowFacts| {
            let key = (labels.clone(), facts.end_ms);
            assert_eq!(day.end_ms(), facts.end_ms);
            assert!(summary.same_but_sum(&before[&key].summary));
            seen.insert(key.clone(), before[&key].clone());
            Ok(true)
        };
        kept.rows(Sought::new(labels, &[]), days, Need::All, free, show).unwrap();
    }
    assert_eq!(seen.len() as u64, file.rows);
    drop(history);
    assert!(same(&rows(&open(&disk.kill())), &before));
}

#[test]
fn a_day_that_is_built_anew_replaces_its_rows() {
    let disk = SimDisk::new();
    let history = open(&disk);
    build_all(&history);
    put_together(&history).unwrap();
    let changed = [days()[0], days()[5], days()[9]];
    for (n, day) in changed.iter().enumerate() {
        history.samples_change(day.range()).unwrap();
        assert_eq!(build(&history, *day, 1).unwrap(), Building::Done);
        let now = expected(|day| u64::from(changed[..=n].contains(&day)));
        assert!(same(&rows(&history), &now) && same(&globbed(&disk), &now));
        assert_eq!(history.state().months[&month().0].revision, n as u32 + 2);
        assert_eq!(history.state().days[&day.0].revision, 2);
    }
    assert_eq!(disk.list_dir(Path::new("/history/_nines/staging")).unwrap().len(), 0);
    // A day that had no samples, and one that has none any more.
    history.build(days()[1]).finish().unwrap().commit(0).unwrap();
    let gone = days()[1].end_ms();
    let mut now = expected(|day| u64::from(changed.contains(&day)));
    now.retain(|key, _| key.1 != gone);
    let new = Day(days()[0].0 - days()[0].0.rem_euclid(7) + 10);
    assert!(!days().contains(&new) && Month::of(new) == month());
    build(&history, new, 0).unwrap();
    (0..12).for_each(|series| {
        now.extend(row(new, series, 0).map(|row| ((labels(series), new.end_ms()), row)));
    });
    assert!(same(&rows(&history), &now) && same(&globbed(&disk), &now));
    assert!(same(&rows(&open(&disk.kill())), &now));
    // Nothing is left of all.
    for day in days().iter().chain([&new]) {
        history.build(*day).finish().unwrap().commit(0).unwrap();
    }
    assert_eq!((rows(&history).len(), names(&disk).len()), (0, 0));
}

#[test]
fn the_last_floats_of_a_day_come_from_its_month() {
    let history = open(&SimDisk::new());
    build_all(&history);
    put_together(&history).unwrap();
    let day = days()[6];
    history.raw_is_gone(day);
    let mut lasts = history.lasts_of(day).unwrap().unwrap();
    let mut wanted: Vec<u64> = (0..12).collect();
    wanted.sort_by(|a, b| series_order(&labels(*a)).cmp(&series_order(&labels(*b))));
    let mut found = 0;
    for series in wanted {
        let last = lasts.find(&labels(series)).unwrap();
        assert_eq!(last, row(day, series, 0).map(|row| row.summary.last));
        found += u32::from(last.is_some());
    }
    assert!(found > 5);
}

#[test]
fn a_month_that_is_lost_is_taken_apart() {
    for damage in [false, true] {
        let disk = SimDisk::new();
        let history = open(&disk);
        build_all(&history);
        put_together(&history).unwrap();
        let path = Path::new("/history/rollup_1d/year=2025/part-2025-12.parquet");
        let history = if damage {
            assert!(disk.flip(path, 40, 1));
            history
        } else {
            disk.remove_file(path).unwrap();
            open(&disk)
        };
        let outdated = |history: &History| {
            history.state().days.values().filter(|built| built.outdated).count()
        };
        assert_eq!(outdated(&history), if damage { 0 } else { days().len() - 1 });
        build(&history, days()[2], 0).unwrap();
        assert_eq!(outdated(&history), days().len() - 2, "all but it and that of the next month");
        drop(history);
        let disk = disk.kill();
        let history = open(&disk);
        assert_eq!(outdated(&history), days().len() - 2);
        build_all(&history);
        assert!(same(&rows(&history), &expected(|_| 0)));
        put_together(&history).unwrap();
        assert_eq!(history.state().months[&month().0].revision, 3);
        assert!(same(&rows(&history), &expected(|_| 0)));
        // Rows that cannot be built any more are not given up.
        history.raw_is_gone(days()[0]);
        assert!(disk.flip(path, 40, 1));
        assert!(matches!(build(&history, days()[2], 0), Err(Error::Corrupt(_))));
    }
}

/// Whatever fails at which point, the rows are all there once, for nines after a restart and for a glob at most
/// once at any time.
#[test]
fn a_failure_at_any_point_loses_and_doubles_nothing() {
    let prepared = SimDisk::new();
    build_all(&open(&prepared));
    let together = prepared.kill();
    put_together(&open(&together)).unwrap();
    let lost = together.kill();
    let path = Path::new("/history/rollup_1d/year=2025/part-2025-12.parquet");
    assert!(lost.flip(path, 40, 1));
    let rebuilt = days()[4];
    let mut failures = 0;
    for (disk, put) in [(&prepared, true), (&together, false), (&lost, false)] {
        let apart = std::ptr::eq(disk, &lost);
        for op in (1..).step_by(if apart { 5 } else { 1 }) {
            let (tried, lasting) = (disk.kill(), op % 3 > 0);
            let history = open(&tried);
            tried.fail_from_op(tried.ops() + op, Fault::Eio, lasting);
            let done = if put {
                put_together(&history).map(drop)
            } else {
                build(&history, rebuilt, 1).map(drop)
            };
            drop(history);
            tried.stop_failing();
            let versions = [0, u64::from(!put)];
            let fits = |found: &Rows| {
                versions.iter().any(|v| same(found, &expected(|day| u64::from(day == rebuilt) * v)))
            };
            let crashed = if op % 4 == 0 { tried.kill() } else { tried.crash(op) };
            for disk in [&tried, &crashed] {
                let found = names(disk);
                let both = found.iter().any(|name| name == path) && found.len() > 2;
                assert!(!both, "op {op}: {found:?}");
            }
            if !apart {
                globbed(&tried);
                globbed(&crashed);
                let history = open(&crashed);
                assert!(fits(&rows(&history)), "op {op}");
                assert!(same(&globbed(&crashed), &rows(&history)), "op {op}");
            }
            let history = open(&crashed);
            // The next try goes through.
            if put {
                put_together(&history).unwrap();
            } else {
                build(&history, rebuilt, 1).unwrap();
            }
            if apart {
                for day in days().into_iter().filter(|day| *day != rebuilt) {
                    assert_eq!(build(&history, day, 0).unwrap(), Building::Done);
                }
            }
            let now = expected(|day| u64::from(day == rebuilt && !put));
            assert!(same(&rows(&history), &now), "op {op}");
            assert!(same(&globbed(&crashed), &now), "op {op}");
            if done.is_ok() && lasting {
                break;
            }
            failures += u64::from(done.is_err());
        }
    }
    assert!(failures > 100, "{failures}");
}

/// A cache holds what fits, of all histories together.
#[test]
fn histories_share_a_cache_that_follows_its_limit() {
    let cache = RowCache::new(u64::MAX);
    let disks = [SimDisk::new(), SimDisk::new()];
    let histories: Vec<History> = disks
        .iter()
        .map(|disk| {
            let disk: Arc<dyn Disk> = Arc::new(disk.clone());
            let dir = Path::new("/history");
            History::open_sharing(&disk, dir, "anonymous", Arc::clone(&cache)).unwrap()
        })
        .collect();
    histories.iter().for_each(build_all);
    let read = |history: &History, day: Day| {
        let free = &|_: u64| Ok(());
        let rows = history.rows(day, &history.state(), free).unwrap().unwrap();
        let mut any = None;
        let mut first = |labels: &Labels| {
            any.get_or_insert_with(|| labels.clone());
            Ok(())
        };
        rows.labels(&Metrics::All, free, &mut first).unwrap();
        let (labels, mut n) = (any.unwrap(), 0);
        let mut count = |_: &WindowSummary, _| {
            n += 1;
            Ok(())
        };
        rows.day_row(Sought::new(&labels, &[]), Need::All, free, &mut count).unwrap();
        assert_eq!(n, 1);
    };
    days().iter().for_each(|day| histories.iter().for_each(|history| read(history, *day)));
    let all = cache.bytes();
    cache.set_bytes_max(all / 2);
    assert!(0 < cache.bytes() && cache.bytes() <= all / 2, "{} of {all}", cache.bytes());
    cache.set_bytes_max(0);
    assert_eq!(cache.bytes(), 0);
    cache.set_bytes_max(u64::MAX);
    days().iter().for_each(|day| read(&histories[0], *day));
    drop(histories);
    assert_eq!(cache.bytes(), 0, "a history that is closed holds nothing");
}
