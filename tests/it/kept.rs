//! PromQL over days whose samples are gone and whose rows went by their age as well: an answer is that of a store
//! which keeps everything, or says what it lacks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nines::promql::QueryResult;
use nines_storage::disk::sim::SimDisk;
use nines_storage::history::{Keep, Tier};
use nines_storage::model::Matcher;
use nines_storage::{Db, Store, StoreOptions};

use crate::gone::{append, ask, points, warns};

const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight of 2023-08-01.
const START_MS: i64 = 1_690_848_000_000;
const DAYS: i64 = 75;
pub const NOW_MS: i64 = START_MS + DAYS * DAY_MS + 5 * HOUR_MS;
/// A day of August: its month is 45 days old.
pub const AUGUST_MS: i64 = START_MS + 9 * DAY_MS;
/// A day of September: its month is half as old.
pub const SEPTEMBER_MS: i64 = START_MS + 38 * DAY_MS;

fn fill(db: &Db) {
    for kind in ["a", "b", "c"] {
        let times = (0..DAYS * 48).map(|n| START_MS + (n * 30 + 25) * MINUTE_MS + 7_000);
        let sample = |ts: i64| (kind, ts, ((ts - START_MS) / 60_000 % 9_000) as f64);
        append(db, &times.map(sample).collect::<Vec<_>>());
    }
}

fn open(retention: Option<Duration>, history_keeps: Vec<Keep>) -> Store {
    open_on(Arc::new(SimDisk::new()), retention, history_keeps)
}

/// A store on an empty disk that has samples, rolled up, and has let go of what is old.
pub fn open_on(disk: Arc<SimDisk>, retention: Option<Duration>, keeps: Vec<Keep>) -> Store {
    let store = reopen(disk, retention, keeps);
    let db = store.db("anonymous").unwrap();
    fill(&db);
    db.roll_all(NOW_MS).unwrap();
    store.maintain(NOW_MS).unwrap();
    // The rows of what is gone now.
    db.roll_all(NOW_MS).unwrap();
    store
}

/// The store of a disk.
pub fn reopen(disk: Arc<SimDisk>, retention: Option<Duration>, history_keeps: Vec<Keep>) -> Store {
    let (retention, base) = (retention, StoreOptions::default());
    let options = StoreOptions { retention, history_keeps, wal_segment_bytes: 1 << 20, ..base };
    Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap()
}

pub fn keep(kind: Option<&str>, tables: &[Tier]) -> Keep {
    keep_days(25, kind, tables)
}

fn keep_days(days: i64, kind: Option<&str>, tables: &[Tier]) -> Keep {
    let series = kind.map(|kind| vec![vec![Matcher::equal("kind", kind)]]);
    Keep { series, ages: tables.iter().map(|tier| (*tier, Some(days * DAY_MS))).collect() }
}

/// A store that forgets and one that does not.
struct Pair(Arc<Db>, Arc<Db>, [Store; 2]);

impl Pair {
    fn open(keeps: Vec<Keep>) -> Self {
        let short = open(Some(Duration::from_secs(20 * 86_400)), keeps);
        let long = open(None, Vec::new());
        let of = |store: &Store| store.db("anonymous").unwrap();
        Self(of(&short), of(&long), [short, long])
    }

    fn same(&self, text: &str, at: i64) -> QueryResult {
        let (seen, wanted) = (ask(&self.0, text, at, None), ask(&self.1, text, at, None));
        assert_eq!(points(&seen), points(&wanted), "{text} at {at}: {:?}", seen.warnings);
        seen
    }
}

fn silent(result: &QueryResult) -> bool {
    result.warnings.is_empty() && result.infos.is_empty()
}

pub const FUNCTIONS: [&str; 6] =
    ["increase", "count_over_time", "sum_over_time", "changes", "resets", "last_over_time"];

