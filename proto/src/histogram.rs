//! The native histogram: the same message in both protocols, but for `start_timestamp`, which only the
//! second has.

/// A run of buckets.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct BucketSpan {
    /// Gap to the span before; of the first span, index of its first bucket.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Number of buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// Number of observations.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// Of an integer histogram.
    #[prost(uint64, tag = "1")]
    Int(u64),
    /// Of a float histogram.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// Number of observations in the zero bucket.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// Of an integer histogram.
    #[prost(uint64, tag = "6")]
    Int(u64),
    /// Of a float histogram.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// A native histogram at one time.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// Observations; its kind decides whether the buckets are deltas or counts.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Sum of the observations.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Resolution, or -53 for custom buckets.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// Width of the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Runs of negative buckets.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// Negative buckets of an integer histogram, each relative to the one before.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// Negative buckets of a float histogram.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Runs of positive buckets.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// Positive buckets of an integer histogram, each relative to the one before.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// Positive buckets of a float histogram.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// 0 unknown, 1 reset, 2 no reset, 3 gauge.
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Upper bounds of custom buckets.
    #[prost(double, repeated, tag = "16")]
    pub custom_values: Vec<f64>,
    /// When counting began, in milliseconds; 0 where unset.
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}
