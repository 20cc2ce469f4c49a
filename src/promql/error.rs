//! Why a query has no answer.

use nines_storage::Error;

use super::parse_error::ParseError;

/// A failed query. The texts are Prometheus's (`promql/engine.go`).
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is no query (`bad_data`); [`ParseError::render`] gives the place.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The query cannot be run as asked: change it (`bad_data`).
    #[error("{0}")]
    Invalid(String),
    /// The query met data that it cannot be answered for (`execution`).
    #[error("{0}")]
    Execution(String),
    /// More samples than `--query.max-samples` would be held (`execution`).
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// The deadline passed (`timeout`).
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// The caller went away (`canceled`).
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// Storage could not read, or another of its limits was exceeded (`execution` or `internal`, by its kind).
    #[error("expanding series: {0}")]
    Storage(#[source] Error),
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        match error {
            Error::Deadline => Self::Timeout,
            Error::Canceled => Self::Canceled,
            Error::Limit { limit: "query.max-samples", .. } => Self::TooManySamples,
            other => Self::Storage(other),
        }
    }
}

impl QueryError {
    /// An execution error.
    pub(super) fn execution(text: impl Into<String>) -> Self {
        Self::Execution(text.into())
    }

    /// Two series of one result share a label set.
    pub(super) fn same_labels() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}

/// Result of evaluating.
pub(super) type Result<T> = std::result::Result<T, QueryError>;
