//! Documents that come with a request: received once the server is ready and has room for them, read on a blocking
//! thread.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use nines_storage::query::{Budget, Reservation};

use super::error::{Problem, SloResult};
use crate::http::app::{App, HeldBytes};
use crate::http::error::{ApiError, ErrorKind};
use crate::slo::define::load_texts;
use crate::slo::definition::Definitions;
use crate::slo::diagnostic::{Diagnostic, Severity};

/// Bytes of the documents of one request at most.
const BYTES_MAX: usize = 4 << 20;
/// Bytes that are charged for a byte of a document while it is read and used: its tree, and what is made of that.
const TREE_BYTES_PER_BYTE: u64 = 16;
/// The name of documents that come with a request.
const NAME: &str = "-";

/// The text of a body.
pub(super) struct Documents {
    text: String,
    _held: HeldBytes,
}

/// What documents define, and what is wrong with them.
pub(super) struct Read {
    pub(super) definitions: Definitions,
    pub(super) diagnostics: Vec<Diagnostic>,
    _held: Reservation,
}

impl Documents {
    /// Receives the body of a request. Nothing is read of it by a server that is not ready, or receives as much as it
    /// may already.
    pub(super) async fn receive(
        app: &Arc<App>,
        headers: &HeaderMap,
        body: Body,
    ) -> SloResult<Self> {
        app.store()?;
        let declared = headers.get(header::CONTENT_LENGTH);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let declared = declared.unwrap_or(BYTES_MAX as u64);
        let unreadable = || {
            Problem::Invalid(format!(
                "the documents cannot be read, or have more than {BYTES_MAX} bytes"
            ))
        };
        if declared > BYTES_MAX as u64 {
            return Err(unreadable());
        }
        let held = HeldBytes::take(app, declared).ok_or_else(|| {
            let text = "the bodies being received have as many bytes as write.max_inflight_bytes allows: try again";
            ApiError::Kind(ErrorKind::Timeout, text.to_owned())
        })?;
        let whole = axum::body::to_bytes(body, BYTES_MAX);
        let bytes = match tokio::time::timeout(app.config.write.body_timeout.0, whole).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => return Err(unreadable()),
            Err(_) => {
                return Err(Problem::Invalid("the documents did not arrive in time".to_owned()));
            }
        };
        let text = String::from_utf8(bytes.into())
            .map_err(|_| Problem::Invalid("the documents are not UTF-8".to_owned()))?;
        Ok(Self { text, _held: held })
    }

    /// As it came.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What they define, and all that is wrong with them.
    pub(super) fn read(&self, budget: &Budget) -> SloResult<Read> {
        let bytes = (self.text.len() as u64).saturating_mul(TREE_BYTES_PER_BYTE);
        let held = budget.reserve(bytes).map_err(crate::slo::error::SloError::from)?;
        let (definitions, diagnostics) = load_texts(&[(NAME, &self.text)]);
        Ok(Read { definitions, diagnostics, _held: held })
    }

    /// The same; errors among them are an answer of their own.
    pub(super) fn without_errors(&self, budget: &Budget) -> SloResult<Read> {
        let mut read = self.read(budget)?;
        read.diagnostics.retain(|one| one.severity == Severity::Error);
        if read.diagnostics.is_empty() {
            Ok(read)
        } else {
            Err(Problem::Documents(read.diagnostics))
        }
    }
}
