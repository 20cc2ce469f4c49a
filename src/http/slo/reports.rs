//! `GET /reports/{scope}?unit=&period=&format=`: what is handed out.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::asking::json_of;
use super::error::{Problem, SloResult};
use super::evaluate::found;
use crate::http::app::App;
use crate::http::asked::From;
use crate::http::error::ApiError;
use crate::http::pages::page;
use crate::http::params::Params;
use crate::http::tenant::Tenant;
use crate::slo::rows::{Format, Table, table};
use crate::ui;

/// See the module.
pub(in crate::http) async fn report(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    Path(scope): Path<String>,
    params: Params,
) -> SloResult {
    let word = |name: &str, default: &str| match params.get(name) {
        "" => default.to_owned(),
        text => text.to_owned(),
    };
    let format = Format::parse(&word("format", "json")).map_err(Problem::from)?;
    let (unit, period) = (word("unit", "month"), word("period", ""));
    app.store()?;
    let journal = app.slo.journal(&tenant.0)?;
    let text = format!("{scope} {unit} {period}");
    let table = found(&app, tenant, from, ("slo_report", &text, None), move |desk| {
        table(desk, journal.as_deref(), (&scope, &unit, &period))
    })
    .await?;
    answer(&table, format)
}

fn answer(table: &Table, format: Format) -> SloResult {
    let bytes = match format {
        Format::Html => return Ok(page(StatusCode::OK, ui::report(table))),
        Format::Json => return Ok(json_of(table)),
        Format::Csv => table.csv().into_bytes(),
        Format::Parquet => table.parquet().map_err(Problem::from)?,
    };
    Ok(file(bytes, &name(table, format), format.content_type())?)
}

/// The name of the file: of letters, digits, dots and dashes.
fn name(table: &Table, format: Format) -> String {
    let end = if format == Format::Csv { "csv" } else { "parquet" };
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = format!("{} {}", table.scope, table.period).chars().map(plain).collect();
    format!("{name}.{end}")
}

fn file(bytes: Vec<u8>, name: &str, kind: &'static str) -> Result<Response, ApiError> {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((StatusCode::OK, headers, bytes).into_response())
}
