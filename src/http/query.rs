//! `/api/v1/query`, `query_range`, `format_query`, `parse_query`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nines_storage::Db;
use nines_storage::model::{Labels, Matcher, SeriesData, TimeRange};
use nines_storage::query::{Budget, Queryable, SelectHints, SeriesSet};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult, ErrorKind, go_quote, json};
use super::evaluate::{self, When};
use super::held::{HeldBody, value_bytes};
use super::json::{Timings, success, write_query_data_while, write_string};
use super::limits::POINTS_MAX;
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;
use super::time::parse_duration_ns;
use crate::clock::now_ms;
use crate::promql::{QueryOptions, QueryResult, Value};
use crate::queries::Asked;
use crate::slo::published::{Published, is_published};

/// The data of a tenant that has none yet.
pub(super) struct Nothing;

impl Queryable for Nothing {
    fn select<'a>(
        &'a self,
        _: &[Matcher],
        _: TimeRange,
        _: &SelectHints,
        _: &Budget,
    ) -> nines_storage::Result<Box<dyn SeriesSet + 'a>> {
        Ok(Box::new(Self))
    }
}

impl SeriesSet for Nothing {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _: usize) -> &Labels {
        static EMPTY: std::sync::LazyLock<Labels> = std::sync::LazyLock::new(Labels::empty);
        &EMPTY
    }

    fn read(
        &self,
        _: usize,
        _: TimeRange,
        _: &Budget,
        out: &mut SeriesData,
    ) -> nines_storage::Result<()> {
        out.clear();
        Ok(())
    }
}

/// What a query asks, apart from its time.
struct Question {
    text: String,
    timeout: Option<Duration>,
    limit: Option<usize>,
    lookback_ms: Option<i64>,
    /// As asked for; any text but the empty one means statistics, `all` those of every step as well.
    stats: String,
}

impl Question {
    fn of(params: &Params) -> ApiResult<Self> {
        let limit = params.limit()?;
        let timeout =
            params.timeout_ns()?.map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
        Ok(Self {
            text: params.get("query").to_owned(),
            timeout,
            limit,
            lookback_ms: params.lookback_ms()?,
            stats: params.get("stats").to_owned(),
        })
    }
}

/// `/api/v1/query`
pub(super) async fn instant(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    // Prometheus checks the limit first, then the time.
    params.limit()?;
    let at = params.time_or("time", now_ms())?;
    let question = Question::of(&params)?;
    Ok(answer(&app, &tenant, from, question, When::At(at)).await?.into_json())
}

