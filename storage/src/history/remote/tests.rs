#![allow(clippy::unwrap_used, reason = "tests")]
//! Publishing to a store that refuses and loses answers, from a disk that loses power; taking it back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::chain;
use super::document::{FileOf, listed};
use super::objects::{Keys, Objects};
use super::sim::{Fate, SimObjects};
use super::*;
use crate::codec::crc32;
use crate::disk::Disk;
use crate::disk::sim::{SimDisk, SimRng};
use crate::error::{Error, Result};
use crate::history::{
    Building, CHECKPOINT_COMMITS, Day, FileEntry, Going, History, Keep, Month, Part, Row,
    SeriesRows, State, TRASH_MS, Tier,
};
use crate::model::{DAY_MS, Labels, Matcher, TimeRange};

/// 2025-11-30: its last hour lies in the folder of December.
const DAY: i64 = 20_422;
const TENANT: &str = "anonymous";

fn open_alone(disk: &SimDisk) -> History {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    History::open(&disk, Path::new("/history"), TENANT).unwrap()
}

fn open(disk: &SimDisk, store: &SimObjects) -> History {
    let history = open_alone(disk);
    history.connect(Arc::new(store.clone()), None);
    history
}

fn series(day: Day, tier: Tier, value: f64) -> SeriesRows {
    let ends = (1..).map(|i| day.start_ms() + i * tier.window_ms());
    let row = |end_ms: i64| {
        let mut row = Row::empty(end_ms);
        row.push(end_ms - 1, value);
        row.close();
        row
    };
    SeriesRows {
        labels: Labels::from_pairs([("__name__", "up"), ("job", "a")]),
        rows: ends.take_while(|end| *end <= day.end_ms()).map(row).collect(),
    }
}

fn build(history: &History, day: i64, value: f64, now_ms: i64) -> Result<Building> {
    let mut build = history.build(Day(day));
    for tier in Tier::OF_ALL_SERIES {
        build.add(tier, &series(Day(day), tier, value))?;
    }
    build.finish()?.commit(now_ms)
}

fn publish(history: &History, now_ms: i64) -> Result<Published> {
    history.publish(now_ms, &mut || Ok(()))
}

/// Values of a file.
type Values = (Tier, Vec<u64>);

fn values(history: &History, part: Part, revision: u32, file: &FileEntry) -> Values {
    let opened = history.read_part(part, revision, file).unwrap();
    let groups = (0..opened.n_groups()).map(|group| opened.read_group(group).unwrap());
    let rows = groups.flatten().flat_map(|series| series.rows);
    (file.tier, rows.map(|row| row.summary.last.to_bits()).collect())
}

/// What the files of a state hold, those of months too.
fn rows(history: &History) -> BTreeMap<String, Values> {
    let of = |file: &FileOf| values(history, file.part, file.revision, &file.entry);
    listed(&history.state()).iter().map(|(path, file)| (path.clone(), of(file))).collect()
}

/// The days of a state, whether they are outdated, and what their files hold.
fn content(history: &History) -> BTreeMap<i64, (bool, Vec<Values>)> {
    let state = history.state();
    let mut days = BTreeMap::new();
    for (day, built) in &state.days {
        let mut files = Vec::new();
        for file in &built.files {
            files.push(values(history, Part::Day(Day(*day)), built.revision, file));
        }
        days.insert(*day, (built.outdated, files));
    }
    days
}

/// What a reader of the store alone sees: the state, every file of it whole.
fn read_store(store: &SimObjects) -> Option<State> {
    let keys = Keys::of(TENANT);
    let chain = chain::read(store, &keys).unwrap()?;
    let objects = store.all();
    for (path, file) in listed(&chain.state) {
        let places = [keys.staged(&path, file.entry.crc32), keys.file(&path)];
        let whole = |key| {
            objects.get(key).is_some_and(|bytes: &Vec<u8>| {
                bytes.len() as u64 == file.entry.bytes && crc32(bytes) == file.entry.crc32
            })
        };
        assert!(places.iter().any(whole), "{path} is not what commit {} tells", chain.place);
    }
    Some(chain.state)
}

/// What a glob over the folders of the tiers finds.
fn glob(store: &SimObjects) -> BTreeMap<String, Vec<u8>> {
    let folder = format!("{TENANT}/rollup_");
    store.all().into_iter().filter(|(key, _)| key.starts_with(&folder)).collect()
}

