//! `GET /slos/{id}/versions`: what an SLO was over time.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::asking::json_of;
use super::error::SloResult;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::run::run;
use crate::http::tenant::Tenant;
use crate::slo::versions::versions as versions_of;

/// `GET /slos/{id}/versions`
pub(in crate::http) async fn versions(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
) -> SloResult {
    app.store()?;
    let journal = app.slo.journals()?.definitions()?;
    let snapshot = app.slo.snapshot();
    let asked = from.asks("slo_versions", &tenant).text(&name);
    let told = run(&app, asked, None, move |_, budget, _| {
        Ok(versions_of(&snapshot.definitions, &journal, &name, budget))
    });
    Ok(json_of(&told.await??))
}
