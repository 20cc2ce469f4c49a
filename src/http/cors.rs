//! Headers around every answer: CORS for the origins that `--web.cors.origin` allows, and protection of pages.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;

/// Adds the headers; answers `OPTIONS` on the API.
pub(super) async fn add_headers(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_api = request.uri().path().contains("/api/");
    let preflight = request.method() == Method::OPTIONS && is_api;
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_api {
        return response;
    }
    let Some(allowed) = &app.cors else { return response };
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) =
        origin.filter(|origin| origin.to_str().is_ok_and(|origin| allowed.is_match(origin)))
    {
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
