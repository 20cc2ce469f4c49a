//! What can go wrong, grouped by what the caller should do about it.
//!
//! A sample that is refused is not an error: see `AppendOutcome`.

use std::io;
use std::path::{Path, PathBuf};

use crate::codec::Malformed;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What the caller should do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: change it.
    Invalid,
    /// The request is too large for a limit: ask for less or raise the limit.
    Limit,
    /// Not now: try again later.
    Unavailable,
    /// The caller went away.
    Canceled,
    /// Stored bytes are damaged: restore them from a copy.
    Corrupt,
    /// A fault of the program or of the machine.
    Internal,
}

/// Where stored bytes are damaged, and how that was seen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{path}: {what} at byte {offset}", path = path.display())]
pub struct Corruption {
    /// The damaged file.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What was found.
    pub what: &'static str,
}

impl Corruption {
    /// Damage found at `offset` of `path`.
    #[must_use]
    pub fn new(path: &Path, offset: u64, what: &'static str) -> Self {
        Self { path: path.to_owned(), offset, what }
    }

    /// Damage found by a decoder whose buffer begins at `base` of `path`.
    #[must_use]
    pub fn malformed(path: &Path, base: u64, cause: Malformed) -> Self {
        Self::new(path, base + cause.at as u64, cause.what)
    }
}

/// A failed storage operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request makes no sense.
    #[error("{what}")]
    Invalid {
        /// What is wrong and how to mend it.
        what: String,
    },
    /// A named limit was exceeded.
    #[error("{limit}: {what} (limit {max})")]
    Limit {
        /// The setting that holds the limit.
        limit: &'static str,
        /// What there was too much of.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// The deadline of the query passed.
    #[error("deadline exceeded")]
    Deadline,
    /// The caller went away.
    #[error("canceled")]
    Canceled,
    /// The store cannot take this now.
    #[error("{why}")]
    Unavailable {
        /// Why, and what will end it.
        why: &'static str,
    },
    /// Stored bytes are damaged.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The operating system refused.
    #[error("{op} {path}", path = path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which path.
        path: PathBuf,
        /// The answer.
        #[source]
        cause: io::Error,
    },
}

impl Error {
    /// An I/O failure of `op` on `path`.
    pub fn io(op: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { op, path: path.to_owned(), cause }
    }

    /// What the caller should do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Limit { .. } => ErrorKind::Limit,
            Self::Deadline | Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Canceled => ErrorKind::Canceled,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::StorageFull => {
                ErrorKind::Unavailable
            }
            Self::Io { .. } => ErrorKind::Internal,
        }
    }
}
