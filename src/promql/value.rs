//! What a query answers: values, annotations, statistics.

use std::sync::Arc;

use nines_storage::model::{Histogram, Labels};

/// One sample's value.
#[derive(Debug, Clone, PartialEq)]
pub enum SampleValue {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// An element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// Label set.
    pub labels: Labels,
    /// Evaluation time in milliseconds.
    pub ts_ms: i64,
    /// Value.
    pub value: SampleValue,
}

/// A series of a matrix; its samples ascend in time, and at one time there is one sample of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// Label set.
    pub labels: Labels,
    /// Numbers with their times in milliseconds.
    pub floats: Vec<(i64, f64)>,
    /// Native histograms with their times in milliseconds.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Scalar {
        /// Evaluation time in milliseconds.
        ts_ms: i64,
        /// The number.
        value: f64,
    },
    /// A text.
    String {
        /// Evaluation time in milliseconds.
        ts_ms: i64,
        /// The text.
        value: String,
    },
    /// An instant vector, in the order of evaluation (`sort` and `topk` decide it).
    Vector(Vec<VectorSample>),
    /// Series over time, ascending by label set.
    Matrix(Vec<MatrixSeries>),
}

/// What a query cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryStats {
    /// Samples that selectors and windows touched, counted at every step (Prometheus's
    /// `totalQueryableSamples`).
    pub samples_total: u64,
    /// The same by step with its time in milliseconds, where [`QueryOptions::per_step`](super::QueryOptions) asks
    /// for it.
    pub samples_per_step: Option<Vec<(i64, u64)>>,
    /// Most samples held in memory at once.
    pub samples_peak: u64,
    /// Samples read from storage.
    pub samples_read: u64,
    /// Seconds spent on preparing the query.
    pub prepare_s: f64,
    /// Seconds spent on evaluating it.
    pub eval_s: f64,
    /// Seconds spent on sorting the result.
    pub sort_s: f64,
}

/// An answered query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// Warnings with their places, at most ten and a line that counts the rest.
    pub warnings: Vec<String>,
    /// Infos with their places, at most ten and a line that counts the rest.
    pub infos: Vec<String>,
    /// What it cost.
    pub stats: QueryStats,
}
