//! What the benches of the program write: scrapes of some targets, as remote-write bodies.
#![allow(clippy::unwrap_used, reason = "a program for people")]

use nines_proto::{Message, v1, v2};
use nines_storage::{Store, StoreOptions};

/// Series of each scrape.
pub(crate) const N_SERIES: u32 = 5000;
/// What the clock says.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// The labels of series `i`: one hundred series each of fifty targets.
fn labels(i: u32) -> [(&'static str, String); 6] {
    [
        ("__name__", format!("http_requests_{}_total", i % 10)),
        ("code", (200 + i / 10 % 5).to_string()),
        ("handler", format!("/api/v1/{}", i / 50 % 2)),
        ("instance", format!("host{}:9100", i / 100)),
        ("job", format!("job{}", i / 1000)),
        ("zone", "west".to_owned()),
    ]
}

fn value(i: u32, scrape: i64) -> f64 {
    (scrape * i64::from(i % 97 + 1)) as f64
}

/// When a scrape was: every 15 s, the last of `scrapes` now.
fn ts(scrape: i64, scrapes: i64) -> i64 {
    NOW_MS - (scrapes - 1 - scrape) * 15_000
}

/// One scrape of all series in remote write 1.0, decompressed.
pub(crate) fn body_v1(scrape: i64, scrapes: i64) -> Vec<u8> {
    let timeseries = (0..N_SERIES).map(|i| v1::TimeSeries {
        labels: labels(i)
            .into_iter()
            .map(|(name, value)| v1::Label { name: name.to_owned(), value })
            .collect(),
        samples: vec![v1::Sample { value: value(i, scrape), timestamp: ts(scrape, scrapes) }],
        ..Default::default()
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: vec![] }.encode_to_vec()
}

/// One scrape of all series in remote write 2.0, decompressed.
#[allow(dead_code, reason = "not every bench writes it")]
pub(crate) fn body_v2(scrape: i64, scrapes: i64) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut places = std::collections::HashMap::new();
    let mut place = |text: String| {
        *places.entry(text.clone()).or_insert_with(|| {
            symbols.push(text);
            u32::try_from(symbols.len() - 1).unwrap()
        })
    };
    let mut timeseries = Vec::new();
    for i in 0..N_SERIES {
        let texts = labels(i).into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
        timeseries.push(v2::TimeSeries {
            labels_refs: texts.map(&mut place).collect(),
            samples: vec![v2::Sample {
                value: value(i, scrape),
                timestamp: ts(scrape, scrapes),
                start_timestamp: 0,
            }],
            ..Default::default()
        });
    }
    v2::Request { symbols, timeseries }.encode_to_vec()
}

/// A store on the real disk.
pub(crate) fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path(), StoreOptions::default(), &|_| {}).unwrap()
}
