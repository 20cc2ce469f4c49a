//! Budget: a second imports more than a million samples of a block of Prometheus. Run with `cargo bench --bench import`;
//! numbers of series and of samples of each, and a folder, behind `--` make a block there and leave it, for measuring
//! the program.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

#[path = "../tests/tsdb/encode.rs"]
mod encode;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use nines::import::{import_block, tsdb};
use nines_storage::{Store, StoreOptions};

/// 2023-11-14T00:00:00Z.
const START_MS: i64 = 1_699_920_000_000;
const NOW_MS: i64 = 1_790_000_000_000;
/// Series of a target, and samples of a series: five days, a scrape every 15 s.
const SERIES_PER_TARGET: usize = 500;
const SAMPLES_PER_SERIES: usize = 5 * 5760;
const N_SERIES: usize = 174;

fn series(n: usize) -> Vec<encode::Pairs> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    let mut all: Vec<encode::Pairs> = (0..n)
        .map(|i| {
            let (target, own) = (i / SERIES_PER_TARGET, i % SERIES_PER_TARGET);
            vec![
                pair("__name__", format!("http_requests_{}_total", own % 50)),
                pair("code", (200 + own / 50).to_string()),
                pair("instance", format!("host{target}:9100")),
                pair("job", format!("job{}", target % 7)),
                pair("zone", "west".to_owned()),
            ]
        })
        .collect();
    all.sort();
    all
}

/// Half of them counters that grow unevenly, a quarter gauges with decimals, the others hardly change.
fn samples(i: usize, n: usize) -> Vec<(i64, f64)> {
    let mut state = i as u64 + 1;
    let mut counter = 0u64;
    let value = |k: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        counter += state >> 58;
        let value = match i % 4 {
            0 | 1 => counter as f64,
            2 => (state >> 44) as f64 / 1000.0,
            _ => (k / 5000) as f64,
        };
        (START_MS + k as i64 * 15_000 + (state >> 61) as i64, value)
    };
    (0..n).map(value).collect()
}

fn make(dir: &Path, n: usize, per_series: usize) {
    let series = series(n);
    encode::write_block(&dir.join("01BENCH"), "01BENCH", &series, &[], &mut |i| {
        encode::xor_chunks(&samples(i, per_series))
    });
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [n, per_series, dir] = args.as_slice() {
        return make(Path::new(dir), n.parse().unwrap(), per_series.parse().unwrap());
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), N_SERIES, SAMPLES_PER_SERIES);
    let options = StoreOptions::default();
    let store = Store::open(&dir.path().join("data"), options.clone(), &|_| {}).unwrap();
    let db = store.db("anonymous").unwrap();
    let mut imports = db.imports().unwrap();
    let source = tsdb::find(dir.path(), &BTreeMap::new()).unwrap().remove(0).unwrap();
    let begun = Instant::now();
    let outcome =
        import_block(&db, &source, &options.target_labels, &mut imports, NOW_MS, &mut |_| {})
            .unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} samples, {:.0} a second, {:.3} bytes each",
        outcome.samples,
        outcome.samples as f64 / seconds,
        outcome.bytes as f64 / outcome.samples as f64
    );
}
