//! What appending answers: how much was written, what was refused and why.

use std::collections::BTreeMap;

use crate::model::Labels;

/// Why a series or sample was refused. The word of [`RejectReason::as_str`] is the metric label, the log
/// field and part of the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each says itself")]
pub enum RejectReason {
    MissingMetricName,
    InvalidLabelName,
    InvalidUtf8,
    DuplicateLabel,
    LabelLimit,
    LabelNameTooLong,
    LabelValueTooLong,
    InvalidSymbolRef,
    NoSamples,
    FutureTimestamp,
    TimestampOutOfRange,
    DuplicateTimestamp,
    InvalidHistogram,
    InvalidExemplar,
    InvalidMetadata,
    SeriesLimit,
}

impl RejectReason {
    /// The reason as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingMetricName => "missing_metric_name",
            Self::InvalidLabelName => "invalid_label_name",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::DuplicateLabel => "duplicate_label",
            Self::LabelLimit => "too_many_labels",
            Self::LabelNameTooLong => "label_name_too_long",
            Self::LabelValueTooLong => "label_value_too_long",
            Self::InvalidSymbolRef => "invalid_symbol_ref",
            Self::NoSamples => "no_samples",
            Self::FutureTimestamp => "future_timestamp",
            Self::TimestampOutOfRange => "timestamp_out_of_range",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::InvalidHistogram => "invalid_histogram",
            Self::InvalidExemplar => "invalid_exemplar",
            Self::InvalidMetadata => "invalid_metadata",
            Self::SeriesLimit => "series_limit",
        }
    }
}

/// One refused thing, for the reply and the log.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// Of which series; `None` when its labels could not be read.
    pub series: Option<Labels>,
    /// Timestamp in milliseconds, where there is one.
    pub ts: Option<i64>,
    /// What exactly was wrong, and with which values.
    pub detail: String,
}

/// Most rejections kept with their text; all are counted.
pub const REJECTIONS_KEPT_MAX: usize = 16;

/// What became of a batch.
#[derive(Debug, Clone, Default)]
pub struct AppendOutcome {
    /// Float samples written, exact repetitions of stored ones included.
    pub samples: u64,
    /// Histograms written, likewise.
    pub histograms: u64,
    /// Exemplars written, likewise.
    pub exemplars: u64,
    /// The first [`REJECTIONS_KEPT_MAX`] rejections.
    pub rejections: Vec<Rejection>,
    /// All rejections, counted by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
}

impl AppendOutcome {
    /// Counts a rejection of `n` things and keeps the text of the first few; `describe` runs only for those.
    pub fn reject(&mut self, reason: RejectReason, n: u64, describe: impl FnOnce() -> Rejection) {
        *self.rejected.entry(reason).or_default() += n;
        if self.rejections.len() < REJECTIONS_KEPT_MAX {
            self.rejections.push(describe());
        }
    }

    /// Number of refused things.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// Type, help and unit of a metric, as its senders describe it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// `counter`, `gauge`, `histogram`, `gaugehistogram`, `summary`, `info`, `stateset` or `unknown`.
    pub metric_type: String,
    /// Help text.
    pub help: String,
    /// Unit.
    pub unit: String,
}

/// A trace reference beside a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels (`trace_id`).
    pub labels: Labels,
    /// Observed value.
    pub value: f64,
    /// Milliseconds since the epoch.
    pub ts: i64,
}
