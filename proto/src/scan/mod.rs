//! The zero-copy walk over a decompressed body: the hot path of remote write.
//!
//! Owns nothing: every item borrows from the body. No allocation per series. Names, values and symbols are
//! handed out as bytes; whether they are UTF-8 is asked only of a series that is not known yet, by whoever
//! stores it. What the walkers accept, and what they read from it, is what `prost` reads from the same bytes
//! (but groups, which are refused): the tests hold them to that.

mod sample;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use sample::{HistogramBytes, Sample};
pub use v1::{DataV1, DatumV1, ExemplarV1, ItemV1, LabelsV1, MetadataV1, ScanV1, SeriesV1};
pub use v2::{DataV2, DatumV2, ExemplarV2, MetadataV2, ScanV2, SeriesV2};

/// The word for a metric type's number, the same in both protocols; `unknown` for numbers without one.
#[must_use]
pub const fn metric_type_word(number: i32) -> &'static str {
    match number {
        1 => "counter",
        2 => "gauge",
        3 => "histogram",
        4 => "gaugehistogram",
        5 => "summary",
        6 => "info",
        7 => "stateset",
        _ => "unknown",
    }
}
