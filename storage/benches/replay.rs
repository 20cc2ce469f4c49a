//! Budget: opening a store replays more than 2 million samples per second and core, so that a full log of
//! 1 GiB takes less than a minute. Run with `cargo bench -p nines-storage --bench replay`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::time::Instant;

use nines_storage::model::Labels;
use nines_storage::{Store, StoreOptions};

const N_SERIES: u32 = 20_000;
const N_SCRAPES: i64 = 60;
const NOW_MS: i64 = 1_700_000_000_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    for scrape in 0..N_SCRAPES {
        let mut appender = db.appender();
        for i in 0..N_SERIES {
            let key = db.series_key(&i.to_le_bytes());
            let series = appender.find(key).unwrap_or_else(|| {
                let (instance, id) = (format!("host{}:9100", i / 500), (i % 500).to_string());
                let labels =
                    [("__name__", "m"), ("job", "node"), ("instance", &instance), ("id", &id)];
                appender.resolve(key, &Labels::from_pairs(labels)).unwrap()
            });
            let value = (scrape * i64::from(i % 100)) as f64;
            appender.sample(series, NOW_MS - (N_SCRAPES - scrape) * 15_000, value, 0);
        }
        appender.commit(NOW_MS).unwrap();
    }
    store.close().unwrap();
    drop(db);
    drop(store);
    let samples = f64::from(N_SERIES) * N_SCRAPES as f64;
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        let start = Instant::now();
        let store = Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
        store.close().unwrap();
    }
    println!(
        "replay: {:.0} ns per sample, {:.2} million per second",
        best * 1e9 / samples,
        samples / best / 1e6
    );
}