/// `/api/v1/query_range`
pub(super) async fn range(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    params.limit()?;
    let start = params.required_time("start")?;
    let end = params.required_time("end")?;
    if end < start {
        return Err(ApiError::invalid_param("end", "end timestamp must not be before start time"));
    }
    let step_ns = parse_duration_ns(params.get("step"))
        .map_err(|why| ApiError::invalid_param("step", &why))?;
    let step = step_ns / 1_000_000;
    if step <= 0 {
        return Err(ApiError::invalid_param(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if (i128::from(end) - i128::from(start)) * 1_000_000 / i128::from(step_ns) > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let question = Question::of(&params)?;
    Ok(answer(&app, &tenant, from, question, When::Range { start, end, step }).await?.into_json())
}

/// Parses, evaluates and writes the answer, all on a blocking thread.
async fn answer(
    app: &Arc<App>,
    tenant: &Tenant,
    from: From,
    question: Question,
    when: When,
) -> ApiResult<HeldBody> {
    let db = app.existing_db(&tenant.0)?;
    let owner = tenant.0.clone();
    run(
        app,
        asked(from, tenant, &question.text, when),
        question.timeout,
        move |app, budget, waited| {
            let evaluated = evaluate(app, (db.as_ref(), &owner), &question, when, budget)?;
            let bytes = value_bytes(&evaluated.value);
            // The value itself, and the text made of it.
            let _value = budget.reserve(bytes)?;
            let body = HeldBody::write(budget, bytes, || {
                write_answer(evaluated, &question, waited, budget)
            })?;
            in_time(budget)?;
            Ok(body)
        },
    )
    .await
}

fn asked(from: From, tenant: &Tenant, text: &str, when: When) -> Asked {
    let (kind, range_ms, step_ms) = match when {
        When::At(at) => ("query", (at, at), None),
        When::Range { start, end, step } => ("query_range", (start, end), Some(step)),
    };
    Asked { range_ms: Some(range_ms), step_ms, ..from.asks(kind, tenant).text(text) }
}

fn evaluate(
    app: &App,
    (db, tenant): (Option<&Arc<Db>>, &str),
    question: &Question,
    when: When,
    budget: &Budget,
) -> ApiResult<QueryResult> {
    let invalid = |why: String| ApiError::invalid_param("query", &why);
    let expr = evaluate::parse(&question.text).map_err(invalid)?;
    in_time(budget)?;
    let options =
        QueryOptions { lookback_ms: question.lookback_ms, per_step: question.stats == "all" };
    let definitions = app.slo.snapshot();
    // Only who selects a series of SLOs needs more than samples.
    if definitions.definitions.slos.is_empty() || !is_published(&expr) {
        let data: &dyn Queryable = match db {
            Some(db) => db.as_ref(),
            None => &Nothing,
        };
        return app.engine.evaluate(data, (&expr, &question.text), when, &options, budget);
    }
    let owner = (db.map(Arc::as_ref), tenant);
    let answered = app.slo.at_desk(owner, &definitions.definitions, budget, now_ms(), |desk| {
        let published = Published { desk: *desk };
        Ok(app.engine.evaluate(&published, (&expr, &question.text), when, &options, budget))
    });
    answered.map_err(|error| ApiError::internal(error.to_string()))?
}

/// An error when the query's time is up, or nobody waits for it any more.
fn in_time(budget: &Budget) -> ApiResult<()> {
    budget.check().map_err(|_why| {
        ApiError::Kind(ErrorKind::Timeout, "query timed out in query execution".to_owned())
    })
}

/// Stops in the middle when the budget's time is up.
fn write_answer(
    mut evaluated: QueryResult,
    question: &Question,
    waited: Duration,
    budget: &Budget,
) -> Vec<u8> {
    if question.limit.is_some_and(|limit| truncate(&mut evaluated.value, limit)) {
        evaluated.warnings.push("results truncated due to limit".to_owned());
    }
    if !matches!(question.stats.as_str(), "" | "true" | "all") {
        evaluated.warnings.push(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
            go_quote(question.stats.as_bytes())
        ));
    }
    let stats = (!question.stats.is_empty())
        .then_some(Timings { queue_s: waited.as_secs_f64(), query: evaluated.stats });
    success(&evaluated.warnings, &evaluated.infos, |out| {
        write_query_data_while(out, &evaluated.value, stats.as_ref(), &|| budget.check().is_ok())
    })
}

/// Keeps the first `limit` series; says whether there were more.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let n = match value {
        Value::Vector(samples) => {
            let n = samples.len();
            samples.truncate(limit);
            n
        }
        Value::Matrix(series) => {
            let n = series.len();
            series.truncate(limit);
            n
        }
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    n > limit
}

/// Evaluates a query now, for the page at `/graph`.
pub(super) async fn instant_value(
    app: &Arc<App>,
    tenant: &Tenant,
    from: From,
    text: String,
    at: i64,
) -> ApiResult<(Value, Vec<String>)> {
    let db = app.existing_db(&tenant.0)?;
    let owner = tenant.0.clone();
    let question =
        Question { text, timeout: None, limit: None, lookback_ms: None, stats: String::new() };
    let asked = asked(from, tenant, &question.text, When::At(at));
    run(app, asked, None, move |app, budget, _| {
        let evaluated = evaluate(app, (db.as_ref(), &owner), &question, When::At(at), budget)?;
        let mut notes = evaluated.warnings;
        notes.extend(evaluated.infos);
        Ok((evaluated.value, notes))
    })
    .await
}

/// `/api/v1/format_query`
pub(super) async fn format_query(params: Params) -> ApiResult {
    let expr = evaluate::parse(params.get("query"))
        .map_err(|why| ApiError::invalid_param("query", &why))?;
    let text = evaluate::format(&expr);
    Ok(json(StatusCode::OK, success(&[], &[], |out| write_string(out, &text))))
}

/// `/api/v1/parse_query`
pub(super) async fn parse_query(params: Params) -> ApiResult<Response> {
    let expr = evaluate::parse(params.get("query"))
        .map_err(|why| ApiError::invalid_param("query", &why))?;
    let tree = evaluate::tree_json(&expr);
    Ok(json(StatusCode::OK, success(&[], &[], |out| out.extend_from_slice(&tree))))
}
