//! Queries of days of which rows are all there is: what they open of them, and what ends one that asks for too much.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nines_storage::disk::sim::SimDisk;
use nines_storage::history::PAGE_ROWS;
use nines_storage::model::window::{Need, Pieces, Spaced};
use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, BudgetLimits, Queryable, SelectHints};
use nines_storage::{Db, Error, Store, StoreOptions};

use crate::model::{self, NOW_MS};

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = NOW_MS / DAY_MS * DAY_MS - 10 * DAY_MS;
const DAYS: i64 = 2;
const N_REQUESTS: usize = PAGE_ROWS + 2_000;
const N_UP: usize = 20;

fn labels(metric: &str, day: i64, n: usize) -> Labels {
    let day = if n < 10 { 0 } else { day };
    let pod = format!("pod-{day}-{n}");
    Labels::from_pairs([("__name__", metric), ("job", "api"), ("pod", &pod)])
}

/// A store with rows of some days, most of whose series are new on their day, and no sample of them.
fn store() -> Store {
    let retention = Some(Duration::from_secs(86_400));
    let disk = Arc::new(SimDisk::new());
    let options = StoreOptions { retention, ..model::options() };
    let store = Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap();
    let db = model::db_of(&store);
    for day in 0..DAYS {
        let mut appender = db.appender();
        let metrics = [("requests_total", N_REQUESTS), ("up", N_UP)];
        for (metric, n) in
            metrics.into_iter().flat_map(|(metric, n)| (0..n).map(move |n| (metric, n)))
        {
            let labels = labels(metric, day, n);
            let key = db.series_key(labels.as_bytes());
            let series = appender.resolve(key, &labels).unwrap();
            for hour in [1, 2] {
                let value = (day * 100 + hour) as f64;
                appender.sample(series, START_MS + day * DAY_MS + hour * 3_600_000, value, 0);
            }
        }
        appender.commit(NOW_MS).unwrap();
    }
    // The age of all others is that beside the newest sample.
    let write = model::Write { series: "s".to_owned(), ts: NOW_MS, bits: 0, start_ts: 0 };
    model::append(&db, &[write]).unwrap();
    for _ in 0..2 {
        db.roll_all(NOW_MS).unwrap();
        store.maintain(NOW_MS).unwrap();
    }
    assert_eq!(db.stats().blocks, 1, "that of the newest sample");
    store
}

fn budget(bytes_max: u64) -> Budget {
    let limits = BudgetLimits {
        samples_max: u64::MAX,
        series_max: u64::MAX,
        bytes_max,
        timeout: Duration::from_secs(600),
    };
    Budget::new(limits, Arc::new(AtomicBool::new(false)))
}

const RANGE: TimeRange = TimeRange::new(START_MS, START_MS + DAYS * DAY_MS);

/// How many series match, and what the query held at most.
fn select(db: &Db, matchers: &[Matcher], bytes_max: u64) -> nines_storage::Result<(usize, u64)> {
    let budget = budget(bytes_max);
    let set = db.select(matchers, RANGE, &SelectHints::default(), &budget)?;
    let n = set.len();
    drop(set);
    Ok((n, budget.usage().bytes_peak))
}

#[test]
fn matchers_of_a_metric_read_its_pages() {
    let store = store();
    let db = model::db_of(&store);
    let days = DAYS as usize;
    let of = |metric: &str| [Matcher::equal("__name__", metric)];
    let (n, up) = select(&db, &of("up"), u64::MAX).unwrap();
    assert_eq!(n, days * (N_UP - 10) + 10);
    let (n, none) = select(&db, &of("a"), u64::MAX).unwrap();
    assert_eq!(n, 0);
    let everything = [Matcher::equal("job", "api")];
    // Labels of what was not read yet.
    let ended = select(&db, &everything, up);
    let Err(Error::Limit { limit, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(limit, "query.max_bytes");
    store.row_cache().set_bytes_max(0);
    let (n, all) = select(&db, &everything, u64::MAX).unwrap();
    assert_eq!(n, days * (N_REQUESTS + N_UP - 20) + 20);
    assert!(none * 2 < up && up * 3 < all, "{none}, {up}, {all} bytes");
    let (n, _) = select(&db, &of("requests_total"), u64::MAX).unwrap();
    assert_eq!(n, days * (N_REQUESTS - 10) + 10);
    let names = db.label_values("pod", &[], RANGE, &budget(u64::MAX)).unwrap();
    assert_eq!(names.len(), days * (N_REQUESTS - 10) + 10);
}

#[test]
fn windows_of_one_series_are_read_within_the_budget() {
    let store = store();
    let db = model::db_of(&store);
    let matchers = [Matcher::equal("__name__", "requests_total"), Matcher::equal("pod", "pod-0-7")];
    let windows =
        Spaced { end_ms: START_MS + DAY_MS, step_ms: DAY_MS, n: DAYS as usize, range_ms: DAY_MS };
    let read = |budget: &Budget| {
        let free = Budget::unlimited();
        let set = db.select(&matchers, RANGE, &SelectHints::default(), &free).unwrap();
        assert_eq!(set.len(), 1);
        // What the selection opened is closed, so that the windows open it again.
        store.row_cache().set_bytes_max(0);
        store.row_cache().set_bytes_max(u64::MAX);
        let (mut pieces, mut data) = (Pieces::default(), SeriesData::default());
        let tiled = set.tile(&windows, Need::All, budget)?.unwrap();
        tiled.read(0, budget, &mut pieces, &mut data)?;
        let held = store.row_cache().bytes();
        assert_eq!(pieces.len(), DAYS as usize);
        nines_storage::Result::Ok(held)
    };
    let unlimited = budget(u64::MAX);
    let held = read(&unlimited).unwrap();
    let charged = unlimited.usage().bytes_peak;
    // The selection has its label set still, which is held once.
    assert!(charged + 200 > held, "{held} bytes are held, {charged} were charged");
    let tight = budget(charged - 1);
    let ended = read(&tight);
    let Err(Error::Limit { limit, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(limit, "query.max_bytes");
    assert_eq!(read(&budget(charged)).unwrap(), held);
}
