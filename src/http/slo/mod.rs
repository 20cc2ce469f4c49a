//! `/api/slo/v1`: service level objectives. What is answered is made in `crate::slo`; here are paths, parameters and
//! statuses.
//!
//! Errors are `application/problem+json` (RFC 9457) with the diagnostics of documents beside.

mod agreements;
mod asking;
mod audit;
mod closing;
mod documents;
mod drill;
mod error;
mod evaluate;
mod exclusions;
mod history;
mod overview;
mod reports;
mod state;
mod suggest;
mod validate;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::app::App;

pub use closing::StatementCloser;
pub(super) use error::Problem;
pub(crate) use state::SloState;

/// The paths that only read.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/slo/v1/evaluate", post(evaluate::documents))
        .route("/api/slo/v1/validate", post(validate::validate))
        .route("/api/slo/v1/diff", post(evaluate::compared))
        .route("/api/slo/v1/suggest", get(suggest::suggest))
        .route("/api/slo/v1/slos", get(history::list))
        .route("/api/slo/v1/slos/{slo}", get(history::status))
        .route("/api/slo/v1/slos/{slo}/periods", get(history::periods))
        .route("/api/slo/v1/slos/{slo}/evaluate", get(evaluate::installed))
        .route("/api/slo/v1/slos/{slo}/series", get(drill::series))
        .route("/api/slo/v1/slos/{slo}/contributors", get(drill::contributors))
        .route("/api/slo/v1/slos/{slo}/explain", get(drill::explain))
        .route("/api/slo/v1/slos/{slo}/versions", get(versions::versions))
        .route("/api/slo/v1/portfolio", get(overview::portfolio))
        .route("/api/slo/v1/services", get(overview::services))
        .route("/api/slo/v1/services/{name}", get(overview::service))
        .route("/api/slo/v1/teams/{name}", get(overview::team))
        .merge(decided())
}

/// What was decided: exclusions, statements, and the journal itself.
fn decided() -> Router<Arc<App>> {
    Router::new()
        .route("/api/slo/v1/exclusions", get(exclusions::list))
        .route("/api/slo/v1/slas", get(agreements::list))
        .route("/api/slo/v1/slas/{sla}/statements", get(agreements::statements))
        .route("/api/slo/v1/slas/{sla}/statements/{period}", get(agreements::statement))
        .route("/api/slo/v1/reports/{scope}", get(reports::report))
        .route("/api/slo/v1/audit", get(audit::entries))
}

/// Of the paths that write, how each begins, and what stands behind the name.
const WRITING_PATHS: [(&str, &str); 2] =
    [("/api/slo/v1/exclusions", ""), ("/api/slo/v1/slas/", "/close")];

/// The paths that write to the journal.
pub(super) fn changing_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/slo/v1/exclusions", post(exclusions::create))
        .route("/api/slo/v1/exclusions/{exclusion}/revoke", post(exclusions::revoke))
        .route("/api/slo/v1/slas/{sla}/statements/{period}/close", post(agreements::close))
}

/// Whether a path leads to something that writes. Reading exclusions has the path of making one, and is open to the
/// same pages.
pub(super) fn mutates(path: &str) -> bool {
    WRITING_PATHS.iter().any(|(begin, end)| path.starts_with(begin) && path.ends_with(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use crate::config::Config;
    use crate::http::app::App;
    use crate::http::router;

    #[tokio::test]
    async fn nothing_of_journals_is_answered_while_the_log_is_replayed() {
        let app = App::new(Config::default());
        let close = "slas/x/statements/2026-01/close";
        for (method, path) in [
            ("GET", "exclusions"),
            ("POST", "exclusions"),
            ("POST", "exclusions/x/revoke"),
            ("POST", close),
            ("GET", "slas/x/statements"),
            ("GET", "audit"),
        ] {
            let request = Request::builder().method(method).uri(format!("/api/slo/v1/{path}"));
            let request = request.header("content-type", "application/json");
            let asked = request.body(Body::from(r#"{"author":"ada"}"#)).unwrap();
            let answer = router(app.clone()).oneshot(asked).await.unwrap();
            assert_eq!(answer.status().as_u16(), 503, "{method} {path}");
        }
    }
}
