//! Prometheus remote write as bytes: what a sender puts on the wire, and nothing of what becomes of it.
//!
//! The way of a request: [`negotiate`] says from the headers which message it is, [`decompress`] opens the
//! snappy block, [`ScanV1`] or [`ScanV2`] walk the decoded bytes without copying. The messages of [`v1`] and
//! [`v2`] are for those who write requests and for the tests. No threads, no I/O, no clock; nothing here
//! panics or takes memory that the bytes only claim to need.
#![forbid(unsafe_code)]

mod body;
#[doc(hidden)]
pub mod check;
mod error;
mod histogram;
mod scan;
pub mod v1;
pub mod v2;
mod wire;

pub use body::{BodyError, DECODED_BYTES_MAX, Protocol, Unsupported, decompress, negotiate};
pub use error::DecodeError;
/// Encodes and decodes the messages of [`v1`] and [`v2`].
pub use prost::Message;
pub use scan::{
    DataV1, DataV2, DatumV1, DatumV2, ExemplarV1, ExemplarV2, HistogramBytes, ItemV1, LabelsV1,
    MetadataV1, MetadataV2, Sample, ScanV1, ScanV2, SeriesV1, SeriesV2, metric_type_word,
};
