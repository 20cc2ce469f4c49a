//! `POST /validate?live=`: what is wrong with documents; with `live=true` also what does not fit to the series that are
//! there.

use axum::body::Body;
use axum::http::{HeaderMap, Uri};
use nines_storage::query::Queryable;

use super::asking::{Asking, json_of};
use super::documents::{Documents, Read};
use super::error::{Problem, SloResult};
use crate::clock::now_ms;
use crate::http::params::Params;
use crate::http::query::Nothing;
use crate::slo::define::check_live;
use crate::slo::diagnostic::Severity;
use crate::slo::error::SloError;

/// `POST /validate`
pub(in crate::http) async fn validate(
    asking: Asking,
    uri: Uri,
    headers: HeaderMap,
    content: Body,
) -> SloResult {
    let params = Params::of_query(&uri)?;
    let live = match params.get("live") {
        "" | "false" => false,
        "true" => true,
        other => {
            return Err(Problem::Invalid(format!("live {other:?} is not known: true or false")));
        }
    };
    let documents = Documents::receive(&asking.app, &headers, content).await?;
    asking
        .admitted(("slo_validate", "documents"), move |admitted| {
            let Read { definitions, mut diagnostics, .. } = documents.read(admitted.budget)?;
            if live {
                let data: &dyn Queryable = match admitted.db {
                    Some(db) => db,
                    None => &Nothing,
                };
                let told = check_live(&definitions, data, now_ms(), admitted.budget);
                diagnostics.extend(told.map_err(SloError::from)?);
            }
            let valid = diagnostics.iter().all(|one| one.severity != Severity::Error);
            let slos: Vec<&String> = definitions.slos.keys().collect();
            let told =
                serde_json::json!({ "valid": valid, "slos": slos, "diagnostics": diagnostics });
            Ok(json_of(&told))
        })
        .await
}
