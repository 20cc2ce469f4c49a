//! Endpoints of a scraping, alerting Prometheus: the right shapes with nothing in them.

use axum::http::StatusCode;

use super::error::{ApiError, ApiResult, json};
use super::json::success;
use super::metadata::count;
use super::params::Params;

fn data(json_text: &str) -> ApiResult {
    Ok(json(StatusCode::OK, success(&[], &[], |out| out.extend_from_slice(json_text.as_bytes()))))
}

/// `/api/v1/rules`
pub(super) async fn rules(params: Params) -> ApiResult {
    let kind = params.get("type").to_ascii_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        let why = format!("not supported value {}", super::error::go_quote(kind.as_bytes()));
        return Err(ApiError::invalid_param("type", &why));
    }
    params.matcher_sets().map_err(ApiError::bad_data)?;
    let group_limit = params.get("group_limit");
    if !group_limit.is_empty() && !group_limit.parse::<i64>().is_ok_and(|n| n > 0) {
        return Err(ApiError::invalid_param(
            "group_limit",
            "group_limit needs to be greater than 0",
        ));
    }
    if group_limit.is_empty() && !params.get("group_next_token").is_empty() {
        let why = "group_limit needs to be set in order to paginate over the groups";
        return Err(ApiError::invalid_param("group_next_token", why));
    }
    data(r#"{"groups":[]}"#)
}

/// `/api/v1/alerts`
pub(super) async fn alerts() -> ApiResult {
    data(r#"{"alerts":[]}"#)
}

/// `/api/v1/alertmanagers`
pub(super) async fn alertmanagers() -> ApiResult {
    data(r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#)
}

/// `/api/v1/targets`
pub(super) async fn targets(params: Params) -> ApiResult {
    let counts = if params.get("state").eq_ignore_ascii_case("active") { "null" } else { "{}" };
    data(&format!(r#"{{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{counts}}}"#))
}

/// `/api/v1/targets/metadata`
pub(super) async fn targets_metadata(params: Params) -> ApiResult {
    count(&params, "limit")?;
    data("[]")
}

/// `/api/v1/scrape_pools`
pub(super) async fn scrape_pools() -> ApiResult {
    data(r#"{"scrapePools":[]}"#)
}

/// `/api/v1/notifications`
pub(super) async fn notifications() -> ApiResult {
    data("[]")
}
