//! PromQL over days whose samples are gone, all of them or some, against a store that keeps its samples: an answer is
//! the same, or says what it lacks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nines::promql::{
    Engine, EngineOptions, QueryError, QueryOptions, QueryResult, SampleValue, Value, parse,
};
use nines_storage::disk::sim::SimDisk;
use nines_storage::model::{Counts, Histogram, Labels, Matcher, ResetHint, TimeRange};
use nines_storage::query::Budget;
use nines_storage::{Db, Store, StoreOptions};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight of 2023-10-01.
const START_MS: i64 = 1_696_118_400_000;
const DAYS: i64 = 12;
const NOW_MS: i64 = START_MS + DAYS * DAY_MS + 5 * HOUR_MS;
const LOOKBACK_MS: i64 = 15 * MINUTE_MS;
/// A day whose samples are gone.
const GONE_MS: i64 = START_MS + 2 * DAY_MS;

fn labels(kind: &str) -> Labels {
    Labels::from_pairs([("__name__", "m_total"), ("kind", kind)])
}

pub fn append(db: &Db, samples: &[(&str, i64, f64)]) {
    let mut appender = db.appender();
    for (kind, ts, value) in samples {
        let key = db.series_key(kind.as_bytes());
        let series = match appender.find(key) {
            Some(series) => series,
            None => appender.resolve(key, &labels(kind)).unwrap(),
        };
        appender.sample(series, *ts, *value, 0);
    }
    appender.commit(NOW_MS).unwrap();
}

fn append_histograms(db: &Db, kind: &str, times: impl Iterator<Item = i64>) {
    let histogram = Histogram {
        schema: 0,
        zero_threshold: 0.0,
        sum: 1.0,
        reset_hint: ResetHint::Unknown,
        positive_spans: Vec::new(),
        negative_spans: Vec::new(),
        custom_values: Vec::new(),
        counts: Counts::Integer {
            count: 1,
            zero_count: 1,
            positive: Vec::new(),
            negative: Vec::new(),
        },
        start_ts: 0,
    };
    let mut appender = db.appender();
    let series = appender.resolve(db.series_key(kind.as_bytes()), &labels(kind)).unwrap();
    for ts in times {
        appender.histogram(series, ts, histogram.clone());
    }
    appender.commit(NOW_MS).unwrap();
}

/// Every ten minutes between two times, some seconds behind the grid.
fn every_ten(from_ms: i64, to_ms: i64) -> impl Iterator<Item = i64> {
    (0..(to_ms - from_ms) / (10 * MINUTE_MS)).map(move |i| from_ms + i * 10 * MINUTE_MS + 7_000)
}

/// A store that forgets, and one that does not, with the same samples.
struct Pair {
    short: Store,
    long: Store,
}

