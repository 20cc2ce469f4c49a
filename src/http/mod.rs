//! The HTTP face: remote write in, the Prometheus query API and a page for people out.
//!
//! Owns the connections, the admission of writes and queries, and the translation between the wire and the
//! parts below. No logic lives here that a command would need too. Nothing blocking runs on the event loop:
//! decoding, appending and evaluating are on blocking threads, behind a semaphore each. When a client goes
//! away its query is told to stop.

pub mod error;
pub mod json;
mod leftover;
pub mod limits;
pub mod time;

mod admin;
mod app;
mod append;
mod asked;
mod cardinality;
mod cors;
mod costs;
mod empty;
mod evaluate;
mod exemplars;
mod federate;
mod held;
mod labels;
mod lifecycle;
mod metadata;
mod metrics;
mod pages;
mod params;
mod query;
mod router;
mod run;
#[cfg(test)]
mod run_tests;
mod series;
mod server;
mod slo;
mod stall;
mod status;
mod tenant;
#[cfg(test)]
mod tests;
mod tsdb;
mod write;

pub use app::{App, Phase};
pub use router::router;
pub use server::{Server, Shutdown};
pub use slo::StatementCloser;
