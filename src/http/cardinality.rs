//! `/cardinality`: gathers what the page of cardinality shows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nines_storage::model::{MatchOp, Matcher};
use nines_storage::query::Budget;
use nines_storage::{Db, Explore, Exploring, Rank};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult};
use super::evaluate::parse_selector;
use super::pages::page;
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;
use super::tsdb::{SINCE_DEFAULT_MS, list_length, senders};
use crate::clock::now_ms;
use crate::telemetry::Process;
use crate::ui::{self, CardinalityPage, Explosion, Seen, Usage, Verdict};

/// Length of the lists, and the longest that the page shows.
const ROWS_DEFAULT: usize = 10;
const ROWS_MAX: usize = 1000;
/// Labels that are looked at to find one that explodes, and examples of its values.
const GROWN_LABELS: usize = 20;

/// `/cardinality`
pub(super) async fn cardinality(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> Response {
    let mut shown = CardinalityPage {
        tenant: tenant.0.clone(),
        now_ms: now_ms(),
        selector: params.get("match").trim().to_owned(),
        focus: params.get("focus").trim().to_owned(),
        rank: if params.get("by") == "growth" { Rank::Growth } else { Rank::Size },
        ..CardinalityPage::default()
    };
    let status = match look(&app, tenant, from, &params, &mut shown).await {
        Ok(()) => StatusCode::OK,
        Err(ApiError::Kind(kind, text)) => {
            shown.error = Some(text);
            kind.word_and_status().1
        }
        Err(ApiError::NotReady) => {
            shown.error =
                Some("The write-ahead log is being replayed: try again in a moment.".to_owned());
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    page(status, ui::cardinality(&shown))
}

async fn look(
    app: &Arc<App>,
    tenant: Tenant,
    from: From,
    params: &Params,
    shown: &mut CardinalityPage,
) -> ApiResult<()> {
    let limit = list_length(params, "limit")?;
    shown.limit = limit.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX);
    if !shown.selector.is_empty() {
        shown.matchers = parse_selector(&shown.selector).map_err(ApiError::bad_data)?;
    }
    let Some(db) = app.existing_db(&tenant.0)? else { return Ok(()) };
    let asked = from.asks("cardinality", &tenant).text(&shown.selector);
    let (wanted, now) = (shown.clone(), shown.now_ms);
    let (seen, usage) = run(app, asked, None, move |app, budget, _| {
        Ok((see(&db, &wanted, now, budget)?, usage(app, &db)))
    })
    .await?;
    shown.seen = Some(seen);
    shown.usage = Some(usage);
    Ok(())
}

fn see(db: &Db, wanted: &CardinalityPage, now_ms: i64, budget: &Budget) -> ApiResult<Seen> {
    let mut values_of = senders();
    if !wanted.focus.is_empty() {
        values_of.push(wanted.focus.clone());
    }
    let sets = if wanted.matchers.is_empty() { vec![] } else { vec![wanted.matchers.clone()] };
    let all = Explore {
        sets: &sets,
        since_ms: now_ms.saturating_sub(SINCE_DEFAULT_MS),
        values_of: &values_of,
        rank: wanted.rank,
        bytes: false,
        limit: wanted.limit,
    };
    let counted = db.explore(&all, now_ms, budget)?;
    let by_growth = Explore { values_of: &[], rank: Rank::Growth, limit: GROWN_LABELS, ..all };
    let verdict = Verdict::of(&db.explore(&by_growth, now_ms, budget)?);
    let mut explosions = Vec::new();
    if let Verdict::Explodes(labels) = &verdict {
        for label in labels {
            explosions.push(explosion(label, db, &by_growth, now_ms, budget)?);
        }
    }
    Ok(Seen { counted, verdict, explosions })
}

/// Looks at the series that have a label.
fn explosion(
    label: &nines_storage::LabelCount,
    db: &Db,
    around: &Explore<'_>,
    now_ms: i64,
    budget: &Budget,
) -> ApiResult<Explosion> {
    let has = Matcher::new(label.name.clone(), MatchOp::NotEqual, "")?;
    let mut matchers = around.sets.first().cloned().unwrap_or_default();
    matchers.push(has);
    let mut values_of = senders();
    values_of.push(label.name.clone());
    let sets = [matchers];
    let seen: Exploring =
        db.explore(&Explore { sets: &sets, values_of: &values_of, ..*around }, now_ms, budget)?;
    Ok(Explosion::new(label.clone(), &seen))
}

/// How much of the limits is used.
fn usage(app: &App, db: &Db) -> Usage {
    let own = Process::anonymous_bytes().saturating_sub(app.query_memory.held());
    Usage {
        series: db.stats().head_series,
        series_max: app.config.storage.max_series,
        bytes: own,
        bytes_max: app.config.memory.max_series_bytes,
    }
}
