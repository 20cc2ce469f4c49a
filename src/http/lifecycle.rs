//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::error::plain;

/// `/-/healthy`
pub(super) async fn healthy() -> Response {
    plain(StatusCode::OK, "nines is Healthy.\n")
}

/// `/-/ready`
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store() {
        Ok(_) => plain(StatusCode::OK, "nines is Ready.\n"),
        Err(error) => error.into_response(),
    }
}

/// `/-/reload` and `/-/quit`: signals do that.
pub(super) async fn not_enabled() -> Response {
    plain(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// Other methods on them.
pub(super) async fn wrong_method() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}
