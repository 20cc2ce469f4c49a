//! `/-/healthy`, `/-/ready`, `/-/reload`, `/-/quit`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::error::plain;
use super::slo::Problem;
use crate::clock::now_ms;
use crate::slo::diagnostic::{Diagnostic, Severity};

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

/// `/-/reload`: the definitions of SLOs are read anew. 400 with what is wrong where a file has errors: what it
/// defined before stays in force. Without definitions there is nothing to reload, and Prometheus's refusal is the answer.
pub(super) async fn reload(State(app): State<Arc<App>>) -> Response {
    let Some(registry) = app.slo.registry().cloned() else {
        return plain(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.");
    };
    let reloaded = tokio::task::spawn_blocking(move || {
        let reloaded = registry.reload();
        app.slo.reloaded(now_ms());
        reloaded
    });
    let reloaded = reloaded.await;
    match reloaded {
        Ok(Ok(snapshot)) => {
            let errors: Vec<&Diagnostic> =
                snapshot.diagnostics.iter().filter(|one| one.severity == Severity::Error).collect();
            if errors.is_empty() {
                return plain(StatusCode::OK, "");
            }
            Problem::Documents(errors.into_iter().cloned().collect()).into_response()
        }
        Ok(Err(error)) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to reload config: the definitions of SLOs cannot be read: {error}\n"),
        ),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "failed to reload config\n"),
    }
}

/// `/-/quit`: signals do that.
pub(super) async fn not_enabled() -> Response {
    plain(StatusCode::FORBIDDEN, "Lifecycle API is not enabled.")
}

/// Other methods on them.
pub(super) async fn wrong_method() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}
