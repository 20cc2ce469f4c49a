//! From a number down: over time, to who is to blame, to series and samples.

use std::sync::Arc;

use axum::extract::{Path, State};

use super::error::{Problem, SloResult};
use super::evaluate::{ask, interval, invalid};
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::evaluate::parse_selector;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::http::time::parse_duration_ns;
use crate::slo::contributors::contributors as contributors_of;
use crate::slo::explain::explain as explain_slo;
use crate::slo::series::{Metric, lines};

/// Contributors told unless `limit` says otherwise.
const CONTRIBUTORS_DEFAULT: usize = 10;
/// Series told unless `limit` says otherwise.
const SERIES_DEFAULT: usize = 20;
/// Things told at most.
const LIMIT_MAX: usize = 1000;

fn limit(params: &Params, default: usize) -> SloResult<usize> {
    Ok(params.limit()?.unwrap_or(default).min(LIMIT_MAX))
}

fn duration_ms(params: &Params, name: &str) -> SloResult<Option<i64>> {
    match params.get(name) {
        "" => Ok(None),
        text => match parse_duration_ns(text) {
            Ok(ns) => Ok(Some(ns / 1_000_000)),
            Err(why) => Err(Problem::Invalid(format!("{name}: {why}"))),
        },
    }
}

/// `GET /slos/{id}/series?metric=&from=&to=&step=&window=`
pub(in crate::http) async fn series(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let span = (params.required_time("from")?, params.time_or("to", now_ms())?);
    let hundredth = (span.1.saturating_sub(span.0) / 100).max(1);
    let step_ms = duration_ms(&params, "step")?.unwrap_or(hundredth);
    let window_ms = duration_ms(&params, "window")?.unwrap_or(step_ms);
    let text = name.clone();
    ask(&app, tenant, from, ("slo_series", &text, None), move |desk| {
        let metric = Metric::parse(params.get("metric"))?;
        lines(desk, desk.slo(&name)?, metric, span, (step_ms, window_ms))
    })
    .await
}

/// `GET /slos/{id}/contributors?by=&from=&to=&limit=`
pub(in crate::http) async fn contributors(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let by: Vec<String> = params
        .all("by")
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let (limit, interval) = (limit(&params, CONTRIBUTORS_DEFAULT)?, interval(&params)?);
    let text = name.clone();
    ask(&app, tenant, from, ("slo_contributors", &text, None), move |desk| {
        let slo = desk.slo(&name)?;
        let interval = interval.map_or_else(|| desk.window_at(slo, desk.now_ms), Ok)?;
        contributors_of(desk, slo, (&by, limit), &interval)
    })
    .await
}

/// `GET /slos/{id}/explain?from=&to=&series=`
pub(in crate::http) async fn explain(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let (limit, interval) = (limit(&params, SERIES_DEFAULT)?, interval(&params)?);
    let text = name.clone();
    ask(&app, tenant, from, ("slo_explain", &text, None), move |desk| {
        let slo = desk.slo(&name)?;
        let interval = interval.map_or_else(|| desk.window_at(slo, desk.now_ms), Ok)?;
        let only = match params.get("series") {
            "" => Vec::new(),
            selector => parse_selector(selector).map_err(invalid)?,
        };
        explain_slo(desk, slo, (&only, limit), &interval)
    })
    .await
}
