//! The router without a store: what is answered before the data directory is open, and all that needs none.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt as _;

use super::{App, router};
use crate::config::Config;

fn app(change: impl FnOnce(&mut Config)) -> Arc<App> {
    let mut config = Config::default();
    change(&mut config);
    App::new(config)
}

async fn send(app: &Arc<App>, request: Request<Body>) -> (StatusCode, Response<()>, String) {
    let response = router(app.clone()).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let status = parts.status;
    (status, Response::from_parts(parts, ()), String::from_utf8_lossy(&body).into_owned())
}

fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

async fn get(path: &str) -> (u16, String) {
    let (status, _, body) = send(&app(|_| {}), request("GET", path)).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn while_starting_the_server_is_alive_but_not_ready() {
    assert_eq!(get("/-/healthy").await, (200, "nines is Healthy.\n".to_owned()));
    for path in [
        "/-/ready",
        "/api/v1/query?query=1",
        "/api/v1/labels",
        "/prometheus/api/v1/series?match[]=up",
    ] {
        assert_eq!(get(path).await, (503, "Service Unavailable".to_owned()), "{path}");
    }
    let (status, body) = get("/api/v1/status/walreplay").await;
    assert_eq!((status, body.contains(r#""state":"in progress""#)), (200, true), "{body}");
    let (status, body) = get("/metrics").await;
    assert_eq!((status, body.contains("\nnines_ready 0\n")), (200, true), "{body}");
}

#[tokio::test]
async fn wrong_methods_and_paths_are_plain_text() {
    for (method, path) in [
        ("PUT", "/api/v1/query"),
        ("GET", "/api/v1/write"),
        ("POST", "/api/v1/label/job/values"),
        ("DELETE", "/api/v1/series"),
        ("GET", "/api/v1/admin/tsdb/delete_series"),
        ("PUT", "/prometheus/api/v1/query"),
    ] {
        let (status, head, body) = send(&app(|_| {}), request(method, path)).await;
        assert_eq!(
            (status.as_u16(), body.as_str()),
            (405, "Method Not Allowed\n"),
            "{method} {path}"
        );
        assert!(head.headers().contains_key(header::ALLOW), "{method} {path}");
        assert_eq!(head.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }
    for path in ["/api/v1/nope", "/nope", "/prometheus/nope"] {
        assert_eq!(get(path).await, (404, "404 page not found\n".to_owned()), "{path}");
    }
    let (status, head, _) = send(&app(|_| {}), request("GET", "/api/v1/query/?query=1")).await;
    assert_eq!(
        (status.as_u16(), head.headers()[header::LOCATION].to_str().unwrap()),
        (301, "/api/v1/query?query=1")
    );
    assert_eq!(get("//evil.example/api/v1/query/").await.0, 404);
    assert_eq!(get("/alerts").await.0, 302);
    let (status, _, body) = send(&app(|_| {}), request("POST", "/-/reload")).await;
    assert_eq!((status.as_u16(), body.as_str()), (403, "Lifecycle API is not enabled."));
    assert_eq!(get("/-/quit").await, (405, "Only POST or PUT requests allowed".to_owned()));
}

#[tokio::test]
async fn parameters_are_judged_with_prometheus_texts() {
    for (path, error) in [
        (
            "/api/v1/query?query=up&time=x",
            r#"invalid parameter "time": invalid time value for 'time': cannot parse "x" to a valid timestamp"#,
        ),
        (
            "/api/v1/query?query=up&limit=-1",
            r#"invalid parameter "limit": limit must be non-negative"#,
        ),
        (
            "/api/v1/query?query=up&timeout=x",
            r#"invalid parameter "timeout": cannot parse "x" to a valid duration"#,
        ),
        (
            "/api/v1/query?query=up&lookback_delta=x",
            r#"error parsing lookback delta duration: cannot parse "x" to a valid duration"#,
        ),
        (
            "/api/v1/query_range?query=up&end=1&step=1",
            r#"invalid parameter "start": cannot parse "" to a valid timestamp"#,
        ),
        (
            "/api/v1/query_range?query=up&start=9&end=1&step=1",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=1&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        ),
        (
            "/api/v1/query_range?query=up&start=0&end=11001&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ),
        ("/api/v1/series", "no match[] parameter provided"),
        (
            "/api/v1/series?match[]={}",
            r#"invalid parameter "match[]": match[] must contain at least one non-empty matcher"#,
        ),
        ("/api/v1/labels?match[]={", "1:2: parse error: unexpected end of input inside braces"),
        ("/api/v1/label/%ff/values", r#"invalid label name: "\xff""#),
        ("/api/v1/metadata?limit=x", "limit must be a number"),
        (
            "/api/v1/query_exemplars?query=up&start=9&end=1",
            "end timestamp must not be before start timestamp",
        ),
        ("/api/v1/query_exemplars", "unknown position: parse error: no expression found in input"),
        ("/api/v1/rules?type=foo", r#"invalid parameter "type": not supported value "foo""#),
        (
            "/api/v1/rules?group_limit=-1",
            r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
        ),
        ("/api/v1/status/tsdb?limit=0", "limit must be a positive number"),
        (
            "/api/v1/parse_query?query=((",
            r#"invalid parameter "query": 1:3: parse error: unclosed left parenthesis"#,
        ),
        ("/api/v1/query?query=%zz", r#"error parsing form values: invalid URL escape "%zz""#),
    ] {
        let (status, body) = get(&path.replace('{', "%7B").replace('}', "%7D")).await;
        let json: serde_json::Value =
            serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body}"));
        assert_eq!(
            (status, json["errorType"].as_str(), json["error"].as_str()),
            (400, Some("bad_data"), Some(error)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_longest_range_is_allowed() {
    assert_eq!(get("/api/v1/query_range?query=up&start=0&end=11000&step=1").await.0, 503);
}

#[tokio::test]
async fn format_and_parse_need_no_store() {
    let (status, body) =
        get("/api/v1/format_query?query=sum%20%20by(job)(rate(foo%7Ba%3D%22b%22%7D%5B5m%5D))/1")
            .await;
    assert_eq!(
        (status, body.as_str()),
        (200, r#"{"status":"success","data":"sum by (job) (rate(foo{a=\"b\"}[5m])) / 1"}"#)
    );
    let form = Request::builder()
        .method("POST")
        .uri("/api/v1/parse_query")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
        .body(Body::from("query=1"))
        .unwrap();
    let (status, head, body) = send(&app(|_| {}), form).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (200, r#"{"status":"success","data":{"type":"numberLiteral","val":"1"}}"#)
    );
    assert_eq!(head.headers()[header::CONTENT_TYPE], "application/json");
}

#[tokio::test]
async fn what_is_not_scraped_here_is_empty() {
    for (path, data) in [
        ("/api/v1/rules", r#"{"groups":[]}"#),
        ("/api/v1/alerts", r#"{"alerts":[]}"#),
        ("/api/v1/alertmanagers", r#"{"activeAlertmanagers":[],"droppedAlertmanagers":[]}"#),
        ("/api/v1/targets", r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}"#),
        (
            "/api/v1/targets?state=active",
            r#"{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":null}"#,
        ),
        ("/api/v1/targets/metadata", "[]"),
        ("/api/v1/scrape_pools", r#"{"scrapePools":[]}"#),
        ("/api/v1/notifications", "[]"),
    ] {
        assert_eq!(
            get(path).await,
            (200, format!(r#"{{"status":"success","data":{data}}}"#)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_admin_api_is_off_by_default() {
    let (status, _, body) =
        send(&app(|_| {}), request("POST", "/api/v1/admin/tsdb/delete_series")).await;
    assert_eq!(
        (status.as_u16(), body.as_str()),
        (500, r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#)
    );
    let on = app(|config| config.web.enable_admin_api = true);
    let (status, _, body) = send(&on, request("PUT", "/api/v1/admin/tsdb/delete_series")).await;
    assert_eq!(
        (status.as_u16(), body.contains("no match[] parameter provided")),
        (400, true),
        "{body}"
    );
}

#[tokio::test]
async fn pages_of_other_origins_may_read() {
    let from = |method: &str| {
        Request::builder()
            .method(method)
            .uri("/api/v1/alerts")
            .header(header::ORIGIN, "https://grafana.example")
            .body(Body::empty())
            .unwrap()
    };
    let allowing = |pattern: &str| {
        let pattern = pattern.to_owned();
        app(|config| config.web.cors_origin = Some(pattern))
    };
    let named = allowing(r"https://grafana\.example");
    for (app, method, wanted) in [
        (&app(|_| {}), "GET", 200),
        (&app(|_| {}), "OPTIONS", 204),
        (&named, "GET", 200),
        (&named, "OPTIONS", 204),
    ] {
        let (status, head, _) = send(app, from(method)).await;
        assert_eq!(status.as_u16(), wanted);
        assert_eq!(head.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "https://grafana.example");
        assert_eq!(head.headers()[header::ACCESS_CONTROL_ALLOW_METHODS], "GET, POST, OPTIONS");
        assert!(head.headers().get_all(header::VARY).iter().any(|vary| vary == "Origin"));
    }
    // The expression is anchored, and empty it allows nobody.
    for other in [allowing("https://grafana"), allowing("")] {
        let (status, head, _) = send(&other, from("GET")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!head.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_not_change_anything() {
    let from = |method: &str, path: &str, origin: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "nines.example:9999")
            .header(header::ORIGIN, origin)
            .body(Body::empty())
            .unwrap()
    };
    let changing = |set: Option<&str>| {
        let set = set.map(str::to_owned);
        app(|config| {
            config.web.enable_admin_api = true;
            config.web.cors_origin = set;
        })
    };
    let (foreign, own) = ("https://evil.example", "http://nines.example:9999");
    let paths = [
        ("/api/v1/write", 503),
        ("/api/v1/push", 503),
        ("/prometheus/api/v1/write", 503),
        ("/api/v1/admin/tsdb/delete_series", 400),
        ("/prometheus/api/v1/admin/tsdb/clean_tombstones", 503),
        ("/-/quit", 403),
    ];
    for (path, otherwise) in paths {
        for (set, origin, refused) in [
            (None, foreign, true),
            (None, "null", true),
            (Some(""), foreign, true),
            (Some(r"https://other\.example"), foreign, true),
            (None, own, false),
            (Some(""), own, false),
            (Some(r"https://evil\.example"), foreign, false),
            (Some(".*"), foreign, false),
        ] {
            let app = changing(set);
            let (status, head, body) = send(&app, from("POST", path, origin)).await;
            let wanted = if refused { 403 } else { otherwise };
            assert_eq!(status.as_u16(), wanted, "{path} {set:?} {origin}: {body}");
            assert_eq!(body.contains("--web.cors.origin"), refused, "{path} {set:?}: {body}");
            let (_, preflight, _) = send(&app, from("OPTIONS", path, origin)).await;
            for head in [head, preflight] {
                let allows = head.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
                assert!(!(refused && allows), "{path} {set:?} {origin}");
            }
        }
    }
}

#[tokio::test]
async fn answers_are_compressed_on_demand() {
    let ask = Request::builder()
        .uri("/metrics")
        .header(header::ACCEPT_ENCODING, "gzip, deflate")
        .body(Body::empty())
        .unwrap();
    let (_, head, body) = send(&app(|_| {}), ask).await;
    assert_eq!(head.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(!body.contains("nines_ready"));
}

#[tokio::test]
async fn writes_are_negotiated_before_anything_else() {
    let write = |kind: &str, encoding: &str| {
        Request::builder()
            .method("POST")
            .uri("/api/v1/write")
            .header(header::CONTENT_TYPE, kind)
            .header(header::CONTENT_ENCODING, encoding)
            .body(Body::from("x"))
            .unwrap()
    };
    for (kind, encoding, wanted) in [
        ("application/json", "snappy", 415),
        ("application/x-protobuf", "gzip", 415),
        ("application/x-protobuf;proto=x.Y", "snappy", 415),
        // Good headers: put off, because the log is being replayed.
        ("application/x-protobuf", "snappy", 503),
        ("application/x-protobuf; proto=io.prometheus.write.v2.Request", "snappy", 503),
    ] {
        let app = app(|_| {});
        let (status, head, body) = send(&app, write(kind, encoding)).await;
        assert_eq!(status.as_u16(), wanted, "{kind} {encoding}: {body}");
        assert_eq!(head.headers().contains_key(header::RETRY_AFTER), wanted == 503);
        assert_eq!(app.inflight_bytes(), 0);
    }
}

#[tokio::test]
async fn tenants_with_dangerous_names_are_refused() {
    for (name, wanted) in [("../x", 400), ("a/b", 400), ("team-a", 503)] {
        let ask = Request::builder()
            .uri("/api/v1/labels")
            .header("X-Scope-OrgID", name)
            .body(Body::empty())
            .unwrap();
        assert_eq!(send(&app(|_| {}), ask).await.0.as_u16(), wanted, "{name}");
    }
}

#[tokio::test]
async fn pages_are_protected_and_name_the_address_of_the_browser() {
    let ask = Request::builder()
        .uri("/")
        .header(header::HOST, "nines.example:9999")
        .body(Body::empty())
        .unwrap();
    let (status, head, body) = send(&app(|_| {}), ask).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("url: http://nines.example:9999/api/v1/write"));
    assert!(
        head.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'")
    );
    assert_eq!(head.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let evil = Request::builder().uri("/").header(header::HOST, "<b>").body(Body::empty()).unwrap();
    assert!(send(&app(|_| {}), evil).await.2.contains("127.0.0.1:9999/api/v1/write"));
    let (status, body) = get("/graph?g0.expr=up%20%3D%3D%200&g0.tab=1").await;
    assert_eq!((status, body.contains("up == 0")), (503, true));
    assert_eq!(get("/graph").await.0, 200);
}

#[tokio::test]
async fn status_pages_have_prometheus_keys() {
    for (path, keys) in [
        ("/api/v1/status/buildinfo", ["version", "revision", "branch", "goVersion"]),
        (
            "/api/v1/status/runtimeinfo",
            ["startTime", "serverTime", "storageRetention", "corruptionCount"],
        ),
    ] {
        let (status, body) = get(path).await;
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        for key in keys {
            assert!(!json["data"][key].is_null(), "{path}: {key}");
        }
        assert!(json["data"]["features"].is_null(), "Grafana would take this for Mimir");
    }
    let (_, body) = get("/api/v1/status/config").await;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(Config::parse(json["data"]["yaml"].as_str().unwrap()).unwrap(), Config::default());
    let (_, body) = get("/api/v1/status/flags").await;
    assert!(body.contains(r#""query.lookback-delta":"5m""#), "{body}");
}
