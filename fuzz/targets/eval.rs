//! Any query over a small store: an answer or a typed error, within its limits, and the same answer twice.
#![no_main]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use nines::promql::{Engine, EngineOptions, QueryOptions, parse};
use nines_storage::disk::sim::SimDisk;
use nines_storage::model::Labels;
use nines_storage::query::{Budget, BudgetLimits};
use nines_storage::{Db, Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;

/// Counters with resets, gauges and a classic histogram of two targets; half in a block, half in the head.
static DB: LazyLock<Arc<Db>> = LazyLock::new(|| {
    let disk = SimDisk::new();
    let options = StoreOptions { wal_segment_bytes: 1 << 20, ..StoreOptions::default() };
    let store =
        Store::open_on(Arc::new(disk), Path::new("/data"), options, &|_| {}).expect("opens");
    let db = store.db("a").expect("a tenant");
    for step in 0..80i64 {
        let mut appender = db.appender();
        let ts = NOW_MS - (80 - step) * 15_000;
        for (i, (name, le)) in [("a", ""), ("b", ""), ("h_bucket", "1"), ("h_bucket", "+Inf")]
            .into_iter()
            .flat_map(|series| [series; 2])
            .enumerate()
        {
            let instance = ["x:1", "y:1"][i % 2];
            let labels = [("__name__", name), ("instance", instance), ("job", "j"), ("le", le)];
            let labels = Labels::from_pairs(labels);
            let key = db.series_key(&i.to_le_bytes());
            let series = appender.resolve(key, &labels).expect("taken");
            let value =
                if i < 2 { (step * 7 % 100) as f64 } else { (step * i as i64) as f64 / 8.0 };
            appender.sample(series, ts, value, 0);
        }
        appender.commit(NOW_MS).expect("written");
        if step == 40 {
            db.compact_all(NOW_MS).expect("flushed");
        }
    }
    db
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else { return Corpus::Reject };
    let Ok(tree) = parse(text) else { return Corpus::Reject };
    let engine = Engine::new(EngineOptions { threads_max: 1, ..EngineOptions::default() });
    let options = QueryOptions::default();
    let ask = |range: bool| {
        let limits = BudgetLimits {
            samples_max: 100_000,
            series_max: 1000,
            bytes_max: 64 << 20,
            timeout: Duration::from_secs(1),
        };
        let budget = Budget::new(limits, Arc::new(AtomicBool::new(false)));
        let answer = if range {
            let start = NOW_MS - 300_000;
            engine.range(&**DB, &tree, text, start, NOW_MS, 60_000, &options, &budget)
        } else {
            engine.instant(&**DB, &tree, text, NOW_MS, &options, &budget)
        };
        answer.map(|answer| format!("{:?}", answer.value)).map_err(|refused| refused.to_string())
    };
    for range in [false, true] {
        let (first, second) = (ask(range), ask(range));
        if let (Ok(first), Ok(second)) = (first, second) {
            assert_eq!(first, second, "{text}");
        }
    }
    Corpus::Keep
});
