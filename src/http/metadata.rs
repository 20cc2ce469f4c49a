//! `/api/v1/metadata`: what the senders said about their metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use nines_storage::Metadata;

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult, json};
use super::json::{comma, success, write_string};
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;
use crate::slo::published::DESCRIPTIONS;

/// `/api/v1/metadata`
pub(super) async fn metadata(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    let limit = count(&params, "limit")?;
    let per_metric = count(&params, "limit_per_metric")?.filter(|n| *n > 0).unwrap_or(usize::MAX);
    let metric = params.get("metric").to_owned();
    let db = app.existing_db(&tenant.0)?;
    let has_slos = !app.slo.snapshot().definitions.slos.is_empty();
    let body = run(&app, from.asks("metadata", &tenant), None, move |_, _, _| {
        let mut known = db.map(|db| db.metadata()).unwrap_or_default();
        if has_slos {
            tell_published(&mut known);
        }
        Ok(write(&known, &metric, limit.unwrap_or(usize::MAX), per_metric))
    })
    .await?;
    Ok(json(StatusCode::OK, body))
}

/// Adds what SLOs publish.
fn tell_published(known: &mut BTreeMap<String, Vec<Metadata>>) {
    for (name, metric_type, help) in DESCRIPTIONS {
        let told = Metadata {
            metric_type: metric_type.to_owned(),
            help: help.to_owned(),
            unit: String::new(),
        };
        known.insert(name.to_owned(), vec![told]);
    }
}

/// A count of which negative ones mean no limit.
pub(super) fn count(params: &Params, name: &str) -> ApiResult<Option<usize>> {
    let text = params.get(name);
    if text.is_empty() {
        return Ok(None);
    }
    let n: i64 =
        text.parse().map_err(|_| ApiError::bad_data(format!("{name} must be a number")))?;
    Ok(usize::try_from(n).ok())
}

fn write(
    known: &BTreeMap<String, Vec<Metadata>>,
    metric: &str,
    limit: usize,
    per_metric: usize,
) -> Vec<u8> {
    let shown =
        known.iter().filter(|(name, _)| metric.is_empty() || name.as_str() == metric).take(limit);
    success(&[], &[], |out| {
        out.push(b'{');
        for (i, (name, variants)) in shown.enumerate() {
            comma(out, i);
            write_string(out, name);
            out.extend_from_slice(b":[");
            for (j, variant) in variants.iter().take(per_metric).enumerate() {
                comma(out, j);
                out.extend_from_slice(br#"{"type":"#);
                write_string(out, &variant.metric_type);
                out.extend_from_slice(br#","help":"#);
                write_string(out, &variant.help);
                out.extend_from_slice(br#","unit":"#);
                write_string(out, &variant.unit);
                out.push(b'}');
            }
            out.push(b']');
        }
        out.push(b'}');
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_metrics_and_variants() {
        let entry = |kind: &str| Metadata {
            metric_type: kind.to_owned(),
            help: "h \"x\"".to_owned(),
            unit: String::new(),
        };
        let known = BTreeMap::from([
            ("a".to_owned(), vec![entry("counter"), entry("gauge")]),
            ("b".to_owned(), vec![entry("gauge")]),
        ]);
        let text = |metric: &str, limit, per_metric| {
            String::from_utf8_lossy(&write(&known, metric, limit, per_metric)).into_owned()
        };
        assert_eq!(
            text("", 1, 1),
            r#"{"status":"success","data":{"a":[{"type":"counter","help":"h \"x\"","unit":""}]}}"#
        );
        assert_eq!(
            text("b", 9, 9),
            r#"{"status":"success","data":{"b":[{"type":"gauge","help":"h \"x\"","unit":""}]}}"#
        );
        assert_eq!(text("", 0, 9), r#"{"status":"success","data":{}}"#);
    }
}
