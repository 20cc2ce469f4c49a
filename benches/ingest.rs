//! Budget: a sample of a known series costs less than 500 ns from decompressed body to acknowledgement,
//! decoding, judging, log and sync included. Run with `cargo bench --bench ingest`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

mod common;

use std::time::Instant;

use nines::ingest::{IngestError, Limits, WriteSummary, write_v1, write_v2};
use nines_storage::Db;

type Write = fn(&Db, &[u8], &Limits, i64) -> Result<WriteSummary, IngestError>;
type Body = fn(i64, i64) -> Vec<u8>;

const N_SCRAPES: i64 = 100;

fn main() {
    let protocols: [(&str, Body, Write); 2] =
        [("1.0", common::body_v1, write_v1), ("2.0", common::body_v2, write_v2)];
    for (name, body, write) in protocols {
        let dir = tempfile::tempdir().unwrap();
        let store = common::open(&dir);
        let db = store.db("anonymous").unwrap();
        let limits = Limits::default();
        let mut seconds = Vec::new();
        for scrape in 0..N_SCRAPES {
            let body = body(scrape, N_SCRAPES);
            let start = Instant::now();
            let summary = write(&db, &body, &limits, common::NOW_MS).unwrap();
            seconds.push(start.elapsed().as_secs_f64());
            assert_eq!(summary.outcome.samples, u64::from(common::N_SERIES));
        }
        let per_sample = |seconds: f64| seconds * 1e9 / f64::from(common::N_SERIES);
        let first = per_sample(seconds[0]);
        seconds.remove(0);
        seconds.sort_by(f64::total_cmp);
        let (half, best) = (per_sample(seconds[seconds.len() / 2]), per_sample(seconds[0]));
        println!(
            "{name}: new series {first:.0} ns, known {half:.0} ns per sample (best {best:.0})"
        );
    }
}
