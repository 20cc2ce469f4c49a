//! Which path is answered by whom.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use super::app::App;
use super::error::plain;
use super::{
    admin, cardinality, cors, costs, empty, exemplars, federate, labels, lifecycle, metadata,
    metrics, pages, query, series, slo, status, tsdb, write,
};

/// The prefix under which everything is answered as well, for configurations that have it.
pub(super) const PREFIX: &str = "/prometheus";

/// Where remote write is taken: the paths that senders of other receivers are configured for.
pub(super) const WRITE_PATHS: [&str; 4] =
    ["/api/v1/write", "/api/v1/push", "/api/v1/receive", "/api/prom/push"];

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let changing = changing().route_layer(from_fn_with_state(app.clone(), cors::guard));
    let routes = Router::new().merge(api()).merge(slo::routes()).merge(changing).merge(root());
    Router::new()
        .merge(routes.clone())
        .nest(PREFIX, routes)
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(from_fn_with_state(app.clone(), cors::add_headers))
        .layer(from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// GET and POST.
fn get_post<H, T>(handler: H) -> MethodRouter<Arc<App>>
where
    H: axum::handler::Handler<T, Arc<App>>,
    T: 'static,
{
    get(handler.clone()).post(handler)
}

/// POST and PUT.
fn post_put<H, T>(handler: H) -> MethodRouter<Arc<App>>
where
    H: axum::handler::Handler<T, Arc<App>>,
    T: 'static,
{
    post(handler.clone()).put(handler)
}

fn api() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v1/query", get_post(query::instant))
        .route("/api/v1/query_range", get_post(query::range))
        .route("/api/v1/query_exemplars", get_post(exemplars::exemplars))
        .route("/api/v1/format_query", get_post(query::format_query))
        .route("/api/v1/parse_query", get_post(query::parse_query))
        .route("/api/v1/labels", get_post(labels::names))
        .route("/api/v1/label/{name}/values", get(labels::values))
        .route("/api/v1/series", get_post(series::series))
        .route("/api/v1/metadata", get(metadata::metadata))
        .route("/api/v1/rules", get(empty::rules))
        .route("/api/v1/alerts", get(empty::alerts))
        .route("/api/v1/alertmanagers", get(empty::alertmanagers))
        .route("/api/v1/targets", get(empty::targets))
        .route("/api/v1/targets/metadata", get(empty::targets_metadata))
        .route("/api/v1/scrape_pools", get(empty::scrape_pools))
        .route("/api/v1/notifications", get(empty::notifications))
        .route("/api/v1/status/buildinfo", get(status::buildinfo))
        .route("/api/v1/status/runtimeinfo", get(status::runtimeinfo))
        .route("/api/v1/status/config", get(status::config))
        .route("/api/v1/status/flags", get(status::flags))
        .route("/api/v1/status/walreplay", get(status::walreplay))
        .route("/api/v1/status/tsdb", get(tsdb::tsdb))
        .route("/api/v1/status/active_queries", get(costs::active))
        .route("/api/v1/status/top_queries", get(costs::top))
}

/// What changes the store or the process.
fn changing() -> Router<Arc<App>> {
    let lifecycle_route = || {
        post(lifecycle::not_enabled).put(lifecycle::not_enabled).fallback(lifecycle::wrong_method)
    };
    let router = Router::new()
        .route("/api/v1/admin/tsdb/delete_series", post_put(admin::delete_series))
        .route("/api/v1/admin/tsdb/clean_tombstones", post_put(admin::clean_tombstones))
        .route("/api/v1/admin/tsdb/snapshot", post_put(admin::snapshot))
        .route("/-/reload", post_put(lifecycle::reload).fallback(lifecycle::wrong_method))
        .route("/-/quit", lifecycle_route())
        .merge(slo::changing_routes());
    WRITE_PATHS.into_iter().fold(router, |router, path| router.route(path, post(write::write)))
}

fn root() -> Router<Arc<App>> {
    let router = Router::new()
        .route("/", get(pages::landing))
        .route("/graph", get(pages::graph))
        .route("/queries", get(pages::queries))
        .route("/cardinality", get(cardinality::cardinality))
        .route("/tsdb-status", get(|| async { found("/cardinality") }))
        .route("/federate", get(federate::federate))
        .route("/metrics", get(metrics::metrics))
        .route("/version", get(status::version))
        .route("/-/healthy", get(lifecycle::healthy))
        .route("/-/ready", get(lifecycle::ready));
    // Pages of Prometheus's own UI that links may point to.
    [
        "/alerts",
        "/rules",
        "/targets",
        "/status",
        "/config",
        "/flags",
        "/service-discovery",
        "/query",
    ]
    .into_iter()
    .fold(router, |router, path| router.route(path, get(|| async { found("/") })))
}

/// 302, which is what Prometheus answers and its clients follow.
fn found(location: &'static str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, HeaderValue::from_static(location))]).into_response()
}

/// 404; a path of the API with a slash too many is sent to the one without.
async fn not_found(uri: Uri) -> Response {
    let path = uri.path();
    let trimmed = path.trim_end_matches('/');
    // Not for `//host/...`, which a browser would take for another server.
    if trimmed.len() < path.len() && trimmed.contains("/api/v1/") && !trimmed.starts_with("//") {
        let target = match uri.query() {
            Some(query) => format!("{trimmed}?{query}"),
            None => trimmed.to_owned(),
        };
        if let Ok(location) = HeaderValue::from_str(&target) {
            return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response();
        }
    }
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

async fn method_not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

/// Counts and times every answer under the path of its route, so that clients cannot make up label values.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let path = matched.as_ref().map_or("other", |path| path.as_str());
    let handler = path.strip_prefix(PREFIX).unwrap_or(path);
    app.telemetry.count_request(handler, response.status().as_u16(), begun.elapsed());
    response.into_response()
}
