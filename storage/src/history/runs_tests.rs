#![allow(clippy::unwrap_used, reason = "tests")]
//! Rows of one series among many: what is decoded for them, and series with one id.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::disk::sim::SimDisk;
use crate::model::window::Need;
use crate::model::{Labels, WindowSummary};

const DAY: Day = Day(20_450);
const N_SERIES: usize = 3 * PAGE_ROWS;

fn open(disk: &SimDisk, cache: &Arc<RowCache>) -> History {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    History::open_sharing(&disk, Path::new("/history"), "anonymous", Arc::clone(cache)).unwrap()
}

fn labels(day: Day, n: usize) -> Labels {
    // One of a hundred stays from day to day.
    let born = if n.is_multiple_of(100) { 0 } else { day.0 };
    let (pod, born) = (format!("pod-{n}"), born.to_string());
    Labels::from_pairs([("__name__", "requests_total"), ("born", &born), ("pod", &pod)])
}

fn row(end_ms: i64, value: f64) -> Row {
    let mut row = Row::empty(end_ms);
    row.push(end_ms - 1, value);
    row.close();
    row
}

/// Builds a day of such series, a row of an hour and one of the day for each. Values are their numbers.
fn build(history: &History, day: Day, series: impl Iterator<Item = (Labels, f64)>) {
    let mut all: Vec<(Labels, f64)> = series.collect();
    all.sort_by(|a, b| series_order(&a.0).cmp(&series_order(&b.0)));
    let mut build = history.build(day);
    build.expect_series(all.len() as u64);
    for (labels, value) in all {
        let rows =
            |end_ms: i64| SeriesRows { labels: labels.clone(), rows: vec![row(end_ms, value)] };
        build.add(Tier::Hour, &rows(day.start_ms() + HOUR_MS)).unwrap();
        build.add(Tier::Day, &rows(day.end_ms())).unwrap();
    }
    assert_eq!(build.finish().unwrap().commit(0).unwrap(), Building::Done);
}

/// The first value of a series in its row of the day and in that of its hour.
fn values(
    history: &History,
    day: Day,
    sought: Sought<'_>,
    charge: &Charge<'_>,
) -> Result<[Option<f64>; 2]> {
    let rows = history.rows(day, &history.state(), charge)?.unwrap();
    let (mut of_day, mut of_hour) = (None, None);
    rows.day_row(sought, Need::Edges, charge, &mut |row, _| {
        assert_eq!(of_day.replace(row.first), None);
        Ok(())
    })?;
    rows.hour_rows(sought, 0..=24, Need::Edges, charge, &mut |row, _| {
        assert_eq!(of_hour.replace(row.first), None);
        Ok(())
    })?;
    Ok([of_day, of_hour])
}

