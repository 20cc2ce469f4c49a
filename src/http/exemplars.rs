//! `/api/v1/query_exemplars`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult, json};
use super::evaluate;
use super::json::{comma, success, write_float, write_labels, write_seconds};
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;

/// `/api/v1/query_exemplars`. Times far outside of what can be stored are normal: Grafana probes with
/// milliseconds where seconds belong.
pub(super) async fn exemplars(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    let range = params.time_range()?;
    if range.max < range.min {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = evaluate::parse(params.get("query")).map_err(ApiError::bad_data)?;
    let sets = evaluate::selectors(&expr);
    if sets.is_empty() {
        // Prometheus answers a query without selectors so.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let db = app.existing_db(&tenant.0)?;
    let body = run(
        &app,
        from.asks("query_exemplars", &tenant).text(params.get("query")),
        None,
        move |_, _, _| {
            let found = match db {
                Some(db) => db.exemplars(&sets, range)?,
                None => Vec::new(),
            };
            Ok(success(&[], &[], |out| {
                out.push(b'[');
                for (i, (labels, exemplars)) in found.iter().enumerate() {
                    comma(out, i);
                    out.extend_from_slice(br#"{"seriesLabels":"#);
                    write_labels(out, labels);
                    out.extend_from_slice(br#","exemplars":["#);
                    for (j, exemplar) in exemplars.iter().enumerate() {
                        comma(out, j);
                        out.extend_from_slice(br#"{"labels":"#);
                        write_labels(out, &exemplar.labels);
                        out.extend_from_slice(br#","value":""#);
                        write_float(out, exemplar.value);
                        out.extend_from_slice(br#"","timestamp":"#);
                        write_seconds(out, exemplar.ts);
                        out.push(b'}');
                    }
                    out.extend_from_slice(b"]}");
                }
                out.push(b']');
            }))
        },
    )
    .await?;
    Ok(json(StatusCode::OK, body))
}