/// The store holds what the data directory does, each file in its place and nothing else.
fn assert_same(history: &History, store: &SimObjects, context: &str) {
    let state = history.state();
    assert_eq!(read_store(store).unwrap(), *state, "{context}");
    let found: BTreeMap<String, u32> =
        glob(store).into_iter().map(|(key, bytes)| (key, crc32(&bytes))).collect();
    let keys = Keys::of(TENANT);
    let wanted: BTreeMap<String, u32> =
        listed(&state).iter().map(|(path, file)| (keys.file(path), file.entry.crc32)).collect();
    assert_eq!(found, wanted, "{context}");
    assert!(store.list(&keys.staging(), None).unwrap().is_empty(), "{context}");
}

#[test]
fn commits_go_to_the_store_and_come_back_to_an_empty_directory() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    build(&history, DAY + 1, 2.0, 0).unwrap();
    let done = publish(&history, 0).unwrap();
    assert_eq!((done.number, done.files), (2, 5), "the hours of the last day of a month: two");
    assert_same(&history, &store, "two days at once");
    let requests = store.requests();
    publish(&history, 0).unwrap();
    assert_eq!(store.requests(), requests, "nothing new, no request");
    build(&history, DAY, 3.0, 0).unwrap();
    let stats = history.remote_stats().unwrap();
    assert_eq!((stats.published, stats.behind_commits), (2, 1));
    publish(&history, 0).unwrap();
    assert_same(&history, &store, "another revision");
    assert_eq!(history.remote_stats().unwrap().behind_commits, 0);

    let empty = SimDisk::new();
    let taken = open(&empty, &store);
    assert!(!taken.is_settled(), "no day is built before it is known what the store holds");
    assert_eq!(publish(&taken, 0).unwrap().days_taken, 2);
    assert!(taken.is_settled());
    assert_eq!(content(&taken), content(&history));
    assert!(!taken.state().has_raw(Day(DAY + 1)), "samples are not in the store");
    taken.verify(&mut |verified| assert!(verified.rows.is_ok(), "{verified:?}"));
    // It goes on where the other one ended, after a restart too.
    drop(taken);
    let taken = open(&empty.kill(), &store);
    assert_eq!(content(&taken), content(&history));
    build(&taken, DAY + 2, 4.0, 0).unwrap();
    publish(&taken, 0).unwrap();
    assert_same(&taken, &store, "after the restore");
    // The one that was thought to be lost sees that and writes nothing more.
    let before = store.all();
    build(&history, DAY + 2, 5.0, 0).unwrap();
    for _ in 0..2 {
        let error = publish(&history, 0).unwrap_err();
        assert!(error.to_string().contains("another nines"), "{error}");
    }
    assert!(history.remote_stats().unwrap().stopped);
    assert_eq!(store.all(), before);
}

#[test]
fn what_is_superseded_is_kept_for_a_while() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    let first = glob(&store);
    build(&history, DAY, 2.0, 0).unwrap();
    publish(&history, 5000).unwrap();
    let trash = || -> Vec<Vec<u8>> {
        let all = store.all().into_iter();
        all.filter(|(key, _)| key.contains("/_trash/")).map(|(_, bytes)| bytes).collect()
    };
    assert_eq!(trash(), first.into_values().collect::<Vec<_>>());
    publish(&history, 5000 + TRASH_MS - 1).unwrap();
    assert_eq!(trash().len(), 3);
    publish(&history, 5000 + 2 * TRASH_MS).unwrap();
    assert_eq!(trash().len(), 0);
}

