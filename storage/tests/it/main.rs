//! The storage crate from its face: one binary, so that it is linked once.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]

mod crash;
mod db;
mod explore;
mod faults;
mod history;
mod import;
mod model;
mod retention;
mod rolling_cuts;
mod rows;
mod threads;
