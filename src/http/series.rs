//! `/api/v1/series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nines_storage::model::Labels;
use nines_storage::query::{Queryable, SelectHints};

use super::app::App;
use super::error::{ApiError, ApiResult, json};
use super::json::{comma, success, write_labels};
use super::labels::TRUNCATED;
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;

/// `/api/v1/series`
pub(super) async fn series(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    params: Params,
) -> ApiResult {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let range = params.time_range()?;
    let sets = params.matcher_sets().map_err(|why| ApiError::invalid_param("match[]", &why))?;
    let db = app.existing_db(&tenant.0)?;
    let body = run(&app, None, move |_, budget, _| {
        let hints = SelectHints { labels_only: true, ..SelectHints::default() };
        let mut found: BTreeSet<Labels> = BTreeSet::new();
        let mut warnings = Vec::new();
        if let Some(db) = db.filter(|_| range.min <= range.max) {
            for matchers in &sets {
                let selected = db.select(matchers, range, &hints, budget)?;
                found.extend((0..selected.len()).map(|i| selected.labels(i).clone()));
                warnings.extend(selected.warnings());
                budget.check_series(found.len() as u64)?;
            }
        }
        let shown = limit.unwrap_or(usize::MAX);
        if found.len() > shown {
            warnings.push(TRUNCATED.to_owned());
        }
        Ok(success(&warnings, &[], |out| {
            out.push(b'[');
            for (i, labels) in found.iter().take(shown).enumerate() {
                comma(out, i);
                write_labels(out, labels);
            }
            out.push(b']');
        }))
    })
    .await?;
    Ok(json(StatusCode::OK, body))
}