#[test]
fn one_series_among_many_costs_a_page() {
    let (disk, cache) = (SimDisk::new(), RowCache::new(u64::MAX));
    let history = open(&disk, &cache);
    let days = [DAY, DAY.next(), DAY.next().next()];
    for day in days {
        build(&history, day, (0..N_SERIES).map(|n| (labels(day, n), n as f64)));
    }
    let charged = Cell::new(0);
    let charge = |bytes: u64| {
        charged.set(charged.get() + bytes);
        Ok(())
    };
    let stays = labels(DAY, 4_700);
    let sought = Sought::new(&stays, &[]);
    for day in days {
        assert_eq!(values(&history, day, sought, &charge).unwrap(), [Some(4_700.0); 2]);
    }
    let of_one = cache.bytes();
    assert_eq!(charged.get(), of_one, "what is held was charged");
    for day in days {
        assert_eq!(values(&history, day, sought, &charge).unwrap(), [Some(4_700.0); 2]);
    }
    assert_eq!((charged.get(), cache.bytes()), (of_one, of_one), "nothing is decoded again");
    // One that is nowhere but on its day.
    let came = labels(days[1], 77);
    let found = days.map(|day| values(&history, day, Sought::new(&came, &[]), &charge).unwrap());
    assert_eq!(found, [[None; 2], [Some(77.0); 2], [None; 2]]);

    // All of them.
    for day in days {
        let rows = history.rows(day, &history.state(), &charge).unwrap().unwrap();
        let mut n = 0;
        rows.labels(&Metrics::All, &charge, &mut |_| {
            n += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(n, N_SERIES);
    }
    let all = cache.bytes();
    assert!(of_one * 4 < all, "{of_one} of {all} bytes");
    let wanted = |metric: &str| {
        let rows = history.rows(DAY, &history.state(), &charge).unwrap().unwrap();
        let mut n = 0;
        let mut count = |_: &Labels| {
            n += 1;
            Ok(())
        };
        rows.labels(&Metrics::Named(vec![metric.to_owned()]), &charge, &mut count).unwrap();
        n
    };
    assert_eq!((wanted("requests_total"), wanted("requests")), (N_SERIES, 0));
    cache.set_bytes_max(0);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_query_of_too_many_series_ends() {
    let (disk, cache) = (SimDisk::new(), RowCache::new(u64::MAX));
    let history = open(&disk, &cache);
    build(&history, DAY, (0..N_SERIES).map(|n| (labels(DAY, n), n as f64)));
    let left = Cell::new(1_000_000u64);
    let charge = |bytes: u64| {
        let rest = left.get().checked_sub(bytes);
        left.set(rest.unwrap_or(0));
        rest.map(drop).ok_or(Error::Limit { limit: "bytes", what: "too many", max: 1_000_000 })
    };
    let rows = history.rows(DAY, &history.state(), &charge).unwrap().unwrap();
    let ended = rows.labels(&Metrics::All, &charge, &mut |_| Ok(()));
    assert!(matches!(ended, Err(Error::Limit { limit: "bytes", .. })), "{ended:?}");
    assert!(cache.bytes() < 1_200_000, "{} bytes are held", cache.bytes());
}

/// Label sets with one id. Where four of the bytes that are hashed are those of the secret of XXH3, the next four are
/// only added to a sum: what one place has more, another has less.
fn same_id(more: u8) -> Labels {
    let mut value = vec![b'x'; 784];
    // "\x08__name__\x02up\x01v" and the two bytes of a length stand before the value.
    let at = |offset: usize| offset - 16;
    value[at(47)..at(56)].copy_from_slice(b"\xc3\xb8\x08\x46\x74amaa");
    value[at(624)..at(632)].copy_from_slice(b"\xc8\x9f\x7e\xc9\x80maa");
    value[at(53)] += more;
    value[at(629)] -= more;
    Labels::from_pairs([("__name__", "up"), ("v", std::str::from_utf8(&value).unwrap())])
}

#[test]
fn series_with_one_id_are_not_mixed_up() {
    let (a, b) = (same_id(0), same_id(1));
    assert_eq!(series_id(&a), series_id(&b));
    assert_ne!(a, b);
    let (disk, cache) = (SimDisk::new(), RowCache::new(u64::MAX));
    let history = open(&disk, &cache);
    let with = [series_id(&a)];
    let (a, b) = (Sought::new(&a, &with), Sought::new(&b, &with));
    let others = |n: usize| labels(DAY, n);
    let some = || (0..5).map(|n| (others(n), 9.0));
    let month = Month::of(DAY);
    let days: Vec<Day> = (month.first().0..=month.last().0).map(Day).collect();
    for (n, day) in days.iter().enumerate() {
        let of_a = (n % 3 != 1).then(|| (a.labels.clone(), 1.0 + n as f64));
        let of_b = (n % 3 != 2).then(|| (b.labels.clone(), -1.0 - n as f64));
        build(&history, *day, some().chain(of_a).chain(of_b));
    }
    let free = &|_: u64| Ok(());
    let check = |together: bool| {
        for (n, day) in days.iter().enumerate() {
            let of_a = (n % 3 != 1).then_some(1.0 + n as f64);
            let of_b = (n % 3 != 2).then_some(-1.0 - n as f64);
            for (sought, wanted) in [(a, of_a), (b, of_b)] {
                let found = values(&history, *day, sought, free).unwrap();
                assert_eq!(found[1], wanted);
                if !together {
                    assert_eq!(found[0], wanted);
                    continue;
                }
                let rows = history.month_rows(*day, &history.state(), free).unwrap().unwrap();
                let mut value = None;
                let mut show = |_: Day, row: &WindowSummary, _| {
                    assert_eq!(value.replace(row.first), None);
                    Ok(true)
                };
                rows.rows(sought, *day..=*day, Need::Edges, free, &mut show).unwrap();
                assert_eq!(value, wanted, "{day}");
            }
        }
    };
    check(false);
    history.put_together(month, 9, &mut || Ok(())).unwrap().unwrap();
    check(true);
    let rows = history.month_rows(days[0], &history.state(), free).unwrap().unwrap();
    let mut found = std::collections::BTreeSet::new();
    rows.labels(&Metrics::All, free, &mut |labels| {
        found.insert(labels.clone());
        Ok(())
    })
    .unwrap();
    assert!(found.contains(a.labels) && found.contains(b.labels) && found.len() > 2);
}