/// Rows that go by their age go from the store as well, after a while; what an empty directory takes lacks them too.
#[test]
fn what_goes_by_its_age_goes_from_the_store() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    let month = Month::of(Day(DAY));
    for day in month.first().0..=month.last().0 {
        build(&history, day, 1.0, 0).unwrap();
    }
    history.put_together(month, 0, &mut || Ok(())).unwrap();
    build(&history, month.last().next().0, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    assert_same(&history, &store, "before");
    let before = glob(&store);
    let now = Day(DAY + 2).end_ms() + 10 * DAY_MS;
    let keeps = [Keep {
        series: Some(vec![vec![Matcher::equal("job", "a")]]),
        ages: [(Tier::Hour, Some(10 * DAY_MS)), (Tier::Day, Some(50 * DAY_MS))].into(),
    }];
    let forget = |now: i64| {
        for day in month.first().0..=month.last().0 {
            history
                .forget_day(Day(day), &Going::of(&keeps, Day(day), now), now, &mut || Ok(()))
                .unwrap();
        }
        let going = Going::of(&keeps, month.first(), now);
        history.forget_month(month, &going, now, &mut || Ok(())).unwrap();
    };
    forget(now);
    assert_eq!(glob(&store), before, "not before it is published");
    publish(&history, now).unwrap();
    assert_same(&history, &store, "hours of three days");
    let gone = |prefix: &str| {
        before.keys().filter(|key| key.contains(prefix) && !glob(&store).contains_key(*key)).count()
    };
    assert_eq!(
        (gone("rollup_1h"), gone("rollup_1d")),
        (4, 0),
        "those of a last day of a month: two"
    );
    let trash = || store.all().keys().filter(|key| key.contains("/_trash/")).count();
    assert_eq!(trash(), 4);
    publish(&history, now + TRASH_MS).unwrap();
    assert_eq!(trash(), 0);
    let later = month.last().end_ms() + 50 * DAY_MS;
    forget(later);
    publish(&history, later).unwrap();
    assert_same(&history, &store, "a month");
    assert_eq!(gone("rollup_1d"), 1);
    let taken = open(&SimDisk::new(), &store);
    publish(&taken, later).unwrap();
    assert_eq!(content(&taken), content(&history));
    assert!(taken.state().days.values().filter(|built| built.is_cut(Tier::Day)).count() > 27);
    taken.verify(&mut |verified| assert!(verified.rows.is_ok(), "{verified:?}"));
}

#[test]
fn the_store_keeps_few_commits_and_a_state() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    for i in 0..200 {
        build(&history, DAY + i % 3, i as f64, 0).unwrap();
        publish(&history, 0).unwrap();
    }
    assert_same(&history, &store, "after 200 commits");
    let commits = store.list(&Keys::of(TENANT).commits(), None).unwrap().len() as u64;
    assert!(commits <= 2 * STATE_EVERY, "{commits} commits");
    // What a checkpoint has taken the place of is published by the state.
    for i in 0..CHECKPOINT_COMMITS as i64 + 5 {
        build(&history, DAY + i % 5, 0.5 * i as f64, 0).unwrap();
    }
    publish(&history, 0).unwrap();
    assert_same(&history, &store, "after many at once");
}

#[test]
fn an_answer_that_was_lost_is_asked_for_again() {
    for (restart, theirs) in [(false, false), (true, false), (true, true)] {
        let (disk, store) = (SimDisk::new(), SimObjects::default());
        let mut history = open(&disk, &store);
        build(&history, DAY, 1.0, 0).unwrap();
        publish(&history, 0).unwrap();
        history.samples_change(TimeRange::new(Day(DAY).end_ms(), Day(DAY).end_ms())).unwrap();
        // The list of others' commits is answered, the commit's own answer is lost.
        let begun = store.requests();
        store.plan(move |request| if request > begun + 1 { Fate::Lost } else { Fate::Answered });
        publish(&history, 0).unwrap_err();
        store.answer();
        let key = Keys::of(TENANT).commit(2);
        assert!(store.all().contains_key(&key), "it came there");
        if restart {
            history = open(&disk.kill(), &store);
        }
        // More has happened since: what is tried again is the very same commit.
        build(&history, DAY + 1, 2.0, 0).unwrap();
        if theirs {
            let there = store.all().remove(&key).unwrap();
            store.set(&key, Some([&there[..], b" "].concat()));
            let before = store.all();
            let error = publish(&history, 0).unwrap_err();
            assert!(error.to_string().contains("another nines"), "{error}");
            assert_eq!(store.all(), before);
            continue;
        }
        publish(&history, 0).unwrap();
        assert_same(&history, &store, "after the lost answer");
        assert!(store.all().contains_key(&Keys::of(TENANT).commit(3)), "one after the other");
    }
}

#[test]
fn a_store_with_anothers_history_is_left_alone() {
    let store = SimObjects::default();
    let (one, other) = (SimDisk::new(), SimDisk::new());
    let history = open(&one, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    let before = store.all();
    let alone = open(&other, &store);
    build(&alone, DAY, 2.0, 0).unwrap();
    let error = publish(&alone, 0).unwrap_err();
    assert!(error.to_string().contains("another data directory"), "{error}");
    assert_eq!(store.all(), before);
}

#[test]
fn an_emptied_store_is_filled_again_while_the_files_are_here() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    drop(history);
    let moved = SimObjects::default();
    let history = open(&disk, &moved);
    publish(&history, 0).unwrap();
    assert_same(&history, &moved, "another store");
    // A directory that has its files in the first one only cannot do that.
    let empty = SimDisk::new();
    publish(&open(&empty, &store), 0).unwrap();
    let error = publish(&open(&empty, &SimObjects::default()), 0).unwrap_err();
    assert!(error.to_string().contains("was there only"), "{error}");
}

