//! What a database must answer, kept in a map: the oracle of the random tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use nines_storage::disk::sim::SimRng;
use nines_storage::model::{Labels, Matcher, STALE_NAN_BITS, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{AppendOutcome, Db, Result, StoreOptions};

pub const NOW_MS: i64 = 1_700_000_000_000;

/// Samples by series and time; the value's bits and the start timestamp.
pub type Model = BTreeMap<String, BTreeMap<i64, (u64, i64)>>;

pub fn labels(name: &str) -> Labels {
    let target = name.len() % 3;
    Labels::from_pairs([
        ("__name__", "metric"),
        ("job", "test"),
        ("instance", ["a:1", "b:1", "c:1"][target]),
        ("series", name),
    ])
}

/// One sample of a batch.
#[derive(Debug, Clone)]
pub struct Write {
    pub series: String,
    pub ts: i64,
    pub bits: u64,
    pub start_ts: i64,
}

/// Random values of the kinds that metrics have.
pub fn value(rng: &mut SimRng) -> u64 {
    match rng.below(6) {
        0 => rng.next_u64(),
        1 => STALE_NAN_BITS,
        2 => (rng.below(1000) as f64 / 8.0).to_bits(),
        _ => (rng.below(100) as f64).to_bits(),
    }
}

/// A batch: mostly the next scrape of some series, now and then something late or repeated.
pub fn batch(rng: &mut SimRng, clock_ms: &mut i64) -> Vec<Write> {
    *clock_ms += 15_000;
    let mut writes = Vec::new();
    for _ in 0..=rng.below(12) {
        let series = "s".repeat(1 + rng.below(7) as usize);
        let ts = match rng.below(10) {
            0 => *clock_ms - rng.below(4_000_000) as i64,
            1 => rng.below(100_000) as i64,
            2 => *clock_ms - 15_000 * rng.below(20) as i64,
            _ => *clock_ms,
        };
        let start_ts = if rng.chance(10) { ts - 1000 } else { 0 };
        writes.push(Write { series, ts, bits: value(rng), start_ts });
    }
    writes
}

pub fn append(db: &Db, writes: &[Write]) -> Result<AppendOutcome> {
    let mut appender = db.appender();
    for write in writes {
        let key = db.series_key(write.series.as_bytes());
        let series = match appender.find(key) {
            Some(series) => series,
            None => match appender.resolve(key, &labels(&write.series)) {
                Ok(series) => series,
                Err(reason) => {
                    // The log takes no series: the commit tells why.
                    let failed = appender.commit(NOW_MS);
                    assert!(failed.is_err(), "{reason:?}");
                    return failed;
                }
            },
        };
        appender.sample(series, write.ts, f64::from_bits(write.bits), write.start_ts);
    }
    appender.commit(NOW_MS)
}

/// Applies a batch by the rule of the first accepted value. Answers how many samples count as written.
pub fn apply(model: &mut Model, writes: &[Write]) -> u64 {
    let mut written = 0;
    for write in writes {
        let samples = model.entry(write.series.clone()).or_default();
        let kept = samples.entry(write.ts).or_insert((write.bits, write.start_ts));
        written += u64::from(kept.0 == write.bits);
    }
    written
}

/// All samples inside `range`, through selections of everything: in order and in any order.
pub fn read(db: &Db, range: TimeRange) -> Model {
    let ordered = read_in(db, range, false);
    assert_eq!(read_in(db, range, true), ordered);
    ordered
}

fn read_in(db: &Db, range: TimeRange, any_order: bool) -> Model {
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("__name__", "metric")];
    let hints = SelectHints { any_order, ..SelectHints::default() };
    let set = db.select(&matchers, range, &hints, &budget).unwrap();
    assert_eq!(set.warnings(), [] as [String; 0]);
    assert!(any_order || (1..set.len()).all(|i| set.labels(i - 1) < set.labels(i)));
    let mut data = SeriesData::default();
    let mut all = Model::new();
    for i in 0..set.len() {
        set.read(i, range, &budget, &mut data).unwrap();
        assert!(data.ts.is_sorted_by(|a, b| a < b), "ascending: {:?}", data.ts);
        let samples = (0..data.ts.len()).map(|j| {
            let start_ts = data.start_ts.get(j).copied().unwrap_or(0);
            (data.ts[j], (data.values[j].to_bits(), start_ts))
        });
        let samples: BTreeMap<_, _> = samples.collect();
        if !samples.is_empty() {
            let name = set.labels(i).get("series").to_owned();
            assert!(all.insert(name, samples).is_none(), "each series once");
        }
    }
    all
}

/// The part of the model inside `range`.
pub fn cut(model: &Model, range: TimeRange) -> Model {
    let inside = |samples: &BTreeMap<i64, (u64, i64)>| {
        samples.iter().filter(|(ts, _)| range.contains(**ts)).map(|(t, v)| (*t, *v)).collect()
    };
    let cut = model.iter().map(|(name, samples)| (name.clone(), inside(samples)));
    cut.filter(|(_, samples): &(String, BTreeMap<_, _>)| !samples.is_empty()).collect()
}

/// Small segments, so that a log has several and a simulated disk need not hold large ones.
pub fn options() -> StoreOptions {
    StoreOptions { wal_segment_bytes: 64 << 10, ..StoreOptions::default() }
}

pub fn db_of(store: &nines_storage::Store) -> Arc<Db> {
    store.db("anonymous").unwrap()
}
