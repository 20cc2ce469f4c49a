//! nines: receives Prometheus remote write, keeps every sample, answers PromQL.
#![forbid(unsafe_code)]
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod import;
pub mod ingest;
pub mod objects;
pub mod promql;
pub mod queries;
pub mod scheduler;
pub mod senders;
pub mod slo;
pub mod telemetry;
pub mod ui;
