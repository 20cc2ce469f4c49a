//! `/api/v1/status/active_queries` and `top_queries`: the paths, parameters and keys of VictoriaMetrics, in the
//! envelope of this API, with more keys. They show the tenant of the request.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde_json::{Map, Value as Json, json};

use super::app::App;
use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::status::data;
use super::tenant::Tenant;
use super::time::parse_duration_ns;
use crate::clock::{format_rfc3339, now_ms};
use crate::queries::{ActiveView, Caller, Order, TOP_MAX, TopQuery};

/// Length of a list unless `topN` tells another.
const TOP_DEFAULT: usize = 20;

/// `/api/v1/status/active_queries`
pub(super) async fn active(State(app): State<Arc<App>>, tenant: Tenant) -> ApiResult {
    let views = app.queries.active(Some(&tenant.0));
    data(&views.iter().map(active_json).collect())
}

/// `/api/v1/status/top_queries`
pub(super) async fn top(State(app): State<Arc<App>>, tenant: Tenant, params: Params) -> ApiResult {
    let n = match params.get("topN") {
        "" => TOP_DEFAULT,
        text => match text.parse::<usize>() {
            Ok(n) if n > 0 => n.min(TOP_MAX),
            _ => return Err(ApiError::bad_data("topN must be a positive number")),
        },
    };
    let lifetime = params.get("maxLifetime");
    let since_ms = match lifetime {
        "" => i64::MIN,
        text => {
            let ns = parse_duration_ns(text)
                .map_err(|why| ApiError::invalid_param("maxLifetime", &why))?;
            now_ms().saturating_sub(ns / 1_000_000)
        }
    };
    let list = |order| -> Json {
        let top = app.queries.top(order, n, since_ms, Some(&tenant.0));
        top.iter().map(top_json).collect()
    };
    data(&json!({
        "topN": n,
        "maxLifetime": lifetime,
        "topByCount": list(Order::Count),
        "topByAvgDuration": list(Order::AvgDuration),
        "topBySumDuration": list(Order::Duration),
        "topBySumSamples": list(Order::Samples),
        "topByMaxMemoryUsage": list(Order::Bytes),
    }))
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

fn put_caller(object: &mut Map<String, Json>, caller: &Caller) {
    for (name, text) in caller.fields() {
        object.insert(name.to_owned(), json!(text));
    }
}

fn active_json(view: &ActiveView) -> Json {
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    put("id", json!(view.id.to_string()));
    put("kind", json!(view.asked.kind));
    put("state", json!(if view.usage.is_some() { "running" } else { "queued" }));
    put("duration", json!(format!("{:.3}s", view.elapsed.as_secs_f64())));
    put("started", json!(format_rfc3339(view.started_ms)));
    put("query", json!(view.asked.text));
    put("tenant", json!(view.asked.tenant));
    if let Some((start, end)) = view.asked.range_ms {
        put("start", json!(start));
        put("end", json!(end));
        put("step", json!(view.asked.step_ms.unwrap_or(0)));
    }
    let usage = view.usage.unwrap_or_default();
    put("samples_read", json!(usage.samples_read));
    put("samples_peak", json!(usage.samples_peak));
    put("series", json!(usage.series));
    put("bytes", json!(usage.bytes));
    put("bytes_peak", json!(usage.bytes_peak));
    put_caller(&mut object, &view.asked.caller);
    Json::Object(object)
}

fn top_json(query: &TopQuery) -> Json {
    let totals = &query.totals;
    let mut object = Map::new();
    let mut put = |name: &str, value: Json| object.insert(name.to_owned(), value);
    put("query", json!(query.text));
    put("kind", json!(query.kind));
    put("tenant", json!(query.tenant));
    put("timeRangeSeconds", json!(totals.range_ms / 1000));
    put("count", json!(totals.count));
    put("failures", json!(totals.failures));
    put("avgDurationSeconds", json!(seconds(totals.duration_avg())));
    put("sumDurationSeconds", json!(seconds(totals.duration)));
    put("maxDurationSeconds", json!(seconds(totals.duration_max)));
    put("sumQueueSeconds", json!(seconds(totals.queued)));
    put("sumSamples", json!(totals.samples));
    put("avgMemoryBytes", json!(totals.bytes / totals.count.max(1)));
    put("maxMemoryBytes", json!(totals.bytes_max));
    put("last", json!(format_rfc3339(totals.last_ms)));
    put_caller(&mut object, &totals.caller);
    Json::Object(object)
}

#[cfg(test)]
mod tests {
    use nines_storage::query::BudgetUsage;

    use super::*;
    use crate::queries::{Asked, Totals};

    fn asked() -> Asked {
        let caller = Caller { panel_id: Some("7".to_owned()), ..Caller::default() };
        Asked {
            kind: "query_range",
            tenant: "a".to_owned(),
            range_ms: Some((1000, 61_000)),
            step_ms: Some(15_000),
            caller,
            ..Asked::default()
        }
        .text("up")
    }

    #[test]
    fn an_active_query_has_the_keys_of_victoriametrics() {
        let usage = Some(BudgetUsage { samples_read: 5, bytes: 9, ..BudgetUsage::default() });
        let elapsed = Duration::from_millis(1500);
        let view = ActiveView { id: 3, asked: asked(), started_ms: 0, elapsed, usage };
        let json = active_json(&view);
        for (key, value) in [
            ("id", json!("3")),
            ("duration", json!("1.500s")),
            ("query", json!("up")),
            ("start", json!(1000)),
            ("end", json!(61_000)),
            ("step", json!(15_000)),
            ("state", json!("running")),
            ("samples_read", json!(5)),
            ("bytes", json!(9)),
            ("panel_id", json!("7")),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
        assert_eq!(active_json(&ActiveView { usage: None, ..view })["state"], "queued");
    }

    #[test]
    fn a_past_query_tells_sums_means_and_peaks() {
        let totals = Totals {
            count: 4,
            duration: Duration::from_secs(2),
            bytes: 400,
            bytes_max: 250,
            range_ms: 60_000,
            ..Totals::default()
        };
        let (kind, text, tenant) = ("query", "up".to_owned(), "a".to_owned());
        let json = top_json(&TopQuery { kind, text, tenant, totals });
        for (key, value) in [
            ("timeRangeSeconds", json!(60)),
            ("count", json!(4)),
            ("sumDurationSeconds", json!(2.0)),
            ("avgDurationSeconds", json!(0.5)),
            ("avgMemoryBytes", json!(100)),
            ("maxMemoryBytes", json!(250)),
        ] {
            assert_eq!(json[key], value, "{key}");
        }
    }
}
