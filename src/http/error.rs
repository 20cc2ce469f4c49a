//! The one table of what went wrong and which status says so, and the JSON envelope around it
//! (Prometheus, `web/api/v1/api.go`, `respondError`).

use std::error::Error as _;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nines_storage::ErrorKind as StorageErrorKind;

/// `errorType` of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong.
    BadData,
    /// The query cannot be evaluated.
    Execution,
    /// The caller went away.
    Canceled,
    /// The query took too long.
    Timeout,
    /// A fault of the server.
    Internal,
    /// Switched off, or not there.
    Unavailable,
    /// No such thing.
    NotFound,
}

impl ErrorKind {
    /// The word in the envelope, and the status of the answer.
    #[must_use]
    pub fn word_and_status(self) -> (&'static str, StatusCode) {
        match self {
            Self::BadData => ("bad_data", StatusCode::BAD_REQUEST),
            Self::Execution => ("execution", StatusCode::UNPROCESSABLE_ENTITY),
            Self::Canceled => {
                ("canceled", StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST))
            }
            Self::Timeout => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            // Prometheus has no own status for it.
            Self::Unavailable => ("unavailable", StatusCode::INTERNAL_SERVER_ERROR),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
        }
    }
}

/// Why a request of the query API fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiError {
    /// An error with the JSON envelope.
    Kind(ErrorKind, String),
    /// The log is still being replayed, or the server is stopping: 503 in plain text.
    NotReady,
}

/// Result of a request of the query API.
pub type ApiResult<T = Response> = Result<T, ApiError>;

impl ApiError {
    /// `bad_data`.
    pub fn bad_data(text: impl Into<String>) -> Self {
        Self::Kind(ErrorKind::BadData, text.into())
    }

    /// `bad_data` with Prometheus's words for a parameter.
    #[must_use]
    pub fn invalid_param(name: &str, why: &str) -> Self {
        Self::bad_data(format!("invalid parameter {}: {why}", go_quote(name.as_bytes())))
    }

    /// `internal`.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::Kind(ErrorKind::Internal, text.into())
    }

    /// `unavailable`.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::Kind(ErrorKind::Unavailable, text.into())
    }
}

impl From<nines_storage::Error> for ApiError {
    fn from(error: nines_storage::Error) -> Self {
        if matches!(error, nines_storage::Error::Deadline) {
            return Self::Kind(
                ErrorKind::Timeout,
                "query timed out in expression evaluation".to_owned(),
            );
        }
        let kind = match error.kind() {
            StorageErrorKind::Invalid => ErrorKind::BadData,
            StorageErrorKind::Limit => ErrorKind::Execution,
            StorageErrorKind::Canceled => ErrorKind::Canceled,
            StorageErrorKind::Unavailable => ErrorKind::Unavailable,
            StorageErrorKind::Corrupt | StorageErrorKind::Internal => ErrorKind::Internal,
        };
        let text = with_causes(&error);
        if kind == ErrorKind::Internal {
            tracing::error!(error = %text, "a request failed in the store");
        }
        Self::Kind(kind, text)
    }
}

/// An error and what caused it in one line.
#[must_use]
pub fn with_causes(error: &nines_storage::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::NotReady => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                response
            }
            Self::Kind(kind, text) => {
                let (word, status) = kind.word_and_status();
                let text = serde_json::Value::String(text);
                json(
                    status,
                    format!(r#"{{"status":"error","errorType":"{word}","error":{text}}}"#)
                        .into_bytes(),
                )
            }
        }
    }
}

/// A finished JSON body.
pub fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
        .into_response()
}

/// A body in plain text.
pub fn plain(status: StatusCode, body: impl Into<String>) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// Bytes in double quotes as Go's `%q` prints them.
#[must_use]
pub fn go_quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(go_quote(b"a\"b\\\n\x01"), r#""a\"b\\\n\x01""#);
        assert_eq!(go_quote(b"\xff"), r#""\xff""#);
        assert_eq!(go_quote("zürich".as_bytes()), "\"zürich\"");
    }

    #[test]
    fn each_kind_has_its_status() {
        for (kind, word, status) in [
            (ErrorKind::BadData, "bad_data", 400),
            (ErrorKind::Execution, "execution", 422),
            (ErrorKind::Canceled, "canceled", 499),
            (ErrorKind::Timeout, "timeout", 503),
            (ErrorKind::Internal, "internal", 500),
            (ErrorKind::Unavailable, "unavailable", 500),
            (ErrorKind::NotFound, "not_found", 404),
        ] {
            let (got_word, got_status) = kind.word_and_status();
            assert_eq!((got_word, got_status.as_u16()), (word, status));
        }
    }
}
