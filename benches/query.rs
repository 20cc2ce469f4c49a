//! Budget: a range query over 5000 series and an hour of 15 s samples takes less than 250 ms, from the head
//! and from blocks alike. Run with `cargo bench --bench query`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

mod common;

use std::time::Instant;

use nines::ingest::{Limits, write_v1};
use nines::promql::{Engine, EngineOptions, QueryOptions, parse};
use nines_storage::Db;
use nines_storage::query::Budget;

const N_SCRAPES: i64 = 240;
const QUERIES: [&str; 4] = [
    r#"sum(rate({__name__=~"http_requests_.*"}[5m]))"#,
    r#"sum by (job, code) (rate({__name__=~"http_requests_.*"}[5m]))"#,
    "topk(5, http_requests_3_total)",
    r#"max_over_time(http_requests_1_total{code="200"}[1h])"#,
];

fn measure(place: &str, db: &Db) {
    let engine = Engine::new(EngineOptions::default());
    for text in QUERIES {
        let tree = parse(text).unwrap();
        let options = QueryOptions::default();
        let (end, start) = (common::NOW_MS, common::NOW_MS - 3_300_000);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let budget = Budget::unlimited();
            let begun = Instant::now();
            engine.range(db, &tree, text, start, end, 60_000, &options, &budget).unwrap();
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("{place}: {:.1} ms for {text}", best * 1e3);
    }
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let store = common::open(&dir);
    let db = store.db("anonymous").unwrap();
    for scrape in 0..N_SCRAPES {
        let body = common::body_v1(scrape, N_SCRAPES);
        write_v1(&db, &body, &Limits::default(), common::NOW_MS).unwrap();
    }
    measure("head", &db);
    db.compact_all(common::NOW_MS).unwrap();
    measure("blocks", &db);
}
