//! Tests of the program as a whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

mod memory;
mod promql_limits;
mod promql_script;
mod promql_scripts;
mod script_histogram;