#[test]
fn rows_of_some_series_that_went_are_told() {
    let pair =
        Pair::open(vec![keep(Some("b"), &[Tier::Hour, Tier::Day]), keep(Some("c"), &[Tier::Hour])]);
    assert!(!pair.2.is_empty());
    for function in FUNCTIONS {
        let of =
            |kind: &str, range: &str| format!("{function}(m_total{{kind=\"{kind}\"}}[{range}])");
        // Nothing went in the last days, and of one series nothing ever.
        for kind in ["a", "b", "c"] {
            assert!(silent(&pair.same(&of(kind, "3d"), START_MS + 73 * DAY_MS)));
        }
        for (range, at) in [("1d", 0), ("6h", 9), ("5d", 24), ("30h", 7)] {
            let seen = pair.same(&of("a", range), SEPTEMBER_MS + at * HOUR_MS);
            assert!(silent(&seen), "{:?}", seen.warnings);
            pair.same(&of("a", range), AUGUST_MS + at * HOUR_MS);
        }
        // Whole days are told by their rows.
        assert!(silent(&pair.same(&of("c", "3d"), SEPTEMBER_MS)));
        pair.same(&of("c", "3d"), AUGUST_MS);
        let part = ask(&pair.0, &of("c", "30h"), SEPTEMBER_MS, None);
        assert!(warns(&part, "rows of hours went by their age"), "{:?}", part.warnings);
        let gone = ask(&pair.0, &of("b", "3d"), AUGUST_MS, None);
        assert_eq!(points(&gone), []);
        assert!(warns(&gone, "rows between 2023-08-07 and 2023-08-09 went"), "{:?}", gone.warnings);
        // Until their month is old enough.
        assert!(silent(&pair.same(&of("b", "3d"), SEPTEMBER_MS)));
    }
    // The newest sample of an hour.
    let of = |kind: &str| format!("m_total{{kind=\"{kind}\"}}");
    pair.same(&of("a"), SEPTEMBER_MS + 5 * HOUR_MS);
    for kind in ["b", "c"] {
        for text in [of(kind), format!("absent({})", of(kind))] {
            let seen = ask(&pair.0, &text, SEPTEMBER_MS + 5 * HOUR_MS, None);
            assert_eq!(points(&seen), [], "{text}");
            assert!(warns(&seen, "needs samples"), "{text}: {:?}", seen.warnings);
        }
    }
}

#[test]
fn windows_are_of_whole_days_where_no_hour_is_left() {
    let pair = Pair::open(vec![keep(None, &[Tier::Hour])]);
    for function in FUNCTIONS {
        let text = |range: &str| format!("{function}(m_total[{range}])");
        for (range, days) in [("1d", 0), ("3d", 1), ("20d", 2)] {
            assert!(silent(&pair.same(&text(range), SEPTEMBER_MS + days * DAY_MS)));
            let moved =
                ask(&pair.0, &text(range), SEPTEMBER_MS + days * DAY_MS + 7 * HOUR_MS, None);
            let wanted = ask(&pair.1, &text(range), SEPTEMBER_MS + days * DAY_MS, None);
            let values = |result: &QueryResult| -> Vec<f64> {
                points(result).iter().map(|point| point.2).collect()
            };
            assert_eq!(values(&moved), values(&wanted), "{} days {days}", text(range));
            assert!(
                moved.infos.iter().any(|info| info.contains("by 25200.000 s")),
                "{:?}",
                moved.infos
            );
        }
        // Over days with hours and with samples.
        assert!(silent(&pair.same(&text("60d"), START_MS + 75 * DAY_MS)));
    }
    let late = SEPTEMBER_MS + DAY_MS - 7 * HOUR_MS;
    append(&pair.0, &[("a", late, 1.0)]);
    let count = "count_over_time(m_total{kind=\"a\"}[2d])";
    let seen = ask(&pair.0, count, SEPTEMBER_MS + DAY_MS, None);
    assert_eq!(points(&seen)[0].2, 96.0);
    assert!(warns(&seen, "left out"), "{:?}", seen.warnings);
    let seen = ask(&pair.0, "m_total", SEPTEMBER_MS + 5 * HOUR_MS, None);
    assert!(points(&seen).is_empty() && warns(&seen, "needs samples"), "{:?}", seen.warnings);
}

