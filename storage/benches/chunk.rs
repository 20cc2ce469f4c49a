//! What the samples of a target cost in a page: encoding and the second pass as multiples of decoding. Budget:
//! less than 60 ns each to encode and less than 3 ns each to decode. Measured: encoding 2 (constants) to 15 times
//! as long as decoding, compressing 0.2 to 4 times, inflating 0.1 to 0.4 times. Run with `cargo bench -p nines-storage --bench chunk`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::hint::black_box;
use std::time::Instant;

use nines_storage::chunk::{Compressor, InflatedPages, Page, PageBuilder, PageScratch};
use nines_storage::model::TimeRange;

const N_SERIES: u32 = 64;
const N_SLOTS: usize = 120;

/// Best seconds of some runs, per sample in nanoseconds.
fn best(mut run: impl FnMut()) -> f64 {
    let seconds = (0..50).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min) * 1e9 / (f64::from(N_SERIES) * N_SLOTS as f64)
}

fn measure(name: &str, value: impl Fn(u32, usize) -> f64) {
    let ts: Vec<i64> = (0..N_SLOTS as i64).map(|i| 1_700_000_000_000 + i * 15_000).collect();
    let series: Vec<Vec<f64>> =
        (0..N_SERIES).map(|ord| (0..N_SLOTS).map(|slot| value(ord, slot)).collect()).collect();
    let mut builder = PageBuilder::new(0);
    let mut bytes = Vec::new();
    let encode_ns = best(|| {
        bytes.clear();
        for (ord, values) in (0..).zip(&series) {
            builder.add_floats(ord, &ts, values, &[]);
        }
        builder.finish(&mut bytes);
    });
    let mut inflated = InflatedPages::default();
    let page = Page::open(&bytes, true, Some(1), &mut inflated).unwrap();
    let mut scratch = PageScratch::default();
    let (mut at, mut values, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    let decode_ns = best(|| {
        for ord in 0..N_SERIES {
            at.clear();
            values.clear();
            let all = TimeRange::ALL;
            page.read_floats(ord, all, &mut scratch, &mut at, &mut values, &mut starts).unwrap();
            black_box(&values);
        }
    });
    let mut compressed = Vec::new();
    let mut compressor = Compressor::default();
    let compress_ns = best(|| {
        compressed.clone_from(&bytes);
        compressor.compress(&mut compressed);
    });
    let mut inflated = InflatedPages::default();
    let inflate_ns = best(|| {
        black_box(Page::open(&compressed, false, None, &mut inflated).unwrap());
    });
    let per_sample = |bytes: &[u8]| bytes.len() as f64 / (f64::from(N_SERIES) * N_SLOTS as f64);
    println!(
        "{name}: decode {decode_ns:.2} ns, encode {:.0} x that, compress {:.1} x, inflate {:.1} x; {:.3} bytes \
         per sample, compressed {:.3}",
        encode_ns / decode_ns,
        compress_ns / decode_ns,
        inflate_ns / decode_ns,
        per_sample(&bytes),
        per_sample(&compressed),
    );
}

fn main() {
    measure("counters", |ord, slot| {
        (slot as u64 * u64::from(ord * 7 + 1) + (slot as u64 * 31 % 5)) as f64
    });
    measure("gauges of 2 decimals", |ord, slot| {
        ((slot as u64 * 37 + u64::from(ord)) % 1000) as f64 / 100.0
    });
    measure("constants", |ord, _| f64::from(ord));
    measure("buckets of a histogram", |ord, slot| {
        (ord as usize * 1000 + slot * slot % 1013) as f64
    });
    measure("full precision", |ord, slot| ((slot + ord as usize) as f64).sin());
}
