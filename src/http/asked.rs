//! What a read asks and who asks it, as the list of queries and the log show it.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderValue;
use axum::http::request::Parts;

use super::params::Params;
use super::tenant::Tenant;
use super::time::parse_time;
use crate::queries::{Asked, Caller, QUERY_TEXT_BYTES_MAX};

/// Who sent a request.
pub(super) struct From(pub(super) Caller);

impl<S: Sync + Send> FromRequestParts<S> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = address.map(|info| info.0.to_string());
        Ok(Self(Caller::of(address, |name| parts.headers.get(name).map(HeaderValue::as_bytes))))
    }
}

impl From {
    /// Something asked by this caller.
    pub(super) fn asks(self, kind: &'static str, tenant: &Tenant) -> Asked {
        Asked { kind, tenant: tenant.0.clone(), caller: self.0, ..Asked::default() }
    }

    /// A request for series by `match[]`.
    pub(super) fn asks_series(self, kind: &'static str, tenant: &Tenant, params: &Params) -> Asked {
        let mut text = String::new();
        for selector in params.all("match[]") {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(selector);
            if text.len() > QUERY_TEXT_BYTES_MAX {
                break;
            }
        }
        let time = |name| parse_time(params.get(name)).ok();
        let range_ms = time("start").zip(time("end"));
        Asked { range_ms, ..self.asks(kind, tenant).text(&text) }
    }
}
