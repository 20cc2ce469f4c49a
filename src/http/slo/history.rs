//! The list of SLOs, how one stands, and its history.

use std::sync::Arc;

use axum::extract::{Path, State};
use chrono_tz::Tz;
use serde::Serialize;

use super::error::SloResult;
use super::evaluate::{ask, group, invalid};
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::definition::{Definitions, Slo};
use crate::slo::desk::{Periods, is_of_group, parse_status};
use crate::slo::error::Result;
use crate::slo::report::Report;

/// Periods told when nothing says since when.
const MONTHS_BACK: i64 = 13 * 31 * 86_400_000;

/// An SLO in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    report: Report,
    display_name: String,
    team: String,
    labels: std::collections::BTreeMap<String, String>,
}

fn listed(definitions: &Definitions, slo: &Slo, report: Report) -> Listed {
    Listed {
        report,
        display_name: slo.display_name.clone(),
        team: definitions.team_of(slo).to_owned(),
        labels: slo.labels.clone(),
    }
}

/// `GET /slos?service=&team=&status=&label=&q=`
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> SloResult {
    let at = params.time_or("at", now_ms())?;
    ask(&app, tenant, from, ("slo_list", "", None), move |desk| {
        let status = match params.get("status") {
            "" => None,
            text => Some(parse_status(text)?),
        };
        let labels: Vec<(&str, &str)> =
            params.all("label").filter_map(|pair| pair.split_once('=')).collect();
        let text = params.get("q").to_lowercase();
        let is = |asked: &str, own: &str| asked.is_empty() || asked == own;
        let wanted = |slo: &Slo| {
            let label = |name: &str| slo.labels.get(name).map_or("", String::as_str);
            is(params.get("service"), &slo.service)
                && is(params.get("team"), desk.definitions.team_of(slo))
                && labels.iter().all(|(name, value)| label(name) == *value)
                && [&slo.name, &slo.display_name, &slo.description]
                    .iter()
                    .any(|own| own.to_lowercase().contains(&text))
        };
        let mut items = Vec::new();
        for report in desk.list(at, &wanted)? {
            if status.is_none_or(|status| report.status == status) {
                items.push(listed(desk.definitions, desk.slo(&report.slo)?, report));
            }
        }
        Ok(serde_json::json!({ "items": items }))
    })
    .await
}

/// `GET /slos/{id}?at=`
pub(in crate::http) async fn status(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let at = params.time_or("at", now_ms())?;
    let group = group(&params)?;
    let text = name.clone();
    ask(&app, tenant, from, ("slo_status", &text, None), move |desk| {
        let slo = desk.slo(&name)?;
        let mut reports = desk.status(slo, at)?;
        reports.retain(|report| is_of_group(report, &group));
        Ok(serde_json::json!({
            "name": slo.name,
            "displayName": slo.display_name,
            "description": slo.description,
            "service": slo.service,
            "labels": slo.labels,
            "annotations": slo.annotations,
            "method": slo.method.name(),
            "groupBy": slo.group_by,
            "source": { "file": slo.place.file, "line": slo.place.line, "document": slo.source },
            "status": reports,
        }))
    })
    .await
}

/// `GET /slos/{id}/periods?unit=&from=&to=&tz=&group=`
pub(in crate::http) async fn periods(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let to = params.time_or("to", now_ms())?;
    let since = params.time_or("from", to.saturating_sub(MONTHS_BACK))?;
    let group = group(&params)?;
    let text = name.clone();
    ask(&app, tenant, from, ("slo_periods", &text, None), move |desk| {
        let slo = desk.slo(&name)?;
        let unit = match params.get("unit") {
            "" => Periods::Window,
            text => Periods::parse(text)?,
        };
        let zone = zone(params.get("tz"))?;
        let mut all = Vec::new();
        for period in desk.periods(slo, unit, (since, to), zone)? {
            let reports = desk.evaluator(slo).evaluate(&period)?;
            all.extend(reports.into_iter().filter(|report| is_of_group(report, &group)));
        }
        Ok(all)
    })
    .await
}

/// A time zone by its name; `None` for none.
pub(super) fn zone(name: &str) -> Result<Option<Tz>> {
    if name.is_empty() {
        return Ok(None);
    }
    name.parse().map(Some).map_err(|_| {
        invalid(format!("time zone {name:?} is not known: write one like Europe/Amsterdam or UTC"))
    })
}
