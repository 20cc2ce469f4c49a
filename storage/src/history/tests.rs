#![allow(clippy::unwrap_used, reason = "tests")]
//! Rows through files and back; commits under power cuts.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::disk::sim::{Fault, SimDisk, SimRng};
use crate::model::{DAY_MS, Labels, STALE_NAN_BITS, WindowSummary};

const DAY: Day = Day(20_422); // 2025-11-30: its last window ends in December.

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0u32..20).prop_map(f64::from),
        2 => any::<f64>(),
        1 => Just(-0.0),
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::from_bits(0x7ff8_0000_dead_beef)),
        1 => Just(f64::INFINITY),
        2 => Just(f64::from_bits(STALE_NAN_BITS)),
    ]
}

/// A row of the window that ends `window` hours after the day's beginning.
fn row(tier: Tier, window: i64) -> impl Strategy<Value = Row> {
    let end_ms = DAY.start_ms() + window * tier.window_ms();
    let offsets = prop::collection::btree_map(1..=tier.window_ms(), value(), 0..12);
    (offsets, prop::option::of(any::<f64>()), any::<bool>(), 0u64..3).prop_map(
        move |(samples, inc, whole, n_histograms)| {
            let start_ms = end_ms - tier.window_ms();
            let ts: Vec<i64> = samples.keys().map(|offset| start_ms + offset).collect();
            let values: Vec<f64> = samples.values().copied().collect();
            let summary = WindowSummary::of(&ts, &values);
            let mut row = Row { end_ms, summary, inc, reset_sum: None, whole, n_histograms };
            row.close();
            row
        },
    )
}

fn series(name: &'static str) -> impl Strategy<Value = Vec<SeriesRows>> {
    let labels = prop::collection::btree_map("(job|instance|pod|le)", "[a-c\u{e9}]{0,2}", 0..4);
    let rows = (row(Tier::Hour, 1), row(Tier::Hour, 5), row(Tier::Hour, 24));
    prop::collection::vec((labels, rows), 1..5).prop_map(move |all| {
        let mut all: Vec<SeriesRows> = all
            .into_iter()
            .map(|(labels, rows)| {
                let pairs = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
                let labels = Labels::from_pairs(pairs.chain([("__name__", name)]));
                SeriesRows { labels, rows: vec![rows.0, rows.1, rows.2] }
            })
            .collect();
        all.sort_by_key(|series| (series_id(&series.labels), series.labels.clone()));
        all.dedup_by(|a, b| a.labels == b.labels);
        all
    })
}

fn same(a: &[SeriesRows], b: &[SeriesRows]) -> bool {
    let rows = |a: &SeriesRows, b: &SeriesRows| {
        a.rows.len() == b.rows.len() && a.rows.iter().zip(&b.rows).all(|(a, b)| a.same(b))
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.labels == b.labels && rows(a, b))
}

/// All rows of the files of one tier, series by series.
fn read_tier(history: &History, tier: Tier) -> Vec<SeriesRows> {
    let state = history.state();
    let mut all: Vec<SeriesRows> = Vec::new();
    for (part, revision, file) in state.files().filter(|(.., file)| file.tier == tier) {
        let opened = history.read_part(part, revision, file).unwrap();
        for group in 0..opened.n_groups() {
            for series in opened.read_group(group).unwrap() {
                match all.iter_mut().find(|known| known.labels == series.labels) {
                    Some(known) => known.rows.extend(series.rows),
                    None => all.push(series),
                }
            }
        }
    }
    for series in &mut all {
        series.rows.sort_by_key(|row| row.end_ms);
    }
    all
}

fn open(disk: &SimDisk) -> History {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    History::open(&disk, Path::new("/history"), "anonymous").unwrap()
}

