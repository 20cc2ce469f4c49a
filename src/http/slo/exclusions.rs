//! Exclusions: those in force and those revoked; making one, revoking one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::asking::json_of;
use super::documents::Documents;
use super::error::{Problem, SloResult};
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::amend;

/// Runs what waits for the disk on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> SloResult<T> + Send + 'static,
) -> SloResult<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|join| {
        tracing::error!(error = %join, "a request about SLOs panicked; this is a fault of nines");
        Err(ApiError::internal("the request met a fault of nines; its log tells more").into())
    })
}

/// `GET /exclusions`
pub(in crate::http) async fn list(State(app): State<Arc<App>>, tenant: Tenant) -> SloResult {
    app.store()?;
    let book = app.slo.journal(&tenant.0)?.map(|journal| journal.book());
    let items = amend::list(&app.slo.snapshot().definitions, book.as_deref());
    Ok(json_of(&serde_json::json!({ "items": items })))
}

/// `POST /exclusions?name=`: a document of kind Exclusion, or the JSON of its spec.
pub(in crate::http) async fn create(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    uri: Uri,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let params = Params::of_query(&uri)?;
    let documents = Documents::receive(&app, &headers, content).await?;
    blocking(move || {
        let now = now_ms();
        let definitions = &app.slo.snapshot().definitions;
        let read = amend::read(documents.text(), params.get("name"), definitions, now).map_err(Problem::Documents)?;
        let journal = app.slo.journals()?.of(&tenant.0)?;
        let (name, entry) = amend::create(&journal, definitions, &read.exclusion, now)?;
        tracing::info!(tenant = tenant.0, exclusion = name, author = entry.author, "an exclusion was made");
        let created = listed(&app, &tenant, &name)?;
        let answer = serde_json::json!({ "exclusion": created, "seq": entry.seq, "diagnostics": read.warnings });
        Ok(with_status(StatusCode::CREATED, json_of(&answer)))
    })
    .await
}

/// An exclusion of the journal as the list has it.
fn listed(app: &App, tenant: &Tenant, name: &str) -> SloResult<Option<amend::Listed>> {
    let book = app.slo.journal(&tenant.0)?.map(|journal| journal.book());
    let mut all = amend::list(&app.slo.snapshot().definitions, book.as_deref());
    let at = all.iter().position(|one| one.source == "journal" && one.exclusion.name == name);
    Ok(at.map(|at| all.swap_remove(at)))
}

/// Who decides something, and why.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Decision {
    pub(super) author: String,
    pub(super) note: String,
}

impl Decision {
    /// Of a JSON body; an empty one leaves it to whoever needs more.
    pub(super) fn read(text: &str) -> SloResult<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).map_err(|error| {
            Problem::Invalid(format!(
                "the body is not such as {{\"author\":\"ada\",\"note\":\"why\"}}: {error}"
            ))
        })
    }
}

/// `POST /exclusions/{id}/revoke`
pub(in crate::http) async fn revoke(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    Path(name): Path<String>,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let decision = Decision::read(Documents::receive(&app, &headers, content).await?.text())?;
    blocking(move || {
        let journal = app.slo.journal(&tenant.0)?;
        let definitions = &app.slo.snapshot().definitions;
        let asked = (name.as_str(), decision.author.as_str(), decision.note.as_str());
        amend::revoke(journal.as_deref(), definitions, asked, now_ms())?;
        tracing::info!(
            tenant = tenant.0,
            exclusion = name,
            author = decision.author,
            "an exclusion was revoked"
        );
        Ok(json_of(&serde_json::json!({ "exclusion": listed(&app, &tenant, &name)? })))
    })
    .await
}

fn with_status(status: StatusCode, answer: Response) -> Response {
    if answer.status() == StatusCode::OK { (status, answer).into_response() } else { answer }
}
