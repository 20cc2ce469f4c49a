//! Records of any bytes in an intact log: the database opens or refuses, answers, and answers the same after
//! a restart, after a flush to blocks, and after another restart.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use nines_fuzz::{Source, put_file, segment};
use nines_storage::disk::sim::SimDisk;
use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints};
use nines_storage::{Result, Store, StoreOptions};

const NOW_MS: i64 = 1_700_000_000_000;

/// Timestamp, bits and start timestamp of a float, or a histogram's bytes.
type Answer = Vec<(Labels, Vec<(i64, u64, i64)>, Vec<(i64, Vec<u8>)>)>;

fn open(disk: &SimDisk) -> Result<Store> {
    let options = StoreOptions { wal_segment_bytes: 64 << 10, ..StoreOptions::default() };
    Store::open_on(Arc::new(disk.clone()), Path::new("/data"), options, &|_| {})
}

fn answer(store: &Store) -> Answer {
    let db = store.db("a").expect("exists");
    let budget = Budget::unlimited();
    let matchers = [Matcher::equal("absent", "")];
    let set = db
        .select(&matchers, TimeRange::ALL, &SelectHints::default(), &budget)
        .expect("can be selected");
    assert_eq!(set.warnings(), [] as [String; 0]);
    let mut data = SeriesData::default();
    let mut all = Answer::new();
    for i in 0..set.len() {
        set.read(i, TimeRange::ALL, &budget, &mut data).expect("can be read");
        assert!(data.ts.is_sorted_by(|a, b| a < b));
        let start = |j: usize| data.start_ts.get(j).copied().unwrap_or(0);
        let floats = data.ts.iter().zip(&data.values).enumerate();
        let floats: Vec<_> =
            floats.map(|(j, (ts, value))| (*ts, value.to_bits(), start(j))).collect();
        let histograms = data.histograms.iter().map(|(ts, histogram)| {
            let mut bytes = Vec::new();
            histogram.encode(&mut bytes);
            (*ts, bytes)
        });
        let histograms: Vec<_> = histograms.collect();
        if !(floats.is_empty() && histograms.is_empty()) {
            all.push((set.labels(i).clone(), floats, histograms));
        }
    }
    all
}

fn reopened(store: Store, disk: &SimDisk) -> Store {
    store.close().expect("closes");
    drop(store);
    open(disk).expect("opens again")
}

/// Four series with the references 1 to 4, two of one target.
fn series_record() -> Vec<u8> {
    let texts = ["instance", "a", "b", "job", "j", "up", "x", "y"];
    let mut out = vec![texts.len() as u8];
    for text in texts {
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    }
    // Targets a, b and none; metric names, each one more than its text.
    out.extend_from_slice(&[3, 2, 0, 1, 3, 4, 2, 0, 2, 3, 4, 1, 3, 4]);
    out.extend_from_slice(&[3, 6, 0, 7, 0, 8, 0]);
    for (target, shape) in [(0, 0), (0, 1), (1, 0), (2, 2)] {
        out.extend_from_slice(&[2, target, shape, 0]);
    }
    out
}

/// A record of samples that is whole, of any numbers.
fn sample_record(source: &mut Source<'_>, with_start: bool) -> Vec<u8> {
    let count = source.u8() % 40;
    let mut out = vec![count];
    for _ in 0..if with_start { 3 } else { 2 } {
        let mut left = count;
        while left > 0 {
            let length = (source.u8() % 8).clamp(1, left);
            out.extend_from_slice(&[source.u8() % 0x80, length]);
            left -= length;
        }
    }
    let mut codes = vec![0; usize::from(count).div_ceil(2)];
    let mut values = Vec::new();
    for i in 0..usize::from(count) {
        let code = source.u8() % 16;
        codes[i / 2] |= code << (4 * (i % 2));
        let bytes = match code {
            0 => 0,
            15 => 8,
            1..=7 => code - 1,
            _ => code - 7,
        };
        values.extend((0..bytes).map(|_| source.u8()));
    }
    out.extend(codes.iter().chain(&values));
    out
}

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let series = series_record();
    let mut payloads = vec![(1, series)];
    while !source.is_empty() && payloads.len() < 20 {
        let kind = source.u8() % 10;
        payloads.push(match kind {
            8 | 9 => (kind - 6, sample_record(&mut source, kind == 9)),
            _ => {
                let len = usize::from(source.u8());
                (kind, source.bytes(len).to_vec())
            }
        });
    }
    let mut records: Vec<(u8, u64, &[u8])> =
        payloads.iter().map(|(kind, payload)| (*kind, 0, payload.as_slice())).collect();
    let last = records.len() as u64;
    records.push((0, last, b""));
    let disk = SimDisk::new();
    put_file(&disk, Path::new("/data/tenants/a/wal/00000001"), &segment(1, 1, &records));
    let Ok(store) = open(&disk) else { return };
    let first = answer(&store);
    let store = reopened(store, &disk);
    assert_eq!(answer(&store), first, "after a restart");
    store.db("a").expect("exists").compact_all(NOW_MS).expect("flushes");
    assert_eq!(answer(&store), first, "from blocks");
    let store = reopened(store, &disk);
    assert_eq!(answer(&store), first, "from blocks after a restart");
});
