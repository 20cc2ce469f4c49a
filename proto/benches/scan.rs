//! Budget: walking a usual series (10 labels, one sample) of remote write 1.0 takes less than 40 ns, the
//! references of one of 2.0 included likewise. Run with `cargo bench -p nines-proto`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

use std::hint::black_box;
use std::time::Instant;

use nines_proto::{DatumV1, DatumV2, ItemV1, Message, ScanV1, ScanV2, v1, v2};

const N_SERIES: usize = 2000;

fn labels(i: usize) -> Vec<(String, String)> {
    let mut out = vec![("__name__".into(), format!("http_requests_total_{}", i % 100))];
    for (j, name) in [
        "cluster",
        "container",
        "endpoint",
        "instance",
        "job",
        "namespace",
        "node",
        "pod",
        "service",
    ]
    .into_iter()
    .enumerate()
    {
        out.push((name.into(), format!("{name}-value-{}", (i >> j) % 97)));
    }
    out
}

fn request_v1() -> Vec<u8> {
    let timeseries = (0..N_SERIES)
        .map(|i| v1::TimeSeries {
            labels: labels(i).into_iter().map(|(name, value)| v1::Label { name, value }).collect(),
            samples: vec![v1::Sample {
                value: i as f64 + 0.5,
                timestamp: 1_700_000_000_000 + i as i64,
            }],
            ..Default::default()
        })
        .collect();
    v1::WriteRequest { timeseries, metadata: vec![] }.encode_to_vec()
}

fn request_v2() -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut places = std::collections::HashMap::new();
    let mut place = |text: String| {
        *places.entry(text.clone()).or_insert_with(|| {
            symbols.push(text);
            u32::try_from(symbols.len() - 1).unwrap()
        })
    };
    let timeseries = (0..N_SERIES)
        .map(|i| v2::TimeSeries {
            labels_refs: labels(i).into_iter().flat_map(|(n, v)| [n, v]).map(&mut place).collect(),
            samples: vec![v2::Sample {
                value: i as f64 + 0.5,
                timestamp: 1_700_000_000_000 + i as i64,
                start_timestamp: 0,
            }],
            ..Default::default()
        })
        .collect();
    v2::Request { symbols, timeseries }.encode_to_vec()
}

fn walk_v1(body: &[u8]) -> u64 {
    let mut sum = 0;
    let mut scratch = Vec::new();
    let mut scan = ScanV1::new(body);
    while let Some(item) = scan.next_item().unwrap() {
        let ItemV1::Series(series) = item else { continue };
        sum += series.raw_labels(&mut scratch).len() as u64;
        if let Some(sample) = series.only_sample() {
            sum ^= sample.value.to_bits() ^ sample.ts.cast_unsigned();
            continue;
        }
        let mut data = series.data();
        while let Some(datum) = data.next_datum().unwrap() {
            if let DatumV1::Sample(sample) = datum {
                sum ^= sample.value.to_bits() ^ sample.ts.cast_unsigned();
            }
        }
    }
    sum
}

fn walk_v2(body: &[u8]) -> u64 {
    let mut sum = 0;
    let mut refs = [0; 129];
    let mut scan = ScanV2::open(body, usize::MAX).unwrap();
    while let Some(series) = scan.next_series().unwrap() {
        sum += series.refs(&mut refs).unwrap() as u64;
        if let Some(sample) = series.only_sample() {
            sum ^= sample.value.to_bits() ^ sample.ts.cast_unsigned();
            continue;
        }
        let mut data = series.data();
        while let Some(datum) = data.next_datum().unwrap() {
            if let DatumV2::Sample(sample) = datum {
                sum ^= sample.value.to_bits() ^ sample.ts.cast_unsigned();
            }
        }
    }
    sum
}

fn measure(name: &str, body: &[u8], walk: fn(&[u8]) -> u64) {
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        black_box(walk(black_box(body)));
        best = best.min(start.elapsed().as_nanos() as f64 / N_SERIES as f64);
    }
    println!("{name}: {best:.1} ns per series, {} bytes each", body.len() / N_SERIES);
}

fn main() {
    let (one, two) = (request_v1(), request_v2());
    measure("walk of 1.0", &one, walk_v1);
    measure("walk of 2.0", &two, walk_v2);
    measure("prost of 1.0", &one, |body| {
        v1::WriteRequest::decode(body).unwrap().timeseries.len() as u64
    });
    measure("prost of 2.0", &two, |body| {
        v2::Request::decode(body).unwrap().timeseries.len() as u64
    });
}
