//! `/federate`: the newest sample of each selected series in the Prometheus text format.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nines_storage::Db;
use nines_storage::model::{Labels, METRIC_NAME, Matcher, SeriesData, TimeRange, is_stale};
use nines_storage::query::{Budget, Queryable, SelectHints};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult, plain};
use super::json::write_float;
use super::params::Params;
use super::run::run;
use super::tenant::Tenant;
use crate::clock::now_ms;

/// `/federate`. Native histograms have no form in this text and are left out, as Prometheus does.
pub(super) async fn federate(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    let sets = match params.matcher_sets() {
        Ok(sets) => sets,
        Err(why) => return Ok(plain(StatusCode::BAD_REQUEST, format!("{why}\n"))),
    };
    let db = app.existing_db(&tenant.0)?;
    let page =
        run(&app, from.asks_series("federate", &tenant, &params), None, move |app, budget, _| {
            match db {
                Some(db) => write_page(
                    &db,
                    &sets,
                    now_ms(),
                    app.config.query.lookback_delta.as_ms(),
                    budget,
                ),
                None => Ok(Vec::new()),
            }
        })
        .await?;
    Ok(text(page))
}

fn text(page: Vec<u8>) -> Response {
    let kind =
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], page).into_response()
}

fn write_page(
    db: &Db,
    sets: &[Vec<Matcher>],
    now: i64,
    lookback_ms: i64,
    budget: &Budget,
) -> Result<Vec<u8>, ApiError> {
    // Left-open, as an instant selector's window is.
    let range = TimeRange::new(now.saturating_sub(lookback_ms).saturating_add(1), now);
    let mut newest: BTreeMap<(String, Labels), (i64, f64)> = BTreeMap::new();
    let mut data = SeriesData::default();
    for matchers in sets {
        let selected = db.select(matchers, range, &SelectHints::default(), budget)?;
        for i in 0..selected.len() {
            selected.read(i, range, budget, &mut data)?;
            let Some((ts, value)) = data.ts.last().copied().zip(data.values.last().copied()) else {
                continue;
            };
            let ended = data.histograms.last().is_some_and(|(histogram_ts, _)| *histogram_ts > ts);
            if !is_stale(value) && !ended {
                let labels = selected.labels(i);
                newest.insert((labels.metric_name().to_owned(), labels.clone()), (ts, value));
            }
        }
    }
    Ok(render(&newest))
}

fn render(newest: &BTreeMap<(String, Labels), (i64, f64)>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut family = None;
    for ((name, labels), (ts, value)) in newest {
        let plain = is_plain(name);
        if family != Some(name) {
            out.extend_from_slice(b"# TYPE ");
            write_name(&mut out, name, plain);
            out.extend_from_slice(b" untyped\n");
            family = Some(name);
        }
        let mut n = 0;
        if plain {
            out.extend_from_slice(name.as_bytes());
        } else if !name.is_empty() {
            out.push(b'{');
            write_quoted(&mut out, name);
            n = 1;
        }
        for (label, value) in labels.iter().filter(|(label, _)| *label != METRIC_NAME) {
            out.push(if n == 0 { b'{' } else { b',' });
            n += 1;
            write_name(&mut out, label, is_plain(label) && !label.contains(':'));
            out.push(b'=');
            write_quoted(&mut out, value);
        }
        if n > 0 {
            out.push(b'}');
        }
        out.push(b' ');
        write_float(&mut out, *value);
        out.extend_from_slice(format!(" {ts}\n").as_bytes());
    }
    out
}

/// Whether a name needs no quotes.
fn is_plain(name: &str) -> bool {
    let first =
        name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_' || b == b':');
    first && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

fn write_name(out: &mut Vec<u8>, name: &str, plain: bool) {
    if plain {
        out.extend_from_slice(name.as_bytes());
    } else {
        write_quoted(out, name);
    }
}

fn write_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_together_and_names_quoted_when_they_must_be() {
        let mut newest = BTreeMap::new();
        for (labels, value) in [
            (vec![("__name__", "up"), ("job", "a\"\\\n")], 1.0),
            (vec![("__name__", "up"), ("job", "b")], f64::NAN),
            (vec![("__name__", "a.b"), ("x.y", "1")], 1e-7),
            (vec![("__name__", "solo")], -0.5),
        ] {
            let labels = Labels::from_pairs(labels);
            newest.insert((labels.metric_name().to_owned(), labels), (1500, value));
        }
        assert_eq!(
            String::from_utf8_lossy(&render(&newest)),
            concat!(
                "# TYPE \"a.b\" untyped\n{\"a.b\",\"x.y\"=\"1\"} 1e-07 1500\n",
                "# TYPE solo untyped\nsolo -0.5 1500\n",
                "# TYPE up untyped\nup{job=\"a\\\"\\\\\\n\"} 1 1500\nup{job=\"b\"} NaN 1500\n"
            )
        );
    }
}
