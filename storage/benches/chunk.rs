//! What the samples of a target cost in a page. Budget: less than 60 ns each to encode and less than 3 ns each to
//! decode. Run with `cargo bench -p nines-storage --bench chunk`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nines_storage::chunk::{Compressor, InflatedPages, Page, PageBuilder, PageScratch};
use nines_storage::model::TimeRange;

const N_SERIES: u32 = 64;
const N_SLOTS: usize = 120;

fn measure(criterion: &mut Criterion, name: &str, value: impl Fn(u32, usize) -> f64) {
    let ts: Vec<i64> = (0..N_SLOTS as i64).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let series: Vec<Vec<f64>> =
        (0..N_SERIES).map(|ord| (0..N_SLOTS).map(|slot| value(ord, slot)).collect()).collect();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(u64::from(N_SERIES) * N_SLOTS as u64));
    let mut builder = PageBuilder::new(0);
    let mut encode = |bytes: &mut Vec<u8>| {
        bytes.clear();
        for (ord, values) in (0..).zip(&series) {
            builder.add_floats(ord, &ts, values, &[]);
        }
        builder.finish(bytes);
    };
    let mut bytes = Vec::new();
    encode(&mut bytes);
    let mut scrap = Vec::new();
    group.bench_function("encode", |b| b.iter(|| encode(&mut scrap)));
    let mut inflated = InflatedPages::default();
    let page = Page::open(&bytes, true, Some(1), &mut inflated).unwrap();
    let mut scratch = PageScratch::default();
    let (mut at, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    group.bench_function("decode", |b| {
        b.iter(|| {
            for ord in 0..N_SERIES {
                at.clear();
                values.clear();
                let all = TimeRange::ALL;
                page.read_floats(ord, all, &mut scratch, &mut at, &mut values, &mut starts)
                    .unwrap();
                black_box(&values);
            }
        });
    });
    let mut compressed = Vec::new();
    let mut compressor = Compressor::default();
    group.bench_function("compress", |b| {
        b.iter(|| {
            compressed.clone_from(&bytes);
            compressor.compress(&mut compressed);
        });
    });
    let mut inflated = InflatedPages::default();
    group.bench_function("inflate", |b| {
        b.iter(|| {
            black_box(Page::open(&compressed, false, None, &mut inflated).unwrap());
        });
    });
    group.finish();
    let per_sample = |bytes: &[u8]| bytes.len() as f64 / (f64::from(N_SERIES) * N_SLOTS as f64);
    let (plain, small) = (per_sample(&bytes), per_sample(&compressed));
    println!("{name}: {plain:.3} bytes per sample, compressed {small:.3}");
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let criterion = &mut criterion;
    measure(criterion, "counters", |ord, slot| {
        (slot as u64 * u64::from(ord * 7 + 1) + (slot as u64 * 31 % 5)) as f64
    });
    measure(criterion, "gauges of 2 decimals", |ord, slot| {
        ((slot as u64 * 37 + u64::from(ord)) % 1000) as f64 / 100.0
    });
    measure(criterion, "constants", |ord, _| f64::from(ord));
    measure(criterion, "buckets of a histogram", |ord, slot| {
        (ord as usize * 1000 + slot * slot % 1013) as f64
    });
    measure(criterion, "full precision", |ord, slot| ((slot + ord as usize) as f64).sin());
}
