//! nines: receives Prometheus remote write, keeps every sample, answers PromQL.
#![forbid(unsafe_code)]
pub mod config;
pub mod ingest;
pub mod promql;
pub mod telemetry;
