//! Samples that others have kept, as blocks of nines: blocks of Prometheus, Thanos and Mimir, OpenMetrics text,
//! requests of remote write.
//!
//! What is imported passes the log and the head by (`nines_storage::Db::import`). Invariants: a source that is
//! imported again changes no answer; one that is broken off goes on where it was; a damaged part of a source is told
//! and keeps no other from being imported; memory does not grow with the length of a source.

mod castagnoli;
mod error;
mod file;
mod openmetrics;
mod pile;
mod prometheus;
mod remote_write;
mod told;
pub mod tsdb;

pub use error::{ImportError, Result};
pub use openmetrics::import_openmetrics;
pub use prometheus::import_block;
pub use remote_write::import_requests;
pub use told::{Outcome, Told};
