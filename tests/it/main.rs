//! Tests of the program as a whole.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "tests"
)]

mod cardinality;
mod edge;
#[path = "../tsdb/encode.rs"]
mod encode;
mod faulty_proxy;
mod flipped;
mod gone;
mod history;
mod import;
mod kept;
mod killed;
mod memory;
mod object_store;
mod peers;
mod promql_limits;
mod promql_script;
mod promql_scripts;
mod script_histogram;
mod server;
mod slo_known;
mod slo_sla;
mod slo_suggest;
mod slo_trials;
mod tidy;
mod tiling;
mod year;
