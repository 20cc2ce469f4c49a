//! Exact figures of any interval: of an SLO that is installed, or of documents that come with the request.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};

use super::asking::{Asking, json_of};
use super::documents::Documents;
use super::error::{Problem, SloResult};
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::run::run;
use crate::http::tenant::Tenant;
use crate::slo::definition::{Definitions, Slo};
use crate::slo::desk::{Desk, is_of_group};
use crate::slo::diff::diff;
use crate::slo::error::{Result, SloError};
use crate::slo::evaluate::Asked as Interval;
use crate::slo::report::Report;

/// What is asked by documents, in the list of queries.
const BODY: &str = "documents";

/// The interval that `from` and `to` ask for; `None` when neither is there.
pub(super) fn interval(params: &Params) -> SloResult<Option<Interval>> {
    if params.get("from").is_empty() && params.get("to").is_empty() {
        return Ok(None);
    }
    let from_ms = params.required_time("from")?;
    let to_ms = params.time_or("to", now_ms())?;
    if to_ms <= from_ms {
        return Err(Problem::Invalid("to must be later than from".to_owned()));
    }
    Ok(Some(Interval { from_ms, to_ms, label: String::new() }))
}

/// `group=name=value`, as often as there are labels.
pub(super) fn group(params: &Params) -> SloResult<BTreeMap<String, String>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Problem::Invalid(format!("group {text:?} is not a pair: write group=droplet=d1"))
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    params.all("group").map(pair).collect()
}

/// Runs a question about SLOs on a blocking thread, as queries are, and answers what it gives as JSON.
pub(super) async fn ask<T: serde::Serialize + Send + 'static>(
    app: &Arc<App>,
    tenant: Tenant,
    from: From,
    asked: (&'static str, &str, Option<Definitions>),
    question: impl FnOnce(&Desk<'_>) -> Result<T> + Send + 'static,
) -> SloResult {
    Ok(json_of(&found(app, tenant, from, asked, question).await?))
}

/// The same, answering what the question gives.
pub(super) async fn found<T: Send + 'static>(
    app: &Arc<App>,
    tenant: Tenant,
    from: From,
    (kind, text, definitions): (&'static str, &str, Option<Definitions>),
    question: impl FnOnce(&Desk<'_>) -> Result<T> + Send + 'static,
) -> SloResult<T> {
    let db = app.existing_db(&tenant.0)?;
    let asked = from.asks(kind, &tenant).text(text);
    let snapshot = app.slo.snapshot();
    let answered = run(app, asked, None, move |app, budget, _| {
        let definitions = definitions.as_ref().unwrap_or(&snapshot.definitions);
        let owner = (db.as_deref(), tenant.0.as_str());
        Ok(app.slo.at_desk(owner, definitions, budget, now_ms(), question))
    })
    .await?;
    Ok(answered?)
}

/// The reports of an SLO: of an interval, or of its own window now.
fn reports(
    desk: &Desk<'_>,
    slo: &Slo,
    interval: Option<&Interval>,
    group: &BTreeMap<String, String>,
) -> Result<Vec<Report>> {
    let mut reports = match interval {
        Some(interval) => desk.evaluator(slo).evaluate(interval)?,
        None => desk.status(slo, desk.now_ms)?,
    };
    reports.retain(|report| is_of_group(report, group));
    Ok(reports)
}

/// `POST /evaluate?from=&to=`: the SLOs of the body, without installing them.
pub(in crate::http) async fn documents(
    asking: Asking,
    uri: Uri,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let params = Params::of_query(&uri)?;
    let (interval, group) = (interval(&params)?, group(&params)?);
    let documents = Documents::receive(&asking.app, &headers, content).await?;
    asking
        .admitted(("slo_evaluate", BODY), move |admitted| {
            let read = documents.without_errors(admitted.budget)?;
            if read.definitions.slos.is_empty() {
                return Err(Problem::Invalid("the documents define no SLO".to_owned()));
            }
            let all = admitted.desk(&read.definitions, |desk| {
                let mut all = Vec::new();
                for slo in desk.definitions.slos.values() {
                    all.extend(reports(desk, slo, interval.as_ref(), &group)?);
                }
                Ok(all)
            })?;
            Ok(json_of(&all))
        })
        .await
}

/// `POST /diff`: what would change if the body was all that is defined.
pub(in crate::http) async fn compared(
    asking: Asking,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let documents = Documents::receive(&asking.app, &headers, content).await?;
    asking
        .admitted(("slo_diff", BODY), move |admitted| {
            let read = documents.without_errors(admitted.budget)?;
            let told = admitted.desk(admitted.in_force(), |before| {
                admitted.desk(&read.definitions, |after| diff(before, after))
            })?;
            Ok(json_of(&told))
        })
        .await
}

/// `GET /slos/{id}/evaluate?from=&to=&group=`
pub(in crate::http) async fn installed(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(name): Path<String>,
    params: Params,
) -> SloResult {
    let (interval, group) = (interval(&params)?, group(&params)?);
    let text = name.clone();
    ask(&app, tenant, from, ("slo_evaluate", &text, None), move |desk| {
        reports(desk, desk.slo(&name)?, interval.as_ref(), &group)
    })
    .await
}

/// A request that names what does not exist.
pub(super) fn invalid(why: impl Into<String>) -> SloError {
    SloError::Invalid(why.into())
}
