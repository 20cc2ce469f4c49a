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
    let mut out = Vec::new();
    for (reference, instance, name) in [(1, "a", "up"), (2, "a", "x"), (3, "b", "up"), (4, "", "y")]
    {
        let labels = [("__name__", name), ("instance", instance), ("job", "j")];
        let labels: Vec<_> = labels.iter().filter(|(_, value)| !value.is_empty()).collect();
        out.extend_from_slice(&[reference, labels.len() as u8]);
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let series = series_record();
    let mut records: Vec<(u8, u64, &[u8])> = vec![(1, 0, &series)];
    while !source.is_empty() && records.len() < 20 {
        let (kind, len) = (source.u8() % 8, usize::from(source.u8()));
        records.push((kind, 0, source.bytes(len)));
    }
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
