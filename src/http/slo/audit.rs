//! `GET /audit`: what was decided, by whom and when.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::error::SloResult;
use super::evaluate::json_of;
use crate::http::app::App;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::journal::{Entry, Journal, Kind, Recorded};
use crate::slo::report::Instant;

/// Entries of one answer when nothing is asked.
const LIMIT: usize = 1_000;
/// Entries of one answer at most.
const LIMIT_MAX: usize = 10_000;

/// An entry as it is told. Of statements only whose they are: they have an address of their own.
#[derive(Serialize)]
struct Told {
    journal: &'static str,
    seq: u64,
    at: Instant,
    kind: Kind,
    author: String,
    payload: serde_json::Value,
}

fn told(name: &'static str, journal: &Journal, entry: &Entry) -> SloResult<Told> {
    let payload = match journal.recorded(entry)? {
        Recorded::Statement(_, record) => serde_json::json!({
            "sla": record.sla,
            "period": record.period,
            "summary": record.figures.summary,
            "pooled": record.figures.pooled,
            "revision": record.figures.revision,
        }),
        other => serde_json::to_value(&other).unwrap_or_default(),
    };
    let Entry { seq, at_ms, kind, author, .. } = entry;
    Ok(Told {
        journal: name,
        seq: *seq,
        at: Instant(*at_ms),
        kind: *kind,
        author: author.clone(),
        payload,
    })
}

/// `GET /audit?since=&limit=`: entries after `since`, the oldest first.
pub(in crate::http) async fn entries(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    params: Params,
) -> SloResult {
    let since = params.time_or("since", i64::MIN)?;
    let limit = params.limit()?.unwrap_or(LIMIT).min(LIMIT_MAX);
    app.store()?;
    let own = app.slo.journal(&tenant.0)?;
    let definitions = app.slo.journals()?.definitions()?;
    let journals = own.iter().map(|own| ("tenant", own)).chain([("definitions", &definitions)]);
    let mut all: Vec<(&'static str, &Arc<Journal>, Entry)> = Vec::new();
    for (name, journal) in journals {
        let found = journal.since(since, limit.saturating_add(1)).into_iter();
        all.extend(found.map(|entry| (name, journal, entry)));
    }
    all.sort_by_key(|(name, _, entry)| (entry.at_ms, *name, entry.seq));
    let more = all.len() > limit;
    all.truncate(limit);
    let items = all.iter().map(|(name, journal, entry)| told(name, journal, entry));
    let items: Vec<Told> = items.collect::<SloResult<_>>()?;
    Ok(json_of(&serde_json::json!({ "items": items, "more": more })))
}
