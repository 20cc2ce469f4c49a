//! `/api/v1/status/*` about the server, and `/version`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value as Json, json};

use super::app::{App, Phase};
use super::error::{ApiResult, plain};
use crate::clock::{format_rfc3339, now_ms};
use crate::telemetry::{Process, hostname};

/// A successful answer.
pub(super) fn data(data: &Json) -> ApiResult {
    Ok(super::error::json(
        StatusCode::OK,
        format!(r#"{{"status":"success","data":{data}}}"#).into_bytes(),
    ))
}

/// What `status/buildinfo` shows. No `features`: Grafana takes a server that has some for Mimir.
pub(super) fn build_info() -> Json {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": option_env!("NINES_REVISION").unwrap_or(""),
        "branch": "",
        "buildUser": "",
        "buildDate": option_env!("NINES_BUILD_DATE").unwrap_or(""),
        // Clients print it beside the version; there is no Go in here.
        "goVersion": "",
        "application": "nines",
    })
}

/// `/api/v1/status/buildinfo`
pub(super) async fn buildinfo() -> ApiResult {
    // Clients compare the version with Prometheus's releases to know what the API can do.
    let mut info = build_info();
    if let Some(info) = info.as_object_mut() {
        info.insert("version".to_owned(), json!(API_VERSION));
        info.insert("ninesVersion".to_owned(), json!(env!("CARGO_PKG_VERSION")));
    }
    data(&info)
}

/// The Prometheus release whose API is answered.
const API_VERSION: &str = "3.14.0";

/// `/version`
pub(super) async fn version() -> Response {
    plain(StatusCode::OK, format!("{}\n", build_info()))
}

/// `/api/v1/status/runtimeinfo`
pub(super) async fn runtimeinfo(State(app): State<Arc<App>>) -> ApiResult {
    let corruptions: u64 = match app.phase() {
        Phase::Ready(store) => {
            store.tenants().iter().map(|(_, db)| db.stats().wal.corruptions).sum()
        }
        Phase::Starting(_) | Phase::Stopping => 0,
    };
    let cwd = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
    data(&json!({
        "startTime": format_rfc3339(app.started_ms),
        "CWD": cwd,
        "hostname": hostname(),
        "serverTime": format_rfc3339(now_ms()),
        "reloadConfigSuccess": true,
        "lastConfigTime": format_rfc3339(app.started_ms),
        "corruptionCount": corruptions,
        // The words are Go's; the nearest thing here are threads.
        "goroutineCount": Process::now().threads,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, usize::from),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": app.config.storage.retention.to_string(),
    }))
}

/// `/api/v1/status/config`
pub(super) async fn config(State(app): State<Arc<App>>) -> ApiResult {
    data(&json!({"yaml": app.config.effective_yaml()}))
}

/// `/api/v1/status/flags`: the settings under the names of their flags.
pub(super) async fn flags(State(app): State<Arc<App>>) -> ApiResult {
    let c = &app.config;
    data(&json!({
        "data": c.data.display().to_string(),
        "listen": c.web.listen,
        "insecure-public": c.web.insecure_public.to_string(),
        "log.format": format!("{:?}", c.log.format).to_lowercase(),
        "log.level": format!("{:?}", c.log.level).to_lowercase(),
        "query.lookback-delta": c.query.lookback_delta.to_string(),
        "query.max-concurrency": c.query.max_concurrency.to_string(),
        "query.max-samples": c.query.max_samples.to_string(),
        "query.slow-log-threshold": c.query.slow_log_threshold.to_string(),
        "query.max-series": c.query.max_series.to_string(),
        "query.timeout": c.query.timeout.to_string(),
        "storage.retention": c.storage.retention.to_string(),
        "wal.sync": c.wal.sync.to_string(),
        "web.cors.origin": c.web.cors_pattern(),
        "web.enable-admin-api": c.web.enable_admin_api.to_string(),
        "web.external-url": c.web.external_url.clone().unwrap_or_default(),
    }))
}

/// `/api/v1/status/walreplay`; answered while the log is being replayed.
pub(super) async fn walreplay(State(app): State<Arc<App>>) -> ApiResult {
    match app.phase() {
        Phase::Starting(progress) => data(&json!({
            "min": 0,
            "max": progress.segments_total,
            "current": progress.segments_done,
            "state": "in progress",
        })),
        Phase::Ready(_) | Phase::Stopping => {
            data(&json!({"min": 0, "max": 0, "current": 0, "state": "done"}))
        }
    }
}
