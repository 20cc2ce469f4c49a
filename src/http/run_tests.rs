//! Queries with a store behind them: waiting, stopping, limits, and what is remembered of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use nines_storage::Store;
use serde_json::Value as Json;
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::{App, Phase, router};
use crate::config::Config;

fn app(change: impl FnOnce(&mut Config)) -> (Arc<App>, TempDir) {
    let mut config = Config::default();
    change(&mut config);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), config.store_options(), &|_| {}).unwrap();
    let app = App::new(config);
    app.set_phase(Phase::Ready(Arc::new(store)));
    (app, dir)
}

async fn send(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router(app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn json(app: &Arc<App>, path: &str, headers: &[(&str, &str)]) -> Json {
    serde_json::from_str(&send(app, path, headers).await.1).unwrap()
}

#[tokio::test]
async fn a_query_that_waits_too_long_is_answered_503_and_remembered() {
    let (app, _dir) = app(|config| config.query.max_concurrency = 1);
    let slot = app.query_slots.clone().acquire_owned().await.unwrap();
    let asking = app.clone();
    let waiting = tokio::spawn(async move { send(&asking, "/api/v1/query?query=1", &[]).await });
    while app.queries.waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let active = json(&app, "/api/v1/status/active_queries", &[]).await;
    assert_eq!(active["data"][0]["state"], "queued");
    assert_eq!(active["data"][0]["query"], "1");
    let (_, metrics) = send(&app, "/metrics", &[]).await;
    assert!(metrics.contains("\nnines_query_waiting 1\n"), "{metrics}");

    let (status, body) = send(&app, "/api/v1/query?query=2&timeout=30ms", &[]).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains(r#""errorType":"timeout""#), "{body}");
    assert!(body.contains("query timed out in query queue"), "{body}");
    assert!(body.contains("--query.max-concurrency"), "{body}");

    // A client that goes away leaves the queue.
    waiting.abort();
    waiting.await.unwrap_err();
    assert_eq!(app.queries.waiting(), 0);
    drop(slot);
    assert_eq!(send(&app, "/api/v1/query?query=3", &[]).await.0, 200);
    let (_, metrics) = send(&app, "/metrics", &[]).await;
    for outcome in ["timeout", "canceled", "ok"] {
        let line = format!(r#"nines_query_requests_total{{kind="query",outcome="{outcome}"}} 1"#);
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn what_was_asked_is_remembered_with_who_asked() {
    let (app, _dir) = app(|_| {});
    let grafana = [
        ("User-Agent", "Grafana/13.0"),
        ("X-Dashboard-Uid", "E2Kbo"),
        ("X-Panel-Id", "7"),
        ("X-Scope-OrgID", "team"),
    ];
    let range = "/api/v1/query_range?query=up&start=0&end=60&step=15";
    for _ in 0..3 {
        assert_eq!(send(&app, range, &grafana).await.0, 200);
    }
    assert_eq!(send(&app, "/api/v1/query?query=sum(", &grafana).await.0, 400);
    assert_eq!(send(&app, "/api/v1/labels?match[]=up", &[]).await.0, 200);
    let top = json(&app, "/api/v1/status/top_queries", &[("X-Scope-OrgID", "team")]).await;
    let first = &top["data"]["topByCount"][0];
    assert_eq!(
        (&first["query"], &first["count"], &first["timeRangeSeconds"], &first["dashboard_uid"]),
        (&"up".into(), &3.into(), &60.into(), &"E2Kbo".into())
    );
    assert_eq!(top["data"]["topByCount"][1]["failures"], 1);
    for list in ["topByAvgDuration", "topBySumDuration", "topBySumSamples", "topByMaxMemoryUsage"] {
        assert_eq!(top["data"][list].as_array().unwrap().len(), 2, "{list}");
    }
    // Another tenant sees its own.
    let other = json(&app, "/api/v1/status/top_queries?topN=1", &[]).await;
    assert_eq!(other["data"]["topByCount"][0]["kind"], "labels");
    assert_eq!(send(&app, "/api/v1/status/top_queries?topN=x", &[]).await.0, 400);
    assert_eq!(send(&app, "/api/v1/status/top_queries?maxLifetime=x", &[]).await.0, 400);
    let (status, page) = send(&app, "/queries?by=count", &[]).await;
    assert_eq!(status, 200);
    assert!(page.contains("E2Kbo") && page.contains("<b>how often</b>"), "{page}");
}

#[tokio::test]
async fn only_slow_queries_are_counted_as_slow() {
    for threshold in ["0", "1d"] {
        let (app, _dir) =
            app(|config| config.query.slow_log_threshold = threshold.parse().unwrap());
        assert_eq!(send(&app, "/api/v1/query?query=1", &[]).await.0, 200);
        assert_eq!(app.telemetry.slow_queries.get(), 0, "{threshold}");
    }
    let (app, _dir) = app(|config| {
        config.query.slow_log_threshold.0 = Duration::from_nanos(1);
    });
    assert_eq!(send(&app, "/api/v1/query?query=1", &[]).await.0, 200);
    assert_eq!(app.telemetry.slow_queries.get(), 1);
}

#[tokio::test]
async fn statistics_are_those_asked_for() {
    let (app, _dir) = app(|_| {});
    let ask = |stats: &'static str| {
        let app = app.clone();
        async move {
            let path = "/api/v1/query_range?query=up&start=0&end=30&step=15&stats=";
            json(&app, &format!("{path}{stats}"), &[]).await
        }
    };
    assert!(ask("").await["data"]["stats"].is_null());
    for (stats, warned) in [("true", false), ("all", false), ("1", true)] {
        let answer = ask(stats).await;
        assert_eq!(answer["data"]["stats"]["samples"]["totalQueryableSamples"], 0, "{answer}");
        let steps = &answer["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"];
        let expected = serde_json::json!([[0, 0], [15, 0], [30, 0]]);
        assert_eq!(*steps, if stats == "all" { expected } else { Json::Null });
        let warning = r#"value "1" for parameter "stats" is deprecated and will be rejected in the next major release, use "true" or "all""#;
        assert_eq!(answer["warnings"].is_array(), warned, "{answer}");
        assert!(!warned || answer["warnings"][0] == warning, "{answer}");
    }
}
