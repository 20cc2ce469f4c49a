//! From a decoded remote-write body to the store: who may come in, and what is told to those who may not.
//!
//! The one place that knows both the wire (`nines-proto`) and the store. Each series is looked up by a hash of
//! the bytes of its labels; only a series that is not known that way is parsed and judged, once. That is sound
//! because the verdict depends on nothing but those bytes (and the limits, which last as long as the process).
//! For a known series nothing is allocated.
//!
//! Invariants: what is refused is counted by reason and told, never dropped in silence; the valid part of a
//! request is written all the same; a series of exemplars alone is accepted, because Prometheus sends every
//! exemplar as a series of its own behind that of the sample; a body that is not protobuf to its last byte writes nothing. No clock,
//! no threads.

mod batch;
mod collect;
mod exemplar;
mod histogram;
mod labels;
mod sink;
mod summary;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use collect::{Collect, collect};
pub use summary::WriteSummary;

use nines_proto::DecodeError;
use nines_storage::Db;

use batch::Batch;
use sink::DbSink;

/// What one request may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most labels of a series, as they are sent; in remote write 2.0 no more than have factors for their key.
    pub labels_per_series_max: usize,
    /// Longest label name, in bytes.
    pub label_name_bytes_max: usize,
    /// Longest label value, in bytes.
    pub label_value_bytes_max: usize,
    /// Most characters in all names and values of an exemplar together (OpenMetrics has 128).
    pub exemplar_chars_max: usize,
    /// Largest native histogram on the wire, in bytes; in memory it takes up to 8 times as much.
    pub histogram_bytes_max: usize,
    /// Longest name, help and unit of a metric together, in bytes.
    pub metadata_bytes_max: usize,
    /// Most series, samples, histograms, exemplars and metadata of one request together.
    pub items_per_request_max: usize,
    /// Most symbols of one request of remote write 2.0.
    pub symbols_per_request_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            labels_per_series_max: 64,
            label_name_bytes_max: 1 << 10,
            label_value_bytes_max: 8 << 10,
            exemplar_chars_max: 128,
            histogram_bytes_max: 256 << 10,
            metadata_bytes_max: 64 << 10,
            items_per_request_max: 2_000_000,
            symbols_per_request_max: 1 << 20,
        }
    }
}

/// Why nothing of a request was written. The text is for the sender.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body is not the message that it should be: answer 400.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The request is too large: answer 400, smaller requests will pass.
    #[error("more than {max} {what} in one request")]
    TooMany {
        /// Of what there is too much.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The store could not write it: answer 503, so that it is sent again.
    #[error("not written: {0}")]
    Store(#[from] nines_storage::Error),
}

/// Writes a decompressed `prometheus.WriteRequest`. `now_ms` is what the store measures the future against.
pub fn write_v1(
    db: &Db,
    body: &[u8],
    limits: &Limits,
    now_ms: i64,
) -> Result<WriteSummary, IngestError> {
    let mut sink = DbSink::new(db);
    let mut batch = Batch::new(&mut sink, limits);
    v1::read(&mut batch, body)?;
    let intake = batch.finish();
    Ok(intake.complete(sink.commit(now_ms)?))
}

/// Writes a decompressed `io.prometheus.write.v2.Request`. `now_ms` is what the store measures the future
/// against.
pub fn write_v2(
    db: &Db,
    body: &[u8],
    limits: &Limits,
    now_ms: i64,
) -> Result<WriteSummary, IngestError> {
    let mut sink = DbSink::new(db);
    let mut batch = Batch::new(&mut sink, limits);
    v2::read(&mut batch, body)?;
    let intake = batch.finish();
    Ok(intake.complete(sink.commit(now_ms)?))
}
