//! Pages for people: gathers what [`crate::ui`] shows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::{App, Phase};
use super::asked::From;
use super::error::ApiError;
use super::json::{write_float, write_plain_float};
use super::params::Params;
use super::query::instant_value;
use super::tenant::Tenant;
use crate::clock::{format_rfc3339, now_ms};
use crate::promql::{SampleValue, Value};
use crate::queries::Order;
use crate::ui::{self, GraphPage, GraphRow, Landing, QueriesPage, StorePhase, TenantFacts};

/// Most rows of a result that the page shows.
const ROWS_MAX: usize = 1000;

/// Most past queries that the page shows.
const QUERIES_MAX: usize = 50;

/// Pages hold no scripts and load nothing; the style is inside.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page as an answer.
pub(super) fn page(status: StatusCode, html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, html).into_response()
}

/// `/`
pub(super) async fn landing(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = now_ms();
    let url = base_url(&app, &headers);
    // The store's statistics may wait for a lock.
    let shared = app.clone();
    let store = tokio::task::spawn_blocking(move || store_phase(&shared))
        .await
        .unwrap_or(StorePhase::Stopping);
    let landing = Landing {
        url,
        version: env!("CARGO_PKG_VERSION"),
        now_ms: now,
        started_ms: app.started_ms,
        retention: app.config.storage.retention.to_string(),
        sync: app.config.wal.sync.to_string(),
        senders: app.senders.list(now),
        store,
    };
    page(StatusCode::OK, ui::landing(&landing))
}

fn store_phase(app: &App) -> StorePhase {
    match app.phase() {
        Phase::Starting(progress) => {
            StorePhase::Replaying { done: progress.segments_done, total: progress.segments_total }
        }
        Phase::Stopping => StorePhase::Stopping,
        Phase::Ready(store) => StorePhase::Ready(
            store
                .tenants()
                .into_iter()
                .map(|(tenant, db)| TenantFacts { tenant, stats: db.stats() })
                .collect(),
        ),
    }
}

/// `/graph?g0.expr=...`: the target of Alertmanager's links.
pub(super) async fn graph(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> Response {
    let expr = params.get("g0.expr").to_owned();
    let time_text = match params.get("g0.end_input") {
        "" => params.get("g0.moment_input").to_owned(),
        text => text.to_owned(),
    };
    let at = super::time::parse_time(&time_text.replacen(' ', "T", 1)).unwrap_or_else(|_| now_ms());
    let mut shown =
        GraphPage { expr: expr.clone(), at: format_rfc3339(at), time_text, ..GraphPage::default() };
    let mut status = StatusCode::OK;
    if !expr.trim().is_empty() {
        match instant_value(&app, &tenant, from, expr, at).await {
            Ok((value, notes)) => {
                shown.notes = notes;
                shown.total = rows(&value, &mut shown.rows);
                shown.evaluated = true;
            }
            Err(ApiError::Kind(kind, text)) => {
                status = kind.word_and_status().1;
                shown.error = Some(text);
            }
            Err(ApiError::NotReady) => {
                status = StatusCode::SERVICE_UNAVAILABLE;
                shown.error = Some(
                    "The write-ahead log is being replayed: try again in a moment.".to_owned(),
                );
            }
        }
    }
    page(status, ui::graph(&shown))
}

/// `/queries`
pub(super) async fn queries(State(app): State<Arc<App>>, params: Params) -> Response {
    let by = params.get("by");
    let order = ui::ORDERS.iter().find(|(_, word, _)| *word == by);
    let order = order.map_or(Order::Duration, |(order, ..)| *order);
    let shown = QueriesPage {
        now_ms: now_ms(),
        active: app.queries.active(None),
        order,
        top: app.queries.top(order, QUERIES_MAX, i64::MIN, None),
    };
    page(StatusCode::OK, ui::queries(&shown))
}

/// The rows to show; returns how many there are in all.
fn rows(value: &Value, rows: &mut Vec<GraphRow>) -> usize {
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    let float = |value: f64| text(&|out| write_float(out, value));
    match value {
        Value::Scalar { value, .. } => {
            rows.push(GraphRow {
                series: "scalar".to_owned(),
                value: text(&|out| write_plain_float(out, *value)),
            });
            1
        }
        Value::String { value, .. } => {
            rows.push(GraphRow { series: "string".to_owned(), value: value.clone() });
            1
        }
        Value::Vector(samples) => {
            rows.extend(samples.iter().take(ROWS_MAX).map(|sample| GraphRow {
                series: ui::series_name(&sample.labels),
                value: match &sample.value {
                    SampleValue::Float(value) => float(*value),
                    SampleValue::Histogram(histogram) => {
                        format!("histogram, sum {}", float(histogram.sum))
                    }
                },
            }));
            samples.len()
        }
        Value::Matrix(series) => {
            rows.extend(series.iter().take(ROWS_MAX).map(|series| {
                let last = series
                    .floats
                    .last()
                    .map(|(ts, value)| format!("{} @ {}", float(*value), format_rfc3339(*ts)));
                let samples = series.floats.len() + series.histograms.len();
                GraphRow {
                    series: ui::series_name(&series.labels),
                    value: format!(
                        "{samples} samples, the last {}",
                        last.unwrap_or_else(|| "a histogram".to_owned())
                    ),
                }
            }));
            series.len()
        }
    }
}

/// The address under which the browser reached this page, for the lines to copy.
fn base_url(app: &App, headers: &HeaderMap) -> String {
    if let Some(url) = &app.config.web.external_url {
        return url.trim_end_matches('/').to_owned();
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = match header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let plausible =
        |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b));
    let host = header("host").filter(plausible).unwrap_or(&app.config.web.listen);
    format!("{scheme}://{host}")
}
