//! The shapes of queries that dashboards send, over 5000 series and two hours of 15 s samples, from the head and
//! from a block. Run with `cargo bench --bench query`; a name behind `--` runs only the queries that contain it.
//!
//! Measured in multiples of `r_all_series` (12 steps of all series, no function), from blocks, on two shared cores:
//! `r_count_by_job` 0.5, `r_sum_rate_all` (56 steps) 0.75, `i_count_by_name_all` 0.5, `i_regex_count` 0.06,
//! `i_topk` 0.07; over one hour at every minute of 500 series: `max` 0.16, `avg` 0.2 (integers), `quantile` 0.55,
//! `stddev` 3.3, which has to read every window. From the head everything takes two to three times as long.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people")]

mod common;

use std::time::Instant;

use nines::ingest::{Limits, write_v1};
use nines::promql::{Engine, EngineOptions, QueryOptions, parse};
use nines_storage::Db;
use nines_storage::query::Budget;

const N_SCRAPES: i64 = 480;
const RUNS: usize = 7;
const MINUTE: i64 = 60_000;

/// Name, span and step in minutes (0 for an instant query), text.
const QUERIES: [(&str, i64, i64, &str); 17] = [
    ("i_sum_rate_by_job", 0, 0, "sum by (job) (rate(http_requests_3_total[5m]))"),
    ("i_topk", 0, 0, "topk(10, http_requests_3_total)"),
    ("i_rate_by_instance", 0, 0, r#"sum by (instance) (rate({__name__=~"http_requests_.*"}[5m]))"#),
    (
        "i_join",
        0,
        0,
        "sum by (instance, handler) (rate(http_requests_1_total[5m])) / on (instance, handler) group_left () max by (instance, handler) (http_requests_2_total + 1)",
    ),
    ("i_count_by_name_all", 0, 0, r#"count by (__name__) ({zone=~".+"})"#),
    (
        "i_regex_count",
        0,
        0,
        r#"count({__name__=~"http_requests_.*_total",instance=~"host.*1:9100"})"#,
    ),
    (
        "r_single_step15",
        55,
        0,
        r#"http_requests_1_total{instance="host7:9100",code="200",handler="/api/v1/0"}"#,
    ),
    (
        "r_single_rate",
        55,
        1,
        r#"rate(http_requests_1_total{instance="host7:9100",code="200",handler="/api/v1/0"}[5m])"#,
    ),
    ("r_sum_rate_all", 55, 1, r#"sum(rate({__name__=~"http_requests_.*"}[5m]))"#),
    (
        "r_rate_by_instance",
        55,
        1,
        r#"sum by (instance) (rate({__name__=~"http_requests_.*",code!="200"}[5m]))"#,
    ),
    (
        "r_histogram_quantile",
        55,
        1,
        r#"histogram_quantile(0.9, sum by (le) (label_replace(rate(http_requests_1_total[5m]), "le", "$1", "code", "(.*)")))"#,
    ),
    ("r_avg_over_time_1h", 55, 1, "avg_over_time(http_requests_1_total[1h])"),
    ("r_max_over_time_1h", 55, 1, "max_over_time(http_requests_1_total[1h])"),
    ("r_stddev_over_time_1h", 55, 1, "stddev_over_time(http_requests_1_total[1h])"),
    ("r_quantile_over_time_1h", 55, 1, "quantile_over_time(0.9, http_requests_1_total[1h])"),
    ("r_all_series", 55, 5, r#"{zone=~".+"}"#),
    ("r_count_by_job", 55, 5, r#"count by (job) ({zone=~".+"})"#),
];

fn measure(place: &str, db: &Db, wanted: &str) {
    let engine = Engine::new(EngineOptions::default());
    let options = QueryOptions::default();
    for (name, span, step, text) in QUERIES.iter().filter(|query| query.0.contains(wanted)) {
        let tree = parse(text).unwrap();
        let (end, start) = (common::NOW_MS, common::NOW_MS - span * MINUTE);
        let step_ms = if *step == 0 { 15_000 } else { step * MINUTE };
        let mut best = f64::INFINITY;
        for _ in 0..RUNS {
            let budget = Budget::unlimited();
            let begun = Instant::now();
            let result = if *span == 0 {
                engine.instant(db, &tree, text, end, &options, &budget)
            } else {
                engine.range(db, &tree, text, start, end, step_ms, &options, &budget)
            };
            result.unwrap();
            best = best.min(begun.elapsed().as_secs_f64());
        }
        println!("{place:<6} {name:<24} {:>9.3} ms", best * 1e3);
    }
}

fn main() {
    // Cargo adds `--bench`.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    let dir = tempfile::tempdir().unwrap();
    let store = common::open(&dir);
    let db = store.db("anonymous").unwrap();
    for scrape in 0..N_SCRAPES {
        let body = common::body_v1(scrape, N_SCRAPES);
        write_v1(&db, &body, &Limits::default(), common::NOW_MS).unwrap();
    }
    measure("head", &db, &wanted);
    db.compact_all(common::NOW_MS).unwrap();
    measure("blocks", &db, &wanted);
}
