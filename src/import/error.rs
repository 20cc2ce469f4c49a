//! Why something was not imported.

use std::io;
use std::path::{Path, PathBuf};

use nines_storage::codec::Malformed;

/// Result of an import.
pub type Result<T> = std::result::Result<T, ImportError>;

/// A failed import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source is not what it should be. Its other parts and other sources may be.
    #[error("{path}: {what} at byte {offset}: get the file anew from a copy or its origin", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The source is of a kind that is not imported.
    #[error("{path}: {what}", path = path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what to do about it.
        what: String,
    },
    /// The source cannot be read.
    #[error("{op} {path}: {cause}", path = path.display())]
    Source {
        /// What was tried.
        op: &'static str,
        /// On which path.
        path: PathBuf,
        /// The answer of the system.
        cause: io::Error,
    },
    /// The store cannot take it.
    #[error(transparent)]
    Store(#[from] nines_storage::Error),
}

impl ImportError {
    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }

    /// Found by a decoder whose bytes begin at `base` of the file.
    pub(super) fn malformed(path: &Path, base: u64, cause: Malformed) -> Self {
        Self::damaged(path, base.saturating_add(cause.at as u64), cause.what)
    }

    pub(super) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), what: what.into() }
    }

    pub(super) fn source(op: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Source { op, path: path.to_owned(), cause }
    }

    /// Whether other sources may still be imported.
    #[must_use]
    pub const fn is_of_the_source(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}
