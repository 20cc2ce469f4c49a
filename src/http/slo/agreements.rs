//! SLAs and their statements.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Serialize;

use super::asking::json_of;
use super::documents::Documents;
use super::error::{Problem, SloResult};
use super::evaluate::ask;
use super::exclusions::Decision;
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Credit, Scope, Sla};
use crate::slo::desk::Desk;
use crate::slo::error::{Result, SloError};
use crate::slo::sla;

/// Time of the statements that are listed when nothing says since when: some thirteen months.
const LISTED_MS: i64 = 13 * 31 * 86_400_000;

/// An SLA in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'a str,
    slo: &'a str,
    party: &'a str,
    scope: &'static str,
    target: Decimal,
    time_zone: &'static str,
    exclusions: Option<&'a [String]>,
    credit: serde_json::Value,
    close_after_seconds: i64,
    file: &'a str,
}

fn listed(sla: &Sla) -> Listed<'_> {
    Listed {
        name: &sla.name,
        slo: &sla.slo,
        party: &sla.party,
        scope: match sla.scope {
            Scope::PerGroup => "perGroup",
            Scope::Pooled => "pooled",
        },
        target: sla.target,
        time_zone: sla.calendar.zone.name(),
        exclusions: sla.exclusions.as_deref(),
        credit: match &sla.credit {
            Credit::None => serde_json::Value::Null,
            Credit::LostTime => serde_json::json!({ "kind": "lostTime" }),
            Credit::Tiers(tiers) => {
                let tier = |tier: &crate::slo::definition::Tier| serde_json::json!({ "below": tier.below, "percent": tier.percent });
                serde_json::json!({ "kind": "tiers", "tiers": tiers.iter().map(tier).collect::<Vec<_>>() })
            }
        },
        close_after_seconds: sla.close_after_ms / 1000,
        file: &sla.place.file,
    }
}

fn find<'a>(desk: &Desk<'a>, name: &str) -> Result<&'a Sla> {
    let found = desk.definitions.slas.get(name);
    found.ok_or_else(|| SloError::NotFound(format!("SLA {name:?}")))
}

/// `GET /slas`
pub(in crate::http) async fn list(State(app): State<Arc<App>>) -> SloResult {
    app.store()?;
    let snapshot = app.slo.snapshot();
    let items: Vec<Listed<'_>> = snapshot.definitions.slas.values().map(listed).collect();
    Ok(json_of(&serde_json::json!({ "items": items })))
}

/// `GET /slas/{id}/statements?from=&to=`
pub(in crate::http) async fn statements(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let to = params.time_or("to", now_ms())?;
    let since = params.time_or("from", to.saturating_sub(LISTED_MS))?;
    app.store()?;
    let journal = app.slo.journal(&tenant.0)?;
    let text = name.clone();
    ask(&app, tenant, from, ("sla_statements", &text, None), move |desk| {
        let items = sla::list(desk, journal.as_deref(), find(desk, &name)?, (since, to))?;
        Ok(serde_json::json!({ "sla": name, "items": items }))
    })
    .await
}

/// `GET /slas/{id}/statements/{period}?revision=`: 1 is the closed one, others are its restatements.
pub(in crate::http) async fn statement(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path((name, period)): Path<(String, String)>,
    params: Params,
) -> SloResult {
    let revision = match params.get("revision") {
        "" => None,
        text => Some(text.parse::<usize>().map_err(|_| {
            Problem::Invalid(format!("revision {text:?} is no number: 1 is the closed statement"))
        })?),
    };
    app.store()?;
    let journal = app.slo.journal(&tenant.0)?;
    let text = format!("{name} {period}");
    ask(&app, tenant, from, ("sla_statement", &text, None), move |desk| {
        let sla = find(desk, &name)?;
        let asked = sla::period(sla, &period)?;
        let statement = sla::statement(desk, journal.as_deref(), sla, &asked)?;
        match revision {
            None => Ok(statement),
            Some(revision) => statement.of_revision(revision).ok_or_else(|| {
                SloError::NotFound(format!(
                    "revision {revision} of the statement of {name} about {period}"
                ))
            }),
        }
    })
    .await
}

/// `POST /slas/{id}/statements/{period}/close`
pub(in crate::http) async fn close(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path((name, period)): Path<(String, String)>,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let decision = Decision::read(Documents::receive(&app, &headers, content).await?.text())?;
    if decision.author.trim().is_empty() {
        return Err(Problem::Invalid("closing needs who does it: {\"author\":\"ada\"}".to_owned()));
    }
    let store = app.store()?;
    if store.existing(&tenant.0).is_none() {
        return Err(Problem::NotFound("there are no samples of this tenant".to_owned()));
    }
    let journal = app.slo.journals()?.of(&tenant.0)?;
    let text = format!("{name} {period}");
    ask(&app, tenant, from, ("sla_close", &text, None), move |desk| {
        let sla = find(desk, &name)?;
        let asked = sla::period(sla, &period)?;
        sla::close(desk, &journal, sla, &asked, &decision.author)
    })
    .await
}
