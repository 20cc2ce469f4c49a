//! Which origins a browser may use this server from, and headers around every answer.
//!
//! Reading is open to the origins that `--web.cors.origin` allows: all of them by default, as in Prometheus.
//! Calls that change something (remote write, the admin API, the lifecycle endpoints) are refused to pages of
//! another origin unless the operator himself has set an expression that allows it: otherwise any page that
//! somebody behind the firewall opens could write here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use regex::Regex;

use super::app::App;
use super::error::plain;
use super::router::{PREFIX, WRITE_PATHS};
use crate::config::{Config, WebConfig};

/// The origins of other servers whose pages may use this one.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Anchored; `None`: none.
    allowed: Option<Regex>,
    /// Whether the operator has set it, so that it opens calls that change something as well.
    is_set: bool,
}

impl Origins {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            allowed: config.cors_regex().ok().flatten(),
            is_set: config.web.cors_origin.is_some(),
        }
    }

    fn allow(&self, origin: &HeaderValue, mutates: bool) -> bool {
        let matches = |allowed: &Regex| origin.to_str().is_ok_and(|text| allowed.is_match(text));
        (self.is_set || !mutates) && self.allowed.as_ref().is_some_and(matches)
    }
}

/// Refuses what comes from a page of a foreign origin. For the routes that change something.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let refused = headers
        .get(header::ORIGIN)
        .filter(|origin| !is_own(origin, headers, &app.config.web))
        .filter(|origin| !app.cors.allow(origin, true));
    if let Some(origin) = refused {
        let text = format!(
            "requests of pages from {origin:?} may not change anything here: their origin must be this server's own (its Host header or --web.external-url) or match a --web.cors.origin that is set\n"
        );
        return plain(StatusCode::FORBIDDEN, text);
    }
    next.run(request).await
}

/// Whether a page of `origin` was served by this server, as far as the browser can tell.
fn is_own(origin: &HeaderValue, headers: &HeaderMap, web: &WebConfig) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let is_host = |host: &str| host.eq_ignore_ascii_case(authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let external = web.external_url.as_deref().and_then(|url| {
        let (scheme, rest) = url.split_once("://")?;
        let host = rest.split('/').next()?;
        Some(origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")))
    });
    host.is_some_and(is_host) || external == Some(true)
}

/// Whether a path leads to something that changes the store or the process.
fn mutates(path: &str) -> bool {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    WRITE_PATHS.contains(&path)
        || path.starts_with("/api/v1/admin/")
        || path.starts_with("/-/")
        || super::slo::mutates(path)
}

/// Adds the headers; answers `OPTIONS` on the API.
pub(super) async fn add_headers(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let path = request.uri().path();
    let (is_api, mutates) = (path.contains("/api/"), mutates(path));
    let preflight = request.method() == Method::OPTIONS && is_api;
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_api || app.cors.allowed.is_none() {
        return response;
    }
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| app.cors.allow(origin, mutates)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn value(text: &str) -> HeaderValue {
        HeaderValue::from_str(text).unwrap()
    }

    #[test]
    fn the_own_origin_is_that_of_the_host_or_the_external_address() {
        let headers = HeaderMap::from_iter([(header::HOST, value("nines.example:9999"))]);
        let external = Some("https://metrics.example/nines/".to_owned());
        let web = WebConfig { external_url: external, ..WebConfig::default() };
        for (origin, own) in [
            ("http://nines.example:9999", true),
            ("https://NINES.example:9999", true),
            ("https://metrics.example", true),
            ("http://metrics.example", false),
            ("http://nines.example", false),
            ("http://nines.example:9999.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_own(&value(origin), &headers, &web), own, "{origin}");
        }
        assert!(!is_own(&value("http://"), &HeaderMap::new(), &WebConfig::default()));
    }

    #[test]
    fn paths_that_change_something() {
        for path in ["/api/v1/write", "/prometheus/api/prom/push", "/api/v1/admin/tsdb/snapshot"] {
            assert!(mutates(path), "{path}");
        }
        for path in
            ["/api/slo/v1/exclusions/x/revoke", "/api/slo/v1/slas/a/statements/2026-02/close"]
        {
            assert!(mutates(path), "{path}");
        }
        for path in [
            "/api/slo/v1/slas/a/statements/2026-02",
            "/api/slo/v1/audit",
            "/api/v1/query",
            "/prometheus/api/v1/status/tsdb",
            "/",
            "/federate",
        ] {
            assert!(!mutates(path), "{path}");
        }
    }
}