impl Pair {
    fn open() -> Self {
        let open = |retention| {
            let options =
                StoreOptions { retention, wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
            let disk = Arc::new(SimDisk::new());
            Store::open_on(disk, Path::new("/data"), options, &|_| {}).unwrap()
        };
        Self { short: open(Some(Duration::from_secs(5 * 86_400))), long: open(None) }
    }

    /// The store that forgets.
    fn db(&self) -> Arc<Db> {
        self.short.db("anonymous").unwrap()
    }

    fn whole(&self) -> Arc<Db> {
        self.long.db("anonymous").unwrap()
    }

    fn append(&self, samples: &[(&str, i64, f64)]) {
        append(&self.db(), samples);
        append(&self.whole(), samples);
    }

    /// A series that counts up all the time, apart from 06:00 to 12:00 and from 18:20 to 18:40.
    fn fill(&self, kind: &str, from_ms: i64, to_ms: i64) {
        let gap = |ts: &i64| {
            let minute = (ts - START_MS) % DAY_MS / MINUTE_MS;
            (360..720).contains(&minute) || (1100..1120).contains(&minute)
        };
        let times = every_ten(from_ms, to_ms).filter(|ts| !gap(ts));
        let all: Vec<_> = times.map(|ts| (kind, ts, ((ts - START_MS) / 60_000) as f64)).collect();
        self.append(&all);
    }

    /// Writes what is in memory to blocks, rolls up, and lets go of what is old.
    fn forget(&self) {
        let db = self.db();
        db.roll_all(NOW_MS).unwrap();
        self.short.maintain(NOW_MS).unwrap();
        let gone = db.history().unwrap().state().raw_gone.unwrap();
        assert!(gone.end_ms() > GONE_MS + 2 * DAY_MS, "{gone}");
    }

    fn both(&self, text: &str, at: i64, every: Option<(i64, i64)>) -> (QueryResult, QueryResult) {
        (ask(&self.db(), text, at, every), ask(&self.whole(), text, at, every))
    }
}

/// An instant query, or one over steps from a time on.
pub fn ask(db: &Db, text: &str, at: i64, every: Option<(i64, i64)>) -> QueryResult {
    try_ask(db, text, at, every).unwrap()
}

pub fn try_ask(
    db: &Db,
    text: &str,
    at: i64,
    every: Option<(i64, i64)>,
) -> Result<QueryResult, QueryError> {
    let (engine, tree) = (Engine::new(EngineOptions::default()), parse(text).unwrap());
    let options = QueryOptions { lookback_ms: Some(LOOKBACK_MS), ..QueryOptions::default() };
    let budget = Budget::unlimited();
    match every {
        None => engine.instant(db, &tree, text, at, &options, &budget),
        Some((start, step)) => engine.range(db, &tree, text, start, at, step, &options, &budget),
    }
}

/// Kind, time and value.
pub type Points = Vec<(String, i64, f64)>;

/// Every point.
pub fn points(result: &QueryResult) -> Points {
    let kind = |labels: &Labels| labels.get("kind").to_owned();
    let mut all = Points::new();
    match &result.value {
        Value::Vector(list) => {
            for sample in list {
                let SampleValue::Float(value) = sample.value else { panic!("a histogram") };
                all.push((kind(&sample.labels), sample.ts_ms, value));
            }
        }
        Value::Matrix(list) => {
            for series in list {
                let floats = series.floats.iter();
                all.extend(floats.map(|(ts, value)| (kind(&series.labels), *ts, *value)));
            }
        }
        other => panic!("{other:?}"),
    }
    all.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    all
}

pub fn warns(result: &QueryResult, of: &str) -> bool {
    result.warnings.iter().any(|warning| warning.contains(of))
}

/// One sample that stayed, or came later, hides no row.
#[test]
fn a_sample_among_rows_hides_none_of_them() {
    let pair = Pair::open();
    pair.fill("a", START_MS, NOW_MS);
    pair.forget();
    let hours = Some((START_MS, HOUR_MS));
    let of = |kind: &str| format!("last_over_time(m_total{{kind=\"{kind}\"}}[1h])");
    let plain = "m_total{kind=\"a\"}";
    let end = START_MS + 10 * DAY_MS;
    let (seen, wanted) = pair.both(plain, end, hours);
    let before = points(&seen);
    assert_eq!(before, points(&wanted));
    assert!(before.len() > 7 * 17, "{}", before.len());
    pair.append(&[("a", GONE_MS + 9 * HOUR_MS - 55_000, -1.0)]);
    let (seen, wanted) = pair.both(plain, end, hours);
    assert_eq!(points(&seen).len(), before.len() + 1);
    assert_eq!(points(&seen), points(&wanted));
    let stamps = pair.both(&format!("timestamp({plain})"), end, hours);
    assert_eq!(points(&stamps.0), points(&stamps.1));
    assert_eq!(points(&ask(&pair.db(), &of("a"), GONE_MS + 9 * HOUR_MS, None))[0].2, -1.0);
}

/// What came when others were gone is read from samples as far as that is exact; the rest is told.
#[test]
fn samples_that_come_later_are_counted_or_told() {
    let pair = Pair::open();
    pair.fill("a", START_MS, NOW_MS);
    pair.forget();
    // In hours without samples, in one before and behind them, and a series that is new.
    let gap = every_ten(GONE_MS + 7 * HOUR_MS, GONE_MS + 9 * HOUR_MS);
    let mut late: Vec<_> = gap.map(|ts| ("a", ts, 5.0)).collect();
    late.extend([("a", GONE_MS + HOUR_MS + 2_000, 1.0), ("a", GONE_MS + 2 * HOUR_MS - 2_000, 9.5)]);
    let new = every_ten(GONE_MS - DAY_MS, GONE_MS + 3 * DAY_MS);
    late.extend(new.map(|ts| ("new", ts, (ts / 1000 % 5000) as f64)));
    pair.append(&late);
    let functions = ["increase", "count_over_time", "sum_over_time", "changes", "last_over_time"];
    let same = |context: &str| {
        for function in functions {
            for (range, at) in [("1h", 8), ("1h", 2), ("3h", 9), ("1d", 24), ("5d", 4 * 24)] {
                let text = format!("{function}(m_total[{range}])");
                let at = GONE_MS + at * HOUR_MS;
                let (seen, wanted) = pair.both(&text, at, None);
                assert_eq!(points(&seen), points(&wanted), "{context} {text} at {at}");
                assert!(!warns(&seen, "left out"), "{context} {text} {:?}", seen.warnings);
            }
            // No row says anything of it: its windows are what was asked for.
            let text = format!("{function}(m_total{{kind=\"new\"}}[35m])");
            let (seen, wanted) = pair.both(&text, GONE_MS + 7_777_777, None);
            assert_eq!(points(&seen), points(&wanted), "{context} {text}");
            assert_eq!(points(&seen).len(), 1);
        }
    };
    same("in memory");
    // Too early for a day to be due: a flush.
    pair.db().roll_all(START_MS).unwrap();
    same("in blocks");
    let count = "count_over_time(m_total{kind=\"a\"}[1h])";
    let at = GONE_MS + 5 * HOUR_MS;
    let before = points(&ask(&pair.db(), count, at, None));
    pair.append(&[("a", at - 31 * MINUTE_MS, 3.0)]);
    for _ in 0..2 {
        let among = ask(&pair.db(), count, at, None);
        assert_eq!(points(&among), before, "the row may count it or not");
        assert!(warns(&among, "left out"), "{:?}", among.warnings);
        pair.db().roll_all(START_MS).unwrap();
    }
}

/// A large block that outlives smaller ones still has samples of days that count as gone.
#[test]
fn days_that_are_gone_in_part_are_answered_from_rows() {
    let pair = Pair::open();
    pair.fill("a", START_MS, START_MS + 11 * DAY_MS);
    pair.db().compact_all(NOW_MS).unwrap();
    let gap = every_ten(GONE_MS + 7 * HOUR_MS, GONE_MS + 9 * HOUR_MS);
    let mut filled: Vec<_> = gap.map(|ts| ("a", ts, 5.0)).collect();
    filled.extend(every_ten(GONE_MS, GONE_MS + 3 * DAY_MS).map(|ts| ("b", ts, 7.0)));
    pair.append(&filled);
    pair.forget();
    let plain = "m_total{kind=\"a\"}";
    let raw = ask(&pair.db(), &format!("{plain}[1d]"), GONE_MS + DAY_MS, None);
    assert_eq!(points(&raw).len(), 106, "without those that filled the gap");
    for (text, hours) in [("m_total", 24 * 7), ("count_over_time(m_total[1d])", 24 * 7)] {
        let end = START_MS + hours * HOUR_MS;
        let (seen, wanted) = pair.both(text, end, Some((START_MS, HOUR_MS)));
        assert_eq!(points(&seen), points(&wanted), "{text}");
    }
    // Rows cannot forget.
    let sets = [vec![Matcher::equal("kind", "a")]];
    let range = TimeRange::new(GONE_MS + 1, GONE_MS + DAY_MS);
    let count = format!("count_over_time({plain}[1d])");
    assert!(!warns(&ask(&pair.db(), &count, GONE_MS + DAY_MS, None), "deleted"));
    assert_ne!(pair.db().delete(&sets, range).unwrap(), 0);
    for text in [count.as_str(), plain] {
        let after = ask(&pair.db(), text, GONE_MS + DAY_MS, None);
        assert!(
            warns(&after, "rows count samples that were deleted"),
            "{text} {:?}",
            after.warnings
        );
    }
}

/// Rows do not hold histograms: where one may be the newest sample, that is told.
#[test]
fn histograms_that_are_gone_are_told() {
    let pair = Pair::open();
    pair.fill("a", START_MS, NOW_MS);
    for db in [pair.db(), pair.whole()] {
        append_histograms(&db, "h", every_ten(START_MS, NOW_MS));
        // Where the series has floats, they are older.
        let later = |ts: i64| ts + MINUTE_MS;
        append_histograms(&db, "a", every_ten(GONE_MS, GONE_MS + 3 * HOUR_MS).map(later));
    }
    pair.forget();
    let at = GONE_MS + 2 * HOUR_MS;
    let a = ask(&pair.db(), "m_total{kind=\"a\"}", at, None);
    assert_eq!(points(&a), Points::new());
    assert!(warns(&a, "native histograms are missing"), "{:?}", a.warnings);
    let later = ask(&pair.db(), "m_total{kind=\"a\"}", GONE_MS + 5 * HOUR_MS, None);
    assert_eq!((points(&later).len(), later.warnings.len()), (1, 0), "an hour of floats alone");
    for (text, what) in [
        ("m_total{kind=\"h\"}", "native histograms"),
        ("absent(m_total{kind=\"h\"})", "native histograms"),
        ("m_total{kind=\"a\"} smoothed", "smoothed needs samples"),
        ("start_timestamp(m_total{kind=\"a\"})", "start_timestamp needs samples"),
    ] {
        let seen = ask(&pair.db(), text, at, None);
        assert!(warns(&seen, what), "{text}: {:?}", seen.warnings);
        assert_eq!(points(&seen), Points::new(), "{text}");
    }
}

/// What may be there is not absent; what cannot be there is.
#[test]
fn absence_is_told_where_rows_prove_it() {
    let pair = Pair::open();
    pair.fill("a", START_MS, NOW_MS);
    for db in [pair.db(), pair.whole()] {
        append_histograms(&db, "h", every_ten(START_MS, NOW_MS));
    }
    pair.forget();
    let end = GONE_MS + DAY_MS;
    for kind in ["a", "h"] {
        for minutes in [5, 30, 60, 90] {
            let text = format!("absent_over_time(m_total{{kind=\"{kind}\"}}[{minutes}m])");
            for ragged in [0, 15 * MINUTE_MS, 40 * MINUTE_MS] {
                let every = Some((GONE_MS + HOUR_MS + ragged, HOUR_MS));
                let (seen, wanted) = pair.both(&text, end, every);
                let wanted = points(&wanted);
                let extra = points(&seen).into_iter().filter(|point| !wanted.contains(point));
                assert_eq!(extra.count(), 0, "{text} {ragged}");
                let lacks = points(&seen).len() < wanted.len();
                assert!(!lacks || warns(&seen, "needs samples"), "{text} {:?}", seen.warnings);
            }
        }
    }
    let of = |text: &str, at: i64| ask(&pair.db(), text, at, None);
    assert_eq!(
        points(&of("absent_over_time(m_total{kind=\"h\"}[1h])", GONE_MS + HOUR_MS)),
        Points::new()
    );
    assert_eq!(
        points(&of("absent_over_time(m_total{kind=\"a\"}[1h])", GONE_MS + 9 * HOUR_MS)).len(),
        1
    );
    for text in ["absent(m_total{kind=\"a\"})", "absent(sum(m_total{kind=\"a\"} @ end()))"] {
        let quarter = of(text, GONE_MS + 2 * HOUR_MS + 15 * MINUTE_MS);
        assert_eq!(points(&quarter), Points::new(), "{text}");
        assert!(warns(&quarter, "needs samples"), "{text} {:?}", quarter.warnings);
        assert_eq!(points(&of(text, GONE_MS + 10 * HOUR_MS)).len(), 1, "{text}");
    }
    // Another selector that does not tell is no reason.
    let text = "absent(m_total{kind=\"none\"}) or on() sum(m_total)";
    assert_eq!(points(&of(text, GONE_MS + 2 * HOUR_MS + 15 * MINUTE_MS)).len(), 1);
}

/// Series of which rows are all there is have names and values like others.
#[test]
fn labels_of_series_that_are_gone_are_listed() {
    let pair = Pair::open();
    pair.fill("now", START_MS, NOW_MS);
    pair.fill("then", START_MS, GONE_MS);
    pair.forget();
    let budget = Budget::unlimited();
    for range in [TimeRange::ALL, TimeRange::new(START_MS, GONE_MS)] {
        let (db, whole) = (pair.db(), pair.whole());
        let names = |db: &Db| db.label_names(&[], range, &budget).unwrap();
        assert_eq!(names(&db), names(&whole));
        let values = |db: &Db| db.label_values("kind", &[], range, &budget).unwrap();
        assert_eq!(values(&db), ["now", "then"]);
        assert_eq!(values(&db), values(&whole));
    }
}

/// Sums that pass the largest number are not what a row adds up.
#[test]
fn sums_near_the_largest_number_are_told() {
    let pair = Pair::open();
    pair.fill("a", START_MS, NOW_MS);
    let huge = |(i, ts)| ("huge", ts, if i % 3 == 0 { 1.7e308 } else { -1.7e308 });
    let all: Vec<_> = every_ten(START_MS, NOW_MS).enumerate().map(huge).collect();
    pair.append(&all);
    pair.forget();
    for (kind, told) in [("a", false), ("huge", true)] {
        let text = format!("sum_over_time(m_total{{kind=\"{kind}\"}}[1d])");
        let seen = ask(&pair.db(), &text, GONE_MS + DAY_MS, None);
        assert_eq!(warns(&seen, "near the largest number"), told, "{text} {:?}", seen.warnings);
    }
}
