//! `POST /validate?live=`: what is wrong with documents; with `live=true` also what does not fit to the series that are
//! there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use nines_storage::query::Queryable;

use super::error::{Problem, SloResult};
use super::evaluate::{BODY, body, json_of};
use crate::clock::now_ms;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::params::Params;
use crate::http::query::Nothing;
use crate::http::run::run;
use crate::http::tenant::Tenant;
use crate::slo::define::{check_live, load_texts};
use crate::slo::diagnostic::Severity;

/// `POST /validate`
pub(in crate::http) async fn validate(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    uri: Uri,
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
    let text = body(&app, content).await?;
    let (definitions, mut diagnostics) = load_texts(&[(BODY, &text)]);
    let slos: Vec<String> = definitions.slos.keys().cloned().collect();
    if live {
        let db = app.existing_db(&tenant.0)?;
        let asked = from.asks("slo_validate", &tenant).text(&slos.join(", "));
        let told = run(&app, asked, None, move |_, budget, _| {
            let data: &dyn Queryable = match db.as_deref() {
                Some(db) => db,
                None => &Nothing,
            };
            Ok(check_live(&definitions, data, now_ms(), budget)?)
        });
        diagnostics.extend(told.await?);
    }
    let valid = diagnostics.iter().all(|one| one.severity != Severity::Error);
    Ok(json_of(&serde_json::json!({ "valid": valid, "slos": slos, "diagnostics": diagnostics })))
}
