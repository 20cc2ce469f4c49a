//! Why a request about SLOs fails: RFC 9457, `application/problem+json`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nines_storage::ErrorKind as StorageErrorKind;

use crate::http::error::{ApiError, with_causes};
use crate::slo::diagnostic::Diagnostic;
use crate::slo::error::SloError;
use crate::slo::journal::JournalError;

/// See the module.
#[derive(Debug)]
pub(in crate::http) enum Problem {
    /// The documents are wrong.
    Documents(Vec<Diagnostic>),
    /// The request is wrong.
    Invalid(String),
    /// There is no such thing.
    NotFound(String),
    /// As the query API has it.
    Api(ApiError),
}

/// Result of a request about SLOs.
pub(in crate::http) type SloResult<T = Response> = Result<T, Problem>;

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        SloError::from(error).into()
    }
}

impl From<SloError> for Problem {
    fn from(error: SloError) -> Self {
        match error {
            SloError::Storage(cause) if cause.kind() == StorageErrorKind::Limit => {
                Self::Invalid(with_causes(&cause))
            }
            SloError::Storage(cause) => Self::Api(cause.into()),
            SloError::NotFound(_) => Self::NotFound(error.to_string()),
            SloError::Invalid(_) | SloError::TooManySlices { .. } | SloError::Query(_) => {
                Self::Invalid(error.to_string())
            }
            SloError::Journal(JournalError::Invalid(_) | JournalError::Limit { .. }) => {
                Self::Invalid(error.to_string())
            }
            SloError::Expression | SloError::Died | SloError::Journal(_) => {
                Self::Api(ApiError::internal(error.to_string()))
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, title, detail, diagnostics) = match self {
            Self::Documents(diagnostics) => {
                let detail = diagnostics.first().map(ToString::to_string).unwrap_or_default();
                (StatusCode::BAD_REQUEST, "the documents have errors", detail, diagnostics)
            }
            Self::Invalid(detail) => {
                (StatusCode::BAD_REQUEST, "the request is not valid", detail, Vec::new())
            }
            Self::NotFound(detail) => (StatusCode::NOT_FOUND, "not found", detail, Vec::new()),
            Self::Api(ApiError::NotReady) => return ApiError::NotReady.into_response(),
            Self::Api(ApiError::Kind(kind, detail)) => {
                let (word, status) = kind.word_and_status();
                (status, word, detail, Vec::new())
            }
        };
        let body = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "diagnostics": diagnostics,
        });
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
    }
}
