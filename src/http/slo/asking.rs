//! What every question about SLOs begins with: who asks, of whose samples, and when. It is answered on a blocking
//! thread, admitted as queries are.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use nines_storage::Db;
use nines_storage::query::Budget;
use serde::Serialize;

use super::error::SloResult;
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::error::{ApiError, json};
use crate::http::run::run;
use crate::http::tenant::Tenant;
use crate::slo::define::Snapshot;
use crate::slo::definition::Definitions;
use crate::slo::desk::Desk;
use crate::slo::error::Result;

/// See the module.
pub(super) struct Asking {
    pub(super) app: Arc<App>,
    pub(super) tenant: Tenant,
    /// When it was asked.
    pub(super) now_ms: i64,
    from: From,
}

impl FromRequestParts<Arc<App>> for Asking {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> std::result::Result<Self, Response> {
        let tenant = Tenant::from_request_parts(parts, app).await?;
        let from =
            From::from_request_parts(parts, app).await.unwrap_or_else(|never| match never {});
        Ok(Self { app: Arc::clone(app), tenant, now_ms: now_ms(), from })
    }
}

/// A question that was admitted, on its thread.
pub(super) struct Admitted<'a> {
    app: &'a App,
    pub(super) db: Option<&'a Db>,
    tenant: &'a str,
    snapshot: &'a Snapshot,
    now_ms: i64,
    pub(super) budget: &'a Budget,
}

impl<'a> Admitted<'a> {
    /// The definitions in force.
    pub(super) fn in_force(&self) -> &'a Definitions {
        &self.snapshot.definitions
    }

    /// Asks about definitions over the samples of the tenant, with its exclusions.
    pub(super) fn desk<T>(
        &self,
        definitions: &Definitions,
        ask: impl FnOnce(&Desk<'_>) -> Result<T>,
    ) -> Result<T> {
        let owner = (self.db, self.tenant);
        self.app.slo.at_desk(owner, definitions, self.budget, self.now_ms, ask)
    }
}

impl Asking {
    /// Does some work on a blocking thread, as queries are done; `kind` and `text` tell what it is.
    pub(super) async fn admitted<T: Send + 'static>(
        self,
        (kind, text): (&'static str, &str),
        work: impl FnOnce(&Admitted<'_>) -> SloResult<T> + Send + 'static,
    ) -> SloResult<T> {
        let Self { app, tenant, now_ms, from } = self;
        let db = app.existing_db(&tenant.0)?;
        let asked = from.asks(kind, &tenant).text(text);
        let snapshot = app.slo.snapshot();
        run(&app, asked, None, move |app, budget, _| {
            let (db, tenant, snapshot) = (db.as_deref(), tenant.0.as_str(), &*snapshot);
            Ok(work(&Admitted { app, db, tenant, snapshot, now_ms, budget }))
        })
        .await?
    }
}

/// An answer as JSON.
pub(super) fn json_of<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json(StatusCode::OK, body),
        Err(error) => ApiError::internal(error.to_string()).into_response(),
    }
}
