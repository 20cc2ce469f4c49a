//! SLOs for what is stored.

use std::sync::Arc;

use axum::extract::State;

use super::error::{Problem, SloResult};
use super::evaluate::ask;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::evaluate::parse_selector;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::suggest::{LIMIT_DEFAULT, suggest as suggest_for};

/// Proposals at most.
const LIMIT_MAX: usize = 1000;

/// `GET /suggest?match=&limit=`
pub(in crate::http) async fn suggest(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> SloResult {
    let limit = params.limit()?.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let text = params.get("match").to_owned();
    let only = match text.as_str() {
        "" => Vec::new(),
        text => parse_selector(text).map_err(Problem::Invalid)?,
    };
    ask(&app, tenant, from, ("slo_suggest", &text, None), move |desk| {
        suggest_for(desk, &only, limit)
    })
    .await
}
