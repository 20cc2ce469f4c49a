//! `kind: SLA` of nines.dev/v1.

use super::history::check_target;
use super::reader::{Field, Fields};
use super::{Reference, metadata, times};
use crate::slo::decimal::Decimal;
use crate::slo::definition::{Credit, Scope, Sla, Tier};

/// When a statement becomes final, unless `closeAfter` says otherwise: three days after its period.
const CLOSE_AFTER_MS: i64 = 3 * 86_400_000;
/// Tiers of an SLA at most.
const TIERS_MAX: usize = 100;

/// Reads an SLA; the reference is that to its SLO.
pub(super) fn read(document: &Fields<'_>) -> Option<(Sla, Reference)> {
    let metadata = metadata::read(document);
    let spec = document.need("spec").and_then(|field| field.fields());
    document.finish();
    let spec = spec?;
    let slo = spec.need("slo").and_then(|field| Reference::read(&field));
    let party = spec.get("party").and_then(|field| field.text()).unwrap_or_default();
    let scopes = [("perGroup", Scope::PerGroup), ("pooled", Scope::Pooled)];
    let scope = spec.get("scope").map_or(Some(Scope::Pooled), |field| field.one_of(&scopes));
    let target = spec.need("target").and_then(|field| target(&field));
    let calendar = spec
        .need_hint("window", "write {duration: 1M, timeZone: UTC}")
        .and_then(|field| times::periods(&field.fields()?));
    let exclusions = spec.get("exclusions").map(|field| field.words());
    let credit = spec.get("credit").map_or(Some(Credit::None), |field| credit(&field));
    let close_after =
        spec.get("closeAfter").map_or(Some(CLOSE_AFTER_MS), |field| times::length(&field));
    spec.finish();
    let (metadata, slo) = (metadata?, slo?);
    let exclusions = match exclusions {
        Some(told) => Some(told?),
        None => None,
    };
    let sla = Sla {
        name: metadata.name,
        slo: slo.name.clone(),
        party: party.to_owned(),
        scope: scope?,
        target: target?,
        calendar: calendar?,
        exclusions,
        credit: credit?,
        close_after_ms: close_after?,
        place: metadata.place,
    };
    Some((sla, slo))
}

fn target(field: &Field<'_>) -> Option<Decimal> {
    let target = field.decimal()?;
    if let Err((message, hint)) = check_target(target) {
        field.error_hint("target-out-of-range", message, hint);
        return None;
    }
    Some(target)
}

/// `credit`: `kind: lostTime`, `none` or `tiers`, or `tiers` alone.
fn credit(field: &Field<'_>) -> Option<Credit> {
    let fields = field.fields()?;
    let kinds = [
        ("lostTime", Credit::LostTime),
        ("none", Credit::None),
        ("tiers", Credit::Tiers(Vec::new())),
    ];
    let words = [("lostTime", 0), ("none", 1), ("tiers", 2)];
    let kind = fields.get("kind").map(|field| field.one_of(&words));
    let tiers_field = fields.get("tiers");
    let tiers = tiers_field.as_ref().map(tiers);
    fields.finish();
    let kind = match kind {
        Some(told) => told?,
        None if tiers.is_some() => 2,
        None => {
            fields.need_hint(
                "kind",
                "write kind: lostTime, or tiers: [{below: 0.9995, percent: 10}]",
            );
            return None;
        }
    };
    match (kind, tiers) {
        (2, Some(tiers)) => Some(Credit::Tiers(tiers?)),
        (2, None) => {
            fields.need("tiers");
            None
        }
        (_, Some(_)) => {
            tiers_field?.error("settings-differ", "tiers have a meaning for kind: tiers only");
            None
        }
        (kind, None) => kinds.into_iter().nth(kind).map(|(_, credit)| credit),
    }
}

fn tiers(field: &Field<'_>) -> Option<Vec<Tier>> {
    let items = field.list()?;
    if items.is_empty() || items.len() > TIERS_MAX {
        field.error("sla-tier-order", format!("there must be 1 to {TIERS_MAX} tiers"));
        return None;
    }
    let mut tiers: Vec<Tier> = Vec::new();
    let mut fine = true;
    for item in items {
        let Some((tier, below, percent)) = tier(&item) else {
            fine = false;
            continue;
        };
        if let Some(last) = tiers.last() {
            if tier.below >= last.below {
                let message = format!(
                    "below is {} after {}: bounds must fall from tier to tier",
                    tier.below, last.below
                );
                below.error("sla-tier-order", message);
                fine = false;
            } else if tier.percent <= last.percent {
                let message = format!(
                    "percent is {} after {}: credits must rise from tier to tier",
                    tier.percent, last.percent
                );
                percent.error("sla-tier-order", message);
                fine = false;
            }
        }
        tiers.push(tier);
    }
    fine.then_some(tiers)
}

fn tier<'a>(item: &Field<'a>) -> Option<(Tier, Field<'a>, Field<'a>)> {
    let fields = item.fields()?;
    let below = fields.need("below").and_then(|field| Some((field.decimal()?, field)));
    let percent = fields.need("percent").and_then(|field| Some((field.decimal()?, field)));
    fields.finish();
    let ((below, below_field), (percent, percent_field)) = (below?, percent?);
    if below <= Decimal::ZERO || below > Decimal::ONE {
        below_field.error(
            "target-out-of-range",
            format!("below is {below}, and must be above 0 and at most 1"),
        );
        return None;
    }
    let hundred = percent.percent();
    if percent < Decimal::ZERO || hundred.is_none_or(|share| share > Decimal::ONE) {
        percent_field.error("bad-value", format!("percent is {percent}, and must be 0 to 100"));
        return None;
    }
    Some((Tier { below, percent }, below_field, percent_field))
}
