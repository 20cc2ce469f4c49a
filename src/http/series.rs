//! `/api/v1/series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use nines_storage::model::Labels;
use nines_storage::query::{Queryable, SelectHints};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult};
use super::held::{HeldBody, labels_bytes};
use super::json::{comma, success, write_labels};
use super::labels::{TRUNCATED, listing};
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;

/// Memory of one label set in a sorted set.
const FOUND_BYTES: u64 = 2 * size_of::<Labels>() as u64;

/// `/api/v1/series`
pub(super) async fn series(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = params.limit()?;
    let range = params.time_range()?;
    let sets = params.matcher_sets().map_err(|why| ApiError::invalid_param("match[]", &why))?;
    let db = app.existing_db(&tenant.0)?;
    let slos = app.slo.snapshot();
    let body =
        run(&app, from.asks_series("series", &tenant, &params), None, move |_, budget, _| {
            let hints = SelectHints { labels_only: true, ..SelectHints::default() };
            let mut found: BTreeSet<Labels> = BTreeSet::new();
            let mut memory = budget.reserve(0)?;
            let mut bytes = 0;
            let mut warnings = Vec::new();
            let listing = listing(&slos, db.as_deref(), (&sets, range), budget);
            for labels in listing.series()? {
                bytes += labels_bytes(&labels);
                memory.add(labels.heap_bytes() + FOUND_BYTES)?;
                found.insert(labels);
            }
            budget.check_series(found.len() as u64)?;
            if let Some(db) = db.as_ref().filter(|_| range.min <= range.max) {
                for matchers in &sets {
                    let selected = db.select(matchers, range, &hints, budget)?;
                    for i in 0..selected.len() {
                        let labels = selected.labels(i);
                        if found.insert(labels.clone()) {
                            bytes += labels_bytes(labels);
                            memory.add(labels.heap_bytes() + FOUND_BYTES)?;
                        }
                    }
                    warnings.extend(selected.warnings());
                    budget.check_series(found.len() as u64)?;
                }
            }
            let shown = limit.unwrap_or(usize::MAX);
            if found.len() > shown {
                warnings.push(TRUNCATED.to_owned());
            }
            HeldBody::write(budget, bytes, || {
                success(&warnings, &[], |out| {
                    out.push(b'[');
                    for (i, labels) in found.iter().take(shown).enumerate() {
                        comma(out, i);
                        write_labels(out, labels);
                    }
                    out.push(b']');
                })
            })
        })
        .await?;
    Ok(body.into_json())
}
