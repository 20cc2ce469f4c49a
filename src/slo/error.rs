//! Why an SLO cannot be evaluated.

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum SloError {
    /// The store.
    #[error(transparent)]
    Storage(#[from] nines_storage::Error),
    /// PromQL.
    #[error("the expression of the SLO cannot be evaluated: {0}")]
    Query(String),
    /// Too fine for what was asked.
    #[error("the interval has more than {max} slices: ask for a shorter one")]
    TooManySlices {
        /// How many there may be.
        max: usize,
    },
    /// Groups are counted from selectors.
    #[error("an expression that is no sum of selectors is asked of PromQL")]
    Expression,
    /// What was decided is not to be read or written.
    #[error(transparent)]
    Journal(#[from] super::journal::JournalError),
    /// A fault of nines.
    #[error("a thread that counted has ended early")]
    Died,
    /// There is no such thing.
    #[error("{0} is not defined")]
    NotFound(String),
    /// The request.
    #[error("{0}")]
    Invalid(String),
}

/// Result of an evaluation.
pub type Result<T> = std::result::Result<T, SloError>;