#[test]
fn a_damaged_object_is_never_taken_for_a_file() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    let (key, mut bytes) = glob(&store).into_iter().next().unwrap();
    let whole = bytes.clone();
    bytes[40] ^= 1;
    store.set(&key, Some(bytes));
    let taken = open(&SimDisk::new(), &store);
    publish(&taken, 0).unwrap();
    let wrong = |history: &History| {
        let mut wrong = Vec::new();
        history.verify(&mut |verified| wrong.extend(verified.rows.err()));
        wrong
    };
    let found = wrong(&taken);
    assert!(matches!(found[..], [Error::Corrupt(_)]), "{found:?}");
    store.set(&key, Some(whole));
    assert!(wrong(&taken).is_empty(), "right as soon as the object is");
}

#[test]
fn a_file_that_is_gone_here_comes_from_the_store() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    build(&history, DAY, 1.0, 0).unwrap();
    publish(&history, 0).unwrap();
    let all = content(&history);
    drop(history);
    let folder = Path::new("/history/rollup_1d/year=2025");
    let file = folder.join(&disk.list_dir(folder).unwrap()[0].name);
    disk.remove_file(&file).unwrap();
    // Without the store: known not to be lost.
    let alone = open_alone(&disk);
    assert!(!alone.state().days[&DAY].outdated);
    let mut wrong = Vec::new();
    alone.verify(&mut |verified| wrong.extend(verified.rows.err()));
    assert_eq!(wrong.len(), 1);
    drop(alone);
    let history = open(&disk, &store);
    assert_eq!(content(&history), all);
    assert!(disk.exists(&file).unwrap(), "and stays");
}

#[test]
fn the_oldest_days_leave_the_disk_when_the_store_has_them() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open_alone(&disk);
    for day in 0..4 {
        build(&history, DAY + day, day as f64, 0).unwrap();
    }
    let bytes =
        |day: i64| -> u64 { history.state().days[&day].files.iter().map(|f| f.bytes).sum() };
    let all = content(&history);
    history.connect(Arc::new(store.clone()), Some(bytes(DAY + 2) + bytes(DAY + 3)));
    store.plan(|_| Fate::Refused);
    publish(&history, 0).unwrap_err();
    let here = |history: &History| -> Vec<i64> {
        let state = history.state();
        let there = |(day, built): &(&i64, &crate::history::DayState)| {
            let (part, revision) = (Part::Day(Day(**day)), built.revision);
            built.files.iter().all(|f| history.files.is_there(part, revision, f).unwrap())
        };
        state.days.iter().filter(there).map(|(day, _)| day - DAY).collect()
    };
    assert_eq!(here(&history), [0, 1, 2, 3], "the only copy stays");
    store.answer();
    publish(&history, 0).unwrap();
    assert_eq!(here(&history), [2, 3]);
    assert_eq!(content(&history), all, "read all the same");
    assert_eq!(here(&history), [0, 1, 2, 3]);
    // A newer revision that is not in the store yet is not touched.
    build(&history, DAY, 9.0, 0).unwrap();
    history.shed(0).unwrap();
    assert_eq!(here(&history), [0]);
    publish(&history, 0).unwrap();
    assert_same(&history, &store, "after the files went");
    drop(history);
    let again = open(&disk.kill(), &store);
    assert!(again.state().days.values().all(|built| !built.outdated), "none is missed");
    assert_eq!(content(&again).len(), 4);
}

