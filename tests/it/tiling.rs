//! PromQL over the rows of the history against PromQL over the samples: two stores with the same samples, one of
//! them rolled up, answer every function with the same bits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nines::promql::{Engine, EngineOptions, QueryOptions, QueryResult, SampleValue, Value, parse};
use nines_storage::disk::sim::{SimDisk, SimRng};
use nines_storage::model::{Labels, Matcher, TimeRange, stale_nan};
use nines_storage::query::Budget;
use nines_storage::{Db, Store, StoreOptions};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Midnight of 2023-10-01.
const START_MS: i64 = 1_696_118_400_000;
const DAYS: i64 = 40;
const NOW_MS: i64 = START_MS + DAYS * DAY_MS + 5 * HOUR_MS + 17 * MINUTE_MS;

/// Same bits over samples and rows.
const EXACT: [&str; 17] = [
    "absent_over_time",
    "changes",
    "count_over_time",
    "delta",
    "first_over_time",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "rate",
    "resets",
    "ts_of_first_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
/// One unit in the last place at most.
const NEARLY: [&str; 2] = ["avg_over_time", "sum_over_time"];

fn open(retention: Option<Duration>) -> Store {
    let options = StoreOptions { retention, wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
    Store::open_on(Arc::new(SimDisk::new()), Path::new("/data"), options, &|_| {}).unwrap()
}

fn labels(kind: &str) -> Labels {
    Labels::from_pairs([("__name__", "m_total"), ("job", "a"), ("instance", "a:1"), ("kind", kind)])
}

fn append(db: &Db, samples: &[(&str, i64, f64)]) {
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

/// What each kind of series has at its `n`th scrape, if anything.
fn value(kind: &str, n: i64, ts: i64, rng: &mut SimRng, state: &mut f64) -> Option<f64> {
    let gap = (ts - START_MS) / DAY_MS % 11 == 7;
    match kind {
        "counter" => {
            *state = if rng.chance(2) { 0.0 } else { *state + rng.below(50) as f64 };
            Some(*state)
        }
        "decimal" => {
            *state = if rng.chance(1) { 0.25 } else { *state + rng.below(1000) as f64 / 7.0 };
            (!gap).then_some(*state)
        }
        // Reset more often than the row of a day tells.
        "saw" => Some((n % 3) as f64 * 1.1),
        "gauge" => Some(match rng.below(12) {
            0 => f64::NAN,
            1 => -0.0,
            2 => 0.0,
            3 => stale_nan(),
            _ => rng.below(2000) as f64 / 8.0 - 100.0,
        }),
        "infinite" => (n % 5 == 0).then(|| match rng.below(20) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2 => 1.7e308,
            _ => n as f64 / 3.0,
        }),
        "sparse" => (n % 200 == 0).then_some(n as f64),
        "short" => (900..1100).contains(&n).then_some(n as f64),
        _ => None,
    }
}

const KINDS: [&str; 7] = ["counter", "decimal", "saw", "gauge", "infinite", "sparse", "short"];

/// Writes all days, flushing now and then, so that there are several blocks.
fn fill(stores: &[&Store], seed: u64) {
    let mut rng = SimRng::new(seed);
    let mut states = [0.0; KINDS.len()];
    let (mut n, mut ts, mut day) = (0, START_MS + 1, 0);
    let mut batch = Vec::new();
    while ts < NOW_MS {
        // On the grid now and then.
        let near = ts % HOUR_MS < 10 * MINUTE_MS && rng.chance(50);
        let at = if near { ts / HOUR_MS * HOUR_MS } else { ts };
        // Resets that no row of an hour tells.
        if (20..22).contains(&((ts - START_MS) / DAY_MS)) {
            batch.extend((0..9).map(|i| ("storm", ts + i * MINUTE_MS, (i % 2) as f64)));
        }
        for (kind, state) in KINDS.iter().zip(&mut states) {
            if let Some(value) = value(kind, n, at, &mut rng, state) {
                batch.push((*kind, at, value));
            }
        }
        n += 1;
        ts += 10 * MINUTE_MS + rng.below(5_000) as i64;
        if (ts - START_MS) / DAY_MS > day || ts >= NOW_MS {
            day = (ts - START_MS) / DAY_MS;
            for store in stores {
                let db = store.db("anonymous").unwrap();
                append(&db, &batch);
                if day % 5 == 0 {
                    store.maintain(ts).unwrap();
                }
            }
            batch.clear();
        }
    }
}

pub fn ask(db: &Db, text: &str, at: i64, step: Option<(i64, i64)>) -> QueryResult {
    let options = EngineOptions::default();
    let (engine, tree) = (Engine::new(options), parse(text).unwrap());
    let (options, budget) = (QueryOptions::default(), Budget::unlimited());
    match step {
        None => engine.instant(db, &tree, text, at, &options, &budget),
        Some((start, step)) => engine.range(db, &tree, text, start, at, step, &options, &budget),
    }
    .unwrap()
}

pub type Points = Vec<(Labels, Vec<(i64, f64)>)>;

pub fn points(result: &QueryResult) -> Points {
    let mut all: Points = match &result.value {
        Value::Vector(list) => list
            .iter()
            .map(|sample| match sample.value {
                SampleValue::Float(value) => (sample.labels.clone(), vec![(sample.ts_ms, value)]),
                SampleValue::Histogram(_) => panic!("a histogram"),
            })
            .collect(),
        Value::Matrix(list) => list.iter().map(|s| (s.labels.clone(), s.floats.clone())).collect(),
        other => panic!("{other:?}"),
    };
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Whether two numbers are as near as `ulps` floats.
pub fn near(a: f64, b: f64, ulps: u64) -> bool {
    let order = |value: f64| {
        let bits = value.to_bits().cast_signed();
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    (a.is_nan() && b.is_nan())
        || a.to_bits() == b.to_bits()
        || (ulps > 0 && order(a).abs_diff(order(b)) <= ulps)
}

fn assert_same(rows: &QueryResult, samples: &QueryResult, ulps: u64, context: &str) {
    let (a, b) = (points(rows), points(samples));
    let shape = |all: &Points| {
        all.iter()
            .map(|s| (s.0.clone(), s.1.iter().map(|p| p.0).collect::<Vec<_>>()))
            .collect::<Vec<_>>()
    };
    assert_eq!(shape(&a), shape(&b), "{context}");
    for (x, y) in a.iter().zip(&b) {
        for (p, q) in x.1.iter().zip(&y.1) {
            let whole = ["counter", "sparse", "short"].contains(&x.0.get("kind"));
            let ulps = if whole { 0 } else { ulps };
            assert!(near(p.1, q.1, ulps), "{context} {:?}: {p:?} {q:?}", x.0);
        }
    }
    assert_eq!(rows.infos, samples.infos, "{context}");
    assert_eq!(rows.warnings, samples.warnings, "{context}");
    assert_eq!(rows.stats.samples_total, samples.stats.samples_total, "{context}");
}

const RANGES: [(&str, i64); 7] = [
    ("5m", 5 * MINUTE_MS),
    ("3h", 3 * HOUR_MS),
    ("1d", DAY_MS),
    ("26h30m", 26 * HOUR_MS + 30 * MINUTE_MS),
    ("7d", 7 * DAY_MS),
    ("30d", 30 * DAY_MS),
    ("365d", 365 * DAY_MS),
];

/// Asks both of everything. Answers how many samples and rows each has read.
fn compare(rolled: &Db, plain: &Db, rng: &mut SimRng, context: &str) -> (u64, u64) {
    let mut read = (0, 0);
    let midnight = START_MS + DAYS * DAY_MS;
    for (function, ulps) in EXACT.map(|f| (f, 0)).into_iter().chain(NEARLY.map(|f| (f, 1))) {
        for (range, range_ms) in RANGES {
            let text = format!("{function}(m_total[{range}])");
            let ragged = START_MS + rng.below((DAYS * DAY_MS) as u64) as i64;
            for at in [midnight, midnight - 7 * HOUR_MS, ragged, NOW_MS] {
                let context = format!("{context} {text} at {at}");
                let answers = (ask(rolled, &text, at, None), ask(plain, &text, at, None));
                assert_same(&answers.0, &answers.1, ulps, &context);
                if range_ms >= DAY_MS {
                    read.0 += answers.0.stats.samples_read;
                    read.1 += answers.1.stats.samples_read;
                }
            }
            let steps = [DAY_MS, HOUR_MS, 6 * HOUR_MS + MINUTE_MS];
            let step = steps[rng.below(3) as usize];
            let end = midnight - rng.below(3) as i64 * 1_234_567;
            let context = format!("{context} {text} to {end} every {step}");
            let start = end - step * 20;
            let answers = (
                ask(rolled, &text, end, Some((start, step))),
                ask(plain, &text, end, Some((start, step))),
            );
            assert_same(&answers.0, &answers.1, ulps, &context);
        }
    }
    read
}

#[test]
fn rows_answer_as_samples_do() {
    let (rolled, plain) = (open(None), open(None));
    let both = [&rolled, &plain];
    let [db, plain_db] = both.map(|store| store.db("anonymous").unwrap());
    let mut rng = SimRng::new(5);
    fill(&both, 11);
    let late = |rng: &mut SimRng| -> Vec<(&str, i64, f64)> {
        let ts = |rng: &mut SimRng| START_MS + rng.below((DAYS * DAY_MS) as u64) as i64;
        (0..6).map(|i| (KINDS[i % 4], ts(rng), rng.below(9) as f64)).collect()
    };
    let before = late(&mut rng);
    for store in both {
        append(&store.db("anonymous").unwrap(), &before);
    }
    db.roll_all(NOW_MS).unwrap();
    plain_db.compact_all(NOW_MS).unwrap();
    let state = db.history().unwrap().state();
    assert!(state.days.len() as i64 >= DAYS && state.months.len() == 1, "{state:?}");
    let (of_rows, of_samples) = compare(&db, &plain_db, &mut rng, "rolled up");
    assert!(of_rows * 3 < of_samples * 2, "{of_rows} of {of_samples} read");

    // Late samples: in memory, then in blocks that rows do not know, then in rows.
    let after = late(&mut rng);
    for store in both {
        append(&store.db("anonymous").unwrap(), &after);
    }
    compare(&db, &plain_db, &mut rng, "late, in memory");
    for store in both {
        store.maintain(NOW_MS + HOUR_MS).unwrap();
    }
    compare(&db, &plain_db, &mut rng, "late, in blocks");
    let deleted = [vec![Matcher::equal("kind", "counter")]];
    let range = TimeRange::new(START_MS + 9 * DAY_MS + 5, START_MS + 12 * DAY_MS + HOUR_MS);
    for store in both {
        assert_ne!(store.db("anonymous").unwrap().delete(&deleted, range).unwrap(), 0);
    }
    compare(&db, &plain_db, &mut rng, "deleted");
    db.roll_all(NOW_MS).unwrap();
    compare(&db, &plain_db, &mut rng, "rolled up again");
}

/// Where retention has taken the samples, windows of whole hours have the answers that they had.
#[test]
fn rows_answer_when_samples_are_gone() {
    let (short, long) = (open(Some(Duration::from_secs(10 * 86_400))), open(None));
    let both = [&short, &long];
    let [db, whole] = both.map(|store| store.db("anonymous").unwrap());
    fill(&both, 12);
    both.iter().for_each(|store| store.maintain(NOW_MS + HOUR_MS).unwrap());
    db.roll_all(NOW_MS).unwrap();
    short.maintain(NOW_MS).unwrap();
    let state = db.history().unwrap().state();
    let gone = state.raw_gone.unwrap().end_ms();
    let midnight = START_MS + DAYS * DAY_MS;
    assert!(gone > START_MS + 20 * DAY_MS && gone < midnight, "{state:?}");
    let raw = ask(&db, "count_over_time(m_total[5m])", START_MS + 2 * DAY_MS, None);
    assert_eq!(points(&raw), Points::new());
    assert!(raw.infos.iter().chain(&raw.warnings).count() > 0, "{raw:?}");

    let mut rng = SimRng::new(3);
    for (function, ulps) in EXACT.map(|f| (f, 0)).into_iter().chain(NEARLY.map(|f| (f, 1))) {
        for hours in [1, 3, 24, 50, 24 * 7, 24 * 30, 24 * 365] {
            let text = format!("{function}(m_total[{hours}h])");
            for _ in 0..6 {
                let at = START_MS + rng.below((DAYS * 24) as u64) as i64 * HOUR_MS;
                let (a, b) = (ask(&db, &text, at, None), ask(&whole, &text, at, None));
                let context = format!("{text} at {at}");
                // What was too often reset, or adds up to more than there are numbers, only samples tell.
                let told = |result: &QueryResult| {
                    let untold = |kind: &str| match function {
                        "rate" | "increase" => kind == "storm",
                        "sum_over_time" | "avg_over_time" => kind == "infinite",
                        _ => false,
                    };
                    let mut all = points(result);
                    all.retain(|series| !untold(series.0.get("kind")));
                    all
                };
                let (a_told, b_told) = (told(&a), told(&b));
                assert_eq!(
                    a_told.len(),
                    b_told.len(),
                    "{context} {a_told:?} {b_told:?} {:?}",
                    a.warnings
                );
                for (x, y) in a_told.iter().zip(&b_told) {
                    let near = near(x.1[0].1, y.1[0].1, ulps);
                    assert!(near && x.0 == y.0, "{context}: {x:?} {y:?}");
                }
                let moved = a.infos.iter().any(|info| info.contains("moved back"));
                assert!(!moved, "{context}: {:?}", a.infos);
            }
        }
    }
    for (text, at) in [("increase(m_total[7d])", 9), ("max_over_time(m_total[20d])", 25)] {
        let hour = START_MS + at * DAY_MS + 5 * HOUR_MS;
        let ragged = ask(&db, text, hour + 1_234_567, None);
        let told = ragged.infos.iter().find(|info| info.contains("moved back")).unwrap();
        assert!(told.contains("by 1234.567 s at most (1:"), "{told}");
        let aligned = points(&ask(&db, text, hour, None));
        let values = |all: &Points| all.iter().map(|s| s.1[0].1.to_bits()).collect::<Vec<_>>();
        assert_eq!(values(&points(&ragged)), values(&aligned), "{text}");
        assert!(!aligned.is_empty());
    }
    let gone_at = START_MS + 5 * DAY_MS;
    for text in ["quantile_over_time(0.5, m_total[1d])", "deriv(m_total[3h])", "m_total[1d]"] {
        let answer = ask(&db, text, gone_at, None);
        let told = answer.warnings.iter().any(|text| text.contains("needs samples"));
        assert!(told, "{text}: {:?}", answer.warnings);
    }
    // The newest sample of an hour is that of its end.
    for hour in 0..(gone - START_MS) / HOUR_MS + 2 {
        let at = START_MS + hour * HOUR_MS;
        for text in ["m_total", "timestamp(m_total)"] {
            let (a, b) = (ask(&db, text, at, None), ask(&whole, text, at, None));
            assert_same(&a, &b, 0, &format!("{text} at {at}"));
        }
        let at = at + rng.below(HOUR_MS as u64) as i64;
        let (a, b) = (ask(&db, "m_total", at, None), ask(&whole, "m_total", at, None));
        let all = points(&b);
        for series in points(&a) {
            let same = |other: &(Labels, Vec<(i64, f64)>)| {
                other.0 == series.0 && near(other.1[0].1, series.1[0].1, 0)
            };
            assert!(all.iter().any(same), "{series:?} at {at}");
        }
        assert!(points(&a).len() == all.len() || !a.warnings.is_empty(), "at {at}");
    }
    let series = |db: &Db| {
        let sets = [vec![Matcher::equal("kind", "short")]];
        let range = TimeRange::new(START_MS, START_MS + 9 * DAY_MS);
        db.series(&sets, range, &Budget::unlimited()).unwrap()
    };
    assert_eq!(series(&db), series(&whole));
    assert_eq!(series(&db).len(), 1);
}
