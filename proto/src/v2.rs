//! `io.prometheus.write.v2.Request`, remote write 2.0: the messages for everybody but the hot path
//! (senders, tests, the oracle of [`crate::ScanV2`]). Reference: `remote_write_v2.proto`.

pub use crate::histogram::{BucketSpan, Count, Histogram, ZeroCount};

/// One request.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// Every string of the request once; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// Series with their samples.
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries>,
}

/// One series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    /// Label names and values in turn, as places in the symbol table.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// Float samples.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    /// Native histograms.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Exemplars.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar>,
    /// Description of the metric.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata>,
    /// When counting began, in milliseconds, 0 where unset: the field of the first release candidates.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// A float sample.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample {
    /// Value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// When counting began, in milliseconds; 0 where unset.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// An exemplar.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Label names and values in turn, as places in the symbol table.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// Value.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// Description of a series' metric.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata {
    /// Type, as [`crate::metric_type_word`] names it.
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Place of the help text in the symbol table.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// Place of the unit in the symbol table.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