/// With samples nothing is lacking, whatever went.
#[test]
fn samples_tell_what_rows_do_not() {
    let all: BTreeMap<&str, [Tier; 2]> =
        [("b", [Tier::Hour, Tier::Day]), ("c", [Tier::Hour, Tier::Hour])].into();
    let keeps = all.iter().map(|(kind, tables)| keep(Some(*kind), tables)).collect();
    let (short, long) = (open(None, keeps), open(None, Vec::new()));
    let pair = Pair(short.db("anonymous").unwrap(), long.db("anonymous").unwrap(), [short, long]);
    for function in FUNCTIONS {
        for (range, at) in [("1d", 0), ("3d", 0), ("30h", 7), ("20d", 24), ("60d", 700)] {
            for begin in [AUGUST_MS, SEPTEMBER_MS, START_MS + 60 * DAY_MS] {
                let text = format!("{function}(m_total[{range}])");
                assert!(silent(&pair.same(&text, (begin + at * HOUR_MS).min(NOW_MS))));
            }
        }
    }
}

/// Pages and labels of a file that were read are not those of the one that takes its place; a late sample beside hours
/// that went is not taken for all there is.
#[test]
fn rows_that_were_read_go_from_answers_with_their_files() {
    let pair = Pair::open(vec![
        keep_days(90, Some("b"), &[Tier::Hour, Tier::Day]),
        keep_days(90, Some("c"), &[Tier::Hour]),
    ]);
    let count =
        |kind: &str, range: &str| format!("count_over_time(m_total{{kind=\"{kind}\"}}[{range}])");
    let times =
        [("3d", AUGUST_MS), ("30h", AUGUST_MS), ("3d", SEPTEMBER_MS), ("30h", SEPTEMBER_MS)];
    for (range, at) in times {
        for kind in ["a", "b", "c"] {
            assert!(silent(&pair.same(&count(kind, range), at)));
        }
    }
    // August is more than 90 days old then, and September is not.
    pair.0.roll_all(NOW_MS + 65 * DAY_MS).unwrap();
    for (range, at) in times {
        pair.same(&count("a", range), at);
    }
    assert!(silent(&pair.same(&count("b", "3d"), SEPTEMBER_MS)));
    for range in ["3d", "30h"] {
        let gone = ask(&pair.0, &count("b", range), AUGUST_MS, None);
        assert_eq!(points(&gone), [], "{range}");
        assert!(warns(&gone, "rows between"), "{:?}", gone.warnings);
        let all = ask(&pair.0, &format!("count_over_time(m_total[{range}])"), AUGUST_MS, None);
        assert!(points(&all).iter().all(|point| point.0 != "b"), "{:?}", points(&all));
    }
    pair.same(&count("c", "3d"), AUGUST_MS);
    let hours = |kind: &str| ask(&pair.0, &count(kind, "6h"), SEPTEMBER_MS + 6 * HOUR_MS, None);
    for kind in ["b", "c"] {
        let part = hours(kind);
        assert_eq!(points(&part), [], "{kind}");
        assert!(warns(&part, "rows of hours went by their age"), "{kind}: {:?}", part.warnings);
    }
    append(&pair.0, &[("c", SEPTEMBER_MS + 2 * HOUR_MS + 1, 7.0)]);
    let part = hours("c");
    assert_eq!(points(&part).iter().map(|point| point.2).collect::<Vec<_>>(), [1.0]);
    assert!(warns(&part, "rows of hours went by their age"), "{:?}", part.warnings);
    assert_eq!(points(&hours("a"))[0].2, 12.0);
}
