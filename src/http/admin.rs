//! `/api/v1/admin/tsdb/*`: off unless `--web.enable-admin-api`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::app::App;
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::tenant::Tenant;

fn check_enabled(app: &App) -> ApiResult<()> {
    if app.config.web.enable_admin_api {
        Ok(())
    } else {
        Err(ApiError::unavailable("admin APIs disabled"))
    }
}

/// Runs `work` on a blocking thread without a query's deadline: a delete must not stop half way.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> nines_storage::Result<T> + Send + 'static,
) -> ApiResult<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => Ok(answer?),
        Err(join) => {
            tracing::error!(error = %join, "an admin request panicked; this is a fault of nines");
            Err(ApiError::internal("the request met a fault of nines; its log tells more"))
        }
    }
}

/// `/api/v1/admin/tsdb/delete_series`
pub(super) async fn delete_series(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    params: Params,
) -> ApiResult {
    check_enabled(&app)?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.time_range()?;
    let sets = params.matcher_sets().map_err(|why| ApiError::invalid_param("match[]", &why))?;
    if let Some(db) = app.existing_db(&tenant.0)? {
        let asked: Vec<&str> = params.all("match[]").collect();
        tracing::warn!(tenant = %tenant.0, selectors = ?asked, from_ms = range.min, to_ms = range.max, "deleting series as asked over the admin API");
        let n = blocking(move || db.delete(&sets, range)).await?;
        tracing::warn!(tenant = %tenant.0, series = n, "deleted");
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/v1/admin/tsdb/clean_tombstones`
pub(super) async fn clean_tombstones(State(app): State<Arc<App>>, tenant: Tenant) -> ApiResult {
    check_enabled(&app)?;
    if let Some(db) = app.existing_db(&tenant.0)? {
        blocking(move || db.clean_tombstones()).await?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `/api/v1/admin/tsdb/snapshot`
pub(super) async fn snapshot(State(app): State<Arc<App>>) -> ApiResult {
    check_enabled(&app)?;
    Err(ApiError::unavailable(
        "snapshots are not supported: stop nines and copy its data directory",
    ))
}
