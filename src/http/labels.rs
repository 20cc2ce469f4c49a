//! `/api/v1/labels` and `/api/v1/label/<name>/values`.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use nines_storage::Db;
use nines_storage::model::{Matcher, TimeRange};
use nines_storage::query::{Budget, Queryable};

use super::app::App;
use super::asked::From;
use super::error::{ApiError, ApiResult, go_quote};
use super::held::HeldBody;
use super::json::{success, write_string_list};
use super::params::{Params, percent_decode};
use super::run::run;
use super::tenant::Tenant;
use crate::slo::define::Snapshot;
use crate::slo::published::Listing;

/// The warning of an answer that was cut at `limit`.
pub(super) const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/labels`
pub(super) async fn names(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    from: From,
    params: Params,
) -> ApiResult {
    let limit = params.limit()?;
    let range = params.time_range()?;
    let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
    let db = app.existing_db(&tenant.0)?;
    let slos = app.slo.snapshot();
    let body =
        run(&app, from.asks_series("labels", &tenant, &params), None, move |_, budget, _| {
            let names = db.as_ref().map(|db| db.label_names(&sets, range, budget)).transpose()?;
            let listing = listing(&slos, db.as_deref(), (&sets, range), budget);
            list(united(names, listing.names()?), limit, budget)
        })
        .await?;
    Ok(body.into_json())
}

/// `/api/v1/label/<name>/values`
pub(super) async fn values(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    uri: Uri,
    from: From,
    params: Params,
) -> ApiResult {
    let name = label_name(uri.path())?;
    let limit = params.limit()?;
    let range = params.time_range()?;
    let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
    let db = app.existing_db(&tenant.0)?;
    let slos = app.slo.snapshot();
    let body =
        run(&app, from.asks_series("label_values", &tenant, &params), None, move |_, budget, _| {
            let values = db.as_ref().map(|db| db.label_values(&name, &sets, range, budget));
            let listing = listing(&slos, db.as_deref(), (&sets, range), budget);
            list(united(values.transpose()?, listing.values(&name)?), limit, budget)
        })
        .await?;
    Ok(body.into_json())
}

/// Where series that SLOs publish are looked for.
pub(super) fn listing<'a>(
    slos: &'a Snapshot,
    db: Option<&'a Db>,
    (sets, range): (&'a [Vec<Matcher>], TimeRange),
    budget: &'a Budget,
) -> Listing<'a> {
    let data = db.map(|db| db as &dyn Queryable);
    Listing { definitions: &slos.definitions, data, sets, range, budget }
}

/// Words of samples, which ascend, and those of what SLOs publish.
fn united(of_samples: Option<Vec<String>>, of_slos: BTreeSet<String>) -> Vec<String> {
    let mut all = of_samples.unwrap_or_default();
    for word in of_slos {
        if let Err(place) = all.binary_search(&word) {
            all.insert(place, word);
        }
    }
    all
}

fn list(mut items: Vec<String>, limit: Option<usize>, budget: &Budget) -> ApiResult<HeldBody> {
    let mut warnings = Vec::new();
    if let Some(limit) = limit.filter(|limit| items.len() > *limit) {
        items.truncate(limit);
        warnings.push(TRUNCATED.to_owned());
    }
    let memory = |item: &String| (item.len() + 2 * size_of::<String>()) as u64;
    let bytes = items.iter().map(memory).sum();
    let _items = budget.reserve(bytes)?;
    HeldBody::write(budget, bytes, || success(&warnings, &[], |out| write_string_list(out, &items)))
}

/// The name in `/api/v1/label/<name>/values`, unescaped. The router has matched the path, but its own
/// decoding answers differently when the bytes are not UTF-8.
fn label_name(path: &str) -> ApiResult<String> {
    let encoded = path.rsplit('/').nth(1).unwrap_or_default();
    let bytes = percent_decode(encoded.as_bytes(), false).map_err(ApiError::bad_data)?;
    let invalid =
        |bytes: &[u8]| ApiError::bad_data(format!("invalid label name: {}", go_quote(bytes)));
    let name = String::from_utf8(bytes).map_err(|error| invalid(error.as_bytes()))?;
    let name = unescape(&name);
    if name.is_empty() { Err(invalid(b"")) } else { Ok(name) }
}

/// Undoes the value encoding of names (`U__job_2e_name` is `job.name`); a name that is not of this form stays
/// as it is (prometheus/common, `model.UnescapeName`).
fn unescape(name: &str) -> String {
    decode_escapes(name).unwrap_or_else(|| name.to_owned())
}

fn decode_escapes(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut out = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let tail = tail.get(1..)?;
        if let Some(after) = tail.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (digits, after) = tail.split_once('_')?;
        let is_hex = digits.len() <= 6
            && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hex {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn escaped_names_are_unescaped() {
        for (escaped, name) in [
            ("U__job_2e_name", "job.name"),
            ("U__a__b", "a_b"),
            ("U__z_fc_rich", "zürich"),
            ("plain_name", "plain_name"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U__surrogate_d800_", "U__surrogate_d800_"),
        ] {
            assert_eq!(unescape(escaped), name);
        }
    }

    #[test]
    fn the_name_is_taken_from_the_raw_path() {
        assert_eq!(label_name("/api/v1/label/__name__/values").unwrap(), "__name__");
        assert_eq!(label_name("/api/v1/label/a%2Fb/values").unwrap(), "a/b");
        assert_eq!(
            label_name("/api/v1/label/%ff/values").unwrap_err(),
            ApiError::bad_data(r#"invalid label name: "\xff""#)
        );
    }
}
