//! The portfolio, and what services and teams have.

use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::json;

use super::error::SloResult;
use super::evaluate::{ask, invalid};
use super::history::zone;
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::definition::Slo;
use crate::slo::desk::{Desk, Periods};
use crate::slo::error::Result;
use crate::slo::portfolio::{By, Cell, portfolio as portfolio_of};

/// Time told unless `from` says otherwise: a year and the month that runs.
const BACK_MS: i64 = 365 * 86_400_000;

/// `GET /portfolio?unit=month&from=&to=&by=service|team`
pub(in crate::http) async fn portfolio(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> SloResult {
    let to = params.time_or("to", now_ms())?;
    let since = params.time_or("from", to.saturating_sub(BACK_MS))?;
    ask(&app, tenant, from, ("slo_portfolio", "", None), move |desk| {
        let unit = match params.get("unit") {
            "" => "month",
            text => text,
        };
        let by = match params.get("by") {
            "" | "service" => By::Service,
            "team" => By::Team,
            other => return Err(invalid(format!("by {other:?} is not known: service or team"))),
        };
        let zone = zone(params.get("tz"))?;
        portfolio_of(desk, (by, Periods::parse(unit)?), (since, to), zone, &|_| true)
    })
    .await
}

/// How the SLOs that `wanted` picks stand now, with their sum.
fn together(desk: &Desk<'_>, wanted: &dyn Fn(&Slo) -> bool) -> Result<serde_json::Value> {
    let reports = desk.list(desk.now_ms, wanted)?;
    let mut cell = Cell::default();
    reports.iter().for_each(|report| cell.add(report));
    Ok(json!({ "summary": cell, "items": reports }))
}

/// `GET /services`
pub(in crate::http) async fn services(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
) -> SloResult {
    ask(&app, tenant, from, ("slo_services", "", None), |desk| {
        let mut names: Vec<&str> =
            desk.definitions.slos.values().map(|slo| slo.service.as_str()).collect();
        names.extend(desk.definitions.services.keys().map(String::as_str));
        names.sort_unstable();
        names.dedup();
        let mut items = Vec::new();
        for name in names {
            let defined = desk.definitions.services.get(name);
            let mut item = together(desk, &|slo| slo.service == name)?;
            item["name"] = json!(name);
            item["displayName"] = json!(defined.map_or(name, |one| one.display_name.as_str()));
            item["description"] = json!(defined.map_or("", |one| one.description.as_str()));
            item["labels"] = json!(defined.map(|one| &one.labels));
            items.push(item);
        }
        Ok(json!({ "items": items }))
    })
    .await
}

/// `GET /services/{s}`
pub(in crate::http) async fn service(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
) -> SloResult {
    let text = name.clone();
    ask(&app, tenant, from, ("slo_service", &text, None), move |desk| {
        let known = desk.definitions.services.contains_key(&name)
            || desk.definitions.slos.values().any(|slo| slo.service == name);
        if !known {
            return Err(crate::slo::error::SloError::NotFound(format!("service {name:?}")));
        }
        let mut answer = together(desk, &|slo| slo.service == name)?;
        answer["name"] = json!(name);
        Ok(answer)
    })
    .await
}

/// `GET /teams/{t}`
pub(in crate::http) async fn team(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
) -> SloResult {
    let text = name.clone();
    ask(&app, tenant, from, ("slo_team", &text, None), move |desk| {
        let is_theirs = |slo: &Slo| desk.definitions.team_of(slo) == name;
        if !desk.definitions.teams.contains_key(&name)
            && !desk.definitions.slos.values().any(is_theirs)
        {
            return Err(crate::slo::error::SloError::NotFound(format!("team {name:?}")));
        }
        let mut answer = together(desk, &is_theirs)?;
        answer["name"] = json!(name);
        Ok(answer)
    })
    .await
}