fn build(history: &History, day: Day, series: &[SeriesRows], now_ms: i64) -> Result<Building> {
    let mut build = history.build(day);
    build.expect_series(series.len() as u64);
    for one in series {
        build.add(Tier::Hour, one)?;
    }
    build.finish()?.commit(now_ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_come_back_bit_for_bit(mut first in series("a"), second in series("b")) {
        first.extend(second);
        let disk = SimDisk::new();
        let history = open(&disk);
        prop_assert_eq!(build(&history, DAY, &first, 0).unwrap(), Building::Done);
        let files = history.state().days[&DAY.0].files.clone();
        prop_assert_eq!(files.len(), 2, "the last window ends in another month");
        let mut read = read_tier(&history, Tier::Hour);
        read.sort_by_key(|s| (s.labels.metric_name().to_owned(), series_id(&s.labels)));
        prop_assert!(same(&read, &first), "{read:?}\n{first:?}");
        let mut found = Vec::new();
        history.verify(&mut |verified| found.push(verified.rows.unwrap()));
        prop_assert_eq!(found.iter().sum::<u64>(), first.len() as u64 * 3);
    }

    /// Rows merge to what the samples say.
    #[test]
    fn decoded_rows_merge_to_the_summary_of_the_samples(
        offsets in prop::collection::btree_map(1..=DAY_MS, value(), 1..60),
    ) {
        let ts: Vec<i64> = offsets.keys().map(|offset| DAY.start_ms() + offset).collect();
        let values: Vec<f64> = offsets.values().copied().collect();
        let mut rows: Vec<Row> = Vec::new();
        for (ts, value) in ts.iter().zip(&values) {
            let end_ms = Tier::Hour.end_of(*ts);
            if rows.last().is_none_or(|row| row.end_ms != end_ms) {
                rows.push(Row::empty(end_ms));
            }
            rows.last_mut().unwrap().push(*ts, *value);
        }
        rows.iter_mut().for_each(Row::close);
        let labels = Labels::from_pairs([("__name__", "m")]);
        let disk = SimDisk::new();
        let history = open(&disk);
        build(&history, DAY, &[SeriesRows { labels, rows }], 0).unwrap();
        let mut merged = WindowSummary::default();
        let read = read_tier(&history, Tier::Hour);
        read[0].rows.iter().for_each(|row| merged.merge(&row.summary));
        prop_assert!(merged.same_but_sum(&WindowSummary::of(&ts, &values)));
    }
}

#[test]
fn a_row_of_many_resets_tells_their_number_alone() {
    let end_ms = DAY.start_ms() + HOUR_MS;
    for (n, told) in [(RESETS_TOLD_MAX, true), (RESETS_TOLD_MAX + 1, false)] {
        let ts: Vec<i64> = (0..=n as i64).map(|i| end_ms - 1000 + i).collect();
        let values: Vec<f64> = (0..=n).rev().map(|i| i as f64).collect();
        let mut row = Row { summary: WindowSummary::of(&ts, &values), ..Row::empty(end_ms) };
        row.close();
        let labels = Labels::from_pairs([("__name__", "gauge")]);
        let history = open(&SimDisk::new());
        build(&history, DAY, &[SeriesRows { labels, rows: vec![row.clone()] }], 0).unwrap();
        let read = read_tier(&history, Tier::Hour).remove(0).rows.remove(0);
        assert_eq!((read.summary.resets(), read.summary.pre_resets.are_told()), (n as u64, told));
        assert!(read.same(&row));
        assert_eq!(read.reset_sum, Some((1..=n).map(|i| i as f64).sum()));
    }
}

fn one_series(value: f64) -> Vec<SeriesRows> {
    let row = |hour: i64| {
        let end_ms = DAY.start_ms() + hour * HOUR_MS;
        let mut row = Row::empty(end_ms);
        row.summary.push(end_ms - 1, value);
        row
    };
    vec![SeriesRows {
        labels: Labels::from_pairs([("__name__", "up"), ("job", "a")]),
        rows: (1..=24).map(row).collect(),
    }]
}

fn one_day(value: f64) -> SeriesRows {
    let mut row = Row::empty(DAY.end_ms());
    row.push(DAY.end_ms() - 1, value);
    SeriesRows { rows: vec![row], ..one_series(value).remove(0) }
}

fn first_value(history: &History) -> Option<f64> {
    let all = read_tier(history, Tier::Hour);
    let values: Vec<f64> = all.first()?.rows.iter().map(|row| row.summary.last).collect();
    assert_eq!(values.len(), 24, "every row once");
    assert!(values.iter().all(|value| *value == values[0]), "of one revision: {values:?}");
    Some(values[0])
}

/// What a glob finds: the files in the folders of the tier.
fn glob(disk: &SimDisk) -> Vec<std::path::PathBuf> {
    let tier = Path::new("/history/rollup_1h");
    let mut found = Vec::new();
    for folder in disk.list_dir(tier).unwrap_or_default() {
        let folder = tier.join(folder.name);
        found.extend(disk.list_dir(&folder).unwrap().iter().map(|file| folder.join(&file.name)));
    }
    found
}

#[test]
fn a_revision_takes_the_place_of_the_one_before() {
    let disk = SimDisk::new();
    let history = open(&disk);
    build(&history, DAY, &one_series(1.0), 1000).unwrap();
    let placed = glob(&disk);
    assert_eq!(placed.len(), 2);
    build(&history, DAY, &one_series(2.0), 5000).unwrap();
    assert_eq!(glob(&disk), placed, "under the same names");
    assert_eq!(first_value(&history), Some(2.0));
    assert_eq!(history.state().days[&DAY.0].revision, 2);
    let trash = Path::new("/history/_trash");
    assert_eq!(disk.list_dir(trash).unwrap().len(), 2, "the earlier ones are kept a while");
    history.tidy(5000 + TRASH_MS - 1).unwrap();
    assert_eq!(disk.list_dir(trash).unwrap().len(), 2);
    history.tidy(5000 + TRASH_MS).unwrap();
    assert_eq!(disk.list_dir(trash).unwrap().len(), 0);
    // A day without samples has no files.
    build(&history, DAY, &[], 9000).unwrap();
    assert_eq!(glob(&disk).len(), 0);
    assert_eq!(first_value(&open(&disk.kill())), None);
}

#[test]
fn a_day_that_changes_while_it_is_built_is_outdated_at_once() {
    let history = open(&SimDisk::new());
    let run = |change: Option<TimeRange>| {
        let mut build = history.build(DAY);
        build.add(Tier::Hour, &one_series(1.0)[0]).unwrap();
        change.map_or(Ok(()), |range| history.samples_change(range)).unwrap();
        build.finish().unwrap().commit(0).unwrap()
    };
    let at = |ts| Some(TimeRange::new(ts, ts));
    let outdated = || history.state().days[&DAY.0].outdated;
    assert_eq!(run(at(DAY.end_ms())), Building::Outrun);
    assert!(outdated());
    assert_eq!(run(at(DAY.start_ms())), Building::Outrun, "the day before counts");
    assert!(outdated());
    assert_eq!(run(at(DAY.end_ms() + 1)), Building::Done);
    assert_eq!(run(None), Building::Done);
    assert!(!outdated());
}

/// Rows of a day whose samples are gone can not forget what is deleted: that is known from then on.
#[test]
fn what_is_deleted_of_a_day_that_is_gone_is_told() {
    let disk = SimDisk::new();
    let history = open(&disk);
    for day in 0..3 {
        build(&history, Day(DAY.0 + day), &one_series(1.0), 0).unwrap();
    }
    history.raw_is_gone(DAY);
    history.samples_go(TimeRange::new(DAY.end_ms(), DAY.end_ms() + 1)).unwrap();
    let flags = |history: &History| {
        let state = history.state();
        state.days.values().map(|built| (built.outdated, built.deleted)).collect::<Vec<_>>()
    };
    assert_eq!(flags(&history), [(false, true), (true, false), (true, false)]);
    let number = history.state().number;
    history.samples_go(DAY.range()).unwrap();
    assert_eq!(history.state().number, number, "nothing new, no commit");
    assert_eq!(flags(&open(&disk.kill())), flags(&history));
}

/// Rows are the only thing left of a day whose samples are gone.
#[test]
fn a_day_whose_samples_go_while_it_is_built_keeps_its_rows() {
    let disk = SimDisk::new();
    let history = open(&disk);
    build(&history, DAY, &one_series(1.0), 0).unwrap();
    history.samples_change(DAY.range()).unwrap();
    let unfinished = history.build(DAY).finish().unwrap();
    history.raw_is_gone(DAY);
    assert_eq!(unfinished.commit(0).unwrap(), Building::Late);
    assert_eq!(first_value(&history), Some(1.0));
    drop(history);
    assert_eq!(first_value(&open(&disk)), Some(1.0));
}

#[test]
fn the_last_floats_of_a_day_without_samples_are_told() {
    let history = open(&SimDisk::new());
    let mut building = history.build(DAY);
    building.add(Tier::Day, &one_day(7.0)).unwrap();
    building.finish().unwrap().commit(0).unwrap();
    assert!(history.lasts_of(DAY).unwrap().is_none(), "samples are there");
    history.raw_is_gone(DAY.next());
    let labels = |job| Labels::from_pairs([("__name__", "up"), ("job", job)]);
    let mut wanted = [labels("a"), labels("b")];
    wanted.sort_by(|a, b| series_order(a).cmp(&series_order(b)));
    let mut lasts = history.lasts_of(DAY).unwrap().unwrap();
    for labels in &wanted {
        let last = lasts.find(labels).unwrap();
        assert_eq!(last, (labels.get("job") == "a").then_some(7.0));
    }
    let mut nothing = history.lasts_of(DAY.next()).unwrap().unwrap();
    assert_eq!(nothing.find(&labels("a")).unwrap(), None);
}

#[test]
fn changed_samples_make_their_day_and_the_next_outdated() {
    let disk = SimDisk::new();
    let history = open(&disk);
    for day in 0..4 {
        build(&history, Day(DAY.0 + day), &[], 0).unwrap();
    }
    let number = history.state().number;
    let at = |day: i64| TimeRange::new(Day(day).start_ms() + 1, Day(day).start_ms() + 1);
    history.samples_change(at(DAY.0 + 1)).unwrap();
    let outdated = |history: &History| {
        let state = history.state();
        state.days.iter().filter(|(_, s)| s.outdated).map(|(d, _)| d - DAY.0).collect::<Vec<_>>()
    };
    assert_eq!(outdated(&history), [1, 2]);
    history.samples_change(at(DAY.0 + 1)).unwrap();
    history.samples_change(at(DAY.0 + 40)).unwrap();
    assert_eq!(history.state().number, number + 1, "nothing new, no commit");
    history.raw_is_gone(Day(DAY.0 + 3));
    history.samples_change(at(DAY.0 + 3)).unwrap();
    history.samples_change(at(DAY.0 + 3)).unwrap();
    assert_eq!(history.state().number, number + 3, "rows are all there is left of that day");
    assert_eq!(outdated(&open(&disk.kill())), [1, 2, 3], "what came is not in them");
}

#[test]
fn commits_are_gathered_in_checkpoints() {
    let disk = SimDisk::new();
    let history = open(&disk);
    for day in 0..200 {
        build(&history, Day(day), &[], 0).unwrap();
    }
    let dir = Path::new("/history/_nines/commits");
    assert!(disk.list_dir(dir).unwrap().len() as u64 <= CHECKPOINT_COMMITS + 1);
    let again = open(&disk.kill());
    assert_eq!(*again.state(), *history.state());
    assert_eq!(again.state().days.len(), 200);
}

#[test]
fn damage_and_loss_are_told_with_the_file() {
    let disk = SimDisk::new();
    let history = open(&disk);
    build(&history, DAY, &one_series(1.0), 0).unwrap();
    let file = glob(&disk).remove(0);
    let problems = |history: &History| {
        let mut all = Vec::new();
        history.verify(&mut |found| {
            all.extend(found.rows.err().map(|why| (found.path, why.to_string())));
        });
        all
    };
    assert!(problems(&history).is_empty());
    assert!(disk.flip(&file, 40, 1));
    let found = problems(&history);
    assert_eq!(found.len(), 1);
    assert!(file.ends_with(&found[0].0) && found[0].1.contains("checksum"), "{found:?}");
    disk.remove_file(&file).unwrap();
    assert_eq!(problems(&history).len(), 1);
    assert!(open(&disk.kill()).state().days[&DAY.0].outdated, "to be built anew");
    let commit = Path::new("/history/_nines/commits/00000000000000000001.json");
    assert!(disk.flip(commit, 30, 4));
    let broken: Arc<dyn Disk> = Arc::new(disk.kill());
    assert!(matches!(
        History::open(&broken, Path::new("/history"), "anonymous"),
        Err(Error::Corrupt(_))
    ));
}

/// Whatever fails or goes dark when: after a restart the history is that of a commit, whole, and no older than
/// the last one that was acknowledged.
#[test]
fn a_power_cut_leaves_one_revision() {
    let mut cut = 0;
    for seed in 0..120 {
        let mut rng = SimRng::new(seed * 31 + 7);
        let mut disk = SimDisk::new();
        let (mut acked, mut tried) = (None, Vec::new());
        for life in 0..4u32 {
            let context = format!("seed {seed} life {life}");
            let history = open(&disk);
            let seen = first_value(&history);
            assert!(seen == acked || tried.contains(&seen), "{context}: {seen:?} of {tried:?}");
            assert_eq!(glob(&disk).len(), if seen.is_some() { 2 } else { 0 }, "{context}");
            (acked, tried) = (seen, Vec::new());
            let fault = if rng.chance(50) { Fault::Eio } else { Fault::Enospc };
            disk.fail_from_op(disk.ops() + 1 + rng.below(90), fault, rng.chance(70));
            for step in 0..rng.below(5) {
                let value = f64::from(life * 10 + step as u32);
                tried.push(Some(value));
                match build(&history, DAY, &one_series(value), 1000 + step as i64) {
                    Ok(building) => {
                        assert_eq!(building, Building::Done, "{context}");
                        (acked, tried) = (Some(value), Vec::new());
                    }
                    Err(_) => cut += 1,
                }
            }
            drop(history);
            disk = if rng.chance(30) { disk.kill() } else { disk.crash(rng.next_u64()) };
            disk.stop_failing();
        }
    }
    assert!(cut > 100, "{cut} builds failed");
}