#[test]
fn a_month_put_together_goes_to_the_store_and_comes_back() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    for day in 0..4 {
        build(&history, DAY + day, day as f64, 0).unwrap();
    }
    publish(&history, 0).unwrap();
    let month = Month::of(Day(DAY));
    let put = || history.put_together(month, 0, &mut || Ok(())).unwrap();
    assert_eq!(put().unwrap().rows, 4);
    assert_eq!(publish(&history, 0).unwrap().files, 1, "the file of the month alone");
    assert_same(&history, &store, "the days have no file any more");
    let path = "rollup_1d/year=2025/part-2025-12.parquet";
    assert_eq!(rows(&history)[path].1, [0.0f64, 1.0, 2.0, 3.0].map(f64::to_bits));
    // One that the store has is not lost: it goes for its size, and comes for a day that is built anew.
    let here = Path::new("/history").join(path);
    history.shed(0).unwrap();
    assert!(!disk.exists(&here).unwrap());
    drop(history);
    let history = open(&disk.kill(), &store);
    assert!(history.state().days.values().all(|built| !built.outdated));
    build(&history, DAY + 2, 9.0, 0).unwrap();
    publish(&history, 0).unwrap();
    assert_same(&history, &store, "a day of it built anew");
    let all = rows(&history);
    assert_eq!(all[path].1, [0.0f64, 1.0, 9.0, 3.0].map(f64::to_bits));

    let empty = SimDisk::new();
    let taken = open(&empty, &store);
    assert_eq!(publish(&taken, 0).unwrap().days_taken, 4);
    assert_eq!(rows(&taken), all);
    assert_same(&taken, &store, "taken back");
}

#[test]
fn what_was_superseded_while_it_came_is_given_no_name() {
    let (disk, store) = (SimDisk::new(), SimObjects::default());
    let history = open(&disk, &store);
    for day in 0..2 {
        build(&history, DAY + day, 1.0, 0).unwrap();
    }
    publish(&history, 0).unwrap();
    let before = history.state();
    history.put_together(Month::of(Day(DAY)), 0, &mut || Ok(())).unwrap().unwrap();
    // Who began before reads the file of the day, which the store still holds.
    let built = &before.days[&DAY];
    assert!(history.read(Day(DAY), built, built.day_file().unwrap()).is_err());
    let names = disk.list_dir(Path::new("/history/rollup_1d/year=2025")).unwrap();
    assert_eq!(names.len(), 1, "its rows are in that of the month");
}

/// Whatever is refused, lost or goes dark when: a reader of the store sees whole commits at every moment, and in
/// the end the store holds what the data directory does.
#[test]
fn no_fault_loses_or_doubles_anything() {
    let (mut failed, mut cuts, mut changes) = (0, 0, 0);
    for seed in 0..60 {
        let mut rng = SimRng::new(seed * 97 + 13);
        let (mut disk, store) = (SimDisk::new(), SimObjects::default());
        for life in 0..5u32 {
            store.trouble(seed * 100 + u64::from(life), 6 + rng.below(30));
            let history = open(&disk, &store);
            if rng.chance(50) {
                disk.fail_from_op(
                    disk.ops() + 1 + rng.below(400),
                    crate::disk::sim::Fault::Eio,
                    true,
                );
            }
            for step in 0..rng.below(6) {
                let day = DAY + rng.below(3) as i64;
                let value = f64::from(life * 10 + step as u32);
                let _ = build(&history, day, value, 1000);
                if rng.chance(30) {
                    let at = Day(DAY + rng.below(3) as i64).end_ms();
                    let _ = history.samples_change(TimeRange::new(at, at));
                }
                if rng.chance(30) {
                    let _ = history.put_together(Month::of(Day(DAY)), 1000, &mut || Ok(()));
                }
                for _ in 0..rng.below(4) {
                    match publish(&history, i64::from(life) * 1_000_000) {
                        Err(Error::Invalid { what }) => panic!("seed {seed} life {life}: {what}"),
                        Err(_) => failed += 1,
                        Ok(_) => {}
                    }
                }
            }
            drop(history);
            cuts += 1;
            disk = if rng.chance(30) { disk.kill() } else { disk.crash(rng.next_u64()) };
            disk.stop_failing();
        }
        store.answer();
        let history = open(&disk, &store);
        build(&history, DAY, 1000.0, 1000).unwrap();
        publish(&history, 2 * DAY_MS).unwrap();
        assert_same(&history, &store, &format!("seed {seed}"));
        let taken = open(&SimDisk::new(), &store);
        publish(&taken, 0).unwrap();
        assert_eq!(rows(&taken), rows(&history), "seed {seed}");
        // The store as it was after each change.
        let replayed = SimObjects::default();
        for (key, bytes) in store.changes() {
            replayed.set(&key, bytes);
            read_store(&replayed);
            changes += 1;
        }
    }
    assert!(failed > 200 && cuts > 200 && changes > 2000, "{failed} {cuts} {changes}");
}
