//! Whose data a request is about: `X-Scope-OrgID`, as Mimir and Loki have it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::limits::TENANT_BYTES_MAX;

/// The tenant of a request without the header.
pub(super) const DEFAULT_TENANT: &str = "anonymous";

const HEADER: &str = "x-scope-orgid";

/// A valid tenant name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tenant(pub(super) String);

impl<S: Sync + Send> FromRequestParts<S> for Tenant {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match parts.headers.get(HEADER).map(axum::http::HeaderValue::as_bytes) {
            None | Some(b"") => Ok(Self(DEFAULT_TENANT.to_owned())),
            Some(name) => valid(name).map_err(|why| ApiError::bad_data(why).into_response()),
        }
    }
}

/// The name becomes that of a folder, so only harmless ones pass (Mimir's rule without its punctuation).
fn valid(name: &[u8]) -> Result<Tenant, String> {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let text = String::from_utf8_lossy(name);
    if name.len() > TENANT_BYTES_MAX {
        return Err(format!("the tenant in X-Scope-OrgID is longer than {TENANT_BYTES_MAX} bytes"));
    }
    if !name.iter().all(allowed) || name.starts_with(b".") {
        return Err(format!(
            "the tenant {} in X-Scope-OrgID is not valid: use letters, digits, '-', '_' and '.', not beginning with '.'",
            super::error::go_quote(text.as_bytes())
        ));
    }
    Ok(Tenant(text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        for name in ["..", ".", "a/b", "a\\b", ".hidden", "a|b", "a b", "ä", "a\0"] {
            assert!(valid(name.as_bytes()).is_err(), "{name:?}");
        }
        assert!(valid(&[b'a'; TENANT_BYTES_MAX + 1]).is_err());
        for name in ["team-a", "Team_1.x", "0"] {
            assert_eq!(valid(name.as_bytes()), Ok(Tenant(name.to_owned())));
        }
    }
}
